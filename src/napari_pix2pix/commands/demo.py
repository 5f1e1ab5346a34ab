"""The command demo."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from napari_pix2pix.commands.events import Events
from napari_pix2pix.commands.flags import Device


def demo(
    *,
    out: Annotated[Path, Parameter(help="The folder to write to; an earlier demo there is replaced.")] = Path(
        "napari-pix2pix-demo"
    ),
    view: Annotated[bool, Parameter(negative="", help="Open the result in napari.")] = False,
    device: Device = "auto",
) -> Events:
    """Train, predict, score and evaluate on a real image that ships with scikit-image."""
    from napari_pix2pix.commands.story import run_demo, view_demo
    from napari_pix2pix.files.outputs import require_folder

    require_folder(out)
    yield from run_demo(out, device)
    if view:
        view_demo(out)
