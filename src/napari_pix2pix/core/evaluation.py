"""Predictions against the truth."""

import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy import stats
from skimage.filters import threshold_otsu
from skimage.metrics import contingency_table, peak_signal_noise_ratio

from napari_pix2pix.core.config import EmptyFrames, Precision
from napari_pix2pix.core.encoding import Kind, guess_kind
from napari_pix2pix.core.model import TrainedModel, counted
from napari_pix2pix.core.pairs import PairedFrames, Region, StackAxes, Windows, settle_empty_frames

KindOfPairs = Literal["test", "validation", "calibration", "train"]
Axes = str | tuple[StackAxes, StackAxes] | None
HIGHER_IS_BETTER = {"mae": False, "psnr": True, "dice": True, "object_f1_iou50": True}


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


def dice(prediction: NDArray[np.bool_], target: NDArray[np.bool_]) -> float:
    """2 |A n B| / (|A| + |B|); 1 where both are empty."""
    total = int(prediction.sum()) + int(target.sum())
    return 2 * int((prediction & target).sum()) / total if total else 1.0


def object_f1(prediction: NDArray[Any], target: NDArray[Any]) -> float:
    """F1 of objects matched at IoU > 0.5, at which matches are unique; 1 where there are no objects at all.

    References
    ----------
    Caicedo et al., "Nucleus segmentation across imaging experiments", Nature Methods 2019.
    """
    (found, dense_prediction), (true, dense_target) = (
        np.unique(labels, return_inverse=True) for labels in (prediction, target)
    )
    overlap = contingency_table(dense_target.ravel(), dense_prediction.ravel(), sparse_type="array").tocoo()
    rows, columns = overlap.coords
    union = overlap.sum(axis=1)[rows] + overlap.sum(axis=0)[columns] - overlap.data
    matches = int(((overlap.data > 0.5 * union) & (true[rows] != 0) & (found[columns] != 0)).sum())
    objects = int((true != 0).sum() + (found != 0).sum())
    return 2 * matches / objects if objects else 1.0


def interval(values: Sequence[float | None], seed: int = 0) -> dict[str, float | None]:
    """Mean over images and its bootstrap 95 % interval; the interval is None for one image. None counts for nothing."""
    known = np.array([value for value in values if value is not None])
    if known.size == 0:
        return {"value": None, "low": None, "high": None}
    result: dict[str, float | None] = {"value": float(known.mean()), "low": None, "high": None}
    if known.size > 1:
        found = stats.bootstrap((known,), np.mean, method="percentile", n_resamples=2000, rng=seed).confidence_interval
        result |= {"low": float(found.low), "high": float(found.high)}
    return result


@dataclass(frozen=True)
class Judgement:
    """Mean figures of a model, and the images (C, [Z,] Y, X) they come from."""

    figures: dict[str, float]
    predictions: list[NDArray[Any]]
    targets: list[NDArray[Any]]


def judge(
    model: TrainedModel, pairs: PairedFrames, regions: Sequence[Region], precision: Precision = "auto"
) -> Judgement:
    """The figures of `measure` for the predictions of these regions, each in one piece, as a plain mean over them.

    `precision` is that of the predictions, as in `TrainedModel.predict`.
    """
    encoding = model.target_encoding
    targets = [pairs.target(region.frame, region.window) for region in regions]
    predictions = [model.predict_frame(pairs.source(region.frame, region.window), precision) for region in regions]
    data_range = max(float(target.max()) for target in targets) - min(float(target.min()) for target in targets)
    known = [pairs.known(region.frame, region.window) for region in regions]
    rows = [
        measure(prediction, target, encoding.kind, data_range, seen, encoding.classes)
        for prediction, target, seen in zip(predictions, targets, known, strict=True)
    ]
    return Judgement({name: float(np.mean([row[name] for row in rows])) for name in rows[0]}, predictions, targets)


def evaluate(
    model: TrainedModel,
    source: Any,
    target: Any,
    axes: Axes = None,
    *,
    names: Sequence[str] | None = None,
    empty_frames: EmptyFrames = "ask",
    kind_of_pairs: KindOfPairs = "test",
    on_frame: Callable[[int, int], None] | None = None,
) -> dict[str, Any]:
    """Figures of the model's predictions for `source` against `target`; parameters as in `PairedFrames`.

    Frames of which nothing is known are left out. `empty_frames` says what frames without any label in a label target
    mean, as in `Config`.

    Returns
    -------
    dict
        ``kind_of_pairs``, ``n`` (frames), ``metrics`` (each ``value``, ``low``, ``high``), ``baselines`` (by name,
        each with the same metrics; fitted on these very pairs, which favours them) and ``files`` (a row per frame);
        for intensities of several channels also ``channels``, the metrics of each.

    Raises
    ------
    ValueError
        If the stacks do not pair up or do not fit the model, or nobody says what frames without labels mean.
    """
    if isinstance(source, PairedFrames):
        pairs = source
    else:
        pairs = PairedFrames(source, target, axes, names=names, z=model.source_view.pairs_z)
    require_suited(model, pairs)

    encoding = model.target_encoding
    pairs = settle_empty_frames(pairs, empty_frames, encoding.kind)

    def predictions() -> Iterable[NDArray[Any]]:
        for i, (stack, plan) in enumerate(zip(pairs.sources, pairs.source_plans, strict=True)):
            for _, prediction in model.predict_frames(stack, plan.axes, channels=_channels(model, pairs, i)):
                yield prediction

    report = _report(predictions(), pairs, encoding.kind, kind_of_pairs, on_frame, encoding.classes)
    report["baselines"] = _baselines(pairs, model.target_encoding.kind)
    return report


def require_suited(model: TrainedModel, pairs: PairedFrames) -> None:
    """Raise a ValueError if the sources or targets of these pairs have other channels than the model's."""
    expected = model.target_encoding.n_channels
    for i, (stack, target) in enumerate(zip(pairs.sources, pairs.target_plans, strict=True)):
        model.prediction_plan(stack, pairs.source_plans[i].axes, _channels(model, pairs, i))
        if target.n_channels != expected:
            raise ValueError(
                f"A target for this model must have {counted(expected)}; got {target.n_channels} ({target.axes}, "
                f"{target.shape})."
            )


def _channels(model: TrainedModel, pairs: PairedFrames, i: int) -> Sequence[int]:
    return pairs.source_plans[i].channels or model.source_view.numbers(pairs.source_names[i])


def evaluate_prediction(
    prediction: Any,
    target: Any,
    axes: Axes = None,
    *,
    kind: Kind | Literal["auto"] = "auto",
    names: Sequence[str] | None = None,
    empty_frames: EmptyFrames = "ask",
    on_frame: Callable[[int, int], None] | None = None,
) -> dict[str, Any]:
    """Figures of any tool's `prediction` against `target`, in the form of `evaluate`."""
    pairs = prediction if isinstance(prediction, PairedFrames) else PairedFrames(prediction, target, axes, names=names)
    found = guess_kind(Windows(pairs.target, pairs.regions())) if kind == "auto" else kind
    pairs = settle_empty_frames(pairs, empty_frames, found)
    return _report((pairs.source(i) for i in range(len(pairs))), pairs, found, "test", on_frame)


def _report(
    predictions: Iterable[NDArray[Any]],
    pairs: PairedFrames,
    kind: Kind,
    kind_of_pairs: KindOfPairs,
    on_frame: Callable[[int, int], None] | None,
    classes: Sequence[int] = (),
) -> dict[str, Any]:
    ends = _ends(pairs) if kind == "intensity" else np.zeros((2, 1))
    data_range = float(ends[1].max() - ends[0].min())
    if kind == "classes" and not classes:
        classes = sorted({int(value) for i in _frames(pairs) for value in np.unique(pairs.target(i))})
    files, known = [], set(_frames(pairs))
    by_channel: list[list[dict[str, float | None]]] = [[] for _ in ends[0]] if len(ends[0]) > 1 else []
    for i, prediction in enumerate(predictions):
        if i not in known:
            continue
        figures = measure(prediction, pairs.target(i), kind, data_range, pairs.known(i), classes)
        if any(np.isnan(value) for value in figures.values()):
            warnings.warn(f"The prediction of {pairs.name(i)} holds NaN or Inf; it has no figures.", stacklevel=3)
        files.append({"name": pairs.name(i), **_finite(figures)})
        for channel, rows in enumerate(by_channel):
            one, true = prediction[channel : channel + 1], pairs.target(i)[channel : channel + 1]
            rows.append(_finite(measure(one, true, kind, float(np.ptp(ends[:, channel])), pairs.known(i))))
        if on_frame is not None:
            on_frame(len(files), len(known))
    report: dict[str, Any] = {
        "kind_of_pairs": kind_of_pairs,
        "n": len(files),
        "metrics": summarize(files),
        "baselines": {},
        "files": files,
    }
    return report | ({"channels": [summarize(rows) for rows in by_channel]} if by_channel else {})


def _finite(figures: dict[str, float]) -> dict[str, float | None]:
    return {name: value if np.isfinite(value) else None for name, value in figures.items()}


def summarize(files: Sequence[dict[str, Any]]) -> dict[str, dict[str, float | None]]:
    """Each metric of these rows with its interval over them."""
    return {name: interval([row[name] for row in files]) for name in files[0] if name != "name"}


def _frames(pairs: PairedFrames) -> list[int]:
    """Those of which something is known."""
    return [region.frame for region in pairs.regions()]


def _ends(pairs: PairedFrames) -> NDArray[np.float64]:
    """The smallest and the largest target value of each channel, (2, C), over all frames."""
    values = (pairs.target(i).astype(np.float64).reshape(pairs.target_plans[0].n_channels, -1) for i in _frames(pairs))
    ends = np.array([(frame.min(axis=1), frame.max(axis=1)) for frame in values])
    return np.stack([ends[:, 0].min(axis=0), ends[:, 1].max(axis=0)])


def _baselines(pairs: PairedFrames, kind: Kind) -> dict[str, Any]:
    """What needs no network: a constant and the best affine map of the source, or Otsu's threshold of it."""
    frames = _frames(pairs)
    known = [pairs.known(i) for i in frames]
    sources = [pairs.source(i).astype(float).mean(axis=0) for i in frames]
    targets = [pairs.target(i) for i in frames]
    seen = np.concatenate([source[k] for source, k in zip(sources, known, strict=True)])
    if kind != "intensity":
        level = threshold_otsu(seen)
        masks = {"otsu_bright": [s > level for s in sources], "otsu_dark": [s <= level for s in sources]}
        return {
            name: summarize(
                [{"dice": dice(m & k, (t[0] > 0) & k)} for m, t, k in zip(found, targets, known, strict=True)]
            )
            for name, found in masks.items()
        }
    true = np.concatenate([target.mean(axis=0)[k] for target, k in zip(targets, known, strict=True)])
    slope, offset = np.polyfit(seen, true, 1) if np.ptp(seen) else (0.0, true.mean())
    maps = {"constant": (0.0, float(np.median(true))), "affine": (float(slope), float(offset))}
    ends = _ends(pairs)
    data_range = float(ends[1].max() - ends[0].min())
    return {
        name: summarize(
            [
                measure(np.broadcast_to(a * s + b, t.shape), t, kind, data_range, k)
                for s, t, k in zip(sources, targets, known, strict=True)
            ]
        )
        for name, (a, b) in maps.items()
    }
