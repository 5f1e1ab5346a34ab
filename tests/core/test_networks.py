"""The networks have the paper's size and shape."""

import pytest
import torch

from napari_pix2pix.core.config import DiscriminatorConfig, GeneratorConfig
from napari_pix2pix.core.networks.patchgan import PatchGAN
from napari_pix2pix.core.networks.unet import UNet


def millions(network: torch.nn.Module) -> float:
    return sum(parameter.numel() for parameter in network.parameters()) / 1e6


@pytest.mark.parametrize(("levels", "expected"), [(8, 54.41), (7, 41.83)])
def test_generators_have_the_papers_parameters(levels: int, expected: float) -> None:
    """U-Net-256 and U-Net-128 count as published."""
    assert millions(UNet(3, 3, GeneratorConfig(levels=levels))) == pytest.approx(expected, abs=0.005)


@pytest.mark.parametrize(("n_layers", "expected"), [(1, 0.140), (3, 2.769), (5, 11.16)])
def test_discriminators_have_the_papers_parameters(n_layers: int, expected: float) -> None:
    """The 16, 70 and 286 PatchGANs count as published."""
    assert millions(PatchGAN(3, 3, DiscriminatorConfig(n_layers=n_layers))) == pytest.approx(expected, abs=0.005)


def test_norms_and_dropout_are_where_the_paper_has_them() -> None:
    """No norm on the first and innermost convolutions nor on the output; dropout on the three innermost decoders."""
    network = UNet(3, 3, GeneratorConfig(levels=8))
    normed = [any(isinstance(m, torch.nn.BatchNorm2d) for m in block) for block in network.down]
    assert normed == [False, *[True] * 6, False]
    normed = [any(isinstance(m, torch.nn.BatchNorm2d) for m in block) for block in network.up]
    assert normed == [*[True] * 7, False]
    dropped = [any(isinstance(m, torch.nn.Dropout) for m in block) for block in network.up]
    assert dropped == [True] * 3 + [False] * 5


def test_weights_start_as_in_the_paper() -> None:
    """Convolutions start from N(0, 0.02), norm scales from N(1, 0.02), biases at zero."""
    torch.manual_seed(0)
    network = UNet(3, 3, GeneratorConfig(levels=5))
    weights = torch.cat([p.detach().flatten() for n, p in network.named_parameters() if p.ndim == 4])
    assert (weights.mean().item(), weights.std().item()) == (pytest.approx(0, abs=1e-4), pytest.approx(0.02, rel=0.01))
    scales = torch.cat([m.weight.detach() for m in network.modules() if isinstance(m, torch.nn.BatchNorm2d)])
    assert (scales.mean().item(), scales.std().item()) == (pytest.approx(1, abs=0.005), pytest.approx(0.02, rel=0.1))
    assert all((p == 0).all() for n, p in network.named_parameters() if n.endswith("bias"))


@pytest.mark.parametrize("conditional", [True, False])
def test_only_a_conditional_discriminator_sees_the_source(conditional: bool) -> None:
    """Another source changes the scores of the same image if, and only if, the discriminator is conditional."""
    network = PatchGAN(1, 1, DiscriminatorConfig(base_channels=4, conditional=conditional)).eval()
    image = torch.rand(1, 1, 70, 70)
    with torch.no_grad():
        scores = [network(torch.rand(1, 1, 70, 70), image) for _ in range(2)]
    assert torch.equal(*scores) != conditional
