"""Where results lie: arithmetic, on layers that are scaled, shifted, turned, sheared and mapped."""

import numpy as np
import pytest
from napari.layers import Image, Labels

from napari_pix2pix.core.encodings.encoding import Encoding
from napari_pix2pix.core.encodings.normalization import Normalization
from napari_pix2pix.core.encodings.source_view import SourceView
from napari_pix2pix.widgets.card import Card
from napari_pix2pix.widgets.layers import layer_axes
from napari_pix2pix.widgets.placing import MADE_HERE, prediction_layers, scores_placement, with_all_channels
from widgets.conftest import write_image

AFFINE = [[1.1, 0.2, 5], [-0.1, 0.9, -7], [0, 0, 1]]
PLACES = {
    "plain": {},
    "anisotropic": {"scale": (0.5, 0.26), "translate": (10, -3)},
    "rotated": {"scale": (2, 3), "rotate": 30, "translate": (1, 2)},
    "sheared": {"scale": (2, 3), "shear": [0.3]},
    "all": {
        "scale": (0.5, 0.25),
        "translate": (10, -3),
        "rotate": 25,
        "shear": [0.2],
        "affine": AFFINE,
        "units": ("µm", "µm"),
        "axis_labels": ("y", "x"),
    },
}


def card(kind: str = "intensity", n_channels: int = 1, axis: str = "") -> Card:
    ends = {"low": (0.0,) * n_channels, "high": (255.0,) * n_channels, "limit": 0.9, "dtype": "uint8"}
    normalization = Normalization(**ends) if kind == "intensity" else None
    encoding = Encoding(kind=kind, n_channels=n_channels, dtype="uint8", normalization=normalization)
    return Card(encoding, SourceView(), axis, "")


def placed(image, scores, axes, scale, translate):
    """A layer of these scores on the image."""
    keep = [i for i, axis in enumerate(layer_axes(image)[: image.ndim]) if axis in axes]
    return Image(scores, **scores_placement(image, scale, translate, keep))


@pytest.mark.parametrize("place", PLACES.values(), ids=PLACES)
def test_each_score_sits_on_the_centre_of_its_field(place) -> None:
    """Score (i, j) is where pixel (8 i + 11.5, 8 j + 11.5) of the image is, whatever the image's transform."""
    image = Image(np.zeros((80, 96)), name="image", **place)
    layer = placed(image, np.zeros((8, 10)), "YX", (8, 8), (11.5, 11.5))
    for i, j in ((0, 0), (7, 9), (3, 5)):
        expected = image.data_to_world((8 * i + 11.5, 8 * j + 11.5))
        assert np.allclose(layer.data_to_world((i, j)), expected)
    assert layer.units == image.units
    assert layer.axis_labels == image.axis_labels


@pytest.mark.parametrize("place", PLACES.values(), ids=PLACES)
def test_what_was_predicted_of_a_part_lies_over_that_part(place, tmp_path) -> None:
    source = Image(np.zeros((20, 30)), name="source", **place)
    window = (slice(5, 12), slice(3, 30))
    file = write_image(tmp_path / "p.ome.tif", np.ones((7, 27), np.uint8))
    (layer,) = prediction_layers(source, file, card(), window)
    for corner in ((0, 0), (6, 26)):
        assert np.allclose(layer.data_to_world(corner), source.data_to_world(np.add(corner, (5, 3))))


@pytest.mark.parametrize("place", PLACES.values(), ids=PLACES)
def test_a_prediction_lies_over_its_source(place, tmp_path) -> None:
    source = Image(np.zeros((20, 30)), name="source", **place)
    values = np.arange(600, dtype=np.int32).reshape(20, 30)
    (layer,) = prediction_layers(source, write_image(tmp_path / "p.ome.tif", values), card("instances"))
    assert isinstance(layer, Labels)
    assert layer.name == "source (predicted)"
    assert layer.metadata[MADE_HERE]["is"] == "prediction"
    assert np.array_equal(layer.data, values)
    for corner in ((0, 0), (19, 29)):
        assert np.allclose(layer.data_to_world(corner), source.data_to_world(corner))
    assert layer.units == source.units
    assert layer.axis_labels == source.axis_labels


def test_the_axes_of_the_source_are_kept_and_its_channels_dropped(tmp_path) -> None:
    """A (Z, C, Y, X) layer of any transform becomes (Z, Y, X) with the same transform of Z, Y and X."""
    place = {"scale": (3, 1, 0.5, 0.4), "translate": (5, 0, 6, 7), "axis_labels": ("z", "c", "y", "x")}
    source = Image(np.zeros((4, 2, 10, 12)), name="source", **place)
    values = np.random.default_rng(0).random((4, 10, 12)).astype(np.float32)
    (layer,) = prediction_layers(source, write_image(tmp_path / "p.ome.tif", values, "ZYX"), card())
    assert np.array_equal(layer.data, values)
    assert np.allclose(layer.data_to_world((1, 2, 3)), np.delete(source.data_to_world((1, 0, 2, 3)), 1))
    assert layer.axis_labels == ("z", "y", "x")
    scores = placed(source, values[:, :2, :3], "ZYX", (4, 4), (1, 2))
    assert np.allclose(scores.data_to_world((2, 1, 1)), np.delete(source.data_to_world((2, 0, 5, 6)), 1))


def test_turned_axes_are_turned_back(tmp_path) -> None:
    """Files are T Z C Y X; a layer may be X Y, and its frame axis may have length 1."""
    source = Image(np.zeros((1, 12, 10)), name="source", axis_labels=("t", "x", "y"), scale=(1, 2, 3))
    values = np.random.default_rng(0).random((10, 12)).astype(np.float32)
    (layer,) = prediction_layers(source, write_image(tmp_path / "p.ome.tif", values), card())
    assert np.array_equal(layer.data, values.T[None])
    scores = placed(source, values.T[None, :4, :3], "ZTYX", (2, 4), (1, 0.5))
    assert np.allclose(scores.data_to_world((0, 3, 2)), source.data_to_world((0, 4 * 3 + 0.5, 2 * 2 + 1)))


def test_colours_stay_colours_and_channels_become_layers(tmp_path) -> None:
    source = Image(np.zeros((10, 12)), name="source", scale=(2, 3))
    rgb = np.random.default_rng(0).integers(0, 255, (10, 12, 3), np.uint8)
    (layer,) = prediction_layers(source, write_image(tmp_path / "rgb.ome.tif", rgb, "YXS"), card(axis="S"))
    assert layer.rgb
    assert np.array_equal(layer.data, rgb)
    channels = np.moveaxis(rgb, -1, 0)[:2]
    layers = prediction_layers(
        source, write_image(tmp_path / "c.ome.tif", channels, "CYX"), card(n_channels=2, axis="C")
    )
    assert [layer.name for layer in layers] == [f"source: channel {i} (predicted)" for i in range(2)]
    assert all(np.array_equal(layer.data, channel) for layer, channel in zip(layers, channels, strict=True))
    assert np.allclose(layers[1].scale, (2, 3))


def test_channels_are_judged_together(tmp_path) -> None:
    """Layers of one prediction's channels are one stack again, where it lay; one that is gone is named."""
    source = Image(np.zeros((5, 10, 12)), name="planes", scale=(4, 2, 3), translate=(0, 7, 8), rotate=(0, 0, 20))
    values = np.random.default_rng(0).integers(0, 255, (3, 10, 12), np.uint8)
    layers = prediction_layers(source, write_image(tmp_path / "c.ome.tif", values, "CYX"), card(n_channels=3, axis="C"))
    whole = with_all_channels(layers[1], [source, *layers])
    assert np.array_equal(np.squeeze(whole.data), values)
    assert layer_axes(whole)[0] == "C"
    assert np.allclose(whole.data_to_world((2, 0, 3, 4))[1:], layers[0].data_to_world((0, 3, 4)))
    assert with_all_channels(source, layers) is source
    with pytest.raises(ValueError, match="channel 2 of 'planes' is gone"):
        with_all_channels(layers[0], layers[:2])
