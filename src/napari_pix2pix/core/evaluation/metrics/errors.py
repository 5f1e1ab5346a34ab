"""Kinds of error apart from each other: displaced, invented, missing; and what a displacement alone costs."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_pix2pix.core.data.alignment import FARTHEST_SHIFT, MIDDLE, find_shift, phase_correlation
from napari_pix2pix.core.evaluation.metrics.intensities import as_stored

SMALLEST = 10
"""Objects of fewer pixels are noise, and not counted."""
NEAR = 2
"""An object this near to one of the other side, in px, is displaced rather than invented or missing."""
LEAST_KNOWN = 0.9
"""A shift is measured where this share of the box around what is known is known."""


def displacement(
    prediction: NDArray[Any], target: NDArray[Any], known: NDArray[np.bool_]
) -> tuple[float, float] | None:
    """How far (Y, X) the target lies from the prediction, in px; None where that cannot be measured.

    Of frames (C, [Z,] Y, X); in a volume on the middle plane. To fractions of a pixel: the peak of the phase
    correlation is a Gaussian, so a parabola through the logarithms of its neighbours has the same top.
    """
    if target.ndim == 4:
        prediction, target, known = (image[..., image.shape[-3] // 2, :, :] for image in (prediction, target, known))
    if not known.any():
        return None
    box = ndimage.find_objects(known.astype(np.int8))[0]
    if known[box].mean() < LEAST_KNOWN:
        return None
    y, x = (
        slice(max(side.start, middle - MIDDLE // 2), min(side.stop, middle + MIDDLE // 2))
        for side in box
        for middle in [(side.start + side.stop) // 2]
    )
    reach = min(FARTHEST_SHIFT, min(y.stop - y.start, x.stop - x.start) // 4)
    if reach < 1:
        return None
    a, b = (image[:, y, x].astype(np.float64) for image in (prediction, target))
    surface = phase_correlation(a, b, reach)
    shift, _ = find_shift(surface)
    if shift is None:
        return None
    peak = shift[0] + reach, shift[1] + reach
    if not all(0 < i < 2 * reach for i in peak):
        return float(shift[0]), float(shift[1])
    across = surface[peak[0] - 1 : peak[0] + 2, peak[1]], surface[peak[0], peak[1] - 1 : peak[1] + 2]
    return shift[0] + _top(across[0]), shift[1] + _top(across[1])


def _top(three: NDArray[np.float64]) -> float:
    """Where between -0.5 and 0.5 a Gaussian through three values has its top; 0 where they are no peak."""
    if three.min() <= 0:
        return 0.0
    left, middle, right = np.log(three)
    bend = left - 2 * middle + right
    return float(np.clip((left - right) / (2 * bend), -0.5, 0.5)) if bend < 0 else 0.0


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
