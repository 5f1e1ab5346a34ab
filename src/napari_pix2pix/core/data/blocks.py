"""What is correlated of two images: blocks that overlap, how well each lies at each shift, and where that peaks."""

from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray
from scipy import fft

from napari_pix2pix.core.data.resemblance import Views

LEAST_KNOWN = 0.25
"""A block of which no more than this share is known tells nothing."""
FLATTEST = 1e-3
"""A block that varies by a smaller share of what is usual in its image is constant, but for rounding."""


class Blocks:
    """Two images (K, Y, X) in blocks that overlap by half, each under a taper.

    Those of which too little is `known` (Y, X) count as empty.
    """

    def __init__(self, looks: Views, seen: Views, size: int, known: NDArray[np.bool_]) -> None:
        starts = [
            np.linspace(0, n - size, round(2 * (n - size) / size) + 1).round().astype(int) for n in seen.shape[1:]
        ]
        self.rows, self.columns = (start + (size - 1) / 2 for start in starts)
        taper = np.hanning(size + 2)[1:-1].astype(np.float32)
        self._weight = np.multiply.outer(taper, taper) / taper.sum() ** 2
        y, x = np.ix_(*starts)
        self._of = [sliding_window_view(image, (size, size), axis=(1, 2))[:, y, x] for image in (looks, seen)]
        self._size = size
        variances = np.stack(
            [[(self._row(image, i) ** 2).sum(axis=(0, 2, 3)) for i in range(len(self.rows))] for image in self._of]
        ) * (sliding_window_view(known, (size, size))[y, x].mean(axis=(-2, -1)) > LEAST_KNOWN)
        usual = [np.median(own[own > 0]) if own.any() else 0.0 for own in variances]
        self.variances = np.where(variances > FLATTEST * np.reshape(usual, (2, 1, 1)), variances, 0.0)
        """Of prediction and target (2, rows, columns)."""

    def _row(self, image: NDArray[Any], i: int) -> NDArray[np.float32]:
        """A row of blocks (K, columns, size, size) without their means."""
        blocks = image[:, i]
        means = (blocks * self._weight).sum(axis=(-2, -1), keepdims=True)
        found: NDArray[np.float32] = (blocks - means) * np.sqrt(self._weight)
        return found

    def _partners(self, axis: int, apart: bool) -> NDArray[np.int64]:
        """Which block of the target each of the prediction's is held against, along an axis."""
        numbers = np.arange(self.variances.shape[1 + axis])
        held = np.flatnonzero((self.variances > 0).any(axis=(0, 2 - axis)))
        if apart and len(held):
            some = slice(held[0], held[-1] + 1)
            numbers[some] = np.roll(numbers[some], -(len(numbers[some]) // 2))
        return numbers

    def surfaces(self, reach: int, apart: bool = False) -> NDArray[np.float64]:
        """The correlation of prediction and target at -reach … reach px, (rows, columns, Y, X); `apart`: of others.

        These are about half of what holds anything away from each other.
        """
        n = fft.next_fast_len(self._size + reach, real=True)
        lags, found = np.arange(-reach, reach + 1), []
        rows, columns = (self._partners(axis, apart) for axis in (0, 1))
        for i, other in enumerate(rows):
            a, b = self._row(self._of[0], i), self._row(self._of[1], int(other))[:, columns]
            energy = self.variances[0, i] * self.variances[1, other][columns]
            products = (fft.rfft2(a, s=(n, n)).conj() * fft.rfft2(b, s=(n, n))).sum(axis=0)
            surface = fft.irfft2(products, s=(n, n))[:, lags][:, :, lags]
            size = np.sqrt(energy)[:, None, None]
            found.append(np.where(size > 0, surface / np.where(size > 0, size, 1), 0.0))
        return np.stack(found)


def peaks(surfaces: NDArray[Any]) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.bool_]]:
    """Where surfaces (rows, columns, Y, X) peak (2, rows, columns), to fractions; how high; whether inside."""
    rows, columns, width, _ = surfaces.shape
    flat = surfaces.reshape(rows, columns, -1)
    peak = np.stack(np.unravel_index(flat.argmax(axis=-1), (width, width)))
    within = ((peak > 0) & (peak < width - 1)).all(axis=0)
    y, x = peak.clip(1, width - 2)
    i, j = np.ogrid[:rows, :columns]
    middle = surfaces[i, j, y, x]
    tops = []
    for before, after in (
        (surfaces[i, j, y - 1, x], surfaces[i, j, y + 1, x]),
        (surfaces[i, j, y, x - 1], surfaces[i, j, y, x + 1]),
    ):
        bend = before - 2 * middle + after
        tops.append(np.where(within & (bend < 0), (before - after) / np.where(bend < 0, 2 * bend, 1.0), 0.0))
    return peak - width // 2 + np.clip(tops, -0.5, 0.5), flat.max(axis=-1).astype(np.float64), within
