"""Signs that a training goes wrong are seen, and not where it goes well."""

import numpy as np
import pytest

from napari_pix2pix.core.evaluation.signs import ROWS, UNDECIDED, discriminator_too_strong, is_constant


@pytest.mark.parametrize("objective", ["cross-entropy", "minimax", "least-squares", "hinge"])
def test_a_discriminator_that_always_knows_is_told(objective) -> None:
    """Only if its loss has been near zero for long, compared with that of one that cannot tell."""
    strong, fair = ([{"discriminator": share * UNDECIDED[objective]}] * ROWS for share in (0.01, 0.2))
    assert "tells every fake from its target" in discriminator_too_strong(strong, objective)
    assert discriminator_too_strong(fair, objective) is None
    assert discriminator_too_strong(strong[1:], objective) is None
    assert discriminator_too_strong(strong[1:] + fair[:1] * 10, objective) is None


def test_a_loss_without_bounds_and_no_discriminator_say_nothing() -> None:
    """The loss of wgan-gp has no scale; L1 alone has no discriminator."""
    assert discriminator_too_strong([{"discriminator": 0.0}] * ROWS, "wgan-gp") is None
    assert discriminator_too_strong([{"l1": 0.1}] * ROWS, "cross-entropy") is None


def test_a_prediction_that_says_always_the_same_is_told() -> None:
    """Where its target varies."""
    target, flat = np.arange(64).reshape(1, 8, 8), np.full((1, 8, 8), 7)
    assert is_constant(flat, target)
    assert not is_constant(target + 1, target)
