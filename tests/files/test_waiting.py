"""Tiles that wait to be written are the image, however its blocks come; those of one value need no room."""

from itertools import pairwise

import numpy as np
import pytest

from napari_pix2pix.files.writers.pyramids import halved
from napari_pix2pix.files.writers.waiting import WaitingTiles

RNG = np.random.default_rng(0)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32", "int32"])
@pytest.mark.parametrize("planes", [1, 3])
def test_tiles_are_the_image_whatever_of_it_is_of_one_value(tmp_path, dtype, planes) -> None:
    image = RNG.integers(0, 200, (planes, 37, 50)).astype(dtype)
    image[:, :20, :30] = 7
    image[0, 20:, :12] = 3
    if dtype == "float32":
        image[:, 16:, 32:] = np.nan
        image[:, 24:, 40:] = np.inf
    for cuts in ([0, 37], [0, 16, 32, 37], [0, 5, 21, 37], range(38)):
        with WaitingTiles(tmp_path, planes, (37, 50), image.dtype, 16) as waiting:
            found = np.zeros_like(image)
            for top, bottom in pairwise(cuts):
                for left, right in ((0, 13), (13, 50)):
                    for key in waiting.put(0, top, left, image[:, top:bottom, left:right]):
                        y, x = waiting.window(key)
                        assert waiting.is_whole(key)
                        found[:, y, x] = waiting.read(key)
                        assert np.array_equal(waiting.read(key, [planes - 1])[0], found[-1, y, x], equal_nan=True)
                        waiting.drop(key)
                        assert not waiting.is_whole(key)
            assert np.array_equal(found, image, equal_nan=True)


def test_a_tile_of_one_value_takes_no_room(tmp_path) -> None:
    with WaitingTiles(tmp_path, 1, (64, 64), np.dtype("float32"), 32) as waiting:
        for value, rows in ((0, (0, 20)), (0, (20, 32)), (np.nan, (32, 64))):
            block = np.broadcast_to(np.float32(value), (1, rows[1] - rows[0], 64))
            assert all(not any(waiting.read(key).strides[-2:]) for key in waiting.put(0, rows[0], 0, block))
        assert waiting._file.seek(0, 2) == 0
        assert waiting.read((0, 0, 0)).max() == 0 and np.isnan(waiting.read((0, 1, 1))).all()


@pytest.mark.parametrize("labels", [True, False])
def test_one_value_is_the_same_at_half_the_size(labels) -> None:
    for value in (np.uint16(65_535), np.float32(0.1), np.float32(np.nan), np.int32(-7)):
        one = np.broadcast_to(value, (2, 31, 44))
        assert np.array_equal(halved(one, labels), halved(one.copy(), labels), equal_nan=True)
