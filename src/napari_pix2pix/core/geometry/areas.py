"""The part of a frame that is wanted: shapes with edges, and a box; the geometry of regions, annotations and tissue."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import maximum_filter

SPLITS = 6
"""A tile is cut in two so often, at most, to leave out what is not wanted."""
AT_ONCE = 2**20
"""Pixels of a window, and places where edges cross its rows, that are looked at together."""
CELL = 256
"""Side of the squares that are looked at pixel by pixel only where an outline goes through them, px."""
CANDIDATES = 12
"""Along each side of an area, places that are looked at for one that is all in it."""


@dataclass(frozen=True)
class Shape:
    """A polygon, or several, with holes: a pixel belongs to it if its centre has an odd number of edges on its left.

    Parameters
    ----------
    rings
        Closed lines of points (x, y) in pixels, the first pixel's centre at (0.5, 0.5).
    name
        Of it, empty for none.
    """

    rings: tuple[tuple[tuple[float, float], ...], ...]
    name: str = ""

    def scaled(self, x: float, y: float) -> "Shape":
        """The same where pixels are so much smaller along X and Y."""
        return Shape(tuple(tuple((a * x, b * y) for a, b in ring) for ring in self.rings), self.name)

    @cached_property
    def _edges(self) -> NDArray[np.float64]:
        """(n, 4): x and y of the upper end, then of the lower; level ones cross no row."""
        parts = []
        for ring in self.rings:
            points = np.asarray(ring, np.float64)
            parts.append(np.concatenate([points, np.roll(points, -1, axis=0)], axis=1))
        edges = np.concatenate(parts)
        edges = np.where((edges[:, 1] > edges[:, 3])[:, None], edges[:, [2, 3, 0, 1]], edges)
        return edges[edges[:, 1] < edges[:, 3]]

    @cached_property
    def cut(self) -> NDArray[np.int64]:
        """(n, 2): numbers (row, column) of all squares of `CELL` px that an outline goes through, and of some near."""
        corners = []
        for ring in self.rings:
            points = np.asarray(ring, np.float64)
            along = np.roll(points, -1, axis=0) - points
            steps = np.maximum(1, np.ceil(np.abs(along).max(axis=1) / (CELL // 2))).astype(np.int64)
            edge = np.repeat(np.arange(len(points)), steps)  # in steps of half a square at most
            done = (np.arange(len(edge)) - np.repeat(np.cumsum(steps) - steps, steps)) / steps[edge]
            starts = points[edge] + along[edge] * done[:, None]
            ends = starts + along[edge] / steps[edge][:, None]
            low, high = np.minimum(starts, ends) - 1, np.maximum(starts, ends) + 1
            corners += [np.stack([y[:, 1], x[:, 0]], axis=1) for y in (low, high) for x in (low, high)]
        return np.unique(np.floor(np.concatenate(corners) / CELL).astype(np.int64), axis=0)

    @cached_property
    def bounds(self) -> tuple[float, float, float, float]:
        """Least x and y, largest x and y."""
        points = np.concatenate([np.asarray(ring, np.float64) for ring in self.rings])
        (left, top), (right, bottom) = points.min(axis=0).tolist(), points.max(axis=0).tolist()
        return left, top, right, bottom

    def add_to(self, mask: NDArray[np.bool_], rows: slice, columns: slice) -> None:
        """Set the pixels of a window's `mask` (rows, columns) that belong to it; the same whatever the window."""
        left, top, right, bottom = self.bounds
        within = slice(max(rows.start, math.floor(top)), min(rows.stop, math.ceil(bottom)))
        across = slice(max(columns.start, math.floor(left)), min(columns.stop, math.ceil(right)))
        if within.start >= within.stop or across.start >= across.stop:
            return
        mask = mask[within.start - rows.start : within.stop - rows.start, across.start - columns.start :]
        mask = mask[:, : across.stop - across.start]
        some = max(1, AT_ONCE // mask.shape[1])
        for row in range(0, len(mask), some):
            part = slice(within.start + row, min(within.start + row + some, within.stop))
            self._add_rows(mask[row : row + some], part, across)

    def _add_rows(self, mask: NDArray[np.bool_], rows: slice, columns: slice) -> None:
        """The same for some rows of a window within its bounds."""
        width = columns.stop - columns.start + 1
        x0, y0, x1, y1 = self._edges.T
        near = (y0 < rows.stop) & (y1 > rows.start) & (np.minimum(x0, x1) < columns.stop)
        edges = self._edges[near]
        crossed = np.zeros(len(mask) * width, np.int64)
        heights = np.minimum(edges[:, 3], rows.stop) - np.maximum(edges[:, 1], rows.start) + 1
        rows_before = np.cumsum(heights)
        ends = np.searchsorted(rows_before, np.arange(AT_ONCE, heights.sum(), AT_ONCE))
        for some in np.split(edges, ends):
            crossed += _crossings(some, rows, columns)
        odd = (crossed.reshape(len(mask), width)[:, :-1] & 1).astype(bool)
        if odd[:, 1:].any():
            mask |= np.logical_xor.accumulate(odd, axis=1)
        else:  # the window is cut by no edge: rows are in it, or out
            mask |= odd[:, :1]


def _crossings(edges: NDArray[np.float64], rows: slice, columns: slice) -> NDArray[np.int64]:
    """How many edges cross each row left of each pixel, but not of the one before, and of all of them; flat."""
    x0, y0, x1, y1 = edges.T
    first, last = (np.clip(np.ceil(y - 0.5), rows.start, rows.stop).astype(np.int64) for y in (y0, y1))
    count = last - first
    edge = np.repeat(np.arange(len(count)), count)
    row = np.arange(len(edge)) - np.repeat(np.cumsum(count) - count, count) + first[edge]
    x = x0[edge] + (row + 0.5 - y0[edge]) * (x1 - x0)[edge] / (y1 - y0)[edge]
    column = np.clip(np.ceil(x - 0.5), columns.start, columns.stop).astype(np.int64)
    width, height = columns.stop - columns.start + 1, rows.stop - rows.start
    return np.bincount((row - rows.start) * width + column - columns.start, minlength=height * width)


@dataclass(frozen=True)
class Area:
    """The pixels of a frame ([Z,] Y, X) that are in the box and, of each group, in one of its shapes; or near those.

    Parameters
    ----------
    box
        Rows and columns.
    groups
        Annotations, or tissue, or both; none: all of the box.
    margin
        So many pixels around box and shapes belong to it, too.
    """

    box: tuple[slice, slice]
    groups: tuple[tuple[Shape, ...], ...] = ()
    margin: int = 0

    def in_shapes(self, window: Sequence[slice]) -> NDArray[np.bool_]:
        """Which pixels (rows, columns) of a window are in the shapes, wherever the box is."""
        more = self.margin if self.groups else 0
        rows, columns = (slice(side.start - more, side.stop + more) for side in window[-2:])
        inside = self._in_squares(rows, columns)
        if more and inside.any() and not inside.all():
            inside = maximum_filter(inside, 2 * more + 1, mode="constant")
        return inside[more : len(inside) - more, more : inside.shape[1] - more]

    @cached_property
    def _bounds(self) -> tuple[NDArray[np.float64], ...]:
        """Of each group the `bounds` of its shapes, (n, 4)."""
        return tuple(np.array([shape.bounds for shape in group]) for group in self.groups)

    @cached_property
    def _squares(self) -> tuple[tuple[int, int], NDArray[np.int8]]:
        """Number (row, column) of the first square that may be in the shapes; and 1 for each that is, 0, or 2 if cut.

        A square that no outline cuts is as the pixel in its middle.
        """
        bounds = np.concatenate(self._bounds)
        left, top = (np.floor((bounds[:, :2].min(axis=0) - 1) / CELL)).astype(int).tolist()
        right, bottom = (np.floor((bounds[:, 2:].max(axis=0) + 1) / CELL)).astype(int).tolist()
        known = np.zeros((bottom + 1 - top, right + 1 - left), np.int8)
        for i, of_row in enumerate(known):
            row = (top + i) * CELL + CELL // 2
            of_row[:] = self._pixels(slice(row, row + 1), slice(left * CELL, (right + 1) * CELL))[0, CELL // 2 :: CELL]
        for group in self.groups:
            for shape in group:
                known[tuple((shape.cut - (top, left)).T)] = 2
        return (top, left), known

    def _in_squares(self, rows: slice, columns: slice) -> NDArray[np.bool_]:
        """Which pixels of a window are in the shapes: pixel by pixel where a square is cut, else at once."""
        inside = np.full((rows.stop - rows.start, columns.stop - columns.start), not self.groups)
        if not self.groups:
            return inside
        (top, left), known = self._squares
        first, last = max(left, columns.start // CELL), min(left + known.shape[1], -(-columns.stop // CELL))
        for i in range(max(top, rows.start // CELL), min(top + len(known), -(-rows.stop // CELL))):
            of_row = known[i - top, first - left : max(first, last) - left]
            part = slice(max(rows.start, i * CELL), min(rows.stop, (i + 1) * CELL))
            changes = [0, *(np.flatnonzero(np.diff(of_row)) + 1).tolist(), len(of_row)]
            for a, b in pairwise(changes):
                if a == b or not of_row[a]:
                    continue
                across = slice(max(columns.start, (first + a) * CELL), min(columns.stop, (first + b) * CELL))
                at = (
                    slice(part.start - rows.start, part.stop - rows.start),
                    slice(across.start - columns.start, across.stop - columns.start),
                )
                inside[at] = of_row[a] == 1 or self._pixels(part, across)
        return inside

    def _pixels(self, rows: slice, columns: slice) -> NDArray[np.bool_]:
        """Which pixels of a window are in the shapes, each looked at."""
        inside = np.ones((rows.stop - rows.start, columns.stop - columns.start), bool)
        for group, bounds in zip(self.groups, self._bounds, strict=True):
            left, top, right, bottom = bounds.T
            near = (left < columns.stop) & (right > columns.start) & (top < rows.stop) & (bottom > rows.start)
            mask = np.zeros_like(inside)
            for i in np.flatnonzero(near).tolist():
                group[i].add_to(mask, rows, columns)
            inside &= mask
        return inside

    def mask(self, window: Sequence[slice]) -> NDArray[np.bool_]:
        """Which pixels (rows, columns) of a window are wanted."""
        rows, columns = window[-2:]
        wanted = np.zeros((rows.stop - rows.start, columns.stop - columns.start), bool)
        part = [
            slice(max(side.start, own.start - self.margin), min(side.stop, own.stop + self.margin))
            for side, own in zip((rows, columns), self.box, strict=True)
        ]
        if all(side.start < side.stop for side in part):
            inside = tuple(slice(a.start - w.start, a.stop - w.start) for a, w in zip(part, window[-2:], strict=True))
            wanted[inside] = self.in_shapes(part)
        return wanted

    def touches(self, window: Sequence[slice]) -> bool:
        """Whether a pixel of the window is wanted."""
        return bool(self.mask(window).any())

    def in_it(self, shape: Sequence[int], side: int) -> tuple[slice, ...]:
        """A window, `side` large at most, of a frame of this shape ([Z,] Y, X) that is as much in the area as any."""
        ends = [(max(0, own.start), min(n, own.stop)) for own, n in zip(self.box, shape[-2:], strict=True)]
        if self.groups:
            bounds = np.array([one.bounds for one in min(self.groups, key=len)])
            for i, (least, most) in enumerate(((1, 3), (0, 2))):
                low, high = math.floor(bounds[:, least].min()), math.ceil(bounds[:, most].max())
                ends[i] = max(ends[i][0], low), min(ends[i][1], high)
        best, found = -1, (slice(0, 1), slice(0, 1))
        for y in _starts(*ends[0], side):
            for x in _starts(*ends[1], side):
                window = (slice(y, min(y + side, ends[0][1])), slice(x, min(x + side, ends[1][1])))
                count = int(self.mask(window).sum())
                if count > best:
                    best, found = count, window
        return (*(slice(0, n) for n in shape[:-2]), *found)


def _starts(first: int, last: int, side: int) -> Iterator[int]:
    """At most `CANDIDATES` places where a length may begin that is to end by `last`, the middle first."""
    free = max(0, last - first - side)
    places = np.unique(np.linspace(0, free, min(CANDIDATES, free + 1)).astype(int))
    yield from (first + int(place) for place in sorted(places, key=lambda place: abs(2 * place - free)))
