"""Normalization layers, how weights start, and whose statistics a layer uses."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from napari_pix2pix.core.config import Norm


def norm_layer(norm: Norm, channels: int) -> nn.Module:
    """A normalization of `channels` channels; ``none`` is the identity."""
    if norm == "batch":
        return nn.BatchNorm2d(channels)
    return nn.InstanceNorm2d(channels) if norm == "instance" else nn.Identity()


def initialize(network: nn.Module) -> None:
    """Draw weights from N(0, 0.02), norm scales from N(1, 0.02); biases are zero.

    References
    ----------
    Isola et al. 2017, section 6.2; scales as in the authors' code.
    """
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            nn.init.normal_(module.weight, 0.0, 0.02)
        elif isinstance(module, nn.BatchNorm2d):
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
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
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
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
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
