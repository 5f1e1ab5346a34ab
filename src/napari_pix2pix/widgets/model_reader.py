"""What napari does with a model that is opened or dropped: *Predict* has it chosen, or imports it from a package."""

import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from napari import current_viewer
from napari.utils.notifications import show_error, show_info

from napari_pix2pix.widgets.doors import open_page
from napari_pix2pix.widgets.flags import in_a_dock

PACKAGES = {"rdf.yaml", "bioimageio.yaml", "model.yaml"}
"""What describes a package of the BioImage Model Zoo, of which one is in it."""
NO_LAYERS: list[tuple[None]] = [(None,)]
"""What a reader gives that has read, but adds nothing."""


def model_reader(path: str | Sequence[str]) -> Callable[[Any], list[tuple[None]]] | None:
    """What opens these files; None for others than models."""
    given = [path] if isinstance(path, str) else list(path)
    return open_models if all(_is_model(Path(name)) for name in given) else None


def _is_model(path: Path) -> bool:
    """Whether it says that it is one; of zips, whether they are packages of a model."""
    if path.suffix.lower() != ".zip":
        return path.suffix.lower() in (".safetensors", ".onnx")
    try:
        with zipfile.ZipFile(path) as file:
            return not PACKAGES.isdisjoint(file.namelist())
    except (OSError, zipfile.BadZipFile):
        return False


def open_models(paths: str | Sequence[str]) -> list[tuple[None]]:
    """Choose these models in *Predict*, the last one before the others; what is no model is told in a sentence."""
    viewer = current_viewer()
    if viewer is None:
        raise ValueError("A model must be opened in napari's window; there is none. Use napari-pix2pix predict.")
    for path in [paths] if isinstance(paths, str) else paths:
        page: Any = open_page(viewer, "Predict")
        if Path(path).suffix.lower() != ".safetensors":
            page.exchange.take(Path(path))
            continue
        try:
            page.model.set_value(Path(path))
        except ValueError as error:
            show_error(in_a_dock(str(error)))
        else:
            show_info(f"Predict has the model “{page.model.combo.currentText()}”.")
    return NO_LAYERS
