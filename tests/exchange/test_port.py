"""Generators of the PyTorch port become models that predict what they did."""

import json
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch
from torch import Tensor, nn

from napari_pix2pix import core
from napari_pix2pix.commands.app import main
from napari_pix2pix.exchange.port import read_port
from small import blobs

NORMS = {"batch": nn.BatchNorm2d, "instance": nn.InstanceNorm2d, "none": nn.Identity}


class Block(nn.Module):
    """A level of their U-Net around the next one: names and order of its layers are the port's."""

    def __init__(self, outer: int, inner: int, sees: int, norm: str, within: nn.Module | None, outermost: bool) -> None:
        super().__init__()
        self.outermost, bias = outermost, norm == "instance"
        down = nn.Conv2d(sees, inner, 4, 2, 1, bias=bias)
        up = partial(nn.ConvTranspose2d, out_channels=outer, kernel_size=4, stride=2, padding=1)
        if outermost:
            layers = [down, within, nn.ReLU(), up(inner * 2), nn.Tanh()]
        elif within is None:
            layers = [nn.LeakyReLU(0.2), down, nn.ReLU(), up(inner, bias=bias), NORMS[norm](outer)]
        else:
            layers = [nn.LeakyReLU(0.2), down, NORMS[norm](inner), within, nn.ReLU(), up(inner * 2, bias=bias)]
            layers += [NORMS[norm](outer), nn.Dropout(0.5)]
        self.model = nn.Sequential(*layers)

    def forward(self, image: Tensor) -> Tensor:
        return self.model(image) if self.outermost else torch.cat([image, self.model(image)], 1)


class UNet(nn.Module):
    def __init__(self, sees: int, makes: int, levels: int, width: int, norm: str) -> None:
        super().__init__()
        widths = [width * min(2**level, 8) for level in range(levels)]
        within = None
        for level in reversed(range(1, levels)):
            within = Block(widths[level - 1], widths[level], widths[level - 1], norm, within, False)
        self.model = Block(makes, width, sees, norm, within, True)

    def forward(self, image: Tensor) -> Tensor:
        return self.model(image)


class Residual(nn.Module):
    def __init__(self, width: int, norm: str, dropout: bool) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for last in (False, True):
            layers += [nn.ReflectionPad2d(1), nn.Conv2d(width, width, 3, bias=norm == "instance"), NORMS[norm](width)]
            layers += [] if last else [nn.ReLU(), *([nn.Dropout(0.5)] if dropout else [])]
        self.conv_block = nn.Sequential(*layers)

    def forward(self, features: Tensor) -> Tensor:
        return features + self.conv_block(features)


class ResNet(nn.Module):
    def __init__(self, sees: int, makes: int, blocks: int, width: int, norm: str, dropout: bool = False) -> None:
        super().__init__()
        bias = norm == "instance"
        layers = [nn.ReflectionPad2d(3), nn.Conv2d(sees, width, 7, bias=bias), NORMS[norm](width), nn.ReLU()]
        for n in (width, 2 * width):
            layers += [nn.Conv2d(n, 2 * n, 3, 2, 1, bias=bias), NORMS[norm](2 * n), nn.ReLU()]
        layers += [Residual(4 * width, norm, dropout) for _ in range(blocks)]
        for n in (4 * width, 2 * width):
            layers += [nn.ConvTranspose2d(n, n // 2, 3, 2, 1, 1, bias=bias), NORMS[norm](n // 2), nn.ReLU()]
        layers += [nn.ReflectionPad2d(3), nn.Conv2d(width, makes, 7), nn.Tanh()]
        self.model = nn.Sequential(*layers)

    def forward(self, image: Tensor) -> Tensor:
        return self.model(image)


def theirs(network: nn.Module) -> nn.Module:
    """With weights, biases and statistics that all matter."""
    torch.manual_seed(0)
    for name, values in network.state_dict().items():
        if values.ndim == 4:
            values.normal_(0, (1.5 / values[0].numel()) ** 0.5)
        elif values.is_floating_point():
            values.uniform_(0.5, 1.5) if "var" in name or name.endswith("weight") else values.uniform_(-0.3, 0.3)
    return network.eval()


@pytest.mark.parametrize(
    "network",
    [
        *(partial(UNet, 3, 1, 7, 4, norm) for norm in NORMS),
        partial(UNet, 1, 3, 8, 2, "batch"),
        partial(UNet, 3, 3, 8, 2, "instance"),
        *(partial(ResNet, 3, 3, 6, 4, norm) for norm in NORMS),
        *(partial(ResNet, 3, 1, 6, 4, norm, dropout=True) for norm in ("batch", "instance")),
        *(partial(ResNet, 1, 2, 9, 4, norm, dropout=on) for norm in ("batch", "instance") for on in (False, True)),
    ],
    ids=str,
)
def test_it_predicts_what_the_generator_did(network, tmp_path) -> None:
    """Of every layout; 8-bit images in and out, rounded. Nothing of the network but its tensors is in the file."""
    made = theirs(network())
    torch.save(made.state_dict(), tmp_path / "latest_net_G.pth")
    assert main(["import", str(tmp_path / "latest_net_G.pth"), "--out", str(tmp_path / "model.safetensors")]) == 0
    model = core.load_model(tmp_path / "model.safetensors", "cpu")
    side = model.config.generator.grid if model.config.generator.architecture == "unet" else 32
    channels = model.source_encoding.n_channels
    image = np.random.default_rng(0).integers(0, 256, (channels, side, 2 * side), np.uint8)
    with torch.inference_mode():
        found = made(torch.from_numpy(image)[None] / 127.5 - 1)[0].numpy()
    assert np.ptp(found) > 0.1
    expected = (found + 1) / 2 * 255
    np.testing.assert_allclose(model.predict_frame(image, "float32"), expected, rtol=0, atol=0.51)


@pytest.mark.parametrize(
    "network", [partial(UNet, 3, 3, 7, 4, "batch"), partial(ResNet, 1, 1, 9, 4, "instance")], ids=str
)
def test_a_copy_of_several_devices_or_in_half_precision_is_the_same(network, tmp_path) -> None:
    """What `DataParallel` names is named without it, and halves become single."""
    made = theirs(network()).half().float()
    states = {
        "plain": made.state_dict(),
        "parallel": nn.DataParallel(made).state_dict(),
        "half": {name: held.half() if held.is_floating_point() else held for name, held in made.state_dict().items()},
    }
    found = []
    for name, state in states.items():
        torch.save(state, tmp_path / f"{name}.pth")
        found.append(read_port(tmp_path / f"{name}.pth").networks["generator"].state_dict())
    for other in found[1:]:
        assert other.keys() == found[0].keys()
        assert all(other[name].dtype == held.dtype and (other[name] == held).all() for name, held in found[0].items())


def test_what_is_no_such_generator_is_refused(tmp_path, capsys) -> None:
    """Code, other tensors, a layer too few or too many, one larger than the file: one sentence, and no model."""
    path, out = tmp_path / "net.pth", tmp_path / "model.safetensors"
    good = theirs(UNet(3, 3, 5, 4, "batch")).state_dict()

    def refused(content: object) -> str:
        torch.save(content, path)
        assert main(["import", str(path), "--out", str(out)]) == 2 and not out.exists()
        return capsys.readouterr().err

    assert "must hold a generator" in refused(UNet(3, 3, 5, 4, "batch"))
    assert "must hold a generator" in refused({"a": 3})
    assert "where theirs begin" in refused({"weight": torch.zeros(3)})
    assert "is missing" in refused({name: tensor for name, tensor in good.items() if "3.model.2.weight" not in name})
    assert "has no place" in refused(good | {"model.model.9.weight": torch.zeros(2, 2, 4, 4)})
    assert "of the shape" in refused(good | {"model.model.1.model.2.running_var": torch.ones(3)})
    assert "must be finite" in refused(good | {"model.model.1.model.2.running_var": torch.full((8,), torch.inf)})
    huge = torch.zeros(1).expand(1000, 1000, 1000, 1000)
    assert "larger than what is there" in refused(good | {"model.model.0.weight": huge})
    for kind in (torch.eye(3).to_sparse(), torch.zeros(2, 2, device="meta"), torch.zeros(2, dtype=torch.complex64)):
        assert "of another kind than networks" in refused(good | {"model.model.0.weight": kind})
    path.write_bytes(b"no file of torch")
    assert main(["import", str(path), "--out", str(out)]) == 2 and "must hold a generator" in capsys.readouterr().err


def test_it_is_run_as_theirs_is_without_eval(tmp_path) -> None:
    """Statistics of each image and dropout, where they are asked for; then it is another model."""
    made = theirs(UNet(1, 1, 5, 4, "batch"))
    torch.save(made.state_dict(), tmp_path / "net.pth")
    model = read_port(tmp_path / "net.pth", 0.5, "image")
    image = np.random.default_rng(0).integers(0, 256, (1, 32, 64), np.uint8)
    assert not model.tileable and model.config.generator.dropout == 0.5
    assert (model.predict_frame(image, "float32") != read_port(tmp_path / "net.pth").predict_frame(image)).any()


def test_a_model_that_began_from_it_does_not_know_what_trained_it_either(tmp_path, capsys) -> None:
    """What it learned since is known, what before is not; evaluate and its card say so."""
    torch.save(theirs(UNet(1, 1, 5, 4, "batch")).state_dict(), tmp_path / "net.pth")
    assert main(["import", str(tmp_path / "net.pth"), "--out", str(tmp_path / "m.safetensors")]) == 0
    for seed, side in enumerate(("train", "test")):
        for name, image in zip(("source", "target"), blobs((64, 64), seed), strict=True):
            tifffile.imwrite(tmp_path / f"{side}_{name}.tif", (image / image.max() * 255).astype(np.uint8))
    pairs = {
        side: [str(tmp_path / f"{side}_{name}.tif") for name in ("source", "target")] for side in ("train", "test")
    }
    how = ["--from", str(tmp_path / "m.safetensors"), "--steps", "1", "--trust-steps", "0", "--patch-size", "32"]
    assert main(["train", *pairs["train"], *how, "--out", str(tmp_path / "run")]) == 0
    assert main(["evaluate", str(tmp_path / "run"), *pairs["test"], "--out", str(tmp_path / "e")]) == 0
    assert "What trained the model is not known" in capsys.readouterr().out
    assert json.loads((tmp_path / "e" / "metrics.json").read_text("utf8"))["seen"] is None
    assert main(["info", str(tmp_path / "run")]) == 0
    assert "a model that was imported; on what is not known" in capsys.readouterr().out


def test_its_image_is_predicted_by_the_command(tmp_path: Path) -> None:
    """Colours in a file in, colours out."""
    torch.save(theirs(ResNet(3, 3, 6, 4, "instance")).state_dict(), tmp_path / "net.pth")
    tifffile.imwrite(tmp_path / "image.tif", np.zeros((33, 40, 3), np.uint8), photometric="rgb")
    assert main(["import", str(tmp_path / "net.pth"), "--out", str(tmp_path / "m.safetensors")]) == 0
    words = ["predict", str(tmp_path / "m.safetensors"), str(tmp_path / "image.tif"), "--out", str(tmp_path / "p.tif")]
    assert main(words) == 0 and tifffile.imread(tmp_path / "p.tif").shape == (33, 40, 3)
