"""Would more pairs help? A power law through the figures of trainings on few and on more pairs."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import least_squares
from scipy.stats import f as f_distribution

from napari_pix2pix.core.evaluation.metrics.comparison import LOWER_IS_BETTER, higher_is_better

LEVEL = 0.95
"""Of intervals."""
TRIED, EXPONENTS = 400, 50
"""Values among which the ends of an interval are looked for, and exponents of the law that are tried with each."""
FEWEST_NUMBERS = 3
"""Of pairs: the law has three parameters."""
STEEPEST, FLATTEST = 2.0, 0.05
"""Exponents of the law."""
SHARES = (
    *("ssim", "ssim_scale_free", "pearson", "spearman", "spectral_correlation"),
    *("dice", "iou", "pixel_accuracy", "class_accuracy", "class_iou"),
    *(f"object_{of}_iou{percent}" for of in ("f1", "ap", "precision", "recall") for percent in range(50, 100, 5)),
)
PERFECT = dict.fromkeys(LOWER_IS_BETTER, 0.0) | dict.fromkeys(SHARES, 1.0) | {"frc_cutoff": 0.5}
"""What no figure can exceed; a PSNR can be any."""

Floats = NDArray[np.float64]


def fit_learning_curve(pairs: Sequence[int], values: Sequence[float], figure: str) -> dict[str, Any]:
    """The curve through these figures, and what twice as many pairs as the most would add.

    Parameters
    ----------
    pairs, values
        Of each training on how many pairs it was made, and its figure on test pairs.
    figure
        Its name, which tells whether higher is better and what is perfect.

    Returns
    -------
    dict
        JSON. ``figure``; ``law``: ``best``, ``lost`` and ``exponent`` of value = best - lost · pairs^-exponent (+ where
        lower is better); ``gain``: ``value``, ``low`` and ``high`` of the change at twice as many pairs, with its 95 %
        interval (None where there are no more trainings than parameters), ``pairs``: from and to how many; ``curve``:
        the fit with its interval at several numbers of ``pairs``.

    Raises
    ------
    ValueError
        If there are fewer than three different numbers of pairs.

    References
    ----------
    The law: Figueroa et al., "Predicting sample size required for classification performance", 2012; Hestness et al.,
    "Deep learning scaling is predictable, empirically", 2017. The interval: the profile likelihood, all values that
    some law with them fits so well that an F test does not tell it from the best: Bates and Watts, "Nonlinear
    regression analysis and its applications", 1988, section 6.1.
    """
    n, sign = np.asarray(pairs, float), 1.0 if higher_is_better(figure) else -1.0
    require_numbers(sorted(set(map(int, pairs))))
    perfect = PERFECT.get(figure.removesuffix("_foreground"))
    y, top = sign * np.asarray(values, float), np.inf if perfect is None else sign * perfect
    law = _fitted(n, y, top)
    most = int(n.max())
    at = np.unique(np.rint(np.geomspace(n.min(), 2 * most, 25)))
    found, value = _at(at, n.min(), law), float(np.diff(_at(np.array([most, 2 * most]), n.min(), law))[0])
    ends: list[float] | None = None
    if len(n) > len(law):
        profile = _Profile(n, y, top)
        ends = sorted(sign * end for end in profile.gain(most, value))
        band = np.sort([[sign * end for end in profile.value(*own)] for own in zip(at, found, strict=True)], axis=1)
    curve = [
        {
            "pairs": int(k),
            "value": float(sign * found[i]),
            "low": None if ends is None else float(band[i, 0]),
            "high": None if ends is None else float(band[i, 1]),
        }
        for i, k in enumerate(at)
    ]
    return {
        "figure": figure,
        "law": {"best": float(sign * law[0]), "lost": float(law[1] * n.min() ** law[2]), "exponent": float(law[2])},
        "gain": {
            "value": sign * value,
            "low": None if ends is None else ends[0],
            "high": None if ends is None else ends[1],
            "pairs": [most, 2 * most],
        },
        "curve": curve,
    }


def require_numbers(numbers: Sequence[int]) -> None:
    """Raise a ValueError if a curve cannot be drawn through so few numbers of pairs."""
    if len(set(numbers)) < FEWEST_NUMBERS:
        raise ValueError(
            f"A curve must go through at least {FEWEST_NUMBERS} numbers of pairs; got "
            f"{', '.join(map(str, numbers)) or 'none'}. Give, for example, `at` 4,8,16."
        )


def _at(n: Floats, least: float, law: Floats) -> Floats:
    """The law at `n` pairs, its loss that at the fewest."""
    best, lost, exponent = law
    found: Floats = best - lost * (n / least) ** -exponent
    return found


def _fitted(n: Floats, y: Floats, top: float) -> Floats:
    """The law (best, lost at the fewest pairs, exponent) nearest to these figures, of which higher is better."""
    least, spread = float(n.min()), float(np.ptp(y)) or 1e-9
    first = [min(float(y.max()), top - 1e-9), spread, 0.5]
    # No curve promises more than what is perfect; where nothing is, no more than ten times what was seen.
    highest = top if np.isfinite(top) else float(y.max()) + 10 * spread
    bounds = [-np.inf, 0.0, FLATTEST], [highest, np.inf, STEEPEST]

    def misses(law: Floats) -> Floats:
        return _at(n, least, law) - y

    def slopes(law: Floats) -> Floats:
        power = (n / least) ** -law[2]
        return np.stack([np.ones_like(n), -power, law[1] * power * np.log(n / least)], axis=1)

    law: Floats = least_squares(misses, first, slopes, bounds, x_scale="jac", max_nfev=200).x
    return law


class _Profile:
    """The values that some law with them explains these figures, of which higher is better, about as well as the best.

    With an exponent the law is linear, and what fits best with a value and an exponent is one division.
    """

    def __init__(self, n: Floats, y: Floats, top: float) -> None:
        self._y, self._top, self._least = y, top, float(n.min())
        self._exponents = np.geomspace(FLATTEST, STEEPEST, EXPONENTS)
        self._powers = (n / self._least)[None] ** -self._exponents[:, None]
        self._reach = 10 * (float(np.ptp(y)) or 1e-9)
        freedom = len(n) - 3
        self._allowed = 1 + float(f_distribution.ppf(LEVEL, 1, freedom)) / freedom

    def gain(self, most: int, value: float) -> tuple[float, float]:
        """The ends of what twice as many pairs as `most` add, around `value`."""
        here = np.array([most, 2 * most])[:, None] / self._least
        each = here[0] ** -self._exponents - here[1] ** -self._exponents
        tried = np.concatenate([[0.0, value], np.geomspace(1e-4, 1, TRIED) * self._reach])
        lost = tried[:, None] / each
        best = np.minimum((self._y + lost[..., None] * self._powers).mean(axis=-1), self._top)
        return self._ends(tried, best, lost, value)

    def value(self, pairs: float, value: float) -> tuple[float, float]:
        """The ends of the figure at so many pairs, around `value`."""
        steps = np.geomspace(1e-4, 1, TRIED // 2) * self._reach
        tried = np.concatenate([value - steps, [value], np.minimum(value + steps, self._top)])
        here = (pairs / self._least) ** -self._exponents
        apart = here[:, None] - self._powers
        slope = ((self._y - tried[:, None])[:, None, :] * apart).sum(axis=-1)
        steep = (apart**2).sum(axis=-1)
        lost = np.clip(slope / steep, 0, np.maximum(self._top - tried[:, None], 0) / here)
        return self._ends(tried, tried[:, None] + lost * here, lost, value)

    def _ends(self, tried: Floats, best: Floats, lost: Floats, value: float) -> tuple[float, float]:
        misses = best[..., None] - lost[..., None] * self._powers - self._y
        squares = (misses**2).sum(axis=-1).min(axis=1)
        fits = np.append(tried[squares <= squares.min() * self._allowed], value)
        return float(fits.min()), float(fits.max())
