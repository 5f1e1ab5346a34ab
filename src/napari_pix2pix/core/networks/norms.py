"""Normalization layers, how weights start, and whose statistics a layer uses."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import batch_norm

from napari_pix2pix.core.engine.processes import count, mean
from napari_pix2pix.core.networks.layers import NearestUp2d, NearestUp3d
from napari_pix2pix.core.settings.config import Norm

CONVOLUTIONS = nn.Conv2d | nn.ConvTranspose2d | nn.Conv3d | nn.ConvTranspose3d
BATCH_NORMS = nn.BatchNorm2d | nn.BatchNorm3d
INSTANCE_NORMS = nn.InstanceNorm2d | nn.InstanceNorm3d
PLAIN_BATCHES, FULL_BATCHES = 100, 600
"""BatchRenorm is plain batch norm for the first, then corrects more and more up to the second."""
LARGEST_SCALE, LARGEST_SHIFT = 3.0, 5.0
"""Of the correction; Ioffe 2017, section 4.1."""


class _OverAllProcesses(nn.Module):
    """A batch norm whose batch is that of all processes together; torch's own does it on CUDA only."""

    def forward(self, input: Tensor) -> Tensor:
        """The normalized features."""
        norm: Any = self
        if not self.training or count() == 1:
            found: Tensor = super().forward(input)
            return found
        over, each = [axis for axis in range(input.ndim) if axis != 1], (-1, *(1,) * (input.ndim - 2))
        features = input.to(norm.weight.dtype)
        middle = mean(features.mean(over))
        centred = features - middle.reshape(each)
        variance = mean((centred**2).mean(over))
        with torch.no_grad():
            norm.num_batches_tracked += 1
            momentum = 1 / float(norm.num_batches_tracked) if norm.momentum is None else norm.momentum
            n = count() * input.numel() // input.shape[1]
            norm.running_mean.lerp_(middle, momentum)
            norm.running_var.lerp_(variance * n / (n - 1), momentum)
        scale = norm.weight * torch.rsqrt(variance + norm.eps)
        normed: Tensor = centred * scale.reshape(each) + norm.bias.reshape(each)
        return normed.to(input.dtype)


class BatchNorm2d(_OverAllProcesses, nn.BatchNorm2d):
    """Of images."""


class BatchNorm3d(_OverAllProcesses, nn.BatchNorm3d):
    """Of volumes."""


class BatchRenorm(nn.Module):
    """Batch norm that trains with the statistics it predicts with: no gap between the two.

    The batch's mean and deviation normalize, and are corrected to the running ones: (x - mean) / deviation * r + d with
    r = deviation / running deviation and d = (mean - running mean) / running deviation, both limited and constant to
    the gradient.

    References
    ----------
    Ioffe, "Batch Renormalization", NeurIPS 2017.
    """

    running_mean: Tensor
    running_var: Tensor
    num_batches_tracked: Tensor

    def __init__(self, channels: int, momentum: float = 0.01, eps: float = 1e-5) -> None:
        super().__init__()
        self.momentum, self.eps = momentum, eps
        self.weight, self.bias = nn.Parameter(torch.ones(channels)), nn.Parameter(torch.zeros(channels))
        self.register_buffer("running_mean", torch.zeros(channels))
        self.register_buffer("running_var", torch.ones(channels))
        self.register_buffer("num_batches_tracked", torch.tensor(0))

    def forward(self, features: Tensor) -> Tensor:
        """The normalized features, of the same shape."""
        mean, var = self.running_mean, self.running_var
        if not self.training:
            return batch_norm(features, mean, var, self.weight, self.bias, eps=self.eps)
        with torch.no_grad():
            over = [axis for axis in range(features.ndim) if axis != 1]
            batch_var, batch_mean = torch.var_mean(features.to(mean.dtype), over, correction=0)
            batch_std, std = (batch_var + self.eps).sqrt(), (var + self.eps).sqrt()
            share = ((self.num_batches_tracked - PLAIN_BATCHES) / (FULL_BATCHES - PLAIN_BATCHES)).clamp(0, 1)
            limit = 1 + share * (LARGEST_SCALE - 1)
            scale = (batch_std / std).clamp(1 / limit, limit)
            shift = ((batch_mean - mean) / std).clamp(-share * LARGEST_SHIFT, share * LARGEST_SHIFT)
            # The running statistics: a plain mean at first, so that they do not depend on where they started.
            self.num_batches_tracked += 1
            momentum = (1 / self.num_batches_tracked).clamp(min=self.momentum)
            mean.lerp_(batch_mean, momentum)
            var.lerp_(batch_var, momentum)
        weight, bias = self.weight * scale, self.bias + self.weight * shift
        return batch_norm(features, None, None, weight, bias, training=True, eps=self.eps)


def norm_layer(norm: Norm, channels: int, spatial_dims: int = 2) -> nn.Module:
    """A normalization of `channels` channels; ``none`` is the identity."""
    if norm == "none":
        return nn.Identity()
    if norm == "batch-renorm":
        return BatchRenorm(channels)
    if norm == "batch":
        return BatchNorm2d(channels) if spatial_dims == 2 else BatchNorm3d(channels)
    return nn.InstanceNorm2d(channels) if spatial_dims == 2 else nn.InstanceNorm3d(channels)


def initialize(network: nn.Module, norm: Norm) -> None:
    """Draw weights from N(0, 0.02), norm scales from N(1, 0.02); biases are zero.

    Without normalization, weights are drawn so that a layer keeps the scale of its input.

    References
    ----------
    Isola et al. 2017, section 6.2; scales as in the authors' code. He et al., "Delving deep into rectifiers", ICCV
    2015, for networks without normalization.
    """
    for module in network.modules():
        if isinstance(module, CONVOLUTIONS):
            if norm == "none":
                nn.init.kaiming_normal_(module.weight, a=0.2, nonlinearity="leaky_relu")
                if isinstance(module, NearestUp2d | NearestUp3d):  # which sees each value twice along these axes
                    module.weight.data *= 0.5 ** (module.stride.count(2) / 2)
            else:
                nn.init.normal_(module.weight, 0.0, 0.02)
        elif isinstance(module, BATCH_NORMS | BatchRenorm):
            nn.init.normal_(module.weight, 1.0, 0.02)
        if isinstance(bias := getattr(module, "bias", None), nn.Parameter):
            nn.init.zeros_(bias)


def looks_at_image(network: nn.Module) -> bool:
    """Whether the network, as it is, takes statistics of what it sees: then tiles do not give what the whole gives."""
    return any(
        isinstance(module, INSTANCE_NORMS) or (isinstance(module, BATCH_NORMS | BatchRenorm) and module.training)
        for module in network.modules()
    )


@torch.no_grad()
def recompute_statistics(network: nn.Module, batches: Iterable[Tensor]) -> None:
    """Set the running statistics of batch norms to the means over `batches` under the present weights.

    The running averages of training lag behind the weights, which a small batch makes worse: predictions with them
    are worse than with those of the batch. Dropout is off, as in prediction.

    References
    ----------
    Wu and Johnson, "Rethinking 'Batch' in BatchNorm", 2021 (arXiv 2105.07576), section 3: precise batch norm.
    """
    norms = [module for module in network.modules() if isinstance(module, BATCH_NORMS)]
    if not norms:
        return
    momenta = [norm.momentum for norm in norms]
    network.eval()
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # a plain mean over the batches
        norm.train()
    for batch in batches:
        network(batch)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    network.eval()


@contextmanager
def image_statistics(network: nn.Module) -> Iterator[None]:
    """Within the block, batch norms use the image's own statistics and dropout is on, as the paper tests.

    Nothing of the network is changed afterwards.
    """
    running = [
        (buffer, buffer.clone())
        for module in network.modules()
        if isinstance(module, BATCH_NORMS | BatchRenorm)
        for buffer in module.buffers()
    ]
    network.train()
    try:
        yield
    finally:
        network.eval()
        for buffer, before in running:
            buffer.copy_(before)


def has_instance_norm(network: Any) -> bool:
    """Whether a norm of the network takes statistics of the image it sees, which tiles cannot have."""
    return any(isinstance(part, INSTANCE_NORMS) for part in network.modules())
