"""Kinds of error apart from each other: what is invented or missing, and what a displacement alone costs."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_pix2pix.core.evaluation.metrics.intensities import as_stored

SMALLEST = 10
"""Objects of fewer pixels are noise, and not counted."""
NEAR = 2
"""An object this near to one of the other side, in px, is displaced rather than invented or missing."""


def moved(image: NDArray[Any], shift: tuple[float, float], *, labels: bool) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """The image (C, [Z,] Y, X) moved by `shift` (Y, X) px, and where ([Z,] Y, X) its pixels come from within it.

    Grey values between pixels are cubic splines, labels are those of the nearest pixel.
    """
    whole = (0.0,) * (image.ndim - 3) + shift
    order = 0 if labels else 3
    values = image if labels else image.astype(np.float64)
    result = np.stack([ndimage.shift(channel, whole, order=order, mode="nearest") for channel in values])
    result = result if labels else as_stored(result, image.dtype)
    sides = [np.arange(n) - d for n, d in zip(image.shape[-2:], shift, strict=True)]
    inside = [(side >= 0) & (side <= n - 1) for side, n in zip(sides, image.shape[-2:], strict=True)]
    return result, np.broadcast_to(np.logical_and.outer(*inside), image.shape[1:])


def strays(found: NDArray[np.bool_], true: NDArray[np.bool_]) -> tuple[int, int]:
    """How many objects of `found` ([Z,] Y, X) lie nowhere near `true`, and how many there are.

    Of at least 10 px, touching pixels being one object; near is up to 2 px.
    """
    objects, n = ndimage.label(found)
    if not n:
        return 0, 0
    plane = np.zeros((3,) * found.ndim, bool)
    plane[(1,) * (found.ndim - 2)] = ndimage.generate_binary_structure(2, 1)
    near = ndimage.binary_dilation(true, plane, iterations=NEAR) if true.any() else true
    sizes = np.bincount(objects.ravel(), minlength=n + 1)[1:]
    met = np.bincount(objects[near], minlength=n + 1)[1:] > 0
    counted = sizes >= SMALLEST
    return int((counted & ~met).sum()), int(counted.sum())
