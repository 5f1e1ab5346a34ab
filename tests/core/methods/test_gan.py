"""GANs keep the laws of the house: growth, exact resume in the middle of a fade, the same images for the same seed."""

import copy
import math
import warnings

import numpy as np
import pytest
import torch
from lightning_fabric import Fabric

from napari_pix2pix import core
from napari_pix2pix.core.engine.tensor_files import read_tensors
from napari_pix2pix.core.methods import method_of
from napari_pix2pix.core.methods.gan import faded, phase
from napari_pix2pix.core.methods.learner import Learner
from napari_pix2pix.core.methods.method import Shapes
from napari_pix2pix.core.methods.originality import diversity, most_alike, nearest
from napari_pix2pix.core.networks.growing import GrowingCritic, GrowingGenerator, deviation, magnified
from napari_pix2pix.core.training import loop
from napari_pix2pix.report.card import model_text
from napari_pix2pix.report.methods_paragraph import methods as methods_paragraph
from small import blobs

SMALL = {
    "method": "gan",
    **{"patch_size": 16, "batch_size": 4, "latent": 6, "base_channels": 2, "steps": 10, "validate_every": 5},
}
WIDTHS = (8, 4, 2)
pytestmark = pytest.mark.filterwarnings("ignore:There should be at least", "ignore:Images made differ")


def small_gan(**changes) -> core.Config:
    return core.make_config(changes=SMALL | changes)


def images(**named) -> core.Images:
    """Ten of several sizes, with masks if they are asked for."""
    sources = [blobs((24, 24 + 4 * i), seed=i)[0] for i in range(10)]
    if named.pop("masks", False):
        named["target"] = [(source > source.mean()).astype(np.uint8) * 255 for source in sources]
    return core.Images(sources, ("YX", "YX"), **named)


@pytest.fixture(autouse=True)
def judged_on_few(monkeypatch) -> None:
    """Fast."""
    monkeypatch.setattr(loop, "JUDGED_PATCHES", 8)


def trained(out, data=None, stop=None, **changes) -> None:
    for report in core.train(data or images(), small_gan(**changes), out=out, device="cpu"):
        if report.step == stop:
            break


def test_levels_fade_in_and_stay_in_turn() -> None:
    """From 4 px to full size, never back; each of the phases has as many steps; Adam begins anew where a level does."""
    config = small_gan(steps=50)
    assert config.levels == 3 and config.widths == (8, 4, 2)
    phases = [phase(config, done) for done in range(config.steps)]
    grown = [one.grown for one in phases]
    assert grown == sorted(grown) and grown[0] == 0 and grown[-1] == 2
    assert [grown.count(level) for level in (0, 1, 2)] == [10, 10, 10]
    assert [i for i, one in enumerate(phases) if not one.since] == [0, 10, 30]
    assert [one.since for one in phases[:30]] == [*range(10), *range(20)]
    assert 0 < grown[10] < grown[19] < 1
    assert phase(small_gan(steps=1), 0).grown == 0


@pytest.mark.parametrize("changes", [{}, {"grow": False, "objective": "cross-entropy"}], ids=["growing", "vanilla"])
@pytest.mark.parametrize("stop", [3, 7], ids=["fading in", "at the last level"])
def test_stopped_and_resumed_it_is_bit_for_bit_what_it_is_in_one_go(tmp_path, changes, stop) -> None:
    """Weights, optimizers and the average, in the middle of a fade, too."""
    trained(tmp_path / "whole", **changes)
    trained(tmp_path / "parts", stop=stop, **changes)
    for _ in core.train(images(), out=tmp_path / "parts", resume=True, device="cpu"):
        pass
    whole, parts = (read_tensors(tmp_path / name / "checkpoint.safetensors")[0] for name in ("whole", "parts"))
    assert whole.keys() == parts.keys() and all(torch.equal(whole[name], parts[name]) for name in whole)
    header = (tmp_path / "whole" / "history.csv").read_text().splitlines()[0]
    assert "validation_swd" in header and "validation_copies" in header and "validation_diversity" in header


def test_a_fading_level_is_a_share_of_both() -> None:
    """Of the generator, the critic and real images alike; at share one nothing of the coarser level is left."""
    torch.manual_seed(0)
    generator, critic = GrowingGenerator(6, 1, WIDTHS), GrowingCritic(1, WIDTHS)
    numbers, real = torch.randn(4, 6), torch.randn(4, 1, 16, 16)
    made = {}
    for grown in (1.0, 1.25, 2.0):
        generator.grown.fill_(grown)
        critic.grown.fill_(grown)
        made[grown] = generator(numbers)
        side = 16 if grown > 1 else 8
        assert made[grown].shape == (4, 1, side, side) and critic(made[grown]).shape == (4, 1)
    torch.testing.assert_close(made[1.25], 0.25 * made[2.0] + 0.75 * magnified(made[1.0]))
    seen = faded(real, 1.25, 3)
    coarse = torch.nn.functional.avg_pool2d(real, 2)
    torch.testing.assert_close(seen, 0.25 * real + 0.75 * magnified(coarse))
    torch.testing.assert_close(faded(real, 1.0, 3), coarse)
    generator.grown.fill_(1e9)  # a stranger's file
    assert generator(numbers).shape == (4, 1, 16, 16)


def test_the_critic_sees_how_much_images_differ() -> None:
    """One value for each group of four; none where all are alike."""
    same, other = torch.ones(4, 2, 3, 3), torch.randn(8, 2, 3, 3)
    assert deviation(same).max() < 1e-3 and deviation(same).shape == (4, 1, 3, 3)
    groups = other.reshape(4, 2, 2, 3, 3)
    expected = groups.std(0, correction=0).mean((1, 2, 3))
    torch.testing.assert_close(deviation(other)[:, 0, 0, 0], expected.repeat(4), atol=1e-4, rtol=1e-4)
    assert deviation(torch.randn(7, 2, 3, 3)).shape == (7, 1, 3, 3)


def test_weights_are_scaled_at_each_use() -> None:
    """So that a layer keeps the scale of its input, and all learn at one speed."""
    torch.manual_seed(0)
    generator = GrowingGenerator(64, 1, (64, 64))
    assert abs(float(generator.first.weight.detach().std()) - 1) < 0.05
    features = torch.randn(16, 64, 8, 8)
    out = generator.first(features).detach()[..., 2:-2, 2:-2]
    assert abs(float(out.std()) - math.sqrt(2)) < 0.15


def test_a_step_is_the_papers_equations_written_out() -> None:
    """WGAN-GP with drift for the critic, then -D for the generator (plain SGD), at full size."""
    config, shapes = small_gan(steps=10), Shapes(1, 1)
    torch.manual_seed(0)
    method = method_of(config)
    learns = Learner.of(config, Fabric(accelerator="cpu", devices=1), method.networks(config, shapes))
    learns.set_learning_rate(9)
    rate = 0.01
    for name, network in learns.networks.items():
        learns.optimizers[name] = learns.fabric.setup_optimizers(torch.optim.SGD(network.parameters(), rate))
    batch = {"image": torch.rand(4, 1, 16, 16), "z": torch.randn(4, 6)}
    g, d = (copy.deepcopy(learns[name].module) for name in ("generator", "discriminator"))
    torch.manual_seed(1)
    method.step(learns, batch)

    torch.manual_seed(1)
    g.grown.fill_(2)
    d.grown.fill_(2)
    real, fake = batch["image"], g(batch["z"]).detach()
    share = torch.rand(4, 1, 1, 1)
    between = (share * real + (1 - share) * fake).requires_grad_()
    (gradient,) = torch.autograd.grad(d(between).sum(), between, create_graph=True)
    penalty = ((gradient.flatten(1).norm(dim=1) - 1) ** 2).mean()
    loss = d(fake).mean() - d(real).mean() + 10 * penalty + 1e-3 * (d(real) ** 2).mean()
    used = list(d.parameters())
    gradients = torch.autograd.grad(loss, used, allow_unused=True)
    with torch.no_grad():
        for weight, slope in zip(used, gradients, strict=True):
            weight -= rate * (slope if slope is not None else 0)
    slopes = torch.autograd.grad(-d(g(batch["z"])).mean(), list(g.parameters()), allow_unused=True)
    for weight, slope, found in zip(g.parameters(), slopes, learns["generator"].parameters(), strict=True):
        torch.testing.assert_close(weight - rate * (slope if slope is not None else 0), found, atol=1e-6, rtol=1e-4)
    for weight, found in zip(d.parameters(), learns["discriminator"].parameters(), strict=True):
        torch.testing.assert_close(weight, found, atol=1e-6, rtol=1e-4)


def test_the_same_seed_makes_the_same_images(tmp_path) -> None:
    """However many, on however many threads, today or from the file; another seed makes others."""
    trained(tmp_path / "run")
    model = core.load_model(tmp_path / "run" / "model.safetensors", "cpu")
    five = model.generate(5, seed=3)
    assert five.shape == (5, 1, 16, 16) and five.dtype == np.uint16
    np.testing.assert_array_equal(model.generate(2, seed=3), five[:2])
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        np.testing.assert_array_equal(model.generate(5, seed=3), five)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
    assert (model.generate(1, seed=4) != five[:1]).any()
    assert (
        model.generate(5, seed=3, truncation=0.2).astype(float).std(axis=0) < five.astype(float).std(axis=0)
    ).mean() > 0.5
    assert "from nothing" in model_text(model)
    text, cited = methods_paragraph(model)
    assert "Karras et al., 2018" in text and "10196" in "".join(cited)


def test_images_are_made_with_their_targets(tmp_path) -> None:
    """In the labels of those that trained; images alone are no pairs."""
    trained(tmp_path / "run", images(masks=True), target_kind="classes")
    model = core.load_model(tmp_path / "run" / "model.safetensors", "cpu")
    made, targets = model.generate_pairs(3)
    assert made.shape == targets.shape == (3, 1, 16, 16) and targets.dtype == np.uint8
    assert set(np.unique(targets)) <= {0, 255}
    trained(tmp_path / "alone", steps=5)
    alone = core.load_model(tmp_path / "alone" / "model.safetensors", "cpu")
    with pytest.raises(ValueError, match="makes images alone"):
        alone.generate_pairs(1)


def test_a_class_is_asked_for_by_name(tmp_path) -> None:
    """Each makes its own; where none is asked for, any; one that is not known is refused with those that are."""
    data = images(conditions=[("a", "b", None)[i % 3] for i in range(10)])
    trained(tmp_path / "run", data, steps=5)
    model = core.load_model(tmp_path / "run" / "model.safetensors", "cpu")
    assert model.domains.names == ("a", "b")
    assert (model.generate(2, condition="a") != model.generate(2, condition="b")).any()
    assert len(model.generate(3)) == 3
    with pytest.raises(ValueError, match="one that the model knows, a, b; got c"):
        model.generate(1, condition="c")


def test_what_is_all_alike_or_a_copy_is_told() -> None:
    """Of images made and real ones, by their coarse pixels, turned and mirrored ones, too."""
    torch.manual_seed(0)
    real, train = torch.randn(8, 1, 32, 32), torch.randn(6, 1, 32, 32)
    assert diversity(real[:1].expand(8, -1, -1, -1)) == 0 < diversity(real)
    copied = torch.rot90(train[2:3], 1, (-2, -1)).flip(-1)
    distance, which = most_alike(copied, train)
    assert float(distance) < 1e-3 < float(nearest(real[:1], train)) and int(which) == 2
    method = method_of(small_gan())
    told = " ".join(method.told({"diversity": 0.2, "copies": 0.5}))
    assert "collapsed" in told and "may be copies" in told
    assert not method.told({"diversity": 0.9, "copies": 0.0})


def test_a_model_that_still_grows_is_never_the_best(tmp_path) -> None:
    """Its figure has another name; the one that is kept is of full size."""
    config = small_gan(steps=20, validate_every=4)
    told = [report.metrics for report in core.train(images(), config, out=tmp_path / "run", device="cpu")]
    assert [("swd" in one, "swd_growing" in one) for one in filter(None, told)] == 4 * [(False, True)] + [(True, False)]
    model = core.load_model(tmp_path / "run" / "model.safetensors", "cpu")
    assert float(model.generator.grown) == 2 and model.provenance["step"] > 16


@pytest.mark.parametrize(("steps", "small"), [(4, True), (5, False)])
def test_too_few_steps_to_grow_are_told(tmp_path, steps, small) -> None:
    """Before the first one; and the preview's sign waits for full size."""
    config = small_gan(steps=steps, validate_every=1)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        reports = list(core.train(images(), config, out=tmp_path / "run", device="cpu"))
    assert any("grow to 16 px in 5 phases" in str(one.message) for one in told) is small
    assert any("swd" in report.metrics for report in reports) is not small
    rows = [{"step": 4, "validation_diversity": 0.1} | ({} if small else {"validation_swd": 9.0})]
    assert (method_of(config).sign(config, rows) is None) is small


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"patch_size": 24}, "power of two for gan; got 24. The nearest: 16 and 32"),
        ({"objective": "minimax"}, "must not be minimax where networks grow; .* or `preset` vanilla"),
        ({"l1_weight": 3.0}, "l1_weight is one of pix2pix"),
    ],
)
def test_settings_that_cannot_be(changes, match) -> None:
    """One sentence each."""
    with pytest.raises(ValueError, match=match):
        small_gan(**changes)


@pytest.mark.parametrize(
    ("data", "changes", "match"),
    [
        (lambda: core.Images(np.ones((3, 12, 20), np.uint8), "TYX"), {}, r"is 12 x 20. Choose `patch_size` 8"),
        (lambda: core.Images(np.ones((3, 20, 20), np.uint8), "TYX"), {}, "must vary"),
        (lambda: core.Images(np.full((3, 20, 20), np.nan, np.float32), "TYX"), {}, "NaN"),
    ],
)
def test_images_that_cannot_be_learned_from(tmp_path, data, changes, match) -> None:
    """One sentence each, before anything is written."""
    with pytest.raises(ValueError, match=match):
        trained(tmp_path / "run", data(), **changes)
    assert not (tmp_path / "run" / "model.safetensors").exists()


def test_labels_of_classes_are_one_for_each_image() -> None:
    """And of two classes at least."""
    stack = [blobs((24, 24))[0]] * 3
    with pytest.raises(ValueError, match="a condition for each image, 3; got 2"):
        core.Images(stack, "YX", conditions=["a", "b"])
    with pytest.raises(ValueError, match="at least two classes"):
        core.Images(stack, "YX", conditions=["a", "a", None])
