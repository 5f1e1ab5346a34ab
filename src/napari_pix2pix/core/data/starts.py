"""How a target may lie on its source as a whole: where the search for its local shifts begins."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_pix2pix.core.data.fields import Field
from napari_pix2pix.core.data.resemblance import Views, reduced
from napari_pix2pix.core.data.shifts import find_shift, phase_correlation

OVERVIEW = 256
"""Longer side of an image at which the shift of the whole, and whether it is turned, is looked for, px."""
ANGLES = [sign * angle for angle in range(3, 31, 3) for sign in (1.0, -1.0)]
"""By which a target may be turned if a shift alone is not found, degrees."""
TURNED: dict[str, Callable[[NDArray[Any]], NDArray[Any]]] = {
    "mirrored left to right": lambda image: image[..., ::-1],
    "mirrored top to bottom": lambda image: image[..., ::-1, :],
    "turned by 180°": lambda image: image[..., ::-1, ::-1],
    "turned by 90°": lambda image: np.rot90(image, 1, (-2, -1)),
    "turned by −90°": lambda image: np.rot90(image, -1, (-2, -1)),
    "transposed": lambda image: image.swapaxes(-2, -1),
    "transposed and turned by 180°": lambda image: image.swapaxes(-2, -1)[..., ::-1, ::-1],
}
"""What may have been done to a target, and how it is done."""


def starts(ours: Views, theirs: Views) -> tuple[list[Field], str | None]:
    """How the target may lie as a whole, of which blocks tell the best; and what seems to be done to it.

    Shifted, where that is sure; else in its place, or turned by some degrees as it fits best.
    """
    shape = ours.shape[1], ours.shape[2]
    times = -(-max(shape) // OVERVIEW)
    a, b = (reduced(seen, times).astype(np.float64) for seen in (ours, theirs))
    farthest = min(a.shape[1:]) // 2 - 1
    shift, own = find_shift(phase_correlation(a, b, farthest))
    if shift is None and times > 1:  # what is fine is not in the overview
        fine, _ = find_shift(phase_correlation(ours.astype(np.float64), theirs.astype(np.float64), min(shape) // 4))
        if fine is not None:
            return [_start(0.0, fine, 1, shape)], None
    if shift is not None:
        if any(abs(d) > n / 4 for d, n in zip(shift, a.shape[1:], strict=True)):
            far = " x ".join(str(abs(d) * times) for d in shift)
            raise ValueError(
                f"A target must be shifted by less than a quarter of its side; it seems to be by {far} px (Y, X). Crop "
                "both to what they share."
            )
        return [_start(0.0, shift, times, shape)], None
    side = min(a.shape[1:])
    middles = _central(a, side), _central(b, side)
    found = {name: find_shift(phase_correlation(middles[0], do(middles[1]), side // 4)) for name, do in TURNED.items()}
    name, (turned, confidence) = max(found.items(), key=lambda item: item[1][1])
    if turned is not None and confidence > own:
        return [_start(0.0, (0, 0), times, shape)], name
    quarter = side // 4
    surfaces = {angle: phase_correlation(a, _rotated(b, angle), quarter) for angle in ANGLES}
    angle = max(surfaces, key=lambda angle: find_shift(surfaces[angle])[1])
    peak = np.unravel_index(surfaces[angle].argmax(), surfaces[angle].shape)
    likely = int(peak[0]) - quarter, int(peak[1]) - quarter
    return [_start(0.0, (0, 0), times, shape), _start(angle, likely, times, shape)], None


def _start(angle: float, shift: tuple[int, int], times: int, shape: tuple[int, int]) -> Field:
    """A target turned by so many degrees about its centre and shifted by so many px of an overview."""
    centre = (np.array(shape)[:, None, None] - 1) / 2
    grid = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"))
    there = grid + times * np.array(shift, float)[:, None, None] - centre
    field: Field = (np.einsum("ij,jyx->iyx", _turn(angle), there) + centre - grid).astype(np.float32)
    return field


def _turn(degrees: float) -> NDArray[np.float64]:
    """What turns (Y, X)."""
    cos, sin = np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))
    return np.array([[cos, -sin], [sin, cos]])


def _rotated(image: NDArray[np.float64], degrees: float) -> NDArray[np.float64]:
    """About its centre; beyond its border is what is on it."""
    matrix, centre = _turn(degrees), (np.array(image.shape[1:]) - 1) / 2
    offset = centre - matrix @ centre
    return np.stack([ndimage.affine_transform(own, matrix, offset, order=1, mode="nearest") for own in image])


def _central(image: NDArray[Any], side: int) -> NDArray[Any]:
    y, x = ((n - side) // 2 for n in image.shape[1:])
    return image[:, y : y + side, x : x + side]
