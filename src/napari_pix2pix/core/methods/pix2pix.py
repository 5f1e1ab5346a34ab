"""Pix2pix: a conditional GAN and an L1 loss on aligned pairs (Isola et al., CVPR 2017)."""

from dataclasses import dataclass
from functools import partial
from math import cos, pi
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn
from torch.optim import Adam, Optimizer
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from napari_pix2pix.core.engine.tensor_files import under
from napari_pix2pix.core.methods.losses import (
    discriminator_loss,
    generator_loss,
    gradient_penalty,
    l1_loss,
    l2_loss,
    register,
)
from napari_pix2pix.core.networks.generator import Generator
from napari_pix2pix.core.networks.patchgan import PatchGAN
from napari_pix2pix.core.networks.resnet import ResNet
from napari_pix2pix.core.networks.unet import UNet
from napari_pix2pix.core.settings.config import Config


@dataclass
class Pix2Pix:
    """The networks and their optimizers, as Fabric set them up; the discriminator is None where only L1 trains."""

    config: Config
    fabric: Fabric
    generator: nn.Module
    generator_optimizer: Optimizer
    discriminator: nn.Module | None
    discriminator_optimizer: Optimizer | None
    class_weights: Tensor | None = None

    def step(self, source: Tensor, target: Tensor, known: Tensor | None = None) -> dict[str, Tensor]:
        """One update of each network on a batch of pairs (N, C, [Z,] Y, X) in [-1, 1]; the losses, still on the device.

        Where `known` (N, 1, [Z,] Y, X) is 0 the target is not, and nobody learns from it: both networks see 0 there.
        With a `shift_tolerance`, each target is first moved to where it fits the fake best, for both networks.
        """
        config, losses, fake = self.config, {}, self.generator(source)
        if config.shift_tolerance:
            target, known = register(fake, target, known, config.shift_tolerance)
        weight = pixel_weights(target, self.class_weights, known)
        if known is not None:
            fake, target = fake * known, target * known

        # Discriminator: real pairs up, fake pairs down.
        if self.discriminator is not None and self.discriminator_optimizer is not None:
            self.discriminator.requires_grad_(True)
            real_scores = self.discriminator(source, target)
            fake_scores = self.discriminator(source, fake.detach())
            losses["discriminator"] = discriminator_loss(real_scores, fake_scores, config.objective)
            judged = losses["discriminator"]
            if config.objective == "wgan-gp":
                judged = judged + config.gradient_penalty * self._gradient_penalty(source, target, fake.detach())
            self._update(self.discriminator, self.discriminator_optimizer, config.discriminator_weight * judged)

        # Generator: near the target, and real to the discriminator.
        losses["l1"] = l1_loss(fake, target, weight)
        total = config.l1_weight * losses["l1"]
        if config.l2_weight:
            losses["l2"] = l2_loss(fake, target, weight)
            total = total + config.l2_weight * losses["l2"]
        if self.discriminator is not None:
            self.discriminator.requires_grad_(False)
            losses["generator"] = generator_loss(self.discriminator(source, fake), config.objective)
            total = total + config.gan_weight * losses["generator"]
        self._update(self.generator, self.generator_optimizer, total)
        return {name: loss.detach() for name, loss in losses.items()}

    def _update(self, network: nn.Module, optimizer: Optimizer, loss: Tensor) -> None:
        optimizer.zero_grad(set_to_none=True)
        self.fabric.backward(loss)
        if self.config.clip_gradients:
            self.fabric.clip_gradients(
                network, optimizer, max_norm=self.config.clip_gradients, error_if_nonfinite=False
            )
        optimizer.step()

    def _gradient_penalty(self, source: Tensor, target: Tensor, fake: Tensor) -> Tensor:
        share = torch.rand(len(target), *(1,) * (target.ndim - 1), device=target.device)
        assert self.discriminator is not None
        unwrapped: Any = self.discriminator.module  # Fabric's wrapper allows no second backward pass; so in float32
        return gradient_penalty(partial(unwrapped, source), target, fake, share)

    def set_learning_rate(self, step: int) -> None:
        """Set the rate of the step that follows `step` steps, by the schedule."""
        config, done = self.config, step / self.config.steps
        factor = {
            "constant": 1.0,
            "linear-decay": min(1.0, 2 * (1 - done)),  # the authors' PyTorch code: half the epochs constant
            "cosine": (1 + cos(pi * done)) / 2,
        }[config.schedule]
        for optimizer in (self.generator_optimizer, self.discriminator_optimizer):
            for group in optimizer.param_groups if optimizer is not None else ():
                group["lr"] = config.learning_rate * factor

    # What a resumed training needs beside the networks' weights

    @property
    def optimizers(self) -> dict[str, Optimizer]:
        """The optimizers there are, by a letter."""
        found = {"g": self.generator_optimizer, "d": self.discriminator_optimizer}
        return {name: optimizer for name, optimizer in found.items() if optimizer is not None}

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """The optimizers' moments, and the loss scale."""
        tensors: dict[str, Tensor] = {}
        for letter, optimizer in self.optimizers.items():
            for i, moments in optimizer.state_dict()["state"].items():
                tensors |= {f"optimizer.{letter}.{i}.{name}": moment for name, moment in moments.items()}
        return tensors, self.fabric.strategy.precision.state_dict()

    def restore(self, tensors: dict[str, Tensor], scaler: dict[str, Any]) -> None:
        """Go on from such a state."""
        for letter, optimizer in self.optimizers.items():
            moments: dict[int, dict[str, Tensor]] = {}
            for name, value in under(f"optimizer.{letter}.", tensors).items():
                index, key = name.split(".")
                moments.setdefault(int(index), {})[key] = value
            optimizer.load_state_dict({**optimizer.state_dict(), "state": moments})
        self.fabric.strategy.precision.load_state_dict(scaler)


def pixel_weights(target: Tensor, class_weights: Tensor | None, known: Tensor | None) -> Tensor | None:
    """What each pixel weighs in the L1 loss, (N, 1, [Z,] Y, X): the weight of its class where known, else 0."""
    if class_weights is None:
        return known
    weights = ((target > 0) * class_weights.reshape(-1, *(1,) * (target.ndim - 2))).sum(dim=1, keepdim=True)
    return weights if known is None else weights * known


def networks(
    config: Config, source_channels: int, image_channels: int, spatial_dims: int = 2
) -> tuple[Generator, PatchGAN | None]:
    """New networks for these channels; no discriminator where `gan_weight` is 0.

    Raises
    ------
    ValueError
        If the networks are to halve planes, and there are none.
    """
    if spatial_dims == 2 and config.z_grid > 1:
        raise ValueError(
            "generator.z_levels and discriminator.z_layers must be 0 where frames are no volumes; got "
            f"{config.generator.z_levels} and {config.discriminator.z_layers}. Choose --z volume or leave them out."
        )
    kind = UNet if config.generator.architecture == "unet" else ResNet
    generator = kind(source_channels, image_channels, config.generator, spatial_dims)
    if config.gan_weight == 0:
        return generator, None
    return generator, PatchGAN(source_channels, image_channels, config.discriminator, spatial_dims)


def reach(config: Config, spatial_dims: int = 2) -> int:
    """How far a pixel of the source influences the generator's image along its longest way, in pixels."""
    with torch.device("meta"):
        return max(networks(config, 1, 1, spatial_dims)[0].reach)


class Average(AveragedModel):
    """A copy whose weights follow those of a generator, each step keeping `decay` of what they were."""

    module: Generator

    def __init__(self, generator: Generator, decay: float) -> None:
        super().__init__(generator, multi_avg_fn=get_ema_multi_avg_fn(decay))  # type: ignore[no-untyped-call]


def set_up(
    config: Config,
    fabric: Fabric,
    generator: Generator,
    discriminator: PatchGAN | None,
    class_weights: tuple[float, ...] = (),
) -> Pix2Pix:
    """The method, ready to step: Adam as in the paper for each network."""

    def adam(network: nn.Module) -> Adam:
        return Adam(network.parameters(), lr=config.learning_rate, betas=(config.beta1, config.beta2), fused=True)

    weights = torch.tensor(class_weights, device=fabric.device) if class_weights else None
    wrapped, optimizer = fabric.setup(generator, adam(generator))
    if discriminator is None:
        return Pix2Pix(config, fabric, wrapped, optimizer, None, None, weights)
    judge, judge_optimizer = fabric.setup(discriminator, adam(discriminator))
    return Pix2Pix(config, fabric, wrapped, optimizer, judge, judge_optimizer, weights)
