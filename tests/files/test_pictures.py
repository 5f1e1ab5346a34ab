"""Previews show each score where its field is, with limits that never move."""

from pathlib import Path

import numpy as np

from napari_pix2pix.core.networks.patchgan import PatchGAN
from napari_pix2pix.core.running.patch_scores import PatchScores, score_grid
from napari_pix2pix.core.settings.config import DiscriminatorConfig
from napari_pix2pix.core.training.reports import Preview
from napari_pix2pix.files.pictures import draw_story, write_preview
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


def test_both_ways_are_two_rows_with_their_cycle(tmp_path: Path) -> None:
    """Sides of other sizes, one of labels, scores of one alone: nothing is cut, and labels have colours."""
    grey, labels = np.arange(40 * 50, dtype=np.uint16).reshape(1, 40, 50), np.ones((1, 30, 60), np.uint16)
    scored = PatchScores(np.zeros(score_grid(FIELDS, (40, 50)), np.float32), np.ones((1, 1), bool), "YX", FIELDS)
    back = Preview(labels, np.zeros((1, 30, 60), np.uint16), grey, again=labels)
    there = Preview(grey, np.ones((1, 40, 50), np.uint16), labels, True, scored, grey, back)
    write_preview(tmp_path / "both.png", there)
    shown = open_stack(tmp_path / "both.png").array[...]
    assert shown.shape[1] == 4 * 60 and shown.shape[0] > 2 * 40
    again = shown[:40, 2 * 60 : 2 * 60 + 50]
    assert np.array_equal(again, shown[:40, :50])
    assert np.ptp(shown[5, 65], axis=-1) > 50  # labels of the target, in colours


def test_true_and_expected_errors_have_one_colour(tmp_path: Path) -> None:
    """Where labels are wrong, and where they are surely expected to be, the demo's picture is as red; else nowhere."""
    grey, labels = np.full((60, 40), 200, np.uint8), np.zeros((60, 40), np.uint16)
    labels[10:30, 10:30] = 1
    reds = []
    for target, expected in ((labels, 0), (np.zeros_like(labels), 0), (labels, (labels > 0).astype(np.float32))):
        draw_story(tmp_path / "demo.png", grey, target, labels, np.zeros(grey.shape, np.float32) + expected, "Title")
        r, g, b = np.moveaxis(open_stack(tmp_path / "demo.png").array[...][..., :3].astype(int), -1, 0)
        reds.append(int(((r > 220) & (g < 60) & (b < 60)).sum()))
    assert reds[1] > 2 * reds[0]
    assert abs(reds[2] / reds[1] - 1) < 0.1
