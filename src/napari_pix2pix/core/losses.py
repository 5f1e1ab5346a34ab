"""The equations."""

import torch
from torch import Tensor
from torch.nn.functional import softplus


def discriminator_loss(real: Tensor, fake: Tensor) -> Tensor:
    """-E[log D(x, y)] - E[log(1 - D(x, G(x, z)))], D = sigmoid of the logits `real` and `fake` of any shape.

    References
    ----------
    Isola et al. 2017, equation 1.
    """
    return softplus(-real).mean() + softplus(fake).mean()


def generator_loss(fake: Tensor) -> Tensor:
    """-E[log D(x, G(x, z))], the non-saturating form that the paper trains with.

    References
    ----------
    Isola et al. 2017, section 3.3; Goodfellow et al. 2014, section 3.
    """
    return softplus(-fake).mean()


def l1_loss(fake: Tensor, target: Tensor, weight: Tensor | None = None) -> Tensor:
    """E|y - G(x, z)|; with a `weight` (N, 1, Y, X) for each pixel, the weighted mean, 0 where nothing weighs.

    References
    ----------
    Isola et al. 2017, equation 3.
    """
    error = torch.abs(target - fake)
    if weight is None:
        return error.mean()
    return (error * weight).sum() / (weight.sum() * error.shape[1]).clamp(min=1)
