"""Whether pairs can be trained on: what is wrong with them, how they lie, which field and patch suit them."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from math import ceil, log
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_pix2pix.core.data.alignment import Alignment
from napari_pix2pix.core.data.pairs import PairedFrames, StackAxes, Windows, settle_empty_frames
from napari_pix2pix.core.data.split import split_pairs
from napari_pix2pix.core.encodings.encoding import fit_encoding, guess_kind, labels_in_disguise
from napari_pix2pix.core.geometry.axes import AxesPlan
from napari_pix2pix.core.geometry.receptive_field import fold
from napari_pix2pix.core.methods.pix2pix import reach
from napari_pix2pix.core.settings.config import Config, DiscriminatorConfig, make_config

MOST_MEASURED, MOST_TOLERATED = 64, 16
"""Shift and correlation are measured on so many frames at most; the largest ``shift_tolerance`` in px."""
SATURATED, FEW_COLOURS, HARMLESS_SHIFT = 0.01, 16, 1
"""No warning: a share of values at the highest one. No labels: more colours. No warning: a shift in px."""
FIELDS = {n: fold([(4, 2, 1)] * n + [(4, 1, 1)] * 2).size for n in range(1, 6)}
"""The PatchGAN's field in px by `n_layers`."""
LENGTHS_PER_FIELD, PAPERS_PATCH, GRID = 6, 256, 32
BINS, EDGE, RARE, NARROW, MOSTLY = 64, 0.02, 1e-3, 4, 0.4
"""Plateaus: bins; the largest difference between neighbours, as a share of the range; the share of the pixels without
an edge that is no peak; the widest peak, in bins; the least share of pixels without an edge. Chosen on facade_windows
(labels against photos) and on masks of DSB2018 stored as JPEG (against its images)."""
SWAPPED = (
    "The sources look like labels and the targets like grey values: swapped? Give the images first and the labels "
    "second, or --source-kind classes if images are to be made of labels."
)
Figures = dict[str, Any]
Level = Literal["unusable", "warning", "hint"]


@dataclass(frozen=True)
class Remedy:
    """What could be done about a remark.

    Parameters
    ----------
    label
        In a few words, as on a button.
    changes
        Of settings by the names of their fields, nested as in `Config`.
    swap
        Whether source and target are to change places.
    """

    label: str
    changes: dict[str, Any] = field(default_factory=dict)
    swap: bool = False


@dataclass(frozen=True)
class Remark:
    """What to know about pairs before a training.

    Parameters
    ----------
    text
        A sentence.
    short
        The same in a few words, for a window; empty: the sentence is short.
    level
        ``unusable``: they cannot be trained on; ``warning``: to be looked at; ``hint``: what suits them.
    remedies
        What could be done about it by settings.
    """

    text: str
    short: str = ""
    level: Level = "warning"
    remedies: tuple[Remedy, ...] = ()


def check(
    source: Any,
    target: Any = None,
    axes: str | tuple[StackAxes, StackAxes] | None = None,
    *,
    names: Sequence[str] | None = None,
    config: Config | None = None,
) -> Figures:
    """What makes these pairs unusable, what to look at before training, and what suits them; nothing is changed.

    Every frame is read, one at a time; shift and correlation are measured on at most 64 evenly spaced frames, on the
    middle 1024 x 1024 px of each.

    Parameters
    ----------
    source, target, axes, names
        As in `PairedFrames`; or `source` is one, and the others are left out.
    config
        Its kinds are believed, and what a training with it would refuse is unusable; None: kinds and patch size are
        found from the pairs, and what a training would ask about is a warning.

    Returns
    -------
    dict
        Everything as JSON: ``usable``; ``remarks``, each as a `Remark`, and of these ``unusable`` and ``warnings``,
        sentences; ``facts``, label → text;
        ``n_pairs``, ``n_frames``, ``n_measured``; ``smallest`` and ``largest`` frame (Y, X); ``source`` and ``target``
        (axes, dtypes, channels …); ``shift`` of the target against the source, (Y, X) in px or None where it is not
        measurable, with its ``confidence`` and those of the ``frames``; ``correlation`` (coefficient, lengths in px);
        ``suggested`` (see `suggest`); ``patch_size`` and how many such windows fit side by side, ``n_patches``.

    Raises
    ------
    ValueError
        If the stacks do not pair up.
    """
    pairs = source if isinstance(source, PairedFrames) else PairedFrames(source, target, axes, names=names)
    trained, pairs = pairs, pairs.planes()  # what is measured is measured plane by plane
    regions = pairs.regions()
    chosen = np.unique(np.linspace(0, len(regions) - 1, MOST_MEASURED).round().astype(int))
    measured = [regions[i] for i in chosen]
    some_sources, some_targets = (Windows(read, measured) for read in (pairs.source, pairs.target))

    # Every frame, one after another
    frames = some_targets if trained is pairs else Windows(trained.target, trained.regions())
    kind = config.target_kind if config and config.target_kind != "auto" else guess_kind(frames)
    n_colours = {"source": _n_colours(some_sources), "target": _n_colours(some_targets)}
    sources = _Side("source", pairs.source_plans, is_labels=n_colours["source"] <= FEW_COLOURS)
    targets = _Side("target", pairs.target_plans, is_labels=kind != "intensity" or n_colours["target"] <= FEW_COLOURS)
    for region in regions:
        sources.add(pairs.source(region.frame), pairs.name(region.frame))
        targets.add(pairs.target(region.frame), pairs.name(region.frame))
    remarks = [*sources.unusable(), *targets.unusable()]
    unusable = bool(remarks)
    remarks += [*sources.warnings(), *targets.warnings()]
    about_target = targets.figures() | {"kind": kind}
    if not unusable and not (config and config.source_kind == "classes"):
        swapped = kind == "intensity" and n_colours["target"] > FEW_COLOURS and guess_kind(some_sources) != "intensity"
        as_labels = Remedy("Sources are labels", {"source_kind": "classes"})
        if swapped:
            short = "sources look like labels, targets like grey values: swapped?"
            remarks.append(Remark(SWAPPED, short, remedies=(Remedy("Swap them", swap=True), as_labels)))
        else:
            remarks += _labels_in_disguise("source", some_sources, n_colours["source"])
    disguised: list[Remark] = []
    if not unusable and kind == "intensity":
        disguised = _labels_in_disguise("target", some_targets, n_colours["target"])
        remarks += disguised
    if not unusable and kind != "instances" and not disguised:
        n = _n_plateaus(Windows(pairs.target, measured[::4]), targets.lowest, targets.highest)
        if n and n_colours["target"] >= min(3 * n, FEW_COLOURS + 1):
            text = (
                f"The targets look like labels stored as JPEG, or smoothed: nearly all pixels have one of {n} values "
                "per channel, the others ring around them. Store a whole number for each label, as TIFF or PNG."
            )
            remarks.append(Remark(text, "targets look like labels stored as JPEG: store whole numbers, as TIFF or PNG"))
    if not unusable and targets.n_zero:
        meaning, said = (config.empty_frames, config.target_kind) if config else ("ask", kind)
        try:
            trained = settle_empty_frames(trained, meaning, said)
        except ValueError as error:
            share = targets.n_zero / targets.n_frames
            short = f"{share:.0%} of the frames have no labels: empty or not labelled?".replace("%", " %", 1)
            answers = Remedy("Empty", {"empty_frames": "empty"}), Remedy("Not labelled", {"empty_frames": "unlabelled"})
            unusable = config is not None
            remarks.append(Remark(str(error), short, "unusable" if unusable else "warning", answers))

    # How targets lie against their sources
    lie = Alignment()
    if not unusable:
        try:
            encoding = fit_encoding(some_targets if kind == "intensity" else Windows(pairs.target, regions), kind)
            about_target["classes"] = list(encoding.classes)
            lie = Alignment.of(pairs, measured, encoding)
            if config and config.source_kind == "classes":
                fit_encoding(Windows(pairs.source, regions), "classes")
            if config:
                remarks += [Remark(text, level="hint") for text in split_pairs(trained, config, reach(config)).remarks]
        except ValueError as error:
            remarks.append(Remark(str(error), level="unusable"))
    shift, correlation = lie.shift(), lie.correlation()
    remarks += _shift_remarks(shift, config)

    # What suits them
    shapes = [region.shape for region in regions]
    smallest = min(shapes, key=min)
    # One image is divided: patches of a quarter of its side leave room for validation.
    suggested = suggest(correlation["length"], min(smallest) // (4 if len(regions) == 1 else 1))
    patch_size = config.patch_size if config else suggested["patch_size"]
    if min(smallest) < patch_size:
        text = (
            f"Images must be at least as large as a patch, {patch_size} x {patch_size} px; the smallest is "
            f"{smallest[0]} x {smallest[1]}. Leave small images out or choose smaller patches."
        )
        short = f"patches of {patch_size} px are larger than the smallest image, {smallest[0]}×{smallest[1]} px"
        smaller = [n for n in range(patch_size - 1, 7, -1) if n <= min(smallest) and _suits(config, {"patch_size": n})]
        fitting = tuple(Remedy(f"Patches of {n} px", {"patch_size": n}) for n in smaller[:1])
        remarks.append(Remark(text, short, "unusable", fitting))
    elif config and correlation["length"]:
        remarks += _hints(suggested, config)
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
        "shift": shift,
        "correlation": correlation,
        "suggested": suggested,
        "patch_size": patch_size,
        "n_patches": sum((y // patch_size) * (x // patch_size) for y, x in shapes),
    }
    return report | {"facts": _facts(report)}


def suggest(length: float | None, smallest: int) -> dict[str, int]:
    """`n_layers` and `field` of the discriminator and the `patch_size` for this correlation length and image side, px.

    A PatchGAN takes pixels farther apart than its field as independent (the paper's Markov argument, section 3.2), so
    the field should reach to where they are. A correlation that decays exponentially is down to 5 % at three lengths;
    three to either side make six, and of the fields that fit, the nearest by ratio is taken. Without a length: 70 px.
    The patch has the paper's 256 px, to which the generator's reach fits, or two fields where these are more, so that
    half of the scores in a row see no padding; a multiple of 32, as large as the smallest image allows.

    References
    ----------
    Isola et al., "Image-to-Image Translation with Conditional Adversarial Networks", CVPR 2017.
    """
    room = max(smallest // GRID, 1) * GRID
    wanted = LENGTHS_PER_FIELD * max(length, 1.0) if length else FIELDS[DiscriminatorConfig().n_layers]
    n_layers = min((n for n in FIELDS if FIELDS[n] <= room), key=lambda n: abs(log(FIELDS[n] / wanted)))
    wide = ceil(max(PAPERS_PATCH, 2 * FIELDS[n_layers]) / GRID) * GRID
    return {"n_layers": n_layers, "field": FIELDS[n_layers], "patch_size": min(wide, room)}


@dataclass
class _Side:
    """What all sources, or all targets, hold; summed up frame by frame."""

    side: str
    plans: Sequence[AxesPlan]
    is_labels: bool
    dtypes: set[str] = field(default_factory=set)
    holed: list[str] = field(default_factory=list)
    constant: list[str] = field(default_factory=list)
    n_frames: int = 0
    n_zero: int = 0
    n_empty: int = 0
    n_labels: int = 0
    n_values: int = 0
    lowest: float = np.inf
    highest: float = -np.inf
    n_highest: int = 0

    def add(self, frame: NDArray[Any], name: str) -> None:
        """One frame (C, Y, X)."""
        self.n_frames += 1
        self.n_values += frame.size
        self.dtypes.add(str(frame.dtype))
        if frame.dtype.kind == "f" and not np.isfinite(frame).all():
            self.holed.append(name)
            return
        low, high = float(frame.min()), float(frame.max())
        self.n_zero += low == high == 0
        if self.is_labels:
            self.n_empty += low == high == 0
            self.n_labels += int(np.count_nonzero(np.unique(frame)))
        if low == high:
            self.constant.append(name)
        if high > self.highest:
            self.n_highest = 0
        self.lowest, self.highest = min(self.lowest, low), max(self.highest, high)
        if high == self.highest:
            self.n_highest += int(np.count_nonzero(frame == frame.max()))

    def unusable(self) -> list[Remark]:
        """What keeps them from being trained on."""
        if self.holed:
            others = f" (and {len(self.holed) - 1} more)" if len(self.holed) > 1 else ""
            text = f"The {self.side} of {self.holed[0]}{others} holds NaN or Inf. Replace these pixels or leave it out."
            return [Remark(text, level="unusable")]
        if len(self.constant) == self.n_frames:
            text = f"Every {self.side} is constant. Check that these are the right files."
            return [Remark(text, level="unusable")]
        return []

    @property
    def saturated(self) -> float | None:
        """The share of values at the highest one; None for labels, of which every value is one."""
        return None if self.is_labels else self.n_highest / self.n_values

    def warnings(self) -> list[Remark]:
        """What to look at."""
        found = []
        if self.saturated and self.saturated > SATURATED and len(self.constant) < self.n_frames:
            share = f"{_percent(self.saturated)} of the values are {self.highest:g}"
            found.append(Remark(f"The {self.side}s are saturated: {share}.", f"{self.side}s saturated: {share}"))
        n_constant = len(self.constant) - self.n_empty
        if 0 < n_constant < self.n_frames:
            counted = f"{n_constant} of {self.n_frames} {self.side}s are constant"
            found.append(Remark(f"{counted}; one is that of {self.constant[0]}.", counted))
        return found

    def figures(self) -> Figures:
        """As JSON."""
        known = self.highest > -np.inf
        labels = {"n_empty": self.n_empty, "n_labels": self.n_labels} if self.is_labels else {}
        return {
            "axes": sorted({plan.axes for plan in self.plans}),
            "dtypes": sorted(self.dtypes),
            "channels": self.plans[0].n_channels,
            "range": [self.lowest, self.highest] if known else None,
            "saturated": self.saturated,
            "n_constant": len(self.constant),
            "n_not_finite": len(self.holed),
        } | labels


def _shift_remarks(shift: Figures, config: Config | None) -> list[Remark]:
    """Shifts of more than 1 px, unless the settings tolerate them."""
    usual = shift["pixels"] or [0, 0]
    known = {name: pixels for name, pixels in shift["frames"].items() if pixels is not None}
    apart = {name: max(abs(a - b) for a, b in zip(known[name], usual, strict=True)) for name in known}
    odd = [name for name in known if apart[name] > 2 * HARMLESS_SHIFT]
    largest = ceil(max(map(abs, [*usual, *(n for name in odd for n in known[name])])))
    if config and config.shift_tolerance >= largest:
        return []
    tolerance = {"shift_tolerance": largest}
    tolerable = largest <= MOST_TOLERATED and _suits(config, tolerance)
    remedies = tuple([Remedy(f"Tolerate {largest} px", tolerance)] if tolerable else [])
    found = []
    if max(map(abs, usual)) > HARMLESS_SHIFT:
        text = (
            f"The target is shifted by {_point(usual)} px (Y, X) against the source. Register them, unless it is meant."
        )
        found.append(Remark(text, f"target shifted by {_point(usual)} px".replace("-", "−"), remedies=remedies))
    if odd:
        worst = max(odd, key=apart.__getitem__)
        text = (
            f"{len(odd)} of {len(known)} frames are shifted by other than {_point(usual)} px (Y, X); the target of "
            f"{worst} by {_point(known[worst])} px."
        )
        short = f"{len(odd)} of {len(known)} frames are shifted, {worst} by {_point(known[worst])} px"
        found.append(Remark(text, short.replace("(-", "(−").replace(" -", " −"), remedies=() if found else remedies))
    return found


def _hints(suggested: dict[str, int], config: Config) -> list[Remark]:
    """The field and the patch that suit these pairs, where the settings have others."""
    n_layers, patch_size = suggested["n_layers"], suggested["patch_size"]
    changes = {"patch_size": patch_size, "discriminator": {"n_layers": n_layers}}
    if (config.patch_size, config.discriminator.n_layers) == (patch_size, n_layers) or not _suits(config, changes):
        return []
    short = f"patches of {patch_size} px and a field of {suggested['field']} px would suit these images"
    return [Remark(f"{short[0].upper()}{short[1:]}.", short, "hint", (Remedy("Use these", changes),))]


def _suits(config: Config | None, changes: dict[str, Any]) -> bool:
    """Whether the settings allow these changes."""
    try:
        make_config(changes=changes, kept=config.model_dump() if config else None)
    except ValueError:
        return False
    return True


def _n_colours(images: Sequence[NDArray[Any]]) -> int:
    """Different pixels (all channels) among some of each image; counting ends where there are too many for labels."""
    colours: set[tuple[Any, ...]] = set()
    for image in images:
        pixels = image.reshape(len(image), -1)
        colours.update(map(tuple, np.unique(pixels[:, :: max(1, pixels.shape[1] // 16384)], axis=1).T.tolist()))
        if len(colours) > FEW_COLOURS:
            break
    return len(colours)


def _n_plateaus(images: Sequence[NDArray[Any]], lowest: float, highest: float) -> int:
    """How many values these images (C, Y, X) nearly consist of; 0 for images of many values.

    Pixels without an edge beside them are counted in 64 bins from `lowest` to `highest`. Labels that a JPEG has made
    ring, or that were smoothed, leave a few narrow peaks far apart; images of grey values leave a wide one.
    """
    flat = np.zeros((len(images[0]), BINS), int)
    n_pixels = 0
    for image in images:
        scaled = (image.astype(np.float64) - lowest) / (highest - lowest)
        edges = ndimage.maximum_filter(scaled, (1, 3, 3)) - ndimage.minimum_filter(scaled, (1, 3, 3))
        flat += [
            np.histogram(channel[edge <= EDGE], BINS, (0, 1))[0] for channel, edge in zip(scaled, edges, strict=True)
        ]
        n_pixels += image[0].size
    found = []
    for counts in flat:
        peaks, n_peaks = ndimage.label(counts > RARE * counts.sum())
        narrow = np.bincount(peaks)[1:].max(initial=0) <= NARROW
        found.append(n_peaks if narrow and counts.sum() > MOSTLY * n_pixels else BINS)
    return max(found) if 1 < max(found) <= FEW_COLOURS else 0


def _labels_in_disguise(side: str, images: Sequence[NDArray[Any]], n_colours: int) -> list[Remark]:
    """What to do where images taken for intensities look like labels, perhaps stored as colours or as float."""
    first = images[0]
    if n_colours <= FEW_COLOURS and len(first) > 1:
        seen = f"{side}s hold {n_colours} colours only: labels?"
        return [Remark(f"The {seen} Then store a whole number for each, in one channel.", seen)]
    if n_colours <= FEW_COLOURS and side == "source":
        seen = f"sources hold {n_colours} grey values only: labels?"
        remedies = (Remedy("Labels", {"source_kind": "classes"}),)
        return [Remark(f"The {seen} Then give --source-kind classes.", seen, remedies=remedies)]
    if side == "target" and (sentence := labels_in_disguise(images)):
        kind = guess_kind(image.astype(np.int64) for image in images)
        taken = [Remedy(f"Take as {kind}", {"target_kind": kind})] if len(first) == 1 else []
        return [Remark(sentence, f"targets look like labels stored as {first.dtype}", remedies=tuple(taken))]
    return []


def _count(n: int, thing: str) -> str:
    return f"{n} {thing}" + ("s" if n > 1 else "")


def _percent(share: float) -> str:
    return f"{100 * share:.{0 if share >= 0.1 else 1}f} %"


def _point(pixels: Sequence[float]) -> str:
    return f"({', '.join(f'{n:g}' for n in pixels)})"


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
    target = report["target"]
    kind = target["kind"]
    if kind == "classes":
        kind += f" {target.get('classes', '')}"
    elif kind == "instances":
        kind += f", {target['n_labels']} objects, largest id {target['range'][1]:.0f}"
    shift, correlation, suggested = report["shift"], report["correlation"], report["suggested"]
    measurable = f"{sum(pixels is not None for pixels in shift['frames'].values())} of {report['n_measured']} frames"
    lengths = [
        f"{correlation[f'length_{name}'] or 0:.1f} px ({name})"
        for name in ("target", "both")
        if correlation[f"length_{name}"]
    ]
    return facts | {
        "target kind": kind,
        "shift": f"{_point(shift['pixels'])} px (Y, X)" if shift["pixels"] else "not measurable",
        "shift measurable in": measurable,
        "correlation length": " and ".join(lengths) or "not measurable",
        "suggested field": f"{suggested['field']} px (--discriminator.n-layers {suggested['n_layers']})",
        "suggested patch": f"{suggested['patch_size']} px (--patch-size {suggested['patch_size']})",
        "patches": f"{report['n_patches']} of {report['patch_size']} px side by side",
    }
