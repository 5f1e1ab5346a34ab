"""Whether pixels are as wrong as they are told to be."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.floating]
CALIBRATION = "expected_calibration_error"
BINS = 10


def reliability(told: Values, true: Values, labels: bool) -> list[dict[str, float]]:
    """Of pixels in bins of what they were told, ``told`` and ``true``, the means, and the ``share`` that they are.

    `told` and `true` are expected and true errors (n,). Bins of labels are tenths of probability, those of intensities
    hold a tenth of the pixels each; of what is told the same, all are in one. Empty bins are left out.
    """
    inner = np.arange(1, BINS) / BINS
    place = np.searchsorted(inner if labels else np.quantile(told, inner), told)
    count, *sums = (np.bincount(place, weights, BINS) for weights in (None, told, true))
    rows: list[Any] = [*zip(*(total / np.maximum(count, 1) for total in sums), count / told.size, strict=True)]
    return [{"told": float(a), "true": float(b), "share": float(share)} for a, b, share in rows if share]


def calibration_error(bins: list[dict[str, float]]) -> float:
    """The expected calibration error: how far what is told lies from what is true, on average over the pixels.

    References
    ----------
    Guo et al., "On calibration of modern neural networks", ICML 2017.
    """
    return sum(one["share"] * abs(one["told"] - one["true"]) for one in bins)
