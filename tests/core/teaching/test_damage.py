"""Planted damage changes what it says, where it says, and is labelled by how much it changed."""

import numpy as np
import pytest

from napari_pix2pix.core.geometry.receptive_field import ReceptiveField, field_means
from napari_pix2pix.core.teaching.damage import TAUGHT, Area, blurred, change, erased, moved, plant, shift
from napari_pix2pix.core.teaching.teacher import TOLERANCE, matching

FIELDS = (ReceptiveField(16, 2, -5), ReceptiveField(16, 2, -5))


def image(seed: int, shape: tuple[int, ...] = (2, 48, 64)) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-0.9, 0.9, shape).astype(np.float32)


def test_a_field_is_labelled_by_the_share_of_it_that_was_changed() -> None:
    """By arithmetic: each field's label is exp(-changed pixels · change / pixels inside / 0.05), the border's too."""
    clean = np.full((1, 40, 40), -0.9, np.float32)
    damaged = clean.copy()
    damaged[0, 10:20, 4:12] = 0.9  # 0.9 of the range
    labels = matching(field_means(change(damaged, clean), FIELDS))
    for i, j in ((0, 0), (5, 3), (8, 6), (17, 17)):
        y, x = (slice(max(0, 2 * at - 5), min(40, 2 * at - 5 + 16)) for at in (i, j))
        inside = (y.stop - y.start) * (x.stop - x.start)
        hit = max(0, min(y.stop, 20) - max(y.start, 10)) * max(0, min(x.stop, 12) - max(x.start, 4))
        assert labels[i, j] == pytest.approx(np.exp(-hit * 0.9 / inside / TOLERANCE), rel=1e-4)
    assert labels[17, 17] == 1
    assert labels.min() < 0.01


@pytest.mark.parametrize("shape", [(2, 48, 64), (1, 4, 48, 64)], ids=["frames", "volumes"])
@pytest.mark.parametrize("kind", TAUGHT)
def test_every_kind_changes_an_image_but_put_back(kind: str, shape: tuple[int, ...]) -> None:
    """The same numbers, the same damage; it stays in the image's range, and `put back` is the image itself."""
    clean, others = image(0, shape), [image(1, shape), image(2, shape)]
    again = [plant(kind, clean, others, np.random.default_rng(seed), 16) for seed in (3, 3, 4)]
    np.testing.assert_array_equal(again[0], again[1])
    assert again[0].shape == shape
    assert np.abs(again[0]).max() <= 0.9 + 1e-6
    if kind == "put back":
        np.testing.assert_array_equal(again[0], clean)
    else:
        assert change(again[0], clean).max() > 0.01
        assert kind == "shuffled" or (again[0] != again[2]).any()


@pytest.mark.parametrize("softness", [0.0, 8.0])
def test_outside_its_area_nothing_changes(softness: float) -> None:
    """Hard: 1 inside and 0 outside; feathered: 1 well inside, 0 well outside, and everything between."""
    for round_ in (False, True):
        weights = Area((24.0, 32.0), (12.0, 16.0), round_).weights((3, 48, 64), softness)
        assert weights.shape == (3, 48, 64)
        assert weights[1, 24, 32] == 1
        assert (weights[:, :5] == 0).all()
        assert ((weights > 0) & (weights < 1)).any() == (softness > 0)
    assert Area((24.0, 32.0), (12.0, 16.0), False).weights((48, 64)).sum() == 23 * 31


def test_each_change_by_hand() -> None:
    """Moved by (1, -2), emptied to its background, blurred: what these words say."""
    one = image(0)
    np.testing.assert_array_equal(moved(one, (1, -2))[:, 1:, :-2], one[:, :-1, 2:])
    empty = np.full((2, 20, 20), -0.9, np.float32)
    empty[:, 5:15, 5:15] = 0.5
    assert (erased(empty) == -0.9).all()
    assert blurred(one, 3).std() < 0.3 * one.std()
    lengths = [np.hypot(*shift(np.random.default_rng(seed), 2, 10)) for seed in range(50)]
    assert min(lengths) > 1
    assert max(lengths) < 11
