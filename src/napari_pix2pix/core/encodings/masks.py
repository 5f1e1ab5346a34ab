"""Masks: every value but 0 is foreground, whichever number a tool has stored for it."""

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

WHITE = frozenset({255, 65535})
"""What tools that draw masks as pictures store for foreground, where others store 1."""


def as_mask(image: NDArray[Any], foreground: int = 1) -> NDArray[Any]:
    """The image with `foreground` for every value but 0; in uint8, or as large a dtype as `foreground` needs."""
    dtype = np.min_scalar_type(max(foreground, 1))
    mask: NDArray[Any] = np.where(image != 0, dtype.type(foreground), dtype.type(0))
    return mask


def foregrounds(images: Iterable[NDArray[Any]]) -> set[int] | None:
    """The values beside 0 of images that each hold one at most; None where one holds more: these are no masks."""
    found: set[int] = set()
    for image in images:
        values = set(np.unique(image).tolist()) - {0}
        if len(values) > 1:
            return None
        found |= {int(value) for value in values}
    return found


def mixed_codings(codes: set[int] | None) -> str | None:
    """A sentence where some masks store their foreground as white and others as another of these values."""
    if codes is None or len(codes) < 2 or not codes & WHITE:
        return None
    listed = " and ".join(f"0 and {code}" for code in sorted(codes)[:3])
    return (
        f"Masks hold {listed} in different images, which are {len(codes) + 1} classes: one thing stored in two ways? "
        "Then give `foreground`, which takes every value but 0 as 1, or store one value for it."
    )
