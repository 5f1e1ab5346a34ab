"""Scores lie where their fields are."""

import numpy as np
import pytest
import torch

from napari_pix2pix.core.networks.patchgan import PatchGAN
from napari_pix2pix.core.running.patch_scores import score_frame, score_grid, valid_scores
from napari_pix2pix.core.settings.config import DiscriminatorConfig

CPU = torch.device("cpu")
FIELDS = {0: (1, 1, 0.0), 1: (16, 2, 2.5), 2: (34, 4, 5.5), 3: (70, 8, 11.5), 4: (142, 16, 23.5), 5: (286, 32, 47.5)}
LISTED = {"4,2,1 4,2,1 4,2,1 4,2,1 4,1,0": (94, 16, 31.5), "5,3,2 3,1,1 4,2,2 2,1,0": (26, 6, 1.5)}
"""DiscoGAN's field, and one that is nobody's."""


def discriminator(n_layers: int, layers: str = "") -> PatchGAN:
    torch.manual_seed(n_layers)
    network = PatchGAN(1, 1, DiscriminatorConfig(n_layers=n_layers, layers=layers, base_channels=2))
    for parameter in network.parameters():
        parameter.data.mul_(5)
    network.train()
    network(torch.rand(2, 1, 128, 128), torch.rand(2, 1, 128, 128))
    return network.eval()


def pair(shape: tuple[int, int], seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    return tuple(random.standard_normal((1, *shape)).astype(np.float32) for _ in range(2))


@pytest.mark.parametrize(
    ("n_layers", "layers", "expected"),
    [(n, "", expected) for n, expected in FIELDS.items()] + [(0, *listed) for listed in LISTED.items()],
)
def test_the_field_is_the_support_of_the_gradient(n_layers: int, layers: str, expected: tuple) -> None:
    """Size, stride and centre are the formulas', and the pixels that move a score are those of its field."""
    network = discriminator(n_layers, layers).double()
    field = network.fields[-1]
    assert (field.size, field.stride, field.centre) == expected
    if n_layers:
        scale = 2**n_layers
        assert (field.size, field.first, field.centre) == (9 * scale - 2, 1 - 3 * scale, (3 * scale - 1) / 2)
    side = 2 * field.size + 4 * field.stride
    image = torch.rand(1, 1, side, side, dtype=torch.float64, requires_grad=True)
    scores = network(image.detach(), image)
    row = next(i for i in range(scores.shape[2]) if field.pixels(i).start >= 0)
    scores[0, 0, row, row + 1].backward()
    touched = torch.nonzero(image.grad[0, 0])
    bounds = [(int(side.min()), int(side.max()) + 1) for side in touched.T]
    assert bounds == [(field.pixels(i).start, field.pixels(i).stop) for i in (row, row + 1)]


@pytest.mark.parametrize("n_layers", [0, 1, 2, 3, 4])
@pytest.mark.parametrize("shape", [(256, 256), (151, 203), (142, 149)])
def test_tiles_give_the_scores_of_the_whole(n_layers: int, shape: tuple[int, int]) -> None:
    """Scores do not depend on the tiling, and there are as many as the formula says."""
    network = discriminator(n_layers)
    whole = score_frame(network, *pair(shape), CPU)
    assert whole.shape == tuple(n if n_layers == 0 else n // 2**n_layers - 2 for n in shape)
    assert whole.shape == score_grid(network.fields, shape)
    for tile_size in (1, 40, 97):
        if n_layers or tile_size > 1:  # one pixel a tile says nothing new and takes long
            np.testing.assert_allclose(score_frame(network, *pair(shape), CPU, tile_size), whole, rtol=0, atol=1e-4)


@pytest.mark.parametrize("layers", LISTED)
@pytest.mark.parametrize("shape", [(151, 203), (142, 149)])
def test_tiles_give_the_scores_of_any_layers(layers: str, shape: tuple[int, int]) -> None:
    """As of the paper's: also where a kernel hangs over by half, and where none does."""
    network = discriminator(0, layers)
    whole = score_frame(network, *pair(shape), CPU)
    assert whole.shape == score_grid(network.fields, shape)
    for tile_size in (1, 40, 97):
        np.testing.assert_allclose(score_frame(network, *pair(shape), CPU, tile_size), whole, rtol=0, atol=1e-4)


def test_only_scores_whose_field_holds_a_change_react() -> None:
    """Change one small region of the image: the scores that move are those whose field contains some of it."""
    network = discriminator(2)
    field = network.fields[-1]
    source, image = pair((120, 100))
    changed = image.copy()
    changed[0, 60:63, 31:33] += 1
    moved = score_frame(network, source, image, CPU) != score_frame(network, source, changed, CPU)
    rows = [field.pixels(i).start < 63 and field.pixels(i).stop > 60 for i in range(moved.shape[0])]
    columns = [field.pixels(i).start < 33 and field.pixels(i).stop > 31 for i in range(moved.shape[1])]
    np.testing.assert_array_equal(moved, np.outer(rows, columns))


@pytest.mark.parametrize(
    ("n_layers", "count", "inside"),
    [(0, 256, 256), (1, 126, 120), (2, 62, 56), (3, 30, 24), (4, 14, 8), (5, 6, 0)],
)
def test_valid_scores_see_no_padding(n_layers: int, count: int, inside: int) -> None:
    """On 256 x 256 there are as many scores per axis, and as many with their field wholly inside, as the table says."""
    network = discriminator(n_layers)
    fields, image = network.fields, torch.zeros(1, 1, 256, 256)
    with torch.no_grad():
        assert network(image, image).shape[2:] == score_grid(fields, (256, 256)) == (count, count)
    field, valid = fields[-1], valid_scores(fields, (256, 256))
    assert valid.any(axis=0).sum() == valid.any(axis=1).sum() == inside
    for i in np.flatnonzero(valid.any(axis=1)):
        assert field.pixels(i).start >= 0
        assert field.pixels(i).stop <= 256


def test_an_image_smaller_than_a_field_is_told() -> None:
    """An image that holds no whole field cannot be scored."""
    with pytest.raises(ValueError, match="at least one field large, 70 x 70 px; got 69 x 300"):
        score_frame(discriminator(3), *pair((69, 300)), CPU)
