"""A model is one file that needs nothing else, and never runs code."""

import json
import pickle

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from napari_pix2pix import core
from napari_pix2pix.core.encodings.encoding import fit_encoding
from napari_pix2pix.core.encodings.source_view import SourceView
from napari_pix2pix.core.running.trained_model import TrainedModel
from small import blobs, networks, small_config


def new_model(source: np.ndarray, target: np.ndarray, kind="auto", channel_axis="", **changes) -> TrainedModel:
    """An untrained model for frames (C, Y, X) like these."""
    config = small_config(**changes)
    encodings = fit_encoding([source], "intensity", limit=1.0), fit_encoding([target], kind)
    torch.manual_seed(0)
    generator, discriminator = networks(config, *(encoding.n_maps for encoding in encodings))
    made = {"generator": generator} | ({} if discriminator is None else {"discriminator": discriminator})
    for network in made.values():
        network.eval()
        for parameter in network.parameters():
            parameter.data.mul_(5)
    return TrainedModel(config, made, *encodings, SourceView(), channel_axis)


SOURCE, LABELS = blobs()


@pytest.mark.parametrize("kind", ["intensity", "classes", "instances"])
@pytest.mark.parametrize("gan_weight", [0, 1])
def test_a_saved_model_is_the_same_model(tmp_path, kind, gan_weight) -> None:
    """Loading needs no flag repeated: predictions, scores, settings and hash are those of the model saved."""
    target = SOURCE if kind == "intensity" else LABELS if kind == "instances" else (LABELS > 0).astype(np.uint8)
    model = new_model(SOURCE[None], target[None], kind, gan_weight=gan_weight)
    model.save(tmp_path / "model.safetensors")
    again = core.load_model(tmp_path / "model.safetensors", "cpu")
    np.testing.assert_array_equal(again.predict(SOURCE, "YX"), model.predict(SOURCE, "YX"))
    assert again.content() == model.content()
    assert again.hash() == model.hash()
    if gan_weight:
        np.testing.assert_array_equal(
            again.score(SOURCE, target, "YX").scores, model.score(SOURCE, target, "YX").scores
        )
    model.save(tmp_path / "twice.safetensors")
    assert (tmp_path / "twice.safetensors").read_bytes() == (tmp_path / "model.safetensors").read_bytes()


def test_files_that_are_no_model_are_told(tmp_path) -> None:
    """Missing, foreign, damaged, pickled, newer: one sentence each; a pickle is never opened."""
    path = tmp_path / "model.safetensors"
    with pytest.raises(FileNotFoundError, match="there is none at"):
        core.load_model(path)
    path.write_bytes(pickle.dumps({"weights": 1}))
    with pytest.raises(ValueError, match="must be a safetensors file written by `train`"):
        core.load_model(path)
    save_file({"a": torch.zeros(1)}, path)
    with pytest.raises(ValueError, match="holds tensors of another program"):
        core.load_model(path)
    save_file({"a": torch.zeros(1)}, path, {"napari_pix2pix": json.dumps({"format_version": 99})})
    with pytest.raises(ValueError, match=r"is of format 99, this package reads up to 2\. Update napari-pix2pix"):
        core.load_model(path)
    model = new_model(SOURCE[None], LABELS[None])
    model.save(path)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match="must be whole"):
        core.load_model(path)


def test_weights_that_do_not_fit_are_told(tmp_path) -> None:
    """A file whose weights are of other networks than its config says is refused."""
    model = new_model(SOURCE[None], LABELS[None])
    model.config = small_config(generator={"levels": 2, "base_channels": 8})
    model.save(tmp_path / "model.safetensors")
    with pytest.raises(ValueError, match="weights of a model must fit its config; those of the generator do not"):
        core.load_model(tmp_path / "model.safetensors")


@pytest.mark.parametrize("axes", ["TYX", "YXT", "YTX"])
def test_a_stack_is_predicted_frame_by_frame_in_its_own_order(axes: str) -> None:
    """The prediction of a stack holds the prediction of each frame where that frame is."""
    model = new_model(SOURCE[None], SOURCE[None], "intensity")
    frames = np.stack([blobs((40, 56), seed)[0] for seed in range(3)])
    stack = frames.transpose(["TYX".index(axis) for axis in axes])
    prediction = model.predict(stack, axes)
    assert (prediction.shape, prediction.dtype) == (stack.shape, np.uint16)
    back = prediction.transpose([axes.index(axis) for axis in "TYX"])
    for t in range(3):
        np.testing.assert_array_equal(back[t], model.predict(frames[t], "YX"))


def test_colours_in_and_out() -> None:
    """An RGB source gives a grey target, a grey source an RGB target."""
    rgb = np.random.default_rng(0).integers(0, 255, (48, 40, 3), dtype=np.uint8)
    frame = np.moveaxis(rgb, -1, 0)
    to_grey = new_model(frame, frame[:1], "intensity")
    assert to_grey.predict(rgb).shape == (48, 40)
    to_rgb = new_model(frame[:1], frame, "intensity", "S")
    assert to_rgb.predict(rgb[..., 0]).shape == (48, 40, 3)
    with pytest.raises(ValueError, match="must have 3 channels; got 1"):
        to_grey.predict(rgb[..., 0])


@pytest.mark.parametrize("shape", [(1, 1), (7, 100), (33, 31)])
def test_any_size_and_constant_images_are_predicted(shape: tuple[int, int]) -> None:
    """Images of any size, and without any structure, have a prediction."""
    model = new_model(SOURCE[None], SOURCE[None], "intensity")
    assert np.isfinite(model.predict(np.full(shape, 500, np.uint16), "YX")).all()
    assert model.predict(np.full(shape, 500, np.uint16), "YX").shape == shape


@pytest.mark.parametrize(("kind", "marked"), [("intensity", np.nan), ("instances", 0)])
def test_nan_is_marked_and_warned_of(kind, marked) -> None:
    """Pixels of the source that are NaN are NaN (or background) in the prediction, and a warning counts them."""
    source = SOURCE.astype(np.float32)
    model = new_model(source[None], source[None] if kind == "intensity" else LABELS[None], kind)
    source[10:12, 10:13] = np.nan
    with pytest.warns(UserWarning, match="6 pixels of the source are NaN or Inf"):
        prediction = model.predict(source, "YX")
    np.testing.assert_array_equal(prediction[10:12, 10:13], marked)
    assert np.isfinite(prediction).sum() >= source.size - 6


def test_scores_of_a_stack_lie_by_arithmetic() -> None:
    """Each frame's scores are its own; scale, translate and valid fields follow from the field."""
    model = new_model(SOURCE[None], SOURCE[None], "intensity")
    source = np.stack([blobs(seed=seed)[0] for seed in range(3)])
    scored = model.score(source, source[::-1], ("TYX", "TYX"))
    assert scored.axes == "TYX"
    assert scored.scores.shape == scored.valid.shape == (3, 96 // 2 - 2, 128 // 2 - 2)
    assert np.isfinite(scored.scores).all()
    assert (scored.scale, scored.translate, scored.kind) == ((2.0, 2.0), (2.5, 2.5), "plain")
    for t in range(3):
        np.testing.assert_array_equal(scored.scores[t], model.score(source[t], source[2 - t], "YX").scores)
    assert scored.valid[0].sum() == (48 - 8) * (64 - 8)


@pytest.mark.parametrize(
    ("source", "image", "sentence"),
    [
        (np.zeros((96, 128)), np.zeros((96, 127)), "must show the same pixels"),
        (np.zeros((96, 128, 3)), np.zeros((96, 128)), "must have 1 channel; got 3"),
        (np.zeros((96, 128)), np.zeros((96, 128, 3)), "channels of the model's targets, 1; got 3"),
        (np.zeros((15, 128)), np.zeros((15, 128)), "at least one field large, 16 x 16 px; got 15 x 128"),
        (np.full((96, 128), np.nan), np.zeros((96, 128)), "must be finite; frame 0 holds NaN"),
    ],
)
def test_pairs_that_cannot_be_scored_are_told(source, image, sentence) -> None:
    """Sizes, channels, small images and NaN are told in a sentence."""
    with pytest.raises(ValueError, match=sentence):
        new_model(SOURCE[None], SOURCE[None], "intensity").score(source, image)


def test_norms_that_look_at_the_image_refuse_tiles() -> None:
    """Statistics of each image run in one piece, repeatably, and say so when asked for tiles."""
    model = new_model(SOURCE[None], SOURCE[None], "intensity", norm_statistics="image")
    np.testing.assert_array_equal(model.predict(SOURCE, "YX"), model.predict(SOURCE, "YX"))
    said = "must run in one piece, since tiles would show seams; got tile_size 32. Leave it out, or"
    with pytest.raises(ValueError, match=f"{said} predict with `norm_statistics` training"):
        model.predict(SOURCE, "YX", tile_size=32)
    frozen = model.with_norm_statistics("training")
    tiled, whole = (frozen.predict(SOURCE, "YX", tile_size=size).astype(int) for size in (32, None))
    np.testing.assert_allclose(tiled, whole, rtol=0, atol=1)  # whole grey values: the last digit may round otherwise
    assert model.config.norm_statistics == "image"
    instance = new_model(SOURCE[None], SOURCE[None], generator={"levels": 3, "base_channels": 8, "norm": "instance"})
    with pytest.raises(ValueError, match=f"{said} train with batch norm"):
        instance.predict(SOURCE, "YX", tile_size=32)


@pytest.mark.parametrize("kind", ["intensity", "classes", "instances"])
def test_draws_are_repeatable_and_their_spread_in_the_words_of_the_target(kind: str) -> None:
    """The same seed, the same draws; their spread in grey values, of labels as a share of the encoded range."""
    target = {"intensity": SOURCE, "classes": (LABELS > 0).astype(np.uint8), "instances": LABELS}[kind]
    model = new_model(SOURCE[None], target[None], kind)
    [(_, prediction, spread)] = model.predict_draws(SOURCE, "YX", draws=3)
    np.testing.assert_array_equal(model.predict(SOURCE, "YX", draws=3), prediction[0])
    tiled = next(model.predict_draws(SOURCE, "YX", draws=3, tile_size=40))[2]
    np.testing.assert_allclose(tiled, spread, rtol=0, atol=1e-3 * spread.max())
    [(_, source, maps, deviation)] = model.draw_maps(SOURCE, "YX", draws=3)
    np.testing.assert_array_equal(model.decode(maps, source), prediction)
    assert (spread.shape, spread.dtype) == ((1, *SOURCE.shape), np.float32)
    if kind == "intensity":
        ends = model.target_encoding.normalization
        expected = deviation * (ends.high[0] - ends.low[0]) / 1.8
    else:
        expected = deviation.mean(axis=0, keepdims=True) / 1.8
    np.testing.assert_allclose(spread, expected, rtol=1e-5)
    other = new_model(SOURCE[None], target[None], kind, seed=1)
    assert not np.array_equal(next(other.predict_draws(SOURCE, "YX", draws=3))[2], spread)


def test_draws_of_norms_that_look_at_the_image() -> None:
    """As the paper tests, noise comes from torch; it is repeatable all the same, and the network is as before."""
    model = new_model(SOURCE[None], SOURCE[None], "intensity", norm_statistics="image")
    before = model.predict(SOURCE, "YX")
    first, second = (next(model.predict_draws(SOURCE, "YX", draws=3)) for _ in range(2))
    np.testing.assert_array_equal(first[1], second[1])
    np.testing.assert_array_equal(first[2], second[2])
    assert first[2].max() > 0
    np.testing.assert_array_equal(model.predict(SOURCE, "YX"), before)


def test_draws_that_cannot_be_are_told() -> None:
    """One draw has no spread, and a generator without dropout no draws; where the source is NaN, so is the spread."""
    model = new_model(SOURCE[None], SOURCE[None], "intensity")
    with pytest.raises(ValueError, match="draws must be at least 2; got 1"):
        model.predict(SOURCE, "YX", draws=1)
    with pytest.raises(ValueError, match="draws must be at least 2; got 0"):
        model.predict(SOURCE, "YX", draws=0)
    source = SOURCE.astype(np.float32)
    source[3, 4] = np.nan
    with pytest.warns(UserWarning, match="1 pixels of the source are NaN"):
        [(_, _, spread)] = model.predict_draws(source, "YX", draws=2)
    np.testing.assert_array_equal(np.argwhere(np.isnan(spread[0])), [[3, 4]])
    generator = {"levels": 3, "base_channels": 8, "dropout": 0}
    with pytest.raises(ValueError, match="A generator must have dropout for predictions to differ; this one has none"):
        new_model(SOURCE[None], SOURCE[None], generator=generator).predict(SOURCE, "YX", draws=2)


def test_objects_can_be_decoded_again_without_the_network() -> None:
    """The kept maps give the prediction, and another one with other thresholds."""
    model = new_model(SOURCE[None], LABELS[None])
    [(frame, source, maps)] = model.predict_maps(SOURCE, "YX")
    assert (frame, maps.shape) == (0, (2, *SOURCE.shape))
    np.testing.assert_array_equal(model.decode(maps, source)[0], model.predict(SOURCE, "YX"))
    perfect = model.target_encoding.encode(LABELS[None])
    areas = np.bincount(model.decode(perfect, source).ravel())[1:]
    fewer = model.decode(perfect, source, min_size=int(np.median(areas)))
    assert len(areas) >= len(np.unique(LABELS)) - 1
    assert fewer.max() == (areas >= int(np.median(areas))).sum()
