"""Stacks to OME-TIFF: tiled and compressed, with a pyramid where frames are large."""

import math
import re
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from itertools import chain
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Any
from uuid import NAMESPACE_OID, uuid5

import numpy as np
import tifffile
from numpy.typing import NDArray

from napari_pix2pix.core.atomic import written_beside
from napari_pix2pix.core.axes import AxesPlan
from napari_pix2pix.files.pyramids import TILE, halved, level_shapes

PYRAMID_ABOVE = 4096**2
"""Pixels of a frame above which viewers need a pyramid."""
BIG_ABOVE = 2**32 - 2**25
"""Bytes above which the 32-bit offsets of a TIFF may not do, as in tifffile."""
WRITTEN_AS = {"bool": "uint8", "float16": "float32"}
"""What OME-TIFF cannot hold, or few programs read, and what holds the same numbers."""
NO_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Characters that XML cannot hold."""


def write_tiff(
    path: Path,
    plan: AxesPlan,
    dtype: np.dtype[Any],
    frames: Iterable[NDArray[Any]],
    *,
    pixel_size_um: dict[str, float],
    channel_names: tuple[str, ...],
    description: str,
    labels: bool,
) -> None:
    """Write `frames` (C, Y, X) as an OME-TIFF: tiled and compressed, with a pyramid where they are large.

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
    height, width = plan.frame_shape
    sizes_below = level_shapes((height, width)) if height * width > PYRAMID_ABOVE else []
    n_pages = plan.n_frames * plan.length("C")
    samples = (plan.length("S"),) if plan.length("S") > 1 else ()
    axes = plan.axes if samples else plan.axes.replace("S", "")
    shape = tuple(plan.length(axis) for axis in axes)
    how: dict[str, Any] = {
        "dtype": dtype,
        "photometric": "rgb" if samples in ((3,), (4,)) else "minisblack",
        "compression": "zlib",
        "tile": (TILE, TILE) if max(height, width) > TILE else None,
    }
    how |= {"planarconfig": "contig"} if samples else {}
    how |= {"extrasamples": ("unassalpha",)} if samples == (4,) else {}
    with ExitStack() as files, written_beside(path) as beside:
        # The pages of a level must follow all pages of the level above, so they wait in temporary files.
        levels = [(size, files.enter_context(TemporaryFile(dir=path.parent))) for size in sizes_below]

        def pages() -> Iterator[NDArray[Any]]:
            for frame in frames:
                for page in frame.astype(dtype, copy=False).reshape(-1, *samples, height, width):
                    smaller = page
                    for _, waiting in levels:
                        smaller = halved(smaller, labels)
                        waiting.write(smaller.tobytes())
                    yield page

        def waited(shape: tuple[int, ...], waiting: IO[bytes]) -> Iterator[NDArray[Any]]:
            waiting.seek(0)
            while page := waiting.read(math.prod(shape) * dtype.itemsize):
                yield np.frombuffer(page, dtype).reshape(shape)

        # A chain, since tifffile takes what it needs and then would close a generator.
        pieces: Iterator[NDArray[Any]] = chain(_pieces(pages(), how["tile"]))
        big = 1.4 * np.prod(plan.shape, dtype=float) * dtype.itemsize > BIG_ABOVE
        with tifffile.TiffWriter(beside, bigtiff=big, ome=True) as file:
            metadata = {"axes": axes} | _ome_words(plan, pixel_size_um, channel_names, description)
            if description:  # it says how the file was made: made again, it is the same to the byte
                metadata["UUID"] = str(uuid5(NAMESPACE_OID, f"{description}{shape}{dtype}{channel_names}"))
            file.write(pieces, shape=shape, subifds=len(levels), metadata=metadata, **how)
            next(pieces, None)  # raises if there are more frames than needed
            for (y, x), waiting in levels:
                pieces = _pieces(waited((*samples, y, x), waiting), how["tile"])
                file.write(pieces, shape=(n_pages, y, x, *samples), subfiletype=1, metadata=None, **how)


def _ome_words(plan: AxesPlan, sizes: dict[str, float], names: tuple[str, ...], description: str) -> dict[str, Any]:
    words: dict[str, Any] = {"Description": NO_XML.sub("?", description)} if description else {}
    for axis in sizes.keys() & set("ZYX"):
        words |= {f"PhysicalSize{axis}": sizes[axis], f"PhysicalSize{axis}Unit": "µm"}
    if names and len(names) == plan.length("C"):
        words["Channel"] = {"Name": [NO_XML.sub("?", name) for name in names]}
    return words


def _pieces(pages: Iterable[NDArray[Any]], tile: tuple[int, int] | None) -> Iterator[NDArray[Any]]:
    """Pages ([S,] Y, X) as tifffile takes them: (Y, X[, S]), whole or tile by tile."""
    for page in pages:
        page = np.moveaxis(page, 0, -1) if page.ndim == 3 else page
        if tile is None:
            yield page
        else:
            for y in range(0, page.shape[0], tile[0]):
                for x in range(0, page.shape[1], tile[1]):
                    yield page[y : y + tile[0], x : x + tile[1]]
