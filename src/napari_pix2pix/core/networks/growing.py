"""Networks that grow: a generator of images from nothing and its critic, from 4 px to full size, a level at a time."""

from collections.abc import Sequence
from itertools import pairwise
from math import prod, sqrt

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, conv2d, interpolate, leaky_relu

SLOPE = 0.2
GROUP = 4
"""Images whose deviation the critic sees, as in the paper."""
EPSILON = 1e-8


class Equalized(nn.Conv2d):
    """A convolution that keeps the size, of weights N(0, 1) which are scaled at each use: all learn at one speed.

    References
    ----------
    Karras et al., "Progressive growing of GANs for improved quality, stability, and variation", ICLR 2018, section
    4.1; the scale is that of He et al., ICCV 2015.
    """

    def __init__(self, before: int, after: int, kernel: int = 3, *, gain: float = sqrt(2), padding: int = -1) -> None:
        super().__init__(before, after, kernel, padding=kernel // 2 if padding < 0 else padding)
        self.gain = gain / sqrt(before * prod(self.kernel_size))
        nn.init.normal_(self.weight)
        nn.init.zeros_(self.bias)  # type: ignore[arg-type]

    def forward(self, input: Tensor) -> Tensor:
        """Features (N, C, Y, X)."""
        return conv2d(input, self.weight * self.gain, self.bias, padding=self.padding)


def normalized(features: Tensor) -> Tensor:
    """Each pixel's vector brought to length one on average over channels: Karras et al. 2018, section 4.2."""
    return features * torch.rsqrt(features.square().mean(dim=1, keepdim=True) + EPSILON)


def magnified(images: Tensor) -> Tensor:
    """Twice as large, each pixel four times."""
    return interpolate(images, scale_factor=2, mode="nearest")


def parts_of(grown: Tensor, most: int) -> tuple[int, float]:
    """The level that is finest, from 0 to `most`, and its share of the image: 1 where it does not fade in."""
    value = min(max(float(grown), 0.0), float(most))
    level = -int(-value // 1)  # rounded up
    return level, 1.0 + value - level


class GrowingGenerator(nn.Module):
    """Numbers (N, latent) to images (N, C, S, S); S = 4 · 2^level grows with `grown`.

    Parameters
    ----------
    latent
        Numbers that an image is made of, with those that tell its class.
    channels
        Of images.
    widths
        Of each level, the coarsest first.
    """

    reach = (0, 0)
    grown: Tensor
    """Levels that are there, but the first; a fraction is the share of the one that fades in."""

    def __init__(self, latent: int, channels: int, widths: Sequence[int]) -> None:
        super().__init__()
        self.start = Equalized(latent, widths[0], 4, padding=3)  # of 16 weights one is used: gain √2 / 4
        self.first = Equalized(widths[0], widths[0])
        pairs = pairwise(widths)
        self.blocks = nn.ModuleList(nn.ModuleList([Equalized(a, b), Equalized(b, b)]) for a, b in pairs)
        self.to_image = nn.ModuleList(Equalized(width, channels, 1, gain=1.0) for width in widths)
        self.register_buffer("grown", torch.zeros(()))

    def forward(self, numbers: Tensor) -> Tensor:
        """Images of the level that `grown` says, as they fade in."""
        return self.finished(self.begun(numbers))

    def begun(self, numbers: Tensor) -> Tensor:
        """The coarsest features (N, widths[0], 4, 4)."""
        return normalized(leaky_relu(self.start(normalized(numbers)[..., None, None]), SLOPE))

    def finished(self, features: Tensor) -> Tensor:
        """Images of what has `begun`."""
        level, share = parts_of(self.grown, len(self.blocks))
        features = normalized(leaky_relu(self.first(features), SLOPE))
        before = features
        for block in list(self.blocks)[:level]:
            before, features = features, magnified(features)
            for layer in block:  # type: ignore[attr-defined]
                features = normalized(leaky_relu(layer(features), SLOPE))
        image: Tensor = self.to_image[level](features)
        if share < 1:
            image = share * image + (1 - share) * magnified(self.to_image[level - 1](before))
        return image.float()


class GrowingCritic(nn.Module):
    """The generator's mirror: images (N, C, S, S) to a score each (N, 1), by how they differ among each other, too."""

    grown: Tensor

    def __init__(self, channels: int, widths: Sequence[int]) -> None:
        super().__init__()
        self.from_image = nn.ModuleList(Equalized(channels, width, 1) for width in widths)
        pairs = pairwise(widths)
        self.blocks = nn.ModuleList(nn.ModuleList([Equalized(b, b), Equalized(b, a)]) for a, b in pairs)
        self.first = Equalized(widths[0] + 1, widths[0])
        self.whole = Equalized(widths[0], widths[0], 4, padding=0)
        self.score = Equalized(widths[0], 1, 1, gain=1.0)
        self.register_buffer("grown", torch.zeros(()))

    def forward(self, images: Tensor) -> Tensor:
        """A score for each image."""
        level, share = parts_of(self.grown, len(self.blocks))
        features = leaky_relu(self.from_image[level](images), SLOPE)
        for i in range(level, 0, -1):
            for layer in list(self.blocks)[i - 1]:  # type: ignore[attr-defined]
                features = leaky_relu(layer(features), SLOPE)
            features = avg_pool2d(features, 2)
            if i == level and share < 1:
                coarser = leaky_relu(self.from_image[level - 1](avg_pool2d(images, 2)), SLOPE)
                features = share * features + (1 - share) * coarser
        features = torch.cat([features, deviation(features)], dim=1)
        for layer in (self.first, self.whole):
            features = leaky_relu(layer(features), SLOPE)
        score: Tensor = self.score(features).flatten(1)
        return score.float()


def deviation(features: Tensor) -> Tensor:
    """How much the images of a group differ, one plane (N, 1, Y, X) of one value for each group.

    References
    ----------
    Karras et al. 2018, section 3, "minibatch standard deviation"; groups of `GROUP` as in appendix A.1.
    """
    n = len(features)
    size = next(size for size in range(min(GROUP, n), 0, -1) if n % size == 0)
    groups = features.reshape(size, n // size, *features.shape[1:])
    spread = (groups.var(dim=0, correction=0) + EPSILON).sqrt().flatten(1).mean(dim=1)
    return spread.repeat(size)[:, None, None, None].expand(-1, 1, *features.shape[2:])
