"""The dock Improve in a real window: what was corrected teaches the model, and the old figures say what came of it."""

import numpy as np
import pytest
from napari.layers import Labels
from qtpy.QtCore import Qt
from qtpy.QtGui import QTextDocument
from qtpy.QtWidgets import QLabel

from napari_pix2pix.core.settings.config import read_json_object
from napari_pix2pix.files.stacks import open_stack
from napari_pix2pix.widgets.flags import as_plain
from napari_pix2pix.widgets.improve_dock import ImproveDock
from napari_pix2pix.widgets.places import remember_model
from napari_pix2pix.widgets.placing import MADE_HERE
from napari_pix2pix.widgets.predict_dock import PredictDock
from small import blobs
from widgets.conftest import opened

pytestmark = pytest.mark.gui
PLACE = {"scale": (0.5, 0.25), "translate": (3, -4), "units": ("µm", "µm")}


@pytest.fixture
def dock(make_napari_viewer, small_model):
    """With a model, a new image, and a prediction of it."""
    remember_model(small_model)
    viewer = make_napari_viewer()
    source, labels = blobs(seed=5)
    viewer.add_image(source, name="new tissue", **PLACE)
    made = {MADE_HERE: {"is": "prediction", "source": "new tissue"}}
    viewer.add_labels(labels, name="new tissue (predicted)", metadata=made, **PLACE)
    return opened(viewer, ImproveDock)


def test_what_was_corrected_improves_the_model(dock, until, home, small_model) -> None:
    """From the model, with the old pairs, where it was marked; judged by the old pairs, before and after."""
    viewer = dock.viewer
    assert dock.source.value.name == "new tissue"
    assert dock.truth.value.name == "new tissue (predicted)"
    dock.correct_button.click()
    corrected = viewer.layers["new tissue (predicted): corrected"]
    assert dock.truth.value is corrected
    assert isinstance(corrected, Labels)
    assert np.allclose(corrected.data_to_world((7, 9)), viewer.layers["new tissue"].data_to_world((7, 9)))
    corrected.data[:10] = 0
    assert viewer.layers["new tissue (predicted)"].data[:10].any()

    dock.mark_button.click()
    dock.known.value.add([[[0, 0], [0, 100], [80, 100], [80, 0]]], shape_type="polygon")
    dock.steps.setValue(6)
    assert dock.name.text() == "blobs improved"
    dock.run()
    until(lambda: dock.job is None)
    run = home / "napari-pix2pix" / "blobs improved"
    said = read_json_object(run / "config.json")["provenance"]["pairs"]
    assert said["initial"]["path"] == str(small_model)
    assert said["old"] is not None
    assert np.array_equal(open_stack(run / "data" / "target.ome.tif").array[...], corrected.data)
    mask = open_stack(run / "data" / "known.ome.tif").array[...]
    assert mask[5:75, 5:95].all()
    assert not mask[85:].any()
    assert "of the old model" in dock.status.text()
    assert "→" in dock.status.text()


def test_what_is_missing_is_told(dock, notes, small_model) -> None:
    """A region that was not drawn, too; and a model never learns from its own prediction."""
    dock.run()
    assert notes[-1].startswith("The truth must be more than the model's own prediction")
    assert dock.status.text() == notes[-1]
    dock.mark_button.click()
    dock.run()
    assert "draw one" in notes[-1]
    dock.viewer.layers.clear()
    dock.run()
    assert notes[-1].startswith("There must be a source and what is true of it")
    dock.correct_button.click()
    assert notes[-1].startswith("There must be a prediction to correct")
    assert dock.run_button.isEnabled()


def seen(label) -> str:
    """What a label shows."""
    if label.textFormat() == Qt.TextFormat.PlainText:
        return label.text()
    page = QTextDocument()
    page.setHtml(label.text())
    return page.toPlainText()


def test_what_a_stranger_wrote_is_shown_as_text(dock, tmp_path) -> None:
    """Names of figures and paths make no link and no picture: in the status, in the model's card, and in an error."""
    name = '<a href="https://example.org">here</a> <img src="a.png">'
    (tmp_path / "model.safetensors").write_bytes(b"")
    for result, said in (
        ({"not_compared": name}, name),
        (
            {"compared": {"kind": name, "before": {name: 0.6}, "after": {name: 0.5}, "verdicts": {name: "worse"}}},
            f"of the old model: {name} 0.600 → 0.500 (worse)",
        ),
        ({"figures": {name: 0.5}}, f"validation: {name} 0.5"),
    ):
        dock._run, dock.result = tmp_path, result
        dock.finish(True)
        assert said in seen(dock.status)
    predict = opened(dock.viewer, PredictDock)
    predict.card.setText(name)
    assert seen(predict.card) == name
    predict.idle(name)
    assert seen(predict.status) == name
    assert seen(QLabel(as_plain(name))) == name
