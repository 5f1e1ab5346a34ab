"""The settings of StarGAN."""

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from napari_pix2pix.core.settings.pix2pix import Translation
from napari_pix2pix.core.settings.training import Data, DiscriminatorConfig, GeneratorConfig

NETWORKS: Mapping[str, Mapping[str, Any]] = {
    "generator": {"architecture": "resnet-6", "dropout": 0.0},
    "discriminator": {"conditional": False, "norm": "none"},
}


class StarGANConfig(Translation):
    """A training of StarGAN. The defaults are the preset `microscopy`.

    References
    ----------
    Choi et al., "StarGAN: unified generative adversarial networks for multi-domain image-to-image translation", CVPR
    2018.
    """

    data: ClassVar[Data] = "domains"
    called: ClassVar[str] = "StarGAN"
    as_slow: ClassVar[tuple[str, ...]] = (*Translation.as_slow, "critic_steps")
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "microscopy": NETWORKS,
        "paper": {
            "generator": {"architecture": "resnet-6", "dropout": 0.0, "norm": "instance"},
            "discriminator": {"conditional": False, "norm": "none", "n_layers": 5},  # 2 x 2 scores of 128 px, too
            "batch_size": 16,
            "patch_size": 128,
            "steps": 40_000,  # every fifth of 200,000 iterations updates the generator
            "schedule": "linear-decay",
            "rotate": False,
        },
        "fast": {
            "generator": {"architecture": "resnet-6", "dropout": 0.0, "base_channels": 32},
            "discriminator": {"conditional": False, "norm": "none", "base_channels": 32},
            "patch_size": 128,
            "schedule": "linear-decay",
            "steps": 3_200,
            "validate_every": 400,
        },
    }

    method: Literal["stargan"] = "stargan"
    """How networks learn from images: stargan from images of several domains, any into any."""
    generator: GeneratorConfig = GeneratorConfig(**NETWORKS["generator"])
    discriminator: DiscriminatorConfig = DiscriminatorConfig(**NETWORKS["discriminator"])
    learning_rate: Annotated[float, Field(gt=0)] = 1e-4
    """Of Adam, for both networks."""
    schedule: Literal["constant", "linear-decay", "cosine"] = "linear-decay"
    """How the learning rate goes: as it is; to zero over the second half of the steps; to zero along a cosine."""
    critic_steps: Annotated[int, Field(ge=1, le=100)] = 5
    """Updates of the discriminator for each of the generator, on a batch each."""
    domain_weight: Annotated[float, Field(ge=0)] = 1.0
    """Weight of the classification loss: real images, and translations, are to be told for their domain."""
    reconstruction_weight: Annotated[float, Field(ge=0)] = 10.0
    """Weight of the reconstruction loss: there and back again, an image must be itself."""
    gradient_penalty: Annotated[float, Field(ge=0)] = 10.0
    """Weight of the gradient penalty."""

    @property
    def patches(self) -> int:
        """A batch for each update of the discriminator."""
        return self.batch_size * self.critic_steps

    def model_post_init(self, context: Any) -> None:
        """Check what concerns two settings."""
        super().model_post_init(context)
        if self.discriminator.conditional:
            raise ValueError(
                "discriminator.conditional must be false for stargan, where no image has a source beside it; got true."
            )
        if self.discriminator.norm in ("batch", "batch-renorm"):
            raise ValueError(
                "discriminator.norm must be none or instance for stargan, which penalizes the gradient of each image "
                f"by itself; got {self.discriminator.norm}."
            )
