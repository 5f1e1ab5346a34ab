"""What is like the training is not novel; another stain, contrast, focus or size is, and there bounds do not hold."""

import warnings
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from scipy import ndimage

from napari_pix2pix import core
from napari_pix2pix.core.data.split import Split
from napari_pix2pix.core.teaching.fit_trust import fit_trust
from napari_pix2pix.core.trust.calibration import FEWEST_GROUPS
from napari_pix2pix.core.trust.novelty import STRANGE, Novelty, block_means, features
from small import blobs, small_config


def image(seed: int) -> np.ndarray:
    """Noise with some structure, in network values."""
    noise = np.random.default_rng(seed).normal(size=(1, 96, 128))
    return (ndimage.gaussian_filter(noise, (0, 3, 3)) * 2 + 0.05 * noise - 0.5).astype(np.float32)


def test_block_means_by_hand() -> None:
    """Blocks of about the side, all pixels in one of them; of volumes all planes."""
    values = np.arange(2 * 3 * 50 * 70, dtype=np.float32).reshape(2, 3, 50, 70)
    found = block_means(values, 24)
    assert found.shape == (2, 2 * 3)
    np.testing.assert_allclose(found[1, 4], values[1, :, 25:, 23:46].mean(), rtol=1e-5)
    assert block_means(values[:, 0, :9, :9], 24).shape == (2, 1)


def test_features_are_levels_and_textures() -> None:
    """A brighter image differs in its level alone, a blurred one in its fine textures, and the more the finer."""
    means = partial(block_means, side=32)
    one = image(0)
    plain, brighter, blurred = (
        features(values, means).mean(axis=0) for values in (one, one + 0.5, ndimage.gaussian_filter(one, (0, 2, 2)))
    )
    np.testing.assert_allclose(brighter - plain, [0.5, 0, 0, 0], atol=1e-3)
    assert blurred[0] == pytest.approx(plain[0], abs=0.02)
    assert (np.diff(blurred - plain)[1:] > 0).all()
    assert (blurred[1:] < plain[1:]).all()


def test_only_what_is_unlike_the_training_is_novel() -> None:
    """A further image of the same kind is not; inverted, brighter, faint, blurred, noisy or magnified it is."""
    known = Novelty.of([image(seed) for seed in range(30)], 32)
    new = image(99)
    assert known.strange(new) < 0.1
    zoomed = ndimage.zoom(new, (1, 3, 3), order=1)
    noisy = new + np.random.default_rng(1).normal(0, 0.3, new.shape).astype(np.float32)
    for strange in (-new, new + 0.8, 0.2 * new, ndimage.gaussian_filter(new, (0, 3, 3)), noisy, zoomed):
        assert known.strange(strange) > STRANGE
    assert Novelty.of([image(0)], 32).strange(-new) == 0  # of one image nobody knows how much others differ
    parts = [image(0)[..., :64], image(0)[..., 32:96], image(0)[..., 64:]]
    assert Novelty.of(parts, 32, "aaa").strange(-new) == 0  # nor of its parts, however many
    assert Novelty.of([*parts, image(1)], 32, "aaab").limit > Novelty.of([*parts, image(1)], 32).limit


def faint(source: np.ndarray) -> np.ndarray:
    """With a fifth of the contrast."""
    return (300 + (source.astype(float) - 300) / 5).astype(np.uint16)


@pytest.fixture(scope="module")
def taught(tmp_path_factory):
    """A model that was taught, with calibration groups enough for a bound."""
    stacks = [blobs(seed=i) for i in range(FEWEST_GROUPS + 8)]
    pairs = core.PairedFrames([s for s, _ in stacks], [t for _, t in stacks], "YX")
    config = small_config(steps=60, validation_share=0.0)
    *_, last = core.train(pairs, config, out=tmp_path_factory.mktemp("run"), device="cpu")
    split = Split(pairs.regions()[:8], (), pairs.regions()[8:])
    *_, last = fit_trust(last.model, pairs, split=split, steps=30)
    return last.model


def test_under_another_scanner_the_warning_is_raised(taught) -> None:
    """Sources as before: about 90 % of fields err less than their bound, and nobody warns. With a fifth of the contrast
    predict, score and evaluate say that it does not hold, whether or not it happens to."""
    inside = []
    for seed in range(100, 110):
        source, target = blobs(seed=seed)
        for name in ("faint", "as before"):
            source = blobs(seed=seed)[0] if name == "as before" else faint(source)
            with warnings.catch_warnings(record=True) as raised:
                warnings.simplefilter("always")
                prediction = taught.predict(source, "YX")
                found = taught.score(source, prediction, "YX")
            told = [str(w.message) for w in raised if "like nothing that trained" in str(w.message)]
            assert len(told) == (0 if name == "as before" else 2)
        wrong = ((prediction > 0) != (target > 0)).astype(float)
        error = [[wrong[y : y + 16, x : x + 16].mean() for x in range(1, 113, 2)] for y in range(1, 81, 2)]
        inside.append(np.mean(error <= found.error_bound[3:43, 3:59]))
    assert np.mean(inside) > 0.85
    source, target = blobs(seed=100)
    with pytest.warns(UserWarning, match="like nothing that trained"):
        core.evaluate(taught, [faint(source)], [target], "YX")


def test_what_is_novel_does_not_depend_on_how_a_frame_is_read(taught, monkeypatch) -> None:
    """Sources as those that trained warn of nothing, in bands of a few rows as in one piece."""
    monkeypatch.setattr("napari_pix2pix.core.running.bands.AT_ONCE", 1000)
    monkeypatch.setattr("napari_pix2pix.core.running.prediction.ONE_PIECE", 32)
    for seed in range(100, 105):
        taught.predict(blobs(seed=seed)[0], "YX")


def test_novelty_is_kept_in_the_model(taught, tmp_path) -> None:
    """To the bit; and a model that was not taught warns of nothing."""
    taught.save(tmp_path / "model.safetensors")
    again = core.load_model(tmp_path / "model.safetensors", "cpu")
    source = again.source_encoding.encode(blobs(seed=3)[0][None])
    assert again.match.novelty.strange(-source) == taught.match.novelty.strange(-source) > STRANGE
    replace(taught, match=None).predict(faint(blobs(seed=3)[0]), "YX")
