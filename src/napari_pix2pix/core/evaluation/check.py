"""Whether pairs can be trained on: what is wrong with them, how they lie, which field and patch suit them."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_pix2pix.core.data.alignment import Alignment
from napari_pix2pix.core.data.conditions import of_each, require_classes
from napari_pix2pix.core.data.emptiness import Variation, settle_empty
from napari_pix2pix.core.data.frames import DomainFrames, Frames, Images, UnpairedFrames
from napari_pix2pix.core.data.pairs import PairedFrames, StackAxes
from napari_pix2pix.core.data.patches import patch_shape
from napari_pix2pix.core.data.regions import Region, Windows, pieces
from napari_pix2pix.core.data.split import split_pairs
from napari_pix2pix.core.encodings.encoding import Encoding, fit_encoding, fit_stains
from napari_pix2pix.core.encodings.kinds import guess_kind
from napari_pix2pix.core.evaluation.check_sides import check_sides
from napari_pix2pix.core.evaluation.disguises import (
    FEW_COLOURS,
    disguised,
    jpeg_labels,
    n_colours,
    swapped,
)
from napari_pix2pix.core.evaluation.local_check import check_local, facts_of, in_place
from napari_pix2pix.core.evaluation.remarks import Figures, Remark, Remedy
from napari_pix2pix.core.evaluation.shown_twice import ShownTwice
from napari_pix2pix.core.evaluation.sides import Side
from napari_pix2pix.core.evaluation.suiting import (
    FIELDS,
    hints,
    point,
    shift_remarks,
    small_patches,
    suggest,
    too_small,
)
from napari_pix2pix.core.methods import method_of
from napari_pix2pix.core.methods.method import reach
from napari_pix2pix.core.settings.config import Config, NormalizationConfig, make_config, method_for

__all__ = ["FIELDS", "check", "suggest"]

MOST_MEASURED = 64
"""Shift and correlation are measured on so many frames at most."""


def check(
    source: Any,
    target: Any = None,
    axes: str | tuple[StackAxes, StackAxes] | None = None,
    *,
    names: Sequence[str] | None = None,
    config: Config | None = None,
    local: bool = False,
    judging: Mapping[str, Frames] | None = None,
) -> Figures:
    """What makes these pairs unusable, what to look at before training, and what suits them; nothing is changed.

    Every frame is read, in pieces of at most 16 megapixels, so that it may be larger than memory; shift and correlation
    are measured on at most 64 evenly spaced frames, on the middle 1024 x 1024 px of each.

    Parameters
    ----------
    source, target, axes, names
        As in `PairedFrames`; or `source` is one, or `UnpairedFrames`, `DomainFrames` or `Images`, and the others are
        left out.
    config
        Its kinds are believed, and what a training with it would refuse is unusable; None: kinds and patch size are
        found from the pairs, and what a training would ask about is a warning.
    local
        Whether to measure shifts place by place, too; a few seconds for each of at most 16 frames.
    judging
        Images that are to judge, by what they are for, ``validation`` or ``test``: whether one shows what a pair shows.

    Returns
    -------
    dict
        Everything as JSON: ``usable``; ``remarks``, each as a `Remark`, and of these ``unusable`` and ``warnings``,
        sentences; ``facts``, label → text; ``n_pairs``, ``n_frames``, ``n_measured``; ``stains``, where pairs lack
        some of the target's: of each its ``name``, how many ``pairs`` have it, and those ``without``; ``smallest`` and
        ``largest`` frame (Y, X); ``source`` and ``target`` (axes, dtypes, channels …); ``shift`` of the target against
        the source, (Y, X) in px or None where it is not measurable, with its ``confidence`` and those of the
        ``frames``; ``in_place``, whether no remark is on how targets lie; ``correlation`` (coefficient, lengths in px);
        ``conditions``, pairs by class, where they have some;
        ``suggested`` (see `suggest`); ``patch_size`` and how many such windows fit side by side, ``n_patches``;
        ``local`` where it is asked for, see `check_local`; ``shown_twice``, see `ShownTwice`.

    Raises
    ------
    ValueError
        If the stacks do not pair up, or local shifts are asked for and these are no pairs.
    """
    if isinstance(source, Images) and source.pairs is not None:
        source = source.pairs
    if isinstance(source, UnpairedFrames | DomainFrames | Images):
        if local:
            raise ValueError("Local shifts must be those of pairs; these are none. Leave `local` out.")
        return check_sides(source, config or make_config(changes={"method": method_for(source.kind)}))
    pairs = source if isinstance(source, PairedFrames) else PairedFrames(source, target, axes, names=names)
    trained, pairs = pairs, pairs.planes()  # what is measured is measured plane by plane
    regions = pairs.regions()
    chosen = np.unique(np.linspace(0, len(regions) - 1, MOST_MEASURED).round().astype(int))
    measured = [regions[i] for i in chosen]
    some_sources, some_targets = (Windows(read, pieces(measured)) for read in (pairs.source, pairs.target))

    # Every frame, piece by piece
    frames = some_targets if trained is pairs else Windows(trained.target, pieces(trained.regions()))
    kind = config.target_kind if config and config.target_kind != "auto" else guess_kind(frames)
    colours = {"source": n_colours(some_sources), "target": n_colours(some_targets)}
    sources = Side("source", pairs.source_plans, is_labels=colours["source"] <= FEW_COLOURS)
    targets = Side("target", pairs.target_plans, is_labels=kind != "intensity" or colours["target"] <= FEW_COLOURS)
    several, variation = pairs.n_channels[1] > 1, Variation()
    twice = ShownTwice(pairs, judging or {}, by_target=sources.is_labels and not targets.is_labels)
    for piece in pieces(regions):
        name, stains = pairs.name(piece.frame), pairs.stains(piece.frame)
        source_values, target_values = (read(piece.frame, piece.window) for read in (pairs.source, pairs.target))
        sources.add(source_values, piece.frame, name)
        twice.add(piece, source_values, target_values)
        targets.add(target_values[stains] if several else target_values, piece.frame, name)
        if several:
            variation.add(pairs.places[piece.frame][0], target_values, stains)
    remarks = [*sources.unusable(), *targets.unusable()]
    unusable = bool(remarks)
    remarks += [*sources.warnings(), *targets.warnings()]
    about_target = targets.figures() | {"kind": kind}
    if not unusable and not (config and config.source_kind == "classes"):
        if kind == "intensity" and colours["target"] > FEW_COLOURS and guess_kind(some_sources) != "intensity":
            remarks.append(swapped())
        else:
            remarks += disguised("source", some_sources, colours["source"])
    found = disguised("target", some_targets, colours["target"]) if not unusable and kind == "intensity" else []
    found += targets.as_masks(kind)
    if not unusable and kind != "instances" and not found:
        some = Windows(pairs.target, pieces(measured[::4]))
        found = jpeg_labels(some, targets.lowest, targets.highest, colours["target"])
    remarks += found
    empty, constant = targets.empty, variation.constant()
    if not unusable and (constant if several else empty):
        meaning = (config.empty_frames, config.empty_channels) if config else ("ask", "ask")
        said = config.target_kind if config else kind
        known = empty if trained is pairs else None
        try:
            trained = settle_empty(trained, *meaning, said, empty=known, constant=constant)
            pairs = trained.planes() if several else pairs
        except ValueError as error:
            unusable = config is not None
            ask = _about_channels(pairs, constant) if several else _about_frames(len(empty) / targets.n_frames)
            remarks.append(Remark(str(error), ask[0], "unusable" if unusable else "warning", ask[1]))

    # How targets lie against their sources
    lie = Alignment()
    if not unusable:
        try:
            encoded = some_targets if kind == "intensity" else Windows(pairs.target, pieces(regions))
            encoding = fit_encoding(encoded, kind) if pairs.all_stained else _fitted(pairs, measured)
            about_target["classes"] = list(encoding.classes)
            lie = Alignment.of(pairs, measured, encoding)
            if config and config.source_kind == "classes":
                fit_encoding(Windows(pairs.source, pieces(regions)), "classes")
            if config:
                gap = reach(method_of(config), config, len(trained.source_plans[0].spatial))
                remarks += [Remark(text, level="hint") for text in split_pairs(trained, config, gap).remarks]
                if min(min(region.shape[-2:]) for region in regions) >= config.patch_size:
                    remarks += small_patches(config, patch_shape(trained.regions(), config))
        except ValueError as error:
            remarks.append(Remark(str(error), level="unusable"))
    try:
        require_classes(pairs.labels)
    except ValueError as error:
        remarks.append(Remark(str(error), level="unusable"))
    shift, correlation = lie.shift(), lie.correlation()
    lying = shift_remarks(shift, config)
    shown_twice, twice_remarks = twice.found() if not unusable else ([], [])
    remarks += twice_remarks
    local_figures: Figures = {}
    if local and not unusable:
        local_figures, local_remarks = check_local(pairs, measured, kind != "intensity")
        lying = [*([] if in_place(local_figures) else lying), *local_remarks]  # blocks are surer than the whole
    remarks += lying

    # What suits them
    shapes = [region.shape for region in regions]
    smallest = min(shapes, key=min)
    # One image is divided: patches of a quarter of its side leave room for validation.
    suggested = suggest(correlation["length"], min(smallest) // (4 if len(regions) == 1 else 1))
    patch_size = config.patch_size if config else suggested["patch_size"]
    if min(smallest) < patch_size:
        remarks.append(too_small(smallest, patch_size, config))
    elif config and correlation["length"]:
        remarks += hints(suggested, config)
    if len(regions) == 1:
        text = "One image is no data set: figures from within it say nothing about another."
        remarks.append(Remark(text, "one image: its figures say nothing about another"))
    sentences = {level: [one.text for one in remarks if one.level == level] for level in ("unusable", "warning")}
    report = {
        "usable": not sentences["unusable"],
        "unusable": sentences["unusable"],
        "warnings": sentences["warning"],
        "remarks": [asdict(one) for one in remarks],
        "n_pairs": len(pairs.sources),
        "n_frames": len(regions),
        "n_measured": len(measured),
        "smallest": list(smallest),
        "largest": list(max(shapes, key=max)),
        "source": sources.figures(),
        "target": about_target,
        "stains": _about_stains(trained),
        "shift": shift,
        "in_place": not lying,
        "correlation": correlation,
        "suggested": suggested,
        "shown_twice": shown_twice,
        "patch_size": patch_size,
        "n_patches": sum((y // patch_size) * (x // patch_size) for y, x in shapes),
    }
    report |= {"conditions": of_each(pairs, pairs.conditions)} if pairs.conditions.sets else {}
    report |= {"local": local_figures} if local_figures else {}
    return report | {"facts": _facts(report) | (facts_of(local_figures) if local_figures else {})}


def _about_frames(share: float) -> tuple[str, tuple[Remedy, ...]]:
    """What to ask where so many frames have no labels, in short, and the answers."""
    short = f"{share:.0%} of the frames have no labels: empty or not labelled?".replace("%", " %", 1)
    return short, (Remedy("Empty", {"empty_frames": "empty"}), Remedy("Not labelled", {"empty_frames": "unlabelled"}))


def _about_channels(pairs: PairedFrames, constant: Sequence[tuple[int, int]]) -> tuple[str, tuple[Remedy, ...]]:
    """The same where channels of targets hold one value."""
    names = " and ".join(dict.fromkeys(pairs.stain(channel) for _, channel in constant))
    short = f"{names} {'is' if ' and ' not in names else 'are'} one value in some pairs: empty or not stained?"
    return short, (Remedy("Empty", {"empty_channels": "empty"}), Remedy("Not stained", {"empty_channels": "unstained"}))


def _fitted(pairs: PairedFrames, measured: Sequence[Region]) -> Encoding:
    """The encoding of targets of which some lack stains: of each what was measured of it, or the first that has it."""

    def images(k: int) -> list[NDArray[Any]]:
        has = [region for region in measured if pairs.stains(region.frame)[k]]
        has = has or [region for region in pairs.regions() if pairs.stains(region.frame)[k]][:1]
        if not has:
            raise ValueError(f"A stain must be in a pair; {pairs.stain(k)} is in none. Leave it out.")
        return [pairs.target(piece.frame, piece.window)[k : k + 1] for piece in pieces(has)]

    return fit_stains(map(images, range(pairs.n_channels[1])), NormalizationConfig())


LISTED = 3
"""Pairs without a stain that are named."""


def _about_stains(pairs: PairedFrames) -> list[Figures]:
    """Of each stain its ``name``, how many ``pairs`` have it, and those ``without``; none where all have all."""
    if pairs.all_stained:
        return []
    names = np.array(pairs.names)
    return [
        {"name": pairs.stain(k), "pairs": int(own.sum()), "without": names[~own].tolist()}
        for k, own in enumerate(pairs.stained.T)
    ]


def _count(n: int, thing: str) -> str:
    return f"{n} {thing}" + ("s" if n > 1 else "")


def _facts(report: Figures) -> dict[str, str]:
    """The table, label by label."""
    smallest, largest = (" x ".join(map(str, report[name])) for name in ("smallest", "largest"))
    facts = {
        "pairs": f"{report['n_pairs']}, {_count(report['n_frames'], 'frame')}",
        "size": f"{smallest} px" if smallest == largest else f"{smallest} to {largest} px",
    }
    for side in ("source", "target"):
        figures = report[side]
        ends = "" if figures["range"] is None else ", {:g} to {:g}".format(*figures["range"])
        dtypes, axes = " and ".join(figures["dtypes"]), " and ".join(figures["axes"])
        facts[side] = f"{axes}, {_count(figures['channels'], 'channel')}, {dtypes}{ends}"
    for own in report["stains"]:
        named, more = ", ".join(own["without"][:LISTED]), len(own["without"]) - LISTED
        lacking = f", not {named}" + (f" and {more} more" if more > 0 else "") if named else ""
        facts[f"stain {own['name']}"] = f"{own['pairs']} of {_count(report['n_pairs'], 'pair')}{lacking}"
    if classes := report.get("conditions"):
        facts["conditions"] = ", ".join(f"{name} {n}" for name, n in classes.items())
    target = report["target"]
    kind = target["kind"]
    if kind == "classes":
        kind += f" {target.get('classes', '')}"
    elif kind == "instances":
        kind += f", {target['n_labels']} objects, largest id {target['range'][1]:.0f}"
    shift, correlation, suggested = report["shift"], report["correlation"], report["suggested"]
    n_sure, of = sum(pixels is not None for pixels in shift["frames"].values()), _count(report["n_measured"], "frame")
    whole = f"not the same; sure in {n_sure} of {of}" if n_sure else f"not sure in any of {of}"
    if shift["pixels"]:
        whole = f"{point(shift['pixels'])} px (Y, X), sure in {n_sure} of {of}"
    lengths = [
        f"{correlation[f'length_{name}'] or 0:.1f} px ({name})"
        for name in ("target", "both")
        if correlation[f"length_{name}"]
    ]
    return facts | {
        "target kind": kind,
        "shift of the whole": whole,
        "correlation length": " and ".join(lengths) or "not measurable",
        "suggested field": f"{suggested['field']} px (`discriminator.n_layers` {suggested['n_layers']})",
        "suggested patch": f"{suggested['patch_size']} px (`patch_size` {suggested['patch_size']})",
        "patches": f"{report['n_patches']} of {report['patch_size']} px side by side",
    }
