"""How well something that knows no truth tells where a prediction is wrong."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

Values = NDArray[np.floating]


def auroc(positive: Values, negative: Values) -> float:
    """The chance that a positive value exceeds a negative one, ties counting half; NaN where there are none of either.

    References
    ----------
    Hanley and McNeil, "The meaning and use of the area under a receiver operating characteristic (ROC) curve",
    Radiology 1982.
    """
    if not positive.size or not negative.size:
        return float("nan")
    ranks = rankdata(np.concatenate([positive.ravel(), negative.ravel()]))
    n = positive.size
    return float((ranks[:n].sum() - n * (n + 1) / 2) / (n * negative.size))


def spearman(a: Values, b: Values, given: Sequence[Values] = ()) -> float:
    """Spearman's rank correlation of `a` and `b`, partial where others are `given`; NaN where one does not vary.

    Partial: of what is left of the ranks of both after a linear fit to the ranks of the given.
    """
    if a.size < 3:
        return float("nan")
    known = np.stack([np.ones(a.size), *(rankdata(values) for values in given)], axis=1)
    left = []
    for values in (a, b):
        ranks = rankdata(values)
        left.append(ranks - known @ np.linalg.lstsq(known, ranks, rcond=None)[0])
    size = float(np.linalg.norm(left[0]) * np.linalg.norm(left[1]))
    return float(left[0] @ left[1] / size) if size > 1e-9 * a.size**3 else float("nan")


def risk_curve(monitor: Values, error: Values) -> NDArray[np.float64]:
    """The mean error of the 1, 2 … n fields that `monitor` (high = bad) trusts most; ties share what they hold."""
    order = np.argsort(monitor, kind="stable")
    _, first, counts = np.unique(monitor[order], return_index=True, return_counts=True)
    even = np.repeat(np.add.reduceat(error[order].astype(float), first) / counts, counts)
    risks: NDArray[np.float64] = even.cumsum() / np.arange(1, error.size + 1)
    return risks


def gap_closed(monitor: Values, error: Values) -> float:
    """How far the area under the risk-coverage curve lies from that of a random order (0) to the best (1).

    References
    ----------
    Geifman, Uziel and El-Yaniv, "Bias-reduced uncertainty estimation for deep neural classifiers", ICLR 2019.
    """
    random, best = float(error.mean()), float(risk_curve(error, error).mean())
    return (random - float(risk_curve(monitor, error).mean())) / (random - best) if random > best else float("nan")


def worst(error: Values, share: float = 0.1) -> NDArray[np.bool_]:
    """The fields among the worst `share`: those that err more than the others' quantile."""
    return np.asarray(error > np.quantile(error, 1 - share))
