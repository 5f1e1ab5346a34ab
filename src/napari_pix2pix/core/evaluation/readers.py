"""Whether people tell predictions from real images, and whether they agree."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_pix2pix.core.evaluation.metrics.intervals import Figure

Z = 1.959964
"""The 97.5th percentile of the normal distribution."""
CHOICES = "A", "B"


def told_apart(real: Sequence[str], groups: Sequence[str], answers: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    """How often readers told which of two images is real, and whether they agree.

    Parameters
    ----------
    real
        Of each pair which one was, A or B.
    groups
        Which image, or group of images, each pair is from.
    answers
        By reader, for each pair what was taken to be real, A or B.

    Returns
    -------
    dict
        JSON. ``n`` pairs from ``n_groups``; ``auc``: the share of right answers, which for two alternatives is the area
        under the ROC curve (0.5: guessed, 1: always told apart), the mean over readers; ``readers``: the same of each;
        each with its 95 % interval, in which pairs of one group count as one; ``agreement``: ``kappa`` (0: as by
        chance, 1: always) and its ``name``, Cohen's of two readers, Fleiss' of more; ``sentence``.

    References
    ----------
    Green and Swets, "Signal detection theory and psychophysics", 1966. Wilson, "Probable inference, the law of
    succession, and statistical inference", 1927. Cohen, "A coefficient of agreement for nominal scales", 1960. Fleiss,
    "Measuring nominal scale agreement among many raters", 1971.
    """
    n_groups = len(set(groups))
    right = np.array([[own == true for own, true in zip(given, real, strict=True)] for given in answers.values()])
    readers = {name: _share(row.mean(), n_groups) for name, row in zip(answers, right, strict=True)}
    auc = _share(right.mean(), n_groups)
    agreement = None
    if len(answers) > 1:
        chosen = np.array([[own == CHOICES[0] for own in given] for given in answers.values()])
        name = "Cohen's kappa" if len(answers) == 2 else "Fleiss' kappa"
        agreement = {"name": name, "kappa": cohen(chosen) if len(answers) == 2 else fleiss(chosen)}
    told = {"n": len(real), "n_groups": n_groups, "auc": auc, "readers": readers, "agreement": agreement}
    return told | {"sentence": _sentence(auc)}


def _share(value: float, n: int) -> Figure:
    """A share of n with Wilson's interval; none of one."""
    if n < 2:
        return {"value": float(value), "low": None, "high": None}
    middle = (value + Z**2 / (2 * n)) / (1 + Z**2 / n)
    half = Z / (1 + Z**2 / n) * np.sqrt(value * (1 - value) / n + Z**2 / (4 * n**2))
    return {"value": float(value), "low": float(max(middle - half, 0)), "high": float(min(middle + half, 1))}


def cohen(chosen: NDArray[np.bool_]) -> float | None:
    """Cohen's kappa of two readers' choices (2, pairs); None where both always choose the same."""
    a, b = chosen.mean(axis=1)
    expected = a * b + (1 - a) * (1 - b)
    return float(((chosen[0] == chosen[1]).mean() - expected) / (1 - expected)) if expected < 1 else None


def fleiss(chosen: NDArray[np.bool_]) -> float | None:
    """Fleiss' kappa of several readers' choices (readers, pairs); None where all always choose the same."""
    n, counts = len(chosen), np.stack([chosen.sum(axis=0), (~chosen).sum(axis=0)])
    observed = ((counts**2).sum(axis=0) - n).mean() / (n * (n - 1))
    expected = (counts.mean(axis=1) / n) @ (counts.mean(axis=1) / n)
    return float((observed - expected) / (1 - expected)) if expected < 1 else None


def _sentence(auc: Figure) -> str:
    low, high = auc["low"], auc["high"]
    if low is None or high is None:
        return "All pairs are from one image or group: what readers tell there says nothing about another."
    if low > 0.5:
        return "Readers tell predictions from real images."
    if high < 0.5:
        return "Readers take predictions for real images, and real ones for predictions: they see a difference."
    return "Readers were not found to tell predictions from real images; more pairs may show that they do."
