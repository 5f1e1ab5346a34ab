"""Stacks to OME-TIFF: tiled and compressed, with a pyramid where frames are large."""

import math
import re
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from itertools import chain, islice
from pathlib import Path
from typing import Any
from uuid import NAMESPACE_OID, uuid5

import numpy as np
import tifffile
from numpy.typing import NDArray

from napari_pix2pix.core.engine.atomic import written_beside
from napari_pix2pix.core.geometry.axes import AxesPlan
from napari_pix2pix.files.placement import Measure, Placement
from napari_pix2pix.files.writers.meaning import Meaning
from napari_pix2pix.files.writers.pyramids import TILE, Placed, halved, level_shapes
from napari_pix2pix.files.writers.waiting import Key, WaitingTiles

PYRAMID_ABOVE = 4096**2
"""Pixels of a frame above which viewers need a pyramid."""
BIG_ABOVE = 2**32 - 2**25
"""Bytes above which the 32-bit offsets of a TIFF may not do, as in tifffile."""
BUFFER = 2**24
"""Bytes of tiles that are compressed at once."""
WRITTEN_AS = {"bool": "uint8", "float16": "float32"}
"""What OME-TIFF cannot hold, or few programs read, and what holds the same numbers."""
UNNAMED = "reference frame"
"""What OME calls a length in no unit."""
NO_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Characters that XML cannot hold."""


def write_tiff(path: Path, plan: AxesPlan, dtype: np.dtype[Any], blocks: Iterable[Placed], meaning: Meaning) -> None:
    """Write frames, block by block, as an OME-TIFF: tiled and compressed, with a pyramid where they are large.

    Raises
    ------
    ValueError
        If OME-TIFF has no such dtype.
    OSError
        If the folder cannot be written or the disk is full.
    """
    dtype = np.dtype(WRITTEN_AS.get(dtype.name, dtype))
    if dtype.kind not in "iuf" or (dtype.kind in "iu" and dtype.itemsize > 4):
        raise ValueError(
            f"An OME-TIFF must hold integers of at most 32 bits, or floats; got {dtype}. Write a .zarr, "
            "or give numbers of 32 bits."
        )
    height, width = plan.frame_shape[-2:]
    sizes_below = level_shapes((height, width)) if height * width > PYRAMID_ABOVE else []
    n_pages = math.prod(plan.length(axis) for axis in "TZC")
    at_once = n_pages // plan.n_frames
    samples = (plan.length("S"),) if plan.length("S") > 1 else ()
    axes = plan.axes if samples else plan.axes.replace("S", "")
    shape = tuple(plan.length(axis) for axis in axes)
    tiled = max(height, width) > TILE
    how: dict[str, Any] = {
        "dtype": dtype,
        "photometric": "rgb" if samples in ((3,), (4,)) else "minisblack",
        "compression": "zlib",
        "tile": (TILE, TILE) if tiled else None,
        "buffersize": BUFFER,
    }
    how |= {"planarconfig": "contig"} if samples else {}
    how |= {"extrasamples": ("unassalpha",)} if samples == (4,) else {}
    n_samples, n_planes = math.prod(samples), math.prod(plan.frame_shape[:-2])
    with ExitStack() as files, written_beside(path) as beside:

        def waiting(size: tuple[int, int]) -> WaitingTiles:
            tiles = WaitingTiles(path.parent, at_once * n_samples, size, dtype, TILE if tiled else max(size))
            return files.enter_context(tiles)

        def page(level: WaitingTiles, key: Key, number: int) -> NDArray[Any]:
            """A tile of a page, (rows, columns[, S])."""
            z, channel = divmod(number, at_once // n_planes)
            planes = [(channel * n_samples + sample) * n_planes + z for sample in range(n_samples)]
            found = level.read(key, planes)
            return np.moveaxis(found, 0, -1) if samples else found[0]

        # The tiles of a page must follow each other, its frame's pages and those of each level likewise.
        whole, *smaller = levels = [waiting(size) for size in [(height, width), *sizes_below]]

        def add(number: int, frame: int, row: int, column: int, block: NDArray[Any]) -> None:
            """Add a block to a level, and to those below what is whole then."""
            for key in levels[number].put(frame, row, column, block):
                if number < len(smaller):
                    y, x = levels[number].window(key)
                    below = halved(levels[number].read(key), meaning.labels)
                    add(number + 1, frame, y.start // 2, x.start // 2, below)

        def pieces() -> Iterator[NDArray[Any]]:
            expected, left = ((frame, *tile) for frame in range(plan.n_frames) for tile in whole.tiles), height * width
            upcoming = next(expected, None)
            for frame, row, column, block in blocks:
                add(0, frame, row, column, block.astype(dtype, copy=False).reshape(-1, *block.shape[-2:]))
                while upcoming is not None and at_once == 1 and whole.is_whole(upcoming):
                    yield page(whole, upcoming, 0)
                    whole.drop(upcoming)
                    upcoming = next(expected, None)
                left -= block.shape[-2] * block.shape[-1]
                if not left and at_once > 1:
                    keys = [(frame, *tile) for tile in whole.tiles]
                    yield from (page(whole, key, number) for number in range(at_once) for key in keys)
                    for key in keys:
                        whole.drop(key)
                left = left or height * width

        # A chain, since tifffile takes what it needs and then would close a generator.
        tiles: Iterator[NDArray[Any]] = chain(pieces())
        big = 1.4 * np.prod(plan.shape, dtype=float) * dtype.itemsize > BIG_ABOVE
        with tifffile.TiffWriter(beside, bigtiff=big, ome=True) as file:
            metadata = {"axes": axes} | _ome_words(plan, n_pages, meaning)
            # Not drawn: what is made again is the same to the byte, so that a layer's file is known by its hash.
            told = f"{meaning.description}{axes}{shape}{dtype}{meaning.channel_names}{meaning.pixel_size_um}"
            told += str(meaning.placement) if meaning.placement != Placement() else ""
            metadata["UUID"] = str(uuid5(NAMESPACE_OID, told))
            lying = _packed(tiles, (TILE, TILE, *samples), dtype) if tiled else tiles
            file.write(lying, shape=shape, subifds=len(smaller), metadata=metadata, **how)
            next(tiles, None)  # raises if there are more frames than needed
            for level in smaller:
                keys = (
                    ((frame, *tile), number)
                    for frame in range(plan.n_frames)
                    for number in range(at_once)
                    for tile in level.tiles
                )
                tiles = (page(level, *key) for key in keys)
                lying = _packed(tiles, (TILE, TILE, *samples), dtype)
                file.write(lying, shape=(n_pages, *level.size, *samples), subfiletype=1, metadata=None, **how)


def _pack(tile: NDArray[Any]) -> bytes:
    """As tifffile does."""
    return bytes(tifffile.TIFF.COMPRESSORS[tifffile.COMPRESSION.ADOBE_DEFLATE](tile))


def _packed(tiles: Iterator[NDArray[Any]], shape: tuple[int, ...], dtype: np.dtype[Any]) -> Iterator[bytes]:
    """Tiles as they lie in a file: padded to this shape and compressed; whole ones of one value once for all."""
    known = dict[bytes, bytes]()

    def packed(tile: NDArray[Any]) -> bytes:
        beyond = [(0, n - m) for n, m in zip(shape, tile.shape, strict=True)]
        of_one = not any(tile.strides[:2]) and not np.any(beyond)
        value = tile[0, 0].tobytes()
        if of_one and value in known:
            return known[value]
        found = _pack(np.pad(tile, beyond) if np.any(beyond) else np.ascontiguousarray(tile))
        if of_one:
            known[value] = found
        return found

    at_once = max(1, BUFFER // (math.prod(shape) * dtype.itemsize))
    with ThreadPoolExecutor(max(1, tifffile.TIFF.MAXWORKERS)) as pool:
        while some := list(islice(tiles, at_once)):
            yield from pool.map(packed, some)


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
