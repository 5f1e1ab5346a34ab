"""Networks and losses that several methods have, in words."""

from typing import Any

from torch import nn

from napari_pix2pix.core.settings.pix2pix import Translation

REFERENCES = {
    "Ronneberger et al., 2015": "Ronneberger O, Fischer P, Brox T. U-Net: Convolutional Networks for Biomedical Image "
    "Segmentation. MICCAI 2015, LNCS 9351, 234-241. arXiv:1505.04597.",
    "Johnson et al., 2016": "Johnson J, Alahi A, Fei-Fei L. Perceptual Losses for Real-Time Style Transfer and "
    "Super-Resolution. ECCV 2016, LNCS 9906, 694-711. arXiv:1603.08155.",
    "Ioffe, 2017": "Ioffe S. Batch Renormalization: Towards Reducing Minibatch Dependence in Batch-Normalized Models. "
    "NeurIPS 2017. arXiv:1702.03275.",
    "Ulyanov et al., 2016": "Ulyanov D, Vedaldi A, Lempitsky V. Instance Normalization: The Missing Ingredient for "
    "Fast Stylization. 2016. arXiv:1607.08022.",
    "Mao et al., 2017": "Mao X, Li Q, Xie H, Lau RYK, Wang Z, Smolley SP. Least Squares Generative Adversarial "
    "Networks. ICCV 2017, 2794-2802. arXiv:1611.04076.",
    "Gulrajani et al., 2017": "Gulrajani I, Ahmed F, Arjovsky M, Dumoulin V, Courville A. Improved Training of "
    "Wasserstein GANs. NeurIPS 2017. arXiv:1704.00028.",
}
NORMS = {
    "batch": "batch normalization",
    "batch-renorm": "batch renormalization (Ioffe, 2017)",
    "instance": "instance normalization (Ulyanov et al., 2016)",
    "none": "no normalization layers",
}
OBJECTIVES = {
    "cross-entropy": "the cross-entropy of the discriminator with the non-saturating loss for the generator",
    "minimax": "the cross-entropy of the discriminator in its minimax form",
    "least-squares": "least squares (Mao et al., 2017)",
    "hinge": "the hinge loss",
    "wgan-gp": "the Wasserstein distance with gradient penalty (Gulrajani et al., 2017)",
}


def generator_in_words(config: Translation, generator: nn.Module, spatial_dims: int) -> str:
    """A sentence on a generator."""
    like = config.generator
    if like.architecture == "unet":
        kind = f"a U-Net (Ronneberger et al., 2015) with {like.levels} downsamplings"
        kind += "" if like.skips else " and no skip connections"
    else:
        kind = f"a residual network of {like.architecture.removeprefix('resnet-')} blocks (Johnson et al., 2016)"
    weights = sum(weight.numel() for weight in generator.parameters())
    return (
        f"The generator was {kind} in {'three' if spatial_dims == 3 else 'two'} dimensions ({like.base_channels} "
        f"channels in the first level, {weights / 1e6:.3g} million weights, {NORMS[like.norm]}, dropout "
        f"{like.dropout:g})."
    )


def discriminator_in_words(config: Translation, discriminator: Any) -> str:
    """A sentence on a PatchGAN."""
    field, like = discriminator.fields[-1].size, config.discriminator
    seen = "of the image given its source" if like.conditional else "of the image alone"
    layers = f"layers of kernel,stride,padding {like.layers}; " if like.layers else ""
    return (
        f"The discriminator was a PatchGAN that judges fields of {field} × {field} px {seen} "
        f"({layers}{like.base_channels} channels in the first layer, {NORMS[like.norm]})."
    )


def networks_in_a_line(config: Translation, generator: Any, discriminator: Any | None) -> str:
    """Both, for a card."""
    like = config.generator
    made = f"{like.architecture}, grid {like.grid} px, {like.base_channels} channels, reach {generator.reach[-1]} px; "
    if discriminator is None:
        return made + "no discriminator, no patch scores"
    layers = f" of {config.discriminator.layers}" if config.discriminator.layers else ""
    return made + f"PatchGAN{layers}, field {discriminator.fields[-1].size} px"
