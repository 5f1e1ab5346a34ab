"""The samples show what they are said to show."""

import numpy as np

from napari_pix2pix.files.samples import coins_pair, demo_pair


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
