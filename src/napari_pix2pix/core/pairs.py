"""Pairs of stacks as aligned frames; who trains and who judges; random aligned patches."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from cachetools import LRUCache
from numpy.typing import NDArray
from torch.nn.functional import interpolate

from napari_pix2pix.core.axes import WHOLE, AxesPlan
from napari_pix2pix.core.config import Config
from napari_pix2pix.core.normalization import Normalization
from napari_pix2pix.core.targets import TargetEncoding

StackAxes = str | Sequence[str | None] | None
CACHE_BYTES = 2**30
TRAINING, STATISTICS = 0, 1
"""Streams of random numbers: patches to learn from, patches to recompute norm statistics from."""


@dataclass(frozen=True)
class Region:
    """A window of one frame: the unit of a split."""

    frame: int
    window: tuple[slice, slice]

    @property
    def shape(self) -> tuple[int, int]:
        """(Y, X) in pixels."""
        return (self.window[0].stop - self.window[0].start, self.window[1].stop - self.window[1].start)


@dataclass(frozen=True)
class Split:
    """Which regions train, which choose the best model, which calibrate; and a remark for each kind left out."""

    train: tuple[Region, ...]
    validation: tuple[Region, ...] = ()
    calibration: tuple[Region, ...] = ()
    remarks: tuple[str, ...] = ()

    def rows(self, pairs: "PairedFrames") -> Iterator[dict[str, Any]]:
        """One row per region, for `split.csv`."""
        for kind in ("train", "validation", "calibration"):
            for region in getattr(self, kind):
                stack, frame = pairs.places[region.frame]
                (y, x) = region.window
                window = {"y_start": y.start, "y_stop": y.stop, "x_start": x.start, "x_stop": x.stop}
                yield {"kind": kind, "name": pairs.names[stack], "group": pairs.groups[stack], "frame": frame, **window}


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

    Raises
    ------
    ValueError
        If sources and targets do not pair up; the pair is named.
    """

    def __init__(
        self,
        source: Any,
        target: Any,
        axes: str | tuple[StackAxes, StackAxes] | None = None,
        *,
        names: Sequence[str] | None = None,
        groups: Sequence[str] | None = None,
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
        self.source_plans = _plans(self.sources, source_axes)
        self.target_plans = _plans(self.targets, target_axes)
        self.places: list[tuple[int, int]] = []
        for i, (name, a, b) in enumerate(zip(self.names, self.source_plans, self.target_plans, strict=True)):
            if a.frame_shape != b.frame_shape or a.n_frames != b.n_frames:
                raise ValueError(
                    f"Source and target of {name} must show the same pixels; got {_size(a)} and {_size(b)}. "
                    "Crop or resample one of them, or give the axes if they were read wrongly."
                )
            for side, plan, first in (("source", a, self.source_plans[0]), ("target", b, self.target_plans[0])):
                if plan.n_channels != first.n_channels:
                    raise ValueError(
                        f"Every {side} must have the same channels; got {first.n_channels} in {self.names[0]} and "
                        f"{plan.n_channels} in {name}."
                    )
            self.places += [(i, frame) for frame in range(a.n_frames)]

    def __len__(self) -> int:
        return len(self.places)

    def name(self, frame: int) -> str:
        """What messages call this frame."""
        stack, index = self.places[frame]
        return self.names[stack] + (f", frame {index}" if self.source_plans[stack].n_frames > 1 else "")

    def frame_shape(self, frame: int) -> tuple[int, int]:
        """(Y, X) of this frame."""
        return self.source_plans[self.places[frame][0]].frame_shape

    def source(self, frame: int, window: tuple[slice, slice] = WHOLE) -> NDArray[Any]:
        """The source (C, Y, X) in grey values."""
        stack, index = self.places[frame]
        return self.source_plans[stack].take(self.sources[stack], index, window)

    def target(self, frame: int, window: tuple[slice, slice] = WHOLE) -> NDArray[Any]:
        """The target (C, Y, X) in grey values or labels."""
        stack, index = self.places[frame]
        return self.target_plans[stack].take(self.targets[stack], index, window)

    def regions(self) -> tuple[Region, ...]:
        """Every frame, whole."""
        shapes = (self.frame_shape(i) for i in range(len(self)))
        return tuple(Region(i, (slice(0, y), slice(0, x))) for i, (y, x) in enumerate(shapes))

    def require_patches(self, size: int) -> None:
        """Raise a ValueError that names the first frame smaller than a patch."""
        for frame in range(len(self)):
            if min(self.frame_shape(frame)) < size:
                y, x = self.frame_shape(frame)
                raise ValueError(
                    f"Images must be at least as large as a patch, {size} x {size} px; {self.name(frame)} is {y} x {x}."
                    " Choose a smaller --patch-size or leave it out."
                )

    def require_trainable(self) -> None:
        """Read everything once; raise a ValueError for NaN or Inf, or if all sources or all targets are constant."""
        varies = {"source": False, "target": False}
        for frame in range(len(self)):
            for side, read in (("source", self.source), ("target", self.target)):
                values = read(frame)
                if values.dtype.kind == "f" and not np.isfinite(values).all():
                    raise ValueError(
                        f"Pairs to train on must be finite; the {side} of {self.name(frame)} holds NaN or Inf. "
                        "Replace these pixels or leave the pair out."
                    )
                varies[side] |= bool((values != values.flat[0]).any())
        for side, found in varies.items():
            if not found:
                raise ValueError(
                    f"At least one {side} must vary; every {side} is constant. Check that these are the right files."
                )


def _plans(stacks: Sequence[Any], axes: StackAxes) -> list[AxesPlan]:
    each = [axes] * len(stacks) if axes is None or isinstance(axes, str) else list(axes)
    return [AxesPlan.of(stack, given) for stack, given in zip(stacks, each, strict=True)]


def _size(plan: AxesPlan) -> str:
    y, x = plan.frame_shape
    return f"{plan.n_frames} x {y} x {x} ({plan.axes})"


def split_pairs(pairs: PairedFrames, config: Config, reach: int) -> Split:
    """Divide `pairs` into train, validation and calibration, the same for the same seed.

    Several groups: whole groups, drawn at random. One group of several frames: contiguous blocks of frames with one
    frame left out between them. One frame: blocks along its longer axis with `reach` pixels left out between them.
    A kind for which there is no room is left out, with a remark.
    """
    shares = {"validation": config.validation_share, "calibration": config.calibration_share}
    shares = {kind: share for kind, share in shares.items() if share}
    regions = pairs.regions()
    groups = sorted({pairs.groups[stack] for stack, _ in pairs.places})
    if len(groups) > 1:
        order = np.random.default_rng(config.seed).permutation(len(groups))
        shuffled = [groups[i] for i in order]
        blocks = _blocks(len(groups), shares, gap=0, least=1)
        members = {kind: {shuffled[i] for i in range(*block)} for kind, block in blocks.items()}
        found = {
            kind: tuple(r for r in regions if pairs.groups[pairs.places[r.frame][0]] in names)
            for kind, names in members.items()
        }
    elif len(regions) > 1:
        blocks = _blocks(len(regions), shares, gap=1, least=1)
        found = {kind: regions[start:stop] for kind, (start, stop) in blocks.items()}
    else:
        axis = int(np.argmax(regions[0].shape))
        blocks = _blocks(regions[0].shape[axis], shares, gap=reach, least=config.patch_size)
        found = {kind: (_cut(regions[0], axis, block),) for kind, block in blocks.items()}
    missing = [kind for kind in shares if kind not in found]
    remarks = tuple(_REMARKS[kind] for kind in missing)
    return Split(**found, remarks=remarks)


_REMARKS = {
    "validation": "No room for validation pairs: the last step's model is kept, not the best.",
    "calibration": "No room for calibration pairs: scores have no ranks.",
}


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
    return Region(region.frame, (window[0], window[1]))


class Windows(Sequence[NDArray[Any]]):
    """Windows of frames, each read when it is asked for: `read` is the `source` or `target` of `PairedFrames`."""

    def __init__(self, read: Callable[[int, tuple[slice, slice]], NDArray[Any]], regions: Sequence[Region]) -> None:
        self._read, self._regions = read, regions

    def __len__(self) -> int:
        return len(self._regions)

    def __getitem__(self, index: Any) -> Any:
        region = self._regions[index]
        return self._read(region.frame, region.window)


@dataclass
class PairedPatches:
    """Random aligned patches of the regions, in network values; patch k of step s depends on (seed, s, k) alone."""

    pairs: PairedFrames
    regions: tuple[Region, ...]
    config: Config
    normalization: Normalization
    encoding: TargetEncoding
    _cache: "LRUCache[int, tuple[NDArray[np.float32], NDArray[np.float32]]]" = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self._cache = LRUCache(CACHE_BYTES, getsizeof=lambda frames: sum(frame.nbytes for frame in frames))
        areas = np.array([np.prod(region.shape) for region in self.regions], float)
        self._chances = areas / areas.sum()  # every pixel is as likely as any other

    def frames(self, frame: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """A whole frame as (source, target), each (C, Y, X), in network values."""
        if frame in self._cache:
            return self._cache[frame]
        values = self.normalization.apply(self.pairs.source(frame)), self.encoding.encode(self.pairs.target(frame))
        if sum(value.nbytes for value in values) <= CACHE_BYTES:
            self._cache[frame] = values
        return values

    def batch(self, step: int, stream: int = TRAINING) -> tuple[torch.Tensor, torch.Tensor]:
        """The (source, target) patches of this step, each float32 (N, C, patch_size, patch_size)."""
        patches = [self._patch(step, k, stream) for k in range(self.config.batch_size)]
        source, target = (torch.from_numpy(np.stack(side)) for side in zip(*patches, strict=True))
        if source.shape[-1] != self.config.patch_size:
            size = (self.config.patch_size,) * 2
            source, target = (interpolate(side, size, mode="bilinear") for side in (source, target))
        return source, target

    def _patch(self, step: int, k: int, stream: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        random = np.random.default_rng([self.config.seed, stream, step, k])
        region = self.regions[random.choice(len(self.regions), p=self._chances)]
        side = round(self.config.patch_size / self.config.jitter)
        start = [random.integers(s.start, s.stop - side + 1) for s in region.window]
        window = (slice(None), *(slice(a, a + side) for a in start))
        turns = int(random.integers(4)) if self.config.rotate else 0
        mirrored = self.config.flip and random.random() < 0.5
        patch = [np.rot90(frame[window], turns, axes=(1, 2)) for frame in self.frames(region.frame)]
        source, target = (np.flip(frame, 2) if mirrored else frame for frame in patch)
        return np.ascontiguousarray(source), np.ascontiguousarray(target)
