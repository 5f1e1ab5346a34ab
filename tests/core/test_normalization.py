"""Grey values survive the way in and out."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from napari_pix2pix.core.normalization import Normalization, fit_normalization


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "float32", "bool"])
def test_inverse_gives_the_grey_values_back(dtype: str) -> None:
    """invert(apply(x)) == x, exactly for integers, also outside the fitted range."""
    random = np.random.default_rng(0)
    frame = random.integers(0, 2 if dtype == "bool" else 250, (2, 16, 16)).astype(dtype)
    normalization = fit_normalization([frame], percentiles=(10, 90), limit=1.0)
    back = normalization.invert(normalization.apply(frame))
    assert back.dtype == frame.dtype
    np.testing.assert_allclose(back, frame, atol=0 if frame.dtype.kind in "iub" else 1e-4)


@given(arrays(np.uint16, (1, 4, 4), elements=st.integers(0, 65535)))
def test_every_16_bit_value_survives(frame) -> None:
    """No 16-bit grey value is lost in float32, even over the full range."""
    normalization = Normalization(low=(0.0,), high=(65535.0,), limit=0.9, dtype="uint16")
    np.testing.assert_array_equal(normalization.invert(normalization.apply(frame)), frame)


def test_the_fitted_range_becomes_the_limits_per_channel() -> None:
    """Each channel's extremes are mapped to plus and minus the limit; nothing is clipped beyond."""
    frames = [np.array([[[0, 10]], [[100, 300]]], np.uint16), np.array([[[5, 20]], [[200, 250]]], np.uint16)]
    normalization = fit_normalization(frames, percentiles=(0, 100), limit=0.9)
    assert (normalization.low, normalization.high) == ((0, 100), (20, 300))
    np.testing.assert_allclose(
        normalization.apply(np.array([[[20, 40]], [[100, 300]]]))[:, 0], [[0.9, 2.7], [-0.9, 0.9]]
    )


def test_predictions_beyond_the_dtype_are_clipped() -> None:
    """A prediction outside the dtype becomes its nearest value, never a wrapped one."""
    normalization = Normalization(low=(0.0,), high=(255.0,), limit=0.9, dtype="uint8")
    np.testing.assert_array_equal(normalization.invert(np.array([[[-1.0, 1.0]]], np.float32)), [[[0, 255]]])


def test_a_sparse_channel_keeps_its_extremes() -> None:
    """Percentiles that coincide give way to the extremes; a constant channel gets a range of one."""
    sparse, constant = np.zeros((1, 100, 100), np.uint16), np.full((1, 8, 8), 7, np.uint16)
    sparse[0, 0, 0] = 500
    found = [fit_normalization([f], percentiles=(1, 99), limit=1.0) for f in (sparse, constant)]
    assert [(f.low[0], f.high[0]) for f in found] == [(0, 500), (7, 8)]
