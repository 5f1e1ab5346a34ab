"""Shifts are found where they were planted, and are not measurable where nothing tells them."""

import numpy as np
import pytest
import torch
from scipy import ndimage
from torch import Tensor

from napari_pix2pix.core.data.shifts import (
    displacement,
    find_shift,
    find_shifts,
    phase_correlation,
    reach,
    register,
)
from napari_pix2pix.core.methods.losses import l1_loss


def smooth(seed: int, shape: tuple[int, int] = (128, 128), width: float = 3.0) -> np.ndarray:
    """Grey values from 0 to 4000 without a direction."""
    values = ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=shape), width)
    return (values - values.min()) / np.ptp(values) * 4000


@pytest.mark.parametrize("shift", [(0, 0), (3, -5), (-4, 2)])
def test_all_measures_agree(shift: tuple[int, int]) -> None:
    """Of images that differ by a shift alone, each measure says it, with the same sign: where the target lies."""
    big = smooth(4, (160, 160), 2.0)
    one, target = (view[None].copy() for view in (big[16:-16, 16:-16], np.roll(big, shift, (0, 1))[16:-16, 16:-16]))
    assert find_shift(phase_correlation(one, target, reach(128)))[0] == shift
    assert displacement(one, target, np.ones((128, 128), bool)) == pytest.approx(shift, abs=0.1)
    assert find_shifts(*(torch.from_numpy(image[None]) for image in (one, target)), None, 8).tolist() == [list(shift)]


# Of frames


@pytest.mark.parametrize("shift", [(0.0, 0.0), (3.0, -5.0), (0.5, -0.25), (-1.4, 2.7)])
def test_a_planted_shift_is_found(shift: tuple[float, float]) -> None:
    """To a fifth of a pixel, also where the prediction is softer than the target."""
    big = smooth(4, (160, 160), 2.0)
    target = ndimage.shift(big, shift, order=3)[16:-16, 16:-16][None]
    prediction = ndimage.gaussian_filter(big, 1)[16:-16, 16:-16][None]
    found = displacement(prediction, target, np.ones((128, 128), bool))
    assert found == pytest.approx(shift, abs=0.2)


def test_a_shift_that_cannot_be_measured_is_none() -> None:
    """Unrelated images, constants, and what is known in patches only."""
    a, b, known = smooth(0)[None], smooth(1)[None], np.ones((128, 128), bool)
    assert displacement(a, b, known) is None
    assert displacement(a, np.zeros_like(a), known) is None
    assert displacement(a, a, np.indices((128, 128)).sum(axis=0) % 2 == 0) is None
    assert displacement(a, a, known) == pytest.approx((0, 0), abs=1e-6)


def test_the_shift_of_flat_periodic_or_tiny_images_is_not_measurable() -> None:
    """A constant has no edges, a grid has many equal answers, a small image has no room for a rival."""
    image, flat = smooth(1, (150, 170), 2.0)[None], np.ones((1, 150, 170))
    for source, target in ((image, flat), (flat, image), (flat, flat)):
        assert find_shift(phase_correlation(source, target, 32)) == (None, 0.0)
    y, x = np.mgrid[:150, :170]
    grids = [(np.sin(y) * np.sin(x) + np.random.default_rng(i).normal(0, 0.1, y.shape))[None] for i in range(2)]
    assert find_shift(phase_correlation(*grids, 32))[0] is None
    tiny = image[:, :16, :16]
    assert find_shift(phase_correlation(tiny, tiny, 4))[0] is None


# Of patches, in training


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
