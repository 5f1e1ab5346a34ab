"""The discriminator's scores of an image given its source, and where they lie on it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any, Literal, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from napari_pix2pix.core.engine.devices import computing_in
from napari_pix2pix.core.geometry.areas import Area
from napari_pix2pix.core.geometry.per_pixel import per_pixel
from napari_pix2pix.core.geometry.receptive_field import ReceptiveField
from napari_pix2pix.core.geometry.tiles import round_up

ScoreKind = Literal["match", "plain"]
ReadWindow = Callable[[tuple[slice, ...]], NDArray[np.float32]]


class Scoring(Protocol):
    """A network that gives scores: a discriminator, or what judges the match."""

    fields: tuple[ReceptiveField, ...]
    outputs: int

    def __call__(self, *sides: Tensor) -> Tensor:
        """Outputs (N, outputs, [z,] y, x) of sides (N, C, [Z,] Y, X): a source, an image, and what else it takes."""
        ...


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
    fields
        What one score sees along each axis, in pixels.
    kind
        ``match``: by the discriminator that was taught to judge whether a field belongs to its source. ``plain``: by
        the one of the training, which judges whether a field looks real, not whether it is true.
    expected_error
        How wrong the field is likely to be, float32 (…, y, x): the mean over its pixels in the target's grey values
        (over its channels, too), of labels the share of wrong pixels. None: this model was not taught to expect errors.
    rank
        Of each score among real fields of calibration pairs, float32 (…, y, x), small = few real fields score so low;
        see `Calibration.rank`. None: the model has none.
    error_bound
        What 90 % of fields err less than, on average over new images like those of the calibration pairs, float32
        (…, y, x); see `Calibration.bound`. None: the model has none, or too few calibration groups to promise it.
    promise
        What `error_bound` means, or why there is none, in a sentence; empty for plain scores.
    domains
        How likely the discriminator takes each label for that of the field, float32 (n, …, y, x): those of a set add up
        to 1. None: the model knows no domains.
    pixels
        What gives the expected error ([Z,] Y, X) of the pixels of any window of a frame, as `expected_pixels` does.
        None: only fields are known, or this is a stack of several frames.
    masked, mean
        The same for `masked_pixels`, and for the mean of all pixels of the frame.
    """

    scores: NDArray[np.float32]
    valid: NDArray[np.bool_]
    axes: str
    fields: tuple[ReceptiveField, ...]
    kind: ScoreKind = "plain"
    expected_error: NDArray[np.float32] | None = None
    rank: NDArray[np.float32] | None = None
    error_bound: NDArray[np.float32] | None = None
    promise: str = ""
    domains: NDArray[np.float32] | None = None
    pixels: ReadWindow | None = None
    masked: ReadWindow | None = None
    mean: Callable[[], float] | None = None

    @property
    def parts(self) -> dict[str, NDArray[Any]]:
        """All that is known of each score, by name: ``scores``, ``valid`` and what else there is but its domain."""
        named = ("scores", "valid", "expected_error", "rank", "error_bound")
        return {name: values for name in named if (values := getattr(self, name)) is not None}

    def expected_pixels(self, window: tuple[slice, ...]) -> NDArray[np.float32]:
        """How wrong each pixel of a window of the frame is likely to be, float32 ([Z,] Y, X), in the target's units.

        Their mean over a field is `expected_error`. Where only fields are known it is what they have `around` it.
        """
        return self.pixels(window) if self.pixels else self.around(window)

    def masked_pixels(self, window: tuple[slice, ...]) -> NDArray[np.float32]:
        """What masks with a promise go by, as `expected_pixels`, but that no pixels are told the same.

        Those that are hardly ever wrong are ranked by what is known of each, so that a strict mask can leave some.
        """
        return self.masked(window) if self.masked else self.expected_pixels(window)

    def around(self, window: tuple[slice, ...]) -> NDArray[np.float32]:
        """The expected error of the field around each pixel of a window, see `per_pixel`."""
        assert self.expected_error is not None
        return per_pixel(self.expected_error, self.scale, self.translate, window)

    @property
    def mean_error(self) -> float:
        """The mean expected error of the pixels of the frame, by which images are ranked.

        Where only fields are known, that of those wholly inside the frame, if there are any.
        """
        if self.mean is not None:
            return self.mean()
        assert self.expected_error is not None
        inside = self.valid if self.valid.any() else np.ones_like(self.valid)
        return float(self.expected_error[inside].mean(dtype=np.float64))

    @property
    def receptive_field(self) -> ReceptiveField:
        """What one score sees along Y, and along X."""
        return self.fields[-1]

    @property
    def scale(self) -> tuple[float, ...]:
        """Pixels between neighbouring scores, ([z,] y, x)."""
        return tuple(float(field.stride) for field in self.fields)

    @property
    def translate(self) -> tuple[float, ...]:
        """The pixel on which score ([0,] 0, 0) sits, ([z,] y, x), pixel centres at integers."""
        return tuple(field.centre for field in self.fields)


def score_grid(fields: tuple[ReceptiveField, ...], shape: tuple[int, ...]) -> tuple[int, ...]:
    """Scores along each axis of an image of this shape, 0 where it is too small for any.

    floor(pixels / stride) - 2 for the paper's PatchGANs along Y and X; floor(planes / stride) along Z; for a PixelGAN
    one per pixel.
    """
    return tuple(field.count(n) for field, n in zip(fields, shape, strict=True))


def valid_scores(fields: tuple[ReceptiveField, ...], shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """Which scores of an image of this shape see no padding, bool ([z,] y, x)."""
    valid = np.ones((), bool)
    for field, n, count in zip(fields, shape, score_grid(fields, shape), strict=True):
        valid = np.logical_and.outer(valid, np.isin(np.arange(count), field.inside(n)))
    return valid


def whole_scores(fields: tuple[ReceptiveField, ...], shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """`valid_scores`; of a volume with fewer planes than a field those that see no padding along Y and X."""
    valid = valid_scores(fields, shape)
    if valid.any() or len(shape) == 2:
        return valid
    return np.broadcast_to(valid_scores(fields[1:], shape[1:]), valid.shape)


def require_large_enough(fields: tuple[ReceptiveField, ...], shape: tuple[int, ...]) -> None:
    """Raise if an image of this shape is too small for a score.

    Raises
    ------
    ValueError
        If the image is smaller than one field along Y or X, or has fewer planes than a score is wide along Z.
    """
    field = fields[-1]
    if min(shape[-2:]) < field.size:
        raise ValueError(
            f"An image to score must be at least one field large, {field.size} x {field.size} px; "
            f"got {shape[-2]} x {shape[-1]}. Use a model with a smaller field."
        )
    if min(score_grid(fields, shape)) == 0:
        raise ValueError(
            f"A volume to score must have at least {fields[0].stride} planes; got {shape[0]}. Use a model whose "
            "discriminator halves the planes less often."
        )


def score_frame(
    discriminator: Scoring,
    source: NDArray[np.float32],
    image: NDArray[np.float32],
    device: torch.device,
    tile_size: int | None = None,
) -> NDArray[np.float32]:
    """Scores ([z,] y, x), the first output of `frame_outputs`."""
    scores: NDArray[np.float32] = frame_outputs(discriminator, (source, image), device, tile_size)[0]
    return scores


def frame_outputs(
    network: Scoring,
    sides: Sequence[NDArray[np.float32]],
    device: torch.device,
    tile_size: int | None = None,
) -> NDArray[np.float32]:
    """Outputs (n, [z,] y, x) for these sides (C, [Z,] Y, X): a source, an image …; see `score_windows`."""
    return score_windows(network, [reader(side) for side in sides], sides[0].shape[1:], device, tile_size)


def reader(frame: NDArray[np.float32]) -> ReadWindow:
    """What gives any window ([z,] y, x) of the frame (C, [Z,] Y, X)."""
    return lambda window: frame[(slice(None), *window)]


def score_windows(
    network: Scoring,
    sides: Sequence[ReadWindow],
    shape: tuple[int, ...],
    device: torch.device,
    tile_size: int | None = None,
    area: Area | None = None,
) -> NDArray[np.float32]:
    """Outputs (n, [z,] y, x) for an image of this shape ([Z,] Y, X): source, image … are read window by window.

    The first of the network's n outputs are the scores.

    Computed in tiles of about `tile_size` pixels that give the scores of the whole: each starts on a multiple of the
    stride and sees the whole field of every score that is kept from it. Readers give network values, float32
    (C, [Z,] Y, X). Where an `area` is wanted alone, outputs of tiles that see none of it are 0.

    Raises
    ------
    ValueError
        If the image is too small.
    """
    fields = network.fields
    require_large_enough(fields, shape)
    grid = score_grid(fields, shape)
    outputs = np.zeros((network.outputs, *grid), np.float32)
    kept = grid if tile_size is None else tuple(round_up(tile_size, f.stride) // f.stride for f in fields)
    for corner in product(*(range(0, n, side) for n, side in zip(grid, kept, strict=True))):
        keep = tuple(slice(a, min(a + side, n)) for a, side, n in zip(corner, kept, grid, strict=True))
        seen = tuple(_pixels_behind(f, scores, n) for f, scores, n in zip(fields, keep, shape, strict=True))
        if area is not None and not area.touches(seen):
            continue
        with torch.inference_mode(), computing_in("float32", device):
            read = [torch.from_numpy(np.ascontiguousarray(side(seen)))[None].to(device) for side in sides]
            found = network(*read)[0].cpu().numpy()
        inside = tuple(
            slice(k.start - r.start // f.stride, k.stop - r.start // f.stride)
            for f, k, r in zip(fields, keep, seen, strict=True)
        )
        outputs[(slice(None), *keep)] = found[(slice(None), *inside)]
    return outputs


def _pixels_behind(field: ReceptiveField, scores: slice, length: int) -> slice:
    """The pixels to read for these scores: their fields, from a multiple of the stride, cut at the image's border."""
    start = max(0, field.pixels(scores.start).start) // field.stride * field.stride
    return slice(start, min(length, field.pixels(scores.stop - 1).stop))
