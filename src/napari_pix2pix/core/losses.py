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


def l1_loss(fake: Tensor, target: Tensor) -> Tensor:
    """E|y - G(x, z)|.

    References
    ----------
    Isola et al. 2017, equation 3.
    """
    return torch.mean(torch.abs(target - fake))
