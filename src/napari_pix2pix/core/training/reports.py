"""Where a training is, as it tells."""

from dataclasses import dataclass, field
from typing import Any

from numpy.typing import NDArray

from napari_pix2pix.core.running.patch_scores import PatchScores
from napari_pix2pix.core.running.trained_model import TrainedModel
from napari_pix2pix.core.teaching.fit_trust import TrustReport


class NotFinite(RuntimeError):
    """Losses or weights are not finite: all processes of a training end with this, at the same step."""


@dataclass(frozen=True)
class Preview:
    """One window of the data now: source, prediction and target (C, Y, X), in grey values or labels.

    With the present discriminator's scores of the prediction, where there is one and a field of it fits in. Where the
    model goes both ways, also `again`, what comes of the prediction back again, and `back`, the other way: from the
    target, to which the source is no truth. Of images from nothing, which `grown` tells the size of, a mosaic of real
    ones, of some that are made and, as the target, of their targets, if they have some.
    """

    source: NDArray[Any]
    prediction: NDArray[Any]
    target: NDArray[Any] | None
    labels: bool = False
    scored: PatchScores | None = None
    again: NDArray[Any] | None = None
    back: "Preview | None" = None
    grown: str = ""


@dataclass(frozen=True)
class Report:
    """Where a training is.

    Parameters
    ----------
    step, steps
        Done, and to do in all.
    losses
        Means over the last ten steps; empty before.
    metrics
        On validation pairs, at the steps that validate; else empty.
    preview
        At some steps.
    elapsed_s
        Since this process began to train.
    remaining_s
        At the present speed; None at the start.
    teaching
        Where the teaching of the judge of the match is, which follows the last step; else None.
    model
        The finished model, in the last report. Where processes share a training the first one's is complete; that of
        the others, who do not wait for it, has no figures on test pairs and does not judge.
    """

    step: int
    steps: int
    losses: dict[str, float] = field(default_factory=dict)
    metrics: dict[str, float] = field(default_factory=dict)
    preview: Preview | None = None
    elapsed_s: float = 0.0
    remaining_s: float | None = None
    teaching: TrustReport | None = None
    model: TrainedModel | None = None
