"""The equations."""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, relu, softplus

from napari_pix2pix.core.settings.config import Objective

SMOOTHED, EVERY = 5, 3
"""To find a shift, images are averaged over squares of 5 px, and every third pixel of them is compared."""
RELUCTANCE, TINY = 0.01, 1e-6
"""A shift must lower the error by this share of what it is without one, per pixel; an error so small is none."""


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
    """E|y - G(x, z)|; with a `weight` (N, 1, Y, X) for each pixel, the weighted mean, 0 where nothing weighs.

    References
    ----------
    Isola et al. 2017, equation 3.
    """
    return weighted_mean(torch.abs(target - fake), weight)


def l2_loss(fake: Tensor, target: Tensor, weight: Tensor | None = None) -> Tensor:
    """E(y - G(x, z))^2, weighted like `l1_loss`."""
    return weighted_mean((target - fake) ** 2, weight)


def weighted_mean(error: Tensor, weight: Tensor | None) -> Tensor:
    """The mean of `error` (N, C, [Z,] Y, X), each pixel weighing `weight` (N, 1, [Z,] Y, X); 0 where nothing weighs."""
    if weight is None:
        return error.mean()
    return (error * weight).sum() / (weight.sum() * error.shape[1]).clamp(min=1)


def register(fake: Tensor, target: Tensor, known: Tensor | None, reach: int) -> tuple[Tensor, Tensor]:
    """`target` and `known` moved to where they fit `fake` best, each patch by a shift of its own along Y and X.

    So ``l1_loss(fake, *register(fake, target, known, reach))`` is the L1 loss at that shift, over what the two then
    share: whole pixels, nothing interpolated. What moved in from beyond the border is not known.

    Parameters
    ----------
    fake, target
        (N, C, [Z,] Y, X), Y and X at least 8 * `reach`.
    known
        (N, 1, [Z,] Y, X), 1 = known; None: everywhere.
    reach
        The largest shift along either axis, in pixels.
    """
    shifts = find_shifts(fake, target, known, reach)
    known = torch.ones_like(target[:, :1]) if known is None else known
    for axis in (-2, -1):
        length = target.shape[axis]
        places = torch.arange(length, device=target.device) + shifts[:, axis, None]
        places = places.reshape(-1, *(length if i == axis else 1 for i in range(1 - target.ndim, 0)))
        seen = places.clamp(0, length - 1)
        target = target.take_along_dim(seen, axis)
        known = known.take_along_dim(seen, axis) * (places == seen)
    return target, known


@torch.no_grad()
def find_shifts(fake: Tensor, target: Tensor, known: Tensor | None, reach: int) -> Tensor:
    """The shift s = (Y, X) of each patch in pixels, int64 (N, 2), at which ``target(p + s)`` fits ``fake(p)`` best.

    argmin over |s_y|, |s_x| <= reach of e(s) + 0.01 |s| e(0), e(s) = E|L(G(x, z))(p) - L(y)(p + s)|, L a low-pass.

    The middle of the target is held against the fake all around it, so every shift is judged by the same pixels of the
    target: where the fake is flat, as at the start, none is better than no shift. Only pixels with known neighbours
    count. Of shifts that fit about as well the smallest is taken, so that fakes have no reason to leave their place.

    Parameters are those of `register`.
    """
    fake, truth = fake.flatten(1, -3), target.flatten(1, -3)  # all planes move together
    weight = torch.ones_like(truth[:, :1]) if known is None else known.expand_as(target).flatten(1, -3)
    fake, truth = avg_pool2d(fake, SMOOTHED, 1), avg_pool2d(truth, SMOOTHED, 1)
    weight = (avg_pool2d(weight, SMOOTHED, 1) == 1).to(truth)
    height, width = (n - 2 * reach for n in fake.shape[-2:])
    middle = (..., slice(reach, reach + height, EVERY), slice(reach, reach + width, EVERY))
    truth, weight = truth[middle].unsqueeze(-2), weight[middle].unsqueeze(-2)
    errors = []
    for top in range(2 * reach + 1):
        windows = fake[..., top : top + height : EVERY, :].unfold(-1, width, 1)[..., ::EVERY]  # (N, C, y, shifts, x)
        errors.append(((windows - truth).abs() * weight).mean(dim=(1, 2, 4)))
    error = torch.stack(errors, dim=1)  # (N, Y, X) by shift
    shifts = torch.arange(reach, -reach - 1, -1, device=fake.device)  # the fake's window moves the other way
    distance = torch.hypot(shifts[:, None].to(fake), shifts.to(fake))
    price = RELUCTANCE * (error[:, reach, reach] + TINY).reshape(-1, 1, 1)
    best = (error + price * distance).flatten(1).argmin(dim=1)
    return torch.stack([shifts[best // len(shifts)], shifts[best % len(shifts)]], dim=1)
