"""Grey values survive the way in and out."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from napari_pix2pix.core.encodings import normalization as normalization_module
from napari_pix2pix.core.encodings.normalization import Normalization, fit_normalization
from napari_pix2pix.core.settings.config import NormalizationConfig


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "float32", "bool"])
def test_inverse_gives_the_grey_values_back(dtype: str) -> None:
    """invert(apply(x)) == x, exactly for integers, also outside the fitted range."""
    random = np.random.default_rng(0)
    frame = random.integers(0, 2 if dtype == "bool" else 250, (2, 16, 16)).astype(dtype)
    normalization = fit_normalization([frame], NormalizationConfig(percentiles=(10, 90)))
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
    normalization = fit_normalization(frames, NormalizationConfig(method="min-max"), limit=0.9)
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
    found = [fit_normalization([f], NormalizationConfig(percentiles=(1, 99))) for f in (sparse, constant)]
    assert [(f.low[0], f.high[0]) for f in found] == [(0, 500), (7, 8)]


def test_methods() -> None:
    """Each method maps its own range to the limits: a fixed one, three deviations, each image's own."""
    frames = [np.random.default_rng(i).normal(100 * (i + 1), 10, (1, 64, 64)) for i in range(2)]
    fixed = fit_normalization(frames, NormalizationConfig(method="fixed", range=(0, 400)))
    assert (fixed.low, fixed.high) == ((0.0,), (400.0,))
    spread = fit_normalization(frames, NormalizationConfig(method="mean-std"))
    both = np.concatenate(frames)
    np.testing.assert_allclose([*spread.low, *spread.high], both.mean() + np.array([-3, 3]) * both.std())
    own = fit_normalization(frames, NormalizationConfig(method="min-max", statistics="image"))
    for frame in frames:
        np.testing.assert_allclose([own.apply(frame).min(), own.apply(frame).max()], [-1, 1], atol=1e-6)


def test_pixels_that_are_not_numbers_count_for_nothing() -> None:
    """NaN and Inf change no range."""
    frame = np.arange(100.0).reshape(1, 10, 10)
    holed = frame.copy()
    holed[0, 3] = np.nan
    holed[0, 4] = np.inf
    for method in ("min-max", "percentiles", "mean-std"):
        found = fit_normalization([holed], NormalizationConfig(method=method, percentiles=(0, 100)))
        expected = fit_normalization(
            [frame[:, [0, 1, 2, 5, 6, 7, 8, 9]]], NormalizationConfig(method=method, percentiles=(0, 100))
        )
        assert found == expected


def test_shares_outside_the_range() -> None:
    """The shares below and above, channel by channel."""
    normalization = Normalization(low=(0.0, 0.0), high=(10.0, 10.0), limit=1.0, dtype="uint8")
    frame = np.array([[[1, 2], [11, 12]], [[5, 5], [5, 11]]])
    assert list(normalization.outside(frame)) == [(0, 0.0, 0.5), (1, 0.0, 0.25)]


def test_mixed_dtypes_get_one_that_holds_all() -> None:
    """Frames of 8 and 16 bits are predicted in 16, 64-bit integers in as few as they need."""
    frames = [np.full((1, 2, 2), 900, np.uint16), np.full((1, 2, 2), 9, np.uint8)]
    assert fit_normalization(frames).dtype == "uint16"
    assert fit_normalization([np.array([[[0, 70_000]]])]).dtype == "uint32"


def test_percentiles_depend_on_pixels_alone(monkeypatch) -> None:
    """Of more pixels than are kept, the same are drawn whatever the order of the frames, and no more are held."""
    monkeypatch.setattr(normalization_module, "MOST_SAMPLED", 5000)
    random = np.random.default_rng(0)
    frames = [random.gamma(i + 1, 100, (2, 40, 50 + i)).astype(np.float32) for i in range(30)]
    config = NormalizationConfig(percentiles=(5, 95))
    found = fit_normalization(frames, config)
    for _ in range(3):
        assert fit_normalization([frames[i] for i in random.permutation(30)], config) == found
    sample = normalization_module._Sample()
    for frame in frames:
        sample.add(frame.reshape(2, -1))
        assert sum(part.shape[1] for part in sample._parts) <= 5000
    every = np.concatenate([frame.reshape(2, -1) for frame in frames], axis=1)
    np.testing.assert_allclose([found.low, found.high], np.percentile(every, (5, 95), axis=1), rtol=0.08)


def test_all_pixels_count_where_they_can_be_kept() -> None:
    """Of few pixels the percentiles are exact."""
    frames = [np.random.default_rng(i).integers(0, 4000, (2, 300, 400)).astype(np.uint16) for i in range(5)]
    found = fit_normalization(frames, NormalizationConfig(percentiles=(1, 99)))
    every = np.concatenate([frame.reshape(2, -1) for frame in frames], axis=1)
    np.testing.assert_array_equal([found.low, found.high], np.percentile(every, (1, 99), axis=1))


@pytest.mark.parametrize("axis", [0, 1])
def test_stripes_are_sampled_fairly(monkeypatch, axis: int) -> None:
    """One bright column, or row, of 64 counts for a 64th, whatever the width."""
    monkeypatch.setattr(normalization_module, "MOST_SAMPLED", 2**14)
    image = np.zeros((1, 1024, 1024), np.uint16)
    image[(0, *(slice(None),) * axis, slice(0, None, 64))] = 1000
    sample = normalization_module._Sample()
    sample.add(image.reshape(1, -1))
    assert np.concatenate(sample._parts, axis=1).mean() / 1000 == pytest.approx(1 / 64, rel=0.2)
