"""What draws tell of objects: bits, by hand and from models."""

import numpy as np
import pytest
import torch

from napari_pix2pix import core
from napari_pix2pix.core.evaluation.metrics.information import Gains
from napari_pix2pix.core.running import predict
from napari_pix2pix.core.running.bands import map_bands
from napari_pix2pix.core.settings.running import PredictSettings
from small import blobs, untrained

RNG = np.random.default_rng(0)
N, DRAWS = 400, 16


def told(true, predicted, drawn, n_groups: int = 8, fewest: int = 20):
    gains = Gains()
    values = np.concatenate([np.atleast_2d(true), np.atleast_2d(predicted), np.atleast_2d(drawn)])
    for i, part in enumerate(np.array_split(values, n_groups, axis=1)):
        gains.add(part, f"image {i}")
    return gains.report(fewest)


def known_to(spread: np.ndarray):
    """True values of objects that are normal around what is known of each, so far; and draws of just that."""
    mean = RNG.normal(0, 10, N)
    true, drawn = (RNG.normal(mean, spread, shape) for shape in (N, (DRAWS, N)))
    return true, mean, drawn


@pytest.mark.parametrize("spread", [1.0, 4.0])
def test_a_known_mean_tells_the_bits_that_it_should(spread) -> None:
    """Of normal values that are the logarithm of the ratio of spreads: all objects' over that around what is known."""
    found = told(*known_to(np.full(N, spread)))
    expected = np.log2(np.hypot(10, spread) / spread)
    assert found["prediction"]["value"] == pytest.approx(expected, abs=0.2)
    assert expected - 0.4 < found["draws"]["value"] < found["prediction"]["value"]  # of 16 draws the mean is not exact
    assert found["n"] == N and found["n_draws"] == DRAWS and "draws know less" in found["sentence"]


def test_draws_that_know_which_objects_are_unsure_tell_more_than_one_prediction() -> None:
    """With an interval that says so; and no more if their doubt is that of other objects."""
    true, mean, drawn = known_to(np.where(np.arange(N) % 2, 0.3, 6.0))
    found = told(true, mean, drawn)
    assert found["difference"]["low"] > 0.2 and "draws know more" in found["sentence"]
    assert found["difference"]["value"] == pytest.approx(found["draws"]["value"] - found["prediction"]["value"])
    strange = mean + (drawn - mean)[:, np.roll(np.arange(N), 1)]
    assert told(true, mean, strange)["difference"]["value"] < 0


def test_nothing_known_is_no_gain_and_units_do_not_matter() -> None:
    """The mean of all tells nothing; what is said of another object is worse; grey values may be of any scale."""
    true, mean, drawn = known_to(np.full(N, 2.0))
    nothing = told(true, np.full(N, true.mean()), np.roll(drawn, 7, axis=1))
    assert abs(nothing["prediction"]["value"]) < 0.1 and nothing["draws"]["value"] < -0.2
    beside = told(true, mean + 60, drawn + 60)["sentence"]  # far off, all by as much
    assert beside.count("bits less") == 2 and "neither knows more of an object than a histogram" in beside
    ours, theirs = told(true, mean, drawn), told(*(3e4 + 1e3 * side for side in (true, mean, drawn)))
    assert ours["draws"]["value"] == pytest.approx(theirs["draws"]["value"])


def test_too_few_or_equal_objects_tell_nothing_and_one_group_no_interval() -> None:
    """Unknown values do not count."""
    true, mean, drawn = known_to(np.full(N, 2.0))
    assert told(true[:19], mean[:19], drawn[:, :19]) is None
    assert told(np.ones(N), mean, drawn) is None
    assert Gains().report(20) is None
    alone = told(true, mean, drawn, n_groups=1)
    assert alone["draws"]["low"] is None and "one group does not tell" in alone["sentence"]
    drawn[3, 5] = np.nan
    assert told(true, mean, drawn)["n"] == N - 1


@pytest.fixture(scope="module")
def model():
    source, _ = blobs((40, 48))
    torch.manual_seed(0)
    return untrained(source[None], source[None] // 2, generator={"levels": 2, "base_channels": 4, "dropout": 0.5})


def test_draws_one_by_one_are_those_whose_mean_is_told(model) -> None:
    """Whatever the tiles."""
    source = blobs((40, 48), seed=3)[0][None]
    frames = predict._one_frame(source)
    for size in (None, 16):
        how = PredictSettings(precision="float32")
        tiles = model.tile_plan(source.shape[1:], size)
        each = [
            np.concatenate([band.maps for band in map_bands(model, source, frames, tiles, how, [0], draw)], axis=-2)
            for draw in range(4)
        ]
        [(_, _, mean, spread)] = model.draw_maps(source, "CYX", draws=4, tile_size=size, precision="float32")
        np.testing.assert_allclose(np.mean(each, axis=0), mean, atol=1e-5)
        np.testing.assert_allclose(np.std(each, axis=0, ddof=1), spread, atol=1e-4)
        assert np.ptp(each, axis=0).max() > 1e-3


def test_an_evaluation_tells_it_and_the_other_figures_stay(model) -> None:
    """Nothing else changes by a single bit; without objects, or of labels, there is one sentence."""
    sources = [blobs((40, 48), seed=seed)[0] for seed in range(3)]
    targets = [source // 2 for source in sources]
    cells = [np.arange(40 * 48, dtype=np.uint16).reshape(40, 48) // 64 + 1 for _ in sources]
    objects = core.PairedFrames(cells, targets, "YX")
    plain = core.evaluate(model, sources, targets, "YX", objects=objects)
    report = core.evaluate(model, sources, targets, "YX", objects=objects, draws=3)
    information = report["objects"][0].pop("information")
    assert information["n"] == 90 and information["n_draws"] == 3
    sentence = report["objects"][0].pop("sentence")
    assert sentence == f"{plain['objects'][0].pop('sentence')} {information['sentence']}"
    assert report == plain
    with pytest.raises(ValueError, match="Draws must be judged by what they tell of objects; give `objects`"):
        core.evaluate(model, sources, targets, "YX", draws=3)
    with pytest.raises(ValueError, match="draws must be at least 2; got 1"):
        core.evaluate(model, sources, targets, "YX", objects=objects, draws=1)
