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
