"""Foreground and depth back to objects, whole or, for images larger than memory, some rows at a time."""

import warnings

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.measure import label as connected_components
from skimage.segmentation import watershed

LARGEST = 512
"""Rows of the largest object that is found as in the whole image, however many objects it touches."""
SIGMA, CONTEXT = 1.0, 4
"""Of the Gaussian that smooths the depth, and the rows beyond which it does not see."""


def find_objects(
    foreground: NDArray[np.bool_], depth: NDArray[np.float32], seed_depth: float
) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Objects, numbered, and the connected parts of the foreground that they divide; 0 is background.

    A watershed on the depth, from where it exceeds `seed_depth`; a part of the foreground without such a place is one
    object. What is found in one part does not depend on the others.
    """
    seeds = foreground & (depth > seed_depth)
    parts = connected_components(foreground, connectivity=1).astype(np.int32)
    seeded = np.zeros(parts.max(initial=0) + 1, bool)
    seeded[parts[seeds]] = True
    markers = connected_components(seeds | (foreground & ~seeded[parts]), connectivity=1)
    return watershed(-depth, markers, mask=foreground).astype(np.int32, copy=False), parts


class ObjectRows:
    """Objects of an image whose maps come some rows at a time, numbered as they first appear.

    They are those of the whole image where none has more than `largest` rows: a part of the foreground is divided once
    all of it is known; of one that goes on, those objects are kept that end so many rows above what is known that all
    they touch is known. Larger ones may be cut, with a warning.

    Parameters
    ----------
    seed_depth
        The encoded depth from which on a place starts an object.
    min_size
        Smaller objects are dropped, in pixels.
    largest
        In rows; up to three times as many are held.
    """

    def __init__(self, seed_depth: float, min_size: int, largest: int = LARGEST) -> None:
        self._seed_depth, self._min_size, self._largest = seed_depth, min_size, largest
        self._maps: list[NDArray[np.float32]] = []  # rows that wait, after `_above` rows that the Gaussian needs
        self._above = self._decoded = 0
        self._labels = np.zeros((), np.int32)
        self._settled = np.zeros((), bool)
        self._numbers = np.zeros(1, np.int32)  # of each object that was found, 0 while it has not appeared
        self._count = 0  # of those that have
        self._warned = False

    def add(self, maps: NDArray[np.float32], last: bool) -> NDArray[np.int32]:
        """The rows ([Z,] rows, X) that are finished, perhaps none, now that `maps` (2, [Z,] rows, X) are known, too."""
        self._maps.append(maps)
        waiting = sum(part.shape[-2] for part in self._maps) - self._above
        if waiting - self._decoded < self._largest and not last:
            return np.zeros((*maps.shape[1:-2], 0, maps.shape[-1]), np.int32)
        return self._decode(np.concatenate(self._maps, axis=-2), last)

    def _decode(self, maps: NDArray[np.float32], last: bool) -> NDArray[np.int32]:
        # The rows that can be decoded, with what has been found in them.
        rows = slice(self._above, maps.shape[-2] if last else max(self._above, maps.shape[-2] - CONTEXT))
        depth = ndimage.gaussian_filter(maps[1], SIGMA)[..., rows, :]
        new = [(0, 0)] * (depth.ndim - 2) + [(0, depth.shape[-2] - self._decoded), (0, 0)]
        if self._labels.ndim:
            labels, settled = np.pad(self._labels, new), np.pad(self._settled, new)
        else:
            labels, settled = np.zeros(depth.shape, np.int32), np.zeros(depth.shape, bool)
        found, parts = find_objects((maps[0][..., rows, :] > 0) & ~settled, depth, self._seed_depth)

        # Which of them will not change, and up to which row nothing will.
        kept, finished = np.ones(found.max(initial=0) + 1, bool), depth.shape[-2]
        if not last:
            still_open = np.zeros(parts.max(initial=0) + 1, bool)
            still_open[parts[..., -1:, :]] = True
            touching = set(np.unique(found[still_open[parts] & (found > 0)]).tolist())
            for number, place in enumerate(ndimage.find_objects(found), 1):
                if number in touching and not self._ends(place[-2], depth.shape[-2]):
                    kept[number], finished = False, min(finished, place[-2].start)

        # They get provisional numbers, and are not looked for again.
        sizes = np.bincount(found.ravel(), minlength=len(kept))
        numbered = kept & (sizes >= self._min_size)
        numbered[0] = False
        provisional = np.zeros(len(kept), np.int32)
        provisional[numbered] = np.arange(numbered.sum()) + len(self._numbers)
        self._numbers = np.concatenate([self._numbers, np.zeros(numbered.sum(), np.int32)])
        labels += provisional[found]
        settled |= kept[found] & (found > 0)

        # What goes out, and what waits.
        self._maps = [maps[..., max(0, rows.start + finished - CONTEXT) :, :].copy()]
        self._above = min(CONTEXT, rows.start + finished)
        self._decoded = depth.shape[-2] - finished
        self._labels, self._settled = labels[..., finished:, :].copy(), settled[..., finished:, :].copy()
        return self._numbered(labels[..., :finished, :])

    def _ends(self, rows: slice, height: int) -> bool:
        """Whether an object of a part that goes on below these `height` rows is settled, or must be for its size."""
        if rows.stop <= height - self._largest:
            return True
        if rows.start >= height - 2 * self._largest:
            return False
        if not self._warned:
            self._warned = True
            warnings.warn(
                f"Objects should have at most {self._largest} rows in an image of this size; one has "
                f"{rows.stop - rows.start} or more and may be cut. Lower `seed_threshold`, or predict a part of it.",
                stacklevel=2,
            )
        return True

    def _numbered(self, labels: NDArray[np.int32]) -> NDArray[np.int32]:
        """The objects of these rows under their final numbers."""
        found, first = np.unique(labels, return_index=True)
        fresh = (found > 0) & (self._numbers[found] == 0)
        order = found[fresh][np.argsort(first[fresh])]
        self._numbers[order] = np.arange(1, len(order) + 1) + self._count
        self._count += len(order)
        return self._numbers[labels]
