"""What a mask leaves wrong, by hand, and that its promise is kept over many splits."""

import re
from dataclasses import replace

import numpy as np
import pytest

from napari_pix2pix.core.trust.calibration import FEWEST_GROUPS, Calibration
from napari_pix2pix.core.trust.risk import KNOTS, RUINED, Left, RiskCurves, limits_about

LIMITS = np.array([1, 2, 3], np.float32)


def left(expected, errors, limits=LIMITS) -> Left:
    return Left.of(limits, np.asarray(expected, np.float32), np.asarray(errors, np.float32))


def calibrated(curves: RiskCurves, scale: float = 1.0, **named) -> Calibration:
    """With these curves, and ranks that nobody asks for."""
    return Calibration((np.zeros(1, np.float32),) * curves.groups, scale, 1.0, risk=curves, **named)


def curves_of(images, limits=LIMITS, usual=None) -> RiskCurves:
    """A group for each image (expected, errors)."""
    return RiskCurves.of(limits, [[left(*image, limits)] for image in images], usual)


def test_what_is_left_by_hand() -> None:
    """A pixel is left up to the limit, itself included; the loss is the largest of this and all stricter limits."""
    found = left([[1, 2], [2, 9]], [[0, 1], [1, 1]])
    np.testing.assert_allclose(found.kept, [1 / 4, 3 / 4, 3 / 4])
    np.testing.assert_allclose(found.error, [0, 2 / 3, 2 / 3])
    found = left([1, 2, 2, 2], [1, 0, 0, 0])
    np.testing.assert_allclose(found.error, [1, 1, 1])
    np.testing.assert_allclose(left([9, 9], [1, 1]).error, 0)  # nothing is left


def test_the_limit_by_hand() -> None:
    """The largest of which the mean loss, with one more image that loses all, is at most the risk."""
    curves = RiskCurves(LIMITS, np.tile(np.array([[0, 0.1, 0.2]], np.float32), (99, 1)), LIMITS / 3)
    np.testing.assert_allclose(curves.risks, [0.01, 0.109, 0.208], rtol=1e-6)
    assert [curves.limit(risk) for risk in (0.005, 0.01, 0.1, 0.11, 0.5)] == [None, 1, 1, 2, 3]
    assert [curves.fewest_groups(risk) for risk in (0.01, 0.02, 0.05, 0.5)] == [99, 49, 19, 1]
    np.testing.assert_allclose(
        [curves.left(limit) for limit in (0.5, 2, 2.5)], [(0, 0), (2 / 3, 0.1), (2 / 3, 0.1)], atol=1e-6
    )


def test_images_of_a_group_count_together_as_one() -> None:
    """A group's loss is the mean of its images, however many pixels they have."""
    images = [left([1] * 100, [1] * 100), left([1], [0])]
    assert RiskCurves.of(LIMITS, [images], None).losses[0, 0] == pytest.approx(0.5)


def planted(random, images: int, usual: float = 0.05):
    """Images of which the judge knows something, and some of which it is wrong about."""
    for _ in range(images):
        expected = np.minimum(usual * random.lognormal(-1, 1.5, 400), 1).astype(np.float32)
        yield expected, (random.random(400) < np.minimum(expected * random.lognormal(0, 0.7), 1)).astype(np.float32)


@pytest.mark.parametrize("kind", ["labels", "intensity"])
def test_the_risk_is_kept_on_average(kind: str) -> None:
    """Over 200 random splits by image, what is left is wrong by no more than was asked, and something is left."""
    random, usual, risk = np.random.default_rng(0), 0.05, {"labels": 0.03, "intensity": 0.5}[kind]
    images = list(planted(random, 240))
    if kind == "intensity":
        images = [(x, x * random.gamma(1, 1, x.size).astype(np.float32) * random.lognormal(0, 0.5)) for x, _ in images]
    limits, unit = limits_about(usual), usual if kind == "intensity" else 1.0
    all_curves = curves_of(images, limits, usual if kind == "intensity" else None)
    masks = [image[0] <= limits[:, None] for image in images]
    share = np.array([mask.mean(axis=1) for mask in masks])
    wrong = np.array([(mask * image[1]).sum(axis=1) for mask, image in zip(masks, images, strict=True)])
    wrong = wrong / np.maximum(share * 400, 1) / unit  # not made to rise
    realised, kept = [], []
    for _ in range(200):
        ours, new = np.split(random.permutation(len(images)), 2)
        limit = calibrated(replace(all_curves, losses=all_curves.losses[ours])).limit(risk)
        assert limit is not None
        place = np.searchsorted(limits, np.float32(limit))
        realised.append(wrong[new, place].mean())
        kept.append(share[new, place].mean())
    assert np.mean(realised) <= risk
    assert np.mean(kept) > 0.2


def test_errors_without_end_count_as_an_end() -> None:
    """Of intensities a ruined image counts as ten times the usual error, so a promise is possible at all."""
    curves = curves_of([([1], [1e9])] * 30, usual=2.0)
    assert (curves.unit, curves.most, curves.losses.max()) == (2.0, RUINED, RUINED)
    assert curves.fewest_groups(0.5) == 19


@pytest.mark.parametrize("risk", [0, 1, -0.1, 2, float("nan"), float("inf")])
def test_a_risk_that_is_none_is_refused(risk: float) -> None:
    """One sentence."""
    with pytest.raises(ValueError, match="above 0 and below 1; got"):
        calibrated(curves_of([([1], [0])] * 60)).limit(risk)


def test_what_cannot_be_promised_is_said() -> None:
    """Too few groups, one image, copies of one, an error everywhere, a model of before: a sentence, and no limit."""
    good, some = ([1, 2], [0, 1]), [([1, 2], [0, i % 2]) for i in range(60)]
    bad = [([1, 1, 1], [1, 1, i % 2]) for i in range(60)]
    for known, told in (
        (calibrated(curves_of(some[: FEWEST_GROUPS - 1])), "at least 49 calibration groups, this model has 19."),
        (calibrated(curves_of(some[:40])), "at least 49 calibration groups, this model has 40; the least .* is 0.0244"),
        (calibrated(curves_of(some), within_one=True), "all calibration pairs are from one image"),
        (calibrated(curves_of([good] * 60)), "all calibration groups err the same, as copies of one image do"),
        (calibrated(curves_of(bad)), "even the pixels that are expected to err least err more; the least .* 0.836"),
        (
            Calibration.of([np.zeros(1, np.float32)] * 60, *[[np.ones(1, np.float32)] * 60] * 2),
            "before there were such",
        ),
    ):
        assert known.limit(0.02) is None
        assert re.search(told, known.mask_promise(0.02)), known.mask_promise(0.02)


def test_without_any_error_all_is_left() -> None:
    """Up to the largest limit; and the sentence says what is promised and what not."""
    known = calibrated(curves_of([([1, 2], [0, 0])] * 60, limits_about(1.0)), scale=3.0)
    assert known.limit(0.02) == pytest.approx(3 * 64)
    told = known.mask_promise(0.02)
    assert "at most 2 % are wrong, on average over new images like those that calibrated (60 groups" in told
    assert told.endswith("of images unlike those nothing is promised.")
    told = calibrated(curves_of([([1, 2], [0, i % 2]) for i in range(60)], limits_about(1.0), usual=8.0)).mask_promise(
        0.5
    )
    assert "err by at most 4 grey values, 50 % of the usual" in told


def test_curves_are_small() -> None:
    """Half a kilobyte a group."""
    curves = curves_of([([1], [0])] * 50, limits_about(1.0))
    assert curves.losses.dtype == np.float32 and curves.losses.shape == (50, KNOTS)
