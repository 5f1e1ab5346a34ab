"""Pairs to try things on."""

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage import color, data, feature, filters, measure, morphology, segmentation, util

DEMO_TRAIN, DEMO_TEST = slice(0, 320), slice(368, 512)
"""Columns of the demo's image; the gap is wider than the reach of its generator, 45 px."""
COIN = 61
"""About the diameter of the largest coin, in pixels."""


def demo_pair() -> tuple[NDArray[np.uint8], NDArray[np.uint16]]:
    """A tissue section as a monochrome camera would see it, and labels of its nuclei; each (512, 512).

    The section is the colour photograph of colon tissue, stained with hematoxylin and DAB, that ships with
    scikit-image. The labels are derived from its *colour*, which the source no longer holds: hematoxylin by colour
    deconvolution, smoothed, above Otsu's threshold of the training columns, split by watershed. They are not drawn by
    a pathologist.

    References
    ----------
    Ruifrok and Johnston, "Quantification of histochemical staining by color deconvolution", 2001.
    """
    photograph = data.immunohistochemistry()
    source = util.img_as_ubyte(color.rgb2gray(photograph))
    hematoxylin = filters.gaussian(color.rgb2hed(photograph)[..., 0], 2)
    nuclei = hematoxylin > filters.threshold_otsu(hematoxylin[:, DEMO_TRAIN])
    return source, _split(nuclei, sigma=1.5, min_distance=5)


def coins_pair() -> tuple[NDArray[np.uint8], NDArray[np.uint16]]:
    """Greek coins, and one label per coin by a classical watershed; each (303, 384). Ships with scikit-image."""
    source = data.coins()
    background = ndimage.uniform_filter(ndimage.minimum_filter(source, COIN), COIN)  # lighter at the top
    above = source.astype(int) - background
    coins = morphology.closing(above > filters.threshold_otsu(above), morphology.disk(3))
    coins = morphology.opening(ndimage.binary_fill_holes(coins), morphology.disk(4))
    return source, _split(coins, sigma=2, min_distance=15)


def _split(mask: NDArray[np.bool_], sigma: float, min_distance: int) -> NDArray[np.uint16]:
    """One label for each part of the mask, parted at its necks."""
    distance = filters.gaussian(ndimage.distance_transform_edt(mask), sigma)
    peaks = feature.peak_local_max(distance, min_distance=min_distance, labels=measure.label(mask))
    seeds = np.zeros(mask.shape, int)
    seeds[tuple(peaks.T)] = np.arange(1, len(peaks) + 1)
    labels = segmentation.watershed(-distance, seeds, mask=mask)
    labels = morphology.remove_small_objects(labels, max_size=30)
    return segmentation.relabel_sequential(labels)[0].astype(np.uint16)
