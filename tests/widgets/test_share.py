"""Models leave and enter by the dock Predict: a button below the card, and packages dropped onto the window."""

import zipfile
from importlib.util import find_spec
from pathlib import Path

import pytest
from qtpy.QtWidgets import QFileDialog, QInputDialog

from napari_pix2pix.widgets.model_reader import model_reader
from napari_pix2pix.widgets.predict_dock import PredictDock
from widgets.conftest import opened

pytestmark = [
    pytest.mark.gui,
    pytest.mark.skipif(find_spec("onnxruntime") is None, reason="pip install '.[export]'"),
]


@pytest.mark.slow
def test_a_model_is_exported_and_dropped_again(
    make_napari_viewer, until, small_model: Path, tmp_path, monkeypatch
) -> None:
    """By the button, to the file that is chosen; what is dropped is chosen, once it is a model of ours."""
    viewer = make_napari_viewer()
    dock = opened(viewer, PredictDock)
    dock.model.set_value(small_model)
    out = tmp_path / "nuclei.onnx"
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_: (str(tmp_path / "nuclei"), "ONNX (*.onnx)"))
    dock.exchange.button.click()
    assert dock.exchange.button.text() == "Stop"
    until(lambda: not dock.exchange.busy, 120)
    assert out.is_file() and dock.exchange.told.text() == f"Exported to {out}."
    assert viewer.open(out, plugin="napari-pix2pix") == []
    until(lambda: not dock.exchange.busy, 120)
    assert dock.model.value().stem == "nuclei" and dock.model.value().parent.name == "imported"
    assert dock.card.text().startswith("predicts objects, one label each · imported")


def test_what_cannot_be_is_told_in_a_sentence(
    make_napari_viewer, until, notes, small_model, tmp_path, monkeypatch
) -> None:
    """A package needs an author, and is not written if nobody says one; a zip that is no package is no model."""
    viewer = make_napari_viewer()
    dock = opened(viewer, PredictDock)
    dock.model.set_value(small_model)
    asked: list[str] = []
    monkeypatch.setattr(QInputDialog, "getText", lambda _, __, text: asked.append(text) or ("", False))
    dock.exchange.export(small_model, tmp_path / "nuclei.zip")
    assert len(asked) == 1 and not dock.exchange.busy
    with zipfile.ZipFile(tmp_path / "other.zip", "w") as file:
        file.writestr("a.txt", "a")
    assert model_reader(str(tmp_path / "other.zip")) is None
    with zipfile.ZipFile(tmp_path / "evil.zip", "w") as file:
        file.writestr("../rdf.yaml", "a: 3")
        file.writestr("rdf.yaml", "a: 3")
    before = dock.model.value()
    assert viewer.open(tmp_path / "evil.zip", plugin="napari-pix2pix") == []
    until(lambda: not dock.exchange.busy, 60)
    assert "leads out of it" in dock.exchange.told.text() and "leads out of it" in notes[-1]
    assert dock.model.value() == before
