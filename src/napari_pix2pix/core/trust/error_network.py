"""What expects the error of each pixel of a prediction, and what it sees."""

import math

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, pad

from napari_pix2pix.core.encodings.encoding import Encoding
from napari_pix2pix.core.geometry.tiles import round_up
from napari_pix2pix.core.networks.generator import Generator
from napari_pix2pix.core.networks.layers import convolution, with_stains
from napari_pix2pix.core.networks.norms import initialize
from napari_pix2pix.core.networks.unet import UNet
from napari_pix2pix.core.settings.config import GeneratorConfig

LEVELS = 4
"""Of the U-Net."""
OF_LABELS, OF_INTENSITIES = 16, 8
"""Its base channels: errors of grey values are learned better from more predictions by a smaller one, in equal time."""
FARTHEST = 64
"""Borders of labels farther away than this, px, are all the same: so tiles see what the whole sees."""
NEARNESS = 4.0, 16.0
"""Distances, px, over which the nearness to a border falls to exp(-1)."""
DIM = 50.0
"""What the logarithm of a grey value looks at: a fiftieth of the range is told from nothing as well as half of it is
from all."""
RARE = 0.05
"""Labels that are less likely wrong than this, and than twice the usual, are told as likely as all of them together
are: most pixels are so, and how likely each of them is, is hardly known."""
LEAST, MOST = 1e-6, 8.0
"""The usual error is taken for at least this; errors are expected up to exp(`MOST`) times as large, or small."""


class ErrorNetwork(Generator):
    """A U-Net, and a hidden layer of each pixel that sees its features there and all that the U-Net saw.

    Of what `seen` gives (N, C, [Z,] Y, X), the expected error of each pixel (N, 1, [Z,] Y, X) in the target's units,
    float32, before `told`: of labels the probability that it is wrong; of intensities the scale of its error, see
    `surprise`. Without norm and with borders up to `FARTHEST` only, so that tiles give what the whole gives.

    Parameters
    ----------
    source, target
        Of the model.
    spatial_dims
        Of frames.
    sees_doubt
        Whether it sees `doubt` of labels as a plane by itself; networks of before had to find it.
    """

    usual: Tensor
    """The mean error of the pixels that teach, in the target's units."""
    rare: Tensor
    """The share of labels that are wrong among those that are `hardly_ever`."""

    def __init__(self, source: Encoding, target: Encoding, spatial_dims: int, sees_doubt: bool = True) -> None:
        super().__init__()
        self.sees_doubt = sees_doubt and target.is_labels
        self.labels, self.source_maps, self.sees_logarithm = target.is_labels, source.n_maps, not source.is_labels
        self.stains = target.n_stains
        sides = source.n_maps + target.n_maps * (2 if self.labels else 1) + self.stains
        self.seen_maps = sides + (len(NEARNESS) if self.labels else 0) + self.sees_doubt
        channels = OF_LABELS if self.labels else OF_INTENSITIES
        before = self.seen_maps + (source.n_maps if self.sees_logarithm else 0)
        self.unet = UNet(
            before,
            channels,
            GeneratorConfig(levels=LEVELS, base_channels=channels, norm="none", dropout=0.0),
            spatial_dims,
        )
        self.hidden = convolution(spatial_dims, channels + before, channels, bias=True, kernel=1)
        self.last = convolution(spatial_dims, channels, 1, bias=True, kernel=1)
        self.register_buffer("usual", torch.tensor(1.0))
        self.register_buffer("rare", torch.tensor(0.0))
        self.grid, self.reach = self.unet.grid, self.unet.reach
        for layer in (self.hidden, self.last):
            initialize(layer, "none")

    def forward(self, seen: Tensor) -> Tensor:
        """The expected errors, each pixel's own."""
        found = self.logits(seen)
        return found.sigmoid() if self.labels else found.exp() * self.usual.clamp(min=LEAST)

    def told(self, errors: NDArray[np.float32]) -> NDArray[np.float32]:
        """What is told of expected errors: those of labels that are wrong hardly ever are all the same."""
        if not self.labels:
            return errors
        return np.where(self.hardly_ever(errors), np.float32(float(self.rare)), errors)

    def hardly_ever(self, likely: NDArray[np.float32]) -> NDArray[np.bool_]:
        """Where labels are wrong hardly ever, of how likely they are."""
        return likely < float((2 * self.usual.clamp(min=LEAST)).clamp(max=RARE))

    def logits(self, seen: Tensor) -> Tensor:
        """Of labels the logit of the probability, of intensities the logarithm of the error over the usual one."""
        shape = seen.shape[2:]
        beyond = [(0, round_up(n, grid) - n) for n, grid in zip(shape, self.grid, strict=True)]
        seen = pad(seen, [n for side in reversed(beyond) for n in side])
        if self.sees_logarithm:
            source = seen[:, : self.source_maps]
            share = ((source + 1) / 2).clamp(min=0)
            seen = torch.cat([2 * torch.log1p(DIM * share) / math.log1p(DIM) - 1, seen], dim=1)
        features = nn.functional.leaky_relu(self.hidden(torch.cat([self.unet(seen), seen], dim=1)), 0.2)
        found: Tensor = self.last(features).float()[(..., *(slice(0, n) for n in shape))]
        usual = self.usual.clamp(min=LEAST)
        return found + torch.logit(usual, LEAST) if self.labels else found.clamp(-MOST, MOST)

    def surprise(self, logits: Tensor, errors: Tensor) -> Tensor:
        """What it is to make small, for each pixel: a proper scoring rule, least on average where it expects the mean.

        Of labels the cross-entropy; of intensities error / b + log b, b what is expected: the negative logarithm of
        the likelihood of a Laplace distribution, up to a constant.

        References
        ----------
        Gneiting and Raftery, "Strictly proper scoring rules, prediction, and estimation", JASA 2007.
        """
        if self.labels:
            return binary_cross_entropy_with_logits(logits, errors, reduction="none")
        return errors / self.usual.clamp(min=LEAST) * (-logits).exp() + logits


def border_distance(labels: NDArray[np.generic]) -> NDArray[np.float32]:
    """How far each pixel ([Z,] Y, X) lies from the next border between labels along Y and X, px, up to `FARTHEST`.

    In each plane by itself, to the centre of the nearest pixel that has a neighbour of another label.
    """
    edge = np.zeros(labels.shape, bool)
    for axis in (-2, -1):
        first, second = (labels.take(range(a, labels.shape[axis] - 1 + a), axis) for a in (0, 1))
        differ = np.moveaxis(first != second, axis, 0)
        along = np.moveaxis(edge, axis, 0)
        along[:-1] |= differ
        along[1:] |= differ
    distance = np.full(labels.shape, FARTHEST, np.float32)
    for place in np.ndindex(labels.shape[:-2]):
        if edge[place].any():
            distance[place] = ndimage.distance_transform_edt(~edge[place]).clip(max=FARTHEST)
    return distance


def label_of(image: NDArray[np.float32], target: Encoding) -> NDArray[np.generic]:
    """The label of each pixel ([Z,] Y, X) that errors are about: the class, or of instances whether there is one."""
    labels: NDArray[np.generic] = image.argmax(axis=0) if target.kind == "classes" else image[0] > 0
    return labels


def doubt(image: NDArray[np.float32], maps: NDArray[np.float32], target: Encoding) -> NDArray[np.float32]:
    """How far the labels of an image lie from the generator's maps (K, [Z,] Y, X), (1, [Z,] Y, X).

    Of classes the largest distance of any, of instances that of whether there is one.
    """
    apart: NDArray[np.float32] = np.abs(image[: target.n_maps] - maps)
    return apart[:1] if target.kind == "instances" else apart.max(axis=0, keepdims=True)


def seen(
    source: NDArray[np.float32],
    image: NDArray[np.float32],
    target: Encoding,
    maps: NDArray[np.float32] | None = None,
    distance: NDArray[np.float32] | None = None,
    sees_doubt: bool = True,
) -> NDArray[np.float32]:
    """What an `ErrorNetwork` sees (C, [Z,] Y, X) of a source and an image, in network values.

    Parameters
    ----------
    source, image
        The latter with planes of the channels that are there, or without where all are.
    target
        Of the model.
    maps, distance
        Of labels: the generator's own maps of the source, and `border_distance` of the image.
    sees_doubt
        The network's.
    """
    if (missing := target.n_maps + target.n_stains - len(image)) > 0:
        image = with_stains(torch.from_numpy(image)[None], torch.ones(1, missing))[0].numpy()
    sides = [source, image[: target.n_maps + target.n_stains]]
    if maps is not None and distance is not None:
        sides += [maps, *(np.exp(-distance / width)[None] for width in NEARNESS)]
        sides += [doubt(image, maps, target)] if sees_doubt else []
    return np.concatenate(sides).astype(np.float32, copy=False)
