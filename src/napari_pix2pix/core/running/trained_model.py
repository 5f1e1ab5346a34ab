"""A trained model: its networks and everything needed to use them, with what it can do."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from napari_pix2pix.core.encodings.domains import NO_DOMAINS, Domains, Labels
from napari_pix2pix.core.encodings.encoding import Encoding
from napari_pix2pix.core.encodings.source_view import SourceView
from napari_pix2pix.core.engine.devices import pick_device, resolve_precision
from napari_pix2pix.core.geometry.areas import Area
from napari_pix2pix.core.geometry.axes import AxesPlan
from napari_pix2pix.core.geometry.tiles import TilePlan
from napari_pix2pix.core.methods import method_of
from napari_pix2pix.core.methods.method import Description, Direction, Shapes
from napari_pix2pix.core.models.file import halved, load_parts, model_hash, save_model
from napari_pix2pix.core.networks.generator import Generator
from napari_pix2pix.core.networks.norms import has_instance_norm
from napari_pix2pix.core.networks.patchgan import PatchGAN
from napari_pix2pix.core.running import from_nothing, predict, score, sources
from napari_pix2pix.core.running.bands import Band, unknown
from napari_pix2pix.core.running.patch_scores import PatchScores, ScoreKind, score_grid
from napari_pix2pix.core.settings.config import Config, Precision, validated
from napari_pix2pix.core.settings.running import GenerateSettings, PredictSettings
from napari_pix2pix.core.trust.judge import MatchJudge


@dataclass
class TrainedModel:
    """Networks, and everything needed to use them on new stacks.

    Parameters
    ----------
    config
        Of the training.
    networks
        By the names that the method gives them, in evaluation mode: a `generator` and, where it was trained against
        one, a `discriminator`.
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
    further
        What the file says that this package does not know: kept, and written again.
    domains
        The labels that images bear, where it translates between domains.
    back
        Where it translates targets to sources, too: how frames are taken from targets, and the channel axis of sources.
    joint
        Whether it makes targets together with their images, from nothing.
    makes, forward
        Which side, or domain, it makes, and where that is not the target, the model as it was loaded; see `toward`.
    conditions
        The classes of pairs that it learned to tell: cell lines, scanners, staining batches.
    planes
        What its networks see of that of the images at hand, see `under`; empty: it is not known.
    """

    config: Config
    networks: dict[str, nn.Module]
    source_encoding: Encoding
    target_encoding: Encoding
    source_view: SourceView
    channel_axis: str
    provenance: dict[str, Any] = field(default_factory=dict)
    match: MatchJudge | None = None
    further: dict[str, Any] = field(default_factory=dict)
    domains: Domains = NO_DOMAINS
    back: tuple[SourceView, str] | None = None
    joint: bool = False
    makes: str = "target"
    forward: "TrainedModel | None" = None
    conditions: Domains = NO_DOMAINS
    planes: tuple[float, ...] = ()

    @property
    def directions(self) -> tuple[str, ...]:
        """The sides, or domains, that it can make, the usual one first."""
        known, whole = method_of(self.config).directions(self.config, self.shapes), self.forward or self
        return tuple(side for side in known if side != "source" or whole.domains.sets or whole.back is not None)

    def toward(self, side: str) -> "TrainedModel":
        """The same networks, making this side, or domain.

        Where it is a side, what was a target is then the source, and the other way round.

        Raises
        ------
        ValueError
            If it cannot.
        """
        if side == self.makes:
            return self
        if self.forward is not None:
            return self.forward.toward(side)
        if self.domains.sets:
            self.domains.labels_of(side)
            return replace(self, makes=side, match=None, forward=self)
        if side not in self.directions:
            raise ValueError(
                f"A model must be asked for what it makes, {' or '.join(self.directions)}; got `to` {side}. Leave it "
                "out."
            )
        assert self.back is not None
        view, channel_axis = self.back
        provenance = {name: said for name, said in self.provenance.items() if name != "predicts_in"}
        if train := (provenance.get("pairs") or {}).get("train"):
            told = {"pixel_size_um": train.get("target_pixel_size_um", {}), "target_channels": []}
            provenance["pairs"] = provenance["pairs"] | {"train": train | told}
        return replace(
            self,
            source_encoding=self.target_encoding,
            target_encoding=self.source_encoding,
            source_view=view,
            channel_axis=channel_axis,
            provenance=provenance,
            match=None,
            makes=side,
            forward=self,
        )

    def under(self, condition: str | Labels | None) -> "TrainedModel":
        """The same networks, for images of this condition.

        Parameters
        ----------
        condition
            Its name, as ``B``, or ``line=HeLa,scanner=A`` where there are several sets; or the label of each set. None:
            it is not known. The labels of pairs are nothing to a model that learned without.

        Raises
        ------
        ValueError
            If the model does not know it.
        """
        if not isinstance(condition, str | Mapping | None):
            raise ValueError(
                f"A condition must be the name of one, the same for all frames; got {type(condition).__name__}. "
                "Predict images of several conditions one after the other."
            )
        if isinstance(condition, str):
            if not self.conditions.sets:
                raise ValueError("A model that learned without conditions must be given none; leave `condition` out.")
            condition = self._labels_of(condition)
        if not self.conditions.sets:
            return self
        return replace(self, planes=self.conditions.planes(self.conditions.in_own_words(condition or {})))

    def _labels_of(self, condition: str) -> Labels:
        try:
            return self.conditions.labels_of(condition)
        except ValueError as error:
            known = ", ".join(self.conditions.names)
            raise ValueError(f"A condition must be one that the model knows, {known}; got {condition}.") from error

    @property
    def direction(self) -> Direction:
        """How it makes what it makes; raises what `require_asked` does."""
        found = method_of(self.config).direction(self.config, self.shapes, self.makes)
        return replace(found, planes=self.planes) if self.planes else found

    def require_asked(self) -> None:
        """Raise a ValueError if it makes images from nothing, or several domains and was not asked for one."""
        sources.require_translator(self)
        if self.domains.sets:
            self.domains.labels_of(self.makes)

    @property
    def generator(self) -> Generator:
        """What makes the predictions."""
        direction = self.direction if self.makes in self.directions else self.toward(self.directions[0]).direction
        return cast(Generator, self.networks[direction.network])

    @property
    def discriminator(self) -> PatchGAN | None:
        """What gives plain scores; None where the training had none."""
        critics = method_of(self.config).critics(self.config)
        return cast(PatchGAN | None, self.networks.get(critics.get("image" if self.domains.sets else self.makes, "")))

    @property
    def shapes(self) -> Shapes:
        """What its networks know of images."""
        if self.forward is not None:
            return self.forward.shapes
        spatial_dims = 3 if self.source_view.z == "volume" else 2
        sides = self.source_encoding, self.target_encoding
        return Shapes.of(*sides, spatial_dims, self.domains, self.joint, self.conditions)

    def describe(self) -> Description:
        """Its networks and what they learned by, for people."""
        return method_of(self.config).describe(self.config, self.networks, self.shapes.spatial_dims)

    @property
    def device(self) -> torch.device:
        """Where the networks are."""
        return next(chain(self.generator.parameters(), self.generator.buffers())).device

    def to(self, device: str) -> "TrainedModel":
        """Move the networks to ``auto``, ``cpu``, ``cuda:0`` …; the model itself.

        Raises
        ------
        ValueError
            If this machine has no such device.
        """
        for network in (*self.networks.values(), *([self.match.network] if self.match else ())):
            network.to(pick_device(device))
        return self

    # Files

    def content(self) -> dict[str, Any]:
        """Everything but the tensors, as JSON."""
        if self.forward is not None:
            return self.forward.content()
        view, channel_axis = self.back or (None, "")
        return {
            **self.further,
            "config": self.config.model_dump(mode="json"),
            "source_encoding": self.source_encoding.model_dump(mode="json"),
            "target_encoding": self.target_encoding.model_dump(mode="json"),
            "source_view": self.source_view.model_dump(mode="json"),
            "channel_axis": self.channel_axis,
            "provenance": self.provenance,
            **({"trust": self.match.content()} if self.match else {}),
            **({"domains": self.domains.model_dump(mode="json")} if self.domains.sets else {}),
            **({"joint": True} if self.joint else {}),
            **({"conditions": self.conditions.model_dump(mode="json")} if self.conditions.sets else {}),
            **({"target_view": view.model_dump(mode="json"), "source_channel_axis": channel_axis} if view else {}),
        }

    def tensors(self) -> dict[str, torch.Tensor]:
        """The weights and norm statistics of all networks, and what calibrates them, as they are named in the file."""
        if self.forward is not None:
            return self.forward.tensors()
        tensors = {f"networks.{name}": network.state_dict() for name, network in self.networks.items()}
        tensors |= {"trust": self.match.tensors()} if self.match else {}
        return {f"{prefix}.{name}": tensor for prefix, own in tensors.items() for name, tensor in own.items()}

    def hash(self) -> str:
        """SHA-256 of tensors and content: the same model, the same hash."""
        return model_hash(self.tensors(), self.content())

    def save(self, path: Path | str, *, half: bool = False) -> None:
        """Write the model to `path`, beside and renamed; with `half` its weights as float16, in half the room."""
        tensors = self.tensors()
        save_model(Path(path), halved(tensors) if half else tensors, self.content())

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
        condition: str | None = None,
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
        condition
            What the stack is of, where the model knows some, see `under`; None: it is not known.

        Returns
        -------
        NDArray
            With the stack's T, Z, Y and X in the same order, and the target's channels, see `prediction_plan`.

        Raises
        ------
        ValueError
            If the stack has other channels than the model's sources, the norm cannot be tiled, the generator has no
            dropout to draw from, or the model does not know the condition.
        """
        result, prediction = self.prediction_plan(stack, axes, channels), None
        how: dict[str, Any] = {"tile_size": tile_size, "overlap": overlap, "draws": draws, "precision": precision}
        how["condition"] = condition
        bands = self.predict_bands(stack, axes, channels=channels, **how)
        for frame, window, values in self.decode_bands(bands):
            if prediction is None:
                prediction = np.empty(result.shape, values.dtype)
            result.put(prediction, frame, values, result.window(*window))
        assert prediction is not None
        return prediction

    def prediction_plan(self, stack: Any, axes: str | None = None, channels: Sequence[int] = ()) -> AxesPlan:
        """Axes and shape of the prediction for `stack`."""
        return self.source_plan(stack, axes, channels).like(self.target_encoding.n_channels, self.channel_axis)

    @property
    def tileable(self) -> bool:
        """Whether tiles give what the whole frame gives: no norm looks at the image, and the reach is known."""
        fixed = self.config.norm_statistics == "training" and not has_instance_norm(self.generator)
        return fixed and not self.generator.whole

    def tile_plan(
        self, frame_shape: tuple[int, ...], tile_size: int | None = None, overlap: int | None = None
    ) -> TilePlan:
        """The tiles in which `predict` computes a frame ([Z,] Y, X); `cost` says what their overlap costs.

        Raises
        ------
        ValueError
            If the norm cannot be tiled, or tile_size and overlap are impossible.
        """
        return predict.tile_plan(self, frame_shape, tile_size, overlap)

    def precision_for(self, precision: Precision = "auto") -> Precision:
        """What a prediction is computed in.

        ``auto`` is bfloat16 where the device computes with it and the training has found that it changes the error on
        the validation pairs by less than 0.1 %; else float32.
        """
        suits = precision != "auto" or self.provenance.get("predicts_in") == "bfloat16"
        return resolve_precision(precision, self.device) if suits else "float32"

    def predict_frames(self, stack: Any, axes: str | None = None, **named: Any) -> Iterator[tuple[int, NDArray[Any]]]:
        """`predict`, frame by frame: the frame's number and its prediction (C, [Z,] Y, X)."""
        shape = replace(AxesPlan.of(stack, axes), z=self.source_view.z).frame_shape
        yield from predict.decoded_frames(self.decode_bands(self.predict_bands(stack, axes, **named)), shape)

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
        for frame, source, maps in predict.whole_frames(self.predict_bands(stack, axes, draws=draws, **named)):
            yield frame, source, maps[: self.target_encoding.n_maps]

    def draw_maps(
        self, stack: Any, axes: str | None = None, *, draws: int, **named: Any
    ) -> Iterator[tuple[int, NDArray[Any], NDArray[np.float32], NDArray[np.float32]]]:
        """As `predict_maps`, the mean over `draws`, and their standard deviation (n_maps, [Z,] Y, X), float32."""
        n_maps = self.target_encoding.n_maps
        for frame, source, maps in predict.whole_frames(self.predict_bands(stack, axes, draws=draws, **named)):
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
        draw: int | None = None,
        condition: str | None = None,
    ) -> Iterator[Band]:
        """What `decode_bands` makes the prediction of, some pixels at a time; see `predict.predict_bands`."""
        named = {"tile_size": tile_size, "overlap": overlap, "draws": draws, "precision": precision}
        how, model = validated(PredictSettings, named), self if condition is None else self.under(condition)
        further: dict[str, Any] = {"scale": scale, "frames": frames, "draw": draw}
        return predict.predict_bands(model, stack, axes, how, channels=channels, **further)

    def decode_bands(
        self,
        bands: Iterable[Band],
        *,
        seed_threshold: float | None = None,
        min_size: int | None = None,
        folder: Path | None = None,
    ) -> Iterator[tuple[int, tuple[slice, slice], NDArray[Any]]]:
        """The prediction that `bands` hold: number of the frame, its rows and columns, values (C, [Z,] rows, columns).

        As `decode` of whole frames: marked, with a warning, where the source is NaN or Inf. Rows of instances come
        later than their maps, see `ObjectRows`, and wait in files in the `folder`.
        """
        named: dict[str, Any] = {"seed_threshold": seed_threshold, "min_size": min_size, "folder": folder}
        return predict.decode_bands(self, bands, **named)

    def predict_frame(self, source: NDArray[Any], precision: Precision = "auto") -> NDArray[Any]:
        """The prediction (C, [Z,] Y, X) for one frame (C, [Z,] Y, X) of the source."""
        return predict.predict_frame(self, source, precision)

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
        return predict.decode(self, maps, source, seed_threshold=seed_threshold, min_size=min_size)

    def decode_spread(self, spread: NDArray[np.float32], source: NDArray[Any]) -> NDArray[np.float32]:
        """The spread of a prediction, as in `predict_draws`, from the standard deviation of its maps."""
        return np.where(unknown(source).any(axis=0), np.float32(np.nan), self.target_encoding.decode_spread(spread))

    def maps_of_frame(self, frame: NDArray[np.float32]) -> NDArray[np.float32]:
        """The maps (n_maps, [Z,] Y, X) of one frame (C, [Z,] Y, X), both in network values, as `predict` makes them."""
        return predict.maps_of_frame(self, frame)

    def generate(self, n: int, *, seed: int = 0, condition: str | None = None, truncation: float = 1.0) -> NDArray[Any]:
        """Images from nothing (n, C, Y, X), in the grey values of those that trained.

        Image k of a seed is the same, whatever `n` is and on however many threads.

        Parameters
        ----------
        n
            How many.
        seed
            Of the random numbers that they are made of.
        condition
            The class of all, where the model knows some; None: each of a class drawn at random.
        truncation
            How far images may be from the mean one, as a share up to 1: the lower, the more usual, and the more alike,
            they are.

        Raises
        ------
        ValueError
            If the model is of another method or does not know the condition, or a number is out of range.
        """
        how = validated(GenerateSettings, {"seed": seed, "condition": condition, "truncation": truncation})
        return np.stack([one.image for one in from_nothing.generate(self, range(n), how)])

    def generate_pairs(
        self, n: int, *, seed: int = 0, condition: str | None = None, truncation: float = 1.0
    ) -> tuple[NDArray[Any], NDArray[Any]]:
        """Images from nothing with their targets, (n, C, Y, X) each, by a model that learned from pairs.

        Raises
        ------
        ValueError
            As `generate`, or if it makes images alone.
        """
        if not self.joint:
            raise ValueError(
                "A model must have learned from images with targets to make pairs; this one makes images alone. "
                "Generate images, or train on SOURCE and TARGET."
            )
        how = validated(GenerateSettings, {"seed": seed, "condition": condition, "truncation": truncation})
        sides = zip(*((one.image, one.target) for one in from_nothing.generate(self, range(n), how)), strict=True)
        images, targets = (np.stack(side) for side in sides)
        return images, targets

    def novel(self, stack: Any, plan: AxesPlan, frame: int, area: Area | None = None) -> float:
        """The share of the middle of this frame that is like nothing that trained; 0 where it or nobody knows.

        Of a frame of which an `area` is wanted, of a part of that.
        """
        return sources.novel(self, stack, plan, frame, area)

    def score(
        self,
        source: Any,
        image: Any,
        axes: str | tuple[str | None, str | None] | None = None,
        *,
        channels: Sequence[int] = (),
        image_channels: Sequence[int | None] = (),
        tile_size: int | None = None,
        kind: ScoreKind | None = None,
        condition: str | None = None,
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
        image_channels
            Of the image, the numbers of the target's channels; None for one that it was not stained for, if the model
            learned from such pairs. Empty: all.
        tile_size
            In pixels; None: each frame in one piece up to 2048 px, else 2048. The scores do not depend on it.
        kind
            ``match``: by the discriminator that was taught to judge the match, with expected errors; ``plain``: by that
            of the training. None: the first of the two that the model has.
        condition
            As in `predict`.

        Raises
        ------
        ValueError
            If the model has no such discriminator, the stacks do not show the same frames, have other channels than the
            model's, hold NaN, or are smaller than one field.
        """
        named: dict[str, Any] = {"channels": channels, "image_channels": image_channels, "kind": kind}
        plan, model = self.score_plan(source, image, axes, **named), self
        if condition is not None:
            model = self.under(condition)
        named |= {"tile_size": tile_size}
        whole: dict[str, Any] = {}
        for frame, scored in enumerate(model.score_frames(source, image, axes, **named)):
            for name, values in scored.parts.items():
                if name not in whole:
                    whole[name] = np.empty(plan.shape, values.dtype)
                plan.put(whole[name], frame, values[None])
            if scored.domains is not None:
                domains = whole.setdefault("domains", np.empty((len(scored.domains), *plan.shape), np.float32))
                for label, values in zip(domains, scored.domains, strict=True):
                    plan.put(label, frame, values[None])
        return replace(scored, axes=plan.axes, pixels=None, **whole)

    def score_plan(
        self,
        source: Any,
        image: Any,
        axes: str | tuple[str | None, str | None] | None = None,
        channels: Sequence[int] = (),
        kind: ScoreKind | None = None,
        image_channels: Sequence[int | None] = (),
    ) -> AxesPlan:
        """Axes and shape of the scores of `image` given `source`."""
        network, _ = score.judge_of(self, kind)
        plan, _ = score.scorable(self, network, source, image, axes, channels, image_channels)
        return plan.like(1, "", score_grid(network.fields, plan.frame_shape))

    def score_frames(
        self,
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
        """`score`, frame by frame, each with the axes YX, or ZYX; of either stack only a tile is read at a time.

        But whole frames where they are normalized by their own statistics, or the discriminator's norm looks at them.
        Unless a prediction has done so, whoever scores is to `look` whether the source is like those that trained.
        Where an `area` is wanted alone, scores of tiles without it mean nothing.

        Where the judge expects the errors of pixels and `errors_in` is a folder, those wait in a temporary file there,
        of which nothing is left: they can be asked for until the next frame is. A block of tiles is held then, however
        large frames are. Scores are not made then, but NaN, without rank and bound.
        """
        named: dict[str, Any] = {"tile_size": tile_size, "kind": kind, "look": look, "area": area}
        named |= {"channels": channels, "image_channels": image_channels, "errors_in": errors_in}
        return score.score_frames(self, source, image, axes, **named)

    def score_frame(self, source: NDArray[Any], image: NDArray[Any], kind: ScoreKind | None = None) -> PatchScores:
        """The scores of one frame `image` (K, [Z,] Y, X) given its `source` (C, [Z,] Y, X), as `predict_frame`.

        Raises
        ------
        ValueError
            If the model has no such discriminator, the frames hold NaN or Inf, or are smaller than one field.
        """
        return score.score_frame(self, source, image, kind)

    def judged(
        self, judge: MatchJudge, source: NDArray[np.float32], images: Sequence[NDArray[np.float32]]
    ) -> list[PatchScores]:
        """The scores by `judge` of images of one frame, in network values, as of `as_scored`."""
        return score.judged(self, judge, source, images)

    def source_plan(self, stack: Any, axes: str | None = None, channels: Sequence[int] = ()) -> AxesPlan:
        """How frames of the source `stack` are taken for the model; parameters as in `predict`.

        Raises
        ------
        ValueError
            If the stack has other channels than the model's sources.
        """
        return sources.source_plan(self, stack, axes, channels)


def load_model(path: Path | str, device: str = "auto") -> TrainedModel:
    """The model in the file `path`, on `device`.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If it is no model, is damaged, is newer than this package, or the device is missing.
    """
    content, provenance, networks, match = load_parts(Path(path))
    encodings = content.source_encoding, content.target_encoding, content.source_view
    back = None if content.target_view is None else (content.target_view, content.source_channel_axis)
    return TrainedModel(
        content.config,
        networks,
        *encodings,
        content.channel_axis,
        provenance,
        match,
        content.further,
        content.domains,
        back,
        content.joint,
        conditions=content.conditions,
    ).to(device)
