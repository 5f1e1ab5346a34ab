"""Pix2pix: a conditional GAN and an L1 loss on aligned pairs (Isola et al., CVPR 2017)."""

from collections.abc import Sequence
from functools import partial
from math import log
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from napari_pix2pix.core.data.shifts import register
from napari_pix2pix.core.encodings.kinds import Kind
from napari_pix2pix.core.engine import processes
from napari_pix2pix.core.methods.describing import (
    OBJECTIVES,
    REFERENCES,
    discriminator_in_words,
    generator_in_words,
    networks_in_a_line,
)
from napari_pix2pix.core.methods.generators import new_generator
from napari_pix2pix.core.methods.learner import Learner
from napari_pix2pix.core.methods.losses import (
    discriminator_loss,
    generator_loss,
    gradient_penalty,
    l1_loss,
    l2_loss,
    label_loss,
)
from napari_pix2pix.core.methods.method import Batch, Description, Direction, Method, Networks, Shapes
from napari_pix2pix.core.networks.layers import with_stains
from napari_pix2pix.core.networks.patchgan import PatchGAN
from napari_pix2pix.core.settings.pix2pix import Pix2PixConfig

ISOLA = {
    "Isola et al., 2017": "Isola P, Zhu J-Y, Zhou T, Efros AA. Image-to-Image Translation with Conditional Adversarial "
    "Networks. Proceedings of the IEEE Conference on Computer Vision and Pattern Recognition (CVPR), 2017, 1125-1134. "
    "arXiv:1611.07004."
}
UNDECIDED = {"cross-entropy": 2 * log(2), "minimax": 2 * log(2), "least-squares": 0.25, "hinge": 2.0}
"""The discriminator's loss while it cannot tell fakes from targets; that of wgan-gp has no bounds."""
LABELS = "labels"
STRONG = 0.03
"""A discriminator whose loss is below this share of that has nothing left to teach."""
ROWS = 50
"""Of the history: how long it must be so."""


class Pix2Pix(Method[Pix2PixConfig]):
    """A generator and, unless `gan_weight` is 0, a discriminator."""

    def networks(self, config: Pix2PixConfig, shapes: Shapes) -> dict[str, nn.Module]:
        """``generator`` and, unless `gan_weight` is 0, ``discriminator``."""
        sides = shapes.source + shapes.conditions.n_planes, shapes.target
        found: dict[str, nn.Module] = {"generator": new_generator(config, *sides, shapes.spatial_dims)}
        if config.gan_weight:
            found["discriminator"] = PatchGAN(*sides, config.discriminator, shapes.spatial_dims, stains=shapes.stains)
        return found

    def settled(self, config: Pix2PixConfig, kind: Kind) -> Pix2PixConfig:
        """With the loss and the upsampling that targets of this kind have."""
        generator, loss = config.generator, config.label_loss
        if generator.upsampling == "auto":
            way = "nearest" if kind == "intensity" else "transposed"
            generator = generator.model_copy(update={"upsampling": way})
        if kind == "intensity":
            loss = "l1"
        elif loss == "auto":
            loss = "cross-entropy"
        return config.model_copy(update={"generator": generator, "label_loss": loss})

    def directions(self, config: Pix2PixConfig, shapes: Shapes) -> dict[str, Direction]:
        """One; where pairs are of classes, planes of zeros say that it is not known of which."""
        return {"target": Direction("generator", planes=(0.0,) * shapes.conditions.n_planes, labels=LABELS)}

    def step(self, learner: Learner[Pix2PixConfig], batch: Batch) -> dict[str, Tensor]:
        """One update of each network on a batch of pairs in [-1, 1].

        Where a batch has ``labels``, both networks see them as constant planes beside the source.
        Where ``known`` (N, 1 or K, [Z,] Y, X) is 0 the target is not, and nobody learns from it: both networks see 0
        there. ``stains`` (N, K) tell the discriminator which channels are there, of targets and fakes alike.
        With a `shift_tolerance`, each target is first moved to where it fits the fake best, for both networks.
        The discriminator sees the `gan_share` of the patches, evenly chosen, so that processes that share the batch see
        what one would: all are drawn alike, and the adversarial loss is on average what it would be of all.
        What labels are learned by must be `settled`.
        """
        config, losses = learner.config, {}
        source = Direction("generator", labels=LABELS).inputs(batch)
        target, known, stains = batch["target"], batch.get("known"), batch.get("stains")
        generator, discriminator = learner["generator"], learner.networks.get("discriminator")
        fake = generator(source)
        if config.shift_tolerance:
            target, known = register(fake, target, known, config.shift_tolerance)
        weight = pixel_weights(target, learner.class_weights, known)
        if known is not None:
            fake, target = fake * known, target * known

        # Discriminator: real pairs up, fake pairs down.
        if discriminator is not None:
            n = max(1, round(config.gan_share * len(source)))
            seen = slice(None, len(source) // n * n, len(source) // n)
            stained = partial(with_stains, stains=None if stains is None else stains[seen])
            given, real, made = source[seen], target[seen], fake[seen]
            discriminator.requires_grad_(True)
            real_scores = discriminator(given, stained(real))
            fake_scores = discriminator(given, stained(made.detach()))
            losses["discriminator"] = judged = discriminator_loss(real_scores, fake_scores, config.objective)
            if config.objective == "wgan-gp":
                drawn = torch.rand(processes.count() * n, *(1,) * (real.ndim - 1), device=real.device)
                # Fabric's wrapper allows no second backward pass; so in float32
                judge = discriminator.module
                penalty = gradient_penalty(
                    lambda v: judge(given, stained(v)), real, made.detach(), processes.rows(drawn)
                )
                judged = judged + config.gradient_penalty * penalty
            learner.update("discriminator", config.discriminator_weight * judged)

        # Generator: near the target, and real to the discriminator.
        name, distance = ("cross_entropy", label_loss) if config.label_loss == "cross-entropy" else ("l1", l1_loss)
        losses[name] = distance(fake, target, weight)
        total = config.l1_weight * losses[name]
        if config.l2_weight and name == "l1":
            losses["l2"] = l2_loss(fake, target, weight)
            total = total + config.l2_weight * losses["l2"]
        if discriminator is not None:
            discriminator.requires_grad_(False)
            losses["generator"] = generator_loss(discriminator(given, stained(made)), config.objective)
            total = total + config.gan_weight * losses["generator"]
        learner.update("generator", total)
        return {name: loss.detach() for name, loss in losses.items()}

    def advice(self, config: Pix2PixConfig, shapes: Shapes) -> Sequence[str]:
        """On norms."""
        if config.objective == "wgan-gp" and config.discriminator.norm in ("batch", "batch-renorm"):
            return (
                "wgan-gp penalizes the gradient of each pair, which batch norm in the discriminator mixes with the "
                "others'; better choose `discriminator.norm` instance or none.",
            )
        return ()

    def sign(self, config: Pix2PixConfig, history: Sequence[dict[str, Any]]) -> str | None:
        """Whether the discriminator has long told every fake from its target."""
        recent = [row["discriminator"] for row in history[-ROWS:] if "discriminator" in row]
        if len(recent) < ROWS or config.objective not in UNDECIDED:
            return None
        if np.mean(recent) > STRONG * UNDECIDED[config.objective]:
            return None
        smaller = "fewer `discriminator.layers`" if config.discriminator.layers else "`discriminator.n_layers` 1 or 2"
        return (
            "The discriminator tells every fake from its target, and the generator learns little from it any more. If "
            f"the predictions look wrong: choose a smaller discriminator ({smaller}), or train with `gan_weight` 0. "
            "Its patch scores will say little."
        )

    def describe(self, config: Pix2PixConfig, networks: Networks, spatial_dims: int) -> Description:
        """With what is peculiar to it: L1 beside the adversarial loss."""
        made, judged = generator_in_words(config, networks["generator"], spatial_dims), networks.get("discriminator")
        losses, short = f"{config.l1_weight:g} times the L1 distance", "L1"
        losses += f" plus {config.l2_weight:g} times the mean squared error" if config.l2_weight else ""
        if config.label_loss == "cross-entropy":
            losses, short = f"{config.l1_weight:g} times the cross-entropy of the label maps", "cross-entropy"
        if judged is not None:
            losses += f" plus {config.gan_weight:g} times the adversarial loss, {OBJECTIVES[config.objective]}"
            losses += f", of {config.gan_share:.0%} of each batch" if config.gan_share < 1 else ""
        objective = [f"The generator minimised {losses}."]
        if config.shift_tolerance:
            objective.append(
                f"Target patches were moved by up to {config.shift_tolerance} px to where they fitted the prediction "
                "best."
            )
        if config.class_weights == "rare":
            objective.append("Each class was weighted by one over its share of the training pixels, up to ten times.")
        kind = "the generator" if judged is None else "a conditional adversarial network"
        return Description(
            networks=networks_in_a_line(config, networks["generator"], judged),
            losses=f"{short} {config.l1_weight:g}, GAN {config.gan_weight:g}",
            architecture=[
                f"Images were translated with {kind} of pix2pix (Isola et al., 2017) as implemented in {{}}. {made}",
                *(() if judged is None else (discriminator_in_words(config, judged),)),
            ],
            objective=objective,
            references=REFERENCES | ISOLA,
        )


def pixel_weights(target: Tensor, class_weights: Tensor | None, known: Tensor | None) -> Tensor | None:
    """What each pixel weighs in the loss, (N, 1 or K, [Z,] Y, X): the weight of its class where known, else 0."""
    if class_weights is None:
        return known
    weights = ((target > 0) * class_weights.reshape(-1, *(1,) * (target.ndim - 2))).sum(dim=1, keepdim=True)
    return weights if known is None else weights * known
