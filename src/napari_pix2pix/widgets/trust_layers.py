"""What `predict --trust` has written beside a prediction, as layers and as features of its labels."""

import csv
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from napari.layers import Image, Labels, Layer
from napari.utils.colormaps import Colormap
from numpy.typing import NDArray

from napari_pix2pix.files.colours import doubt_colours, doubt_limits
from napari_pix2pix.files.outputs import beside
from napari_pix2pix.files.stacks import open_stack
from napari_pix2pix.widgets.layers import read_as
from napari_pix2pix.widgets.placing import MADE_HERE, axes_of_result, kept_axes, placement

LEAST_TOLD = 0.005
"""Shares of wrong pixels up to this are told as none: rounded, they are 0 %."""


def bad_colours(low_is_bad: bool = False, threshold: float = 0.0) -> Colormap:
    """The one colour map of doubt; what is better than `threshold`, a share of the range from good, is faint."""
    colours = doubt_colours(threshold)
    colours = colours[::-1] if low_is_bad else colours
    controls = np.linspace(0, 1, len(colours) + 1)
    return Colormap(colours, controls=controls, interpolation="zero", name="doubt" + ", reversed" * low_is_bad)


def trust_layers(source: Layer, path: Path, **where: Any) -> list[Layer]:
    """Expected errors over `source`, and hidden the mask of what not to trust, of the prediction in the file `path`.

    None where there are none. `where` goes to `placement`.
    """
    found: list[Layer] = []
    for part, called in (("untrusted", "not to trust"), ("expected_error", "expected error")):
        if not (file := beside(part)(path)).exists():
            continue
        stack = open_stack(file)
        axes = axes_of_result(source, stack)
        values, named = read_as(stack, axes), placement(source, kept_axes(source, axes), **where)
        named |= {"name": f"{called}: {source.name}", "metadata": {MADE_HERE: {"is": called, "source": source.name}}}
        said = json.loads(stack.description)
        how = said["trust_limit"], said.get("probability", False)
        layer = Labels(values, **named) if part == "untrusted" else error_layer(values, *how, **named)
        layer.visible = part != "untrusted"
        found.append(layer)
    return found


def error_layer(values: NDArray[Any], limit: float, probability: bool = False, **named: Any) -> Image:
    """Expected errors as an overlay with its colour bar: transparent where there are none, faint up to the limit.

    On a scale of the model, see `doubt_limits`, also for `probability`. `named` are further arguments of the layer.
    """
    low, high = doubt_limits(limit, probability)
    how: dict[str, Any] = {"interpolation2d": "nearest", "blending": "translucent", "contrast_limits": (low, high)}
    return with_bar(Image(values, colormap=bad_colours(threshold=limit / high), **how, **named))


def glow(layer: Image, in_shares: bool) -> str:
    """What an overlay of expected errors says, in a sentence.

    Parameters
    ----------
    layer
        As of `error_layer`.
    in_shares
        Whether its values are shares of wrong pixels, 0 to 1, rather than grey values.
    """
    most = float(np.nanmax(layer.data, initial=0.0))
    if most <= (LEAST_TOLD if in_shares else 0.0):
        return "Nothing glows: hardly a pixel is expected to be wrong."
    told = f"{most:.0%}".replace("%", " % of such pixels") if in_shares else f"{most:.3g} grey values"
    return f"What glows is probably wrong, red the most; here up to {told}."


def with_bar(layer: Image) -> Image:
    """The layer, its colour bar shown where napari has one (0.9 and later)."""
    if hasattr(layer, "colorbar"):
        layer.colorbar.visible = True
    return layer


def object_features(path: Path) -> Mapping[str, list[Any]] | None:
    """Expected error, verdict and size of each label; None without a table, or where a number names several objects."""
    table = beside("objects")(path)
    if not table.is_file():
        return None
    with table.open(newline="", encoding="utf8") as file:
        rows = list(csv.DictReader(file))
    numbers = [int(row["label"]) for row in rows]
    if len(set(numbers)) < len(numbers):
        return None
    columns: dict[str, Any] = {"expected_error": float, "verdict": str, "size": int}
    return {"index": numbers} | {name: [kind(row[name]) for row in rows] for name, kind in columns.items()}
