"""Signs that a training goes wrong, in a sentence each."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

FLAT = 0.01
"""A prediction that varies less than this share of its target is a constant."""
COLLAPSED = (
    "Every validation prediction is constant: the generator has collapsed, or has not begun to learn. If it stays so: "
    "raise `l1_weight`, lower `learning_rate`, or check that sources and targets show the same."
)


def is_constant(prediction: NDArray[Any], target: NDArray[Any]) -> bool:
    """Whether a prediction hardly varies, beside a target that does."""
    return bool(np.nanstd(prediction.astype(float)) <= FLAT * np.std(target.astype(float)))
