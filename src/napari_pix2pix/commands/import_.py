"""The command import: a model of another program as one of ours."""

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from napari_pix2pix.commands.events import Events
from napari_pix2pix.commands.flags import Overwrite
from napari_pix2pix.core.engine.foreign_text import require_text


def import_(
    file: Annotated[
        Path,
        Parameter(help="A package of the BioImage Model Zoo (.zip), an ONNX file of export, or latest_net_G.pth."),
    ],
    *,
    out: Annotated[Path, Parameter(help="The model. A .safetensors file.")],
    dropout: Annotated[
        float | None,
        Parameter(
            help="Of a generator of the PyTorch port as it was trained, which the file does not tell. Default: 0."
        ),
    ] = None,
    norm_statistics: Annotated[
        Literal["training", "image"] | None,
        Parameter(
            help="Of its batch norm in predictions: those of the training, as with their --eval (default), or of each "
            "image."
        ),
    ] = None,
    overwrite: Overwrite = False,
) -> Events:
    """Import a model that predicts, is evaluated, and can be taught to judge its match (fit-trust).

    It is one in a package of the BioImage Model Zoo, with ONNX or written by export; in an ONNX file that export wrote;
    or a generator of pytorch-CycleGAN-and-pix2pix, unet_128, unet_256 or resnet, for 8-bit images. Nothing in the file
    is run but the network.
    """
    from napari_pix2pix.exchange.package import read_onnx, read_package
    from napari_pix2pix.exchange.port import read_port
    from napari_pix2pix.files.outputs import require_apart, require_replaceable, require_writable
    from napari_pix2pix.report.card import model_text

    if out.suffix != ".safetensors":
        raise ValueError(f"A model must go to a .safetensors file; got {out}. Choose another `out`.")
    require_text(out)
    require_apart([file], [out])
    if out.exists() and not overwrite:
        raise FileExistsError(f"An output must not exist yet; {out} does. Choose another `out` or `overwrite`.")
    require_replaceable(out)
    readers = {".zip": read_package, ".onnx": read_onnx}
    if reader := readers.get(file.suffix.lower()):
        if dropout is not None or norm_statistics is not None:
            raise ValueError(
                "Dropout and norm statistics must be said of generators of the PyTorch port alone; "
                f"{file.name} says its own. Leave them out."
            )
        model = reader(file)
    else:
        model = read_port(file, dropout or 0.0, norm_statistics or "training")
    require_writable(out.parent)
    model.save(out)
    yield {"event": "result", "model": str(out), "text": f"Model: {out}\n{model_text(model)}"}
