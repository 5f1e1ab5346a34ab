"""Convolutions that are faster on few pixels are the same convolutions."""

import pytest
import torch
from torch import nn

from napari_pix2pix.core.networks import layers

CASES = [
    (lambda: layers.convolution(2, 3, 5, stride=2, bias=True), (2, 3, 8, 6)),
    (lambda: layers.convolution(2, 3, 5, stride=2, bias=False), (1, 3, 7, 11)),
    (lambda: layers.convolution(2, 3, 5, stride=2, bias=True, kernel=3), (3, 3, 9, 6)),
    (lambda: layers.convolution(2, 3, 5, stride=2, bias=True), (1, 3, 2, 2)),
    (lambda: layers.up_convolution(2, 3, 5, bias=True), (2, 3, 4, 5)),
    (lambda: layers.up_convolution(2, 3, 5, bias=False), (1, 3, 1, 1)),
    (lambda: layers.up_convolution(2, 3, 5, bias=True, kernel=3), (2, 3, 3, 4)),
    (lambda: layers.up_convolution(2, 3, 5, bias=True, nearest=True), (2, 3, 3, 4)),
]


def computed(layer: nn.Module, features: torch.Tensor) -> list[torch.Tensor]:
    """The result, and the gradients of the input and all weights for a fixed gradient of the result."""
    layer.zero_grad()
    features = features.clone().requires_grad_(True)
    found = layer(features)
    found.backward(torch.arange(found.numel(), dtype=found.dtype).reshape(found.shape) / found.numel())
    assert features.grad is not None
    return [found.detach(), features.grad, *(weight.grad.clone() for weight in layer.parameters())]


@pytest.mark.parametrize(("make", "shape"), CASES)
def test_as_matrices_they_compute_the_same(make, shape, monkeypatch) -> None:
    """Result and every gradient are those of the plain layer, in float64."""
    torch.manual_seed(0)
    layer, features = make().double(), torch.randn(shape, dtype=torch.float64)
    plain = computed(layer, features)
    monkeypatch.setattr(layers, "_as_matrices", lambda *_: True)
    for ours, theirs in zip(computed(layer, features), plain, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    ("training", "mixed", "side", "taken"),
    [(True, True, 16, True), (True, True, 128, False), (False, True, 16, False), (True, False, 16, False)],
)
def test_matrices_are_taken_where_they_are_faster(training, mixed, side, taken, monkeypatch) -> None:
    """In bfloat16 training on few pixels, and nowhere else: what predicts is what it always was."""
    seen = []
    monkeypatch.setattr(
        layers, "unfold", lambda *given, **named: seen.append(1) or nn.functional.unfold(*given, **named)
    )
    layer = layers.convolution(2, 2, 4, stride=2, bias=True).train(training)
    with torch.autocast("cpu", torch.bfloat16, enabled=mixed):
        layer(torch.zeros(1, 2, side, side))
    assert bool(seen) == taken


@pytest.mark.parametrize(("dims", "z_stride", "shape"), [(2, 1, (4, 5)), (3, 1, (3, 4, 5)), (3, 2, (3, 4, 5))])
def test_nearest_is_upsampling_and_a_convolution(dims, z_stride, shape) -> None:
    """What draws no checkerboard is what it says, in one layer: where features are even, so is the result."""
    torch.manual_seed(0)
    layer = layers.up_convolution(dims, 3, 5, z_stride=z_stride, bias=True, nearest=True).double()
    features = torch.randn(2, 3, *shape, dtype=torch.float64)
    larger = nn.functional.interpolate(features, scale_factor=(z_stride, 2.0, 2.0)[-dims:], mode="nearest")
    convolved = getattr(nn.functional, f"conv{dims}d")
    turned = layer.weight.transpose(0, 1).flip(*range(2, 2 + dims))
    torch.testing.assert_close(
        layer(features), convolved(larger, turned, layer.bias, padding=1), rtol=1e-12, atol=1e-12
    )
    inside = layer(torch.ones_like(features))[..., 2:-2, 2:-2]
    assert inside.std(dim=(-2, -1)).max() < 1e-12
