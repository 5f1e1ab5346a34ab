"""Prediction and target by spatial frequency: how much detail there is, and how fine it is right."""

from collections import defaultdict
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_pix2pix.core.evaluation.metrics.intervals import Row, figure, finite, resamples

FREQUENCIES = 64
"""Rings of the spectrum, from 0 to 0.5 cycles/px."""
NYQUIST = 0.5
"""The finest frequency that pixels hold, cycles/px."""
AGREE = 0.5
"""The least Fourier ring correlation with the truth of detail that is right.

Of an image with a perfect reference; it answers 0.143 between two halves of the data (Rosenthal and Henderson, "Optimal
determination of particle orientation, absolute hand, and contrast loss in single-particle electron cryomicroscopy",
2003).
"""
SLOPE = 16
OF_RINGS = ("frc_cutoff", "spectral_correlation")
Rings = NDArray[np.float64]
"""For each ring the mean power of the prediction and of the target, and of their product: (3, rings); NaN where the
plane is too small for a ring."""


@lru_cache(maxsize=8)
def _rings(height: int, width: int) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """The ring of each coefficient of a real FFT, and a window that falls to zero at the image's border."""
    radius = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width))
    taper = np.multiply.outer(*(np.hanning(n + 2)[1:-1] for n in (height, width)))
    return np.minimum(radius * 2 * FREQUENCIES, FREQUENCIES).astype(np.intp), taper


def _spectrum(plane: NDArray[Any], known: NDArray[np.bool_]) -> NDArray[np.complex128]:
    """The Fourier transform of a plane (Y, X) around its mean, where it is known, as a share of the window's power."""
    _, taper = _rings(*plane.shape)
    window = taper if known.all() else taper * _soft(known)
    values = plane.astype(np.float64)
    if not np.ptp(plane[known]):  # whose rest would be of rounding
        return np.zeros((len(plane), plane.shape[1] // 2 + 1), np.complex128)
    values = np.where(known, values - np.average(np.where(known, values, 0), weights=window), 0)
    found: NDArray[np.complex128] = np.fft.rfft2(values * window) / np.sqrt((window**2).sum())
    found[0, 0] = 0
    return found


def _soft(known: NDArray[np.bool_]) -> NDArray[np.float64]:
    """1 far from what is not known, 0 there, and a slope of 16 px between: a sharp edge is power at all frequencies."""
    share = np.minimum(ndimage.distance_transform_edt(known) / SLOPE, 1)
    slope: NDArray[np.float64] = np.sin(np.pi / 2 * share) ** 2
    return slope


def _mean_of_rings(values: NDArray[np.float64], rings: NDArray[np.intp]) -> NDArray[np.float64]:
    counts = np.bincount(rings.ravel(), minlength=FREQUENCIES + 1)
    totals = np.bincount(rings.ravel(), values.ravel(), minlength=FREQUENCIES + 1)
    with np.errstate(invalid="ignore"):
        mean: NDArray[np.float64] = (totals / counts)[:FREQUENCIES]
    return mean


def power(plane: NDArray[Any], known: NDArray[np.bool_]) -> NDArray[np.float64]:
    """The radially averaged power of a plane (Y, X) per ring; NaN where the plane is too small for a ring.

    What is not known is left out as the border is, by a window.
    """
    return _mean_of_rings(np.abs(_spectrum(plane, known)) ** 2, _rings(*plane.shape)[0])


def rings_of(prediction: NDArray[Any], target: NDArray[Any], known: NDArray[np.bool_]) -> Rings:
    """What their planes tell, added up, of a channel ([Z,] Y, X); NaN where there is no ring, or nothing is known."""
    total, there = np.zeros((3, FREQUENCIES)), np.zeros(FREQUENCIES, bool)
    planes = (image.reshape(-1, *target.shape[-2:]) for image in (prediction, target, known))
    for a, b, seen in zip(*planes, strict=True):
        if seen.any():
            one, other = _spectrum(a, seen), _spectrum(b, seen)
            rings, _ = _rings(*a.shape)
            shares = np.abs(one) ** 2, np.abs(other) ** 2, (one * other.conj()).real
            found = np.stack([_mean_of_rings(share, rings) for share in shares])
            there |= np.isfinite(found[0])
            total += np.nan_to_num(found)
    return np.where(there, total, np.nan)


def ring_correlation(rings: Rings) -> NDArray[np.float64]:
    """The Fourier ring correlation of prediction and target, (rings,); 0 where one of the two has nothing there.

    References
    ----------
    Saxton and Baumeister, "The correlation averaging of a regularly arranged bacterial cell envelope protein", 1982;
    of images by fluorescence: Nieuwenhuizen et al., "Measuring image resolution in optical nanoscopy", 2013.
    """
    a, b, shared = rings
    both = np.sqrt(a * b)
    curve: NDArray[np.float64] = np.divide(shared, both, out=np.zeros_like(both), where=both > 0)
    return curve


def falls_below(frequency: NDArray[np.float64], curve: NDArray[np.float64], level: float) -> float | None:
    """The frequency where the curve first falls below this level; None where it does not."""
    below = np.flatnonzero(curve < level)
    if not below.size:
        return None
    i = below[0]
    if i == 0:
        return float(frequency[0])
    step = (curve[i - 1] - level) / (curve[i - 1] - curve[i])
    return float(frequency[i - 1] + step * (frequency[i] - frequency[i - 1]))


def _frequencies() -> NDArray[np.float64]:
    """The middle of each ring, cycles/px."""
    return (np.arange(FREQUENCIES) + 0.5) / (2 * FREQUENCIES)


def cutoff(frequency: NDArray[np.float64], rings: Rings) -> float:
    """The one of these frequencies (cycles/px) up to which both agree: 0 where none is, 0.5 where all are."""
    there = rings[1] > 0  # the innermost ring of a small image holds nothing but its mean, which is taken off
    frequency, curve = frequency[there], ring_correlation(rings[:, there])
    if not curve.size or curve[0] < AGREE:
        return 0.0
    found = falls_below(frequency, curve, AGREE)
    return NYQUIST if found is None else found


def of_rings(prediction: NDArray[Any], target: NDArray[Any], known: NDArray[np.bool_]) -> Row:
    """Figures of a channel ([Z,] Y, X) where something of it is known.

    ``frc_cutoff``: the frequency in cycles/px up to which the Fourier ring correlation with the target is at least
    0.5: detail finer than its inverse is not that of the truth. ``spectral_correlation``: Pearson's correlation of the
    logarithms of their power over the rings, so of textures, wherever they lie. None of what is constant.
    """
    rings = rings_of(prediction, target, known)
    there = np.isfinite(rings[0])
    a, b = rings[:2, there]
    if not there.any() or not a.max() or not b.max():
        return {"frc_cutoff": 0.0 if there.any() and b.max() else None, "spectral_correlation": None}
    logs = [np.log(np.maximum(side / side.max(), 1e-12)) for side in (a, b)]
    spread = [log.std() for log in logs]
    alike = np.corrcoef(*logs)[0, 1] if len(a) > 2 and min(spread) > 1e-9 else np.nan
    return {"frc_cutoff": finite(cutoff(_frequencies()[there], rings[:, there])), "spectral_correlation": finite(alike)}


def pixel_size(size_um: dict[str, float] | None) -> float | None:
    """In µm, of pixels that are known to be square."""
    sizes = {(size_um or {}).get(axis) for axis in "YX"}
    return sizes.pop() if len(sizes) == 1 else None


@dataclass
class Spectra:
    """Mean spectra of predictions and targets, by channel: what PSNR does not see, detail that is missing or wrong."""

    n_channels: int
    totals: dict[str, NDArray[np.float64]] = field(init=False)
    counts: NDArray[np.float64] = field(init=False)

    def __post_init__(self) -> None:
        self.totals = defaultdict(lambda: np.zeros((self.n_channels, 3, FREQUENCIES)))
        self.counts = np.zeros((self.n_channels, FREQUENCIES))

    def add(self, prediction: NDArray[Any], target: NDArray[Any], known: NDArray[np.bool_], group: str = "") -> None:
        """Count the planes of a frame (C, [Z,] Y, X) of this group of which something is known ([C,] [Z,] Y, X)."""
        known, n_planes = np.broadcast_to(known, target.shape), max(1, int(np.prod(target.shape[1:-2])))
        for channel in range(self.n_channels):
            rings = rings_of(prediction[channel], target[channel], known[channel])
            there = np.isfinite(rings[0])
            seen = known[channel].reshape(n_planes, -1).any(axis=1).sum()
            self.totals[group][channel, :, there] += rings[:, there].T
            self.counts[channel, there] += seen

    def report(self, pixel_size_um: dict[str, float] | None = None) -> list[dict[str, Any]]:
        """Of each channel ``frequency`` (cycles/px), ``prediction``, ``target``, ``ratio``; and where it halves.

        ``half`` is the frequency in cycles/px at which the ratio falls below one half (None: nowhere), ``half_per_um``
        the same in cycles/µm where the pixels are known to be square. ``correlation`` is the Fourier ring correlation
        of all frames together, ``resolution_px`` and ``resolution_um`` where it first falls below 0.5, with intervals
        over groups: the finest detail that is right, 2 px at best; None where nothing is right, or not known.
        """
        frequency, size = _frequencies(), pixel_size(pixel_size_um)
        sums = np.stack(list(self.totals.values())) if self.totals else np.zeros((1, self.n_channels, 3, FREQUENCIES))
        drawn = resamples(len(sums)) if len(sums) > 1 else None
        channels = []
        for channel in range(self.n_channels):
            there = self.counts[channel] > 0
            own = sums[:, channel][:, :, there]
            rings = own.sum(axis=0)
            a, b = rings[:2] / self.counts[channel, there]
            ratio = np.divide(a, b, out=np.ones_like(a), where=b > 0)
            half = falls_below(frequency[there], ratio, 0.5)
            told: dict[str, Any] = {"frequency": frequency[there], "prediction": a, "target": b, "ratio": ratio}
            told["correlation"] = ring_correlation(rings)
            told = {name: values.tolist() for name, values in told.items()}
            told |= {"half": half, "half_per_um": half / size if half and size else None}
            parts = _finest(rings[None], frequency[there])
            again = None if drawn is None else _finest(np.tensordot(drawn, own, 1), frequency[there])
            told["resolution_px"] = figure(float(parts[0]), again)
            in_um = None if again is None or size is None else again * size
            told["resolution_um"] = figure(float(parts[0]) * size, in_um) if size else None
            channels.append(told)
        return channels


def _finest(rings: NDArray[np.float64], frequency: NDArray[np.float64]) -> NDArray[np.float64]:
    """The finest detail, px, that is right, by each of these rings (N, 3, rings); NaN where none is."""
    if not frequency.size or not rings[0, 1].any():
        return np.full(len(rings), np.nan)
    found = np.array([cutoff(frequency, one) for one in rings])
    finest: NDArray[np.float64] = np.divide(1.0, found, out=np.full(len(found), np.nan), where=found > 0)
    return finest
