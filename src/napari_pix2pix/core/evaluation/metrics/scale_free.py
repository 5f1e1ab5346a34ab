"""SSIM that does not ask for the brightness and the offset of an image, but for what it shows."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter
from scipy.optimize import minimize_scalar

from napari_pix2pix.core.evaluation.metrics.intervals import finite

WINDOW = 7
"""Side of its windows, px, as of SSIM."""
BACKGROUND = 3
"""The percentile of an image that is its background, as in MicroSSIM."""
K1, K2 = 0.01, 0.03
"""The constants of SSIM, shares of the range (Wang et al., 2004)."""
MOST_WINDOWS = 8192
"""So many, evenly chosen, tell the factor."""


def scale_free_similarity(
    prediction: NDArray[Any],
    target: NDArray[Any],
    known: NDArray[np.bool_],
    inside: NDArray[np.bool_],
    data_range: float,
) -> float | None:
    """The mean SSIM of a channel ([Z,] Y, X) once its background is taken off and its scale is the best there is.

    Of both images the third percentile of what is known is 0; the prediction is then multiplied by the factor, no
    less than 0, for which its mean SSIM is highest. `inside` says where a window of 7 x 7 px is known; None where
    nowhere.

    References
    ----------
    After MicroSSIM, which finds one factor for all images of a set: Ashesh, Deschout and Jug, "MicroSSIM: Improved
    Structural Similarity for Comparing Microscopy Data", 2024 (arXiv 2408.08747).
    """
    if not inside.any():
        return None
    images = []
    for image in (target, prediction):
        background = np.percentile(image[known], BACKGROUND)
        images.append(np.where(known, (image - background) / data_range, 0.0))
    windows = (1,) * (target.ndim - 2) + (WINDOW, WINDOW)
    x, y = images
    means = [uniform_filter(values, windows)[inside] for values in (x, y, x * x, y * y, x * y)]
    ux, uy, xx, yy, xy = means
    unbiased = WINDOW**2 / (WINDOW**2 - 1)
    moments = np.stack([ux, uy, (xx - ux * ux) * unbiased, (yy - uy * uy) * unbiased, (xy - ux * uy) * unbiased])
    few = moments[:, :: -(-moments.shape[1] // MOST_WINDOWS)]
    ux, uy, _, vy, vxy = few
    square = float((uy * uy + vy).sum())
    start = float((ux * uy + vxy).sum()) / square if square > 0 else 0.0
    if start <= 0:  # darker where the truth is brighter: no factor helps
        return finite(_similarity(moments, 0.0))
    found = minimize_scalar(
        lambda power: -_similarity(few, start * np.exp(power)), bounds=(-np.log(10), np.log(10)), method="bounded"
    )
    return finite(_similarity(moments, start * float(np.exp(found.x))))


def _similarity(moments: NDArray[np.float64], factor: float) -> float:
    """Mean SSIM where the prediction is multiplied by this factor, from local means, variances and covariance."""
    ux, uy, vx, vy, vxy = moments
    uy, vy, vxy = factor * uy, factor**2 * vy, factor * vxy
    luminance = (2 * ux * uy + K1**2) / (ux * ux + uy * uy + K1**2)
    structure = (2 * vxy + K2**2) / (vx + vy + K2**2)
    return float((luminance * structure).mean())
