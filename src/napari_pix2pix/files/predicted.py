"""A model applied to the source in a file: its prediction, with pixel size and where it came from."""

import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_pix2pix.core.encodings.rescaling import rescaled_shape
from napari_pix2pix.core.engine.atomic import directory_beside
from napari_pix2pix.core.geometry.areas import Area
from napari_pix2pix.core.geometry.tiles import Tile, TilePlan
from napari_pix2pix.core.running.bands import BLOCK, Band
from napari_pix2pix.core.running.predict import predict_bands
from napari_pix2pix.core.running.prediction import cheaper
from napari_pix2pix.core.running.trained_model import TrainedModel
from napari_pix2pix.core.settings.config import Precision
from napari_pix2pix.core.settings.running import PredictSettings
from napari_pix2pix.files.areas import fill_of, only_needed, wanted_of, write_shapes
from napari_pix2pix.files.outputs import beside
from napari_pix2pix.files.partners import open_joined
from napari_pix2pix.files.readers.unpacked import rows_unpacked_once
from napari_pix2pix.files.results import (
    as_seen,
    channels_taken,
    origin_of,
    scale_to_training,
    trained_pixel_size,
    warn_of_pixel_size,
)
from napari_pix2pix.files.stacks import (
    PREDICTED,
    Block,
    stack_writer,
    stem,
)
from napari_pix2pix.files.trusted import require_known, require_trustable, write_trust
from napari_pix2pix.files.trusted import trust_limit as limit_of

JUDGING = 0.3
"""The share of the work on a prediction that judging it takes, about."""
NOTHING = (
    "Nothing was found. Either nothing is there, or the model does not see it in such a source, of which its expected "
    "error says nothing then: look at the source, and predict images like those that trained it."
)


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
    """Write the prediction for the stack `source` to `out`; yields the share that is done after some pixels.

    Source, network and result stream: memory for a block of tiles suffices, however large the images are.

    At the end comes a ``row`` with the range of the source's grey values and the share outside the training range.

    The channels of the files `more` are appended to the source's; `how.source_channels`, by name or number, are taken,
    or those of the training: by their names where the file has these, else by their numbers.
    With `keep_maps` the encoded maps go beside it, as `maps_path` names them, with the encoding in their description:
    `Encoding.decode` makes another prediction of them, with other thresholds, without the network.
    With `draws` the prediction is the mean over so many dropout draws, and their spread beside it.
    A slide is read at the training's pixel size, or any source at that of `how`. Where `how` wants a part of it,
    nothing else is predicted but filled, and the result is as large as the source: as predicted whole, bit for bit,
    where that is a region.
    With `rescale` what the network makes of a frame is resampled to the source's grid, then decoded.
    With `keep_frames`, if the generator is closed before its time, `out`, an OME-Zarr, holds the frames that are done.
    With `trust` it is judged once it is written, see `write_trust`; its figures are in the row, too. Of a part of a
    slide as much around it is predicted, into a temporary file, as the judge sees from there.
    `model_sha256` is the model's hash, and `hashes` are those of input files, where they are known already.
    """
    model = model.toward(how.to).under(how.condition)
    if how.trust and how.rescale:
        raise ValueError(
            "A prediction to be trusted must be judged at the pixel size that the judge was taught at, so `trust` and "
            "`rescale` cannot be had together. Resample the source, or leave one of them out."
        )
    whole, draws = open_joined(source, more, how.source_axes, how.side_by_side), how.draws
    stack = as_seen(model, whole, how.pixel_size_um)
    wanted = wanted_of(whole, stack, how)
    if wanted and how.rescale:
        raise ValueError(
            "Frames that are rescaled are so in one piece: `rescale` and a part of a slide cannot be had together. "
            "Choose `pixel_size_um`, or leave `rescale` out."
        )
    scale = scale_to_training(model, stack) if how.rescale else None
    if not how.rescale:
        warn_of_pixel_size(model, stack)
    channels = channels_taken(model, stack, how.source_channels)
    plan = model.prediction_plan(stack.array, stack.axes, channels)
    if how.trust:
        limit = limit_of(model, how.trust_limit)
        require_trustable(model, plan.frame_shape)
    used = model.with_norm_statistics(how.norm_statistics) if how.norm_statistics else model
    seen_shape = rescaled_shape(plan.frame_shape, scale) if scale else plan.frame_shape
    tiles, precision = used.tile_plan(seen_shape, how.tile_size, how.overlap), used.precision_for(how.precision)
    encoding = model.target_encoding
    asked = made_of = wanted.area if wanted else None
    needed: Sequence[Tile] = tiles.tiles
    if wanted:
        if how.trust and model.match is not None:
            made_of = replace(wanted.area, margin=model.match.network.reach)
        tiles = replace(tiles, area=made_of)
        needed = tiles.needed
        normalization = model.source_encoding.normalization
        if normalization is None or normalization.each_image is None:  # else all of it says how it is normalized
            stack = only_needed(stack, needed)
    yield from _told_of_tiles(model, tiles, needed, how, precision)
    made: dict[str, Any] = {"mean_of_draws": draws} if draws is not None else {}
    made |= {"condition": how.condition} if how.condition is not None else {}
    made |= {"norm_statistics": how.norm_statistics} if how.norm_statistics is not None else {}
    made |= {"rescaled_to_um": trained_pixel_size(model)} if scale else {}
    made |= {} if tiles.exact else {"blended_overlap": tiles.overlap}
    made |= {} if precision == "float32" else {"precision": precision}
    chosen = {"tile_size", "overlap", "seed_threshold", "min_size", "pixel_size_um", "region", "tissue"}
    left_out = {"tissue"} - ({"tissue"} if how.tissue else set())
    origin = origin_of(
        model,
        (model_sha256, hashes),
        source=stack,
        encoding=encoding.model_dump(mode="json"),
        channels=list(channels),
        settings=how.model_dump(include=chosen - left_out, exclude_none=True),
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
    glass = fill_of(encoding.kind, encoding.classes, encoding.dtype_decoded, plan.channel_axis == "S")

    def of_area(window: tuple[slice, slice], values: NDArray[Any], fill: float, area: Area | None) -> Block:
        """Rows and columns of a result, of which nothing is left but what is in the area."""
        if area is not None:
            inside, nothing = area.mask(window), values.dtype.type(fill)
            if not inside.any():
                values = np.broadcast_to(nothing, values.shape)
            elif not inside.all():
                values = np.where(inside, values, nothing)
        return Block(values, window[0].start, window[1].start)

    with ExitStack() as lasting:
        files = lasting.enter_context(ExitStack())
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
        put_maps = put_spread = put_judged = judged = None
        if wanted and how.trust:
            judged = lasting.enter_context(directory_beside(beside("judged")(out))) / "judged.ome.tif"
            put_judged = files.enter_context(
                stack_writer(judged, plan, encoding.dtype_decoded, labels=encoding.is_labels, **said)
            )
        if how.keep_maps:
            put_maps = files.enter_context(
                stack_writer(maps_path(out), plan.like(encoding.n_maps, "C"), "float32", **said)
            )
        if draws is not None:
            spread_names = tuple(f"spread of {name}" for name in called)
            put_spread = files.enter_context(
                stack_writer(beside("spread")(out), plan, "float32", channel_names=spread_names, **said)
            )
        source_plan = used.source_plan(stack.array, stack.axes, channels)
        if tiles.tile_size[-2] * tiles.shape[-1] > BLOCK and not scale:  # else rows of tiles are read whole
            given = files.enter_context(rows_unpacked_once(stack, out.parent, source_plan.n_channels))
        else:
            given = stack
        seen, novel = _SourceRange(model), list[float]()
        parts: dict[str, Any] = {"channels": channels, "scale": scale, "area": made_of}

        def source_bands() -> Iterator[Band]:
            for band in predict_bands(used, given.array, given.axes, how, **parts):
                seen.add(band, wanted.area.mask((band.rows, band.columns)) if wanted else None)
                if band.last:
                    novel.append(band.novel)
                if how.trust:
                    require_known(band.source, band.frame)
                if put_maps is not None:
                    put_maps(Block(band.maps[: encoding.n_maps], band.rows.start, band.left))
                if put_spread is not None:
                    spread = model.decode_spread(band.maps[encoding.n_maps :], band.source)
                    put_spread(of_area((band.rows, band.columns), spread, np.nan, asked))
                yield band

        written, pixels = 0, _wanted_pixels(made_of, (tile.keep[-2:] for tile in needed), plan.frame_shape)
        decoding: dict[str, Any] = {
            "seed_threshold": how.seed_threshold,
            "min_size": how.min_size,
            "folder": out.parent,
        }
        empty, nothing = encoding.is_labels, min(encoding.classes, default=0)
        for _, window, values in model.decode_bands(source_bands(), **decoding):
            block = of_area(window, values, glass, asked)
            empty = empty and not (block.values != nothing).any()
            put(block)
            if put_judged is not None:
                put_judged(of_area(window, values, glass, made_of))
            written += _wanted_pixels(made_of, [window], values.shape)
            done = written / pixels / (plan.n_frames + 1) * (1 - JUDGING * how.trust)
            yield {"event": "progress", "unit": "files", "done": done, "total": 1}
        files.close()
        if wanted and how.tissue:  # not before: a process that is killed leaves nothing in the next one's way
            write_shapes(beside("tissue")(out), wanted.tissue, "Tissue")
            yield {"event": "tissue", "path": str(beside("tissue")(out))}
        if empty:
            yield {"event": "warning", "text": NOTHING}
        if how.keep_maps:
            yield {"event": "maps", "path": str(maps_path(out))}
        if draws is not None:
            yield {"event": "spread", "path": str(beside("spread")(out))}
        row: dict[str, Any] = dict(seen.row())
        if model.match is not None and not scale:
            row["novel"] = float(np.mean(novel))
        if how.trust:
            for event in write_trust(
                model, stack, channels, out, plan, limit, how.tile_size, how.trust_risk, wanted, judged, novel
            ):
                if event["event"] == "row":
                    row |= event["row"]
                    continue
                yield event | ({"done": 1 - JUDGING * (1 - event["done"])} if "done" in event else {})
        yield {"event": "row", "row": row}


class _SourceRange:
    """The range of a source's grey values over all its rows, and how much lies outside that of the training."""

    def __init__(self, model: TrainedModel) -> None:
        known = model.source_encoding.normalization
        fixed = known is not None and known.each_image is None and model.config.knows_range
        self._normalization = known if fixed else None
        self._low, self._high = math.inf, -math.inf
        self._outside: list[list[float]] = []
        self._weights: list[float] = []

    def add(self, band: Band, wanted: NDArray[np.bool_] | None = None) -> None:
        """Count its pixels, or those of them (rows, columns) that are `wanted`."""
        source, weight = band.source, band.share
        if wanted is not None:
            weight = float(np.count_nonzero(wanted))
            if not weight:
                return
            source = source if weight == wanted.size else source[..., wanted]
        if (known := source[np.isfinite(source)]).size:
            self._low, self._high = min(self._low, float(known.min())), max(self._high, float(known.max()))
        if self._normalization:
            self._weights.append(weight)
            self._outside.append([below + above for _, below, above in self._normalization.outside(source)])

    def row(self) -> dict[str, float | None]:
        """Lowest and highest value; the share of pixels outside, of the channel where it is largest."""
        known = self._low <= self._high
        outside = float(np.average(self._outside, axis=0, weights=self._weights).max()) if self._outside else None
        row = {
            "input_low": self._low if known else None,
            "input_high": self._high if known else None,
            "outside_training_range": outside,
        }
        return row


def _wanted_pixels(area: Area | None, windows: Iterable[Sequence[slice]], shape: Sequence[int]) -> int:
    """How many pixels of these windows are in the area; of all of a frame or band of this shape where there is none."""
    if area is None:
        return math.prod(shape[-2:])
    return sum(int(np.count_nonzero(area.mask(window))) for window in windows)


def _told_of_tiles(
    model: TrainedModel, tiles: TilePlan, needed: Sequence[Tile], how: PredictSettings, precision: Precision
) -> Iterator[dict[str, Any]]:
    """What was rounded, which tiles are taken, and what they cost where that is much, in a sentence each.

    Of a part the `needed` tiles are told, and larger ones where these would read less for it.
    """
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
        n = f"{len(needed)} tile{'s' * (len(needed) != 1)}"
        largest = max(tiles.tile_size[-2:])
        which = (
            f"{n} of {largest} px for each frame" if tiles.area is None else f"{n} of up to {largest} px for the part"
        )
        text = f"{which}, overlap {min(tiles.overlap[-2:])} px: {seams}."
        yield {"event": "note", "text": text}
    larger = cheaper(model.generator, tiles)
    if larger and (tiles.area is None or _seen(replace(larger, area=tiles.area).needed) < _seen(needed)):
        side = max(larger.tile_size[-2:])
        whole = ", the frame in one piece," if len(larger.tiles) == 1 else ""
        text = (
            f"Tiles of {max(tiles.tile_size[-2:])} px and their overlap of {min(tiles.overlap[-2:])} px read "
            f"{tiles.cost:.1f} pixels for each they keep; `tile_size` {side}{whole} reads {larger.cost:.1f}, and needs "
            "more memory."
        )
        yield {"event": "note", "text": text}


def _seen(tiles: Sequence[Tile]) -> int:
    """The pixels that they read."""
    return sum(math.prod(tile.shape) for tile in tiles)


def maps_path(out: Path) -> Path:
    """Where the encoded maps of the prediction `out` are kept."""
    return out.with_name(f"{stem(out)}.maps.tif")
