"""Results as layers that lie exactly where they belong: predictions over their source, patch scores on their fields."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from napari.layers import Image, Labels, Layer
from numpy.typing import ArrayLike, NDArray

from napari_pix2pix.core.axes import AxesPlan
from napari_pix2pix.files.stacks import Stack, open_stack
from napari_pix2pix.widgets.layers import layer_axes, read_as

MADE_HERE = "napari-pix2pix"
"""Key of a layer's metadata that says what it is and of which layer."""


def placement(layer: Layer, keep: Sequence[int] | None = None) -> dict[str, Any]:
    """Arguments that put a new layer exactly over `layer`: its transform, units and axis labels.

    Parameters
    ----------
    layer
        The layer to lie over.
    keep
        Which of its axes the new one has; None: all of them.
    """
    axes = list(range(layer.ndim)) if keep is None else list(keep)
    extended = [*axes, layer.ndim]
    shear = np.eye(layer.ndim)
    shear[np.triu_indices(layer.ndim, 1)] = layer.shear
    return {
        "scale": np.asarray(layer.scale)[axes],
        "translate": np.asarray(layer.translate)[axes],
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
    turned = kept["rotate"] @ shear @ np.diag(kept["scale"])
    return {**kept, "scale": kept["scale"] * stride, "translate": turned @ centre + kept["translate"]}


def linear(layer: Layer) -> NDArray[np.float64]:
    """R·H·S of the layer: data to physical, without translate and affine."""
    shear = np.eye(layer.ndim)
    shear[np.triu_indices(layer.ndim, 1)] = layer.shear
    return np.asarray(layer.rotate @ shear @ np.diag(layer.scale))


def prediction_layers(source: Layer, path: Path, labels: bool) -> list[Layer]:
    """The prediction in the file `path` as layers over `source`: one, or one for each channel.

    Parameters
    ----------
    source
        The layer that was predicted from.
    path
        The result.
    labels
        Whether its numbers are labels.
    """
    stack = open_stack(path)
    axes = _axes_of_result(source, stack)
    values, place = read_as(stack, axes), placement(source, _kept(source, axes))
    place["metadata"] = {MADE_HERE: {"is": "prediction", "source": source.name}}
    if labels:
        return [Labels(values, name=f"{source.name} (predicted)", **place)]
    if "C" not in axes:
        return [Image(values, name=f"{source.name} (predicted)", rgb="S" in axes, **place)]
    channels = np.moveaxis(values, axes.index("C"), 0)
    names = stack.channel_names
    if len(set(names)) != len(channels):
        names = tuple(f"channel {i} (predicted)" for i in range(len(channels)))
    return [
        Image(channel, name=f"{source.name}: {name}", blending="additive", **place)
        for channel, name in zip(channels, names, strict=True)
    ]


def _axes_of_result(source: Layer, stack: Stack) -> str:
    """The axes of the source without its channels, and with those that the result has."""
    plan = AxesPlan(layer_axes(source), (1,) * len(layer_axes(source)))
    has = "S" if "S" in stack.axes else "C" if "C" in stack.axes else ""
    return plan.like(1, has).axes


def _kept(source: Layer, axes: str) -> list[int]:
    """Which axes of the source layer a result with these axes has, channels apart."""
    return [i for i, axis in enumerate(layer_axes(source)[: source.ndim]) if axis in axes and axis != "C"]
