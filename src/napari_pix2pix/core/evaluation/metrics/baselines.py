"""What needs no network: a constant, and the best that a source's grey values alone can tell."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from skimage.filters import threshold_otsu
from skimage.measure import label as connected_components

from napari_pix2pix.core.encodings.kinds import Kind
from napari_pix2pix.core.evaluation.metrics.frames import Frames
from napari_pix2pix.core.evaluation.metrics.intensities import as_stored

Baseline = Callable[[NDArray[Any]], NDArray[Any]]
"""From a source (C, [Z,] Y, X) to a prediction."""
BINS = 256


def constant_image(values: Sequence[float]) -> Baseline:
    """These values, one for each channel, everywhere."""

    def make(source: NDArray[Any]) -> NDArray[Any]:
        return np.broadcast_to(_like(np.array(values), source), (len(values), *source.shape[1:]))

    return make


def fit_baselines(frames: Frames, kind: Kind, classes: Sequence[int]) -> dict[str, Baseline]:
    """What the source's grey values tell, fitted on these very frames, which favours it; they are read one at a time.

    Of intensities: ``affine``, the least-squares combination of all source channels. Of two classes, or instances:
    ``otsu_bright`` and ``otsu_dark``, what is above or below Otsu's threshold of each source, its parts being objects.
    Of more classes: ``lookup``, the most frequent class at each grey value, from the darkest to the brightest.
    """
    if kind == "intensity":
        weights = _affine(frames)

        dtype = frames[0].target.dtype

        def affine(source: NDArray[Any]) -> NDArray[Any]:
            values = np.tensordot(weights[:-1].T, np.nan_to_num(source.astype(np.float64)), 1)
            values += _like(weights[-1], source)
            return as_stored(values, dtype)

        return {"affine": affine}

    values = np.array(classes)
    if len(classes) > 2:
        best = values[_table(frames, classes).argmax(axis=1)]
        return {"lookup": lambda source: best[_bins(source)][None]}

    def split(above: bool) -> Baseline:
        def make(source: NDArray[Any]) -> NDArray[Any]:
            grey = _grey(source)
            level = threshold_otsu(grey) if np.ptp(grey) else grey.max()
            mask = (grey > level) == above
            found: NDArray[Any] = values[mask.astype(int)] if classes else connected_components(mask)
            return found[None]

        return make

    return {"otsu_bright": split(True), "otsu_dark": split(False)}


def _table(frames: Frames, classes: Sequence[int]) -> NDArray[np.int64]:
    """Pixels of each class (column) at each grey value of the source (row)."""
    table = np.zeros((BINS, len(classes)), np.int64)
    for frame in frames:
        true = np.searchsorted(classes, frame.target[0][frame.known])
        both = _bins(frame.source)[frame.known] * len(classes) + true
        table += np.bincount(both, minlength=table.size).reshape(table.shape)
    return table


def _bins(source: NDArray[Any]) -> NDArray[np.intp]:
    """The grey value of each pixel as a share of its image's range, in 256 bins."""
    grey = _grey(source)
    share = (grey - grey.min()) / (np.ptp(grey) or 1.0)
    bins: NDArray[np.intp] = np.rint(share * (BINS - 1)).astype(np.intp)
    return bins


def _affine(frames: Frames) -> NDArray[np.float64]:
    """Weights (source channels + 1, target channels), by the normal equations summed up frame by frame.

    Channels that the same frames have are solved together; the weights of one that none has are 0.
    """
    n, m = frames[0].source.shape[0] + 1, frames[0].target.shape[0]
    having, group = np.unique(frames.stained, axis=1, return_inverse=True)
    squares, mixed = np.zeros((having.shape[1], n, n)), np.zeros((n, m))
    for frame, has in zip(frames, having, strict=True):
        x = frame.source[:, frame.known].astype(np.float64)
        x = np.concatenate([x, np.ones((1, x.shape[1]))])
        x, y = (values[:, np.isfinite(x).all(axis=0)] for values in (x, frame.there(frame.target)[:, frame.known]))
        squares[has] += x @ x.T
        mixed[:, frame.stained] += x @ y.astype(np.float64).T
    weights = np.zeros((n, m))
    for i, square in enumerate(squares):
        if having[:, i].any():
            own = group.ravel() == i
            weights[:, own] = _least_squares(square, np.ascontiguousarray(mixed[:, own]))
    return weights


def _least_squares(square: NDArray[np.float64], mixed: NDArray[np.float64]) -> NDArray[np.float64]:
    """The weights that solve normal equations of sources and ones, the last, with themselves and with the targets."""
    # Centred, as large offsets would cost digits; a constant channel has no weight.
    count, means = square[-1, -1], square[-1, :-1] / square[-1, -1]
    target_means = mixed[-1] / count
    spread = square[:-1, :-1] - count * np.outer(means, means)
    shared = mixed[:-1] - count * np.outer(means, target_means)
    scale = np.sqrt(np.maximum(np.diag(spread), 0))
    varies = scale > 1e-9 * np.sqrt(np.diag(square)[:-1] + 1e-300)
    weights = np.zeros(mixed.shape)
    if varies.any():
        kept = scale[varies]
        solved = np.linalg.lstsq(spread[np.ix_(varies, varies)] / np.outer(kept, kept), shared[varies] / kept[:, None])
        weights[:-1][varies] = solved[0] / kept[:, None]
    weights[-1] = target_means - means @ weights[:-1]
    return weights


def _grey(source: NDArray[Any]) -> NDArray[np.float64]:
    mean: NDArray[np.float64] = source.astype(np.float64).mean(axis=0)
    return np.nan_to_num(mean)


def _like(values: NDArray[np.float64], source: NDArray[Any]) -> NDArray[np.float64]:
    """One value for each channel, shaped to meet a frame."""
    return values.reshape(-1, *(1,) * (source.ndim - 1))
