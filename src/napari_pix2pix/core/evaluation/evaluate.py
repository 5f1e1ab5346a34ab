"""Predictions against the truth."""

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from skimage.metrics import peak_signal_noise_ratio

from napari_pix2pix.core.data.pairs import PairedFrames, Region, StackAxes, Windows, settle_empty_frames
from napari_pix2pix.core.data.shifts import displacement
from napari_pix2pix.core.data.split import KINDS, seen_frames
from napari_pix2pix.core.encodings.encoding import Kind, guess_kind, may_be_labels
from napari_pix2pix.core.evaluation.codings import comparable, in_one_coding, require_labels
from napari_pix2pix.core.evaluation.metrics.baselines import Baseline, constant_image, fit_baselines
from napari_pix2pix.core.evaluation.metrics.classes import dice
from napari_pix2pix.core.evaluation.metrics.comparison import higher_is_better
from napari_pix2pix.core.evaluation.metrics.errors import moved
from napari_pix2pix.core.evaluation.metrics.frames import Frame, Frames
from napari_pix2pix.core.evaluation.metrics.instances import object_f1
from napari_pix2pix.core.evaluation.metrics.intervals import Row, summarize
from napari_pix2pix.core.evaluation.metrics.judges import IntensityJudge, judge_of
from napari_pix2pix.core.evaluation.metrics.objects import Counted, ObjectCounts, Stain
from napari_pix2pix.core.evaluation.monitoring import Monitoring
from napari_pix2pix.core.evaluation.signs import is_constant
from napari_pix2pix.core.running.sources import counted
from napari_pix2pix.core.running.trained_model import TrainedModel
from napari_pix2pix.core.settings.config import EmptyFrames, Precision

KindOfPairs = Literal["test", "validation", "calibration", "train"]
Axes = str | tuple[StackAxes, StackAxes] | None
HEADLINES: dict[Kind, str] = {"intensity": "mae", "classes": "dice", "instances": "object_f1_iou50"}
"""The figure that chooses the best model, and sorts images."""
MADE = {"train": "trained", "validation": "chose", "calibration": "calibrated"}
LOOKED_AT = 16
"""Targets that are looked at to see whether they are of the model's kind."""


def measure(
    prediction: NDArray[Any],
    target: NDArray[Any],
    kind: Kind,
    data_range: float,
    known: NDArray[np.bool_] | None = None,
    classes: Sequence[int] = (0, 1),
) -> dict[str, float]:
    """The figures of one frame (C, [Z,] Y, X), only where the target is `known` ([Z,] Y, X), if given.

    ``mae`` and ``psnr`` (dB, against `data_range`) of intensities in grey values. ``dice`` of label images: of the
    foreground for instances, the mean over all `classes` but the lowest for classes. ``object_f1_iou50`` of instances.
    A PSNR is infinite where the frames are equal; Dice and F1 are 1 where neither frame has foreground.
    """
    if kind == "intensity":
        seen = slice(None) if known is None else known
        a, b = prediction[:, seen].astype(np.float64), target[:, seen].astype(np.float64)
        mae = float(np.abs(a - b).mean())
        psnr = np.inf if mae == 0 else float(peak_signal_noise_ratio(b, a, data_range=data_range or 1.0))
        return {"mae": mae, "psnr": psnr}
    if kind == "classes":
        seen = slice(None) if known is None else known
        found, true = prediction[0][seen], target[0][seen]
        present = [value for value in classes[1:] if (found == value).any() or (true == value).any()]
        return {"dice": float(np.mean([dice(found == value, true == value) for value in present] or [1.0]))}
    found, true = (image[0] if known is None else np.where(known, image[0], 0) for image in (prediction, target))
    return {"dice": dice(found > 0, true > 0), "object_f1_iou50": object_f1(found, true)}


@dataclass(frozen=True)
class Judgement:
    """Mean figures of a model, and whether each prediction is constant where its target is not."""

    figures: dict[str, float]
    constant: bool


def judge(
    model: TrainedModel, pairs: PairedFrames, regions: Sequence[Region], precision: Precision = "auto"
) -> Judgement:
    """The figures of `measure` for the predictions of these regions, each in one piece, as a plain mean over them.

    One region is in memory at a time. `precision` is that of the predictions, as in `TrainedModel.predict`.
    """
    encoding, data_range = model.target_encoding, 0.0
    if encoding.kind == "intensity":
        targets = (pairs.target(region.frame, region.window) for region in regions)
        lows, highs = zip(*((target.min(), target.max()) for target in targets), strict=True)
        data_range = float(max(highs)) - float(min(lows))
    rows, constant = [], []
    for region in regions:
        at = region.frame, region.window
        target, prediction = pairs.target(*at), model.predict_frame(pairs.source(*at), precision)
        rows.append(measure(prediction, target, encoding.kind, data_range, pairs.known(*at), encoding.classes))
        if (target != target.flat[0]).any():
            constant.append(is_constant(prediction, target))
    figures = {name: float(np.mean([row[name] for row in rows])) for name in rows[0]}
    return Judgement(figures, bool(constant) and all(constant))


def evaluate(
    model: TrainedModel,
    source: Any,
    target: Any,
    axes: Axes = None,
    *,
    names: Sequence[str] | None = None,
    empty_frames: EmptyFrames = "ask",
    kind_of_pairs: KindOfPairs = "test",
    allow_seen: bool = False,
    beside: Mapping[str, TrainedModel] | None = None,
    objects: Counted = None,
    stain: Stain = None,
    pixel_size_um: dict[str, float] | None = None,
    on_frame: Callable[[int, int], None] | None = None,
) -> dict[str, Any]:
    """Figures of the model's predictions for `source` against `target`; parameters as in `PairedFrames`.

    One frame is in memory at a time. Frames of which nothing is known are left out.

    Parameters
    ----------
    model, source, target, axes, names
        The model and the pairs; or `source` is `PairedFrames`, and the rest is left out. Their groups, if they have
        several, are what intervals are over; else frames are.
    empty_frames
        What frames without any label in a label target mean, as in `Config`.
    kind_of_pairs
        What these pairs are to the model, where it does not know them.
    allow_seen
        Evaluate pairs that made the model, too, and mark every figure. What made a model is known where pairs have
        hashes of their files; parts of a file that are kept apart by what is `known` may judge it.
    beside
        Further models, by name, that are judged on the same pairs: among the baselines.
    objects
        Count objects of intensities and measure them: ``"otsu"``, what exceeds Otsu's threshold of all targets, or
        pairs whose sources are label images of the same frames.
    stain
        ``"hed"``: in RGB targets, measure the brown of DAB instead of grey values, and its mask.
    pixel_size_um
        By axis: gives figures per mm² and cycles per µm.
    on_frame
        Is told how many frames are done, of how many.

    Returns
    -------
    dict
        JSON. ``kind``; ``kind_of_pairs``; ``seen``: whether these pairs made the model; ``n`` (frames) and the
        ``known_share`` of their pixels; ``intervals``, what they are ``over`` and how many of these there are;
        ``remarks``, sentences; ``metrics`` (each ``value``, ``low``, ``high``; means over frames); ``baselines`` (by
        name, each with the same metrics; fitted on these very pairs, which favours them); ``errors``, by kind:
        ``soft``, ``displaced``, ``invented``, ``missing``; ``ceiling``, the metrics of targets that are only moved as
        far as they lie off; ``files``, a row for each frame, the worst first. Of intensities ``ranges``, ``spectra``
        and, of several channels, ``channels``; of classes ``confusion`` and ``classes``; with `objects` ``objects``,
        with `stain` ``stain``. See `core.metrics`. Of a model that was taught to expect errors ``trust``, see
        `Monitoring.report`.

    Raises
    ------
    ValueError
        If the stacks do not pair up or do not fit the model, they made the model, or nobody says what frames without
        labels mean.
    """
    if isinstance(source, PairedFrames):
        pairs = source
    else:
        pairs = PairedFrames(source, target, axes, names=names, z=model.source_view.pairs_z)
    models = {"the model": model, **(beside or {})}
    encoding = model.target_encoding
    pairs, remark = in_one_coding(pairs, encoding)
    for judged in models.values():
        require_suited(judged, pairs)
    require_kind(model, pairs)
    if other := [name for name, judged in models.items() if judged.target_encoding.kind != encoding.kind]:
        raise ValueError(f"Models side by side must predict the same kind of target; {other[0]} does not.")
    pairs = settle_empty_frames(pairs, empty_frames, encoding.kind)
    seen: dict[int, str] = {}
    for name, judged in models.items():
        found = seen_frames(pairs, judged.provenance)
        if found and not allow_seen:
            frame, kind = next(iter(found.items()))
            more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
            raise ValueError(
                f"Pairs that judge a model must not have made it; {pairs.name(frame)}{more} {MADE[kind]} {name}. "
                "Choose other pairs, or evaluate them with `allow_seen`, which marks every figure."
            )
        seen |= found if judged is model else {frame: "train" for frame in found if frame not in seen}

    predictions = {name: _predictions(judged, pairs) for name, judged in models.items()}
    report = _Report(pairs, encoding.kind, encoding.classes, objects, stain, pixel_size_um, remark)
    report.fit(with_source=True)
    monitoring = Monitoring(model, model.match) if model.match else None
    for frame_of_each in zip(*predictions.values(), strict=True):
        (number, prediction), *others = frame_of_each
        if monitoring is not None:
            monitoring.add(prediction, report.frames[len(report.rows)])
        report.add(number, prediction, dict(zip(beside or (), (made for _, made in others), strict=True)))
        if on_frame is not None:
            on_frame(len(report.rows), len(report.frames))
    if seen:
        kind_of_pairs = next(kind for kind in KINDS if kind in seen.values())
    told = report.told(kind_of_pairs, {pairs.name(frame): kind for frame, kind in seen.items()})
    if monitoring is not None:
        told["trust"] = monitoring.report(report.frames.groups)
    return told | {"seen": bool(seen)}


def _predictions(model: TrainedModel, pairs: PairedFrames) -> Iterator[tuple[int, NDArray[Any]]]:
    """The number of each frame of which something is known, and its prediction."""
    wanted, first = {region.frame for region in pairs.regions()}, 0
    for i, (stack, plan) in enumerate(zip(pairs.sources, pairs.source_plans, strict=True)):
        frames = [frame for frame in range(plan.n_frames) if first + frame in wanted]
        named: dict[str, Any] = {"channels": _channels(model, pairs, i), "frames": frames}
        for frame, prediction in model.predict_frames(stack, plan.axes, **named) if frames else ():
            yield first + frame, prediction
        first += plan.n_frames


def require_suited(model: TrainedModel, pairs: PairedFrames) -> None:
    """Raise a ValueError if the sources or targets of these pairs have other channels than the model's.

    It names the pair where there are several.
    """
    expected = model.target_encoding.n_channels
    for i, (stack, target) in enumerate(zip(pairs.sources, pairs.target_plans, strict=True)):
        try:
            model.prediction_plan(stack, pairs.source_plans[i].axes, _channels(model, pairs, i))
            if target.n_channels != expected:
                raise ValueError(
                    f"A target for this model must have {counted(expected)}; got {target.n_channels} ({target.axes}, "
                    f"{target.shape})."
                )
        except ValueError as error:
            if len(pairs.names) == 1:
                raise
            raise ValueError(f"{pairs.names[i]} does not suit the model: {error}") from error


def _channels(model: TrainedModel, pairs: PairedFrames, i: int) -> Sequence[int]:
    return pairs.source_plans[i].channels or model.source_view.numbers(pairs.source_names[i])


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
        if not varied or (kind := guess_kind(varied)) == "intensity":
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


def evaluate_prediction(
    prediction: Any,
    target: Any,
    axes: Axes = None,
    *,
    kind: Kind | Literal["auto"] = "auto",
    names: Sequence[str] | None = None,
    empty_frames: EmptyFrames = "ask",
    objects: Counted = None,
    stain: Stain = None,
    pixel_size_um: dict[str, float] | None = None,
    on_frame: Callable[[int, int], None] | None = None,
) -> dict[str, Any]:
    """Figures of any tool's `prediction` against `target`, in the form of `evaluate`; ``seen`` is None: not known."""
    pairs = prediction if isinstance(prediction, PairedFrames) else PairedFrames(prediction, target, axes, names=names)
    a, b = pairs.source_plans[0].n_channels, pairs.target_plans[0].n_channels
    if a != b:
        raise ValueError(f"A prediction must have the channels of its target; got {counted(a)} and {counted(b)}.")
    found = guess_kind(Windows(pairs.target, pairs.regions())) if kind == "auto" else kind
    pairs = settle_empty_frames(pairs, empty_frames, found)
    pairs, remark = comparable(pairs, found)
    report = _Report(pairs, found, (), objects, stain, pixel_size_um, remark)
    report.fit(with_source=False)
    for frame in report.frames:
        report.add(frame.number, frame.source, {})
        if on_frame is not None:
            on_frame(len(report.rows), len(report.frames))
    return report.told("test", {}) | {"seen": None}


class _Report:
    """The figures of one evaluation, gathered frame by frame."""

    def __init__(
        self,
        pairs: PairedFrames,
        kind: Kind,
        classes: Sequence[int],
        objects: Counted,
        stain: Stain,
        pixel_size_um: dict[str, float] | None,
        remark: str | None = None,
    ) -> None:
        self.pairs, self.kind, self.pixel_size_um, self.remark = pairs, kind, pixel_size_um, remark
        self.frames = Frames(pairs)
        if (objects is not None or stain is not None) and kind != "intensity":
            raise ValueError(
                f"Objects and stains must be measured in grey values; the targets are {kind}, which are counted "
                "anyway. Leave out `objects` and `stain`."
            )
        if kind == "classes":
            self.counts = self._count_classes(classes)
            classes = sorted(self.counts)
        self.classes = list(classes) if kind == "classes" else []
        self.judge = judge_of(kind, self.frames, self.classes)
        self.objects = ObjectCounts(self.frames, objects, stain) if objects or stain else None
        self.baselines: dict[str, Baseline] = {}
        self.rows: list[Row] = []
        self.others: dict[str, list[Row]] = {}
        self.shifts: list[tuple[float, float] | None] = []
        self.ceiling: list[tuple[Row, str]] = []
        self.known = self.pixels = 0

    def _count_classes(self, classes: Sequence[int]) -> dict[int, int]:
        """Pixels of each class; without `classes`, of all labels in the targets and in their predictions."""
        counts = dict.fromkeys(classes, 0)
        for frame in self.frames:
            values, found = np.unique(frame.target[0][frame.known], return_counts=True)
            for value, count in zip(values.tolist(), found.tolist(), strict=True):
                counts[int(value)] = counts.get(int(value), 0) + count
            if not classes:
                counts |= {int(v): counts.get(int(v), 0) for v in np.unique(frame.source[0][frame.known]).tolist()}
        return counts

    def fit(self, with_source: bool) -> None:
        """Make the baselines, from the sources too where these are no predictions."""
        if isinstance(self.judge, IntensityJudge):
            self.baselines["constant"] = constant_image(self.judge.medians)
        elif self.kind == "classes":
            self.baselines["constant"] = constant_image([max(self.counts, key=self.counts.__getitem__)])
        if with_source:
            self.baselines |= fit_baselines(self.frames, self.kind, self.classes)

    def add(self, number: int, prediction: NDArray[Any], beside: Mapping[str, NDArray[Any]]) -> None:
        """Judge the prediction of the next frame, baselines, and what other models made `beside` it."""
        frame = self.frames[len(self.rows)]
        assert frame.number == number
        judge, target, known = self.judge, frame.target, frame.known
        self.known += int(known.sum())
        self.pixels += known.size
        for name, made in (*((n, make(frame.source)) for n, make in self.baselines.items()), *beside.items()):
            figures = self._figures(made, frame) if name in beside else judge.figures(made, target, known)
            self.others.setdefault(name, []).append(figures)
        if not self._is_finite(prediction, frame):
            self.rows.append(self._unknown(frame) | dict.fromkeys(("invented", "missing", "objects", "objects_target")))
            self.shifts.append(None)
            return
        self.rows.append(judge.add(prediction, frame))
        shift = displacement(judge.structure(prediction), judge.structure(target), known)
        self.shifts.append(shift)
        if shift is not None:
            off, inside = moved(target, shift, labels=judge.labels)
            if (both := known & inside).any():
                self.ceiling.append((judge.figures(off, target, both), frame.group))
        if self.objects is not None:
            self.objects.add(prediction, frame)

    def _figures(self, prediction: NDArray[Any], frame: Frame) -> Row:
        if not self._is_finite(prediction, frame):
            return self._unknown(frame)
        return self.judge.figures(prediction, frame.target, frame.known)

    def _is_finite(self, prediction: NDArray[Any], frame: Frame) -> bool:
        if prediction.dtype.kind != "f" or np.isfinite(prediction[:, frame.known]).all():
            return True
        warnings.warn(f"The prediction of {frame.name} holds NaN or Inf; it has no figures.", stacklevel=4)
        return False

    def _unknown(self, frame: Frame) -> Row:
        return dict.fromkeys(self.judge.figures(frame.target, frame.target, frame.known))

    def told(self, kind_of_pairs: KindOfPairs, seen: Mapping[str, str]) -> dict[str, Any]:
        """The report, as `evaluate` describes it."""
        frames, groups = self.frames, self.frames.groups
        over = "frames" if frames.one_group else "groups" if frames.grouped else "images"
        metrics = summarize(self.rows, groups)
        return {
            "kind": self.kind,
            "kind_of_pairs": kind_of_pairs,
            "n": len(self.rows),
            "known_share": self.known / self.pixels,
            "intervals": {"over": over, "n": len(set(groups))},
            "remarks": self._remarks(seen),
            "metrics": metrics,
            "baselines": {name: summarize(rows, groups) for name, rows in self.others.items()},
            "ceiling": {
                "n": len(self.ceiling),
                "metrics": summarize([row for row, _ in self.ceiling], [group for _, group in self.ceiling]),
            },
            **self.judge.report(groups, self.pixel_size_um),
            "errors": self._errors(),
            **(self.objects.report() if self.objects else {}),
            "files": self._files(seen),
        }

    def _remarks(self, seen: Mapping[str, str]) -> list[str]:
        remarks = [self.remark] if self.remark else []
        if seen:
            remarks.append(
                f"{len(seen)} of {len(self.rows)} made the model ({', '.join(sorted(set(seen.values())))} pairs): "
                "these figures say how well it remembers, not how well it predicts."
            )
        if self.frames.one_group:
            remarks.append("All is from one image or group: figures from within it say nothing about another.")
        return remarks

    def _errors(self) -> dict[str, Any]:
        """What kinds of error there are, apart from each other."""
        area = self._area_mm2()
        strays = {}
        for name, among in (("invented", "objects"), ("missing", "objects_target")):
            sums = np.zeros((2, len(self.rows)))
            for i, key in enumerate((name, among)):
                sums[i] = [row[key] or 0.0 for row in self.rows]
            found, of = sums.sum(axis=1)
            strays[name] = {
                "objects": int(found),
                "of": int(of),
                "share": float(found / of) if of else None,
                "per_mm2": float(found / area) if area else None,
            }
        known = np.array([shift for shift in self.shifts if shift is not None]).reshape(-1, 2)
        lengths = np.hypot(*known.T)
        size = self._pixel_size()
        displaced = {
            "n": len(known),
            "pixels": np.median(known, axis=0).tolist() if len(known) else None,
            "length": float(np.median(lengths)) if len(known) else None,
            "length_um": float(np.median(lengths)) * size if len(known) and size else None,
        }
        spectra = self.judge.spectra.report(self.pixel_size_um) if isinstance(self.judge, IntensityJudge) else []
        soft = [{key: channel[key] for key in ("half", "half_per_um")} for channel in spectra]
        return {"soft": soft or None, "displaced": displaced, **strays}

    def _pixel_size(self) -> float | None:
        """In µm, of square pixels."""
        sizes = {(self.pixel_size_um or {}).get(axis) for axis in "YX"}
        return sizes.pop() if len(sizes) == 1 else None

    def _area_mm2(self) -> float | None:
        """Of all that is known; in volumes that of all planes."""
        size = self.pixel_size_um or {}
        return self.known * size["Y"] * size["X"] / 1e6 if {"Y", "X"} <= size.keys() else None

    def _files(self, seen: Mapping[str, str]) -> list[dict[str, Any]]:
        """A row for each frame, the worst first."""
        rows = []
        for i, (number, group, row) in enumerate(zip(self.frames.numbers, self.frames.groups, self.rows, strict=True)):
            name, stack = self.pairs.name(number), self.pairs.places[number][0]
            said: dict[str, Any] = {"name": name, "group": group}
            if self.pairs.hashes:
                said |= dict(zip(("source_sha256", "target_sha256"), self.pairs.hashes[stack], strict=True))
            said |= {"seen": seen[name]} if name in seen else {}
            shift = self.shifts[i]
            rows.append(said | row | {"shift": None if shift is None else list(shift)})
        headline = HEADLINES[self.kind]
        sign = 1 if higher_is_better(headline) else -1
        return sorted(rows, key=lambda row: -np.inf if row[headline] is None else sign * row[headline])
