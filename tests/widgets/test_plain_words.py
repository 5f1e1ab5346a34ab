"""One reads the docks without a dictionary, walks them without a mouse, and finds the door to the next page."""

import pytest
from qtpy.QtWidgets import QLabel

from napari_pix2pix.core.settings.config import make_config
from napari_pix2pix.widgets.evaluate_dock import EvaluateDock
from napari_pix2pix.widgets.glossary import WORDS, explained, with_words
from napari_pix2pix.widgets.improve_dock import ImproveDock
from napari_pix2pix.widgets.predict_dock import PredictDock
from napari_pix2pix.widgets.scores_dock import ScoresDock
from napari_pix2pix.widgets.train_dock import TrainDock
from widgets.conftest import opened

pytestmark = pytest.mark.gui
DOCKS = [TrainDock, PredictDock, ImproveDock, ScoresDock, EvaluateDock]


def test_every_word_is_explained_where_it_stands() -> None:
    """In a line, and only there."""
    assert explained("object F1 iou50 0.84").startswith("Object F1: ")
    assert explained("Scores have no ranks.") == WORDS["rank"]
    assert explained("Name") == ""
    assert with_words("Of the model", "Name") == "Of the model"
    assert with_words("Weight", "L1 weight") == f"Weight\n\n{WORDS['L1']}"


def test_every_label_leads_to_its_control_and_both_doors_open(make_napari_viewer) -> None:
    """Labels are buddies, controls have names, the keys are in the tooltips; no tooltip names a command."""
    viewer = make_napari_viewer()
    for kind in DOCKS:
        dock = opened(viewer, kind)
        labels = [dock.form.itemAt(row, dock.form.ItemRole.LabelRole) for row in range(dock.form.rowCount())]
        named = [item.widget() for item in labels if item is not None and item.widget() is not None]
        named = [label for label in named if isinstance(label, QLabel) and label.text()]
        assert named
        assert all(label.buddy() is not None for label in named), [label.text() for label in named]
        assert "Ctrl+Return" in dock.run_button.toolTip()
        assert "Ctrl+." in dock.stop_button.toolTip()
        if kind is TrainDock:
            train = dock
            depth = dock.settings._fields[("patch_depth",)].control
            assert not depth.isVisibleTo(dock.settings)
            dock.planes.setCurrentText("volume")
            assert depth.isVisibleTo(dock.settings)
            assert dock.value().patch_depth == make_config("fast").patch_depth
    train.door.click()  # Predict is open: it comes to the front, no second one
    assert len(viewer.window._qt_window.findChildren(PredictDock)) == 1
    assert train.door.text() == "Predict with it"
    assert not train.door.isVisibleTo(train)
