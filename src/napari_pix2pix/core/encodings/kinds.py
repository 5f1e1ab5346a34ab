"""What images are likely to mean: grey values, classes or objects."""

from collections.abc import Iterable, Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from skimage.measure import label as connected_components

Kind = Literal["intensity", "classes", "instances"]
MOST_CLASSES = 16
LOOKED_AT = 256
"""Side of the middle of an image, px, whose regions are counted first."""
DECIDES = 64
"""Where of so many labels a quarter lies in several parts each, they are grey values, whatever is elsewhere."""
ROUGH = 0.5
"""Where more neighbouring pixels differ than this share, they are no labels."""
MOST_COLOURS = 0.01
"""A colour image with more colours for each pixel is none of labels."""


def guess_kind(targets: Iterable[NDArray[Any]]) -> Kind:
    """The likely kind of these targets (C, Y, X).

    Float, or several channels: intensity. At most two values: classes. One connected region for nearly every label:
    instances. A few small integers: classes. Else intensity.
    """
    values: set[int] = set()
    n_labels = n_single = 0
    for target in targets:
        if target.dtype.kind == "f" or len(target) > 1:
            return "intensity"
        labels = target[0].astype(np.int64)
        y, x = (slice(start := max(0, n - LOOKED_AT) // 2, start + LOOKED_AT) for n in labels.shape[-2:])
        if _scattered(*_in_one_part(labels[..., y, x])):
            return "intensity"
        found = np.unique(labels)
        values.update(found[:10_000].tolist())
        if found.min() < 0:
            return "intensity"
        if 2 < found.size <= 10_000:
            own = _in_one_part(labels)
            n_labels, n_single = n_labels + own[0], n_single + own[1]
            if _scattered(n_labels, n_single):
                return "intensity"
    if len(values) <= 2:
        return "classes"
    if n_labels and n_single >= 0.9 * n_labels:
        return "instances"
    return "classes" if len(values) <= MOST_CLASSES else "intensity"


def _in_one_part(labels: NDArray[np.int64]) -> tuple[int, int]:
    """How many labels there are besides 0, and how many of them are one connected region."""
    regions = connected_components(labels, connectivity=2)
    first = np.unique(regions, return_index=True)[1]
    found, parts = np.unique(labels.ravel()[first], return_counts=True)
    return int((found > 0).sum()), int(((found > 0) & (parts == 1)).sum())


def _scattered(n_labels: int, n_single: int) -> bool:
    """Whether these are grey values, and further images need not be read."""
    return n_labels >= DECIDES and n_single < 0.75 * n_labels


def may_be_labels(images: Iterable[NDArray[Any]]) -> bool:
    """Whether these (C, [Z,] Y, X) are whole numbers, and neighbours mostly the same: no grey values."""
    rough = []
    for image in images:
        if image.dtype.kind == "f" and (image != np.rint(image)).any():
            return False
        rough.append((image[..., 1:] != image[..., :-1]).mean() if image.shape[-1] > 1 else 0.0)
    return bool(np.mean(rough) <= ROUGH)


def labels_in_disguise(targets: Sequence[NDArray[Any]]) -> str | None:
    """What to do where targets (C, [Z,] Y, X) taken for intensities look like labels stored as float or as colours."""
    first = targets[0]
    if len(first) == 1:
        if any((image != np.rint(image)).any() for image in targets):
            return None
        below = {int(value) for image in targets for value in np.unique(image[image < 0])[:2]}
        if len(below) == 1:
            kind = guess_kind(np.maximum(image, 0).astype(np.int64) for image in targets)
            (value,) = below
            return (
                None
                if kind == "intensity"
                else f"The targets look like {kind} with {value} for what is not labelled, and are taken as grey "
                f"values: give `ignore_label` {value} if that is not known, or store 0 there if it is background."
            )
        kind = guess_kind(image.astype(np.int64) for image in targets)
        return (
            None
            if kind == "intensity"
            else f"The targets look like {kind} stored as {first.dtype}: labels? Then give `target_kind` {kind}."
        )
    if len(first) == 3 and first.dtype == np.uint8:
        colours = [np.tensordot([2**16, 2**8, 1], image.astype(np.int64), 1)[None] for image in targets]
        few = all(np.unique(image).size <= image.size * MOST_COLOURS for image in colours)
        if few and guess_kind(colours) == "instances":
            return (
                "The targets look like instances, each in a colour of its own: labels? Then store a whole number for "
                "each, in one channel."
            )
    return None
