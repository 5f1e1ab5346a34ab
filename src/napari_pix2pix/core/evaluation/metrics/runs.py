"""Figures of several runs: how they spread, and how those of two ways of training differ, run by run."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from scipy import stats

from napari_pix2pix.core.evaluation.metrics.intervals import Figure, finite

Runs = Sequence[Mapping[str, Any]]
"""Each with ``seed``, ``fold``, how many ``pairs`` it trained on and how many it held out, and ``metrics``."""


def spread(values: Sequence[float | None]) -> float | None:
    """The standard deviation of a sample; None of fewer than two values."""
    known = [value for value in values if value is not None]
    return finite(float(np.std(known, ddof=1))) if len(known) > 1 else None


def spreads(runs: Runs, metric: str) -> Figure:
    """``sd`` of a figure over all runs; ``sd_seeds`` of the means of each seed, ``sd_folds`` of those of each fold."""

    def of_means(by: str) -> float | None:
        means = []
        for value in dict.fromkeys(run[by] for run in runs):
            own = [run["metrics"].get(metric) for run in runs if run[by] == value]
            known = [one for one in own if one is not None]
            means.append(float(np.mean(known)) if known else None)
        return spread(means)

    return {
        "sd": spread([run["metrics"].get(metric) for run in runs]),
        "sd_seeds": of_means("seed"),
        "sd_folds": of_means("fold"),
    }


def paired(first: Runs, other: Runs, metric: str) -> dict[str, float | None]:
    """How a figure of `other` differs from that of `first`, over runs of the same seed and fold.

    ``value`` is the mean difference, ``sd`` their standard deviation, ``n`` how many pairs of runs there are; ``low``
    and ``high`` are the ends of its 95 % interval, by Student's t. Runs that hold out different parts of the same pairs
    share much of what they train on, so that their differences vary less than those of independent trainings would: to
    the variance of the mean comes that of a difference, times what is held out over what trains.

    References
    ----------
    Nadeau and Bengio, "Inference for the generalization error", Machine Learning 52, 2003; for repeated folds Bouckaert
    and Frank, "Evaluating the replicability of significance tests for comparing learning algorithms", 2004.
    """
    places = {(run["seed"], run["fold"]): run for run in first}
    both = [(places[at], run) for run in other if (at := (run["seed"], run["fold"])) in places]
    sides = [(a["metrics"].get(metric), b["metrics"].get(metric)) for a, b in both]
    found = np.array([b - a for a, b in sides if a is not None and b is not None], float)
    n = len(found)
    told: dict[str, float | None] = {"value": None, "sd": None, "low": None, "high": None, "n": n}
    if n:
        told["value"] = mean = float(found.mean())
    if n > 1:
        shared = np.mean([run["held_out"] / run["pairs"] for _, run in both])
        told["sd"] = float(found.std(ddof=1))
        reach = float(stats.t.ppf(0.975, n - 1) * found.std(ddof=1) * np.sqrt(1 / n + shared))
        told["low"], told["high"] = mean - reach, mean + reach
    return told


def settings_apart(first: Any, other: Any, at: str = "") -> dict[str, list[Any]]:
    """By name the settings in which two trainings differ, nested ones by both names, with the value of either."""
    if isinstance(first, Mapping) and isinstance(other, Mapping):
        found: dict[str, list[Any]] = {}
        for name in dict.fromkeys([*first, *other]):
            found |= settings_apart(first.get(name), other.get(name), f"{at}.{name}" if at else name)
        return found
    return {} if first == other else {at: [first, other]}
