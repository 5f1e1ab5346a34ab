"""Convolutions in two and three dimensions."""

from torch import nn

PLANE_KERNEL, DEPTH_KERNEL = 4, 3
"""Along Y and X as in the paper; along Z, where stacks are thin, without stride."""


def convolution(
    spatial_dims: int, before: int, after: int, *, stride: int, bias: bool, kernel: int = PLANE_KERNEL
) -> nn.Module:
    """A convolution of 4x4 pixels with padding 1, or of 1x1 without; in a volume 3 planes, of 1x1 one."""
    padding = 1 if kernel > 1 else 0
    if spatial_dims == 2:
        return nn.Conv2d(before, after, kernel, stride, padding, bias=bias)
    depth = DEPTH_KERNEL if kernel > 1 else 1
    return nn.Conv3d(before, after, (depth, kernel, kernel), (1, stride, stride), padding, bias=bias)


def up_convolution(spatial_dims: int, before: int, after: int, *, bias: bool) -> nn.Module:
    """The transposed convolution that doubles Y and X."""
    if spatial_dims == 2:
        return nn.ConvTranspose2d(before, after, PLANE_KERNEL, 2, 1, bias=bias)
    kernel = (DEPTH_KERNEL, PLANE_KERNEL, PLANE_KERNEL)
    return nn.ConvTranspose3d(before, after, kernel, (1, 2, 2), 1, bias=bias)
