"""What waits names what it waits for, and leads out; what runs is seen in napari's activity dock, too."""

import pytest
from napari.utils import progress

from napari_pix2pix.widgets.activity import Activity
from napari_pix2pix.widgets.places import remember_model
from napari_pix2pix.widgets.predict_dock import PredictDock
from napari_pix2pix.widgets.session import shared_session
from napari_pix2pix.widgets.train_dock import TrainDock
from small import blobs, small_config
from widgets.conftest import opened

pytestmark = pytest.mark.gui


def test_a_paused_training_blocks_nobody_for_ever(make_napari_viewer, until, small_model) -> None:
    """Predict says that Train is paused; there it can be continued, or stopped, and then Predict's turn comes."""
    viewer = make_napari_viewer()
    source, labels = blobs()
    viewer.add_image(source, name="tissue")
    viewer.add_labels(labels, name="nuclei")
    train, predict = opened(viewer, TrainDock), opened(viewer, PredictDock)
    remember_model(small_model)
    predict.model.refresh()
    train.set_value(small_config(steps=1_000_000, validate_every=1_000_000))
    train.run()
    until(lambda: train.bar.value() >= 0 and train.status.text().startswith("Step"))
    assert [bar.desc.partition(":")[0] for bar in progress._all_instances] == ["Train"]
    train.pause_button.click()
    predict.run()
    waiting = predict.waiting
    assert waiting.isVisibleTo(predict)
    assert waiting.told.text() == "Waits for Train, which is paused. Continue or stop it."
    waiting.continue_button.click()
    assert not train.pause_button.isChecked()
    assert waiting.told.text() == "Waits for Train, which runs."
    assert not waiting.continue_button.isVisibleTo(predict)
    waiting.stop_button.click()
    until(lambda: train.job is None and predict.job is None and predict.run_button.isEnabled())
    assert not waiting.isVisibleTo(predict)
    assert predict.status.text().startswith("Added")
    assert "Stopped." in train.status.text()
    until(lambda: not progress._all_instances)


def test_a_look_at_pairs_is_named_where_it_is_waited_for(make_napari_viewer, until) -> None:
    """Though nobody has asked for it."""
    viewer = make_napari_viewer()
    source, labels = blobs()
    viewer.add_image(source, name="tissue")
    viewer.add_labels(labels, name="nuclei")
    train, predict = opened(viewer, TrainDock), opened(viewer, PredictDock)
    until(lambda: train.check.job is not None)
    predict.waiting.wait_for(predict.session.first)
    assert predict.waiting.told.text() == "Waits for the look at the images, which runs."
    predict.waiting.stop_button.click()
    until(lambda: train.check.job is None)
    assert not predict.waiting.isVisibleTo(predict)


def test_a_bar_is_drawn_when_nothing_else_is_done(make_napari_viewer, qtbot, monkeypatch) -> None:
    """napari has the window's queue done meanwhile: what a dock is in the middle of must not be overtaken."""
    make_napari_viewer()
    asked, drawn = [], []
    update = progress.update
    monkeypatch.setattr(progress, "update", lambda bar, n=1: drawn.append((n, *asked)) or update(bar, n))
    activity = Activity("Predict", shared_session())
    assert not progress._all_instances
    qtbot.waitUntil(lambda: len(progress._all_instances) == 1)
    activity.show(0.25)
    activity.show(0.5)
    assert drawn == []
    asked.append("all said")
    qtbot.waitUntil(lambda: drawn == [(500, "all said")])
    activity.close()
    qtbot.waitUntil(lambda: not progress._all_instances)
