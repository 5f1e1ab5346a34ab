"""The samples show what they are said to show."""

import subprocess
import sys

import numpy as np
from skimage import color, data, util

from napari_pix2pix.files.samples import (
    bright_nuclei,
    coins_pair,
    demo_pair,
    derive_coins,
    derive_hematoxylin,
    derive_nuclei,
)


def test_there_are_24_coins() -> None:
    """Each coin has one label, none is the background."""
    source, labels = coins_pair()
    areas = np.bincount(labels.ravel())[1:]
    assert source.shape == labels.shape
    assert len(areas) == 24
    assert areas.max() < 3500


def test_the_demos_labels_are_not_a_map_of_its_grey_values() -> None:
    """No grey value is a nucleus everywhere or nowhere: the colour that told them is gone from the source."""
    source, labels = demo_pair()
    share = np.bincount(source.ravel(), labels.ravel() > 0, minlength=256) / np.bincount(
        source.ravel(), minlength=256
    ).clip(1)
    common = np.bincount(source.ravel(), minlength=256) > 1000
    assert share[common].max() < 0.9
    assert len(np.unique(labels)) > 100


def test_what_ships_is_what_was_derived() -> None:
    """From the photographs of scikit-image, pixel by pixel."""
    assert np.array_equal(demo_pair()[0], util.img_as_ubyte(color.rgb2gray(data.immunohistochemistry())))
    assert np.array_equal(coins_pair()[0], data.coins())
    for (_, shipped), derived in ((demo_pair(), derive_nuclei()), (coins_pair(), derive_coins())):
        assert shipped.dtype == derived.dtype == np.uint16
        assert np.array_equal(shipped, derived)
    assert np.abs(bright_nuclei().astype(int) - derive_hematoxylin()).max() <= 1


def test_a_window_that_opens_a_sample_imports_nothing_heavy() -> None:
    """It would stand still meanwhile."""
    code = "import sys; from napari_pix2pix.files.samples import *; demo_pair(); coins_pair(); bright_nuclei()\n"
    code += "print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.split()
    assert not {"skimage", "scipy", "torch"} & set(loaded)
