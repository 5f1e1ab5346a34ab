"""Whether a batch can fit into memory at all, told before anything is allocated for it."""

import math
import os
from collections.abc import Iterable

import torch
from torch import nn

from napari_pix2pix.core.settings.config import Config


def require_memory(config: Config, networks: Iterable[nn.Module], spatial_dims: int, device: torch.device) -> None:
    """Raise a MemoryError if not even the first layers' outputs for a batch, float32, fit into the device's memory."""
    pixels = config.patch_size**2 * (config.patch_depth if spatial_dims == 3 else 1)
    kinds = nn.Conv2d | nn.Conv3d
    first = [next(layer for layer in network.modules() if isinstance(layer, kinds)) for network in networks]
    each = sum(layer.out_channels * pixels / math.prod(layer.stride) for layer in first)
    needed, there = 4 * config.batch_size * each, memory_of(device)
    if needed > there:
        raise MemoryError(
            f"A batch must fit into memory; the first layers alone need {needed / 2**30:,.0f} GB for `batch_size` "
            f"{config.batch_size}, and there are {there / 2**30:,.0f}. Lower `batch_size` or `patch_size`."
        )


def memory_of(device: torch.device) -> float:
    """All that the device has, in bytes; infinite where it does not say."""
    if device.type == "cuda":
        return float(torch.cuda.get_device_properties(device).total_memory)
    try:
        return float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    except (AttributeError, OSError, ValueError):  # Windows
        return math.inf
