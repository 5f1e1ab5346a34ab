"""Where a training starts: anew, from another model, or where an earlier run stopped."""

import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel
from torch import nn

from napari_pix2pix.core.data.conditions import require_classes, require_known
from napari_pix2pix.core.data.frames import Frames
from napari_pix2pix.core.data.pairs import PairedFrames
from napari_pix2pix.core.data.regions import Region, Windows, pieces
from napari_pix2pix.core.data.split import Split, trained_elsewhere
from napari_pix2pix.core.encodings.domains import NO_DOMAINS, Domains
from napari_pix2pix.core.encodings.encoding import Encoding, fit_encoding, fit_stains, rare_weights
from napari_pix2pix.core.encodings.kinds import Kind, labels_in_disguise
from napari_pix2pix.core.encodings.masks import WHITE, foregrounds, mixed_codings
from napari_pix2pix.core.methods import method_of
from napari_pix2pix.core.models.migrations import kept_config
from napari_pix2pix.core.running.sources import beyond_range
from napari_pix2pix.core.running.trained_model import TrainedModel
from napari_pix2pix.core.settings.config import CANNOT_LEARN, Config, validated
from napari_pix2pix.core.settings.pix2pix import Translation
from napari_pix2pix.core.training.run_folder import RunFolder

LOOKED_AT = 16
"""Frames whose grey values are looked at, to warn of what is odd."""


@dataclass(frozen=True)
class Start:
    """What is settled before the pairs are looked at.

    Parameters
    ----------
    config
        Of the training.
    encodings
        Of source and target; None: to be fitted on the pairs.
    model
        Whose weights to start with; None: random ones.
    old_regions
        How the pairs of that model's training were divided: rows as of `Split.rows`.
    seen
        What trained that model, and those it was made from: likewise.
    imported
        Whether one of these was trained elsewhere, so that nobody knows what trained it.
    machine
        On what an earlier run computed: ``device``, ``threads``, ``precision``, ``processes``. Another number of
        threads or processes would change the sums.
    conditions
        The classes that the model, or the run, knows; None: those of the pairs.
    """

    config: Config
    encodings: tuple[Encoding, Encoding] | None = None
    model: TrainedModel | None = None
    old_regions: list[dict[str, Any]] = field(default_factory=list)
    seen: list[dict[str, Any]] = field(default_factory=list)
    imported: bool = False
    machine: dict[str, Any] = field(default_factory=dict)
    conditions: Domains | None = None

    @classmethod
    def with_model(cls, model: TrainedModel, config: Config | None) -> "Start":
        """From the weights of `model`; the settings None are its own.

        Raises
        ------
        ValueError
            If the settings want other networks, or other encodings, than the model's.
        """
        if not method_of(model.config).learns:
            raise ValueError(CANNOT_LEARN)
        config = config or model.config
        if isinstance(config, Translation) and isinstance(model.config, Translation):
            config = config.model_copy(update={"generator": config.generator.like(model.config.generator)})
        kept = {name: getattr(config, name) for name in model.config.as_trained if hasattr(config, name)}
        if config.target_kind in ("auto", model.target_encoding.kind):
            kept["target_kind"] = model.config.target_kind
        if not model.config.scores:
            kept.pop("discriminator", None)  # a new one
        for name, ours in kept.items():
            theirs = getattr(model.config, name)
            if ours != theirs:
                if isinstance(ours, BaseModel):
                    fields = ours.model_dump(), theirs.model_dump()
                    key = next(key for key in fields[0] if fields[0][key] != fields[1][key])
                    name, ours, theirs = f"{name}.{key}", fields[0][key], fields[1][key]
                raise ValueError(
                    "A training that starts from a model must keep its networks and how it reads images; "
                    f"{name} is {theirs} in the model, got {ours}. Leave it out."
                )
        config = config.model_copy(update={"target_kind": model.target_encoding.kind})
        regions = model.provenance.get("regions", [])
        seen = [row for row in regions if row["kind"] == "train"] + model.provenance.get("seen", [])
        encodings = model.source_encoding, model.target_encoding
        imported = trained_elsewhere(model.provenance)
        return cls(config, encodings, model, regions, seen, imported, conditions=model.conditions)

    @classmethod
    def again(cls, run: RunFolder) -> "Start":
        """Where the run in this folder began; its checkpoint has the weights."""
        plan = run.plan()
        told = plan["provenance"]
        plan["config"].setdefault("trust_steps", 0)  # begun before models were taught to judge
        return cls(
            validated(Config, kept_config(plan["config"])),
            (validated(Encoding, plan["source_encoding"]), validated(Encoding, plan["target_encoding"])),
            old_regions=told.get("old_regions", []),
            seen=told.get("seen", []),
            imported=trained_elsewhere(told),
            machine={name: told[name] for name in ("device", "threads", "precision", "processes") if name in told},
            conditions=validated(Domains, plan["conditions"]) if "conditions" in plan else NO_DOMAINS,
        )

    def conditions_of(self, pairs: PairedFrames) -> Domains:
        """The classes of these pairs that networks learn to tell.

        Raises
        ------
        ValueError
            If all are of one, or some of one that the model to start from does not know.
        """
        if self.conditions is None:
            require_classes(pairs.labels)
            return pairs.conditions
        require_known(pairs, self.conditions)
        return self.conditions

    def encode(self, pairs: PairedFrames, split: Split, kind: Kind) -> tuple[Encoding, Encoding]:
        """Grey values and labels of source and target to network values and back; if need be, fitted on what trains.

        Targets are of this kind. Frames are read in pieces.

        Raises
        ------
        ValueError
            If the model to start from reads other channels, planes or classes, or nothing can be fitted.
        """
        self._require_fitting(pairs)
        if self.encodings is not None:
            return self.encodings
        config, trained, everything = self.config, pieces(split.train), pieces(pairs.regions())
        every_class = Windows(pairs.source, everything if config.source_kind == "classes" else trained)
        taught = everything if kind == "classes" else trained  # every class has a channel
        if kind == "intensity" and config.target_kind == "auto":
            some = trained[:: max(1, len(trained) // LOOKED_AT)]
            if sentence := labels_in_disguise(Windows(pairs.target, some)):
                warnings.warn(sentence, stacklevel=2)
        source = fit_encoding(every_class, config.source_kind, config.source_normalization, limit=1.0)
        known = None if pairs.known_everywhere else Windows(pairs.known, taught)
        if not pairs.all_stained:
            return source, fit_stains(_stains(pairs, trained), config.target_normalization)
        target = fit_encoding(Windows(pairs.target, taught), kind, config.target_normalization, known=known)
        if (
            kind == "classes"
            and WHITE & set(target.classes)
            and (sentence := mixed_codings(foregrounds(Windows(pairs.target, taught))))
        ):
            warnings.warn(sentence, stacklevel=2)
        if kind == "classes" and config.class_weights == "rare":
            known_labels = (pairs.target(r.frame, r.window)[:, pairs.known(r.frame, r.window)] for r in trained)
            target = target.model_copy(update={"weights": rare_weights(known_labels, target.classes)})
        return source, target

    def encode_sides(
        self, sides: Mapping[str, Frames], splits: Mapping[str, Split], *, by_itself: bool
    ) -> tuple[Encoding, Encoding]:
        """Encodings of source and target where these are no pairs: of each by itself, or the same of all sides."""
        if self.encodings is not None:
            ends = next(iter(sides)), list(sides)[-1]
            for name, encoding in zip(ends, self.encodings, strict=True):
                frames = sides[name]
                if frames.plans[0].n_channels != encoding.n_channels:
                    raise ValueError(
                        f"Images must have the channels of the model to start from; of the {name} these are "
                        f"{encoding.n_channels}, got {frames.plans[0].n_channels}. Choose channels, or train anew."
                    )
            return self.encodings
        config = self.config
        if by_itself:
            trained = [Windows(frames.read, pieces(splits[name].train)) for name, frames in sides.items()]
            settings = (
                (config.source_kind, config.source_normalization),
                (config.target_kind, config.target_normalization),
            )
            source, target = (fit_encoding(some, *own) for some, own in zip(trained, settings, strict=True))
            return source, target
        kind = "intensity" if config.target_kind == "auto" else config.target_kind
        places = [(frames, piece) for name, frames in sides.items() for piece in pieces(splits[name].train)]
        one = fit_encoding(
            Windows(
                lambda i, window: places[i][0].read(places[i][1].frame, window),
                [Region(i, piece.window) for i, (_, piece) in enumerate(places)],
            ),
            kind,
            config.target_normalization,
        )
        return one, one

    def _require_fitting(self, pairs: PairedFrames) -> None:
        if self.model is None:
            return
        source, target = self.model.source_encoding, self.model.target_encoding
        view, plan = self.model.source_view, pairs.source_plans[0]
        channels = plan.n_channels, pairs.target_plans[0].n_channels, plan.z
        if channels != (source.n_channels, target.n_channels, view.z):
            raise ValueError(
                f"Pairs must have the channels and planes of the model to start from, {source.n_channels} source and "
                f"{target.n_channels} target channels, z {view.z}; got {channels[0]}, {channels[1]} and {plan.z}. "
                "Choose channels and `z` as it was trained, or train anew."
            )
        if view.names and any(names and names != view.names for names in pairs.source_names):
            names = next(names for names in pairs.source_names if names and names != view.names)
            raise ValueError(
                f"Sources must have the channels of the model to start from, {', '.join(view.names)}, in this order; "
                f"got {', '.join(names)}. Name them with `source_channels`."
            )
        self._look_at_ranges(pairs, source, target)
        for side, encoding, read in (("source", source, pairs.source), ("target", target, pairs.target)):
            for region in pieces(pairs.regions()) if encoding.kind == "classes" else ():
                seen = np.unique(read(region.frame, region.window))
                if (unknown := np.setdiff1d(seen, encoding.classes)).size:
                    raise ValueError(
                        f"A {side} must hold the labels of the model to start from, {list(encoding.classes)}; that of "
                        f"{pairs.name(region.frame)} holds {unknown[:5].tolist()}, too. Relabel it, or train anew."
                    )

    def _look_at_ranges(self, pairs: PairedFrames, source: Encoding, target: Encoding) -> None:
        """Warn of grey values far from what the model was trained on; refuse targets that its dtype cannot hold."""
        some = pairs.regions()[:: max(1, len(pairs.regions()) // LOOKED_AT)]
        for side, encoding, read in (("sources", source, pairs.source), ("targets", target, pairs.target)):
            normalization = encoding.normalization
            if normalization is None or normalization.each_image is not None:
                continue
            images = [image.reshape(len(image), -1) for image in Windows(read, some)]
            if side == "targets" and not np.can_cast(images[0].dtype, encoding.dtype):
                raise ValueError(
                    f"Targets must fit the grey values of the model to start from, {encoding.dtype}; got "
                    f"{images[0].dtype}. Convert them, or train anew."
                )
            outside = np.array([own[1:] for own in normalization.outside(np.concatenate(images, axis=1))])
            lies = f"the new {side} lie {{}} the range that the model was trained on, {{}}"
            if said := beyond_range(encoding, outside, lies):
                warnings.warn(f"{said}, which it keeps; better train anew.", stacklevel=2)

    def load(self, networks: dict[str, nn.Module]) -> None:
        """Give the networks the weights of the model, if there is one; one that it lacks stays as it is."""
        known = {} if self.model is None else self.model.networks
        for name in networks.keys() & known.keys():
            networks[name].load_state_dict(known[name].state_dict())


def _stains(pairs: PairedFrames, trained: Sequence[Region]) -> Iterator[list[NDArray[Any]]]:
    """For each channel of the targets what is known of it, (1, n), of each region that trains."""
    for k in range(pairs.n_channels[1]):
        places = [(region.frame, region.window) for region in trained if pairs.stains(region.frame)[k]]
        known = [values for at in places if (values := pairs.target(*at)[k][pairs.known(*at)][None]).size]
        if not known:
            raise ValueError(
                f"A stain must be in a pair that trains; {pairs.stain(k)} is in none. Leave it out, or give more pairs "
                "with it."
            )
        yield known
