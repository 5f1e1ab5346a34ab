"""Slides in napari: a layer of all levels; Predict does what is seen, what is drawn or the tissue, in its place."""

import re

import numpy as np
import pytest

from commands.test_slides import PICTURE, TISSUE, place  # noqa: F401 - a fixture
from napari_pix2pix.files.stacks import open_stack
from napari_pix2pix.widgets.part_choice import DRAWN, SEEN
from napari_pix2pix.widgets.part_choice import TISSUE as OF_TISSUE
from napari_pix2pix.widgets.places import remember_model
from napari_pix2pix.widgets.predict_dock import PredictDock
from napari_pix2pix.widgets.slide_reader import open_slides, slide_reader
from slide_files import write_slide

pytest.importorskip("openslide", reason="the extra slides is not installed")
pytestmark = pytest.mark.gui


@pytest.fixture
def opened(make_napari_viewer, place, tmp_path):  # noqa: F811
    """A viewer with the slide, opened by its ending, and the dock with a model and a folder."""
    viewer = make_napari_viewer()
    [layer] = viewer.open(place / "case.svs", plugin="napari-pix2pix")
    remember_model(place / "intensity.safetensors")
    dock = PredictDock(viewer)
    viewer.window.add_dock_widget(dock, name="Predict")
    dock.trust.setChecked(False)
    dock.folder.set_value(tmp_path)
    return viewer, layer, dock


def predicted(viewer, dock, until, part):
    before = list(viewer.layers)
    dock.part.combo.setCurrentText(part)
    dock.run()
    until(lambda: dock.job is None and dock.run_button.isEnabled())
    return [layer for layer in viewer.layers if layer not in before]


def world(layer, *places):
    return [tuple(layer.data_to_world(at)) for at in places]


def test_a_slide_is_a_layer_of_all_its_levels(opened):
    _, layer, dock = opened
    assert layer.multiscale and [level.shape for level in layer.data] == [(600, 900, 3), (300, 450, 3), (150, 225, 3)]
    assert layer.rgb and layer.name == "case" and tuple(layer.scale) == (0.5, 0.5)
    assert str(layer.units[0]) == "micrometer"
    assert np.array_equal(np.asarray(layer.data[0][100:140, 200:300]), PICTURE[100:140, 200:300])
    assert dock.part.isVisibleTo(dock) and dock.folder.isVisibleTo(dock)


def test_what_is_seen_is_predicted_at_the_displayed_pixel_size(opened, until):
    viewer, layer, dock = opened
    layer.data_level = 1
    layer.corner_pixels = np.array([[100, 60], [180, 200]])
    [made] = predicted(viewer, dock, until, SEEN)
    inside = np.zeros((300, 450), bool)
    inside[100:181, 60:201] = True
    values = np.asarray(made.data[0] if made.multiscale else made.data)
    assert values.shape == (300, 450) and not values[~inside].any() and np.ptp(values[inside])
    # The centre of four pixels of the slide is that of one of the result.
    assert np.allclose(world(made, (0, 0), (299, 449)), world(layer, (0.5, 0.5), (598.5, 898.5)))


def test_a_region_is_what_is_drawn_on_the_slide(opened, until):
    viewer, _, dock = opened
    shapes = viewer.add_shapes(
        [np.array([[99.75, 59.75], [99.75, 109.75], [149.75, 109.75], [149.75, 59.75]])], shape_type="rectangle"
    )  # in µm, napari's pixel centres at integers
    [made] = predicted(viewer, dock, until, DRAWN)
    values = np.asarray(made.data)
    assert values.shape == (300, 450)
    rows, columns = (np.flatnonzero(values.any(axis=axis)) for axis in (1, 0))
    assert (rows[0], rows[-1], columns[0], columns[-1]) == (100, 149, 60, 109)
    viewer.layers.remove(shapes)
    dock.run()
    assert "A region must be drawn in a Shapes layer" in dock.status.text()


def test_tissue_with_its_expected_error(opened, until):
    viewer, _, dock = opened
    dock.trust.setChecked(True)
    made = predicted(viewer, dock, until, OF_TISSUE)
    assert [one.name for one in made] == ["case (predicted)", "not to trust: case", "expected error: case"]
    values, errors = np.asarray(made[0].data), np.asarray(made[2].data)
    inside = TISSUE[::2, ::2]
    assert (values[inside] > 0).mean() > 0.98 and np.isfinite(errors[inside]).mean() > 0.98
    assert np.allclose(made[2].scale, made[0].scale) and np.allclose(made[2].translate, made[0].translate)
    [file] = dock.folder.value().glob("*(predicted).ome.tif")
    assert np.array_equal(open_stack(file).array[...], values)
    assert re.search(r"with the slide's size and place\. (What|Nothing) glows", dock.status.text())


def test_only_slides_are_read_and_a_bad_one_is_told(tmp_path):
    assert slide_reader("a.tif") is None and slide_reader(["a.svs", "b.tif"]) is None and slide_reader("A.SVS")
    (tmp_path / "bad.svs").write_bytes(b"no slide")
    with pytest.raises(ValueError, match="A slide must be one that OpenSlide reads"):
        open_slides(str(tmp_path / "bad.svs"))
    [(data, about, kind)] = open_slides(str(write_slide(tmp_path / "one.svs", PICTURE, None, levels=1)))
    assert kind == "image" and data.shape == (600, 900, 3) and "scale" not in about and not about["multiscale"]
