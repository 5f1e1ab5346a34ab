"""The discriminator of the paper: one score for each field of the image."""

import torch
from torch import Tensor, nn

from napari_pix2pix.core.geometry.receptive_field import ReceptiveField
from napari_pix2pix.core.networks.fields import receptive_fields
from napari_pix2pix.core.networks.layers import convolution, with_stains
from napari_pix2pix.core.networks.norms import initialize, norm_layer
from napari_pix2pix.core.settings.config import DiscriminatorConfig


class PatchGAN(nn.Module):
    """Sources and images (N, C, [Z,] Y, X) to logits (N, outputs, [z,] y, x): high where the field looks real.

    `n_layers` strided 4x4 convolutions, then two of stride 1; with 0, the paper's PixelGAN of 1x1 convolutions; or
    whatever `layers` tells. In a volume, the last `z_layers` of the strided ones have kernels of 4x4x4 and halve the
    planes, too; the others have kernels of 3x4x4 and keep them. An unconditional one ignores the source. `fields` holds
    what a score sees along each axis. With `stains`, planes after the image's channels tell which of them are there,
    see `layers.with_stains`; where they are left out, all are. One without ignores such planes.

    References
    ----------
    Isola et al. 2017, section 6.1.2.
    """

    def __init__(
        self,
        source_channels: int,
        image_channels: int,
        config: DiscriminatorConfig,
        spatial_dims: int = 2,
        outputs: int = 1,
        stains: int = 0,
    ) -> None:
        super().__init__()
        self.conditional, self.outputs, self.image_channels = config.conditional, outputs, image_channels + stains
        in_channels = self.image_channels + (source_channels if config.conditional else 0)
        last = len(config.convolutions) - 1
        strided = [i for i, (_, stride, _) in enumerate(config.convolutions) if stride > 1]
        halving = strided[len(strided) - config.z_layers :]
        widths = [config.base_channels * min(2**i, 8) for i in range(last)] + [outputs]
        layers: list[nn.Module] = []
        for i, (kernel, stride, padding) in enumerate(config.convolutions):
            norm, before = config.norm if 0 < i < last else "none", widths[i - 1] if i else in_channels
            sides = spatial_dims, before, widths[i]
            z_stride, bias = 1 + (i in halving), norm == "none"
            layers.append(
                convolution(*sides, kernel=kernel, stride=stride, z_stride=z_stride, padding=padding, bias=bias)
            )
            if i < last:
                layers += [norm_layer(norm, widths[i], spatial_dims), nn.LeakyReLU(0.2)]
        self.layers = nn.Sequential(*layers)
        self.fields: tuple[ReceptiveField, ...] = receptive_fields(self.layers)
        initialize(self, config.norm)

    def forward(self, source: Tensor, image: Tensor) -> Tensor:
        """A logit for each field of each pair."""
        if (missing := self.image_channels - image.shape[1]) > 0:
            image = with_stains(image, image.new_ones(len(image), missing))
        image = image[:, : self.image_channels]
        scores: Tensor = self.layers(torch.cat([source, image], dim=1) if self.conditional else image)
        return scores.float()
