"""What a prediction, and draws of it, tell of single objects: information gain, in bits."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp

from napari_pix2pix.core.evaluation.metrics.intervals import Figure, interval

MOST_OBJECTS = 1000
"""So many, evenly chosen, tell it."""
WIDTHS = 2.0 ** np.linspace(-8, 2, 41)
"""Of kernels, in standard deviations of the true values; the one under which the truth is likeliest is taken."""


@dataclass
class Gains:
    """Gathers a feature of objects, frame by frame: its true value, the predicted one, and that of each draw."""

    values: list[NDArray[np.float64]] = field(default_factory=list)
    groups: list[str] = field(default_factory=list)

    def add(self, values: NDArray[np.float64], group: str) -> None:
        """Of n objects of one frame (2 + draws, n): true, predicted, and of each draw."""
        self.values.append(values)
        self.groups += [group] * values.shape[1]

    def report(self, fewest: int) -> dict[str, Any] | None:
        """Mean bits for each object, with intervals over groups; None of fewer objects than `fewest`, or all alike.

        ``draws``, ``prediction``: how much likelier the true value is under a density around what draws, or one
        prediction, say of this object than under that of all other objects, as a logarithm to base 2. ``difference``:
        of the two; ``n``, objects; ``n_draws``; ``sentence``. Densities are sums of Gaussian kernels: one on each draw,
        on the prediction, or on the true value of each object of other groups (or of other objects, in one group). Of
        each of the three the kernel is as wide as suits the truth of all objects best, so that one prediction is
        surrounded by its own usual error.

        References
        ----------
        Information gain of virtual stains: Tonks et al., "A Proper Scoring Rule for Virtual Staining", 2026
        (arXiv 2602.23305). Kernel densities by leave-one-out likelihood: Duin, "On the choice of smoothing parameters
        for Parzen estimators of probability density functions", 1976.
        """
        values, groups = np.concatenate(self.values or [np.zeros((2, 0))], axis=1), np.array(self.groups)
        there = np.isfinite(values).all(axis=0)
        values, groups = values[:, there], groups[there]
        chosen = np.unique(np.linspace(0, values.shape[1] - 1, MOST_OBJECTS).round().astype(int))
        if values.shape[1] < fewest or np.ptp(values[0]) == 0:
            return None
        (true, predicted, *drawn), groups = values[:, chosen], groups[chosen]
        several = len(set(groups)) > 1
        own = groups[:, None] == groups if several else np.eye(len(true), dtype=bool)
        usual = _bits(true, np.where(own, np.nan, true[:, None]))
        around = {"draws": np.array(drawn), "prediction": predicted[None]}
        told = {name: _bits(true, centres) - usual for name, centres in around.items()}
        told["difference"] = told["draws"] - told["prediction"]
        over = groups.tolist() if several else ["one"] * len(true)
        figures = {name: interval(bits.tolist(), over) for name, bits in told.items()}
        sentence = _sentence(figures, len(drawn))
        return {**figures, "n": len(true), "n_draws": len(drawn), "sentence": sentence}


def _bits(true: NDArray[np.float64], centres: NDArray[np.float64]) -> NDArray[np.float64]:
    """Log2 of the density of each of n values under Gaussian kernels on its own centres (k, n); NaN are none.

    Kernels are as wide as makes all values likeliest.
    """
    there = np.isfinite(centres)
    count, found = there.sum(axis=0), list[NDArray[np.float64]]()
    for width in WIDTHS * true.std():
        exponents = np.where(there, -0.5 * ((true - centres) / width) ** 2, -np.inf)
        found.append(logsumexp(exponents, axis=0) - np.log(count * width * np.sqrt(2 * np.pi)))
    bits: NDArray[np.float64] = max(found, key=lambda logs: float(logs.sum())) / np.log(2)
    return bits


def _sentence(figures: dict[str, Figure], n_draws: int) -> str:
    draws, one, gain = (figures[name]["value"] or 0.0 for name in ("draws", "prediction", "difference"))
    low, high = figures["difference"]["low"], figures["difference"]["high"]
    if max(draws, one) <= 0:
        how = "neither knows more of an object than a histogram of all"
    elif low is None or high is None:
        how = "whether that differs in other images one group does not tell"
    elif low > 0:
        how = "draws know more"
    elif high < 0:
        how = "draws know less"
    else:
        how = "draws add nothing that one can be sure of"
    less = ["less" if bits < 0 else "more" for bits in (draws, one)]
    return (
        f"Of an object {n_draws} draws tell {abs(draws):.2f} bits {less[0]} than what all objects are like, one "
        f"prediction {abs(one):.2f} bits {less[1]} ({gain:+.2f}: {how})."
    )
