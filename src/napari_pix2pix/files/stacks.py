"""One image file as a lazily read stack, and a stack written as OME-TIFF or OME-Zarr: the front door."""

import hashlib
import math
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from queue import Empty, Full, Queue
from threading import Event
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_pix2pix.core.geometry.axes import KNOWN, AxesPlan
from napari_pix2pix.files.placement import Placement
from napari_pix2pix.files.readers.lazy import PREDICTED, SLIDES, JoinedArray, LazyArray, Stack, is_slide, unreadable
from napari_pix2pix.files.readers.levels import at_pixel_size
from napari_pix2pix.files.readers.pictures import open_picture
from napari_pix2pix.files.readers.slides import MissingSlides, open_slide
from napari_pix2pix.files.readers.tiff import Disagreement, Part, open_tiff
from napari_pix2pix.files.writers.meaning import Meaning
from napari_pix2pix.files.writers.ome_tiff import write_tiff
from napari_pix2pix.files.writers.pyramids import Placed, are_labels

__all__ = [
    "PICTURES",
    "PREDICTED",
    "SLIDES",
    "SUFFIXES",
    "TIFF",
    "ZARR",
    "Block",
    "LazyArray",
    "Stack",
    "is_beside",
    "is_image",
    "is_slide",
    "is_zarr",
    "join_stacks",
    "open_stack",
    "place_of",
    "sha256",
    "stack_at",
    "stack_writer",
    "standard",
    "stem",
    "write_stack",
]

TIFF = (".ome.tiff", ".ome.tif", ".tiff", ".tif")
PICTURES = (".png", ".jpeg", ".jpg")
ZARR = (".ome.zarr", ".zarr")
SUFFIXES = TIFF + PICTURES + ZARR + SLIDES


LONGEST, LARGEST_FRAME, LARGEST = 2**31, 2**42, 2**56
"""Pixels along an axis, in a plane, and in all: a hundred times as many as the largest images that there are."""
BESIDE = ("maps", "spread", "valid", "expected_error", "rank", "error_bound", "untrusted")
"""Images that go beside a result, named by what they hold of it: ``a.tif`` has ``a.valid.tif``."""


def may_look_into(path: Path) -> bool:
    """Whether the path is no folder, or one that this user may read."""
    return not path.is_dir() or os.access(path, os.R_OK | os.X_OK)


def is_zarr(path: Path) -> bool:
    """Whether the path is a directory that zarr wrote, or that is named as one."""
    marks = ("zarr.json", ".zgroup", ".zarray", ".zattrs")
    return path.is_dir() and (path.name.lower().endswith(ZARR) or any((path / mark).is_file() for mark in marks))


def is_image(path: Path) -> bool:
    """Whether the path is an image by its name: a TIFF, PNG or JPEG file, a slide, or an OME-Zarr directory."""
    return is_zarr(path) or (path.name.lower().endswith(TIFF + PICTURES + SLIDES) and path.is_file())


def stem(path: Path) -> str:
    """The file's name without its extension; ``.ome.tif`` is one extension."""
    name = path.name
    return next((name[: -len(suffix)] for suffix in SUFFIXES if name.lower().endswith(suffix)), path.stem)


def is_beside(path: Path) -> bool:
    """Whether the image lies beside a result of which it holds something, see `BESIDE`."""
    name, _, what = stem(path).rpartition(".")
    return what in BESIDE and any(path.with_name(name + suffix).exists() for suffix in SUFFIXES)


def sha256(path: Path) -> str:
    """The hash of the file's bytes; of a directory, the hash of its files' names and hashes."""
    if path.is_dir():
        files = sorted(p for p in path.rglob("*") if p.is_file())
        lines = "".join(f"{sha256(p)} {p.relative_to(path).as_posix()}\n" for p in files)
        return hashlib.sha256(lines.encode()).hexdigest()
    if path.exists() and not path.is_file():
        raise FileNotFoundError(f"An image must be a file; {path} is a pipe or a device. Leave it out.")
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def open_stack(
    path: Path | str, axes: str | None = None, half: str | None = None, pixel_size_um: float | None = None
) -> Stack:
    """The stack in the file `path`; its header and at most one tile are read (of a PNG or JPEG, all).

    Parameters
    ----------
    path
        A TIFF (OME, ImageJ or plain), PNG, JPEG, a slide that OpenSlide reads, or the directory of an OME-Zarr.
    axes
        Where the file does not say, or says it wrongly. None: as the file says, else guessed from the shape.
    half
        ``"left"`` or ``"right"``: of two images side by side, this one. None: the whole.
    pixel_size_um
        To read it at, see `at_pixel_size`. None: at its full resolution.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If it is no image, is damaged, or the axes do not fit.
    """
    path = Path(path)
    if path.is_symlink() and not path.exists():
        raise FileNotFoundError(f"A link must lead to an image; {path} leads to {path.readlink()}. Mend or remove it.")
    if not may_look_into(path):
        raise PermissionError(f"A folder must be readable for you; {path} is not. Change its permissions.")
    if not path.is_file() and not is_zarr(path):
        why = f"{path} is neither" if path.exists() else f"there is none at {path}"  # a folder, a pipe, a socket
        raise FileNotFoundError(f"An image must be a file, or a .zarr folder; {why}. Check the path.")
    try:
        stack = _open(path, axes)
    except _NoImage:
        raise ValueError(f"An image must be a TIFF, PNG, JPEG or OME-Zarr; got {path}. Convert it first.") from None
    except Disagreement as error:
        raise ValueError(
            f"The OME-XML of {path} must agree with its pixels; {' '.join(str(error).split())[:160]}. "
            "Give the axes to read its pages as they are, or write it anew."
        ) from error
    except Part as error:
        raise ValueError(
            f"An OME-TIFF of several files must be read from its first, with all others beside it; {path} is not it, "
            f"or not complete ({error}). Give that one, or the axes of this file's own pages to read them alone."
        ) from error
    except MissingSlides:
        raise
    except Exception as error:  # whatever a decoder finds
        raise unreadable(path, error) from error
    try:
        found = AxesPlan(axes or stack.axes, stack.array.shape)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    array = stack.array
    if array.dtype.kind == "c":
        raise ValueError(
            f"Pixels must be real numbers; those of {path} are complex. "
            "Save their magnitude or phase, or both as channels, and use that."
        )
    if array.dtype.kind not in "biuf":
        raise ValueError(f"Pixels must be numbers; those of {path} are {array.dtype}. Save them as an image.")
    _require_sensible(path, found)
    if half is not None:
        assert isinstance(array, LazyArray)  # only files that are read are joined
        array = array.half(found.axes.index("X"), half)
    levels = stack.levels if half is None and found.axes == stack.axes else ()
    stack = replace(stack, array=array, axes=found.axes, half=half, levels=levels)
    return stack if pixel_size_um is None else at_pixel_size(stack, pixel_size_um)


def _require_sensible(path: Path, plan: AxesPlan) -> None:
    """Raise a ValueError if no image has this shape: it comes from a damaged header, or from someone who means harm."""
    lengths = [plan.length(axis) for axis in plan.axes]
    of_frame = plan.length("Y") * plan.length("X")
    if max(lengths) > LONGEST or of_frame > LARGEST_FRAME or math.prod(lengths) > LARGEST:
        raise ValueError(
            f"An image must have at most {LONGEST} pixels along an axis, {LARGEST_FRAME} in a plane and {LARGEST} in "
            f"all; {path} is said to be {' x '.join(map(str, lengths))} ({plan.axes}). Write it anew, or crop it."
        )


def join_stacks(parts: Sequence[Stack]) -> Stack:
    """The channels of several files of the same frames as one stack, read when they are sliced.

    Where only some files name their channels, the others' names are empty.

    Raises
    ------
    ValueError
        If the files do not show the same frames.
    """
    first, *others = parts
    if not others:
        return first
    for other in others:
        ours, theirs = ([stack.plan.length(axis) for axis in "TZYX"] for stack in (first, other))
        if ours != theirs:
            sizes = [f"{stack.path} {stack.array.shape} ({stack.axes})" for stack in (first, other)]
            raise ValueError(
                f"Files whose channels are joined must show the same frames; got {' and '.join(sizes)}. "
                "Crop or resample one of them, or give the axes if they were read wrongly."
            )
    axes = "".join(axis for axis in "TZ" if any(axis in part.axes for part in parts)) + "CYX"
    names: tuple[str, ...] = ()
    for part in parts:
        count = part.plan.n_channels
        names += part.channel_names if len(part.channel_names) == count else ("",) * count
    names = names if any(names) else ()
    return replace(first, array=JoinedArray(tuple(parts), axes), axes=axes, channel_names=names, parts=tuple(parts))


def stack_at(stack: Stack, pixel_size_um: float, *, exactly: bool = False) -> Stack:
    """The stack, or each of those whose channels it joins, `at_pixel_size`."""
    return join_stacks([at_pixel_size(part, pixel_size_um, exactly=exactly) for part in stack.parts or (stack,)])


class _NoImage(Exception):
    """Neither the name nor the content is one of an image."""


def _open(path: Path, axes: str | None) -> Stack:
    name = path.name.lower()
    if path.is_dir():
        from napari_pix2pix.files.readers.zarr_stacks import open_zarr

        return open_zarr(path)
    if name.endswith(PICTURES):
        return open_picture(path)
    if is_slide(path):
        return open_slide(path)
    if not name.endswith(TIFF):
        raise _NoImage
    try:
        return open_tiff(path)
    except (Disagreement, Part) as error:
        if axes is None:
            raise
        alone = open_tiff(path, plain=True)
        if isinstance(error, Part) and len(axes) != len(alone.axes):
            raise  # the axes are those of the whole
        return alone


def standard(plan: AxesPlan) -> AxesPlan:
    """The same axes in the order in which files are written, T Z C Y X S."""
    axes = "".join(axis for axis in KNOWN if axis in plan.axes)
    return AxesPlan(axes, tuple(plan.length(axis) for axis in axes))


def place_of(plan: AxesPlan, frame: int) -> dict[str, int]:
    """Where this frame is in the stack, by axis, ``{"t": 3, "z": 0}``: in files, the axes that number frames."""
    numbering = [axis for axis in standard(plan).axes if axis not in plan.spatial + "CS"]
    at = np.unravel_index(frame, [plan.length(axis) for axis in numbering]) if numbering else ()
    return {axis.lower(): int(i) for axis, i in zip(numbering, at, strict=True)}


def write_stack(
    path: Path,
    plan: AxesPlan,
    dtype: Any,
    frames: "Iterable[NDArray[Any] | Block]",
    *,
    pixel_size_um: dict[str, float] | None = None,
    placement: Placement = Placement(),  # noqa: B008 - frozen
    channel_names: tuple[str, ...] = (),
    description: str = "",
    labels: bool | None = None,
    may_end: bool = False,
) -> None:
    """Write `frames` (C, [Z,] Y, X), one after another, or their blocks, as OME-TIFF or OME-Zarr 0.5.

    Beside and renamed.

    A TIFF is compressed, tiled where it is larger than a tile, with a pyramid where a frame has more than 4096 x 4096
    pixels. An OME-Zarr is compressed, in chunks, with a pyramid.

    Parameters
    ----------
    path
        Of the file; ``.zarr`` means OME-Zarr, else it is a TIFF.
    plan
        Axes and shape of the whole; written in the order T Z C Y X S in a TIFF, T C Z Y X in an OME-Zarr, where the
        samples S of RGB become channels. A TIFF leaves out axes of length 1.
    dtype
        Of the file; in a TIFF, bool is written as uint8 and float16 as float32.
    frames
        `plan.n_frames` of them, T slowest, then Z; or, from the first row of each to the last, some rows at a time
        (C, [Z,] rows, X); or blocks (C, [Z,] rows, columns), each as a `Block`. They wait in a temporary file, but for
        a few MB, for their tile to be whole.
    pixel_size_um
        By axis letter.
    placement
        Where it lies and how far its frames are apart; a TIFF holds no origin of T, nor a time step without a unit.
    channel_names
        One per channel.
    description
        Where it came from.
    labels
        Whether pixels are labels, which a pyramid must not average. None: integers of more than 16 bits are.
    may_end
        Of an OME-Zarr: whether frames may end before their time, so that it holds the whole ones along T, else Z.

    Raises
    ------
    ValueError
        If the frames do not fit the plan, or the format has no such dtype.
    FileExistsError
        If a folder that is no OME-Zarr is in the way.
    OSError
        If the folder cannot be written or the disk is full.
    """
    path, plan, dtype = Path(path), replace(standard(plan), z=plan.z), np.dtype(dtype)
    if not path.name.lower().endswith(TIFF + ZARR):
        raise ValueError(f"An output must end in .tif, .ome.tif or .zarr; got {path}. Choose another name.")
    if path.is_dir() and not is_zarr(path):
        raise FileExistsError(f"An output must not replace a folder of other files; {path} is one. Choose another.")
    write = write_tiff
    if path.name.lower().endswith(ZARR):
        from napari_pix2pix.files.readers.zarr_stacks import write_zarr as write
    blocks = _placed(frames, plan, may_end and write is not write_tiff)
    meaning = Meaning(pixel_size_um or {}, placement, channel_names, description, are_labels(dtype, labels))
    write(path, plan, dtype, blocks, meaning)


@dataclass(frozen=True)
class Block:
    """Pixels (C, [Z,] rows, columns) of a frame, and the row and column of their first."""

    values: NDArray[Any]
    row: int
    column: int


def _placed(blocks: Iterable[NDArray[Any] | Block], plan: AxesPlan, may_end: bool) -> Iterator[Placed]:
    """The blocks with their places, as many (unless they `may_end` early) and as large as the plan says."""
    expected = (plan.n_channels, *plan.frame_shape)
    pixels, frame, done = math.prod(expected[-2:]), 0, 0
    for given in blocks:
        block = given if isinstance(given, Block) else Block(np.asarray(given), done // expected[-1], 0)
        *before, rows, columns = block.values.shape
        inside = block.row + rows <= expected[-2] and block.column + columns <= expected[-1]
        inside = inside and (given is block or columns == expected[-1])
        done += rows * columns
        if tuple(before) != expected[:-2] or not inside or done > pixels or frame == plan.n_frames:
            raise ValueError(
                f"There must be {plan.n_frames} frames {expected} to write; got number {frame + 1}, "
                f"{block.values.shape}."
            )
        yield frame, block.row, block.column, block.values
        if done == pixels:
            frame, done = frame + 1, 0
    if frame < plan.n_frames and not may_end:
        raise ValueError(f"There must be {plan.n_frames} frames {expected} to write; got {frame}.")


class _Abandoned(Exception):
    """The frames end before their time: nothing is to be written."""


_NOTHING: NDArray[Any] = np.empty(0)
"""What has come while nothing has."""


@contextmanager
def stack_writer(
    path: Path, plan: AxesPlan, dtype: Any, *, keep_frames: bool = False, **named: Any
) -> Iterator[Callable[[NDArray[Any] | Block], None]]:
    """`write_stack` turned round: a function to pass each frame, or its rows or blocks, to.

    Another thread compresses and writes.

    If the block fails or is left early, there is no file; with `keep_frames`, if it is stopped, an OME-Zarr holds the
    frames that are done.
    """
    queue: Queue[NDArray[Any] | Block | None] = Queue(maxsize=2)
    abandoned = Event()

    def frames() -> Iterator[NDArray[Any] | Block]:
        while True:
            try:
                item = queue.get(timeout=0.1)
            except Empty:
                item = _NOTHING
            if abandoned.is_set():
                raise _Abandoned
            if item is None:
                return
            if item is not _NOTHING:
                yield item

    with ThreadPoolExecutor(1, "writer") as pool:
        writing: Future[None] | None = None

        def put(item: NDArray[Any] | Block | None) -> None:
            while writing is not None and not writing.done():
                try:
                    return queue.put(item, timeout=0.1)
                except Full:
                    continue
            if writing is not None:
                writing.result()  # it has ended early: say why

        try:  # whenever it is interrupted, the writer ends, too
            writing = pool.submit(write_stack, path, plan, dtype, frames(), may_end=keep_frames, **named)
            yield put
            put(None)
            writing.result()
        except BaseException as error:
            if keep_frames and isinstance(error, GeneratorExit | KeyboardInterrupt):
                put(None)
            else:
                abandoned.set()
            raise
