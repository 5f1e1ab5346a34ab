"""CycleGAN keeps the laws of the house: same seed same weights, killed and resumed == never, tiled == whole."""

import copy
import warnings

import numpy as np
import pytest
import torch
from lightning_fabric import Fabric

from napari_pix2pix import core
from napari_pix2pix.core.data.frames import Frames
from napari_pix2pix.core.engine.tensor_files import read_tensors
from napari_pix2pix.core.methods.cyclegan import HIDING, CycleGAN, decided, keeps_identity, labels_of, pooled
from napari_pix2pix.core.methods.learner import Learner
from napari_pix2pix.core.methods.method import Shapes
from napari_pix2pix.core.methods.sliced_wasserstein import pyramid, sliced_wasserstein
from napari_pix2pix.core.training import loop
from napari_pix2pix.report.card import model_text
from napari_pix2pix.report.methods_paragraph import methods as methods_paragraph
from small import blobs

pytestmark = pytest.mark.filterwarnings(
    "ignore:No room for", "ignore:The model hides", "ignore:Patches should be", "ignore:Sources and targets should hold"
)
SMALL = {
    "method": "cyclegan",
    "generator": {"architecture": "unet", "levels": 2, "base_channels": 4},
    "discriminator": {"n_layers": 1, "base_channels": 4},
    **{"patch_size": 32, "batch_size": 2, "steps": 6, "validate_every": 4, "pool_size": 3},
}


def small_cycle(**changes) -> core.Config:
    return core.make_config(changes=SMALL | changes)


def sides(labels: bool = False) -> core.UnpairedFrames:
    """Sources, and targets of other number and size: darker on bright, or one class on none."""
    targets = [blobs((64, 80), seed=9 + i) for i in range(5)]
    seen = [(label > 0).astype(np.uint8) if labels else 4000 - image for image, label in targets]
    return core.UnpairedFrames([blobs(seed=i)[0] for i in range(4)], seen, "YX")


@pytest.fixture(autouse=True)
def judged_on_few(monkeypatch) -> None:
    """Eight patches tell as well that they are judged as 64 do, and sooner."""
    monkeypatch.setattr(loop, "JUDGED_PATCHES", 8)


def trained(out, data=None, stop=None, **changes) -> None:
    for report in core.train(data or sides(), small_cycle(**changes), out=out, device="cpu"):
        if report.step == stop:
            break


def test_stopped_and_resumed_it_is_bit_for_bit_what_it_is_in_one_go(tmp_path) -> None:
    """Networks, optimizers and the pools of earlier fakes; the history has the figures that choose, and their floor."""
    trained(tmp_path / "whole")
    trained(tmp_path / "parts", stop=3)
    for _ in core.train(sides(), out=tmp_path / "parts", resume=True, device="cpu"):
        pass
    whole, parts = (read_tensors(tmp_path / name / "checkpoint.safetensors")[0] for name in ("whole", "parts"))
    assert whole.keys() == parts.keys() and all(torch.equal(whole[name], parts[name]) for name in whole)
    assert whole["memory.pool_target"].shape == whole["memory.pool_source"].shape == (3, 1, 32, 32)
    header = (tmp_path / "whole" / "history.csv").read_text().splitlines()[0].split(",")
    assert {"validation_swd", "validation_swd_floor", "validation_cycle_error", "identity_target"} <= set(header)


def test_tiled_is_whole_and_the_model_is_told(tmp_path) -> None:
    """The norm of the defaults tiles exactly; card and paragraph say what it is."""
    trained(tmp_path / "run")
    model, source = core.load_model(tmp_path / "run" / "model.safetensors", "cpu"), blobs(seed=5)[0]
    whole, tiled = model.predict(source, "YX"), model.predict(source, "YX", tile_size=32)
    np.testing.assert_allclose(whole.astype(float), tiled.astype(float), atol=1)
    assert "to the target and to the source" in model_text(model)
    text, cited = methods_paragraph(model)
    assert "without pairs" in text and "Zhu et al., 2017" in text and "10593" in "".join(cited)


def test_a_side_of_labels_learns_without_the_identity_loss(tmp_path) -> None:
    """It needs grey values on both sides: left out, and said."""
    with pytest.warns(UserWarning, match=r"identity loss is left out.*are dark where sources are, `target_kind`"):
        trained(tmp_path / "run", sides(labels=True))
    history = (tmp_path / "run" / "history.csv").read_text()
    assert "cycle_source" in history and "identity" not in history
    predicted = core.load_model(tmp_path / "run" / "model.safetensors", "cpu").predict(blobs(seed=5)[0], "YX")
    assert set(np.unique(predicted)) <= {0, 1}


def test_fakes_of_classes_are_labels_and_their_softmax_to_the_gradient() -> None:
    """Every pixel is one class, drawn by the maps: sure ones mostly win; the gradient is that of a soft choice."""
    torch.manual_seed(0)
    maps = torch.tensor([0.9, -0.9]).reshape(1, 2, 1, 1).expand(1, 2, 64, 64).clone().requires_grad_()
    labels = labels_of(maps)
    assert set(labels.detach().unique().numpy().round(3)) == {np.float32(-0.9), np.float32(0.9)}
    assert torch.equal(labels.detach().sum(dim=1), torch.zeros(1, 64, 64))
    assert 0.98 < (labels[:, 0] > 0).float().mean() < 1
    labels[:, 0].sum().backward()
    assert maps.grad is not None and (maps.grad[:, 0] > 0).all() and (maps.grad[:, 1] < 0).all()
    assert torch.equal(decided(maps.detach())[:, 0], torch.full((1, 64, 64), 0.9))


def test_a_step_is_zhus_written_out() -> None:
    """The generators' losses: least squares that are not halved, the cycle ten times, the identity half of that."""
    config = small_cycle(target_kind="intensity", pool_size=0)
    fabric = Fabric(accelerator="cpu")
    method = CycleGAN()
    learner = Learner.of(config, fabric, method.networks(config, Shapes(1, 1)))
    before = {name: copy.deepcopy(network) for name, network in learner.networks.items()}
    random = np.random.default_rng(0)
    x, y = (torch.from_numpy(random.uniform(-1, 1, (2, 1, 32, 32)).astype(np.float32)) for _ in range(2))
    learner.train()
    losses = method.step(learner, {"source": x, "target": y})
    f, g = before["to_target"], before["to_source"]
    for name, fake in (("target", f(x)), ("source", g(y))):
        critic = before[f"{name}_discriminator"]
        torch.testing.assert_close(losses[f"generator_{name}"], ((critic(fake, fake) - 1) ** 2).mean().detach())
        real = y if name == "target" else x
        halved = (((critic(real, real) - 1) ** 2).mean() + (critic(fake, fake) ** 2).mean()) / 2
        torch.testing.assert_close(losses[f"discriminator_{name}"], halved.detach())
    torch.testing.assert_close(losses["cycle_source"], (g(f(x)) - x).abs().mean().detach())
    torch.testing.assert_close(losses["identity_target"], (f(y) - y).abs().mean().detach())


def test_the_pool_shows_earlier_fakes_half_of_the_time() -> None:
    """Once it is full; the one that is shown makes room for the new one, and the same step shows the same."""
    learner = Learner(small_cycle(pool_size=4), Fabric(accelerator="cpu"), {}, {})
    shown = []
    for step in range(200):
        learner.done = step
        shown.append(float(pooled(learner, "target", torch.full((1, 1, 1, 1), float(step)))))
    assert shown[:4] == [0, 1, 2, 3]
    earlier = [value for step, value in enumerate(shown) if value < step]
    assert 70 < len(earlier) < 130 and len(set(earlier)) == len(earlier)
    assert learner.memory["pool_target"].shape == (4, 1, 1, 1)


def test_a_training_that_starts_from_a_model_begins_with_its_weights(tmp_path) -> None:
    """As of pix2pix: all four networks are kept."""
    trained(tmp_path / "first")
    first = core.load_model(tmp_path / "first" / "model.safetensors", "cpu")
    config = first.config.model_copy(update={"steps": 1, "learning_rate": 1e-12})
    for _ in core.train(sides(), config, out=tmp_path / "second", initial=first, device="cpu"):
        pass
    second = core.load_model(tmp_path / "second" / "model.safetensors", "cpu")
    for name, network in first.networks.items():
        for ours, theirs in zip(network.parameters(), second.networks[name].parameters(), strict=True):
            torch.testing.assert_close(ours, theirs, atol=1e-6, rtol=0)


def test_what_cannot_be_is_refused(tmp_path) -> None:
    """A discriminator that asks for a source; several processes, which would have several pools."""
    with pytest.raises(ValueError, match=r"discriminator\.conditional must be false for cyclegan"):
        small_cycle(discriminator={"conditional": True})
    with pytest.raises(ValueError, match="must run in one process; got 2"):
        core.train(sides(), small_cycle(), out=tmp_path / "run", devices=2)


def test_presets_are_of_the_paper_and_tile() -> None:
    """The paper's settings; what is not said about networks comes from the preset, not from pix2pix."""
    paper, usual = (core.make_config(name, changes={"method": "cyclegan"}) for name in ("paper", "microscopy"))
    assert (paper.generator.architecture, paper.generator.norm, paper.pool_size) == ("resnet-9", "instance", 50)
    assert (paper.cycle_weight, paper.identity_weight, paper.batch_size, paper.learning_rate) == (10, 0.5, 1, 2e-4)
    assert usual.generator.norm == "batch" and usual == core.Config(method="cyclegan")
    assert keeps_identity(usual.model_copy(update={"target_kind": "intensity"}), 1, 1)
    assert not keeps_identity(usual, 1, 2)


def test_hidden_sources_are_told() -> None:
    """Where noise that nobody sees breaks the way back, the image holds what cannot be seen."""
    config = small_cycle()
    row = {"validation_cycle_error": 0.01, "validation_cycle_error_noisy": 0.01 * HIDING * 1.1}
    assert "hides the source" in (CycleGAN().sign(config, [row]) or "")
    assert CycleGAN().sign(config, [row | {"validation_cycle_error_noisy": 0.011}]) is None
    assert CycleGAN().sign(config, [{"step": 10}]) is None


def test_what_was_held_out_is_told_in_words() -> None:
    """Textures against their floor, what they cannot say, and whether the way back reads what nobody sees."""
    figures = {"swd": 210.0, "swd_floor": 100.0, "cycle_error": 0.03, "cycle_error_noisy": 0.031}
    apart, cycle = CycleGAN().told(figures)
    assert "210 away" in apart and "real targets 100 from" in apart and "2.1 times as far" in apart
    assert "bright and dark have changed places" in apart and "reads nothing that cannot be seen" in cycle
    near, hidden = CycleGAN().told(figures | {"swd": 105.0, "cycle_error_noisy": 0.09})
    assert "as near as they can be" in near and "hides the source" in hidden and "from 3.00% to 9.00%" in hidden
    assert CycleGAN().told({"mae": 3.0}) == ()


def test_the_distance_is_zero_of_the_same_small_of_alike_and_large_of_others() -> None:
    """Of grey values' scale it knows nothing, of textures it does; the same in every run."""
    random = np.random.default_rng(0)
    noise = [torch.from_numpy(random.standard_normal((8, 2, 64, 64)).astype(np.float32)) for _ in range(2)]
    smooth = torch.nn.functional.avg_pool2d(noise[0], 5, 1, 2)
    assert sliced_wasserstein(noise[0], noise[0] * 3 + 1) < 1e-3
    floor, apart = sliced_wasserstein(noise[0], noise[1]), sliced_wasserstein(smooth, noise[1])
    assert 0 < floor < apart and apart == sliced_wasserstein(smooth, noise[1])
    assert sliced_wasserstein(torch.zeros_like(smooth), noise[1]) > floor
    assert [level.shape[-1] for level in pyramid(noise[0])] == [64, 32, 16]


def test_volumes_and_other_channels_on_either_side(tmp_path) -> None:
    """Sides may differ in their channels; of volumes the middle plane tells how unlike they are."""
    random = np.random.default_rng(0)
    volumes = [Frames(random.integers(0, 200, (2, n, 8, 48, 48)).astype(np.uint8), "TCZYX", z="volume") for n in (1, 2)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        trained(tmp_path / "run", core.UnpairedFrames(*volumes), steps=2, patch_depth=4)
    model = core.load_model(tmp_path / "run" / "model.safetensors", "cpu")
    assert model.predict(volumes[0].stacks[0], "TCZYX").shape == (2, 2, 8, 48, 48)
