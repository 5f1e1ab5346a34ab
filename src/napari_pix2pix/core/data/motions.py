"""Which motion the shifts of blocks tell: the simplest that foretells blocks which it was not fitted to."""

from collections.abc import Callable
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from napari_pix2pix.core.data.fields import bent, doubted

Motion = Literal["shift", "rigid", "affine", "local"]
Shifts = NDArray[np.float64]
"""Of blocks (2, rows, columns), along Y and X, px."""

FEW = 36
"""Halves are a chessboard of 2 x 2 blocks, since neighbours share pixels; where there are fewer, of single ones."""
FEWEST = 3
"""Blocks in either half; below, nothing but a shift is told."""
SHARED = 4
"""So many blocks that overlap by half along both axes tell about as much as one that stands alone."""
WORTH = 0.1
"""A motion that is less simple must foretell by so much better, px."""


def simplest(
    shifts: Shifts, weights: NDArray[np.float64], centres: tuple[Shifts, Shifts], stiffness: float
) -> tuple[Motion, Shifts, NDArray[np.float64]]:
    """The motion that the shifts of blocks tell, its shifts at each block, and how unsure these are.

    Each half of the blocks is foretold from the other. The simplest motion is taken that foretells as well as any
    other, to .1 px or one standard error of how much they differ. Where the halves tell it differently, half of that is
    its standard error (rows, columns), px.

    Parameters
    ----------
    shifts, weights
        Of each block (2, rows, columns) and (rows, columns); a weight of 0: not matched.
    centres
        Of the rows and columns of blocks, px.
    stiffness
        Of the thin plate that is ``local``.

    References
    ----------
    The rule of one standard error: Breiman et al., "Classification and regression trees", 1984, section 3.4.3.
    """
    fits = _fits(np.stack(np.meshgrid(*centres, indexing="ij")), stiffness)
    matched = weights > 0
    i, j = np.indices(weights.shape) // (2 if weights.size >= FEW else 1)
    halves = (i + j) % 2 == 0, (i + j) % 2 == 1
    if min((matched & half).sum() for half in halves) < FEWEST:
        found = doubted(fits["shift"], shifts, weights) if matched.any() else np.zeros_like(shifts)
        return "shift", found, np.full(weights.shape, np.nan)
    told = {name: [doubted(fit, shifts, weights * half) for half in halves] for name, fit in fits.items()}
    off = {name: np.hypot(*(np.where(halves[0], b, a) - shifts))[matched] for name, (a, b) in told.items()}
    best = min(off, key=lambda name: float(off[name].mean()))
    chosen = next(name for name in off if _as_good(off[name] - off[best]))
    a, b = told[chosen]
    return chosen, doubted(fits[chosen], shifts, weights), np.hypot(*(a - b)) / 2


def _as_good(worse: NDArray[np.float64]) -> bool:
    """Whether a motion foretells blocks as well as the best one, off by so much more, px."""
    return bool(worse.mean() <= max(WORTH, worse.std() / np.sqrt(worse.size / SHARED)))


def _fits(places: Shifts, stiffness: float) -> dict[Motion, Callable[[Shifts, NDArray[np.float64]], Shifts]]:
    """From shifts and weights of blocks at these places to the shifts that a motion has there; the simplest first."""

    def mean(image: Shifts, weights: NDArray[np.float64]) -> Shifts:
        found: Shifts = (image * weights).sum(axis=(1, 2), keepdims=True) / weights.sum()
        return found

    def shift(shifts: Shifts, weights: NDArray[np.float64]) -> Shifts:
        return np.broadcast_to(mean(shifts, weights), shifts.shape).copy()

    def rigid(shifts: Shifts, weights: NDArray[np.float64]) -> Shifts:
        here, there = places - mean(places, weights), places + shifts - mean(places + shifts, weights)
        (a, b), (c, d) = np.einsum("iyx,jyx,yx->ij", there, here, weights)
        angle = np.arctan2(c - b, a + d)  # of all turns the one that lays `here` on `there` best
        turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        found: Shifts = np.einsum("ij,jyx->iyx", turn, here) - here + mean(shifts, weights)
        return found

    def affine(shifts: Shifts, weights: NDArray[np.float64]) -> Shifts:
        design = np.concatenate([places - mean(places, weights), np.ones((1, *weights.shape))])
        root = np.sqrt(weights).ravel()
        known, told = (image.reshape(len(image), -1).T * root[:, None] for image in (design, shifts))
        found: Shifts = np.einsum("ji,jyx->iyx", np.linalg.lstsq(known, told)[0], design)
        return found

    def local(shifts: Shifts, weights: NDArray[np.float64]) -> Shifts:
        return bent(shifts, weights, stiffness)

    return {"shift": shift, "rigid": rigid, "affine": affine, "local": local}
