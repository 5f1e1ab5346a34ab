"""What a training of images from nothing makes now, beside real ones."""

from typing import TYPE_CHECKING

import numpy as np
import torch

from napari_pix2pix.core.data.patches import HELD_OUT
from napari_pix2pix.core.networks.growing import GrowingGenerator, parts_of
from napari_pix2pix.core.running.from_nothing import generate, mosaic
from napari_pix2pix.core.running.trained_model import TrainedModel
from napari_pix2pix.core.settings.running import GenerateSettings
from napari_pix2pix.core.training.reports import Preview

if TYPE_CHECKING:
    from napari_pix2pix.core.training.material import Patches

SHOWN = 16


def made_of_nothing(model: TrainedModel, patches: "Patches") -> Preview:
    """Sixteen images, the same numbers each time, beside sixteen patches that train; and targets, if they have some."""
    made = list(generate(model, range(SHOWN), GenerateSettings()))
    real = patches.batch(0, HELD_OUT, range(SHOWN))["image"].numpy()
    decoded = [model.source_encoding.decode(image.astype(np.float32)) for image in real]
    targets = mosaic([one.target for one in made]) if model.joint else None  # type: ignore[misc]
    return Preview(
        mosaic(decoded),
        mosaic([one.image for one in made]),
        targets,
        model.target_encoding.is_labels and model.joint,
        grown=growth(model.generator),
    )


def growth(generator: torch.nn.Module) -> str:
    """The size that is made, and what of the next fades in."""
    if not isinstance(generator, GrowingGenerator):
        return "full size"
    level, share = parts_of(generator.grown, len(generator.blocks))
    return f"{4 << level} px" if share == 1 else f"{4 << level} px, {share:.0%} faded in"
