"""What is known of fields, at each pixel."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def per_pixel(
    values: NDArray[np.float32],
    scale: Sequence[float],
    translate: Sequence[float],
    window: tuple[slice, ...],
) -> NDArray[np.float32]:
    """`values` (…, [z,] y, x) of fields at the pixels of `window` ([Z,] Y, X), float32 (…, [Z,] Y, X).

    Linear along each axis between the centres of the fields, where they are the values themselves; beyond the
    outermost centres those of the outermost.

    Parameters
    ----------
    values
        One for each field.
    scale, translate
        Pixels between neighbouring fields and the centre of the first, ([z,] y, x), pixel centres at integers, as of
        `PatchScores`.
    window
        Of the image, with numbers for its ends.
    """
    first = values.ndim - len(window)
    for axis, (step, centre, side) in enumerate(zip(scale, translate, window, strict=True), first):
        last = values.shape[axis] - 1
        at = np.clip((np.arange(side.start, side.stop) - centre) / step, 0, last)
        below = np.minimum(at.astype(int), max(0, last - 1))
        share = (at - below).astype(np.float32).reshape(-1, *(1,) * (values.ndim - axis - 1))
        above = np.minimum(below + 1, last)
        values = values.take(below, axis) * (1 - share) + values.take(above, axis) * share
    return values
