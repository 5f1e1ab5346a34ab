"""The expected errors of the pixels of a frame, made when they are asked for."""

import math
from collections.abc import Iterator
from os import SEEK_END
from typing import IO, TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_pix2pix.core.geometry.areas import Area
from napari_pix2pix.core.networks.dropout import Window
from napari_pix2pix.core.running.bands import BLOCK
from napari_pix2pix.core.running.patch_scores import ReadWindow
from napari_pix2pix.core.running.prediction import (
    Findings,
    Forward,
    WindowedFrame,
    plan_prediction,
    predict_tiles,
    side_of_tiles,
)
from napari_pix2pix.core.trust.error_network import FARTHEST, ErrorNetwork, border_distance, label_of, seen

if TYPE_CHECKING:
    from napari_pix2pix.core.running.trained_model import TrainedModel

Place = tuple[int, int]
"""Of a block: the number of its row, and in that."""
LARGEST = 1024
"""Side of a tile, px: larger ones, of more channels than a generator sees, were most of the peak of memory."""
BESIDE = 2
"""Rows of tiles that are kept beside those of scores, which reach into the ones above and below."""


class PixelErrors:
    """What gives, of any window, the errors (1, [Z,] Y, X) that `network` expects of its pixels.

    Blocks of tiles are made when they are asked for, of the same tiles as in a prediction; in a file all are kept, so
    that each is made once. Else the last few rows of them are, so that each is made once by who goes through a frame
    from above.

    Parameters
    ----------
    sides
        A source, an image of it and, of labels, the generator's maps.
    shape
        Of the frame, ([Z,] Y, X).
    file
        Open for reading and writing, and empty: then a block is all that is held, however large the frame.
    area
        What is wanted alone: blocks without any of it are not made, but 0.
    """

    def __init__(
        self,
        model: "TrainedModel",
        network: ErrorNetwork,
        sides: tuple[ReadWindow, ReadWindow, ReadWindow | None],
        shape: tuple[int, ...],
        tile_size: int | None = None,
        file: IO[bytes] | None = None,
        area: Area | None = None,
    ) -> None:
        self.network, self.shape = network, shape
        self._sides, self._target = sides, model.target_encoding
        self._frame, self._forward = (
            WindowedFrame(self._see, (network.seen_maps, *shape)),
            Forward(network, model.device),
        )
        self._findings = Findings()
        side = side_of_tiles(shape, tile_size)
        tile = side and min(side, LARGEST)
        self._rows = BESIDE + (math.ceil(side / tile) if side and tile else 1)
        bands = plan_prediction(network, shape, tile).bands
        self._blocks = [band.blocks(BLOCK, self._findings.batch) for band in bands]
        self._file, self._area = file, area
        self._places: dict[Place, int] = {}
        self._unwanted: set[Place] = set()
        self._kept: dict[Place, NDArray[np.float32]] = {}
        self._sums: dict[Place, float] = {}

    def __call__(self, window: Window) -> NDArray[np.float32]:
        """The errors of this window, each pixel's own."""
        found = np.empty((1, *(side.stop - side.start for side in window)), np.float32)
        for i, row in enumerate(self._blocks):
            if not (rows := _overlap(row[0].keeps[-2], window[-2])):
                continue
            for j, block in enumerate(row):
                if columns := _overlap(block.keeps[-1], window[-1]):
                    part = (*window[:-2], rows, columns)
                    found[_from(window, part)] = self._block((i, j))[_from(block.keeps, part)]
        return found

    def told(self, window: Window) -> NDArray[np.float32]:
        """What is told of these pixels ([Z,] Y, X)."""
        return self.network.told(self(window)[0])

    def mean(self) -> float:
        """Of what is told of the whole frame; blocks that nobody has asked for are made."""
        self.make()
        return sum(self._sums[place] for place in self._all) / math.prod(self.shape)

    def make(self) -> None:
        """Make all blocks that are not, in the order in which a source is read best."""
        for place in self._all:
            if place not in self._sums:
                self._block(place)

    @property
    def _all(self) -> Iterator[Place]:
        return ((i, j) for i, row in enumerate(self._blocks) for j in range(len(row)))

    def _block(self, place: Place) -> NDArray[np.float32]:
        """A block of tiles (1, [Z,] rows, columns)."""
        block = self._blocks[place[0]][place[1]]
        shape = (1, *(side.stop - side.start for side in block.keeps))
        if place in self._places:
            assert self._file is not None
            return np.memmap(self._file, np.float32, "r", self._places[place], shape)  # its pages are the file's
        if place not in self._unwanted and self._area is not None and not self._area.touches(block.keeps):
            self._unwanted.add(place)
            self._sums[place] = 0.0
        if place in self._unwanted:
            return np.broadcast_to(np.float32(0), shape)
        if place not in self._kept:
            found = np.empty(shape, np.float32)
            for window, values in predict_tiles(self._forward, self._frame, block, self._findings):
                found[_from(block.keeps, window)] = values
            self._sums[place] = float(self.network.told(found).sum(dtype=np.float64))
            if self._file is not None:
                self._places[place] = self._file.seek(0, SEEK_END)
                self._file.write(found.data)
                self._file.flush()
                return found
            self._kept[place] = found
        self._kept[place] = self._kept.pop(place)
        for oldest in list(self._kept)[: -self._rows * len(self._blocks[0])]:
            del self._kept[oldest]
        return self._kept[place]

    def _see(self, window: Window) -> NDArray[np.float32]:
        """What the network sees of a window."""
        source, image, maps = self._sides
        if maps is None:
            return seen(source(window), image(window), self._target)
        wide = (*window[:-2], *(slice(max(0, w.start - FARTHEST), w.stop + FARTHEST) for w in window[-2:]))
        wide = tuple(slice(w.start, min(w.stop, n)) for w, n in zip(wide, self.shape, strict=True))
        inside = tuple(slice(w.start - r.start, w.stop - r.start) for w, r in zip(window, wide, strict=True))
        around = image(wide)
        distance = border_distance(label_of(around, self._target))[inside]
        labels, sees_doubt = around[(slice(None), *inside)], self.network.sees_doubt
        return seen(source(window), labels, self._target, maps(window), distance, sees_doubt)


def _overlap(one: slice, other: slice) -> slice | None:
    """What is in both, if anything is."""
    start, stop = max(one.start, other.start), min(one.stop, other.stop)
    return slice(start, stop) if start < stop else None


def _from(held: Window, window: Window) -> tuple[Any, ...]:
    """`window` ([Z,] Y, X) of maps (1, [Z,] Y, X) that begin where `held` does."""
    return (slice(None), *(slice(w.start - h.start, w.stop - h.start) for w, h in zip(window, held, strict=True)))
