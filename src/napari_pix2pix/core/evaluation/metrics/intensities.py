"""How near predicted grey values are to the true ones, and how much of their detail is there."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage, stats
from skimage.filters import threshold_otsu
from skimage.metrics import structural_similarity

from napari_pix2pix.core.evaluation.metrics.fourier import OF_RINGS, of_rings
from napari_pix2pix.core.evaluation.metrics.intervals import Row, finite
from napari_pix2pix.core.evaluation.metrics.scale_free import scale_free_similarity

WINDOW = 7
"""Side of the window of SSIM, px; in volumes it lies in each plane."""
MOST_BINS = 65_536
OF_VALUES = ("mae", "rmse", "nrmse", "psnr", "pearson", "spearman")
NOT_KNOWN: Row = dict.fromkeys(
    [*(name + suffix for suffix in ("", "_foreground") for name in (*OF_VALUES, "ssim")), "ssim_scale_free", *OF_RINGS]
)
"""The figures of a channel of which nothing is known."""


class Histogram:
    """The values of one channel over all frames: each integer its own bin, else 4096 bins from `low` to `high`."""

    def __init__(self, low: float, high: float, integers: bool) -> None:
        self.low, self.high = low, high
        n = int(high - low) + 1 if integers and high - low < MOST_BINS else 4096
        self.values = np.linspace(low, high, n)
        self.counts = np.zeros(n)

    def add(self, values: NDArray[Any]) -> None:
        """Count these values."""
        share = (values.ravel().astype(np.float64) - self.low) / ((self.high - self.low) or 1.0)
        bins = np.clip(np.rint(share * (len(self.counts) - 1)), 0, len(self.counts) - 1).astype(np.int64)
        self.counts += np.bincount(bins, minlength=len(self.counts))

    def median(self) -> float:
        """The value that as many are below as above."""
        return self.share(0.5)

    def share(self, below: float) -> float:
        """The value below which this share of all lies."""
        return float(self.values[np.searchsorted(self.counts.cumsum(), self.counts.sum() * below)])

    def otsu(self) -> float | None:
        """Otsu's threshold; None where all values are equal.

        References
        ----------
        Otsu, "A threshold selection method from gray-level histograms", 1979.
        """
        if np.count_nonzero(self.counts) < 2:
            return None
        return float(threshold_otsu(hist=(self.counts, self.values)))


def histograms(
    frames: Callable[[], Iterable[Sequence[NDArray[Any]]]], n_channels: int, integers: bool
) -> list[Histogram | None]:
    """Of each channel over all frames, of which `frames` gives the values (N,) that count; None where there are none.

    It is asked twice: for the ends, and for what lies between them.
    """
    low, high = np.full(n_channels, np.inf), np.full(n_channels, -np.inf)
    for frame in frames():
        for i, values in enumerate(frame):
            if values.size:
                low[i], high[i] = min(low[i], values.min()), max(high[i], values.max())
    found = [Histogram(float(a), float(b), integers) if a <= b else None for a, b in zip(low, high, strict=True)]
    for frame in frames():
        for values, histogram in zip(frame, found, strict=True):
            if histogram is not None:
                histogram.add(values)
    return found


def ranks(values: NDArray[Any]) -> NDArray[np.float64]:
    """The rank of each value, ties sharing their mean; of integers by counting, which is faster."""
    if values.dtype.kind in "iu" and values.size and int(values.max()) - int(values.min()) < MOST_BINS:
        bins = values.astype(np.int64) - int(values.min())
        counts = np.bincount(bins)
        of_each: NDArray[np.float64] = (np.cumsum(counts) - (counts - 1) / 2)[bins]
        return of_each
    ranked: NDArray[np.float64] = stats.rankdata(values)
    return ranked


def correlation(a: NDArray[Any], b: NDArray[Any]) -> float:
    """Pearson's coefficient; NaN where one of the two is constant."""
    if a.size < 2:
        return np.nan
    a, b = a - a.mean(), b - b.mean()
    spread = np.sqrt((a @ a) * (b @ b))
    return float(np.clip((a @ b) / spread, -1, 1)) if spread > 1e-12 * max(a.size, 1) else np.nan


def as_stored(values: NDArray[np.float64], dtype: np.dtype[Any]) -> NDArray[Any]:
    """The values as an image of this dtype holds them."""
    if dtype.kind not in "iu":
        return values
    return np.clip(np.rint(values), np.iinfo(dtype).min, np.iinfo(dtype).max).astype(dtype)


def _of_values(prediction: NDArray[Any], target: NDArray[Any], data_range: float) -> Row:
    """Figures that do not ask where a pixel lies, of values (N,)."""
    if not target.size:
        return dict.fromkeys(OF_VALUES)
    a, b = prediction.astype(np.float64), target.astype(np.float64)
    error = a - b
    rmse = float(np.sqrt((error @ error) / error.size))
    found = (
        float(np.abs(error).mean()),
        rmse,
        rmse / data_range,
        20 * np.log10(data_range / rmse) if rmse else np.inf,
        correlation(a, b),
        correlation(ranks(prediction), ranks(target)),
    )
    return {name: finite(value) for name, value in zip(OF_VALUES, found, strict=True)}


def similarity(
    prediction: NDArray[Any], target: NDArray[Any], known: NDArray[np.bool_], data_range: float
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """SSIM at each pixel of ([Z,] Y, X), and where its window of 7 x 7 px lies within what is known.

    References
    ----------
    Wang et al., "Image quality assessment: from error visibility to structural similarity", 2004.
    """
    whole = target.shape
    if min(whole[-2:]) < WINDOW:
        return np.zeros(whole), np.zeros(whole, bool)
    # Single precision suffices where values are few ranges large: 1e-6 against the constants of SSIM, 1e-4 and 9e-4.
    dtype = np.float32 if max(abs(float(target.max())), abs(float(target.min()))) < 4 * data_range else np.float64
    planes = [(image / data_range).astype(dtype).reshape(-1, *whole[-2:]) for image in (prediction, target)]
    maps = [
        structural_similarity(a, b, win_size=WINDOW, data_range=1, full=True)[1] for a, b in zip(*planes, strict=True)
    ]
    edge = WINDOW // 2
    if known.all():
        inside = np.zeros(whole, bool)
        inside[..., edge:-edge, edge:-edge] = True
    else:
        window = np.ones((1,) * (known.ndim - 2) + (WINDOW, WINDOW), bool)
        inside = ndimage.binary_erosion(known, window, border_value=0)
    return np.reshape(maps, whole), inside


def of_channel(
    prediction: NDArray[Any],
    target: NDArray[Any],
    known: NDArray[np.bool_],
    data_range: float | None,
    level: float | None,
) -> Row:
    """The figures of one channel ([Z,] Y, X), where it is `known`; those of its foreground end in ``_foreground``.

    ``mae``, ``rmse`` in grey values; ``nrmse`` the RMSE as a share of `data_range`; ``psnr`` in dB against it;
    ``ssim`` with windows of 7 x 7 px and that range; ``pearson`` and ``spearman``. Of all that is known also
    ``ssim_scale_free``, see `scale_free_similarity`, ``frc_cutoff`` and ``spectral_correlation``, see `of_rings`. None
    where there are no pixels, where a PSNR is infinite, and where a correlation with a constant is asked for.

    Parameters
    ----------
    level
        What exceeds it in the target is foreground; None: nothing does.
    """
    if not known.any():
        return dict(NOT_KNOWN)
    data_range = data_range or 1.0
    map_, inside = similarity(prediction, target, known, data_range)
    row: Row = {}
    bright = target > level if level is not None else np.zeros(target.shape, bool)
    for suffix, where in (("", known), ("_foreground", known & bright)):
        found = _of_values(prediction[where], target[where], data_range)
        windows = map_[inside & where]
        found["ssim"] = finite(windows.mean()) if windows.size else None
        row |= {name + suffix: value for name, value in found.items()}
    row["ssim_scale_free"] = scale_free_similarity(prediction, target, known, inside, data_range)
    return row | of_rings(prediction, target, known)


def joined(channels: Sequence[Row], data_range: float) -> Row:
    """The figures of a frame from those of its channels: means; of the RMSE squared, and PSNR and NRMSE from that.

    A channel of which nothing is known does not count.
    """
    if len(channels) == 1:
        return channels[0]
    row: Row = {}
    for name in channels[0]:
        values = [channel[name] for channel in channels]
        known = [value for value in values if value is not None]
        squared = name.startswith("rmse")
        mean = float(np.mean(np.square(known) if squared else known)) if known else None
        row[name] = np.sqrt(mean).item() if squared and mean is not None else mean
    for suffix in ("", "_foreground"):
        rmse = row["rmse" + suffix]
        row["nrmse" + suffix] = None if rmse is None else rmse / (data_range or 1.0)
        row["psnr" + suffix] = float(20 * np.log10((data_range or 1.0) / rmse)) if rmse else None
    return row
