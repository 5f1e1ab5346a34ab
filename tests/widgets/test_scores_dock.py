"""The dock *Patch scores* in a real window: what is under the mouse, what is worst, what not to trust."""

import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest

from napari_pix2pix.files.stacks import open_stack
from napari_pix2pix.widgets.field_pointer import FieldPointer
from napari_pix2pix.widgets.places import remember_model
from napari_pix2pix.widgets.placing import MADE_HERE
from napari_pix2pix.widgets.scores_dock import BY_LOOKS, ScoresDock
from napari_pix2pix.widgets.scores_panel import HINT
from napari_pix2pix.widgets.trust_layers import bad_colours
from napari_pix2pix.widgets.worst_list import FRAMES, REGIONS, camera_of
from small import blobs
from widgets.conftest import write_image

pytestmark = pytest.mark.gui
PLACE = {"scale": (0.5, 0.25), "translate": (3, -4), "rotate": 20}


@pytest.fixture(scope="module")
def judged_model(small_model, tmp_path_factory):
    """A model that was taught, hardly, to judge the match, and calibrated on one image."""
    folder = tmp_path_factory.mktemp("judged")
    for seed in range(5, 8):
        for name, image in zip(("source", "target"), blobs(seed=seed), strict=True):
            (folder / name).mkdir(exist_ok=True)
            write_image(folder / name / f"{seed}.tif", image)
    out = folder / "judged.safetensors"
    pairs = folder / "source", folder / "target"
    words = ["fit-trust", small_model, *pairs, "--out", out, "--steps", "2", "--device", "cpu"]
    subprocess.run([sys.executable, "-m", "napari_pix2pix", *map(str, words)], check=True, capture_output=True)
    return out


def opened(viewer):
    dock = ScoresDock(viewer)
    viewer.window.add_dock_widget(dock, name="Patch scores")
    return dock


def scored(viewer, until, image):
    """The dock, once it has scored this layer."""
    dock = opened(viewer)
    dock.source.value, dock.image.value = viewer.layers["tissue"], image
    dock.run()
    until(lambda: dock.panel.maps is not None or (dock.job is None and dock.run_button.isEnabled()))
    assert dock.panel.maps is not None, dock.status.text()
    return dock


def move(viewer, position):
    for callback in ours(viewer.mouse_move_callbacks):
        callback(viewer, SimpleNamespace(position=tuple(position), type="mouse_move"))


def ours(callbacks):
    return [callback for callback in callbacks if isinstance(getattr(callback, "__self__", None), FieldPointer)]


def click(viewer, position, drag=False):
    for callback in ours(viewer.mouse_drag_callbacks):
        event = SimpleNamespace(position=tuple(position), type="mouse_press")
        doing = callback(viewer, event)
        next(doing)
        event.type = "mouse_move" if drag else "mouse_release"
        next(doing, None)


def test_a_prediction_is_shown_by_its_expected_error(make_napari_viewer, until, judged_model, notes) -> None:
    """Point, click, choose, slide, mask: each does what it says, on the image's own pixels."""
    remember_model(judged_model)
    viewer = make_napari_viewer()
    source, labels = blobs()
    viewer.add_image(source, name="tissue", **PLACE)
    image = viewer.add_labels(labels, name="guess", metadata={MADE_HERE: {"is": "prediction"}}, **PLACE)
    dock = scored(viewer, until, image)
    panel, overlay = dock.panel, viewer.layers["expected error: guess"]
    maps, box = panel.maps, viewer.layers["field: guess"]
    assert [panel.part.itemText(i) for i in range(panel.part.count())] == ["expected error", "rank", "match score"]
    np.testing.assert_array_equal(overlay.data, maps.parts["expected_error"])
    assert panel.worst.what.count() == 1

    # What is under the mouse, until a click keeps it; a drag is no click.
    assert (panel.told.text(), box.visible) == (HINT, False)
    move(viewer, image.data_to_world((40, 50)))
    place = maps.at(((40 - 2.5) / 2, (50 - 2.5) / 2))
    assert panel.told.text() == maps.facts(place)
    for word in ("expected error", "rank", "match score"):
        assert word in panel.told.text()
    assert box.visible
    corners = [box.data_to_world(corner) for corner in box.data[0]]
    assert np.allclose(corners, [image.data_to_world(corner) for corner in maps.box(place)])
    click(viewer, image.data_to_world((40, 50)), drag=True)
    assert not panel.pointer.pinned
    click(viewer, image.data_to_world((40, 50)))
    move(viewer, image.data_to_world((10, 10)))
    assert panel.pointer.place == place
    assert "pinned" in panel.told.text()
    click(viewer, image.data_to_world((40, 50)))
    move(viewer, image.data_to_world((-400, 10)))
    assert (panel.told.text(), box.visible) == (HINT, False)

    # The worst.
    panel.worst.list.setCurrentRow(1)
    place = maps.summaries["expected_error"].regions[1]
    assert panel.pointer.place == place
    assert np.allclose(camera_of(viewer).center[-2:], image.data_to_world(maps.centre(place)))

    # Sliders, and what is shown.
    panel.opacity.setValue(0.3)
    assert overlay.opacity == pytest.approx(0.3)
    panel.threshold.setValue(float(np.median(maps.parts["expected_error"])))
    faint = overlay.colormap.colors[:, 3] < bad_colours().colors[:, 3]
    assert 0 < faint.sum() < len(faint)
    threshold = panel.threshold.value()
    panel.mask_button.click()
    until(lambda: "not to trust: guess" in viewer.layers)
    mask = viewer.layers["not to trust: guess"]
    np.testing.assert_array_equal(mask.data, maps.mask("expected_error", threshold).data)
    assert 0 < mask.data.mean() < 1
    panel.part.setCurrentIndex(panel.part.findData("rank"))
    np.testing.assert_array_equal(overlay.data, maps.parts["rank"])
    assert overlay.name == "rank: guess"
    assert panel.worst.places == maps.summaries["rank"].regions

    # Gone with its layer.
    viewer.layers.remove(overlay)
    assert panel.maps is None
    assert not ours(viewer.mouse_drag_callbacks) + ours(viewer.mouse_move_callbacks)
    viewer.layers.clear()
    viewer.screenshot(flash=False)  # drawn before something comes: napari alone may crash otherwise
    viewer.add_image(source)
    assert [viewer.screenshot(flash=False).any() for _ in range(2)] == [True, True]
    assert not [note for note in notes if "calibration" not in note and "has not learned enough" not in note]


def test_a_real_target_is_judged_by_its_match_and_bad_pairs_are_listed(make_napari_viewer, until, judged_model) -> None:
    """Frame by frame, the least matching first; choosing one goes to it."""
    remember_model(judged_model)
    viewer = make_napari_viewer()
    frames = [blobs(seed=seed) for seed in range(3)]
    viewer.add_image(np.stack([frame[0] for frame in frames]), name="tissue", scale=(2, 1, 1))
    image = viewer.add_labels(np.stack([frame[1] for frame in frames]), name="truth", scale=(2, 1, 1))
    panel = scored(viewer, until, image).panel
    part = panel.part.currentData()
    assert part != "expected_error"
    assert panel.worst.what.currentText() == FRAMES
    places = panel.worst.places
    means = [panel.maps.parts[part][place[0]][panel.maps.parts["valid"][place[0]]].mean() for place in places]
    assert means == sorted(means)
    assert sorted(place[0] for place in places) == [0, 1, 2]
    panel.worst.list.setCurrentRow(0)
    assert viewer.dims.current_step[0] == places[0][0]
    assert panel.pointer.place == places[0]
    assert ours(viewer.mouse_move_callbacks)
    panel.worst.what.setCurrentText(REGIONS)
    assert panel.worst.places == panel.maps.summaries[part].regions


def test_a_model_that_cannot_judge_the_match_asks_whether_it_looks_real(
    make_napari_viewer, until, small_model, judged_model
) -> None:
    """And any other does, on request."""
    viewer = make_napari_viewer()
    source, labels = blobs()
    viewer.add_image(source, name="tissue")
    image = viewer.add_labels(labels, name="guess")
    remember_model(judged_model)
    dock = opened(viewer)
    words = dock.request().prepare(lambda: False)
    assert "--kind" not in words
    dock.judge.setCurrentText(BY_LOOKS)
    words = dock.request().prepare(lambda: False)
    assert words[words.index("--kind") + 1] == "plain"
    assert open_stack(words[2]).array.shape == labels.shape
    remember_model(small_model)
    panel = scored(viewer, until, image).panel
    assert list(panel.maps.parts) == ["scores", "valid"]
    assert [panel.part.itemText(i) for i in range(panel.part.count())] == ["plain score"]


def test_a_closed_dock_follows_the_mouse_no_more(make_napari_viewer, until, small_model) -> None:
    remember_model(small_model)
    viewer = make_napari_viewer()
    source, labels = blobs()
    viewer.add_image(source, name="tissue")
    dock = ScoresDock(viewer)
    window = viewer.window.add_dock_widget(dock, name="Patch scores")
    dock.image.value = viewer.add_labels(labels, name="guess")
    dock.run()
    until(lambda: dock.panel.maps is not None)
    assert ours(viewer.mouse_move_callbacks)
    viewer.window.remove_dock_widget(window)
    until(lambda: not ours(viewer.mouse_move_callbacks) + ours(viewer.mouse_drag_callbacks))
    viewer.layers.remove("patch scores: guess")
