"""The discriminator of the paper: one score for each field of the image."""

import torch
from torch import Tensor, nn

from napari_pix2pix.core.config import DiscriminatorConfig
from napari_pix2pix.core.networks.norms import initialize, norm_layer
from napari_pix2pix.core.networks.receptive_field import ReceptiveField, fold


class PatchGAN(nn.Module):
    """Sources and images (N, C, Y, X) to logits (N, 1, y, x): high where the field looks real.

    `n_layers` strided 4x4 convolutions, then two of stride 1; with 0, the paper's PixelGAN of 1x1 convolutions.
    An unconditional one ignores the source.

    References
    ----------
    Isola et al. 2017, section 6.1.2.
    """

    def __init__(self, source_channels: int, image_channels: int, config: DiscriminatorConfig) -> None:
        super().__init__()
        self.conditional = config.conditional
        in_channels = image_channels + (source_channels if config.conditional else 0)
        n = config.n_layers
        strides, kernel, padding = ([2] * n + [1, 1], 4, 1) if n else ([1, 1, 1], 1, 0)
        widths = [config.base_channels * min(2**i, 8) for i in range(len(strides) - 1)] + [1]
        layers: list[nn.Module] = []
        for i, (width, stride) in enumerate(zip(widths, strides, strict=True)):
            norm = config.norm if 0 < i < len(strides) - 1 else "none"
            before = in_channels if i == 0 else widths[i - 1]
            layers.append(nn.Conv2d(before, width, kernel, stride, padding, bias=norm == "none"))
            if i < len(strides) - 1:
                layers += [norm_layer(norm, width), nn.LeakyReLU(0.2)]
        self.layers = nn.Sequential(*layers)
        self.receptive_field: ReceptiveField = fold(
            (layer.kernel_size[0], layer.stride[0], int(layer.padding[0]))
            for layer in layers
            if isinstance(layer, nn.Conv2d)
        )
        initialize(self)

    def forward(self, source: Tensor, image: Tensor) -> Tensor:
        """A logit for each field of each pair."""
        scores: Tensor = self.layers(torch.cat([source, image], dim=1) if self.conditional else image)
        return scores.float()
