"""The settings of CycleGAN."""

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from napari_pix2pix.core.settings.pix2pix import Translation
from napari_pix2pix.core.settings.training import Data, DiscriminatorConfig, GeneratorConfig

NETWORKS: Mapping[str, Mapping[str, Any]] = {
    "generator": {"architecture": "resnet-6", "dropout": 0.0},
    "discriminator": {"conditional": False},
}


class CycleGANConfig(Translation):
    """A training of CycleGAN. The defaults are the preset `microscopy`.

    References
    ----------
    Zhu et al., "Unpaired image-to-image translation using cycle-consistent adversarial networks", ICCV 2017.
    """

    data: ClassVar[Data] = "unpaired"
    called: ClassVar[str] = "CycleGAN"
    makes: ClassVar[tuple[str, ...]] = ("target", "source")
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "microscopy": NETWORKS,
        "paper": {
            "generator": {"architecture": "resnet-9", "dropout": 0.0, "norm": "instance"},
            "discriminator": {"conditional": False, "norm": "instance"},
            "batch_size": 1,
            "patch_size": 256,
            "steps": 240_000,  # 200 epochs of about 1,200 images
            "schedule": "linear-decay",
            "jitter": 286 / 256,
            "rotate": False,
        },
        "fast": {
            "generator": {"architecture": "resnet-6", "dropout": 0.0, "base_channels": 32},
            "discriminator": {"conditional": False, "base_channels": 32},
            "patch_size": 128,
            "schedule": "linear-decay",
            "steps": 6_400,
            "validate_every": 800,
        },
    }

    method: Literal["cyclegan"] = "cyclegan"
    """How networks learn from images: cyclegan from sources and targets that are no pairs."""
    generator: GeneratorConfig = GeneratorConfig(**NETWORKS["generator"])
    discriminator: DiscriminatorConfig = DiscriminatorConfig(**NETWORKS["discriminator"])
    schedule: Literal["constant", "linear-decay", "cosine"] = "linear-decay"
    """How the learning rate goes: as it is; to zero over the second half of the steps; to zero along a cosine."""
    cycle_weight: Annotated[float, Field(ge=0)] = 10.0
    """Weight of the cycle loss: there and back again, an image must be itself (the paper's lambda)."""
    identity_weight: Annotated[float, Field(ge=0)] = 0.5
    """Weight, as a share of the cycle loss's, of this: an image that is of the kind to be made stays as it is. Only
    where both sides are grey values with as many channels."""
    pool_size: Annotated[int, Field(ge=0, le=1000)] = 50
    """So many earlier fakes of each side are kept; half of what a discriminator learns from is one of these."""

    @property
    def judge(self) -> DiscriminatorConfig:
        """As the training's own discriminators, which see no source; a judge of the match does."""
        return self.discriminator.model_copy(update={"conditional": True})

    def model_post_init(self, context: Any) -> None:
        """Check what concerns two settings."""
        super().model_post_init(context)
        if self.discriminator.conditional:
            raise ValueError(
                "discriminator.conditional must be false for cyclegan, where no image has a source beside it; got true."
            )
