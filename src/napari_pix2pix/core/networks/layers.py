"""Convolutions in two and three dimensions."""

from torch import Tensor, nn
from torch.nn.functional import conv3d, conv_transpose3d, pad

PLANE_KERNEL, DEPTH_KERNEL = 4, 3
"""Along Y and X as in the paper; along Z, where stacks are thin, at most three planes where nothing strides."""


def convolution(
    spatial_dims: int,
    before: int,
    after: int,
    *,
    stride: int = 1,
    z_stride: int = 1,
    bias: bool,
    kernel: int = PLANE_KERNEL,
    mirror: bool = False,
) -> nn.Module:
    """A convolution with (kernel - 1) // 2 px of padding: zeros, or the mirrored image."""
    kernels, strides, padding = _sides(spatial_dims, kernel, stride, z_stride)
    make = nn.Conv2d if spatial_dims == 2 else Conv3d
    if mirror:
        return nn.Sequential(Mirror(padding), make(before, after, kernels, strides, bias=bias))  # type: ignore[arg-type]
    return make(before, after, kernels, strides, padding, bias=bias)  # type: ignore[arg-type]


def up_convolution(
    spatial_dims: int, before: int, after: int, *, z_stride: int = 1, bias: bool, kernel: int = PLANE_KERNEL
) -> nn.Module:
    """The transposed convolution that doubles Y and X, and multiplies the planes by `z_stride`."""
    kernels, strides, padding = _sides(spatial_dims, kernel, 2, z_stride)
    missing = tuple(s + 2 * p - k for k, s, p in zip(kernels, strides, padding, strict=True))
    make = nn.ConvTranspose2d if spatial_dims == 2 else ConvTranspose3d
    return make(before, after, kernels, strides, padding, missing, bias=bias)  # type: ignore[arg-type]


def _sides(spatial_dims: int, kernel: int, stride: int, z_stride: int) -> tuple[tuple[int, ...], ...]:
    """Kernel, stride and padding along each axis."""
    planes = spatial_dims - 2
    depth = kernel if z_stride > 1 else min(kernel, DEPTH_KERNEL)
    kernels = (depth,) * planes + (kernel, kernel)
    return kernels, (z_stride,) * planes + (stride, stride), tuple((k - 1) // 2 for k in kernels)


class Conv3d(nn.Conv3d):
    """One that trains on two planes, too.

    In bfloat16 on the CPU (torch 2.13), the weights' gradient of kernel 3, stride 1, padding 1 on two planes reads
    memory that nobody has written: NaN at times, wrong at others. So two planes are padded beforehand.
    """

    def forward(self, input: Tensor) -> Tensor:
        """The convolution."""
        if not (self.training and input.shape[2] == 2 and self.stride[0] == self.padding[0] == 1):
            return super().forward(input)
        padded = pad(input, [0, 0, 0, 0, 1, 1])
        return conv3d(padded, self.weight, self.bias, self.stride, (0, *self.padding[1:]))


class ConvTranspose3d(nn.ConvTranspose3d):
    """Likewise; here the two planes that padding takes away are cut off afterwards."""

    def forward(self, input: Tensor, output_size: list[int] | None = None) -> Tensor:
        """The transposed convolution."""
        if not (self.training and input.shape[2] == 2 and self.stride[0] == 1):
            return super().forward(input, output_size)
        padding = (0, *self.padding[1:])
        return conv_transpose3d(input, self.weight, self.bias, self.stride, padding, self.output_padding)[:, :, 1:-1]


class Mirror(nn.Module):
    """Features (N, C, [Z,] Y, X) with `padding` pixels more on both ends of each axis: the mirrored ones.

    An axis must be longer than its padding; the mirror image of a single pixel is that pixel.
    """

    def __init__(self, padding: tuple[int, ...]) -> None:
        super().__init__()
        self.padding = padding

    def forward(self, features: Tensor) -> Tensor:
        """The padded features."""
        lengths = features.shape[2:]
        sides = [0 if n == 1 else p for n, p in zip(lengths, self.padding, strict=True)]
        mirrored = pad(features, [side for side in reversed(sides) for _ in range(2)], mode="reflect")
        return mirrored.expand(-1, -1, *(n + 2 * p for n, p in zip(lengths, self.padding, strict=True)))
