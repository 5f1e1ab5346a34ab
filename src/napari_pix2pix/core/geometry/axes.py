"""Any stack, in any order of its axes, as a row of frames (C, Y, X)."""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

KNOWN = "TZCYXS"
"""time, depth, channel, row, column, and the samples of an RGB pixel"""
Window = tuple[slice, ...]
WHOLE: Window = ()
"""The whole frame."""
ZMode = Literal["frame", "neighbours", "all", "volume"]
"""Planes one by one; each with its neighbours as channels; all as channels of one frame; all as one volume."""
NEIGHBOURS = 1
"""Planes on either side that `neighbours` adds; beyond the ends, the last plane is repeated."""


def middle(side: slice, length: int) -> slice:
    """At most `length` pixels in the middle of `side`."""
    spare = max(0, side.stop - side.start - length)
    return slice(side.start + spare // 2, side.stop - (spare + 1) // 2)


def guess_axes(shape: tuple[int, ...]) -> str:
    """The likely axes of an array whose file or layer does not say: YX, TYX, or YXS where 3 or 4 is last.

    Raises
    ------
    ValueError
        If the shape has fewer than 2 or more than 5 axes.
    """
    if not 2 <= len(shape) <= 5:
        raise ValueError(f"A stack must have 2 to 5 axes; got shape {shape}. Give one frame or one stack at a time.")
    if len(shape) >= 3 and shape[-1] in (3, 4) and shape[-2] > 4:
        return "TZC"[: len(shape) - 3] + "YXS"
    return {2: "YX", 3: "TYX", 4: "TCYX", 5: "TZCYX"}[len(shape)]


@dataclass(frozen=True)
class AxesPlan:
    """Where the frames of a stack are. Holds no pixels.

    Parameters
    ----------
    axes
        One letter of `TZCYXS` per axis of the stack; must hold Y and X.
    shape
        The shape of the stack, as many numbers as letters.
    channels
        The channels that `take` gives, by number; empty: all. For None, which the stack has not, it gives zeros.
    z
        How `take` gives the planes of a stack with Z.

    Raises
    ------
    ValueError
        If axes and shape do not fit, a letter is unknown or doubled, or there is no such channel.
    """

    axes: str
    shape: tuple[int, ...]
    channels: tuple[int | None, ...] = ()
    z: ZMode = "frame"

    def __post_init__(self) -> None:
        axes = self.axes.upper()
        object.__setattr__(self, "axes", axes)
        object.__setattr__(self, "shape", tuple(int(n) for n in self.shape))
        if len(axes) != len(self.shape):
            raise ValueError(
                f"axes must name each axis of the stack; got {axes!r} for shape {self.shape}. "
                f"Give {len(self.shape)} letters of {KNOWN}."
            )
        if set(axes) - set(KNOWN) or len(set(axes)) != len(axes) or not {"Y", "X"} <= set(axes):
            raise ValueError(f"axes must be letters of {KNOWN}, each once, with Y and X among them; got {axes!r}.")
        if 0 in self.shape:
            raise ValueError(f"A stack must hold at least one pixel; got shape {self.shape}.")
        if self.z != "frame" and "Z" not in axes:
            what = "volumes" if self.z == "volume" else "planes to take as channels"
            raise ValueError(
                f"A stack of {what} must have the axis Z; got {axes}. Give the axes (`source_axes`, `target_axes`), "
                "with Z for the planes."
            )
        beyond = [
            channel
            for channel in self.channels
            if channel is not None and not 0 <= channel < self.length("C") * self.length("S")
        ]
        if beyond:
            raise ValueError(
                f"channels must be numbers from 0 to {self.length('C') * self.length('S') - 1}; got {beyond[0]}."
            )

    @classmethod
    def of(cls, array: Any, axes: str | None = None) -> "AxesPlan":
        """The plan of `array` (anything with a `shape`), its axes guessed if None."""
        shape = tuple(array.shape)
        return cls(axes or guess_axes(shape), shape)

    def length(self, axis: str) -> int:
        """The number of pixels along `axis`; 1 for an axis that the stack lacks."""
        return self.shape[self.axes.index(axis)] if axis in self.axes else 1

    @property
    def taken(self) -> tuple[int, ...]:
        """The channels that are read, by number; empty: all."""
        return tuple(number for number in self.channels if number is not None)

    @property
    def n_frames(self) -> int:
        """T x Z; T where all planes are in one frame."""
        return self.length("T") * (1 if self.z in ("all", "volume") else self.length("Z"))

    @property
    def n_planes(self) -> int:
        """Planes that each frame holds as channels."""
        return {"neighbours": 2 * NEIGHBOURS + 1, "all": self.length("Z")}.get(self.z, 1)

    @property
    def n_channels(self) -> int:
        """C x S, or those chosen, for each plane: the samples of an RGB pixel are channels."""
        return self.n_planes * (len(self.channels) or self.length("C") * self.length("S"))

    @property
    def spatial(self) -> str:
        """The axes of a frame besides its channels: YX, or ZYX where it is a volume."""
        return "ZYX" if self.z == "volume" else "YX"

    @property
    def frame_shape(self) -> tuple[int, ...]:
        """(Y, X) of each frame, or (Z, Y, X)."""
        return tuple(self.length(axis) for axis in self.spatial)

    @property
    def channel_axis(self) -> str:
        """``"S"`` (RGB), ``"C"``, or ``""`` for a stack without channels."""
        return "S" if "S" in self.axes else "C" if "C" in self.axes else ""

    def rows(self, rows: slice) -> Window:
        """The window of a frame that holds these rows, whole."""
        return tuple(rows if axis == "Y" else slice(None) for axis in self.spatial)

    def window(self, rows: slice, columns: slice) -> Window:
        """The window of a frame that holds these rows and columns."""
        return tuple({"Y": rows, "X": columns}.get(axis, slice(None)) for axis in self.spatial)

    def _index(
        self, t: int, z: int, window: Window, channels: dict[str, slice] | None = None
    ) -> tuple[int | slice, ...]:
        sides = window or (slice(None),) * len(self.spatial)
        place: dict[str, int | slice] = {"T": t, "Z": z, **dict(zip(self.spatial, sides, strict=True))}
        place |= channels or {}
        return tuple(place.get(axis, slice(None)) for axis in self.axes)

    def _order(self) -> tuple[str, list[int]]:
        """The axes inside one frame, and the permutation that brings them to C, S, then the spatial ones."""
        kept = "".join(axis for axis in self.axes if axis in "CS" + self.spatial)
        return kept, [kept.index(axis) for axis in "CS" + self.spatial if axis in kept]

    def take(self, array: Any, frame: int, window: Window = WHOLE) -> NDArray[Any]:
        """Frame number `frame` (T slowest, then Z) of `array`, shape (C, [Z,] Y, X); only `window` of it is read.

        Where planes are channels, the channels of the first plane come first.
        """
        t, z = (frame, 0) if self.z in ("all", "volume") else divmod(frame, self.length("Z"))
        around = range(z - NEIGHBOURS, z + NEIGHBOURS + 1) if self.z == "neighbours" else range(z, z + self.n_planes)
        numbers = [min(max(0, z), self.length("Z") - 1) for z in around]
        first = self._plane(array, t, numbers[0], window)
        if len(numbers) == 1:
            return first
        n, planes = len(first), np.empty((len(numbers) * len(first), *first.shape[1:]), first.dtype)
        for i, z in enumerate(numbers):  # one by one, so that none is held twice
            known = numbers.index(z)
            read = first if i == 0 else self._plane(array, t, z, window) if known == i else None
            planes[i * n : (i + 1) * n] = planes[known * n : (known + 1) * n] if read is None else read
        return planes

    def _plane(self, array: Any, t: int, z: int, window: Window) -> NDArray[Any]:
        parts, chosen = self._reads()
        read = (np.asarray(array[self._index(t, z, window, part)]).transpose(self._order()[1]) for part in parts)
        found = [values.reshape(-1, *values.shape[-len(self.spatial) :]) for values in read]
        values = found[0] if len(found) == 1 else np.concatenate(found)
        values = values if chosen == list(range(len(values))) else values[chosen]
        if None not in self.channels:
            return values
        filled = np.zeros((len(self.channels), *values.shape[1:]), values.dtype)
        filled[[channel is not None for channel in self.channels]] = values
        return filled

    def _reads(self) -> tuple[list[dict[str, slice]], list[int]]:
        """What is read of the axes C and S, and which channels of that, one after another, are those to take.

        Of C, neighbours together and no others; of S, in which files hold each pixel's samples together, one piece.
        """
        n = self.length("S")
        numbers = self.taken or range(self.length("C") * n)
        channels, samples = (sorted({divmod(number, n)[i] for number in numbers}) for i in (0, 1))
        first, width = samples[0], samples[-1] + 1 - samples[0]
        starts = [channel for channel in channels if channel - 1 not in channels]
        stops = [channel + 1 for channel in channels if channel + 1 not in channels]
        parts = [
            {"C": slice(start, stop), "S": slice(first, first + width)}
            for start, stop in zip(starts, stops, strict=True)
        ]
        return parts, [channels.index(number // n) * width + number % n - first for number in numbers]

    def put(self, array: Any, frame: int, values: ArrayLike, window: Window = WHOLE) -> None:
        """Write `values` (C, [Z,] Y, X) where `take` reads them; planes are no channels here."""
        kept, order = self._order()
        values = np.asarray(values)
        lengths = [self.length(axis) for axis in "CS" if axis in kept]
        values = values.reshape(*lengths, *values.shape[-len(self.spatial) :])
        t, z = (frame, 0) if self.z == "volume" else divmod(frame, self.length("Z"))
        array[self._index(t, z, window)] = values.transpose(np.argsort(order))

    def like(self, n_channels: int, channel_axis: str, frame_shape: tuple[int, ...] | None = None) -> "AxesPlan":
        """The plan of a result for this stack: the same T, Z, Y, X in the same order, other channels.

        C stands where the stack has it, else before Y and X; S (RGB) stands last. Planes that were channels are gone.
        """
        sizes = {axis: self.length(axis) for axis in self.axes}
        sizes |= dict(zip(self.spatial, frame_shape or self.frame_shape, strict=True))
        axes = self.axes.replace("S", "").replace("Z", "" if self.z == "all" else "Z")
        if channel_axis == "S":
            axes = axes.replace("C", "") + "S"
        elif channel_axis == "C" and "C" not in axes:
            first = min(axes.index("Y"), axes.index("X"))
            axes = axes[:first] + "C" + axes[first:]
        elif not channel_axis:
            axes = axes.replace("C", "")
        sizes |= {channel_axis: n_channels} if channel_axis else {}
        return AxesPlan(axes, tuple(sizes[axis] for axis in axes), z="volume" if self.z == "volume" else "frame")
