"""How well classes are told apart, from one confusion matrix for each frame."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_pix2pix.core.evaluation.metrics.intervals import Row, finite

Confusion = NDArray[np.int64]


def dice(prediction: NDArray[np.bool_], target: NDArray[np.bool_]) -> float:
    """2 |A n B| / (|A| + |B|); 1 where both are empty."""
    total = int(prediction.sum()) + int(target.sum())
    return 2 * int((prediction & target).sum()) / total if total else 1.0


def confusion(prediction: NDArray[Any], target: NDArray[Any], classes: Sequence[int]) -> Confusion:
    """How many pixels of each class of the target (row) were given each class (column); `classes` ascend."""
    n = len(classes)
    true, found = (np.searchsorted(classes, labels.ravel()) for labels in (target, prediction))
    return np.bincount(true * n + found, minlength=n * n).reshape(n, n)


def of_each_class(counts: Confusion) -> list[Row]:
    """``dice``, ``iou`` and ``accuracy`` (the share of its pixels that was found) of each class of a frame.

    None for a class of which there are no pixels.
    """
    hits, true, found = np.diag(counts), counts.sum(axis=1), counts.sum(axis=0)
    with np.errstate(invalid="ignore"):
        rows = np.stack([2 * hits / (true + found), hits / (true + found - hits), hits / true], axis=1)
    return [dict(zip(("dice", "iou", "accuracy"), map(finite, row), strict=True)) for row in rows]


def of_classes(counts: Confusion) -> Row:
    """The figures of a frame.

    ``dice`` and ``iou`` are means over the classes but the lowest, the background, that the frame or its prediction
    shows, 1 where there are none. ``pixel_accuracy``, ``class_accuracy`` and ``class_iou`` are the FCN scores that the
    paper reports: over all pixels, and means over all classes.

    References
    ----------
    Long et al., "Fully convolutional networks for semantic segmentation", CVPR 2015.
    """
    each = of_each_class(counts)

    def mean(name: str, rows: Sequence[Row], empty: float | None) -> float | None:
        known = [value for row in rows if (value := row[name]) is not None]
        return float(np.mean(known)) if known else empty

    return {
        "dice": mean("dice", each[1:], 1.0),
        "iou": mean("iou", each[1:], 1.0),
        "pixel_accuracy": float(np.trace(counts) / counts.sum()),
        "class_accuracy": mean("accuracy", each, None),
        "class_iou": mean("iou", each, None),
    }
