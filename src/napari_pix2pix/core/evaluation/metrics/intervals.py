"""Means over images with bootstrap intervals over groups, never over pixels."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

RESAMPLES = 2000
Row = dict[str, float | None]
"""Figures of one frame; None: not known, or without meaning there."""
Figure = dict[str, float | None]
"""``value`` and the ends of its 95 % interval, ``low`` and ``high``; these are None where there is one group only."""


def resamples(n_groups: int, seed: int = 0) -> NDArray[np.float64]:
    """How often each group was drawn in each of 2000 bootstrap samples, (2000, groups)."""
    drawn = np.random.default_rng(seed).multinomial(n_groups, np.full(n_groups, 1 / n_groups), size=RESAMPLES)
    return drawn.astype(np.float64)


def figure(value: float, resampled: NDArray[np.float64] | None) -> Figure:
    """A value with the 2.5 and 97.5 percentiles of its bootstrap samples."""
    if resampled is None or not np.isfinite(resampled).any():
        return {"value": finite(value), "low": None, "high": None}
    low, high = np.nanpercentile(resampled, [2.5, 97.5])
    return {"value": finite(value), "low": float(low), "high": float(high)}


def finite(value: float) -> float | None:
    """The value; None for NaN and infinity, which JSON does not know."""
    return float(value) if np.isfinite(value) else None


def summarize(rows: Sequence[Row], groups: Sequence[str], seed: int = 0) -> dict[str, Figure]:
    """The mean of each figure over these rows, with its interval: whole groups are drawn, a row for each name.

    A row in which a figure is None does not count for it.

    References
    ----------
    Efron and Tibshirani, "An Introduction to the Bootstrap", 1993; whole clusters are drawn as by Field and Welsh,
    "Bootstrapping clustered data", 2007.
    """
    names = list(rows[0]) if rows else []
    values = np.array([[row[name] for name in names] for row in rows], float)  # None is NaN
    found, member = np.unique(list(groups), return_inverse=True)
    there = np.isfinite(values)
    sums, counts = np.zeros((2, len(found), len(names)))
    np.add.at(sums, member, np.where(there, values, 0))
    np.add.at(counts, member, there)
    with np.errstate(invalid="ignore"):  # nothing known: NaN
        means = sums.sum(axis=0) / counts.sum(axis=0)
        drawn = resamples(len(found), seed) if len(found) > 1 else None
        resampled = None if drawn is None else (drawn @ sums) / (drawn @ counts)
    return {
        name: figure(means[i], resampled[:, i] if resampled is not None and (counts[:, i] > 0).sum() > 1 else None)
        for i, name in enumerate(names)
    }


def interval(values: Sequence[float | None], groups: Sequence[str] | None = None, seed: int = 0) -> Figure:
    """`summarize` of one figure; `groups`, one for each value: each its own if None."""
    own = groups or [str(i) for i in range(len(values))]
    return summarize([{"value": value} for value in values], own, seed)["value"]
