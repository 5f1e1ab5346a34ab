"""The expected errors of the pixels of a frame, made when they are asked for."""

import math
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from napari_pix2pix.core.networks.dropout import Window
from napari_pix2pix.core.running.patch_scores import ReadWindow
from napari_pix2pix.core.running.prediction import (
    Forward,
    WindowedFrame,
    plan_prediction,
    predict_tiles,
    side_of_tiles,
)
from napari_pix2pix.core.trust.error_network import FARTHEST, ErrorNetwork, border_distance, label_of, seen

if TYPE_CHECKING:
    from napari_pix2pix.core.running.trained_model import TrainedModel

KEPT = 3
"""Rows of tiles: what scores see of one reaches into those above and below."""


class PixelErrors:
    """What gives, of any window, the errors (1, [Z,] Y, X) that `network` expects of its pixels.

    Rows of tiles are made when they are asked for, and the last few are kept, so that who goes through a frame from
    above makes each once.

    Parameters
    ----------
    sides
        A source, an image of it and, of labels, the generator's maps.
    shape
        Of the frame, ([Z,] Y, X).
    """

    def __init__(
        self,
        model: "TrainedModel",
        network: ErrorNetwork,
        sides: tuple[ReadWindow, ReadWindow, ReadWindow | None],
        shape: tuple[int, ...],
        tile_size: int | None = None,
    ) -> None:
        self.network, self.shape = network, shape
        self._sides, self._target = sides, model.target_encoding
        self._frame, self._forward = (
            WindowedFrame(self._see, (network.seen_maps, *shape)),
            Forward(network, model.device),
        )
        self._bands = plan_prediction(network, shape, side_of_tiles(shape, tile_size)).bands
        self._kept: dict[int, NDArray[np.float32]] = {}
        self._sums: dict[int, float] = {}

    def __call__(self, window: Window) -> NDArray[np.float32]:
        """The errors of this window, each pixel's own."""
        *planes, y, x = window
        asked = [i for i, band in enumerate(self._bands) if band.rows.start < y.stop and band.rows.stop > y.start]
        above = y.start - self._bands[asked[0]].rows.start
        rows = np.concatenate([self._row(i) for i in asked], axis=-2)
        return rows[(slice(None), *planes, slice(above, above + y.stop - y.start), x)]

    def told(self, window: Window) -> NDArray[np.float32]:
        """What is told of these pixels ([Z,] Y, X)."""
        return self.network.told(self(window)[0])

    def mean(self) -> float:
        """Of what is told of the whole frame; rows that nobody has asked for are made."""
        for number in range(len(self._bands)):
            if number not in self._sums:
                self._row(number)
        return sum(self._sums.values()) / math.prod(self.shape)

    def _row(self, number: int) -> NDArray[np.float32]:
        """A row of tiles."""
        if number not in self._kept:
            rows = self._bands[number].rows
            found = np.empty((1, *self.shape[:-2], rows.stop - rows.start, self.shape[-1]), np.float32)
            for (*planes, y, x), values in predict_tiles(self._forward, self._frame, self._bands[number]):
                found[(slice(None), *planes, slice(y.start - rows.start, y.stop - rows.start), x)] = values
            self._sums[number] = float(self.network.told(found).sum(dtype=np.float64))
            self._kept[number] = found
        self._kept[number] = self._kept.pop(number)
        for oldest in list(self._kept)[:-KEPT]:
            del self._kept[oldest]
        return self._kept[number]

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
