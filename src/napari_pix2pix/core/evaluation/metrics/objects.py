"""What users count: objects, their number, size and brightness, in the prediction and in the truth."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.color import rgb2hed

from napari_pix2pix.core.data.pairs import PairedFrames
from napari_pix2pix.core.evaluation.metrics.classes import dice
from napari_pix2pix.core.evaluation.metrics.features import Populations
from napari_pix2pix.core.evaluation.metrics.frames import Frame, Frames
from napari_pix2pix.core.evaluation.metrics.information import Gains
from napari_pix2pix.core.evaluation.metrics.instances import of_instances
from napari_pix2pix.core.evaluation.metrics.intensities import Histogram, histograms
from napari_pix2pix.core.evaluation.metrics.intervals import Figure, Row, figure, resamples, summarize
from napari_pix2pix.core.evaluation.metrics.segmenter import Segmenter, labelled
from napari_pix2pix.core.running.trained_model import TrainedModel

Counted = Literal["otsu"] | PairedFrames | TrainedModel | None
Stain = Literal["hed"] | None

FAITHFUL, CLOSE = 0.1, 0.2
"""A measurement: slope and mean within a tenth of the truth; of single objects, 95 % within a fifth. Our choice."""
FEWEST = 20
"""With fewer objects nothing is said."""
MOST_POINTS = 1000
"""So many objects, evenly chosen, are listed for a plot."""
FOUND = "object_f1_iou50", "object_precision_iou50", "object_recall_iou50"
NOT_COUNTED: Row = dict.fromkeys(("number", "area", "number_target", "area_target"))
"""What is counted of a channel that no frame has."""


def brown(image: NDArray[Any]) -> NDArray[np.float64]:
    """The optical density of DAB (1, Y, X) in an RGB image (3, Y, X), unsigned integers or 0 to 1.

    Raises
    ------
    ValueError
        If the image is no such RGB image.

    References
    ----------
    Ruifrok and Johnston, "Quantification of histochemical staining by color deconvolution", 2001.
    """
    kind = image.dtype.kind
    proper = kind == "u" or (kind == "f" and 0 <= image.min() <= image.max() <= 1)
    if image.ndim != 3 or len(image) != 3 or not proper:
        raise ValueError(
            "Brown stain must be looked for in RGB images of unsigned integers or of values from 0 to 1; got "
            f"{len(image)} channels, {image.dtype}. Leave out `stain`."
        )
    density: NDArray[np.float64] = rgb2hed(np.moveaxis(image, 0, -1))[..., 2][None]
    return density


class ObjectCounts:
    """Objects over all frames, of each channel or of the brown stain.

    Parameters
    ----------
    frames
        All that will come, for Otsu's threshold of their targets; a channel that a target has not does not count.
    objects
        ``"otsu"`` (as None): what exceeds it. Or pairs whose sources are label images: objects of both sides. Or a
        model, which finds those of predictions and those of targets.
    stain
        ``"hed"``: what is measured is the density of DAB in RGB images.
    """

    def __init__(self, frames: Frames, objects: Counted, stain: Stain) -> None:
        self._labels = objects if isinstance(objects, PairedFrames) else None
        self._stain = stain
        whole = not stain and frames[0].target.dtype.kind in "iub"
        n_channels = 1 if stain else len(frames[0].target)
        found = histograms(lambda: map(self._values, frames), n_channels, whole)
        ends = [(0.0, 1.0) if one is None else (one.share(0.001), one.share(0.999)) for one in found]
        same = self._labels is not None
        self._channels = [
            _Channel(None if one is None else one.otsu(), span, Populations(same))
            for one, span in zip(found, ends, strict=True)
        ]
        self._segmenter: Segmenter | None = None
        if isinstance(objects, TrainedModel):
            bounds = [(0.0, 1.0) if one is None else (one.low, one.high) for one in found]
            self._segmenter = Segmenter(objects, frames[0].target, frames.colours, bounds)
        self._masks: list[Row] = []
        self._groups: list[str] = []

    def _view(self, image: NDArray[Any]) -> NDArray[Any]:
        return brown(image) if self._stain else image

    def _values(self, frame: Frame) -> list[NDArray[Any]]:
        """What is known of each channel of the target, (N,)."""
        return [self._view(frame.target)[0][frame.known]] if self._stain else frame.values(frame.target)

    def add(self, prediction: NDArray[Any], frame: Frame, draws: Sequence[NDArray[Any]] = ()) -> None:
        """Count a prediction (C, [Z,] Y, X), and measure draws of it."""
        given = self._labels.source(frame.number)[0] if self._labels else None
        a, b = self._view(prediction), self._view(frame.target)
        stained = (True,) if self._stain else frame.stained
        drawn = [self._view(draw) for draw in draws]
        labels: tuple[NDArray[Any], NDArray[Any]] | None = None if given is None else (given, given)
        for k, (channel, one, other, there) in enumerate(zip(self._channels, a, b, stained, strict=True)):
            if not there:
                continue
            if self._segmenter is not None and (labels is None or not self._segmenter.together):
                labels = self._segmenter.find(prediction, k), self._segmenter.find(frame.target, k, true=True)
            channel.add(one, other, frame.known, frame.group, labels, [draw[k] for draw in drawn])
        if self._stain:
            level = self._channels[0].level
            masks = [view[0][frame.known] > (np.inf if level is None else level) for view in (a, b)]
            shares = {"share": float(masks[0].mean()), "share_target": float(masks[1].mean())}
            self._masks.append({"dice": dice(*masks), **shares})
            self._groups.append(frame.group)

    def report(self) -> dict[str, Any]:
        """``objects``, for each channel what `_Channel.report` tells; ``stain``: its level and metrics of its mask.

        ``features``: of each channel what `Populations.report` tells.
        """
        found: dict[str, Any] = {"objects": [channel.report() for channel in self._channels]}
        found["features"] = [channel.populations.report() for channel in self._channels]
        if self._stain:
            metrics = summarize(self._masks, self._groups)
            found["stain"] = {"name": "DAB", "level": self._channels[0].level, "metrics": metrics}
        return found


@dataclass
class _Channel:
    """Objects of one channel: where the target exceeds `level`, Otsu's of all targets, or those given.

    `ends` are the grey values between which textures are told.
    """

    level: float | None
    ends: tuple[float, float]
    populations: Populations
    rows: list[Row] = field(default_factory=list)
    groups: list[str] = field(default_factory=list)
    measured: list[NDArray[np.float64]] = field(default_factory=list)
    gains: Gains = field(default_factory=Gains)

    def add(
        self,
        prediction: NDArray[Any],
        target: NDArray[Any],
        known: NDArray[np.bool_],
        group: str,
        objects: tuple[NDArray[Any], NDArray[Any]] | None,
        draws: Sequence[NDArray[Any]],
    ) -> None:
        """Count a frame ([Z,] Y, X) of grey values and measure its draws; `objects` are labels, None: Otsu's."""
        if objects is None:
            level = np.inf if self.level is None else self.level
            a, b = (labelled((image > level) & known) for image in (prediction, target))
        else:
            a, b = (np.where(known, labels, 0) for labels in objects)
        row: Row = {}
        for suffix, labels in zip(("", "_target"), (a, b), strict=True):
            areas = np.unique(labels[labels > 0], return_counts=True)[1]
            row |= {"number" + suffix: float(len(areas)), "area" + suffix: float(areas.mean()) if len(areas) else None}
        if not self.populations.same:
            found = of_instances(a, b, known)
            row |= {name: found[name] for name in FOUND}
        self.populations.add((a, b), (prediction, target), self.ends, group)
        self.rows.append(row)
        self.groups.append(group)
        numbers = np.unique(b[b > 0])
        images = target, prediction, *draws
        means = [ndimage.mean(image, b, numbers) if len(numbers) else [] for image in images]
        self.measured.append(np.array(means[:2], np.float64))
        if draws:
            self.gains.add(np.array(means, np.float64), group)

    def report(self) -> dict[str, Any]:
        """Figures with intervals over groups, and a ``sentence`` on what they are good for.

        ``counts``: number and mean area (px) of objects in a frame; those of the target end in ``_target``. Where both
        sides have objects of their own also ``object_f1_iou50`` and its precision and recall, see `of_instances`.
        ``intensity`` (None without objects): of the mean grey values in each object of the target ``n``, ``slope`` of
        prediction on target, ``bias``, Bland-Altman ``limits``, ``pearson``; ``positive``, the share of objects above
        ``level``, Otsu's of the true means, in either. ``points``: (target, prediction). With draws ``information``,
        see `Gains.report`.

        References
        ----------
        Bland and Altman, "Statistical methods for assessing agreement between two methods of clinical measurement",
        1986.
        """
        counts = summarize(self.rows or [NOT_COUNTED], self.groups or [""])
        found: dict[str, Any] = {"level": self.level, "counts": counts}
        x, y = np.concatenate([np.zeros((2, 0)), *self.measured], axis=1)
        if x.size < 2 or np.ptp(x) == 0:
            return found | {"intensity": None, "positive": None, "points": [], "sentence": verdict(x.size, None, 0.0)}
        _, member = np.unique(self.groups, return_inverse=True)
        sums = np.zeros((member.max() + 1, 6))  # of each group: n, x, y, xx, xy, yy
        level = _otsu(x)
        shares = np.zeros((len(sums), 2))
        for group, (a, b) in zip(member, self.measured, strict=True):
            sums[group] += a.size, a.sum(), b.sum(), a @ a, a @ b, b @ b
            shares[group] += ((b > level).sum(), (a > level).sum()) if level is not None else (0, 0)
        drawn = resamples(len(sums)) if len(sums) > 1 else None
        names = ("slope", "bias", "low", "high", "pearson")
        values = _agreement(sums.sum(axis=0)[None])
        resampled = None if drawn is None else _agreement(drawn @ sums)
        agreed = {
            name: figure(values[i][0], None if resampled is None else resampled[i]) for i, name in enumerate(names)
        }
        intensity: dict[str, Any] = {"n": int(x.size), "mean": float(x.mean()), "mean_prediction": float(y.mean())}
        intensity |= {name: agreed[name] for name in ("slope", "bias", "pearson")}
        intensity["limits"] = [agreed["low"], agreed["high"]]
        positive: dict[str, Any] | None = None
        if level is not None:
            positive = {"level": level}
            for i, side in enumerate(("prediction", "target")):
                with np.errstate(invalid="ignore"):
                    again = None if drawn is None else (drawn @ shares[:, i]) / (drawn @ sums[:, 0])
                positive[side] = figure(shares[:, i].sum() / x.size, again)
        chosen = np.unique(np.linspace(0, x.size - 1, MOST_POINTS).round().astype(int))
        points = np.stack([x[chosen], y[chosen]], axis=1).tolist()
        sentence = verdict(x.size, agreed, float(abs(x.mean())))
        if information := self.gains.report(FEWEST):
            found["information"] = information
            sentence += f" {information['sentence']}"
        return found | {"intensity": intensity, "positive": positive, "points": points, "sentence": sentence}


def _agreement(sums: NDArray[np.float64]) -> tuple[NDArray[np.float64], ...]:
    """Slope, bias, the two limits and Pearson's r of y against x, from sums (N, 6) of n, x, y, xx, xy, yy."""
    n, x, y, xx, xy, yy = sums.T
    with np.errstate(divide="ignore", invalid="ignore"):
        vx, vy, cov = xx / n - (x / n) ** 2, yy / n - (y / n) ** 2, xy / n - x * y / n**2
        bias = (y - x) / n
        spread = np.sqrt(np.maximum(vx + vy - 2 * cov, 0) * n / (n - 1))
        return cov / vx, bias, bias - 1.96 * spread, bias + 1.96 * spread, cov / np.sqrt(vx * vy)


def _otsu(values: NDArray[np.float64]) -> float | None:
    histogram = Histogram(float(values.min()), float(values.max()), False)
    histogram.add(values)
    return histogram.otsu()


def verdict(n: int, agreed: dict[str, Figure] | None, mean: float) -> str:
    """Whether predicted intensities can be used as measurements, in one plain sentence."""
    if agreed is None or n < FEWEST:
        return f"Whether predicted intensities can be used as measurements is not known: {n} objects are too few."
    slope, bias, low, high = (agreed[name]["value"] or 0.0 for name in ("slope", "bias", "low", "high"))
    wide = (high - low) / 2
    shares = f"slope {slope:.2f}, bias {bias / mean:+.0%} of the mean, single objects within ±{wide / mean:.0%} of that"
    if abs(slope - 1) > FAITHFUL or abs(bias) > FAITHFUL * mean:
        why = "dim and bright ones are drawn together" if slope < 1 - FAITHFUL else "they do not agree with the truth"
        return f"Predicted intensities cannot be used as measurements: {why} ({shares})."
    if wide > CLOSE * mean:
        return f"Predicted intensities can be used for means over many objects, not for single ones ({shares})."
    return f"Predicted intensities can be used as measurements, of images like these ({shares})."
