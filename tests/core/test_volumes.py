"""In three dimensions everything holds that holds in two."""

import numpy as np
import pytest
import torch

from napari_pix2pix import core
from napari_pix2pix.core.axes import AxesPlan
from napari_pix2pix.core.config import DiscriminatorConfig, GeneratorConfig
from napari_pix2pix.core.networks.patchgan import PatchGAN
from napari_pix2pix.core.networks.unet import UNet
from napari_pix2pix.core.patch_scores import score_frame, valid_scores
from napari_pix2pix.core.prediction import plan_prediction, predict_tiles
from small import blobs, small_config

CPU = torch.device("cpu")


@pytest.mark.parametrize("axes", ["TZCYX", "CZYX", "YXZ", "ZYXS"])
def test_volumes_survive_take_and_put(axes: str) -> None:
    """A frame is channels, planes, rows, columns, and goes back where it came from."""
    sizes = {"T": 2, "Z": 3, "C": 2, "Y": 4, "X": 5, "S": 3}
    plan = AxesPlan(axes, tuple(sizes[axis] for axis in axes), z="volume")
    stack = np.arange(np.prod(plan.shape)).reshape(plan.shape)
    back = np.full_like(stack, -1)
    for frame in range(plan.n_frames):
        values = plan.take(stack, frame)
        assert values.shape == (plan.n_channels, 3, 4, 5)
        plan.put(back, frame, values)
    np.testing.assert_array_equal(back, stack)
    with pytest.raises(ValueError, match="must have the axis Z"):
        AxesPlan("TYX", (3, 4, 5), z="volume")


@pytest.mark.parametrize("levels", [1, 2, 3])
def test_a_volume_in_tiles_is_the_volume_whole(levels: int) -> None:
    """Reach per axis is the support of the gradient, and tiles of any size give the whole."""
    torch.manual_seed(0)
    network = UNet(1, 1, GeneratorConfig(levels=levels, base_channels=2, norm="none"), 3)
    for parameter in network.parameters():
        parameter.data.mul_(5)
    network.eval()
    frame = np.random.default_rng(0).standard_normal((1, 5, 45, 83)).astype(np.float32)
    whole, tiled = (np.empty_like(frame) for _ in range(2))
    for result, tile_size in ((whole, None), (tiled, 19)):
        for tile, values in predict_tiles(network, frame, plan_prediction(network, frame.shape[1:], tile_size), CPU):
            result[(slice(None), *tile.keep)] = values
    np.testing.assert_allclose(tiled, whole, rtol=0, atol=2e-4)
    depth, side = 4 * levels + 3, 6 * 2**levels
    source = torch.rand(1, 1, depth, side, side, dtype=torch.float64, requires_grad=True)
    network.double()(source)[0, 0, depth // 2, side // 2, side // 2].backward()
    planes = torch.nonzero(source.grad[0, 0].abs().sum(dim=(1, 2)))[:, 0]
    assert depth // 2 - int(planes.min()) == network.reach[0]


@pytest.mark.parametrize("n_layers", [1, 2])
def test_scores_of_a_volume_lie_by_their_fields(n_layers: int) -> None:
    """Tiles give the scores of the whole; the pixels that move a score are those of its field, along each axis."""
    torch.manual_seed(0)
    network = PatchGAN(1, 1, DiscriminatorConfig(n_layers=n_layers, base_channels=2, norm="none"), 3).eval()
    assert network.fields[0].size == 2 * (n_layers + 2) + 1
    assert (network.fields[0].stride, network.fields[0].centre) == (1, 0)
    pair = np.random.default_rng(0).standard_normal((2, 1, 13, 60, 71)).astype(np.float32)
    whole = score_frame(network, *pair, CPU)
    np.testing.assert_allclose(score_frame(network, *pair, CPU, 16), whole, rtol=0, atol=1e-5)
    valid = valid_scores(network.fields, pair.shape[2:])
    assert valid.shape == whole.shape
    changed = pair[1].copy()
    changed[0, 6, 30, 31] += 1
    moved = score_frame(network, pair[0], changed, CPU) != whole
    inside = [
        [field.pixels(i).start <= place < field.pixels(i).stop for i in range(n)]
        for field, place, n in zip(network.fields, (6, 30, 31), whole.shape, strict=True)
    ]
    np.testing.assert_array_equal(moved, np.logical_and.outer(np.logical_and.outer(*inside[:2]), inside[2]))


@pytest.mark.filterwarnings("ignore:No room for")
@pytest.mark.parametrize("kind", ["intensity", "instances"])
def test_volumes_are_trained_predicted_and_scored(tmp_path, kind: str) -> None:
    """From two volumes to a volume of grey values or objects, with its scores; again from the file."""
    frames = [blobs((48, 64), seed) for seed in range(3)]
    source = np.stack([image for image, _ in frames] * 2)
    target = source if kind == "intensity" else np.stack([labels for _, labels in frames] * 2)
    pairs = core.PairedFrames([source, source[:5]], [target, target[:5]], "ZYX", z="volume")
    config = small_config(target_kind=kind, patch_depth=4, validation_share=0, calibration_share=0)
    *_, report = core.train(pairs, config, out=tmp_path, device="cpu")
    model = core.load_model(tmp_path / "model.safetensors", "cpu")
    prediction = model.predict(source, "ZYX")
    assert prediction.shape == source.shape
    np.testing.assert_array_equal(prediction, report.model.predict(source, "ZYX", tile_size=24))
    scored = model.score(source, target, "ZYX")
    assert (scored.axes, scored.scores.shape) == ("ZYX", (6, 48 // 2 - 2, 64 // 2 - 2))
    assert (scored.scale, scored.translate) == ((1.0, 2.0, 2.0), (0.0, 2.5, 2.5))
