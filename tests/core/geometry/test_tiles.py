"""Tiles cover a frame once, and give what the whole frame gives."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_pix2pix.core.geometry.tiles import plan_tiles
from napari_pix2pix.core.networks.dropout import drawing
from napari_pix2pix.core.networks.generator import Generator
from napari_pix2pix.core.networks.resnet import ResNet
from napari_pix2pix.core.networks.unet import UNet
from napari_pix2pix.core.running.prediction import Findings, Forward, cheaper, plan_prediction, predict_tiles
from napari_pix2pix.core.settings.config import GeneratorConfig

CPU = torch.device("cpu")


UNETS = {levels: UNet(1, 1, GeneratorConfig(levels=levels, base_channels=1)) for levels in range(1, 6)}


def generator(levels: int, kind: type[Generator] = UNet, **changes) -> Generator:
    """A small one whose norm statistics are not those it was born with."""
    torch.manual_seed(levels)
    network = kind(1, 2, GeneratorConfig(levels=levels, **{"base_channels": 4} | changes))
    for parameter in network.parameters():
        if parameter.ndim > 1 and changes.get("norm") != "none":
            parameter.data.mul_(5)  # far from linear; without a norm it is from the start
    network.train()
    network(torch.rand(2, 1, 64, 64))
    return network.eval()


def predict(
    network: Generator, frame: np.ndarray, tile_size: int | None, overlap: int | None = None, findings=None, **drawn
) -> np.ndarray:
    plan = plan_prediction(network, frame.shape[1:], tile_size, overlap)
    result = np.zeros((4 if "draws" in drawn else 2, *frame.shape[1:]), np.float32)
    for window, values in predict_tiles(Forward(network, CPU, **drawn), frame, plan, findings):
        result[(slice(None), *window)] += values
    return result


@given(
    shape=st.lists(st.integers(1, 200), min_size=1, max_size=2) | st.lists(st.integers(1, 30), min_size=3, max_size=3),
    grid=st.sampled_from([1, 2, 8, 32]),
    reach=st.integers(0, 100),
    tile_size=st.none() | st.integers(4, 150),
)
def test_every_pixel_is_kept_once_and_sees_its_reach(shape, grid, reach, tile_size) -> None:
    """Each pixel comes from exactly one tile, whose origin is on the grid and which sees the reach or the border.

    Halves of tiles do so, too.
    """
    plan = plan_tiles(tuple(shape), grid=grid, reach=reach, tile_size=tile_size)
    kept = np.zeros(shape, int)
    for tile in [half for whole in plan.tiles for half in plan.halves(whole) or (whole,)]:
        kept[tile.keep] += 1
        for keep, read, end in zip(tile.keep, tile.read, plan.padded, strict=True):
            assert read.start % grid == 0
            assert (read.stop - read.start) % grid == 0
            assert read.start == 0 or read.start <= keep.start - reach
            assert read.stop == end or read.stop >= keep.stop + reach
    assert (kept == 1).all()


@given(
    height=st.integers(1, 3000), width=st.integers(1, 3000), tile_size=st.integers(16, 500), levels=st.integers(1, 5)
)
def test_dear_tiles_are_told_with_cheaper_ones(height: int, width: int, tile_size: int, levels: int) -> None:
    """The cost is what is read over what is kept; where it exceeds 1.5, larger tiles cost less, or there is one."""
    plan = plan_prediction(UNETS[levels], (height, width), tile_size)
    read = np.zeros(plan.padded, int)
    for tile in plan.tiles:
        read[tile.read] += 1
    assert plan.cost == read.sum() / (height * width)
    larger = cheaper(UNETS[levels], plan)
    assert (larger is None) == (plan.cost <= 1.5 or len(plan.tiles) == 1)
    if larger:
        assert larger.cost <= 1.5 or len(larger.tiles) == 1
        assert larger.cost < plan.cost


@settings(max_examples=40)
@given(
    levels=st.integers(1, 4),
    height=st.integers(1, 150),
    width=st.integers(1, 150),
    tile_size=st.integers(1, 100),
    norm=st.sampled_from(["batch", "none"]),
)
def test_tiled_equals_whole(levels: int, height: int, width: int, tile_size: int, norm: str) -> None:
    """With a frozen norm, tiles of any size give the whole frame's prediction, to 1e-4 of the output's range of 2."""
    network = generator(levels, norm=norm)
    frame = np.random.default_rng(height * width).standard_normal((1, height, width)).astype(np.float32)
    np.testing.assert_allclose(predict(network, frame, tile_size), predict(network, frame, None), rtol=0, atol=2e-4)


@settings(max_examples=25)
@given(
    architecture=st.sampled_from(["resnet-6", "resnet-9"]),
    height=st.integers(1, 120),
    width=st.integers(1, 220),
    tile_size=st.integers(30, 100),
)
def test_tiled_equals_whole_for_resnets(architecture: str, height: int, width: int, tile_size: int) -> None:
    """Likewise for ResNets, which mirror at the border: also in images smaller than their padding."""
    network = generator(2, ResNet, architecture=architecture, base_channels=2)
    frame = np.random.default_rng(height * width).standard_normal((1, height, width)).astype(np.float32)
    whole = predict(network, frame, None)
    np.testing.assert_allclose(predict(network, frame, tile_size), whole, rtol=0, atol=2e-4)
    assert np.isfinite(whole).all()


@settings(max_examples=20)
@given(
    kind=st.sampled_from([UNet, ResNet]),
    height=st.integers(1, 150),
    width=st.integers(1, 150),
    tile_size=st.integers(1, 100),
    seed=st.integers(0, 2**33),
)
def test_draws_of_tiles_equal_those_of_the_whole(kind, height: int, width: int, tile_size: int, seed: int) -> None:
    """Mean and spread over dropout draws do not depend on the tiles either: noise knows where it falls."""
    network = generator(3, kind, architecture="unet" if kind is UNet else "resnet-6", base_channels=2)
    tile_size = tile_size if kind is UNet else max(40, tile_size)  # its reach of 60 px makes small tiles slow
    frame = np.random.default_rng(height * width).standard_normal((1, height, width)).astype(np.float32)
    whole = predict(network, frame, None, draws=2, seed=seed)
    np.testing.assert_allclose(predict(network, frame, tile_size, draws=2, seed=seed), whole, rtol=0, atol=2e-4)


def test_draws_are_mean_and_deviation_of_separate_predictions() -> None:
    """Computed as they come, they are what numpy computes from all draws together; another seed, other draws."""
    network = generator(3)
    frame = np.random.default_rng(0).standard_normal((1, 40, 56)).astype(np.float32)
    separate = []
    for draw in range(5):
        with torch.inference_mode(), drawing(network, 7, draw, [(slice(0, 40), slice(0, 56))]):
            separate.append(network(torch.from_numpy(frame)[None])[0].numpy())
    expected = np.concatenate([np.mean(separate, axis=0), np.std(separate, axis=0, ddof=1)])
    np.testing.assert_allclose(predict(network, frame, None, draws=5, seed=7), expected, atol=1e-5)
    assert np.abs(predict(network, frame, None, draws=5, seed=8) - expected).max() > 0.1


def limit_memory(network: Generator, pixels: int, error: Exception) -> list[torch.Size]:
    """Let the network raise `error` for larger batches; the shapes it has been asked for."""
    asked, forward = [], network.forward

    def limited(source: torch.Tensor) -> torch.Tensor:
        asked.append(source.shape)
        if source.numel() > pixels:
            raise error
        return forward(source)

    network.forward = limited
    return asked


@pytest.mark.parametrize("tile_size", [16, 40])
def test_predictions_do_not_depend_on_the_batch(tile_size: int) -> None:
    """Tiles of one size go through the network together, and give what each gives by itself; draws, too."""
    network = generator(3)
    frame = np.random.default_rng(0).standard_normal((1, 200, 333)).astype(np.float32)
    plan = plan_prediction(network, frame.shape[1:], tile_size)
    found = {}
    for batch in (1, 20_000, 2**20):
        asked = limit_memory(network, 2**30, RuntimeError())
        for drawn in ({}, {"draws": 2}):
            found[batch, len(drawn)] = list(
                predict_tiles(Forward(network, CPU, **drawn), frame, plan, Findings(batch=batch))
            )
        assert max(shape[0] for shape in asked) > 1 or batch == 1
    for (_, drawn), tiles in found.items():
        assert [window for window, _ in tiles] == [tile.keep for tile in plan.tiles]
        for (_, values), (_, alone) in zip(tiles, found[1, drawn], strict=True):
            np.testing.assert_allclose(values, alone, rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("error", "pixels"),
    [
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."), 2500),
        (MemoryError(), 10_000),
        (RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 1 bytes."), 5_000),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 1 bytes."), 64 * 64),
    ],
)
def test_out_of_memory_halves_what_is_computed_at_once(error: Exception, pixels: int) -> None:
    """First the batch, then the tile; said once, remembered for the next frame, and the result is the same."""
    network = generator(2)  # sees 9 px around
    frame = np.random.default_rng(0).standard_normal((1, 150, 131)).astype(np.float32)
    expected = {size: predict(network, frame, size) for size in (16, None)}
    asked, findings = limit_memory(network, pixels, error), Findings()
    with pytest.warns(UserWarning, match="Memory on cpu does not suffice for [0-9] x .* px at once; smaller") as said:
        for size, whole in expected.items():
            np.testing.assert_allclose(predict(network, frame, size, findings=findings), whole, rtol=0, atol=2e-4)
    assert len(said) == 1
    asked.clear()
    predict(network, frame, None, findings=findings)
    assert all(shape.numel() <= pixels for shape in asked)


def test_memory_for_no_tile_at_all_is_told() -> None:
    """Where even the smallest tile is too large, or the frame must not be cut; other errors are not memory's."""
    frame = np.zeros((1, 40, 40), np.float32)
    for norm, sentence in (
        ("batch", "must suffice for a tile of"),
        ("instance", "Predict with `norm_statistics` trai"),
    ):
        network = generator(2, norm=norm)
        limit_memory(network, 100, MemoryError())
        with pytest.warns(UserWarning, match="Memory on cpu"), pytest.raises(MemoryError, match=sentence):
            predict(network, frame, None)
    network = generator(2)
    limit_memory(network, 100, RuntimeError("shapes do not match"))
    with pytest.raises(RuntimeError, match="shapes do not match"):
        predict(network, frame, None)


@pytest.mark.parametrize(("kind", "changes"), [(UNet, {}), (ResNet, {"architecture": "resnet-6"})])
def test_too_little_overlap_shows(kind: type[Generator], changes: dict) -> None:
    """With less overlap than the reach the tiles differ: the laws above can fail."""
    network = generator(3, kind, **changes)
    frame = np.random.default_rng(0).standard_normal((1, 96, 96)).astype(np.float32)
    with pytest.warns(UserWarning, match="Tiles overlap by 0 px, less than the .* px that exact ones need. Leave"):
        tiled = predict(network, frame, 32, overlap=0)
    assert np.abs(tiled - predict(network, frame, None)).max() > 1e-2


@given(
    shape=st.lists(st.integers(1, 120), min_size=1, max_size=2),
    grid=st.sampled_from([1, 2, 8]),
    reach=st.integers(0, 60),
    tile_size=st.integers(4, 90),
    overlap=st.none() | st.integers(0, 60),
)
def test_weights_sum_to_one(shape, grid, reach, tile_size, overlap) -> None:
    """Whatever the tiles and their overlap, all weights of a pixel sum to one; halves weigh what their tile weighs."""
    plan = plan_tiles(tuple(shape), grid=grid, reach=reach, tile_size=tile_size, overlap=overlap)
    for tiles in (plan.tiles, [half for tile in plan.tiles for half in plan.halves(tile) or (tile,)]):
        total = np.zeros(shape, np.float32)
        for tile in tiles:
            weight = math.prod(np.ix_(*plan.weights(tile)))
            assert (weight >= 0).all()
            assert (weight > 0).any()
            total[plan.window(tile)] += weight
        np.testing.assert_allclose(total, 1, atol=1e-6)
    assert plan.exact == (overlap is None or all(m >= reach for m in plan.overlap))


def test_blended_tiles_fade_into_each_other_and_say_how_far_they_are_apart() -> None:
    """Between both tiles' own predictions, half and half at the border; the seam told is the largest step there."""
    network = generator(3)
    frame = np.random.default_rng(0).standard_normal((1, 64, 96)).astype(np.float32)
    with torch.inference_mode():
        left, right = (network(torch.from_numpy(frame[None, ..., s]))[0].numpy() for s in np.s_[:56, 40:])
    ours, theirs = left[..., 40:56], right[..., :16]
    ramp = (np.arange(16) + 0.5) / 16
    expected = np.concatenate([left[..., :40], ours * (1 - ramp) + theirs * ramp, right[..., 16:]], axis=-1)
    seam = np.abs(ours - theirs)[..., 7:9].max() / 2
    plan = plan_tiles((64, 96), grid=8, reach=21, tile_size=(None, 48), overlap=8)
    found, findings = np.zeros((2, 64, 96), np.float32), Findings()
    with pytest.warns(
        UserWarning, match=f"Tiles overlap by 8 px, less than the 21 px .* up to {seam:.1%} of the range"
    ):
        for window, values in predict_tiles(Forward(network, CPU), frame, plan, findings):
            found[(slice(None), *window)] += values
    np.testing.assert_allclose(found, expected, atol=1e-5)
    list(predict_tiles(Forward(network, CPU), frame, plan, findings))  # said once


def test_a_plan_cut_for_memory_stays_exact_with_little_overlap() -> None:
    """An overlap is of no account in one piece, and the exact one is taken where that has to be cut."""
    network = generator(3)
    frame = np.random.default_rng(0).standard_normal((1, 100, 90)).astype(np.float32)
    whole = predict(network, frame, None, overlap=0)
    limit_memory(network, 5000, MemoryError())
    with pytest.warns(UserWarning, match="Memory on cpu"):
        np.testing.assert_allclose(predict(network, frame, None, overlap=0), whole, rtol=0, atol=2e-4)


@pytest.mark.parametrize(("name", "value"), [("tile_size", 0), ("overlap", -1)])
def test_impossible_tiles_are_told(name: str, value: int) -> None:
    """A tile without pixels and a negative overlap are refused."""
    with pytest.raises(ValueError, match=f"{name} must be at least"):
        plan_tiles((10, 10), grid=2, reach=3, **{name: value})
