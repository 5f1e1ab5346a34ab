"""CycleGAN: two generators, there and back, that learn without pairs (Zhu et al., ICCV 2017)."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from napari_pix2pix.core.encodings.encoding import LIMIT
from napari_pix2pix.core.methods.describing import (
    OBJECTIVES,
    REFERENCES,
    discriminator_in_words,
    generator_in_words,
    networks_in_a_line,
)
from napari_pix2pix.core.methods.generators import new_generator
from napari_pix2pix.core.methods.learner import Learner
from napari_pix2pix.core.methods.losses import discriminator_loss, generator_loss, l1_loss
from napari_pix2pix.core.methods.method import Batch, Description, Direction, Method, Networks, Shapes
from napari_pix2pix.core.methods.sliced_wasserstein import sliced_wasserstein
from napari_pix2pix.core.networks.patchgan import PatchGAN
from napari_pix2pix.core.settings.cyclegan import CycleGANConfig

ZHU = {
    "Zhu et al., 2017": "Zhu J-Y, Park T, Isola P, Efros AA. Unpaired Image-to-Image Translation using "
    "Cycle-Consistent Adversarial Networks. ICCV 2017, 2242-2251. arXiv:1703.10593.",
    "Karras et al., 2018": "Karras T, Aila T, Laine S, Lehtinen J. Progressive Growing of GANs for Improved Quality, "
    "Stability, and Variation. ICLR 2018. arXiv:1710.10196.",
}
OTHER = {"source": "target", "target": "source"}
POOL = 5
"""Stream of random numbers: which earlier fakes a discriminator is shown; others are in `core.data.patches`."""
HALF_A_LEVEL = 1 / 255
"""Half of a grey level of 8 bit, in network values: these go from -1 to 1."""
SURE, TINY = 3.0, 1e-6
"""By so much maps of classes are multiplied to be their logits; the least and most that is drawn."""
KEEPS = " If labels are dark where sources are, `target_kind` intensity keeps it so."
NEAR = 1.1
"""Up to this factor, predictions are as near to real targets as these are to one another."""
HIDING = 1.5
"""From this factor on, by which such noise raises the cycle error, an image holds what cannot be seen."""


class CycleGAN(Method[CycleGANConfig]):
    """A generator to either side, and a discriminator of either side, which sees the image alone."""

    headline = "swd"
    shareable = False  # each process would have a pool of its own

    def networks(self, config: CycleGANConfig, shapes: Shapes) -> dict[str, nn.Module]:
        """``to_target``, ``to_source``, ``target_discriminator`` and ``source_discriminator``."""
        channels, found = vars(shapes), dict[str, nn.Module]()
        for side, other in (("target", "source"), ("source", "target")):
            found[f"to_{side}"] = new_generator(config, channels[other], channels[side], shapes.spatial_dims)
        for side in ("target", "source"):
            found[f"{side}_discriminator"] = PatchGAN(0, channels[side], config.discriminator, shapes.spatial_dims)
        return found

    def directions(self, config: CycleGANConfig, shapes: Shapes) -> dict[str, Direction]:
        """There and back."""
        return {side: Direction(f"to_{side}", OTHER[side], side) for side in ("target", "source")}

    def critics(self, config: CycleGANConfig) -> dict[str, str]:
        """One for either side."""
        return {side: f"{side}_discriminator" for side in ("target", "source")}

    def step(self, learner: Learner[CycleGANConfig], batch: Batch) -> dict[str, Tensor]:
        """One update of the generators, then of each discriminator, on sources and targets that are no pairs."""
        config, losses = learner.config, {}
        kinds = {"source": config.source_kind, "target": config.target_kind}
        made = {side: learner[f"to_{side}"](batch[OTHER[side]]) for side in OTHER}
        fakes = {side: labels_of(fake) if kinds[side] == "classes" else fake for side, fake in made.items()}

        # Generators: real to the discriminators, by a loss that is not halved; there and back an image is itself.
        total: Any = 0
        for side, fake in fakes.items():
            critic = learner[f"{side}_discriminator"]
            critic.requires_grad_(False)
            losses[f"generator_{side}"] = 2 * generator_loss(critic(fake, fake), "least-squares")
            losses[f"cycle_{OTHER[side]}"] = l1_loss(learner[f"to_{OTHER[side]}"](fake), batch[OTHER[side]])
            total = total + losses[f"generator_{side}"] + config.cycle_weight * losses[f"cycle_{OTHER[side]}"]
            if keeps_identity(config, batch["source"].shape[1], batch["target"].shape[1]):
                losses[f"identity_{side}"] = l1_loss(learner[f"to_{side}"](batch[side]), batch[side])
                total = total + config.identity_weight * config.cycle_weight * losses[f"identity_{side}"]
        learner.update(("to_target", "to_source"), total)

        # Discriminators: real images up, fakes of now and before down.
        for side, fake in fakes.items():
            critic = learner[f"{side}_discriminator"]
            critic.requires_grad_(True)
            shown = pooled(learner, side, fake.detach())
            real_scores, fake_scores = critic(batch[side], batch[side]), critic(shown, shown)
            losses[f"discriminator_{side}"] = discriminator_loss(real_scores, fake_scores, "least-squares")
            learner.update(f"{side}_discriminator", losses[f"discriminator_{side}"])
        return {name: loss.detach() for name, loss in losses.items()}

    def judge(self, config: CycleGANConfig, networks: Networks, batch: Batch, shapes: Shapes) -> dict[str, float]:
        """Of each half of the held-out patches: how unlike the other half's targets predictions are, and the cycle.

        ``swd`` is the sliced Wasserstein distance between predictions and real targets, ``swd_floor`` that of real
        ones; ``cycle_error`` the mean |there and back - source| as a share of the range, ``cycle_error_noisy`` the same
        where noise of half a grey level of 8 bit is added to the prediction before it goes back.
        """
        predictions, cycles, noisy, scaled = [], [], [], config.target_kind != "classes"
        for i, source in enumerate(torch.split(batch["source"], config.batch_size)):
            made = networks["to_target"](source)
            made = made if scaled else decided(made)
            noise = np.random.default_rng([config.seed, POOL, i]).standard_normal(made.shape).astype(np.float32)
            blurred = made + HALF_A_LEVEL * torch.from_numpy(noise).to(made)
            predictions.append(made)
            cycles.append((networks["to_source"](made) - source).abs().flatten(1).mean(dim=1))
            noisy.append((networks["to_source"](blurred) - source).abs().flatten(1).mean(dim=1))
        ours, real = torch.cat(predictions).tensor_split(2), batch["target"].tensor_split(2)
        return {
            "swd": sum(sliced_wasserstein(ours[i], real[1 - i], scaled=scaled) for i in range(2)) / 2,
            "swd_floor": sliced_wasserstein(real[0], real[1], scaled=scaled),
            "cycle_error": float(torch.cat(cycles).mean() / 2),
            "cycle_error_noisy": float(torch.cat(noisy).mean() / 2),
        }

    def sign(self, config: CycleGANConfig, history: Sequence[dict[str, Any]]) -> str | None:
        """Whether predictions hold what cannot be seen, from which the way back is found."""
        judged = [row for row in history if "validation_cycle_error_noisy" in row]
        if not judged:
            return None
        figures = {name: judged[-1][f"validation_{name}"] for name in ("cycle_error", "cycle_error_noisy")}
        return hides(figures) if figures["cycle_error_noisy"] > HIDING * figures["cycle_error"] else None

    def told(self, figures: Mapping[str, float]) -> Sequence[str]:
        """How unlike predictions are, and whether they hide their source."""
        if "swd_floor" not in figures:
            return ()
        ours, floor = figures["swd"], figures["swd_floor"]
        exact, noisy = figures["cycle_error"], figures["cycle_error_noisy"]
        hidden = noisy > HIDING * exact
        return (
            f"On images that were held out, textures of predictions are {ours:.0f} away from those of real targets, "
            f"and real targets {floor:.0f} from one another (sliced Wasserstein distance, in thousandths): "
            f"{'as near as they can be' if ours <= NEAR * floor else f'{ours / floor:.1f} times as far'}. This says "
            "whether predictions look like targets, not whether what they show is there, nor whether bright and dark "
            "have changed places.",
            f"There and back, an image differs from itself by {exact:.2%} of the range."
            + (
                f" {hides(figures)}"
                if hidden
                else f" With noise of half a grey level of 8 bit it is {noisy:.2%}: the "
                "way back reads nothing that cannot be seen."
            ),
        )

    def advice(self, config: CycleGANConfig, shapes: Shapes) -> Sequence[str]:
        """On the identity loss, and norms."""
        if config.identity_weight and not keeps_identity(config, shapes.source, shapes.target):
            return (
                "The identity loss is left out: it needs grey values with as many channels on both sides. Colours or "
                "brightness may be exchanged more freely than with it."
                + (KEEPS if config.target_kind == "classes" and shapes.source == 1 else ""),
            )
        return ()

    def describe(self, config: CycleGANConfig, networks: Networks, spatial_dims: int) -> Description:
        """With what is peculiar to it: the cycle."""
        made = generator_in_words(config, networks["to_target"], spatial_dims)
        objective = (
            f"The generators minimised the adversarial loss, {OBJECTIVES['least-squares']}, plus "
            f"{config.cycle_weight:g} times the L1 distance between an image and what came of it there and back"
        )
        if config.identity_weight and config.source_kind == config.target_kind == "intensity":
            share = config.identity_weight * config.cycle_weight
            objective += f", and {share:g} times that between an image and its translation to its own kind, where both "
            objective += "kinds had as many channels"
        return Description(
            networks=f"{networks_in_a_line(config, networks['to_target'], networks['target_discriminator'])}; "
            "to the target and to the source",
            losses=f"cycle {config.cycle_weight:g}, identity {config.identity_weight:g} of it",
            architecture=[
                "Images were translated, without pairs, with the cycle-consistent adversarial networks of CycleGAN "
                f"(Zhu et al., 2017) as implemented in {{}}: two generators and two discriminators. {made}",
                discriminator_in_words(config, networks["target_discriminator"]),
            ],
            objective=[
                f"{objective}.",
                f"Discriminators were shown fakes of earlier steps, too, from a pool of {config.pool_size}.",
                "The model was chosen by the sliced Wasserstein distance between predictions and real targets that "
                "were held out (Karras et al., 2018), unless there were validation pairs.",
            ],
            references=REFERENCES | ZHU,
        )


def hides(figures: Mapping[str, float]) -> str:
    """That predictions hold what cannot be seen."""
    exact, noisy = figures["cycle_error"], figures["cycle_error_noisy"]
    return (
        "The model hides the source in its predictions: noise of half a grey level of 8 bit raises the cycle "
        f"error from {exact:.2%} to {noisy:.2%} of the range. What looks like the source's structures may be made "
        "up; judge it on a few pairs (evaluate)."
    )


def labels_of(maps: Tensor) -> Tensor:
    """One class for each pixel of maps (N, C, [Z,] Y, X) of classes, drawn by these; to the gradient, their softmax.

    Maps between the classes would tell a discriminator fakes from labels, and hold what cannot be seen.

    References
    ----------
    Jang et al., "Categorical reparameterization with Gumbel-softmax", ICLR 2017 (the straight-through one).
    """
    gumbel = -torch.log(-torch.log(torch.rand_like(maps, dtype=torch.float32).clamp(TINY, 1 - TINY)))
    shares = (SURE * maps.float() + gumbel).softmax(dim=1)
    return decided(shares) + 2 * LIMIT * (shares - shares.detach())


def decided(maps: Tensor) -> Tensor:
    """The likeliest class for each pixel of maps (N, C, [Z,] Y, X) of classes."""
    return LIMIT * (2 * torch.zeros_like(maps).scatter_(1, maps.argmax(dim=1, keepdim=True), 1.0) - 1)


def keeps_identity(config: CycleGANConfig, source: int, target: int) -> bool:
    """Whether an image of the kind to be made can be asked to stay as it is: of so many channels, grey values both."""
    kinds = config.source_kind, config.target_kind
    return bool(config.identity_weight) and source == target and not {"classes", "instances"} & set(kinds)


def pooled(learner: Learner[CycleGANConfig], side: str, fakes: Tensor) -> Tensor:
    """Fakes to show a discriminator: with even chances each (N, C, [Z,] Y, X) as it is, or an earlier one in its place.

    By (seed, step, number) alone, and what the pool holds.

    References
    ----------
    Shrivastava et al., "Learning from simulated and unsupervised images through adversarial training", CVPR 2017.
    """
    size, name = learner.config.pool_size, f"pool_{side}"
    kept, shown = learner.memory.get(name, fakes[:0]), []
    for number, fake in enumerate(fakes):
        random = np.random.default_rng([learner.config.seed, POOL, learner.done, number, list(OTHER).index(side)])
        if len(kept) < size:
            kept = torch.cat([kept, fake[None]])
            shown.append(fake)
        elif size and random.random() < 0.5:
            place = int(random.integers(size))
            shown.append(kept[place].clone())
            kept[place] = fake
        else:
            shown.append(fake)
    if size:
        learner.memory[name] = kept
    return torch.stack(shown)
