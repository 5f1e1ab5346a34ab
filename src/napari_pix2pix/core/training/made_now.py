"""What a training of images from nothing makes now, beside real ones."""

from typing import TYPE_CHECKING

import numpy as np

from napari_pix2pix.core.data.patches import HELD_OUT
from napari_pix2pix.core.methods import method_of
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
    targets = [one.target for one in made if one.target is not None]
    return Preview(
        mosaic(decoded),
        mosaic([one.image for one in made]),
        mosaic(targets) if targets else None,
        model.target_encoding.is_labels and model.joint,
        grown=method_of(model.config).growth(model.networks),
    )
