"""How far a target lies off its source, place by place, as a smooth field of shifts that never folds.

Coarse to fine: the target, moved as far as is known, is held against what a `predicted` one looks like, block by block;
the shifts of the blocks that match are joined by a thin plate; and again with smaller blocks.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray
from scipy import fft, ndimage, sparse
from scipy.interpolate import make_interp_spline
from scipy.sparse.linalg import spsolve
from skimage.measure import block_reduce, ransac
from skimage.transform import AffineTransform, EuclideanTransform

from napari_pix2pix.core.data.resemblance import Views, features, predicted, views
from napari_pix2pix.core.data.shifts import find_shift, phase_correlation

LARGEST_SIDE = 1536
"""Larger images are averaged over squares until their longer side is this, px: fields are smooth."""
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
LEAST_AREA = 0.2
"""What is left of the area of a pixel where the field squeezes most: above 0 it does not fold."""
OVERVIEW = 256
"""Longer side of an image at which the shift of the whole, and whether it is turned, is looked for, px."""
EXPLAINED, WITHIN = 0.9, 1.0
"""A motion explains the shifts of so many blocks, to so many px."""
TURNED: dict[str, Callable[[NDArray[Any]], NDArray[Any]]] = {
    "mirrored left to right": lambda image: image[..., ::-1],
    "mirrored top to bottom": lambda image: image[..., ::-1, :],
    "turned by 180°": lambda image: image[..., ::-1, ::-1],
    "turned by 90°": lambda image: np.rot90(image, 1, (-2, -1)),
    "turned by −90°": lambda image: np.rot90(image, -1, (-2, -1)),
    "transposed": lambda image: image.swapaxes(-2, -1),
    "transposed and turned by 180°": lambda image: image.swapaxes(-2, -1)[..., ::-1, ::-1],
}
"""What may have been done to a target, and how it is done."""

Field = NDArray[np.float32]
"""The shift (2, Y, X), in px, at each pixel of a source: what lies at p in it lies at p + shift in the target."""


@dataclass(frozen=True)
class LocalShifts:
    """What is known of how a target lies on its source. Shifts are (Y, X) in px.

    Parameters
    ----------
    rows, columns
        The centres of the blocks.
    shifts, left
        Of each block (2, rows, columns): how far it lies off; how far it still does once the target is moved.
    confidence
        Of each block (rows, columns): the correlation at its shift over what nine in ten blocks that do not belong
        together stay below; above 1 it matches.
    matched, empty
        Whether a block matches and agrees with those around it; whether there is nothing in it to match.
    nodes
        The smooth field at the centres (2, rows, columns).
    correlation
        Of the target with its prediction from the source, 0 to 1, before it is moved and after.
    turned
        What seems to have been done to the target as a whole, of `TURNED`; None: nothing.
    """

    rows: NDArray[np.float64]
    columns: NDArray[np.float64]
    shifts: NDArray[np.float64]
    left: NDArray[np.float64]
    confidence: NDArray[np.float64]
    matched: NDArray[np.bool_]
    empty: NDArray[np.bool_]
    nodes: NDArray[np.float64]
    correlation: tuple[float, float]
    turned: str | None = None

    def field(self, shape: tuple[int, int]) -> Field:
        """The smooth field over an image of this shape."""
        return spread(self.nodes, self.rows, self.columns, shape)

    def known(self, shape: tuple[int, int]) -> NDArray[np.bool_]:
        """Where the field is known (Y, X): where most of the blocks around match, or are empty."""
        sure = (self.matched | self.empty).astype(np.float64)
        y, x = (_hats(nodes, n) for nodes, n in zip((self.rows, self.columns), shape, strict=True))
        known: NDArray[np.bool_] = y @ sure @ x.T >= 0.5
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
        return 1 - self.unmatched >= COMMON

    @cached_property
    def before(self) -> list[float]:
        """Median, 90 % and largest shift of the blocks that match, px; NaN where none does."""
        return _told(np.hypot(*self.shifts[:, self.matched]))

    @cached_property
    def after(self) -> list[float]:
        """The same of what is left once the target is moved."""
        return _told(np.hypot(*self.left[:, self.matched]))

    @property
    def mean_confidence(self) -> float:
        """Over all blocks that are not empty."""
        return float(self.confidence[~self.empty].mean()) if not self.empty.all() else 0.0

    def explained_by(self) -> str | None:
        """Which motion of the whole explains nine in ten of the blocks that match, to 1 px: the simplest that does.

        ``shift``, ``rigid`` or ``affine``; None: none does, or fewer than six blocks match.
        """
        places = np.stack(np.meshgrid(self.rows, self.columns, indexing="ij"))[:, self.matched].T
        moved = places + self.shifts[:, self.matched].T
        if len(places) < 6:
            return None
        usual = np.median(moved - places, axis=0)
        if np.mean(np.hypot(*(moved - places - usual).T) <= WITHIN) >= EXPLAINED:
            return "shift"
        for name, motion in (("rigid", EuclideanTransform), ("affine", AffineTransform)):
            _, inside = ransac((places, moved), motion, 3, WITHIN, max_trials=200, rng=0)
            if inside is not None and np.mean(inside) >= EXPLAINED:
                return name
        return None


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
    shape = source.shape[-2:]
    if min(shape) < SMALLEST_SIDE:
        size = " x ".join(map(str, shape))
        raise ValueError(f"An image must be at least {SMALLEST_SIDE} px wide and high to be registered; got {size}.")
    ours, theirs = views(source), views(target, labels)
    sure = np.ones(shape, bool) if known is None else known
    for side, seen in (("source", ours), ("target", theirs * sure)):
        if not seen.any():
            raise ValueError(f"There must be something to match; the {side} is constant. Leave the pair out.")
    times = -(-max(shape) // LARGEST_SIDE)
    ours, theirs = (_reduced(seen, times) for seen in (ours, theirs * sure))
    sure = _reduced(sure[None].astype(np.float32), times)[0] > 0.5
    start, turned = _overview(ours, theirs)
    found = _found(ours, theirs, sure, start)
    return LocalShifts(
        rows=(found["rows"] + 0.5) * times - 0.5,
        columns=(found["columns"] + 0.5) * times - 0.5,
        turned=turned,
        **{name: times * found[name] for name in ("shifts", "left", "nodes")},
        **{name: found[name] for name in ("confidence", "matched", "empty", "correlation")},
    )


def moved(image: NDArray[Any], where: Field, *, nearest: bool = False) -> NDArray[Any]:
    """What of an image (C, Y, X) lies at these places (2, Y', X'), px: (C, Y', X'), of the same dtype.

    Between pixels cubic, within the range of the image's own values; `nearest`, as of labels, no new values.
    Places beyond the border have what is on it.
    """
    result = np.empty((len(image), *where.shape[1:]), image.dtype)
    exact = np.float32 if image.dtype.itemsize <= 2 else np.float64
    for own, channel in zip(result, image, strict=True):
        if nearest:
            rows, columns = (
                places.round().astype(np.intp).clip(0, n - 1) for places, n in zip(where, channel.shape, strict=True)
            )
            own[...] = channel[rows, columns]
            continue
        values = ndimage.map_coordinates(channel.astype(exact), where, order=3, mode="nearest")
        values = values.clip(channel.min(), channel.max())
        own[...] = values.round() if image.dtype.kind in "iu" else values
    return result


def places(shifts: Field) -> Field:
    """Where in the target each pixel of the source lies (2, Y, X)."""
    grid = np.meshgrid(*(np.arange(n, dtype=np.float32) for n in shifts.shape[1:]), indexing="ij", sparse=True)
    return np.stack([along + shift for along, shift in zip(grid, shifts, strict=True)])


def inside(where: Field, shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """Which of these places lie within an image of this shape (Y, X)."""
    along = [(p >= -0.5) & (p <= n - 0.5) for p, n in zip(where, shape, strict=True)]
    found: NDArray[np.bool_] = along[0] & along[1]
    return found


def least_area(shifts: Field) -> float:
    """What is left of the area of a pixel where a field squeezes most; above 0 nowhere does it fold.

    The least determinant of its Jacobian, of the triangles at each corner of each four neighbouring pixels.
    """
    where = places(shifts).astype(np.float64)
    down, right = np.diff(where, axis=1), np.diff(where, axis=2)
    corners = ((a, b) for a in (down[:, :, :-1], down[:, :, 1:]) for b in (right[:, :-1], right[:, 1:]))
    return float(min((a[0] * b[1] - a[1] * b[0]).min() for a, b in corners))


def spread(nodes: NDArray[Any], rows: NDArray[Any], columns: NDArray[Any], shape: tuple[int, int]) -> Field:
    """A cubic spline through the shifts at nodes (2, rows, columns), straight on beyond the outermost."""
    y, x = (_spline(at, n) for at, n in zip((rows, columns), shape, strict=True))
    return np.stack([y @ own @ x.T for own in nodes]).astype(np.float32)


def _found(ours: Views, theirs: Views, known: NDArray[np.bool_], start: NDArray[np.float64]) -> dict[str, Any]:
    """What `LocalShifts` holds, at the size at which it is measured."""
    shape = known.shape
    of_source = features(ours)
    shifts = np.broadcast_to(start[:, None, None], (2, *shape)).astype(np.float32)
    before = after = 0.0
    nodes = np.zeros((2, 1, 1))
    for level, (size, reach, stiffness) in enumerate((*LEVELS, LEVELS[-1])):
        size = min(size, min(shape) // 2)
        where = places(shifts)
        seen = np.stack([ndimage.map_coordinates(view, where, order=1, mode="nearest") for view in theirs])
        there = inside(where, shape) & (ndimage.map_coordinates(known.astype(np.float32), where, order=1) > 0.5)
        looks = predicted(of_source, seen, there) * there
        after = _correlation(looks, seen, there)
        before = before or after
        looks, seen = (_structure(image) * there for image in (looks, seen))
        blocks = _Blocks(looks, seen, size)
        surfaces = blocks.surfaces(min(reach, size // 3))
        own, heights, within = _peaks(surfaces)
        chance = float(np.quantile(_peaks(blocks.surfaces(min(reach, size // 3), apart=True))[1], CHANCE))
        confidence = heights / max(chance, 1e-6)
        if level == len(LEVELS):  # the last one only looks
            break
        # What lies at p + own in the moved target lies where the field there leads.
        at = np.stack(np.meshgrid(blocks.rows, blocks.columns, indexing="ij")) + own
        total = own + np.stack([ndimage.map_coordinates(one, at, order=1, mode="nearest") for one in shifts])
        weights = np.where(within, (confidence - 1).clip(0, 1), 0.0)
        nodes, shifts = _plate(total, weights, blocks, stiffness, shape, shifts)
    usual = blocks.variances.max(axis=0)
    usual = usual / (np.median(usual[usual > 0]) if (usual > 0).any() else 1.0)
    empty = (usual < EMPTY) & (heights < max(chance, 0.3))
    matched = (confidence > 1) & within & (np.hypot(*own) <= AGREES) & ~empty
    centres = np.stack(np.meshgrid(blocks.rows, blocks.columns, indexing="ij")) + own
    total = own + np.stack([ndimage.map_coordinates(one, centres, order=1, mode="nearest") for one in shifts])
    return {
        "rows": blocks.rows,
        "columns": blocks.columns,
        "shifts": total,
        "left": own,
        "confidence": confidence,
        "matched": matched,
        "empty": empty,
        "nodes": nodes,
        "correlation": (before, after),
    }


class _Blocks:
    """Two images (K, Y, X) in blocks that overlap by half, each under a taper."""

    def __init__(self, looks: Views, seen: Views, size: int) -> None:
        starts = [
            np.linspace(0, n - size, round(2 * (n - size) / size) + 1).round().astype(int) for n in seen.shape[1:]
        ]
        self.rows, self.columns = (start + (size - 1) / 2 for start in starts)
        taper = np.hanning(size + 2)[1:-1].astype(np.float32)
        self._weight = np.multiply.outer(taper, taper) / taper.sum() ** 2
        y, x = np.ix_(*starts)
        self._of = [sliding_window_view(image, (size, size), axis=(1, 2))[:, y, x] for image in (looks, seen)]
        self._size = size
        self.variances = np.stack(
            [[(self._row(image, i) ** 2).sum(axis=(0, 2, 3)) for i in range(len(self.rows))] for image in self._of]
        )
        """Of prediction and target (2, rows, columns)."""

    def _row(self, image: NDArray[Any], i: int) -> NDArray[np.float32]:
        """A row of blocks (K, columns, size, size) without their means."""
        blocks = image[:, i]
        means = (blocks * self._weight).sum(axis=(-2, -1), keepdims=True)
        found: NDArray[np.float32] = (blocks - means) * np.sqrt(self._weight)
        return found

    def surfaces(self, reach: int, apart: bool = False) -> NDArray[np.float64]:
        """The correlation of prediction and target at -reach … reach px, (rows, columns, Y, X); `apart`: of others.

        These are about half an image away from each other.
        """
        n = fft.next_fast_len(self._size + reach, real=True)
        lags = np.arange(-reach, reach + 1)
        across, found = len(self.columns) // 2, []
        for i in range(len(self.rows)):
            other = (i + len(self.rows) // 2) % len(self.rows) if apart else i
            a, b = self._row(self._of[0], i), self._row(self._of[1], other)
            energy = self.variances[0, i] * (self.variances[1, other])
            if apart:
                b, energy = np.roll(b, across, axis=1), self.variances[0, i] * np.roll(self.variances[1, other], across)
            products = (fft.rfft2(a, s=(n, n)).conj() * fft.rfft2(b, s=(n, n))).sum(axis=0)
            surface = fft.irfft2(products, s=(n, n))[:, lags][:, :, lags]
            size = np.sqrt(energy)[:, None, None]
            found.append(np.where(size > 0, surface / np.where(size > 0, size, 1), 0.0))
        return np.stack(found)


def _peaks(surfaces: NDArray[Any]) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.bool_]]:
    """Where surfaces (rows, columns, Y, X) peak (2, rows, columns), to fractions; how high; whether inside."""
    rows, columns, width, _ = surfaces.shape
    flat = surfaces.reshape(rows, columns, -1)
    peak = np.stack(np.unravel_index(flat.argmax(axis=-1), (width, width)))
    within = ((peak > 0) & (peak < width - 1)).all(axis=0)
    y, x = peak.clip(1, width - 2)
    i, j = np.ogrid[:rows, :columns]
    middle = surfaces[i, j, y, x]
    tops = []
    for before, after in (
        (surfaces[i, j, y - 1, x], surfaces[i, j, y + 1, x]),
        (surfaces[i, j, y, x - 1], surfaces[i, j, y, x + 1]),
    ):
        bend = before - 2 * middle + after
        tops.append(np.where(within & (bend < 0), (before - after) / np.where(bend < 0, 2 * bend, 1.0), 0.0))
    return peak - width // 2 + np.clip(tops, -0.5, 0.5), flat.max(axis=-1).astype(np.float64), within


def _plate(
    shifts: NDArray[Any],
    weights: NDArray[Any],
    blocks: _Blocks,
    stiffness: float,
    shape: tuple[int, int],
    before: Field,
) -> tuple[NDArray[np.float64], Field]:
    """A thin plate through the shifts of blocks (2, rows, columns), stiffer where it would fold: nodes and field."""
    rows, columns = (nodes.round().astype(int) for nodes in (blocks.rows, blocks.columns))
    kept = before[:, rows[:, None], columns].astype(np.float64)
    if (weights > 0).sum() < 6:  # nothing to go by
        return kept, before
    for _ in range(30):
        nodes = _bent(shifts, weights, stiffness)
        for _ in range(8):  # a block that lies off is doubted, by Geman and McClure's weights
            off = np.hypot(*(nodes - shifts))
            usual = max(1.0, 1.5 * float(np.median(off[weights > 0])))
            nodes = _bent(shifts, weights / (1 + (off / usual) ** 2) ** 2, stiffness)
        found = spread(nodes, blocks.rows, blocks.columns, shape)
        if least_area(found) >= LEAST_AREA:
            return nodes, found
        stiffness *= 4
    return kept, before


def _bent(shifts: NDArray[Any], weights: NDArray[Any], stiffness: float) -> NDArray[np.float64]:
    """The v that minimizes Σ weights |v - shifts|² + stiffness · (its second differences)², each of (2, rows, columns).

    An affine motion has no second differences, so it costs nothing, and is what is left where nothing matches.
    """
    rows, columns = weights.shape
    second, first = ([_differences(n, order) for n in (rows, columns)] for order in (2, 1))
    bends = sparse.vstack(
        [
            sparse.kron(second[0], sparse.eye_array(columns)),
            sparse.kron(sparse.eye_array(rows), second[1]),
            np.sqrt(2) * sparse.kron(*first),
        ]
    )
    system = (sparse.diags_array(weights.ravel() + 1e-9) + stiffness * (bends.T @ bends)).tocsc()
    right = ((weights + 1e-9) * shifts).reshape(2, -1).T
    found: NDArray[np.float64] = spsolve(system, right).T.reshape(shifts.shape)
    return found


def _differences(n: int, order: int) -> sparse.csr_array:
    """Of `order` between n values in a row."""
    return sparse.csr_array(np.diff(np.eye(n), order, axis=0))


def _spline(nodes: NDArray[np.float64], n: int) -> NDArray[np.float64]:
    """What pixels 0 to n - 1 take of the values at nodes (n, nodes): a cubic spline, straight beyond."""
    own = np.eye(len(nodes))
    if len(nodes) < 2:
        return np.ones((n, 1))
    steps = nodes[1] - nodes[0], nodes[-1] - nodes[-2]
    before, after = ([own[a] + k * (own[a] - own[b]) for k in (1, 2)] for a, b in ((0, 1), (-1, -2)))
    values = np.stack([before[1], before[0], *own, *after])
    at = [nodes[0] - 2 * steps[0], nodes[0] - steps[0], *nodes, nodes[-1] + steps[1], nodes[-1] + 2 * steps[1]]
    found: NDArray[np.float64] = make_interp_spline(at, values, k=3)(np.arange(n))
    return found


def _hats(nodes: NDArray[np.float64], n: int) -> NDArray[np.float64]:
    """The same, linear between the nodes and constant beyond."""
    return np.stack([np.interp(np.arange(n), nodes, own) for own in np.eye(len(nodes))], axis=1)


def _overview(ours: Views, theirs: Views) -> tuple[NDArray[np.float64], str | None]:
    """How far the target as a whole lies off (Y, X), px, 0 where that is not sure; what seems to be done to it."""
    times = -(-max(ours.shape[1:]) // OVERVIEW)
    a, b = (_reduced(seen, times).astype(np.float64) for seen in (ours, theirs))
    farthest = min(a.shape[1:]) // 2 - 1
    shift, own = find_shift(phase_correlation(a, b, farthest))
    if shift is not None:
        limit = [n / 4 for n in a.shape[1:]]
        if any(abs(d) > most for d, most in zip(shift, limit, strict=True)):
            far = " x ".join(str(abs(d) * times) for d in shift)
            raise ValueError(
                f"A target must be shifted by less than a quarter of its side; it seems to be by {far} px (Y, X). Crop "
                "both to what they share."
            )
        return times * np.array(shift, float), None
    side = min(a.shape[1:])
    a, b = (seen[:, :side, :side] for seen in (_central(a, side), _central(b, side)))
    found = {name: find_shift(phase_correlation(a, do(b), side // 4)) for name, do in TURNED.items()}
    name, (turned, confidence) = max(found.items(), key=lambda item: item[1][1])
    return np.zeros(2), name if turned is not None and confidence > own else None


def _central(image: NDArray[Any], side: int) -> NDArray[Any]:
    y, x = ((n - side) // 2 for n in image.shape[1:])
    return image[:, y : y + side, x : x + side]


def _structure(image: Views) -> Views:
    """Without what varies slowly."""
    found: Views = image - ndimage.uniform_filter(image, (0, FLAT, FLAT))
    return found


def _reduced(image: Views, times: int) -> Views:
    """Means over squares of `times` px; what is left over at the end is cut off."""
    if times == 1:
        return image
    y, x = (n // times * times for n in image.shape[1:])
    found: Views = block_reduce(image[:, :y, :x], (1, times, times), np.mean).astype(np.float32)
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
