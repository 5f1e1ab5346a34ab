"""Predictions and targets that store the same things by other numbers, made comparable before they are judged."""

from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_pix2pix.core.data.pairs import PairedFrames
from napari_pix2pix.core.data.regions import Windows, pieces
from napari_pix2pix.core.encodings.encoding import Encoding
from napari_pix2pix.core.encodings.kinds import Kind, labels_in_disguise
from napari_pix2pix.core.encodings.masks import as_mask, foregrounds, mixed_codings

SAME = "The {} are masks of 0 and {}, the {} of 0 and {}: every value but 0 is counted as the same foreground."
LOOKED_AT = 16
"""Images that are looked at to see whether they are of another kind than they seem."""


def in_one_coding(pairs: PairedFrames, encoding: Encoding) -> tuple[PairedFrames, str | None]:
    """The pairs, targets that are masks storing their foreground as the model does, and a remark where that is new.

    Masks that store it in several ways, one of them white, are masks, too; other labels stay what they are.
    """
    ours = set(encoding.classes) - {0}
    if encoding.kind != "classes" or len(encoding.classes) != 2 or len(ours) != 1:
        return pairs, None
    theirs = foregrounds(_known_targets(pairs))
    if not theirs or theirs == ours or min(theirs) < 0 or (len(theirs) > 1 and not mixed_codings(theirs)):
        return pairs, None
    (code,) = ours
    remark = SAME.format("targets", " or ".join(map(str, sorted(theirs))), "model's predictions", code)
    return pairs.recoded(target=partial(as_mask, foreground=code)), remark


def comparable(pairs: PairedFrames, kind: Kind) -> tuple[PairedFrames, str | None]:
    """The pairs of a prediction and its target, in one coding, and a remark where they were in two or look amiss.

    Raises
    ------
    ValueError
        If targets that are labels hold negative ones.
    """
    some = pairs.regions()[:: max(1, len(pairs.regions()) // LOOKED_AT)]
    if kind == "intensity":
        return pairs, labels_in_disguise(Windows(pairs.target, some)) if pairs.all_stained else None
    for values, region in zip(_known_targets(pairs), pieces(pairs.regions()), strict=True):
        require_labels(values, pairs.name(region.frame))
    if kind == "instances":
        pairs = pairs.recoded(source=_without_negative)
        found, true = (
            max(len(np.unique(image[image > 0])) for image in Windows(read, some))
            for read in (pairs.source, pairs.target)
        )
        for side, own, others in (("predictions", found, true), ("targets", true, found)):
            if own == 1 < others:
                return pairs, (
                    f"The {side} hold one label for all objects of an image: masks? Then number their objects "
                    "(connected components), or judge both as masks: `target_kind` classes `foreground`."
                )
        return pairs, None
    codes = foregrounds(Windows(pairs.source, pairs.regions()))
    stored = foregrounds(_known_targets(pairs))
    if stored is not None and len(stored) > 1:
        return pairs, mixed_codings(stored)
    if not codes or not stored or len(codes) > 1 or codes == stored:
        return pairs, None
    (ours,), (theirs,) = codes, stored
    return pairs.recoded(source=partial(as_mask, foreground=theirs)), SAME.format(
        "predictions", ours, "targets", theirs
    )


def require_labels(values: NDArray[Any], name: str) -> None:
    """Raise a ValueError if the target of this name holds a negative label where it is known."""
    if values.size and (lowest := values.min()) < 0:
        raise ValueError(
            f"Labels must be 0 or more; the target of {name} holds {lowest:g}. If that means that it is not known, "
            f"give `ignore_label` {lowest:g}; else relabel it."
        )


def _known_targets(pairs: PairedFrames) -> Any:
    parts = ((region.frame, region.window) for region in pieces(pairs.regions()))
    return (pairs.target(*part)[0][pairs.known(*part)] for part in parts)


def _without_negative(labels: NDArray[Any]) -> NDArray[Any]:
    """The labels, background where they are negative."""
    return np.maximum(labels, 0) if labels.dtype.kind in "if" else labels
