"""A model of several domains in a real window: to one, to all side by side, and which one each field looks like."""

import shlex

import numpy as np
import pytest
from napari.layers import Labels
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QApplication

from napari_pix2pix import core
from napari_pix2pix.core.training import loop
from napari_pix2pix.widgets.places import recent_models, remember_model
from napari_pix2pix.widgets.predict_dock import PredictDock
from napari_pix2pix.widgets.scores_dock import ScoresDock
from napari_pix2pix.widgets.train_dock import TrainDock
from small import blobs
from widgets.conftest import opened

pytestmark = [pytest.mark.gui, pytest.mark.filterwarnings("ignore:Patches should be", "ignore:No room for")]
TINY = {
    "method": "stargan",
    "generator": {"architecture": "unet", "levels": 2, "base_channels": 4},
    "discriminator": {"n_layers": 1, "base_channels": 4},
    **{"patch_size": 32, "batch_size": 2, "critic_steps": 1, "steps": 2, "validate_every": 2},
}


@pytest.fixture
def model(tmp_path, monkeypatch):
    """Of bright and dark images."""
    monkeypatch.setattr(loop, "JUDGED_PATCHES", 8)
    bright = [blobs((64, 64), seed=i)[0] for i in range(3)]
    domains = core.DomainFrames({"bright": bright, "dark": [4000 - image for image in bright]}, "YX")
    for _ in core.train(domains, core.make_config(changes=TINY), out=tmp_path / "run", device="cpu"):
        pass
    path = tmp_path / "run" / "model.safetensors"
    remember_model(path)
    return path


def test_to_one_to_all_and_whose_a_field_is(make_napari_viewer, until, model) -> None:
    """Its domains are offered, and all of them; these come as layers in a grid; scores take the image alone."""
    viewer = make_napari_viewer()
    image = viewer.add_image(blobs((64, 80), seed=5)[0], name="section", scale=(0.5, 0.5))
    grid = getattr(viewer, "canvas", viewer).grid
    predict = opened(viewer, PredictDock)
    predict.model.set_value(model)
    assert [predict.to.itemText(i) for i in range(predict.to.count())] == ["bright", "dark", "all"]
    assert not predict.trust.isEnabled()
    predict.source.value = image
    for choice, expected in ((1, ["section (predicted)"]), (2, ["bright: section", "dark: section"])):
        predict.to.setCurrentIndex(choice)
        before = list(viewer.layers)
        predict.run()
        until(lambda: predict.job is None and predict.run_button.isEnabled())
        made = [layer for layer in viewer.layers if layer not in before]
        assert [layer.name for layer in made] == expected, predict.status.text()
        assert all(np.allclose(layer.scale, 0.5) and layer.data.shape == (64, 80) for layer in made)
        assert grid.enabled == (choice == 2)
    assert "Side by side" in predict.status.text()

    grid.enabled = False
    scores = opened(viewer, ScoresDock)
    scores.model.set_value(model)
    assert not scores.source.native.isVisibleTo(scores) and not scores.to.isVisibleTo(scores)
    scores.image.value = image
    scores.run()
    until(lambda: scores.job is None and scores.run_button.isEnabled())
    (told,) = [layer for layer in viewer.layers if isinstance(layer, Labels)]
    assert told.name == "looks like: section" and set(np.unique(told.data)) <= {1, 2}
    assert list(told.features["domain"])[1].startswith("bright, ") and scores.panel.maps.kind == "plain"


@pytest.fixture
def stained(make_napari_viewer):
    """A viewer with sections of two stains, labels, and the Train dock, asked for a method of several domains."""
    viewer = make_napari_viewer()
    for i, name in enumerate(("bright 1", "bright 2", "dark")):
        image = blobs((64, 64 + 16 * i), seed=i)[0]
        viewer.add_image(4000 - image if name == "dark" else image, name=name)
    viewer.add_labels(blobs((64, 64))[1], name="nuclei")
    dock = opened(viewer, TrainDock)
    dock.set_value(core.make_config("fast", changes=TINY))
    return dock


def say(dock, row: int, domain: str) -> None:
    dock.pairs.domains.item(row, 1).setText(domain)


def test_layers_of_several_domains_are_trained_on(stained, until) -> None:
    """Each image is of the domain beside it, said once for several; the model makes these, and the run holds them."""
    dock, viewer = stained, stained.viewer
    table = dock.pairs.domains
    assert dock.method.currentText() == "several domains (StarGAN)" and table.isVisibleTo(dock)
    assert not any(field.isVisibleTo(dock) for field in (dock.source.native, dock.target_kind, dock.pairs.list))
    assert [table.item(row, 0).text() for row in range(table.rowCount())] == ["bright 1", "bright 2", "dark"]
    for row in (0, 1):
        say(dock, row, "bright")
    until(lambda: "".join(dock.findings.texts[:1]).startswith("bright: 2 frames, uint16 · dark: 1 frame"))
    until(lambda: not dock.picture.isHidden())
    dock.run()
    until(lambda: dock.job is None and dock.run_button.isEnabled(), 120)
    assert dock.status.text().startswith("Trained."), dock.status.text()
    run = recent_models()[0].path.parent
    written = sorted(str(path.relative_to(run / "data")) for path in (run / "data").rglob("*.tif"))
    assert written == ["images/bright/bright 1.ome.tif", "images/bright/bright 2.ome.tif", "images/dark/dark.ome.tif"]
    predict = dock.lead_on()
    assert [predict.to.itemText(i) for i in range(predict.to.count())] == ["bright", "dark", "all"]
    until(lambda: predict.job is None and predict.run_button.isEnabled())
    assert "bright 1 (predicted)" in [layer.name for layer in viewer.layers]
    assert table.rowCount() == 3  # what docks have made is not offered


def test_what_is_said_of_domains_stays_and_is_checked(stained, notes, tmp_path) -> None:
    """When layers come and go; one domain alone, or one that no folder can be called, is told in a sentence."""
    dock, table = stained, stained.pairs.domains
    say(dock, 2, "H&E")
    table.item(1, 0).setCheckState(Qt.CheckState.Unchecked)
    dock.viewer.add_image(blobs()[0], name="another")
    dock.viewer.layers.remove("bright 1")
    domains = dock.pairs.value()
    assert [(layer.name, domain) for layer, domain in domains.images] == [("dark", "H&E"), ("another", "another")]
    say(dock, 2, "H&E")
    dock.run()
    assert notes[-1].startswith("There must be images of two domains or more; got 'H&E' alone.")
    say(dock, 2, "a/b")
    dock.run()
    assert "got 'a/b'. Write another name." in notes[-1] and dock.job is None

    # A folder, and the same as text.
    dock.pairs.from_files.setChecked(True)
    dock.run()
    assert notes[-1].startswith("There must be a folder with a subfolder of images for each domain")
    dock.pairs.folder.set_value(tmp_path / "stains")
    assert not table.isVisibleTo(dock) and dock.pairs.folder.isVisibleTo(dock)


def test_it_is_copied_as_text(stained, until) -> None:
    """A command with one folder and the method, and a script that opens it."""
    for copy, wanted in ((stained.copy_command, "--method=stargan"), (stained.copy_python, "DomainStacks.open(")):
        QApplication.clipboard().clear()
        copy()
        until(lambda wanted=wanted: wanted in QApplication.clipboard().text())
        text = QApplication.clipboard().text()
        if copy == stained.copy_command:
            words = shlex.split(text)
            assert words[1:3] == ["train", words[2]] and words[2].endswith("images") and words[3] == "--out"
        else:
            compile(text, "script", "exec")
            assert "None, PairSettings()" in text
