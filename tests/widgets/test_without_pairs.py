"""Methods that learn without pairs, in a real window: chosen, trained, and run both ways, by what the method has."""

import json
import shlex

import numpy as np
import pytest
from napari.layers import Image
from qtpy.QtWidgets import QApplication

from napari_pix2pix.core.settings.config import METHODS, make_config
from napari_pix2pix.files.stacks import open_stack
from napari_pix2pix.widgets.improve_dock import ImproveDock
from napari_pix2pix.widgets.places import recent_models
from napari_pix2pix.widgets.predict_dock import PredictDock
from napari_pix2pix.widgets.runs import run_to_judge
from napari_pix2pix.widgets.scores_dock import ScoresDock
from napari_pix2pix.widgets.train_dock import LEARNS_FROM, TrainDock
from small import blobs
from widgets.conftest import opened

pytestmark = pytest.mark.gui
TINY = {
    "method": "cyclegan",
    "generator": {"architecture": "unet", "levels": 2, "base_channels": 4},
    "discriminator": {"conditional": False, "n_layers": 1, "base_channels": 4},
    **{"patch_size": 32, "batch_size": 2, "steps": 4, "validate_every": 2, "pool_size": 2},
}


@pytest.fixture
def viewer(make_napari_viewer):
    """With images of two stains that are no pairs: other sizes, and none shows what another does."""
    viewer = make_napari_viewer()
    viewer.add_image(blobs(seed=0)[0], name="stain A")
    viewer.add_image(4000 - blobs((80, 100), seed=1)[0], name="stain B")
    viewer.add_image(4000 - blobs((64, 96), seed=2)[0], name="more B")
    return viewer


def test_methods_are_those_that_there_are(viewer, until) -> None:
    """Each with its presets and settings; the form loses nothing, and what only pairs have goes."""
    dock = opened(viewer, TrainDock)
    offered = [name for name, settings in METHODS.items() if settings.data in LEARNS_FROM]
    assert [dock.method.itemData(i) for i in range(dock.method.count())] == offered
    assert dock.method.itemText(1) == "no pairs (CycleGAN)"
    before = dock.value()
    dock.method.setCurrentIndex(1)
    assert dock.value() == make_config("fast", changes={"method": "cyclegan"})
    until(lambda: "".join(dock.findings.texts[:1]).startswith("source: 1 frame, uint16 · target: 1 frame"))
    layout = dock.settings.layout()
    assert not layout.isRowVisible(dock.foreground)
    assert not dock.pairs.known.native.isVisibleTo(dock)
    assert not [path for path in dock.settings._fields if path[0] == "l1_weight"]
    dock.preset.setCurrentText("paper")
    assert dock.value().generator.architecture == "resnet-9"
    dock.preset.setCurrentText("fast")
    dock.method.setCurrentIndex(0)
    assert dock.value() == before
    assert layout.isRowVisible(dock.foreground)
    until(lambda: dock.check.job is None and not dock.check._timer.isActive())
    assert not dock.findings.texts[0].startswith("source:")


def test_it_is_trained_and_goes_both_ways(viewer, until) -> None:
    """Every layer of a side once; looked at before, not judged; the preview, predictions and scores of both ways."""
    layers = {layer.name: layer for layer in viewer.layers}
    dock = opened(viewer, TrainDock)
    dock.set_value(make_config("fast", changes=TINY))
    dock.target.value = layers["stain B"]
    dock.pairs.add_button.click()
    dock.target.value = layers["more B"]
    QApplication.clipboard().clear()  # of what an earlier test has copied
    dock.copy_command()
    until(lambda: "train" in QApplication.clipboard().text())
    said = shlex.split(QApplication.clipboard().text())
    assert "--method=cyclegan" in said and "--l1-weight" not in " ".join(said)
    dock.run()
    until(lambda: dock.job is None)
    assert dock.status.text().startswith("Trained."), dock.status.text()
    assert dock.findings.texts[0].startswith("source: 1 frame, ") and "target: 2 frames, " in dock.findings.texts[0]
    run = recent_models()[0].path.parent
    told = json.loads((run / "config.json").read_text("utf8"))["provenance"]["pairs"]["train"]
    assert (told["names"], sorted(told["target_names"])) == (["source"], ["more B", "stain B"])
    picture = open_stack(next(iter(sorted((run / "previews").iterdir())))).array[...]
    assert picture.shape[0] > 2 * 64  # there, and back
    until(lambda: any("preview" in layer.name for layer in viewer.layers))
    assert run_to_judge(run / "model.safetensors") is None

    predict = opened(viewer, PredictDock)
    assert [predict.to.itemText(i) for i in range(predict.to.count())] == ["target", "source"]
    assert not predict.trust.isEnabled() and "without pairs" in predict.teach.told.text()
    made = {}
    for i, name in enumerate(("stain A", "stain B")):
        predict.to.setCurrentIndex(i)
        predict.source.value = layers[name]
        before = list(viewer.layers)
        predict.run()
        until(lambda: predict.job is None and predict.run_button.isEnabled())
        (made[name],) = [layer for layer in viewer.layers if layer not in before]
        assert isinstance(made[name], Image) and made[name].data.shape == layers[name].data.shape
    assert not np.array_equal(made["stain A"].contrast_limits, made["stain B"].contrast_limits)

    scores = opened(viewer, ScoresDock)
    scores.to.setCurrentIndex(1)
    scores.source.value, scores.image.value = layers["stain B"], made["stain B"]
    scores.run()
    until(lambda: scores.job is None and scores.run_button.isEnabled())
    assert scores.panel.maps is not None and scores.panel.maps.kind == "plain"

    improve = opened(viewer, ImproveDock)
    improve.source.value, improve.truth.value = layers["stain A"], layers["stain B"]
    improve.run()
    assert "must have learned from pairs" in improve.status.text()


def test_a_layer_is_of_one_side(viewer, notes) -> None:
    """What is source and target image is told by its name."""
    dock = opened(viewer, TrainDock)
    dock.method.setCurrentIndex(1)
    layers = {layer.name: layer for layer in viewer.layers}
    dock.target.value = layers["stain B"]
    dock.pairs.add_button.click()
    dock.source.value, dock.target.value = layers["stain B"], layers["more B"]
    dock.run()
    assert notes[-1] == "A layer must be a source or a target image; 'stain B' is both. Remove one of its rows."


def test_sides_that_look_like_pairs_become_pairs_with_a_click(make_napari_viewer, until) -> None:
    """The method changes, with the settings of its own preset."""
    viewer = make_napari_viewer()
    source, labels = blobs((128, 128))
    viewer.add_image(source, name="source")
    viewer.add_labels(labels, name="labels")
    dock = opened(viewer, TrainDock)
    before = dock.value()
    dock.method.setCurrentIndex(1)
    until(lambda: any(button.text() == "Learn from pairs" for button in dock.findings.buttons))
    next(button for button in dock.findings.buttons if button.text() == "Learn from pairs").click()
    assert dock.value() == before and dock.pairs.paired


def test_sides_that_cannot_be_learned_from_are_not_trained(viewer, until) -> None:
    """The same image on both sides is refused before anything is written to a run, with what was found in sight."""
    dock = opened(viewer, TrainDock)
    dock.set_value(make_config("fast", changes=TINY))
    dock.source.value = viewer.layers["stain A"]
    dock.target.value = viewer.add_image(viewer.layers["stain A"].data.copy(), name="copy")
    dock.run()
    until(lambda: dock.job is None and dock.run_button.isEnabled())
    assert "the same images on both sides" in dock.status.text()
    assert "the same images on both sides" in dock.findings.texts
    assert not recent_models()
