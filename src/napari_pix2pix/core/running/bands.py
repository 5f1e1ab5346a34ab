"""A stack through the generator, block by block: memory for a block of tiles suffices, however large the image."""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from napari_pix2pix.core.encodings.encoding import Encoding
from napari_pix2pix.core.encodings.normalization import PORTION, portions
from napari_pix2pix.core.geometry.axes import AxesPlan
from napari_pix2pix.core.geometry.tiles import TilePlan
from napari_pix2pix.core.running.prediction import Findings, Forward, predict_by_image_statistics, predict_tiles
from napari_pix2pix.core.settings.running import PredictSettings

if TYPE_CHECKING:
    from napari_pix2pix.core.running.trained_model import TrainedModel

AT_ONCE = 2**20
"""Pixels of a larger frame that are passed on at once, fewer where it has more than a few channels."""
BLOCK = 2**22
"""Pixels that the tiles of a block keep: one of the usual size, or as many smaller ones."""
AHEAD = 2**27
"""Bytes of a block up to which the next one is read while it is worked on."""
ZERO = np.float32(0)
P = TypeVar("P")
T = TypeVar("T")


@dataclass(frozen=True)
class Band:
    """Rows of a frame, or some columns of them, with the maps that the network gave for them.

    Each pixel comes once: one row of blocks of tiles after the other, in each its blocks from left to right, of a block
    its rows.

    Parameters
    ----------
    frame
        The number of the frame in its stack.
    rows
        Of the frame.
    shape
        Of the frame, ([Z,] Y, X).
    source
        Grey values or labels (C, [Z,] rows, columns).
    maps
        Encoded (n_maps, [Z,] rows, columns) in [-1, 1]; with draws, their mean, and the standard deviation as n_maps
        more.
    novel
        In the last band of a frame, where a model knows it, the share of the source's middle that is like nothing that
        trained.
    left
        The first of its columns.
    wanted
        Whether any pixel is. Of those of which none is, source and maps are neither read nor computed, but 0.
    """

    frame: int
    rows: slice
    shape: tuple[int, ...]
    source: NDArray[Any]
    maps: NDArray[np.float32]
    novel: float = 0.0
    left: int = 0
    wanted: bool = True

    @property
    def columns(self) -> slice:
        """Of the frame."""
        return slice(self.left, self.left + self.maps.shape[-1])

    @property
    def first(self) -> bool:
        """Whether the frame begins here."""
        return bool(self.rows.start == 0 and self.left == 0)

    @property
    def last(self) -> bool:
        """Whether the frame ends here."""
        return bool(self.rows.stop == self.shape[-2] and self.columns.stop == self.shape[-1])

    @property
    def whole(self) -> bool:
        """Whether this is all of the frame."""
        return self.last and self.first

    @property
    def share(self) -> float:
        """Of the frame's pixels."""
        share: float = math.prod(self.maps.shape[-2:]) / math.prod(self.shape[-2:])
        return share


def map_bands(
    model: "TrainedModel",
    stack: Any,
    plan: AxesPlan,
    tiles: TilePlan,
    how: PredictSettings,
    frames: Sequence[int],
    draw: int | None = None,
) -> Iterator[Band]:
    """The maps of each frame of `stack`; those of a frame that is one tile in one band.

    Parameters
    ----------
    model
        Where it normalizes each image by itself, larger ones are read twice.
    stack, plan
        The source, and how its frames are taken. What the next block of tiles sees is read meanwhile.
    tiles
        Of each frame.
    how
        Of which draws and precision count; with draws, bands have twice as many maps.
    frames
        Their numbers.
    draw
        The dropout draw of this number alone; None: as `how` says.
    """
    forward, findings = forward_of(model, how, draw), Findings()
    n_maps, (*planes, height, width) = model.target_encoding.n_maps * (2 if how.draws else 1), tiles.shape
    one_piece = len(tiles.tiles) == 1
    bands = tiles.bands

    @lru_cache(2)
    def blocks_of(band: int) -> list[TilePlan]:
        return bands[band].blocks(BLOCK, findings.batch)

    def is_wanted(window: tuple[slice, ...]) -> bool:  # blended tiles add to pixels around those they keep
        return tiles.area is None or not tiles.exact or one_piece or tiles.area.touches(window)

    dtype = np.dtype(getattr(stack, "dtype", np.float64))

    def unwanted(frame: int, rows: slice, columns: slice) -> Band:
        """One of zeros, which need no memory."""
        size = (*planes, rows.stop - rows.start, columns.stop - columns.start)
        source, maps = (
            np.broadcast_to(one, (n, *size)) for one, n in ((dtype.type(0), plan.n_channels), (ZERO, n_maps))
        )
        return Band(frame, rows, tiles.shape, source, maps, left=columns.start, wanted=False)

    def read(place: tuple[int, int, int]) -> NDArray[Any] | None:
        block = blocks_of(place[1])[place[2]]
        return plan.take(stack, place[0], block.reads) if is_wanted(block.keeps) else None

    places = ((frame, i, j) for frame in frames for i in range(len(bands)) for j in range(len(blocks_of(i))))
    seen = max(math.prod(side.stop - side.start for side in block.reads) for block in blocks_of(len(bands) // 2))
    held = seen * plan.n_channels * dtype.itemsize
    sources = read_ahead(read, places) if held <= AHEAD else ((place, read(place)) for place in places)
    for (frame, i, j), source in sources:
        blocks = blocks_of(i)
        block = blocks[j]
        (*_, rows, columns), start = block.keeps, block.reads
        if i == j == 0:
            above = np.zeros((n_maps, *planes, 0, width), np.float32)
            pieces = (plan.rows(slice(row, row + PORTION)) for row in range(0, height, PORTION))
            whole = (
                portions(source)
                if source is not None and len(blocks) == len(bands) == 1
                else (plan.take(stack, frame, one) for one in pieces)
            )
            own = model.source_encoding.of_image(whole)
        if j == 0:
            finished = slice(rows.start, bands[i + 1].rows.start if i + 1 < len(bands) else height)
            below = np.empty((n_maps, *planes, rows.stop - finished.stop, width), np.float32)
            beside = np.zeros((n_maps, *planes, rows.stop - rows.start, 0), np.float32)

        # Pixels to which no further tile adds.
        done = slice(columns.start, blocks[j + 1].keeps[-1].start if j + 1 < len(blocks) else width)
        n_values = math.prod((max(1, plan.n_channels // 4), *planes, done.stop - done.start))
        at_once = height if one_piece else max(1, AT_ONCE // n_values)
        firsts = range(finished.start, finished.stop, at_once)
        windows = [(slice(row, min(row + at_once, finished.stop)), done) for row in firsts]
        if source is None:
            yield from (unwanted(frame, *window) for window in windows)
            continue

        # All tiles of a block, on what those above and to the left have added here, where tiles are blended.
        encoded = _Encoded(own, source, start, tiles.shape)
        if model.config.norm_statistics == "image":
            maps = predict_by_image_statistics(forward, encoded)
        else:
            maps = np.zeros((*beside.shape[:-1], columns.stop - columns.start), np.float32)
            maps[..., : above.shape[-2], :] = above[..., columns]
            maps[..., : beside.shape[-1]] = beside
            for kept, values in predict_tiles(forward, encoded, block, findings):
                maps[(slice(None), *_from((rows, columns), kept))] += values
                del values  # else they would be held while the next block is computed

        # They go out, copied, so that they hold no more than themselves.
        for window in windows:
            if not is_wanted(window):
                yield unwanted(frame, *window)
                continue
            parts = [source[_from(start, window)], maps[_from((rows, columns), window)]]
            parts = parts if one_piece else [part.copy() for part in parts]
            yield Band(frame, window[0], tiles.shape, parts.pop(0), parts.pop(), left=done.start)
        below[..., done] = maps[..., finished.stop - rows.start :, : done.stop - done.start]
        beside = maps[..., done.stop - done.start :].copy()
        above = below if j + 1 == len(blocks) else above


def forward_of(model: "TrainedModel", how: PredictSettings, draw: int | None = None) -> Forward:
    """The model's generator, run so."""
    precision = model.precision_for(how.precision)
    return Forward(model.generator, model.device, how.draws, model.config.seed, precision, model.direction.planes, draw)


@dataclass(frozen=True)
class _Encoded:
    """A frame of which `source` (C, [Z,] rows, columns) holds the window `held`; windows are encoded when taken."""

    encoding: Encoding
    source: NDArray[Any]
    held: tuple[slice, ...]
    frame_shape: tuple[int, ...]

    @property
    def shape(self) -> tuple[int, ...]:
        """(C, [Z,] Y, X)."""
        return (len(self.source), *self.frame_shape)

    def __getitem__(self, index: tuple[slice, ...]) -> NDArray[np.float32]:
        """The window as the network sees it: what is not known has the lowest value."""
        values = self.source[_from(self.held, index)]
        encoded = self.encoding.encode(values)
        if values.dtype.kind == "f":
            encoded[np.broadcast_to(unknown(values), encoded.shape)] = -1
        return encoded


def unknown(frame: NDArray[Any]) -> NDArray[np.bool_]:
    """Where a frame is NaN or Inf."""
    return ~np.isfinite(frame) if frame.dtype.kind == "f" else np.zeros(frame.shape, bool)


def _from(held: tuple[slice, ...], window: tuple[slice, ...]) -> tuple[Any, ...]:
    """`window` (..., y, x) with its rows and columns counted from those of `held`."""
    *before, rows, columns = window
    sides = zip((rows, columns), held[-2:], strict=True)
    return (*(before or (...,)), *(slice(side.start - h.start, side.stop - h.start) for side, h in sides))


def read_ahead(read: Callable[[P], T], places: Iterable[P]) -> Iterator[tuple[P, T]]:
    """Each place with what `read` gives for it, which a thread reads while the one before is worked on."""
    with ThreadPoolExecutor(1, "reader") as reader:
        upcoming: tuple[P, Future[T]] | None = None
        for place in places:
            present, upcoming = upcoming, (place, reader.submit(read, place))
            if present is not None:
                yield present[0], present[1].result()
        if upcoming is not None:
            yield upcoming[0], upcoming[1].result()


def put_together(bands: Sequence[Band], what: str) -> NDArray[Any]:
    """The `source` or `maps` (C, [Z,] rows, columns) of bands that are a window together."""
    first: NDArray[Any] = getattr(bands[0], what)
    if len(bands) == 1:
        return first
    rows, columns = (slice(bands[0].rows.start, bands[-1].rows.stop), slice(bands[0].left, bands[-1].columns.stop))
    whole = np.empty((*first.shape[:-2], rows.stop - rows.start, columns.stop - columns.start), first.dtype)
    for band in bands:
        whole[_from((rows, columns), (band.rows, band.columns))] = getattr(band, what)
    return whole
