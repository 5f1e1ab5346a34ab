"""Windows of frames: the units of a split, and pieces in which frames larger than memory are read."""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from napari_pix2pix.core.geometry.axes import Window


@dataclass(frozen=True)
class Region:
    """A window of one frame: the unit of a split."""

    frame: int
    window: Window

    @property
    def shape(self) -> tuple[int, ...]:
        """([Z,] Y, X) in pixels."""
        return tuple(side.stop - side.start for side in self.window)


PIECE = 2**24
"""Pixels of a window that is read at once where all of a frame is looked at, however large it is."""


def pieces(regions: Iterable[Region]) -> tuple[Region, ...]:
    """The regions, each in bands of whole rows of at most `PIECE` pixels; mostly each in one."""
    found = []
    for region in regions:
        y = region.window[-2]
        rows = max(1, PIECE * region.shape[-2] // math.prod(region.shape))
        for start in range(y.start, y.stop, rows):
            band = slice(start, min(start + rows, y.stop))
            found.append(Region(region.frame, (*region.window[:-2], band, region.window[-1])))
    return tuple(found)


class Windows(Sequence[NDArray[Any]]):
    """Windows of frames, each read when it is asked for: `read` is the `source` or `target` of `PairedFrames`."""

    def __init__(self, read: Callable[[int, Window], NDArray[Any]], regions: Sequence[Region]) -> None:
        self._read, self._regions = read, regions

    def __len__(self) -> int:
        return len(self._regions)

    def __getitem__(self, index: Any) -> Any:
        region = self._regions[index]
        return self._read(region.frame, region.window)
