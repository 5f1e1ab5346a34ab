"""From a fresh napari to nuclei and what may be wrong of them, before anything was trained."""

import pytest
from napari.layers import Labels
from qtpy.QtCore import Qt

from napari_pix2pix.widgets.layer_choice import made_here
from napari_pix2pix.widgets.predict_dock import PredictDock
from widgets.conftest import opened

pytestmark = pytest.mark.gui


def test_a_model_that_ships_is_offered_and_used(make_napari_viewer, until, qtbot) -> None:
    """Open the sample, open Predict, press its button: three clicks beside the menus that lead there."""
    viewer = make_napari_viewer(show=True)
    viewer.open_sample("napari-pix2pix", "nuclei")
    predict = opened(viewer, PredictDock)
    assert predict.model.combo.currentText() == "nuclei (ships with the package)"
    until(lambda: predict.run_button.isEnabled())
    qtbot.mouseClick(predict.run_button, Qt.MouseButton.LeftButton)
    until(lambda: predict.job is None and predict.run_button.isEnabled(), 120)
    shown = {made_here(layer) or layer.name: layer for layer in viewer.layers if layer.visible}
    assert shown.keys() == {"bright nuclei", "prediction", "expected error"}
    assert isinstance(shown["prediction"], Labels)
    assert shown["prediction"].data.max() > 50
