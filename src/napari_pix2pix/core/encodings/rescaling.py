"""A frame at another pixel size, and back."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from skimage.transform import resize


def rescaled_shape(shape: tuple[int, ...], scale: tuple[float, ...]) -> tuple[int, ...]:
    """How many pixels, `scale` for each one, span a frame of this shape ([Z,] Y, X); rounded, at least one."""
    return tuple(max(1, round(n * factor)) for n, factor in zip(shape, scale, strict=True))


def resampled(frame: NDArray[Any], shape: tuple[int, ...], labels: bool = False) -> NDArray[Any]:
    """`frame` (C, [Z,] Y, X) as (C, *shape) that spans the same ground, from border to border of the outer pixels.

    Between pixels linearly, float32, where it shrinks after a Gaussian filter against aliasing; NaN and Inf spread to
    their neighbours. Labels keep their dtype: of each new pixel, the label at its centre.
    """
    if frame.shape[1:] == tuple(shape):
        return frame
    if labels:
        centres = [((np.arange(n) + 0.5) * m / n).astype(int) for n, m in zip(shape, frame.shape[1:], strict=True)]
        taken: NDArray[Any] = frame[np.ix_(np.arange(len(frame)), *centres)]
        return taken
    values = frame.astype(np.float32, copy=False)
    channels = [resize(channel, shape, order=1, anti_aliasing=True, preserve_range=True) for channel in values]
    found: NDArray[np.float32] = np.stack(channels).astype(np.float32, copy=False)
    return found
