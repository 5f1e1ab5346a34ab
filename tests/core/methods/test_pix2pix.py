"""One training step is the paper's."""

import copy

import pytest
import torch
from lightning_fabric import Fabric
from lightning_fabric.plugins import MixedPrecision
from torch import nn

from napari_pix2pix.core.methods import METHODS
from napari_pix2pix.core.methods.learner import Learner
from napari_pix2pix.core.methods.method import Shapes
from napari_pix2pix.core.methods.pix2pix import ROWS, UNDECIDED
from napari_pix2pix.core.settings.config import make_config
from napari_pix2pix.core.training.prepare import FABRIC_PRECISION
from small import small_config

PIX2PIX = METHODS["pix2pix"]


def learner(**changes) -> Learner:
    torch.manual_seed(0)
    config = small_config(**{"precision": "float32"} | changes)
    how = {"precision": FABRIC_PRECISION[config.precision]}
    if config.precision == "float16":  # which Fabric takes for a slip on a CPU
        scaler = torch.amp.GradScaler("cpu", init_scale=256.0)
        how = {"plugins": MixedPrecision(how["precision"], "cpu", scaler)}
    fabric = Fabric(accelerator="cpu", devices=1, **how)
    fabric.launch()
    return Learner.of(config, fabric, PIX2PIX.networks(config, Shapes(1, 1)))


def step(ours: Learner, source: torch.Tensor, target: torch.Tensor, known: torch.Tensor | None = None) -> dict:
    batch = {"source": source, "target": target} | ({} if known is None else {"known": known})
    return PIX2PIX.step(ours, batch)


def weights(network: nn.Module) -> list[torch.Tensor]:
    return [parameter.detach().clone() for parameter in network.parameters()]


def pair() -> tuple[torch.Tensor, torch.Tensor]:
    return tuple(torch.rand(2, 1, 32, 32, generator=torch.Generator().manual_seed(seed)) * 2 - 1 for seed in (1, 2))


def test_a_step_is_the_papers_written_out() -> None:
    """Discriminator first, on the generator's image of before; then the generator against the new discriminator."""
    ours, theirs = learner(generator={"levels": 3, "base_channels": 8, "dropout": 0}), learner()
    source, target = pair()
    generator, judge = (network.module for network in (theirs["generator"], theirs["discriminator"]))
    generator.load_state_dict(ours["generator"].module.state_dict())
    for module in generator.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    adams = [torch.optim.Adam(n.parameters(), lr=2e-4, betas=(0.5, 0.999)) for n in (generator, judge)]
    losses = step(ours, source, target)

    # The paper, section 3: equation 1 halved, then -log D and 100 L1.
    bce = nn.functional.binary_cross_entropy_with_logits
    fake = generator(source)
    real_scores, fake_scores = judge(source, target), judge(source, fake.detach())
    d_loss = bce(real_scores, torch.ones_like(real_scores)) + bce(fake_scores, torch.zeros_like(fake_scores))
    (0.5 * d_loss).backward()
    adams[1].step()
    scores = judge(source, fake)
    g_loss, l1 = bce(scores, torch.ones_like(scores)), nn.functional.l1_loss(fake, target)
    adams[0].zero_grad()
    (g_loss + 100 * l1).backward()
    adams[0].step()
    expected = {"discriminator": d_loss, "generator": g_loss, "l1": l1}
    for name, value in expected.items():
        torch.testing.assert_close(losses[name], value.detach())
    for mine, other in ((ours["generator"], generator), (ours["discriminator"], judge)):
        for a, b in zip(mine.parameters(), other.parameters(), strict=True):
            torch.testing.assert_close(a, b, rtol=0, atol=2e-6)


@pytest.mark.parametrize(
    ("asked", "of_labels", "of_intensities"),
    [("auto", "cross-entropy", "l1"), ("l1", "l1", "l1"), ("cross-entropy", "cross-entropy", "l1")],
)
def test_what_labels_are_learned_by_is_settled_by_their_kind(asked, of_labels, of_intensities) -> None:
    """Nothing is left to choose once the targets are known; grey values have their L1 whatever is asked."""
    config = small_config(label_loss=asked)
    found = {kind: PIX2PIX.settled(config, kind).label_loss for kind in ("classes", "instances", "intensity")}
    assert found == {"classes": of_labels, "instances": of_labels, "intensity": of_intensities}


@pytest.mark.parametrize(
    ("asked", "of_labels", "of_intensities"),
    [
        ("auto", "transposed", "nearest"),
        ("transposed", "transposed", "transposed"),
        ("nearest", "nearest", "nearest"),
    ],
)
def test_upsampling_is_settled_by_the_kind_of_targets(asked, of_labels, of_intensities) -> None:
    """Grey values, where a checkerboard would show, have the one that draws none; the paper has its own."""
    config = small_config(generator={"levels": 3, "upsampling": asked})
    found = {kind: PIX2PIX.settled(config, kind).generator.upsampling for kind in ("classes", "instances", "intensity")}
    assert found == {"classes": of_labels, "instances": of_labels, "intensity": of_intensities}
    assert make_config().generator.upsampling == make_config("fast").generator.upsampling == "auto"
    assert make_config("paper").generator.upsampling == "transposed"


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_cross_entropy_stands_where_l1_and_squared_error_stood(precision: str) -> None:
    """With its weight for L1's, and beside the adversarial loss; what is not known still teaches nobody."""
    known = torch.zeros(2, 1, 32, 32)
    known[..., 8:24] = 1
    source, target = pair()
    ended = []
    for elsewhere in (-0.9, 0.9):
        ours = learner(label_loss="cross-entropy", l2_weight=10, precision=precision)
        before = weights(ours["generator"])
        losses = step(ours, source, torch.where(known > 0, 0.9 * target.sign(), torch.tensor(elsewhere)), known)
        assert {"discriminator", "generator", "cross_entropy"} == losses.keys()
        assert all(torch.isfinite(loss) for loss in losses.values())
        ended.append(weights(ours["generator"]))
        assert any(not torch.equal(a, b) for a, b in zip(ended[-1], before, strict=True))
    assert all(torch.equal(a, b) for a, b in zip(*ended, strict=True))


@pytest.mark.parametrize("objective", ["minimax", "least-squares", "hinge", "wgan-gp"])
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_every_objective_teaches_both_networks(objective: str, precision: str) -> None:
    """A step with each objective, squared error and clipping changes both networks, and stays finite."""
    ours = learner(objective=objective, l2_weight=10, clip_gradients=1.0, precision=precision)
    before = weights(ours["generator"]), weights(ours["discriminator"])
    losses = step(ours, *pair())
    assert {"discriminator", "generator", "l1", "l2"} == losses.keys()
    assert all(torch.isfinite(loss) for loss in losses.values())
    for network, old in zip((ours["generator"], ours["discriminator"]), before, strict=True):
        assert any(not torch.equal(a, b) for a, b in zip(weights(network), old, strict=True))


def test_the_gradient_penalty_enters_the_discriminators_update() -> None:
    """With plain gradient descent, two weights of the penalty end apart by its gradient times their difference."""
    source, target = pair()
    ended, rate = {}, 0.01
    for weight in (0.0, 10.0):
        ours = learner(
            objective="wgan-gp", gradient_penalty=weight, generator={"levels": 3, "base_channels": 8, "dropout": 0}
        )
        ours.optimizers["discriminator"] = torch.optim.SGD(ours["discriminator"].parameters(), lr=rate)
        fake = ours["generator"](source).detach()
        judge = copy.deepcopy(ours["discriminator"].module)
        torch.manual_seed(7)
        step(ours, source, target)
        ended[weight] = weights(ours["discriminator"])

    # Gulrajani et al. 2017, equation 3, on the discriminator of before: one point on the line for each pair.
    torch.manual_seed(7)
    share = torch.rand(2, 1, 1, 1)
    between = (fake + share * (target - fake)).requires_grad_()
    (slopes,) = torch.autograd.grad(judge(source, between).sum(), between, create_graph=True)
    penalty = sum((one.square().sum().sqrt() - 1) ** 2 for one in slopes) / 2
    gradient = torch.autograd.grad(penalty, list(judge.parameters()), materialize_grads=True, allow_unused=True)
    apart = [b - a for a, b in zip(*ended.values(), strict=True)]
    assert max(float(one.abs().max()) for one in apart) > 1e-4
    for one, expected in zip(apart, gradient, strict=True):
        torch.testing.assert_close(one, -rate * 0.5 * 10 * expected, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize(
    ("schedule", "factors"),
    [("constant", (1, 1, 1, 1)), ("linear-decay", (1, 1, 1, 0.5)), ("cosine", (1, 0.853553, 0.5, 0.146447))],
)
def test_schedules(schedule: str, factors: tuple[float, ...]) -> None:
    """At the start, a quarter, a half and three quarters of the steps."""
    ours = learner(schedule=schedule, steps=100)
    for done, factor in zip((0, 25, 50, 75), factors, strict=True):
        ours.set_learning_rate(done)
        for optimizer in ours.optimizers.values():
            assert optimizer.param_groups[0]["lr"] == pytest.approx(2e-4 * factor, rel=1e-5)


def test_what_is_not_known_teaches_neither_network() -> None:
    """Whatever the target holds where it is not known, a step ends with the same weights."""
    source, target = pair()
    known = torch.zeros(2, 1, 32, 32)
    known[..., 8:24] = 1
    ended = []
    for elsewhere in (-1.0, 1.0):
        ours = learner()
        step(ours, source, torch.where(known > 0, target, torch.tensor(elsewhere)), known)
        ended.append(weights(ours["generator"]) + weights(ours["discriminator"]))
    assert all(torch.equal(a, b) for a, b in zip(*ended, strict=True))


def test_with_shift_tolerance_both_networks_see_registered_pairs() -> None:
    """If the target is the generator's image, moved, the loss is 0 and real pairs are fake pairs, border and all."""
    ours = learner(shift_tolerance=3, generator={"levels": 3, "base_channels": 8, "dropout": 0})
    source, _ = pair()
    with torch.no_grad():
        target = ours["generator"](source).roll((1, -2), (-2, -1))
    shown = []
    ours["discriminator"].register_forward_pre_hook(lambda _, inputs: shown.append(inputs[1].detach().clone()))
    assert step(ours, source, target)["l1"] == 0
    real, fake, again = shown
    assert torch.equal(real, fake) and torch.equal(fake, again)
    assert not fake[..., -1:, :].any() and not fake[..., :2].any() and fake[..., :-1, 2:].all()
    assert step(learner(), source, target)["l1"] > 0


@pytest.mark.parametrize(("share", "seen"), [(1.0, 4), (0.5, 2), (0.01, 1)])
def test_the_discriminator_sees_its_share_of_a_batch(share, seen) -> None:
    """A patch at least, and the generator learns its adversarial loss from these alone, its L1 loss from all."""
    source, target = (side.repeat(2, 1, 1, 1) for side in pair())
    known = torch.ones(4, 1, 32, 32)
    known[:, :, :16] = 0
    stains = torch.ones(4, 1)
    for objective in ("cross-entropy", "wgan-gp"):
        ours, shown, learned = learner(gan_share=share, objective=objective, l1_weight=0), [], []
        ours["discriminator"].module.register_forward_pre_hook(lambda _, sides, to=shown: to.append(len(sides[0])))

        def listen(_, __, made, to=learned) -> None:
            made.register_hook(to.append)

        ours["generator"].module.register_forward_hook(listen)
        losses = PIX2PIX.step(ours, {"source": source, "target": target, "known": known, "stains": stains})
        assert set(shown) == {seen} and len(shown) == (4 if objective == "wgan-gp" else 3)
        assert [bool(patch.any()) for patch in learned[-1]] == [i % (4 // seen) == 0 for i in range(4)]
        assert losses["l1"] > 0


@pytest.mark.parametrize("objective", ["cross-entropy", "minimax", "least-squares", "hinge"])
def test_a_discriminator_that_always_knows_is_told(objective) -> None:
    """Only if its loss has been near zero for long, compared with that of one that cannot tell."""
    strong, fair = ([{"discriminator": share * UNDECIDED[objective]}] * ROWS for share in (0.01, 0.2))
    assert "tells every fake from its target" in PIX2PIX.sign(small_config(objective=objective), strong)
    assert PIX2PIX.sign(small_config(objective=objective), fair) is None
    assert PIX2PIX.sign(small_config(objective=objective), strong[1:]) is None
    assert PIX2PIX.sign(small_config(objective=objective), strong[1:] + fair[:1] * 10) is None


def test_a_loss_without_bounds_and_no_discriminator_say_nothing() -> None:
    """The loss of wgan-gp has no scale; L1 alone has no discriminator."""
    assert PIX2PIX.sign(small_config(objective="wgan-gp"), [{"discriminator": 0.0}] * ROWS) is None
    assert PIX2PIX.sign(small_config(objective="cross-entropy"), [{"l1": 0.1}] * ROWS) is None


@pytest.mark.parametrize("precision", ["float32", "bfloat16", "float16"])
def test_gradients_are_clipped_in_every_precision(precision: str) -> None:
    """Those of float16, which are scaled, to the same norm: at the first step Adam's mean is a half of a gradient."""
    ours = learner(precision=precision, clip_gradients=1e-3)
    step(ours, *pair())
    for name, optimizer in ours.optimizers.items():
        means = [moments["exp_avg"].flatten() for moments in optimizer.state_dict()["state"].values()]
        assert torch.cat(means).norm().item() == pytest.approx(0.5e-3, rel=1e-3), name
