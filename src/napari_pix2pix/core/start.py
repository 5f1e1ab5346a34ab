"""Where a training starts: anew, from another model, or where an earlier run stopped."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from torch import nn

from napari_pix2pix.core.config import Config, validated
from napari_pix2pix.core.encoding import Encoding, fit_encoding, guess_kind
from napari_pix2pix.core.model import TrainedModel
from napari_pix2pix.core.pairs import PairedFrames, Windows
from napari_pix2pix.core.run_folder import RunFolder
from napari_pix2pix.core.split import Split


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
        What trained that model: rows as of `Split.rows`.
    machine
        On what an earlier run computed: ``device``, ``threads``, ``precision``. Another number of threads would change
        the sums.
    """

    config: Config
    encodings: tuple[Encoding, Encoding] | None = None
    model: TrainedModel | None = None
    old_regions: list[dict[str, Any]] = field(default_factory=list)
    machine: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def with_model(cls, model: TrainedModel, config: Config | None) -> "Start":
        """From the weights of `model`; the settings None are its own.

        Raises
        ------
        ValueError
            If the settings want other networks than the model's.
        """
        config = config or model.config
        for name in ("generator", "discriminator"):
            ours, theirs = (getattr(some, name).model_dump() for some in (config, model.config))
            for key in ours:
                if ours[key] != theirs[key]:
                    raise ValueError(
                        f"A training that starts from a model must keep its networks; {name}.{key} is {theirs[key]} in "
                        f"the model, got {ours[key]}. Leave it out."
                    )
        encodings = model.source_encoding, model.target_encoding
        return cls(config, encodings, model, model.provenance.get("regions", []))

    @classmethod
    def again(cls, run: RunFolder) -> "Start":
        """Where the run in this folder began; its checkpoint has the weights."""
        plan = run.plan()
        told = plan["provenance"]
        return cls(
            validated(Config, plan["config"]),
            (validated(Encoding, plan["source_encoding"]), validated(Encoding, plan["target_encoding"])),
            old_regions=told.get("old_regions", []),
            machine={name: told[name] for name in ("device", "threads", "precision")},
        )

    def encode(self, pairs: PairedFrames, split: Split) -> tuple[Encoding, Encoding]:
        """Grey values and labels of source and target to network values and back; if need be, fitted on what trains.

        Raises
        ------
        ValueError
            If the model to start from reads other channels, planes or classes, or nothing can be fitted.
        """
        self._require_fitting(pairs)
        if self.encodings is not None:
            return self.encodings
        config, sources, targets = self.config, *(Windows(read, split.train) for read in (pairs.source, pairs.target))
        every_class = Windows(pairs.source, pairs.regions()) if config.source_kind == "classes" else sources
        kind = guess_kind(targets) if config.target_kind == "auto" else config.target_kind
        taught = pairs.regions() if kind == "classes" else split.train  # every class has a channel
        return (
            fit_encoding(every_class, config.source_kind, config.source_normalization, limit=1.0),
            fit_encoding(
                Windows(pairs.target, taught),
                kind,
                config.target_normalization,
                known=None if pairs.known_everywhere else Windows(pairs.known, taught),
                rare_classes_weigh=config.class_weights == "rare",
            ),
        )

    def _require_fitting(self, pairs: PairedFrames) -> None:
        if self.model is None:
            return
        source, target = self.model.source_encoding, self.model.target_encoding
        volumes = self.model.source_view.z == "volume"
        for side, encoding, plan in (
            ("source", source, pairs.source_plans[0]),
            ("target", target, pairs.target_plans[0]),
        ):
            if plan.n_channels != encoding.n_channels or (len(plan.spatial) == 3) != volumes:
                raise ValueError(
                    f"Pairs must have the channels of the model to start from; its {side}s have {encoding.n_channels} "
                    f"({'volumes' if volumes else 'planes'}), got {plan.n_channels} ({plan.axes}). Choose channels or "
                    "--z as it was trained, or train anew."
                )
        for side, encoding, read in (("source", source, pairs.source), ("target", target, pairs.target)):
            if encoding.kind == "classes":
                seen = {int(value) for image in Windows(read, pairs.regions()) for value in np.unique(image)}
                if unknown := sorted(seen - set(encoding.classes)):
                    raise ValueError(
                        f"A {side} must hold the labels of the model to start from, {list(encoding.classes)}; got "
                        f"{unknown[:5]} too. Relabel it, or train anew."
                    )

    def load(self, generator: nn.Module, discriminator: nn.Module | None) -> None:
        """Give the networks the weights of the model, if there is one; a new discriminator stays as it is."""
        if self.model is None:
            return
        generator.load_state_dict(self.model.generator.state_dict())
        if discriminator is not None and self.model.discriminator is not None:
            discriminator.load_state_dict(self.model.discriminator.state_dict())
