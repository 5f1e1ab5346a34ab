"""StarGAN: one generator from any domain to any other, with the mask vector (Choi et al., CVPR 2018)."""

from collections import Counter
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import log_softmax

from napari_pix2pix.core.encodings.domains import Domains
from napari_pix2pix.core.methods.describing import (
    OBJECTIVES,
    REFERENCES,
    discriminator_in_words,
    generator_in_words,
    networks_in_a_line,
)
from napari_pix2pix.core.methods.generators import new_generator
from napari_pix2pix.core.methods.learner import Learner
from napari_pix2pix.core.methods.losses import discriminator_loss, generator_loss, gradient_penalty, l1_loss
from napari_pix2pix.core.methods.method import (
    Batch,
    Confusion,
    Description,
    Direction,
    Method,
    Networks,
    Shapes,
    with_planes,
)
from napari_pix2pix.core.methods.sliced_wasserstein import sliced_wasserstein
from napari_pix2pix.core.networks.patchgan import PatchGAN
from napari_pix2pix.core.settings.stargan import StarGANConfig

CHOI = {
    "Choi et al., 2018": "Choi Y, Choi M, Kim M, Ha J-W, Kim S, Choo J. StarGAN: Unified Generative Adversarial "
    "Networks for Multi-Domain Image-to-Image Translation. CVPR 2018, 8789-8797. arXiv:1711.09020.",
    "Karras et al., 2018": "Karras T, Aila T, Laine S, Lehtinen J. Progressive Growing of GANs for Improved Quality, "
    "Stability, and Variation. ICLR 2018. arXiv:1710.10196.",
}
FEWEST = 4
"""Held-out patches of a domain whose statistics can be compared."""


class StarGAN(Method[StarGANConfig]):
    """A generator that sees the domain to make, and a discriminator that scores fields and tells their domain."""

    headline = "swd"
    shareable = False  # its discriminator differentiates twice, which Fabric's wrapper does not allow

    def networks(self, config: StarGANConfig, shapes: Shapes) -> dict[str, nn.Module]:
        """``generator`` and ``discriminator``, which gives a score and, for each label, a logit."""
        seen, outputs = shapes.source + shapes.domains.n_planes, 1 + shapes.domains.n
        return {
            "generator": new_generator(config, seen, shapes.target, shapes.spatial_dims),
            "discriminator": PatchGAN(0, shapes.target, config.discriminator, shapes.spatial_dims, outputs),
        }

    def directions(self, config: StarGANConfig, shapes: Shapes) -> dict[str, Direction]:
        """To each domain: its name where there is one set of labels, else ``set=label``."""
        return {name: self.direction(config, shapes, name) for name in shapes.domains.names}

    def direction(self, config: StarGANConfig, shapes: Shapes, name: str) -> Direction:
        """Also to labels of several sets at once, as in ``stain=H&E,scanner=A``."""
        return Direction("generator", "image", "image", shapes.domains.planes(shapes.domains.labels_of(name)))

    def critics(self, config: StarGANConfig) -> dict[str, str]:
        """One, of images of any domain."""
        return {"image": "discriminator"}

    def makers(self, config: StarGANConfig, shapes: Shapes) -> tuple[str, ...]:
        """One, whatever the domains."""
        return ("generator",)

    def step(self, learner: Learner[StarGANConfig], batch: Batch) -> dict[str, Tensor]:
        """Some updates of the discriminator, on a batch each, then one of the generator on the last.

        Where ``known`` (N, n) is 0 a label is not, and what ``labels`` says there is not looked at.
        """
        config, losses = learner.config, {}
        generator, critic = learner["generator"], learner["discriminator"]
        for part in zip(*(torch.split(values, config.batch_size) for values in batch.values()), strict=True):
            now = dict(zip(batch, part, strict=True))
            image, own, wanted = now["image"], *((now[a] * now[b], now[b]) for a, b in (("labels", "known"), WANTED))

            # Discriminator: real images up, translations down; tells the domain of real ones.
            critic.requires_grad_(True)
            with torch.no_grad():
                fake = generator(with_labels(image, *wanted, learner.domains))
            (real_scores, real_labels), (fake_scores, _) = parted(critic(image, image)), parted(critic(fake, fake))
            share = torch.rand(len(image), *(1,) * (image.ndim - 1), device=image.device)
            penalty = gradient_penalty(lambda v: parted(critic.module(v, v))[0].flatten(1).mean(1), image, fake, share)
            losses["discriminator"] = discriminator_loss(real_scores, fake_scores, "wgan-gp")
            losses["domain_real"] = domain_loss(real_labels, *own, learner.domains)
            total = losses["discriminator"] + config.gradient_penalty * penalty
            learner.update("discriminator", total + config.domain_weight * losses["domain_real"])

        # Generator: real to the discriminator, of the domain that was asked for, and itself when it comes back.
        critic.requires_grad_(False)
        fake = generator(with_labels(image, *wanted, learner.domains))
        scores, labels = parted(critic(fake, fake))
        losses["generator"] = generator_loss(scores, "wgan-gp")
        losses["domain_fake"] = domain_loss(labels, *wanted, learner.domains)
        losses["reconstruction"] = l1_loss(generator(with_labels(fake, *own, learner.domains)), image)
        total = losses["generator"] + config.domain_weight * losses["domain_fake"]
        learner.update("generator", total + config.reconstruction_weight * losses["reconstruction"])
        return {name: loss.detach() for name, loss in losses.items()}

    def judge(self, config: StarGANConfig, networks: Networks, batch: Batch, shapes: Shapes) -> dict[str, float]:
        """Of held-out patches: how unlike real ones those are that were translated, and whose they are told to be.

        ``swd`` is the sliced Wasserstein distance between images translated to a label and real ones that bear it, the
        mean over the labels, ``swd_floor`` that between halves of the real ones; ``reconstruction_error`` the mean
        |there and back - image| as a share of the range; ``domain_accuracy`` and ``translated_accuracy`` are the shares
        of real images, and of translations, whose label the discriminator tells.
        """
        image, labels, known = batch["image"], batch["labels"] * batch["known"], batch["known"]
        generator, critic, size = networks["generator"], networks["discriminator"], config.batch_size
        found: dict[str, list[float]] = {name: [] for name in FIGURES}
        for place, name in enumerate(shapes.domains.names):
            block = next(block for block in shapes.domains.blocks.values() if place < block.stop)
            bears, others = labels[:, place] > 0, (known[:, place] > 0) & (labels[:, place] == 0)
            right = labels_told(critic, image[bears], block, size) == place - block.start
            found["domain_accuracy"] += right.float().tolist()
            n = min(int(bears.sum()), int(others.sum()))
            if n < FEWEST:
                continue
            made, apart, wanted = [], [], self.direction(config, shapes, name)
            parts = (torch.split(values[others][:n], size) for values in (image, labels, known))
            for source, own_labels, own_known in zip(*parts, strict=True):
                made.append(generator(wanted.inputs({"image": source})))
                back = generator(with_labels(made[-1], own_labels, own_known, shapes.domains))
                apart += ((back - source).abs().flatten(1).mean(1) / 2).tolist()
            translated, real = torch.cat(made), image[bears][:n]
            right = labels_told(critic, translated, block, size) == place - block.start
            found["translated_accuracy"] += right.float().tolist()
            found["reconstruction_error"].append(sum(apart) / n)
            found["swd"].append(sliced_wasserstein(translated, real))
            found["swd_floor"].append(sliced_wasserstein(real[: n // 2], real[n // 2 : n // 2 * 2]))
        return {name: sum(values) / len(values) for name, values in found.items() if values}

    def confusion(self, config: StarGANConfig, networks: Networks, batch: Batch, shapes: Shapes) -> Confusion:
        """What the discriminator tells of real images."""
        labels, found = batch["labels"] * batch["known"], Confusion()
        for name, block in shapes.domains.blocks.items():
            own = shapes.domains.sets[name]
            for label, bears in zip(own, labels[:, block].T > 0, strict=True):
                places = labels_told(networks["discriminator"], batch["image"][bears], block, config.batch_size)
                found.setdefault(name, {})[label] = dict(Counter(own[place] for place in places.tolist()))
        return found

    def told(self, figures: Mapping[str, float]) -> Sequence[str]:
        """How unlike translations are, and whose the discriminator takes them and real images to be."""
        found = []
        if "swd_floor" in figures:
            found.append(
                f"On images that were held out, translations are {figures['swd']:.0f} away from real images of their "
                f"domain, and these {figures['swd_floor']:.0f} from one another (sliced Wasserstein distance, in "
                "thousandths). This says that they look alike, not that they are true."
            )
        if "translated_accuracy" in figures:
            found.append(
                f"The discriminator tells the domain of {figures['domain_accuracy']:.0%} of real images that were held "
                f"out, and takes {figures['translated_accuracy']:.0%} of the translations for what they were to be."
            )
        return found

    def describe(self, config: StarGANConfig, networks: Networks, spatial_dims: int) -> Description:
        """With what is peculiar to it: the domains."""
        made = generator_in_words(config, networks["generator"], spatial_dims)
        return Description(
            networks=networks_in_a_line(config, networks["generator"], networks["discriminator"]) + ", and its domain",
            losses=f"domain {config.domain_weight:g}, reconstruction {config.reconstruction_weight:g}",
            architecture=[
                "Images were translated between domains with one generator and the mask vector of StarGAN (Choi et "
                f"al., 2018) as implemented in {{}}. {made}",
                f"{discriminator_in_words(config, networks['discriminator'])} It tells the domain of fields, too.",
            ],
            objective=[
                f"The adversarial loss was {OBJECTIVES['wgan-gp']}; the generator minimised it plus "
                f"{config.domain_weight:g} times the cross-entropy of the domain that was asked for, plus "
                f"{config.reconstruction_weight:g} times the L1 distance between an image and what came of it there "
                f"and back, after every {config.critic_steps} updates of the discriminator.",
                "The model was chosen by the sliced Wasserstein distance between translations and real images of a "
                "domain that were held out (Karras et al., 2018).",
            ],
            references=REFERENCES | CHOI,
        )


WANTED = "wanted", "wanted_known"
FIGURES = ("swd", "swd_floor", "reconstruction_error", "domain_accuracy", "translated_accuracy")


def with_labels(image: Tensor, labels: Tensor, known: Tensor, domains: Domains) -> Tensor:
    """An image (N, C, [Z,] Y, X) beside what a generator sees of label vectors (N, n), constant planes."""
    firsts = [block.start for block in domains.blocks.values()]
    return with_planes(image, torch.cat([labels, known[:, firsts]], dim=1) if len(firsts) > 1 else labels)


def parted(outputs: Tensor) -> tuple[Tensor, Tensor]:
    """Scores (N, 1, [z,] y, x) and logits of labels (N, n, [z,] y, x)."""
    return outputs[:, :1], outputs[:, 1:]


def domain_loss(logits: Tensor, labels: Tensor, known: Tensor, domains: Domains) -> Tensor:
    """The cross-entropy of fields' labels, the mean over fields and images whose label is known; summed over sets.

    Parameters
    ----------
    logits
        (N, n, [z,] y, x), a block for each set.
    labels, known
        (N, n): one-hot blocks, and 1 where they are known.

    References
    ----------
    Choi et al. 2018, equations 2, 3 and 7.
    """
    total = logits.new_zeros(())
    for block in domains.blocks.values():
        likely = log_softmax(logits[:, block].flatten(2), dim=1).mean(dim=2)
        weight = known[:, block.start]
        total = total - ((likely * labels[:, block]).sum(1) * weight).sum() / weight.sum().clamp(min=1)
    return total


def labels_told(critic: nn.Module, images: Tensor, block: slice, at_once: int) -> Tensor:
    """For which label of a set, by its place in the set's `block`, each image (N, C, [Z,] Y, X) is told, (N,)."""
    parts = (parted(critic(some, some))[1].flatten(2).mean(2)[:, block] for some in torch.split(images, at_once))
    return torch.cat([some.argmax(1) for some in parts]) if len(images) else torch.zeros(0)
