"""What the docks begin with, as the user has said in napari's preferences."""

from pathlib import Path
from typing import Any, NamedTuple


class Defaults(NamedTuple):
    """As the manifest's `configurations` name them.

    Parameters
    ----------
    folder
        Where runs, predictions and evaluations go.
    device
        What computes.
    tile_size
        Side of what each tile of a prediction keeps, px; 0: the command's own.
    """

    folder: Path
    device: str
    tile_size: int


def defaults() -> Defaults:
    """The user's, or those of the manifest where napari knows no settings of plugins (before 0.9.2)."""
    said: Any = None
    try:
        from napari.settings import get_plugin_settings

        said = get_plugin_settings("napari-pix2pix").defaults
    except (ImportError, KeyError):  # an older napari; a plugin that is not registered
        pass
    folder = getattr(said, "folder", "").strip()
    return Defaults(
        Path(folder).expanduser() if folder else Path.home() / "napari-pix2pix",
        getattr(said, "device", "").strip() or "auto",
        getattr(said, "tile_size", 0),
    )
