"""Signs that a training goes wrong, in a sentence each."""

from collections.abc import Sequence
from math import log
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_pix2pix.core.settings.config import Objective

UNDECIDED: dict[Objective, float] = {
    "cross-entropy": 2 * log(2),
    "minimax": 2 * log(2),
    "least-squares": 0.25,
    "hinge": 2.0,
}
"""The discriminator's loss while it cannot tell fakes from targets; that of wgan-gp has no bounds."""
STRONG = 0.03
"""A discriminator whose loss is below this share of that has nothing left to teach."""
ROWS = 50
"""Of the history: how long it must be so."""
FLAT = 0.01
"""A prediction that varies less than this share of its target is a constant."""
COLLAPSED = (
    "Every validation prediction is constant: the generator has collapsed, or has not begun to learn. If it stays so: "
    "raise --l1-weight, lower --learning-rate, or check that sources and targets show the same."
)


def discriminator_too_strong(history: Sequence[dict[str, Any]], objective: Objective) -> str | None:
    """Whether the discriminator has long told every fake from its target."""
    recent = [row["discriminator"] for row in history[-ROWS:] if "discriminator" in row]
    if len(recent) < ROWS or objective not in UNDECIDED or np.mean(recent) > STRONG * UNDECIDED[objective]:
        return None
    return (
        "The discriminator tells every fake from its target, and the generator learns little from it any more. If the "
        "predictions look wrong: choose a smaller discriminator (--discriminator.n-layers 1 or 2), or train with "
        "--gan-weight 0. Its patch scores will say little."
    )


def is_constant(prediction: NDArray[Any], target: NDArray[Any]) -> bool:
    """Whether a prediction hardly varies, beside a target that does."""
    return bool(np.nanstd(prediction.astype(float)) <= FLAT * np.std(target.astype(float)))
