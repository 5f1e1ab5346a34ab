"""An image at half its size, again and again: what viewers show of large images."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

TILE = 512
"""Side of the tiles and chunks that are written, px; the smallest level fits into one."""


def level_shapes(shape: tuple[int, int]) -> list[tuple[int, int]]:
    """The (Y, X) of each level below `shape`, each half of the one before, until one fits into a tile."""
    shapes = []
    while max(shape) > TILE:
        shape = (-(-shape[0] // 2), -(-shape[1] // 2))
        shapes.append(shape)
    return shapes


Placed = tuple[int, int, int, NDArray[Any]]
"""A block (C, [Z,] rows, columns) of a frame: its number, their first, and they."""


def halved(frame: NDArray[Any], labels: bool) -> NDArray[Any]:
    """A frame (..., Y, X) at half its size, of the same dtype: every second pixel of labels, else means of 2 x 2."""
    if labels:
        return frame[..., ::2, ::2]
    *rest, height, width = frame.shape
    if not any(frame.strides[-2:]):  # the same everywhere
        return np.broadcast_to(frame[..., :1, :1], (*rest, (height + 1) // 2, (width + 1) // 2))
    even = np.pad(frame, [(0, 0)] * len(rest) + [(0, height % 2), (0, width % 2)], mode="edge")
    blocks = even.reshape(*rest, (height + 1) // 2, 2, (width + 1) // 2, 2)
    means = blocks.mean((-3, -1), dtype=np.float32 if frame.dtype.itemsize <= 2 else np.float64)
    return (means.round() if frame.dtype.kind in "iu" else means).astype(frame.dtype)


def are_labels(dtype: np.dtype[Any], labels: bool | None) -> bool:
    """Whether pixels must not be averaged: as said, else a guess: bool and integers of more than 16 bits are labels."""
    return dtype.kind == "b" or (dtype.kind in "iu" and dtype.itemsize > 2) if labels is None else labels
