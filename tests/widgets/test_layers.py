"""A layer in, the same pixels out of a file."""

import dask.array
import numpy as np
import pytest
from napari.layers import Image, Labels, Shapes

from napari_pix2pix.files.stacks import open_stack
from napari_pix2pix.widgets.layers import Stopped, file_of, known_file, layer_axes, read_as
from widgets.conftest import write_image

RANDOM = np.random.default_rng(0)
LAYERS = {
    "plane": Image(RANDOM.random((9, 11))),
    "stack": Image(RANDOM.integers(0, 9000, (4, 9, 11)).astype(np.uint16)),
    "named": Image(RANDOM.random((2, 3, 9, 11)), axis_labels=("C", "t", "Y", "x")),
    "one frame": Image(RANDOM.random((1, 9, 11))),
    "turned": Image(RANDOM.random((9, 11)), axis_labels=("x", "y")),
    "rgb": Image(RANDOM.integers(0, 255, (9, 11, 3)).astype(np.uint8), rgb=True),
    "rgb stack": Image(RANDOM.integers(0, 255, (4, 9, 11, 3)).astype(np.uint8), rgb=True),
    "dask": Image(dask.array.from_array(RANDOM.random((4, 9, 11)), chunks=(1, 9, 11))),
    "half": Image(RANDOM.random((9, 11)).astype(np.float16)),
    "labels": Labels(RANDOM.integers(0, 70_000, (9, 11))),
    "many axes": Image(RANDOM.random((2, 3, 2, 9, 11))),
}


@pytest.mark.parametrize("layer", LAYERS.values(), ids=LAYERS)
def test_layer_to_file_and_back_is_the_identity(layer, tmp_path) -> None:
    """Every kind of layer, in every order of axes; labels stay whole numbers."""
    file = file_of(layer, tmp_path / "layer.ome.tif")
    stack = open_stack(file.path)
    assert stack.axes == file.axes
    back = read_as(stack, layer_axes(layer))
    assert np.array_equal(back, np.asarray(layer.data))
    assert not isinstance(layer, Labels) or stack.array.dtype.kind in "iu"


def test_a_pyramid_is_written_at_full_resolution(tmp_path) -> None:
    full = RANDOM.random((32, 32))
    layer = Image([full, full[::2, ::2]], multiscale=True)
    assert np.array_equal(open_stack(file_of(layer, tmp_path / "a.ome.tif").path).array, full)


def test_the_layers_own_file_is_used_until_it_is_edited(tmp_path) -> None:
    """Only the very same pixels will do."""
    own = write_image(tmp_path / "own.tif", np.arange(99, dtype=np.uint16).reshape(9, 11))
    layer = Labels(open_stack(own).array[...])
    layer._source = layer.source.model_copy(update={"path": str(own)})
    assert file_of(layer, tmp_path / "copy.ome.tif").path == own
    assert not (tmp_path / "copy.ome.tif").exists()
    layer.data[3, 4] = 7
    assert file_of(layer, tmp_path / "copy.ome.tif").path != own
    assert open_stack(tmp_path / "copy.ome.tif").array[3, 4] == 7


def test_scale_and_name_go_into_the_file(tmp_path) -> None:
    """In micrometres, where the units are lengths."""
    layer = Image(np.zeros((4, 9, 11)), scale=(2, 0.5, 250), units=("µm", "µm", "nm"), name="DAPI")
    stack = open_stack(file_of(layer, tmp_path / "a.ome.tif").path)
    assert stack.pixel_size_um == pytest.approx({"Z": 2, "Y": 0.5, "X": 0.25})
    assert stack.channel_names == ("DAPI",)
    plain = Image(np.zeros((9, 11)), scale=(2, 2))
    assert open_stack(file_of(plain, tmp_path / "b.ome.tif").path).pixel_size_um == {}


def test_what_does_not_fit_is_told(tmp_path) -> None:
    with pytest.raises(ValueError, match="huge"):
        file_of(Image(np.full((9, 11), 2**40), name="huge"), tmp_path / "a.ome.tif")
    with pytest.raises(ValueError, match="2 to 5 axes"):
        file_of(Image(np.zeros((2, 2, 2, 2, 9, 11))), tmp_path / "a.ome.tif")


def test_writing_can_be_stopped(tmp_path) -> None:
    """Between two frames; nothing is left."""
    with pytest.raises(Stopped):
        file_of(Image(np.zeros((50, 9, 11))), tmp_path / "a.ome.tif", lambda: True)
    assert not list(tmp_path.glob("*.tif"))


PLACED = {"scale": (0.5, 2.0), "translate": (3, -4)}
SQUARE = np.array([[1, 2], [1, 6], [5, 6], [5, 2]])


@pytest.mark.parametrize("stack", [False, True])
def test_a_region_is_known_where_it_was_drawn(stack: bool, tmp_path) -> None:
    """Labels that are not 0, or what lies in a shape, on every plane of the target; the same file either way."""
    shape = (3, 9, 11) if stack else (9, 11)
    target = Image(RANDOM.random(shape), **{name: ((1, *value) if stack else value) for name, value in PLACED.items()})
    shapes = Shapes([SQUARE], shape_type="rectangle", **PLACED)
    expected = np.zeros((9, 11), bool)
    expected[1:6, 2:7] = True
    for layer in (shapes, Labels(expected.astype(int) * 7, **PLACED)):
        mask = open_stack(known_file(layer, target, tmp_path / f"{layer.name}.ome.tif")).array[...]
        assert np.array_equal(mask, np.broadcast_to(expected, shape))


@pytest.mark.parametrize("where", [{}, {"scale": (0.5, 2.0)}])
def test_a_region_beside_its_image_is_refused(where, tmp_path) -> None:
    """Another scale or place would mark other pixels than were meant."""
    target = Image(RANDOM.random((9, 11)), **PLACED)
    with pytest.raises(ValueError, match="must lie on the pixels of its target image, 9 x 11; 'Shapes' has another"):
        known_file(Shapes([SQUARE], **where), target, tmp_path / "known.tif")
    with pytest.raises(ValueError, match="has another size"):
        known_file(Labels(np.ones((9, 12), int), **PLACED), target, tmp_path / "known.tif")
    assert not list(tmp_path.iterdir())


def test_a_region_of_a_stack_belongs_to_its_plane(tmp_path) -> None:
    """What was drawn on one plane is not known of the others."""
    target = Labels(np.ones((4, 20, 30), int), name="target", scale=(2, 1, 1))
    region = Shapes([[[2, 5, 5], [2, 5, 15], [2, 15, 15], [2, 15, 5]]], shape_type="polygon", ndim=3, scale=(2, 1, 1))
    known = open_stack(known_file(region, target, tmp_path / "known.tif")).array[...]
    assert known[2, 8:12, 8:12].all()
    assert not known[[0, 1, 3]].any()
    assert not known[2, :, 20:].any()


def test_the_axes_that_a_file_tells_are_used(tmp_path) -> None:
    """A layer opened from a file of channels is no stack of planes; one whose pixels have another shape is guessed."""
    path = write_image(tmp_path / "stains.ome.tif", np.zeros((3, 20, 30), np.uint8), "CYX")
    layer = Image(open_stack(path).array[...], name="stains")
    assert layer_axes(layer) == "ZYX"
    layer._source = layer.source.model_copy(update={"path": str(path)})
    assert layer_axes(layer) == "CYX"
    layer.data = np.zeros((4, 20, 30), np.uint8)
    assert layer_axes(layer) == "ZYX"
