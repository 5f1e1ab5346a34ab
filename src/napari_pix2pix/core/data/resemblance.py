"""One image made to look like another of the same place, so that a shift between them can be measured.

Stain and stain, or image and labels, have other contrasts: a peak of their correlation says little. So the target is
first predicted from the source, pixel by pixel, by a linear model of features that are the same in every direction.
Such features know nothing of left and right, so what is predicted lies where its source lies, even if the model was
fitted to a target that lies elsewhere: a shift blurs the model, it cannot be learned by it.
"""

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.measure import block_reduce
from skimage.segmentation import find_boundaries

SCALES = 1.0, 2.0, 4.0, 8.0
"""Widths of the filters, px."""
RIDGE, EVERY = 0.01, 3
"""The penalty on the coefficients of standardized features; every third row and column is fitted."""
TAILS = 0.1, 99.9
"""Grey values beyond these percentiles are cut off: a hot pixel is no structure."""

Views = NDArray[np.float32]
"""What is compared of an image (K, Y, X): mean 0, standard deviation 1, or 0 everywhere where it is constant."""


def standardized(image: NDArray[np.float32]) -> NDArray[np.float32]:
    """The image with a mean of 0 and a standard deviation of 1; 0 where it is constant."""
    spread = image.std(dtype=np.float64)
    found: NDArray[np.float32] = ((image - image.mean(dtype=np.float64)) / (spread or 1.0)).astype(np.float32)
    return found


def views(image: NDArray[np.generic], labels: bool = False) -> Views:
    """What is compared of an image (C, Y, X) of finite values: each channel, or of labels foreground and borders.

    Of a bright RGB image (transmitted light) the optical density, in which stains add up.
    """
    if labels:
        return np.stack([standardized(channel) for channel in outlined(image)])
    grey = image.astype(np.float32)
    low, high = np.percentile(grey, TAILS, axis=(1, 2), keepdims=True).astype(np.float32)
    if (low == high).all():
        low, high = grey.min(axis=(1, 2), keepdims=True), grey.max(axis=(1, 2), keepdims=True)
    brightest = float(high.max())
    if len(grey) == 3 and low.min() >= 0 and np.median(grey) > brightest / 2:
        grey, low, high = (-np.log((values + 0.01 * brightest) / brightest) for values in (grey, high, low))
    return np.stack([standardized(channel) for channel in grey.clip(low, high)])


def outlined(labels: NDArray[np.generic]) -> NDArray[np.float32]:
    """Foreground and borders (2, Y, X) of labels (C, Y, X), 0 or 1."""
    channels = (labels != 0).any(axis=0), find_boundaries(labels.max(axis=0).astype(np.int64))
    return np.stack([channel.astype(np.float32) for channel in channels])


def features(source: Views) -> list[NDArray[np.float32]]:
    """Of each view and scale: what is left of it, its square, and its first and second derivatives in no direction."""
    found = []
    for view in source:
        for scale in SCALES:
            smooth = standardized(ndimage.gaussian_filter(view, scale, truncate=3))
            slopes = np.hypot(*(ndimage.sobel(smooth, axis) for axis in (0, 1)))
            found += [smooth, smooth**2, slopes, ndimage.laplace(smooth)]
    return [standardized(one) for one in found]


def predicted(of_source: list[NDArray[np.float32]], target: Views, known: NDArray[np.bool_]) -> Views:
    """The target as a linear model of the source's `features` has it, fitted where the target is `known` (Y, X).

    References
    ----------
    Ridge regression: Hoerl and Kennard, "Ridge regression: biased estimation for nonorthogonal problems", 1970.
    """
    some = (slice(None, None, EVERY), slice(None, None, EVERY))
    chosen = known[some]
    design = np.stack([one[some][chosen] for one in of_source], axis=1).astype(np.float64)
    truth = np.stack([view[some][chosen] for view in target], axis=1).astype(np.float64)
    middle, level = design.mean(axis=0), truth.mean(axis=0)
    design -= middle
    gram = design.T @ design + RIDGE * max(len(design), 1) * np.eye(design.shape[1])
    weights = np.linalg.solve(gram, design.T @ (truth - level))
    result = np.zeros_like(target)
    for one, own in zip(of_source, weights.astype(np.float32), strict=True):
        for k, weight in enumerate(own):
            result[k] += weight * one
    return result


def reduced(image: Views, times: int) -> Views:
    """Means over squares of `times` px; what is left over at the end is cut off."""
    if times == 1:
        return image
    y, x = (n // times * times for n in image.shape[1:])
    if not y:
        return image[:, :0, : image.shape[2] // times]
    found: Views = block_reduce(image[:, :y, :x], (1, times, times), np.mean).astype(np.float32)
    return found
