"""The command export: a model in a form that other programs read."""

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from napari_pix2pix.commands.events import Events
from napari_pix2pix.commands.flags import Overwrite, load


def export(
    model: Annotated[Path, Parameter(help="A model.safetensors, or a run folder.")],
    out: Annotated[Path, Parameter(help="A file that ends in .onnx.")],
    *,
    to: Annotated[str, Parameter(help="Which side, or domain, it is to make.")] = "target",
    condition: Annotated[str | None, Parameter(help="Of which condition its sources are. Default: not known.")] = None,
    norm_statistics: Annotated[
        Literal["training"] | None, Parameter(help="Of batch norm, for a model that takes those of each image.")
    ] = None,
    overwrite: Overwrite = False,
) -> Events:
    """Export a model for other programs: OUT.onnx. What is written gives what the model gives, or is not written.

    What of it is fixed: the direction or domain (--to), the condition, float32, no dropout.
    """
    from napari_pix2pix.exchange.onnx_file import write_onnx
    from napari_pix2pix.exchange.portable import TOLERANCE, portable
    from napari_pix2pix.files.outputs import require_apart, require_replaceable, require_writable

    if out.suffix != ".onnx":
        raise ValueError(f"An export must go to a file that ends in .onnx; got {out}. Choose another `out`.")
    require_apart([model, model / "model.safetensors"], [out])
    if out.exists() and not overwrite:
        raise FileExistsError(f"An output must not exist yet; {out} does. Choose another `out` or `overwrite`.")
    require_replaceable(out)
    require_writable(out.parent)
    loaded = load(model, "cpu").toward(to).under(condition)
    if norm_statistics:
        loaded = loaded.with_norm_statistics(norm_statistics)
    apart = write_onnx(portable(loaded), out)
    yield {
        "event": "result",
        "written": [str(out)],
        "apart": apart,
        "text": f"ONNX: {out}\nAt three sizes, of one image and of two, within {apart:.1g} of the range of what the "
        f"model gives (at most {TOLERANCE:g}).",
    }
