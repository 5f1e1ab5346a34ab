"""A model that cannot judge its predictions yet learns it by a click, where it is trained and where it is used."""

import pytest

from napari_pix2pix import core
from napari_pix2pix.core.settings.config import PairSettings
from napari_pix2pix.files.pairing import open_stacks
from napari_pix2pix.files.training_stacks import TrainingStacks
from napari_pix2pix.widgets.card import read_card
from napari_pix2pix.widgets.places import remember_model
from napari_pix2pix.widgets.predict_dock import PredictDock
from napari_pix2pix.widgets.scores_dock import ScoresDock
from napari_pix2pix.widgets.train_dock import TrainDock
from small import blobs, small_config
from widgets.conftest import opened

pytestmark = pytest.mark.gui


def test_a_training_is_stopped_and_its_model_learns_to_judge(make_napari_viewer, until) -> None:
    """One click: no more steps, then what follows the last one; the run is over, and the button gone."""
    viewer = make_napari_viewer()
    source, labels = blobs()
    viewer.add_image(source, name="tissue")
    viewer.add_labels(labels, name="nuclei")
    dock = opened(viewer, TrainDock)
    dock.set_value(small_config(steps=100_000, trust_steps=2))
    dock.run()
    assert not dock.judge_button.isVisibleTo(dock)
    until(lambda: dock.judge_button.isVisibleTo(dock))
    dock.judge_button.click()
    assert not dock.judge_button.isVisibleTo(dock)
    until(lambda: dock.job is None)
    assert dock.status.text().startswith("Trained.")
    assert not dock.judge_button.isVisibleTo(dock)
    assert read_card(dock.folder.value() / "nuclei" / "model.safetensors").expects_errors


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_a_model_of_a_stopped_run_is_taught_where_it_is_used(make_napari_viewer, until, pair, tmp_path) -> None:
    """Predict and Patch scores offer it, and no dock names a command; where it cannot be, one sentence says why."""
    stacks, config = TrainingStacks(open_stacks(*pair, PairSettings())), small_config(steps=9, trust_steps=2)
    told = stacks.provenance()
    reports = core.train(stacks.train.frames(), config, out=tmp_path / "run", device="cpu", provenance=told)
    next(reports), next(reports)
    reports.close()
    model = tmp_path / "run" / "model.safetensors"
    copy = tmp_path / "copy.safetensors"
    copy.write_bytes(model.read_bytes())
    viewer = make_napari_viewer()
    docks = [opened(viewer, PredictDock), opened(viewer, ScoresDock)]
    docks[0].model.set_value(copy)
    for dock in docks:
        assert dock.teach.isVisibleTo(dock)
        assert not dock.teach.button.isVisibleTo(dock)
        assert "trust steps" in dock.teach.told.text()
        assert "fit-trust" not in dock.teach.told.text() + docks[0].trust.toolTip()
    remember_model(model)
    docks[0].model.set_value(model)
    predict, scores = docks
    assert scores.teach.button.isVisibleTo(scores)
    predict.teach.button.click()
    assert predict.teach.told.text() == "Prepares to judge …"
    until(lambda: not predict.teach.busy)
    for dock in docks:
        assert not dock.teach.isVisibleTo(dock)
    assert predict.trust.isEnabled()
