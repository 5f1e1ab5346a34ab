"""Foreground and depth back to objects."""

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.segmentation import watershed

SIGMA = 1.0
"""Of the Gaussian that smooths the depth, px."""


def find_objects(foreground: NDArray[np.bool_], depth: NDArray[np.float32], seed_depth: float) -> NDArray[np.int32]:
    """Objects, numbered; 0 is background.

    A watershed on the depth, from where it exceeds `seed_depth`; a part of the foreground without such a place is one
    object. What is found in one part does not depend on the others.
    """
    seeds = foreground & (depth > seed_depth)
    parts, count = ndimage.label(foreground)
    seeded = np.zeros(count + 1, bool)
    seeded[parts[seeds]] = True
    markers, _ = ndimage.label(seeds | (foreground & ~seeded[parts]))
    objects: NDArray[np.int32] = watershed(-depth, markers, mask=foreground).astype(np.int32, copy=False)
    return objects
