"""How targets lie against their sources: how far they are shifted, and over which length the two are correlated."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import e, sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import fft

from napari_pix2pix.core.data.pairs import PairedFrames
from napari_pix2pix.core.data.regions import Region
from napari_pix2pix.core.data.shifts import MIDDLE, find_shift, phase_correlation, reach
from napari_pix2pix.core.encodings.encoding import Encoding
from napari_pix2pix.core.geometry.axes import middle

FARTHEST = 64
"""How far a correlation is looked for, px: there the largest field is too small for it."""
CORRELATED = 0.3
"""Source and target are correlated from this coefficient on."""


def covariance_by_distance(a: NDArray[np.float64], b: NDArray[np.float64], farthest: int) -> NDArray[np.float64]:
    """The covariance of two images (Y, X) at distances of 0, 1 … `farthest` px, averaged over all directions."""
    shape = [fft.next_fast_len(n + farthest, real=True) for n in a.shape]
    one, other = (fft.rfft2(image - image.mean(), s=shape) for image in (a, b))
    lags = np.arange(-farthest, farthest + 1)
    products = fft.irfft2(one.conj() * other, s=shape)[np.ix_(lags, lags)]
    overlap = np.multiply.outer(*(n - np.abs(lags) for n in a.shape))
    distance = np.rint(np.hypot(lags[:, None], lags)).astype(int)
    near = distance <= farthest
    means: NDArray[np.float64] = np.bincount(distance[near], (products / overlap)[near]) / np.bincount(distance[near])
    return means


def decay_length(covariance: NDArray[np.float64]) -> float | None:
    """The distance in px at which a `covariance_by_distance` falls below 1/e of its value at 0; None if that is 0.

    The farthest distance, if it does not fall so far.
    """
    if covariance[0] <= 0:
        return None
    share = covariance / covariance[0]
    below = np.flatnonzero(share < 1 / e)
    if not below.size:
        return float(len(share) - 1)
    i = below[0]
    return float(i - 1 + (share[i - 1] - 1 / e) / (share[i - 1] - share[i]))


@dataclass
class Alignment:
    """How the targets of these regions lie against their sources, summed up region by region."""

    surfaces: dict[str, NDArray[np.float64]] = field(default_factory=dict)
    covariances: NDArray[np.float64] | None = None

    @classmethod
    def of(cls, pairs: PairedFrames, regions: Sequence[Region], encoding: Encoding) -> "Alignment":
        """Measured on the middle of each region, one at a time; `encoding` is that of the targets."""
        smallest = min(min(region.shape) for region in regions)
        farthest = min(FARTHEST, smallest // 2)
        found, total = cls(), np.zeros((3, farthest + 1))
        for region in regions:
            window = tuple(middle(side, MIDDLE) for side in region.window)
            source = pairs.source(region.frame, window).astype(np.float64)
            target = encoding.encode(pairs.target(region.frame, window)).astype(np.float64)
            target = target[pairs.stains(region.frame)] if not pairs.all_stained else target
            found.surfaces[pairs.name(region.frame)] = phase_correlation(source, target, reach(smallest))
            grey = source.mean(axis=0)
            total[0] += len(target) * covariance_by_distance(grey, grey, farthest)
            for channel in target:
                both = covariance_by_distance(grey, channel, farthest)
                total[1] += covariance_by_distance(channel, channel, farthest)
                total[2] += np.sign(both[0]) * both
        found.covariances = total
        return found

    def shift(self) -> dict[str, Any]:
        """(Y, X) in px or None: `pixels` of all frames together, which is surer than of each; their `median`."""
        found = {name: find_shift(surface) for name, surface in self.surfaces.items()}
        frames = {name: list(shift) if shift else None for name, (shift, _) in found.items()}
        known = [shift for shift, _ in found.values() if shift]
        pixels, confidence = find_shift(np.mean(list(self.surfaces.values()), axis=0)) if found else (None, 0.0)
        return {
            "pixels": list(pixels) if pixels else None,
            "confidence": confidence,
            "median": np.median(known, axis=0).tolist() if known else None,
            "frames": frames,
        }

    def correlation(self) -> dict[str, float | None]:
        """`coefficient`; `length_target` of the target with itself and `length_both` with its source; the longer."""
        if self.covariances is None:
            return {"coefficient": None, "length_target": None, "length_both": None, "length": None}
        source, target, both = self.covariances
        coefficient = float(both[0] / sqrt(source[0] * target[0])) if source[0] * target[0] > 0 else 0.0
        lengths = decay_length(target), decay_length(both) if coefficient >= CORRELATED else None
        return {
            "coefficient": coefficient,
            "length_target": lengths[0],
            "length_both": lengths[1],
            "length": max((length for length in lengths if length), default=None),
        }
