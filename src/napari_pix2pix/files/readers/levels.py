"""A stack at another pixel size: its nearest finer level, resampled, of which each window is read when it is sliced."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_pix2pix.core.encodings.kinds import may_be_labels
from napari_pix2pix.files.readers.lazy import LazyArray, Stack, full_index

ALIKE = 0.01
"""Pixel sizes that differ by no more than this share are the same: scanners round them."""
EXACT = 1e-9
"""By how much they may differ by the rounding of their computation; of a pixel, less than this is none of it."""
LOOKED_AT = 256
"""Side of each of the places of an image, px, that tell whether it holds labels."""

Read = Callable[[Path, Any], NDArray[Any]]


def at_pixel_size(stack: Stack, pixel_size_um: float, *, exactly: bool = False) -> Stack:
    """The stack with pixels of this size, µm along Y and X: the nearest finer level, its pixels' means over each area.

    Labels are not averaged: each pixel has that of its centre. Where a level has pixels of this size, to 1 %, it is
    taken as it is, with the size that it has, unless it is wanted `exactly`. Every pixel is the same, whatever window
    it is read with.

    Raises
    ------
    ValueError
        If the stack's pixel size is not known, or its finest level is coarser.
    """
    known = {axis: stack.pixel_size_um[axis] for axis in "YX" if axis in stack.pixel_size_um}
    if len(known) < 2:
        raise ValueError(
            f"To be read at {pixel_size_um:g} µm, a slide must say how large its pixels are; {stack.path} does not. "
            "Write the size into the file, or leave `pixel_size_um` out to take its full resolution."
        )
    wanted = {axis: pixel_size_um / size for axis, size in known.items()}
    alike = EXACT if exactly else ALIKE + EXACT
    if min(wanted.values()) < 1 - alike:
        raise ValueError(
            f"The level of a slide to read must be there: {stack.path} has pixels of {max(known.values()):.4g} µm at "
            f"its finest, and was asked for {pixel_size_um:g} µm. Give `pixel_size_um` {max(known.values()):.4g} or "
            "more."
        )
    assert isinstance(stack.array, LazyArray)
    at = [stack.axes.index(axis) for axis in "YX"]
    levels = stack.levels or (stack.array,)
    steps = [[stack.array.shape[i] / level.shape[i] for i in at] for level in levels]
    fits = [
        number
        for number, step in enumerate(steps)
        if all(wanted[axis] >= one * (1 - alike) for one, axis in zip(step, "YX", strict=True))
    ]
    chosen = max(fits, key=lambda number: math.prod(steps[number]))
    level, left = levels[chosen], [wanted[axis] / one for axis, one in zip("YX", steps[chosen], strict=True)]
    if max(left) <= 1 + alike:
        sizes = {axis: known[axis] * step for axis, step in zip("YX", steps[chosen], strict=True)}
        array = level
    else:
        labels = _are_labels(level, stack.axes)
        sizes, array = dict.fromkeys("YX", pixel_size_um), level
        for i, step in zip(at, left, strict=True):
            array = _Along(array, i, step, labels).lazy
    return replace(stack, array=array, pixel_size_um=stack.pixel_size_um | sizes, levels=(), read_at_um=pixel_size_um)


def _are_labels(level: LazyArray, axes: str) -> bool:
    """Whether pixels must not be averaged, by places all over the level: glass may lie in the middle of a slide."""
    if "S" in axes or level.dtype.kind == "f":
        return False
    if level.dtype.kind == "b":
        return True
    at = {
        axis: dict.fromkeys((n - min(n, LOOKED_AT)) * quarters // 4 for quarters in (2, 1, 3))
        for n, axis in zip(level.shape, axes, strict=True)
    }
    corners = ({"Y": y, "X": x} for y in at["Y"] for x in at["X"])
    places = (
        tuple(slice(corner[axis], corner[axis] + LOOKED_AT) if axis in corner else slice(0, 1) for axis in axes)
        for corner in corners
    )
    return all(may_be_labels([level[place]]) for place in places)


@dataclass(frozen=True)
class _Along:
    """An array of which each pixel along `axis` is `step` pixels, at least one, of another."""

    array: LazyArray
    axis: int
    step: float
    labels: bool

    @property
    def lazy(self) -> LazyArray:
        """The same, as what is read when it is sliced."""
        shape = list(self.array.shape)
        shape[self.axis] = max(1, math.floor(shape[self.axis] / self.step + 1e-6))
        return replace(self.array, shape=tuple(shape), read=partial(self.read, tuple(shape)))

    def read(self, shape: tuple[int, ...], path: Path, index: Any) -> NDArray[Any]:
        """The pixels at `index`."""
        whole = list(full_index(index, len(shape)))
        asked = whole[self.axis]
        chosen = range(shape[self.axis])[asked]
        wanted = np.arange(chosen.start, chosen.stop, chosen.step) if isinstance(chosen, range) else np.array([chosen])
        length = self.array.shape[self.axis]
        if self.labels:
            numbers = np.minimum(((wanted + 0.5) * self.step).astype(int), length - 1)
            low, high = (int(numbers.min()), int(numbers.max()) + 1) if len(numbers) else (0, 0)
        else:
            ends = np.minimum(np.stack([wanted, wanted + 1]) * self.step, length)
            low, high = (math.floor(ends[0].min()), math.ceil(ends[1].max())) if len(wanted) else (0, 0)
        whole[self.axis] = slice(low, high)
        pixels = self.array.read(path, tuple(whole))
        place = sum(isinstance(one, slice) for one in whole[: self.axis])
        if self.labels:
            found = pixels.take(numbers - low, axis=place)
        else:
            found = _means(pixels, place, ends[0] - low, ends[1] - low)
        return np.ascontiguousarray(found if isinstance(asked, slice) else found.take(0, axis=place))


def _means(pixels: NDArray[Any], axis: int, starts: NDArray[np.float64], stops: NDArray[np.float64]) -> NDArray[Any]:
    """For each of these lengths along `axis` the mean of `pixels`, each of which counts by the share that is in it."""
    first, length = np.floor(starts).astype(int), pixels.shape[axis]
    exact = np.float32 if pixels.dtype.itemsize <= 2 else np.float64
    shape = list(pixels.shape)
    shape[axis] = len(starts)
    means: NDArray[Any] = np.zeros(shape, exact)
    # Pixel by pixel in the order in which they lie, so that what else is in the window changes nothing.
    for place in range(int((np.ceil(stops) - first).max(initial=1))):
        inside = np.minimum(stops, first + place + 1) - np.maximum(starts, first + place)
        share = (np.where(inside > EXACT, inside, 0) / (stops - starts)).astype(exact)
        share = share.reshape(-1, *(1,) * (pixels.ndim - axis - 1))
        taken: NDArray[Any] = pixels.take(np.minimum(first + place, length - 1), axis=axis)
        if pixels.dtype.kind == "f":  # NaN of a pixel that is none of it is none, either
            taken = np.where(share != 0, taken, 0)
        means = means + taken * share
    return (np.rint(means) if pixels.dtype.kind in "iu" else means).astype(pixels.dtype)


def reduced(stack: Stack, side: int) -> Stack:
    """The stack so small that neither Y nor X is longer than `side`, without a pixel size."""
    assert isinstance(stack.array, LazyArray)
    at = [stack.axes.index(axis) for axis in "YX"]
    array, labels = stack.array, _are_labels(stack.array, stack.axes)
    step = max(1.0, *(array.shape[i] / side for i in at))
    for i in at:
        array = _Along(array, i, step, labels).lazy
    return replace(stack, array=array, pixel_size_um={}, levels=())
