"""A frame at another pixel size shows the same things in the same places."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

from napari_pix2pix.core.encodings.rescaling import resampled, rescaled_shape

sides = st.tuples(st.integers(1, 40), st.integers(1, 40))


@given(sides, sides, st.sampled_from(["uint16", "float32"]), st.booleans())
def test_what_is_constant_stays(shape, other, dtype, labels) -> None:
    frame = np.full((2, *shape), 7, dtype)
    np.testing.assert_allclose(resampled(frame, other, labels), np.full((2, *other), 7), rtol=1e-6)
    assert resampled(frame, shape, labels) is frame


@pytest.mark.parametrize("scale", [0.37, 0.5, 1.3, 3.0])
def test_things_stay_where_they_are(scale) -> None:
    """The centre of mass of a spot, seen from the image's border, and back; in three dimensions, too."""
    places = np.meshgrid(np.arange(30), np.arange(61), np.arange(50), indexing="ij")
    centre = (14.2, 33.7, 21.1)
    spot = np.exp(-sum((p - c) ** 2 for p, c in zip(places, centre, strict=True)) / (2 * 4**2))[None]
    shape = rescaled_shape(spot.shape[1:], (scale,) * 3)
    assert shape == tuple(round(n * scale) for n in spot.shape[1:])
    moved = resampled(spot, shape)
    for image, factors in ((moved, np.divide(shape, spot.shape[1:])), (resampled(moved, spot.shape[1:]), np.ones(3))):
        found = (np.array(ndimage.center_of_mass(image[0])) + 0.5) / factors - 0.5
        np.testing.assert_allclose(found, centre, atol=0.1)
    labels = resampled(spot > 0.5, shape, labels=True)
    assert labels.dtype == bool
    assert abs(labels.mean() / (spot > 0.5).mean() - 1) < 0.1


def test_fine_stripes_do_not_become_coarse_ones() -> None:
    """Shrinking filters first: stripes of one pixel are grey, not other stripes."""
    stripes = np.tile(np.array([0, 1], np.uint8), 60)[None, None].repeat(12, axis=1)
    assert np.ptp(resampled(stripes, (12, 37))[..., 2:-2]) < 0.2
