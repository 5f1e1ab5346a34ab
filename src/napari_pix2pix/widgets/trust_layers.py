"""What `predict --trust` has written beside a prediction, as layers and as features of its labels."""

import csv
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from napari.layers import Image, Labels, Layer
from napari.utils.colormaps import Colormap, ensure_colormap
from numpy.typing import NDArray

from napari_pix2pix.files.outputs import beside
from napari_pix2pix.files.stacks import open_stack
from napari_pix2pix.widgets.layers import read_as
from napari_pix2pix.widgets.placing import MADE_HERE, axes_of_result, kept_axes, placement

BAD_COLORMAP = "inferno"
"""Dark is good, bright is bad, everywhere; the order of its colours is seen by the colour-blind, too."""
FAINT = 0.5
"""How opaque is what is not bad, where a threshold tells."""


def bad_colours(low_is_bad: bool = False, threshold: float = 0.0) -> Colormap:
    """The one colour map, bright = bad; what is better than `threshold`, a share of the range from good, is faint."""
    colours = np.array(ensure_colormap(BAD_COLORMAP).colors)
    controls = np.linspace(0, 1, len(colours) + 1)
    colours[: round(threshold * len(colours)), 3] = FAINT
    colours = colours[::-1] if low_is_bad else colours
    return Colormap(colours, controls=controls, interpolation="zero", name=BAD_COLORMAP + ", reversed" * low_is_bad)


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
        named |= {"name": f"{source.name}: {called}", "metadata": {MADE_HERE: {"is": called, "source": source.name}}}
        limit = json.loads(stack.description)["trust_limit"]
        layer = Labels(values, **named) if part == "untrusted" else error_layer(values, limit, **named)
        layer.visible = part != "untrusted"
        found.append(layer)
    return found


def error_layer(values: NDArray[Any], limit: float, **named: Any) -> Image:
    """Expected errors as an overlay: bright where they exceed the limit, and dark throughout where none does.

    `named` are further arguments of the layer.
    """
    high = max(float(np.percentile(values, 99.5)), limit)
    how: dict[str, Any] = {"interpolation2d": "nearest", "blending": "translucent", "opacity": 0.6}
    return Image(values, colormap=bad_colours(), contrast_limits=(0.0, high if high > 0 else 1.0), **how, **named)


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
