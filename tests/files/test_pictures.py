"""Previews show each score where its field is, with limits that never move."""

from pathlib import Path

import numpy as np

from napari_pix2pix.core.networks.patchgan import PatchGAN
from napari_pix2pix.core.running.patch_scores import PatchScores, score_grid
from napari_pix2pix.core.settings.config import DiscriminatorConfig
from napari_pix2pix.core.training.loop import Preview
from napari_pix2pix.files.pictures import write_preview
from napari_pix2pix.files.stacks import open_stack

SIDE = 64
FIELDS = PatchGAN(1, 1, DiscriminatorConfig(n_layers=2, base_channels=1)).fields


def panel(path: Path, scores: np.ndarray) -> np.ndarray:
    """The fourth of a preview with these scores, as brightness."""
    scored = PatchScores(scores, np.ones(scores.shape, bool), "YX", FIELDS)
    image = np.zeros((1, SIDE, SIDE), np.uint8)
    image[0, 0, 0] = 1
    write_preview(path, Preview(image, image, image, scored=scored))
    return open_stack(path).array[...][:SIDE, 3 * SIDE :].sum(axis=-1).astype(int)


def test_a_score_is_bright_around_the_centre_of_its_field(tmp_path: Path) -> None:
    """Stride 4, the first centre at 5.5 px."""
    scores = np.full(score_grid(FIELDS, (SIDE, SIDE)), -20, np.float32)
    scores[3, 7] = 20
    shown = panel(tmp_path / "a.png", scores)
    bright = np.argwhere(shown == shown.max())
    assert np.allclose(bright.mean(axis=0), (5.5 + 4 * 3, 5.5 + 4 * 7))
    assert len(bright) == 16


def test_the_same_score_has_the_same_colour_whatever_the_others(tmp_path: Path) -> None:
    scores = np.zeros(score_grid(FIELDS, (SIDE, SIDE)), np.float32)
    before = panel(tmp_path / "a.png", scores)
    scores[0, 0] = 9
    after = panel(tmp_path / "b.png", scores)
    assert before[40, 40] == after[40, 40] > 0
