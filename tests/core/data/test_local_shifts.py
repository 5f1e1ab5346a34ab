"""Planted fields are found, between images of any contrast; what is found never folds."""

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage

from napari_pix2pix import core
from napari_pix2pix.core.data.fields import inside, least_area, moved, places, spread
from napari_pix2pix.core.data.local_shifts import local_shifts
from napari_pix2pix.core.data.starts import TURNED

SHAPE = (192, 224)


def tissue(seed: int = 0, shape: tuple[int, int] = SHAPE) -> tuple[NDArray[np.float32], NDArray[np.uint16]]:
    """Round objects on an uneven ground, and a label for each."""
    random = np.random.default_rng(seed)
    points = np.zeros(shape)
    points[tuple(random.integers(3, n - 3, shape[0] * shape[1] // 250) for n in shape)] = random.uniform(1, 2)
    bright = ndimage.gaussian_filter(points, 3)
    labels, _ = ndimage.label(bright > 0.3 * bright.max())
    image = bright / bright.max() + 0.05 * random.normal(size=shape)
    return image.astype(np.float32)[None], labels.astype(np.uint16)[None]


def planted(shape: tuple[int, int] = SHAPE, seed: int = 1, local: float = 3.0) -> NDArray[np.float32]:
    """An affine motion and a smooth local one."""
    random = np.random.default_rng(seed)
    y, x = np.meshgrid(*(np.arange(n) - (n - 1) / 2 for n in shape), indexing="ij")
    bumps = [ndimage.gaussian_filter(random.normal(size=shape), 40) for _ in range(2)]
    bent = [local * bump / np.abs(bump).max() for bump in bumps]
    return np.stack([0.015 * y - 0.01 * x + bent[0] + 2, 0.01 * y - 0.015 * x + bent[1] - 1]).astype(np.float32)


def looked_at_from(image: NDArray, field: NDArray, nearest: bool = False) -> NDArray:
    """The target of which `image` is what lies at p + field(p): the inverse, by fixed points."""
    back = -field
    for _ in range(20):
        at = places(back)
        back = -np.stack([ndimage.map_coordinates(own, at, order=1, mode="nearest") for own in field])
    return moved(image, places(back), nearest=nearest)


@pytest.mark.parametrize("contrast", ["same", "inverted", "labels", "colours"])
def test_a_planted_field_is_found_whatever_the_contrast(contrast):
    image, labels = tissue()
    target = {
        "same": image,
        "inverted": 3 - 2 * image,
        "labels": labels,
        "colours": np.concatenate([250 - 100 * image, 240 - 200 * image, 245 - 20 * image]).clip(0, 255),
    }[contrast]
    field = planted()
    found = local_shifts(image, looked_at_from(target, field, contrast == "labels"), labels=contrast == "labels")
    off = np.hypot(*(found.field(SHAPE) - field))[inside(places(field), SHAPE)]
    assert np.median(off) < 0.7
    assert np.quantile(off, 0.9) < 1.5
    assert np.median(np.hypot(*field)) > 2.5
    assert found.in_common
    assert found.after[0] < 0.5 < found.before[0]
    assert found.correlation[0] < found.correlation[1]


def test_a_constant_shift_is_told_as_one_and_an_affine_motion_as_such():
    image, _ = tissue()
    assert local_shifts(image[:, :-5, :-3], image[:, 5:, 3:]).explained_by() == "shift"
    affine = planted(local=0)
    assert local_shifts(image, looked_at_from(image, affine)).explained_by() == "affine"


def test_a_target_that_was_moved_by_a_constant_comes_back_to_a_third_of_a_pixel_whatever_its_blocks_say():
    image, labels = tissue(shape=(256, 256))
    noise = 0.3 * np.random.default_rng(0).normal(size=(2, *image.shape)).astype(np.float32)
    for shift in (1, 0):
        found = local_shifts((image + noise[0])[:, shift:], labels[:, : 256 - shift], labels=True)
        off = found.field((256 - shift, 256)) - np.array([shift, 0])[:, None, None]
        assert found.motion == "shift"
        assert np.hypot(*off).max() < 0.3
        assert found.after[2] < 0.3
        assert found.mendable == bool(shift)


def test_a_target_is_laid_over_its_source_from_python_too():
    image, labels = tissue()
    target = looked_at_from(labels, planted(), nearest=True)
    found = core.local_shifts(image, target, labels=True)
    wrong = [
        ((own > 0) != (labels > 0))[found.known(SHAPE)[None]].mean()
        for own in (target, found.laid_over(target, nearest=True))
    ]
    assert wrong[1] < wrong[0] / 2


def test_a_shift_is_where_the_source_finds_its_target():
    image, _ = tissue()
    found = local_shifts(image[:, 5:, 3:], image[:, :-5, :-3])
    assert np.median(found.shifts[:, found.matched], axis=1) == pytest.approx([5, 3], abs=0.1)


def test_images_of_different_things_have_nothing_in_common():
    for seed in range(3):
        found = local_shifts(tissue(seed)[0], tissue(seed + 10)[1], labels=True)
        assert not found.in_common
        assert found.turned is None


@pytest.mark.parametrize("how", TURNED)
def test_a_turned_target_is_noticed(how):
    image, labels = (side[:, :, :192] for side in tissue())
    found = local_shifts(image, TURNED[how](labels), labels=True)
    undone = {"turned by 90°": "turned by −90°", "turned by −90°": "turned by 90°"}
    assert found.turned is not None
    back = TURNED[found.turned](TURNED[how](labels))
    assert found.turned == undone.get(how, how)
    assert (back == labels).all()


def test_what_matches_nothing_is_not_known():
    image, labels = tissue(shape=(192, 384))
    labels[..., 192:] = tissue(9, (192, 384))[1][..., 192:]
    known = local_shifts(image, labels, labels=True).known((192, 384))
    assert known[:, :160].mean() > 0.9
    assert known[:, 224:].mean() < 0.35


def test_where_the_target_is_not_known_nothing_is_matched():
    image, labels = tissue()
    other = tissue(9)[1]
    known = np.ones(SHAPE, bool)
    known[:, 112:] = False
    field = local_shifts(image, np.where(known, labels, other), labels=True, known=known).field(SHAPE)
    assert np.abs(field[:, :, :112]).mean() < 0.5


def test_no_field_folds_however_wild_the_shifts_of_its_blocks():
    image, _ = tissue()
    for seed in range(3):
        torn = moved(image, places(planted(seed=seed, local=25)))
        assert least_area(local_shifts(image, torn).field(SHAPE)) > 0


def test_least_area_sees_a_fold_and_what_squeezes():
    assert least_area(np.zeros((2, 8, 9), np.float32)) == pytest.approx(1)
    squeezed = np.stack([np.zeros((8, 9)), np.broadcast_to(-0.5 * np.arange(9), (8, 9))]).astype(np.float32)
    assert least_area(squeezed) == pytest.approx(0.5)
    folded = np.zeros((2, 8, 9), np.float32)
    folded[1, 4, 4] = 1.5
    assert least_area(folded) < 0


def test_a_spline_goes_through_its_nodes_and_straight_on():
    rows, columns = np.array([10.0, 20, 30]), np.array([5.0, 25])
    nodes = np.random.default_rng(0).normal(size=(2, 3, 2))
    field = spread(nodes, rows, columns, (40, 30))
    assert field[:, [10, 20, 30]][:, :, [5, 25]] == pytest.approx(nodes, abs=1e-5)
    line = spread(np.stack([np.add.outer(rows, 2 * columns)] * 2), rows, columns, (40, 30))
    assert line == pytest.approx(np.stack([np.add.outer(np.arange(40), 2 * np.arange(30))] * 2), abs=1e-3)


def test_labels_are_moved_without_new_values_and_grey_values_within_their_range():
    image, labels = tissue()
    where = places(planted())
    assert set(np.unique(moved(labels, where, nearest=True))) <= set(np.unique(labels))
    steps = (1000 * (image > 0.5)).astype(np.uint16)
    found = moved(steps, where)
    assert found.dtype == np.uint16
    assert (found.min(), found.max()) == (0, 1000)
    assert (moved(image, places(np.zeros((2, *SHAPE), np.float32))) == image).all()


@pytest.mark.parametrize(
    ("source", "target", "sentence"),
    [
        (np.ones((1, 96, 96)), tissue()[0][:, :96, :96], "the source is constant"),
        (tissue()[0][:, :96, :96], np.full((1, 96, 96), 255), "the target is constant"),
        (tissue()[0][:, :40, :96], tissue()[0][:, :40, :96], "at least 64 px"),
        (tissue()[0][:, :, :160], tissue()[0][:, :, 60:220], "less than a quarter"),
    ],
)
def test_what_cannot_be_measured_is_refused_in_a_sentence(source, target, sentence):
    with pytest.raises(ValueError, match=sentence):
        local_shifts(source, target)


def test_saturated_images_are_matched_by_what_is_left():
    image, _ = tissue()
    field = planted()
    found = local_shifts(image.clip(0, 0.3), looked_at_from(image, field))
    assert np.median(np.hypot(*(found.field(SHAPE) - field))) < 1


def test_large_images_are_looked_at_in_less_detail_and_told_in_their_own_pixels(monkeypatch):
    image, labels = tissue()
    field = planted()
    target = looked_at_from(labels, field, nearest=True)
    monkeypatch.setattr("napari_pix2pix.core.data.local_shifts.LARGEST_SIDE", 112)
    found = local_shifts(image, target, labels=True)
    off = np.hypot(*(found.field(SHAPE) - field))[inside(places(field), SHAPE)]
    assert np.median(off) < 1.2


def test_a_target_that_is_turned_by_some_degrees_is_laid_back_or_told_as_rigid() -> None:
    """As a section on its slide is: no whole shift fits it, and it is not turned by quarters."""
    image, labels = tissue(2, (288, 288))
    turned = ndimage.rotate(labels[0], 8, reshape=False, order=0)[None]
    found = local_shifts(image, turned, labels=True)
    assert found.in_common
    assert found.explained_by() == "rigid"
    mended = found.laid_over(turned, nearest=True)
    wrong = [((one > 0) != (labels > 0))[:, 60:-60, 60:-60].mean() for one in (turned, mended)]
    assert wrong[1] < wrong[0] / 3


@pytest.mark.parametrize(("pattern", "limit"), [("scattered", 2.2), ("strips", 0.5)])
def test_a_field_is_found_where_little_of_the_target_is_known(pattern, limit):
    """Labels that were drawn here and there, or in bands: what is known of a block tells how it lies."""
    shape = (320, 320)
    image, labels = tissue(shape=shape)
    field = planted(shape)
    random = np.random.default_rng(0)
    known = random.random(shape) < 0.4 if pattern == "scattered" else np.arange(shape[0])[:, None] % 64 < 30
    known = np.broadcast_to(known, shape)
    found = local_shifts(image, looked_at_from(labels, field, nearest=True), labels=True, known=known)
    assert found.in_common
    error = np.hypot(*(found.field(shape) - field))[32:-32, 32:-32]
    assert np.median(error) < limit
    assert np.median(np.hypot(*field)) > 2.5


def test_a_narrow_image_that_is_averaged_is_known_from_side_to_side():
    """What is left over by averaging is not missing."""
    image, labels = tissue(shape=(65, 3100))
    assert local_shifts(image, labels, labels=True).in_common
