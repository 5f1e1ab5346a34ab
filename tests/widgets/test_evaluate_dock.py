"""The dock *Evaluate* in a real window: figures, difference and report are those of the command line."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from napari.layers import Image, Labels
from qtpy.QtGui import QDesktopServices

from napari_pix2pix.files.stacks import open_stack
from napari_pix2pix.widgets import evaluate_dock, placing
from napari_pix2pix.widgets.evaluate_dock import MODEL, EvaluateDock
from napari_pix2pix.widgets.layers import pixels
from napari_pix2pix.widgets.places import remember_model
from napari_pix2pix.widgets.placing import MADE_HERE, difference_layer, is_lazy
from small import blobs
from widgets.conftest import write_image

pytestmark = pytest.mark.gui
PLACE = {"scale": (0.5, 0.25), "translate": (3, -4), "rotate": 20}


def opened(make_napari_viewer, *layers) -> EvaluateDock:
    viewer = make_napari_viewer()
    for layer in layers:
        viewer.add_layer(layer)
    dock = EvaluateDock(viewer)
    viewer.window.add_dock_widget(dock, name="Evaluate")
    return dock


def figures(dock: EvaluateDock) -> dict[str, str]:
    table = dock.table
    return {table.verticalHeaderItem(row).text(): table.item(row, 0).text() for row in range(table.rowCount())}


def test_a_prediction_is_judged_by_the_command_line(make_napari_viewer, until, home, tmp_path, monkeypatch) -> None:
    """Table, report and difference; the browser opens the report."""
    truth = blobs()[1].astype(np.int32)
    ours = np.where(truth % 5 == 0, 0, truth)
    ours[:6, :6] = 99
    made = Labels(ours, name="ours", metadata={MADE_HERE: {"is": "prediction", "source": ""}}, **PLACE)
    dock = opened(make_napari_viewer, Labels(truth, name="truth", **PLACE), made)
    assert (dock.prediction.value.name, dock.target.value.name) == ("ours", "truth")
    assert not dock.model.isVisibleTo(dock)
    assert not dock.report_button.isVisibleTo(dock)
    dock.run()
    until(lambda: dock.job is None and dock.run_button.isEnabled())
    difference = dock.viewer.layers[-1]
    assert np.array_equal(difference.data == 1, (truth > 0) & (ours == 0))
    assert np.array_equal(difference.data == 2, (ours > 0) & (truth == 0))
    assert not (difference.data == 3).any()
    assert np.allclose(difference.data_to_world((5, 9)), made.data_to_world((5, 9)))

    for name, labels in (("truth", truth), ("ours", ours)):
        write_image(tmp_path / f"{name}.tif", labels)
    words = ["evaluate", "--prediction", tmp_path / "ours.tif", tmp_path / "truth.tif", "--out", tmp_path / "e"]
    subprocess.run([sys.executable, "-m", "napari_pix2pix", *map(str, words)], check=True, capture_output=True)
    expected = json.loads((tmp_path / "e" / "metrics.json").read_text())["metrics"]
    there = json.loads((home / "napari-pix2pix" / "evaluations" / "ours" / "metrics.json").read_text())
    assert there["metrics"] == expected
    assert "object F1 at IoU 0.5" in figures(dock)
    assert "object F1 at IoU 0.6" not in figures(dock)
    assert figures(dock)["dice"].startswith(f"{expected['dice']['value']:.3g}")
    seen = []
    monkeypatch.setattr(QDesktopServices, "openUrl", seen.append)
    dock.report_button.click()
    assert Path(seen[0].toLocalFile()) == home / "napari-pix2pix" / "evaluations" / "ours" / "report.html"
    assert Path(seen[0].toLocalFile()).is_file()


def test_a_model_is_judged_and_its_prediction_shown(make_napari_viewer, until, notes, pair, small_model) -> None:
    """What trained it is refused in one sentence, unless the user asks for it."""
    remember_model(small_model)
    viewer = make_napari_viewer()
    for path, kind in zip(pair, ("image", "labels"), strict=True):
        viewer.open(path, plugin="napari", layer_type=kind)
    dock = EvaluateDock(viewer)
    viewer.window.add_dock_widget(dock, name="Evaluate")
    dock.judged.setCurrentText(MODEL)
    assert (dock.source.value.name, dock.target.value.name) == ("source", "labels")
    dock.run()
    until(lambda: dock.job is None)
    assert "train" in notes[-1]
    assert len(viewer.layers) == 2
    dock.seen.setChecked(True)
    dock.run()
    until(lambda: dock.job is None and len(viewer.layers) == 4 and dock.run_button.isEnabled(), 90)
    assert [layer.name for layer in viewer.layers][2:] == ["source (predicted)", "source (predicted) − labels"]
    assert dock.table.columnCount() > 1
    assert "made the model" in dock.status.text()


def test_a_prediction_too_large_for_memory_stays_where_it_is_read(
    make_napari_viewer, until, home, pair, small_model, monkeypatch
) -> None:
    """Beside the report: the layers are read after the working copies have gone. Here: more than 1 kB."""
    for module in (placing, evaluate_dock):
        monkeypatch.setattr(module, "LAZY_BYTES", 1000)
    remember_model(small_model)
    layers = Image(open_stack(pair[0]).array[...], name="source"), Labels(open_stack(pair[1]).array[...], name="labels")
    dock = opened(make_napari_viewer, *layers)
    dock.judged.setCurrentText(MODEL)
    dock.seen.setChecked(True)
    dock.run()
    until(lambda: dock.job is None and len(dock.viewer.layers) == 4 and dock.run_button.isEnabled(), 90)
    path = home / "napari-pix2pix" / "evaluations" / "blobs on source" / "prediction.ome.zarr"
    assert str(path) in dock.status.text()
    ours, truth = open_stack(path).array[...], layers[1].data
    prediction, difference = dock.viewer.layers[2:]
    assert is_lazy(prediction)
    assert np.array_equal(np.asarray(pixels(prediction)), ours)
    assert np.array_equal(
        np.asarray(pixels(difference)), 1 * ((ours == 0) & (truth > 0)) + 2 * ((ours > 0) & (truth == 0))
    )


@pytest.mark.parametrize("kind", ["intensity", "classes", "instances"])
def test_a_difference_says_where_and_which_way(kind) -> None:
    ours, theirs = np.array([[0, 3, 3, 3, 0]], np.uint8), np.array([[3, 0, 3, 4, 0]], np.uint8)
    layer = difference_layer(Labels(ours, name="a"), Labels(theirs, name="b"), kind)
    expected = {"intensity": [-3, 3, 0, -1, 0], "classes": [1, 2, 0, 3, 0], "instances": [1, 2, 0, 0, 0]}
    assert layer.data[0].tolist() == expected[kind]
    with pytest.raises(ValueError, match="one shape"):
        difference_layer(Labels(ours), Labels(theirs.T), kind)
