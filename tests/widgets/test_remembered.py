"""A form comes back as it was used; a training whose window or layer goes is asked about, once."""

import json

import pytest

from napari_pix2pix.widgets import training_dock
from napari_pix2pix.widgets.places import settings_file
from napari_pix2pix.widgets.predict_dock import PredictDock
from napari_pix2pix.widgets.remembered import FILE
from napari_pix2pix.widgets.train_dock import TrainDock
from small import blobs, small_config
from widgets.conftest import opened

pytestmark = pytest.mark.gui


@pytest.fixture
def viewer(make_napari_viewer):
    viewer = make_napari_viewer()
    source, labels = blobs()
    viewer.add_image(source, name="tissue")
    viewer.add_labels(labels, name="nuclei")
    return viewer


def test_a_form_comes_back_as_the_user_left_it(viewer, small_model) -> None:
    """Preset, how long, steps and ticks; a file that cannot be read says nothing."""
    train, predict = opened(viewer, TrainDock), opened(viewer, PredictDock)
    train.preset.setCurrentText("microscopy")
    train.how_long.setCurrentText("steps")
    train.steps.setValue(123)
    train.preset.activated.emit(0)  # as a click does
    predict.trust.setEnabled(True)
    predict.trust.click()
    for dock in (train, predict):
        viewer.window.remove_dock_widget(dock)
    again = opened(viewer, TrainDock)
    assert (again.preset.currentText(), again.minutes(), again.steps.value()) == ("microscopy", None, 123)
    assert not opened(viewer, PredictDock).trust.isChecked()

    for broken in ("no JSON", "[1]", '{"TrainDock": 3}', json.dumps({"TrainDock": {"preset": 7, "steps": "x"}})):
        settings_file(FILE).write_text(broken)
        fresh = TrainDock(viewer)
        assert (fresh.preset.currentText(), fresh.minutes()) == ("fast", 3.0)
        fresh.closed()


@pytest.mark.parametrize("goes_on", [True, False])
@pytest.mark.parametrize("gone", ["dock", "layer"])
def test_a_training_is_asked_about_once(viewer, until, monkeypatch, goes_on: bool, gone: str) -> None:
    """It goes on without its window or its layers, since all its data are on the disk, or stops and keeps its model."""
    asked = []
    monkeypatch.setattr(training_dock, "_is_open", lambda _: True)
    monkeypatch.setattr(training_dock, "ask_to_go_on", lambda _, what: asked.append(what) or goes_on)
    dock = opened(viewer, TrainDock)
    dock.set_value(small_config(steps=1_000_000, validate_every=1_000_000))
    dock.run()
    until(lambda: dock.status.text().startswith("Step"))
    session, run = dock.session, dock.folder.value() / "nuclei"
    if gone == "dock":
        viewer.window.remove_dock_widget(dock)
    else:
        viewer.layers.remove("nuclei")
        viewer.layers.remove("tissue")
    until(lambda: bool(asked))
    if goes_on:
        assert session.first is not None
        assert not session.first.stopped
        session.first.stop()
    until(lambda: session.first is None)
    assert len(asked) == 1
    assert "Train still runs" in asked[0]
    assert (run / "model.safetensors").is_file()
