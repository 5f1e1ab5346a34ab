"""Labels that do not look like labels: stored as colours, as float, as JPEG, or by two codings."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_pix2pix.core.encodings.kinds import guess_kind, labels_in_disguise
from napari_pix2pix.core.evaluation.remarks import Remark, Remedy

FEW_COLOURS = 16
"""No labels: more colours."""
BINS, EDGE, RARE, NARROW, MOSTLY = 64, 0.02, 1e-3, 4, 0.4
"""Plateaus: bins; the largest difference between neighbours, as a share of the range; the share of the pixels without
an edge that is no peak; the widest peak, in bins; the least share of pixels without an edge. Chosen on facade_windows
(labels against photos) and on masks of DSB2018 stored as JPEG (against its images)."""
SWAPPED = (
    "The sources look like labels and the targets like grey values: swapped? Give the images first and the labels "
    "second, or `source_kind` classes if images are to be made of labels."
)


def swapped() -> Remark:
    """That the sources look like labels and the targets do not."""
    short = "sources look like labels, targets like grey values: swapped?"
    as_labels = Remedy("Sources are labels", {"source_kind": "classes"})
    return Remark(SWAPPED, short, remedies=(Remedy("Swap them", swap=True), as_labels))


def jpeg_labels(images: Sequence[NDArray[Any]], lowest: float, highest: float, n_colours: int) -> list[Remark]:
    """What to do where targets nearly consist of a few values, around which the others ring."""
    n = n_plateaus(images, lowest, highest)
    if not n or n_colours < min(3 * n, FEW_COLOURS + 1):
        return []
    text = (
        f"The targets look like labels as JPEG or smoothing leaves them: nearly all pixels have one of {n} values "
        "per channel, the others ring around them. Store a whole number for each label, as TIFF or PNG."
    )
    return [Remark(text, "targets look like labels as JPEG or smoothing leaves them: store whole numbers")]


def n_colours(images: Sequence[NDArray[Any]]) -> int:
    """Different pixels (all channels) among some of each image; counting ends where there are too many for labels."""
    colours: set[tuple[Any, ...]] = set()
    for image in images:
        pixels = image.reshape(len(image), -1)
        colours.update(map(tuple, np.unique(pixels[:, :: max(1, pixels.shape[1] // 16384)], axis=1).T.tolist()))
        if len(colours) > FEW_COLOURS:
            break
    return len(colours)


def n_plateaus(images: Sequence[NDArray[Any]], lowest: float, highest: float) -> int:
    """How many values these images (C, Y, X) nearly consist of; 0 for images of many values.

    Pixels without an edge beside them are counted in 64 bins from `lowest` to `highest`. Labels that a JPEG has made
    ring, or that were smoothed, leave a few narrow peaks far apart; images of grey values leave a wide one.
    """
    flat = np.zeros((len(images[0]), BINS), int)
    n_pixels = 0
    for image in images:
        scaled = (image.astype(np.float64) - lowest) / (highest - lowest)
        edges = ndimage.maximum_filter(scaled, (1, 3, 3)) - ndimage.minimum_filter(scaled, (1, 3, 3))
        flat += [
            np.histogram(channel[edge <= EDGE], BINS, (0, 1))[0] for channel, edge in zip(scaled, edges, strict=True)
        ]
        n_pixels += image[0].size
    found = []
    for counts in flat:
        peaks, n_peaks = ndimage.label(counts > RARE * counts.sum())
        narrow = np.bincount(peaks)[1:].max(initial=0) <= NARROW
        found.append(n_peaks if narrow and counts.sum() > MOSTLY * n_pixels else BINS)
    return max(found) if 1 < max(found) <= FEW_COLOURS else 0


def disguised(side: str, images: Sequence[NDArray[Any]], n_colours: int) -> list[Remark]:
    """What to do where images taken for intensities look like labels, perhaps stored as colours or as float."""
    first = images[0]
    if n_colours <= FEW_COLOURS and len(first) > 1:
        seen = f"{side}s hold {n_colours} colours only: labels?"
        return [Remark(f"The {seen} Then store a whole number for each, in one channel.", seen)]
    if n_colours <= FEW_COLOURS and side == "source":
        seen = f"sources hold {n_colours} grey values only: labels?"
        remedies = (Remedy("Labels", {"source_kind": "classes"}),)
        return [Remark(f"The {seen} Then give `source_kind` classes.", seen, remedies=remedies)]
    if side == "target" and (sentence := labels_in_disguise(images)):
        if first.dtype.kind == "i" and any((image < 0).any() for image in images):
            unknown = Remedy("Not known", {"ignore_label": min(int(image.min()) for image in images)})
            short = "targets look like labels, and what is not labelled like one: is it known?"
            return [Remark(sentence, short, remedies=(unknown,))]
        kind = guess_kind(image.astype(np.int64) for image in images)
        taken = [Remedy(f"Take as {kind}", {"target_kind": kind})] if len(first) == 1 else []
        return [Remark(sentence, f"targets look like labels stored as {first.dtype}", remedies=tuple(taken))]
    return []
