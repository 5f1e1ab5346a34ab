"""In three dimensions everything holds that holds in two."""

import warnings
from functools import partial

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from napari_pix2pix import core
from napari_pix2pix.core.data.frames import Frames
from napari_pix2pix.core.data.patches import PairedPatches
from napari_pix2pix.core.encodings.encoding import fit_encoding
from napari_pix2pix.core.geometry.axes import AxesPlan
from napari_pix2pix.core.networks.layers import convolution, up_convolution
from napari_pix2pix.core.networks.patchgan import PatchGAN
from napari_pix2pix.core.running.patch_scores import score_frame, score_grid, valid_scores
from napari_pix2pix.core.running.prediction import Forward, plan_prediction, predict_tiles
from napari_pix2pix.core.settings.config import DiscriminatorConfig
from small import blobs, networks, small_config

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


GENERATORS = (
    [{"levels": d, "z_levels": z} for d in (1, 2, 3) for z in range(d + 1)]
    + [{"architecture": "resnet-6", "z_levels": z} for z in (0, 1, 2)]
)  # fmt: skip


@settings(max_examples=60)
@given(
    config=st.sampled_from(GENERATORS),
    shape=st.tuples(st.integers(1, 9), st.integers(1, 40), st.integers(1, 150)),
    tile_size=st.integers(10, 60),
)
@example(config=GENERATORS[-1], shape=(1, 1, 1), tile_size=10)
@example(config=GENERATORS[-1], shape=(5, 13, 149), tile_size=29)
@example(config=GENERATORS[8], shape=(7, 17, 129), tile_size=31)
@example(config=GENERATORS[5], shape=(5, 17, 121), tile_size=10)
def test_a_volume_in_tiles_is_the_volume_whole(config: dict, shape: tuple[int, ...], tile_size: int) -> None:
    """With any number of planes, and planes halved or not, tiles of any size give the whole, to 1e-4 of the range;
    draws with dropout, too."""
    torch.manual_seed(0)
    config = config | {"base_channels": 2, "norm": "none"}
    network, _ = networks(small_config(generator=config), 1, 1, spatial_dims=3)
    for parameter in network.parameters():  # far from linear; larger, float32 itself is further than 1e-4 from float64
        parameter.data.mul_(1 if "architecture" in config else 2)
    network.eval()
    frame = np.random.default_rng(0).standard_normal((1, *shape)).astype(np.float32)
    for drawn in ({}, {"draws": 2}):
        whole, tiled = (np.zeros((1 + len(drawn), *shape), np.float32) for _ in range(2))
        for result, side in ((whole, None), (tiled, tile_size)):
            for window, values in predict_tiles(
                Forward(network, CPU, **drawn), frame, plan_prediction(network, shape, side)
            ):
                result[(slice(None), *window)] += values
        np.testing.assert_allclose(tiled, whole, rtol=0, atol=2e-4)
        assert np.isfinite(whole).all()


@pytest.mark.parametrize(
    ("n_layers", "z_layers", "size", "stride", "centre"),
    # Along Z a strided layer has kernel 4, another one kernel 3; the stride doubles what the layers after it see.
    [(1, 0, 7, 1, 0), (2, 0, 9, 1, 0), (1, 1, 12, 2, 0.5), (2, 1, 14, 2, 0.5), (2, 2, 26, 4, 1.5)],
)
def test_scores_of_a_volume_lie_by_their_fields(
    n_layers: int, z_layers: int, size: int, stride: int, centre: float
) -> None:
    """Tiles give the scores of the whole; the pixels that move a score are those of its field, along each axis."""
    torch.manual_seed(0)
    config = DiscriminatorConfig(n_layers=n_layers, z_layers=z_layers, base_channels=2, norm="none")
    network = PatchGAN(1, 1, config, 3).eval()
    field = network.fields[0]
    assert (field.size, field.stride, field.centre) == (size, stride, centre)
    pair = np.random.default_rng(0).standard_normal((2, 1, 23, 60, 71)).astype(np.float32)
    whole = score_frame(network, *pair, CPU)
    assert whole.shape == (23 // stride, *(n // 2**n_layers - 2 for n in (60, 71)))
    for tile_size in (4, 16):
        np.testing.assert_allclose(score_frame(network, *pair, CPU, tile_size), whole, rtol=0, atol=1e-5)
    valid = valid_scores(network.fields, pair.shape[2:])
    assert valid.shape == whole.shape
    for place in ((6, 30, 31), (13, 29, 40)):
        changed = pair[1].copy()
        changed[(0, *place)] += 1
        moved = score_frame(network, pair[0], changed, CPU) != whole
        inside = [
            [field.pixels(i).start <= at < field.pixels(i).stop for i in range(n)]
            for field, at, n in zip(network.fields, place, whole.shape, strict=True)
        ]
        np.testing.assert_array_equal(moved, np.logical_and.outer(np.logical_and.outer(*inside[:2]), inside[2]))


@pytest.mark.parametrize(
    ("layers", "z_layers", "size"), [("5,2,2 1,1,0 6,3,3 2,1,0", 1, 8), ("5,2,2 3,2,1 4,1,0", 2, 17)]
)
def test_listed_layers_keep_or_halve_planes(layers: str, z_layers: int, size: int) -> None:
    """Whatever their kernels and paddings along Y and X; tiles give the scores of the whole."""
    torch.manual_seed(0)
    config = DiscriminatorConfig(layers=layers, z_layers=z_layers, base_channels=2, norm="none")
    network = PatchGAN(1, 1, config, 3).eval()
    assert (network.fields[0].size, network.fields[0].stride) == (size, 2**z_layers)
    assert network.fields[1:] == (config.field,) * 2
    pair = np.random.default_rng(0).standard_normal((2, 1, 24, 60, 71)).astype(np.float32)
    whole = score_frame(network, *pair, CPU)
    assert len(whole) == 24 // 2**z_layers
    np.testing.assert_allclose(score_frame(network, *pair, CPU, 16), whole, rtol=0, atol=1e-5)


@pytest.mark.parametrize("planes", [1, 2, 3])
@pytest.mark.parametrize("z_stride", [1, 2])
@pytest.mark.parametrize("up", [False, True])
def test_gradients_hold_in_bfloat16(planes: int, z_stride: int, up: bool) -> None:
    """However few the planes, whatever the memory held before: torch's own layers fail this for two planes."""
    torch.manual_seed(0)
    layer = (up_convolution if up else partial(convolution, stride=2))(3, 16, 16, z_stride=z_stride, bias=False)
    features = torch.randn(2, 16, planes + (z_stride - 1), 8, 8)
    gradients = []
    for enabled in (False, True, True):
        with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
            result = layer(features)
        freed = [torch.full((size,), torch.nan) for size in (2**8, 2**12, 2**16, 2**20) for _ in range(4)]
        del freed  # what is allocated next finds NaN there
        gradients += torch.autograd.grad(result.float().sum(), layer.weight)
    for gradient in gradients[1:]:
        torch.testing.assert_close(gradient, gradients[0], rtol=0, atol=0.02 * float(gradients[0].abs().max()))


def test_too_few_planes_to_score_are_told() -> None:
    """A discriminator that halves the planes twice has no score for three."""
    network = PatchGAN(1, 1, DiscriminatorConfig(n_layers=2, z_layers=2, base_channels=2), 3).eval()
    with pytest.raises(ValueError, match="must have at least 4 planes; got 3"):
        score_frame(network, *np.zeros((2, 1, 3, 40, 40), np.float32), CPU)


NETWORKS = {
    "planes kept": {},
    "U-Net that halves": {
        "generator": {"levels": 3, "z_levels": 2, "base_channels": 8},
        "discriminator": {"n_layers": 2, "z_layers": 1, "base_channels": 8},
    },
    "ResNet that halves": {"generator": {"architecture": "resnet-6", "z_levels": 1, "base_channels": 4}},
}


@pytest.mark.filterwarnings("ignore:No room for", "ignore:Patches should be no smaller", "ignore:Volumes should")
@pytest.mark.parametrize(
    ("kind", "named"),
    [("intensity", "planes kept"), ("instances", "U-Net that halves"), ("intensity", "ResNet that halves")],
)
def test_volumes_are_trained_predicted_and_scored(tmp_path, kind: str, named: str) -> None:
    """From two volumes to a volume of grey values or objects, with its scores; again from the file."""
    frames = [blobs((48, 64), seed) for seed in range(3)]
    source = np.stack([image for image, _ in frames] * 2)
    target = source if kind == "intensity" else np.stack([labels for _, labels in frames] * 2)
    pairs = core.PairedFrames([source, source[:5]], [target, target[:5]], "ZYX", z="volume")
    config = small_config(target_kind=kind, patch_depth=8, validation_share=0, calibration_share=0, **NETWORKS[named])
    *_, report = core.train(pairs, config, out=tmp_path, device="cpu")
    model = core.load_model(tmp_path / "model.safetensors", "cpu")
    prediction = model.predict(source, "ZYX")
    assert prediction.shape == source.shape
    tiled = report.model.predict(source, "ZYX", tile_size=24)
    np.testing.assert_allclose(prediction.astype(float), tiled, rtol=0, atol=1 if kind == "intensity" else 0)
    scored = model.score(source, target, "ZYX")
    fields = model.discriminator.fields
    assert (scored.axes, scored.scores.shape) == ("ZYX", score_grid(fields, source.shape))
    assert (scored.scale, scored.translate) == (tuple(f.stride for f in fields), tuple(f.centre for f in fields))


@pytest.mark.parametrize(("patch_depth", "z_levels", "expected"), [(16, 0, 7), (4, 0, 4), (16, 1, 6), (4, 2, 4)])
def test_patches_have_as_many_planes_as_fit(patch_depth: int, z_levels: int, expected: int) -> None:
    """No more than there are, and a multiple of what the networks stride along Z."""
    config = small_config(
        patch_depth=patch_depth, generator={"levels": 3, "z_levels": z_levels}, rotate=False, flip=False
    )
    volume = np.random.default_rng(0).integers(0, 4000, (7, 40, 40)).astype(np.uint16)
    pairs = core.PairedFrames(volume, volume, "ZYX", z="volume")
    encoding = fit_encoding([volume[None]], "intensity")
    patches = PairedPatches(pairs, pairs.regions(), config, encoding, encoding)
    assert patches.batch(0)["source"].shape == (2, 1, expected, 32, 32)
    thin = core.PairedFrames(volume[:3], volume[:3], "ZYX", z="volume")
    if z_levels == 2:
        with pytest.raises(ValueError, match=r"must have at least 4 planes .* the thinnest has 3"):
            PairedPatches(thin, thin.regions(), config, encoding, encoding)


@pytest.mark.filterwarnings("ignore:No room for", "ignore:Patches should be no smaller", "ignore:Sources and targets")
@pytest.mark.parametrize("method", ["pix2pix", "cyclegan"])
@pytest.mark.parametrize(
    ("planes", "depth", "told"), [(20, 16, ""), (20, 8, "a larger `patch_depth` or"), (6, 16, "Choose fewer")]
)
def test_volumes_thinner_than_a_field_are_told(tmp_path, planes: int, depth: int, told: str, method: str) -> None:
    """By check and by train alike: where all scores see beyond the planes, and what to choose instead."""
    random = np.random.default_rng(0)
    source, target = random.normal(1000, 100, (2, planes, 40, 40)).astype(np.float32)
    layers = {"n_layers": 3, "base_channels": 2, **({"conditional": False} if method == "cyclegan" else {})}
    own = {"pool_size": 2} if method == "cyclegan" else {"trust_steps": 0}
    config = core.make_config(
        changes={
            **{"method": method, "generator": {"levels": 2, "base_channels": 2}, "discriminator": layers, **own},
            **{"patch_size": 32, "patch_depth": depth, "batch_size": 1, "steps": 1, "target_kind": "intensity"},
        }
    )
    if method == "pix2pix":
        frames = core.PairedFrames([source] * 2, [target] * 2, "ZYX", z="volume")
    else:
        frames = core.UnpairedFrames(*(Frames([side] * 2, "ZYX", z="volume") for side in (source, target)))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        core.train(frames, config, out=tmp_path, device="cpu").close()
    warned = [str(warning.message) for warning in caught]
    for sentences in (core.check(frames, config=config)["warnings"], warned):
        found = [sentence for sentence in sentences if sentence.startswith("Volumes should")]
        assert len(found) == bool(told) and all("field, 11, " in one and told in one for one in found), sentences
