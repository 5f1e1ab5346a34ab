"""A model that is opened, or dropped onto the window, is chosen in Predict; what is none is told."""

from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from napari_pix2pix.files.starters import starters
from napari_pix2pix.widgets.model_reader import model_reader, open_models
from napari_pix2pix.widgets.predict_dock import PredictDock

pytestmark = pytest.mark.gui


def predict_of(viewer) -> list[PredictDock]:
    return viewer.window._qt_window.findChildren(PredictDock)


def test_a_dropped_model_is_chosen(make_napari_viewer, small_model: Path) -> None:
    """By the reader of the manifest; no layer comes of it, and the dock that is open is the one that is taken."""
    viewer = make_napari_viewer()
    for _ in range(2):
        assert viewer.open(small_model, plugin="napari-pix2pix") == []
        [dock] = predict_of(viewer)
        assert dock.model.value() == small_model
        assert dock.card.text().startswith("predicts objects")
    viewer.window._qt_viewer._qt_open([str(small_model)], stack=False)  # as a drop does
    assert len(viewer.layers) == 0


def test_what_is_no_model_is_told_in_a_sentence(make_napari_viewer, notes, tmp_path: Path) -> None:
    """Another program's safetensors, and a file that is none: nothing is chosen, and the dock works on."""
    viewer = make_napari_viewer()
    save_file({"weight": np.zeros((2, 2), np.float32)}, tmp_path / "foreign.safetensors")
    (tmp_path / "text.safetensors").write_text("no tensors")
    for name in ("foreign", "text"):
        viewer.open(tmp_path / f"{name}.safetensors", plugin="napari-pix2pix")
        assert notes[-1].count("\n") == 0 and f"{name}.safetensors" in notes[-1], notes
    [dock] = predict_of(viewer)
    assert dock.model.value() == starters()["nuclei"] and dock.run_button.isEnabled()


def test_only_models_are_read() -> None:
    """Images are left to others, and there must be a window."""
    assert model_reader("a.tif") is None and model_reader(["a.safetensors", "b.tif"]) is None
    assert model_reader("A.SAFETENSORS") is open_models
    with pytest.raises(ValueError, match="napari's window"):
        open_models("a.safetensors")
