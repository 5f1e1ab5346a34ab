"""Figures mean what they are called."""

import json

import numpy as np
import pytest

from napari_pix2pix import core
from napari_pix2pix.core.evaluation.evaluate import evaluate_prediction
from napari_pix2pix.core.evaluation.headlines import measure
from napari_pix2pix.core.evaluation.metrics.classes import dice
from napari_pix2pix.core.evaluation.metrics.instances import object_f1
from napari_pix2pix.core.evaluation.metrics.intervals import interval
from small import blobs, small_config, untrained


def test_figures_by_hand() -> None:
    """MAE, PSNR, Dice and object F1 on frames small enough to count."""
    target = np.array([[[0, 10], [20, 30]]], np.uint16)
    figures = measure(target + np.uint16(2), target, "intensity", data_range=30)
    assert figures == {"mae": 2.0, "psnr": pytest.approx(10 * np.log10(30**2 / 4)), "pearson": pytest.approx(1)}
    assert measure(np.zeros_like(target), target, "intensity", data_range=30)["pearson"] == 0
    two, half = np.stack([target[0], target[0]]), np.stack([target[0], 30 - target[0]])
    assert measure(half, two, "intensity", 30)["pearson"] == pytest.approx(0), "a mean over channels"
    assert measure(1e-9 * target, 1e-9 * target, "intensity", data_range=3e-8)["pearson"] == pytest.approx(1)
    known = np.array([[True, True], [True, False]])
    wrong = np.where(known, target, 0)
    assert measure(wrong, target, "intensity", 30, known)["pearson"] == pytest.approx(1)
    assert dice(np.array([True, True, False]), np.array([True, False, False])) == pytest.approx(2 / 3)
    labels = np.zeros((4, 8), int)
    labels[:, :2], labels[:, 4:6] = 5, 9
    shifted = np.roll(labels, 1, axis=1)  # IoU 1/3 with each
    assert object_f1(labels * 3, labels) == 1
    assert object_f1(shifted, labels) == 0
    assert object_f1(np.where(labels == 5, 1, 0), labels) == pytest.approx(2 / 3)


def test_empty_frames() -> None:
    """Nothing found where there is nothing is right; anything found there is wrong."""
    empty, full = np.zeros((1, 5, 5), int), np.ones((1, 5, 5), int)
    assert measure(empty, empty, "instances", 0) == {"dice": 1, "object_f1_iou50": 1}
    assert measure(full, empty, "instances", 0) == {"dice": 0, "object_f1_iou50": 0}


def test_intervals_are_over_images() -> None:
    """The mean has an interval around it for several images, none for one."""
    found = interval([0.5, 0.6, 0.7, 0.8])
    assert found["low"] < found["value"] < found["high"]
    assert found["value"] == pytest.approx(0.65)
    assert interval([0.5]) == {"value": 0.5, "low": None, "high": None}


def test_a_report_has_the_contracts_form() -> None:
    """kind_of_pairs, n, metrics, baselines and files, a row per frame."""
    labels = np.stack([blobs(seed=i)[1] for i in range(3)])
    report = evaluate_prediction(labels, labels, "TYX")
    assert report["kind_of_pairs"] == "test"
    assert report["n"] == len(report["files"]) == 3
    assert report["metrics"]["dice"] == {"value": 1.0, "low": 1.0, "high": 1.0}
    assert report["files"][1].items() >= {"name": "pair 0, frame 1", "dice": 1.0, "object_f1_iou50": 1.0}.items()


def test_figures_and_baselines_see_only_what_is_known(tmp_path) -> None:
    """Whatever is in the target where it is not known, figures and baselines are the same."""
    source, _ = blobs()
    valid = np.zeros(source.shape, bool)
    valid[:, 20:100] = True
    config = small_config(target_kind="intensity", validation_share=0, calibration_share=0, steps=1)
    *_, report = core.train(core.PairedFrames(source, source, "YX"), config, out=tmp_path, device="cpu")
    found = [
        core.evaluate(report.model, core.PairedFrames(source, np.where(valid, source, rest), "YX", valid=valid), None)
        for rest in (0, 60_000)
    ]
    assert found[0] == found[1]
    assert found[0]["baselines"]["affine"]["mae"]["value"] == pytest.approx(0, abs=1e-6)


def test_frames_of_which_nothing_is_known_are_not_judged() -> None:
    """They have no row, no say in the data range, and are no perfect prediction."""
    target = np.stack([blobs(seed=i)[1] for i in range(3)])
    pairs = core.PairedFrames(np.zeros_like(target), target, "TYX", valid=[0, 2])
    report = evaluate_prediction(pairs, None)
    assert [row["name"] for row in report["files"]] == ["pair 0, frame 0", "pair 0, frame 2"]
    assert report["metrics"]["dice"]["value"] == 0


def test_every_class_counts_in_the_dice_of_classes() -> None:
    """A class taken for another is an error, though both are foreground."""
    target = np.array([[[1, 1, 2, 2, 0]]])
    assert measure(np.array([[[2, 2, 1, 1, 0]]]), target, "classes", 0, classes=(0, 1, 2)) == {"dice": 0}
    half = measure(np.array([[[1, 1, 0, 0, 0]]]), target, "classes", 0, classes=(0, 1, 2))
    assert half == {"dice": 0.5}


def test_a_prediction_that_is_no_number_has_no_figures() -> None:
    """NaN in one of three predictions is warned of, is null in the report, and counts for nothing in the mean."""
    target = np.stack([blobs(seed=i)[0] for i in range(3)]).astype(np.float32)
    prediction = target + 5
    prediction[1, 3, 4] = np.nan
    with pytest.warns(UserWarning, match="The prediction of pair 0, frame 1 holds NaN"):
        report = evaluate_prediction(prediction, target, "TYX", kind="intensity")
    first = report["files"][0]  # what has no figures is shown first
    assert (first["name"], first["mae"]) == ("pair 0, frame 1", None)
    assert report["metrics"]["mae"]["value"] == pytest.approx(5, abs=1e-3)
    json.dumps(report, allow_nan=False)
    same = evaluate_prediction(target, target, "TYX", kind="intensity")
    assert same["metrics"]["psnr"]["value"] is None  # infinite


def test_sources_that_are_no_number_spoil_no_baseline(tmp_path) -> None:
    """Where a source is NaN the model has no figures, and the affine map leaves these pixels out."""
    source = blobs()[0].astype(np.float32)
    config = small_config(target_kind="intensity", validation_share=0, calibration_share=0, steps=1)
    *_, report = core.train(core.PairedFrames(source, source, "YX"), config, out=tmp_path, device="cpu")
    holed = source.copy()
    holed[5, 5] = np.nan
    with pytest.warns(UserWarning, match="NaN or Inf"):
        said = core.evaluate(report.model, holed, source, "YX")
    assert said["metrics"]["mae"]["value"] is None
    assert said["baselines"]["affine"]["mae"]["value"] < 1
    json.dumps(said, allow_nan=False)


def test_only_one_frame_is_read_at_a_time() -> None:
    """Whatever the stack's length: nobody asks for more than a frame."""

    class Counted:
        shape, dtype, largest = (5, 96, 128), np.dtype(np.uint16), 0

        def __getitem__(self, index):
            found = np.stack([blobs(seed=i)[0] for i in range(5)])[index]
            Counted.largest = max(Counted.largest, found.size)
            return found

    said = evaluate_prediction(Counted(), Counted(), "TYX", kind="intensity", objects="otsu")
    assert (said["n"], Counted.largest) == (5, 96 * 128)


class Guarded:
    """A stack (T, Y, X) of which only some frames may be read."""

    def __init__(self, stack: np.ndarray, allowed: set[int]) -> None:
        self.stack, self.allowed = stack, allowed
        self.shape, self.dtype, self.ndim = stack.shape, stack.dtype, stack.ndim

    def __getitem__(self, key: tuple) -> np.ndarray:
        assert key[0] in self.allowed
        return self.stack[key]


def test_frames_of_which_nothing_is_known_cost_nothing() -> None:
    """They are not read; the others are predicted as when all are."""
    source = np.stack([blobs(seed=i)[0] for i in range(4)])
    target = source // 2
    model = untrained(source[None, 0], target[None, 0])
    every = dict(model.predict_frames(source, "TYX"))
    for frame, prediction in model.predict_frames(source, "TYX", frames=[3, 1]):
        np.testing.assert_array_equal(prediction, every[frame])
    known = np.zeros(target.shape, bool)
    known[2, 5:70] = True
    pairs = core.PairedFrames(Guarded(source, {2}), target, "TYX", valid=known)
    assert len(core.evaluate(model, pairs, None)["files"]) == 1


def test_glass_is_no_label_image() -> None:
    """Noise of few grey values is judged as such; smooth objects are refused, but for the training's own pairs."""
    source, cells = blobs((40, 48))
    model = untrained(source[None], source[None] // 2)
    glass = np.random.default_rng(0).integers(7, 16, source.shape).astype(np.uint8)
    assert core.evaluate(model, source, glass, "YX")["n"] == 1
    labels = np.where(cells > 0, np.uint8(2), np.uint8(1))
    labels[:4] = 0
    with pytest.raises(ValueError, match="must be grey values; these look like labels"):
        core.evaluate(model, source, labels, "YX")
    assert core.evaluate(model, source, labels, "YX", kind_of_pairs="validation")["n"] == 1
