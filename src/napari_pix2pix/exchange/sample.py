"""What shows a model to people, and lets programs try it: a source, and what the model makes of it."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_pix2pix.core.encodings.encoding import Encoding
from napari_pix2pix.core.engine.atomic import written_beside
from napari_pix2pix.core.running.trained_model import TrainedModel
from napari_pix2pix.files.pictures import as_rgb
from napari_pix2pix.files.results import channels_taken
from napari_pix2pix.files.stacks import open_stack

LARGEST = 512
"""Of its sides, px, where the network allows."""


@dataclass(frozen=True)
class Sample:
    """A source frame of sides that the network takes as a tile, and its prediction.

    Parameters
    ----------
    source
        Grey values or labels (C, [Z,] Y, X), float32.
    prediction
        As the model predicts it, (C, [Z,] Y, X).
    labels
        Whether that is one of labels; whether the source is.
    made_up
        Whether the source is no image of anything.
    """

    source: NDArray[np.float32]
    prediction: NDArray[Any]
    labels: tuple[bool, bool]
    made_up: bool

    def write_cover(self, path: Path) -> None:
        """A PNG: the source, and at its right the prediction; of volumes the middle planes."""
        import imagecodecs

        sides = zip((self.source, self.prediction), self.labels, strict=True)
        flat = ((side[:, side.shape[1] // 2] if side.ndim == 4 else side, labels) for side, labels in sides)
        panels = [as_rgb(side, labels=labels) for side, labels in flat]
        with written_beside(path) as beside:
            imagecodecs.imwrite(beside, np.ascontiguousarray(np.concatenate(panels, axis=1)))


def sample_of(model: TrainedModel, least: Sequence[int], image: Path | None, axes: str | None = None) -> Sample:
    """The middle of the first frame of `image`, of sides ([z,] y, x) of at least so many pixels.

    Without an image: something made up, in the range of grey values that trained. `axes` are those of an image that
    does not say.

    Raises
    ------
    ValueError
        If the image cannot be read, or is no source for the model.
    """
    encoding = model.source_encoding
    if image is None:
        frame = _made_up(encoding, least)
    else:
        stack = open_stack(image, axes)
        plan = model.source_plan(stack.array, stack.axes, channels_taken(model, stack, ()))
        frame = plan.take(stack.array, 0)
    source = _middle(frame, least, model.generator.grid).astype(np.float32)
    prediction = model.predict_frame(source, "float32")
    return Sample(source, prediction, (encoding.is_labels, model.target_encoding.is_labels), image is None)


def _middle(frame: NDArray[Any], least: Sequence[int], grid: Sequence[int]) -> NDArray[Any]:
    """As much of a frame as the network takes, mirrored where it is smaller than that."""
    for axis, (shortest, step) in enumerate(zip(least, grid, strict=True), 1):
        length = frame.shape[axis]
        side = shortest + max(0, min(length, LARGEST) - shortest) // step * step
        start = max(0, length - side) // 2
        frame = frame.take(range(start, min(start + side, length)), axis)
        more = [(0, side - frame.shape[axis] if i == axis else 0) for i in range(frame.ndim)]
        frame = np.pad(frame, more, mode="symmetric")
    return frame


def _made_up(encoding: Encoding, least: Sequence[int]) -> NDArray[np.float32]:
    """Soft noise."""
    shape = (encoding.n_channels, *least[:-2], *(max(256, n) for n in least[-2:]))
    noise = np.random.default_rng(0).normal(size=shape)
    noise = ndimage.gaussian_filter(noise, (0,) * (len(shape) - 2) + (3, 3))
    shares = (noise - noise.min()) / np.ptp(noise)
    if (known := encoding.normalization) is None:
        labels: NDArray[np.float32] = np.array(encoding.classes, np.float32)
        return labels[np.minimum((shares * len(labels)).astype(int), len(labels) - 1)]
    low, high = (np.reshape(ends, (-1, *(1,) * (shares.ndim - 1))) for ends in (known.low, known.high))
    grey: NDArray[np.float32] = (low + shares * (high - low)).astype(np.float32)
    return grey if np.dtype(encoding.dtype).kind == "f" else np.rint(grey)
