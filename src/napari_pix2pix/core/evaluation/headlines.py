"""The few figures of a model that choose the best one, and what they are of a frame."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from skimage.metrics import peak_signal_noise_ratio

from napari_pix2pix.core.data.pairs import PairedFrames
from napari_pix2pix.core.data.regions import Region
from napari_pix2pix.core.encodings.kinds import Kind
from napari_pix2pix.core.evaluation.metrics.classes import dice
from napari_pix2pix.core.evaluation.metrics.instances import object_f1
from napari_pix2pix.core.evaluation.metrics.intensities import correlation
from napari_pix2pix.core.evaluation.signs import is_constant
from napari_pix2pix.core.running.trained_model import TrainedModel
from napari_pix2pix.core.settings.config import Precision

HEADLINES: dict[Kind, str] = {"intensity": "mae", "classes": "dice", "instances": "object_f1_iou50"}
"""The figure that sorts images, and tells which of two models is better."""
CHOOSES: dict[Kind, str] = HEADLINES | {"intensity": "pearson"}
"""The figure that chooses the best model of a training: where most of an image is dark, an all but blank prediction has
the smallest mean error, so that of grey values the correlation does."""


def measure(
    prediction: NDArray[Any],
    target: NDArray[Any],
    kind: Kind,
    data_range: float,
    known: NDArray[np.bool_] | None = None,
    classes: Sequence[int] = (0, 1),
    stained: NDArray[np.bool_] | None = None,
) -> dict[str, float]:
    """The figures of one frame (C, [Z,] Y, X), only where the target is `known` ([Z,] Y, X), if given.

    Only channels that the target has, `stained` (C,), count; None: it has all.

    ``mae`` and ``psnr`` (dB, against `data_range`) of intensities in grey values, and ``pearson``, the mean of the
    channels' correlations, 0 where one of the two is constant. ``dice`` of label images: of the
    foreground for instances, the mean over all `classes` but the lowest for classes. ``object_f1_iou50`` of instances.
    A PSNR is infinite where the frames are equal; Dice and F1 are 1 where neither frame has foreground.
    """
    if kind == "intensity":
        if stained is not None and not stained.all():
            prediction, target = prediction[stained], target[stained]
        seen = slice(None) if known is None else known
        a, b = prediction[:, seen].astype(np.float64), target[:, seen].astype(np.float64)
        mae = float(np.abs(a - b).mean())
        psnr = np.inf if mae == 0 else float(peak_signal_noise_ratio(b, a, data_range=data_range or 1.0))
        values = (side.reshape(len(side), -1) / (data_range or 1.0) for side in (a, b))
        alike = np.nan_to_num([correlation(*channels) for channels in zip(*values, strict=True)])
        return {"mae": mae, "psnr": psnr, "pearson": float(alike.mean())}
    if kind == "classes":
        seen = slice(None) if known is None else known
        found, true = prediction[0][seen], target[0][seen]
        present = [value for value in classes[1:] if (found == value).any() or (true == value).any()]
        return {"dice": float(np.mean([dice(found == value, true == value) for value in present] or [1.0]))}
    found, true = (image[0] if known is None else np.where(known, image[0], 0) for image in (prediction, target))
    return {"dice": dice(found > 0, true > 0), "object_f1_iou50": object_f1(found, true)}


@dataclass(frozen=True)
class Judgement:
    """Mean figures of a model, and whether each prediction is constant where its target is not.

    `channels` are the figures of each of several channels of grey values; none of one that no target has.
    """

    figures: dict[str, float]
    constant: bool
    channels: tuple[dict[str, float], ...] = ()

    def told(self, stains: Sequence[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
        """What a model tells of its `stains`, with the figures of each on pairs of this kind."""
        return [
            own | {"figures": own.get("figures", {}) | ({kind: figures} if figures else {})}
            for own, figures in zip(stains, self.channels, strict=False)
        ]


def judge(
    model: TrainedModel, pairs: PairedFrames, regions: Sequence[Region], precision: Precision = "auto"
) -> Judgement:
    """The figures of `measure` for the predictions of these regions, each in one piece, as a plain mean over them.

    Channels that a target has not do not count; those of a channel by itself are against its own range.

    One region is in memory at a time. `precision` is that of the predictions, as in `TrainedModel.predict`.
    """
    encoding, data_range = model.target_encoding, 0.0
    low, high = np.full(encoding.n_channels, np.inf), np.full(encoding.n_channels, -np.inf)
    if encoding.kind == "intensity":
        for region in regions:
            target = pairs.target(region.frame, region.window)
            for k in np.flatnonzero(pairs.stains(region.frame)):
                low[k], high[k] = min(low[k], target[k].min()), max(high[k], target[k].max())
        data_range = float(high.max()) - float(low.min())
    rows, constant = [], []
    by_channel: list[list[dict[str, float]]] = [[] for _ in low]
    for region in regions:
        at, stained = (region.frame, region.window), pairs.stains(region.frame)
        own = model.under(pairs.bears(region.frame))
        target, prediction = pairs.target(*at), own.predict_frame(pairs.source(*at), precision)
        known = pairs.known(*at)
        rows.append(measure(prediction, target, encoding.kind, data_range, known, encoding.classes, stained))
        for k in np.flatnonzero(stained) if encoding.kind == "intensity" and len(low) > 1 else ():
            images = prediction[k : k + 1], target[k : k + 1]
            by_channel[k].append(measure(*images, encoding.kind, float(high[k] - low[k]), known))
        prediction, target = (image if stained.all() else image[stained] for image in (prediction, target))
        if (target != target.flat[0]).any():
            constant.append(is_constant(prediction, target))
    channels = tuple(_means(own) if own else {} for own in by_channel) if len(low) > 1 else ()
    return Judgement(_means(rows), bool(constant) and all(constant), channels)


def _means(rows: Sequence[dict[str, float]]) -> dict[str, float]:
    return {name: float(np.mean([row[name] for row in rows])) for name in rows[0]}
