"""Dropout whose noise can be drawn by absolute position, so that tiles see the noise of the whole frame."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from napari_pix2pix.core.engine import processes

Window = tuple[slice, ...]


class Dropout(nn.Dropout):
    """In training as in torch; in evaluation the identity, or, within `drawing`, noise that knows where it falls."""

    key: int | None = None
    windows: Sequence[Window] = ()

    def forward(self, input: Tensor) -> Tensor:
        """The features (N, C, [Z,] Y, X), a share `p` of the values dropped, the others divided by 1 - `p`."""
        if self.training and processes.count() > 1:  # what one process would drop of the whole batch
            kept = input.new_empty(processes.count() * len(input), *input.shape[1:]).bernoulli_(1 - self.p)
            return input * processes.rows(kept) / (1 - self.p)
        if self.training or self.key is None:
            return super().forward(input)
        threshold = int(self.p * 2**32) - 2**31
        shape = tuple(input.shape[1:])
        kept = torch.stack([noise(self.key, shape, window, input.device) >= threshold for window in self.windows])
        return torch.where(kept, input / (1 - self.p), 0)


@contextmanager
def drawing(network: nn.Module, seed: int, draw: int, windows: Sequence[Window]) -> Iterator[None]:
    """Within the block, the dropout of a network in evaluation mode drops what belongs to draw number `draw`.

    A feature is dropped or kept by `seed`, `draw`, the number of its layer, its channel and its absolute position,
    whatever else the network sees: so tiles drop what the whole frame drops.

    Parameters
    ----------
    windows
        Of each source in the batch: where it lies in the frame, ([z,] y, x) in pixels. Starts and lengths are multiples
        of the network's grid.
    """
    layers = _layers(network)
    for number, layer in enumerate(layers):
        layer.key, layer.windows = _key(seed, draw, number), windows
    try:
        yield
    finally:
        for layer in layers:
            layer.key, layer.windows = None, ()


def has_dropout(network: nn.Module) -> bool:
    """Whether two draws of the network can differ."""
    return bool(_layers(network))


def _layers(network: nn.Module) -> list[Dropout]:
    return [module for module in network.modules() if isinstance(module, Dropout)]


def noise(key: int, shape: tuple[int, ...], window: Window, device: torch.device) -> Tensor:
    """A random int32 of the full range for each feature (C, [Z,] Y, X) of the pixels in `window`.

    Features lie on a grid of the pixels: its stride, along each axis, is the length of the window over theirs.
    """
    values = torch.full((), key, dtype=torch.int32, device=device)
    for length, side in zip(shape, (slice(0, shape[0]), *window), strict=True):
        first = side.start * length // (side.stop - side.start)
        positions = torch.arange(first, first + length, dtype=torch.int32, device=device)
        values = _mixed(values[..., None] ^ positions)
    return values


def _key(*numbers: int) -> int:
    """An int32 that depends on all `numbers` and on their order; of each the last 32 bits count."""
    key = torch.zeros((), dtype=torch.int32)
    for number in numbers:
        key = _mixed(key ^ ((number + 2**31) % 2**32 - 2**31))
    return int(key)


def _mixed(values: Tensor) -> Tensor:
    """A bijection of int32 after which every bit depends on all bits, in place; products wrap around.

    References
    ----------
    Wellons, "Prospecting for hash functions", 2018, public domain: lowbias32.
    """
    values ^= (values >> 16).bitwise_and_(0xFFFF)  # the sign is not to be shifted in
    values *= 0x7FEB352D
    values ^= (values >> 15).bitwise_and_(0x1FFFF)
    values *= 0x846CA68B - 2**32
    values ^= (values >> 16).bitwise_and_(0xFFFF)
    return values
