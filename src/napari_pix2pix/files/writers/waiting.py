"""What waits to be written: blocks of an image as they come, tiles once they are whole."""

import math
from collections.abc import Iterable, Iterator
from pathlib import Path
from tempfile import SpooledTemporaryFile
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

HELD = 2**22
"""Bytes of an image that wait in memory; where there are more, all wait in a file."""
Key = tuple[int, int, int]
"""A tile: the number of its frame, of its row and of its column."""


class WaitingTiles:
    """Tiles of frames (plane, Y, X), of which blocks come in any order; beyond a few, in a temporary file.

    Of a tile whose planes are each of one value, as glass is, that waits alone.

    It is a plain file that is written at places: a mapped one would kill the process where the disk is full. Where a
    tile lay that is taken, another one comes.

    Parameters
    ----------
    folder
        Where the file is.
    planes, size
        Of a frame, and its (Y, X).
    dtype
        Of its pixels.
    side
        Of a tile, px; those at the lower and right border are smaller.
    """

    def __init__(self, folder: Path, planes: int, size: tuple[int, int], dtype: np.dtype[Any], side: int) -> None:
        self.planes, self.size, self.dtype, self.side = planes, size, dtype, side
        self._file = SpooledTemporaryFile(HELD, dir=str(folder))  # noqa: SIM115 - it is closed by who enters this
        self._slots: dict[Key, int] = {}
        self._of_one: dict[Key, NDArray[Any]] = {}
        self._missing: dict[Key, int] = {}
        self._free: list[int] = []
        self._count = 0

    def __enter__(self) -> "WaitingTiles":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._file.close()

    @property
    def tiles(self) -> list[tuple[int, int]]:
        """The numbers of rows and columns of the tiles of a frame, row by row."""
        rows, columns = (-(-n // self.side) for n in self.size)
        return [(row, column) for row in range(rows) for column in range(columns)]

    def window(self, key: Key) -> tuple[slice, slice]:
        """Rows and columns of a tile."""
        y, x = (slice(i * self.side, min((i + 1) * self.side, n)) for i, n in zip(key[1:], self.size, strict=True))
        return y, x

    def put(self, frame: int, row: int, column: int, block: NDArray[Any]) -> Iterator[Key]:
        """Add a block (plane, rows, columns) of a frame; the tiles that are whole now."""
        ends = row + block.shape[-2], column + block.shape[-1]
        rows, columns = (range(a // self.side, -(-b // self.side)) for a, b in zip((row, column), ends, strict=True))
        for key in ((frame, i, j) for i in rows for j in columns):
            y, x = self.window(key)
            top, left = max(row, y.start), max(column, x.start)
            part = block[:, top - row : min(ends[0], y.stop) - row, left - column : min(ends[1], x.stop) - column]
            shape = y.stop - y.start, x.stop - x.start
            self._add(key, top - y.start, left - x.start, shape, part)
            self._missing[key] = self._missing.get(key, math.prod(shape)) - part.shape[-2] * part.shape[-1]
            if not self._missing[key]:
                yield key

    def _add(self, key: Key, row: int, column: int, shape: tuple[int, int], part: NDArray[Any]) -> None:
        """Add a part of a tile of this shape."""
        one, new, before = _of_one(part), key not in self._missing, self._of_one.get(key)
        if one is not None and (new or (before is not None and one.tobytes() == before.tobytes())):
            self._of_one[key] = one
            return
        if key not in self._slots:
            self._slots[key] = self._free.pop() if self._free else self._count
            self._count = max(self._count, self._slots[key] + 1)
        if before is not None:
            self._write(key, 0, 0, shape[1], np.broadcast_to(self._of_one.pop(key), (self.planes, *shape)))
        self._write(key, row, column, shape[1], part)

    def _write(self, key: Key, row: int, column: int, width: int, part: NDArray[Any]) -> None:
        for number, plane in enumerate(part):
            lines: Iterable[NDArray[Any]] = [plane] if part.shape[-1] == width else plane
            for i, line in enumerate(lines):
                self._file.seek(self._place(key, number) + ((row + i) * width + column) * self.dtype.itemsize)
                self._file.write(line.tobytes())

    def _place(self, key: Key, plane: int) -> int:
        return (self._slots[key] * self.planes + plane) * self.side**2 * self.dtype.itemsize

    def is_whole(self, key: Key) -> bool:
        """Whether all of a tile is there, and not taken."""
        return not self._missing.get(key, 1)

    def read(self, key: Key, planes: Iterable[int] | None = None) -> NDArray[Any]:
        """These planes of a tile, (plane, rows, columns); None: all."""
        y, x = self.window(key)
        shape = (y.stop - y.start, x.stop - x.start)
        planes = list(range(self.planes) if planes is None else planes)
        if key in self._of_one:
            return np.broadcast_to(self._of_one[key][planes], (len(planes), *shape))
        found = []
        for plane in planes:
            self._file.seek(self._place(key, plane))
            found.append(np.frombuffer(self._file.read(math.prod(shape) * self.dtype.itemsize), self.dtype))
        return np.stack(found).reshape(-1, *shape)

    def drop(self, key: Key) -> None:
        """Let go of a tile."""
        if self._of_one.pop(key, None) is None:
            self._free.append(self._slots.pop(key))
        del self._missing[key]


def _of_one(part: NDArray[Any]) -> NDArray[Any] | None:
    """The value of each plane, (plane, 1, 1), if that is the same to the bit in all its pixels."""
    one = part[:, :1, :1]
    if not any(part.strides[-2:]):
        return one.copy()
    bits = part.view(f"u{part.dtype.itemsize}")  # NaN is like itself
    same = all((values == bits[:, :1, :1]).all() for values in (bits[:, :1], bits))
    return one.copy() if same else None
