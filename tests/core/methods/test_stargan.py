"""StarGAN keeps the laws of the house, and nobody learns from a label that is not known."""

import copy
import warnings

import numpy as np
import pytest
import torch
from lightning_fabric import Fabric

from napari_pix2pix import core
from napari_pix2pix.core.data.frames import Frames
from napari_pix2pix.core.encodings.domains import Domains
from napari_pix2pix.core.engine.tensor_files import read_tensors
from napari_pix2pix.core.methods import method_of
from napari_pix2pix.core.methods.learner import Learner
from napari_pix2pix.core.methods.losses import gradient_penalty
from napari_pix2pix.core.methods.method import Shapes
from napari_pix2pix.core.methods.stargan import domain_loss, with_labels
from napari_pix2pix.core.training import loop
from napari_pix2pix.report.card import model_text
from napari_pix2pix.report.methods_paragraph import methods as methods_paragraph
from small import blobs

pytestmark = pytest.mark.filterwarnings("ignore:No room for", "ignore:Patches should be")
SMALL = {
    "method": "stargan",
    "generator": {"architecture": "unet", "levels": 2, "base_channels": 4},
    "discriminator": {"n_layers": 1, "base_channels": 4},
    **{"patch_size": 32, "batch_size": 2, "critic_steps": 2, "steps": 6, "validate_every": 4},
}
TWO = Domains(sets={"stain": ("H&E", "PAS", "none"), "scanner": ("A", "B")})


def small_star(**changes) -> core.Config:
    return core.make_config(changes=SMALL | changes)


def domains(labels=None) -> core.DomainFrames:
    """Bright on dark, dark on bright, and dim; of several sizes."""
    bright, dark, dim = ([blobs((64, 64 + 16 * i), seed=10 * k + i)[0] for i in range(4)] for k in range(3))
    sides = {"bright": bright, "dark": [4000 - image for image in dark], "dim": [image // 3 for image in dim]}
    return core.DomainFrames(sides, "YX", labels=labels)


@pytest.fixture(autouse=True)
def judged_on_few(monkeypatch) -> None:
    """Enough for every domain to have some."""
    monkeypatch.setattr(loop, "JUDGED_PATCHES", 24)


def trained(out, data=None, stop=None, **changes) -> None:
    for report in core.train(data or domains(), small_star(**changes), out=out, device="cpu"):
        if report.step == stop:
            break


def learner(config: core.Config, sets: Domains) -> Learner:
    torch.manual_seed(0)
    fabric, method = Fabric(accelerator="cpu", devices=1), method_of(config)
    return Learner.of(config, fabric, method.networks(config, Shapes(1, 1, domains=sets)), domains=sets)


def batch_of(sets: Domains, n: int, seed: int = 0) -> dict[str, torch.Tensor]:
    """Images, with labels of which some are not known."""
    random = np.random.default_rng(seed)
    images = torch.from_numpy(random.uniform(-1, 1, (n, 1, 32, 32)).astype(np.float32))
    found = {"image": images}
    for labels, known in (("labels", "known"), ("wanted", "wanted_known")):
        rows = []
        for _ in range(n):
            said = {name: str(random.choice(own)) if random.random() < 0.7 else None for name, own in sets.sets.items()}
            rows.append(sets.vector(said))
        found[labels], found[known] = (torch.tensor(values) for values in zip(*rows, strict=True))
    return found


def test_stopped_and_resumed_it_is_bit_for_bit_what_it_is_in_one_go(tmp_path) -> None:
    """Both networks and their optimizers; the history has the figures that choose, and their floor."""
    trained(tmp_path / "whole")
    trained(tmp_path / "parts", stop=3)
    for _ in core.train(domains(), out=tmp_path / "parts", resume=True, device="cpu"):
        pass
    whole, parts = (read_tensors(tmp_path / name / "checkpoint.safetensors")[0] for name in ("whole", "parts"))
    assert whole.keys() == parts.keys() and all(torch.equal(whole[name], parts[name]) for name in whole)
    header = set((tmp_path / "whole" / "history.csv").read_text().splitlines()[0].split(","))
    assert {"validation_swd", "validation_swd_floor", "validation_domain_accuracy", "reconstruction"} <= header


def test_every_domain_is_made_in_tiles_or_whole(tmp_path) -> None:
    """The planes that name the domain leave no trace of tiles; other domains are other images; card and paragraph."""
    trained(tmp_path / "run")
    model, source = core.load_model(tmp_path / "run" / "model.safetensors", "cpu"), blobs((90, 101), seed=5)[0]
    assert model.directions == ("bright", "dark", "dim")
    made = {name: model.toward(name).predict(source, "YX").astype(float) for name in model.directions}
    for name, whole in made.items():
        tiled = model.toward(name).predict(source, "YX", tile_size=32)
        np.testing.assert_allclose(whole, tiled.astype(float), atol=1)
    assert (made["bright"] != made["dim"]).any()
    with pytest.raises(ValueError, match="for what it makes, bright, dark, dim; got `to` target"):
        model.predict(source, "YX")
    assert model.toward("dim").hash() == model.hash()
    assert "and its domain" in model_text(model)
    text, cited = methods_paragraph(model)
    assert "mask vector" in text and "Choi et al., 2018" in text and "09020" in "".join(cited)


def test_the_card_says_which_domain_is_told_for_which(tmp_path) -> None:
    """Counted by real images whose label is known; the diagonal is the accuracy."""
    labels = {"stain": {"bright": "x", "dark": "y", "dim": None}, "scanner": {"bright": "A", "dark": None, "dim": "B"}}
    for name, data in (("one", domains()), ("two", domains(labels))):
        trained(tmp_path / name, data)
        model = core.load_model(tmp_path / name / "model.safetensors", "cpu")
        found = model.provenance["confusion"]
        assert {one: tuple(told) for one, told in found.items()} == model.domains.sets
        rows = [(label, counts) for told in found.values() for label, counts in told.items()]
        right, total = sum(n.get(label, 0) for label, n in rows), sum(sum(n.values()) for _, n in rows)
        assert model.provenance["figures"]["validation"]["domain_accuracy"] == pytest.approx(right / total)
        said = model_text(model)
        called = [f"{one}={label}" if name == "two" else label for one, told in found.items() for label in told]
        assert all(f"{label} looks like" in said for label in called) and "held-out patches)" in said


def test_too_little_held_out_chooses_no_model(tmp_path, monkeypatch) -> None:
    """The last one is kept; whose the images are told to be, it says all the same."""
    monkeypatch.setattr(loop, "JUDGED_PATCHES", 3)
    monkeypatch.setattr(loop, "PER_LABEL", 0)
    trained(tmp_path / "run")
    header = (tmp_path / "run" / "history.csv").read_text().splitlines()[0]
    assert "validation" not in header and (tmp_path / "run" / "model.safetensors").exists()
    model = core.load_model(tmp_path / "run" / "model.safetensors", "cpu")
    assert model.provenance["step"] == 6 and "domain_accuracy" in model.provenance["figures"]["validation"]


def test_scores_tell_how_likely_each_domain_is(tmp_path) -> None:
    """A share for each label and field, which add up to one; frames of a stack as each by itself."""
    trained(tmp_path / "run", steps=2)
    model = core.load_model(tmp_path / "run" / "model.safetensors", "cpu")
    stack = np.stack([blobs((64, 80), seed=i)[0] for i in range(2)])
    scored = model.score(stack, stack, "TYX")
    assert scored.domains is not None and scored.domains.shape == (3, *scored.scores.shape)
    np.testing.assert_allclose(scored.domains.sum(0), 1, atol=1e-5)
    one = model.score(stack[1], stack[1], "YX")
    np.testing.assert_allclose(one.domains, scored.domains[:, 1], atol=1e-6)


def test_a_label_that_is_not_known_changes_no_bit() -> None:
    """Whatever stands there: the same losses, the same weights after the step."""
    config, sets = small_star(), TWO
    batch = batch_of(sets, config.patches)
    other = copy.deepcopy(batch)
    for labels, known in (("labels", "known"), ("wanted", "wanted_known")):
        assert (other[known] == 0).any()
        other[labels][other[known] == 0] = 7
    weights = []
    for one in (batch, other):
        learns = learner(config, sets)
        torch.manual_seed(1)
        losses = method_of(config).step(learns, one)
        weights.append({**losses, **learns["generator"].state_dict(), **learns["discriminator"].state_dict()})
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])


def test_a_step_is_the_papers_equations_written_out() -> None:
    """One update of the discriminator by equations 1, 2 and 5, then one of the generator by 3, 4 and 6 (plain SGD)."""
    config, sets = small_star(critic_steps=1), Domains(sets={"domain": ("a", "b", "c")})
    config = config.model_copy(update={"generator": config.generator.model_copy(update={"norm": "none"})})
    batch, learns = batch_of(sets, config.patches), learner(config, sets)
    rate = 0.01
    for name, network in learns.networks.items():
        learns.optimizers[name] = learns.fabric.setup_optimizers(torch.optim.SGD(network.parameters(), rate))
    g, d = (copy.deepcopy(learns[name].module) for name in ("generator", "discriminator"))
    torch.manual_seed(1)
    method_of(config).step(learns, batch)

    torch.manual_seed(1)
    image, own, to = batch["image"], batch["labels"], batch["wanted"]
    known, known_to = (batch[name][:, 0] for name in ("known", "wanted_known"))

    def label_loss(logits, labels, weight):
        each = -(torch.log_softmax(logits, 1) * labels[:, :, None, None]).sum(1).mean((1, 2))
        return (each * weight).sum() / weight.sum().clamp(min=1)

    with torch.no_grad():
        fake = g(torch.cat([image, to[:, :, None, None].expand(-1, -1, 32, 32)], 1))
    share = torch.rand(len(image), 1, 1, 1)
    penalty = gradient_penalty(lambda v: d(v, v)[:, :1].mean((1, 2, 3)), image, fake, share)
    real, false = d(image, image), d(fake, fake)
    loss = false[:, :1].mean() - real[:, :1].mean() + 10 * penalty + label_loss(real[:, 1:], own, known)
    with torch.no_grad():
        for weight, gradient in zip(d.parameters(), torch.autograd.grad(loss, list(d.parameters())), strict=True):
            weight -= rate * gradient
    fake = g(torch.cat([image, to[:, :, None, None].expand(-1, -1, 32, 32)], 1))
    back = g(torch.cat([fake, own[:, :, None, None].expand(-1, -1, 32, 32)], 1))
    outputs = d(fake, fake)
    loss = -outputs[:, :1].mean() + label_loss(outputs[:, 1:], to, known_to) + 10 * (back - image).abs().mean()
    gradients = torch.autograd.grad(loss, list(g.parameters()))
    for weight, gradient, found in zip(g.parameters(), gradients, learns["generator"].parameters(), strict=True):
        torch.testing.assert_close(weight - rate * gradient, found, atol=1e-6, rtol=1e-4)
    for weight, found in zip(d.parameters(), learns["discriminator"].parameters(), strict=True):
        torch.testing.assert_close(weight, found, atol=1e-6, rtol=1e-4)


def test_the_mask_vector_says_which_block_counts() -> None:
    """One set: its one-hot planes alone. Several: a plane more for each; a block that is not known is zero."""
    one = Domains(sets={"domain": ("a", "b")})
    assert one.names == ("a", "b") and one.planes({"domain": "b"}) == (0, 1)
    assert TWO.names == ("stain=H&E", "stain=PAS", "stain=none", "scanner=A", "scanner=B")
    assert TWO.planes({"scanner": "B"}) == (0, 0, 0, 0, 1, 0, 1)
    assert TWO.labels_of("stain=PAS,scanner=A") == {"stain": "PAS", "scanner": "A"}
    for wrong in ("PAS", "stain=PAS,scanner=C", "stain=PAS,stain=none", ""):
        with pytest.raises(ValueError, match=r"what it makes, stain=H&E, .*Give one of these"):
            TWO.labels_of(wrong)
    values, known = (torch.tensor([row]) for row in TWO.vector({"stain": "PAS", "scanner": None}))
    seen = with_labels(torch.zeros(1, 1, 4, 4), values, known, TWO)[0, 1:, 0, 0]
    assert tuple(seen.tolist()) == TWO.planes({"stain": "PAS"})
    assert domain_loss(torch.randn(1, 5, 3, 3), values, known * 0, TWO) == 0


def test_several_sets_of_labels_some_not_known(tmp_path) -> None:
    """Every combination can be asked for; the file keeps them."""
    labels = {"stain": {"bright": "x", "dark": "y", "dim": None}, "scanner": {"bright": "A", "dark": None, "dim": "B"}}
    trained(tmp_path / "run", domains(labels), steps=2)
    model = core.load_model(tmp_path / "run" / "model.safetensors", "cpu")
    assert model.domains.sets == {"stain": ("x", "y"), "scanner": ("A", "B")}
    source = blobs(seed=5)[0]
    both, one = (model.toward(name).predict(source, "YX") for name in ("stain=x,scanner=B", "stain=x"))
    assert both.shape == source.shape and (both != one).any()


def test_what_cannot_be_is_refused(tmp_path) -> None:
    """One domain; too many; other channels; a norm that mixes images; a discriminator that asks for a source."""
    image = blobs()[0]
    with pytest.raises(ValueError, match="must be at least two domains; got one"):
        core.DomainFrames({"one": image}, "YX")
    with pytest.raises(ValueError, match="must be at most 64 domains; got 65"):
        core.DomainFrames({str(i): image for i in range(65)}, "YX")
    with pytest.raises(ValueError, match="same channels; got 1 in a and 2 in b"):
        core.DomainFrames({"a": [image[None]], "b": [np.stack([image, image])]}, "CYX")
    with pytest.raises(ValueError, match="at least two labels of each set; scanner has A"):
        core.DomainFrames({"a": image, "b": image}, "YX", labels={"scanner": {"a": "A", "b": None}})
    for changes in ({"conditional": True}, {"norm": "batch"}):
        with pytest.raises(ValueError, match=r"discriminator\.\w+ must be"):
            small_star(discriminator=changes)
    with pytest.raises(ValueError, match="must run in one process; got 2"):
        core.train(domains(), small_star(), out=tmp_path / "run", devices=2)


def test_presets_are_of_the_paper_and_tile() -> None:
    """The paper's settings, see docs/reproducing.md."""
    paper, usual = (core.make_config(name, changes={"method": "stargan"}) for name in ("paper", "microscopy"))
    assert (paper.generator.architecture, paper.generator.norm) == ("resnet-6", "instance")
    assert (paper.domain_weight, paper.reconstruction_weight, paper.gradient_penalty) == (1, 10, 10)
    assert (paper.batch_size, paper.learning_rate, paper.beta1, paper.beta2) == (16, 1e-4, 0.5, 0.999)
    critic = method_of(paper).networks(paper, Shapes(3, 3, domains=TWO))["discriminator"]
    assert critic(*2 * (torch.zeros(1, 3, 128, 128),)).shape == (1, 1 + 5, 2, 2) and paper.discriminator.norm == "none"
    assert paper.steps * paper.critic_steps == 200_000 and paper.patch_size == 128 and not paper.rotate
    assert usual.generator.norm == "batch" and usual == core.Config(method="stargan")


def test_volumes_are_translated(tmp_path) -> None:
    """As any other image."""
    random = np.random.default_rng(0)
    stack = random.integers(0, 200, (2, 1, 8, 48, 48)).astype(np.uint8)
    sides = {name: Frames(stack // n, "TCZYX", z="volume") for n, name in ((1, "a"), (2, "b"))}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        trained(tmp_path / "run", core.DomainFrames(sides), steps=2, patch_depth=4)
    model = core.load_model(tmp_path / "run" / "model.safetensors", "cpu")
    assert model.toward("b").predict(stack, "TCZYX").shape == (2, 1, 8, 48, 48)
