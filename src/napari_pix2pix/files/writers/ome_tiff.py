"""Stacks to OME-TIFF: tiled and compressed, with a pyramid where frames are large."""

import math
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Any
from uuid import NAMESPACE_OID, uuid5

import numpy as np
import tifffile
from numpy.typing import NDArray

from napari_pix2pix.core.engine.atomic import written_beside
from napari_pix2pix.core.geometry.axes import AxesPlan
from napari_pix2pix.files.placement import Measure, Placement
from napari_pix2pix.files.writers.meaning import Meaning
from napari_pix2pix.files.writers.pyramids import TILE, Placed, halved, level_shapes, strips

PYRAMID_ABOVE = 4096**2
"""Pixels of a frame above which viewers need a pyramid."""
BIG_ABOVE = 2**32 - 2**25
"""Bytes above which the 32-bit offsets of a TIFF may not do, as in tifffile."""
BUFFER = 2**24
"""Bytes of tiles that tifffile compresses at once."""
WRITTEN_AS = {"bool": "uint8", "float16": "float32"}
"""What OME-TIFF cannot hold, or few programs read, and what holds the same numbers."""
UNNAMED = "reference frame"
"""What OME calls a length in no unit."""
NO_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Characters that XML cannot hold."""


def write_tiff(path: Path, plan: AxesPlan, dtype: np.dtype[Any], blocks: Iterable[Placed], meaning: Meaning) -> None:
    """Write frames, row by row, as an OME-TIFF: tiled and compressed, with a pyramid where they are large.

    Raises
    ------
    ValueError
        If OME-TIFF has no such dtype.
    OSError
        If the folder cannot be written or the disk is full.
    """
    dtype = np.dtype(WRITTEN_AS.get(dtype.name, dtype))
    if dtype.kind not in "iuf" or (dtype.kind in "iu" and dtype.itemsize > 4):
        raise ValueError(f"An OME-TIFF must hold integers of at most 32 bits, or floats; got {dtype}. Write a .zarr.")
    height, width = plan.frame_shape[-2:]
    sizes_below = level_shapes((height, width)) if height * width > PYRAMID_ABOVE else []
    n_pages = math.prod(plan.length(axis) for axis in "TZC")
    at_once = n_pages // plan.n_frames
    samples = (plan.length("S"),) if plan.length("S") > 1 else ()
    axes = plan.axes if samples else plan.axes.replace("S", "")
    shape = tuple(plan.length(axis) for axis in axes)
    tiled = max(height, width) > TILE
    rows = max(TILE, 2 ** len(sizes_below)) if tiled else height  # halves of all levels end where they do
    how: dict[str, Any] = {
        "dtype": dtype,
        "photometric": "rgb" if samples in ((3,), (4,)) else "minisblack",
        "compression": "zlib",
        "tile": (TILE, TILE) if tiled else None,
        "buffersize": BUFFER,
    }
    how |= {"planarconfig": "contig"} if samples else {}
    how |= {"extrasamples": ("unassalpha",)} if samples == (4,) else {}
    with ExitStack() as files, written_beside(path) as beside:

        def waiting(pages: int, size: tuple[int, int]) -> _Waiting:
            return _Waiting(files.enter_context(TemporaryFile(dir=path.parent)), (pages, *size, *samples), dtype)

        # All pages of a frame get their rows together, and those of a level must follow all of the level above.
        frame_waits = waiting(at_once, (height, width)) if at_once > 1 and rows < height else None
        levels = [waiting(n_pages, size) for size in sizes_below]

        def pages() -> Iterator[NDArray[Any]]:
            for frame, row, block in strips(blocks, height, rows):
                block = block.astype(dtype, copy=False)
                smaller = block
                for i, level in enumerate(levels, 1):
                    smaller = halved(smaller, meaning.labels)
                    level.put(frame * at_once, row >> i, _as_pages(smaller, samples))
                if frame_waits is None:
                    yield from _as_pages(block, samples)
                else:
                    frame_waits.put(0, row, _as_pages(block, samples))
                    if row + block.shape[-2] == height:
                        yield from frame_waits.strips()

        # A chain, since tifffile takes what it needs and then would close a generator.
        pieces: Iterator[NDArray[Any]] = chain(_pieces(pages(), tiled))
        big = 1.4 * np.prod(plan.shape, dtype=float) * dtype.itemsize > BIG_ABOVE
        with tifffile.TiffWriter(beside, bigtiff=big, ome=True) as file:
            metadata = {"axes": axes} | _ome_words(plan, n_pages, meaning)
            # Not drawn: what is made again is the same to the byte, so that a layer's file is known by its hash.
            told = f"{meaning.description}{axes}{shape}{dtype}{meaning.channel_names}{meaning.pixel_size_um}"
            told += str(meaning.placement) if meaning.placement != Placement() else ""
            metadata["UUID"] = str(uuid5(NAMESPACE_OID, told))
            file.write(pieces, shape=shape, subifds=len(levels), metadata=metadata, **how)
            next(pieces, None)  # raises if there are more frames than needed
            for level in levels:
                pieces = _pieces(level.strips(), tiled)
                file.write(pieces, shape=level.shape, subfiletype=1, metadata=None, **how)


@dataclass(frozen=True)
class _Waiting:
    """Pages (page, Y, X[, S]) in a temporary file: written a few rows of several at a time, read page after page."""

    file: IO[bytes]
    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    def put(self, first: int, row: int, pages: NDArray[Any]) -> None:
        """Write these rows of the pages from number `first` on."""
        for number, page in enumerate(pages, first):
            self.file.seek((number * self.shape[1] + row) * math.prod(self.shape[2:]) * self.dtype.itemsize)
            self.file.write(page.tobytes())

    def strips(self) -> Iterator[NDArray[Any]]:
        """Each page, as many rows at a time as a tile has."""
        self.file.seek(0)
        for _ in range(self.shape[0]):
            for row in range(0, self.shape[1], TILE):
                shape = (min(TILE, self.shape[1] - row), *self.shape[2:])
                strip = self.file.read(math.prod(shape) * self.dtype.itemsize)
                yield np.frombuffer(strip, self.dtype).reshape(shape)


def _as_pages(block: NDArray[Any], samples: tuple[int, ...]) -> NDArray[Any]:
    """Rows (C·S, [Z,] rows, X) of a frame as those of its pages (Z·C, rows, X[, S])."""
    *_, rows, width = block.shape
    planes = block.reshape(-1, *(samples or (1,)), math.prod(block.shape[1:-2]), rows, width)
    return planes.transpose(2, 0, 3, 4, 1).reshape(-1, rows, width, *samples)


def _ome_words(plan: AxesPlan, n_pages: int, meaning: Meaning) -> dict[str, Any]:
    described, steps, names = meaning.description, meaning.steps, meaning.channel_names
    words: dict[str, Any] = {"Description": NO_XML.sub("?", described)} if described else {}
    for axis, name in (*((axis, f"PhysicalSize{axis}") for axis in "ZYX"), ("T", "TimeIncrement")):
        number, unit = steps.get(axis, (None, ""))
        if number is not None and (unit or axis != "T"):  # OME knows no time without a unit
            words |= {name: number, f"{name}Unit": unit or UNNAMED}
    if meaning.placement.origin:
        words["Plane"] = _positions(plan, n_pages, meaning.placement.origin, steps)
    if names and len(names) == plan.length("C"):
        words["Channel"] = {"Name": [NO_XML.sub("?", name) for name in names]}
    return words


def _positions(
    plan: AxesPlan, n_planes: int, origin: Mapping[str, Measure], steps: Mapping[str, Measure]
) -> dict[str, Any]:
    """Where each of the planes (T, Z, C; C fastest) is: X and Y as the first one, Z further by its step."""
    words: dict[str, Any] = {}
    for axis in origin.keys() & set("ZYX"):
        at, unit = origin[axis]
        step, of_step = steps.get(axis, (0.0, ""))
        apart = step if axis == "Z" and of_step == unit else 0.0
        planes = range(n_planes)
        where = [at + apart * (i // plan.length("C") % plan.length("Z")) for i in planes]
        words |= {f"Position{axis}": where, f"Position{axis}Unit": [unit or UNNAMED for _ in planes]}
    return words


def _pieces(strips: Iterable[NDArray[Any]], tiled: bool) -> Iterator[NDArray[Any]]:
    """Rows (rows, X[, S]) of pages as tifffile takes them: tile by tile, or whole pages as they are."""
    for strip in strips:
        if not tiled:
            yield strip
        else:
            for y in range(0, strip.shape[0], TILE):
                for x in range(0, strip.shape[1], TILE):
                    yield strip[y : y + TILE, x : x + TILE]
