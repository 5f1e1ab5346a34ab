"""What the user has said in napari's preferences is what the docks begin with."""

from pathlib import Path

import pytest
from napari.settings import get_plugin_settings

from napari_pix2pix.widgets.defaults import defaults
from napari_pix2pix.widgets.evaluate_dock import EvaluateDock
from napari_pix2pix.widgets.places import remember_model
from napari_pix2pix.widgets.predict_dock import PredictDock
from napari_pix2pix.widgets.train_dock import TrainDock
from small import blobs
from widgets.conftest import opened

pytestmark = pytest.mark.gui


def test_docks_begin_with_what_the_preferences_say(make_napari_viewer, small_model, tmp_path: Path) -> None:
    """Folder, device and tile size; without a word of the user, those of the manifest."""
    viewer = make_napari_viewer()
    viewer.add_image(blobs()[0], name="tissue")
    remember_model(small_model)
    assert defaults() == (Path.home() / "napari-pix2pix", "auto", 0)
    assert "--tile-size" not in opened(viewer, PredictDock).request().prepare(lambda: False)

    said = get_plugin_settings("napari-pix2pix").defaults
    said.folder, said.device, said.tile_size = str(tmp_path / "mine"), "cpu", 64
    assert opened(viewer, TrainDock).folder.value() == tmp_path / "mine"
    assert opened(viewer, EvaluateDock).folder.value() == tmp_path / "mine" / "evaluations"
    dock = opened(viewer, PredictDock)
    assert dock.folder.value() == tmp_path / "mine" / "predictions"
    words = dock.request().prepare(lambda: False)
    assert words[words.index("--device") + 1] == "cpu"
    assert words[words.index("--tile-size") + 1] == "64"
