"""The settings of pix2pix, and of what else has a generator from image to image and a discriminator."""

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from napari_pix2pix.core.settings.training import Config, Data, DiscriminatorConfig, GeneratorConfig, Objective

GAN_COST = 0.53
"""Of the time of a step is spent on a discriminator that sees the whole batch, as measured."""
NETWORKS: Mapping[str, Mapping[str, Any]] = {"generator": {"upsampling": "auto"}}


class Translation(Config):
    """A training of generators from image to image, and of PatchGANs."""

    as_trained: ClassVar[tuple[str, ...]] = (*Config.as_trained, "generator", "discriminator")
    as_slow: ClassVar[tuple[str, ...]] = (*Config.as_slow, "generator", "discriminator")

    generator: GeneratorConfig = GeneratorConfig()
    discriminator: DiscriminatorConfig = DiscriminatorConfig()

    @property
    def grid(self) -> int:
        """The generator's total stride along Y and X, in pixels."""
        return self.generator.grid

    @property
    def z_grid(self) -> int:
        """The larger of both networks' total strides along Z."""
        return 1 << max(self.generator.z_levels, self.discriminator.z_layers)

    @property
    def judge(self) -> DiscriminatorConfig:
        """As the training's own discriminator."""
        return self.discriminator

    def model_post_init(self, context: Any) -> None:
        """Check what concerns two settings."""
        if self.patch_size < (shortest := self.discriminator.field.shortest):
            raise ValueError(
                f"patch_size must be at least {shortest} for one score of such a discriminator; got {self.patch_size}. "
                "Choose larger patches."
            )
        if self.patch_size % self.grid:
            below = self.patch_size // self.grid * self.grid
            near = " and ".join(str(n) for n in (below, below + self.grid) if n)
            named = f"with {self.generator.levels} levels" if self.generator.architecture == "unet" else "of this kind"
            raise ValueError(
                f"patch_size must be a multiple of {self.grid} for a generator {named}; "
                f"got {self.patch_size}. The nearest: {near}."
            )
        super().model_post_init(context)


class Pix2PixConfig(Translation):
    """A training of pix2pix. The defaults are the preset `microscopy`.

    References
    ----------
    Isola et al., "Image-to-Image Translation with Conditional Adversarial Networks", CVPR 2017.
    """

    data: ClassVar[Data] = "pairs"
    called: ClassVar[str] = "pix2pix"
    as_slow: ClassVar[tuple[str, ...]] = (*Translation.as_slow, "gan_weight", "gan_share")
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "microscopy": NETWORKS,
        "paper": {
            "generator": {"levels": 8, "base_channels": 64},
            "batch_size": 1,
            "patch_size": 256,
            "steps": 80_000,  # 200 epochs of the 400 facades
            "jitter": 286 / 256,
            "rotate": False,
            "norm_statistics": "image",
            "label_loss": "l1",
            "trust_steps": 0,  # the paper has none
        },
        "fast": {
            "generator": {"levels": 4, "base_channels": 32, "upsampling": "auto"},
            "discriminator": {"base_channels": 32},
            "batch_size": 4,
            "patch_size": 128,
            "foreground_share": 0.5,
            "l2_weight": 100.0,
            "gan_share": 0.25,
            "learning_rate": 1.2e-3,
            "schedule": "linear-decay",
            "steps": 6_400,
            "validate_every": 800,
        },
    }

    generator: GeneratorConfig = GeneratorConfig(**NETWORKS["generator"])
    method: Literal["pix2pix"] = "pix2pix"
    """How networks learn from images: pix2pix from aligned pairs, cyclegan from sources and targets that are no pairs,
    stargan from images of several domains, gan from images alone, to make such from nothing."""
    l1_weight: Annotated[float, Field(ge=0)] = 100.0
    """Weight of the L1 loss (the paper's lambda), or of what stands for it where labels are learned."""
    label_loss: Literal["auto", "l1", "cross-entropy"] = "auto"
    """What says how far classes or objects are from the target: cross-entropy, in place of L1 and the squared error and
    with the weight of L1, or these as for grey values. auto is cross-entropy."""
    gan_weight: Annotated[float, Field(ge=0)] = 1.0
    """Weight of the adversarial loss; 0 trains without a discriminator, and so without its patch scores."""
    gan_share: Annotated[float, Field(gt=0, le=1)] = 1.0
    """The share of each batch, a patch of each process at least, that the discriminator sees; the other patches are
    learned from by the reconstruction alone, which makes a step shorter."""
    objective: Objective = "cross-entropy"
    """What the adversarial loss is; cross-entropy is the paper's, with the non-saturating loss for the generator."""
    gradient_penalty: Annotated[float, Field(ge=0)] = 10.0
    """Weight of the gradient penalty of wgan-gp."""
    l2_weight: Annotated[float, Field(ge=0)] = 0.0
    """Weight of the mean squared error."""
    shift_tolerance: Annotated[int, Field(ge=0, le=16)] = 0
    """For pairs that are not quite registered: each patch of the target is moved, by at most so many pixels along Y and
    X, to where it fits the generator's image best. At most an eighth of the patch."""
    condition_dropout: Annotated[float, Field(ge=0, lt=1)] = 0.1
    """Where pairs are of classes (`condition`): the share of patches that are learned from as if theirs was not known,
    so that the model can be run without."""
    discriminator_weight: Annotated[float, Field(ge=0)] = 0.5
    """Weight of the discriminator's loss; the paper halves it."""

    @property
    def scores(self) -> bool:
        """Not where no discriminator trains."""
        return self.gan_weight > 0

    @property
    def step_cost(self) -> float:
        """Less where the discriminator sees but a part of the batch, or is not there."""
        return 1 - GAN_COST * (1 - (self.gan_share if self.gan_weight else 0))

    def model_post_init(self, context: Any) -> None:
        """Check what concerns two settings."""
        super().model_post_init(context)
        if self.patch_size < 8 * self.shift_tolerance:
            raise ValueError(
                f"patch_size must be at least 8 times the shift_tolerance, {8 * self.shift_tolerance}; got "
                f"{self.patch_size}. Choose larger patches or a smaller tolerance."
            )
