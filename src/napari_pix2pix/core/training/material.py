"""What a training learns from and who judges it: data checked, divided, encoded, ready to draw patches from."""

import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from numpy.typing import NDArray

from napari_pix2pix.core.data.census import Census
from napari_pix2pix.core.data.conditions import of_each, require_known
from napari_pix2pix.core.data.copies import copies_among
from napari_pix2pix.core.data.emptiness import settle_empty
from napari_pix2pix.core.data.frames import DomainFrames, Images, UnpairedFrames
from napari_pix2pix.core.data.other_patches import DomainPatches, SidePatches, UnpairedPatches
from napari_pix2pix.core.data.pairs import PairedFrames
from napari_pix2pix.core.data.patches import TRAINING, Batch, MixedPatches, PairedPatches
from napari_pix2pix.core.data.regions import Region
from napari_pix2pix.core.data.split import Split, evenly, split_pairs, windows_of, without_copies, without_seen
from napari_pix2pix.core.encodings.domains import NO_DOMAINS, Domains, Labels
from napari_pix2pix.core.encodings.encoding import Encoding
from napari_pix2pix.core.encodings.source_view import SourceView
from napari_pix2pix.core.evaluation.codings import in_one_coding
from napari_pix2pix.core.evaluation.unlike import labelled, lonely, unlike
from napari_pix2pix.core.geometry.axes import middle
from napari_pix2pix.core.methods.method import Method, reach
from napari_pix2pix.core.settings.config import Config
from napari_pix2pix.core.training.start import Start

Sided = UnpairedFrames | DomainFrames | Images
MOST_JUDGED = 2**24
"""Pixels of validation pairs that choose the best model; they take seconds on a processor."""


class Patches(Protocol):
    """What gives the patches of a step, from (seed, step, number) alone."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Of a patch ([Z,] Y, X), the smallest of all sides."""

    def batch(self, step: int, stream: int = TRAINING, numbers: range | None = None) -> Batch:
        """The patches of this step; only those with these `numbers`, if given."""


@dataclass(frozen=True)
class Material:
    """Who learns from what, and who judges it.

    Parameters
    ----------
    patches
        What the networks learn from.
    encodings
        Of source and target.
    view, channel_axis
        How frames are taken from sources, and the axis of the target's channels, as in `TrainedModel`.
    spatial_dims
        2, or 3 for volumes.
    rows
        Who trains, validates and calibrates, as of `Split.rows`.
    remarks
        On that, a sentence each.
    look
        Gives source and target (C, [Z,] Y, X) to preview, so large at most along Y and X; without pairs the two do not
        show the same. None where images are made from nothing.
    judged, judged_regions, judging
        The pairs among which the validation pairs are, and where; what of them chooses the best model: all, or as much
        as is judged in reasonable time. None, and nowhere, without.
    test
        Pairs that judge the finished model.
    pairs, split
        That train, and how they are divided; None without pairs.
    held_out
        What judges where there are no pairs, if the method can.
    back
        As in `TrainedModel`, where sources and targets are no pairs.
    domains
        The labels that images bear, if they are of several domains.
    joint
        Whether targets are made together with images.
    conditions
        The classes that pairs are of.
    shown
        That of what is previewed.
    """

    patches: Patches
    encodings: tuple[Encoding, Encoding]
    view: SourceView
    channel_axis: str
    spatial_dims: int
    rows: list[dict[str, Any]]
    remarks: tuple[str, ...]
    look: Callable[[int], tuple[NDArray[Any], NDArray[Any]]] | None
    judged: PairedFrames | None = None
    judged_regions: tuple[Region, ...] = ()
    judging: tuple[Region, ...] = ()
    test: PairedFrames | None = None
    pairs: PairedFrames | None = None
    split: Split | None = None
    held_out: Patches | None = None
    back: tuple[SourceView, str] | None = None
    domains: Domains = NO_DOMAINS
    joint: bool = False
    conditions: Domains = NO_DOMAINS
    shown: Labels | None = None

    def stains(self) -> list[dict[str, Any]]:
        """Of several channels of the targets that are no colours, ``name`` and how many ``pairs`` train that have it.

        Old pairs that are mixed in do not count.
        """
        if self.pairs is None or self.split is None or self.pairs.n_channels[1] == 1 or self.channel_axis == "S":
            return []
        trained = sorted({self.pairs.places[region.frame][0] for region in self.split.train})
        counts = self.pairs.stained[trained].sum(axis=0).tolist()
        return [{"name": self.pairs.stain(k), "pairs": n} for k, n in enumerate(counts)]


def of_pairs(
    pairs: PairedFrames,
    judges: tuple[PairedFrames | None, PairedFrames | None],
    old_pairs: PairedFrames | None,
    start: Start,
    method: Method[Any],
) -> Material:
    """Pairs, and old ones mixed in if there are any."""
    config, spatial_dims = start.config, len(pairs.source_plans[0].spatial)
    conditions = start.conditions_of(pairs) if config.data == "pairs" else NO_DOMAINS
    for others in filter(None, (*judges, old_pairs)):
        require_known(others, conditions)
    pairs.require_patches(config.patch_size, config.grid)
    if start.encodings is not None:
        pairs, remark = in_one_coding(pairs, start.encodings[1])
        if remark:
            warnings.warn(remark, stacklevel=4)
    found = Census.of(pairs, config.target_kind)
    validation, test = (judge_pairs and _as_judges(pairs, judge_pairs, config, found) for judge_pairs in judges)
    pairs, copied = pairs.held_together(found.known_by)
    meaning = config.empty_frames, config.empty_channels
    pairs = settle_empty(pairs, *meaning, found.kind, empty=found.empty, constant=found.constant)

    # Who trains, who judges.
    shares = config if validation is None else config.model_copy(update={"validation_share": 0.0})
    split = split_pairs(pairs, shares, reach(method, config, spatial_dims))
    split = without_seen(without_copies(split, found.known_by), pairs, start.seen)
    encodings = start.encode(pairs, split, found.kind)
    old_pairs, validation, test = (
        others and in_one_coding(others, encodings[1])[0] for others in (old_pairs, validation, test)
    )
    judged, judged_regions = (validation, validation.regions()) if validation else (pairs, split.validation)
    judging = evenly(judged, judged_regions, MOST_JUDGED)
    if judging != judged_regions:
        all_of, some = (sum(math.prod(r.shape) for r in regions) / 1e6 for regions in (judged_regions, judging))
        warnings.warn(
            f"Validation pairs hold {all_of:,.0f} megapixels; {some:.0f} of them, evenly spread, choose the best "
            "model.",
            stacklevel=4,
        )

    taught = conditions, getattr(config, "condition_dropout", 0.0)
    new = PairedPatches(pairs, split.train, config, *encodings, *taught)
    patches: PairedPatches | MixedPatches = new
    if old_pairs is not None:
        if not (old := windows_of(old_pairs, start.old_regions, "train")):
            raise ValueError("Old pairs must be those that trained the model to start from; none of them did.")
        _require_same_channels(pairs, old_pairs, "Old pairs")
        old_pairs.require_patches(config.patch_size, config.grid)
        patches = MixedPatches(new, PairedPatches(old_pairs, old, config, *encodings, *taught))

    shown, region = (judged, judged_regions[0]) if judged_regions else (pairs, split.train[0])

    def look(side: int) -> tuple[NDArray[Any], NDArray[Any]]:
        window = tuple(middle(along, side) for along in region.window)
        return shown.source(region.frame, window), shown.target(region.frame, window)

    return Material(
        patches,
        encodings,
        SourceView.of(pairs.source_plans[0], pairs.source_names),
        max(plan.channel_axis for plan in pairs.target_plans),  # "S" where any target is RGB
        spatial_dims,
        list(split.rows(pairs)),
        (*filter(None, [copied]), *split.remarks, *_of_conditions(pairs, split, conditions)),
        look,
        judged,
        judged_regions,
        judging,
        test,
        pairs,
        split,
        conditions=conditions,
        shown=shown.bears(region.frame),
    )


def _of_conditions(pairs: PairedFrames, split: Split, conditions: Domains) -> list[str]:
    """What the user should know of the classes of these pairs."""
    if not conditions.sets:
        return []
    own = [conditions.in_own_words(labels) for labels in pairs.labels]
    found, n = [], len(pairs.names)
    if none := [name for name, labels in zip(pairs.names, own, strict=True) if not any(labels.values())]:
        more = f" and {len(none) - 1} more" if len(none) > 1 else ""
        found.append(
            f"The condition of {len(none)} of {n} pairs is not known, and they teach what is made without one: "
            f"{none[0]}{more}. If they have one, name it (`condition`)."
        )
    there = of_each(pairs, conditions)
    trains = {pairs.places[region.frame][0] for region in split.train}
    taught = [own[stack] for stack in trains]
    for name in conditions.names:
        [(of, label)] = conditions.labels_of(name).items()
        if there[name] and not any(labels[of] == label for labels in taught):
            found.append(
                f"A condition should have pairs that train; {name} has {there[name]}, which judge. Add some, or choose "
                "a smaller `validation_share` or `calibration_share`."
            )
    return found


def of_sides(
    data: UnpairedFrames | DomainFrames,
    judges: tuple[PairedFrames | None, PairedFrames | None],
    start: Start,
    method: Method[Any],
) -> Material:
    """Sides that are no pairs: each is divided and encoded by itself, but domains by one encoding."""
    config, first, last = start.config, next(iter(data.sides.values())), list(data.sides.values())[-1]
    if isinstance(data, DomainFrames) and start.model is not None and data.domains != start.model.domains:
        ours, theirs = (", ".join(domains.names) or "none" for domains in (data.domains, start.model.domains))
        raise ValueError(
            f"Images must be of the domains of the model to start from, {theirs}; got {ours}. Give these, or train "
            "anew."
        )
    known_by = {}
    for name, frames in data.sides.items():
        frames.require_patches(config.patch_size, config.grid)
        known_by[name] = frames.require_finite()
    held = {} if method.headline else {"validation_share": 0.0}
    shares = config.model_copy(update={"calibration_share": 0.0, **held})
    gap, spatial_dims = reach(method, config, len(first.plans[0].spatial)), len(first.plans[0].spatial)
    splits = {
        name: without_copies(split_pairs(frames, shares, gap), known_by[name]) for name, frames in data.sides.items()
    }
    encodings = start.encode_sides(data.sides, splits, by_itself=isinstance(data, UnpairedFrames))
    kinds = dict(zip(data.sides, (encoding.kind for encoding in encodings), strict=False))
    remarks = [one.text for one in unlike(data, kinds)] if isinstance(data, UnpairedFrames) else []
    remarks += [one.text for one in lonely(data) + labelled(data)] if isinstance(data, DomainFrames) else []
    each = dict(
        zip(data.sides, encodings if isinstance(data, UnpairedFrames) else encodings[1:] * len(splits), strict=True)
    )

    def drawn(kind: str) -> Patches | None:
        regions = {name: getattr(split, kind) for name, split in splits.items()}
        named = {name: frames for name, frames in data.sides.items() if regions[name]}
        if len(named) < (2 if isinstance(data, DomainFrames) else len(data.sides)):
            return None
        sides = {name: SidePatches(frames, regions[name], config, each[name]) for name, frames in named.items()}
        return DomainPatches(sides, config, data) if isinstance(data, DomainFrames) else UnpairedPatches(sides, config)

    def look(side: int) -> tuple[NDArray[Any], NDArray[Any]]:
        ends = next(iter(data.sides)), next(reversed(data.sides))
        regions = [(splits[name].validation or splits[name].train)[0] for name in ends]
        windows = [tuple(middle(along, side) for along in region.window) for region in regions]
        found = [
            data.sides[name].read(region.frame, window)
            for name, region, window in zip(ends, regions, windows, strict=True)
        ]
        return found[0], found[1]

    patches = drawn("train")
    assert patches is not None
    for judge in filter(None, judges):
        judge.require_finite()
        for side, plans, encoding in zip(
            ("source", "target"), (judge.source_plans, judge.target_plans), encodings, strict=True
        ):
            if plans[0].n_channels != encoding.n_channels:
                raise ValueError(
                    f"Validation and test pairs must have the {side} channels of the images that train, "
                    f"{encoding.n_channels}; got {plans[0].n_channels}. Choose others."
                )
    validation, test = judges
    judged_regions = validation.regions() if validation else ()
    judging = evenly(validation, judged_regions, MOST_JUDGED) if validation else ()
    seen, outputs = first.plans, last.plans
    if isinstance(data, DomainFrames):  # colours where any image has them
        everything = [plan for frames in data.sides.values() for plan in frames.plans]
        seen = outputs = sorted(everything, key=lambda plan: plan.channel_axis, reverse=True)
    rows = [{"side": name, **row} for name, split in splits.items() for row in split.rows(data.sides[name])]
    return Material(
        patches,
        encodings,
        SourceView.of(seen[0]),
        max(plan.channel_axis for plan in outputs),
        spatial_dims,
        rows,
        tuple(dict.fromkeys([*remarks, *(remark for split in splits.values() for remark in split.remarks)])),
        look,
        validation,
        judged_regions,
        judging,
        test,
        held_out=drawn("validation"),
        back=None
        if isinstance(data, DomainFrames)
        else (SourceView.of(last.plans[0]), max(plan.channel_axis for plan in first.plans)),
        domains=data.domains if isinstance(data, DomainFrames) else NO_DOMAINS,
    )


def _as_judges(pairs: PairedFrames, judges: PairedFrames, config: Config, found: Census) -> PairedFrames:
    """Pairs that choose or judge, checked as those that train are."""
    _require_same_channels(pairs, judges, "Validation and test pairs")
    if copies := copies_among(judges.require_finite(), found.known_by):
        more = f", and so are {len(copies) - 1} more" if len(copies) > 1 else ""
        warnings.warn(
            f"Pairs that judge must not be those that train; the source of {judges.name(copies[0])} is a copy "
            f"of one that trains{more}: figures are too good. Leave it out.",
            stacklevel=5,
        )
    meaning = config.empty_frames, config.empty_channels
    return settle_empty(judges, *meaning, found.kind, varying=found.varying)


def _require_same_channels(pairs: PairedFrames, others: PairedFrames, what: str) -> None:
    for side in ("source_plans", "target_plans"):
        ours, theirs = (getattr(some, side)[0] for some in (pairs, others))
        if (ours.n_channels, ours.spatial, ours.z) != (theirs.n_channels, theirs.spatial, theirs.z):
            raise ValueError(
                f"{what} must have the channels of the others; got {theirs.n_channels} "
                f"({theirs.axes}) where they have {ours.n_channels} ({ours.axes}). Choose others; channels in further "
                "files are added with `validation_source_more` and the like."
            )
    named = {names for names in (*pairs.source_names, *others.source_names) if len(names) > 1}  # one has no order
    if len(named) > 1 and len(set(pairs.source_names)) == 1:
        listed = " and ".join(", ".join(names) for names in sorted(named))
        raise ValueError(
            f"{what} must have the source channels of the others in their order; got {listed}. Name them with "
            "`source_channels`."
        )
