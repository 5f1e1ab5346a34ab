"""Pixels as they are meant: upright, bright where there is much, without opacity; still read when they are sliced."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_pix2pix.files.readers.lazy import LazyArray, full_index

Read = Callable[[Path, Any], NDArray[Any]]

TURNS = {
    **{1: (False, False, False), 2: (False, False, True), 3: (False, True, True), 4: (False, True, False)},
    **{5: (True, False, False), 6: (True, False, True), 7: (True, True, True), 8: (True, True, False)},
}
"""By orientation as Exif and TIFF count it: whether rows and columns are swapped, then each mirrored."""


def upright(pixels: NDArray[Any], orientation: int) -> NDArray[Any]:
    """The pixels (Y, X[, S]) turned upright."""
    swapped, rows, columns = TURNS[orientation]
    turned = np.swapaxes(pixels, 0, 1) if swapped else pixels
    return turned[:: -1 if rows else 1, :: -1 if columns else 1]


def turned(array: LazyArray, axes: str, orientation: int) -> LazyArray:
    """The same pixels upright, whose `axes` hold Y and X one after the other; a window reads that window."""
    if orientation == 1:
        return array
    y, x = axes.index("Y"), axes.index("X")
    shape = list(array.shape)
    if TURNS[orientation][0]:
        shape[y], shape[x] = shape[x], shape[y]
    return replace(array, shape=tuple(shape), read=partial(_read_turned, array.read, y, x, orientation, tuple(shape)))


def _read_turned(
    read: Read, y: int, x: int, orientation: int, shape: tuple[int, ...], path: Path, index: Any
) -> NDArray[Any]:
    swapped, *mirrored = TURNS[orientation]
    asked = list(full_index(index, len(shape)))
    after: list[Any] = [slice(None) for entry in asked if isinstance(entry, slice)]
    for axis, mirror in zip((y, x), mirrored, strict=True):
        n, entry = shape[axis], asked[axis]
        if isinstance(entry, slice):
            # A piece without gaps is read, then mirrored and thinned.
            wanted = range(n)[entry]
            low, high = (min(wanted[0], wanted[-1]), max(wanted[0], wanted[-1]) + 1) if wanted else (0, 0)
            asked[axis] = slice(n - high, n - low) if mirror else slice(low, high)
            place = sum(isinstance(one, slice) for one in asked[:axis])
            after[place] = slice(None, None, -wanted.step if mirror else wanted.step)
        else:
            found = range(n)[entry]
            asked[axis] = n - 1 - found if mirror else found
    both = all(isinstance(asked[axis], slice) for axis in (y, x))
    if swapped:
        asked[y], asked[x] = asked[x], asked[y]
    values = read(path, tuple(asked))
    if swapped and both:
        place = sum(isinstance(one, slice) for one in asked[:y])
        values = np.swapaxes(values, place, place + 1)
    return np.ascontiguousarray(values[tuple(after)])


def inverted(array: LazyArray, bits: int) -> LazyArray:
    """The pixels of which 0 was meant as white, as numbers of so many bits of which 0 is black."""
    return replace(array, read=partial(_read_inverted, array.read, bits))


def _read_inverted(read: Read, bits: int, path: Path, index: Any) -> NDArray[Any]:
    values = read(path, index)
    return ~values if values.dtype.kind == "b" else values.dtype.type(2**bits - 1) - values


def without_last(array: LazyArray, axes: str, axis: str, n: int = 1) -> tuple[LazyArray, str]:
    """The pixels without the last `n` along this axis, and their axes: it goes where one is left."""
    at = axes.index(axis)
    kept = array.shape[at] - n
    if kept == 1:
        shape, axes = (*array.shape[:at], *array.shape[at + 1 :]), axes[:at] + axes[at + 1 :]
        return replace(array, shape=shape, read=partial(_read_first, array.read, at, len(shape))), axes
    shape = (*array.shape[:at], kept, *array.shape[at + 1 :])
    return replace(array, shape=shape, read=partial(_read_kept, array.read, at, shape)), axes


def _read_first(read: Read, at: int, ndim: int, path: Path, index: Any) -> NDArray[Any]:
    whole = full_index(index, ndim)
    return read(path, (*whole[:at], 0, *whole[at:]))


def _read_kept(read: Read, at: int, shape: tuple[int, ...], path: Path, index: Any) -> NDArray[Any]:
    whole = list(full_index(index, len(shape)))
    found = range(shape[at])[whole[at]]
    if isinstance(found, range):
        stop: int | None = found.stop if found.stop >= 0 else None
        whole[at] = slice(found.start, stop, found.step)
    else:
        whole[at] = found
    return read(path, tuple(whole))
