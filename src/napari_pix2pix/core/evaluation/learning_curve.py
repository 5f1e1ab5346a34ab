"""Would more pairs help? A power law through the figures of trainings on few and on more pairs."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import least_squares

from napari_pix2pix.core.evaluation.metrics.comparison import LOWER_IS_BETTER, higher_is_better

RESAMPLES = 200
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
    "Deep learning scaling is predictable, empirically", 2017. The interval: the wild bootstrap, in which each residual
    keeps its place and changes its sign by chance, since few pairs scatter more: Wu, "Jackknife, bootstrap and other
    resampling methods in regression analysis", 1986.
    """
    n, sign = np.asarray(pairs, float), 1.0 if higher_is_better(figure) else -1.0
    require_numbers(sorted(set(map(int, pairs))))
    perfect = PERFECT.get(figure.removesuffix("_foreground"))
    y, top = sign * np.asarray(values, float), np.inf if perfect is None else sign * perfect
    law = _fitted(n, y, top)
    most = int(n.max())
    at = np.unique(np.rint(np.geomspace(n.min(), 2 * most, 25)))
    wanted = np.concatenate([at, [most, 2 * most]])
    found, ends = _at(wanted, n.min(), law), None
    if len(n) > len(law):
        residuals = (y - _at(n, n.min(), law)) * np.sqrt(len(n) / (len(n) - len(law)))
        random = np.random.default_rng(0)
        signs = random.choice([-1.0, 1.0], (RESAMPLES, len(n)))
        laws = (_fitted(n, _at(n, n.min(), law) + residuals * own, top) for own in signs)
        drawn = np.array([_at(wanted, n.min(), other) for other in laws])
        gains = drawn[:, -1] - drawn[:, -2]
        ends = sorted((sign * np.percentile(gains, [2.5, 97.5])).tolist())
        band = np.sort(sign * np.percentile(drawn[:, :-2], [2.5, 97.5], axis=0), axis=0)
    curve = [
        {
            "pairs": int(k),
            "value": float(sign * found[i]),
            "low": None if ends is None else float(band[0, i]),
            "high": None if ends is None else float(band[1, i]),
        }
        for i, k in enumerate(at)
    ]
    return {
        "figure": figure,
        "law": {"best": float(sign * law[0]), "lost": float(law[1] * n.min() ** law[2]), "exponent": float(law[2])},
        "gain": {
            "value": float(sign * (found[-1] - found[-2])),
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
