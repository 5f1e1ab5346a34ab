"""What pairs must be, for a model to be judged or taught by them."""

import warnings
from collections.abc import Sequence

import numpy as np

from napari_pix2pix.core.data.conditions import require_known
from napari_pix2pix.core.data.pairs import PairedFrames
from napari_pix2pix.core.data.regions import Windows
from napari_pix2pix.core.data.split import seen_frames
from napari_pix2pix.core.encodings.kinds import guess_kind, may_be_labels
from napari_pix2pix.core.evaluation.codings import in_one_coding, require_labels
from napari_pix2pix.core.running.sources import counted, require_translator
from napari_pix2pix.core.running.trained_model import TrainedModel

LOOKED_AT = 16
"""Targets that are looked at to see whether they are of the model's kind."""


def require_suited(model: TrainedModel, pairs: PairedFrames) -> None:
    """Raise a ValueError if the sources or targets of these pairs have other channels than the model's.

    It names the pair where there are several.
    """
    require_two_sides(model)
    if model.conditions.sets:  # to another they are nothing but what its figures are told by
        require_known(pairs, model.conditions)
    expected = model.target_encoding.n_channels
    for i, (stack, target) in enumerate(zip(pairs.sources, pairs.target_plans, strict=True)):
        try:
            model.prediction_plan(stack, pairs.source_plans[i].axes, channels_of(model, pairs, i))
            if target.n_channels != expected:
                raise ValueError(
                    f"A target for this model must have {counted(expected)}; got {target.n_channels} ({target.axes}, "
                    f"{target.shape})."
                )
        except ValueError as error:
            if len(pairs.names) == 1:
                raise
            raise ValueError(f"{pairs.names[i]} does not suit the model: {error}") from error


def require_two_sides(model: TrainedModel) -> None:
    """Raise a ValueError if the model makes images from nothing, or knows domains instead of a source and a target."""
    require_translator(model)
    if model.domains.sets:
        raise ValueError(
            "A model must make targets of sources to be judged, or taught, by pairs; this one makes any of several "
            "domains. Predict with it (`to`), and evaluate these predictions."
        )


def channels_of(model: TrainedModel, pairs: PairedFrames, i: int) -> Sequence[int]:
    """Which channels of the source of pair `i` the model is to take: those chosen, else its own by their names."""
    return pairs.source_plans[i].taken or model.source_view.numbers(pairs.source_names[i])


def require_judged(model: TrainedModel, pairs: PairedFrames) -> None:
    """Raise a ValueError if one of several pairs is none of the model's: it has other channels, or no labels."""
    require_suited(model, pairs)
    if model.target_encoding.is_labels:
        require_kind(model, in_one_coding(pairs, model.target_encoding)[0])


def require_kind(model: TrainedModel, pairs: PairedFrames) -> None:
    """Raise a ValueError if targets are labels where the model predicts intensities, or the other way round."""
    encoding, regions = model.target_encoding, pairs.regions()
    some = Windows(pairs.target, regions[:: max(1, len(regions) // LOOKED_AT)])
    if encoding.kind == "intensity":
        varied = [image for image in some if (image != image.flat[0]).any()]  # an empty image is of any kind
        if not varied or not may_be_labels(varied) or (kind := guess_kind(varied)) == "intensity":
            return
        if model.config.target_kind == "auto" and not seen_frames(pairs, model.provenance):
            raise ValueError(
                f"Targets for this model must be grey values; these look like labels ({kind}). Give the images that it "
                "learned to predict, or train with `target_kind` intensity if these are grey values."
            )
        # Its training was told, or found, that such targets are grey values.
        warnings.warn(f"The targets look like labels ({kind}), but the model predicts grey values.", stacklevel=3)
        return
    if not may_be_labels(some) and not all(np.isin(image, encoding.classes).all() for image in some):
        raise ValueError(
            f"Targets for this model must be labels ({encoding.kind}); these look like grey values ("
            f"{_named(pairs)}). Give label images."
        )
    for region in regions:
        values = pairs.target(region.frame)[0][pairs.known(region.frame)]
        if encoding.kind == "classes" and (strange := np.setdiff1d(values, encoding.classes)).size:
            more = f" If {strange[0]} means that it is not known, give `ignore_label` {strange[0]}."
            raise ValueError(
                f"Targets for this model must hold its classes {list(encoding.classes)} only; "
                f"{pairs.name(region.frame)} holds {strange[:5].tolist()}. Relabel it.{more if strange[0] < 0 else ''}"
            )
        require_labels(values, pairs.name(region.frame))


def _named(pairs: PairedFrames) -> str:
    return pairs.names[0] + (f" (and {len(pairs.names) - 1} more)" if len(pairs.names) > 1 else "")
