"""Dropout drawn by position: the noise of a feature depends on where it is, and on nothing else."""

import numpy as np
import pytest
import torch
from torch import nn

from napari_pix2pix.core.networks.dropout import Dropout, drawing, noise

CPU = torch.device("cpu")


def lowbias32(value: int) -> int:
    """The finalizer in Python's unbounded integers."""
    value ^= value >> 16
    value = value * 0x7FEB352D % 2**32
    value ^= value >> 15
    value = value * 0x846CA68B % 2**32
    return value ^ value >> 16


def dropped(layers: nn.Module, seed: int = 0, draw: int = 0, side: int = 256) -> np.ndarray:
    """Where the last of `layers`, on a grid of 4 pixels, drops features (2, 64, 64)."""
    with drawing(layers.eval(), seed, draw, [(slice(0, side), slice(0, side))]):
        return (layers(torch.ones(1, 2, side // 4, side // 4)) == 0)[0].numpy()


@pytest.mark.parametrize("seed", [0, 1, 2**31, 2**32 - 1])
def test_noise_is_a_hash_of_the_position(seed: int) -> None:
    """Channel, row and column go through the finalizer one after the other: no state, no device, no window."""
    key = (seed + 2**31) % 2**32 - 2**31
    found = noise(key, (2, 3, 4), (slice(8, 14), slice(40, 48)), CPU)  # a grid of 2 pixels, from (4, 20) on
    for channel, y, x in np.ndindex(2, 3, 4):
        expected = lowbias32(lowbias32(lowbias32(seed ^ channel) ^ (4 + y)) ^ (20 + x))
        assert int(found[channel, y, x]) % 2**32 == expected


@pytest.mark.parametrize("window", [(slice(0, 64), slice(32, 64)), (slice(96, 128), slice(0, 128))])
def test_a_window_drops_what_the_whole_drops(window) -> None:
    """Also of a batch, where each window lies elsewhere; in three dimensions, too."""
    for depth in ((), (slice(2, 6),)):
        layer, strides = Dropout(0.5).eval(), (2, 8, 8)[-2 - len(depth) :]
        whole = (slice(0, 128),) * (2 + len(depth))
        with drawing(layer, 7, 1, [whole]):
            [expected] = layer(torch.ones(1, 3, *(128 // s for s in strides)))
        inside = tuple(slice(w.start // s, w.stop // s) for w, s in zip((*depth, *window), strides, strict=True))
        sides = [s.stop - s.start for s in inside]
        first = (*depth, *(slice(0, w.stop - w.start) for w in window))
        with drawing(layer, 7, 1, [first, (*depth, *window)]):
            found = layer(torch.ones(2, 3, *sides))
        assert torch.equal(found[1], expected[(slice(None), *inside)])
        assert not torch.equal(found[0], found[1])


@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
def test_noise_has_the_share_and_keeps_the_mean(p: float) -> None:
    """About p of the values are dropped, the others divided by 1 - p."""
    layer = Dropout(p).eval()
    with drawing(layer, 0, 0, [(slice(0, 512),) * 2]):
        found = layer(torch.ones(1, 4, 512, 512))
    assert abs(float((found == 0).float().mean()) - p) < 4 * (p * (1 - p) / 2**20) ** 0.5
    np.testing.assert_allclose(found[found > 0], 1 / (1 - p), rtol=1e-6)


def test_draws_seeds_layers_channels_and_neighbours_are_independent() -> None:
    """What one of them drops says nothing about what another drops: correlations are those of chance."""
    first = dropped(nn.Sequential(Dropout(0.5)))
    second_layer = nn.Sequential(Dropout(0.5), Dropout(0.5))
    with drawing(second_layer.eval(), 0, 0, [(slice(0, 256),) * 2]):
        second = (second_layer[1](torch.ones(1, 2, 64, 64)) == 0)[0].numpy()
    others = {
        "draw": dropped(nn.Sequential(Dropout(0.5)), draw=1),
        "seed": dropped(nn.Sequential(Dropout(0.5)), seed=1),
        "large seed": dropped(nn.Sequential(Dropout(0.5)), seed=2**31),
        "layer": second,
        "channel": first[::-1],
        "row": np.roll(first, 1, axis=1),
        "column": np.roll(first, 1, axis=2),
        "transposed": first.swapaxes(1, 2),
    }
    for name, other in others.items():
        assert abs(np.corrcoef(first.ravel(), other.ravel())[0, 1]) < 0.06, name


def test_training_and_plain_evaluation_are_those_of_torch() -> None:
    """The same random numbers in training, the identity in evaluation, also after draws; no tensors of its own."""
    ours, theirs, features = Dropout(0.3), nn.Dropout(0.3), torch.rand(2, 3, 8, 8)
    results = []
    for layer in (ours, theirs):
        torch.manual_seed(0)
        with drawing(layer, 0, 0, [(slice(0, 8),) * 2] * 2):
            results.append(layer(features))
    assert torch.equal(*results)
    assert torch.equal(ours.eval()(features), features)
    assert not ours.state_dict()
