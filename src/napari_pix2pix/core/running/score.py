"""How a trained model scores images given their sources: by the discriminator of its training, or the second one."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax
from torch import Tensor

from napari_pix2pix.core.encodings.kinds import may_be_labels
from napari_pix2pix.core.geometry.areas import Area
from napari_pix2pix.core.geometry.axes import AxesPlan
from napari_pix2pix.core.networks.dropout import Window
from napari_pix2pix.core.networks.layers import beside_stains
from napari_pix2pix.core.networks.norms import has_instance_norm
from napari_pix2pix.core.running.bands import forward_of, unknown
from napari_pix2pix.core.running.patch_scores import (
    PatchScores,
    ReadWindow,
    ScoreKind,
    Scoring,
    reader,
    require_large_enough,
    score_windows,
    valid_scores,
)
from napari_pix2pix.core.running.pixel_errors import PixelErrors
from napari_pix2pix.core.running.prediction import (
    ONE_PIECE,
    WindowedFrame,
    predict_tiles,
    side_of_tiles,
)
from napari_pix2pix.core.running.sources import middle_of, warn_of_novelty
from napari_pix2pix.core.settings.running import PredictSettings
from napari_pix2pix.core.trust.judge import JudgeNetwork, MatchJudge

if TYPE_CHECKING:
    from napari_pix2pix.core.running.trained_model import TrainedModel

LOOKED_AT = 128
"""Side of the part of an image, px, that tells whether it holds labels."""


def score_frames(
    model: "TrainedModel",
    source: Any,
    image: Any,
    axes: str | tuple[str | None, str | None] | None = None,
    *,
    channels: Sequence[int] = (),
    image_channels: Sequence[int | None] = (),
    tile_size: int | None = None,
    kind: ScoreKind | None = None,
    look: bool = True,
    area: Area | None = None,
    errors_in: Path | None = None,
) -> Iterator[PatchScores]:
    """Scores frame by frame, see `TrainedModel.score_frames`."""
    network, judge = judge_of(model, kind)
    source_plan, image_plan = scorable(model, network, source, image, axes, channels, image_channels)
    if judge is None and has_instance_norm(network):
        if tile_size is not None:
            raise ValueError(
                "A discriminator whose norm looks at the image must score it in one piece, since tiles would "
                f"change the scores; got tile_size {tile_size}. Leave it out."
            )
    else:
        if tile_size is not None and tile_size < 1:
            raise ValueError(f"tile_size must be at least 1; got {tile_size}. Leave it out.")
        tile_size = side_of_tiles(source_plan.frame_shape, tile_size)
    shape, told = source_plan.frame_shape, False
    for frame in range(source_plan.n_frames):
        given = model.source_encoding.windows(partial(_finite, source, source_plan, frame), shape)
        judged = model.target_encoding.windows(partial(_finite, image, image_plan, frame), shape)
        if judge is not None and look and not told:  # of a series, the first frame that is so
            told = warn_of_novelty(model.novel(source, source_plan, frame, area))
        judged = beside(judged, image_plan)
        if judge is None or judge.network.of_pixels is None or errors_in is None:
            sides = sides_of(model, judge, given, judged, shape, tile_size)
            outputs = score_windows(network, sides, shape, model.device, tile_size, area)
            yield _placed(model, outputs, network, judge, shape, sides)
            continue
        near = area and replace(area, margin=area.margin + judge.network.reach_of_fields)
        with TemporaryFile(dir=errors_in) as file:
            *_, errors = sides_of(model, judge, given, judged, shape, tile_size, file=file, area=near)
            assert isinstance(errors, PixelErrors)
            errors.make()  # in the order in which both sides are read best
            [means] = score_windows(_FieldErrors(judge.network), [errors], shape, model.device, tile_size, area)
            nothing = np.broadcast_to(np.float32(np.nan), means.shape)
            found = PatchScores(nothing, valid_scores(network.fields, shape), "ZYX"[-len(shape) :], network.fields)
            yield _with_errors(found, judge, means, errors)


class _FieldErrors:
    """Of a judge that expects the errors of pixels their mean over each field alone: the other output costs most."""

    outputs = 1

    def __init__(self, judge: JudgeNetwork) -> None:
        self.fields, self._judge = judge.fields, judge

    def __call__(self, *sides: Tensor) -> Tensor:
        """The means (N, 1, [z,] y, x) of errors (N, 1, [Z,] Y, X)."""
        return self._judge.means(*sides)


def scorable(
    model: "TrainedModel",
    network: Scoring,
    source: Any,
    image: Any,
    axes: str | tuple[str | None, str | None] | None,
    channels: Sequence[int],
    image_channels: Sequence[int | None] = (),
) -> tuple[AxesPlan, AxesPlan]:
    """The plans of a source and an image that `network` can score."""
    source_axes, image_axes = axes if isinstance(axes, tuple) else (axes, axes)
    source_plan = model.source_plan(source, source_axes, channels)
    volume = source_plan.z == "volume"
    own = AxesPlan.of(image, image_axes)
    image_plan = replace(own, z="volume" if volume else "frame", channels=tuple(image_channels))
    if None in image_channels and (not image_plan.taken or not model.target_encoding.partial):
        raise ValueError(
            "An image to score must have all stains, unless the model learned from pairs that lacked some, and one of "
            "them in any case; this one lacks some. Score another."
        )
    if model.domains.sets:  # an image is its own source
        image_plan = source_plan
    if image_plan.n_channels != model.target_encoding.n_channels:
        raise ValueError(
            f"An image to score must have the channels of the model's targets, {model.target_encoding.n_channels}; "
            f"got {image_plan.n_channels} ({image_plan.axes}, {image_plan.shape})."
        )
    if (source_plan.frame_shape, source_plan.n_frames) != (image_plan.frame_shape, image_plan.n_frames):
        raise ValueError(
            f"Source and image must show the same pixels; got {source_plan.shape} ({source_plan.axes}) and "
            f"{image_plan.shape} ({image_plan.axes})."
        )
    require_large_enough(network.fields, source_plan.frame_shape)
    if model.target_encoding.kind == "instances":
        seen = image_plan.take(image, 0, middle_of(image_plan.frame_shape, LOOKED_AT))
        if not unknown(seen).any() and not may_be_labels([seen]):
            raise ValueError(
                "An image to score must hold labels of objects, as this model's targets do; this one looks like "
                "grey values. Give a label image."
            )
    return source_plan, image_plan


def judge_of(model: "TrainedModel", kind: ScoreKind | None) -> tuple[Scoring, MatchJudge | None]:
    """The discriminator that gives scores of this kind; and the judge of the match, if it is its."""
    if model.match is not None and kind != "plain":
        return model.match.network, model.match
    if kind == "match":
        raise ValueError(
            "A model to judge the match with must have been taught to; this one was not. Give it to fit-trust, or "
            "choose the kind plain."
        )
    if model.discriminator is None:
        raise ValueError(
            "A model to score with must have a discriminator; this one was trained without. Give it to fit-trust, "
            "which teaches one, or score with another."
        )
    return model.discriminator, None


def score_frame(
    model: "TrainedModel", source: NDArray[Any], image: NDArray[Any], kind: ScoreKind | None = None
) -> PatchScores:
    """The scores of one frame (K, [Z,] Y, X) given its source (C, [Z,] Y, X), see `TrainedModel.score_frame`."""
    network, judge = judge_of(model, kind)
    if any(unknown(values).any() for values in (source, image)):
        raise ValueError("Frames to score must be finite; these hold NaN or Inf. Replace these pixels.")
    shape = source.shape[1:]
    given, judged = reader(model.source_encoding.encode(source)), reader(model.target_encoding.encode(image))
    sides = sides_of(model, judge, given, judged, shape)
    return _placed(model, score_windows(network, sides, shape, model.device), network, judge, shape, sides)


def judged(
    model: "TrainedModel", judge: MatchJudge, source: NDArray[np.float32], images: Sequence[NDArray[np.float32]]
) -> list[PatchScores]:
    """The scores by `judge` of images of one frame, see `TrainedModel.judged`."""
    shape, network, found = source.shape[1:], judge.network, []
    maps = reader(model.maps_of_frame(source)) if network.sees_maps else None
    for image in images:
        sides = sides_of(model, judge, reader(source), reader(image), shape, ONE_PIECE, maps)
        outputs = score_windows(network, sides, shape, model.device, ONE_PIECE)
        found.append(_placed(model, outputs, network, judge, shape, sides))
    return found


def sides_of(
    model: "TrainedModel",
    judge: MatchJudge | None,
    source: ReadWindow,
    image: ReadWindow,
    shape: tuple[int, ...],
    tile_size: int | None = None,
    maps: ReadWindow | None = None,
    file: IO[bytes] | None = None,
    area: Area | None = None,
) -> list[ReadWindow]:
    """What a discriminator, or a judge of the match, sees of a frame of this shape ([Z,] Y, X).

    `maps` of the source, if they are there, need not be made; `file` and `area` are as of `PixelErrors`.
    """
    if judge is None:
        return [beside_planes(source, model.direction.planes) if model.conditions.sets else source, image]
    maps = (maps or maps_of(model, source, shape)) if judge.network.sees_maps else None
    if judge.network.of_pixels:
        maps = PixelErrors(model, judge.network.of_pixels, (source, image, maps), shape, tile_size, file, area)
    return [source, image, *([maps] if maps else [])]


def beside(image: ReadWindow, plan: AxesPlan) -> ReadWindow:
    """What reads windows of an image beside planes of the channels that it has, if it lacks some."""
    if None not in plan.channels:
        return image
    stains = np.array([channel is not None for channel in plan.channels])
    return lambda window: beside_stains(image(window), stains)


def beside_planes(read: ReadWindow, planes: Sequence[float]) -> ReadWindow:
    """What gives windows of a source beside constant planes of these values."""

    def with_planes(window: tuple[slice, ...]) -> NDArray[np.float32]:
        values = read(window)
        constant = [np.full((1, *values.shape[1:]), value, np.float32) for value in planes]
        return np.concatenate([values, *constant])

    return with_planes


def maps_of(model: "TrainedModel", source: ReadWindow, shape: tuple[int, ...]) -> ReadWindow:
    """What gives any window of `generate` of a source, and reads little more than that.

    All of it, where the norm looks at the image.
    """
    plan, forward = model.tile_plan(shape), forward_of(model, PredictSettings())
    if not model.tileable:
        maps = model.maps_of_frame(source(tuple(slice(0, n) for n in shape)))
        return reader(maps)
    frame = WindowedFrame(source, (model.source_encoding.n_maps, *shape))

    def read(window: Window) -> NDArray[np.float32]:
        tile = plan.around(window)
        maps = np.empty((model.target_encoding.n_maps, *tile.shape), np.float32)
        tiles = replace(plan, tiles=(tile,))
        for part, values in predict_tiles(forward, frame, tiles):
            maps[(slice(None), *tile.inside(part))] = values
        return maps[(slice(None), *tile.inside(window))]

    return read


def _placed(
    model: "TrainedModel",
    outputs: NDArray[np.float32],
    network: Scoring,
    judge: MatchJudge | None,
    shape: tuple[int, ...],
    sides: Sequence[ReadWindow],
) -> PatchScores:
    """The scores of a frame of this shape ([Z,] Y, X) and these sides, and what the judge of the match knows of it."""
    axes, valid = "ZYX"[-len(shape) :], valid_scores(network.fields, shape)
    if judge is None:
        likely = [softmax(outputs[1:][block], axis=0) for block in model.domains.blocks.values()]
        return PatchScores(outputs[0], valid, axes, network.fields, domains=np.concatenate(likely) if likely else None)
    known = judge.calibration
    found = PatchScores(
        outputs[0], valid, axes, network.fields, "match", rank=known.rank(outputs[0]) if known else None
    )
    found = _with_errors(found, judge, outputs[1], sides[-1])
    assert found.expected_error is not None
    return replace(found, error_bound=known.bound(found.expected_error) if known else None)


def _with_errors(found: PatchScores, judge: MatchJudge, means: NDArray[np.float32], errors: ReadWindow) -> PatchScores:
    """The scores, with what the judge expects of fields, its second output, and of pixels if it does."""
    found = replace(found, kind="match", expected_error=judge.expected_error(means), promise=judge.promise)
    if not isinstance(errors, PixelErrors):
        return found
    known = judge.calibration
    apart = known is None or known.risk is None or known.risk.apart
    return replace(
        found,
        pixels=lambda window: judge.expected_error(errors.told(window)),
        masked=(lambda window: judge.expected_error(errors(window)[0])) if apart else None,
        mean=lambda: float(judge.expected_error(np.asarray(errors.mean(), np.float32))),
    )


def _finite(stack: Any, plan: AxesPlan, frame: int, window: tuple[slice, ...]) -> NDArray[Any]:
    values = plan.take(stack, frame, window)
    if unknown(values).any():
        raise ValueError(f"Stacks to score must be finite; frame {frame} holds NaN or Inf. Replace these pixels.")
    return values
