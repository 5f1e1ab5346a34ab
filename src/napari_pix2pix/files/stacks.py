"""One image file as a lazily read stack, and a result written as OME-TIFF."""

import hashlib
import logging
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from queue import Full, Queue
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray

from napari_pix2pix.core.atomic import written_beside
from napari_pix2pix.core.axes import KNOWN, AxesPlan, guess_axes

TIFF = (".ome.tiff", ".ome.tif", ".tiff", ".tif")
PICTURES = (".png", ".jpeg", ".jpg")
SUFFIXES = TIFF + PICTURES
MICROMETRES = {"µm": 1.0, "um": 1.0, "micron": 1.0, "\\u00B5m": 1.0, "nm": 1e-3, "mm": 1e3, "cm": 1e4, "inch": 25400.0}


@dataclass(frozen=True)
class LazyArray:
    """The pixels of a file; each slicing opens it, reads what is asked for, and closes it.

    Parameters
    ----------
    path
        The file.
    shape, dtype
        Of the whole.
    read
        Takes the path and an index, returns these pixels.
    """

    path: Path
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    read: Callable[[Path, Any], NDArray[Any]] = field(repr=False)

    @property
    def ndim(self) -> int:
        """The number of axes."""
        return len(self.shape)

    def __getitem__(self, index: Any) -> NDArray[Any]:
        try:
            return self.read(self.path, index)
        except (ValueError, RuntimeError, OSError, IndexError, KeyError) as error:  # whatever a decoder finds
            raise unreadable(self.path, error) from error

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        return np.asarray(self[...], dtype)


@dataclass(frozen=True)
class Stack:
    """A file with what it says of itself.

    Parameters
    ----------
    path
        The file.
    array
        Its pixels, read when sliced.
    axes
        One letter of `TZCYXS` per axis.
    pixel_size_um
        By axis letter, where the file says it.
    channel_names
        Where the file says them.
    """

    path: Path
    array: LazyArray
    axes: str
    pixel_size_um: dict[str, float] = field(default_factory=dict)
    channel_names: tuple[str, ...] = ()

    @property
    def plan(self) -> AxesPlan:
        """Where its frames are."""
        return AxesPlan(self.axes, self.array.shape)


def unreadable(path: Path, error: Exception) -> ValueError:
    """One sentence for a file that cannot be decoded."""
    detail = " ".join(str(error).split())[:120] or type(error).__name__
    return ValueError(f"An image must be a readable TIFF, PNG or JPEG; {path} is not ({detail}). Write it anew.")


def stem(path: Path) -> str:
    """The file's name without its extension; ``.ome.tif`` is one extension."""
    name = path.name
    return next((name[: -len(suffix)] for suffix in SUFFIXES if name.lower().endswith(suffix)), path.stem)


def sha256(path: Path) -> str:
    """The hash of the file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def open_stack(path: Path | str, axes: str | None = None) -> Stack:
    """The stack in the file `path`; nothing but its header is read.

    Parameters
    ----------
    path
        A TIFF (OME, ImageJ or plain), PNG or JPEG.
    axes
        Where the file does not say, or says it wrongly. None: as the file says, else guessed from the shape.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If it is no image, is damaged, or the axes do not fit.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"An image must be a file; there is none at {path}. Check the path.")
    if not path.name.lower().endswith(SUFFIXES):
        raise ValueError(f"An image must be a TIFF, PNG or JPEG; got {path}. Convert it first.")
    try:
        stack = _open_tiff(path) if path.name.lower().endswith(TIFF) else _open_picture(path)
    except (ValueError, RuntimeError, OSError, IndexError, KeyError, TypeError) as error:  # whatever a decoder finds
        raise unreadable(path, error) from error
    if axes is None:
        found = AxesPlan(stack.axes, stack.array.shape)
    else:
        try:
            found = AxesPlan(axes, stack.array.shape)
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from error
    return Stack(path, stack.array, found.axes, stack.pixel_size_um, stack.channel_names)


def _open_picture(path: Path) -> Stack:
    pixels = _read_picture(path, ...)
    return Stack(path, LazyArray(path, pixels.shape, pixels.dtype, _read_picture), "YXS"[: pixels.ndim])


def _read_picture(path: Path, index: Any) -> NDArray[Any]:
    import imagecodecs

    pixels: NDArray[Any] = imagecodecs.imread(path)
    if pixels.ndim == 3 and pixels.shape[2] in (2, 4):  # the last sample is opacity
        pixels = pixels[..., 0] if pixels.shape[2] == 2 else pixels[..., :3]
    return pixels[index]


def _open_tiff(path: Path) -> Stack:
    with tifffile.TiffFile(path) as file:
        with _logged_errors_raised():
            len(file.pages)  # finds every page
            series = file.series[0]
        size = path.stat().st_size
        if series.dataoffset is not None and series.dataoffset + series.nbytes > size:
            raise ValueError("the file is shorter than its header says")
        for page in series.pages:
            if page is not None and any(
                start + count > size for start, count in zip(page.dataoffsets, page.databytecounts, strict=True)
            ):
                raise ValueError("the file is shorter than its header says")
        axes = series.axes
        if set(axes) - set(KNOWN):  # Q and I are tifffile's letters for "not said"
            axes = _named(axes, series.shape)
        array = LazyArray(path, tuple(series.shape), np.dtype(series.dtype), _read_tiff)
        sizes, names = _ome_metadata(file) if file.is_ome else _resolution_metadata(file)
        return Stack(path, array, axes, sizes, names)


class _Raise(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        raise ValueError(record.getMessage())


@contextmanager
def _logged_errors_raised() -> Iterator[None]:
    """Where tifffile would log an error and go on with the pages that are left, raise it."""
    logger, handler = logging.getLogger("tifffile"), _Raise(logging.ERROR)
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)


def _read_tiff(path: Path, index: Any) -> NDArray[Any]:
    import zarr

    with tifffile.TiffFile(path) as file, file.series[0].aszarr(level=0) as store:
        return np.asarray(zarr.open_array(store, mode="r")[index])


def _named(axes: str, shape: tuple[int, ...]) -> str:
    """Axes in which each unknown letter before Y, X is one of T, Z, C that is free; else a guess from the shape."""
    free = iter(letter for letter in "TZC" if letter not in axes)
    named = "".join(letter if letter in KNOWN else next(free, "?") for letter in axes)
    return guess_axes(shape) if "?" in named or not {"Y", "X"} <= set(named) else named


def _ome_metadata(file: tifffile.TiffFile) -> tuple[dict[str, float], tuple[str, ...]]:
    described = tifffile.xml2dict(file.ome_metadata or "")["OME"]["Image"]
    pixels = (described[0] if isinstance(described, list) else described)["Pixels"]
    units = {axis: MICROMETRES.get(pixels.get(f"PhysicalSize{axis}Unit", "µm")) for axis in "XYZ"}
    sizes = {
        axis: float(pixels[f"PhysicalSize{axis}"]) * unit
        for axis, unit in units.items()
        if unit and f"PhysicalSize{axis}" in pixels
    }
    channels = pixels.get("Channel", [])
    channels = channels if isinstance(channels, list) else [channels]
    names = tuple(str(channel["Name"]) for channel in channels if "Name" in channel)
    return sizes, names if len(names) == len(channels) else ()


def _resolution_metadata(file: tifffile.TiffFile) -> tuple[dict[str, float], tuple[str, ...]]:
    """Pixel size from ImageJ's unit and the resolution tags; channel names from ImageJ's labels."""
    said = file.imagej_metadata or {}
    unit = MICROMETRES.get(str(said.get("unit", "")))
    sizes: dict[str, float] = {}
    if unit:
        for axis, name in (("X", "XResolution"), ("Y", "YResolution")):
            tag = file.pages[0].tags.get(name)  # type: ignore[union-attr]
            if tag is not None and tag.value[0]:
                sizes[axis] = tag.value[1] / tag.value[0] * unit
        if "spacing" in said:
            sizes["Z"] = float(said["spacing"]) * unit
    return sizes, ()


def standard(plan: AxesPlan) -> AxesPlan:
    """The same axes in the order in which files are written, T Z C Y X S."""
    axes = "".join(axis for axis in KNOWN if axis in plan.axes)
    return AxesPlan(axes, tuple(plan.length(axis) for axis in axes))


def write_stack(
    path: Path,
    plan: AxesPlan,
    dtype: Any,
    frames: Iterable[NDArray[Any]],
    *,
    pixel_size_um: dict[str, float] | None = None,
    channel_names: tuple[str, ...] = (),
    description: str = "",
) -> None:
    """Write `frames` (C, Y, X), one after another, as a compressed OME-TIFF; beside and renamed.

    Parameters
    ----------
    path
        Of the file.
    plan
        Axes and shape of the whole; written in the order T Z C Y X S.
    dtype
        Of the file; bool is written as uint8.
    frames
        `plan.n_frames` of them, T slowest, then Z; only one is held at a time.
    pixel_size_um
        By axis letter.
    channel_names
        One per channel.
    description
        Where it came from, kept in the OME metadata.

    Raises
    ------
    OSError
        If the folder cannot be written or the disk is full.
    """
    plan, dtype = standard(plan), np.dtype(np.uint8) if np.dtype(dtype) == bool else np.dtype(dtype)

    def pages() -> Iterator[NDArray[Any]]:
        for frame in frames:
            frame = np.asarray(frame).astype(dtype, copy=False)
            if "S" in plan.axes:
                samples = frame.reshape(plan.length("C"), plan.length("S"), *frame.shape[1:])
                yield from np.moveaxis(samples, 1, -1)
            else:
                yield from frame

    metadata: dict[str, Any] = {"axes": plan.axes}
    for axis, value in (pixel_size_um or {}).items():
        metadata |= {f"PhysicalSize{axis}": value, f"PhysicalSize{axis}Unit": "µm"}
    if channel_names and len(channel_names) == plan.length("C"):
        metadata["Channel"] = {"Name": list(channel_names)}
    if description:
        metadata["Description"] = description
    with written_beside(path) as beside:
        tifffile.imwrite(
            beside,
            pages(),
            shape=plan.shape,
            dtype=dtype,
            ome=True,
            photometric="rgb" if plan.length("S") == 3 else "minisblack",
            compression="zlib",
            metadata=metadata,
        )


class _Abandoned(Exception):
    """The frames end before their time: nothing is to be written."""


@contextmanager
def stack_writer(path: Path, plan: AxesPlan, dtype: Any, **named: Any) -> Iterator[Callable[[NDArray[Any]], None]]:
    """`write_stack` turned round: a function to pass each frame to, while another thread compresses and writes.

    If the block fails or is left early, there is no file.
    """
    queue: Queue[NDArray[Any] | type[_Abandoned] | None] = Queue(maxsize=2)

    def frames() -> Iterator[NDArray[Any]]:
        while (item := queue.get()) is not None:
            if item is _Abandoned:
                raise _Abandoned
            assert isinstance(item, np.ndarray)
            yield item

    with ThreadPoolExecutor(1, "writer") as pool:
        writing = pool.submit(write_stack, path, plan, dtype, frames(), **named)

        def put(item: NDArray[Any] | type[_Abandoned] | None) -> None:
            while not writing.done():
                try:
                    return queue.put(item, timeout=0.1)
                except Full:
                    continue
            writing.result()  # it has ended early: say why

        try:
            yield put
        except BaseException:
            if not writing.done():
                put(_Abandoned)
            raise
        put(None)
        writing.result()
