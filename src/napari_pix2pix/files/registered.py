"""The target in a file moved, place by place, to where it lies over its source; and a mask of where that is known."""

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_pix2pix import __version__
from napari_pix2pix.core.data.fields import Ends, Field, inside, least_area, moved, places
from napari_pix2pix.core.data.local_shifts import LocalShifts, bands, gathered, measured
from napari_pix2pix.core.data.pairs import require_finite
from napari_pix2pix.core.data.regions import Region, Windows
from napari_pix2pix.core.data.shifts import MIDDLE
from napari_pix2pix.core.encodings.kinds import guess_kind, labels_in_disguise
from napari_pix2pix.core.geometry.axes import AxesPlan, middle
from napari_pix2pix.core.settings.running import RegisterSettings
from napari_pix2pix.files.outputs import Job
from napari_pix2pix.files.pairing import channel_numbers
from napari_pix2pix.files.stacks import Stack, open_stack, sha256, stack_writer

IN_PLACE = 0.5
"""A target is left as it is where nine in ten of its blocks lie off by less, px: resampling would only soften it."""
SAME_SIZE = 0.01
"""Pixel sizes that differ by a smaller share are the same."""
MARGIN = 16
"""Of a part that is resampled, px: a cubic spline's pixels farther away weigh less than 1e-9."""
LOOKED_AT = 4
"""Frames of a target that tell its kind."""


@dataclass(frozen=True)
class Placing:
    """Where a target of another size lies before it is registered: at `start` + `step` · p, px, both (Y, X)."""

    start: tuple[float, float]
    step: tuple[float, float]

    def places(self, shifts: Field, top: int = 0) -> Field:
        """Where in the target each pixel of the source lies (2, Y, X), where these are its rows from `top` on."""
        along = zip(self.start, self.step, places(shifts, top), strict=True)
        return np.stack([start + step * at for start, step, at in along]).astype(np.float32)


UNPLACED = Placing((0, 0), (1, 1))
"""Pixel on pixel."""


@dataclass(frozen=True)
class Outcome:
    """What became of a frame: ``moved``, ``in place``, ``kept`` or ``unlike``.

    Parameters
    ----------
    what
        ``kept``: moved, it would fit no better. ``unlike``: nothing was matched, it is as it was and not known.
    found
        How it lies; None where that could not be measured.
    why
        In a sentence, where it was not moved though it does not lie in place.
    least_area
        See `core.data.fields.least_area`; 1 where it was not moved.
    """

    what: str
    found: LocalShifts | None
    why: str = ""
    least_area: float = 1.0


def register_file(job: Job, how: RegisterSettings) -> Iterator[dict[str, Any]]:
    """Write the target of a pair, moved, and the mask of where it is known; at the end comes a ``row``.

    Frames that stay as they were, though they do not lie in place, get a warning.

    `job.inputs` are source and target, and a mask of where the target is known if there is one; `job.results` the moved
    target, of the same dtype, channels and axes on the source's grid, and the mask, 1 = known. Stacks are registered
    plane by plane.

    Raises
    ------
    ValueError
        If the pair cannot be registered: its frames do not correspond, nothing in it matches, or it holds NaN.
    """
    source, target = open_stack(job.inputs[0], how.source_axes), open_stack(job.inputs[1], how.target_axes)
    mask = open_stack(job.inputs[2]) if len(job.inputs) > 2 else None
    plans = _plans(source, target, mask, how)
    placing, said = _placing(source, target)
    if said:
        yield {"event": "note", "text": f"{job.name}: {said}"}
    labels = _are_labels(target, plans[1], how)
    if not labels and how.target_kind == "auto" and (sentence := _disguised(target, plans[1])):
        yield {"event": "warning", "file": job.name, "text": f"{job.name} is moved as grey values. {sentence}"}
    shape = plans[0].frame_shape
    everything = replace(plans[1], channels=())
    out_plan = everything.like(target.plan.n_channels, target.plan.channel_axis, (shape[-2], shape[-1]))
    known_plan = out_plan.like(1, "")
    own_grid = placing == UNPLACED and target.plan.frame_shape == shape
    meant: dict[str, Any] = {
        "pixel_size_um": target.pixel_size_um if own_grid else source.pixel_size_um or target.pixel_size_um,
        "placement": target.placement if own_grid else source.placement,
        "description": json.dumps(_origin(job, target), sort_keys=True),
    }
    named: dict[str, Any] = {"channel_names": target.channel_names, "labels": labels, **meant}
    writes = (
        stack_writer(job.results[0], out_plan, target.array.dtype, **named),
        stack_writer(job.results[1], known_plan, np.uint8, labels=True, **meant),
    )
    frames, known_shares = list[Outcome](), list[float]()
    with writes[0] as put, writes[1] as put_known:
        for frame in range(plans[0].n_frames):
            name = job.name + (f", frame {frame}" if plans[0].n_frames > 1 else "")
            pair = _Frame(source, target, mask, plans, frame, name, placing, labels, how.ignore_label)
            outcome, n_known = pair.registered(), 0
            if outcome.what == "unlike" and plans[0].n_frames == 1:
                raise ValueError(f"{name} cannot be registered: {outcome.why}")
            for rows in bands(pair.shape):
                image, known, area = pair.laid(outcome, rows)
                put(image)
                put_known(known[None].astype(np.uint8))
                outcome = replace(outcome, least_area=min(outcome.least_area, area))
                n_known += int(known.sum())
            frames.append(outcome)
            known_shares.append(n_known / (pair.shape[0] * pair.shape[1]))
            if outcome.why:
                yield {"event": "warning", "file": name, "text": f"{name} keeps its target as it was: {outcome.why}"}
            yield {"event": "progress", "unit": "files", "done": (frame + 1) / plans[0].n_frames, "total": 1}
        if all(outcome.what == "unlike" for outcome in frames):
            raise ValueError(f"{job.name} cannot be registered in any of its {len(frames)} frames: {frames[0].why}")
    yield {"event": "row", "row": _row(frames, known_shares)}


@dataclass
class _Frame:
    """A frame of a pair, read in bands of rows of its source; `ends` are those of what was read of the target."""

    source: Stack
    target: Stack
    mask: Stack | None
    plans: list[AxesPlan]
    frame: int
    name: str
    placing: Placing
    labels: bool
    ignore: int | None
    ends: Ends | None = None

    @property
    def shape(self) -> tuple[int, int]:
        y, x = self.plans[0].frame_shape[-2:]
        return y, x

    def registered(self) -> Outcome:
        """What becomes of it."""
        images = gathered(self._read, self.shape, self.labels)
        try:
            found = measured(images)
        except ValueError as error:
            return Outcome("unlike", None, str(error))
        if not found.in_common:
            turned = f"; the target seems to be {found.turned}" if found.turned else ""
            why = (
                f"Source and target must have something in common; {1 - found.unmatched:.0%} of the blocks match "
                f"(confidence {found.mean_confidence:.2f}){turned}. Check that they belong together."
            )
            return Outcome("unlike", found, why)
        if found.before[1] < IN_PLACE:
            return Outcome("in place", found)
        if not found.mendable:
            r, px = found.correlation, (found.before[0], found.after[0])
            why = f"moved, it would fit its source no better (correlation {r[0]:.3f}, moved {r[1]:.3f})."
            if r[1] > r[0]:
                why = f"it seems to lie off by {px[0]:.2g} px, no more than is uncertain of that ({px[1]:.2g} px)."
            return Outcome("kept", found, why)
        return Outcome("moved", found)

    def laid(self, outcome: Outcome, rows: slice) -> tuple[NDArray[Any], NDArray[np.bool_], float]:
        """These rows of the target (C, rows, X) on the grid of its source, where it is known, and the least area."""
        found, area = outcome.found, 1.0
        shifts = np.zeros((2, rows.stop - rows.start, self.shape[1]), np.float32)
        if outcome.what == "moved" and found is not None:
            own = found.field(self.shape, slice(max(rows.start - 1, 0), rows.stop))
            shifts, area = own[:, own.shape[1] - shifts.shape[1] :], least_area(own)
        image, known = self._placed(rows, shifts)
        if outcome.what == "unlike":  # what is empty is so wherever it lies
            empty = found is None and self.ends is not None and (self.ends[0] == self.ends[1]).all()
            return image, known & empty, area
        return image, known if found is None else known & found.known(self.shape, rows), area

    def _read(self, rows: slice) -> tuple[NDArray[Any], NDArray[Any], NDArray[np.bool_]]:
        """What tells how it lies, as it is placed."""
        values = self.plans[0].take(self.source.array, self.frame, (rows, slice(None)))
        require_finite(values, "source", self.name)
        image, known = self._placed(rows, np.zeros((2, rows.stop - rows.start, self.shape[1]), np.float32))
        taken = list(self.plans[1].taken)
        return values, image[taken] if taken else image, known

    def _placed(self, rows: slice, shifts: Field) -> tuple[NDArray[Any], NDArray[np.bool_]]:
        """The target seen through these shifts, and where it is known."""
        whole = self.target.plan.frame_shape[-2:]
        where = self.placing.places(shifts, rows.start)
        window = tuple(
            slice(int(np.clip(at.min() - MARGIN, 0, n - 1)), int(np.clip(at.max() + MARGIN + 1, 1, n)))
            for at, n in zip(where, whole, strict=True)
        )
        values = replace(self.plans[1], channels=()).take(self.target.array, self.frame, window)
        require_finite(values, "target", self.name)
        known = np.ones(values.shape[1:], bool)
        if self.mask is not None:
            known &= (self.plans[2].take(self.mask.array, self.frame, window) != 0).any(axis=0)
        if self.ignore is not None:
            known &= (values != self.ignore).all(axis=0)
        ends = values.min(axis=(1, 2)), values.max(axis=(1, 2))
        self.ends = (
            ends if self.ends is None else (np.minimum(self.ends[0], ends[0]), np.maximum(self.ends[1], ends[1]))
        )
        here = where - np.array([side.start for side in window], np.float32)[:, None, None]
        there = inside(where, (whole[0], whole[1]))
        if self.placing == UNPLACED and not shifts.any() and there.all():  # no value changes
            y, x = (slice(int(at.min()), int(at.max()) + 1) for at in here)
            return values[:, y, x], known[y, x]
        image = moved(values, here, nearest=self.labels, ends=self.ends)
        return image, moved(known[None], here, nearest=True)[0] & there


def _plans(source: Stack, target: Stack, mask: Stack | None, how: RegisterSettings) -> list[AxesPlan]:
    """How frames are taken of source, target and mask; raise a ValueError if these are not the same frames."""
    a = replace(source.plan, channels=tuple(channel_numbers(source, how.source_channels)))
    b = replace(target.plan, channels=tuple(channel_numbers(target, how.target_channels)))
    if how.z == "channels":
        a = replace(a, z="neighbours" if "Z" in b.axes else "all")
    if a.n_frames != b.n_frames:
        raise ValueError(
            f"Source and target must have the same planes and times; got {a.n_frames} ({a.axes} {a.shape}) and "
            f"{b.n_frames} ({b.axes} {b.shape}). Give the axes if they were read wrongly, or, where only the source "
            "has planes, take them as channels (`z` channels)."
        )
    if mask is None:
        return [a, b]
    axes = "".join(axis for axis in b.axes if axis not in "CS")
    c = AxesPlan(axes, mask.array.shape) if mask.array.ndim == len(axes) else mask.plan
    if (c.n_frames, c.frame_shape) != (b.n_frames, b.frame_shape):
        raise ValueError(
            f"`valid` must show the pixels of its target; {mask.path} is {c.axes} {c.shape}, the target {b.axes} "
            f"{b.shape}. Crop or resample it."
        )
    return [a, b, c]


def _placing(source: Stack, target: Stack) -> tuple[Placing, str]:
    """Where a target of another size is laid before it is registered, and that in a sentence."""
    ours, theirs = source.plan.frame_shape, target.plan.frame_shape
    if ours == theirs:
        return UNPLACED, ""
    a, b = source.pixel_size_um, target.pixel_size_um
    step = [a[axis] / b[axis] if axis in a and axis in b else 1.0 for axis in "YX"]
    sizes = f"the source has {ours[0]} x {ours[1]} px and the target {theirs[0]} x {theirs[1]}"
    if all(abs(factor - 1) <= SAME_SIZE for factor in step):
        y, x = ((t - s) // 2 for s, t in zip(ours, theirs, strict=True))
        return Placing((y, x), (1, 1)), f"{sizes}; centre is laid on centre."
    start = [(t - 1) / 2 - factor * (s - 1) / 2 for s, t, factor in zip(ours, theirs, step, strict=True)]
    said = f"{sizes}; it is resampled by its pixel size ({step[0]:.4g} x {step[1]:.4g}), centre on centre."
    return Placing((start[0], start[1]), (step[0], step[1])), said


def _are_labels(target: Stack, plan: AxesPlan, how: RegisterSettings) -> bool:
    if how.target_kind != "auto":
        return how.target_kind != "intensity"
    whole = tuple(slice(0, n) for n in plan.frame_shape)
    some = [Region(i, whole) for i in _looked_at(plan)]
    return guess_kind(Windows(lambda frame, window: plan.take(target.array, frame, window), some)) != "intensity"


def _looked_at(plan: AxesPlan) -> list[int]:
    """The numbers of some frames, spread over the stack."""
    found: list[int] = np.unique(np.linspace(0, plan.n_frames - 1, LOOKED_AT).round().astype(int)).tolist()
    return found


def _disguised(target: Stack, plan: AxesPlan) -> str | None:
    """What to do where grey values look like labels; what is constant looks like nothing."""
    middles = tuple(middle(slice(0, n), MIDDLE) for n in plan.frame_shape)
    seen = [plan.take(target.array, frame, middles) for frame in _looked_at(plan)]
    told = [image for image in seen if np.isfinite(image).all() and image.min() < image.max()]
    return labels_in_disguise(told) if told else None


def _origin(job: Job, target: Stack) -> dict[str, Any]:
    """What the description of the files tells."""
    hashes = job.hashes or tuple(sha256(path) for path in job.inputs)
    names = ("registered_to", "target", "valid")
    files = {
        name: {"name": path.name, "sha256": digest}
        for name, path, digest in zip(names, job.inputs, hashes, strict=False)
    }
    return {"napari_pix2pix": __version__, "predicted": target.is_prediction, **files}


def _row(frames: list[Outcome], known_shares: list[float]) -> dict[str, Any]:
    """The pair's line of the table: figures over all frames that have something in common with their source."""
    common = [(frame.what == "moved", frame.found) for frame in frames if frame.found and frame.what != "unlike"]
    sizes = [np.hypot(*found.nodes)[found.matched] for _, found in common]
    before = np.concatenate(sizes)
    after = np.concatenate(
        [found.uncertain[found.matched] if went else own for own, (went, found) in zip(sizes, common, strict=True)]
    )
    counts = Counter(frame.what for frame in frames)
    motions = Counter(found.motion for _, found in common)
    figures = {
        "before_px": np.median(before),
        "before_p90_px": np.quantile(before, 0.9),
        "after_px": np.median(after),
        "after_p90_px": np.quantile(after, 0.9),
        "correlation_before": np.mean([found.correlation[0] for _, found in common]),
        "correlation_after": np.mean([found.correlation[int(went)] for went, found in common]),
        "confidence": np.mean([found.mean_confidence for _, found in common]),
        "known": np.mean(known_shares),
        "least_area": min(frame.least_area for frame in frames),
    }
    return {
        "frames": len(frames),
        **{what.replace(" ", "_"): counts[what] for what in ("moved", "in place", "kept", "unlike")},
        **{name: round(float(value), 4) for name, value in figures.items()},
        "motion": " ".join(name for name, _ in motions.most_common()),
    }
