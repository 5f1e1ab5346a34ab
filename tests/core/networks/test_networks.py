"""The networks have the paper's size and shape, and compute what the papers say."""

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from napari_pix2pix.core.networks.generator import Generator
from napari_pix2pix.core.networks.patchgan import PatchGAN
from napari_pix2pix.core.networks.resnet import ResNet
from napari_pix2pix.core.networks.unet import UNet
from napari_pix2pix.core.settings.config import DiscriminatorConfig, GeneratorConfig
from small import networks, small_config


def millions(network: torch.nn.Module) -> float:
    return sum(parameter.numel() for parameter in network.parameters()) / 1e6


@pytest.mark.parametrize(
    ("config", "expected"),
    [({"levels": 8}, 54.41), ({"levels": 7}, 41.83), ({"architecture": "resnet-9"}, 11.38)],
)
def test_generators_have_the_papers_parameters(config: dict, expected: float) -> None:
    """U-Net-256, U-Net-128 and ResNet-9 count as published."""
    generator, _ = networks(small_config(generator=config, patch_size=256), 3, 3)
    assert round(millions(generator), 2) == expected


@pytest.mark.parametrize(("n_layers", "expected", "digits"), [(1, 0.140, 3), (3, 2.769, 3), (5, 11.16, 2)])
def test_discriminators_have_the_papers_parameters(n_layers: int, expected: float, digits: int) -> None:
    """The 16, 70 and 286 PatchGANs count as published."""
    assert round(millions(PatchGAN(3, 3, DiscriminatorConfig(n_layers=n_layers))), digits) == expected


# What the networks compute, written out


def lively(network: torch.nn.Module) -> torch.nn.Module:
    """Float64, weights far from linear, norm statistics and biases that are not those of its birth."""
    generator = torch.Generator().manual_seed(1)
    for name, value in network.double().state_dict().items():
        if name.endswith(("bias", "running_mean", "running_var")):
            value.copy_(torch.rand(value.shape, generator=generator, dtype=torch.float64) + 0.1)
        elif value.ndim > 1:
            value.mul_(5)
    return network.eval()


def normed(values: Tensor, of: dict[str, Tensor], name: str) -> Tensor:
    """Batch norm with frozen statistics."""
    mean, variance, scale, shift = (
        of[f"{name}.{part}"].reshape(-1, 1, 1) for part in ("running_mean", "running_var", "weight", "bias")
    )
    return (values - mean) / torch.sqrt(variance + 1e-5) * scale + shift


@pytest.mark.parametrize("levels", [1, 2, 3, 5])
@pytest.mark.parametrize("skips", [True, False])
def test_the_unet_computes_the_papers(levels: int, skips: bool) -> None:
    """Section 6.1.1: convolution, norm, activation; the decoder sees the encoder's features before their activation."""
    network = lively(UNet(2, 3, GeneratorConfig(levels=levels, base_channels=3, skips=skips)))
    of, source = network.state_dict(), torch.randn(2, 2, 64, 96, dtype=torch.float64)
    encoded = [functional.conv2d(source, of["down.0.1.weight"], of["down.0.1.bias"], stride=2, padding=1)]
    for level in range(1, levels):
        bias = of.get(f"down.{level}.1.bias")
        seen = functional.leaky_relu(encoded[-1], 0.2)
        values = functional.conv2d(seen, of[f"down.{level}.1.weight"], bias, stride=2, padding=1)
        encoded.append(values if level == levels - 1 else normed(values, of, f"down.{level}.2"))
        assert (bias is None) == (level < levels - 1)
    values = encoded[-1]
    for i, level in enumerate(reversed(range(levels))):
        if skips and i > 0:
            values = torch.cat([values, encoded[level]], dim=1)
        bias = of.get(f"up.{i}.1.bias")
        values = functional.conv_transpose2d(functional.relu(values), of[f"up.{i}.1.weight"], bias, 2, 1)
        values = normed(values, of, f"up.{i}.2") if level > 0 else values
        assert (bias is None) == (level > 0)
    with torch.no_grad():
        torch.testing.assert_close(network(source), torch.tanh(values).float(), rtol=0, atol=1e-6)
    assert values.std() > 0.1  # there is something to compare


@pytest.mark.parametrize("blocks", [6, 9])
def test_the_resnet_computes_the_papers(blocks: int) -> None:
    """Johnson et al. 2016 and CycleGAN, section 7.2: c7s1-64, d128, d256, R256 x n, u128, u64, c7s1-3."""
    config = GeneratorConfig(architecture=f"resnet-{blocks}", base_channels=3)
    network = lively(ResNet(2, 3, config))
    of, source = network.state_dict(), torch.randn(2, 2, 24, 40, dtype=torch.float64)

    def mirrored(values: Tensor, name: str, padding: int) -> Tensor:
        values = functional.pad(values, [padding] * 4, mode="reflect")
        return functional.conv2d(values, of[f"{name}.1.weight"], of.get(f"{name}.1.bias"))

    values = functional.relu(normed(mirrored(source, "down.0.0", 3), of, "down.0.1"))
    for i in (1, 2):
        values = functional.conv2d(values, of[f"down.{i}.0.weight"], stride=2, padding=1)
        values = functional.relu(normed(values, of, f"down.{i}.1"))
    assert values.shape == (2, 12, 6, 10)
    for i in range(blocks):
        inside = functional.relu(normed(mirrored(values, f"blocks.{i}.layers.0", 1), of, f"blocks.{i}.layers.1"))
        values = values + normed(mirrored(inside, f"blocks.{i}.layers.4", 1), of, f"blocks.{i}.layers.5")
    for i in (0, 1):
        values = functional.conv_transpose2d(values, of[f"up.{i}.0.weight"], None, 2, 1, output_padding=1)
        values = functional.relu(normed(values, of, f"up.{i}.1"))
    values = mirrored(values, "up.2", 3)
    with torch.no_grad():
        torch.testing.assert_close(network(source), torch.tanh(values).float(), rtol=0, atol=1e-6)
    assert torch.tanh(values).std() > 0.1


@pytest.mark.parametrize("n_layers", [0, 1, 3])
def test_the_patchgan_computes_the_papers(n_layers: int) -> None:
    """Section 6.1.2: C64-C128-C256-C512 and one score, LeakyReLU 0.2, no norm on the first nor the last."""
    network = lively(PatchGAN(1, 2, DiscriminatorConfig(n_layers=n_layers, base_channels=3)))
    of = network.state_dict()
    pair = [torch.randn(2, channels, 75, 82, dtype=torch.float64) for channels in (1, 2)]
    values, strides, padding = torch.cat(pair, dim=1), [2] * n_layers + [1, 1], 1
    if n_layers == 0:
        strides, padding = [1, 1, 1], 0
    for i, stride in enumerate(strides):
        first, last = i == 0, i == len(strides) - 1
        bias = of.get(f"layers.{3 * i}.bias")
        assert (bias is not None) == (first or last)
        values = functional.conv2d(values, of[f"layers.{3 * i}.weight"], bias, stride, padding)
        values = values if first or last else normed(values, of, f"layers.{3 * i + 1}")
        values = values if last else functional.leaky_relu(values, 0.2)
    with torch.no_grad():
        torch.testing.assert_close(network(*pair), values.float(), rtol=1e-6, atol=1e-6)
    assert values.shape[1] == 1


@pytest.mark.parametrize(("n_layers", "layers"), [(0, "1,1,0 " * 3), (3, "4,2,1 " * 3 + "4,1,1 " * 2)])
def test_the_papers_layers_may_be_listed(n_layers: int, layers: str) -> None:
    """The same network, weight by weight."""
    made = []
    for config in (DiscriminatorConfig(n_layers=n_layers), DiscriminatorConfig(layers=layers)):
        torch.manual_seed(0)
        made.append(PatchGAN(1, 2, config.model_copy(update={"base_channels": 3})).state_dict())
    assert made[0].keys() == made[1].keys()
    assert all(torch.equal(made[0][name], made[1][name]) for name in made[0])


@pytest.mark.parametrize("skips", [True, False])
def test_an_encoder_decoder_knows_only_what_is_innermost(skips: bool) -> None:
    """Without skips all that comes out went through the innermost features; with them, finer paths remain."""
    torch.manual_seed(0)
    network = UNet(1, 1, GeneratorConfig(levels=3, base_channels=4, skips=skips)).eval()
    network.down[-1].register_forward_hook(lambda _, given, features: torch.zeros_like(features))
    with torch.no_grad():
        images = [network(torch.rand(1, 1, 32, 32)) for _ in range(2)]
    assert torch.equal(*images) != skips


@pytest.mark.parametrize("levels", [1, 2, 4, 8])
def test_dropout_is_on_the_innermost_decoder_levels(levels: int) -> None:
    """In training, the three innermost decoder levels are random, and no other; never the output."""
    torch.manual_seed(0)
    network = UNet(1, 1, GeneratorConfig(levels=levels, base_channels=4)).train()
    seen: list[Tensor] = []
    for block in network.up:
        block.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    with torch.no_grad():
        network(torch.rand(2, 1, 256, 256))
        given = list(seen)
        random = [not torch.equal(up(values), up(values)) for up, values in zip(network.up, given, strict=True)]
    assert random == [i < min(3, levels - 1) for i in range(levels)]


@pytest.mark.parametrize("dropout", [0.0, 0.5])
def test_dropout_is_in_every_residual_block(dropout: float) -> None:
    """In training each block is random where the dropout is not 0, and nothing else of the network is."""
    torch.manual_seed(0)
    network = ResNet(1, 1, GeneratorConfig(architecture="resnet-6", base_channels=4, dropout=dropout)).train()
    features = torch.rand(2, 16, 8, 8)
    with torch.no_grad():
        assert all(torch.equal(block(features), block(features)) == (dropout == 0) for block in network.blocks)
        assert torch.equal(*(network.down(torch.ones(2, 1, 32, 32)) for _ in range(2)))
        assert torch.equal(*(network.up(features) for _ in range(2)))


# How far they see


def support(network: Generator, axis: int) -> int:
    """How far, in pixels along `axis`, a source pixel moves the image: by the gradient, where no path can be cut.

    With positive weights and sources every ReLU is open and nothing cancels; small enough not to saturate the tanh.
    """
    network = network.double().eval()
    for parameter in network.parameters():
        parameter.data.fill_(1 / parameter[0].numel() if parameter.ndim > 1 else 0)
    grid, reach = network.grid[axis], network.reach[axis]
    middle = -(-(reach + grid) // grid) * grid
    sides = [2 * n for n in network.grid]  # the other axes as small as they may be
    sides[axis] = 2 * middle + grid
    source = torch.full((1, 1, *sides), 1e-4, dtype=torch.float64, requires_grad=True)
    image = network(source).movedim(2 + axis, 0)
    furthest = 0
    for place in range(middle, middle + grid):
        (gradient,) = torch.autograd.grad(image[place].sum(), source, retain_graph=True)
        touched = torch.nonzero(gradient.movedim(2 + axis, 0).flatten(1).sum(dim=1))[:, 0]
        assert touched.min() > 0  # the source was large enough
        assert touched.max() < sides[axis] - 1
        furthest = max(furthest, place - int(touched.min()), int(touched.max()) - place)
    return furthest


@pytest.mark.parametrize(
    ("config", "expected"),
    [({"levels": d, "skips": skips}, 3 * (2**d - 1)) for d in (1, 2, 3, 4, 5) for skips in (True, False)]
    + [({"levels": 3, "upsampling": "nearest"}, 21)]
    + [({"architecture": "resnet-6"}, 60), ({"architecture": "resnet-9"}, 84)],
)
def test_reach_is_the_support_of_the_gradient(config: dict, expected: int) -> None:
    """3 (2^levels - 1) px for a U-Net, 60 and 84 for the ResNets; the grid is the total stride."""
    torch.manual_seed(0)
    settings = GeneratorConfig(**config, base_channels=2, norm="none")
    network, _ = networks(small_config(generator=settings.model_dump()), 1, 1)
    assert network.grid == (settings.grid,) * 2
    assert network.reach == (expected,) * 2
    assert support(network, 1) == expected


@pytest.mark.parametrize(
    ("config", "grid", "reach"),
    [({"levels": 3, "z_levels": z}, 2**z, reach) for z, reach in enumerate((6, 7, 11, 21))]
    + [({"levels": 3, "z_levels": 1, "upsampling": "nearest"}, 2, 7)]
    + [({"architecture": "resnet-6", "z_levels": z}, 2**z, reach) for z, reach in enumerate((18, 30, 56))],
)
def test_reach_along_z_is_the_support_of_the_gradient(config: dict, grid: int, reach: int) -> None:
    """An unstrided level adds 2 planes at its scale, a strided one 3; in a ResNet each convolution adds 1."""
    torch.manual_seed(0)
    settings = GeneratorConfig(**config, base_channels=2, norm="none")
    network, _ = networks(small_config(generator=settings.model_dump()), 1, 1, spatial_dims=3)
    assert network.grid == (grid, settings.grid, settings.grid)
    assert network.reach[0] == reach == support(network, 0)
    assert network.reach[1:] == networks(small_config(generator=config | {"z_levels": 0}), 1, 1)[0].reach


@pytest.mark.parametrize("settings", [{"generator": {"levels": 3, "z_levels": 1}}, {"discriminator": {"z_layers": 1}}])
def test_planes_cannot_be_halved_where_there_are_none(settings: dict) -> None:
    """In two dimensions, strides along Z are a mistake, and told."""
    with pytest.raises(ValueError, match=r"must be 0 where frames are no volumes; got .* Choose `z` volume"):
        networks(small_config(**settings), 1, 1)


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
