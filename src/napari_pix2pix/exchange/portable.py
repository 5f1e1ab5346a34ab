"""What of a model other programs can run: its generator as one plain network, and what it must be fed."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from napari_pix2pix.core.geometry.tiles import round_up
from napari_pix2pix.core.networks.layers import ConvTranspose2d, ConvTranspose3d
from napari_pix2pix.core.networks.resnet import BLOCKS
from napari_pix2pix.core.running.trained_model import TrainedModel
from napari_pix2pix.core.settings.pix2pix import Translation
from napari_pix2pix.exchange import architecture
from napari_pix2pix.exchange.architecture import Translator

TOLERANCE = 1e-4
"""How far what other programs make may be from what the model makes, as a share of the range [-1, 1]."""
SIZES = 3
"""How many sizes it is held against."""


@dataclass(frozen=True)
class Portable:
    """A model's generator in plain PyTorch, with what it always sees, like the domain to make, within.

    It takes images (N, channels, [Z,] Y, X), float32: source grey values normalized as `TrainedModel.source_encoding`
    does, or, where sources are of classes, their labels as they are. It gives maps (N, n_maps, [Z,] Y, X) in [-1, 1].

    Parameters
    ----------
    model
        Of which it is, asked for what it is to make, on the CPU.
    network
        The generator.
    kwargs
        The arguments of its class in `architecture`; JSON.
    minimum
        The smallest sides that it takes, ([z,] y, x).
    """

    model: TrainedModel
    network: Translator
    kwargs: dict[str, Any]
    minimum: tuple[int, ...]

    @property
    def channels(self) -> int:
        """Of the images that it takes."""
        return self.model.source_encoding.n_channels

    @property
    def axes(self) -> str:
        """Of images and maps."""
        return "NCZYX" if len(self.minimum) == 3 else "NCYX"

    @property
    def grid(self) -> tuple[int, ...]:
        """What sides are multiples of, ([z,] y, x)."""
        return self.model.generator.grid

    @property
    def halo(self) -> int:
        """What a tile must see beyond what is kept of it in Y and X, px, so that it begins on the grid; 0: no tiles."""
        return round_up(self.model.generator.reach[-1], self.grid[-1]) if self.model.tileable else 0

    @property
    def smallest_tile(self) -> tuple[int, ...]:
        """The smallest sides of which something is kept, ([z,] y, x); planes of a volume stay together."""
        *planes, y, x = self.minimum
        return (*planes, *(max(n, round_up(2 * self.halo + 1, self.grid[-1])) for n in (y, x)))

    def example(self, number: int, batch: int) -> NDArray[np.float32]:
        """Noise that the network takes, of the size of this number, from 0 on; sides differ."""
        steps = enumerate(zip(self.minimum, self.grid, strict=True))
        sides = (least + (number + i) % SIZES * step for i, (least, step) in steps)
        shape, random = (batch, self.channels, *sides), np.random.default_rng(number)
        if classes := self.model.source_encoding.classes:
            return random.choice(np.array(classes, np.float32), shape)
        return random.uniform(-1, 1, shape).astype(np.float32)

    def expected(self, images: NDArray[np.float32]) -> NDArray[np.float32]:
        """What the model makes of images (N, channels, [Z,] Y, X)."""
        encoding, direction = self.model.source_encoding, self.model.direction
        seen = np.stack([encoding.encode(image) for image in images]) if encoding.classes else images
        with torch.inference_mode():
            inputs = direction.inputs({direction.source: torch.from_numpy(seen)})
            maps: NDArray[np.float32] = self.model.networks[direction.network](inputs).numpy()
        return maps

    def require_equal(self, run: Callable[[NDArray[np.float32]], NDArray[Any]], what: str) -> float:
        """How far what `run` makes is from what the model makes, at most, as a share of the range.

        At `SIZES` sizes, of one image and of two.

        Raises
        ------
        ValueError
            If that is more than `TOLERANCE`: `what`, by that name, is not to be handed on.
        """
        found = 0.0
        for number, batch in product(range(SIZES), (1, 2)):
            images = self.example(number, batch)
            made, expected = run(images), self.expected(images)
            apart = float(np.abs(made - expected).max()) / 2 if made.shape == expected.shape else math.inf
            if not apart <= TOLERANCE:
                raise ValueError(
                    f"{what} must give what the model gives, within {TOLERANCE:g} of the range; it is {apart:.3g} off "
                    f"for an image of {' x '.join(map(str, images.shape[2:]))} px. Nothing was written: tell the "
                    "developers, and export another format meanwhile."
                )
            found = max(found, apart)
        return found


def portable(model: TrainedModel) -> Portable:
    """The generator of a model, which has been asked for what it makes (`toward`, `under`).

    Raises
    ------
    ValueError
        If no other program could do what it does: it makes images from nothing, uses statistics and dropout of each
        image, sees objects, or has not been asked for one of several domains.
    """
    model.require_asked()
    if model.config.norm_statistics == "image":
        raise ValueError(
            "A model must predict with fixed statistics, and without dropout, to be exported; this one takes the "
            "statistics of each image. Export it with `norm_statistics` training: it then predicts otherwise."
        )
    if model.source_encoding.kind == "instances":
        raise ValueError(
            "A model must see grey values or classes to be exported; this one sees objects, which only napari-pix2pix "
            "encodes. Predict with napari-pix2pix, or export the other direction (`to`)."
        )
    if not isinstance(model.config, Translation):
        raise ValueError(
            "A model must have a generator of napari-pix2pix to be exported; this one was imported as an ONNX graph. "
            "Hand on the file that it came from, or export it with `hub`."
        )
    like, grid, encoding = model.config.generator, model.generator.grid, model.source_encoding
    kwargs: dict[str, Any] = {
        "in_channels": encoding.n_maps + len(model.direction.planes),
        "out_channels": model.target_encoding.n_maps,
        "base_channels": like.base_channels,
        "norm": "batch" if like.norm == "batch-renorm" else like.norm,
        "z_levels": like.z_levels,
        "spatial_dims": len(grid),
        "planes": list(model.direction.planes),
        "classes": list(encoding.classes),
    }
    network: Translator
    if like.architecture == "unet":
        kwargs |= {"levels": like.levels, "skips": like.skips}
        network, minimum = architecture.UNet(**kwargs), grid
    else:
        kwargs |= {"blocks": BLOCKS[like.architecture]}
        network, minimum = architecture.ResNet(**kwargs), tuple(2 * step for step in grid)  # what can be mirrored
    doubling = ConvTranspose2d | ConvTranspose3d
    kernels = {
        f"{name}.weight": own.kernel() for name, own in model.generator.named_modules() if isinstance(own, doubling)
    }
    network.load_state_dict(model.generator.state_dict() | kernels)
    found = Portable(model, network.eval(), kwargs, minimum)
    found.require_equal(running(network), "The plain network")
    return found


def running(network: torch.nn.Module) -> Callable[[NDArray[np.float32]], NDArray[np.float32]]:
    """What makes maps of images by this network."""

    def run(images: NDArray[np.float32]) -> NDArray[np.float32]:
        with torch.inference_mode():
            maps: NDArray[np.float32] = network(torch.from_numpy(images)).numpy()
        return maps

    return run
