"""The equations."""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, relu, softplus

from napari_pix2pix.core.engine import processes
from napari_pix2pix.core.settings.config import Objective

SUREST = 1 - 2**-20
"""The largest value of a map from which float32 still tells what its tanh was of."""


def discriminator_loss(real: Tensor, fake: Tensor, objective: Objective = "cross-entropy") -> Tensor:
    """What the discriminator minimizes, of its scores `real` and `fake` of any shape; D = sigmoid of the scores.

    cross-entropy, minimax
        -E[log D(x, y)] - E[log(1 - D(x, G(x, z)))]
    least-squares
        E[(s(x, y) - 1)^2] / 2 + E[s(x, G(x, z))^2] / 2
    hinge
        E[max(0, 1 - s(x, y))] + E[max(0, 1 + s(x, G(x, z)))]
    wgan-gp
        E[s(x, G(x, z))] - E[s(x, y)], to which `gradient_penalty` is added

    References
    ----------
    Isola et al. 2017, equation 1; Mao et al., "Least squares GAN", ICCV 2017; Lim and Ye, "Geometric GAN", 2017;
    Gulrajani et al., "Improved training of Wasserstein GANs", NeurIPS 2017.
    """
    if objective == "least-squares":
        return ((real - 1) ** 2).mean() / 2 + (fake**2).mean() / 2
    if objective == "hinge":
        return relu(1 - real).mean() + relu(1 + fake).mean()
    if objective == "wgan-gp":
        return fake.mean() - real.mean()
    return softplus(-real).mean() + softplus(fake).mean()


def generator_loss(fake: Tensor, objective: Objective = "cross-entropy") -> Tensor:
    """What the generator minimizes, of the scores of its images.

    cross-entropy
        -E[log D(x, G(x, z))], the non-saturating form that the paper trains with
    minimax
        E[log(1 - D(x, G(x, z)))]
    least-squares
        E[(s(x, G(x, z)) - 1)^2] / 2
    hinge, wgan-gp
        -E[s(x, G(x, z))]

    References
    ----------
    Isola et al. 2017, section 3.3; Goodfellow et al. 2014, section 3; the others as for the discriminator.
    """
    if objective == "minimax":
        return -softplus(fake).mean()
    if objective == "least-squares":
        return ((fake - 1) ** 2).mean() / 2
    if objective in ("hinge", "wgan-gp"):
        return -fake.mean()
    return softplus(-fake).mean()


def gradient_penalty(scores: Callable[[Tensor], Tensor], target: Tensor, fake: Tensor, share: Tensor) -> Tensor:
    """E[(|d s(x, v) / d v| - 1)^2] at v = share * target + (1 - share) * fake, one share in [0, 1] for each pair.

    References
    ----------
    Gulrajani et al. 2017, equation 3.
    """
    between = (share * target + (1 - share) * fake).requires_grad_()
    (gradient,) = torch.autograd.grad(scores(between).sum(), between, create_graph=True)
    penalty: Tensor = ((gradient.flatten(1).norm(dim=1) - 1) ** 2).mean()
    return penalty


def l1_loss(fake: Tensor, target: Tensor, weight: Tensor | None = None) -> Tensor:
    """E|y - G(x, z)|; with a `weight` (N, 1 or C, Y, X) for each pixel, the weighted mean, 0 where nothing weighs.

    References
    ----------
    Isola et al. 2017, equation 3.
    """
    return weighted_mean(torch.abs(target - fake), weight)


def l2_loss(fake: Tensor, target: Tensor, weight: Tensor | None = None) -> Tensor:
    """E(y - G(x, z))^2, weighted like `l1_loss`."""
    return weighted_mean((target - fake) ** 2, weight)


def label_loss(fake: Tensor, target: Tensor, weight: Tensor | None = None) -> Tensor:
    """-E[q log p + (1 - q) log(1 - p)], weighted like `l1_loss`, of labels that are encoded as maps in [-1, 1].

    A map m says with which probability (1 + m) / 2 a class, or an object, is there, or how deep in it: p is the fake's,
    q the target's. As encoded labels end at -0.9 and 0.9, q is never 0 or 1: what the fake is to be at best is finite
    before its tanh, and as far from the ends as targets are.

    References
    ----------
    Szegedy et al., "Rethinking the Inception Architecture for Computer Vision", CVPR 2016, section 7: such q.
    """
    logits = 2 * torch.atanh(fake.clamp(-SUREST, SUREST))  # twice what went into the generator's tanh
    return weighted_mean(binary_cross_entropy_with_logits(logits, (1 + target) / 2, reduction="none"), weight)


def weighted_mean(error: Tensor, weight: Tensor | None) -> Tensor:
    """The mean of `error` (N, C, [Z,] Y, X), each weighing `weight` (N, 1 or C, [Z,] Y, X); 0 where nothing weighs.

    Where processes share a batch, this process's part of it, so that the mean over them is that of the whole batch.
    """
    if weight is None:
        return error.mean()
    all_weigh = processes.mean(weight.detach().sum() * (error.shape[1] // weight.shape[1]))
    return (error * weight).sum() / all_weigh.clamp(min=1 / processes.count())
