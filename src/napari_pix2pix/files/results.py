"""A model applied to files: predictions and patch scores as TIFF, with pixel size and where they came from."""

import csv
import json
import math
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from napari_pix2pix import __version__
from napari_pix2pix.core.atomic import written_beside
from napari_pix2pix.core.axes import AxesPlan
from napari_pix2pix.core.model import TrainedModel
from napari_pix2pix.core.patch_scores import PatchScores
from napari_pix2pix.core.prediction import cheaper
from napari_pix2pix.core.tiles import TilePlan
from napari_pix2pix.files.folders import open_joined
from napari_pix2pix.files.pairing import channel_numbers, taken_names
from napari_pix2pix.files.stacks import (
    PREDICTED,
    ZARR,
    Stack,
    open_stack,
    sha256,
    stack_writer,
    standard,
    stem,
    write_stack,
)


def predict_file(
    model: TrainedModel,
    source: Path,
    out: Path,
    axes: str | None = None,
    *,
    more: Sequence[Path] = (),
    wanted: tuple[str, ...] = (),
    half: str | None = None,
    tile_size: int | None = None,
    overlap: int | None = None,
    seed_threshold: float | None = None,
    min_size: int | None = None,
    keep_maps: bool = False,
    draws: int | None = None,
    norm_statistics: Literal["training", "image"] | None = None,
    model_sha256: str | None = None,
) -> Iterator[dict[str, Any]]:
    """Write the prediction for the stack `source` to `out`; yields the share that is done after each frame.

    At the end comes a ``row`` with the range of the source's grey values and the share outside the training range.

    The channels of the files `more` are appended to the source's; the `wanted` channels, by name or number, are taken,
    or those of the training: by their names where the file has these, else by their numbers. `half` of the source, left
    or right, where each image holds source and target.
    With `keep_maps` the encoded maps go beside it, as `maps_path` names them, with the encoding in their description:
    `Encoding.decode` makes another prediction of them, with other thresholds, without the network.
    With `draws` the prediction is the mean over so many dropout draws, and their spread goes to `spread_path`.
    `norm_statistics` are used instead of those that the model was trained to be used with.
    `model_sha256` is the model's hash, where it is known already.
    """
    stack = open_joined(source, more, axes, half)
    _warn_of_pixel_size(model, stack)
    channels = _channels(model, stack, wanted)
    plan = model.prediction_plan(stack.array, stack.axes, channels)
    used = model.with_norm_statistics(norm_statistics) if norm_statistics else model
    tiles = used.tile_plan(plan.frame_shape, tile_size, overlap)
    yield from _told_of_tiles(model, tiles, tile_size, overlap)
    encoding = model.target_encoding
    how: dict[str, Any] = {"mean_of_draws": draws} if draws is not None else {}
    how |= {"norm_statistics": norm_statistics} if norm_statistics is not None else {}
    how |= {} if tiles.exact else {"blended_overlap": tiles.overlap}
    changes = {"tile_size": tile_size, "overlap": overlap, "seed_threshold": seed_threshold, "min_size": min_size}
    origin = _origin(
        model,
        model_sha256,
        source=stack,
        encoding=encoding.model_dump(mode="json"),
        channels=list(channels),
        settings={name: value for name, value in changes.items() if value is not None},
        **how,
    )
    names = model.provenance.get("pairs", {}).get("train", {}).get("target_channels") or []
    names = names if len(names) == encoding.n_channels else [""] * encoding.n_channels
    called = tuple((name or "target") + PREDICTED for name in names)
    said = {"pixel_size_um": stack.pixel_size_um, "description": json.dumps(origin, sort_keys=True)}
    tiling: dict[str, Any] = {"channels": channels, "tile_size": tile_size, "overlap": overlap}
    with ExitStack() as files:
        put = files.enter_context(
            stack_writer(out, plan, encoding.dtype_decoded, channel_names=called, labels=encoding.is_labels, **said)
        )
        put_maps = put_spread = None
        if keep_maps:
            put_maps = files.enter_context(
                stack_writer(maps_path(out), plan.like(encoding.n_maps, "C"), "float32", **said)
            )
        if draws is not None:
            spread_names = tuple(f"spread of {name}" for name in called)
            put_spread = files.enter_context(
                stack_writer(spread_path(out), plan, "float32", channel_names=spread_names, **said)
            )
        found: Iterator[Any] = (
            used.draw_maps(stack.array, stack.axes, draws=draws, **tiling)
            if draws is not None
            else used.predict_maps(stack.array, stack.axes, **tiling)
        )
        seen = _SourceRange(model)
        for frame, values, maps, *spread in found:
            seen.add(values)
            _put(put, model.decode(maps, values, seed_threshold=seed_threshold, min_size=min_size))
            if put_maps is not None:
                _put(put_maps, maps)
            if put_spread is not None:
                _put(put_spread, model.decode_spread(spread[0], values))
            yield {"event": "progress", "unit": "files", "done": (frame + 1) / (plan.n_frames + 1), "total": 1}
    if keep_maps:
        yield {"event": "maps", "path": str(maps_path(out))}
    if draws is not None:
        yield {"event": "spread", "path": str(spread_path(out))}
    yield {"event": "row", "row": seen.row()}


class _SourceRange:
    """The range of a source's grey values over all its frames, and how much lies outside the training range."""

    def __init__(self, model: TrainedModel) -> None:
        known = model.source_encoding.normalization
        self._normalization = known if known and known.each_image is None else None
        self._low, self._high = math.inf, -math.inf
        self._outside: list[list[float]] = []

    def add(self, frame: NDArray[Any]) -> None:
        """Count a frame (C, [Z,] Y, X)."""
        if (known := frame[np.isfinite(frame)]).size:
            self._low, self._high = min(self._low, float(known.min())), max(self._high, float(known.max()))
        if self._normalization:
            self._outside.append([below + above for _, below, above in self._normalization.outside(frame)])

    def row(self) -> dict[str, float | None]:
        """Lowest and highest value, and the share of pixels outside, of the channel where it is largest."""
        known = self._low <= self._high
        outside = float(np.mean(self._outside, axis=0).max()) if self._outside else None
        return {
            "input_low": self._low if known else None,
            "input_high": self._high if known else None,
            "outside_training_range": outside,
        }


def _told_of_tiles(
    model: TrainedModel, tiles: TilePlan, tile_size: int | None, overlap: int | None
) -> Iterator[dict[str, Any]]:
    """What was rounded, and what the tiles cost where that is much, in a sentence each."""
    for name, asked, used in (
        ("tile_size", tile_size, max(tiles.tile_size)),
        ("overlap", overlap if len(tiles.tiles) > 1 else None, min(tiles.overlap[-2:])),
    ):
        if asked is not None and asked < used:
            yield {"event": "note", "text": f"{name} {asked} rounded up to {used}, a multiple of the network's grid."}
    if larger := cheaper(model.generator, tiles):
        side = max(larger.tile_size[-2:])
        whole = ", the frame in one piece," if len(larger.tiles) == 1 else ""
        text = (
            f"Tiles of {max(tiles.tile_size[-2:])} px and their overlap of {min(tiles.overlap[-2:])} px read "
            f"{tiles.cost:.1f} pixels for each they keep; --tile-size {side}{whole} reads {larger.cost:.1f}, and needs "
            "more memory."
        )
        yield {"event": "note", "text": text}


def _put(put: Callable[[NDArray[Any]], None], frame: NDArray[Any]) -> None:
    """Pass a frame (C, [Z,] Y, X) on, plane by plane (C, Y, X)."""
    for plane in [frame] if frame.ndim == 3 else np.moveaxis(frame, 1, 0):
        put(plane)


def maps_path(out: Path) -> Path:
    """Where the encoded maps of the prediction `out` are kept."""
    return out.with_name(f"{stem(out)}.maps.tif")


def spread_path(out: Path) -> Path:
    """Where the spread over the draws of the prediction `out` goes: a file of the same kind."""
    return out.with_name(f"{stem(out)}.spread{_suffix(out)}")


def _suffix(out: Path) -> str:
    return ".zarr" if out.name.lower().endswith(ZARR) else ".tif"


SCORED = ("valid", "expected_error", "rank", "error_bound")
"""What goes beside patch scores, each to a file of its own where there is some."""


def beside_scores(what: str) -> Callable[[Path], Path]:
    """Names the file beside patch scores for this part of `SCORED`, or for their ``table``."""
    return lambda out: out.with_name(f"{stem(out)}.{what}{'.csv' if what == 'table' else _suffix(out)}")


def parts_of_scores(model: TrainedModel, kind: str | None, table: bool) -> list[str]:
    """What `score_file` writes beside the scores."""
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
    source_axes: str | None = None,
    image_axes: str | None = None,
    tile_size: int | None = None,
    *,
    more: Sequence[Path] = (),
    wanted: tuple[str, ...] = (),
    halves: tuple[str | None, str | None] = (None, None),
    kind: Literal["match", "plain"] | None = None,
    table: bool = False,
    model_sha256: str | None = None,
) -> Iterator[dict[str, Any]]:
    """Write the patch scores of the stack `image` given the stack `source` to `out`; yields their geometry.

    Beside them, as `beside_scores` names the files: which fields are ``valid``, wholly inside the image (1, else 0);
    where the model was taught to judge the match, ``expected_error``, ``rank`` and ``error_bound``, as in
    `PatchScores`; and a ``table`` of all scores (CSV), if asked for.

    At the end comes a ``row`` with the mean and the lowest score, of fields wholly inside the image if there are any,
    and the mean expected error.
    `more`, `wanted` and `model_sha256` as in `predict_file`; `halves` of source and image to take.
    """
    given = open_joined(source, more, source_axes, halves[0])
    _warn_of_pixel_size(model, given)
    judged = open_stack(image, image_axes, halves[1])
    channels = _channels(model, given, wanted)
    axes = given.axes, judged.axes
    scored = model.score(given.array, judged.array, axes, channels=channels, tile_size=tile_size, kind=kind)
    plan = AxesPlan(scored.axes, scored.scores.shape)
    field = scored.receptive_field
    geometry: dict[str, Any] = {
        "kind": scored.kind,
        "scale": scored.scale,
        "translate": scored.translate,
        "receptive_field": {"size": field.size, "stride": field.stride, "centre": field.centre},
    }
    sizes = {axis: size * (field.stride if axis in "YX" else 1) for axis, size in given.pixel_size_um.items()}
    geometry |= {"promise": scored.promise} if scored.promise else {}
    origin = _origin(model, model_sha256, source=given, image=judged, channels=list(channels), patch_scores=geometry)
    written = {out: (scored.scores, f"patch score ({scored.kind})")}
    for part in parts_of_scores(model, kind, table=False):
        values = getattr(scored, part)
        values = values.astype(np.uint8) if part == "valid" else values
        written[beside_scores(part)(out)] = values, part.replace("_", " ")
    for path, (values, called) in written.items():
        write_stack(
            path,
            plan,
            values.dtype,
            (plan.take(values, frame) for frame in range(standard(plan).n_frames)),
            pixel_size_um=sizes,
            channel_names=(called,),
            description=json.dumps(origin, sort_keys=True),
        )
    if table:
        _write_table(beside_scores("table")(out), scored)
    yield {"event": "placed", "path": str(out), **geometry}
    inside = scored.valid if scored.valid.any() else np.ones_like(scored.valid)
    row = {"mean": float(scored.scores[inside].mean()), "lowest": float(scored.scores[inside].min())}
    if scored.expected_error is not None:
        row["expected_error"] = float(scored.expected_error[inside].mean())
    yield {"event": "row", "row": row}


def _write_table(path: Path, scored: PatchScores) -> None:
    """A row for each score: the frame, its position in pixels, and what is known of it."""
    columns = {"score": scored.scores} | {name: getattr(scored, name) for name in SCORED}
    known = {name: values for name, values in columns.items() if values is not None}
    placed = dict(zip(scored.axes[::-1], zip(scored.scale[::-1], scored.translate[::-1], strict=True), strict=False))
    with written_beside(path) as beside, beside.open("w", newline="", encoding="utf8") as file:
        writer = csv.writer(file)
        writer.writerow([*(axis.lower() for axis in scored.axes), *known])
        for place in np.ndindex(scored.scores.shape):
            ends = [placed.get(axis, (1.0, 0.0)) for axis in scored.axes]
            at = [start + step * i for i, (step, start) in zip(place, ends, strict=True)]
            values = [int(v[place]) if name == "valid" else float(v[place]) for name, v in known.items()]
            writer.writerow([*(f"{position:g}" for position in at), *(f"{v:.6g}" for v in values)])


def _channels(model: TrainedModel, source: Stack, wanted: tuple[str, ...]) -> Sequence[int]:
    return channel_numbers(source, wanted) or model.source_view.numbers(taken_names(source, ()))


def _warn_of_pixel_size(model: TrainedModel, source: Stack) -> None:
    trained = ((model.provenance.get("pairs") or {}).get("train") or {}).get("pixel_size_um") or {}
    axes = [axis for axis in ("ZYX" if model.source_view.z == "volume" else "YX") if axis in trained]
    if any(axis in source.pixel_size_um and abs(source.pixel_size_um[axis] / trained[axis] - 1) > 0.1 for axis in axes):
        ours, theirs = (
            " x ".join(f"{size[axis]:.4g}" for axis in axes if axis in size) for size in (source.pixel_size_um, trained)
        )
        warnings.warn(
            f"The pixel size of a source is {ours} µm, that of the training was {theirs} µm; expect a poor result. "
            "Resample the source, or correct the file if it says it wrongly.",
            stacklevel=2,
        )


def _origin(model: TrainedModel, model_sha256: str | None, **more: Any) -> dict[str, Any]:
    """Where a result came from."""
    files = {name: _file(stack) for name, stack in more.items() if isinstance(stack, Stack)}
    rest = {name: value for name, value in more.items() if not isinstance(value, Stack)}
    origin = {
        "napari_pix2pix": __version__,
        "model_sha256": model_sha256 or model.hash(),
        "predicted": "image" not in files,
    }
    return {**origin, **files, **rest}


def _file(stack: Stack) -> dict[str, Any]:
    """Its name, hash and axes; those of the further files of its channels as `more`."""
    said: dict[str, Any] = {"name": stack.path.name, "sha256": sha256(stack.path), "axes": stack.axes}
    said |= {"half": stack.half} if stack.half else {}
    return said | ({"more": [_file(part) for part in stack.parts[1:]]} if stack.parts else {})
