"""Convolutions in two and three dimensions."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import conv3d, conv_transpose2d, conv_transpose3d, fold, pad, unfold

PLANE_KERNEL, DEPTH_KERNEL = 4, 3
"""Along Y and X as in the paper; along Z, where stacks are thin, three planes or one where nothing strides."""
FEW = 1024
"""Places on which a kernel that strides is laid, over the whole batch, up to which a product of matrices is faster."""


def with_stains(images: Tensor, stains: Tensor | None) -> Tensor:
    """Images (N, K, [Z,] Y, X) beside planes of the channels that each holds, (N, K), 1 = there; the others are 0."""
    if stains is None:
        return images
    planes = stains.reshape(*stains.shape, *(1,) * (images.ndim - 2)).to(images)
    return torch.cat([images * planes, planes.expand_as(images)], dim=1)


def beside_stains(image: NDArray[np.float32], stains: NDArray[np.bool_] | None) -> NDArray[np.float32]:
    """The same as `with_stains` of one image (K, [Z,] Y, X), and which of its channels are there, (K,)."""
    if stains is None:
        return image
    return with_stains(torch.from_numpy(image)[None], torch.from_numpy(stains)[None])[0].numpy()


def convolution(
    spatial_dims: int,
    before: int,
    after: int,
    *,
    stride: int = 1,
    z_stride: int = 1,
    bias: bool,
    kernel: int = PLANE_KERNEL,
    padding: int | None = None,
    mirror: bool = False,
) -> nn.Module:
    """A convolution with `padding`, or (kernel - 1) // 2 px of it: zeros, or the mirrored image."""
    kernels, strides, paddings = _sides(spatial_dims, kernel, stride, z_stride)
    if padding is not None:
        paddings = (*paddings[:-2], padding, padding)
    make = (Conv2d if stride == 2 else nn.Conv2d) if spatial_dims == 2 else Conv3d
    if mirror:
        return nn.Sequential(Mirror(paddings), make(before, after, kernels, strides, bias=bias))  # type: ignore[arg-type]
    return make(before, after, kernels, strides, paddings, bias=bias)  # type: ignore[arg-type]


def up_convolution(
    spatial_dims: int,
    before: int,
    after: int,
    *,
    z_stride: int = 1,
    bias: bool,
    kernel: int = PLANE_KERNEL,
    nearest: bool = False,
) -> nn.Module:
    """What doubles Y and X, and multiplies the planes by `z_stride`: a transposed convolution, or a `nearest` one."""
    if nearest:
        return (NearestUp2d if spatial_dims == 2 else NearestUp3d)(before, after, z_stride, bias)
    kernels, strides, padding = _sides(spatial_dims, kernel, 2, z_stride)
    missing = tuple(s + 2 * p - k for k, s, p in zip(kernels, strides, padding, strict=True))
    make = ConvTranspose2d if spatial_dims == 2 else ConvTranspose3d
    return make(before, after, kernels, strides, padding, missing, bias=bias)  # type: ignore[arg-type]


def _sides(spatial_dims: int, kernel: int, stride: int, z_stride: int) -> tuple[tuple[int, ...], ...]:
    """Kernel, stride and padding along each axis."""
    planes = spatial_dims - 2
    depth = kernel if z_stride > 1 else DEPTH_KERNEL if kernel >= DEPTH_KERNEL else 1
    kernels = (depth,) * planes + (kernel, kernel)
    return kernels, (z_stride,) * planes + (stride, stride), tuple((k - 1) // 2 for k in kernels)


def _as_matrices(layer: nn.Module, features: Tensor, places: int) -> bool:
    """Whether `layer` is faster as a product of matrices.

    In bfloat16 on the CPU (torch 2.13), a convolution spends most of its time on laying out its weights anew; few
    places do not pay for that. As a product, training steps of the innermost layers are two to five times faster
    (`benchmarks/training.py`). Predictions in float32 never take this way.
    """
    return layer.training and features.device.type == "cpu" and torch.is_autocast_enabled("cpu") and places <= FEW


class Conv2d(nn.Conv2d):
    """One that trains faster on few pixels."""

    def forward(self, input: Tensor) -> Tensor:
        """The convolution."""
        kernel, stride, padding = self.kernel_size[0], self.stride[0], int(self.padding[0])
        n, y, x = len(input), *((side + 2 * padding - kernel) // stride + 1 for side in input.shape[2:])
        if not _as_matrices(self, input, n * y * x):
            return super().forward(input)
        seen = unfold(input, kernel, padding=padding, stride=stride).transpose(0, 1)  # (before * kernel, N, places)
        found = self.weight.flatten(1) @ seen.flatten(1)
        found = found if self.bias is None else found + self.bias[:, None]
        return found.reshape(-1, n, y, x).transpose(0, 1)


class ConvTranspose2d(nn.ConvTranspose2d):
    """Likewise."""

    def forward(self, input: Tensor, output_size: list[int] | None = None) -> Tensor:
        """The transposed convolution."""
        weight, stride, padding = self.kernel(), self.stride[0], int(self.padding[0])
        n, _, y, x = input.shape
        if any(self.output_padding) or not _as_matrices(self, input, n * y * x):
            return conv_transpose2d(input, weight, self.bias, stride, padding, self.output_padding)
        kernel = weight.shape[-1]
        given = weight.flatten(1).t() @ input.transpose(0, 1).flatten(1)  # (after * kernel, N * places)
        given = given.reshape(-1, n, y * x).transpose(0, 1)
        sides = tuple((side - 1) * stride - 2 * padding + kernel for side in (y, x))
        found = fold(given, sides, kernel, padding=padding, stride=stride)
        return found if self.bias is None else found + self.bias[:, None, None]

    def kernel(self) -> Tensor:
        """The kernel, (before, after, Y, X)."""
        return self.weight


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
        cut = self.training and input.shape[2] == 2 and self.stride[0] == 1
        padding = (0 if cut else int(self.padding[0]), *map(int, self.padding[1:]))
        found = conv_transpose3d(input, self.kernel(), self.bias, self.stride, padding, self.output_padding)
        return found[:, :, 1:-1] if cut else found

    def kernel(self) -> Tensor:
        """The kernel, (before, after, Z, Y, X)."""
        return self.weight


class NearestUp2d(ConvTranspose2d):
    """Each pixel four times, then a 3x3 convolution; see `doubling`."""

    def __init__(self, before: int, after: int, z_stride: int, bias: bool) -> None:
        super().__init__(before, after, 3, 2, 1, bias=bias)

    def kernel(self) -> Tensor:
        """The kernel, (before, after, 4, 4)."""
        return doubling(self.weight, (2, 2))


class NearestUp3d(ConvTranspose3d):
    """Likewise, with three planes; where planes are doubled, too, each voxel eight times."""

    def __init__(self, before: int, after: int, z_stride: int, bias: bool) -> None:
        super().__init__(before, after, 3, (z_stride, 2, 2), 1, bias=bias)

    def kernel(self) -> Tensor:
        """The kernel, (before, after, 3 or 4, 4, 4)."""
        return doubling(self.weight, self.stride)


def doubling(weight: Tensor, strides: tuple[int, ...]) -> Tensor:
    """The kernel of the transposed convolution that equals nearest-neighbour upsampling, then a convolution.

    Where nothing changes in what it sees, nothing changes in what it gives, so it draws no checkerboard; and it costs
    what any transposed convolution costs, since no features of full size are made.

    Parameters
    ----------
    weight
        Of the convolution, (before, after, [Z,] Y, X), each 3 long.
    strides
        Along each axis, 1 or 2; those of 2 are 4 long in what is found.

    References
    ----------
    Odena et al., "Deconvolution and checkerboard artifacts", Distill 2016.
    """
    for axis, stride in enumerate(reversed(strides)):
        if stride == 2:
            ends = [0] * (2 * axis)
            weight = pad(weight, [*ends, 0, 1]) + pad(weight, [*ends, 1, 0])
    return weight


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
