"""A window of a TIFF's pixels: only the strips or tiles under it are read."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import lru_cache
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
import tifffile
import zarr
from numpy.typing import NDArray
from zarr.storage import WrapperStore

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


def read_window(path: Path, index: Any, opened: Opened, plain: bool) -> NDArray[Any]:
    """The pixels at `index`; the file is opened and closed.

    Raises
    ------
    Exception
        The decoder's.
    """
    array, strips = _array(path, path.stat().st_mtime_ns, opened, plain)
    with strips.lock:
        strips.errors.clear()
        try:
            pixels = np.asarray(array[index])
        finally:
            strips.close()
        if strips.errors:
            raise strips.errors[0]
    return pixels


@lru_cache(maxsize=16)
def _array(path: Path, changed: int, opened: Opened, plain: bool) -> tuple[zarr.Array, _Strips]:
    """The pixels as a zarr array, which opens the file when it is sliced: to find all pages again takes longer."""
    with opened(path, plain) as file:
        file.pages.cache = True
        for page in file.series[0].pages:  # loads what stands in the headers
            del page
        strips = _Strips(file.series[0].aszarr(level=0))
        return zarr.open_array(strips, mode="r"), strips
