"""A trained model: networks, config, normalization and where it came from, in one file."""

import dataclasses
import hashlib
import json
import math
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from napari_pix2pix.core.data.split import middle
from napari_pix2pix.core.encodings.encoding import Encoding, may_be_labels
from napari_pix2pix.core.encodings.rescaling import resampled, rescaled_shape
from napari_pix2pix.core.encodings.source_view import SourceView
from napari_pix2pix.core.engine.devices import pick_device, resolve_precision
from napari_pix2pix.core.engine.tensor_files import read_tensors, under, write_tensors
from napari_pix2pix.core.geometry.axes import AxesPlan
from napari_pix2pix.core.geometry.tiles import TilePlan
from napari_pix2pix.core.methods.pix2pix import networks
from napari_pix2pix.core.networks.dropout import has_dropout
from napari_pix2pix.core.networks.generator import Generator
from napari_pix2pix.core.networks.patchgan import PatchGAN
from napari_pix2pix.core.running.bands import Band, joined, predict_bands, unknown
from napari_pix2pix.core.running.patch_scores import (
    PatchScores,
    ReadWindow,
    ScoreKind,
    Scoring,
    frame_outputs,
    reader,
    require_large_enough,
    score_grid,
    score_windows,
    valid_scores,
)
from napari_pix2pix.core.running.prediction import (
    WindowedFrame,
    plan_prediction,
    predict_by_image_statistics,
    predict_tiles,
)
from napari_pix2pix.core.settings.config import Config, Precision, validated
from napari_pix2pix.core.trust.judge import MatchJudge, match_network
from napari_pix2pix.core.trust.novelty import MIDDLE, STRANGE

OUTSIDE = 0.1
"""The share of an image's pixels beyond the training range from which on a warning is given."""
LOOKED_AT = 128
"""Side of the part of an image, px, that tells whether it holds labels."""
ONE_PIECE = 2048
"""A frame up to this side runs in one piece unless a tile size is asked for; larger ones in tiles of this size."""


@dataclass
class TrainedModel:
    """A generator, perhaps a discriminator, and everything needed to use them on new stacks.

    Parameters
    ----------
    config
        Of the training.
    generator, discriminator
        In evaluation mode; no discriminator where only L1 trained.
    source_encoding, target_encoding
        How their grey values or labels become channels.
    source_view
        How frames are taken from a source: its channels and its planes, as in `AxesPlan`.
    channel_axis
        Of the target: ``"S"`` (RGB), ``"C"`` or ``""``.
    provenance
        Where it came from: files, split, versions, figures; JSON.
    match
        The second discriminator, which judges whether an image belongs to its source; None: not taught.
    """

    config: Config
    generator: Generator
    discriminator: PatchGAN | None
    source_encoding: Encoding
    target_encoding: Encoding
    source_view: SourceView
    channel_axis: str
    provenance: dict[str, Any] = field(default_factory=dict)
    match: MatchJudge | None = None

    @property
    def device(self) -> torch.device:
        """Where the networks are."""
        return next(self.generator.parameters()).device

    def to(self, device: str) -> "TrainedModel":
        """Move the networks to ``auto``, ``cpu``, ``cuda:0`` …; the model itself.

        Raises
        ------
        ValueError
            If this machine has no such device.
        """
        for network in (self.generator, self.discriminator, self.match.network if self.match else None):
            if network is not None:
                network.to(pick_device(device))
        return self

    # Files

    def content(self) -> dict[str, Any]:
        """Everything but the tensors, as JSON."""
        return {
            "config": self.config.model_dump(mode="json"),
            "source_encoding": self.source_encoding.model_dump(mode="json"),
            "target_encoding": self.target_encoding.model_dump(mode="json"),
            "source_view": self.source_view.model_dump(mode="json"),
            "channel_axis": self.channel_axis,
            "provenance": self.provenance,
            **({"trust": self.match.content()} if self.match else {}),
        }

    def tensors(self) -> dict[str, torch.Tensor]:
        """The weights and norm statistics of all networks, and what calibrates them."""
        named = {"generator": self.generator, "discriminator": self.discriminator}
        tensors = {prefix: network.state_dict() for prefix, network in named.items() if network is not None}
        tensors |= {"trust": self.match.tensors()} if self.match else {}
        return {f"{prefix}.{name}": tensor for prefix, own in tensors.items() for name, tensor in own.items()}

    def hash(self) -> str:
        """SHA-256 of tensors and content: the same model, the same hash."""
        digest = hashlib.sha256(json.dumps(self.content(), sort_keys=True).encode())
        for name, tensor in sorted(self.tensors().items()):
            digest.update(name.encode())
            digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
        return digest.hexdigest()

    def save(self, path: Path | str) -> None:
        """Write the model to `path`, beside and renamed."""
        write_tensors(Path(path), self.tensors(), self.content())

    # Use

    def with_norm_statistics(self, norm_statistics: Literal["training", "image"]) -> "TrainedModel":
        """The same networks, predicting with the batch norm's statistics of the training or of each image.

        A model that was trained to look at the image can so be run in exact tiles; expect another prediction.
        """
        return replace(self, config=self.config.model_copy(update={"norm_statistics": norm_statistics}))

    def predict(
        self,
        stack: Any,
        axes: str | None = None,
        *,
        channels: Sequence[int] = (),
        tile_size: int | None = None,
        overlap: int | None = None,
        draws: int | None = None,
        precision: Precision = "auto",
    ) -> NDArray[Any]:
        """The prediction for each frame of `stack`, in the target's grey values or labels.

        Parameters
        ----------
        stack
            In source grey values.
        axes
            Of the stack, e.g. ``"TYX"``; None: guessed from its shape.
        channels
            The channels to take, by number, in the order of the training; empty: those with the training's numbers.
        tile_size
            Side of what each tile keeps, in pixels. None: one piece up to 2048 px, else 2048.
        overlap
            Of tiles, in pixels. None: exact - the prediction does not depend on the tiling. Less is faster: tiles are
            blended, and a warning says how far they are apart.
        draws
            The mean over so many predictions with dropout left on, at least 2; None: one, without. `predict_draws`
            gives their spread, too.
        precision
            Of the network, see `precision_for`. Tiles are exact in float32.

        Returns
        -------
        NDArray
            With the stack's T, Z, Y and X in the same order, and the target's channels, see `prediction_plan`.

        Raises
        ------
        ValueError
            If the stack has other channels than the model's sources, the norm cannot be tiled, or the generator has no
            dropout to draw from.
        """
        result, prediction = self.prediction_plan(stack, axes, channels), None
        named: dict[str, Any] = {"tile_size": tile_size, "overlap": overlap, "draws": draws, "precision": precision}
        bands = self.predict_bands(stack, axes, channels=channels, **named)
        for frame, rows, values in self.decode_bands(bands):
            if prediction is None:
                prediction = np.empty(result.shape, values.dtype)
            result.put(prediction, frame, values, result.rows(rows))
        assert prediction is not None
        return prediction

    def prediction_plan(self, stack: Any, axes: str | None = None, channels: Sequence[int] = ()) -> AxesPlan:
        """Axes and shape of the prediction for `stack`."""
        return self.source_plan(stack, axes, channels).like(self.target_encoding.n_channels, self.channel_axis)

    @property
    def tileable(self) -> bool:
        """Whether tiles give what the whole frame gives: the norm does not look at the image."""
        return self.config.norm_statistics == "training" and self.config.generator.norm != "instance"

    def tile_plan(
        self, frame_shape: tuple[int, ...], tile_size: int | None = None, overlap: int | None = None
    ) -> TilePlan:
        """The tiles in which `predict` computes a frame ([Z,] Y, X); `cost` says what their overlap costs.

        Raises
        ------
        ValueError
            If the norm cannot be tiled, or tile_size and overlap are impossible.
        """
        if not self.tileable:
            if tile_size is not None:
                instance = self.config.generator.norm == "instance"
                raise ValueError(
                    "A model whose norm looks at the image must run in one piece, since tiles would show seams; "
                    f"got tile_size {tile_size}. Leave it out, or "
                    + ("train with batch norm." if instance else "predict with --norm-statistics training.")
                )
        elif tile_size is None and max(frame_shape[-2:]) > ONE_PIECE:
            tile_size = ONE_PIECE
        return plan_prediction(self.generator, frame_shape, tile_size, overlap)

    def precision_for(self, precision: Precision = "auto") -> Precision:
        """What a prediction is computed in.

        ``auto`` is bfloat16 where the device computes with it and the training has found that it changes the error on
        the validation pairs by less than 0.1 %; else float32.
        """
        suits = precision != "auto" or self.provenance.get("predicts_in") == "bfloat16"
        return resolve_precision(precision, self.device) if suits else "float32"

    def predict_frames(self, stack: Any, axes: str | None = None, **named: Any) -> Iterator[tuple[int, NDArray[Any]]]:
        """`predict`, frame by frame: the frame's number and its prediction (C, [Z,] Y, X)."""
        height, held = AxesPlan.of(stack, axes).length("Y"), list[NDArray[Any]]()
        for frame, rows, values in self.decode_bands(self.predict_bands(stack, axes, **named)):
            held.append(values)
            if rows.stop == height:
                yield frame, joined(held)
                held = []

    def predict_draws(
        self, stack: Any, axes: str | None = None, *, draws: int, **named: Any
    ) -> Iterator[tuple[int, NDArray[Any], NDArray[np.float32]]]:
        """`predict` with `draws`, frame by frame: its number, its prediction and their spread.

        The spread is the standard deviation over the draws at each pixel: in grey values (C, [Z,] Y, X) for
        intensities; for labels (1, [Z,] Y, X), the mean over the maps as a share of their range. NaN where the source
        is NaN or Inf. The noise comes from the training's seed, the draw and the absolute position: the same in every
        frame, whatever the tiles.
        """
        for frame, source, maps, spread in self.draw_maps(stack, axes, draws=draws, **named):
            yield frame, self.decode(maps, source), self.decode_spread(spread, source)

    def predict_maps(
        self, stack: Any, axes: str | None = None, *, draws: int | None = None, **named: Any
    ) -> Iterator[tuple[int, NDArray[Any], NDArray[np.float32]]]:
        """Frame by frame its number, its source (C, [Z,] Y, X) and the encoded maps (n_maps, [Z,] Y, X) in [-1, 1].

        Further arguments are those of `predict`, and `scale`: how many pixels the network is to see for each of the
        source's, along ([Z,] Y, X), where their sizes differ; the maps lie on the source's grid.
        `decode` makes the prediction of them; for instances again with other thresholds, without the network.
        """
        for frame, source, maps in self._encoded(stack, axes, draws=draws, **named):
            yield frame, source, maps[: self.target_encoding.n_maps]

    def draw_maps(
        self, stack: Any, axes: str | None = None, *, draws: int, **named: Any
    ) -> Iterator[tuple[int, NDArray[Any], NDArray[np.float32], NDArray[np.float32]]]:
        """As `predict_maps`, the mean over `draws`, and their standard deviation (n_maps, [Z,] Y, X), float32."""
        n_maps = self.target_encoding.n_maps
        for frame, source, maps in self._encoded(stack, axes, draws=draws, **named):
            yield frame, source, maps[:n_maps], maps[n_maps:]

    def predict_bands(
        self,
        stack: Any,
        axes: str | None = None,
        *,
        channels: Sequence[int] = (),
        tile_size: int | None = None,
        overlap: int | None = None,
        draws: int | None = None,
        precision: Precision = "auto",
        scale: tuple[float, ...] | None = None,
        frames: Sequence[int] | None = None,
    ) -> Iterator[Band]:
        """What `decode_bands` makes the prediction of, some rows at a time; parameters as in `predict`.

        Of all frames, or of these alone.

        Source, network and maps need memory for a row of tiles, however large the frames are. With `scale`, which takes
        whole frames, the network sees so many pixels for each of the source's, along ([Z,] Y, X); maps are resampled to
        the source's.
        """
        if draws is not None and draws < 2:
            raise ValueError(f"draws must be at least 2; got {draws}. Leave it out for one prediction, dropout off.")
        if draws is not None and not has_dropout(self.generator):
            raise ValueError(
                f"A generator must have dropout for predictions to differ; this one has none, so {draws} draws would "
                "be the same. Leave draws out, or train with generator.dropout above 0."
            )
        plan = self.source_plan(stack, axes, channels)
        seen_shape = rescaled_shape(plan.frame_shape, scale) if scale else plan.frame_shape
        tiles, outside = self.tile_plan(seen_shape, tile_size, overlap), np.zeros(0)
        bands = self._rescaled_bands if scale else self._bands
        for band in bands(stack, plan, tiles, draws, precision, range(plan.n_frames) if frames is None else frames):
            yield band
            outside = self._outside(band) + (outside if band.rows.start else 0)
            if band.last:
                self._warn_of_range(outside / band.shape[-2])
                if scale is None:
                    self._warn_of_novelty(self.novel(stack, plan, band.frame))

    def _bands(
        self,
        stack: Any,
        plan: AxesPlan,
        tiles: TilePlan,
        draws: int | None = None,
        precision: Precision = "auto",
        frames: Sequence[int] | None = None,
    ) -> Iterator[Band]:
        return predict_bands(
            self.generator,
            stack,
            plan,
            tiles,
            self.source_encoding,
            self.target_encoding.n_maps,
            self.device,
            image_statistics=self.config.norm_statistics == "image",
            draws=draws,
            seed=self.config.seed,
            precision=self.precision_for(precision),
            frames=frames,
        )

    def _rescaled_bands(
        self,
        stack: Any,
        plan: AxesPlan,
        tiles: TilePlan,
        draws: int | None,
        precision: Precision,
        frames: Sequence[int],
    ) -> Iterator[Band]:
        """Whole frames, which the network sees with the pixels of `tiles`."""
        shape = plan.frame_shape
        for frame in frames:
            source = plan.take(stack, frame)
            seen = resampled(source, tiles.shape, self.source_encoding.is_labels)
            maps = joined([band.maps for band in self._bands(seen, _one_frame(seen), tiles, draws, precision)])
            yield Band(frame, slice(0, shape[-2]), shape, source, resampled(maps, shape))

    def decode_bands(
        self, bands: Iterable[Band], *, seed_threshold: float | None = None, min_size: int | None = None
    ) -> Iterator[tuple[int, slice, NDArray[Any]]]:
        """The prediction that `bands` hold: number of the frame, rows, values (C, [Z,] rows, X), in their order.

        As `decode` of whole frames: marked, with a warning, where the source is NaN or Inf. Rows of instances come
        later than their maps, see `ObjectRows`.
        """
        encoding, count = self._target_encoding(seed_threshold, min_size), 0
        for band in bands:
            if band.rows.start == 0:
                count, row, marks = 0, 0, np.zeros((*band.shape[:-2], 0, band.shape[-1]), bool)
                objects = encoding.object_rows(math.prod((*band.shape[:-2], band.shape[-1])))
            maps = band.maps[: encoding.n_maps]
            if encoding.kind == "instances" and not band.whole:
                prediction = objects.add(maps, band.last)[None]
            else:
                prediction = encoding.decode(maps)
            marks = np.concatenate([marks, unknown(band.source).any(axis=0)], axis=-2)
            n = prediction.shape[-2]
            count += _mark(prediction, marks[..., :n, :])
            row, marks = row + n, marks[..., n:, :]
            if band.last:
                _warn_of_unknown(prediction, count)
            if n:
                yield band.frame, slice(row - n, row), prediction

    def _encoded(
        self, stack: Any, axes: str | None = None, **named: Any
    ) -> Iterator[tuple[int, NDArray[Any], NDArray[np.float32]]]:
        """Frame by frame its number, source and maps; with `draws` their mean and standard deviation."""
        held: list[Band] = []
        for band in self.predict_bands(stack, axes, **named):
            held.append(band)
            if band.last:
                yield band.frame, joined([part.source for part in held]), joined([part.maps for part in held])
                held = []

    def predict_frame(self, source: NDArray[Any], precision: Precision = "auto") -> NDArray[Any]:
        """The prediction (C, [Z,] Y, X) for one frame (C, [Z,] Y, X) of the source."""
        bands = self._bands(source, _one_frame(source), self.tile_plan(source.shape[1:]), precision=precision)
        return joined([values for _, _, values in self.decode_bands(bands)])

    def decode(
        self,
        maps: NDArray[np.float32],
        source: NDArray[Any],
        *,
        seed_threshold: float | None = None,
        min_size: int | None = None,
    ) -> NDArray[Any]:
        """The prediction (C, [Z,] Y, X) that `maps` hold; marked, with a warning, where `source` is NaN or Inf.

        Parameters
        ----------
        maps, source
            As from `predict_maps`.
        seed_threshold, min_size
            Of instances, as in `Encoding`; None: the model's.
        """
        prediction = self._target_encoding(seed_threshold, min_size).decode(maps)
        _warn_of_unknown(prediction, _mark(prediction, np.any(unknown(source), axis=0)))
        return prediction

    def _target_encoding(self, seed_threshold: float | None, min_size: int | None) -> Encoding:
        changes = {"seed_threshold": seed_threshold, "min_size": min_size}
        known = {name: value for name, value in changes.items() if value is not None}
        return self.target_encoding.model_copy(update=known)

    def decode_spread(self, spread: NDArray[np.float32], source: NDArray[Any]) -> NDArray[np.float32]:
        """The spread of a prediction, as in `predict_draws`, from the standard deviation of its maps."""
        return np.where(unknown(source).any(axis=0), np.float32(np.nan), self.target_encoding.decode_spread(spread))

    def generate(self, frame: NDArray[np.float32]) -> NDArray[np.float32]:
        """The maps (n_maps, [Z,] Y, X) of one frame (C, [Z,] Y, X), both in network values, as `predict` makes them."""
        tiles, precision = self.tile_plan(frame.shape[1:]), self.precision_for()
        if self.config.norm_statistics == "image":
            seed = self.config.seed
            return predict_by_image_statistics(self.generator, frame, self.device, seed, precision=precision)
        maps = np.zeros((self.target_encoding.n_maps, *frame.shape[1:]), np.float32)
        for window, values in predict_tiles(self.generator, frame, tiles, self.device, precision=precision):
            maps[(slice(None), *window)] += values
        return maps

    def _outside(self, band: Band) -> NDArray[np.float64]:
        """The shares of each channel's pixels below and above the training range, times the rows; (C, 2)."""
        normalization = self.source_encoding.normalization
        if normalization is None or normalization.each_image is not None:
            return np.zeros((0, 2))
        shares = np.array([[below, above] for _, below, above in normalization.outside(band.source)])
        return shares * float(band.source.shape[-2])

    def novel(self, stack: Any, plan: AxesPlan, frame: int) -> float:
        """The share of the middle of this frame that is like nothing that trained; 0 where it or nobody knows."""
        shape = plan.frame_shape
        window = _middle_of(shape, MIDDLE)
        if self.match is None or unknown(plan.take(stack, frame, window)).any():
            return 0.0
        seen = self.source_encoding.windows(partial(plan.take, stack, frame), shape)
        return self.match.novelty.strange(seen(window))

    def _warn_of_novelty(self, strange: float) -> None:
        if strange > STRANGE:
            warnings.warn(
                f"{strange:.0%} of the source is, by grey values and texture, like nothing that trained the model: "
                "another stain, magnification or focus? Expect a poor prediction; expected errors and bounds do not "
                "hold here.",
                stacklevel=3,
            )

    def _warn_of_range(self, outside: NDArray[np.float64]) -> None:
        normalization = self.source_encoding.normalization
        for channel, shares in enumerate(outside):
            assert normalization is not None
            span = f"{normalization.low[channel]:.6g} to {normalization.high[channel]:.6g}"
            which = f"channel {channel} of the source" if len(outside) > 1 else "the source"
            for share, where in zip(shares, ("below", "above"), strict=True):
                if share > OUTSIDE:
                    warnings.warn(
                        f"{share:.0%} of {which} lies {where} the training range {span}; expect a poor prediction.",
                        stacklevel=3,
                    )

    def score(
        self,
        source: Any,
        image: Any,
        axes: str | tuple[str | None, str | None] | None = None,
        *,
        channels: Sequence[int] = (),
        tile_size: int | None = None,
        kind: ScoreKind | None = None,
    ) -> PatchScores:
        """The discriminator's scores of `image` given `source`.

        Parameters
        ----------
        source
            A stack in source grey values.
        image
            A stack of the same frames in target grey values or labels: a prediction, or a real target.
        axes
            Of both stacks, or (of the source, of the image); None: guessed from their shapes.
        channels
            Of the source, as in `predict`.
        tile_size
            In pixels; None: each frame in one piece up to 2048 px, else 2048. The scores do not depend on it.
        kind
            ``match``: by the discriminator that was taught to judge the match, with expected errors; ``plain``: by that
            of the training. None: the first of the two that the model has.

        Raises
        ------
        ValueError
            If the model has no such discriminator, the stacks do not show the same frames, have other channels than the
            model's, hold NaN, or are smaller than one field.
        """
        named: dict[str, Any] = {"channels": channels, "tile_size": tile_size, "kind": kind}
        plan = self.score_plan(source, image, axes, channels, kind)
        whole: dict[str, Any] = {}
        for frame, scored in enumerate(self.score_frames(source, image, axes, **named)):
            for name, values in scored.parts.items():
                if name not in whole:
                    whole[name] = np.empty(plan.shape, values.dtype)
                plan.put(whole[name], frame, values[None])
        return replace(scored, axes=plan.axes, **whole)

    def score_plan(
        self,
        source: Any,
        image: Any,
        axes: str | tuple[str | None, str | None] | None = None,
        channels: Sequence[int] = (),
        kind: ScoreKind | None = None,
    ) -> AxesPlan:
        """Axes and shape of the scores of `image` given `source`."""
        network, _ = self._judge(kind)
        plan, _ = self._scorable(network, source, image, axes, channels)
        return plan.like(1, "", score_grid(network.fields, plan.frame_shape))

    def score_frames(
        self,
        source: Any,
        image: Any,
        axes: str | tuple[str | None, str | None] | None = None,
        *,
        channels: Sequence[int] = (),
        tile_size: int | None = None,
        kind: ScoreKind | None = None,
    ) -> Iterator[PatchScores]:
        """`score`, frame by frame, each with the axes YX, or ZYX; of either stack only a tile is read at a time.

        But whole frames where they are normalized by their own statistics, or the discriminator's norm looks at them.
        """
        network, judge = self._judge(kind)
        source_plan, image_plan = self._scorable(network, source, image, axes, channels)
        if judge is None and self.config.discriminator.norm == "instance":
            if tile_size is not None:
                raise ValueError(
                    "A discriminator whose norm looks at the image must score it in one piece, since tiles would "
                    f"change the scores; got tile_size {tile_size}. Leave it out."
                )
        elif tile_size is None and max(source_plan.frame_shape[-2:]) > ONE_PIECE:
            tile_size = ONE_PIECE
        shape = source_plan.frame_shape
        for frame in range(source_plan.n_frames):
            seen = self.source_encoding.windows(partial(_finite, source, source_plan, frame), shape)
            judged = self.target_encoding.windows(partial(_finite, image, image_plan, frame), shape)
            if judge is not None:
                self._warn_of_novelty(self.novel(source, source_plan, frame))
            outputs = score_windows(network, self._sides(judge, seen, judged, shape), shape, self.device, tile_size)
            yield _placed(outputs, network, judge, shape)

    def _scorable(
        self,
        network: Scoring,
        source: Any,
        image: Any,
        axes: str | tuple[str | None, str | None] | None,
        channels: Sequence[int],
    ) -> tuple[AxesPlan, AxesPlan]:
        """The plans of a source and an image that `network` can score."""
        source_axes, image_axes = axes if isinstance(axes, tuple) else (axes, axes)
        source_plan = self.source_plan(source, source_axes, channels)
        volume = source_plan.z == "volume"
        image_plan = replace(AxesPlan.of(image, image_axes), z="volume" if volume else "frame")
        if image_plan.n_channels != self.target_encoding.n_channels:
            raise ValueError(
                f"An image to score must have the channels of the model's targets, {self.target_encoding.n_channels}; "
                f"got {image_plan.n_channels} ({image_plan.axes}, {image_plan.shape})."
            )
        if (source_plan.frame_shape, source_plan.n_frames) != (image_plan.frame_shape, image_plan.n_frames):
            raise ValueError(
                f"Source and image must show the same pixels; got {source_plan.shape} ({source_plan.axes}) and "
                f"{image_plan.shape} ({image_plan.axes})."
            )
        require_large_enough(network.fields, source_plan.frame_shape)
        if self.target_encoding.kind == "instances":
            seen = image_plan.take(image, 0, _middle_of(image_plan.frame_shape, LOOKED_AT))
            if not unknown(seen).any() and not may_be_labels([seen]):
                raise ValueError(
                    "An image to score must hold labels of objects, as this model's targets do; this one looks like "
                    "grey values. Give a label image."
                )
        return source_plan, image_plan

    def _judge(self, kind: ScoreKind | None) -> tuple[Scoring, MatchJudge | None]:
        """The discriminator that gives scores of this kind; and the judge of the match, if it is its."""
        if self.match is not None and kind != "plain":
            return self.match.network, self.match
        if kind == "match":
            raise ValueError(
                "A model to judge the match with must have been taught to; this one was not. Give it to fit-trust, or "
                "choose the kind plain."
            )
        if self.discriminator is None:
            raise ValueError(
                "A model to score with must have a discriminator; this one was trained with gan_weight 0 and has none."
            )
        return self.discriminator, None

    def score_frame(self, source: NDArray[Any], image: NDArray[Any], kind: ScoreKind | None = None) -> PatchScores:
        """The scores of one frame `image` (K, [Z,] Y, X) given its `source` (C, [Z,] Y, X), as `predict_frame`.

        Raises
        ------
        ValueError
            If the model has no such discriminator, the frames hold NaN or Inf, or are smaller than one field.
        """
        network, judge = self._judge(kind)
        if any(unknown(values).any() for values in (source, image)):
            raise ValueError("Frames to score must be finite; these hold NaN or Inf. Replace these pixels.")
        shape = source.shape[1:]
        seen, judged = reader(self.source_encoding.encode(source)), reader(self.target_encoding.encode(image))
        outputs = score_windows(network, self._sides(judge, seen, judged, shape), shape, self.device)
        return _placed(outputs, network, judge, shape)

    def judged(
        self, judge: MatchJudge, source: NDArray[np.float32], images: Sequence[NDArray[np.float32]]
    ) -> list[NDArray[np.float32]]:
        """The outputs of `judge` (2, [z,] y, x) for images of one frame, in network values, as of `as_scored`."""
        own = [self.generate(source)] if judge.network.sees_maps else []
        seen = ([source, image, *own] for image in images)
        return [frame_outputs(judge.network, sides, self.device, ONE_PIECE) for sides in seen]

    def _sides(
        self, judge: MatchJudge | None, source: ReadWindow, image: ReadWindow, shape: tuple[int, ...]
    ) -> list[ReadWindow]:
        """What a discriminator, or a judge of the match, sees of a frame of this shape ([Z,] Y, X)."""
        seen = [source, image]
        return [*seen, self._maps_of(source, shape)] if judge and judge.network.sees_maps else seen

    def _maps_of(self, source: ReadWindow, shape: tuple[int, ...]) -> ReadWindow:
        """What gives any window of `generate` of a source, and reads little more than that.

        All of it, where the norm looks at the image.
        """
        plan = self.tile_plan(shape)
        if not self.tileable:
            maps = self.generate(source(tuple(slice(0, n) for n in shape)))
            return reader(maps)
        frame = WindowedFrame(source, (self.source_encoding.n_maps, *shape))

        def read(window: tuple[slice, ...]) -> NDArray[np.float32]:
            tile, precision = plan.around(window), self.precision_for()
            maps = np.empty((self.target_encoding.n_maps, *tile.shape), np.float32)
            tiles = replace(plan, tiles=(tile,))
            for part, values in predict_tiles(self.generator, frame, tiles, self.device, precision=precision):
                maps[(slice(None), *tile.inside(part))] = values
            return maps[(slice(None), *tile.inside(window))]

        return read

    def source_plan(self, stack: Any, axes: str | None = None, channels: Sequence[int] = ()) -> AxesPlan:
        """How frames of the source `stack` are taken for the model; parameters as in `predict`.

        Raises
        ------
        ValueError
            If the stack has other channels than the model's sources.
        """
        plan, view = replace(AxesPlan.of(stack, axes), z=self.source_view.z), self.source_view
        expected = self.source_encoding.n_channels
        if channels:
            plan = replace(plan, channels=tuple(channels))
        elif view.channels and plan.length("C") * plan.length("S") == view.of_channels:
            plan = replace(plan, channels=view.channels)  # a file like those of the training
        elif plan.n_channels == plan.n_planes and expected == 3 * plan.n_planes and view.colours:
            plan = replace(plan, channels=(0, 0, 0))
            warnings.warn(
                "The source is grey where the model expects colours; its grey is each colour's.", stacklevel=3
            )
        if plan.n_channels != expected:
            few = ", add those in further files (--source-more)," if plan.n_channels < expected else ""
            raise ValueError(
                f"A source for this model must have {counted(expected)}; got {plan.n_channels} "
                f"({plan.axes}, {plan.shape}). Choose channels (--source-channels){few} or give the axes."
            )
        return plan


def _placed(
    outputs: NDArray[np.float32], network: Scoring, judge: MatchJudge | None, shape: tuple[int, ...]
) -> PatchScores:
    """The scores of a frame of this shape ([Z,] Y, X), and what the judge of the match knows of them."""
    axes, valid = "ZYX"[-len(shape) :], valid_scores(network.fields, shape)
    if judge is None:
        return PatchScores(outputs[0], valid, axes, network.fields)
    expected, known = judge.expected_error(outputs[1]), judge.calibration
    return PatchScores(
        outputs[0],
        valid,
        axes,
        network.fields,
        "match",
        expected_error=expected,
        rank=known.rank(outputs[0]) if known else None,
        error_bound=known.bound(expected) if known else None,
        promise=known.promise if known else "No calibration pairs: scores have no ranks, errors no bound.",
    )


def _middle_of(shape: tuple[int, ...], side: int) -> tuple[slice, ...]:
    """The window ([Z,] Y, X), so large at most, of a frame of this shape that is looked at for all of it."""
    return (*(slice(0, n) for n in shape[:-2]), *(middle(slice(0, n), side) for n in shape[-2:]))


def _one_frame(frame: NDArray[Any]) -> AxesPlan:
    """The plan of a stack that is one frame (C, [Z,] Y, X)."""
    volume = frame.ndim == 4
    return AxesPlan("CZYX" if volume else "CYX", frame.shape, z="volume" if volume else "frame")


def counted(channels: int) -> str:
    """1 channel, 2 channels."""
    return f"{channels} channel" + ("s" if channels > 1 else "")


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


def _finite(stack: Any, plan: AxesPlan, frame: int, window: tuple[slice, ...]) -> NDArray[Any]:
    values = plan.take(stack, frame, window)
    if unknown(values).any():
        raise ValueError(f"Stacks to score must be finite; frame {frame} holds NaN or Inf. Replace these pixels.")
    return values


def load_model(path: Path | str, device: str = "auto") -> TrainedModel:
    """The model in the file `path`, on `device`.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If it is no model, is damaged, is newer than this package, or the device is missing.
    """
    tensors, content = read_tensors(Path(path))
    names = {field.name for field in dataclasses.fields(TrainedModel)} - {"generator", "discriminator", "match"}
    if set(content) - {"trust"} != names:
        raise ValueError(f"A model must hold {', '.join(sorted(names))}; {path} holds {', '.join(sorted(content))}.")
    model = restore_model(tensors, content)
    return model.to(device)


def restore_model(tensors: dict[str, torch.Tensor], content: dict[str, Any]) -> TrainedModel:
    """The model that these tensors and this content describe, on the CPU, in evaluation mode."""
    config = validated(Config, content["config"])
    source_encoding = validated(Encoding, content["source_encoding"])
    target_encoding = validated(Encoding, content["target_encoding"])
    source_view = validated(SourceView, content["source_view"])
    spatial_dims = 3 if source_view.z == "volume" else 2
    generator, discriminator = networks(config, source_encoding.n_maps, target_encoding.n_maps, spatial_dims)
    for prefix, network in (("generator.", generator), ("discriminator.", discriminator)):
        if network is not None:
            with _fitting(prefix[:-1]):
                network.load_state_dict(under(prefix, tensors))
            network.eval()
    match = None
    if "trust" in content:
        if not isinstance(content["trust"], dict):
            raise ValueError(f"What a model says of its trust must be an object; got {content['trust']!r:.50}.")
        like = config.discriminator, source_encoding, target_encoding, spatial_dims
        judge = match_network(*like, bool(content["trust"].get("conditional", True)))
        with _fitting("discriminator that judges the match"):
            match = MatchJudge.restored(judge, under("trust.", tensors), content["trust"])
    encodings = source_encoding, target_encoding, source_view
    said = content["channel_axis"], content["provenance"]
    return TrainedModel(config, generator, discriminator, *encodings, *said, match)


@contextmanager
def _fitting(network: str) -> Iterator[None]:
    """Within the block, weights that do not fit are a ValueError."""
    try:
        yield
    except RuntimeError as error:
        raise ValueError(f"The weights of a model must fit its config; those of the {network} do not.") from error
