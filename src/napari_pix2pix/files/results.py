"""A model applied to files: predictions and patch scores as TIFF, with pixel size and where they came from."""

import csv
import json
import math
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_pix2pix import __version__
from napari_pix2pix.core.encodings.rescaling import rescaled_shape
from napari_pix2pix.core.engine.atomic import written_beside
from napari_pix2pix.core.geometry.axes import AxesPlan
from napari_pix2pix.core.geometry.per_pixel import per_pixel
from napari_pix2pix.core.geometry.tiles import TilePlan
from napari_pix2pix.core.running.bands import Band
from napari_pix2pix.core.running.patch_scores import PatchScores
from napari_pix2pix.core.running.predict import predict_bands
from napari_pix2pix.core.running.prediction import cheaper
from napari_pix2pix.core.running.trained_model import TrainedModel
from napari_pix2pix.core.settings.config import Precision
from napari_pix2pix.core.settings.running import PredictSettings, ScoreSettings
from napari_pix2pix.files.folders import halved, open_joined
from napari_pix2pix.files.outputs import beside
from napari_pix2pix.files.pairing import channel_numbers, taken_names
from napari_pix2pix.files.stacks import (
    PREDICTED,
    Stack,
    open_stack,
    place_of,
    sha256,
    stack_writer,
    stem,
)
from napari_pix2pix.files.trusted import bands, require_known, require_trustable, write_trust
from napari_pix2pix.files.trusted import trust_limit as limit_of

ALIKE = 0.1
"""Pixel sizes that differ by more than this share want another scale."""
JUDGING = 0.3
"""The share of the work on a prediction that judging it takes, about."""


def predict_file(
    model: TrainedModel,
    source: Path,
    out: Path,
    how: PredictSettings,
    *,
    more: Sequence[Path] = (),
    model_sha256: str | None = None,
    hashes: Mapping[Path, str] | None = None,
) -> Iterator[dict[str, Any]]:
    """Write the prediction for the stack `source` to `out`; yields the share that is done after some rows.

    Source, network and result stream: memory for a row of tiles suffices, however large the images are.

    At the end comes a ``row`` with the range of the source's grey values and the share outside the training range.

    The channels of the files `more` are appended to the source's; `how.source_channels`, by name or number, are taken,
    or those of the training: by their names where the file has these, else by their numbers.
    With `keep_maps` the encoded maps go beside it, as `maps_path` names them, with the encoding in their description:
    `Encoding.decode` makes another prediction of them, with other thresholds, without the network.
    With `draws` the prediction is the mean over so many dropout draws, and their spread beside it.
    With `rescale` what the network makes of a frame is resampled to the source's grid, then decoded.
    With `keep_frames`, if the generator is closed before its time, `out`, an OME-Zarr, holds the frames that are done.
    With `trust` it is judged once it is written, see `write_trust`; its figures are in the row, too.
    `model_sha256` is the model's hash, and `hashes` are those of input files, where they are known already.
    """
    model = model.toward(how.to)
    if how.trust and how.rescale:
        raise ValueError(
            "A prediction to be trusted must be judged at the pixel size that the judge was taught at, so `trust` and "
            "`rescale` cannot be had together. Resample the source, or leave one of them out."
        )
    stack, draws = open_joined(source, more, how.source_axes, how.side_by_side), how.draws
    scale = _scale(model, stack) if how.rescale else None
    if not how.rescale:
        _warn_of_pixel_size(model, stack)
    channels = _channels(model, stack, how.source_channels)
    plan = model.prediction_plan(stack.array, stack.axes, channels)
    if how.trust:
        limit = limit_of(model, how.trust_limit)
        require_trustable(model, plan.frame_shape)
    used = model.with_norm_statistics(how.norm_statistics) if how.norm_statistics else model
    seen_shape = rescaled_shape(plan.frame_shape, scale) if scale else plan.frame_shape
    tiles, precision = used.tile_plan(seen_shape, how.tile_size, how.overlap), used.precision_for(how.precision)
    yield from _told_of_tiles(model, tiles, how, precision)
    encoding = model.target_encoding
    made: dict[str, Any] = {"mean_of_draws": draws} if draws is not None else {}
    made |= {"norm_statistics": how.norm_statistics} if how.norm_statistics is not None else {}
    made |= {"rescaled_to_um": _trained_pixel_size(model)} if scale else {}
    made |= {} if tiles.exact else {"blended_overlap": tiles.overlap}
    made |= {} if precision == "float32" else {"precision": precision}
    chosen = {"tile_size", "overlap", "seed_threshold", "min_size"}
    origin = _origin(
        model,
        (model_sha256, hashes),
        source=stack,
        encoding=encoding.model_dump(mode="json"),
        channels=list(channels),
        settings=how.model_dump(include=chosen, exclude_none=True),
        **made,
    )
    names = model.provenance.get("pairs", {}).get("train", {}).get("target_channels") or []
    names = names if len(names) == encoding.n_channels else [""] * encoding.n_channels
    called = tuple((name or "target") + PREDICTED for name in names)
    said: dict[str, Any] = {
        "pixel_size_um": stack.pixel_size_um,
        "placement": stack.placement,
        "description": json.dumps(origin, sort_keys=True),
    }
    with ExitStack() as files:
        put = files.enter_context(
            stack_writer(
                out,
                plan,
                encoding.dtype_decoded,
                channel_names=called,
                labels=encoding.is_labels,
                keep_frames=how.keep_frames,
                **said,
            )
        )
        put_maps = put_spread = None
        if how.keep_maps:
            put_maps = files.enter_context(
                stack_writer(maps_path(out), plan.like(encoding.n_maps, "C"), "float32", **said)
            )
        if draws is not None:
            spread_names = tuple(f"spread of {name}" for name in called)
            put_spread = files.enter_context(
                stack_writer(beside("spread")(out), plan, "float32", channel_names=spread_names, **said)
            )
        seen, novel = _SourceRange(model), list[float]()

        def source_bands() -> Iterator[Band]:
            for band in predict_bands(used, stack.array, stack.axes, how, channels=channels, scale=scale):
                seen.add(band.source)
                if band.last:
                    novel.append(band.novel)
                if how.trust:
                    require_known(band.source, band.frame)
                if put_maps is not None:
                    put_maps(band.maps[: encoding.n_maps])
                if put_spread is not None:
                    put_spread(model.decode_spread(band.maps[encoding.n_maps :], band.source))
                yield band

        n_rows = plan.frame_shape[-2]
        thresholds: dict[str, Any] = {"seed_threshold": how.seed_threshold, "min_size": how.min_size}
        for frame, rows, values in model.decode_bands(source_bands(), **thresholds):
            put(values)
            done = (frame + rows.stop / n_rows) / (plan.n_frames + 1) * (1 - JUDGING * how.trust)
            yield {"event": "progress", "unit": "files", "done": done, "total": 1}
    if how.keep_maps:
        yield {"event": "maps", "path": str(maps_path(out))}
    if draws is not None:
        yield {"event": "spread", "path": str(beside("spread")(out))}
    row: dict[str, Any] = dict(seen.row())
    if model.match is not None and not scale:
        row["novel"] = float(np.mean(novel))
    if how.trust:
        for event in write_trust(model, stack, channels, out, plan, limit, how.tile_size):
            if event["event"] == "row":
                row |= event["row"]
                continue
            yield event | ({"done": 1 - JUDGING * (1 - event["done"])} if "done" in event else {})
    yield {"event": "row", "row": row}


class _SourceRange:
    """The range of a source's grey values over all its rows, and how much lies outside that of the training."""

    def __init__(self, model: TrainedModel) -> None:
        known = model.source_encoding.normalization
        self._normalization = known if known and known.each_image is None else None
        self._low, self._high = math.inf, -math.inf
        self._outside: list[list[float]] = []
        self._rows: list[int] = []

    def add(self, source: NDArray[Any]) -> None:
        """Count rows (C, [Z,] rows, X)."""
        if (known := source[np.isfinite(source)]).size:
            self._low, self._high = min(self._low, float(known.min())), max(self._high, float(known.max()))
        self._rows.append(source.shape[-2])
        if self._normalization:
            self._outside.append([below + above for _, below, above in self._normalization.outside(source)])

    def row(self) -> dict[str, float | None]:
        """Lowest and highest value; the share of pixels outside, of the channel where it is largest."""
        known = self._low <= self._high
        outside = float(np.average(self._outside, axis=0, weights=self._rows).max()) if self._outside else None
        row = {
            "input_low": self._low if known else None,
            "input_high": self._high if known else None,
            "outside_training_range": outside,
        }
        return row


def _told_of_tiles(
    model: TrainedModel, tiles: TilePlan, how: PredictSettings, precision: Precision
) -> Iterator[dict[str, Any]]:
    """What was rounded, which tiles are taken, and what they cost where that is much, in a sentence each."""
    for name, asked, used in (
        ("tile_size", how.tile_size, max(tiles.tile_size)),
        ("overlap", how.overlap if len(tiles.tiles) > 1 else None, min(tiles.overlap[-2:])),
    ):
        if asked is not None and asked < used:
            yield {"event": "note", "text": f"`{name}` {asked} rounded up to {used}, a multiple of the network's grid."}
    if len(tiles.tiles) > 1:
        seams = "exact" if tiles.exact else "blended, not exact"
        if tiles.exact and precision != "float32":
            seams += f" but for the rounding of {precision}; `precision` float32 leaves none"
        text = (
            f"{len(tiles.tiles)} tiles of {max(tiles.tile_size[-2:])} px for each frame, overlap "
            f"{min(tiles.overlap[-2:])} px: {seams}."
        )
        yield {"event": "note", "text": text}
    if larger := cheaper(model.generator, tiles):
        side = max(larger.tile_size[-2:])
        whole = ", the frame in one piece," if len(larger.tiles) == 1 else ""
        text = (
            f"Tiles of {max(tiles.tile_size[-2:])} px and their overlap of {min(tiles.overlap[-2:])} px read "
            f"{tiles.cost:.1f} pixels for each they keep; `tile_size` {side}{whole} reads {larger.cost:.1f}, and needs "
            "more memory."
        )
        yield {"event": "note", "text": text}


def maps_path(out: Path) -> Path:
    """Where the encoded maps of the prediction `out` are kept."""
    return out.with_name(f"{stem(out)}.maps.tif")


def parts_of_scores(model: TrainedModel, kind: str | None, table: bool) -> list[str]:
    """What `score_file` writes beside the scores, as `beside` names it."""
    parts = ["valid"]
    if model.match is not None and kind != "plain":
        known = model.match.calibration
        parts.append("expected_error")
        parts += ["rank"] if known else []
        parts += ["error_bound"] if known and known.promises else []
    return parts + (["table"] if table else [])


def score_file(
    model: TrainedModel,
    source: Path,
    image: Path,
    out: Path,
    how: ScoreSettings,
    *,
    more: Sequence[Path] = (),
    model_sha256: str | None = None,
    hashes: Mapping[Path, str] | None = None,
) -> Iterator[dict[str, Any]]:
    """Write the patch scores of the stack `image` given the stack `source` to `out`; yields progress and geometry.

    Beside them, as `beside` names the files: which fields are ``valid``, wholly inside the image (1, else 0);
    where the model was taught to judge the match, ``expected_error``, ``rank`` and ``error_bound``, as in
    `PatchScores`; and a ``table`` of all scores (CSV), if asked for. With `per_pixel` all images are on the pixels of
    `image`; a pixel is ``valid`` between fields that are.

    At the end comes a ``row`` with the mean and the lowest score, of fields wholly inside the image if there are any,
    and the mean expected error.
    `more`, `model_sha256` and `hashes` as in `predict_file`.
    """
    model = model.toward(how.to)
    given = open_joined(source, more, how.source_axes, how.side_by_side)
    _warn_of_pixel_size(model, given)
    judged = open_stack(image, how.image_axes, halved(how.side_by_side)[1] if image == source else None)
    channels = _channels(model, given, how.source_channels)
    axes = given.axes, judged.axes
    plan = model.score_plan(given.array, judged.array, axes, channels, how.kind)
    named: dict[str, Any] = {"channels": channels, "tile_size": how.tile_size, "kind": how.kind}
    frames = model.score_frames(given.array, judged.array, axes, **named)
    first = next(frames)
    shape = model.source_plan(given.array, given.axes, channels).frame_shape
    written = plan.like(1, "", shape) if how.per_pixel else plan
    field, n = first.receptive_field, len(shape)
    scale, translate = ((1.0,) * n, (0.0,) * n) if how.per_pixel else (first.scale, first.translate)
    geometry: dict[str, Any] = {
        "kind": first.kind,
        "scale": scale,
        "translate": translate,
        "receptive_field": {"size": field.size, "stride": field.stride, "centre": field.centre},
        "sizes": [along.size for along in first.fields],
    }
    geometry |= {"promise": first.promise} if first.promise else {}
    geometry |= {"trust_limit": limit_of(model)} if first.expected_error is not None else {}
    origin = _origin(
        model, (model_sha256, hashes), source=given, image=judged, channels=list(channels), patch_scores=geometry
    )
    sizes, placement = given.placement.seen_every(first.axes, scale, translate, given.pixel_size_um)
    said: dict[str, Any] = {
        "pixel_size_um": sizes,
        "placement": placement,
        "description": json.dumps(origin, sort_keys=True),
    }
    sums, count, lowest = np.zeros(2), 0, math.inf
    with ExitStack() as files:
        put = {}
        for part, values in first.parts.items():
            path = out if part == "scores" else beside(part)(out)
            called = f"patch score ({first.kind})" if part == "scores" else part.replace("_", " ")
            dtype = np.uint8 if values.dtype == bool else values.dtype
            put[part] = files.enter_context(stack_writer(path, written, dtype, channel_names=(called,), **said))
        put_rows = files.enter_context(_table_writer(beside("table")(out), plan, first)) if how.table else None
        for frame, scored in enumerate(chain([first], frames)):
            for part, values in scored.parts.items():
                for some in _each_pixel(values, scored, shape) if how.per_pixel else [values]:
                    put[part](some[None].astype(np.uint8) if values.dtype == bool else some[None])
            if put_rows:
                put_rows(frame, scored)
            inside = scored.valid if scored.valid.any() else np.ones_like(scored.valid)
            told = [scored.scores] if scored.expected_error is None else [scored.scores, scored.expected_error]
            sums[: len(told)] += [float(values[inside].sum(dtype=np.float64)) for values in told]
            count, lowest = count + int(inside.sum()), min(lowest, float(scored.scores[inside].min()))
            yield {"event": "progress", "unit": "files", "done": (frame + 1) / (plan.n_frames + 1), "total": 1}
    yield {"event": "placed", "path": str(out), **geometry}
    mean, expected_error = (float(total) / count for total in sums)
    row = {"mean": mean, "lowest": lowest}
    row |= {} if first.expected_error is None else {"expected_error": expected_error}
    yield {"event": "row", "row": row}


def _each_pixel(values: NDArray[Any], scored: PatchScores, shape: tuple[int, ...]) -> Iterator[NDArray[Any]]:
    """`values` of the fields at the pixels of an image of this shape, some rows at a time."""
    for rows in bands(shape[-2]):
        window = (*(slice(0, n) for n in shape[:-2]), rows, slice(0, shape[-1]))
        found = per_pixel(values.astype(np.float32, copy=False), scored.scale, scored.translate, window)
        yield found == 1 if values.dtype == bool else found


@contextmanager
def _table_writer(path: Path, plan: AxesPlan, first: PatchScores) -> Iterator[Callable[[int, PatchScores], None]]:
    """Gives a function that adds a frame: a row for each score, its place in the stack and on the image in pixels."""
    with written_beside(path) as beside, beside.open("w", newline="", encoding="utf8") as file:
        writer = csv.writer(file)
        writer.writerow([*place_of(plan, 0), *first.axes.lower(), "score", *[*first.parts][1:]])

        def put(frame: int, scored: PatchScores) -> None:
            start, known = place_of(plan, frame).values(), scored.parts.values()
            for place in np.ndindex(scored.scores.shape):
                at = (a + step * i for i, step, a in zip(place, scored.scale, scored.translate, strict=True))
                writer.writerow([*start, *(f"{x:g}" for x in at), *(f"{float(values[place]):.6g}" for values in known)])

        yield put


def _channels(model: TrainedModel, source: Stack, source_channels: tuple[str, ...]) -> Sequence[int]:
    return channel_numbers(source, source_channels) or model.source_view.numbers(taken_names(source, ()))


def _trained_pixel_size(model: TrainedModel) -> dict[str, float]:
    """Of the training's sources, µm, for each axis of a frame of which it is known."""
    said = ((model.provenance.get("pairs") or {}).get("train") or {}).get("pixel_size_um") or {}
    return {axis: said[axis] for axis in _frame_axes(model) if axis in said}


def _frame_axes(model: TrainedModel) -> str:
    return "ZYX" if model.source_view.z == "volume" else "YX"


def _scale(model: TrainedModel, source: Stack) -> tuple[float, ...] | None:
    """Pixels of the training for each of the source's, ([z,] y, x); None where they are alike.

    Raises
    ------
    ValueError
        If either size is not known.
    """
    ours, theirs, axes = source.pixel_size_um, _trained_pixel_size(model), _frame_axes(model)
    for size, whose in ((ours, "source's"), (theirs, "training's")):
        if unknown := [axis for axis in axes if axis not in size]:
            raise ValueError(
                "To be rescaled, a source must have a known pixel size, and so must the model's training; along "
                f"{' and '.join(unknown)} the {whose} is not known. Write it into the file, or leave `rescale` out."
            )
    scale = tuple(ours[axis] / theirs[axis] for axis in axes)
    return scale if any(abs(factor - 1) > ALIKE for factor in scale) else None


def _warn_of_pixel_size(model: TrainedModel, source: Stack) -> None:
    trained = _trained_pixel_size(model)
    if any(abs(source.pixel_size_um.get(axis, size) / size - 1) > ALIKE for axis, size in trained.items()):
        ours, theirs = (
            " x ".join(f"{size[axis]:.4g}" for axis in trained if axis in size)
            for size in (source.pixel_size_um, trained)
        )
        warnings.warn(
            f"The pixel size of a source is {ours} µm, that of the training was {theirs} µm; expect a poor result. "
            "Predict with `rescale`, or correct the file if it says it wrongly.",
            stacklevel=2,
        )


def _origin(model: TrainedModel, known: tuple[str | None, Mapping[Path, str] | None], **more: Any) -> dict[str, Any]:
    """Where a result came from; the hashes of the model and of files are `known`, or made."""
    model_sha256, hashes = known
    files = {name: _file(stack, hashes or {}) for name, stack in more.items() if isinstance(stack, Stack)}
    rest = {name: value for name, value in more.items() if not isinstance(value, Stack)}
    origin = {
        "napari_pix2pix": __version__,
        "model_sha256": model_sha256 or model.hash(),
        "predicted": "image" not in files,
        **({"to": model.makes} if model.makes != "target" else {}),
    }
    return {**origin, **files, **rest}


def _file(stack: Stack, hashes: Mapping[Path, str]) -> dict[str, Any]:
    """Its name, hash and axes; those of the further files of its channels as `more`."""
    found = hashes.get(stack.path) or sha256(stack.path)
    said: dict[str, Any] = {"name": stack.path.name, "sha256": found, "axes": stack.axes}
    said |= {"half": stack.half} if stack.half else {}
    return said | ({"more": [_file(part, hashes) for part in stack.parts[1:]]} if stack.parts else {})
