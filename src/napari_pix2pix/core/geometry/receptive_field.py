"""What one score sees: the receptive field of a row of convolutions, by folding over them."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class ReceptiveField:
    """The pixels that score number i sees: `size` of them from `first` + i * `stride` on, along each axis.

    Parameters
    ----------
    size, stride
        In pixels.
    first
        The first pixel of the field of score 0; negative where it reaches into the padding.
    """

    size: int
    stride: int
    first: int

    @property
    def centre(self) -> float:
        """The centre of the field of score 0, in pixels, pixel centres at integers."""
        return self.first + (self.size - 1) / 2

    def pixels(self, score: int) -> slice:
        """The pixels that this score sees; may reach outside the image."""
        start = self.first + score * self.stride
        return slice(start, start + self.size)

    def count(self, length: int) -> int:
        """How many scores there are along an axis of `length` pixels; 0 where it is too short for any.

        Both ends are padded alike, and rounding down layer by layer is rounding down once.
        """
        return max(0, (length - 2 * self.first - self.size) // self.stride + 1)


def fold(layers: Iterable[tuple[int, int, int]]) -> ReceptiveField:
    """The field of convolutions (kernel, stride, padding), the first layer first.

    References
    ----------
    Araujo et al., "Computing Receptive Fields of Convolutional Neural Networks", Distill 2019.
    """
    size, stride, first = 1, 1, 0
    for kernel, step, padding in layers:
        size += (kernel - 1) * stride
        first -= padding * stride
        stride *= step
    return ReceptiveField(size, stride, first)


def field_means(values: NDArray[Any], fields: tuple[ReceptiveField, ...]) -> NDArray[np.float32]:
    """The mean of `values` (…, [Z,] Y, X) over the part of each score's field that lies inside, (…, [z,] y, x)."""
    means: NDArray[np.float64] = values.astype(np.float64)
    first = means.ndim - len(fields)
    for axis, field in enumerate(fields, first):
        n = means.shape[axis]
        starts = field.first + field.stride * np.arange(field.count(n))
        ends = np.clip([starts, starts + field.size], 0, n)
        sums = np.concatenate([np.zeros_like(means.take([0], axis)), means.cumsum(axis)], axis)
        counts = (ends[1] - ends[0]).reshape(-1, *(1,) * (means.ndim - axis - 1))
        means = (sums.take(ends[1], axis) - sums.take(ends[0], axis)) / counts
    return means.astype(np.float32)
