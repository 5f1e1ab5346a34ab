"""The receptive field of a network of convolutions, read off its layers."""

from torch import nn

from napari_pix2pix.core.geometry.receptive_field import ReceptiveField, fold


def receptive_fields(network: nn.Module) -> tuple[ReceptiveField, ...]:
    """The field of a chain of convolutions, along each axis."""
    layers = [module for module in network.modules() if isinstance(module, nn.Conv2d | nn.Conv3d)]
    chains = zip(
        *(zip(conv.kernel_size, conv.stride, (int(p) for p in conv.padding), strict=True) for conv in layers),
        strict=True,
    )
    return tuple(fold(chain) for chain in chains)
