"""Which windows of a frame a network sees, and what each counts where in the result: the geometry of tiling."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import overload

import numpy as np
from numpy.typing import NDArray

from napari_pix2pix.core.geometry.areas import SPLITS, Area


@dataclass(frozen=True)
class Tile:
    """One inference window. Holds no pixels.

    Parameters
    ----------
    keep
        The pixels of the frame that come from this tile, per axis; in a blended plan, where it counts most.
    read
        The pixels that the network sees: `keep`, the overlap, and the padding beyond the frame's end.
    """

    keep: tuple[slice, ...]
    read: tuple[slice, ...]

    def inside(self, window: tuple[slice, ...]) -> tuple[slice, ...]:
        """`window` of the frame, counted from the start of `read`."""
        return tuple(slice(w.start - r.start, w.stop - r.start) for w, r in zip(window, self.read, strict=True))

    def inside_of(self, other: "Tile") -> tuple[slice, slice]:
        """Rows and columns that this tile keeps, counted from the first that the `other` keeps."""
        y, x = (
            slice(a.start - b.start, a.stop - b.start) for a, b in zip(self.keep[-2:], other.keep[-2:], strict=True)
        )
        return y, x

    @property
    def shape(self) -> tuple[int, ...]:
        """Of what the network sees, in pixels per axis."""
        return tuple(side.stop - side.start for side in self.read)


@dataclass(frozen=True)
class _Along:
    """The tiles along one axis of a frame, none of which is made before it is asked for.

    Parameters
    ----------
    starts
        Where each begins to keep.
    length, padded, grid, overlap
        As in `TilePlan`, of this axis.
    side
        Of what each keeps, px; the last may keep less.
    """

    starts: range
    length: int
    padded: int
    grid: int
    overlap: int
    side: int

    def __len__(self) -> int:
        return len(self.starts)

    def __getitem__(self, i: int) -> tuple[slice, slice]:
        """What number `i` keeps and reads."""
        start = self.starts[i]
        keep = slice(start, min(start + self.side, self.length))
        return keep, _read(keep, self.overlap, self.padded, self.grid)

    @property
    def pixels(self) -> int:
        """That all of them read."""
        return sum(read.stop - read.start for _, read in (self[i] for i in range(len(self))))

    def only(self, i: int) -> "_Along":
        """Number `i` alone."""
        return replace(self, starts=self.starts[i : i + 1])


@dataclass(frozen=True)
class Tiles(Sequence[Tile]):
    """All combinations of what lies along each axis, the last one fastest; made when asked for.

    Parameters
    ----------
    along
        One per axis.
    """

    along: tuple[_Along, ...]

    def __len__(self) -> int:
        return math.prod(map(len, self.along))

    @overload
    def __getitem__(self, i: int) -> Tile: ...
    @overload
    def __getitem__(self, i: slice) -> "tuple[Tile, ...]": ...
    def __getitem__(self, i: int | slice) -> "Tile | tuple[Tile, ...]":
        if isinstance(i, slice):
            return tuple(self[n] for n in range(len(self))[i])
        left = range(len(self))[i]
        places = []
        for along in reversed(self.along):
            left, place = divmod(left, len(along))
            places.append(along[place])
        return _tile(places[::-1])

    def __iter__(self) -> Iterator[Tile]:
        *outer, inner = self.along
        for places in product(*(range(len(along)) for along in outer)):
            before = [along[place] for along, place in zip(outer, places, strict=True)]
            for i in range(len(inner)):
                yield _tile([*before, inner[i]])

    @property
    def pixels(self) -> int:
        """That all of them read."""
        return math.prod(along.pixels for along in self.along)

    @property
    def rows(self) -> "Iterator[Tiles]":
        """Those of each row of tiles."""
        *outer, inner = self.along
        for places in product(*(range(len(along)) for along in outer)):
            yield Tiles((*(along.only(place) for along, place in zip(outer, places, strict=True)), inner))

    def part(self, start: int, stop: int) -> "Tiles":
        """Of each row of tiles those with these numbers."""
        *outer, inner = self.along
        return Tiles((*outer, replace(inner, starts=inner.starts[start:stop])))


def _tile(sides: Sequence[tuple[slice, slice]]) -> Tile:
    return Tile(tuple(keep for keep, _ in sides), tuple(read for _, read in sides))


@dataclass(frozen=True)
class TilePlan:
    """The tiles of one frame.

    Parameters
    ----------
    shape
        The frame, in pixels per axis.
    padded
        `shape`, rounded up to the network's grid.
    grid
        Of the network: what windows start and end on, in pixels per axis.
    reach
        How far a pixel of the source can influence the result, likewise.
    tile_size, overlap
        Pixels per axis: the side of what each tile keeps, and what it sees beyond that on either side.
    tiles
        They cover the frame; no two keep the same pixel. Add what each gives, times its `weights`, in its `window`.
    area
        Of the frame that is wanted: only `wanted` tiles need be computed. None: all of it.
    """

    shape: tuple[int, ...]
    padded: tuple[int, ...]
    grid: tuple[int, ...]
    reach: tuple[int, ...]
    tile_size: tuple[int, ...]
    overlap: tuple[int, ...]
    tiles: Sequence[Tile]
    area: Area | None = None

    @property
    def wanted(self) -> Sequence[Tile]:
        """The tiles, or, where shapes are wanted alone and the plan is exact, what is left of each around these.

        They are the same whatever the box of the area is, so that a part of an area is computed as all of it is.
        """
        if self.area is None or not self.area.groups or not self.exact:
            return self.tiles
        area = self.area
        each = ((tile, area.in_shapes(tile.keep)) for tile in self.tiles)
        return [part for tile, inside in each for part in self._around_shapes(tile, inside, SPLITS)]

    def is_wanted(self, tile: Tile) -> bool:
        """Whether a pixel to which `tile` adds is wanted."""
        return self.area is None or self.area.touches(self.window(tile))

    @property
    def needed(self) -> Sequence[Tile]:
        """Of the `wanted` tiles those that add to a pixel of the area."""
        return self.tiles if self.area is None else [tile for tile in self.wanted if self.is_wanted(tile)]

    def _around_shapes(self, tile: Tile, inside: NDArray[np.bool_], splits: int) -> tuple[Tile, ...]:
        """Smaller tiles that keep the pixels of `tile` that are `inside` and see less together; none without any."""
        rows, columns = (np.flatnonzero(inside.any(axis=axis)) for axis in (1, 0))
        if not len(rows):
            return ()
        *planes, top, left = tile.keep
        kept = (
            slice(top.start + int(rows[0]), top.start + int(rows[-1]) + 1),
            slice(left.start + int(columns[0]), left.start + int(columns[-1]) + 1),
        )
        least = self.around((*planes, *kept))
        if splits:
            parts = ((half, inside[half.inside_of(tile)]) for half in self.halves(least))
            halves = [part for half, own in parts for part in self._around_shapes(half, own, splits - 1)]
            if halves and sum(math.prod(half.shape) for half in halves) < math.prod(least.shape):
                return tuple(halves)
        return (least,)

    @property
    def cost(self) -> float:
        """Pixels that the network sees, for each pixel that is kept."""
        seen = self.tiles.pixels if isinstance(self.tiles, Tiles) else sum(math.prod(tile.shape) for tile in self.tiles)
        return seen / math.prod(self.shape)

    @property
    def exact(self) -> bool:
        """Whether the tiles give what the whole frame gives."""
        return all(overlap >= reach for overlap, reach in zip(self.overlap, self.reach, strict=True))

    @property
    def blend(self) -> tuple[int, ...]:
        """How far tiles reach beyond what they keep to fade into their neighbours, per axis; 0 in an exact plan."""
        return (0,) * len(self.shape) if self.exact else self.overlap

    @property
    def bands(self) -> list["TilePlan"]:
        """The same plan for each row of tiles, from the first to the last."""
        return [replace(self, tiles=tiles) for tiles in self.tiles.rows] if isinstance(self.tiles, Tiles) else [self]

    def blocks(self, pixels: int, at_once: int) -> list["TilePlan"]:
        """The same plan, of a row of tiles, in pieces that keep at most so many pixels, but one tile at least.

        Neighbours of one size that read at most `at_once` pixels together stay together.
        """
        if not isinstance(self.tiles, Tiles):
            return [self]
        starts, kept, together, before = [0], 0, 0, tuple[int, ...]()
        for i, tile in enumerate(self.tiles):
            read, keep = math.prod(tile.shape), math.prod(side.stop - side.start for side in tile.keep)
            alike = tile.shape == before and together + read <= at_once
            together, before = read + (together if alike else 0), tile.shape
            if i and not alike and kept + keep > pixels:
                starts.append(i)
                kept = 0
            kept += keep
        ends = [*starts[1:], len(self.tiles)]
        return [replace(self, tiles=self.tiles.part(*cut)) for cut in zip(starts, ends, strict=True)]

    @property
    def rows(self) -> slice:
        """The rows of the frame to which these tiles add."""
        return self.keeps[-2]

    @property
    def keeps(self) -> tuple[slice, ...]:
        """The window of the frame to which these tiles add."""
        first, last = (self.window(self.tiles[i]) for i in (0, -1))
        return tuple(slice(a.start, b.stop) for a, b in zip(first, last, strict=True))

    @property
    def reads(self) -> tuple[slice, ...]:
        """The window of the frame that these tiles see."""
        first, last = (self.tiles[i].read for i in (0, -1))
        return tuple(slice(a.start, min(n, b.stop)) for a, b, n in zip(first, last, self.shape, strict=True))

    def window(self, tile: Tile) -> tuple[slice, ...]:
        """The pixels of the frame to which `tile` adds: what it keeps and, blended, its overlap with others."""
        sides = zip(tile.keep, self.shape, self.blend, strict=True)
        return tuple(slice(max(0, keep.start - m), min(n, keep.stop + m)) for keep, n, m in sides)

    def around(self, window: tuple[slice, ...]) -> Tile:
        """A tile that keeps this window of the frame, from a multiple of the grid on, and sees what others see."""
        keep = tuple(slice(w.start // g * g, w.stop) for w, g in zip(window, self.grid, strict=True))
        return Tile(keep, tuple(_read(*side) for side in zip(keep, self.overlap, self.padded, self.grid, strict=True)))

    def weights(self, tile: Tile) -> tuple[NDArray[np.float32], ...]:
        """What `tile` counts along each axis of its `window`; a pixel counts the product, and all tiles together one.

        Across the border of two tiles the weight moves linearly from one to the other, over the overlap on both sides.
        A tile's weight is what has moved to it at its first border and not yet from it at its second, so that weights
        sum to one also where tiles are smaller than their overlap.
        """
        ramps = []
        for keep, window, n, m in zip(tile.keep, self.window(tile), self.shape, self.blend, strict=True):
            centres = np.arange(window.start, window.stop, dtype=np.float32) + np.float32(0.5)
            begun, ended = (
                (np.clip((centres - border) / (2 * m) + 0.5, 0, 1) if m else centres > border)
                if 0 < border < n
                else np.full(len(centres), border == 0)
                for border in (keep.start, keep.stop)
            )
            ramps.append(begun.astype(np.float32) - ended.astype(np.float32))
        return tuple(ramps)

    def halves(self, tile: Tile) -> tuple[Tile, ...]:
        """Two tiles that keep what `tile` keeps, cut across its longest side; none if it is one step of the grid."""
        steps = [-(-(k.stop - k.start) // g) for k, g in zip(tile.keep, self.grid, strict=True)]
        axis = max((axis for axis, n in enumerate(steps) if n > 1), key=lambda i: tile.shape[i], default=None)
        if axis is None:
            return ()
        whole = tile.keep[axis]
        middle = whole.start + steps[axis] // 2 * self.grid[axis]
        keeps = (slice(whole.start, middle), slice(middle, whole.stop))
        reads = (_read(keep, self.overlap[axis], self.padded[axis], self.grid[axis]) for keep in keeps)
        before, after = slice(None, axis), slice(axis + 1, None)
        return tuple(
            Tile((*tile.keep[before], keep, *tile.keep[after]), (*tile.read[before], read, *tile.read[after]))
            for keep, read in zip(keeps, reads, strict=True)
        )


def _read(keep: slice, overlap: int, padded: int, grid: int) -> slice:
    """What a tile sees along an axis of which it keeps `keep`."""
    return slice(max(0, keep.start - overlap), min(padded, round_up(keep.stop, grid) + overlap))


def round_up(value: int, grid: int) -> int:
    """The smallest multiple of `grid` that is not below `value`."""
    return -(-value // grid) * grid


PerAxis = int | tuple[int, ...]


def plan_tiles(
    shape: tuple[int, ...],
    *,
    grid: PerAxis,
    reach: PerAxis,
    tile_size: int | tuple[int | None, ...] | None = None,
    overlap: int | None = None,
) -> TilePlan:
    """A plan whose tiles, computed one by one, give what the whole frame gives; or, with less overlap, one that blends.

    The former holds because every tile starts on a multiple of `grid` and sees `overlap` >= `reach` pixels more on
    every side that is not the frame's own border.

    Parameters
    ----------
    shape
        The frame, in pixels per axis.
    grid
        The total stride of the network, in pixels: 2**levels for a U-Net. One number for all axes, or one for each.
    reach
        How far a pixel of the source can influence the result, in pixels; likewise.
    tile_size
        Side of what each tile keeps, in pixels, rounded up to the grid; likewise. None: the axis in one piece.
    overlap
        Pixels on every side, rounded up to the grid. None: `reach`. Less is faster, and not exact: tiles are blended.

    Raises
    ------
    ValueError
        If tile_size < 1 or overlap < 0.
    """
    grids, reaches = (side if isinstance(side, tuple) else (side,) * len(shape) for side in (grid, reach))
    sizes = tile_size if isinstance(tile_size, tuple) else (tile_size,) * len(shape)
    if any(size is not None and size < 1 for size in sizes):
        raise ValueError(f"tile_size must be at least 1 pixel; got {tile_size}. Leave it out for one piece.")
    if overlap is not None and overlap < 0:
        raise ValueError(f"overlap must be at least 0 pixels; got {overlap}. Leave it out for the exact one, {reach}.")
    padded = tuple(round_up(n, g) for n, g in zip(shape, grids, strict=True))
    sides = tuple(
        end if size is None else min(round_up(size, g), end) for end, size, g in zip(padded, sizes, grids, strict=True)
    )
    # An axis in one piece keeps the exact overlap: it may have to be cut after all, see `TilePlan.halves`.
    margins = tuple(
        round_up(r if overlap is None else overlap if side < end else max(r, overlap), g)
        for r, g, side, end in zip(reaches, grids, sides, padded, strict=True)
    )
    along = (
        _Along(range(0, n, side), n, end, g, margin, side)
        for n, end, g, side, margin in zip(shape, padded, grids, sides, margins, strict=True)
    )
    return TilePlan(tuple(shape), padded, grids, reaches, sides, margins, Tiles(tuple(along)))
