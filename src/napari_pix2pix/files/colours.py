"""The one colour map of doubt: what is right is transparent, what is probably wrong glows from yellow to red."""

import numpy as np
from numpy.typing import NDArray

DOUBT = np.array([(1.0, 0.8, 0.0, 0.0), (1.0, 0.5, 0.0, 0.5), (1.0, 0.1, 0.0, 0.9)])
"""RGBA of no error, of half of the largest that is shown, and of that."""
LEVELS = 256
FAINT = 0.6
"""How much of its opacity what is a little better than a threshold keeps, what is much better less: it was judged, and
is not to be looked at first."""
TIMES_LIMIT = 2.0
"""The largest expected error that is told apart from larger ones, in trust limits: four times the usual error."""


def doubt_colours(threshold: float = 0.0) -> NDArray[np.float64]:
    """RGBA (256, 4) in [0, 1] from no error to the largest shown; below `threshold`, a share of these, fainter."""
    at = np.linspace(0, 1, LEVELS)
    colours = np.stack([np.interp(at, np.linspace(0, 1, len(DOUBT)), channel) for channel in DOUBT.T], axis=1)
    better = at < threshold
    colours[better, 3] *= FAINT * at[better] / threshold if threshold else 1
    return colours


AS_LIKELY_AS_NOT = 0.5
"""Red is, of pixels, at least this probability of being wrong: rims of objects are always somewhat in doubt."""


def doubt_limits(trust_limit: float, probability: bool = False) -> tuple[float, float]:
    """Expected errors that are drawn transparent and red, for all images of a model: up to twice its trust limit.

    Parameters
    ----------
    trust_limit
        The expected error above which nothing is to be trusted, in the target's units or a share of wrong pixels.
    probability
        Whether it is of single pixels, and the probability that its label is wrong.
    """
    high = TIMES_LIMIT * trust_limit if trust_limit > 0 else 1.0
    return 0.0, max(high, AS_LIKELY_AS_NOT) if probability else high
