"""How well objects are found, one by one."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from skimage.metrics import adapted_rand_error, contingency_table, variation_of_information

from napari_pix2pix.core.evaluation.metrics.intervals import Row

THRESHOLDS = (50, 60, 70, 80, 90)
"""Least IoU of a match, in percent; above 50 an object has one match at most."""
TOUCHED = 0.1
"""An object of which no more than this share lies on any object of the other side has no counterpart there."""


MOST_COUNTED = 2**22
"""Labels up to here are found by counting, which is faster than by sorting."""


def numbers_of(labels: NDArray[Any]) -> tuple[NDArray[Any], NDArray[np.intp], NDArray[np.intp]]:
    """The labels (N,) that there are, which of them each is, and how many are of each; as `numpy.unique`."""
    if labels.size and labels.dtype.kind in "iu" and labels.min() >= 0 and labels.max() < MOST_COUNTED:
        places = labels.astype(np.intp)
        counts = np.bincount(places)
        there = counts > 0
        return np.flatnonzero(there).astype(labels.dtype), (there.cumsum() - 1)[places], counts[there]
    found, places, counts = np.unique(labels, return_inverse=True, return_counts=True)
    return found, places.ravel(), counts


class Overlap:
    """How the objects of two label images overlap, where they are known; label 0 is background.

    `table` (true objects, found objects) counts shared pixels, background first; `iou` holds that of each pair that
    overlaps, without the background.
    """

    def __init__(self, prediction: NDArray[Any], target: NDArray[Any], known: NDArray[np.bool_] | None = None) -> None:
        dense = []
        for labels in (target, prediction):
            values = labels.ravel() if known is None else labels[known]
            found, numbered, _ = numbers_of(values)
            dense.append(numbered + (found[0] != 0 if found.size else 0))  # 0 stays background
        self.table = contingency_table(*dense, sparse_type="array").tocsr()
        sizes = [np.asarray(self.table.sum(axis=axis)).ravel() for axis in (1, 0)]
        self.areas_true, self.areas_found = sizes[0][1:], sizes[1][1:]
        pairs = self.table.tocoo()
        rows, columns = pairs.coords
        objects = (rows > 0) & (columns > 0)
        self.rows, self.columns, self.shared = rows[objects] - 1, columns[objects] - 1, pairs.data[objects]
        self.iou = self.shared / (self.areas_true[self.rows] + self.areas_found[self.columns] - self.shared)

    def matches(self, threshold: float) -> int:
        """Pairs whose IoU exceeds the threshold of at least 0.5, at which matches are unique."""
        return int((self.iou > threshold).sum())

    def without_counterpart(self, of: NDArray[np.intp], areas: NDArray[np.float64]) -> int:
        """How many objects with these `areas` lie on none of the others; `of` says whose the overlaps are."""
        covered = np.bincount(of, self.shared, minlength=len(areas))
        return int((covered <= TOUCHED * areas).sum())

    def several_within(self, inner: NDArray[np.intp], outer: NDArray[np.intp], areas: NDArray[np.float64]) -> int:
        """How many `outer` objects hold more than half of each of two or more `inner` ones, with these `areas`."""
        mostly = self.shared > 0.5 * areas[inner]
        return int((np.bincount(outer[mostly]) > 1).sum()) if mostly.any() else 0


def object_f1(prediction: NDArray[Any], target: NDArray[Any]) -> float:
    """F1 of objects matched at IoU > 0.5; 1 where there are no objects at all.

    References
    ----------
    Caicedo et al., "Nucleus segmentation across imaging experiments", Nature Methods 2019.
    """
    overlap = Overlap(prediction, target)
    objects = len(overlap.areas_true) + len(overlap.areas_found)
    return 2 * overlap.matches(0.5) / objects if objects else 1.0


def of_instances(prediction: NDArray[Any], target: NDArray[Any], known: NDArray[np.bool_] | None = None) -> Row:
    """The figures of a frame of labels ([Z,] Y, X), where it is known.

    ``dice`` of the foreground. At each IoU of 50 … 90 % ``object_f1_iou50`` and the like, with ``precision``,
    ``recall`` and ``ap``, the average precision TP / (TP + FP + FN). ``objects`` and ``objects_target`` count them,
    ``object_area`` and ``object_area_target`` are their mean sizes in px. ``invented`` and ``missing`` objects lie on
    no object of the other side (a tenth of them does not count); ``merges`` hold most of several true objects, and
    ``splits`` are true objects that hold most of several. ``adapted_rand_error`` of the true objects' pixels, and
    ``variation_of_information`` in bits. None where there is nothing to divide by.

    References
    ----------
    Caicedo et al., "Nucleus segmentation across imaging experiments", Nature Methods 2019. Arganda-Carreras et al.,
    "Crowdsourcing the creation of image segmentation algorithms for connectomics", 2015. Meilă, "Comparing
    clusterings - an information based distance", 2007.
    """
    overlap = Overlap(prediction, target, known)
    true, found = overlap.areas_true, overlap.areas_found
    row: Row = {}
    for percent in THRESHOLDS:
        hits = overlap.matches(percent / 100)
        either = len(true) + len(found) - hits
        row |= {
            f"object_f1_iou{percent}": 2 * hits / (len(true) + len(found)) if len(true) + len(found) else 1.0,
            f"object_ap_iou{percent}": hits / either if either else 1.0,
            f"object_precision_iou{percent}": hits / len(found) if len(found) else None,
            f"object_recall_iou{percent}": hits / len(true) if len(true) else None,
        }
    return {
        "dice": _dice(overlap),
        **row,
        "objects": float(len(found)),
        "objects_target": float(len(true)),
        "object_area": float(found.mean()) if len(found) else None,
        "object_area_target": float(true.mean()) if len(true) else None,
        "invented": float(overlap.without_counterpart(overlap.columns, found)),
        "missing": float(overlap.without_counterpart(overlap.rows, true)),
        "merges": float(overlap.several_within(overlap.rows, overlap.columns, true)),
        "splits": float(overlap.several_within(overlap.columns, overlap.rows, found)),
        "adapted_rand_error": _rand_error(overlap) if (true > 1).any() else None,
        "variation_of_information": float(_information(overlap)),
    }


def _dice(overlap: Overlap) -> float:
    total = overlap.areas_true.sum() + overlap.areas_found.sum()
    return float(2 * overlap.shared.sum() / total) if total else 1.0


def _rand_error(overlap: Overlap) -> float:
    with np.errstate(divide="ignore", invalid="ignore"):  # of the recall, which is not asked for
        return float(adapted_rand_error(table=overlap.table[1:])[0])


def _information(overlap: Overlap) -> float:
    table = overlap.table / overlap.table.sum()
    # with a table the images do not count, but must be there
    return float(variation_of_information(np.zeros(1), np.zeros(1), table=table).sum())
