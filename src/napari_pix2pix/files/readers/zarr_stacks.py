"""OME-Zarr directories <-> stacks: 0.4 and 0.5 are read, 0.5 is written."""

import math
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any
from warnings import warn

import numpy as np
import zarr
from numpy.typing import NDArray

from napari_pix2pix.core.engine.atomic import directory_beside
from napari_pix2pix.core.geometry.axes import KNOWN, AxesPlan, guess_axes
from napari_pix2pix.files.placement import Placement, measure
from napari_pix2pix.files.readers.lazy import LazyArray, Stack
from napari_pix2pix.files.readers.pictures import OPACITY
from napari_pix2pix.files.readers.turned import without_last
from napari_pix2pix.files.readers.zarr_chunks import open_checked
from napari_pix2pix.files.writers.meaning import Meaning
from napari_pix2pix.files.writers.pyramids import TILE, Placed, halved, level_shapes
from napari_pix2pix.files.writers.waiting import WaitingTiles

ORDER = "TCZYX"
"""The order that OME-Zarr prescribes."""
MARKS = ("zarr.json", ".zgroup", ".zarray", ".zattrs")
"""Files that hold metadata."""
COLOURS = ("FFFFFF", "00FF00", "FF00FF", "00FFFF", "FFFF00", "FF0000", "0000FF")


# Reading


def open_zarr(path: Path) -> Stack:
    """The stack in an OME-Zarr directory, at full resolution; only its metadata is read.

    Raises
    ------
    ValueError
        If it is no OME-Zarr image; other exceptions are those of zarr.
    """
    if any((path / mark).exists() and not (path / mark).is_file() for mark in MARKS):
        raise ValueError("its metadata are no file")  # to open a pipe would wait for ever
    try:
        node = zarr.open(path, mode="r")
    except FileNotFoundError as error:
        raise ValueError("it holds no metadata of zarr") from error
    if isinstance(node, zarr.Array):
        names = getattr(node.metadata, "dimension_names", None) or ()  # only zarr 3 has them
        axes = "".join(str(name).upper() for name in names)
        return Stack(path, _lazy(path, "", node), axes if set(axes) <= set(KNOWN) and axes else guess_axes(node.shape))
    inside, said = "", _ome(node)
    if "multiscales" not in said and "bioformats2raw.layout" in said:  # a collection: its first image
        inside = "0/"
        said = _ome(node["0"])
    if not said.get("multiscales"):
        plate = " (it is a plate: give the path of one field, like PLATE.zarr/A/1/0)" if "plate" in said else ""
        raise ValueError(f"there is no multiscale image in it{plate}")
    image = said["multiscales"][0]
    level = image["datasets"][0]
    key = inside + str(level["path"])
    array = node[key]
    if not isinstance(array, zarr.Array):
        raise ValueError(f"{key} in it is no array")
    # Versions before 0.4 name the axes without a type, or not at all: then they are TCZYX.
    given = [axis if isinstance(axis, dict) else {"name": axis} for axis in image.get("axes", ORDER[-array.ndim :])]
    axes = "".join(str(axis["name"]).upper() for axis in given)
    if len(axes) != array.ndim:
        raise ValueError(f"its metadata names the axes {axes}, its pixels have {array.ndim}")
    sizes, placement = _placed(axes, [axis.get("unit") for axis in given], [level, image])
    channels = said.get("omero", {}).get("channels", [])
    labels = tuple(str(channel["label"]) for channel in channels if "label" in channel)
    n_channels = array.shape[axes.index("C")] if "C" in axes else 1
    description = str(image.get("metadata", {}).get("description", ""))
    labels = labels if len(labels) == n_channels else ()
    pixels = _lazy(path, key, array)
    if n_channels in (2, 4) and labels and labels[-1].lower() in ("alpha", "opacity"):
        warn(OPACITY, stacklevel=4)
        pixels, axes = without_last(pixels, axes, "C")
        labels = labels[:-1]
    return Stack(path, pixels, axes, sizes, labels, description, placement=placement)


def _placed(
    axes: str, units: Sequence[str | None], transformed: Sequence[dict[str, Any]]
) -> tuple[dict[str, float], Placement]:
    """Pixel size and placement by the transformations of the level, then of the image."""
    scale, origin = np.ones(len(axes)), np.zeros(len(axes))
    said = set()
    for step in (step for held in transformed for step in held.get("coordinateTransformations", [])):
        if step["type"] == "scale" and "scale" in step:
            scale, origin = scale * step["scale"], origin * step["scale"]
        elif step["type"] == "translation" and "translation" in step:
            origin = origin + step["translation"]
        said.add(step["type"])
    steps, origins = (
        {
            axis: measure(axis, float(n), unit)
            for axis, n, unit in zip(axes, numbers, units, strict=True)
            if axis in "TZYX"
        }
        for numbers in (scale, origin)
    )
    # A scale of 1 without a unit is what writers put where they know nothing.
    steps = {axis: step for axis, step in steps.items() if step != (1.0, "")}
    return Placement.of(steps if "scale" in said else {}, origins if "translation" in said else {})


def open_levels(path: Path) -> list[LazyArray]:
    """The whole pyramid of an OME-Zarr that `write_zarr` wrote, full resolution first; only its metadata is read."""
    group = zarr.open_group(path, mode="r")
    keys = [str(level["path"]) for level in _ome(group)["multiscales"][0]["datasets"]]
    return [_lazy(path, key, group[key]) for key in keys]  # type: ignore[arg-type]


def _ome(node: Any) -> dict[str, Any]:
    """OME's attributes: 0.5 keeps them under one key."""
    return dict(node.attrs.get("ome", node.attrs))


def _lazy(path: Path, key: str, array: zarr.Array) -> LazyArray:
    wide = array.ndim > 1 and array.shape[-1] > TILE and array.chunks[-1] == array.shape[-1]
    return LazyArray(
        path, tuple(array.shape), np.dtype(array.dtype), partial(_read, key), array.chunks[-2] if wide else 0
    )


def _read(key: str, path: Path, index: Any) -> NDArray[Any]:
    return np.asarray(open_checked(path / key)[index])


# Writing


def write_zarr(path: Path, plan: AxesPlan, dtype: np.dtype[Any], blocks: Iterable[Placed], meaning: Meaning) -> None:
    """Write frames, block by block, as an OME-Zarr 0.5: in chunks, with a pyramid. The samples of RGB become channels.

    Where the blocks end before their time, it holds the frames that are whole, counted along T, or Z where T is 1.

    Raises
    ------
    ValueError
        If they end before one is.
    OSError
        If the folder cannot be written or the disk is full.
    """
    lengths = {axis: plan.length(axis) for axis in plan.axes}
    if "S" in lengths:
        lengths = lengths | {"C": plan.n_channels}
    axes = "".join(axis for axis in ORDER if axis in lengths)
    height, width = plan.frame_shape[-2:]
    shapes = [(height, width), *level_shapes((height, width))]
    levels = [AxesPlan(axes, tuple((lengths | {"Y": y, "X": x})[axis] for axis in axes), z=plan.z) for y, x in shapes]
    low, high = np.full(plan.n_channels, np.inf), np.full(plan.n_channels, -np.inf)
    with ExitStack() as files, _directory_beside(path) as beside:
        root = zarr.create_group(beside, zarr_format=3)
        arrays = [
            root.create_array(
                str(i),
                shape=level.shape,
                dtype=dtype,
                chunks=tuple(min(n, TILE) if axis in "YX" else 1 for axis, n in zip(axes, level.shape, strict=True)),
                dimension_names=tuple(axes.lower()),
            )
            for i, level in enumerate(levels)
        ]
        n_planes = plan.n_channels * math.prod(plan.frame_shape[:-2])
        waiting = [files.enter_context(WaitingTiles(path.parent, n_planes, size, dtype, TILE)) for size in shapes]

        def add(level: int, frame: int, row: int, column: int, block: NDArray[Any]) -> None:
            """Write the chunks that are whole with this block, then those of the level below."""
            tiles, before = waiting[level], block.shape[:-2]
            for key in tiles.put(frame, row, column, block.reshape(-1, *block.shape[-2:])):
                y, x = tiles.window(key)
                found = tiles.read(key)
                found = found.reshape(*before, *found.shape[-2:])
                tiles.drop(key)
                levels[level].put(arrays[level], frame, found, plan.window(y, x))
                if level + 1 < len(levels):
                    add(level + 1, frame, y.start // 2, x.start // 2, halved(found, meaning.labels))

        done, left = 0, height * width
        for frame, row, column, block in blocks:
            block = block.astype(dtype, copy=False)
            finite = np.where(np.isfinite(block), block, 0) if dtype.kind == "f" else block
            ends = [finite.reshape(len(finite), -1).min(axis=1), finite.reshape(len(finite), -1).max(axis=1)]
            low, high = np.minimum(low, ends[0]), np.maximum(high, ends[1])
            add(0, frame, row, column, block)
            left -= block.shape[-2] * block.shape[-1]
            if not left:
                done, left = frame + 1, height * width
        if done < plan.n_frames:
            _shorten(arrays, axes, plan, done)
        names = meaning.channel_names
        root.attrs["ome"] = {
            "version": "0.5",
            "multiscales": [_multiscale(axes, len(levels), path.name, meaning)],
            **({"omero": _omero(names, low, high)} if len(names) == plan.n_channels else {}),
        }


def _shorten(arrays: Sequence[zarr.Array], axes: str, plan: AxesPlan, done: int) -> None:
    """Leave only the first `done` frames, as many as are whole along T, or along Z where T is 1."""
    along = "T" if plan.length("T") > 1 else "Z"
    kept = done * plan.length(along) // plan.n_frames
    if kept == 0:
        raise ValueError("There must be a whole frame to keep; none is done.")
    for array in arrays:
        array.resize(tuple(kept if axis == along else n for axis, n in zip(axes, array.shape, strict=True)))


def _multiscale(axes: str, n_levels: int, name: str, meaning: Meaning) -> dict[str, Any]:
    kinds = {"T": "time", "C": "channel"}
    named = {"µm": {"unit": "micrometer"}, "s": {"unit": "second"}}
    labels, steps = meaning.labels, meaning.steps
    # An origin whose unit is not that of its axis cannot be said here.
    origins = {
        axis: at for axis, (at, unit) in meaning.placement.origin.items() if unit == steps.get(axis, (1.0, ""))[1]
    }

    def transformations(level: int) -> list[dict[str, Any]]:
        apart = [steps.get(axis, (1.0, ""))[0] for axis in axes]
        larger = [2**level if axis in "YX" else 1 for axis in axes]
        said: list[dict[str, Any]] = [
            {"type": "scale", "scale": [step * n for step, n in zip(apart, larger, strict=True)]}
        ]
        # The centre of the first mean lies between pixels.
        within = [0.0 if labels else step * (n - 1) / 2 for step, n in zip(apart, larger, strict=True)]
        start = [origins.get(axis, 0.0) + centre for axis, centre in zip(axes, within, strict=True)]
        return [*said, {"type": "translation", "translation": start}] if origins or any(start) else said

    return {
        "name": name,
        "type": "nearest" if labels else "mean",
        "metadata": {"description": meaning.description},
        "axes": [
            {"name": a.lower(), "type": kinds.get(a, "space"), **named.get(steps.get(a, (1.0, ""))[1], {})}
            for a in axes
        ],
        "datasets": [
            {"path": str(level), "coordinateTransformations": transformations(level)} for level in range(n_levels)
        ],
    }


def _omero(names: tuple[str, ...], low: NDArray[Any], high: NDArray[Any]) -> dict[str, Any]:
    """What viewers need to show the channels: names, colours, and the range of each."""
    channels = []
    for i, name in enumerate(names):
        start, end = float(low[i]), float(max(high[i], low[i] + 1))
        window = {"min": start, "start": start, "max": end, "end": end}
        channels.append({"label": name, "color": COLOURS[i % len(COLOURS)], "window": window, "active": True})
    return {"channels": channels}


@contextmanager
def _directory_beside(path: Path) -> Iterator[Path]:
    """A directory beside `path` to write to; takes its place if the block succeeds, is removed if it fails."""
    with directory_beside(path) as folder:
        beside, old = folder / f"new-{path.name}", folder / f"old-{path.name}"
        yield beside
        # A folder cannot replace another in one go: between these lines there is neither.
        if path.exists():
            path.rename(old)
        try:
            beside.rename(path)
        except OSError:
            if old.exists():
                old.rename(path)
            raise
