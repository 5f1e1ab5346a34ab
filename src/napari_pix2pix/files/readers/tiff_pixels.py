"""A window of a TIFF's pixels: only the strips or tiles under it are read, or mapped where they are as in memory."""

import math
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
import tifffile
import zarr
from numpy.typing import NDArray
from zarr.storage import WrapperStore

from napari_pix2pix.files.readers.tiff_pieces import check_pieces, main_series

Opened = Callable[[Path, bool], AbstractContextManager[tifffile.TiffFile]]


class _Strips(WrapperStore):
    """The strips and tiles of a TIFF for zarr; it keeps the errors of decoders.

    Zarr would raise the first and leave other reads running, which open the file again after it was closed.
    """

    def __init__(self, store: Any) -> None:
        super().__init__(store)
        self.errors: list[Exception] = []
        self.lock = Lock()

    async def get(self, *arguments: Any, **named: Any) -> Any:
        """One strip or tile; None, to be filled with zeros that nobody sees, if it cannot be decoded."""
        try:
            return await super().get(*arguments, **named)
        except Exception as error:
            self.errors.append(error)
            return None


def read_window(path: Path, index: Any, opened: Opened, plain: bool, level: int = 0) -> NDArray[Any]:
    """The pixels at `index` of this level; the file is opened and closed.

    Raises
    ------
    Exception
        The decoder's.
    """
    said = path.stat()
    array, strips = _array(path, said.st_mtime_ns, opened, plain, level)
    if isinstance(array, _Mapped):
        return array.read(path, said.st_size, index)
    assert strips is not None
    with strips.lock:
        strips.errors.clear()
        try:
            pixels = np.asarray(array[index])
        finally:
            strips.close()
        if strips.errors:
            raise strips.errors[0]
    return pixels


@dataclass(frozen=True)
class _Mapped:
    """Pixels that lie in the file as in memory: only the pages of memory under a window are read."""

    offset: int
    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    def read(self, path: Path, size: int, index: Any) -> NDArray[Any]:
        """The pixels at `index`, in the byte order of this machine."""
        if self.offset + math.prod(self.shape) * self.dtype.itemsize > size:
            raise ValueError("the file is shorter than its header says")
        pixels = np.memmap(path, self.dtype, "r", self.offset, self.shape)[index]
        return np.array(pixels, self.dtype.newbyteorder("="))


@lru_cache(maxsize=16)
def _array(
    path: Path, changed: int, opened: Opened, plain: bool, level: int
) -> tuple[_Mapped, None] | tuple[zarr.Array, _Strips]:
    """The pixels as an array that opens the file when it is sliced: to find all pages again takes longer."""
    with opened(path, plain) as file:
        file.pages.cache = True
        series = main_series(file).levels[level]
        for page in series.pages:  # loads what stands in the headers
            if page is not None:
                check_pieces(page.keyframe)
        if series.dataoffset is not None and not series.is_multifile:
            return _Mapped(series.dataoffset, tuple(series.shape), np.dtype(file.byteorder + series.dtype.char)), None
        strips = _Strips(series.aszarr(level=0))
        return zarr.open_array(strips, mode="r"), strips
