"""The settings of GANs that make images from nothing."""

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from napari_pix2pix.core.settings.training import Config, Data, NormalizationConfig, Objective

SMALLEST = 4
"""Side of the coarsest images, px."""
MOST_CHANNELS = 512
"""Of a layer, as in the paper."""


class GANConfig(Config):
    """A training of a GAN: images, alone or with their targets, from nothing. The defaults are the preset `microscopy`.

    References
    ----------
    Goodfellow et al., "Generative adversarial nets", NeurIPS 2014; Karras et al., "Progressive growing of GANs for
    improved quality, stability, and variation", ICLR 2018.
    """

    data: ClassVar[Data] = "images"
    called: ClassVar[str] = "GAN"
    as_trained: ClassVar[tuple[str, ...]] = (*Config.as_trained, "grow", "latent", "base_channels", "patch_size")
    as_slow: ClassVar[tuple[str, ...]] = (*Config.as_slow, "grow", "base_channels", "objective")
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "microscopy": {},
        "paper": {
            "patch_size": 1024,
            "latent": 512,
            "base_channels": 16,
            "steps": 637_500,  # 17 phases of 600,000 images
            "rotate": False,
        },
        "fast": {
            **{"patch_size": 64, "base_channels": 8, "latent": 64, "batch_size": 8},
            **{"learning_rate": 4e-3, "steps": 18_000, "validate_every": 1_000},
        },
        "vanilla": {
            "grow": False,
            "objective": "cross-entropy",
            "learning_rate": 2e-4,
            "beta1": 0.5,
            "beta2": 0.999,
            "ema_decay": 0.0,
        },
    }

    method: Literal["gan"] = "gan"
    """How networks learn from images: gan from images alone, or with their targets, to make such from nothing."""
    grow: bool = True
    """Begin with images of 4 px and add a level at a time; or train networks like DCGAN's at full size at once."""
    latent: Annotated[int, Field(ge=2, le=4096)] = 128
    """Random numbers that an image is made of."""
    base_channels: Annotated[int, Field(ge=1, le=1024)] = 32
    """Channels of the finest level; each coarser one doubles them, up to 512."""
    objective: Objective = "wgan-gp"
    """What the adversarial loss is: wgan-gp is that of progressive growing, cross-entropy the non-saturating one of
    the first GAN, minimax its other."""
    gradient_penalty: Annotated[float, Field(ge=0)] = 10.0
    """Weight of the gradient penalty of wgan-gp."""
    drift_weight: Annotated[float, Field(ge=0)] = 1e-3
    """With wgan-gp: weight of the mean squared score of real images, which keeps scores near zero."""
    steps: Annotated[int, Field(ge=1, le=10**9)] = 40_000
    """Updates of the generator; where networks grow, each level fades in and then stays for as many."""
    batch_size: Annotated[int, Field(ge=1, le=65_536)] = 16
    """Patches per step."""
    patch_size: Annotated[int, Field(ge=8, le=65_536)] = 128
    """Side of a training patch, and of the images that are made, in pixels: a power of two."""
    learning_rate: Annotated[float, Field(gt=0)] = 1e-3
    """Of Adam, for both networks."""
    beta1: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Of Adam."""
    beta2: Annotated[float, Field(ge=0, lt=1)] = 0.99
    """Of Adam."""
    ema_decay: Annotated[float, Field(ge=0, lt=1)] = 0.999
    """The model holds a moving average of the generator's weights, each step keeping this share of it; 0: the weights
    themselves."""
    source_normalization: NormalizationConfig = NormalizationConfig(method="min-max")
    """Of the images' grey values, where they have targets; inverted on output."""
    validate_every: Annotated[int, Field(ge=1, le=10**9)] = 2_000
    """Steps between validations; the best model is kept."""

    @property
    def levels(self) -> int:
        """From 4 px to the full size, each twice as large."""
        return (self.patch_size // SMALLEST).bit_length()

    @property
    def widths(self) -> tuple[int, ...]:
        """Channels of each level, the coarsest first."""
        return tuple(min(self.base_channels << (self.levels - 1 - i), MOST_CHANNELS) for i in range(self.levels))

    @property
    def grid(self) -> int:
        """The side of a patch."""
        return self.patch_size

    @property
    def scores(self) -> bool:
        """Of images that it did not make, and at full size, its discriminator says little."""
        return False

    def model_post_init(self, context: Any) -> None:
        """Check what concerns two settings."""
        super().model_post_init(context)
        if self.patch_size & (self.patch_size - 1):
            below = 1 << (self.patch_size.bit_length() - 1)
            raise ValueError(
                f"patch_size must be a power of two for gan; got {self.patch_size}. The nearest: {below} and "
                f"{2 * below}."
            )
        if self.grow and self.objective == "minimax":
            raise ValueError(
                "objective must not be minimax where networks grow; got minimax. Choose another, or `preset` vanilla."
            )
        if self.grow and self.compile:
            raise ValueError(
                "compile must be false where networks grow: they change with every step; got true. Set `compile` or "
                "`grow` false."
            )
        if self.source_normalization.statistics == "image":
            raise ValueError(
                "source_normalization.statistics must be training for gan: an image from nothing has none of its own; "
                "got image."
            )
