"""Whether images made from nothing are all alike, or copies of what trained."""

import torch
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d

SIDE = 16
"""Images are compared at this size, px, where what they show counts and not their noise."""


def small(images: Tensor) -> Tensor:
    """Images (N, C, Y, X) as vectors (N, C * 16 * 16) of their coarse pixels."""
    return adaptive_avg_pool2d(images.float(), min(SIDE, *images.shape[-2:])).flatten(1)


def diversity(images: Tensor) -> float:
    """How far the images (N, C, Y, X) are from each other: the root mean squared difference of coarse pixels."""
    apart: Tensor = torch.pdist(small(images)) if len(images) > 1 else images.new_zeros(1)
    n_pixels = small(images).shape[1]
    return float(apart.square().mean().div(n_pixels).sqrt())


def most_alike(images: Tensor, trained: Tensor) -> tuple[Tensor, Tensor]:
    """Of each image (N, C, Y, X) how far the nearest of those that `trained` is, turned, mirrored, and which: (N,)."""
    turned = torch.cat([turn for k in range(4) for turn in both_ways(torch.rot90(trained, k, (-2, -1)))])
    found = torch.cdist(small(images), small(turned)).min(dim=1)
    return found.values, found.indices % len(trained)


def nearest(images: Tensor, trained: Tensor) -> Tensor:
    """Only how far."""
    return most_alike(images, trained)[0]


def both_ways(images: Tensor) -> tuple[Tensor, Tensor]:
    """As they are, and mirrored."""
    return images, images.flip(-1)
