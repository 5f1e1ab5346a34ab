"""PNG and JPEG to stacks: whole, upright, without opacity; labels with a palette as their numbers."""

from pathlib import Path
from typing import Any
from warnings import warn

import numpy as np
from numpy.typing import NDArray

from napari_pix2pix.files.readers.encoded import (
    JPEG,
    PNG,
    has_palette,
    orientation_of,
    require_whole,
    with_numbers_as_colours,
)
from napari_pix2pix.files.readers.lazy import LazyArray, Stack
from napari_pix2pix.files.readers.turned import upright

OPACITY = "The opacity in images is left out; what it hides is seen as it is stored."
PALETTE = "PNG images with a palette are read as {}; save them {} if {} are meant."
AREAS = 0.8
"""The share of neighbours with the same number from which on a palette counts as one of labels."""


def open_picture(path: Path) -> Stack:
    """The stack in a PNG or JPEG, all of which is read.

    Raises
    ------
    ValueError
        If it is cut short; other exceptions are those of the decoders.
    """
    data = path.read_bytes()
    pixels, seen_through = _decoded(data)
    if seen_through:
        warn(OPACITY, stacklevel=4)
    if has_palette(data):
        said = ("labels", "in colours", "colours") if pixels.ndim == 2 else ("colours", "as grey numbers", "labels")
        warn(PALETTE.format(*said), stacklevel=4)
    return Stack(path, LazyArray(path, pixels.shape, pixels.dtype, _read, len(pixels)), "YXS"[: pixels.ndim])


def _read(path: Path, index: Any) -> NDArray[Any]:
    return _decoded(path.read_bytes())[0][index]


def _decoded(data: bytes) -> tuple[NDArray[Any], bool]:
    """The pixels (Y, X[, S]), and whether some of them are not opaque in the file."""
    import imagecodecs

    require_whole(data)
    if has_palette(data):
        numbers: NDArray[Any] = imagecodecs.png_decode(with_numbers_as_colours(data))
        numbers = numbers[..., 0] if numbers.ndim == 3 else numbers
        if _are_labels(numbers):
            return np.ascontiguousarray(upright(numbers, orientation_of(data))), False
    try:
        pixels: NDArray[Any] = imagecodecs.imread(data)
    except ValueError as error:  # what each of two dozen decoders says
        known = data.startswith((PNG, JPEG))
        raise ValueError("its content is damaged" if known else "its content is that of no image") from error
    if not pixels.size:
        raise ValueError("its content is that of no image")
    seen_through = False
    if pixels.ndim == 3 and pixels.shape[2] in (2, 4):  # the last sample is opacity
        seen_through = pixels.dtype.kind == "u" and bool((pixels[..., -1] != np.iinfo(pixels.dtype).max).any())
        pixels = pixels[..., 0] if pixels.shape[2] == 2 else pixels[..., :3]
    return np.ascontiguousarray(upright(pixels, orientation_of(data))), seen_through


def _are_labels(numbers: NDArray[Any]) -> bool:
    """Whether the numbers (Y, X) of a palette mark areas: most neighbours are alike there, in photos few."""
    alike = [numbers[1:] == numbers[:-1], numbers[:, 1:] == numbers[:, :-1]]
    return sum(int(same.sum()) for same in alike) >= AREAS * sum(same.size for same in alike)
