"""Which windows of a frame a network sees, and which pixels are kept from each: the geometry of exact tiling."""

import math
from dataclasses import dataclass
from itertools import product


@dataclass(frozen=True)
class Tile:
    """One inference window. Holds no pixels.

    Parameters
    ----------
    keep
        The pixels of the frame that come from this tile, per axis.
    read
        The pixels that the network sees: `keep`, the overlap, and the padding beyond the frame's end.
    """

    keep: tuple[slice, ...]
    read: tuple[slice, ...]

    @property
    def inside(self) -> tuple[slice, ...]:
        """`keep`, counted from the start of `read`."""
        return tuple(slice(k.start - r.start, k.stop - r.start) for k, r in zip(self.keep, self.read, strict=True))

    @property
    def shape(self) -> tuple[int, ...]:
        """Of what the network sees, in pixels per axis."""
        return tuple(side.stop - side.start for side in self.read)


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
    tile_size, overlap
        Pixels per axis: the side of what each tile keeps, and what it sees beyond that on either side.
    tiles
        They cover the frame; no two keep the same pixel.
    """

    shape: tuple[int, ...]
    padded: tuple[int, ...]
    grid: tuple[int, ...]
    tile_size: tuple[int, ...]
    overlap: tuple[int, ...]
    tiles: tuple[Tile, ...]

    @property
    def cost(self) -> float:
        """Pixels that the network sees, for each pixel that is kept."""
        return sum(math.prod(tile.shape) for tile in self.tiles) / math.prod(self.shape)

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
    """A plan whose tiles, computed one by one, give what the whole frame gives.

    That holds because every tile starts on a multiple of `grid` and sees `overlap` >= `reach` pixels more on every
    side that is not the frame's own border.

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
        Pixels on every side, rounded up to the grid. None: `reach`.

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
    margins = tuple(round_up(r if overlap is None else overlap, g) for r, g in zip(reaches, grids, strict=True))
    padded = tuple(round_up(n, g) for n, g in zip(shape, grids, strict=True))
    sides = tuple(
        end if size is None else min(round_up(size, g), end) for end, size, g in zip(padded, sizes, grids, strict=True)
    )
    per_axis: list[list[tuple[slice, slice]]] = []
    for n, end, g, side, margin in zip(shape, padded, grids, sides, margins, strict=True):
        keeps = [slice(a, min(a + side, n)) for a in range(0, n, side)]
        per_axis.append([(keep, _read(keep, margin, end, g)) for keep in keeps])
    tiles = tuple(Tile(tuple(k for k, _ in tile), tuple(r for _, r in tile)) for tile in product(*per_axis))
    return TilePlan(tuple(shape), padded, grids, sides, margins, tiles)
