"""The generators that methods translate with, by their settings."""

from napari_pix2pix.core.networks.generator import Generator
from napari_pix2pix.core.networks.resnet import ResNet
from napari_pix2pix.core.networks.unet import UNet
from napari_pix2pix.core.settings.pix2pix import Translation


def new_generator(config: Translation, sees: int, makes: int, spatial_dims: int) -> Generator:
    """A generator of images of `makes` channels from what has `sees` channels, in 2 or 3 dimensions.

    Raises
    ------
    ValueError
        If its networks halve planes and frames have none.
    """
    if spatial_dims == 2 and config.z_grid > 1:
        raise ValueError(
            "generator.z_levels and discriminator.z_layers must be 0 where frames are no volumes; got "
            f"{config.generator.z_levels} and {config.discriminator.z_layers}. Choose `z` volume or leave them out."
        )
    kind = UNet if config.generator.architecture == "unet" else ResNet
    return kind(sees, makes, config.generator, spatial_dims)
