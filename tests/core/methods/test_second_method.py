"""The house holds a second method: all that is outside asks the method, so what is new lies in this file alone."""

from typing import ClassVar, Literal

import numpy as np
import pytest
import torch

from napari_pix2pix import core
from napari_pix2pix.core import methods
from napari_pix2pix.core.engine.tensor_files import read_tensors
from napari_pix2pix.core.methods.method import Description, Method
from napari_pix2pix.core.networks.unet import UNet
from napari_pix2pix.core.settings import config as settings
from napari_pix2pix.core.settings.pix2pix import Translation
from napari_pix2pix.report.card import model_text
from napari_pix2pix.report.methods_paragraph import methods as methods_paragraph
from small import blobs

# The method


class MirrorConfig(Translation):
    """A training of mirrors."""

    data: ClassVar = "unpaired"
    presets: ClassVar = {"looking-glass": {"mirror_weight": 3.0}}
    method: Literal["mirror"] = "mirror"
    mirror_weight: float = 1.0
    """Weight of the L1 loss against the mirrored source."""
    scores: ClassVar = False


class Mirror(Method[MirrorConfig]):
    """L1 alone, between the image of a source and the source mirrored; targets are only remembered."""

    headline = "l1"

    def networks(self, config, shapes):
        return {"mirror": UNet(shapes.source, shapes.target, config.generator, shapes.spatial_dims)}

    def directions(self, config, shapes):
        return {"target": methods.method.Direction("mirror")}

    def step(self, learner, batch):
        seen = learner.memory.get("seen", torch.zeros(()))
        learner.memory["seen"] = 0.5 * seen + batch["target"].mean()
        loss = (learner["mirror"](batch["source"]) - batch["source"].flip(-1)).abs().mean()
        learner.update("mirror", learner.config.mirror_weight * loss + 0 * seen)
        return {"l1": loss.detach()}

    def judge(self, config, networks, batch):
        return {"l1": float((networks["mirror"](batch["source"]) - batch["source"].flip(-1)).abs().mean())}

    def describe(self, config, networks, spatial_dims):
        paragraph = ["Images were mirrored (Carroll, 1871) as implemented in {}."], ["It minimised L1."]
        return Description("a mirror", "L1 1", *paragraph, {"Carroll, 1871": "Through the Looking-Glass."})


# What it shows


@pytest.fixture(autouse=True)
def registered(monkeypatch) -> None:
    """The two lines of registration."""
    monkeypatch.setitem(settings.METHODS, "mirror", MirrorConfig)
    monkeypatch.setitem(methods.METHODS, "mirror", Mirror())


def unpaired() -> core.UnpairedFrames:
    """More sources than targets, of other sizes."""
    return core.UnpairedFrames([blobs(seed=i)[0] for i in range(4)], blobs((64, 80), seed=9)[0], "YX")


def small_mirror(**changes) -> core.Config:
    networks = {"generator": {"levels": 2, "base_channels": 4}, "discriminator": {"n_layers": 1}}
    said = {"patch_size": 32, "batch_size": 2, "steps": 6, "validate_every": 4, "ema_decay": 0.5}
    return core.make_config(changes={"method": "mirror", **networks, **said, **changes})


@pytest.mark.filterwarnings("ignore:No room for", "ignore:One target is no data set", "ignore:Sources and targets sh")
def test_it_trains_resumes_is_saved_loaded_predicts_and_is_described(tmp_path) -> None:
    """Stopped and resumed it is, bit for bit, what it is in one go; the file, the card and the paragraph know it."""
    for _ in core.train(unpaired(), small_mirror(), out=tmp_path / "whole", device="cpu"):
        pass
    for report in core.train(unpaired(), small_mirror(), out=tmp_path / "parts", device="cpu"):
        if report.step == 3:
            break
    for _ in core.train(unpaired(), out=tmp_path / "parts", resume=True, device="cpu"):
        pass
    whole, parts = (read_tensors(tmp_path / name / "checkpoint.safetensors")[0] for name in ("whole", "parts"))
    assert {name.split(".")[0] for name in whole} == {"networks", "optimizer", "trained", "memory", "sums"} - (
        set() if any(name.startswith("sums.") for name in whole) else {"sums"}
    )
    assert whole.keys() == parts.keys() and all(torch.equal(whole[name], parts[name]) for name in whole)

    model, source = core.load_model(tmp_path / "whole" / "model.safetensors", "cpu"), blobs(seed=5)[0]
    assert model.config.mirror_weight == 3 and set(model.networks) == {"mirror"}
    whole_image, tiled = model.predict(source, "YX"), model.predict(source, "YX", tile_size=32)
    assert whole_image.shape == source.shape
    np.testing.assert_allclose(whole_image.astype(float), tiled.astype(float), atol=1)
    assert "a mirror" in model_text(model)
    text, cited = methods_paragraph(model)
    assert "mirrored (Carroll, 1871)" in text and "Through the Looking-Glass." in cited and "pix2pix (" not in text


def test_what_is_another_methods_is_refused() -> None:
    """A setting, a preset and data of another method are told with both names."""
    with pytest.raises(ValueError, match=r"must belong to the method, mirror; l1_weight is one of pix2pix\. Leave it"):
        small_mirror(l1_weight=3)
    with pytest.raises(ValueError, match=r"belong to the method, pix2pix; mirror_weight is one of mirror\. Leave it"):
        core.make_config(changes={"mirror_weight": 3})
    with pytest.raises(ValueError, match="preset must be one of looking-glass; got 'paper'"):
        core.make_config("paper", changes={"method": "mirror"})
    with pytest.raises(ValueError, match="mirror learns from sources and targets that are no pairs, got pairs"):
        core.train(core.PairedFrames(*blobs(), "YX"), small_mirror(), out="nowhere")
    with pytest.raises(ValueError, match="pix2pix learns from pairs, got sources and targets that are no pairs"):
        core.train(unpaired(), core.make_config(), out="nowhere")


def test_settings_are_those_of_their_method() -> None:
    """However they are made: by name, from JSON of before, from JSON of now."""
    mirror = small_mirror()
    assert isinstance(mirror, MirrorConfig)
    assert core.Config.model_validate_json(mirror.model_dump_json()) == mirror
    assert core.Config(l1_weight=3) == core.make_config(changes={"l1_weight": 3})
    before = core.make_config().model_dump(exclude={"method"})
    assert core.Config.model_validate(before) == core.make_config()
