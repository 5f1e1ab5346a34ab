"""From a fresh napari to a prediction with an overlay that can be read: how many clicks, what is seen on the way."""

import numpy as np
import pytest
from napari.layers import Image, Labels
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QMenu

from napari_pix2pix.widgets.doors import open_page
from napari_pix2pix.widgets.layer_choice import made_here
from napari_pix2pix.widgets.pair_picture import GAP, SIDE, pictured
from napari_pix2pix.widgets.pairs import FilePairs, LayerPair, LayerPairs
from napari_pix2pix.widgets.predict_dock import PredictDock
from napari_pix2pix.widgets.train_dock import TrainDock
from small import blobs, small_config
from widgets.conftest import opened, write_image

pytestmark = pytest.mark.gui


def test_eight_clicks_are_more_than_enough(make_napari_viewer, until, qtbot) -> None:
    """Each level of a menu counts, and every button, which is in sight without scrolling; nothing is typed.

    Settings are made small for the test alone.
    """
    viewer, clicks = make_napari_viewer(show=True), 0
    viewer.window._qt_window.resize(1366, 768)

    def click(button) -> None:
        nonlocal clicks
        until(lambda: not button.visibleRegion().isEmpty() and button.isEnabled())
        qtbot.mouseClick(button, Qt.MouseButton.LeftButton)
        clicks += 1

    menu = viewer.window.plugins_menu
    for name in ("napari-pix2pix", "Train"):
        clicks += 1  # the menu that holds it
        menu.aboutToShow.emit()
        [action] = [a for a in menu.actions() if a.text().replace("&", "").partition(" (")[0] == name]
        menu = action.menu() if isinstance(action.menu(), QMenu) else menu
    action.trigger()
    clicks += 1
    [train] = viewer.window._qt_window.findChildren(TrainDock)
    [sample] = [button for button in train.sample.findChildren(type(train.run_button)) if button.isVisibleTo(train)]
    click(sample)
    assert [layer.name for layer in viewer.layers] == ["tissue", "nuclei"]
    assert not train.sample.isVisibleTo(train)
    train.set_value(small_config(steps=10, validate_every=10, trust_steps=4))  # no click: a test must be short
    click(train.run_button)
    until(lambda: train.job is None, 120)
    click(train.door)
    [predict] = viewer.window._qt_window.findChildren(PredictDock)
    until(lambda: predict.job is None and predict.run_button.isEnabled(), 120)
    shown = {made_here(layer) or layer.name: layer for layer in viewer.layers if layer.visible}
    assert shown.keys() == {"tissue", "prediction", "expected error"}
    assert isinstance(shown["prediction"], Labels) and shown["prediction"].contour
    assert "probably wrong" in predict.status.text()
    assert clicks <= 8, clicks


def test_of_a_stack_the_displayed_frame_is_predicted_at_once(make_napari_viewer, until, small_model) -> None:
    """The rest is for whoever likes what is seen; what runs already is left alone."""
    viewer = make_napari_viewer()
    stack = viewer.add_image(np.stack([blobs(seed=i)[0] for i in range(3)]), name="film")
    page = open_page(viewer, "Predict")
    page.model.set_value(small_model)
    viewer.dims.set_current_step(0, 1)
    page.predict_at_once(stack)
    page.predict_at_once(stack)
    until(lambda: page.job is None and page.run_button.isEnabled())
    [made] = [layer for layer in viewer.layers if made_here(layer) == "prediction"]
    assert made.data.shape == (1, 96, 128)


def test_the_first_pair_is_seen_before_it_is_learned_from(make_napari_viewer, until, qtbot) -> None:
    """Again whenever another is chosen; not while there is none."""
    viewer = make_napari_viewer()
    dock = opened(viewer, TrainDock)
    assert not dock.picture.isVisibleTo(dock)
    source, labels = blobs()
    viewer.add_image(source, name="tissue")
    viewer.add_labels(labels, name="nuclei")
    until(lambda: dock.picture.isVisibleTo(dock))
    first = dock.picture.pixmap().cacheKey()
    assert dock.picture.pixmap().height() >= 96
    dock.target.value = viewer.add_image(source[::-1], name="mirrored")
    until(lambda: dock.picture.isVisibleTo(dock) and dock.picture.pixmap().cacheKey() != first)
    viewer.layers.clear()
    until(lambda: not dock.picture.isVisibleTo(dock))


def test_a_picture_of_a_pair_shows_it_as_it_is(tmp_path) -> None:
    """Layers in their own colours, files by what they hold, other sizes, the middle of a stack; no large ones."""
    source, labels = blobs((100, 400))
    layer = Labels(labels, name="nuclei")
    stack = Image(np.stack([source, source.max() - source, source]), name="stack", axis_labels=("z", "y", "x"))
    picture = pictured(LayerPairs((LayerPair(stack, layer),)))
    width = -(-400 // -(-400 // SIDE))
    assert picture.shape[1] == 2 * width + GAP
    assert picture[:, :width].mean() > 128  # the middle plane is bright
    seen = picture[:, width + GAP :][: -(-100 // 3)]
    assert np.array_equal(seen.any(axis=-1), labels[::3, ::3] > 0)
    files = write_image(tmp_path / "a.tif", source), write_image(tmp_path / "b.tif", labels[:, :80])
    picture = pictured(FilePairs(*map(str, files)))
    assert np.ptp(picture[:, -80:].astype(int), axis=-1).any()  # labels are coloured
    assert not np.ptp(picture[:, :width].astype(int), axis=-1).any()  # grey values are grey
    for side in ("source", "target"):
        (tmp_path / side).mkdir()
        for i in range(2):
            write_image(tmp_path / side / f"{i}.tif", blobs(seed=i)[0])
    assert pictured(FilePairs(str(tmp_path / "source"), str(tmp_path / "target"))) is not None
    large = Image(np.broadcast_to(np.uint16(1), (20_000, 20_000)), name="large", contrast_limits=(0, 1))
    assert pictured(LayerPairs((LayerPair(large, layer),))) is None
