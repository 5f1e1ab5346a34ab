"""Expected errors of pixels, block by block of tiles: those of whole rows of tiles, and of the frame in one piece."""

import tracemalloc
from tempfile import TemporaryFile

import numpy as np
import pytest

from napari_pix2pix.core.geometry.areas import Area
from napari_pix2pix.core.running import pixel_errors
from napari_pix2pix.core.running.patch_scores import reader
from napari_pix2pix.core.running.pixel_errors import PixelErrors
from napari_pix2pix.core.running.prediction import Findings
from napari_pix2pix.core.trust.risk import RiskCurves
from small import untrained, with_judge

RNG = np.random.default_rng(0)
SHAPE = 75, 130
SOURCE = RNG.integers(0, 999, (1, *SHAPE), dtype=np.uint16)
APART = RiskCurves(np.array([0.1, 64], np.float32), np.full((30, 2), 0.1), np.ones(2, np.float32), 1.0, 1.0, True)


def judged(kind):
    """A model whose judge expects errors of pixels, and tells them apart in masks."""
    target = SOURCE if kind == "intensity" else SOURCE // 300
    return with_judge(untrained(SOURCE, target, kind), 30, risk=APART, per_pixel=True)


def known(scored):
    """All that is told of errors."""
    window = tuple(slice(0, n) for n in SHAPE)
    part = slice(20, 61), slice(33, 101)
    whole = scored.expected_pixels(window)
    np.testing.assert_array_equal(whole[part], scored.expected_pixels(part))
    return scored.expected_error, whole, scored.masked_pixels(window), scored.around(part), scored.valid


@pytest.mark.parametrize("kind", ["intensity", "classes"])
@pytest.mark.parametrize("batch", [1, 30_000])
def test_blocks_in_a_file_give_what_rows_of_tiles_give(monkeypatch, tmp_path, kind, batch) -> None:
    """To the bit, whether tiles are computed one by one or together; and the frame in one piece, but for rounding."""
    monkeypatch.setattr(pixel_errors, "Findings", lambda: Findings(batch=batch))
    model, found, means = judged(kind), [], []
    image = SOURCE if kind == "intensity" else SOURCE // 300
    for block, tile_size, named in ((2**22, 32, {}), (1, 32, {"errors_in": tmp_path}), (2**22, None, {})):
        monkeypatch.setattr(pixel_errors, "BLOCK", block)
        for scored in model.score_frames(SOURCE, image, "CYX", tile_size=tile_size, **named):
            assert np.isnan(scored.scores).all() == bool(named)
            found.append(known(scored))
            means.append(scored.mean_error)
    for rows, blocks, whole in zip(*found, strict=True):
        np.testing.assert_array_equal(blocks, rows)
        np.testing.assert_allclose(blocks, whole, rtol=1e-3, atol=1e-6)
    assert means == pytest.approx([means[0]] * 3, rel=1e-4) and means[1] == pytest.approx(means[0], rel=1e-12)
    assert not list(tmp_path.iterdir())


def test_of_an_area_are_made_the_blocks_around_it_alone(monkeypatch, tmp_path) -> None:
    """There errors of pixels and fields are, to the bit, those without it."""
    monkeypatch.setattr(pixel_errors, "BLOCK", 1)
    monkeypatch.setattr(pixel_errors, "Findings", lambda: Findings(batch=1))
    model, area, made, found = judged("intensity"), Area((slice(3, 12), slice(5, 20))), [], []
    make = pixel_errors.predict_tiles
    monkeypatch.setattr(pixel_errors, "predict_tiles", lambda *given: made.append(given) or make(*given))
    for wanted in (None, area):
        made.clear()
        named = {"tile_size": 16, "errors_in": tmp_path, "area": wanted}
        for one in model.score_frames(SOURCE, SOURCE, "CYX", **named):
            found.append((one.expected_pixels(area.box), one.around(area.box)))
    for ours, theirs in zip(*found, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert 2 < len(made) <= 6


def test_each_block_is_made_once_without_a_file_too(monkeypatch) -> None:
    """Though its tiles are smaller than those of scores, which reach into several rows of them."""
    monkeypatch.setattr(pixel_errors, "BLOCK", 1)
    monkeypatch.setattr(pixel_errors, "LARGEST", 16)
    monkeypatch.setattr(pixel_errors, "Findings", lambda: Findings(batch=1))
    made = []
    make = pixel_errors.predict_tiles
    monkeypatch.setattr(pixel_errors, "predict_tiles", lambda *given: made.append(str(given[2].keeps)) or make(*given))
    [scored] = judged("intensity").score_frames(SOURCE, SOURCE, "CYX", tile_size=32)
    assert scored.mean_error >= 0
    assert len(made) == len(set(made)) > 30


def test_a_block_is_held_however_wide_the_frame(monkeypatch) -> None:
    """What is held at most while all are made, and afterwards, hardly grows with the width; in rows it does."""
    monkeypatch.setattr(pixel_errors, "BLOCK", 1)
    monkeypatch.setattr(pixel_errors, "Findings", lambda: Findings(batch=1))
    model = judged("intensity")
    most = {}
    for wide in (1024, 3072):
        zeros = np.zeros((1, 32, wide), np.float32)
        with TemporaryFile() as file:
            for kept in (file, None):
                errors = PixelErrors(
                    model,
                    model.match.network.of_pixels,
                    (reader(zeros), reader(zeros), None),
                    zeros.shape[1:],
                    64,
                    kept,
                )
                tracemalloc.start()
                errors.make()
                most[wide, kept is None] = tracemalloc.get_traced_memory()[1]
                tracemalloc.stop()
    more = {rows: most[3072, rows] - most[1024, rows] for rows in (False, True)}
    assert more[False] < 50_000 < 200_000 < more[True]
