"""The dock Train in a real window: what is seen of the pairs before anything runs, and what a click does about it."""

import json
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from napari.layers import Image, Labels
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QAbstractButton, QAbstractSpinBox, QApplication, QComboBox, QLineEdit, QPushButton

from napari_pix2pix.core.methods import METHODS
from napari_pix2pix.core.settings.config import make_config
from napari_pix2pix.widgets.preview import PreviewLayer
from napari_pix2pix.widgets.train_dock import TrainDock
from small import blobs, small_config
from widgets.conftest import opened

pytestmark = pytest.mark.gui


@pytest.fixture
def viewer(make_napari_viewer):
    """With a source and its labels."""
    viewer = make_napari_viewer()
    source, labels = blobs()
    viewer.add_image(source, name="tissue")
    viewer.add_labels(labels, name="nuclei")
    return viewer


def checked(dock, until) -> list[str]:
    """What the look at the pairs has found."""
    until(lambda: dock.check.job is None and not dock.check._timer.isActive() and bool(dock.findings.texts))
    return dock.findings.texts


def test_what_is_chosen_is_looked_at_and_each_remedy_is_a_click_away(make_napari_viewer, until, notes) -> None:
    """Frames without labels: said in words before anything runs; Train refuses them in the same words, and trains
    once the question is answered. Nothing is left of what was refused."""
    viewer = make_napari_viewer()
    pairs = [blobs(seed=seed) for seed in range(4)]
    labels = np.stack([labels for _, labels in pairs])
    labels[2] = 0
    viewer.add_image(np.stack([source for source, _ in pairs]), name="tissue")
    viewer.add_labels(labels, name="nuclei")
    dock = opened(viewer, TrainDock)
    dock.set_value(small_config(steps=2))
    said = checked(dock, until)
    assert said[0].startswith("1 pair, 4 frames, 96×128, uint16 → objects (")
    assert said[1] == "25 % of the frames have no labels: empty or not labelled?"
    assert [button.text() for button in dock.findings.buttons][:2] == ["Empty", "Not labelled"]

    dock.run()
    until(lambda: dock.job is None)
    assert "empty or not labelled" in dock.status.text()
    assert notes == [dock.status.text()]
    assert dock.run_button.isEnabled()
    assert not dock.folder.value().exists() or not list(dock.folder.value().iterdir())

    dock.findings.buttons[0].click()
    assert dock.value().empty_frames == "empty"
    assert not any("no labels" in text for text in checked(dock, until))
    dock.run()
    until(lambda: dock.job is None)
    assert dock.status.text().startswith("Trained.")


def test_what_was_found_of_one_target_is_not_said_of_the_next(viewer, until) -> None:
    """Labels stored as grey values are taken as labels by a click; the next target is looked at afresh."""
    marked = (viewer.layers["nuclei"].data > 0) * np.float32(2)
    dock = opened(viewer, TrainDock)
    dock.target.value = viewer.add_image(marked, name="marked")
    checked(dock, until)
    [button] = [button for button in dock.findings.buttons if button.text() == "Take as classes"]
    button.click()
    assert dock.value().target_kind == "classes"
    checked(dock, until)
    viewer.layers["marked"].name = "renamed"  # it is the same target
    assert dock.value().target_kind == "classes"
    dock.pairs.add_button.click()
    dock.target.value = viewer.layers["nuclei"]  # learned from with the other
    assert dock.value().target_kind == "classes"
    dock.pairs.list.setCurrentRow(0)
    dock.pairs.remove_button.click()
    assert dock.value().target_kind == "auto"


def test_how_pairs_are_read_is_a_click_away(viewer, until) -> None:
    """Labels of -1 are not known, and masks of 0/1 and 0/255 are one thing, by a click, for these targets alone."""
    labels = viewer.layers["nuclei"].data
    dock = opened(viewer, TrainDock)
    dock.target.value = viewer.add_image(np.where(labels == 3, -1, labels.astype(np.int32)), name="signed")
    dock._remedy({"swap": False, "changes": {"foreground": True}})
    assert dock._read_as() == ["--foreground"]
    dock.foreground.setChecked(False)
    checked(dock, until)
    [button] = [button for button in dock.findings.buttons if button.text() == "Not known"]
    button.click()
    assert dock._read_as() == ["--ignore-label", "-1"]
    assert "objects (" in checked(dock, until)[0]
    assert "PairSettings(foreground=True, ignore_label='-1')" in dock._recipe(Path("run")).script(
        ["s", "t", "--foreground", *dock._read_as()]
    )
    dock.target.value = viewer.add_labels(labels, name="others")
    assert dock._read_as() == []


def test_what_somebody_said_since_stays(viewer, until) -> None:
    """Of what remedies have set only what nobody has touched goes with its target."""
    dock = opened(viewer, TrainDock)
    dock._remedy({"swap": False, "changes": {"target_kind": "classes"}})
    dock._remedy({"swap": False, "changes": {"shift_tolerance": 4}})
    dock.target_kind.setCurrentIndex(dock.target_kind.findData("instances"))
    dock.target.value = viewer.add_labels(blobs(seed=1)[1], name="others")
    assert (dock.value().target_kind, dock.value().shift_tolerance) == ("instances", 0)
    dock._remedy({"swap": False, "changes": {"shift_tolerance": 4}})
    dock.patch_size.setValue(100)  # which cannot be
    dock.target.value = viewer.layers["nuclei"]
    assert dock.name.text() == "nuclei"
    dock.patch_size.setValue(128)
    assert dock.value().shift_tolerance == 4  # until the next target


def test_a_preview_of_files_lies_below_what_is_open(make_napari_viewer) -> None:
    """Nothing is hidden; with nothing open it lies at the origin."""
    viewer = make_napari_viewer()
    previews = [PreviewLayer(viewer, name, None) for name in ("first", "second")]
    for preview in previews:
        preview.show(np.zeros((10, 40, 3), np.uint8))
    first, second = (preview.layer.extent.world for preview in previews)
    assert tuple(first[0]) == (0, 0)
    assert second[0][0] > first[1][0]


def test_pairs_come_and_go_with_their_layers(viewer) -> None:
    """What is chosen above counts, too, and no pair counts twice."""
    dock = opened(viewer, TrainDock)
    rows = dock.pairs
    assert [pair.text for pair in rows.value().pairs] == ["tissue → nuclei"]
    rows.add_button.click()
    rows.add_button.click()
    assert len(rows.value().pairs) == rows.list.count() == 1
    source, labels = blobs(seed=1)
    rows.source.value = viewer.add_image(source, name="more tissue")
    rows.target.value = viewer.add_labels(labels, name="more nuclei")
    assert [pair.text for pair in rows.value().pairs] == ["tissue → nuclei", "more tissue → more nuclei"]
    assert dock.name.text() == "more nuclei"
    viewer.layers.remove("tissue")
    assert [pair.text for pair in rows.value().pairs] == ["more tissue → more nuclei"]
    rows.add_button.click()
    rows.remove_button.click()
    assert rows.pairs == []
    rows.swap()
    assert [pair.text for pair in rows.value().pairs] == ["more nuclei → more tissue"]


def test_several_pairs_train_together(viewer, until) -> None:
    """Of layers with and without a file of their own, in colours too; each is looked at and learned from."""
    dock = opened(viewer, TrainDock)
    dock.set_value(small_config(steps=2))
    dock.pairs.add_button.click()
    source, labels = blobs((80, 100), seed=1)
    colours = np.stack([source >> 4] * 3, axis=-1).astype(np.uint8)
    dock.source.value = viewer.add_image(colours, name="colours", rgb=True)
    dock.target.value = viewer.add_labels(labels, name="theirs")
    assert checked(dock, until)[0].startswith("2 pairs, 80×100 to 96×128, uint16/uint8, 3 channels → objects")
    dock.run()
    until(lambda: dock.job is None)
    assert dock.status.text().startswith("Trained.")
    run = json.loads((dock.folder.value() / "theirs" / "config.json").read_text("utf8"))
    assert run["provenance"]["pairs"]["train"]["names"] == ["colours", "tissue"]


def test_axes_are_shown_and_corrected(make_napari_viewer, notes) -> None:
    """The layer keeps them, so that every dock reads it alike; what cannot be is refused."""
    viewer = make_napari_viewer()
    viewer.add_image(np.zeros((3, 32, 32)), name="three")
    viewer.add_image(np.zeros((32, 32, 3), np.uint8), name="colours", rgb=True)
    dock = opened(viewer, TrainDock)
    source, target = dock.pairs.source_axes, dock.pairs.target_axes
    assert (source.text(), target.text()) == ("ZYX", "YXS")
    source.setText("cyx")
    source.editingFinished.emit()
    assert (source.text(), viewer.layers["three"].axis_labels) == ("CYX", ("C", "Y", "X"))
    for wrong in ("QYX", "YX", "CZX", "YYX"):
        source.setText(wrong)
        source.editingFinished.emit()
        assert source.text() == "CYX"
    assert len(notes) == 4
    dock.source.value, dock.target.value = viewer.layers["colours"], viewer.layers["three"]
    assert (source.text(), target.text()) == ("YXS", "CYX")


def test_files_train_without_being_opened(make_napari_viewer, until, pair) -> None:
    """In folders as the command line pairs them; the same form, the same words."""
    viewer = make_napari_viewer()
    dock = opened(viewer, TrainDock)
    dock.set_value(small_config(steps=2))
    dock.pairs.choose_files(*pair)
    assert dock.name.text() == pair[1].stem
    assert not dock.source.native.isVisibleTo(dock)
    assert dock.pairs.files["source"].isVisibleTo(dock)
    assert checked(dock, until)[0].startswith("1 pair, 96×128, uint16 → objects")
    dock.run()
    until(lambda: dock.job is None)
    assert dock.status.text().startswith("Trained.")
    assert not (dock.folder.value() / "labels" / "data").exists()
    assert [layer.name for layer in viewer.layers] == ["labels preview"]


def test_only_what_is_known_is_learned_from(viewer, until) -> None:
    """A shape is drawn and chosen: looked at, and trained with, as any mask."""
    marked = viewer.add_shapes([[[10, 20], [80, 110]]], shape_type="rectangle", name="known here")
    dock = opened(viewer, TrainDock)
    dock.set_value(small_config(steps=2))
    dock.known.value = marked
    assert checked(dock, until)[0].startswith("1 pair")
    dock.run()
    until(lambda: dock.job is None)
    assert dock.status.text().startswith("Trained.")
    assert (dock.folder.value() / "nuclei" / "data" / "known.ome.tif").is_file()


def test_large_pairs_are_looked_at_when_asked(viewer, until, monkeypatch) -> None:
    """And trained without a look: the training has doors of its own."""
    monkeypatch.setattr("napari_pix2pix.widgets.pair_check.MOST_BYTES", 0)
    monkeypatch.setattr("napari_pix2pix.widgets.train_dock.MOST_BYTES", 0)
    dock = opened(viewer, TrainDock)
    dock.set_value(small_config(steps=2))
    assert checked(dock, until) == ["Large images are looked at when you ask for it."]
    [button] = dock.findings.buttons
    button.click()
    until(lambda: dock.findings.texts[0].startswith("1 pair"))
    dock.run()
    until(lambda: dock.job is None)
    assert dock.status.text().startswith("Trained.")


@pytest.mark.slow
def test_button_command_and_script_train_the_same_model(make_napari_viewer, until, pair, tmp_path: Path) -> None:
    """Byte for byte."""
    dock = opened(make_napari_viewer(), TrainDock)
    dock.set_value(small_config())
    dock.device.setCurrentIndex(dock.device.findData("auto"))
    dock.pairs.choose_files(*pair)
    dock.run()
    until(lambda: dock.job is None)
    models = [(dock.folder.value() / "labels" / "model.safetensors").read_bytes()]
    environment = os.environ | {"OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": "0"}
    for copy, run in ((dock.copy_command, "labels-2"), (dock.copy_python, "labels-2")):
        QApplication.clipboard().clear()
        copy()
        until(lambda: run in QApplication.clipboard().text())  # noqa: B023
        text = QApplication.clipboard().text()
        words = ["-c", text] if text.startswith("from") else ["-m", "napari_pix2pix", *shlex.split(text)[1:]]
        subprocess.run([sys.executable, *words], check=True, capture_output=True, env=environment)
        made = dock.folder.value() / run
        models.append((made / "model.safetensors").read_bytes())
        shutil.rmtree(made)
    assert models[0] == models[1] == models[2]


def test_settings_are_kept_in_files_and_reset(viewer, tmp_path: Path, notes) -> None:
    dock = opened(viewer, TrainDock)
    config = small_config(seed=7, target_kind="classes")
    dock.set_value(config)
    dock.save_settings(tmp_path / "settings.json")
    assert make_config(file=tmp_path / "settings.json") == config
    dock._take_preset("fast")
    assert dock.value() == make_config("fast")
    dock.load_settings(tmp_path / "settings.json")
    assert dock.value() == config
    run = {"config": config.model_dump(mode="json"), "provenance": {}}
    (tmp_path / "config.json").write_text(json.dumps(run), "utf8")
    dock._take_preset("fast")
    dock.load_settings(tmp_path / "config.json")
    assert dock.value() == config
    (tmp_path / "other.json").write_text('{"stepps": 3}', "utf8")
    dock.load_settings(tmp_path / "other.json")
    assert "stepps" in notes[0]
    assert dock.value() == config


def test_another_preset_keeps_what_was_said_about_the_pairs(viewer) -> None:
    """Until Reset, which forgets all."""
    dock = opened(viewer, TrainDock)
    said = {"target_kind": "classes", "empty_frames": "empty", "shift_tolerance": 3}
    dock.set_value(make_config("fast", changes=said | {"learning_rate": 1.0}))
    dock.preset.setCurrentText("microscopy")
    assert dock.value() == make_config("microscopy", changes=said)
    [reset] = [button for button in dock.findChildren(QPushButton) if button.text() == "Reset"]
    reset.click()
    assert dock.value() == make_config("microscopy")


def test_what_is_copied_names_files_that_are_there(viewer, until) -> None:
    """Layers without a file are written first; how they are read is named, too."""
    dock = opened(viewer, TrainDock)
    dock.planes.setCurrentText("volume")
    for copy in (dock.copy_command, dock.copy_python):
        QApplication.clipboard().clear()
        copy()
        until(lambda: "train" in QApplication.clipboard().text())
        text = QApplication.clipboard().text()
        run = dock.folder.value() / ("nuclei" if copy == dock.copy_command else "nuclei-2")
        assert str(run) in text
        assert str(run / "data" / "source.ome.tif") in text
        assert (run / "data" / "target.ome.tif").is_file()
        assert "--z volume" in text or "z='volume'" in text
        if copy == dock.copy_command:
            assert shlex.split(text)[:2] == ["napari-pix2pix", "train"]


def test_a_run_that_was_stopped_goes_on_in_another_session(viewer, until) -> None:
    """Curves begin where they were, and the run comes to its end with its own settings."""
    dock = opened(viewer, TrainDock)
    config = small_config(steps=120, validate_every=20)
    dock.set_value(config)
    dock.run()
    until(lambda: bool(dock.curves.series["validation"]) or dock.job is None)
    dock.stop()
    until(lambda: dock.job is None)
    dock.parent().destroyOnClose()
    viewer.layers.clear()

    dock = opened(viewer, TrainDock)
    dock.continue_button.look()
    action = dock.continue_button.runs.actions()[0]
    assert action.text().startswith("nuclei: step ")
    action.trigger()
    assert dock.value() == METHODS["pix2pix"].settled(config, "instances")  # what auto was settled to
    before = len(dock.curves.series["losses"]["cross_entropy"][0])
    assert before > 0
    assert dock.curves.isVisibleTo(dock)
    until(lambda: dock.job is None)
    assert dock.status.text().startswith("Trained.")
    steps = dock.curves.series["losses"]["cross_entropy"][0]
    assert len(steps) > before
    assert steps == sorted(set(steps))
    assert dock.time.text().startswith("learns ")
    dock.continue_button.look()
    assert not dock.continue_button.runs.actions()[0].isEnabled()


def test_every_control_is_reached_by_the_keyboard_and_nothing_is_cut(viewer) -> None:
    """And the dock is no wider than a third of a small screen, nor higher than it: it scrolls."""
    dock = opened(viewer, TrainDock)
    kinds = (QAbstractButton, QAbstractSpinBox, QComboBox, QLineEdit)
    controls = [control for kind in kinds for control in dock.findChildren(kind) if control.isVisibleTo(dock)]
    assert len(controls) > 10
    for control in controls:
        inner = control.parent() if isinstance(control.parent(), (QAbstractSpinBox, QComboBox)) else control
        assert inner.focusPolicy() & Qt.FocusPolicy.TabFocus, control
    rows = dock.pairs
    seen = [rows.from_layers, rows.source.native, rows.source_axes, rows.target.native, rows.target_axes]
    seen += [rows.known.native, dock.target_kind, dock.name, dock.preset, dock.steps, dock.device, dock.run_button]
    chain = [seen[0]]
    # not past the dock: PySide6 keeps the widgets of napari's own that it was asked for, and so the whole viewer
    while dock.isAncestorOf(following := chain[-1].nextInFocusChain()) and following is not seen[0]:
        chain.append(following)
    assert [control for control in chain if control in seen] == seen
    assert dock.minimumSizeHint().width() <= 455
    assert dock.minimumSizeHint().height() <= 600
    layers = [Image(np.zeros((8, 8)), name="a layer with quite a long name, as they come from a microscope")]
    viewer.add_layer(layers[0])
    viewer.add_layer(Labels(np.zeros((8, 8), int), name="and its labels, which are called as the layer above, too"))
    assert dock.minimumSizeHint().width() <= 455
