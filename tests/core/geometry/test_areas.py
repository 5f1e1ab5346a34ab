"""Areas: a pixel is in a shape if its centre is, whatever window it is asked for in."""

import tracemalloc
from dataclasses import replace

import numpy as np
import pytest

from napari_pix2pix.core.geometry import areas
from napari_pix2pix.core.geometry.areas import Area, Shape
from napari_pix2pix.core.geometry.tiles import plan_tiles

STAR = Shape((((5.2, 60.7), (40.1, 3.3), (77.7, 71.2), (1.5, 25.5), (88.8, 18.4)),), "star")
HOLE = Shape((((10, 10), (60, 10), (60, 60), (10, 60), (10, 10)), ((20, 20), (50, 20), (50, 50), (20, 50), (20, 20))))
WHOLE = (slice(0, 80), slice(0, 96))


def test_a_rectangle_with_a_hole_is_its_pixels():
    mask = Area(WHOLE, ((HOLE,),)).mask(WHOLE)
    expected = np.zeros((80, 96), bool)
    expected[10:60, 10:60] = True
    expected[20:50, 20:50] = False
    assert np.array_equal(mask, expected)


def test_pixels_have_an_odd_number_of_edges_on_their_left():
    mask = Area(WHOLE, ((STAR,),)).mask(WHOLE)
    (ring,) = STAR.rings
    for y in range(80):
        for x in range(96):
            crossed = 0
            for (x0, y0), (x1, y1) in zip(ring, ring[1:] + ring[:1], strict=True):
                if min(y0, y1) <= y + 0.5 < max(y0, y1):
                    crossed += x0 + (y + 0.5 - y0) * (x1 - x0) / (y1 - y0) <= x + 0.5
            assert mask[y, x] == crossed % 2


@pytest.mark.parametrize(
    "window", [(slice(0, 1), slice(0, 96)), (slice(13, 61), slice(7, 31)), (slice(79, 80), slice(90, 96))]
)
def test_a_window_is_that_of_the_whole(window):
    area = Area((slice(5, 70), slice(3, 90)), ((STAR, HOLE), (STAR,)))
    assert np.array_equal(area.mask(window), area.mask(WHOLE)[window])
    assert area.touches(window) == area.mask(WHOLE)[window].any()


@pytest.mark.parametrize("groups", [(), ((STAR, HOLE),)])
def test_a_margin_is_what_lies_so_near(groups):
    area = Area((slice(20, 40), slice(30, 60)), groups)
    inside = np.argwhere(area.mask(WHOLE))
    near = replace(area, margin=7).mask(WHOLE)
    for y, x in np.argwhere(~near):
        assert np.abs(inside - (y, x)).max(axis=1).min() > 7
    for window in ((slice(13, 61), slice(7, 31)), (slice(0, 30), slice(20, 96))):
        assert np.array_equal(replace(area, margin=7).mask(window), near[window])
    assert near[inside[:, 0], inside[:, 1]].all() and near.sum() > len(inside)
    assert groups or near.sum() == 34 * 44


@pytest.mark.parametrize("cell", [2, 8, 16, 300])
def test_squares_that_no_outline_cuts_are_known_at_once(monkeypatch, cell):
    """The same pixels, however large the squares are, and wherever edges lie on their sides."""
    rings = [ring for shape in (STAR, HOLE) for ring in shape.rings]
    inner = Shape((((16, 16), (64, 16), (64, 48), (16, 48)),))
    shapes = (Shape(tuple(rings)), inner, STAR.scaled(-0.7, 1.3), Shape((((24, 0), (24, 60), (24, 30)),)))
    expected = [Area(WHOLE, groups)._pixels(*WHOLE) for groups in ((shapes,), (shapes, (STAR,)))]
    monkeypatch.setattr(areas, "CELL", cell)
    shapes = tuple(replace(shape) for shape in shapes)  # nothing of which is known yet
    for groups, mask in zip(((shapes,), (shapes, (replace(STAR),))), expected, strict=True):
        area = Area(WHOLE, groups)
        assert np.array_equal(area.in_shapes(WHOLE), mask) and 0 < mask.sum() < mask.size
        for window in ((slice(13, 61), slice(7, 31)), (slice(-9, 30), slice(-20, 41)), (slice(70, 99), slice(80, 140))):
            found = area.in_shapes(window)
            rows, columns = (slice(max(0, side.start), side.stop) for side in window)
            assert np.array_equal(
                found[rows.start - window[0].start :, columns.start - window[1].start :][
                    : 80 - rows.start, : 96 - columns.start
                ],
                mask[rows, columns],
            )


def test_shapes_of_a_group_join_and_groups_cut_each_other():
    one, other = (Area(WHOLE, ((shape,),)).mask(WHOLE) for shape in (STAR, HOLE))
    assert np.array_equal(Area(WHOLE, ((STAR, HOLE),)).mask(WHOLE), one | other)
    assert np.array_equal(Area(WHOLE, ((STAR,), (HOLE,))).mask(WHOLE), one & other)


@pytest.mark.parametrize("groups", [((STAR,),), ((STAR, HOLE), (HOLE,))])
def test_wanted_tiles_cover_the_shapes_once_and_read_less(groups):
    plan = plan_tiles((80, 96), grid=4, reach=3, tile_size=48)
    wanted = replace(plan, area=Area((slice(0, 20), slice(0, 20)), groups)).wanted
    covered = np.zeros((80, 96), int)
    for tile in wanted:
        covered[tile.keep] += 1
    assert covered.max() == 1 and covered[Area(WHOLE, groups).mask(WHOLE)].all()
    assert sum(np.prod(tile.shape) for tile in wanted) <= sum(np.prod(tile.shape) for tile in plan.tiles)


def test_a_window_in_an_area_is_full_of_it():
    corner = Shape((((70, 60), (96, 60), (96, 80), (70, 80)),))
    area = Area(WHOLE, ((corner,),))
    assert area.mask(area.in_it((80, 96), 16)).all()
    assert Area((slice(3, 9), slice(4, 11))).in_it((80, 96), 16) == (slice(3, 9), slice(4, 11))


def test_many_long_edges_take_no_more_memory_than_some(monkeypatch):
    x = np.linspace(0, 96, 3000)
    zigzag = Shape((tuple(zip(x.tolist(), np.where(np.arange(3000) % 2, 79.9, 0.1).tolist(), strict=True)),))
    window = slice(3, 77), slice(5, 60)
    at_once = Area(WHOLE, ((zigzag,),)).mask(WHOLE)
    monkeypatch.setattr(areas, "AT_ONCE", 500)
    tracemalloc.start()
    some = Area(WHOLE, ((zigzag,),)).mask(window)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert np.array_equal(some, at_once[window]) and some.any() and not some.all()
    assert peak < 2_000_000  # of 3000 edges that cross 80 rows each, 15 MB
