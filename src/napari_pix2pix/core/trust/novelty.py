"""How unlike the sources that trained a model a source is: another stain, magnification or focus, or nothing there."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage, spatial

SIGMAS = (1.0, 2.0, 4.0)
"""Gaussians, px, whose differences are the texture, from noise to coarse."""
FAINTEST = 1e-2
"""Texture of less, as a share of the range, is none."""
RARE = 0.05
"""The share of training blocks that lie further than `limit` from those of other groups; see docs/decisions.md."""
MOST_BLOCKS = 4096
"""So many are kept."""
STRANGE = 0.5
"""A source is novel if this share of its blocks lies further than `limit` from all that trained."""
MIDDLE = 512
"""Side of the middle of a source, or of some of its rows, that is looked at, px."""
MOST_WINDOWS = 128
"""Of training sources are looked at, evenly chosen."""
Means = Callable[[NDArray[np.float32]], NDArray[np.float32]]
"""What gives the mean of each part of an image: of (C, [Z,] Y, X), (C, n)."""
FAR = 1e9
"""Standard deviations that are farther than anything."""


@dataclass(frozen=True)
class Novelty:
    """Blocks of training sources, by grey value and texture, and how far from them others lie.

    Parameters
    ----------
    side
        Of a block along Y and X, px; all planes of a volume.
    scale
        Mean and standard deviation of each feature, float32 (2, f).
    blocks
        The features of training blocks, so standardized, float32 (n, f).
    limit
        The distance to the nearest block of another group that few training blocks exceed.
    """

    side: int
    scale: NDArray[np.float32]
    blocks: NDArray[np.float32]
    limit: float

    @classmethod
    def of(cls, sources: Iterable[NDArray[np.float32]], side: int, groups: Sequence[str] | None = None) -> "Novelty":
        """From windows of training sources, in network values (C, [Z,] Y, X); of one group alone nothing is novel.

        Each window is a group by itself, unless `groups` says which belong together: images of one stack or slide are
        alike, and say little about another.
        """
        found = [features(source, partial(block_means, side=side)) for source in sources]
        step = -(-sum(map(len, found)) // MOST_BLOCKS)
        source = np.repeat(range(len(found)) if groups is None else list(groups), [len(own) for own in found])[::step]
        every = np.concatenate(found)[::step]
        scale = np.stack([every.mean(axis=0), np.maximum(every.std(axis=0), FAINTEST)])
        blocks = (every - scale[0]) / scale[1]
        nearest = [
            spatial.KDTree(blocks[source != i]).query(blocks[source == i])[0]
            for i in np.unique(source)
            if (source != i).any()
        ]
        limit = float(np.quantile(np.concatenate(nearest), 1 - RARE)) if nearest else np.inf
        return cls(side, scale, blocks, limit)

    def strange(self, source: NDArray[np.float32]) -> float:
        """The share of the middle of this source (C, [Z,] Y, X) that is further than `limit` from all that trained."""
        y, x = (slice(start := max(0, n - MIDDLE) // 2, start + MIDDLE) for n in source.shape[-2:])
        return float((self.distances(source[..., y, x], partial(block_means, side=self.side)) > 1).mean())

    def distances(self, source: NDArray[np.float32], means: Means) -> NDArray[np.float32]:
        """How far each part of this source (C, [Z,] Y, X), (n,), is from the nearest that trained; 1 is `limit`."""
        own = (features(source, means) - self.scale[0]) / self.scale[1]
        own = np.nan_to_num(own, nan=FAR, posinf=FAR, neginf=-FAR)  # of grey values too large to be squared
        nearest: NDArray[np.float32] = (self._tree.query(own)[0] / self.limit).astype(np.float32)
        return nearest

    @cached_property
    def _tree(self) -> spatial.KDTree:
        return spatial.KDTree(self.blocks)


def features(source: NDArray[np.float32], means: Means) -> NDArray[np.float32]:
    """Of each part of a source, (n, f): the mean of each channel, and the logarithm of its texture by scale."""
    flat = (0.0,) * (source.ndim - 2)
    smooth = [source, *(ndimage.gaussian_filter(source, (*flat, sigma, sigma)) for sigma in SIGMAS)]
    textures = [np.square(fine - coarse) for fine, coarse in pairwise(smooth)]
    levels, *energies = (means(values) for values in (source, *textures))
    found = [levels, *(np.log(energy + FAINTEST**2) / 2 for energy in energies)]
    return np.concatenate(found).T.astype(np.float32)


def block_means(values: NDArray[np.float32], side: int) -> NDArray[np.float32]:
    """The means (C, n) of blocks of about this side along Y and X, of `values` (C, [Z,] Y, X)."""
    means = values.mean(axis=1) if values.ndim == 4 else values
    for axis in (1, 2):
        n = means.shape[axis]
        starts = np.linspace(0, n, max(1, round(n / side)), endpoint=False).astype(int)
        counts = np.diff([*starts, n]).reshape([-1 if i == axis else 1 for i in range(3)])
        means = np.add.reduceat(means, starts, axis) / counts
    return means.reshape(len(means), -1)
