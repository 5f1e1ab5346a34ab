"""How far apart two sets of images are by their statistics: sliced Wasserstein distances of their pyramids' patches."""

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, conv2d, pad

SIDE, PER_IMAGE, DIRECTIONS = 7, 128, 512
"""Of the patches, px; how many of each image and level; along how many random directions they are compared."""
SMALLEST = 16
"""Side of the coarsest level, px, at least."""
THOUSAND = 1000.0
"""Distances are told in thousandths, as in the paper."""
BLUR = (1 / 16, 4 / 16, 6 / 16, 4 / 16, 1 / 16)


def sliced_wasserstein(ours: Tensor, theirs: Tensor, seed: int = 0, *, scaled: bool = True) -> float:
    """The mean over the levels of a Laplacian pyramid, in thousandths; 0 for the same images.

    At each level so many patches of 7 x 7 px are taken of each image, each channel of all of them is brought to mean 0
    and deviation 1, and the two sets are compared along random directions.

    Parameters
    ----------
    ours, theirs
        (N, C, [Z,] Y, X), of as many images, Y and X at least 7; of a volume its middle plane counts.
    seed
        Where patches lie, and the directions, come from it.
    scaled
        Whether channels are brought to mean 0 and deviation 1; not of classes, whose values mean the same everywhere.

    References
    ----------
    Karras et al., "Progressive growing of GANs for improved quality, stability, and variation", ICLR 2018, section 5.
    """
    return float(np.mean(list(distances(ours, theirs, seed, scaled=scaled).values())))


def distances(ours: Tensor, theirs: Tensor, seed: int = 0, *, scaled: bool = True) -> dict[int, float]:
    """`sliced_wasserstein` of each level, by the length of its shorter side, the finest first."""
    levels = zip(pyramid(plane_of(ours)), pyramid(plane_of(theirs)), strict=True)
    return {
        min(ours.shape[-2:]): THOUSAND * _distance(ours, theirs, [seed, i], scaled)
        for i, (ours, theirs) in enumerate(levels)
    }


def plane_of(images: Tensor) -> Tensor:
    """The middle plane of volumes, float32 (N, C, Y, X)."""
    return (images if images.ndim == 4 else images[:, :, images.shape[2] // 2]).float()


def pyramid(images: Tensor) -> list[Tensor]:
    """What each level of (N, C, Y, X) adds to the next coarser one, the finest first; at last the coarsest itself."""
    levels = []
    while min(images.shape[-2:]) >= 2 * SMALLEST:
        even = images[..., : images.shape[-2] // 2 * 2, : images.shape[-1] // 2 * 2]
        coarser = avg_pool2d(_blurred(even), 2)
        levels.append(even - _blurred(coarser.repeat_interleave(2, -2).repeat_interleave(2, -1)))
        images = coarser
    return [*levels, images]


def _blurred(images: Tensor) -> Tensor:
    channels, line = images.shape[1], torch.tensor(BLUR, device=images.device)
    kernel = torch.outer(line, line).expand(channels, 1, -1, -1)
    return conv2d(pad(images, (2, 2, 2, 2), mode="reflect"), kernel, groups=channels)


def _distance(ours: Tensor, theirs: Tensor, seed: list[int], scaled: bool) -> float:
    """The mean of |sorted - sorted| over directions, of patches of one level, which lie at the same places in both."""
    ours, theirs = (_descriptors(images, np.random.default_rng(seed), scaled) for images in (ours, theirs))
    random = np.random.default_rng([*seed, 1])
    directions = torch.from_numpy(random.standard_normal((ours.shape[1], DIRECTIONS)).astype(np.float32)).to(ours)
    directions = directions / directions.norm(dim=0)
    along = [(some @ directions).sort(dim=0).values for some in (ours, theirs)]
    return float((along[0] - along[1]).abs().mean())


def _descriptors(images: Tensor, random: np.random.Generator, scaled: bool) -> Tensor:
    """Patches (N * 128, C * 49), if `scaled` each channel of mean 0 and deviation 1 over all of them."""
    n, channels, height, width = images.shape
    y, x = (random.integers(0, length - SIDE + 1, n * PER_IMAGE) for length in (height, width))
    places = torch.from_numpy(y * width + x).to(images.device)
    window = (torch.arange(SIDE)[:, None] * width + torch.arange(SIDE)).flatten().to(images.device)
    pixels = (places[:, None] + window).reshape(n, 1, -1).expand(-1, channels, -1)
    found = images.flatten(2).gather(2, pixels).reshape(n, channels, PER_IMAGE, SIDE * SIDE)
    if scaled:
        found = found - found.mean(dim=(0, 2, 3), keepdim=True)
        found = found / found.std(dim=(0, 2, 3), keepdim=True).clamp(min=1e-6)
    return found.transpose(1, 2).flatten(0, 1).flatten(1)
