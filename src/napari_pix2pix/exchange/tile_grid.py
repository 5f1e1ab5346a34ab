"""Where tiles of an imported network may begin, tried on an image, since no file tells it."""

import math

import numpy as np
import torch
from numpy.typing import NDArray

from napari_pix2pix.core.networks.graph import Graph

NEAR, SAME = 5e-3, 1e-5
"""How far a tile may be from the whole image, as a share of the range, but for `FAR_SHARE` of the pixels; and what is
rounding alone."""
KEPT, COARSEST = 32, 64
"""The least side of what is kept of a tile that is tried, and the coarsest grid, unless it is a package's own; px."""
FAR_SHARE = 1e-3
"""Which share of the pixels may be further off, since other machines round otherwise."""
MOST_PIXELS = 2**22
"""Of the image that a package is tried on."""


def grid_of_tiles(network: Graph, image: NDArray[np.float32]) -> tuple[int, ...]:
    """On which multiples ([z,] y, x) tiles begin so that they give what the whole image gives; empty: on none.

    A network that pads what it joins takes any side, but what it halves it halves from a tile's first pixel on; one
    with a norm that looks at the image gives in no tile what it gives of the whole. So the middle of a larger image is
    made alone, too, from one step off its corner, from two, from four ..., and held against the whole. The first that
    is the same is taken; else, of those that are near enough, one that is twice as near as those before.
    """
    facts = network.facts
    (*planes, halo_y, halo_x), least = facts.reach, np.array(facts.minimum)
    found: tuple[int, ...] = ()
    best = 2 * NEAR
    for factor in (2**i for i in range(7) if 2**i * max(facts.grid[-2:]) <= max(COARSEST, *facts.grid[-2:])):
        off = np.array([*(0 for _ in planes), *(step * factor for step in facts.grid[-2:])])
        room = np.array([*(0 for _ in planes), *(2 * halo + KEPT for halo in (halo_y, halo_x))])
        sides = network.taken((np.maximum(np.maximum(image.shape[1:], least), room) + 2 * off).tolist())
        if math.prod(sides) > MOST_PIXELS:
            break
        more = [(0, 0), *((0, n - side) for side, n in zip(image.shape[1:], sides, strict=True))]
        seen = np.pad(image, more, mode="symmetric")
        part = (slice(None), *(slice(a, n - a) for a, n in zip(off.tolist(), sides, strict=True)))
        kept = (..., slice(halo_y, -halo_y), slice(halo_x, -halo_x))
        try:
            network.require_harmless(sides)
            whole, alone = (network(torch.from_numpy(one[None]))[0] for one in (seen, seen[part]))
        except ValueError:  # it is not of such a size
            break
        apart = float(np.quantile((whole[part][kept] - alone[kept]).abs().numpy() / 2, 1 - FAR_SHARE))
        if apart < best / 2:
            best, found = apart, (*facts.grid[:-2], *(step * factor for step in facts.grid[-2:]))
        if apart < SAME:
            break
    return found
