"""Images whose rows are unpacked whole, for who reads block after block: some rows wait unpacked in a file."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryFile
from threading import Lock
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from napari_pix2pix.files.readers.lazy import LazyArray, Stack, full_index

PIECE = 128
"""Rows that are unpacked at once, unless strips are higher."""


@contextmanager
def rows_unpacked_once(stack: Stack, folder: Path, planes: int) -> Iterator[Stack]:
    """The same stack, for windows that come row of blocks by row of blocks, of so many planes by turns.

    Of an image in strips, or in one piece, the rows of a window are unpacked in full width into a temporary file in
    `folder`, and further windows of these rows are read from there: neither is a strip unpacked for each block, nor are
    whole rows held.
    """
    with ExitStack() as files:

        def unpacked(one: Stack) -> Stack:
            if not isinstance(one.array, LazyArray):
                parts = tuple(map(unpacked, one.array.parts))
                return replace(one, array=replace(one.array, parts=parts), parts=parts)
            if not one.array.strip:
                return one
            rows = _Rows(one.array, (one.axes.index("Y"), one.axes.index("X")), folder, planes, files)
            return replace(one, array=replace(one.array, read=rows.read))

        yield unpacked(stack)


@dataclass
class _Held:
    """Rows of one plane in a file, the first axis theirs."""

    file: IO[bytes]
    rows: range = range(0)
    shape: tuple[int, ...] = ()


@dataclass
class _Rows:
    """What reads windows of `array` by way of a file for each plane; `at` are the numbers of its axes Y and X."""

    array: LazyArray
    at: tuple[int, int]
    folder: Path
    planes: int
    files: ExitStack
    _held: dict[str, _Held] = field(default_factory=dict)
    _lock: Any = field(default_factory=Lock)

    def read(self, path: Path, index: Any) -> NDArray[Any]:
        """The pixels at `index`."""
        whole = list(full_index(index, self.array.ndim))
        if not all(isinstance(whole[i], slice) and whole[i].step in (None, 1) for i in self.at):
            return self.array.read(path, index)
        rows, columns = (range(self.array.shape[i])[whole[i]] for i in self.at)
        place = [sum(isinstance(one, slice) for one in whole[:i]) for i in self.at]
        with self._lock:
            plane = str([one for i, one in enumerate(whole) if i not in self.at])
            held = self._held.pop(plane, None) or self._new()
            self._held[plane] = held
            if rows and not (held.rows.start <= rows.start and rows.stop <= held.rows.stop):
                self._unpack(held, path, whole, rows, place[0])
            if not rows or not columns:
                return self.array.read(path, index)
            kept = np.memmap(held.file, self.array.dtype, "r", shape=held.shape)  # its pages are the file's
            lines = np.moveaxis(kept[rows.start - held.rows.start : rows.stop - held.rows.start], 0, place[0])
            return np.array(lines[(slice(None),) * place[1] + (slice(columns.start, columns.stop),)])

    def _new(self) -> _Held:
        """Room for a plane: that of the one that was read longest ago, where there are enough."""
        if len(self._held) < self.planes:
            return _Held(self.files.enter_context(TemporaryFile(dir=self.folder)))
        oldest = self._held.pop(next(iter(self._held)))
        return _Held(oldest.file)

    def _unpack(self, held: _Held, path: Path, whole: list[Any], rows: range, place: int) -> None:
        held.rows, n = range(0), max(PIECE, self.array.strip)
        held.file.seek(0)
        for start in range(rows.start, rows.stop, n):
            wanted = list(whole)
            wanted[self.at[0]], wanted[self.at[1]] = slice(start, min(start + n, rows.stop)), slice(None)
            lines = np.moveaxis(self.array.read(path, tuple(wanted)), place, 0)
            held.file.write(np.ascontiguousarray(lines, self.array.dtype).tobytes())
        held.file.flush()
        held.rows, held.shape = rows, (len(rows), *lines.shape[1:])
