"""Signs that a training goes wrong are seen, and not where it goes well."""

import numpy as np

from napari_pix2pix.core.evaluation.signs import is_constant


def test_a_prediction_that_says_always_the_same_is_told() -> None:
    """Where its target varies."""
    target, flat = np.arange(64).reshape(1, 8, 8), np.full((1, 8, 8), 7)
    assert is_constant(flat, target)
    assert not is_constant(target + 1, target)
