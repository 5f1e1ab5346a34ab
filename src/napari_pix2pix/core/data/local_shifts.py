"""How far a target lies off its source, place by place, as a smooth field of shifts that never folds.

Coarse to fine: the target, moved as far as is known, is held against what a `predicted` one looks like, block by block;
the shifts of the blocks that match are joined by a thin plate; and again with smaller blocks.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_pix2pix.core.data.blocks import Blocks, peaks
from napari_pix2pix.core.data.fields import ALL, Field, hats, inside, moved, places, plate, spread
from napari_pix2pix.core.data.motions import Motion, simplest
from napari_pix2pix.core.data.resemblance import Views, features, outlined, predicted, reduced, standardized, views
from napari_pix2pix.core.data.starts import starts

LARGEST_SIDE = 1536
"""Larger images are averaged over squares until their longer side is this, px: fields are smooth."""
BAND = 2**22
"""Pixels that are read at once."""
SMALLEST_SIDE = 64
"""Of an image that can be registered, px."""
LEVELS = ((192, 48, 3.0), (128, 24, 1.0), (96, 12, 0.3), (64, 8, 0.1), (64, 8, 0.1))
"""Side of the blocks, how far they are looked for, px, and the stiffness of the plate; blocks overlap by half."""
FLAT = 33
"""What is the same over squares of this side, px, is no structure to match."""
CHANCE = 0.9
"""This share of the blocks that do not belong together matches worse than one that is said to match."""
AGREES = 2.0
"""A block that matches lies no farther from the field, px."""
EMPTY = 0.05
"""A block whose target varies by less than this share of what is usual, and of which no more is predicted, is empty."""
COMMON = 0.2
"""The share of the blocks that are not empty which must match, or the images have nothing in common."""
SURE = 4.0
"""And of few blocks more: so many standard errors above what matches by chance."""


@dataclass(frozen=True)
class LocalShifts:
    """What is known of how a target lies on its source. Shifts are (Y, X) in px.

    Parameters
    ----------
    rows, columns
        The centres of the blocks.
    shifts
        Of each block (2, rows, columns): how far it lies off, as it is measured by itself.
    confidence
        Of each block (rows, columns): the correlation at its shift over what nine in ten blocks that do not belong
        together stay below; above 1 it matches.
    matched, empty
        Whether a block matches and agrees with those around it; whether there is nothing in it to match.
    nodes
        How the target moved, there (2, rows, columns): `shifts` without what is noise of a block.
    uncertain
        The standard error of `nodes` (rows, columns), px; NaN where fewer than three blocks of either half match.
    motion
        What `nodes` are: the simplest motion that tells as much as any, see `motions.simplest`.
    correlation
        Of the target with its prediction from the source, 0 to 1, before it is moved and after.
    turned
        What seems to have been done to the target as a whole, of `starts.TURNED`; None: nothing.
    """

    rows: NDArray[np.float64]
    columns: NDArray[np.float64]
    shifts: NDArray[np.float64]
    confidence: NDArray[np.float64]
    matched: NDArray[np.bool_]
    empty: NDArray[np.bool_]
    nodes: NDArray[np.float64]
    uncertain: NDArray[np.float64]
    motion: Motion
    correlation: tuple[float, float]
    turned: str | None = None

    def field(self, shape: tuple[int, int], band: slice = ALL) -> Field:
        """The smooth field over an image of this shape, or a band of its rows."""
        return spread(self.nodes, self.rows, self.columns, shape, band)

    def known(self, shape: tuple[int, int], band: slice = ALL) -> NDArray[np.bool_]:
        """Where it is known (Y, X), or a band of rows: where most of the blocks around match, or are empty."""
        sure = (self.matched | self.empty).astype(np.float64)
        y, x = (hats(nodes, n) for nodes, n in zip((self.rows, self.columns), shape, strict=True))
        known: NDArray[np.bool_] = y[band] @ sure @ x.T >= 0.5
        return known

    def laid_over(self, target: NDArray[Any], *, nearest: bool = False) -> NDArray[Any]:
        """The target (C, Y, X) moved to where it lies over its source, see `moved`."""
        return moved(target, places(self.field((target.shape[-2], target.shape[-1]))), nearest=nearest)

    @property
    def unmatched(self) -> float:
        """The share of blocks that are not empty and do not match."""
        return float((~self.matched[~self.empty]).mean()) if not self.empty.all() else 1.0

    @property
    def in_common(self) -> bool:
        """Whether enough blocks match to believe any."""
        by_chance = 1 - CHANCE + SURE * math.sqrt(CHANCE * (1 - CHANCE) / max(1, (~self.empty).sum()))
        return 1 - self.unmatched >= max(COMMON, by_chance)

    @cached_property
    def before(self) -> list[float]:
        """Median, 90 % and largest shift of the motion where blocks match, px; NaN where none does."""
        return _told(np.hypot(*self.nodes[:, self.matched]))

    @cached_property
    def after(self) -> list[float]:
        """The same of what is uncertain of it, and so left once the target is moved."""
        return _told(self.uncertain[self.matched])

    @property
    def mendable(self) -> bool:
        """Whether the target fits its source better once moved, and by more than is uncertain of how it moved."""
        return self.correlation[1] > self.correlation[0] and self.after[0] < self.before[0]

    @property
    def mean_confidence(self) -> float:
        """Over all blocks that are not empty."""
        return float(self.confidence[~self.empty].mean()) if not self.empty.all() else 0.0

    def explained_by(self) -> str | None:
        """Which motion of the whole explains the shifts: ``shift``, ``rigid`` or ``affine``; None: it is local."""
        return None if self.motion == "local" else self.motion


def local_shifts(
    source: NDArray[Any], target: NDArray[Any], *, labels: bool = False, known: NDArray[np.bool_] | None = None
) -> LocalShifts:
    """How the target (C, Y, X) lies on the source (C, Y, X), place by place.

    Parameters
    ----------
    source, target
        Finite grey values, the target's also labels; of the same Y and X.
    labels
        Whether the target's values are labels: then their borders and what is not 0 are matched.
    known
        Where the target is known (Y, X); None: everywhere.

    Raises
    ------
    ValueError
        If an image is constant or smaller than 64 px, or the target is shifted by more than a quarter of its side.

    References
    ----------
    Blocks that are looked for again in an image deformed by what they told: Scarano, "Iterative image deformation
    methods in PIV", 2002. The thin plate: Duchon, "Splines minimizing rotation-invariant semi-norms", 1977.
    """
    shape = source.shape[-2], source.shape[-1]
    sure = np.ones(shape, bool) if known is None else known
    return measured(gathered(lambda rows: (source[:, rows], target[:, rows], sure[rows]), shape, labels))


@dataclass(frozen=True)
class Gathered:
    """A source and a target as they are measured, not larger than `LARGEST_SIDE` px: see `gathered`."""

    source: NDArray[np.float32]
    target: Views
    known: NDArray[np.bool_]
    times: int
    shape: tuple[int, int]


def gathered(
    read: Callable[[slice], tuple[NDArray[Any], NDArray[Any], NDArray[np.bool_]]],
    shape: tuple[int, int],
    labels: bool = False,
) -> Gathered:
    """What is measured of images of this shape (Y, X), read in bands: means over squares of pixels where it is large.

    Parameters
    ----------
    read
        Gives these rows of source and target (C, rows, X), on its pixels, and where the target is known (rows, X).
    labels
        As in `local_shifts`.
    """
    times = -(-max(shape) // LARGEST_SIDE)
    parts = [list[NDArray[Any]]() for _ in range(3)]
    for rows in bands(shape, times):
        more = slice(max(rows.start - 1, 0), min(rows.stop + 1, shape[0]))  # borders of labels look one pixel around
        source, target, known = read(more)
        target = outlined(target) if labels else target
        own = slice(rows.start - more.start, rows.stop - more.start)
        for part, values in zip(parts, (source, target, known[None]), strict=True):
            part.append(reduced(values[:, own].astype(np.float32), times))
    source, target, known = (np.concatenate(part, axis=1) for part in parts)
    seen = np.stack([standardized(own) for own in target]) if labels else views(target)
    return Gathered(source, seen, known[0] > 0.5, times, shape)


def bands(shape: tuple[int, int], times: int = 1) -> Iterator[slice]:
    """The rows of an image in bands of at most `BAND` pixels, each of a multiple of `times` rows, but for the last."""
    rows = max(1, BAND // (shape[1] * times)) * times
    return (slice(top, min(top + rows, shape[0])) for top in range(0, shape[0], rows))


def measured(images: Gathered) -> LocalShifts:
    """How the target lies on the source: as `local_shifts`, of images that were read in bands."""
    if min(images.shape) < SMALLEST_SIDE:
        size = " x ".join(map(str, images.shape))
        raise ValueError(f"An image must be at least {SMALLEST_SIDE} px wide and high to be registered; got {size}.")
    times, sure = images.times, images.known
    lines = (np.flatnonzero(sure.any(axis=axis)) for axis in (1, 0))
    extent = [times * int(line[-1] - line[0] + 1) if line.size else 0 for line in lines]
    if min(extent) <= SMALLEST_SIDE - times:
        size = " x ".join(map(str, extent))
        raise ValueError(
            f"A target must be known over {SMALLEST_SIDE} px of its source in height and width to be registered; it is "
            f"over {size}. Leave the pair out."
        )
    ours, theirs = views(images.source), images.target * sure
    for side, seen in (("source", ours), ("target", theirs)):
        if not seen.any():
            raise ValueError(f"There must be something to match; the {side} is constant. Leave the pair out.")
    begins, turned = starts(ours, theirs)
    found = max((_found(ours, theirs, sure, start) for start in begins), key=lambda one: one["matched"].sum())
    return LocalShifts(
        rows=(found["rows"] + 0.5) * times - 0.5,
        columns=(found["columns"] + 0.5) * times - 0.5,
        turned=turned,
        **{name: times * found[name] for name in ("shifts", "nodes", "uncertain")},
        **{name: found[name] for name in ("confidence", "matched", "empty", "motion", "correlation")},
    )


def _found(ours: Views, theirs: Views, known: NDArray[np.bool_], shifts: Field) -> dict[str, Any]:
    """What `LocalShifts` holds, at the size at which it is measured."""
    of_source, shape = features(ours), known.shape
    before = _correlation(*_beside(of_source, theirs, known, np.zeros_like(shifts)))
    for size, reach, stiffness in LEVELS:
        look = _looked(of_source, theirs, known, shifts, min(size, min(shape) // 2), reach)
        weights = np.where(look.within, (look.confidence - 1).clip(0, 1), 0.0)
        nodes, shifts = plate(look.shifts, weights, look.centres, stiffness, shape, shifts)
    motion, told, uncertain = simplest(look.shifts, weights, look.centres, stiffness)
    if motion != "local":
        nodes, shifts = told, spread(told, *look.centres, shape)
    last = _looked(of_source, theirs, known, shifts, min(size, min(shape) // 2), reach)
    usual = last.variances.max(axis=0)
    usual = usual / (np.median(usual[usual > 0]) if (usual > 0).any() else 1.0)
    empty = (usual < EMPTY) & (last.heights < max(last.chance, 0.3))
    return {
        "rows": last.centres[0],
        "columns": last.centres[1],
        "shifts": last.shifts,
        "confidence": last.confidence,
        "matched": (last.confidence > 1) & last.within & (np.hypot(*last.left) <= AGREES) & ~empty,
        "empty": empty,
        "nodes": nodes,
        "uncertain": uncertain,
        "motion": motion,
        "correlation": (before, last.correlation),
    }


@dataclass(frozen=True)
class _Look:
    """What the blocks of a target tell that was moved as far as is known; of each, see `LocalShifts` and `peaks`."""

    centres: tuple[NDArray[np.float64], NDArray[np.float64]]
    left: NDArray[np.float64]
    shifts: NDArray[np.float64]
    heights: NDArray[np.float64]
    chance: float
    within: NDArray[np.bool_]
    variances: NDArray[np.float64]
    correlation: float

    @property
    def confidence(self) -> NDArray[np.float64]:
        return self.heights / max(self.chance, 1e-6)


def _looked(
    of_source: list[NDArray[np.float32]], theirs: Views, known: NDArray[np.bool_], shifts: Field, size: int, reach: int
) -> _Look:
    """Blocks of this side, looked for so far around where the field has them, px."""
    looks, seen, there = _beside(of_source, theirs, known, shifts)
    reach, correlation = min(reach, size // 3), _correlation(looks, seen, there)
    blocks = Blocks(_structure(looks, there), _structure(seen, there), size, there)
    left, heights, within = peaks(blocks.surfaces(reach))
    apart = peaks(blocks.surfaces(reach, apart=True))[1]
    chance = float(np.quantile(apart[apart > 0], CHANCE)) if (apart > 0).any() else 1.0  # 0: one of them is empty
    # What lies at p + left in the moved target lies where the field there leads.
    at = np.stack(np.meshgrid(blocks.rows, blocks.columns, indexing="ij")) + left
    total = left + np.stack([ndimage.map_coordinates(one, at, order=1, mode="nearest") for one in shifts])
    return _Look((blocks.rows, blocks.columns), left, total, heights, chance, within, blocks.variances, correlation)


def _beside(
    of_source: list[NDArray[np.float32]], theirs: Views, known: NDArray[np.bool_], shifts: Field
) -> tuple[Views, Views, NDArray[np.bool_]]:
    """What is predicted, what is seen through these shifts, and where that is known."""
    where = places(shifts)
    seen = np.stack([ndimage.map_coordinates(view, where, order=1, mode="nearest") for view in theirs])
    there = inside(where, known.shape) & (ndimage.map_coordinates(known.astype(np.float32), where, order=1) > 0.5)
    return predicted(of_source, seen, there) * there, seen, there


def _structure(image: Views, known: NDArray[np.bool_]) -> Views:
    """Without what varies slowly where it is `known` (Y, X), and 0 elsewhere: where that ends is no structure."""
    share = ndimage.uniform_filter(known.astype(np.float32), FLAT)
    around = ndimage.uniform_filter(image * known, (0, FLAT, FLAT)) / np.where(known, share, 1)
    found: Views = (image - around) * known
    return found


def _correlation(a: Views, b: Views, where: NDArray[np.bool_]) -> float:
    """Over all views together; 0 where either is constant."""
    one, other = ((image[:, where] - image[:, where].mean(axis=1, keepdims=True)) for image in (a, b))
    size = float(np.sqrt((one**2).sum(dtype=np.float64) * (other**2).sum(dtype=np.float64)))
    return float((one * other).sum(dtype=np.float64)) / size if size else 0.0


def _told(sizes: NDArray[np.float64]) -> list[float]:
    if not sizes.size:
        return [float("nan")] * 3
    return [float(np.median(sizes)), float(np.quantile(sizes, 0.9)), float(sizes.max())]
