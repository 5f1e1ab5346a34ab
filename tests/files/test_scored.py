"""Patch scores stream: only windows are read, and the scores are those of the whole."""

import json

import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from napari_pix2pix import core
from napari_pix2pix.core.data.pairs import PairedFrames
from napari_pix2pix.core.encodings.encoding import Encoding, fit_encoding
from napari_pix2pix.core.settings.config import NormalizationConfig
from napari_pix2pix.core.settings.running import ScoreSettings
from napari_pix2pix.files.readers.lazy import LazyArray
from napari_pix2pix.files.scored import score_file
from napari_pix2pix.files.stacks import open_stack
from small import blobs, small_config

pytestmark = pytest.mark.filterwarnings("ignore:No room for calibration pairs")
SHAPE = (150, 210)


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """Models of each kind of target."""
    found = {}
    for kind in ("intensity", "classes", "instances"):
        out = tmp_path_factory.mktemp(kind) / "run"
        source, target = blobs(SHAPE)
        target = (target > 0).astype(np.uint8) if kind == "classes" else target
        list(core.train(PairedFrames(source, target), small_config(steps=2, target_kind=kind), out=out, device="cpu"))
        found[kind] = core.load_model(out / "model.safetensors", "cpu")
    return found


@st.composite
def label_images(draw):
    """Labels in blobs of many sizes, touching each other and the border, not numbered in order."""
    random = np.random.default_rng(draw(st.integers(0, 10**6)))
    seeds = np.zeros(draw(st.tuples(st.integers(12, 50), st.integers(12, 50))), int)
    n = draw(st.integers(1, 9))
    seeds[tuple(random.integers(0, side, n) for side in seeds.shape)] = random.permutation(n) + 1
    near = ndimage.distance_transform_edt(seeds == 0, return_indices=True)
    labels = np.where(near[0] < draw(st.integers(1, 30)), seeds[tuple(near[1])], 0)
    return ndimage.label(labels > 0)[0] * 20 + labels if draw(st.booleans()) else labels


@settings(max_examples=60)
@given(label_images(), st.data())
def test_a_window_of_instances_is_encoded_like_the_whole(labels, data) -> None:
    """Whatever the window cuts: around it so much is read that each share of the largest distance is right."""
    encoding, window = Encoding(kind="instances", n_channels=1, dtype="int64"), []
    for n in labels.shape:
        ends = sorted(data.draw(st.lists(st.integers(0, n), min_size=2, max_size=2, unique=True)))
        window.append(slice(*ends))
    window = tuple(window)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("napari_pix2pix.core.encodings.encoding.MARGIN", 1)
        read = encoding.windows(lambda asked: labels[asked][None], labels.shape)
        found = read(window)
    np.testing.assert_array_equal(found, encoding.encode(labels[None])[(slice(None), *window)])


@pytest.mark.parametrize("statistics", ["training", "image"])
def test_a_window_of_intensities_is_normalized_like_the_whole(statistics) -> None:
    """By the training's numbers only the window is read; by its own, the whole first."""
    frame, asked = np.random.default_rng(0).normal(5, 2, (2, 40, 60)), []
    encoding = fit_encoding([frame * 3], "intensity", NormalizationConfig(statistics=statistics))

    def take(window):
        asked.append(tuple(side.stop - side.start for side in window))
        return frame[(slice(None), *window)]

    read = encoding.windows(take, frame.shape[1:])
    for window in ((slice(3, 20), slice(0, 7)), (slice(30, 40), slice(11, 60))):
        np.testing.assert_array_equal(read(window), encoding.encode(frame)[(slice(None), *window)])
    assert asked[-2:] == [(17, 7), (10, 49)]
    assert asked[:-2] == ([] if statistics == "training" else [(40, 60)])


@pytest.mark.parametrize("kind", ["intensity", "classes", "instances"])
def test_tiles_score_like_the_whole(models, kind) -> None:
    """Also where what is scored are labels, whose encoding looks beyond the tile."""
    source, target = blobs(SHAPE, seed=3)
    target = (target > 0).astype(np.uint8) if kind == "classes" else target
    whole = models[kind].score(source, target, "YX")
    for tile_size in (32, 100):
        tiled = models[kind].score(source, target, "YX", tile_size=tile_size)
        np.testing.assert_allclose(tiled.scores, whole.scores, rtol=0, atol=1e-5)
        np.testing.assert_array_equal(tiled.valid, whole.valid)


@pytest.mark.parametrize("suffix", ["tif", "zarr"])
def test_a_file_is_scored_as_an_array_and_read_in_windows(models, tmp_path, monkeypatch, suffix) -> None:
    """The file holds what `score` gives; no more than a tile, its fields and its objects are read at once."""
    frames = [blobs((230, 310), seed=seed) for seed in range(3)]
    for i, name in enumerate(("source", "image")):
        stack = np.stack([frame[i] for frame in frames])
        how = {"tile": (16, 16), "metadata": {"axes": "TYX", "PhysicalSizeX": 0.5, "PhysicalSizeY": 0.5}}
        tifffile.imwrite(tmp_path / f"{name}.tif", stack, ome=True, **how)
    read, sizes = LazyArray.__getitem__, []

    def spy(array, index):
        pixels = read(array, index)
        sizes.append(pixels.size)
        return pixels

    out, model = tmp_path / f"scores.{suffix}", models["instances"]
    with monkeypatch.context() as patch:
        patch.setattr(LazyArray, "__getitem__", spy)
        patch.setattr("napari_pix2pix.core.encodings.encoding.MARGIN", 16)
        events = list(
            score_file(model, tmp_path / "source.tif", tmp_path / "image.tif", out, ScoreSettings(tile_size=32))
        )
    assert max(sizes) < 130**2 < 230 * 310 / 4
    written = open_stack(out)
    source, image = (np.stack([frame[i] for frame in frames]) for i in (0, 1))
    whole = model.score(source, image, "TYX")
    np.testing.assert_allclose(np.asarray(written.array), whole.scores, rtol=0, atol=1e-5)
    assert written.pixel_size_um == pytest.approx({"Y": 1.0, "X": 1.0})
    geometry = json.loads(written.description)["patch_scores"]
    assert geometry["translate"] == list(whole.translate)
    row = events[-1]["row"]
    inside = whole.scores[whole.valid]
    assert (row["mean"], row["lowest"]) == pytest.approx((inside.mean(), inside.min()), abs=1e-5)
    shares = [event["done"] for event in events if event["event"] == "progress"]
    assert shares == sorted(shares)
    assert len(shares) == 3


def test_what_cannot_be_scored_leaves_no_file(models, tmp_path) -> None:
    """NaN in the last frame, and an image smaller than a field."""
    source = np.stack([blobs(SHAPE)[0]] * 2).astype(np.float32)
    source[1, 40, 40] = np.nan
    small = np.zeros((12, 200), np.float32)
    for array, told in ((source, "frame 1 holds NaN or Inf"), (small, "at least one field large, 16 x 16 px")):
        tifffile.imwrite(tmp_path / "s.tif", array)
        with pytest.raises(ValueError, match=told):
            list(
                score_file(
                    models["intensity"], tmp_path / "s.tif", tmp_path / "s.tif", tmp_path / "out.tif", ScoreSettings()
                )
            )
        assert [path.name for path in tmp_path.iterdir()] == ["s.tif"]
