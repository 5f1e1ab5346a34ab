"""Results as layers that lie exactly where they belong: predictions over their source, patch scores on their fields."""

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import dask.array as da
import numpy as np
from napari.layers import Image, Labels, Layer
from napari.utils.colormaps import DirectLabelColormap
from numpy.typing import ArrayLike, NDArray

from napari_pix2pix.core.geometry.axes import WHOLE, AxesPlan, Window
from napari_pix2pix.files.stacks import Stack, is_zarr, open_stack
from napari_pix2pix.widgets.card import Card
from napari_pix2pix.widgets.layers import layer_axes, pixel_size_um, pixels, turned

DIFFERENCE_COLORMAP = "PiYG"
DIFFERENCE_COLOURS = {None: "transparent", 1: "#d98200", 2: "#3b8bd0", 3: "#b06fd0"}
"""Of what is only in the target, only in the prediction, and of another class."""
MADE_HERE = "napari-pix2pix"
"""Key of a layer's metadata that says what it is and of which layer."""


LAZY_BYTES = 2**28
"""Results that are larger are not read into memory but opened where they lie."""
LAZY_CHUNK = 1024
"""Side of what is read of these at once, px."""


def placement(layer: Layer, keep: Sequence[int] | None = None, window: Window = WHOLE) -> dict[str, Any]:
    """Arguments that put a new layer exactly over `layer`: its transform, units and axis labels.

    Parameters
    ----------
    layer
        The layer to lie over.
    keep
        Which of its axes the new one has; None: all of them.
    window
        The part of its data over which the new one lies, a slice for each axis; empty: all.
    """
    axes = list(range(layer.ndim)) if keep is None else list(keep)
    extended = [*axes, layer.ndim]
    shear = np.eye(layer.ndim)
    shear[np.triu_indices(layer.ndim, 1)] = layer.shear
    first = np.array([part.start or 0 for part in window[: layer.ndim]] if window else [0] * layer.ndim)
    return {
        "scale": np.asarray(layer.scale)[axes],
        "translate": (linear(layer) @ first + layer.translate)[axes],
        "rotate": np.asarray(layer.rotate)[np.ix_(axes, axes)],
        "shear": shear[np.ix_(axes, axes)][np.triu_indices(len(axes), 1)],
        "affine": np.asarray(layer.affine.affine_matrix)[np.ix_(extended, extended)],
        "units": tuple(layer.units[axis] for axis in axes),
        "axis_labels": tuple(layer.axis_labels[axis] for axis in axes),
    }


def scores_placement(
    layer: Layer, scale: ArrayLike, translate: ArrayLike, keep: Sequence[int] | None = None
) -> dict[str, Any]:
    """Arguments that put patch scores of `layer` on the centres of their fields.

    Parameters
    ----------
    layer
        The layer that was scored.
    scale, translate
        Pixels between scores and the pixel of the first one, ([z,] y, x), pixel centres at integers.
    keep
        Which of the layer's axes the scores have; None: all of them.

    Notes
    -----
    With data -> physical ``R·H·S·p + t`` (rotate, shear, scale, translate), score j on pixel ``s·j + c`` belongs at
    ``R·H·S·(s·j + c) + t``: that is scale ``S·s`` and translate ``R·H·S·c + t``. ``affine`` comes after both.
    """
    kept = placement(layer, keep)
    letters = [axis for i, axis in enumerate(layer_axes(layer)[: layer.ndim]) if keep is None or i in keep]
    stride, centre = np.ones(len(letters)), np.zeros(len(letters))
    for axis, between, first in zip("ZYX"[-np.size(scale) :], np.asarray(scale), np.asarray(translate), strict=True):
        stride[letters.index(axis)], centre[letters.index(axis)] = between, first
    shear = np.eye(len(letters))
    shear[np.triu_indices(len(letters), 1)] = kept["shear"]
    matrix = kept["rotate"] @ shear @ np.diag(kept["scale"])
    return {**kept, "scale": kept["scale"] * stride, "translate": matrix @ centre + kept["translate"]}


def linear(layer: Layer) -> NDArray[np.float64]:
    """R·H·S of the layer: data to physical, without translate and affine."""
    shear = np.eye(layer.ndim)
    shear[np.triu_indices(layer.ndim, 1)] = layer.shear
    return np.asarray(layer.rotate @ shear @ np.diag(layer.scale))


def prediction_layers(source: Layer, path: Path, card: Card, window: Window = WHOLE) -> list[Layer]:
    """The prediction in the file `path` as layers over `source`: one, or one for each channel.

    A large OME-Zarr is opened lazily, with its pyramid. Contrast limits are those of the training's targets.

    Parameters
    ----------
    source
        The layer that was predicted from.
    path
        The result; where it was stopped, it may hold fewer frames than `window`.
    card
        Of the model.
    window
        The part of the layer's data that was predicted; empty: all.
    """
    stack = open_stack(path)
    if card.channel_axis == "S":  # OME-Zarr knows no colours
        stack = replace(stack, axes=stack.axes.replace("C", "S"))
    axes = axes_of_result(source, stack)
    levels = [turned(level, stack.axes, axes) for level in levels_of(stack)]
    place: dict[str, Any] = placement(source, kept_axes(source, axes), window)
    place["metadata"] = {MADE_HERE: {"is": "prediction", "source": source.name}}
    name = f"{source.name} (predicted{_how_much(source, levels[0].shape, axes, window)})"

    def data(levels: list[Any]) -> dict[str, Any]:
        return {"data": levels if len(levels) > 1 else levels[0], "multiscale": len(levels) > 1}

    if card.encoding.is_labels:
        return [Labels(**data(levels), name=name, **place)]
    if "S" in axes:
        return [Image(**data(levels), name=name, rgb=True, **place)]
    known = card.encoding.normalization
    limits = list(zip(known.low, known.high, strict=True)) if known else []
    if "C" not in axes:
        return [Image(**data(levels), name=name, contrast_limits=limits[0] if limits else None, **place)]
    at, count = axes.index("C"), levels[0].shape[axes.index("C")]
    names = stack.channel_names
    if len(set(names)) != count:
        names = tuple(f"channel {i} (predicted)" for i in range(count))
    shared = place.pop("metadata")[MADE_HERE]
    return [
        Image(
            **data([level[(slice(None),) * at + (i,)] for level in levels]),
            metadata={MADE_HERE: shared | {"channel": i, "of": count}},
            name=f"{source.name}: {names[i]}",
            blending="additive",
            contrast_limits=limits[i] if limits else None,
            **place,
        )
        for i in range(count)
    ]


def colours_of(target: Layer, classes: Sequence[int]) -> Any:
    """A colour map for predicted labels that shows each class as `target` does; the lowest is transparent."""
    if isinstance(target, Labels):
        return target.colormap
    low, high = target.contrast_limits
    shares = np.clip((np.array(classes, float) - low) / ((high - low) or 1.0), 0, 1)
    colours = {int(value): colour for value, colour in zip(classes, target.colormap.map(shares), strict=True)}
    return DirectLabelColormap(color_dict=colours | {int(min(classes)): "transparent", None: "transparent"})


def with_all_channels(layer: Layer, among: Sequence[Layer]) -> Layer:
    """Of a predicted channel, all channels of that prediction as one layer with a first axis C; else the layer itself.

    Parameters
    ----------
    layer
        As of `prediction_layers`, perhaps.
    among
        The viewer's layers: of each channel the uppermost is taken.

    Raises
    ------
    ValueError
        If a channel has been removed.
    """
    told = layer.metadata.get(MADE_HERE, {})
    if "channel" not in told:
        return layer
    alike = [(other.metadata.get(MADE_HERE, {}), other) for other in among]
    found = {said["channel"]: other for said, other in alike if said | {"channel": 0} == told | {"channel": 0}}
    if len(found) < told["of"]:
        missing = sorted(set(range(told["of"])) - set(found))
        raise ValueError(
            f"A prediction must have all of its {told['of']} channels to be judged; channel {missing[0]} of "
            f"{told['source']!r} is gone. Predict again."
        )
    whole = placement(layer)
    extended = np.eye(layer.ndim + 2)
    extended[1:, 1:] = whole.pop("affine")
    rotate = np.eye(layer.ndim + 1)
    rotate[1:, 1:] = whole.pop("rotate")
    shear = np.eye(layer.ndim + 1)
    shear[1:, 1:][np.triu_indices(layer.ndim, 1)] = whole.pop("shear")
    return Image(
        np.stack([pixels(found[i]) for i in range(told["of"])]),
        name=layer.name,
        scale=(1.0, *whole["scale"]),
        translate=(0.0, *whole["translate"]),
        rotate=rotate,
        shear=shear[np.triu_indices(layer.ndim + 1, 1)],
        affine=extended,
        units=("pixel", *whole["units"]),
        axis_labels=("c", *(letter.lower() for letter in layer_axes(layer))),
    )


def levels_of(stack: Stack) -> list[Any]:
    """The pixels of a result: an array, or, where they are many, the lazy arrays of its pyramid."""
    size = math.prod(stack.array.shape) * stack.array.dtype.itemsize
    if size <= LAZY_BYTES:
        return [stack.array[...]]
    from napari_pix2pix.files.readers.zarr_stacks import open_levels  # zarr takes a while to import

    lazy = open_levels(stack.path) if is_zarr(stack.path) else stack.levels or [stack.array]
    return [lazily(level, stack.axes) for level in lazy]


def lazily(level: Any, axes: str) -> da.Array:
    """A lazy array with these axes, of which the viewer reads what is seen."""
    return da.from_array(
        level,
        chunks=tuple({"Y": LAZY_CHUNK, "X": LAZY_CHUNK, "S": -1}.get(axis, 1) for axis in axes),
        name=False,
        meta=np.empty((0,) * level.ndim, level.dtype),
    )


def on_grid_of(source: Layer, stack: Stack) -> Layer:
    """A layer, not to be shown, that lies over a slide's `source` as a result of other pixel size does, its file's."""
    (height, width), full = stack.plan.frame_shape[-2:], pixels(source).shape[:2]
    steps = [full[0] / height, full[1] / width]
    ours = pixel_size_um(source)
    if {"Y", "X"} <= ours.keys() and {"Y", "X"} <= stack.pixel_size_um.keys():
        steps = [stack.pixel_size_um[axis] / ours[axis] for axis in "YX"]
    place = scores_placement(source, steps, [(step - 1) / 2 for step in steps])
    pixel = np.zeros((1, 1, 3), np.uint8)
    return Image(np.broadcast_to(pixel, (height, width, 3)), rgb=True, name=source.name, **place)


def is_lazy(layer: Layer) -> bool:
    """Whether the layer's pixels are read when they are seen."""
    return not isinstance(pixels(layer), np.ndarray)


def _how_much(source: Layer, shape: tuple[int, ...], axes: str, window: Window) -> str:
    """How many frames the result holds, where it was stopped before it had all."""
    asked = dict(zip(layer_axes(source), _shape(source, window), strict=True))
    for axis, n in zip(axes, shape, strict=True):
        if axis in "TZ" and n < asked[axis]:
            return f", {n} of {asked[axis]} {'frames' if axis == 'T' else 'planes'}"
    return ""


def _shape(layer: Layer, window: Window) -> tuple[int, ...]:
    shape = pixels(layer).shape
    return tuple(len(range(*part.indices(n))) for part, n in zip(window, shape, strict=True)) if window else shape


def difference_layer(prediction: Layer, target: Layer, kind: str) -> Layer:
    """What `prediction` shows and `target` does not: grey values, signed; labels, 1 only in the target, 2 only here.

    Of classes, 3 is where both show one, but another; of colours, the mean.

    Raises
    ------
    ValueError
        If they are not of the same shape.
    """
    ours, theirs = pixels(prediction), pixels(target)
    if ours.shape != theirs.shape:
        raise ValueError(f"A difference must be of images of one shape; got {ours.shape} and {theirs.shape}.")
    rest: dict[str, Any] = placement(prediction)
    rest["metadata"] = {MADE_HERE: {"is": "difference", "source": prediction.name}}
    rest["name"] = f"{prediction.name} − {target.name}"
    if kind != "intensity":
        differs = (ours != theirs) & (ours > 0) & (theirs > 0) & (kind == "classes")
        values = 1 * ((ours == 0) & (theirs > 0)) + 2 * ((ours > 0) & (theirs == 0)) + 3 * differs
        return Labels(values.astype(np.uint8), colormap=DIFFERENCE_COLOURS, opacity=0.7, **rest)
    difference = ours.astype(np.float32) - theirs.astype(np.float32)
    difference = difference.mean(axis=-1) if getattr(prediction, "rgb", False) else difference
    some = np.asarray(difference[(slice(None, None, max(1, len(difference) // 8)),)])
    most = float(np.percentile(np.abs(some), 99)) or 1.0
    return Image(difference, colormap=DIFFERENCE_COLORMAP, contrast_limits=(-most, most), **rest)


def axes_of_result(source: Layer, stack: Stack) -> str:
    """The axes of the source without its channels, and with those that the result has."""
    plan = AxesPlan(layer_axes(source), (1,) * len(layer_axes(source)))
    has = "S" if "S" in stack.axes else "C" if "C" in stack.axes else ""
    return plan.like(1, has).axes


def kept_axes(source: Layer, axes: str) -> list[int]:
    """Which axes of the source layer a result with these axes has, channels apart."""
    return [i for i, axis in enumerate(layer_axes(source)[: source.ndim]) if axis in axes and axis != "C"]
