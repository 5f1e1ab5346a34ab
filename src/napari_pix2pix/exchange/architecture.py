"""The generators of napari-pix2pix in plain PyTorch, without its training; this file needs nothing but torch.

It is what exported models are made of, and goes with them: copy it wherever a model is to run.
The names of weights are those of napari-pix2pix, so a generator's state dict fits.
BSD-3-Clause, napari-pix2pix developers.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class Translator(nn.Module):
    """Images (N, channels, [z,] y, x), float32, to maps (N, out_channels, [z,] y, x) in [-1, 1].

    Parameters
    ----------
    planes
        Values of constant planes that the network sees after the image: which domain to make, what the image is of.
    classes
        Where the image is one of labels (one channel), these; the network sees a channel for each, 0.9 or -0.9.
    """

    def __init__(self, planes: Sequence[float] = (), classes: Sequence[int] = ()) -> None:
        super().__init__()
        self.planes, self.classes = list(planes), list(classes)

    def forward(self, image: Tensor) -> Tensor:
        """The maps of each image."""
        seen = [image]
        if self.classes:
            seen = [(image == label).to(image.dtype) * 1.8 - 0.9 for label in self.classes]
        planes = [torch.full_like(seen[0][:, :1], value) for value in self.planes]
        return torch.tanh(self.maps(torch.cat([*seen, *planes], dim=1)))

    def maps(self, seen: Tensor) -> Tensor:
        """What tanh makes maps of."""
        raise NotImplementedError


class UNet(Translator):
    """Isola et al. 2017: `levels` convolutions of stride 2, and as many back, which see the encoder's features, too.

    In three dimensions the innermost `z_levels` halve the planes, too.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        levels: int,
        base_channels: int,
        norm: str = "batch",
        skips: bool = True,
        z_levels: int = 0,
        spatial_dims: int = 2,
        planes: Sequence[float] = (),
        classes: Sequence[int] = (),
    ) -> None:
        super().__init__(planes, classes)
        self.skips = skips
        widths = [in_channels] + [base_channels * min(2**level, 8) for level in range(levels)]
        self.down, self.up = nn.ModuleList(), nn.ModuleList()
        for level in range(levels):
            own = norm if 0 < level < levels - 1 else "none"
            halved = level >= levels - z_levels
            layer = strided(spatial_dims, widths[level], widths[level + 1], 4, halved, own == "none")
            first = nn.LeakyReLU(0.2) if level else nn.Identity()
            self.down.append(nn.Sequential(first, layer, norm_layer(own, widths[level + 1], spatial_dims)))
        for level in reversed(range(levels)):
            own, after = (norm, widths[level]) if level else ("none", out_channels)
            before = widths[level + 1] * (2 if skips and level < levels - 1 else 1)
            halved = level >= levels - z_levels
            layer = strided(spatial_dims, before, after, 4, halved, own == "none", back=True)
            self.up.append(nn.Sequential(nn.ReLU(), layer, norm_layer(own, after, spatial_dims)))

    def maps(self, seen: Tensor) -> Tensor:
        """Down, and up again."""
        encoded = []
        for down in self.down:
            seen = down(seen)
            encoded.append(seen)
        encoded.pop()
        for up in self.up:
            seen = up(seen)
            if encoded:
                skipped = encoded.pop()
                seen = torch.cat([seen, skipped], dim=1) if self.skips else seen
        return seen


class ResNet(Translator):
    """Johnson et al. 2016: two convolutions of stride 2, residual blocks at a quarter of the size, and two back.

    In three dimensions the last `z_levels` of the two halve the planes, too.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        blocks: int,
        base_channels: int,
        norm: str = "batch",
        z_levels: int = 0,
        spatial_dims: int = 2,
        planes: Sequence[float] = (),
        classes: Sequence[int] = (),
    ) -> None:
        super().__init__(planes, classes)
        bias, widths = norm == "none", [base_channels * factor for factor in (1, 2, 4)]

        def normed(layer: nn.Module, width: int) -> nn.Sequential:
            return nn.Sequential(layer, norm_layer(norm, width, spatial_dims), nn.ReLU())

        self.down = nn.Sequential(normed(mirrored(spatial_dims, in_channels, widths[0], 7, bias), widths[0]))
        self.up = nn.Sequential()
        for level in range(2):
            before, after, halved = widths[level], widths[level + 1], level >= 2 - z_levels
            self.down.append(normed(strided(spatial_dims, before, after, 3, halved, bias), after))
            self.up.insert(0, normed(strided(spatial_dims, after, before, 3, halved, bias, back=True), before))
        self.blocks = nn.Sequential(*(ResidualBlock(widths[-1], norm, spatial_dims) for _ in range(blocks)))
        self.up.append(mirrored(spatial_dims, widths[0], out_channels, 7, True))

    def maps(self, seen: Tensor) -> Tensor:
        """Down, through the blocks, and up again."""
        found: Tensor = self.up(self.blocks(self.down(seen)))
        return found


class ResidualBlock(nn.Module):
    """Features plus what two convolutions make of them."""

    def __init__(self, width: int, norm: str, spatial_dims: int) -> None:
        super().__init__()
        first, second = (mirrored(spatial_dims, width, width, 3, norm == "none") for _ in range(2))
        norms = [norm_layer(norm, width, spatial_dims) for _ in range(2)]
        self.layers = nn.Sequential(first, norms[0], nn.ReLU(), nn.Identity(), second, norms[1])

    def forward(self, features: Tensor) -> Tensor:
        """The sum."""
        found: Tensor = features + self.layers(features)
        return found


def strided(
    spatial_dims: int, before: int, after: int, kernel: int, halved: bool, bias: bool, back: bool = False
) -> nn.Module:
    """A convolution that halves y and x, and z if `halved`; or goes `back`."""
    planes = spatial_dims - 2
    kernels = (kernel if halved else 3,) * planes + (kernel, kernel)
    strides = (2 if halved else 1,) * planes + (2, 2)
    padding = tuple((k - 1) // 2 for k in kernels)
    if back:
        missing = tuple(s + 2 * p - k for k, s, p in zip(kernels, strides, padding, strict=True))
        up = nn.ConvTranspose2d if spatial_dims == 2 else nn.ConvTranspose3d
        return up(before, after, kernels, strides, padding, missing, bias=bias)  # type: ignore[arg-type]
    down = nn.Conv2d if spatial_dims == 2 else nn.Conv3d
    return down(before, after, kernels, strides, padding, bias=bias)  # type: ignore[arg-type]


def mirrored(spatial_dims: int, before: int, after: int, kernel: int, bias: bool) -> nn.Module:
    """A convolution that keeps the size and sees the image mirrored at its border."""
    kernels = (3,) * (spatial_dims - 2) + (kernel, kernel)
    sides = tuple(k // 2 for k in reversed(kernels) for _ in range(2))
    if spatial_dims == 2:
        return nn.Sequential(nn.ReflectionPad2d(sides), nn.Conv2d(before, after, kernels, bias=bias))  # type: ignore[arg-type]
    return nn.Sequential(nn.ReflectionPad3d(sides), nn.Conv3d(before, after, kernels, bias=bias))  # type: ignore[arg-type]


def norm_layer(norm: str, channels: int, spatial_dims: int) -> nn.Module:
    """A normalization by the statistics of the training (batch) or of the image (instance), or none."""
    if norm == "batch":
        return nn.BatchNorm2d(channels) if spatial_dims == 2 else nn.BatchNorm3d(channels)
    if norm == "instance":
        return nn.InstanceNorm2d(channels) if spatial_dims == 2 else nn.InstanceNorm3d(channels)
    return nn.Identity()
