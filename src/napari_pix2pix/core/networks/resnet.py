"""The generator of residual blocks, of Johnson et al. and of CycleGAN."""

import torch
from torch import Tensor, nn

from napari_pix2pix.core.networks.dropout import Dropout
from napari_pix2pix.core.networks.fields import receptive_fields
from napari_pix2pix.core.networks.generator import Generator
from napari_pix2pix.core.networks.layers import convolution, up_convolution
from napari_pix2pix.core.networks.norms import initialize, norm_layer
from napari_pix2pix.core.settings.config import GeneratorConfig

BLOCKS = {"resnet-6": 6, "resnet-9": 9}
DOWNSAMPLINGS = 2


class ResidualBlock(nn.Module):
    """Features (N, width, [Z,] Y, X) plus what two convolutions of 3x3 pixels make of them."""

    def __init__(self, width: int, config: GeneratorConfig, spatial_dims: int) -> None:
        super().__init__()
        bias = config.norm == "none"
        self.layers = nn.Sequential(
            convolution(spatial_dims, width, width, bias=bias, kernel=3, mirror=True),
            norm_layer(config.norm, width, spatial_dims),
            nn.ReLU(),
            Dropout(config.dropout) if config.dropout else nn.Identity(),
            convolution(spatial_dims, width, width, bias=bias, kernel=3, mirror=True),
            norm_layer(config.norm, width, spatial_dims),
        )

    def forward(self, features: Tensor) -> Tensor:
        """The sum."""
        return features + self.layers(features)  # type: ignore[no-any-return]


class ResNet(Generator):
    """A 7x7 convolution, two that halve, residual blocks, two that double, a 7x7 convolution and tanh.

    Each but the last is followed by a norm and ReLU. The 7x7 convolutions and the blocks see the image mirrored at its
    border. In a volume, kernels have three planes, and the last `z_levels` of the halving convolutions halve these.

    References
    ----------
    Johnson et al., "Perceptual losses for real-time style transfer and super-resolution", ECCV 2016, supplement;
    Zhu et al., "Unpaired image-to-image translation using cycle-consistent adversarial networks", ICCV 2017, section
    7.2.
    """

    def __init__(self, in_channels: int, out_channels: int, config: GeneratorConfig, spatial_dims: int = 2) -> None:
        super().__init__()
        bias = config.norm == "none"
        widths = [config.base_channels * 2**level for level in range(DOWNSAMPLINGS + 1)]
        z_strides = [2 if level >= DOWNSAMPLINGS - config.z_levels else 1 for level in range(DOWNSAMPLINGS)]
        halvings = list(zip(widths, widths[1:], z_strides, strict=False))

        def normed(layer: nn.Module, width: int) -> nn.Sequential:
            return nn.Sequential(layer, norm_layer(config.norm, width, spatial_dims), nn.ReLU())

        first = convolution(spatial_dims, in_channels, widths[0], bias=bias, kernel=7, mirror=True)
        self.down = nn.Sequential(normed(first, widths[0]))
        for before, after, z_stride in halvings:
            halving = convolution(spatial_dims, before, after, stride=2, z_stride=z_stride, bias=bias, kernel=3)
            self.down.append(normed(halving, after))
        blocks = [ResidualBlock(widths[-1], config, spatial_dims) for _ in range(BLOCKS[config.architecture])]
        self.blocks = nn.Sequential(*blocks)
        self.up = nn.Sequential()
        for after, before, z_stride in reversed(halvings):
            self.up.append(
                normed(up_convolution(spatial_dims, before, after, z_stride=z_stride, bias=bias, kernel=3), after)
            )
        self.up.append(convolution(spatial_dims, widths[0], out_channels, bias=True, kernel=7, mirror=True))

        # Half of the convolutions: each adds as much to the field as its partner of the same scale adds to the reach.
        halfway = receptive_fields(nn.ModuleList([self.down, *(block.layers[0] for block in blocks)]))
        self.grid = tuple(field.stride for field in halfway)
        self.reach = tuple(field.size - 1 for field in halfway)
        initialize(self, config.norm)

    @property
    def sees_source(self) -> nn.Module:
        """The layer that alone sees the source."""
        return self.down[0]

    def forward(self, source: Tensor) -> Tensor:
        """The image for each source."""
        return torch.tanh(self.up(self.blocks(self.down(source))).float())
