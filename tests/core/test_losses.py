"""The equations, against the paper's own form written out."""

import pytest
import torch
from torch import Tensor

from napari_pix2pix.core.losses import (
    discriminator_loss,
    find_shifts,
    generator_loss,
    gradient_penalty,
    l1_loss,
    l2_loss,
    register,
)


def test_losses_are_the_papers() -> None:
    """On float64 logits each loss equals its formula in probabilities, and so does its gradient."""
    torch.manual_seed(0)
    real, fake = (torch.randn(2, 1, 5, 5, dtype=torch.float64, requires_grad=True) for _ in range(2))
    d_real, d_fake = torch.sigmoid(real), torch.sigmoid(fake)
    pairs = [
        (discriminator_loss(real, fake), -torch.log(d_real).mean() - torch.log(1 - d_fake).mean(), [real, fake]),
        (generator_loss(fake), -torch.log(d_fake).mean(), [fake]),
        (
            l1_loss(fake, real),
            sum(abs(a - b) for a, b in zip(real.flatten(), fake.flatten(), strict=True)) / 50,
            [real, fake],
        ),
    ]
    for ours, written_out, inputs in pairs:
        torch.testing.assert_close(ours, written_out)
        gradients = [torch.autograd.grad(loss, inputs, retain_graph=True) for loss in (ours, written_out)]
        torch.testing.assert_close(*gradients)


def test_losses_stay_finite_for_sure_discriminators() -> None:
    """Logits of a thousand do not overflow."""
    far = torch.full((1, 1, 2, 2), 1000.0)
    assert discriminator_loss(-far, far).item() == 2000
    assert generator_loss(-far).item() == 1000


def test_a_weighted_l1_loss_is_the_mean_of_what_weighs() -> None:
    """Pixels of weight 0 count for nothing, pixels of weight 2 twice; nothing at all is 0, not NaN."""
    fake, target = torch.rand(2, 3, 4, 4), torch.rand(2, 3, 4, 4)
    weight = torch.randint(0, 3, (2, 1, 4, 4)).float()
    expected = (abs(target - fake) * weight).sum() / weight.expand_as(fake).sum()
    torch.testing.assert_close(l1_loss(fake, target, weight), expected)
    assert l1_loss(fake, target, torch.zeros(2, 1, 4, 4)) == 0


def test_objectives_are_their_formulas() -> None:
    """Each objective's losses equal their formulas in scores and probabilities, written out."""
    torch.manual_seed(0)
    real, fake = (torch.randn(2, 1, 5, 5, dtype=torch.float64) for _ in range(2))
    probability = torch.sigmoid(fake)
    written_out = {
        "minimax": (discriminator_loss(real, fake), torch.log(1 - probability).mean()),
        "least-squares": (
            0.5 * (real - 1).square().mean() + 0.5 * fake.square().mean(),
            0.5 * (fake - 1).square().mean(),
        ),
        "hinge": ((1 - real).clamp(min=0).mean() + (1 + fake).clamp(min=0).mean(), -fake.mean()),
        "wgan-gp": (fake.mean() - real.mean(), -fake.mean()),
    }
    for objective, (judge, generator) in written_out.items():
        torch.testing.assert_close(discriminator_loss(real, fake, objective), judge)
        torch.testing.assert_close(generator_loss(fake, objective), generator)


def test_the_gradient_penalty_is_about_the_slope() -> None:
    """For scores of slope w it is (|w| - 1)^2 wherever it is taken, and its gradient reaches w."""
    w = torch.full((1, 3, 4, 4), 0.5, dtype=torch.float64, requires_grad=True)
    target, fake = (torch.rand(2, 3, 4, 4, dtype=torch.float64) for _ in range(2))
    share = torch.rand(2, 1, 1, 1).double()
    penalty = gradient_penalty(lambda v: (v * w).sum(dim=(1, 2, 3)), target, fake, share)
    torch.testing.assert_close(penalty, (w.norm() - 1) ** 2)
    penalty.backward()
    assert (w.grad > 0).all()


def test_the_squared_loss_weighs_like_the_absolute_one() -> None:
    """E(y - G)^2 over what weighs."""
    fake, target = torch.rand(2, 3, 4, 4), torch.rand(2, 3, 4, 4)
    weight = torch.randint(0, 2, (2, 1, 4, 4)).float()
    expected = ((target - fake) ** 2)[weight.expand_as(fake) > 0].mean()
    torch.testing.assert_close(l2_loss(fake, target, weight), expected)


def scene(*shape: int) -> Tensor:
    """A smooth random image, float64."""
    noise = torch.randn(*shape[:-2], *(n + 4 for n in shape[-2:]), generator=torch.Generator().manual_seed(0)).double()
    return torch.nn.functional.avg_pool2d(noise.flatten(1, -3), 5, 1).reshape(shape)


def views(image: Tensor, shifts: list[tuple[int, int]], side: int) -> Tensor:
    """For each patch n of `image` (N, C, Y, X) the window of `side` px that lies shifts[n] off its middle."""
    corners = [[(n - side) // 2 + d for n, d in zip(image.shape[-2:], shift, strict=True)] for shift in shifts]
    return torch.stack([image[i, ..., y : y + side, x : x + side] for i, (y, x) in enumerate(corners)])


@pytest.mark.parametrize("shift", [(0, 0), (4, -3), (-4, 4), (0, 1)])
@pytest.mark.parametrize("depth", [(), (3,)])
def test_a_moved_target_is_moved_back(shift: tuple[int, int], depth: tuple[int, ...]) -> None:
    """Each patch has a shift of its own, the same in all planes; what is then compared is what both have seen."""
    image = scene(2, 1, *depth, 60, 64)
    fake = views(image, [(0, 0), (0, 0)], 40).requires_grad_()
    moved = views(image, [shift, (1, 2)], 40)
    assert find_shifts(fake, moved, None, 4).tolist() == [[-d for d in shift], [-1, -2]]
    target, known = register(fake, moved, None, 4)
    assert l1_loss(fake, target, known) == 0
    seen = torch.tensor([(40 - abs(y)) * (40 - abs(x)) for y, x in (shift, (1, 2))])
    assert torch.equal(known.flatten(1).sum(1).long(), seen * (depth or (1,))[0])
    again, everywhere = register(fake, fake, None, 4)
    assert torch.equal(again, fake) and everywhere.all()


def test_a_target_moved_too_far_is_not_found() -> None:
    """Beyond the tolerance the loss stays about that of unrelated images; within, it is gone."""
    image = scene(1, 1, 60, 60)
    fake, moved = views(image, [(0, 0)], 40), views(image, [(5, 0)], 40)
    far, near = (l1_loss(fake, *register(fake, moved, None, reach)) for reach in (4, 5))
    assert near == 0
    assert far > 0.2 * l1_loss(fake, moved)


@pytest.mark.parametrize("masked", [False, True])
def test_the_shift_tolerant_loss_is_l1_at_its_shift(masked: bool) -> None:
    """Value and gradient are those of mean |y(p + s) - G(p)| over p with p + s known and inside, written out."""
    image, side, (dy, dx) = scene(1, 2, 60, 60), 40, (-3, 2)
    fake = (views(image, [(0, 0)], side) + 0.1 * torch.randn(1, 2, side, side)).requires_grad_()
    target, mask = views(image, [(-dy, -dx)], side), torch.ones(1, 1, side, side, dtype=torch.float64)
    if masked:
        mask[..., 25:, :6] = 0
        target = torch.where(mask > 0, target, 5.0)  # whatever is there
    assert find_shifts(fake, target, mask, 4).tolist() == [[dy, dx]]
    total, count = torch.zeros((), dtype=torch.float64), 0
    for y in range(max(0, -dy), min(side, side - dy)):
        for x in range(max(0, -dx), min(side, side - dx)):
            if mask[0, 0, y + dy, x + dx]:
                total, count = total + (target[0, :, y + dy, x + dx] - fake[0, :, y, x]).abs().sum(), count + 2
    ours = l1_loss(fake, *register(fake, target, mask if masked else None, 4))
    torch.testing.assert_close(ours, total / count)
    torch.testing.assert_close(*(torch.autograd.grad(loss, fake)[0] for loss in (ours, total / count)))


def test_nothing_to_go_by_is_no_shift() -> None:
    """Where the fake is flat or nothing is known, no shift is better than none, so none is taken."""
    image, flat = scene(2, 1, 40, 40).float(), torch.full((2, 1, 40, 40), 0.3)
    for fake, known in ((flat, None), (image.flip(-1), torch.zeros(2, 1, 40, 40))):
        assert not find_shifts(fake, image, known, 4).any()


def test_a_shift_must_be_worth_it() -> None:
    """Of shifts that fit about as well, the smallest is taken: stripes lie on themselves again a period away."""
    stripes = torch.sin(torch.arange(49) * 2 * torch.pi / 7).expand(1, 1, 49, 49).double()
    noise = 1e-3 * torch.randn(1, 1, 49, 49, generator=torch.Generator().manual_seed(0)).double()
    assert find_shifts(stripes + noise, stripes.roll(2, -1), None, 6).tolist() == [[0, 2]]
