"""A layer as a file that the command line reads. Knows layers and files; no Qt, no networks."""

from collections.abc import Callable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from napari.layers import Labels, Layer, Shapes
from numpy.typing import NDArray

from napari_pix2pix.core.geometry.axes import WHOLE, AxesPlan, Window
from napari_pix2pix.files.stacks import Stack, is_image, open_stack, standard, write_stack

WRITTEN_AS = {"b": np.uint8, "i": np.int32, "u": np.uint32, "f": np.float32}
"""What OME-TIFF holds of each kind of number whose own size it does not know."""
KEPT = ("int8", "int16", "int32", "uint8", "uint16", "uint32", "float32", "float64")


SLIDE = "napari-pix2pix slide"
"""Key of the metadata of a slide's layer that holds its file: its pixels are that file's, and too many to compare."""


class Stopped(Exception):
    """The user has changed his mind."""


class LayerFile(NamedTuple):
    """A file with a layer's pixels.

    Parameters
    ----------
    path
        The layer's own file where that holds the same pixels, else one that was written.
    axes
        One letter of `TZCYXS` per axis of the file.
    """

    path: Path
    axes: str


def is_slide(layer: Layer) -> bool:
    """Whether the layer shows a slide that this plugin opened, whose file is there."""
    return Path(layer.metadata.get(SLIDE) or "").is_file()


def pixels(layer: Layer) -> Any:
    """The layer's data at full resolution: an array, perhaps a lazy one."""
    return layer.data[0] if layer.multiscale else layer.data


def layer_axes(layer: Layer) -> str:
    """One letter of `TZCYXS` per axis of the layer's data.

    Its axis labels where they are such letters, else what its file says where that has these axes, else guessed: napari
    keeps channels in layers of their own, so what stands before Y and X is Z, then T, then C.

    Raises
    ------
    ValueError
        If the layer has too many axes.
    """
    samples = "S" if getattr(layer, "rgb", False) else ""
    said = "".join(label.strip().upper() for label in layer.axis_labels)
    if len(said) == layer.ndim and {"Y", "X"} <= set(said) <= set("TZCYX") and len(set(said)) == len(said):
        return said + samples
    shape = tuple(pixels(layer).shape)
    if (told := _axes_of_file(layer.source.path)) and (told[1] == shape) and ("S" in told[0]) == bool(samples):
        return told[0]
    guesses = {2: "YX", 3: "ZYX", 4: "TZYX", 5: "TCZYX"}
    if layer.ndim not in guesses:
        raise ValueError(f"A layer must have 2 to 5 axes; {layer.name!r} has {layer.ndim}.")
    return guesses[layer.ndim] + samples


def _axes_of_file(path: str | None) -> tuple[str, tuple[int, ...]] | None:
    """Axes and shape of the image in this file; None where it is none."""
    file = Path(path or "")
    if not is_image(file):
        return None
    try:
        return _opened_axes(file, file.stat().st_mtime_ns)
    except (ValueError, OSError):
        return None


@lru_cache(maxsize=64)
def _opened_axes(file: Path, _changed: int) -> tuple[str, tuple[int, ...]]:
    stack = open_stack(file.resolve())
    return stack.axes, tuple(stack.array.shape)


def pixel_size_um(layer: Layer) -> dict[str, float]:
    """The layer's scale in micrometres by axis letter, where its units are lengths."""
    sizes = {}
    for axis, scale, unit in zip(layer_axes(layer), layer.scale, layer.units, strict=False):
        if axis in "ZYX" and unit.is_compatible_with("micrometer"):
            sizes[axis] = abs(float((float(scale) * unit).to("micrometer").magnitude))
    return sizes


def frame_axes(layer: Layer, planes: bool = True) -> list[int]:
    """Which axes of the layer hold more than one frame: T, and Z if `planes` are frames of their own."""
    letters, shape = layer_axes(layer), pixels(layer).shape
    return [i for i, axis in enumerate(letters) if axis in ("TZ" if planes else "T") and shape[i] > 1]


def file_of(
    layer: Layer,
    path: Path,
    stopped: Callable[[], bool] = lambda: False,
    window: Window = WHOLE,
    called: str | None = None,
) -> LayerFile:
    """The layer's own file where that holds the very same pixels, else `path`, to which it is written, frame by frame.

    Of a `window`, a slice for each axis of the data, only that is written. What its one channel is `called`, if that is
    given, its own file must not call otherwise; the default is the layer's name.

    Raises
    ------
    ValueError
        If the layer has too many axes or its numbers do not fit into a file.
    Stopped
        If `stopped` becomes true.
    """
    data = pixels(layer)[window] if window else pixels(layer)
    plan = AxesPlan(layer_axes(layer), tuple(data.shape))
    if is_slide(layer) and not window:
        return LayerFile(Path(layer.metadata[SLIDE]), plan.axes)
    own = None if window else _own_file(layer, plan)
    named_otherwise = own is not None and called and own.channel_names not in ((), (called,))
    if own is not None and not named_otherwise and _same(data, own, plan, stopped):
        return LayerFile(own.path, plan.axes)
    dtype = np.dtype(data.dtype)
    written = dtype if dtype.name in KEPT else np.dtype(WRITTEN_AS[dtype.kind])

    def frames() -> Iterator[NDArray[Any]]:
        for frame in _frames(data, plan, stopped):
            if written.kind in "iu" and frame.size and not _fits(frame, written):
                raise ValueError(
                    f"The numbers in a layer must fit into {written}; those of {layer.name!r} do not. "
                    "Relabel it, or rescale it."
                )
            yield frame

    write_stack(
        path,
        plan,
        written,
        frames(),
        pixel_size_um=pixel_size_um(layer),
        channel_names=(called or layer.name,) if plan.n_channels == 1 else (),
    )
    return LayerFile(path, open_stack(path).axes)  # axes of length 1 are left out


def known_file(layer: Labels | Shapes | None, target: Layer, path: Path) -> Path:
    """`path`, to which the region that the layer marks is written, 1 = known, on the pixels of `target`.

    A layer with fewer axes counts for every plane and time point; without a layer, all is known.

    Raises
    ------
    ValueError
        If the layer does not lie on the target's pixels.
    """
    axes = "".join(axis for axis in layer_axes(target) if axis not in "CS")
    shape = tuple(n for n, axis in zip(pixels(target).shape, layer_axes(target), strict=True) if axis in axes)
    plan = AxesPlan(axes, shape)
    mask = np.broadcast_to(True, shape) if layer is None else _marked(layer, target, shape)
    write_stack(path, plan, np.uint8, (plan.take(mask, i).astype(np.uint8) for i in range(plan.n_frames)))
    return path


def _marked(layer: Labels | Shapes, target: Layer, shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """Which of the target's pixels the layer marks."""
    ends = np.zeros(layer.ndim), np.ones(layer.ndim)
    placed, expected = (
        np.array([one.data_to_world(np.pad(end, (one.ndim - layer.ndim, 0)))[-layer.ndim :] for end in ends])
        for one in (layer, target)
    )
    marked = layer.to_labels(labels_shape=shape[-layer.ndim :]) if isinstance(layer, Shapes) else pixels(layer)
    if layer.ndim > len(shape) or marked.shape != shape[-layer.ndim :] or not np.allclose(placed, expected):
        raise ValueError(
            f"A known region must lie on the pixels of its target image, {' x '.join(map(str, shape))}; {layer.name!r} "
            "has another size, scale or place. Draw it on a layer made from that image."
        )
    return np.broadcast_to(np.asarray(marked) != 0, shape)


def _own_file(layer: Layer, plan: AxesPlan) -> Stack | None:
    """The file that the layer was opened from, if it still looks like it."""
    path = Path(layer.source.path or "")
    if not is_image(path):
        return None
    try:
        stack = open_stack(path.resolve(), plan.axes)
    except (ValueError, OSError):
        return None
    fits = stack.array.shape == plan.shape and stack.array.dtype == pixels(layer).dtype
    return stack if fits else None


def _same(data: Any, stack: Stack, plan: AxesPlan, stopped: Callable[[], bool]) -> bool:
    """Whether no pixel has been changed since the file was opened."""
    files = _frames(stack.array, plan, stopped)
    return all(np.array_equal(a, b) for a, b in zip(_frames(data, plan, stopped), files, strict=True))


def _frames(data: Any, plan: AxesPlan, stopped: Callable[[], bool]) -> Iterator[NDArray[Any]]:
    for frame in range(standard(plan).n_frames):
        if stopped():
            raise Stopped
        yield plan.take(data, frame)


def _fits(frame: NDArray[Any], dtype: np.dtype[Any]) -> bool:
    limits = np.iinfo(dtype)
    return bool(limits.min <= frame.min() and frame.max() <= limits.max)


def read_as(stack: Stack, axes: str) -> NDArray[Any]:
    """The pixels of the file with its axes as in `axes`; an axis of length 1 that the file left out is put back.

    Raises
    ------
    ValueError
        If the file has an axis that is not among `axes`.
    """
    if extra := set(stack.axes) - set(axes):
        raise ValueError(f"{stack.path} must have axes of {axes}; it has {''.join(sorted(extra))}, too.")
    return turned(stack.array[...], stack.axes, axes)


def turned(values: Any, has: str, axes: str) -> Any:
    """An array with the axes `has` in the order of `axes`; those that it lacks have length 1."""
    values = values.transpose([has.index(axis) for axis in axes if axis in has])
    return values[tuple(slice(None) if axis in has else None for axis in axes)]
