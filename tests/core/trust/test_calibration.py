"""Ranks and bounds by hand, and what they promise, over many splits."""

from dataclasses import replace

import numpy as np
import pytest

from napari_pix2pix.core.trust.calibration import FAIR, LEVEL, MOST_FIELDS, Calibration, fair_quantile, group_quantile


def of(real, expected=None, errors=None, **named) -> Calibration:
    arrays = [[np.asarray(own, np.float32) for own in side] for side in (real, expected or real, errors or real)]
    return Calibration.of(*arrays, **named)


def test_a_rank_by_hand() -> None:
    """(k + 1) / (n + 1): n groups, k the sum of their shares of real fields that score no more, ties included."""
    known = of([[3, 1, 2, 4], [10, 20]])
    ranks = known.rank(np.array([[0, 1, 2.5], [4, 10, 99]], np.float32))
    shares = np.array([[0, 0.25, 0.5], [1, 1.5, 2]])
    np.testing.assert_allclose(ranks, (shares + 1) / 3, rtol=1e-6)


def test_a_large_group_weighs_no_more_than_a_small_one() -> None:
    """A group's fields count together as one, however many they are; of very many, quantiles are kept."""
    few = of([[0.0, 1.0], [5.0]]).rank(np.array([0.5]))
    many = of([np.linspace(0, 1, 50_001), [5.0]])
    assert many.real[0].size == MOST_FIELDS
    assert many.rank(np.array([0.5]))[0] == pytest.approx(few[0], abs=1e-3)


def test_the_quantile_by_hand() -> None:
    """Nine groups of one value: only their largest holds for nine of ten new ones; with eight, nothing does."""
    assert group_quantile([np.array([i]) for i in range(9)], 0.9) == 8
    assert group_quantile([np.array([i]) for i in range(8)], 0.9) == np.inf
    # Twenty alike groups of 1 … 10: 18.9 of 20 shares must be reached, so the 9.45th value of ten.
    assert group_quantile([np.arange(1, 11)] * 20, 0.9) == 10
    assert group_quantile([np.arange(1, 101)] * 20, 0.9) == 95


@pytest.mark.parametrize("alike", [True, False], ids=["groups alike", "groups apart"])
def test_nine_of_ten_fields_err_less_than_the_bound(alike: bool, capsys) -> None:
    """The mean coverage over 200 random splits by group lies within 3 points of 90 %, whether or not groups differ."""
    random = np.random.default_rng(0)
    level = np.ones(80) if alike else random.lognormal(0, 1, 80)
    sizes = random.integers(5, 60, 80)
    expected = [random.uniform(0.5, 2, size) for size in sizes]
    errors = [x * scale * random.gamma(2, 0.5, x.size) for x, scale in zip(expected, level, strict=True)]
    covered = []
    for _ in range(200):
        order = random.permutation(80)
        ours, new = order[:40], order[40:]
        known = of(*([side[i] for i in ours] for side in (errors, expected, errors)))
        covered.append(np.mean([(errors[i] < known.bound(known.scale * expected[i])).mean() for i in new]))
    with capsys.disabled():
        print(f"\ncoverage {np.mean(covered):.3f} ± {np.std(covered):.3f} over 200 splits")
    assert abs(np.mean(covered) - LEVEL) < 0.03 if alike else np.mean(covered) > LEVEL - 0.01


def test_three_quarters_of_the_fields_in_nine_images_of_ten_err_less_than_the_bound(capsys) -> None:
    """Also where some images err far more than is expected of them: the average alone leaves these out."""
    random = np.random.default_rng(1)
    level = np.where(random.random(80) < 0.15, 4, 1)
    errors = [scale * random.gamma(2, 0.5, 50) for scale in level]
    fair, average = [], []
    for _ in range(200):
        order = random.permutation(80)
        these = [errors[i] for i in order[:40]]
        for found, factor in ((fair, fair_quantile(these)), (average, group_quantile(these, LEVEL))):
            found.append(np.mean([(errors[i] <= factor).mean() >= FAIR for i in order[40:]]))
    with capsys.disabled():
        print(f"\nimages where {FAIR:.0%} hold: {np.mean(fair):.3f}, by the average alone {np.mean(average):.3f}")
    assert np.mean(fair) > LEVEL - 0.01
    assert np.mean(average) < LEVEL - 0.02


def test_the_fair_quantile_by_hand() -> None:
    """Of twenty groups, one may have less than three quarters below it; two may not."""
    small, large = np.arange(1.0, 5.0), np.array([1.0, 1, 50, 60])
    assert fair_quantile([small] * 18 + [large] * 2) == 50  # the 19th of the 20 groups' third values
    assert fair_quantile([small] * 19 + [large]) == group_quantile([small] * 19 + [large], LEVEL) == 4


def test_errors_are_right_on_average() -> None:
    """`scale` makes the mean expected error that of the true ones, each group counting alike."""
    assert of([[0]] * 2, [[1, 1], [3]], [[2, 2], [8]]).scale == pytest.approx(2.5)


def test_few_groups_or_one_image_promise_nothing() -> None:
    """Below twenty groups, or within one image, there is no bound, and a sentence says why."""
    for count, named in ((19, {}), (20, {"within_one": True})):
        known = of([[float(i)] for i in range(count)], **named)
        assert known.bound(np.ones(3, np.float32)) is None
        assert known.promise.startswith("No guarantee")
    known = of([[1.0 + i] for i in range(20)])
    assert known.bound(np.ones(3, np.float32)) is not None
    assert "90% of fields err less than the bound, and in 90% of the images 75% of them do" in known.promise
    assert "75%" not in replace(known, fair=False).promise  # of a model of before


def test_a_group_without_fields_is_refused() -> None:
    """One sentence."""
    with pytest.raises(ValueError, match="must have a field wholly inside"):
        of([[1.0], []])
