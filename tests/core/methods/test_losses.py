"""The equations, written out again in numpy: values, and gradients by finite differences."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from napari_pix2pix.core.methods.losses import (
    discriminator_loss,
    find_shifts,
    generator_loss,
    gradient_penalty,
    l1_loss,
    l2_loss,
    register,
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


def test_nothing_that_weighs_is_no_loss() -> None:
    """0, not NaN."""
    fake, target = torch.rand(2, 3, 4, 4), torch.rand(2, 3, 4, 4)
    assert l1_loss(fake, target, torch.zeros(2, 1, 4, 4)) == l2_loss(fake, target, torch.zeros(2, 1, 4, 4)) == 0


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
