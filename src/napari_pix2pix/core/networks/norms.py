"""Normalization layers, how weights start, and whose statistics a layer uses."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from napari_pix2pix.core.config import Norm

CONVOLUTIONS = nn.Conv2d | nn.ConvTranspose2d | nn.Conv3d | nn.ConvTranspose3d
BATCH_NORMS = nn.BatchNorm2d | nn.BatchNorm3d


def norm_layer(norm: Norm, channels: int, spatial_dims: int = 2) -> nn.Module:
    """A normalization of `channels` channels; ``none`` is the identity."""
    if norm == "none":
        return nn.Identity()
    if norm == "batch":
        return nn.BatchNorm2d(channels) if spatial_dims == 2 else nn.BatchNorm3d(channels)
    return nn.InstanceNorm2d(channels) if spatial_dims == 2 else nn.InstanceNorm3d(channels)


def initialize(network: nn.Module) -> None:
    """Draw weights from N(0, 0.02), norm scales from N(1, 0.02); biases are zero.

    References
    ----------
    Isola et al. 2017, section 6.2; scales as in the authors' code.
    """
    for module in network.modules():
        if isinstance(module, CONVOLUTIONS):
            nn.init.normal_(module.weight, 0.0, 0.02)
        elif isinstance(module, BATCH_NORMS):
            nn.init.normal_(module.weight, 1.0, 0.02)
        if isinstance(bias := getattr(module, "bias", None), nn.Parameter):
            nn.init.zeros_(bias)


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
    norms = [module for module in network.modules() if isinstance(module, BATCH_NORMS)]
    state = [
        (norm.momentum, norm.num_batches_tracked.clone()) for norm in norms if norm.num_batches_tracked is not None
    ]
    network.train()
    for norm in norms:
        norm.momentum = 0.0  # leaves the running statistics as they are
    try:
        yield
    finally:
        network.eval()
        for norm, (momentum, tracked) in zip(norms, state, strict=True):
            norm.momentum = momentum
            norm.num_batches_tracked = tracked
