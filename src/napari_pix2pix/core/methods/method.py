"""What a method is: all that the loop, the model file, the docks and the report must know of one."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Generic, TypeVar

import torch
from torch import Tensor, nn

from napari_pix2pix.core.encodings.domains import NO_DOMAINS, Domains
from napari_pix2pix.core.encodings.encoding import Encoding
from napari_pix2pix.core.encodings.kinds import Kind
from napari_pix2pix.core.methods.learner import Learner
from napari_pix2pix.core.settings.config import Config

C = TypeVar("C", bound=Config)
Networks = Mapping[str, nn.Module]
Batch = Mapping[str, Tensor]
"""The patches of a step, by name (N, C, [Z,] Y, X) in network values: as the method's kind of data gives them."""
Confusion = dict[str, dict[str, dict[str, int]]]
"""By set of labels, for each label how many of its images are told for which."""


@dataclass(frozen=True)
class Shapes:
    """What networks must know of the data.

    Parameters
    ----------
    source, target
        Channels of either side as networks see them.
    spatial_dims
        2, or 3 for volumes.
    stains
        Planes by which a discriminator sees which channels of a target are there, as of `Encoding.n_stains`.
    class_weights
        What an error on a pixel of each class of the target weighs; empty: all the same.
    domains
        The labels that images bear.
    joint
        Whether targets are made together with their sources.
    conditions
        The classes that pairs are of.
    """

    source: int
    target: int
    spatial_dims: int = 2
    class_weights: tuple[float, ...] = ()
    stains: int = 0
    domains: Domains = NO_DOMAINS
    joint: bool = False
    conditions: Domains = NO_DOMAINS

    @classmethod
    def of(
        cls,
        source: Encoding,
        target: Encoding,
        spatial_dims: int,
        domains: Domains,
        joint: bool = False,
        conditions: Domains = NO_DOMAINS,
    ) -> "Shapes":
        """Of images so encoded."""
        sides = source.n_maps, target.n_maps, spatial_dims, target.weights, target.n_stains
        return cls(*sides, domains, joint, conditions)


@dataclass(frozen=True)
class Direction:
    """One thing that a model can predict.

    Parameters
    ----------
    network
        That predicts it.
    source, target
        The sides, by their names in a batch.
    planes
        Constant planes that the network sees after the source's channels, as a domain's one-hot vector.
    labels
        By what name a batch holds those of each patch, which are then seen instead.
    """

    network: str
    source: str = "source"
    target: str = "target"
    planes: tuple[float, ...] = ()
    labels: str = ""

    def inputs(self, batch: Batch) -> Tensor:
        """What the network sees of a batch, (N, C, [Z,] Y, X)."""
        source = batch[self.source]
        if self.labels in batch:
            return with_planes(source, batch[self.labels])
        return with_planes(source, torch.tensor([self.planes], device=source.device)) if self.planes else source


def with_planes(images: Tensor, values: Tensor) -> Tensor:
    """Images (N, C, [Z,] Y, X) beside constant planes of these values (N or 1, n)."""
    planes = values.reshape(*values.shape, *(1,) * (images.ndim - 2)).to(images.dtype)
    return torch.cat([images, planes.expand(len(images), -1, *images.shape[2:])], dim=1)


@dataclass(frozen=True)
class Description:
    """What card, report and methods paragraph say of a model.

    Parameters
    ----------
    networks, losses
        For the card: a line on the networks, and the weights of the losses in a few words.
    architecture, objective
        For the methods paragraph: sentences on the networks, the first with ``{}`` for the package that trained them,
        and on what they minimised.
    references
        That these cite, in full by what they are cited as.
    """

    networks: str
    losses: str
    architecture: Sequence[str]
    objective: Sequence[str]
    references: Mapping[str, str] = field(default_factory=dict)


class Method(Generic[C]):
    """Networks that learn from some kind of data; a method that has none of its own keeps what is here."""

    headline: ClassVar[str] = ""
    """Which figure of `judge` chooses the best model where no pairs do, the lower the better; empty: none does."""

    learns: ClassVar[bool] = True
    """Whether its networks can be trained on."""

    shareable: ClassVar[bool] = True
    """Whether several processes can share a training, each with a part of every batch."""

    def networks(self, config: C, shapes: Shapes) -> dict[str, nn.Module]:
        """New networks by name; so they are called in the model's file.

        Raises
        ------
        ValueError
            If the settings do not suit the data.
        """
        raise NotImplementedError

    def step(self, learner: Learner[C], batch: Batch) -> dict[str, Tensor]:
        """One update of each network by `learner.update`; the losses by name, still on the device."""
        raise NotImplementedError

    def describe(self, config: C, networks: Networks, spatial_dims: int) -> Description:
        """For people."""
        raise NotImplementedError

    def settled(self, config: C, kind: Kind) -> C:
        """The settings with what `auto` in them means for targets of this kind."""
        return config

    def directions(self, config: C, shapes: Shapes) -> dict[str, Direction]:
        """What the model can predict, by name; the first unless asked for another."""
        return {"target": Direction("generator")}

    def critics(self, config: C) -> dict[str, str]:
        """Which network scores images of which side, by the side's name."""
        return {"target": "discriminator"} if config.scores else {}

    def makers(self, config: C, shapes: Shapes) -> tuple[str, ...]:
        """The networks that make images: these are averaged, and get the norm statistics of their last weights."""
        return tuple(dict.fromkeys(direction.network for direction in self.directions(config, shapes).values()))

    def advice(self, config: C, shapes: Shapes) -> Sequence[str]:
        """What the user should know of these settings before the first step, a sentence each."""
        return ()

    def growth(self, networks: Networks) -> str:
        """How far the networks have grown, for people; of images from nothing."""
        return "full size"

    def stages(self, config: C) -> Sequence[float]:
        """After which shares of the training steps are timed, where some take longer than others."""
        return (0.0,)

    def direction(self, config: C, shapes: Shapes, name: str) -> Direction:
        """The way to what is called so.

        Raises
        ------
        ValueError
            If the model cannot predict it.
        """
        known = self.directions(config, shapes)
        if name not in known:
            raise ValueError(
                f"A model must be asked for what it makes, {' or '.join(known)}; got `to` {name}. Leave it out."
            )
        return known[name]

    def judge(self, config: C, networks: Networks, batch: Batch, shapes: Shapes) -> dict[str, float]:
        """Figures of the networks, ready for use, on patches that were held out; none of them needs a truth."""
        return {}

    def confusion(self, config: C, networks: Networks, batch: Batch, shapes: Shapes) -> Confusion:
        """Of held-out patches whose label is known, for which label they are told; empty where no network tells."""
        return {}

    def told(self, figures: Mapping[str, float]) -> Sequence[str]:
        """What the figures of `judge` mean, a sentence each."""
        return ()

    def sign(self, config: C, history: Sequence[dict[str, Any]]) -> str | None:
        """What the losses so far say that the user should know, if anything."""
        return None


def reach(method: Method[Any], config: Config, spatial_dims: int = 2) -> int:
    """How far a pixel of the source influences an image along its longest way, in pixels."""
    networks = _empty(method, config, spatial_dims)
    makers = method.makers(config, Shapes(1, 1, spatial_dims))
    return max(int(length) for name in makers for length in networks[name].reach)


def field_sizes(method: Method[Any], config: Config, spatial_dims: int = 2) -> tuple[int, ...]:
    """What one score sees, ([Z,] Y, X), in pixels, of the network that sees most; zeros where none scores."""
    networks = _empty(method, config, spatial_dims)
    seen = [[int(along.size) for along in networks[name].fields] for name in method.critics(config).values()]
    return tuple(max(sizes) for sizes in zip(*seen, strict=True)) or (0,) * spatial_dims


def _empty(method: Method[Any], config: Config, spatial_dims: int) -> dict[str, Any]:
    """The networks without weights, to ask for their shapes."""
    with torch.device("meta"):
        return dict(method.networks(config, Shapes(1, 1, spatial_dims)))
