"""Random aligned patches of pairs, in network values."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from math import ceil, prod
from threading import RLock
from typing import Any

import numpy as np
import torch
from cachetools import LRUCache
from numpy.typing import NDArray
from skimage.filters import threshold_otsu
from torch.nn.functional import interpolate

from napari_pix2pix.core.data.pairs import PairedFrames
from napari_pix2pix.core.data.regions import Region
from napari_pix2pix.core.encodings.domains import NO_DOMAINS, Domains
from napari_pix2pix.core.encodings.encoding import Encoding
from napari_pix2pix.core.engine.devices import on_its_way
from napari_pix2pix.core.geometry.axes import Window
from napari_pix2pix.core.settings.config import Config

CACHE_BYTES = 2**30
"""Of encoded frames that are kept."""
MOST_READERS = 4096
"""Frames of which it is kept how they are normalized, where each is so by its own statistics."""
TRAINING, STATISTICS, THRESHOLDS, HELD_OUT = 0, 1, 2, 4
"""Streams of random numbers: patches to learn from, to recompute norm statistics from, to tell foreground by, to judge
by where there is no truth; 3 is that of `core.teaching`."""


class Batch(dict[str, torch.Tensor]):
    """The patches of one step by name, float32 (N, C, [Z,] Y, X) in network values.

    Of pairs ``source``, ``target`` and, unless it is everywhere, ``known`` (N, 1, [Z,] Y, X), 1 = known; where pairs
    lack channels of the target, (N, K, [Z,] Y, X), and ``stains`` (N, K), 1 = there; where they are of classes,
    ``labels`` (N, n), what networks see of these, see `Domains.planes`.
    """

    def to(self, device: torch.device) -> "Batch":
        """The same on `device`, which does not wait for what is `on_its_way`."""
        return Batch({name: patches.to(device, non_blocking=True) for name, patches in self.items()})

    def on_its_way(self, device: torch.device) -> "Batch":
        """The same, ready to be copied."""
        return Batch({name: on_its_way(patches, device) for name, patches in self.items()})


TRIES, MANY_TRIES = 8, 64
"""Windows that are drawn for a patch; the first that is known by half, or else the one known best, is taken: of
frames that are kept, and of others. As many as of the former are drawn, too, to find one with foreground."""
THRESHOLD_WINDOWS = 64
"""Windows whose values tell the foreground of intensities."""
MOST_SPOTS = 65536
"""Of a region with more foreground pixels, so many, evenly spaced, are known."""
SPOTS_BYTES = 2**26


def augmented(
    patch: list[NDArray[np.float32]], config: Config, jitter: float, random: np.random.Generator
) -> list[NDArray[np.float32]]:
    """What shows one window (C, [Z,] Y, X), turned and mirrored at random alike, as `config` says.

    With a `jitter`, the first has another contrast, about the middle of the range, and another brightness per channel.
    """
    turns = int(random.integers(4)) if config.rotate else 0
    mirrored = config.flip and random.random() < 0.5
    patch = [np.rot90(values, turns, axes=(-2, -1)) for values in patch]
    if jitter:
        each = (len(patch[0]), *(1,) * (patch[0].ndim - 1))
        gain, offset = (random.uniform(mid - jitter, mid + jitter, each).astype(np.float32) for mid in (1, 0))
        patch[0] = gain * patch[0] + offset
    return [np.ascontiguousarray(np.flip(values, -1) if mirrored else values) for values in patch]


def magnified(patches: torch.Tensor, shape: tuple[int, ...]) -> torch.Tensor:
    """Patches (N, C, [Z,] Y, X) with this shape ([Z,] Y, X)."""
    return interpolate(patches, shape, mode="bilinear" if len(shape) == 2 else "trilinear")


@dataclass
class PairedPatches:
    """Random aligned patches of the regions, in network values; patch k of step s depends on (seed, s, k) alone.

    Of pairs of these `conditions` each has its labels, too, but for a share of `dropout`, which seems to have none.
    """

    pairs: PairedFrames
    regions: tuple[Region, ...]
    config: Config
    source_encoding: Encoding
    target_encoding: Encoding
    conditions: Domains = NO_DOMAINS
    dropout: float = 0.0
    _cache: dict[int, tuple[NDArray[np.float32], ...]] = field(init=False, repr=False)
    _readers: "LRUCache[int, tuple[Callable[[Window], NDArray[np.float32]], ...]]" = field(init=False, repr=False)
    _spots: "LRUCache[int, NDArray[np.int32]]" = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self._cache, self._readers = {}, LRUCache(MOST_READERS)
        self._frames = tuple(dict.fromkeys(region.frame for region in self.regions))
        self._spots = LRUCache(SPOTS_BYTES, getsizeof=lambda spots: spots.nbytes)
        self._lock = RLock()  # a validation asks for patches while the next batch is being made
        self.shape, self._all_stained = patch_shape(self.regions, self.config), self.pairs.all_stained
        side = round(self.config.patch_size / self.config.jitter)
        self._drawn = (*self.shape[:-2], side, side)
        areas = np.array([np.prod(region.shape) for region in self.regions], float)
        self._chances = areas / areas.sum()  # every pixel is as likely as any other

    def values(self, frame: int, window: Window) -> tuple[NDArray[np.float32], ...]:
        """Source, target and, unless it is everywhere, where known; each (C, [Z,] Y, X), in network values.

        Whole frames are encoded and kept, as many as fit into `CACHE_BYTES`; of the others, only windows are.
        """
        with self._lock:
            if frame in self._kept:
                if frame not in self._cache:
                    self._cache[frame] = self._encode(frame, tuple(slice(0, n) for n in self.pairs.frame_shape(frame)))
                return tuple(values[(slice(None), *window)] for values in self._cache[frame])
        return self._encode(frame, window)

    @cached_property
    def _kept(self) -> frozenset[int]:
        """The frames that are kept whole: others are never thrown out for them, and none is encoded twice."""
        maps = self.source_encoding.n_maps + self.target_encoding.n_maps + (not self.pairs.known_everywhere)
        kept, room = set[int](), CACHE_BYTES
        for frame in self._frames:
            size = 4 * maps * prod(self.pairs.frame_shape(frame))
            if size <= room:
                kept.add(frame)
                room -= size
        return frozenset(kept)

    def _encode(self, frame: int, window: Window) -> tuple[NDArray[np.float32], ...]:
        source, target = (read(window) for read in self._windows_of(frame))
        if self.pairs.known_everywhere:
            return source, target
        return source, target, self.pairs.known(frame, window)[None].astype(np.float32)

    def _windows_of(self, frame: int) -> tuple[Callable[[Window], NDArray[np.float32]], ...]:
        """What gives windows of this frame's source and target in network values, the same as those of whole frames."""
        with self._lock:
            if frame not in self._readers:
                shape = self.pairs.frame_shape(frame)
                self._readers[frame] = (
                    self.source_encoding.windows(partial(self.pairs.source, frame), shape),
                    self.target_encoding.windows(partial(self._target, frame), shape),
                )
            return self._readers[frame]

    def _target(self, frame: int, window: Window) -> NDArray[Any]:
        labels = self.pairs.target(frame, window)
        if self.target_encoding.classes and not self.pairs.known(frame, window).any():
            return np.full_like(labels, self.target_encoding.classes[0])  # whatever the file holds, it is no class
        return labels

    @property
    def known_everywhere(self) -> bool:
        """Whether batches have no ``known``."""
        return self.pairs.known_everywhere and self._all_stained

    def batch(self, step: int, stream: int = TRAINING, numbers: range | None = None) -> Batch:
        """The patches of this step, of the shape `shape`; only those with these `numbers`, if given."""
        numbers = range(self.config.batch_size) if numbers is None else numbers
        drawn = [self._patch(step, k, stream) for k in numbers]
        sides = [torch.from_numpy(np.stack(side)) for side in zip(*(patch for _, patch, _ in drawn), strict=True)]
        if self._drawn != self.shape:
            sides = [magnified(side, self.shape) for side in sides]
            sides[2:] = [(known == 1).float() for known in sides[2:]]
        made = Batch(zip(("source", "target", "known"), sides, strict=False))
        if not self._all_stained:
            made["stains"] = stains = torch.tensor(
                np.stack([self.pairs.stains(frame) for frame, _, _ in drawn])
            ).float()
            planes = stains.reshape(*stains.shape, *(1,) * len(self.shape)).expand_as(made["target"])
            made["known"] = planes * made["known"] if "known" in made else planes.clone()
        if self.conditions.sets:
            made["labels"] = torch.tensor([labels for *_, labels in drawn])
        return made

    def _patch(self, step: int, k: int, stream: int) -> tuple[int, list[NDArray[np.float32]], tuple[float, ...]]:
        """The frame that it is of, its sides (C, [Z,] Y, X), and the values of its planes."""
        random = np.random.default_rng([self.config.seed, stream, step, k])
        wanted = self.config.foreground_share
        draw = self._foreground_window if wanted and random.random() < wanted else self._window
        frame, window = self._best_known(draw, random)
        share = 0.0 if self.source_encoding.is_labels else self.config.intensity_jitter
        patch = augmented(list(self.values(frame, window)), self.config, share, random)
        if not self.conditions.sets:
            return frame, patch, ()
        forgotten = random.random() < self.dropout  # drawn last: patches are the same with conditions and without
        labels = {} if forgotten else self.pairs.bears(frame)
        return frame, patch, self.conditions.planes(self.conditions.in_own_words(labels))

    # Where patches lie

    def _best_known(
        self, draw: Callable[[np.random.Generator], tuple[int, Window]], random: np.random.Generator
    ) -> tuple[int, Window]:
        """A frame and a window of it: of those drawn the first that is known by half, else the one known best.

        Of frames that are not kept, `MANY_TRIES` windows: of a slide of which a tenth is tissue most hold none, and
        only what is known of them is read.
        """
        if self.pairs.known_everywhere:
            region, window = draw(random)
            return self.regions[region].frame, window
        kept = len(self._kept) == len(self._frames)
        drawn = [draw(random) for _ in range(TRIES if kept else MANY_TRIES)]
        places = [(self.regions[region].frame, window) for region, window in drawn]
        best, most = places[0], -1.0
        for frame, window in places:
            known = self.values(frame, window)[2] if frame in self._kept else self.pairs.known(frame, window)
            share = float(known.mean())
            if share > most:
                best, most = (frame, window), share
            if share >= 0.5:
                break
        return best

    def _window(self, random: np.random.Generator) -> tuple[int, Window]:
        """The number of a region and a window of it, which every pixel of the regions is as likely to be in."""
        i = int(random.choice(len(self.regions), p=self._chances))
        sides = zip(self.regions[i].window, self._drawn, strict=True)
        return i, self._from([int(random.integers(side.start, side.stop - length + 1)) for side, length in sides])

    def _foreground_window(self, random: np.random.Generator) -> tuple[int, Window]:
        """The same, around a foreground pixel as far as the region allows, if there is one where it is looked for.

        That is: in the regions of `TRIES` windows, or, where not all frames can be kept, in these windows alone.
        """
        for _ in range(TRIES):
            i, window = self._window(random)
            spots = self._spots_in(i, window)
            if len(spots):
                spot = spots[random.integers(len(spots))].tolist()
                sides = zip(spot, self._drawn, self.regions[i].window, strict=True)
                return i, self._from([min(max(at - n // 2, side.start), side.stop - n) for at, n, side in sides])
        return i, window

    def _from(self, starts: list[int]) -> Window:
        return tuple(slice(a, a + length) for a, length in zip(starts, self._drawn, strict=True))

    def _spots_in(self, i: int, window: Window) -> NDArray[np.int32]:
        """Pixels ([Z,] Y, X) of region `i` where the target is known and foreground, evenly spaced if they are many."""
        region = self.regions[i]
        if len(self._kept) < len(self._frames):
            return self._find_spots(Region(region.frame, window))
        with self._lock:
            if i not in self._spots:
                self._spots[i] = self._find_spots(region)
            return self._spots[i]

    def _find_spots(self, region: Region) -> NDArray[np.int32]:
        if self.target_encoding.is_labels:  # the first class is the background
            background = self.target_encoding.classes[0] if self.target_encoding.classes else 0
            foreground = self._target(region.frame, region.window)[0] != background
        else:
            target = self.values(region.frame, region.window)[1]
            bright = target > self._thresholds.reshape(-1, *(1,) * len(region.window))
            foreground = bright[self.pairs.stains(region.frame)].any(axis=0)
        if not self.pairs.known_everywhere:
            foreground &= self.pairs.known(region.frame, region.window)
        spots = np.flatnonzero(foreground)
        spots = spots[:: max(1, ceil(len(spots) / MOST_SPOTS))]
        places: list[NDArray[np.int32]] = [
            (along + side.start).astype(np.int32)
            for along, side in zip(np.unravel_index(spots, region.shape), region.window, strict=True)
        ]
        return np.stack(places, axis=1)

    @cached_property
    def _thresholds(self) -> NDArray[np.float32]:
        """Otsu's threshold of each channel of the target over `THRESHOLD_WINDOWS` windows, in network values.

        Infinite for one that none of these has.
        """
        random = np.random.default_rng([self.config.seed, THRESHOLDS])
        drawn = [self._window(random) for _ in range(THRESHOLD_WINDOWS)]
        frames = [self.regions[i].frame for i, _ in drawn]
        values = np.stack([self.values(frame, window)[1] for frame, (_, window) in zip(frames, drawn, strict=True)])
        there = np.stack([self.pairs.stains(frame) for frame in frames])
        own = (values[there[:, k], k] for k in range(values.shape[1]))
        return np.array([threshold_otsu(channel) if channel.size else np.inf for channel in own], np.float32)


def patch_shape(regions: Sequence[Region], config: Config) -> tuple[int, ...]:
    """Of patches of these regions, ([Z,] Y, X): of volumes as many planes as the thinnest has, at most.

    Raises
    ------
    ValueError
        If there are volumes that the networks cannot halve so often.
    """
    fewest = min((min(region.shape[:-2], default=1) for region in regions), default=1)
    depth = min(config.patch_depth, fewest) // config.z_grid * config.z_grid
    planes = (depth,) * (len(regions[0].shape) - 2)
    if 0 in planes:
        raise ValueError(
            f"Volumes must have at least {config.z_grid} planes for networks that halve them so often; the thinnest "
            f"has {fewest}. Choose smaller generator.z_levels and discriminator.z_layers."
        )
    return *planes, config.patch_size, config.patch_size


@dataclass(frozen=True)
class MixedPatches:
    """Patches of new pairs and of old ones, turn and turn about."""

    new: PairedPatches
    old: PairedPatches

    def __post_init__(self) -> None:
        if self.new.shape != self.old.shape:
            depths = self.new.shape[0], self.old.shape[0]
            raise ValueError(
                f"New and old volumes must give patches of the same depth; got {depths[0]} and {depths[1]} planes. "
                f"Choose `patch_depth` {min(depths)}."
            )

    @property
    def pairs(self) -> PairedFrames:
        """The new pairs."""
        return self.new.pairs

    @property
    def shape(self) -> tuple[int, ...]:
        """Of a patch ([Z,] Y, X)."""
        return self.new.shape

    def batch(self, step: int, stream: int = TRAINING, numbers: range | None = None) -> Batch:
        """The patches of this step: those with odd numbers, counted over all steps, are old."""
        count = self.new.config.batch_size
        numbers = range(count) if numbers is None else numbers
        even = (step * count + numbers.start) % 2
        sides = (self.new, numbers[even::2]), (self.old, numbers[1 - even :: 2])
        parts = [patches.batch(step, stream, some) for patches, some in sides if some]
        whole = ("source", "target", "labels") if self.new.conditions.sets else ("source", "target")
        mixed = Batch({side: torch.cat([part[side] for part in parts]) for side in whole})
        if any("stains" in part for part in parts):
            told = (part.get("stains", torch.ones(part["target"].shape[:2])) for part in parts)
            mixed["stains"] = torch.cat(list(told))
        if not (self.new.known_everywhere and self.old.known_everywhere):  # whichever of them this part of a batch has
            planes = mixed["target"].shape[1] if "stains" in mixed else 1
            known = (part.get("known", torch.ones_like(part["target"][:, :1])) for part in parts)
            mixed["known"] = torch.cat([own.expand(-1, planes, *own.shape[2:]) for own in known])
        return mixed
