"""Norms: whose statistics they use, and that what trains is what predicts."""

import numpy as np
import pytest
import torch
from torch.nn.functional import batch_norm

from napari_pix2pix.core.networks.norms import (
    FULL_BATCHES,
    BatchRenorm,
    image_statistics,
    initialize,
    recompute_statistics,
)
from napari_pix2pix.core.networks.unet import UNet
from napari_pix2pix.core.settings.config import GeneratorConfig, Norm


def test_recomputed_statistics_are_those_of_the_batches() -> None:
    """After recomputing from one batch, frozen predictions equal those with that batch's own statistics."""
    torch.manual_seed(0)
    network = UNet(1, 1, GeneratorConfig(levels=3, base_channels=4, dropout=0))
    batch = torch.rand(4, 1, 32, 32)
    recompute_statistics(network, [batch])
    with torch.no_grad():
        frozen = network(batch)
        own = network.train()(batch)
    # The frozen variance is the unbiased one, as torch keeps it: n / (n - 1) of the batch's, n >= 4 * 8 * 8.
    np.testing.assert_allclose(frozen, own, atol=2e-3)


@pytest.mark.parametrize("norm", ["batch", "batch-renorm"])
def test_image_statistics_leave_the_network_as_it_was(norm: Norm) -> None:
    """Looking at an image as the paper tests uses its statistics and dropout, and changes nothing for later."""
    torch.manual_seed(0)
    network = UNet(1, 1, GeneratorConfig(levels=4, base_channels=4, norm=norm)).eval()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    batch = torch.rand(1, 1, 32, 32)
    with torch.no_grad():
        frozen = network(batch)
        with image_statistics(network):
            assert not torch.equal(network(batch), network(batch))  # dropout
        assert torch.equal(network(batch), frozen)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


def renorm(batches_seen: int) -> BatchRenorm:
    """A layer in float64 whose running statistics are near those of `features`."""
    layer = BatchRenorm(2).double()
    layer.running_mean.copy_(torch.tensor([0.1, -0.2]))
    layer.running_var.copy_(torch.tensor([1.5, 0.8]))
    layer.num_batches_tracked.fill_(batches_seen)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([0.5, 2.0]))
        layer.bias.copy_(torch.tensor([0.3, -1.0]))
    return layer


def features() -> torch.Tensor:
    return torch.randn(3, 2, 5, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def test_renorm_starts_as_batch_norm() -> None:
    """For the first batches it is batch norm, and its running statistics are the plain means over these batches."""
    layer = renorm(batches_seen=0)
    batches = [features(), 3 * features() + 1]
    for batch in batches:
        expected = batch_norm(batch, None, None, layer.weight, layer.bias, training=True)
        np.testing.assert_allclose(layer(batch).detach(), expected.detach(), atol=1e-12)
    means = np.mean([batch.mean(dim=(0, 2, 3)).numpy() for batch in batches], axis=0)
    np.testing.assert_allclose(layer.running_mean, means, rtol=1e-6)


def test_renorm_trains_with_what_it_predicts_with() -> None:
    """Later, a batch in training gives what the frozen layer gives for it; there is no gap."""
    layer = renorm(batches_seen=FULL_BATCHES)
    frozen = layer.eval()(features())
    np.testing.assert_allclose(layer.train()(features()).detach(), frozen.detach(), atol=1e-12)
    assert layer.num_batches_tracked == FULL_BATCHES + 1


def test_renorms_correction_is_limited() -> None:
    """A batch far from the running statistics is not scaled by more than 3, nor shifted by more than 5."""
    layer = renorm(batches_seen=FULL_BATCHES)
    far = 100 * features() + 1000
    expected = batch_norm(far, None, None, 3 * layer.weight, layer.bias + 5 * layer.weight, training=True)
    np.testing.assert_allclose(layer(far).detach(), expected.detach(), atol=1e-9)


def test_renorms_correction_is_constant_to_the_gradient() -> None:
    """The gradient goes through the batch's own statistics, not through r and d (Ioffe 2017, section 3)."""
    layer, batch = renorm(batches_seen=FULL_BATCHES), features().requires_grad_()
    mean, var = batch.mean(dim=(0, 2, 3), keepdim=True), batch.var(dim=(0, 2, 3), correction=0, keepdim=True)
    running_mean, running_var = (b.reshape(1, -1, 1, 1).clone() for b in (layer.running_mean, layer.running_var))
    r = ((var + 1e-5) / (running_var + 1e-5)).sqrt().detach()
    d = ((mean - running_mean) / (running_var + 1e-5).sqrt()).detach()
    written_out = ((batch - mean) / (var + 1e-5).sqrt() * r + d) * layer.weight.reshape(1, -1, 1, 1)
    upstream = torch.randn_like(batch)
    (expected,) = torch.autograd.grad((written_out * upstream).sum(), batch)
    (found,) = torch.autograd.grad((layer(batch) * upstream).sum(), batch)
    np.testing.assert_allclose(found, expected, atol=1e-12)


def test_without_a_norm_the_scale_is_kept() -> None:
    """A network without norms starts with weights that neither drown nor blow up what passes."""
    torch.manual_seed(0)
    layers = [layer for _ in range(6) for layer in (torch.nn.Conv2d(32, 32, 3, padding=1), torch.nn.LeakyReLU(0.2))]
    network = torch.nn.Sequential(*layers)
    initialize(network, "none")
    with torch.no_grad():
        assert network(torch.randn(1, 32, 64, 64)).std() == pytest.approx(1, rel=0.5)
