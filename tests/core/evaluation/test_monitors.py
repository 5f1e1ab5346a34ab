"""What tells errors without the truth, by hand; and the section of an evaluation that holds it against the truth."""

import json

import numpy as np
import pytest
from scipy import stats

from napari_pix2pix import core
from napari_pix2pix.core.data.split import Split
from napari_pix2pix.core.evaluation.metrics.monitors import auroc, gap_closed, risk_curve, spearman, worst
from napari_pix2pix.core.teaching.fit_trust import fit_trust
from napari_pix2pix.report.card import figures_text
from small import blobs, small_config

RANDOM = np.random.default_rng(0)


def test_auroc_by_hand() -> None:
    """The share of pairs in the right order, ties half."""
    assert auroc(np.array([3.0, 1.0]), np.array([0.0, 1.0, 2.0])) == pytest.approx((3 + 1.5) / 6)
    assert np.isnan(auroc(np.array([]), np.array([1.0])))


def test_spearman_is_that_of_scipy_and_partial_of_the_formula() -> None:
    """Ties included; given a third, the formula for one given variable; given itself, nothing is left."""
    a, b, c = RANDOM.integers(0, 20, (3, 200)).astype(float)
    b, c = b + a, c + a
    assert spearman(a, b) == pytest.approx(stats.spearmanr(a, b)[0])
    r = {pair: stats.spearmanr(*pair_of)[0] for pair, pair_of in {"ab": (a, b), "ac": (a, c), "bc": (b, c)}.items()}
    partial = (r["ab"] - r["ac"] * r["bc"]) / np.sqrt((1 - r["ac"] ** 2) * (1 - r["bc"] ** 2))
    assert spearman(a, b, [c]) == pytest.approx(partial)
    assert np.isnan(spearman(a, b, [a]))
    assert np.isnan(spearman(np.ones(9), np.arange(9.0)))


def test_the_risk_curve_by_hand() -> None:
    """Means of the errors of those trusted most; a monitor without an opinion is random, the error itself the best."""
    error = np.array([4.0, 0.0, 2.0])
    np.testing.assert_allclose(risk_curve(np.array([1.0, 3.0, 2.0]), error), [4, 3, 2])
    np.testing.assert_allclose(risk_curve(np.zeros(3), error), [2, 2, 2])
    assert gap_closed(error, error) == pytest.approx(1)
    assert gap_closed(np.zeros(3), error) == pytest.approx(0)
    assert gap_closed(-error, error) < 0
    assert worst(np.arange(100.0)).sum() == 10


def test_an_evaluation_says_whether_to_trust(tmp_path) -> None:
    """Of a model that was taught, for every monitor; of another, nothing. It is JSON, and is told to people."""
    stacks = [blobs(seed=i) for i in range(8)]
    pairs = core.PairedFrames([s for s, _ in stacks[:6]], [t for _, t in stacks[:6]], "YX")
    *_, last = core.train(pairs, small_config(steps=20), out=tmp_path, device="cpu")
    *_, taught = fit_trust(last.model, pairs, split=Split(pairs.regions()[1:], (), pairs.regions()[:1]), steps=8)
    sides = [s for s, _ in stacks[6:]], [t for _, t in stacks[6:]]
    assert "trust" not in core.evaluate(last.model, *sides, "YX")
    report = json.loads(json.dumps(core.evaluate(taught.model, *sides, "YX"), allow_nan=False))
    trust = report["trust"]
    assert trust["fields"] == 2 * 40 * 56
    assert set(trust["monitors"]) == {"expected_error", "match", "edges", "gradient"}
    assert trust["bound"] is None
    assert trust["mask"] == "none: it needs at least 49 calibration groups, this model has 1"
    curve = trust["risk_coverage"]
    assert curve["expected_error"][-1] == pytest.approx(curve["best"][-1])
    assert curve["best"] == sorted(curve["best"])
    # By the API of scores: the same correlation.
    model, scored = taught.model, []
    for source, target in zip(*sides, strict=True):
        prediction = model.predict(source, "YX")
        found = model.score(source, prediction, "YX")
        wrong = ((prediction > 0) != (target > 0)).astype(float)
        error = [[wrong[y : y + 16, x : x + 16].mean() for x in range(1, 113, 2)] for y in range(1, 81, 2)]
        at = (found.translate[0] - 7.5, found.scale[0])
        assert at == (-5, 2)
        scored.append((found.expected_error[3:43, 3:59].ravel(), np.ravel(error)))
    ours, true = (np.concatenate(side) for side in zip(*scored, strict=True))
    assert spearman(ours, true) == pytest.approx(trust["monitors"]["expected_error"]["spearman"]["pooled"], abs=0.05)
    assert "expected error" in figures_text(report)
