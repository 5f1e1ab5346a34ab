"""The docks in a real window, with a real child: what a user does, and what must survive it."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import psutil
import pytest
from napari.layers import Labels
from qtpy.QtWidgets import QAbstractButton, QAbstractSpinBox, QCheckBox, QComboBox, QLineEdit

from napari_pix2pix.core.settings.config import PRESETS, make_config
from napari_pix2pix.files.stacks import open_stack
from napari_pix2pix.widgets.bridge import MEMORY
from napari_pix2pix.widgets.dock import SHOWN_EVERY_MS
from napari_pix2pix.widgets.flags import changed_flags
from napari_pix2pix.widgets.places import free_run, recent_models, remember_model
from napari_pix2pix.widgets.predict_dock import PredictDock
from napari_pix2pix.widgets.scores_dock import ScoresDock
from napari_pix2pix.widgets.train_dock import TrainDock
from small import blobs, small_config
from widgets.conftest import opened, write_image

pytestmark = pytest.mark.gui
PLACE = {"scale": (0.5, 0.25), "translate": (3, -4), "rotate": 20, "shear": [0.1], "units": ("µm", "µm")}
ENDLESS = {"steps": 1_000_000, "validate_every": 1_000_000}


@pytest.fixture
def viewer(make_napari_viewer):
    """With a source and its labels, both somewhere in space."""
    viewer = make_napari_viewer()
    source, labels = blobs()
    viewer.add_image(source, name="tissue", **PLACE)
    viewer.add_labels(labels, name="nuclei", **PLACE)
    return viewer


def test_only_what_is_known_is_learned_from(viewer) -> None:
    """A shape drawn on the target becomes the mask of the command; until one is chosen, everything is known."""
    dock = opened(viewer, TrainDock)
    assert "--valid" not in dock.request().prepare(lambda: False)
    viewer.add_shapes([[[20, 30], [60, 90]]], shape_type="rectangle", name="known here", **PLACE)
    assert dock.known.value is None
    dock.known.value = viewer.layers["known here"]
    words = dock.request().prepare(lambda: False)
    mask = open_stack(words[words.index("--valid") + 1]).array[...]
    assert mask.shape == viewer.layers["nuclei"].data.shape
    assert (mask[21:60, 31:90] == 1).all()
    assert int(mask.sum()) == pytest.approx(40 * 60, rel=0.1)


def training(viewer, until, **changes):
    """A train dock in the middle of its work."""
    dock = opened(viewer, TrainDock)
    dock.set_value(small_config(**(ENDLESS | changes)))
    dock.run()
    until(lambda: "Step" in dock.status.text() or dock.job is None)
    assert dock.job is not None, dock.status.text()
    return dock


def test_from_two_layers_to_patch_scores(viewer, until, notes, home) -> None:
    """Train, predict and score; each result lies where arithmetic says, and nothing is asked that is known."""
    # Train.
    dock = opened(viewer, TrainDock)
    assert (dock.source.value.name, dock.target.value.name, dock.name.text()) == ("tissue", "nuclei", "nuclei")
    dock.set_value(small_config(steps=60))
    dock.run()
    assert not dock.run_button.isEnabled()
    until(lambda: dock.job is None)
    run = home / "napari-pix2pix" / "nuclei"
    assert (run / "model.safetensors").is_file()
    assert open_stack(run / "data" / "source.ome.tif").pixel_size_um == {"Y": 0.5, "X": 0.25}
    assert dock.status.text().startswith("Trained.")
    assert dock.run_button.isEnabled()
    preview = viewer.layers["nuclei preview"]
    assert preview.rgb
    until(lambda: preview.data.max() > 0)

    # Predict.
    dock = opened(viewer, PredictDock)
    assert dock.model.value() == run / "model.safetensors"
    assert dock.source.value.name == "tissue"
    dock.run()
    until(lambda: "tissue (predicted)" in viewer.layers)
    predicted, source = viewer.layers["tissue (predicted)"], viewer.layers["tissue"]
    assert isinstance(predicted, Labels)
    assert predicted.data.shape == source.data.shape
    assert np.allclose(predicted.data_to_world((95, 127)), source.data_to_world((95, 127)))

    # Score.
    dock = opened(viewer, ScoresDock)
    assert (dock.source.value.name, dock.image.value.name) == ("tissue", "tissue (predicted)")
    dock.run()
    until(lambda: "patch scores: tissue (predicted)" in viewer.layers)
    scores = viewer.layers["patch scores: tissue (predicted)"]
    assert scores.data.shape == (96 // 2 - 2, 128 // 2 - 2)  # a PatchGAN of one strided layer: stride 2, centre 2.5
    assert np.allclose(scores.data_to_world((0, 0)), source.data_to_world((2.5, 2.5)))
    assert np.allclose(scores.data_to_world((10, 20)), source.data_to_world((2.5 + 2 * 10, 2.5 + 2 * 20)))

    # Nothing in the cache, and nobody complained but about the one image.
    until(lambda: not list((home / "cache" / "napari-pix2pix").iterdir()))
    assert not [note for note in notes if "calibration" not in note and "validation" not in note]


def test_the_dock_predicts_what_the_command_line_predicts(viewer, until, pair, small_model, tmp_path) -> None:
    """Bit for bit."""
    words = ["predict", small_model, pair[0], "--out", tmp_path / "p.tif"]
    subprocess.run([sys.executable, "-m", "napari_pix2pix", *map(str, words)], check=True, capture_output=True)
    remember_model(small_model)
    dock = opened(viewer, PredictDock)
    dock.run()
    until(lambda: "tissue (predicted)" in viewer.layers)
    assert np.array_equal(viewer.layers["tissue (predicted)"].data, open_stack(tmp_path / "p.tif").array)


def test_stop_keeps_the_best_model_and_offers_it(viewer, until) -> None:
    dock = training(viewer, until)
    before = time.monotonic()
    dock.stop_button.click()
    until(lambda: dock.job is None, 5)
    assert time.monotonic() - before < 5
    assert "kept" in dock.status.text()
    assert [model.name for model in recent_models()] == ["nuclei"]
    assert dock.run_button.isEnabled()
    assert not dock.stop_button.isEnabled()


@pytest.mark.slow
def test_pause_rests_and_continue_goes_on(viewer, until, qtbot) -> None:
    dock = training(viewer, until)
    dock.pause_button.click()
    qtbot.wait(500)
    paused = dock.status.text()
    qtbot.wait(700)
    assert dock.status.text() == paused
    assert dock.pause_button.text() == "Continue"
    dock.pause_button.click()
    until(lambda: dock.status.text() != paused)
    dock.stop()
    until(lambda: dock.job is None, 5)


def test_closing_the_dock_stops_its_training(viewer, until) -> None:
    """napari takes the dock away without a closeEvent; the last dock takes the child with it."""
    dock = training(viewer, until)
    pid, job = dock.session.child.pid, dock.job
    dock.parent().destroyOnClose()  # what the button does
    until(lambda: not psutil.pid_exists(pid), 5)
    assert job.stopped
    assert [model.name for model in recent_models()] == ["nuclei"]


@pytest.mark.slow
def test_closing_one_dock_leaves_the_others_alone(viewer, until) -> None:
    dock, other = training(viewer, until), opened(viewer, PredictDock)
    pid = dock.session.child.pid
    other.parent().destroyOnClose()
    text = dock.status.text()
    until(lambda: dock.status.text() != text)
    assert dock.session.child.pid == pid


def test_removing_a_layer_in_use_stops(viewer, until) -> None:
    dock = training(viewer, until)
    viewer.layers.remove("nuclei")
    until(lambda: dock.job is None, 5)
    assert "kept" in dock.status.text()
    assert dock.run_button.isEnabled()
    assert dock.target.value is None or dock.target.value.name != "nuclei"


@pytest.mark.slow
def test_removing_another_layer_does_not(viewer, until) -> None:
    """Nor does removing the preview bring it back."""
    dock = training(viewer, until)
    until(lambda: "nuclei preview" in viewer.layers)
    viewer.layers.remove("nuclei preview")
    text = dock.status.text()
    until(lambda: dock.status.text() != text)
    assert not dock.job.stopped
    assert "nuclei preview" not in viewer.layers


def test_closing_the_viewer_stops(viewer, until) -> None:
    dock = training(viewer, until)
    pid = dock.session.child.pid
    viewer.close()
    until(lambda: not psutil.pid_exists(pid), 5)


@pytest.mark.slow
def test_a_killed_child_is_one_sentence_and_a_working_button(viewer, until, notes) -> None:
    dock = training(viewer, until)
    os.kill(dock.session.child.pid, signal.SIGKILL)
    until(lambda: dock.job is None, 5)
    assert notes[-1] == MEMORY
    assert MEMORY in dock.status.text()
    dock.set_value(small_config())
    dock.run()
    until(lambda: dock.job is None)
    assert dock.status.text().startswith("Trained.")
    assert [model.name for model in recent_models()] == ["nuclei-2"]


def test_an_error_in_the_child_is_one_sentence_and_a_working_button(viewer, until, notes, small_model) -> None:
    """Here: an image with more channels than the model knows."""
    remember_model(small_model)
    dock = opened(viewer, PredictDock)
    viewer.add_image(np.zeros((64, 64, 3), np.uint8), rgb=True, name="rgb", **PLACE)
    dock.source.value = viewer.layers["rgb"]
    dock.run()
    until(lambda: dock.job is None)
    assert len(notes) == 1
    assert "channel" in notes[0]
    assert "\n" not in notes[0]
    dock.source.value = viewer.layers["tissue"]
    dock.run()
    until(lambda: "tissue (predicted)" in viewer.layers)


def test_what_is_missing_is_told_before_anything_starts(make_napari_viewer, notes, small_model, monkeypatch) -> None:
    """In words that say what to do; of a model, were none to ship with the package."""
    monkeypatch.setattr("napari_pix2pix.widgets.choices.starters", dict)
    viewer = make_napari_viewer()
    train, predict, score = (opened(viewer, kind) for kind in (TrainDock, PredictDock, ScoresDock))
    train.run()
    predict.run()
    remember_model(small_model)
    predict.session.models_changed.emit()
    predict.run()
    score.run()
    assert [note.split(";")[0] for note in notes] == [
        "There must be a source and a target image",
        "There must be a model",
        "There must be a layer to predict from",
        "There must be a source and an image to judge",
    ]
    assert train.run_button.isEnabled()


def test_layers_are_offered_as_they_come_and_go(make_napari_viewer) -> None:
    """Until the user has chosen, the best guess follows; what he has chosen stays."""
    viewer = make_napari_viewer()
    dock = opened(viewer, TrainDock)
    assert dock.source.value is None
    viewer.add_points(np.zeros((1, 2)))
    image = viewer.add_image(np.zeros((8, 8)), name="a")
    second = viewer.add_image(np.zeros((8, 8)), name="b")
    assert (dock.source.value, dock.target.value) == (image, second)
    labels = viewer.add_labels(np.zeros((8, 8), int), name="c")
    assert dock.target.value is labels
    assert dock.name.text() == "c"
    dock.target.value = second
    viewer.layers.remove(labels)
    viewer.add_labels(np.zeros((8, 8), int), name="d")
    assert dock.target.value is second
    second.name = "renamed"
    assert dock.target.native.currentText() == "renamed"


@pytest.mark.parametrize(
    "config",
    [
        *(make_config(name) for name in PRESETS),
        small_config(target_kind="instances", learning_rate=1e-4, flip=False, seed=3, steps=5),
        small_config(source_normalization={"method": "fixed", "range": (0, 4095.5)}, norm_statistics="image"),
    ],
)
def test_the_form_shows_exactly_one_config(viewer, config) -> None:
    """`set_value(c)`, then `value() == c`."""
    dock = opened(viewer, TrainDock)
    dock.set_value(config)
    assert dock.value() == config


def test_flags_turn_the_preset_into_the_config(tmp_path: Path) -> None:
    """As the command line reads them."""
    config = small_config(
        flip=False, learning_rate=1e-4, source_normalization={"method": "fixed", "range": (-1.5, 4095)}, seed=3
    )
    flags = changed_flags(make_config("fast"), config)
    source = write_image(tmp_path / "a.tif", np.zeros((8, 8), np.uint8))  # too small: refused once the flags are read
    words = ["train", source, source, "--out", tmp_path / "run", "--preset", "fast", *flags, "--device", "cpu"]
    command = [sys.executable, "-m", "napari_pix2pix", *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert "patch" in done.stderr, done.stderr
    assert "range" not in done.stderr


def test_a_wrong_setting_is_told(viewer, notes) -> None:
    dock = opened(viewer, TrainDock)
    dock.patch_size.setValue(100)
    dock.run()
    assert "patch_size must be a multiple of" in notes[0]
    assert dock.job is None


def test_every_control_has_a_tooltip(viewer) -> None:
    kinds = (QAbstractButton, QAbstractSpinBox, QCheckBox, QComboBox, QLineEdit)
    for dock_class in (TrainDock, PredictDock, ScoresDock):
        dock = opened(viewer, dock_class)
        for control in [control for kind in kinds for control in dock.findChildren(kind)]:
            shown = control
            while not shown.toolTip() and shown is not dock:  # Qt asks the parent, too
                shown = shown.parent()
            assert shown.toolTip(), f"{control} {control.objectName()}"


def test_a_run_never_takes_the_folder_of_another(tmp_path: Path) -> None:
    assert free_run(tmp_path, "my nuclei/3") == tmp_path / "my nuclei-3"
    for name in ("a", "a-2"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "model.safetensors").touch()
    assert free_run(tmp_path, "a") == tmp_path / "a-3"
    assert free_run(tmp_path, "a-2") == tmp_path / "a-3"
    with pytest.raises(ValueError, match="letter or a number"):
        free_run(tmp_path, " /. ")


def test_how_far_it_is_is_shown_at_rest_and_never_stays_behind(viewer, qtbot) -> None:
    """At once, then the last one heard after a while; nothing once it is over."""
    dock = opened(viewer, TrainDock)
    dock.job = object()
    dock.stop_button.setEnabled(True)

    def hear(done: int) -> None:
        dock._hear({"event": "progress", "unit": "steps", "done": done, "total": 8, "losses": {}})

    for step in (1, 2, 3):
        hear(step)
    assert (dock.bar.value(), dock.status.text()) == (125, "Step 1 of 8")
    qtbot.waitUntil(lambda: dock.status.text() == "Step 3 of 8", timeout=5000)
    assert dock.bar.value() == 375
    hear(4)
    dock.job = SimpleNamespace(stopped=True)
    dock._end(True)
    dock.job = object()  # the next one, of which nothing is heard yet
    dock.stop_button.setEnabled(True)
    dock.status.setText("Prepares …")
    qtbot.wait(2 * SHOWN_EVERY_MS)
    assert dock.status.text() == "Prepares …"
    dock.job = None
