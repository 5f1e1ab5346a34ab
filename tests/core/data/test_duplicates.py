"""The same place is found in two images by what they show, however it was cut, turned or mirrored; nothing else is."""

import numpy as np
import pytest

from napari_pix2pix.core.data.duplicates import HOW, Marks
from small import blobs


def tissue(seed=0, shape=(192, 224)):
    return np.block([[blobs((96, 112), 4 * seed + 2 * i + j)[0] for j in (0, 1)] for i in (0, 1)])[
        : shape[0], : shape[1]
    ]


def same(*images, group=lambda number: number):
    marks = Marks()
    for number, image in enumerate(images):
        marks.add(number, image[None])
    found = marks.same(lambda i: lambda window: images[i][window][None], lambda i: images[i].shape, group)
    return [(one.first, one.second, one.how, round(one.share, 2)) for one in found]


@pytest.mark.parametrize(("turns", "mirrored"), HOW)
@pytest.mark.parametrize("corner", [(0, 0), (31, 46), (50, 61)])
def test_a_crop_that_was_turned_or_mirrored_is_found_and_how_is_told(turns, mirrored, corner):
    y, x = corner
    crop = tissue(3)[y : y + 130, x : x + 140]
    crop = np.rot90(crop[:, ::-1] if mirrored else crop, turns)
    assert same(tissue(1), tissue(3), crop, tissue(2)) == [(1, 2, HOW[turns, mirrored], 1.0)]


def test_the_share_that_overlaps_is_told_and_other_grey_values_are_the_same_image():
    image = tissue(3)
    random = np.random.default_rng(0)
    other = (image[60:, 70:] / 40 + random.normal(0, 1, (132, 154))).clip(0, 255).astype(np.uint8)
    [(_, _, how, share)] = same(image[:, :150], other)
    assert how == ""
    assert share == pytest.approx(132 * 80 / (132 * 154), abs=0.02)


def test_images_alike_but_not_the_same_are_not_taken_for_it():
    random = np.random.default_rng(0)
    rim = np.hypot(*np.ogrid[-96:96, -112:112]) < 90
    alike = [20 * rim + random.normal(0, 1, rim.shape) for _ in range(3)]
    tiled = [np.tile(random.normal(size=(32, 32)), (6, 7)) for _ in range(3)]
    assert same(*[tissue(seed) for seed in range(6)], *alike, *tiled) == []


def test_hot_pixels_of_a_camera_and_lattices_are_no_place():
    """They are the same in all images; what is shown besides still tells."""
    random = np.random.default_rng(0)
    y, x = np.mgrid[:256, :256]
    hot = 500.0 * (random.random((256, 256)) > 0.999)
    lattice = 1000 * np.sin(y / 7) * np.sin(x / 7)
    for pattern in (hot, lattice):
        assert same(*(100 + pattern + random.normal(0, 3, pattern.shape) for _ in range(3))) == []
    image = tissue(3) + hot[:192, :224]
    assert [(one[0], one[1]) for one in same(tissue(1) + hot[:192, :224], image, image[20:180, 30:200])] == [(1, 2)]


def test_values_that_are_no_numbers_or_huge_do_not_overflow():
    image = tissue(3).astype(float)
    image[50, 60:63] = np.inf, -np.inf, 1e300
    assert same(image, image.copy()) == [(0, 1, "", 1.0)]
    huge = tissue(3) * 1e36
    assert same(huge, huge) == []


def test_what_holds_nothing_or_is_tiny_is_never_the_same():
    image = tissue()
    assert (
        same(np.zeros((80, 80)), np.zeros((80, 80)), np.full((80, 80), np.nan), image[:12, :12], image[:12, :12]) == []
    )
    assert same() == []


def test_images_of_one_group_are_not_compared():
    assert same(tissue(), tissue(), group=lambda number: 0) == []


def test_pieces_of_an_image_are_the_image():
    image = tissue(3)
    marks = Marks()
    for top in (0, 96):
        marks.add(0, image[None, top : top + 96], (top, 0))
    marks.add(1, image[None, 20:180, 20:180])
    images = image, image[20:180, 20:180]
    [found] = marks.same(lambda i: lambda window: images[i][window][None], lambda i: images[i].shape, lambda i: i)
    assert found.correlation == pytest.approx(1)
