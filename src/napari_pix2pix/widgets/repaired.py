"""Pairs and how they lie, as layers: arrows where targets lie off, and targets that were laid over their sources."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from napari.layers import Image, Labels, Layer, Vectors
from numpy.typing import NDArray

from napari_pix2pix.core.geometry.axes import AxesPlan
from napari_pix2pix.files.folders import in_one_form
from napari_pix2pix.files.stacks import open_stack, standard, stem
from napari_pix2pix.widgets.bridge import Event
from napari_pix2pix.widgets.layers import layer_axes, pixels, read_as, turned
from napari_pix2pix.widgets.pairs import LayerPair, LayerPairs, distinct
from napari_pix2pix.widgets.placing import MADE_HERE, levels_of, placement

SEEN_PX = 0.5
"""The longest arrows but for one in ten are as long as so many of the distances between blocks."""
COLOURS = "turbo"
KNOWN = "known"
"""Where the command register puts the masks, beside the folder of targets."""
MOST_LARGER = 1000
"""Arrows are drawn no more times as long as shifts are."""


def times_as_long(local: Event) -> int:
    """How many times as long as shifts arrows are drawn, so that they can be seen."""
    apart = [
        float(np.diff(np.unique(blocks[:, 1])).min())
        for own in local["frames"].values()
        if len(np.unique((blocks := np.array(own["blocks"]))[:, 1])) > 1
    ]
    if not apart or not local["p90"]:
        return 1
    return int(np.clip(round(SEEN_PX * min(apart) / local["p90"]), 1, MOST_LARGER))


def sentence(local: Event, larger: int = 1) -> str:
    """What local shifts say, in a line."""
    if local["median"] is None:
        return "Nothing in these pairs can be matched: see above."
    told = "Targets lie off by {median:.2g} px in the median, one in ten blocks by more than {p90:.2g}"
    lost = f"; {local['unmatched']:.0%} of the blocks match nothing".replace("%", " %") if local["unmatched"] else ""
    drawn = f" Arrows are {larger} times as long." if larger > 1 else ""
    return f"{told.format(**local)}{lost}.{drawn}"


def arrows(local: Event, pairs: LayerPairs) -> list[Vectors]:
    """For each source of which something matches its shifts, from where it lies in the source to where in the target.

    Parameters
    ----------
    local
        As of `core.check`.
    """
    larger, found = times_as_long(local), []
    for pair, frames in _of_pairs(local, pairs):
        axes = layer_axes(pair.source)
        kept = [i for i, axis in enumerate(axes) if axis not in "CS"]
        plan = standard(AxesPlan(axes, tuple(pixels(pair.source).shape)))
        numbering = [axis for axis in plan.axes if axis not in "CSYX"]
        rows, sizes = [], []
        for own in frames:
            place = np.unravel_index(own["frame"], [plan.length(axis) for axis in numbering]) if numbering else ()
            at = dict(zip(numbering, place, strict=True))
            for y, x, down, right, _, matches in own["blocks"]:
                if matches:
                    start, shift = at | {"Y": y, "X": x}, {"Y": down, "X": right}
                    rows.append([[where.get(axes[i], 0) for i in kept] for where in (start, shift)])
                    sizes.append(float(np.hypot(down, right)))
        if rows:
            found.append(
                Vectors(
                    np.array(rows, np.float32),
                    features={"px": sizes},
                    edge_color="px",
                    edge_colormap=COLOURS,
                    edge_width=2,
                    length=larger,
                    vector_style="arrow",
                    name=f"local shifts: {pair.target.name}",
                    metadata={MADE_HERE: {"is": "local shifts", "source": pair.source.name}},
                    **placement(pair.source, kept),
                )
            )
    return found


def _of_pairs(local: Event, pairs: LayerPairs) -> Iterator[tuple[LayerPair, list[Event]]]:
    """Each pair with its frames that were looked at and have something in common with their targets."""
    frames = [one for frame, one in local["frames"].items() if frame not in local["nothing_in_common"]]
    names = [in_one_form(name) for name in distinct([layer.name for layer in pairs.of_side("source")])]
    for pair, name in zip(pairs.pairs, names, strict=True):
        own = [one for one in frames if len(names) == 1 or in_one_form(one["pair"]) == name]
        if own:
            yield pair, own


class Repaired(NamedTuple):
    """What became of pairs.

    Parameters
    ----------
    pairs
        With targets that lie over their sources; those that could not be moved are as they were.
    layers
        The new ones among them.
    """

    pairs: tuple[LayerPair, ...]
    layers: list[Layer]


def one_by_one(pairs: LayerPairs) -> LayerPairs:
    """The same, each stain of a target in a pair of its own."""
    single = (LayerPair(pair.source, stain, pair.known) for pair in pairs.pairs for stain in pair.images[1:])
    return LayerPairs(tuple(single))


def repaired(pairs: LayerPairs, written: Sequence[str]) -> Repaired:
    """The pairs with what the command ``register`` has written of `one_by_one` of them."""
    single = one_by_one(pairs).pairs
    names = [in_one_form(name) for name in distinct([pair.source.name for pair in single])]
    paths = {in_one_form(stem(Path(path))): Path(path) for path in written}
    if len(names) == len(paths) == 1:
        paths = {names[0]: next(iter(paths.values()))}
    moved = {
        pair.target: _moved(pair, path) for pair, name in zip(single, names, strict=True) if (path := paths.get(name))
    }
    found, added = list[LayerPair](), list[Layer](layer for layer, _ in moved.values())
    for pair in pairs.pairs:
        there = [layer for layer in pair.images[1:] if layer in moved]
        if not there:
            found.append(pair)
            continue
        known = np.logical_and.reduce([moved[layer][1] for layer in there])
        marked = None
        if not known.all():  # what is known of every stain is known
            over = moved[there[0]][0]
            kept = [i for i, axis in enumerate(layer_axes(over)) if axis not in "CS"]
            place = placement(over, kept)
            marked = Labels(known.astype(np.uint8), name=f"known: {pair.target.name}", visible=False, **place)
            added.append(marked)
        stains = tuple(moved[layer][0] if layer in moved else layer for layer in pair.stains)
        target = moved[pair.target][0] if pair.target in moved else pair.target
        found.append(LayerPair(pair.source, target, marked, stains))
    return Repaired(tuple(found), added)


def _moved(pair: LayerPair, path: Path) -> tuple[Layer, NDArray[np.bool_]]:
    """The target in this file as a layer, and where it is known, without channels."""
    stack, target = open_stack(path), pair.target
    axes = layer_axes(target)
    known = read_as(open_stack(path.parents[1] / KNOWN / path.name), "".join(a for a in axes if a not in "CS")) != 0
    values = turned(levels_of(stack)[0], stack.axes, axes)
    over = target if values.shape == pixels(target).shape else pair.source
    kept = [i for i, axis in enumerate(layer_axes(over)[: over.ndim]) if axis in axes]
    place: dict[str, Any] = placement(over, kept) if len(kept) == len(axes.replace("S", "")) else {}
    place |= {"name": f"{target.name} (registered)", "axis_labels": target.axis_labels}
    place["metadata"] = {MADE_HERE: {"is": "registered", "source": pair.source.name}}
    if isinstance(target, Labels):
        return Labels(values, colormap=target.colormap, **place), known
    if getattr(target, "rgb", False):
        return Image(values, rgb=True, **place), known
    shown = {"colormap": target.colormap, "contrast_limits": target.contrast_limits, "blending": target.blending}
    return Image(values, **shown, **place), known
