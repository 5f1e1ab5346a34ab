"""The U-Net generator of the paper, for any number of levels."""

import torch
from torch import Tensor, nn

from napari_pix2pix.core.networks.dropout import Dropout
from napari_pix2pix.core.networks.fields import receptive_fields
from napari_pix2pix.core.networks.generator import Generator
from napari_pix2pix.core.networks.layers import convolution, up_convolution
from napari_pix2pix.core.networks.norms import initialize, norm_layer
from napari_pix2pix.core.settings.config import GeneratorConfig

DROPOUT_LEVELS = 3
"""The innermost decoder levels with dropout, as in the authors' Torch code."""


class UNet(Generator):
    """Each level halves with a 4x4 convolution (LeakyReLU 0.2), and doubles again on the way back (ReLU).

    There it sees the encoder's features of its size beside its own. No norm on the first nor the innermost convolution;
    tanh at the end. In a volume, the innermost `z_levels` have kernels of 4x4x4 and halve the planes, too; the others
    have kernels of 3x4x4 and keep them.

    References
    ----------
    Isola et al. 2017, section 6.1.1.
    """

    def __init__(self, in_channels: int, out_channels: int, config: GeneratorConfig, spatial_dims: int = 2) -> None:
        super().__init__()
        self.skips = config.skips
        widths = [config.base_channels * min(2**level, 8) for level in range(config.levels)]
        z_strides = [2 if level >= config.levels - config.z_levels else 1 for level in range(config.levels)]

        self.down = nn.ModuleList()
        for level, width in enumerate(widths):
            before = in_channels if level == 0 else widths[level - 1]
            norm = config.norm if 0 < level < config.levels - 1 else "none"
            self.down.append(
                nn.Sequential(
                    nn.Identity() if level == 0 else nn.LeakyReLU(0.2),
                    convolution(spatial_dims, before, width, stride=2, z_stride=z_strides[level], bias=norm == "none"),
                    norm_layer(norm, width, spatial_dims),
                )
            )
        self.up = nn.ModuleList()
        for level in reversed(range(config.levels)):  # innermost first
            joined = self.skips and level < config.levels - 1
            before = widths[level] * (2 if joined else 1)
            width = out_channels if level == 0 else widths[level - 1]
            norm = config.norm if level > 0 else "none"
            dropout = config.dropout if level > 0 and config.levels - level <= DROPOUT_LEVELS else 0.0
            self.up.append(
                nn.Sequential(
                    nn.ReLU(inplace=True),  # what it sees is nobody else's: joined, or the innermost
                    up_convolution(
                        spatial_dims,
                        before,
                        width,
                        z_stride=z_strides[level],
                        bias=norm == "none",
                        nearest=config.upsampling == "nearest",
                    ),
                    norm_layer(norm, width, spatial_dims),
                    Dropout(dropout) if dropout else nn.Identity(),
                )
            )

        # On the way back each level adds as much to the reach as it adds to the field on the way down.
        fields = receptive_fields(self.down)
        self.grid = tuple(field.stride for field in fields)
        self.reach = tuple(field.size - 1 for field in fields)
        initialize(self, config.norm)

    @property
    def sees_source(self) -> nn.Module:
        """The layer that alone sees the source."""
        return self.down[0]

    def forward(self, source: Tensor) -> Tensor:
        """The image for each source."""
        encoded = []
        features = source
        for down in self.down:
            features = down(features)
            encoded.append(features)
        features = encoded.pop()
        for up in self.up:
            features = up(features)
            if encoded:
                skipped = [encoded.pop()]  # and no name keeps it
                features = torch.cat([features, skipped.pop()], dim=1) if self.skips else features
        return torch.tanh(features.float())
