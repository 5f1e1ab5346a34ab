"""A stack through the generator, some rows at a time: memory for a row of tiles suffices, however large the image."""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
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
"""Pixels of a larger frame that are passed on at once."""
P = TypeVar("P")
T = TypeVar("T")


@dataclass(frozen=True)
class Band:
    """Rows of a frame, with the maps that the network gave for them. Bands come from the first row to the last.

    Parameters
    ----------
    frame
        The number of the frame in its stack.
    rows
        Of the frame.
    shape
        Of the frame, ([Z,] Y, X).
    source
        Grey values or labels (C, [Z,] rows, X).
    maps
        Encoded (n_maps, [Z,] rows, X) in [-1, 1]; with draws, their mean, and the standard deviation as n_maps more.
    novel
        In the last band of a frame, where a model knows it, the share of the source's middle that is like nothing that
        trained.
    """

    frame: int
    rows: slice
    shape: tuple[int, ...]
    source: NDArray[Any]
    maps: NDArray[np.float32]
    novel: float = 0.0

    @property
    def last(self) -> bool:
        """Whether the frame ends here."""
        return bool(self.rows.stop == self.shape[-2])

    @property
    def whole(self) -> bool:
        """Whether these are all rows of the frame."""
        return self.last and self.rows.start == 0


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
        The source, and how its frames are taken. What the next row of tiles sees is read meanwhile.
    tiles
        Of each frame.
    how
        Of which draws and precision count; with draws, bands have twice as many maps.
    frames
        Their numbers.
    draw
        The dropout draw of this number alone; None: as `how` says.
    """
    forward, n_maps = forward_of(model, how, draw), model.target_encoding.n_maps
    findings, bands, (*planes, height, width) = Findings(), tiles.bands, tiles.shape
    empty = np.zeros((n_maps * (2 if how.draws else 1), *planes, 0, width), np.float32)
    one_piece = len(tiles.tiles) == 1
    at_once = height if one_piece else max(1, AT_ONCE // math.prod((*planes, width)))
    places = [(frame, i) for frame in frames for i in range(len(bands))]

    def read(place: tuple[int, int]) -> NDArray[Any]:
        return plan.take(stack, place[0], plan.rows(bands[place[1]].rows_read))

    for (frame, i), source in read_ahead(read, places):
        band, first = bands[i], bands[i].rows_read.start
        if i == 0:
            top, maps = 0, empty
            pieces = (plan.rows(slice(row, row + PORTION)) for row in range(0, height, PORTION))
            whole = portions(source) if len(bands) == 1 else (plan.take(stack, frame, piece) for piece in pieces)
            own = model.source_encoding.of_image(whole)

        # All tiles of a row.
        encoded = _Encoded(own, source, first, tiles.shape)
        if model.config.norm_statistics == "image":
            maps = predict_by_image_statistics(forward, encoded)
        else:
            begun, maps = maps, np.zeros((*maps.shape[:-2], band.rows.stop - top, width), np.float32)
            maps[..., : begun.shape[-2], :] = begun  # what the row above has added here, where tiles are blended
            for window, values in predict_tiles(forward, encoded, band, findings):
                maps[(slice(None), *_from(top, window))] += values

        # Rows to which no further tile adds go out; copied, so that they hold no more than themselves.
        finished = bands[i + 1].rows.start if i + 1 < len(bands) else height
        for row in range(top, finished, at_once):
            rows = slice(row, min(row + at_once, finished))
            parts = (
                source[..., rows.start - first : rows.stop - first, :],
                maps[..., rows.start - top : rows.stop - top, :],
            )
            yield Band(frame, rows, tiles.shape, *(parts if one_piece else (part.copy() for part in parts)))
        maps, top = maps[..., finished - top :, :].copy(), finished


def forward_of(model: "TrainedModel", how: PredictSettings, draw: int | None = None) -> Forward:
    """The model's generator, run so."""
    precision = model.precision_for(how.precision)
    return Forward(model.generator, model.device, how.draws, model.config.seed, precision, model.direction.planes, draw)


@dataclass(frozen=True)
class _Encoded:
    """A frame of which `source` (C, [Z,] rows, X) holds the rows from `first` on; windows are encoded when taken."""

    encoding: Encoding
    source: NDArray[Any]
    first: int
    frame_shape: tuple[int, ...]

    @property
    def shape(self) -> tuple[int, ...]:
        """(C, [Z,] Y, X)."""
        return (len(self.source), *self.frame_shape)

    def __getitem__(self, index: tuple[slice, ...]) -> NDArray[np.float32]:
        """The window as the network sees it: what is not known has the lowest value."""
        values = self.source[(index[0], *_from(self.first, index[1:]))]
        return np.where(unknown(values), np.float32(-1), self.encoding.encode(values))


def unknown(frame: NDArray[Any]) -> NDArray[np.bool_]:
    """Where a frame is NaN or Inf."""
    return ~np.isfinite(frame) if frame.dtype.kind == "f" else np.zeros(frame.shape, bool)


def _from(first: int, window: tuple[slice, ...]) -> tuple[slice, ...]:
    """`window` ([z,] y, x) with its rows counted from `first`."""
    *planes, rows, columns = window
    return (*planes, slice(rows.start - first, rows.stop - first), columns)


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


def joined(parts: Sequence[NDArray[Any]]) -> NDArray[Any]:
    """Rows (C, [Z,] rows, X) that follow each other, as one."""
    return parts[0] if len(parts) == 1 else np.concatenate(parts, axis=-2)
