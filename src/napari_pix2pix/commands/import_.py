"""The command import: a generator of the PyTorch port as a model."""

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from napari_pix2pix.commands.events import Events
from napari_pix2pix.commands.flags import Overwrite
from napari_pix2pix.core.engine.foreign_text import require_text


def import_(
    file: Annotated[Path, Parameter(help="latest_net_G.pth, or another generator that it saved.")],
    *,
    out: Annotated[Path, Parameter(help="The model. A .safetensors file.")],
    dropout: Annotated[
        float, Parameter(help="Of the generator as it was trained, which the file does not tell.")
    ] = 0.0,
    norm_statistics: Annotated[
        Literal["training", "image"],
        Parameter(help="Of batch norm in predictions: those of the training, as with their --eval, or of each image."),
    ] = "training",
    overwrite: Overwrite = False,
) -> Events:
    """Import a generator of pytorch-CycleGAN-and-pix2pix, unet_128, unet_256 or resnet, as a model that predicts.

    It takes and gives 8-bit images, as theirs. Nothing in the file is run.
    """
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
    model = read_port(file, dropout, norm_statistics)
    require_writable(out.parent)
    model.save(out)
    yield {"event": "result", "model": str(out), "text": f"Model: {out}\n{model_text(model)}"}
