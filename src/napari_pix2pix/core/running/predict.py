"""What a trained model predicts: its tiles, bands of maps, and the grey values or labels that they hold."""

import warnings
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_pix2pix.core.encodings.encoding import Encoding
from napari_pix2pix.core.encodings.rescaling import resampled, rescaled_shape
from napari_pix2pix.core.geometry.areas import Area
from napari_pix2pix.core.geometry.axes import AxesPlan
from napari_pix2pix.core.geometry.tiles import TilePlan
from napari_pix2pix.core.networks.dropout import has_dropout
from napari_pix2pix.core.networks.norms import has_instance_norm
from napari_pix2pix.core.running.bands import Band, forward_of, map_bands, put_together, unknown
from napari_pix2pix.core.running.prediction import (
    plan_prediction,
    predict_by_image_statistics,
    predict_tiles,
    side_of_tiles,
)
from napari_pix2pix.core.running.sources import outside_range, warn_of_novelty, warn_of_range
from napari_pix2pix.core.settings.config import Precision, validated
from napari_pix2pix.core.settings.running import PredictSettings

if TYPE_CHECKING:
    from napari_pix2pix.core.running.trained_model import TrainedModel


def tile_plan(
    model: "TrainedModel", frame_shape: tuple[int, ...], tile_size: int | None = None, overlap: int | None = None
) -> TilePlan:
    """The tiles of a frame ([Z,] Y, X), see `TrainedModel.tile_plan`."""
    if not model.tileable:
        if tile_size is not None and model.generator.whole:
            raise ValueError(
                "A model must say how far its network reaches to run in tiles; this one, imported from a file that "
                f"names no halo, or too small a one, does not; got tile_size {tile_size}. Leave it out, or import a "
                "file that names one."
            )
        if tile_size is not None:
            instance = has_instance_norm(model.generator)
            raise ValueError(
                "A model whose norm looks at the image must run in one piece, since tiles would show seams; "
                f"got tile_size {tile_size}. Leave it out, or "
                + ("train with batch norm." if instance else "predict with `norm_statistics` training.")
            )
        return plan_prediction(model.generator, frame_shape, None, overlap)
    return plan_prediction(model.generator, frame_shape, side_of_tiles(frame_shape, tile_size), overlap)


def predict_bands(
    model: "TrainedModel",
    stack: Any,
    axes: str | None,
    how: PredictSettings,
    *,
    channels: Sequence[int] = (),
    scale: tuple[float, ...] | None = None,
    frames: Sequence[int] | None = None,
    draw: int | None = None,
    area: Area | None = None,
) -> Iterator[Band]:
    """What `decode_bands` makes the prediction of, some pixels at a time; parameters as in `predict`.

    Of `how` tiles, draws and precision count. Of all frames, or of these alone; of the mean over draws, or of the
    `draw` of this number.

    Source, network and maps need memory for a block of tiles, however large the frames are. With `scale`, which takes
    whole frames, the network sees so many pixels for each of the source's, along ([Z,] Y, X); maps are resampled to
    the source's. Where an `area` is given, maps are what they are without it there, and elsewhere of no meaning; what
    is told of the source is of the area without its margin.
    """
    if how.draws is not None:
        require_draws(model, how.draws)
    plan = model.source_plan(stack, axes, channels)
    seen_shape = rescaled_shape(plan.frame_shape, scale) if scale else plan.frame_shape
    tiles, outside = replace(model.tile_plan(seen_shape, how.tile_size, how.overlap), area=area), np.zeros(0)
    bands, seen = _rescaled_bands if scale else map_bands, 0.0
    told_of_range = told_of_novelty = False
    area = area and replace(area, margin=0)
    for band in bands(model, stack, plan, tiles, how, range(plan.n_frames) if frames is None else frames, draw):
        if band.last and scale is None:
            band = replace(band, novel=model.novel(stack, plan, band.frame, area))
        yield band
        wanted = None if area is None else area.mask((band.rows, band.columns))
        outside = outside_range(model, band, wanted) + (0 if band.first else outside)
        seen = (0 if band.first else seen) + (band.share if wanted is None else float(wanted.sum()))
        if band.last:
            outside = outside / (max(seen, 1) if area else seen)
            if not told_of_range:  # of a series, the first frame that is so
                told_of_range = warn_of_range(model, outside, plan)
            if not told_of_novelty:
                told_of_novelty = warn_of_novelty(band.novel)


def require_draws(model: "TrainedModel", draws: int) -> None:
    """Raise a ValueError if so many draws of the model's dropout are too few, or do not differ."""
    if draws < 2:
        raise ValueError(f"draws must be at least 2; got {draws}. Leave it out for one prediction, dropout off.")
    if not has_dropout(model.generator):
        raise ValueError(
            f"A generator must have dropout for predictions to differ; this one has none, so {draws} draws would "
            "be the same. Leave draws out, or train with generator.dropout above 0."
        )


def _rescaled_bands(
    model: "TrainedModel",
    stack: Any,
    plan: AxesPlan,
    tiles: TilePlan,
    how: PredictSettings,
    frames: Sequence[int],
    draw: int | None,
) -> Iterator[Band]:
    """Whole frames, which the network sees with the pixels of `tiles`."""
    shape = plan.frame_shape
    for frame in frames:
        source = plan.take(stack, frame)
        seen = resampled(source, tiles.shape, model.source_encoding.is_labels)
        maps = put_together(list(map_bands(model, seen, _one_frame(seen), tiles, how, [0], draw)), "maps")
        yield Band(frame, slice(0, shape[-2]), shape, source, resampled(maps, shape))


def decode_bands(
    model: "TrainedModel",
    bands: Iterable[Band],
    *,
    seed_threshold: float | None = None,
    min_size: int | None = None,
    folder: Path | None = None,
) -> Iterator[tuple[int, tuple[slice, slice], NDArray[Any]]]:
    """The prediction (C, [Z,] rows, columns) that `bands` hold, see `TrainedModel.decode_bands`."""
    encoding, coming, count = _target_encoding(model, seed_threshold, min_size), iter(bands), 0
    for band in coming:
        if encoding.kind == "instances" and not band.whole:
            yield from _decode_objects(encoding, band, coming, folder)
            continue
        count = 0 if band.first else count
        maps = band.maps[: encoding.n_maps]
        if band.wanted:
            prediction = encoding.decode(maps)
            count += _mark(prediction, np.any(unknown(band.source), axis=0))
        else:
            one = encoding.decode(maps[..., :1, :1])
            prediction = np.broadcast_to(one, (*one.shape[:-2], *maps.shape[-2:]))
        if band.last:
            _warn_of_unknown(prediction, count)
        yield band.frame, (band.rows, band.columns), prediction


def _decode_objects(
    encoding: Encoding, first: Band, rest: Iterator[Band], folder: Path | None
) -> Iterator[tuple[int, tuple[slice, slice], NDArray[Any]]]:
    """The labels (1, [Z,] rows, X) of the frame of the first band, those that follow of the rest included."""
    count = 0
    with encoding.object_rows(first.shape, folder) as objects:
        for band in chain([first], rest):
            marks = np.any(unknown(band.source), axis=0) if band.wanted else None
            for rows, labels, own in objects.add(band.rows, band.columns, band.maps[: encoding.n_maps], marks):
                count += _mark(labels[None], own)
                yield band.frame, (rows, slice(0, band.shape[-1])), labels[None]
            if band.last:
                _warn_of_unknown(labels, count)
                break


def whole_frames(bands: Iterable[Band]) -> Iterator[tuple[int, NDArray[Any], NDArray[np.float32]]]:
    """Frame by frame its number, source and maps; with `draws` their mean and standard deviation."""
    held: list[Band] = []
    for band in bands:
        held.append(band)
        if band.last:
            yield band.frame, put_together(held, "source"), put_together(held, "maps")
            held = []


def predict_frame(model: "TrainedModel", source: NDArray[Any], precision: Precision = "auto") -> NDArray[Any]:
    """The prediction (C, [Z,] Y, X) for one frame (C, [Z,] Y, X) of the source."""
    plan, tiles = _one_frame(source), model.tile_plan(source.shape[1:])
    bands = map_bands(model, source, plan, tiles, PredictSettings(precision=precision), [0])
    [(_, prediction)] = decoded_frames(decode_bands(model, bands), source.shape[1:])
    return prediction


def decoded_frames(
    parts: Iterable[tuple[int, tuple[slice, slice], NDArray[Any]]], shape: tuple[int, ...]
) -> Iterator[tuple[int, NDArray[Any]]]:
    """Of what `decode_bands` gives, each frame ([Z,] Y, X) whole: its number and values."""
    whole: NDArray[Any] | None = None
    for frame, (rows, columns), values in parts:
        if values.shape[1:] == shape:
            yield frame, values
            continue
        if whole is None:
            whole = np.empty((len(values), *shape), values.dtype)
        whole[..., rows, columns] = values
        if rows.stop == shape[-2] and columns.stop == shape[-1]:
            yield frame, whole
            whole = None


def decode(
    model: "TrainedModel",
    maps: NDArray[np.float32],
    source: NDArray[Any],
    *,
    seed_threshold: float | None = None,
    min_size: int | None = None,
) -> NDArray[Any]:
    """The prediction (C, [Z,] Y, X) that `maps` hold, see `TrainedModel.decode`."""
    prediction = _target_encoding(model, seed_threshold, min_size).decode(maps)
    _warn_of_unknown(prediction, _mark(prediction, np.any(unknown(source), axis=0)))
    return prediction


def _target_encoding(model: "TrainedModel", seed_threshold: float | None, min_size: int | None) -> Encoding:
    changes = {"seed_threshold": seed_threshold, "min_size": min_size}
    known = {name: value for name, value in changes.items() if value is not None}
    return validated(Encoding, {**dict(model.target_encoding), **known}) if known else model.target_encoding


def maps_of_frame(model: "TrainedModel", frame: NDArray[np.float32]) -> NDArray[np.float32]:
    """The maps (n_maps, [Z,] Y, X) of one frame (C, [Z,] Y, X), both in network values, as `predict` makes them."""
    forward, tiles = forward_of(model, PredictSettings()), model.tile_plan(frame.shape[1:])
    if model.config.norm_statistics == "image":
        return predict_by_image_statistics(forward, frame)
    maps = np.zeros((model.target_encoding.n_maps, *frame.shape[1:]), np.float32)
    for window, values in predict_tiles(forward, frame, tiles):
        maps[(slice(None), *window)] += values
    return maps


def _one_frame(frame: NDArray[Any]) -> AxesPlan:
    """The plan of a stack that is one frame (C, [Z,] Y, X)."""
    volume = frame.ndim == 4
    return AxesPlan("CZYX" if volume else "CYX", frame.shape, z="volume" if volume else "frame")


def _mark(prediction: NDArray[Any], pixels: NDArray[np.bool_]) -> int:
    """Mark these pixels ([Z,] Y, X) of the prediction as not known; how many they are."""
    prediction[:, pixels] = _marked(prediction)
    return int(pixels.sum())


def _marked(prediction: NDArray[Any]) -> float:
    return np.nan if prediction.dtype.kind == "f" else 0


def _warn_of_unknown(prediction: NDArray[Any], count: int) -> None:
    if count:
        warnings.warn(
            f"{count} pixels of the source are NaN or Inf; the prediction is {_marked(prediction)} there.", stacklevel=3
        )
