"""Smooth fields of shifts: where things lie once a target is moved, through which points they go, that none folds."""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage, sparse
from scipy.interpolate import make_interp_spline
from scipy.sparse.linalg import spsolve

LEAST_AREA = 0.2
"""What is left of the area of a pixel where the field squeezes most: above 0 it does not fold."""
ALL = slice(None)

Field = NDArray[np.float32]
"""The shift (2, Y, X), in px, at each pixel of a source: what lies at p in it lies at p + shift in the target."""
Ends = tuple[NDArray[Any], NDArray[Any]]
"""The least and the largest value of each channel (C,)."""


def moved(image: NDArray[Any], where: Field, *, nearest: bool = False, ends: Ends | None = None) -> NDArray[Any]:
    """What of an image (C, Y, X) lies at these places (2, Y', X'), px: (C, Y', X'), of the same dtype.

    Between pixels cubic, within the range of the image's own values, or these `ends` where it is a part of an image;
    `nearest`, as of labels, no new values.
    Places beyond the border have what is on it.
    """
    result = np.empty((len(image), *where.shape[1:]), image.dtype)
    exact = np.float32 if image.dtype.itemsize <= 2 else np.float64
    low, high = ends or (image.min(axis=(1, 2)), image.max(axis=(1, 2)))
    for own, channel, least, most in zip(result, image, low, high, strict=True):
        if nearest:
            rows, columns = (
                places.round().astype(np.intp).clip(0, n - 1) for places, n in zip(where, channel.shape, strict=True)
            )
            own[...] = channel[rows, columns]
            continue
        values = ndimage.map_coordinates(channel.astype(exact), where, order=3, mode="nearest")
        values = values.clip(least, most)
        own[...] = values.round() if image.dtype.kind in "iu" else values
    return result


def places(shifts: Field, top: int = 0) -> Field:
    """Where in the target each pixel of the source lies (2, Y, X), where these are its rows from `top` on."""
    rows, columns = (np.arange(n, dtype=np.float32) for n in shifts.shape[1:])
    grid = np.meshgrid(rows + top, columns, indexing="ij", sparse=True)
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


def spread(
    nodes: NDArray[Any], rows: NDArray[Any], columns: NDArray[Any], shape: tuple[int, int], band: slice = ALL
) -> Field:
    """A cubic spline through the shifts at nodes (2, rows, columns), straight on beyond the outermost.

    Over an image of this shape (Y, X), or a `band` of its rows.
    """
    y, x = (_spline(at, n) for at, n in zip((rows, columns), shape, strict=True))
    return np.stack([y[band] @ own @ x.T for own in nodes]).astype(np.float32)


def plate(
    shifts: NDArray[Any],
    weights: NDArray[Any],
    centres: tuple[NDArray[Any], NDArray[Any]],
    stiffness: float,
    shape: tuple[int, int],
    before: Field,
) -> tuple[NDArray[np.float64], Field]:
    """A thin plate through the shifts of blocks (2, rows, columns), stiffer where it would fold: nodes and field.

    `centres` are those of the rows and columns of blocks, `before` is the field where there is too little to go by.
    """
    rows, columns = (nodes.round().astype(int) for nodes in centres)
    kept = before[:, rows[:, None], columns].astype(np.float64)
    if (weights > 0).sum() < 6:  # nothing to go by
        return kept, before
    for _ in range(30):
        nodes = doubted(partial(bent, stiffness=stiffness), shifts, weights)
        found = spread(nodes, *centres, shape)
        if least_area(found) >= LEAST_AREA:
            return nodes, found
        stiffness *= 4
    return kept, before


def doubted(
    fit: Callable[[NDArray[Any], NDArray[Any]], NDArray[np.float64]], shifts: NDArray[Any], weights: NDArray[Any]
) -> NDArray[np.float64]:
    """What a `fit` makes of shifts and weights, where blocks that lie off it are doubted.

    References
    ----------
    Geman and McClure, "Statistical methods for tomographic image reconstruction", 1987: the weights.
    """
    nodes = fit(shifts, weights)
    for _ in range(8):
        off = np.hypot(*(nodes - shifts))
        usual = max(1.0, 1.5 * float(np.median(off[weights > 0])))
        nodes = fit(shifts, weights / (1 + (off / usual) ** 2) ** 2)
    return nodes


def bent(shifts: NDArray[Any], weights: NDArray[Any], stiffness: float) -> NDArray[np.float64]:
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


def hats(nodes: NDArray[np.float64], n: int) -> NDArray[np.float64]:
    """The same, linear between the nodes and constant beyond."""
    return np.stack([np.interp(np.arange(n), nodes, own) for own in np.eye(len(nodes))], axis=1)
