"""What is known of fields, at each pixel: linear between their centres, the same in any window."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_pix2pix.core.geometry.per_pixel import per_pixel

SCALE, TRANSLATE = (2.0, 8.0, 4.0), (0.5, 11.5, 6.0)


def whole(shape):
    return tuple(slice(0, n) for n in shape)


@pytest.mark.parametrize("dims", [2, 3])
def test_what_is_linear_in_place_stays_so_between_the_centres(dims) -> None:
    """A plane over the centres is the same plane over the pixels; beyond the outermost centres it goes on level."""
    scale, translate, shape = SCALE[-dims:], TRANSLATE[-dims:], (9, 90, 70)[-dims:]
    counts = (4, 9, 15)[-dims:]
    slopes = np.array([1.5, -0.25, 0.75])[-dims:]
    centres = np.meshgrid(
        *(s * np.arange(n) + t for s, t, n in zip(scale, translate, counts, strict=True)), indexing="ij"
    )
    values = sum(k * c for k, c in zip(slopes, centres, strict=True)).astype(np.float32)
    at = [
        np.clip(np.arange(n), t, t + s * (count - 1))
        for n, s, t, count in zip(shape, scale, translate, counts, strict=True)
    ]
    expected = sum(k * a for k, a in zip(slopes, np.meshgrid(*at, indexing="ij"), strict=True))
    np.testing.assert_allclose(per_pixel(values, scale, translate, whole(shape)), expected, rtol=0, atol=1e-4)


@settings(max_examples=40)
@given(st.data())
def test_a_window_has_what_the_whole_has_there(data) -> None:
    values = np.random.default_rng(data.draw(st.integers(0, 99))).random((2, 6, 9)).astype(np.float32)
    shape, window = (64, 50), []
    for n in shape:
        ends = sorted(data.draw(st.lists(st.integers(0, n), min_size=2, max_size=2, unique=True)))
        window.append(slice(*ends))
    found = per_pixel(values, SCALE[1:], TRANSLATE[1:], tuple(window))
    everything = per_pixel(values, SCALE[1:], TRANSLATE[1:], whole(shape))
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, everything[(..., *window)])


def test_a_field_for_each_pixel_is_itself() -> None:
    """Of a PixelGAN; and one field alone counts everywhere."""
    values = np.random.default_rng(0).random((5, 7)).astype(np.float32)
    np.testing.assert_array_equal(per_pixel(values, (1, 1), (0, 0), whole((5, 7))), values)
    np.testing.assert_array_equal(per_pixel(values[:1, :1], (8, 8), (11.5, 11.5), whole((40, 30))), values[0, 0])
