"""The equations, against the paper's own form written out."""

import torch

from napari_pix2pix.core.losses import discriminator_loss, generator_loss, gradient_penalty, l1_loss, l2_loss


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
