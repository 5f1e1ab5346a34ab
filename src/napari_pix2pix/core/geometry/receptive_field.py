"""What one score sees: the receptive field of a row of convolutions, by folding over them."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Convolution = tuple[int, int, int]
"""Its kernel, stride and padding, in pixels."""
WRITTEN = re.compile("([0-9]{1,2}),([0-9]{1,2}),([0-9]{1,2})")
LARGEST_KERNEL, MOST_LAYERS, SHOWN = 16, 12, 20
"""Of what is read; and characters of it in a message."""


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

    @property
    def shortest(self) -> int:
        """The shortest axis with a score, in pixels."""
        return self.size + 2 * self.first

    def pixels(self, score: int) -> slice:
        """The pixels that this score sees; may reach outside the image."""
        start = self.first + score * self.stride
        return slice(start, start + self.size)

    def count(self, length: int) -> int:
        """How many scores there are along an axis of `length` pixels; 0 where it is too short for any.

        Both ends are padded alike, and rounding down layer by layer is rounding down once.
        """
        return max(0, (length - self.shortest) // self.stride + 1)

    def inside(self, length: int) -> range:
        """The scores that see nothing beyond an axis of `length` pixels."""
        return range(-(self.first // self.stride), (length - self.size - self.first) // self.stride + 1)


def read_layers(text: str) -> tuple[Convolution, ...]:
    """Convolutions as they are written, kernel,stride,padding of each, the first layer first: ``4,2,1 4,1,1``.

    Raises
    ------
    ValueError
        If there are none or too many, or one is not written so, skips pixels, or lays its kernel beside the image.
    """
    words = text.split(maxsplit=MOST_LAYERS)
    if not 0 < len(words) <= MOST_LAYERS:
        raise ValueError(
            f"Layers must be 1 to {MOST_LAYERS}, kernel,stride,padding each; got {'more' if words else 'none'}. Write "
            "them like 4,2,1 4,2,1 4,1,1."
        )
    layers = []
    for word in words:
        found = WRITTEN.fullmatch(word)
        kernel, stride, padding = map(int, found.groups()) if found else (0, 0, 0)
        if not (1 <= stride <= kernel <= LARGEST_KERNEL and padding <= kernel // 2):
            raise ValueError(
                f"A layer must be kernel,stride,padding: a kernel of 1 to {LARGEST_KERNEL} px, a stride of 1 to the "
                f"kernel, a padding of 0 to half of it; got {word[:SHOWN]!r}. Write it like 4,2,1."
            )
        layers.append((kernel, stride, padding))
    return tuple(layers)


def fold(layers: Iterable[Convolution]) -> ReceptiveField:
    """The field of convolutions, the first layer first.

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
