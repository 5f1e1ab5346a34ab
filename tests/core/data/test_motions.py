"""Of the motions that shifts of blocks tell the simplest is taken that foretells the blocks it did not see."""

import numpy as np
import pytest

from napari_pix2pix.core.data.motions import simplest

CENTRES = np.arange(16) * 32.0, np.arange(14) * 32.0
Y, X = np.meshgrid(*CENTRES, indexing="ij")
WAVES = 3 * np.stack([np.sin(Y / 70), np.cos(X / 70)])
ANGLE = np.deg2rad(2)
PLANTED = {
    "shift": np.stack([np.full_like(Y, 1.0), np.full_like(X, -2.0)]),
    "rigid": np.stack([(np.cos(ANGLE) - 1) * Y - np.sin(ANGLE) * X, np.sin(ANGLE) * Y + (np.cos(ANGLE) - 1) * X]),
    "affine": np.stack([0.02 * Y + 0.01 * X, -0.015 * X]) + 1,
    "local": WAVES,
}


@pytest.mark.parametrize("motion", PLANTED)
@pytest.mark.parametrize("seed", range(3))
def test_a_planted_motion_is_told_through_noise_and_wrong_blocks(motion, seed):
    random = np.random.default_rng(seed)
    shifts = PLANTED[motion] + 0.4 * random.normal(size=(2, *Y.shape))
    wrong = random.random(Y.shape) < 0.05
    shifts[:, wrong] += random.uniform(-8, 8, (2, int(wrong.sum())))
    weights = random.uniform(0.2, 1, Y.shape) * (random.random(Y.shape) < 0.8)
    found, told, uncertain = simplest(shifts, weights, CENTRES, 0.1)
    assert found == motion
    off = np.hypot(*(told - PLANTED[motion]))[weights > 0]
    assert np.median(off) < (0.6 if motion == "local" else 0.2)
    assert np.median(uncertain[weights > 0]) == pytest.approx(np.median(off), rel=2, abs=0.1)


def test_few_blocks_tell_a_shift_and_none_tells_nothing():
    shifts, centres = np.ones((2, 3, 3)), (np.arange(3) * 32.0,) * 2
    few = np.zeros((3, 3))
    few[0, :2] = 1
    motion, told, uncertain = simplest(shifts, few, centres, 0.1)
    assert motion == "shift"
    assert (told == 1).all()
    assert np.isnan(uncertain).all()
    assert (simplest(shifts, 0 * few, centres, 0.1)[1] == 0).all()
