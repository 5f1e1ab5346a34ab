"""Objects of an image larger than memory: its maps come in windows, its objects go out some rows at a time."""

import math
import warnings
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Any

import numpy as np
from numpy.typing import DTypeLike, NDArray
from scipy import ndimage

from napari_pix2pix.core.encodings.objects import SIGMA, find_objects

LARGEST = 512
"""Rows of the largest object that is found as in the whole image, however many objects it touches."""
CONTEXT = math.ceil(4 * SIGMA)
"""Pixels beyond which the Gaussian that smooths the depth does not see; SciPy cuts it at four sigma."""
AT_ONCE = 2**20
"""Pixels that are divided into objects, or go out, at once; more where one part of the foreground has more."""
Rows = tuple[slice, NDArray[np.int32], NDArray[np.bool_]]
"""Rows of a frame, and of these the objects and what was marked, both ([Z,] rows, X)."""


class ObjectRows:
    """Objects of a frame whose maps come window by window, numbered as they first appear.

    They are those of the whole frame where none has more than `largest` rows: a part of the foreground is divided once
    all of it is known; of one that goes on, those objects are kept that end so many rows above what is known that all
    they touch is known. Larger ones may be cut, with a warning.

    What waits lies in files, 14 bytes a pixel. Held in memory are some pixels, or the box around the largest
    part of the foreground.

    Parameters
    ----------
    seed_depth
        The encoded depth from which on a place starts an object.
    min_size
        Smaller objects are dropped, in pixels.
    shape
        Of the frame, ([Z,] Y, X).
    largest
        In rows; up to three times as many wait, and those of a row of windows.
    folder
        Of the files, which nobody sees; None: what waits is held in memory.
    """

    def __init__(
        self,
        seed_depth: float,
        min_size: int,
        shape: tuple[int, ...],
        largest: int = LARGEST,
        folder: Path | None = None,
    ) -> None:
        self._seed_depth, self._min_size, self._largest, self._shape = seed_depth, min_size, largest, shape
        with ExitStack() as files:  # which close whatever becomes of one of them
            self._foreground, self._depth, self._marks, self._labels, self._parts = (
                _Waiting(shape, dtype, files.enter_context(TemporaryFile(dir=folder)) if folder else None)
                for dtype in (bool, np.float32, bool, np.int32, np.int32)
            )  # of the foreground what is not settled; of labels the provisional numbers of what is
            self._files = files.pop_all()
        self._first = 0  # of the rows that wait, the one that lies first in the files
        self._out = 0  # rows that have gone out
        self._decoded = 0  # rows beyond these that have been looked at before
        self._numbers = np.zeros(1, np.int32)  # of each object that was found, 0 while it has not appeared
        self._count = 0  # of those that have
        self._warned = False

    def add(
        self, rows: slice, columns: slice, maps: NDArray[np.float32], marks: NDArray[np.bool_] | None = None
    ) -> Iterator[Rows]:
        """The rows that are finished, perhaps none, now that the maps (2, [Z,] rows, columns) of a window are known.

        Windows come from the left to the right, and from above; `marks` ([Z,] rows, columns) go out with the objects.
        """
        height, width = self._shape[-2:]
        window = (..., slice(rows.start - self._first, rows.stop - self._first), columns)
        whole = (maps[0] > 0, maps[1], np.False_ if marks is None else marks)
        for waiting, values in zip((self._foreground, self._depth, self._marks), whole, strict=True):
            waiting.upto(rows.stop - self._first)[window] = values
        if columns.stop < width:
            return
        last = rows.stop == height
        if last or rows.stop - self._out - self._decoded >= self._largest:
            yield from self._settled(rows.stop, last)

    def _settled(self, known: int, last: bool) -> Iterator[Rows]:
        """What is finished now that all rows above `known` are."""
        above, stop = self._out - self._first, known - self._first - (0 if last else CONTEXT)
        finished = self._divided(slice(above, stop), known - self._first, last)
        self._decoded = stop - finished

        # It goes out under final numbers; but for what the Gaussian sees of it, it is needed no more.
        step = max(1, AT_ONCE // math.prod((*self._shape[:-2], self._shape[-1])))
        for row in range(above, finished, step):
            some = (..., slice(row, min(row + step, finished)), slice(None))
            labels = self._numbered(self._labels.upto(stop)[some])
            out = slice(self._out, self._out + labels.shape[-2])
            self._out = out.stop
            yield out, labels, np.array(self._marks.upto(stop)[some])
        if last:
            return
        kept = max(0, finished - CONTEXT)
        for waiting in (self._foreground, self._depth, self._marks, self._labels):
            waiting.drop(kept)
        self._first += kept

    def _divided(self, rows: slice, known: int, last: bool) -> int:
        """Find the objects in these of the `known` rows that wait; the first of those that may change."""
        foreground, labels = (waiting.upto(rows.stop)[..., rows, :] for waiting in (self._foreground, self._labels))
        parts = self._parts.upto(rows.stop)[..., rows, :]
        count = ndimage.label(foreground, output=parts)
        goes_on = np.zeros(count + 1, bool)
        if not last:
            goes_on[parts[..., -1, :]] = True
            goes_on[0] = False

        # Some parts at a time, those of like size that lie near each other.
        finished: int = rows.stop
        boxes = _boxes(parts, count)
        group = _groups(boxes, parts.shape)
        for number in range(group.max(initial=-1) + 1):
            own = np.append(False, group == number)
            (top, left), (bottom, right) = boxes[own[1:], 0].min(axis=0), boxes[own[1:], 1].max(axis=0)
            lines, columns = slice(rows.start + top, rows.start + bottom), slice(left, right)
            box = (..., slice(top, bottom), columns)
            some = parts[box]
            inside = own[some]
            found = find_objects(inside, self._smooth(lines, columns, known), self._seed_depth)
            sure, first = self._sure(found, inside & goes_on[some], rows.stop - lines.start)
            finished = min(finished, lines.start + first)

            # What is sure gets provisional numbers, and is not looked for again.
            numbered = sure & (np.bincount(found.ravel(), minlength=len(sure)) >= self._min_size)
            numbered[0] = False
            provisional = np.zeros(len(sure), np.int32)
            provisional[numbered] = np.arange(numbered.sum()) + len(self._numbers)
            self._numbers = np.append(self._numbers, np.zeros(numbered.sum(), np.int32))
            labels[box] += provisional[found]
            foreground[box] &= ~(sure[found] & (found > 0))
        return finished

    def _smooth(self, rows: slice, columns: slice, known: int) -> NDArray[np.float32]:
        """The depth of these, smoothed."""
        top, left = max(0, rows.start - CONTEXT), max(0, columns.start - CONTEXT)
        seen = self._depth.upto(known)[..., top : min(known, rows.stop + CONTEXT), left : columns.stop + CONTEXT]
        smooth: NDArray[np.float32] = ndimage.gaussian_filter(seen, SIGMA)
        return smooth[..., rows.start - top : rows.stop - top, columns.start - left : columns.stop - left]

    def _sure(self, found: NDArray[np.int32], goes_on: NDArray[np.bool_], height: int) -> tuple[NDArray[np.bool_], int]:
        """Which objects will not change, and the first row of those that may; `goes_on` where a part does, below."""
        sure, first = np.ones(found.max(initial=0) + 1, bool), height
        sure[found[goes_on]] = False
        sure[0] = True
        if sure.all():
            return sure, first
        for number, place in enumerate(ndimage.find_objects(found), 1):
            if not sure[number]:
                sure[number] = self._ends(place[-2], height)
                first = first if sure[number] else min(first, place[-2].start)
        return sure, first

    def _ends(self, rows: slice, height: int) -> bool:
        """Whether an object of a part that goes on below these `height` rows is settled, or must be for its size."""
        if rows.stop <= height - self._largest:
            return True
        if rows.start >= height - 2 * self._largest:
            return False
        if not self._warned:
            self._warned = True
            warnings.warn(
                f"Objects should have at most {self._largest} rows in an image of this size; one has "
                f"{rows.stop - rows.start} or more and may be cut. Lower `seed_threshold`, or predict a part of it.",
                stacklevel=2,
            )
        return True

    def _numbered(self, labels: NDArray[np.int32]) -> NDArray[np.int32]:
        """The objects of these rows under their final numbers."""
        found, first = np.unique(labels, return_index=True)
        fresh = (found > 0) & (self._numbers[found] == 0)
        order = found[fresh][np.argsort(first[fresh])]
        self._numbers[order] = np.arange(1, len(order) + 1) + self._count
        self._count += len(order)
        return self._numbers[labels]

    def __enter__(self) -> "ObjectRows":
        return self

    def __exit__(self, *_: object) -> None:
        for waiting in (self._foreground, self._depth, self._marks, self._labels, self._parts):
            waiting.clear()
        self._files.close()


def _boxes(parts: NDArray[np.int32], count: int) -> NDArray[np.int64]:
    """Of each part ([Z,] rows, X) from 1 on the first row and column, and those behind the last: (count, 2, 2)."""
    height, width = parts.shape[-2:]
    boxes = np.stack([np.full((count + 1, 2), max(height, width)), np.zeros((count + 1, 2), np.int64)], axis=1)
    for row in range(height):
        for line in parts[..., row, :].reshape(-1, width):
            columns = np.flatnonzero(line)
            own = line[columns]
            boxes[own, 0, 0] = np.minimum(boxes[own, 0, 0], row)
            boxes[own, 1, 0] = row + 1
            boxes[own, 1, 1] = np.maximum(boxes[own, 1, 1], columns + 1)  # of a part that comes again, the last counts
            boxes[own[::-1], 0, 1] = np.minimum(boxes[own, 0, 1], columns)[::-1]
    return boxes[1:]


def _groups(boxes: NDArray[np.int64], shape: tuple[int, ...]) -> NDArray[np.int64]:
    """The group of each box, from 0: those of like size that lie near each other, so that few pixels are of no part."""
    *planes, height, _ = shape
    tall, wide = (2 ** np.ceil(np.log2(np.maximum(1, boxes[:, 1] - boxes[:, 0])))).astype(np.int64).T
    wide = np.maximum(wide, AT_ONCE // (math.prod(planes) * height))
    tall = np.maximum(tall, AT_ONCE // (math.prod(planes) * wide))
    keys = np.stack([wide, boxes[:, 0, 1] // wide, tall, boxes[:, 0, 0] // tall])
    group: NDArray[np.int64] = np.unique(keys, axis=1, return_inverse=True)[1]
    return group.reshape(-1)


class _Waiting:
    """Rows of an array ([Z,] rows, X), in a file if there is one, of which pages are mapped: they are the file's."""

    def __init__(self, shape: tuple[int, ...], dtype: DTypeLike, file: IO[bytes] | None) -> None:
        self._file = file
        self._array = np.zeros((0, *shape[:-2], shape[-1]), dtype)

    def upto(self, rows: int) -> NDArray[Any]:
        """So many rows, or more; new ones are 0."""
        held, *row = self._array.shape
        if rows > held and self._file is None:
            self._array = np.concatenate([self._array, np.zeros((max(rows - held, held), *row), self._array.dtype)])
        elif rows > held:
            assert self._file is not None
            # They are written: where the disk is full, a file that is only mapped would end the process.
            size = math.prod(row) * self._array.itemsize
            self._file.seek(held * size)
            for _ in range(held, rows):
                self._file.write(bytes(size))
            self._file.flush()
            self._array = np.memmap(self._file, self._array.dtype, "r+", shape=(rows, *row))
        return np.moveaxis(self._array, 0, -2)

    def drop(self, rows: int) -> None:
        """Drop the first so many; those below move up, and 0 comes after them."""
        left = len(self._array) - rows
        for row in range(0, left, rows or left):
            some = slice(row, min(row + rows, left))
            self._array[some] = self._array[some.start + rows : some.stop + rows]
        self._array[left:] = 0

    def clear(self) -> None:
        """Let go of all rows: a file stays open as long as it is mapped."""
        self._array = np.zeros_like(self._array[:0], subok=False)
