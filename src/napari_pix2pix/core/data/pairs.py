"""Pairs of stacks as aligned frames."""

import copy
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from napari_pix2pix.core.data.conditions import Conditions, labels_of_each
from napari_pix2pix.core.data.copies import Contents, held_together
from napari_pix2pix.core.data.regions import Region, Windows, pieces
from napari_pix2pix.core.encodings.domains import Domains, Labels
from napari_pix2pix.core.encodings.kinds import Kind, guess_kind
from napari_pix2pix.core.geometry.axes import WHOLE, AxesPlan, Window
from napari_pix2pix.core.settings.config import EmptyFrames

Channels = Sequence[int] | Sequence[Sequence[int | None]] | None
StackAxes = str | Sequence[str | None] | None


class PairedFrames:
    """Sources and targets that show the same frames, read when they are asked for.

    Parameters
    ----------
    source, target
        Stacks: arrays, memmaps, dask or zarr arrays, anything with `shape`, `dtype` and slicing; or a list of stacks
        each, paired in order. The stacks of a list may differ in size, not in channels.
    axes
        The axes of each stack, e.g. ``"TYX"``; a tuple where source and target differ, each one string or a list with
        one per stack; None: guessed from the shapes.
    names
        One for each pair, for messages and `split.csv`; default: ``pair 0`` …
    groups
        One for each pair: pairs of one group (slide, well, donor) stay together in a split; default: each its own.
    valid
        Where the target is known: a stack for each pair (not 0 = known) with the target's frames, or the numbers of the
        frames that are annotated, counted over all pairs; default: everywhere. What is not known is not learned from
        and not judged.
    ignore
        A value of the target that means "not known"; default: none does.
    channels
        The channels to take, as numbers, of (source, target): the same of each stack, or a list for each; None: all.
        In a list of a target, None is a channel that this pair was not stained for; it is not known.
    z
        ``frame``: plane by plane. ``channels``: planes as channels - the neighbours of each plane, or all planes where
        the target has no Z. ``volume``: each time point is one frame, for networks in three dimensions.
    source_names
        For each source what the channels that are taken are called, so that a model can find them in other files;
        default: they have no names.
    target_names
        What the channels of the targets are called; default: they have no names.
    hashes
        Of the files of each pair, (source, target), for `split.csv`; default: none.
    conditions
        The class of each pair by a known circumstance (cell line, scanner, staining batch), None where it is not known;
        or by name of the set of classes such a list. Default: none.

    Raises
    ------
    ValueError
        If sources and targets do not pair up; the pair is named. If conditions are not one for each pair.
    """

    kind: Literal["pairs"] = "pairs"

    def __init__(
        self,
        source: Any,
        target: Any,
        axes: str | tuple[StackAxes, StackAxes] | None = None,
        *,
        names: Sequence[str] | None = None,
        groups: Sequence[str] | None = None,
        valid: Any = None,
        ignore: int | None = None,
        channels: tuple[Channels, Channels] = (None, None),
        z: Literal["frame", "channels", "volume"] = "frame",
        source_names: Sequence[Sequence[str]] | None = None,
        target_names: Sequence[str] = (),
        hashes: Sequence[tuple[str, str]] | None = None,
        conditions: Conditions = None,
    ) -> None:
        self.sources = list(source) if isinstance(source, list | tuple) else [source]
        self.targets = list(target) if isinstance(target, list | tuple) else [target]
        if len(self.sources) != len(self.targets) or not self.sources:
            raise ValueError(
                f"Each source must have a target; got {len(self.sources)} sources and {len(self.targets)} targets."
            )
        self.names = list(names or (f"pair {i}" for i in range(len(self.sources))))
        self.groups = list(groups or self.names)
        source_axes, target_axes = axes if isinstance(axes, tuple) else (axes, axes)
        self.source_plans = plans_of(self.sources, source_axes, channels[0])
        self.target_plans = plans_of(self.targets, target_axes, channels[1])
        if z == "channels":
            self.source_plans = [
                replace(plan, z="neighbours" if "Z" in partner.axes else "all")
                for plan, partner in zip(self.source_plans, self.target_plans, strict=True)
            ]
        elif z == "volume":
            self.source_plans, self.target_plans = (
                [replace(plan, z="volume") for plan in plans] for plans in (self.source_plans, self.target_plans)
            )
        self.places: list[tuple[int, int]] = []
        for i, (name, a, b) in enumerate(zip(self.names, self.source_plans, self.target_plans, strict=True)):
            if a.frame_shape != b.frame_shape or a.n_frames != b.n_frames:
                raise ValueError(
                    f"Source and target of {name} must show the same pixels; got {_size(a)} and {_size(b)}. "
                    "Crop or resample one of them, or register the target to its source; give the axes if "
                    "they were read wrongly, or, where only one has planes, take them as channels (`z` channels)."
                )
            for side, plan, first in (("source", a, self.source_plans[0]), ("target", b, self.target_plans[0])):
                if plan.n_channels != first.n_channels:
                    raise ValueError(
                        f"Every {side} must have the same channels; got {first.n_channels} in {self.names[0]} and "
                        f"{plan.n_channels} in {name}."
                    )
            self.places += [(i, frame) for frame in range(a.n_frames)]
        self._require_stained()
        self.source_names = [tuple(own) for own in source_names or [()] * len(self.sources)]
        self.target_names = tuple(target_names)
        self.ignore, self.hashes = ignore, hashes
        self.labels = labels_of_each(conditions, len(self.sources), "pair")
        self._annotated, self._masks = self._known_from(valid)
        self._windows: dict[int, list[Window]] | None = None
        self._recoded: dict[str, Callable[[NDArray[Any]], NDArray[Any]]] = {}

    @property
    def n_channels(self) -> tuple[int, int]:
        """Of the sources and of the targets."""
        return self.source_plans[0].n_channels, self.target_plans[0].n_channels

    @property
    def stained(self) -> NDArray[np.bool_]:
        """Which channels of which target are there, (pairs, channels)."""
        return np.array(
            [[own is not None for own in plan.channels or range(plan.n_channels)] for plan in self.target_plans]
        )

    @property
    def all_stained(self) -> bool:
        """Whether no target misses a channel."""
        return all(None not in plan.channels for plan in self.target_plans)

    def stains(self, frame: int) -> NDArray[np.bool_]:
        """Which channels of this frame's target are there, (K,)."""
        plan = self.target_plans[self.places[frame][0]]
        return np.array([own is not None for own in plan.channels or range(plan.n_channels)])

    def stain(self, channel: int) -> str:
        """What messages call this channel of the targets."""
        return self.target_names[channel] if self.target_names else f"channel {channel}"

    def unstained(self, missing: Collection[tuple[int, int]]) -> "PairedFrames":
        """The same pairs, these channels of targets, (pair, channel), not known."""
        other = copy.copy(self)
        other.target_plans = [
            replace(
                plan,
                channels=tuple(
                    None if (i, k) in missing else own for k, own in enumerate(plan.channels or range(plan.n_channels))
                ),
            )
            for i, plan in enumerate(self.target_plans)
        ]
        other._require_stained()
        return other

    def _require_stained(self) -> None:
        """Raise a ValueError if a source misses a channel, or a pair every stain."""
        if any(None in plan.channels for plan in self.source_plans):
            raise ValueError("A source must have all its channels; only those of targets may be missing.")
        for name, own in zip(self.names, self.stained, strict=True):
            if not own.any():
                raise ValueError(f"A pair must be stained for something; {name} is for nothing. Leave it out.")

    def _known_from(self, valid: Any) -> tuple[set[int] | None, list[tuple[Any, AxesPlan]] | None]:
        """Annotated frames, or a mask and its plan for each pair; checked against the targets."""
        if valid is None:
            return None, None
        if isinstance(valid, list | tuple | set | range) and all(
            isinstance(frame, int | np.integer) for frame in valid
        ):
            beyond = [frame for frame in valid if not 0 <= frame < len(self)]
            if beyond:
                raise ValueError(f"valid must name frames from 0 to {len(self) - 1}; got {beyond[0]}.")
            return {int(frame) for frame in valid}, None
        masks = list(valid) if isinstance(valid, list | tuple) else [valid]
        if len(masks) != len(self.targets):
            raise ValueError(f"valid must have one mask for each target; got {len(masks)} for {len(self.targets)}.")
        plans = []
        for mask, target, name in zip(masks, self.target_plans, self.names, strict=True):
            axes = "".join(axis for axis in target.axes if axis not in "CS")
            plan = AxesPlan(axes, tuple(mask.shape), z=target.z) if len(mask.shape) == len(axes) else AxesPlan.of(mask)
            if (plan.frame_shape, plan.n_frames) != (target.frame_shape, target.n_frames):
                raise ValueError(
                    f"valid must show the pixels of its target; {name} has {_size(plan)}, not {_size(target)}."
                )
            plans.append(plan)
        return None, list(zip(masks, plans, strict=True))

    @property
    def stacks(self) -> list[Any]:
        """One for each pair."""
        return self.sources

    @property
    def plans(self) -> list[AxesPlan]:
        """How frames are taken from them."""
        return self.source_plans

    def __len__(self) -> int:
        return len(self.places)

    def name(self, frame: int) -> str:
        """What messages call this frame."""
        stack, index = self.places[frame]
        return self.names[stack] + (f", frame {index}" if self.source_plans[stack].n_frames > 1 else "")

    @property
    def conditions(self) -> Domains:
        """The classes that some pairs are of; none where nobody named any."""
        return Domains.of(self.labels)

    def bears(self, frame: int) -> Labels:
        """The class that this frame is of."""
        return self.labels[self.places[frame][0]]

    def frame_shape(self, frame: int) -> tuple[int, ...]:
        """([Z,] Y, X) of this frame."""
        return self.source_plans[self.places[frame][0]].frame_shape

    def source(self, frame: int, window: Window = WHOLE) -> NDArray[Any]:
        """The source (C, Y, X) in grey values or labels; what is True is 1."""
        stack, index = self.places[frame]
        values = _countable(self.source_plans[stack].take(self.sources[stack], index, window))
        return self._recoded["source"](values) if "source" in self._recoded else values

    def target(self, frame: int, window: Window = WHOLE) -> NDArray[Any]:
        """The target (C, Y, X) in grey values or labels; where it is not known, the least value that is.

        What is True is 1.
        """
        values = self._target(frame, window)
        known = self.known(frame, window)
        if not known.all() and known.any():
            values = np.where(known, values, values[:, known].min(axis=1).reshape(-1, *(1,) * known.ndim))
        return self._recoded["target"](values) if "target" in self._recoded else values

    def _target(self, frame: int, window: Window) -> NDArray[Any]:
        stack, index = self.places[frame]
        return _countable(self.target_plans[stack].take(self.targets[stack], index, window))

    @property
    def known_everywhere(self) -> bool:
        """Whether nothing says that a target is not known somewhere."""
        return self._annotated is None and self._masks is None and self.ignore is None and self._windows is None

    def known(self, frame: int, window: Window = WHOLE) -> NDArray[np.bool_]:
        """Where the target is known, bool (Y, X)."""
        stack, index = self.places[frame]
        whole = self.frame_shape(frame)
        sides = window or (slice(None),) * len(whole)
        shape = tuple(len(range(*side.indices(n))) for side, n in zip(sides, whole, strict=True))
        known = np.full(shape, self._annotated is None or frame in self._annotated)
        if self._masks is not None:
            mask, plan = self._masks[stack]
            known &= (plan.take(mask, index, window) != 0).any(axis=0)
        if self.ignore is not None:
            known &= (self._target(frame, window)[self.stains(frame)] != self.ignore).all(axis=0)
        if self._windows is not None:
            inside, starts = np.zeros(shape, bool), [side.indices(n)[0] for side, n in zip(sides, whole, strict=True)]
            for part in self._windows.get(frame, ()):
                ends = zip(part, starts, strict=True)
                inside[tuple(slice(max(0, a.start - b), max(0, a.stop - b)) for a, b in ends)] = True
            known &= inside
        return known

    def knows(self, region: Region) -> bool:
        """Whether something of the target is known there; looked for in pieces."""
        return self.known_everywhere or any(self.known(piece.frame, piece.window).any() for piece in pieces([region]))

    def within(self, regions: Sequence[Region]) -> "PairedFrames":
        """The same pairs, known in these regions only."""
        other = copy.copy(self)
        other._windows = {}
        for region in regions:
            other._windows.setdefault(region.frame, []).append(region.window)
        return other

    def only(self, chosen: Sequence[int]) -> "PairedFrames":
        """These of the pairs, by number."""
        other, numbers = copy.copy(self), list(chosen)
        for name in ("sources", "targets", "names", "groups", "source_plans", "target_plans", "source_names", "labels"):
            setattr(other, name, [getattr(self, name)[i] for i in numbers])
        frames = {place: number for number, place in enumerate(self.places)}
        other.places = [(i, k) for i, plan in enumerate(other.source_plans) for k in range(plan.n_frames)]
        before = [frames[numbers[i], k] for i, k in other.places]
        other.hashes = None if self.hashes is None else [self.hashes[i] for i in numbers]
        other._masks = None if self._masks is None else [self._masks[i] for i in numbers]
        if self._annotated is not None:
            other._annotated = {number for number, was in enumerate(before) if was in self._annotated}
        if self._windows is not None:
            other._windows = {number: self._windows.get(was, []) for number, was in enumerate(before)}
        return other

    def held_together(self, known_by: Mapping[int, bytes]) -> tuple["PairedFrames", str]:
        """The same pairs, those that have copies of one source in one group; and a sentence that says so, or ""."""
        stacks = {frame: stack for frame, (stack, _) in enumerate(self.places)}
        other = copy.copy(self)
        other.groups, sentence = held_together(self.names, self.groups, stacks, known_by)
        return other, sentence

    def without(self, frames: set[int]) -> "PairedFrames":
        """The same pairs, these frames not known."""
        other = copy.copy(self)
        other._annotated = set(range(len(self)) if self._annotated is None else self._annotated) - frames
        return other

    def recoded(self, **sides: Callable[[NDArray[Any]], NDArray[Any]]) -> "PairedFrames":
        """The same pairs, the values of ``source`` or ``target`` being what these functions make of them."""
        other = copy.copy(self)
        other._recoded = self._recoded | sides
        return other

    def planes(self) -> "PairedFrames":
        """The same pairs plane by plane, where frames are volumes; else these pairs."""
        if self.source_plans[0].z != "volume":
            return self
        if self._windows is not None:
            raise ValueError("Volumes must be known as a whole to be taken plane by plane; these are within regions.")
        other = copy.copy(self)
        other.source_plans, other.target_plans = (
            [replace(plan, z="frame") for plan in plans] for plans in (self.source_plans, self.target_plans)
        )
        other.places = [(i, frame) for i, plan in enumerate(other.source_plans) for frame in range(plan.n_frames)]
        if self._masks is not None:
            other._masks = [(mask, replace(plan, z="frame")) for mask, plan in self._masks]
        if self._annotated is not None:
            volumes = {place: number for number, place in enumerate(self.places)}
            other._annotated = {
                number
                for number, (i, frame) in enumerate(other.places)
                if volumes[i, frame // other.source_plans[i].length("Z")] in self._annotated
            }
        return other

    def regions(self) -> tuple[Region, ...]:
        """Every frame with something known, whole."""
        whole = (Region(i, tuple(slice(0, n) for n in self.frame_shape(i))) for i in range(len(self)))
        if not (found := tuple(region for region in whole if self.knows(region))):
            raise ValueError("Something of the targets must be known; valid and ignore leave nothing. Check them.")
        return found

    def require_patches(self, size: int, grid: int, *, settled: bool = False) -> None:
        """Raise a ValueError that names the first frame smaller than a patch of `size`, a multiple of `grid`.

        It advises a smaller patch, unless the size is `settled`, as that of a model that is trained.
        """
        for region in self.regions():
            y, x = region.shape[-2:]
            if min(y, x) < size:
                fitting = 0 if settled else min(y, x) // grid * grid
                raise ValueError(
                    f"Images must be at least as large as a patch, {size} x {size} px; {self.name(region.frame)} is "
                    f"{y} x {x}. " + (f"Choose `patch_size` {fitting}." if fitting else "Leave it out.")
                )

    def require_finite(self) -> dict[int, bytes]:
        """Read everything once; by frame what its source is known by, see `Contents`. NaN and Inf are a ValueError."""
        contents = Contents()
        for region in pieces(self.regions()):
            for side, read in (("source", self.source), ("target", self.target)):
                values = read(region.frame, region.window)
                require_finite(values, side, self.name(region.frame))
                if side == "source":
                    contents.add(region.frame, values)
        return contents.known_by


def require_finite(values: NDArray[Any], side: str, name: str) -> None:
    """Raise a ValueError that names the pair of these grey values or labels if they hold NaN or Inf."""
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        raise ValueError(
            f"Pairs must be finite; the {side} of {name} holds NaN or Inf. Replace these pixels or leave the pair out."
        )


def settle_empty_frames(
    pairs: PairedFrames,
    meaning: EmptyFrames,
    kind: Kind | Literal["auto"] = "auto",
    *,
    like: PairedFrames | None = None,
    empty: Sequence[int] | None = None,
) -> PairedFrames:
    """The pairs, with frames of a label target that hold no label being empty or not known, as `meaning` says.

    Where all frames are so, or the target's `kind` is intensity, there is nothing to say. A kind that is not said is
    guessed from these pairs, or from those that they are `like`; which frames are `empty` is looked for, unless said.

    Raises
    ------
    ValueError
        If there are such frames and `meaning` is ``ask``.
    """
    if meaning == "empty" or pairs.target_plans[0].n_channels > 1:
        return pairs
    frames = [region.frame for region in pairs.regions()]
    if empty is None:
        holding = {r.frame for r in pieces(pairs.regions()) if pairs.target(r.frame, r.window).any()}
        empty = [frame for frame in frames if frame not in holding]
    if not empty or len(empty) == len(frames):
        return pairs
    guessed = like or pairs
    if (guess_kind(Windows(guessed.target, pieces(guessed.regions()))) if kind == "auto" else kind) == "intensity":
        return pairs
    if meaning == "ask":
        raise ValueError(
            f"Frames without any label must be said to be empty or not labelled; {len(empty) / len(frames):.0%} of the "
            f"frames ({len(empty)} of {len(frames)}) have none, the first is {pairs.name(empty[0])}. Choose "
            "`empty_frames` empty or unlabelled."
        )
    return pairs.without(set(empty))


def plans_of(stacks: Sequence[Any], axes: StackAxes, channels: Channels) -> list[AxesPlan]:
    """How frames are taken from each of these stacks; grey ones among colour ones are repeated in each colour."""
    each = [axes] * len(stacks) if axes is None or isinstance(axes, str) else list(axes)
    numbers = list(channels or ())
    chosen = numbers if numbers and not isinstance(numbers[0], int | np.integer) else [numbers] * len(stacks)
    plans = [
        replace(AxesPlan.of(stack, given), channels=tuple(own))  # type: ignore[arg-type]
        for stack, given, own in zip(stacks, each, chosen, strict=True)
    ]
    if {plan.n_channels for plan in plans} == {1, 3} and channels is None:
        # Grey images among colour images: the grey value is each colour's.
        plans = [replace(plan, channels=(0, 0, 0)) if plan.n_channels == 1 else plan for plan in plans]
    return plans


def _countable(values: NDArray[Any]) -> NDArray[Any]:
    """The values, numbers where they were truth values."""
    return values.astype(np.uint8) if values.dtype == bool else values


def _size(plan: AxesPlan) -> str:
    sides = ", ".join(f"{axis} {n}" for axis, n in zip(plan.spatial, plan.frame_shape, strict=True))
    return f"{plan.n_frames} frame{'s' * (plan.n_frames > 1)} of {sides} (axes {plan.axes})"
