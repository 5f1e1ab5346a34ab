"""The equations, written out again in numpy: values, and gradients by finite differences."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from napari_pix2pix.core.methods.losses import (
    discriminator_loss,
    generator_loss,
    gradient_penalty,
    l1_loss,
    l2_loss,
    label_loss,
)

Values = NDArray[np.float64]


def assert_same(ours: Callable, written_out: Callable[..., float], *inputs: Values) -> None:
    """Both give the same value of `inputs`, and the same gradient by every one of them; in float64."""
    tensors = [torch.tensor(values, requires_grad=True) for values in inputs]
    loss = ours(*tensors)
    np.testing.assert_allclose(loss.item(), written_out(*inputs), rtol=1e-12)
    gradients = torch.autograd.grad(loss, tensors, materialize_grads=True, allow_unused=True)
    for k, gradient in enumerate(gradients):
        slopes = np.empty_like(inputs[k])
        for at in np.ndindex(slopes.shape):
            ends = []
            for step in (-1e-5, 1e-5):
                moved = [values.copy() for values in inputs]
                moved[k][at] += step
                ends.append(written_out(*moved))
            slopes[at] = (ends[1] - ends[0]) / 2e-5
        np.testing.assert_allclose(gradient, slopes, rtol=1e-5, atol=1e-9)


def probability(score: Values) -> Values:
    return 1 / (1 + np.exp(-score))


# What each network minimizes, of the scores of real and of made images.
DISCRIMINATOR = {
    "cross-entropy": lambda r, f: -np.log(probability(r)).mean() - np.log(1 - probability(f)).mean(),
    "minimax": lambda r, f: -np.log(probability(r)).mean() - np.log(1 - probability(f)).mean(),
    "least-squares": lambda r, f: ((r - 1) ** 2).mean() / 2 + (f**2).mean() / 2,
    "hinge": lambda r, f: np.maximum(0, 1 - r).mean() + np.maximum(0, 1 + f).mean(),
    "wgan-gp": lambda r, f: f.mean() - r.mean(),
}
GENERATOR = {
    "cross-entropy": lambda f: -np.log(probability(f)).mean(),
    "minimax": lambda f: np.log(1 - probability(f)).mean(),
    "least-squares": lambda f: ((f - 1) ** 2).mean() / 2,
    "hinge": lambda f: -f.mean(),
    "wgan-gp": lambda f: -f.mean(),
}


@pytest.mark.parametrize("objective", DISCRIMINATOR)
def test_objectives_are_their_formulas(objective: str) -> None:
    """Each objective's losses, and their gradients, equal the formulas in scores and probabilities."""
    random = np.random.default_rng(0)
    real, fake = (2 * random.standard_normal((2, 1, 3, 3)) for _ in range(2))
    assert_same(lambda r, f: discriminator_loss(r, f, objective), DISCRIMINATOR[objective], real, fake)
    assert_same(lambda f: generator_loss(f, objective), GENERATOR[objective], fake)


def test_distances_are_their_formulas() -> None:
    """L1 and L2, plain and weighted, by every pixel of both images."""
    random = np.random.default_rng(0)
    fake, target = (random.standard_normal((2, 2, 3, 3)) for _ in range(2))
    weight = random.integers(0, 3, (2, 1, 3, 3)).astype(float)
    everywhere = np.broadcast_to(weight, fake.shape)
    of_weight = torch.tensor(weight)
    assert_same(l1_loss, lambda f, t: np.abs(t - f).mean(), fake, target)
    assert_same(l2_loss, lambda f, t: ((t - f) ** 2).mean(), fake, target)
    assert_same(
        lambda f, t: l1_loss(f, t, of_weight), lambda f, t: np.average(np.abs(t - f), weights=everywhere), fake, target
    )
    assert_same(
        lambda f, t: l2_loss(f, t, of_weight), lambda f, t: np.average((t - f) ** 2, weights=everywhere), fake, target
    )


def test_the_loss_of_labels_is_the_cross_entropy_of_probabilities() -> None:
    """Of (1 + map) / 2, plain and weighted; least where fake and target are one, and not 0 there."""
    random = np.random.default_rng(0)
    fake, target = random.uniform(-0.9, 0.9, (2, 2, 2, 3, 3))
    weight = random.integers(0, 3, (2, 1, 3, 3)).astype(float)

    def each(f: Values, t: Values) -> Values:
        return -(1 + t) / 2 * np.log((1 + f) / 2) - (1 - t) / 2 * np.log((1 - f) / 2)

    everywhere = np.broadcast_to(weight, fake.shape)
    assert_same(label_loss, lambda f, t: each(f, t).mean(), fake, target)
    of_weight = torch.tensor(weight)
    assert_same(
        lambda f, t: label_loss(f, t, of_weight), lambda f, t: np.average(each(f, t), weights=everywhere), fake, target
    )
    nearest = torch.tensor(target, requires_grad=True)
    (slope,) = torch.autograd.grad(label_loss(nearest, torch.tensor(target)), nearest)
    assert slope.abs().max() < 1e-12


def test_the_loss_of_labels_pulls_at_what_is_wrong_however_sure() -> None:
    """Before its tanh a map is pulled by fake - target in float32, where L1 lets go; nothing overflows at the ends."""
    before = torch.tensor([-6.0, -3.0, 0.0, 1.0, 3.0, 6.0, -50.0, 50.0]).reshape(1, 1, 2, 4).requires_grad_()
    target = torch.full_like(before, 0.9)
    fake = before.tanh()
    loss = label_loss(fake, target)
    (pull,) = torch.autograd.grad(loss, before)
    assert loss.isfinite() and pull.isfinite().all()
    of_l1 = torch.autograd.grad(l1_loss(before.tanh(), target), before)[0]
    torch.testing.assert_close(pull.flatten()[:6], (fake - target).detach().flatten()[:6] / 8, rtol=0.02, atol=0)
    assert pull.flatten()[0].abs() > 1000 * of_l1.flatten()[0].abs()


def test_the_gradient_penalty_is_its_formula() -> None:
    """For scores sum_i a_i tanh(W_i v), whose slope by v is known: the penalty, and its gradient by a and W."""
    random = np.random.default_rng(0)
    target, fake = random.standard_normal((2, 3, 1, 2, 2))
    share = random.random((3, 1, 1, 1))
    between = share * target + (1 - share) * fake

    def written_out(a: Values, w: Values) -> float:
        v = between.reshape(3, 4)
        slopes = (a / np.cosh(v @ w.T) ** 2) @ w  # by each pixel, for each of the three pairs
        return float(((np.sqrt((slopes**2).sum(axis=1)) - 1) ** 2).mean())

    def ours(a: torch.Tensor, w: torch.Tensor) -> torch.Tensor:
        images = [torch.tensor(values) for values in (target, fake, share)]
        return gradient_penalty(lambda v: torch.tanh(v.flatten(1) @ w.T) * a, *images)

    assert_same(ours, written_out, random.standard_normal(5), random.standard_normal((5, 4)))


def test_losses_stay_finite_for_sure_discriminators() -> None:
    """Logits of a thousand do not overflow."""
    far = torch.full((1, 1, 2, 2), 1000.0)
    assert discriminator_loss(-far, far).item() == 2000
    assert generator_loss(-far).item() == 1000


@pytest.mark.parametrize("objective", GENERATOR)
def test_a_grid_of_scores_may_be_averaged_first(objective: str) -> None:
    """Isola et al., section 3.2, average all responses to one output of D. Where a loss is linear in the scores the
    mean of the losses is the loss of the mean; where it is convex, it is more, and pushes each field by itself."""
    real, fake = 2 * torch.randn(2, 1, 1, 30, 30, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    one = [scores.mean().reshape(1, 1, 1, 1) for scores in (real, fake)]
    of_grid = discriminator_loss(real, fake, objective), generator_loss(fake, objective)
    of_mean = discriminator_loss(*one, objective), generator_loss(one[1], objective)
    linear = objective == "wgan-gp", objective in ("hinge", "wgan-gp")
    sign = 1, -1 if objective == "minimax" else 1  # its generator's loss is concave
    for k in range(2):
        if linear[k]:
            torch.testing.assert_close(of_grid[k], of_mean[k])
        else:
            assert sign[k] * (of_grid[k] - of_mean[k]) > 0.1


def test_nothing_that_weighs_is_no_loss() -> None:
    """0, not NaN."""
    fake, target = torch.rand(2, 3, 4, 4), torch.rand(2, 3, 4, 4)
    assert l1_loss(fake, target, torch.zeros(2, 1, 4, 4)) == l2_loss(fake, target, torch.zeros(2, 1, 4, 4)) == 0
