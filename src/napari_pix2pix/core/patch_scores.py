"""The discriminator's scores of an image given its source, and where they lie on it."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray

from napari_pix2pix.core.networks.patchgan import PatchGAN
from napari_pix2pix.core.networks.receptive_field import ReceptiveField
from napari_pix2pix.core.tiles import round_up


@dataclass(frozen=True)
class PatchScores:
    """Scores on a grid over the image: score (i, j) sits on the centre of its field.

    Parameters
    ----------
    scores
        Logits (…, y, x), float32, finite; high = looks real and matching.
    valid
        bool (…, y, x): the field lies wholly inside the image. The others see padding.
    axes
        Of `scores`: the image's axes without channels.
    receptive_field
        What one score sees, in pixels.
    kind
        ``plain``: by the discriminator of the training. It judges whether a field looks real, not whether it is true.
    expected_error
        None: this model has not been taught to expect errors.
    """

    scores: NDArray[np.float32]
    valid: NDArray[np.bool_]
    axes: str
    receptive_field: ReceptiveField
    kind: Literal["plain", "match"] = "plain"
    expected_error: NDArray[np.float32] | None = None

    @property
    def scale(self) -> tuple[float, float]:
        """Pixels between neighbouring scores, (y, x)."""
        return (float(self.receptive_field.stride),) * 2

    @property
    def translate(self) -> tuple[float, float]:
        """The pixel on which score (0, 0) sits, (y, x), pixel centres at integers."""
        return (self.receptive_field.centre,) * 2


def grid_length(field: ReceptiveField, pixels: int) -> int:
    """Scores along an axis of this many pixels: floor(pixels / stride) - 2, or one each for a PixelGAN."""
    return pixels if field.stride == 1 else pixels // field.stride - 2


def valid_scores(field: ReceptiveField, shape: tuple[int, int]) -> NDArray[np.bool_]:
    """Which scores of an image of this shape see no padding, bool (y, x)."""
    starts = [field.first + field.stride * np.arange(grid_length(field, n)) for n in shape]
    rows, columns = ((start >= 0) & (start + field.size <= n) for start, n in zip(starts, shape, strict=True))
    return np.outer(rows, columns)


def score_frame(
    discriminator: PatchGAN,
    source: NDArray[np.float32],
    image: NDArray[np.float32],
    device: torch.device,
    tile_size: int | None = None,
) -> NDArray[np.float32]:
    """Scores (y, x) of `image` (K, Y, X) given `source` (C, Y, X), both in network values.

    Computed in tiles of about `tile_size` pixels that give the scores of the whole: each starts on a multiple of the
    stride and sees the whole field of every score that is kept from it.

    Raises
    ------
    ValueError
        If the image is smaller than one field.
    """
    field, shape = discriminator.receptive_field, (image.shape[1], image.shape[2])
    if min(shape) < field.size:
        raise ValueError(
            f"An image to score must be at least one field large, {field.size} x {field.size} px; "
            f"got {shape[0]} x {shape[1]}. Use a model with a smaller field."
        )
    grid = tuple(grid_length(field, n) for n in shape)
    side = max(grid) if tile_size is None else max(1, round_up(tile_size, field.stride) // field.stride)
    scores = np.empty(grid, np.float32)
    for top in range(0, grid[0], side):
        for left in range(0, grid[1], side):
            keep = tuple(slice(a, min(a + side, n)) for a, n in zip((top, left), grid, strict=True))
            read = tuple(_pixels_behind(field, kept, n) for kept, n in zip(keep, shape, strict=True))
            with torch.inference_mode():
                pair = [torch.from_numpy(np.ascontiguousarray(f[:, read[0], read[1]]))[None] for f in (source, image)]
                found = discriminator(*(frame.to(device) for frame in pair))[0, 0].cpu().numpy()
            inside = tuple(
                slice(k.start - r.start // field.stride, k.stop - r.start // field.stride)
                for k, r in zip(keep, read, strict=True)
            )
            scores[keep] = found[inside]
    return scores


def _pixels_behind(field: ReceptiveField, scores: slice, length: int) -> slice:
    """The pixels to read for these scores: their fields, from a multiple of the stride, cut at the image's border."""
    start = max(0, field.pixels(scores.start).start) // field.stride * field.stride
    return slice(start, min(length, field.pixels(scores.stop - 1).stop))
