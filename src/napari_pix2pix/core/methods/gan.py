"""Images from nothing: the first GAN (Goodfellow et al., 2014), by class, and growing (Karras et al., ICLR 2018)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, interpolate

from napari_pix2pix.core.methods.describing import OBJECTIVES, REFERENCES
from napari_pix2pix.core.methods.learner import Learner
from napari_pix2pix.core.methods.losses import discriminator_loss, generator_loss, gradient_penalty
from napari_pix2pix.core.methods.method import (
    Batch,
    Description,
    Direction,
    Method,
    Networks,
    Shapes,
    with_planes,
)
from napari_pix2pix.core.methods.originality import diversity, nearest
from napari_pix2pix.core.methods.sliced_wasserstein import distances
from napari_pix2pix.core.networks.dcgan import DCDiscriminator, DCGenerator
from napari_pix2pix.core.networks.growing import GrowingCritic, GrowingGenerator, magnified, parts_of
from napari_pix2pix.core.settings.config import Norm
from napari_pix2pix.core.settings.gan import GANConfig

PAPERS = {
    "Goodfellow et al., 2014": "Goodfellow I, Pouget-Abadie J, Mirza M, Xu B, Warde-Farley D, Ozair S, Courville A, "
    "Bengio Y. Generative Adversarial Nets. NeurIPS 2014. arXiv:1406.2661.",
    "Karras et al., 2018": "Karras T, Aila T, Laine S, Lehtinen J. Progressive Growing of GANs for Improved Quality, "
    "Stability, and Variation. ICLR 2018. arXiv:1710.10196.",
    "Radford et al., 2016": "Radford A, Metz L, Chintala S. Unsupervised Representation Learning with Deep "
    "Convolutional Generative Adversarial Networks. ICLR 2016. arXiv:1511.06434.",
}
COLLAPSED, COPIED = 0.5, 0.1
"""Below this share of the real images' differences, generated ones are too much alike; above this share of them that
lie nearer to what trained than any real image does, they may be copies."""


@dataclass(frozen=True)
class Phase:
    """Where a growing training is.

    Parameters
    ----------
    grown
        Levels beyond the first that the networks have; a fraction is the share of the one that fades in.
    since
        Steps since the finest level began; at 0 Adam forgets what it knew.
    """

    grown: float
    since: int


def phases(config: GANConfig) -> int:
    """The first level, then each other one fading in and staying."""
    return 2 * config.levels - 1


def phase(config: GANConfig, done: int) -> Phase:
    """Of the step that follows `done` ones: levels fade in and stay in turn, each for as many steps.

    References
    ----------
    Karras et al. 2018, section 3 and appendix A.1.
    """
    n = phases(config)
    number = min(done * n // config.steps, n - 1)
    level, stays = divmod(number + 1, 2)
    first, following = (-(-k * config.steps // n) for k in (number, number + 1))
    if not stays:
        return Phase(level - 1 + (done - first + 1) / (following - first + 1), done - first)
    began = -(-max(number - 1, 0) * config.steps // n)
    return Phase(float(level), done - began)


class GAN(Method[GANConfig]):
    """A generator that makes images of random numbers, and a discriminator that tells them from real ones."""

    headline = "swd"
    shareable = False  # its discriminator differentiates twice, which Fabric's wrapper does not allow

    def networks(self, config: GANConfig, shapes: Shapes) -> dict[str, nn.Module]:
        """``generator`` and ``discriminator``; of images with targets both see these as further channels."""
        if shapes.spatial_dims == 3:
            raise ValueError("Images must be planes for gan, which makes no volumes. Set `z` frame.")
        channels, labels = shapes.source + (shapes.target if shapes.joint else 0), shapes.domains.n_planes
        if config.grow:
            return {
                "generator": GrowingGenerator(config.latent + labels, channels, config.widths),
                "discriminator": GrowingCritic(channels + labels, config.widths),
            }
        norm: Norm = "none" if config.objective == "wgan-gp" else "batch"
        return {
            "generator": DCGenerator(config.latent + labels, channels, config.widths),
            "discriminator": DCDiscriminator(channels + labels, config.widths, norm),
        }

    def directions(self, config: GANConfig, shapes: Shapes) -> dict[str, Direction]:
        """From numbers to an image; of each class, if there are some."""
        return {
            name: Direction("generator", "z", "image", shapes.domains.planes(shapes.domains.labels_of(name)))
            for name in shapes.domains.names
        } or {"target": Direction("generator", "z", "image")}

    def critics(self, config: GANConfig) -> dict[str, str]:
        """None that scores fields."""
        return {}

    def growth(self, networks: Networks) -> str:
        """The size that is made, and what of it fades in."""
        generator = networks["generator"]
        if not isinstance(generator, GrowingGenerator):
            return super().growth(networks)
        level, share = parts_of(generator.grown, len(generator.blocks))
        return f"{4 << level} px" if share == 1 else f"{4 << level} px, {share:.0%} faded in"

    def stages(self, config: GANConfig) -> Sequence[float]:
        """The middle of each phase."""
        n = phases(config) if config.grow else 1
        return [(i + 0.5) / n for i in range(n)]

    def advice(self, config: GANConfig, shapes: Shapes) -> Sequence[str]:
        """On a training too short to grow."""
        if not config.grow or config.steps >= (n := phases(config)):
            return ()
        return (
            f"Networks grow to {config.patch_size} px in {n} phases of a step at least; in {config.steps} steps they "
            f"stay smaller, and their images blocky. Give more `steps`, thousands for good images.",
        )

    def step(self, learner: Learner[GANConfig], batch: Batch) -> dict[str, Tensor]:
        """One update of the discriminator, then one of the generator, at the size that the networks have grown to."""
        config, generator, critic = learner.config, learner["generator"], learner["discriminator"]
        real = joint(batch)
        if config.grow:
            now = phase(config, learner.done)
            if not now.since:
                learner.forget()
            learner.average_over(now.since)
            for network in (generator, critic):
                network.module.grown.fill_(now.grown)
            real = faded(real, now.grown, config.levels)
        labels = batch.get("labels", real.new_zeros(len(real), 0))
        numbers = torch.cat([batch["z"], labels], dim=1)

        # Discriminator: real images up, made ones down.
        critic.requires_grad_(True)
        with torch.no_grad():
            fake = generator(numbers)
        real_scores, fake_scores = critic(with_planes(real, labels)), critic(with_planes(fake, labels))
        loss = total = discriminator_loss(real_scores, fake_scores, config.objective)
        if config.objective == "wgan-gp":
            share = torch.rand(len(real), 1, 1, 1, device=real.device)
            penalty = gradient_penalty(lambda v: critic.module(with_planes(v, labels)).flatten(), real, fake, share)
            total = loss + config.gradient_penalty * penalty + config.drift_weight * real_scores.square().mean()
        learner.update("discriminator", total)

        # Generator: real to the discriminator.
        critic.requires_grad_(False)
        made = generator_loss(critic(with_planes(generator(numbers), labels)), config.objective)
        learner.update("generator", made)
        return {"discriminator": loss.detach(), "generator": made.detach()}

    def judge(self, config: GANConfig, networks: Networks, batch: Batch, shapes: Shapes) -> dict[str, float]:
        """Of images made, beside held-out real ones and some that trained.

        ``swd`` is the sliced Wasserstein distance to real images, the mean over the levels of their pyramids (of
        networks that still grow, whose images cannot be the best, ``swd_growing``),
        ``swd_64`` that of the level of 64 px, ``swd_floor`` that between halves of the real ones, which are fewer and
        so a little further apart. ``diversity`` is how
        far images made are from each other as a share of how far real ones are; ``copies`` the share of them that is
        nearer to one that trained than any held-out real image is.
        """
        real, numbers = joint(batch), batch["z"]
        if "labels" in batch:
            numbers = torch.cat([numbers, batch["labels"]], dim=1)
        size = config.batch_size
        made = torch.cat([at_full_size(networks["generator"](some), config) for some in torch.split(numbers, size)])
        half = len(real) // 2
        apart, floor = distances(made, real), distances(real[:half], real[half : 2 * half])
        grown = not config.grow or float(networks["generator"].get_buffer("grown")) == config.levels - 1
        figures = {"swd" if grown else "swd_growing": mean(apart), "swd_floor": mean(floor)}
        figures |= {f"swd_{side}": value for side, value in apart.items()} if len(apart) > 1 else {}
        figures["diversity"] = diversity(made) / max(diversity(real), 1e-6)
        if "trained" in batch:
            ours, theirs = nearest(made, batch["trained"]), nearest(real, batch["trained"])
            figures["copies"] = float((ours < theirs.min()).float().mean())
        return figures

    def told(self, figures: Mapping[str, float]) -> Sequence[str]:
        """Whether what is made is all alike, or a copy."""
        found = []
        if (share := figures.get("diversity", 1.0)) < COLLAPSED:
            found.append(
                f"Images made differ {share:.0%} as much as real ones: the generator has collapsed to few. Train with "
                "another `seed`, longer, or on more images."
            )
        if (share := figures.get("copies", 0.0)) > COPIED:
            found.append(
                f"{share:.0%} of the images made are nearer to one that trained than any real image is: these may be "
                "copies. Train on more images, or for fewer steps."
            )
        return found

    def sign(self, config: GANConfig, history: Sequence[dict[str, Any]]) -> str | None:
        """What the last validation tells, once the networks are grown."""
        last = history[-1]
        known = {name.removeprefix("validation_"): value for name, value in last.items()}
        return next(iter(self.told(known)), None) if "swd" in known else None

    def describe(self, config: GANConfig, networks: Networks, spatial_dims: int) -> Description:
        """Its networks, and how they learned."""
        weights = sum(weight.numel() for weight in networks["generator"].parameters()) / 1e6
        sizes = f"from 4 px to {config.patch_size} px, a level at a time" if config.grow else "at full size"
        how = "Karras et al., 2018" if config.grow else "Radford et al., 2016"
        penalty = f", gradient penalty {config.gradient_penalty:g}" if config.objective == "wgan-gp" else ""
        return Description(
            networks=f"{config.latent} random numbers to {config.patch_size} x {config.patch_size} px, {sizes}, "
            f"{config.base_channels} channels in the finest level",
            losses=config.objective + penalty,
            architecture=[
                "A generative adversarial network (Goodfellow et al., 2014) was trained with {} to make images of "
                f"{config.latent} random numbers.",
                f"Its networks ({how}) made and judged images {sizes} ({weights:.3g} million weights).",
            ],
            objective=[
                f"They minimised {OBJECTIVES[config.objective]}.",
                "The model was chosen by the sliced Wasserstein distance between images made and real ones that were "
                "held out (Karras et al., 2018).",
            ],
            references=REFERENCES | PAPERS,
        )


def joint(batch: Batch) -> Tensor:
    """Images (N, C, Y, X), with their targets as further channels if they have some."""
    return torch.cat([batch["image"], batch["target"]], dim=1) if "target" in batch else batch["image"]


def faded(images: Tensor, grown: float, levels: int) -> Tensor:
    """Real images (N, C, Y, X) as networks of this growth see them: smaller, and the finest level fading in.

    References
    ----------
    Karras et al. 2018, appendix A.1: real images are cross-faded as the networks are.
    """
    level = -int(-grown // 1)
    images = avg_pool2d(images, 1 << (levels - 1 - level))
    if (share := 1 + grown - level) < 1:
        images = share * images + (1 - share) * magnified(avg_pool2d(images, 2))
    return images


def at_full_size(images: Tensor, config: GANConfig) -> Tensor:
    """Images of a generator that is not grown yet, each pixel as often as it stands for."""
    return interpolate(images, (config.patch_size, config.patch_size), mode="nearest")


def mean(values: Mapping[int, float]) -> float:
    """Of all."""
    return sum(values.values()) / len(values)
