"""Colours of one stain made those of another without learning: what has to be better than these."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from skimage.color import lab2rgb, rgb2hed, rgb2lab

Image = NDArray[np.uint8]
"""RGB (3, Y, X)."""
WHITE, FAINT = 255.0, 0.15
"""Grey value of light that nothing absorbed; optical density below which nothing is stained."""


def reinhard(image: Image, reference: Image) -> Image:
    """`image` with the mean and deviation of each channel of `reference` in CIELAB.

    References
    ----------
    Reinhard et al., "Color transfer between images", IEEE Computer Graphics and Applications 21, 2001.
    """
    ours, theirs = (rgb2lab(np.moveaxis(some, 0, -1)) for some in (image, reference))
    (mean, deviation), (to_mean, to_deviation) = ((some.mean((0, 1)), some.std((0, 1))) for some in (ours, theirs))
    moved = (ours - mean) / deviation * to_deviation + to_mean
    return np.moveaxis(np.round(255 * np.clip(lab2rgb(moved), 0, 1)), -1, 0).astype(np.uint8)


def macenko(image: Image, reference: Image) -> Image:
    """`image` with the two stains of `reference`: as much of each, by their 99th percentiles."""
    amounts = _unmixed(image)[1]
    to_stains, to_amounts = _unmixed(reference)
    scale = np.percentile(to_amounts, 99, axis=1) / np.percentile(amounts, 99, axis=1)
    density = to_stains @ (amounts * scale[:, None])
    return np.clip(WHITE * np.exp(-density), 0, 255).round().astype(np.uint8).reshape(image.shape)


def haematoxylin(image: Image) -> Image:
    """How much haematoxylin, uint8 (1, Y, X), much is bright; by fixed colours, since there may be one stain only.

    References
    ----------
    Ruifrok and Johnston, "Quantification of histochemical staining by color deconvolution", 2001 (scikit-image's).
    """
    amount = rgb2hed(np.moveaxis(image, 0, -1))[..., 0]
    low, high = np.percentile(amount, (0.1, 99.9))
    return np.clip(255 * (amount - low) / (high - low), 0, 255).astype(np.uint8)[None]


def _unmixed(image: Image) -> tuple[NDArray[Any], NDArray[Any]]:
    """Stains (3, 2), haematoxylin first, and how much of each there is (2, Y * X).

    References
    ----------
    Macenko et al., "A method for normalizing histology slides for quantitative analysis", ISBI 2009.
    """
    density = -np.log(np.maximum(image.reshape(3, -1), 1) / WHITE)
    stained = density[:, (density > FAINT).all(axis=0)]
    plane = np.linalg.eigh(np.cov(stained))[1][:, :0:-1]  # the two largest
    plane *= np.sign(plane.sum(axis=0))
    angles = np.arctan2(*(plane.T @ stained)[::-1])
    ends = np.stack([plane @ (np.cos(a), np.sin(a)) for a in np.percentile(angles, (1, 99))], axis=1)
    stains = ends[:, np.argsort(-ends[0])]  # haematoxylin absorbs more red
    return stains, np.maximum(np.linalg.lstsq(stains, density, rcond=None)[0], 0)
