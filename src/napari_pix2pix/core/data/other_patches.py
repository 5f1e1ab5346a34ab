"""Random patches of what is no pairs: of each side by itself, of domains with their labels, of images alone."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import prod
from threading import RLock
from typing import Protocol

import numpy as np
import torch
from cachetools import LRUCache
from numpy.typing import NDArray

from napari_pix2pix.core.data.frames import DomainFrames, Frames
from napari_pix2pix.core.data.patches import CACHE_BYTES, TRAINING, Batch, augmented, magnified, patch_shape
from napari_pix2pix.core.data.regions import Region
from napari_pix2pix.core.encodings.encoding import Encoding
from napari_pix2pix.core.geometry.axes import WHOLE, Window
from napari_pix2pix.core.settings.config import Config

TRAINED_PER_JUDGED = 8
"""Patches that trained, for each that judges what is made of none: whether it is a copy."""


@dataclass
class SidePatches:
    """Random patches of the regions of one side, in network values; every pixel is as likely as any other."""

    frames: Frames
    regions: Sequence[Region]
    config: Config
    encoding: Encoding
    _cache: "LRUCache[int, NDArray[np.float32]]" = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self._cache, self._lock = LRUCache(CACHE_BYTES, getsizeof=lambda frame: frame.nbytes), RLock()
        self.shape = patch_shape(self.regions, self.config)
        self._drawn = (*self.shape[:-2], *(round(self.config.patch_size / self.config.jitter),) * 2)
        areas = np.array([prod(region.shape) for region in self.regions], float)
        self._chances = areas / areas.sum()

    def values(self, frame: int, window: Window) -> NDArray[np.float32]:
        """A window of the encoded frame; whole frames are kept while they fit, of larger ones only windows are read."""
        if 4 * self.encoding.n_maps * prod(self.frames.frame_shape(frame)) > CACHE_BYTES:
            return self.encoding.encode(self.frames.read(frame, window))
        with self._lock:
            if frame not in self._cache:
                self._cache[frame] = self.encoding.encode(self.frames.read(frame, WHOLE))
            return self._cache[frame][(slice(None), *window)]

    def draw(self, random: np.random.Generator) -> NDArray[np.float32]:
        """A patch (C, [Z,] Y, X)."""
        region = self.regions[int(random.choice(len(self.regions), p=self._chances))]
        sides = zip(region.window, self._drawn, strict=True)
        starts = [int(random.integers(side.start, side.stop - length + 1)) for side, length in sides]
        window = tuple(slice(a, a + length) for a, length in zip(starts, self._drawn, strict=True))
        share = 0.0 if self.encoding.is_labels else self.config.intensity_jitter
        return augmented([self.values(region.frame, window)], self.config, share, random)[0]

    def batch(self, patches: Sequence[NDArray[np.float32]]) -> torch.Tensor:
        """These patches in one tensor (N, C, *shape)."""
        found = torch.from_numpy(np.stack(patches))
        return found if self._drawn == self.shape else magnified(found, self.shape)


@dataclass(frozen=True)
class UnpairedPatches:
    """Patches of sides that are not paired: patch k of a side in step s depends on (seed, s, k, side) alone."""

    sides: Mapping[str, SidePatches]
    config: Config

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the smallest patch ([Z,] Y, X)."""
        return min(side.shape for side in self.sides.values())

    def batch(self, step: int, stream: int = TRAINING, numbers: range | None = None) -> Batch:
        """The patches of this step by side; only those with these `numbers`, if given."""
        numbers = range(self.config.batch_size) if numbers is None else numbers
        return Batch(
            (name, side.batch([side.draw(_random(self.config, stream, step, k, i)) for k in numbers]))
            for i, (name, side) in enumerate(self.sides.items())
        )


@dataclass
class DomainPatches:
    """Patches of images of any domain, by (seed, step, number) alone; with their labels, and others.

    Each domain is as likely, and all sides of which nothing is known are so together, as one more. An image is to be
    translated only to what is known: what is asked for without a label teaches nothing.
    """

    sides: Mapping[str, SidePatches]
    config: Config
    frames: DomainFrames

    def __post_init__(self) -> None:
        self._known = [side for side in self.frames.sides if self.frames.vector(side)[1].any()]
        self._groups = [[side] for side in self.sides if side in self._known]
        self._groups += [unknown] if (unknown := [side for side in self.sides if side not in self._known]) else []

    @property
    def shape(self) -> tuple[int, ...]:
        """Of a patch ([Z,] Y, X)."""
        return next(iter(self.sides.values())).shape

    def batch(self, step: int, stream: int = TRAINING, numbers: range | None = None) -> Batch:
        """``image``, its ``labels`` (N, n) and what of them is ``known``, see `Domains.vector`.

        And ``wanted`` and ``wanted_known``: those of another image, drawn alike, which this one is to be translated to.
        """
        numbers = range(self.config.batch_size) if numbers is None else numbers
        patches, told = [], []
        for k in numbers:
            random = _random(self.config, stream, step, k)
            group = self._groups[int(random.integers(len(self._groups)))]
            wanted = self._known[int(random.integers(len(self._known)))]
            own = group[int(random.integers(len(group)))] if len(group) > 1 else group[0]
            patches.append(self.sides[own].draw(random))
            told.append((*self.frames.vector(own), *self.frames.vector(wanted)))
        vectors = (torch.from_numpy(np.stack(rows)) for rows in zip(*told, strict=True))
        image = next(iter(self.sides.values())).batch(patches)
        return Batch(zip(("image", "labels", "known", "wanted", "wanted_known"), (image, *vectors), strict=True))


class Drawn(Protocol):
    """What gives patches of some regions by (seed, step, number)."""

    def batch(self, step: int, stream: int = TRAINING, numbers: range | None = None) -> Batch:
        """The patches of this step; only those with these `numbers`, if given."""


@dataclass(frozen=True)
class ImagePatches:
    """Patches of images, each class as likely; with the random numbers to make others of.

    Parameters
    ----------
    classes
        The patches of each class, ``image`` or ``source``, and ``target`` if there is one.
    vectors
        What networks see of each class, empty where there are none.
    config
        The settings.
    latent
        How many numbers an image is made of.
    trained
        Where these judge: those that train, of which some are given, too.
    """

    classes: Sequence[Drawn]
    vectors: Sequence[NDArray[np.float32]]
    config: Config
    latent: int
    trained: "ImagePatches | None" = None

    @property
    def shape(self) -> tuple[int, ...]:
        """Of a patch (Y, X)."""
        return (self.config.patch_size, self.config.patch_size)

    def batch(self, step: int, stream: int = TRAINING, numbers: range | None = None) -> Batch:
        """``image``, ``target`` if there is one, numbers ``z`` (N, latent) and, of classes, ``labels`` (N, n)."""
        numbers = range(self.config.batch_size) if numbers is None else numbers
        random = [_random(self.config, stream, step, k, 1) for k in numbers]
        which = [int(one.integers(len(self.classes))) for one in random]
        drawn = [self.classes[i].batch(step, stream, range(k, k + 1)) for i, k in zip(which, numbers, strict=True)]
        batch = Batch({"image" if name == "source" else name: torch.cat([p[name] for p in drawn]) for name in drawn[0]})
        batch["z"] = torch.from_numpy(np.stack([one.standard_normal(self.latent, np.float32) for one in random]))
        if len(self.vectors[0]):
            batch["labels"] = torch.from_numpy(np.stack([self.vectors[i] for i in which]))
        if self.trained is not None:
            others = self.trained.batch(step, stream, range(TRAINED_PER_JUDGED * len(numbers)))
            batch["trained"] = torch.cat([others[name] for name in ("image", "target") if name in others], dim=1)
        return batch


def _random(config: Config, *place: int) -> np.random.Generator:
    return np.random.default_rng([config.seed, *place])
