"""Networks like DCGAN's: images from nothing, at full size from the first step."""

from collections.abc import Sequence
from itertools import pairwise

from torch import Tensor, nn

from napari_pix2pix.core.networks.norms import initialize, norm_layer
from napari_pix2pix.core.settings.config import Norm


class DCGenerator(nn.Module):
    """Numbers (N, latent) to images (N, C, S, S), S = 4 · 2^(levels - 1), in [-1, 1].

    References
    ----------
    Radford, Metz and Chintala, "Unsupervised representation learning with deep convolutional generative adversarial
    networks", ICLR 2016.
    """

    reach = (0, 0)

    def __init__(self, latent: int, channels: int, widths: Sequence[int]) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        self.start = nn.ConvTranspose2d(latent, widths[0], 4, bias=False)
        for before, after in pairwise(widths):
            layers += [norm_layer("batch", before), nn.ReLU(), nn.ConvTranspose2d(before, after, 4, 2, 1, bias=False)]
        layers += [norm_layer("batch", widths[-1]), nn.ReLU(), nn.Conv2d(widths[-1], channels, 3, padding=1)]
        self.layers = nn.Sequential(*layers, nn.Tanh())
        initialize(self, "batch")

    def forward(self, numbers: Tensor) -> Tensor:
        """Images."""
        return self.finished(self.begun(numbers))

    def begun(self, numbers: Tensor) -> Tensor:
        """The coarsest features (N, widths[0], 4, 4)."""
        features: Tensor = self.start(numbers[..., None, None])
        return features

    def finished(self, features: Tensor) -> Tensor:
        """Images of what has `begun`."""
        image: Tensor = self.layers(features)
        return image.float()


class DCDiscriminator(nn.Module):
    """Images (N, C, S, S) to a score each (N, 1)."""

    def __init__(self, channels: int, widths: Sequence[int], norm: Norm) -> None:
        super().__init__()
        finest_first = list(reversed(widths))
        layers: list[nn.Module] = [nn.Conv2d(channels, finest_first[0], 3, padding=1), nn.LeakyReLU(0.2)]
        for before, after in pairwise(finest_first):
            layers += [
                nn.Conv2d(before, after, 4, 2, 1, bias=norm == "none"),
                norm_layer(norm, after),
                nn.LeakyReLU(0.2),
            ]
        self.layers = nn.Sequential(*layers, nn.Conv2d(finest_first[-1], 1, 4), nn.Flatten())
        initialize(self, norm)

    def forward(self, images: Tensor) -> Tensor:
        """A score for each image."""
        score: Tensor = self.layers(images)
        return score.float()
