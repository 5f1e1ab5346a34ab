"""Pairs to try things on: photographs of scikit-image, and labels that were derived from them once and ship with us.

What derives them is imported when it is asked for: a window that opens a sample does not wait for it.
"""

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from imagecodecs import png_decode
from numpy.typing import NDArray

DEMO_TRAIN, DEMO_TEST = slice(0, 320), slice(368, 512)
"""Columns of the demo's image; the gap is wider than the reach of its generator, 45 px."""
LABELS = Path(__file__).parent / "sample_labels"
"""What `derive_nuclei`, `derive_coins` and `derive_hematoxylin` found, as PNG."""
LUMINANCE = 0.2125, 0.7154, 0.0721
"""Of red, green and blue."""
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
    grey = _photograph("ihc.png") / 255 @ np.array(LUMINANCE)
    return np.floor(255 * grey + 0.5).astype(np.uint8), _labels("tissue.png")


def coins_pair() -> tuple[NDArray[np.uint8], NDArray[np.uint16]]:
    """Greek coins, and one label per coin by a classical watershed; each (303, 384). Ships with scikit-image."""
    return _photograph("coins.png"), _labels("coins.png")


def bright_nuclei() -> NDArray[np.uint8]:
    """Nuclei of the demo's tissue section, bright on dark as in fluorescence: its hematoxylin; (512, 512)."""
    found: NDArray[np.uint8] = _labels("hematoxylin.png")
    return found


def derive_hematoxylin() -> NDArray[np.uint8]:
    """The image of `bright_nuclei`: by colour deconvolution, smoothed by 1.5 px.

    From the 60th percentile, 0, to the 99.9th, 200: so noise and what lies between nuclei are dark, as in fluorescence.

    References
    ----------
    Ruifrok and Johnston, "Quantification of histochemical staining by color deconvolution", 2001.
    """
    from skimage import color, filters

    hematoxylin = filters.gaussian(color.rgb2hed(_photograph("ihc.png"))[..., 0], 1.5)
    low, high = np.percentile(hematoxylin, (60, 99.9))
    return np.rint(200 * ((hematoxylin - low) / (high - low)).clip(0, 1)).astype(np.uint8)


def derive_nuclei() -> NDArray[np.uint16]:
    """The labels of `demo_pair`."""
    from skimage import color, filters

    photograph = _photograph("ihc.png")
    hematoxylin = filters.gaussian(color.rgb2hed(photograph)[..., 0], 2)
    nuclei = hematoxylin > filters.threshold_otsu(hematoxylin[:, DEMO_TRAIN])
    return _split(nuclei, sigma=1.5, min_distance=5)


def derive_coins() -> NDArray[np.uint16]:
    """The labels of `coins_pair`."""
    from scipy import ndimage
    from skimage import filters, morphology

    source = _photograph("coins.png")
    background = ndimage.uniform_filter(ndimage.minimum_filter(source, COIN), COIN)  # lighter at the top
    above = source.astype(int) - background
    coins = morphology.closing(above > filters.threshold_otsu(above), morphology.disk(3))
    coins = morphology.opening(ndimage.binary_fill_holes(coins), morphology.disk(4))
    return _split(coins, sigma=2, min_distance=15)


def _photograph(name: str) -> NDArray[np.uint8]:
    """One that ships with scikit-image, which need not be imported for it."""
    spec = find_spec("skimage")
    assert spec is not None
    assert spec.submodule_search_locations
    return _read(Path(spec.submodule_search_locations[0]) / "data" / name)


def _labels(name: str) -> NDArray[Any]:
    return _read(LABELS / name)


def _read(path: Path) -> NDArray[Any]:
    found: NDArray[Any] = png_decode(path.read_bytes())
    return found


def _split(mask: NDArray[np.bool_], sigma: float, min_distance: int) -> NDArray[np.uint16]:
    """One label for each part of the mask, parted at its necks."""
    from scipy import ndimage
    from skimage import feature, filters, measure, morphology, segmentation

    distance = filters.gaussian(ndimage.distance_transform_edt(mask), sigma)
    peaks = feature.peak_local_max(distance, min_distance=min_distance, labels=measure.label(mask))
    seeds = np.zeros(mask.shape, int)
    seeds[tuple(peaks.T)] = np.arange(1, len(peaks) + 1)
    labels = segmentation.watershed(-distance, seeds, mask=mask)
    labels = morphology.remove_small_objects(labels, max_size=30)
    return segmentation.relabel_sequential(labels)[0].astype(np.uint16)
