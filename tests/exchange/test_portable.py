"""The plain network that is handed on is the model's generator, whatever that is made of."""

import ast
import os
import subprocess
import sys
from dataclasses import replace
from importlib.util import find_spec
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import torch

from napari_pix2pix.core.encodings.domains import Domains
from napari_pix2pix.core.encodings.encoding import fit_encoding
from napari_pix2pix.core.engine.further import SILENT
from napari_pix2pix.core.methods import method_of
from napari_pix2pix.exchange import architecture, portable
from small import blobs, untrained

UNETS = [
    {"architecture": "unet", "levels": 3, "base_channels": 4, "norm": norm, "skips": skips, "z_levels": z}
    for norm, skips, z in (
        *(("batch", True, 0), ("batch-renorm", False, 0), ("instance", True, 0), ("none", True, 0)),
        *(("batch", True, 2), ("instance", False, 1)),
    )
] + [{"architecture": "unet", "levels": 3, "base_channels": 4, "upsampling": "nearest", "z_levels": z} for z in (0, 1)]
RESNETS = [
    {"architecture": "resnet-6", "base_channels": 4, "norm": norm, "z_levels": z}
    for norm, z in (("batch", 0), ("instance", 0), ("none", 0), ("batch", 1))
]


def model_of(generator: dict, volume: bool = False, **changes):
    """One whose norm statistics are not those that it starts with."""
    source = blobs((32, 40))[0][None]
    if volume:
        source = np.stack([source[0]] * 4)[None]
    z = "volume" if volume else "frame"
    made = untrained(source, source, z=z, generator={"dropout": 0.5, **generator}, **changes)
    random = torch.Generator().manual_seed(0)
    for name, values in made.generator.state_dict().items():
        if "running" in name:
            values.copy_(torch.rand(values.shape, generator=random) + (0.5 if "var" in name else -0.5))
    return made


@pytest.mark.parametrize(
    ("generator", "volume"),
    [(like, like["z_levels"] > 0) for like in UNETS + RESNETS] + [(UNETS[0], True), (RESNETS[1], True)],
)
def test_the_plain_network_is_the_generator(generator: dict, volume: bool) -> None:
    """Of every kind, at three sizes, of one image and of two; by weights of the same names."""
    made = portable.portable(model_of(generator, volume))
    assert made.network.state_dict().keys() == made.model.generator.state_dict().keys()
    for number, batch in product(range(3), (1, 2)):
        images = made.example(number, batch)
        with torch.inference_mode():
            found = made.network(torch.from_numpy(images)).numpy()
        np.testing.assert_allclose(found, made.expected(images), rtol=0, atol=1e-5)
        assert np.ptp(found) > 0.01


def test_labels_and_conditions_are_seen_as_the_model_sees_them() -> None:
    """Sources of classes go in as labels; what the image is of is a constant within the network."""
    labels = blobs((32, 40))[1][None] % 3
    model = untrained(labels, labels.astype(np.float32))
    model.source_encoding = fit_encoding([labels], "classes")
    model.conditions = Domains(sets={"line": ("HeLa", "U2OS")})
    network = method_of(model.config).networks(model.config, model.shapes)["generator"].eval()
    for parameter in network.parameters():
        parameter.data.mul_(8)
    model.networks["generator"] = network
    images = np.stack([labels]).astype(np.float32)
    found = {}
    for condition in ("HeLa", "U2OS", None):
        made = portable.portable(model.under(condition))
        with torch.inference_mode():
            found[condition] = made.network(torch.from_numpy(images)).numpy()
        expected = model.under(condition).maps_of_frame(model.source_encoding.encode(labels))
        np.testing.assert_allclose(found[condition][0], expected, rtol=0, atol=1e-5)
    assert np.abs(found["HeLa"] - found["U2OS"]).max() > 1e-3 < np.abs(found["HeLa"] - found[None]).max()


def test_the_architecture_needs_torch_alone() -> None:
    """It is copied into packages, and runs where nothing of this one is."""
    tree = ast.parse(Path(architecture.__file__).read_text("utf8"))
    modules = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    modules |= {name.name for node in ast.walk(tree) if isinstance(node, ast.Import) for name in node.names}
    assert {name.partition(".")[0] for name in modules} - sys.stdlib_module_names == {"torch"}


@pytest.mark.skipif(find_spec("onnxruntime") is None, reason="onnxruntime is not installed")
def test_nothing_is_sent_anywhere(tmp_path) -> None:
    """What onnxruntime makes to report its use to its makers, such as the machine's number, is not there."""
    code = "from napari_pix2pix.core.engine.further import needed; needed('onnxruntime')"
    places = {name: str(tmp_path) for name in ("HOME", "XDG_CACHE_HOME", "USERPROFILE", "LOCALAPPDATA")}
    known = {name: value for name, value in os.environ.items() if name != SILENT}
    subprocess.run([sys.executable, "-c", code], check=True, env=known | places)
    assert not list(tmp_path.rglob("*onnxruntime*"))


def test_what_cannot_be_exported_is_refused() -> None:
    """Statistics of each image, with the remedy that is told; and a network that gives something else."""
    model = model_of(UNETS[0], norm_statistics="image")
    with pytest.raises(ValueError, match="Export it with `norm_statistics` training"):
        portable.portable(model)
    model = model.with_norm_statistics("training")
    made = portable.portable(model)
    with pytest.raises(ValueError, match=r"The file must give what the model gives.* 0.000\d+ off"):
        made.require_equal(lambda images: made.expected(images) + 0.0003, "The file")
    with pytest.raises(ValueError, match="must see grey values or classes"):
        portable.portable(replace(model, source_encoding=fit_encoding([blobs()[1][None]], "instances")))
