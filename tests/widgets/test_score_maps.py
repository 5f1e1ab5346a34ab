"""Fields lie where arithmetic says; the worst come first; the mask is on the image's own pixels."""

import numpy as np
import pytest
from napari.layers import Image, Labels

from napari_pix2pix.core.geometry.per_pixel import per_pixel
from napari_pix2pix.files.colours import FAINT
from napari_pix2pix.files.outputs import beside
from napari_pix2pix.widgets.field_pointer import FieldPointer
from napari_pix2pix.widgets.score_maps import ScoreMaps
from napari_pix2pix.widgets.trust_layers import bad_colours, error_layer, glow
from widgets.conftest import write_image
from widgets.test_placing import PLACES

TOLD = {"scale": (8, 8), "translate": (11.5, 11.5), "sizes": (70, 70), "kind": "match", "trust_limit": 0.5}


def maps_of(image, folder, axes="YX", told=TOLD, **parts):
    """As `score` would have written these parts."""
    out = folder / "s.ome.tif"
    for name, values in parts.items():
        write_image(out if name == "scores" else beside(name)(out), values, axes)
    return ScoreMaps.read(image, out, told)


def made(shape, seed=0):
    """Scores, expected errors, ranks and which are valid."""
    random = np.random.default_rng(seed)
    parts = {name: random.random(shape).astype(np.float32) for name in ("scores", "expected_error", "rank")}
    valid = np.zeros(shape, np.uint8)
    valid[..., 4:-4, 4:-4] = 1
    return parts | {"valid": valid}


@pytest.mark.parametrize("place", PLACES.values(), ids=PLACES)
def test_each_field_is_found_boxed_and_centred(place, tmp_path) -> None:
    """Field (i, j) is under the pixel of its centre; its box holds the 70 px that it sees, moved where it is shown."""
    image = Image(np.zeros((176, 208)), name="image", **place)
    maps = maps_of(image, tmp_path, **made((20, 24)))
    overlay, said = maps.layer("expected_error"), []
    pointer = FieldPointer(None, maps, overlay, said.append)
    for at in ((0, 0), (19, 23), (7, 11)):
        pixel = np.array([8 * i + 11.5 for i in at])
        world = image.data_to_world(pixel)
        assert np.allclose(maps.world(maps.centre(at)), world)
        assert maps.at(overlay.world_to_data(world)) == at
        assert maps.at(overlay.world_to_data(image.data_to_world(pixel + 3.9))) == at
        assert maps.at(overlay.world_to_data(image.data_to_world(pixel + 100 * (np.array(at) > 0) - 50))) != at
        box = maps.box(at)
        for axis in (0, 1):
            assert (box[:, axis].min(), box[:, axis].max()) == (pixel[axis] - 35, pixel[axis] + 35)
        pointer.point(at)
        shown = [pointer.box.data_to_world(corner) for corner in pointer.box.data[0]]
        assert np.allclose(shown, [image.data_to_world(corner) for corner in box])
        assert "expected error" in said[-1]
    pointer.point(None)
    assert (pointer.box.visible, said[-1]) == (False, "")
    assert maps.at((-0.6, 3)) is None
    assert maps.at((0, 23.6)) is None


def test_the_worst_come_first_and_see_nothing_in_common(tmp_path) -> None:
    """Of fields wholly inside; high is bad in expected errors, low in scores and ranks; frames by their means."""
    image = Image(np.zeros((3, 400, 480)), name="image", axis_labels=("t", "y", "x"))
    parts = made((3, 48, 58))
    parts["expected_error"][1, 20, 30], parts["expected_error"][2, 0, 0] = 5, 9  # the second is not valid
    parts["scores"][0, 30, 30] = -5
    parts["scores"][2] -= 0.5
    maps = maps_of(image, tmp_path, "TYX", **parts)
    found = maps.summaries["expected_error"].regions[:10]
    assert found[0] == (1, 20, 30)
    assert maps.summaries["scores"].regions[0] == (0, 30, 30)
    values = [maps.parts["expected_error"][place] for place in found]
    assert values == sorted(values, reverse=True)
    for i, a in enumerate(found):
        for b in found[:i]:
            apart = np.abs(np.subtract(a, b))
            assert apart[0] or max(apart[1:]) * 8 >= 70
    frames = maps.summaries["scores"].frames
    inside = parts["valid"][0].astype(bool)
    assert frames[0][0][0] == 2
    for place, mean in frames:
        frame = parts["scores"][place[0]]
        assert mean == pytest.approx(frame[inside].mean(), rel=1e-5)
        assert frame[place[1:]] == frame[inside].min()
    assert [mean for _, mean in frames] == sorted(mean for _, mean in frames)


@pytest.mark.parametrize("axes", ["TZYX", "ZTYX"])
def test_frames_are_ranked_by_the_mean_of_their_pixels(axes, tmp_path) -> None:
    """As `score` tells it, in the order of files, whatever the layer's; other parts by that of their fields."""
    told = TOLD | {"expected_errors": [0.1, 0.6, 0.3, 0.2, 0.5, 0.4]}
    parts = made((2, 3, 9, 9))
    lengths = (2, 3) if axes == "TZYX" else (3, 2)
    image = Image(np.zeros((*lengths, 90, 90)), name="image", axis_labels=tuple(axes.lower()))
    maps = maps_of(image, tmp_path, "TZYX", told, **parts)
    frames = [(0, 1), (1, 1), (1, 2), (0, 2), (1, 0), (0, 0)]
    frames = frames if axes == "TZYX" else [(z, t) for t, z in frames]
    assert [place[:2] for place, _ in maps.summaries["expected_error"].frames] == frames
    assert [mean for _, mean in maps.summaries["expected_error"].frames] == [0.6, 0.5, 0.4, 0.3, 0.2, 0.1]
    assert maps.summaries["rank"].frames[0][1] == pytest.approx(
        min(frame[parts["valid"][0, 0] > 0].mean() for frame in parts["rank"].reshape(6, 9, 9)), rel=1e-5
    )


@pytest.mark.parametrize("labels", [("t", "y", "x"), ("t", "x", "y")])
def test_the_mask_is_on_the_images_pixels(labels, tmp_path) -> None:
    """Where the field around a pixel is bad, as `score --per-pixel` has it, whatever the order of the axes."""
    image = Image(np.zeros((2, 90, 90)), name="image", axis_labels=labels, scale=(1, 2, 3), rotate=20)
    parts = made((2, 9, 9))
    maps = maps_of(image, tmp_path, "TYX", **parts)
    mask = maps.mask("expected_error", 0.5)
    window = slice(0, 90), slice(0, 90)
    expected = per_pixel(parts["expected_error"], (8, 8), (11.5, 11.5), window) > 0.5
    expected = expected.swapaxes(1, 2) if labels[1] == "x" else expected
    np.testing.assert_array_equal(mask.data, expected)
    assert np.allclose(mask.data_to_world((1, 30, 80)), image.data_to_world((1, 30, 80)))
    low = maps.mask("rank", 0.3).data
    assert 0 < low.mean() < 0.5


def test_volumes_have_fields_along_z(tmp_path) -> None:
    told = TOLD | {"scale": (2, 8, 8), "translate": (0.5, 11.5, 11.5), "sizes": (4, 70, 70)}
    image = Image(np.zeros((8, 90, 98)), name="image", axis_labels=("z", "y", "x"), scale=(3, 1, 1))
    maps = maps_of(image, tmp_path, "ZYX", told, **made((4, 9, 10)))
    layer = maps.layer("expected_error")
    assert np.allclose(layer.data_to_world((1, 2, 3)), image.data_to_world((2.5, 27.5, 35.5)))
    assert maps.mask("expected_error", 0.5).data.shape == (8, 90, 98)
    assert maps.summaries["scores"].frames == []
    assert len(maps.summaries["scores"].regions) >= 2


def test_what_is_good_is_transparent_and_what_is_better_than_the_threshold_is_faint() -> None:
    """The opacity rises with what is bad, in the same colours for high errors and low scores."""
    at = np.linspace(0, 0.999, 50)
    up, down = bad_colours().map(at), bad_colours(low_is_bad=True).map(0.999 - at)
    np.testing.assert_allclose(up, down, atol=0.02)
    assert up[0, 3] == 0
    assert (np.diff(up[:, 3]) >= 0).all()
    assert up[-1, 3] > 0.85
    for low_is_bad in (False, True):
        shown, without = (bad_colours(low_is_bad, share).map(np.array([0.25, 0.75])) for share in (0.5, 0.0))
        good, bad = (1, 0) if low_is_bad else (0, 1)
        assert shown[good, 3] == pytest.approx(FAINT * 0.5 * without[good, 3], rel=0.05)  # half as bad as the threshold
        assert shown[bad, 3] == pytest.approx(without[bad, 3])


def test_all_images_of_a_model_have_one_scale(tmp_path) -> None:
    """An overlay of Predict and one of Patch scores end at the same expected error, whatever their images hold."""
    image = Image(np.zeros((90, 90)), name="image")
    limits = set()
    for i, most in enumerate((0.01, 0.9)):
        parts = made((9, 9))
        parts["expected_error"] *= np.float32(most)
        (tmp_path / str(i)).mkdir()
        maps = maps_of(image, tmp_path / str(i), **parts)
        limits.add(tuple(maps.layer("expected_error").contrast_limits))
        limits.add(tuple(error_layer(parts["expected_error"], TOLD["trust_limit"]).contrast_limits))
    assert limits == {(0.0, 1.0)}


def test_the_probability_of_a_pixel_is_red_where_it_is_as_likely_wrong_as_not() -> None:
    """Rims of objects are always above a limit that was made for whole fields; twice a higher one stays."""
    for limit, most in ((0.05, 0.5), (0.4, 0.8)):
        layer = error_layer(np.full((9, 9), 0.3, np.float32), limit, True)
        assert tuple(layer.contrast_limits) == (0.0, most)
        alpha = layer.colormap.map(np.array([0.9 * limit, 1.1 * limit, most]) / most)[:, 3]
        assert alpha[0] < alpha[1] < alpha[2]


def test_a_threshold_is_offered_for_what_would_be_an_empty_mask(tmp_path) -> None:
    """The one offered marks something, and not most."""
    maps = maps_of(Image(np.zeros((90, 90)), name="image"), tmp_path, **made((9, 9)))
    for part in ("expected_error", "rank"):
        assert 0 < maps.bad(part, maps.harder(part)).mean() <= 0.06


def test_the_true_error_of_a_field_is_its_mean_over_the_field(tmp_path) -> None:
    """On the grid of the expected errors, by the target image; their agreement is told."""
    random = np.random.default_rng(0)
    truth, guess = (random.integers(0, 2, (2, 90, 98), np.uint8) for _ in range(2))
    image = Labels(guess, name="image")
    maps = maps_of(image, tmp_path, "ZYX", **made((2, 9, 10))).with_truth(Labels(truth), "classes")
    wrong = guess != truth
    top, left = (int(8 * i + 11.5 - 34.5) for i in (3, 4))
    inside = wrong[1, max(top, 0) : top + 70, max(left, 0) : left + 70]
    assert maps.parts["true_error"].shape == (2, 9, 10)
    assert maps.parts["true_error"][1, 3, 4] == pytest.approx(inside.mean(), rel=1e-5)
    assert "ρ\u00a0=\u00a0" in maps.agreement()
    with pytest.raises(ValueError, match="same pixels"):
        maps.with_truth(Labels(truth[:1]), "classes")


@pytest.mark.parametrize(
    ("most", "in_shares", "said"),
    [
        (0.3, True, "red the most; here up to 30 % of such pixels."),
        (0.004, True, "Nothing glows"),
        (0.004, False, "here up to 0.004 grey values."),
        (0.0, False, "Nothing glows"),
    ],
)
def test_an_overlay_says_how_much_glows(most: float, in_shares: bool, said: str) -> None:
    """And of one in which nothing does, that nothing does: no "up to 0 %"."""
    values = np.zeros((9, 9), np.float32)
    values[4, 4] = most
    assert said in glow(error_layer(values, 0.05, in_shares), in_shares)
