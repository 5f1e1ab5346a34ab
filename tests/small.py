"""A pair of images and settings small enough to train on in a second."""

from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage

from napari_pix2pix.core.data.pairs import PairedFrames
from napari_pix2pix.core.encodings.encoding import fit_encoding
from napari_pix2pix.core.encodings.source_view import SourceView
from napari_pix2pix.core.methods import method_of
from napari_pix2pix.core.methods.method import Shapes
from napari_pix2pix.core.running.trained_model import TrainedModel
from napari_pix2pix.core.settings.config import Config, make_config
from napari_pix2pix.core.trust.calibration import FEWEST_GROUPS, Calibration
from napari_pix2pix.core.trust.judge import MatchJudge, match_network
from napari_pix2pix.core.trust.novelty import Novelty
from napari_pix2pix.core.trust.risk import RiskCurves


def blobs(shape: tuple[int, int] = (96, 128), seed: int = 0) -> tuple[NDArray[np.uint16], NDArray[np.uint16]]:
    """A noisy 12-bit image of round objects, and one label per object."""
    random = np.random.default_rng(seed)
    points = np.zeros(shape)
    points[tuple(random.integers(4, n - 4, 25) for n in shape)] = 1
    bright = ndimage.gaussian_filter(points, 3)
    labels, _ = ndimage.label(bright > 0.4 * bright.max())
    source = 300 + 3000 * bright / bright.max() + random.normal(0, 100, shape)
    return source.astype(np.uint16), labels.astype(np.uint16)


class Noisy(PairedFrames):
    """Pairs whose missing channels hold noise."""

    def target(self, frame: int, *window) -> NDArray:
        found = super().target(frame, *window).copy()
        for k in np.flatnonzero(~self.stains(frame)):
            noise = np.random.default_rng(frame).integers(0, 60_000, found[k].shape)
            found[k] = np.where(noise % 7, noise, np.nan) if found.dtype.kind == "f" else noise
        return found


def small_config(**changes) -> Config:
    """A U-Net of 8 channels and a 16 x 16 PatchGAN on patches of 32."""
    small = {
        "generator": {"levels": 3, "base_channels": 8},
        "discriminator": {"n_layers": 1, "base_channels": 8},
        "patch_size": 32,
        "batch_size": 2,
        "steps": 6,
        "validate_every": 4,
        "trust_steps": 0,
    }
    return make_config(changes=small | changes)


def networks(config: Config, source: int, target: int, spatial_dims: int = 2) -> tuple:
    """New ones for so many channels: generator and discriminator, or None."""
    made = method_of(config).networks(config, Shapes(source, target, spatial_dims))
    return made["generator"], made.get("discriminator")


def untrained(source: NDArray, target: NDArray, kind="intensity", z="frame", **changes) -> TrainedModel:
    """A model for frames (C, [Z,] Y, X) like these, of 2 levels; its weights are large, so that pixels matter."""
    config = small_config(**{"generator": {"levels": 2, "base_channels": 4}} | changes)
    source_encoding = fit_encoding([source], "intensity", config.source_normalization, limit=1.0)
    encodings = source_encoding, fit_encoding([target], kind)
    torch.manual_seed(0)
    generator, _ = networks(config, *(encoding.n_maps for encoding in encodings), 3 if z == "volume" else 2)
    generator.eval()
    for parameter in generator.parameters():
        parameter.data.mul_(4)
    view = SourceView(of_channels=len(source), z=z)
    return TrainedModel(config, {"generator": generator}, *encodings, view, "C" if len(target) > 1 else "")


def with_judge(
    model: TrainedModel,
    groups: int = FEWEST_GROUPS,
    louder: float = 1,
    risk: RiskCurves | None = None,
    per_pixel: bool = False,
    sees_doubt: bool = True,
) -> TrainedModel:
    """The model with a judge of the match that is not taught, calibrated on so many groups; its weights times `louder`.

    As models of before have one, unless `per_pixel`. And with a discriminator, so that it can be saved.
    """
    torch.manual_seed(1)
    encodings, dims = (model.source_encoding, model.target_encoding), 3 if model.source_view.z == "volume" else 2
    network = match_network(
        model.config.discriminator, *encodings, dims, per_pixel=per_pixel, sees_doubt=sees_doubt
    ).eval()
    for parameter in network.parameters():
        parameter.data.mul_(louder)
    random = np.random.default_rng(0)
    real, *errors = random.normal(size=(3, groups, 30)).astype(np.float32)
    calibration = Calibration.of(list(real), *(list(np.exp(own)) for own in errors), risk=risk) if groups else None
    _, plain = networks(model.config, *(encoding.n_maps for encoding in encodings), dims)
    assert plain is not None
    curve = None if per_pixel else np.array([[0, 1 / 3, 2 / 3, 1], [0, 0.05, 0.15, 0.4]], np.float32)
    novelty = Novelty.of([np.zeros((encodings[0].n_maps, *(1, 64, 64)[-dims:]), np.float32)], network.fields[-1].size)
    if network.of_pixels:
        network.of_pixels.usual.fill_(0.1)
    made = {**model.networks, "discriminator": plain.eval()}
    return replace(model, networks=made, match=MatchJudge(network, curve, novelty, calibration))


SMALL_FLAGS = [
    *("--generator.levels", "3", "--generator.base-channels", "8"),
    *("--discriminator.n-layers", "1", "--discriminator.base-channels", "8"),
    *(
        "--patch-size",
        "32",
        "--batch-size",
        "2",
        "--steps",
        "6",
        "--validate-every",
        "4",
        "--trust-steps",
        "0",
        "--device",
        "cpu",
    ),
]
"""`small_config` as flags."""
