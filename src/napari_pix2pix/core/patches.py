"""Random aligned patches of pairs, in network values."""

from dataclasses import dataclass, field
from math import prod

import numpy as np
import torch
from cachetools import LRUCache
from numpy.typing import NDArray
from torch.nn.functional import interpolate

from napari_pix2pix.core.axes import WHOLE, Window
from napari_pix2pix.core.config import Config
from napari_pix2pix.core.encoding import Encoding
from napari_pix2pix.core.pairs import PairedFrames, Region

CACHE_BYTES = 2**30
TRAINING, STATISTICS = 0, 1
"""Streams of random numbers: patches to learn from, patches to recompute norm statistics from."""


@dataclass(frozen=True)
class Patches:
    """The patches of one step in network values: source and target float32 (N, C, [Z,] Y, X), and what is known.

    `known` is float32 (N, 1, [Z,] Y, X), 1 = known; None where it is known everywhere.
    """

    source: torch.Tensor
    target: torch.Tensor
    known: torch.Tensor | None = None

    def to(self, device: torch.device) -> "Patches":
        """The same on `device`."""
        known = None if self.known is None else self.known.to(device, non_blocking=True)
        return Patches(self.source.to(device, non_blocking=True), self.target.to(device, non_blocking=True), known)


TRIES = 8
"""Windows that are drawn for a patch; the first that is known by half, or else the one known best, is taken."""


@dataclass
class PairedPatches:
    """Random aligned patches of the regions, in network values; patch k of step s depends on (seed, s, k) alone."""

    pairs: PairedFrames
    regions: tuple[Region, ...]
    config: Config
    source_encoding: Encoding
    target_encoding: Encoding
    _cache: "LRUCache[int, tuple[NDArray[np.float32], ...]]" = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self._cache = LRUCache(CACHE_BYTES, getsizeof=lambda frames: sum(frame.nbytes for frame in frames))
        fewest = min((min(region.shape[:-2], default=1) for region in self.regions), default=1)
        depth = min(self.config.patch_depth, fewest) // self.config.z_grid * self.config.z_grid
        planes = (depth,) * (len(self.regions[0].shape) - 2)
        if 0 in planes:
            raise ValueError(
                f"Volumes must have at least {self.config.z_grid} planes for networks that halve them so often; the "
                f"thinnest has {fewest}. Choose smaller generator.z_levels and discriminator.z_layers."
            )
        self.shape: tuple[int, ...] = (*planes, self.config.patch_size, self.config.patch_size)
        side = round(self.config.patch_size / self.config.jitter)
        self._drawn = (*planes, side, side)
        areas = np.array([np.prod(region.shape) for region in self.regions], float)
        self._chances = areas / areas.sum()  # every pixel is as likely as any other

    def values(self, frame: int, window: Window) -> tuple[NDArray[np.float32], ...]:
        """Source, target and, unless it is everywhere, where known; each (C, [Z,] Y, X), in network values.

        Whole frames are encoded and kept while they fit into `CACHE_BYTES`; of larger ones, only windows are.
        """
        maps = self.source_encoding.n_maps + self.target_encoding.n_maps + 1
        if 4 * maps * prod(self.pairs.frame_shape(frame)) > CACHE_BYTES:
            return self._encode(frame, window)
        if frame not in self._cache:
            self._cache[frame] = self._encode(frame, WHOLE)
        return tuple(values[(slice(None), *window)] for values in self._cache[frame])

    def _encode(self, frame: int, window: Window) -> tuple[NDArray[np.float32], ...]:
        source = self.source_encoding.encode(self.pairs.source(frame, window))
        target = self.target_encoding.encode(self.pairs.target(frame, window))
        if self.pairs.known_everywhere:
            return source, target
        return source, target, self.pairs.known(frame, window)[None].astype(np.float32)

    def batch(self, step: int, stream: int = TRAINING) -> Patches:
        """The patches of this step, of the shape `shape`."""
        patches = [self._patch(step, k, stream) for k in range(self.config.batch_size)]
        sides = [torch.from_numpy(np.stack(side)) for side in zip(*patches, strict=True)]
        if self._drawn != self.shape:
            mode = "bilinear" if len(self.shape) == 2 else "trilinear"
            sides = [interpolate(side, self.shape, mode=mode) for side in sides]
            sides[2:] = [(known == 1).float() for known in sides[2:]]
        return Patches(*sides)

    def _patch(self, step: int, k: int, stream: int) -> list[NDArray[np.float32]]:
        random = np.random.default_rng([self.config.seed, stream, step, k])
        drawn = [self._window(random) for _ in range(1 if self.pairs.known_everywhere else TRIES)]
        shares = [1.0] if len(drawn) == 1 else [float(self.values(f, window)[2].mean()) for f, window in drawn]
        chosen = next((i for i, share in enumerate(shares) if share >= 0.5), int(np.argmax(shares)))
        frame, window = drawn[chosen]
        turns = int(random.integers(4)) if self.config.rotate else 0
        mirrored = self.config.flip and random.random() < 0.5
        patch = [np.rot90(values, turns, axes=(-2, -1)) for values in self.values(frame, window)]
        return [np.ascontiguousarray(np.flip(values, -1) if mirrored else values) for values in patch]

    def _window(self, random: np.random.Generator) -> tuple[int, Window]:
        region = self.regions[random.choice(len(self.regions), p=self._chances)]
        sides = list(zip(region.window, self._drawn, strict=True))
        starts = [int(random.integers(side.start, side.stop - length + 1)) for side, length in sides]
        return region.frame, tuple(slice(a, a + length) for a, (_, length) in zip(starts, sides, strict=True))
