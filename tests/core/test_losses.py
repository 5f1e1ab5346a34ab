"""The equations, against the paper's own form written out."""

import torch

from napari_pix2pix.core.losses import discriminator_loss, generator_loss, l1_loss


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
