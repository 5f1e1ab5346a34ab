"""The pixels of a file, read when they are sliced, and what the file says of itself."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_pix2pix.core.engine.memory import is_out_of_memory
from napari_pix2pix.core.geometry.axes import AxesPlan
from napari_pix2pix.files.placement import Placement

SLIDES = (".svs", ".ndpi", ".mrxs", ".scn", ".bif", ".svslide", ".vms", ".vmu")
"""Endings of whole slides that OpenSlide opens; those in .tif are read like any TIFF."""
PERHAPS_SLIDES = (".dcm", ".czi")
"""Endings of what may be a slide, one of its many files, or something else: no images of a folder, but read by name."""
PREDICTED = " (predicted)"
"""How the name of a predicted channel ends."""


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
    strip
        So many rows are unpacked together, and in full width, whatever window is asked for; 0: only tiles under it are.
    """

    path: Path
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    read: Callable[[Path, Any], NDArray[Any]] = field(repr=False)
    strip: int = 0

    @property
    def ndim(self) -> int:
        """The number of axes."""
        return len(self.shape)

    def __getitem__(self, index: Any) -> NDArray[Any]:
        try:
            return self.read(self.path, index)
        except Exception as error:  # whatever a decoder finds
            raise unreadable(self.path, error) from error

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        return np.asarray(self[...], dtype)

    def half(self, axis: int, half: str) -> "LazyArray":
        """The ``"left"`` or ``"right"`` half of it, where `axis` is X.

        Raises
        ------
        ValueError
            If it cannot be halved.
        """
        if half not in ("left", "right"):
            raise ValueError(f"The half of an image must be left or right; got {half!r}.")
        width, odd = divmod(self.shape[axis], 2)
        if odd:
            raise ValueError(
                f"Two images side by side must be equally wide; {self.path} is {self.shape[axis]} px wide. "
                "Crop it to an even width."
            )
        columns = range(width) if half == "left" else range(width, 2 * width)

        read = partial(_read_columns, self.read, axis, columns, self.ndim)
        return replace(self, shape=(*self.shape[:axis], width, *self.shape[axis + 1 :]), read=read)


def full_index(index: Any, ndim: int) -> tuple[Any, ...]:
    """The same index with an entry for each of `ndim` axes."""
    index = index if isinstance(index, tuple) else (index,)
    at = index.index(Ellipsis) if Ellipsis in index else len(index)
    after = index[at + 1 :]
    return (*index[:at], *[slice(None)] * (ndim - at - len(after)), *after)


def _read_columns(
    read: Callable[[Path, Any], NDArray[Any]], axis: int, columns: range, ndim: int, path: Path, index: Any
) -> NDArray[Any]:
    """What `read` reads, `index` along `axis` counting in `columns`."""
    whole = list(full_index(index, ndim))
    chosen = columns[whole[axis]]
    whole[axis] = slice(chosen.start, chosen.stop, chosen.step) if isinstance(chosen, range) else chosen
    return read(path, tuple(whole))


@dataclass(frozen=True)
class Stack:
    """A file with what it says of itself.

    Parameters
    ----------
    path
        The file, or the directory of an OME-Zarr.
    array
        Its pixels, read when sliced.
    axes
        One letter of `TZCYXS` per axis.
    pixel_size_um
        By axis letter, where the file says it.
    placement
        Where it lies and how far its frames are apart, where the file says it.
    channel_names
        Where the file says them.
    description
        Where the file has one; of files that this package wrote, JSON that tells where they came from.
    half
        ``"left"`` or ``"right"`` where `array` is one half of each image in the file.
    parts
        Where its channels come from several files: a stack for each, the first one's path being its own.
    levels
        Where the file holds the same pixels at several sizes: all of them, full resolution, `array`, first.
    objective
        By which a slide was scanned, 20 or 40 say, where it says so.
    read_at_um
        The pixel size that it was asked for at; None: `array` is its full resolution.
    """

    path: Path
    array: "LazyArray | JoinedArray"
    axes: str
    pixel_size_um: dict[str, float] = field(default_factory=dict)
    channel_names: tuple[str, ...] = ()
    description: str = ""
    half: str | None = None
    parts: tuple["Stack", ...] = ()
    placement: Placement = field(default_factory=Placement)
    levels: tuple[LazyArray, ...] = field(default=(), repr=False)
    objective: float | None = None
    read_at_um: float | None = None

    @property
    def plan(self) -> AxesPlan:
        """Where its frames are."""
        return AxesPlan(self.axes, self.array.shape)

    @property
    def is_prediction(self) -> bool:
        """Whether a network made it: its description says so, or the name of a channel."""
        named = any(name.endswith(PREDICTED) for name in self.channel_names)
        return self._says("predicted") or named or any(part.is_prediction for part in self.parts)

    @property
    def is_generated(self) -> bool:
        """Whether it was made from nothing, as its description says."""
        return self._says("generated") or any(part.is_generated for part in self.parts)

    def _says(self, what: str) -> bool:
        try:
            said = json.loads(self.description)
        except ValueError:
            return False
        return isinstance(said, dict) and said.get(what) is True


@dataclass(frozen=True)
class JoinedArray:
    """The channels of several files, one after another, as one array; each slicing reads those it asks for.

    Parameters
    ----------
    parts
        Stacks of the same frames; the samples of RGB become channels.
    axes
        Of the whole: T and Z where a part has them, then C Y X.
    """

    parts: tuple[Stack, ...]
    axes: str

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the whole."""
        plan = self.parts[0].plan
        channels = sum(part.plan.n_channels for part in self.parts)
        return tuple(channels if axis == "C" else plan.length(axis) for axis in self.axes)

    @property
    def dtype(self) -> np.dtype[Any]:
        """One that holds the values of every part."""
        return np.result_type(*(part.array.dtype for part in self.parts))

    @property
    def ndim(self) -> int:
        """The number of axes."""
        return len(self.axes)

    def __getitem__(self, index: Any) -> NDArray[Any]:
        wanted = dict(zip(self.axes, full_index(index, self.ndim), strict=True))
        channels = wanted.pop("C")
        numbers = np.arange(self.shape[self.axes.index("C")])[channels]
        joined, first = np.empty(0, self.dtype), 0
        for part in self.parts:
            start, first = first, first + part.plan.n_channels
            asked = (numbers >= start) & (numbers < first)
            if not asked.any():  # the files of other channels are not opened
                continue
            values = _channels_first(part, wanted)
            if not joined.size:
                joined = np.empty((*np.shape(numbers), *values.shape[1:]), self.dtype)
            joined[asked] = values[numbers[asked] - start]
        before = [axis for axis in self.axes[: self.axes.index("C")] if isinstance(wanted[axis], slice)]
        return np.moveaxis(joined, 0, len(before)) if isinstance(channels, slice) else joined

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        return np.asarray(self[...], dtype)


def _channels_first(part: Stack, wanted: dict[str, Any]) -> NDArray[Any]:
    """What is `wanted` of the part, by axis letter: its channels and samples as one axis, then T, Z, Y, X if sliced."""
    sliced = [axis for axis, one in wanted.items() if isinstance(one, slice)]
    order = [axis for axis in ("C", "S", *sliced) if axis in part.axes]
    values = np.asarray(part.array[tuple(wanted.get(axis, slice(None)) for axis in part.axes)])
    left = [axis for axis in part.axes if axis in order]
    values = values.transpose([left.index(axis) for axis in order])
    lengths = [len(range(*wanted[axis].indices(part.plan.length(axis)))) for axis in sliced]
    return values.reshape(part.plan.n_channels, *lengths)


def is_slide(path: Path) -> bool:
    """Whether OpenSlide is to open the path, by its name."""
    return path.name.lower().endswith(SLIDES + PERHAPS_SLIDES)


def unreadable(path: Path, error: Exception) -> Exception:
    """One sentence for a file that cannot be read: a MemoryError, a PermissionError, else a ValueError."""
    detail = " ".join(str(error).split())[:160].rstrip(".") or type(error).__name__
    detail = f"it does not tell {detail}" if isinstance(error, KeyError) else detail
    if is_out_of_memory(error):
        return MemoryError(
            f"Memory must suffice to read {path}; it does not ({detail}). Free some of it, and try again."
        )
    if isinstance(error, PermissionError):
        return PermissionError(f"An image must be readable for you; {path} is not ({detail}). Change its permissions.")
    if is_slide(path):
        return ValueError(
            f"A slide must be one that OpenSlide reads, whole; {path} is not ({detail}). Copy it again from where it "
            "was scanned to, with the files beside it, or export it as a pyramidal TIFF."
        )
    return ValueError(
        f"An image must be a readable TIFF, PNG, JPEG or OME-Zarr; {path} is not ({detail}). Write it anew."
    )
