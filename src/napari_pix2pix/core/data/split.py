"""Who trains, who chooses the best model, who calibrates: parts of the pairs that never meet."""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, product
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from napari_pix2pix.core.data.frames import Frames
from napari_pix2pix.core.data.pairs import PairedFrames
from napari_pix2pix.core.data.regions import Region
from napari_pix2pix.core.geometry.axes import middle
from napari_pix2pix.core.settings.config import Config

KINDS: tuple[Literal["train", "validation", "calibration"], ...] = ("train", "validation", "calibration")
"""The kinds of pairs that make a model, the one that teaches it most first."""

LEAST_SIDE = 512
"""Of a part of an image that stands for it, px: some fields of any discriminator, some objects of any kind."""


@dataclass(frozen=True)
class Split:
    """Which regions train, which choose the best model, which calibrate; and a remark for each kind left out."""

    train: tuple[Region, ...]
    validation: tuple[Region, ...] = ()
    calibration: tuple[Region, ...] = ()
    remarks: tuple[str, ...] = ()

    def rows(self, pairs: PairedFrames | Frames) -> Iterator[dict[str, Any]]:
        """One row per region, for `split.csv`."""
        for kind in KINDS:
            for region in getattr(self, kind):
                stack, frame = pairs.places[region.frame]
                y, x = region.window[-2:]
                window = {"y_start": y.start, "y_stop": y.stop, "x_start": x.start, "x_stop": x.stop}
                files = (
                    dict(zip(("source_sha256", "target_sha256"), pairs.hashes[stack], strict=True))
                    if pairs.hashes
                    else {}
                )
                names = {"name": pairs.names[stack], "group": pairs.groups[stack]}
                yield {"kind": kind, **names, "frame": frame, **window, **files}


def evenly(pairs: PairedFrames, regions: tuple[Region, ...], most_pixels: int) -> tuple[Region, ...]:
    """Regions that hold at most so many pixels: these, or else the middles of some, evenly chosen.

    The middles are squares of all planes, as large as may be where all have a share, but not smaller than `LEAST_SIDE`.
    Those of which nothing is known are left out; but if that is so of all, the regions stay whole.
    """
    if sum(math.prod(region.shape) for region in regions) <= most_pixels:
        return regions
    planes = max(math.prod(region.shape[:-2]) for region in regions)
    side = max(LEAST_SIDE, math.isqrt(most_pixels // planes // len(regions)))
    count = min(len(regions), max(1, most_pixels // (planes * side**2)))
    chosen = np.linspace(0, len(regions) - 1, count).round().astype(int)
    middles = (regions[i].window for i in chosen)
    windows = ((*window[:-2], *(middle(along, side) for along in window[-2:])) for window in middles)
    some = [Region(regions[i].frame, window) for i, window in zip(chosen, windows, strict=True)]
    seen = (one for one in some if pairs.knows(one))
    return tuple(seen) or regions


def overlaps(a: dict[str, Any], b: dict[str, Any]) -> bool:
    """Whether two rows of `Split.rows` show the same pixels of the same file; without hashes nothing is known to."""
    same = all(a.get(key) is not None and a.get(key) == b.get(key) for key in ("source_sha256", "frame"))
    return same and all(
        a[f"{axis}_start"] < b[f"{axis}_stop"] and b[f"{axis}_start"] < a[f"{axis}_stop"] for axis in "yx"
    )


def met(rows: Iterable[dict[str, Any]]) -> Callable[[dict[str, Any]], bool]:
    """A function that says whether a row `overlaps` one of these; it compares only those of the same frame."""
    by_frame: dict[tuple[str | None, int | None], list[dict[str, Any]]] = {}
    for row in rows:
        if row.get("source_sha256") is not None:
            by_frame.setdefault((row["source_sha256"], row.get("frame")), []).append(row)

    def overlaps_one(row: dict[str, Any]) -> bool:
        return any(overlaps(row, other) for other in by_frame.get((row.get("source_sha256"), row.get("frame")), ()))

    return overlaps_one


def unlike(rows: Iterable[dict[str, Any]], others: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Those of the rows of `Split.rows` that are not among the others."""
    known = {frozenset(row.items()) for row in others}
    return [row for row in rows if frozenset(row.items()) not in known]


def without_seen(split: Split, pairs: PairedFrames, seen: Sequence[dict[str, Any]]) -> Split:
    """The split with what was `seen` in an earlier training (rows) moved to train, where it can do no harm."""
    rows = list(split.rows(pairs))
    regions = (*split.train, *split.validation, *split.calibration)
    parts: dict[str, list[Region]] = {"train": [], "validation": [], "calibration": []}
    moved, is_seen = 0, met(seen)
    for row, region in zip(rows, regions, strict=True):
        leaked = row["kind"] != "train" and is_seen(row)
        parts["train" if leaked else row["kind"]].append(region)
        moved += leaked
    if not moved:
        return split
    remark = f"{moved} of the pairs set aside had trained the model to start from; they train again and judge nothing."
    train, validation, calibration = (tuple(part) for part in parts.values())
    return Split(train, validation, calibration, (*split.remarks, remark))


def without_copies(split: Split, known_by: Mapping[int, bytes]) -> Split:
    """The split with frames that are copies of ones of an earlier kind moved there, where they judge nothing.

    So it is within one stack, whose frames cannot be held together as groups are; see `Contents` for `known_by`.
    """
    parts: dict[str, list[Region]] = {kind: [] for kind in KINDS}
    of: dict[bytes, tuple[str, int]] = {}
    moved = 0
    for kind in KINDS:
        for region in getattr(split, kind):
            content = known_by.get(region.frame)
            there, first = of.setdefault(content, (kind, region.frame)) if content is not None else (kind, region.frame)
            copied = there != kind and first != region.frame  # parts of one frame are no copies
            parts[there if copied else kind].append(region)
            moved += copied
    if not moved:
        return split
    remarks = [f"{moved} of the frames set aside are copies of others, to the last pixel: they stay with these."]
    remarks += [_REMARKS[kind] for kind in _REMARKS if getattr(split, kind) and not parts[kind]]
    train, validation, calibration = (tuple(parts[kind]) for kind in KINDS)
    return Split(train, validation, calibration, (*split.remarks, *remarks))


def windows_of(pairs: PairedFrames | Frames, rows: Iterable[dict[str, Any]], kind: str) -> tuple[Region, ...]:
    """The regions of `kind` that `Split.rows` told; rows of pairs that are not there are left out."""
    frames = {(pairs.names[stack], frame): i for i, (stack, frame) in enumerate(pairs.places)}
    found = []
    for row in rows:
        if row["kind"] == kind and (row["name"], row["frame"]) in frames:
            frame = frames[row["name"], row["frame"]]
            planes = tuple(slice(0, n) for n in pairs.frame_shape(frame)[:-2])
            y, x = (slice(row[f"{axis}_start"], row[f"{axis}_stop"]) for axis in "yx")
            found.append(Region(frame, (*planes, y, x)))
    return tuple(found)


def trained_elsewhere(provenance: Mapping[str, Any]) -> bool:
    """Whether nobody knows what trained the model of this provenance: it, or what it began from, was imported."""
    return "imported" in provenance or "began_imported" in provenance


def seen_frames(pairs: PairedFrames, provenance: dict[str, Any]) -> dict[int, str]:
    """By number the frames that made the model of this provenance, and the kind of pairs they were.

    A frame did so if something known of it lies in a window of its source file that trained, chose or calibrated, or
    of its target file where these trained by themselves; or if its group did, where groups were named. Files are told
    by their hashes; without these nothing is known.
    """
    told = provenance.get("pairs") or {}
    rows = [row for row in (*provenance.get("regions", ()), *provenance.get("seen", ())) if row["kind"] in KINDS]
    # Files that chose are not among the regions; those that trained were not always.
    for kind in ("validation",) if "regions" in provenance else ("train", "validation"):
        rows += [{"kind": kind, **_files(source)} for source in (told.get(kind) or {}).get("sources", ())]
    rows.sort(key=lambda row: KINDS.index(row["kind"]))
    by_frame: dict[tuple[str, int | None], list[tuple[int, dict[str, Any]]]] = {}
    for order, row in enumerate(rows):
        for file in (row.get("source_sha256") or "").split():
            by_frame.setdefault((file, row.get("frame")), []).append((order, row))
    files = {file for file, _ in by_frame}
    groups = {row["group"]: row["kind"] for row in reversed(rows) if row.get("group") != row.get("name")}
    found = {}
    for region in pairs.regions() if pairs.hashes else ():
        stack, index = pairs.places[region.frame]
        assert pairs.hashes is not None
        own = [file for file in " ".join(pairs.hashes[stack]).split() if file in files]
        if own:
            told_of = dict(row for file in own for frame in (index, None) for row in by_frame.get((file, frame), ()))
            kinds = [told_of[i]["kind"] for i in sorted(told_of) if _shows(pairs, region, told_of[i])]
        else:
            named = pairs.groups[stack] != pairs.names[stack]
            kinds = [groups[pairs.groups[stack]]] if named and pairs.groups[stack] in groups else []
        if kinds:
            found[region.frame] = kinds[0]
    return found


def _files(identity: dict[str, Any]) -> dict[str, str]:
    """The hashes of a stack's files as `Split.rows` tells them."""
    return {"source_sha256": " ".join(said["sha256"] for said in (identity, *identity.get("more", ())))}


def _shows(pairs: PairedFrames, region: Region, row: dict[str, Any]) -> bool:
    """Whether something known of this frame lies in the window of the row; without one that is the whole frame."""
    if "y_start" not in row:
        return True
    y, x = (slice(row[f"{axis}_start"], row[f"{axis}_stop"]) for axis in "yx")
    return pairs.knows(Region(region.frame, (*region.window[:-2], y, x)))


def split_pairs(pairs: PairedFrames | Frames, config: Config, reach: int) -> Split:
    """Divide `pairs` into train, validation and calibration, the same for the same seed.

    Several groups: whole groups, drawn at random. One group of several frames: contiguous blocks of frames with one
    frame left out between them. One frame: blocks along its longer axis with `reach` pixels left out between them.
    A kind for which there is no room is left out, with a remark. Where pairs lack stains, groups change places until
    each kind has as many of the stains as can be, those that train first; a remark tells what a kind lacks.
    """
    shares = {"validation": config.validation_share, "calibration": config.calibration_share}
    shares = {kind: share for kind, share in shares.items() if share}
    regions = pairs.regions()
    groups = sorted({pairs.groups[stack] for stack, _ in pairs.places})
    found: dict[str, tuple[Region, ...]]
    if len(groups) > 1:
        order = np.random.default_rng(config.seed).permutation(len(groups))
        shuffled = [groups[i] for i in order]
        blocks = _blocks(len(groups), shares, gap=0, least=1)
        if isinstance(pairs, PairedFrames) and not pairs.all_stained:
            shuffled = _stained_alike(pairs, regions, shuffled, blocks)
        members = {kind: {shuffled[i] for i in range(*block)} for kind, block in blocks.items()}
        found = {
            kind: tuple(r for r in regions if pairs.groups[pairs.places[r.frame][0]] in names)
            for kind, names in members.items()
        }
    elif len(pairs.stacks) > 1:
        found = {"train": regions}  # a group never shares its pairs
    elif len(pairs) > 1:
        # Along T or Z, whichever is longer; all frames at one place of it stay together.
        plan = pairs.plans[0]
        n_z = len(pairs) // plan.length("T")
        along_t = plan.length("T") >= n_z
        blocks = _blocks(plan.length("T") if along_t else n_z, shares, gap=1, least=1)
        places = [divmod(r.frame, n_z)[0 if along_t else 1] for r in regions]
        found = {
            kind: tuple(r for r, place in zip(regions, places, strict=True) if start <= place < stop)
            for kind, (start, stop) in blocks.items()
        }
    else:
        axis = int(np.argmax(regions[0].shape[-2:])) - 2
        blocks = _blocks(regions[0].shape[axis], shares, gap=reach, least=config.patch_size)
        found = {kind: (_cut(regions[0], axis, block),) for kind, block in blocks.items()}
    if isinstance(pairs, PairedFrames) and not pairs.known_everywhere:
        found = {kind: tuple(r for r in part if pairs.knows(r)) for kind, part in found.items()}
    if not found["train"]:
        raise ValueError(
            "Something of the targets that train must be known; all that is known fell to validation. Set aside less "
            "(`validation_share`, `calibration_share`), or give validation pairs of their own."
        )
    missing = [kind for kind in shares if not found.get(kind)]
    remarks = [_REMARKS[kind] for kind in missing]
    if isinstance(pairs, PairedFrames) and not pairs.all_stained:
        remarks += _not_stained(pairs, found)
    return Split(**found, remarks=tuple(remarks))


_REMARKS = {
    "validation": "No room for validation pairs: the last step's model is kept, not the best.",
    "calibration": "No room for calibration pairs: scores have no ranks.",
}


def _stained_alike(
    pairs: PairedFrames, regions: Sequence[Region], groups: list[str], blocks: dict[str, tuple[int, int]]
) -> list[str]:
    """The groups in an order that gives each block, the first above all, as many of the stains as can be.

    Two groups of different blocks change places as long as that gains a stain for one and costs none for those before
    it; the same groups in the same order give the same.
    """
    number = {group: i for i, group in enumerate(groups)}
    has = np.zeros((len(groups), pairs.n_channels[1]), bool)
    for region in regions:
        has[number[pairs.groups[pairs.places[region.frame][0]]]] |= pairs.stains(region.frame)
    order = np.arange(len(groups))

    def gained(counts: NDArray[np.intp]) -> tuple[int, ...]:
        return tuple((counts > 0).sum(axis=1).tolist())

    kinds = [range(*block) for block in blocks.values()]
    counts = np.array([has[order[kind]].sum(axis=0) for kind in kinds])
    while True:
        best = gained(counts)
        firsts = [{has[order[i]].tobytes(): i for i in reversed(kind)}.values() for kind in kinds]  # of groups alike
        for (a, one), (b, other) in combinations(enumerate(firsts), 2):
            for i, j in product(one, other):
                change = has[order[j]].astype(int) - has[order[i]]
                changed = counts.copy()
                changed[a] += change
                changed[b] -= change
                if gained(changed) > best:
                    break
            else:
                continue
            order[[i, j]], counts = order[[j, i]], changed
            break
        else:
            return [groups[i] for i in order]


_LACKING = {
    "train": "No training pair is stained for {}: nothing can be learned of it.",
    "validation": "No validation pair is stained for {}: nothing of it chooses the best model.",
    "calibration": "No calibration pair is stained for {}: its scores and expected errors are not calibrated.",
}


def _not_stained(pairs: PairedFrames, found: dict[str, tuple[Region, ...]]) -> list[str]:
    """A remark for each kind of pairs that lacks a stain."""
    there = {kind: np.any([pairs.stains(r.frame) for r in part], axis=0) for kind, part in found.items() if part}
    lacking = {kind: [pairs.stain(k) for k in np.flatnonzero(~own).tolist()] for kind, own in there.items()}
    return [_LACKING[kind].format(" or ".join(names)) for kind, names in lacking.items() if names]


def _blocks(length: int, shares: dict[str, float], gap: int, least: int) -> dict[str, tuple[int, int]]:
    """Train first, then a block of at least `least` for each kind, `gap` between; if room is short, the last go."""
    for count in range(len(shares), -1, -1):
        kept = list(shares.items())[:count]
        sizes = {kind: max(least, round(share * length)) for kind, share in kept}
        room = length - sum(sizes.values()) - gap * count
        if room >= least and room >= length / 2:
            break
    else:
        room, sizes = length, {}
    blocks, start = {"train": (0, room)}, room
    for kind, size in sizes.items():
        blocks[kind] = (start + gap, start + gap + size)
        start += gap + size
    return blocks


def _cut(region: Region, axis: int, block: tuple[int, int]) -> Region:
    window = list(region.window)
    window[axis] = slice(*block)
    return Region(region.frame, tuple(window))
