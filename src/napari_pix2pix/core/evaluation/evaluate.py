"""Predictions against the truth."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Literal

from numpy.typing import NDArray

from napari_pix2pix.core.data.conditions import Conditions
from napari_pix2pix.core.data.emptiness import settle_empty
from napari_pix2pix.core.data.pairs import PairedFrames, StackAxes
from napari_pix2pix.core.data.regions import Windows
from napari_pix2pix.core.data.split import KINDS, seen_frames, trained_elsewhere
from napari_pix2pix.core.encodings.kinds import Kind, guess_kind
from napari_pix2pix.core.evaluation.admission import channels_of, require_kind, require_suited
from napari_pix2pix.core.evaluation.codings import comparable, in_one_coding
from napari_pix2pix.core.evaluation.metrics.objects import Counted, Stain
from napari_pix2pix.core.evaluation.monitoring import Monitoring
from napari_pix2pix.core.evaluation.tally import KindOfPairs, Tally
from napari_pix2pix.core.running.predict import require_draws
from napari_pix2pix.core.running.sources import counted
from napari_pix2pix.core.running.trained_model import TrainedModel
from napari_pix2pix.core.settings.config import EmptyChannels, EmptyFrames

Axes = str | tuple[StackAxes, StackAxes] | None
MADE = {"train": "trained", "validation": "chose", "calibration": "calibrated"}
ELSEWHERE = (
    "What trained {0} is not known, since it comes from elsewhere: if these images were among that, the figures say "
    "how well it remembers, not how well it predicts."
)
"""Of an imported model."""


def evaluate(
    model: TrainedModel,
    source: Any,
    target: Any,
    axes: Axes = None,
    *,
    names: Sequence[str] | None = None,
    conditions: Conditions = None,
    empty_frames: EmptyFrames = "ask",
    empty_channels: EmptyChannels = "ask",
    kind_of_pairs: KindOfPairs = "test",
    allow_seen: bool = False,
    beside: Mapping[str, TrainedModel] | None = None,
    objects: Counted = None,
    stain: Stain = None,
    draws: int | None = None,
    pixel_size_um: dict[str, float] | None = None,
    on_frame: Callable[[int, int], None] | None = None,
) -> dict[str, Any]:
    """Figures of the model's predictions for `source` against `target`; parameters as in `PairedFrames`.

    One frame is in memory at a time. Frames of which nothing is known are left out.

    Parameters
    ----------
    model, source, target, axes, names, conditions
        The model and the pairs; or `source` is `PairedFrames`, and the rest is left out. Their groups, if they have
        several, are what intervals are over; else frames are.
    empty_frames, empty_channels
        What frames without any label in a label target mean, and channels of one value, as in `Config`.
    kind_of_pairs
        What these pairs are to the model, where it does not know them.
    allow_seen
        Evaluate pairs that made the model, too, and mark every figure. What made a model is known where pairs have
        hashes of their files; parts of a file that are kept apart by what is `known` may judge it.
    beside
        Further models, by name, that are judged on the same pairs: among the baselines.
    objects
        Count objects of intensities and measure them: ``"otsu"``, what exceeds Otsu's threshold of all targets; pairs
        whose sources are label images of the same frames; or a model, which finds them in predictions and in targets.
    stain
        ``"hed"``: in RGB targets, measure the brown of DAB instead of grey values, and its mask.
    draws
        So many dropout draws, two at least, tell of each object what they know of it: information gain, in bits,
        beside that of one prediction, see `evaluation.metrics.information`. Only with `objects`.
    pixel_size_um
        By axis: gives figures per mm² and cycles per µm.
    on_frame
        Is told how many frames are done, of how many.

    Returns
    -------
    dict
        JSON. ``kind``; ``kind_of_pairs``; ``seen``: whether these pairs made the model, None where it was imported
        and nobody knows; ``n`` (frames) and the
        ``known_share`` of their pixels; ``intervals``, what they are ``over`` and how many of these there are;
        ``remarks``, sentences; ``metrics`` (each ``value``, ``low``, ``high``; means over frames); ``baselines`` (by
        name, each with the same metrics; fitted on these very pairs, which favours them); ``errors``, by kind:
        ``soft``, ``displaced``, ``invented``, ``missing``; ``ceiling``, the metrics of targets that are only moved as
        far as they lie off; ``files``, a row for each frame, the worst first. Of intensities ``ranges``, ``spectra``
        and, of several channels, ``channels``, the metrics of each, and ``stains``: its ``name``, and how many frames
        (``n``) and ``pairs`` have it. A channel that a pair has not does not count there; a row then tells its
        ``stains``, of which its figures are the means. Of classes ``confusion`` and ``classes``; with `objects`
        ``objects``, with `stain` ``stain``; with either, and of instances (measured in the mean of their source's
        channels), ``features``, for each channel which read-outs of single objects may be used, see `Populations`;
        where pairs are of classes ``conditions``, by class ``n`` and ``metrics``.
        See `evaluation.metrics`. Of a model that was taught to expect errors ``trust``, see `Monitoring.report`, and in
        ``files`` the mean ``expected_error`` of each frame, as `predict` and `score` tell it.

    Raises
    ------
    ValueError
        If the stacks do not pair up or do not fit the model, they made the model, or nobody says what frames without
        labels mean.
    """
    if isinstance(source, PairedFrames):
        pairs = source
    else:
        how: dict[str, Any] = {"names": names, "conditions": conditions, "z": model.source_view.pairs_z}
        pairs = PairedFrames(source, target, axes, **how)
    models = {"the model": model, **(beside or {})}
    encoding = model.target_encoding
    pairs, remark = in_one_coding(pairs, encoding)
    for judged in models.values():
        require_suited(judged, pairs)
    if kind_of_pairs == "test":  # others are the training's own, which has settled what they are
        require_kind(model, pairs)
    if other := [name for name, judged in models.items() if judged.target_encoding.kind != encoding.kind]:
        raise ValueError(f"Models side by side must predict the same kind of target; {other[0]} does not.")
    pairs = settle_empty(pairs, empty_frames, empty_channels, encoding.kind, varying=range(encoding.n_channels))
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

    if draws is not None:
        if objects is None:
            raise ValueError("Draws must be judged by what they tell of objects; give `objects`, or leave draws out.")
        require_draws(model, draws)
    drawn = [_predictions(model, pairs, draw) for draw in range(draws or 0)]
    predictions = {name: _predictions(judged, pairs) for name, judged in models.items()}
    report = Tally(pairs, encoding.kind, encoding.classes, objects, stain, pixel_size_um, remark)
    report.fit(with_source=True, measured=not model.source_encoding.is_labels)
    monitoring = Monitoring(model, model.match) if model.match else None
    for frame_of_each in zip(*predictions.values(), strict=True):
        (number, prediction), *others = frame_of_each
        of_draws = [next(draw)[1] for draw in drawn]
        if monitoring is not None:
            monitoring.add(prediction, report.frames[len(report.rows)])
        report.add(number, prediction, dict(zip(beside or (), (made for _, made in others), strict=True)), of_draws)
        if on_frame is not None:
            on_frame(len(report.rows), len(report.frames))
    if seen:
        kind_of_pairs = next(kind for kind in KINDS if kind in seen.values())
    told = report.told(kind_of_pairs, {pairs.name(frame): kind for frame, kind in seen.items()})
    if monitoring is not None:
        told["trust"] = monitoring.report(report.frames.groups)
        of_each = dict(zip(map(pairs.name, report.frames.numbers), monitoring.rows, strict=True))
        told["files"] = [row | of_each[row["name"]] for row in told["files"]]
    if model.conditions.sets and not pairs.conditions.sets:
        known = ", ".join(model.conditions.names)
        told["remarks"].append(
            f"The model knows conditions, {known}, and was told none: it predicted as if they were not known. Give "
            "those of the pairs (`condition`)."
        )
    elsewhere = [name for name, judged in models.items() if trained_elsewhere(judged.provenance)]
    told["remarks"] += map(ELSEWHERE.format, elsewhere)
    return told | {"seen": True if seen else None if "the model" in elsewhere else False}


def _predictions(
    model: TrainedModel, pairs: PairedFrames, draw: int | None = None
) -> Iterator[tuple[int, NDArray[Any]]]:
    """The number of each frame of which something is known, and its prediction, or this dropout draw of it."""
    wanted, first = {region.frame for region in pairs.regions()}, 0
    for i, (stack, plan) in enumerate(zip(pairs.sources, pairs.source_plans, strict=True)):
        frames = [frame for frame in range(plan.n_frames) if first + frame in wanted]
        named: dict[str, Any] = {"channels": channels_of(model, pairs, i), "frames": frames, "draw": draw}
        own = model.under(pairs.labels[i])
        for frame, prediction in own.predict_frames(stack, plan.axes, **named) if frames else ():
            yield first + frame, prediction
        first += plan.n_frames


def evaluate_prediction(
    prediction: Any,
    target: Any,
    axes: Axes = None,
    *,
    kind: Kind | Literal["auto"] = "auto",
    names: Sequence[str] | None = None,
    empty_frames: EmptyFrames = "ask",
    empty_channels: EmptyChannels = "ask",
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
    pairs = settle_empty(pairs, empty_frames, empty_channels, found)
    pairs, remark = comparable(pairs, found)
    report = Tally(pairs, found, (), objects, stain, pixel_size_um, remark)
    report.fit(with_source=False)
    for frame in report.frames:
        report.add(frame.number, frame.source, {})
        if on_frame is not None:
            on_frame(len(report.rows), len(report.frames))
    return report.told("test", {}) | {"seen": None}
