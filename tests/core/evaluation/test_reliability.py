"""Whether pixels are as wrong as they are told to be: by hand, and in evaluations of every kind of target."""

import json

import numpy as np
import pytest

from napari_pix2pix import core
from napari_pix2pix.core.evaluation.metrics.comparison import compare
from napari_pix2pix.core.evaluation.metrics.monitors import spearman
from napari_pix2pix.core.evaluation.reliability import BINS, CALIBRATION, calibration_error, reliability
from napari_pix2pix.report.card import figures_text
from napari_pix2pix.report.markup import joined
from napari_pix2pix.report.trust import trust_section
from report.test_report import Page
from small import blobs, untrained, with_judge


def test_bins_of_labels_by_hand() -> None:
    """Tenths of probability; how far they are off counts by how many pixels they hold; empty ones are left out."""
    bins = reliability(np.array([0.02, 0.04, 0.55, 1.0]), np.array([0.0, 1, 1, 1]), labels=True)
    assert [one["share"] for one in bins] == [0.5, 0.25, 0.25]
    assert [one["told"] for one in bins] == pytest.approx([0.03, 0.55, 1])
    assert [one["true"] for one in bins] == [0.5, 1, 1]
    assert calibration_error(bins) == pytest.approx(0.5 * 0.47 + 0.25 * 0.45)


def test_bins_of_intensities_hold_as_many_pixels() -> None:
    """What is told right on average in each is not off; what is told the same everywhere is one bin."""
    told = np.random.default_rng(0).gamma(2, 9, 5000).astype(np.float32)
    bins = reliability(told, 2 * told, labels=False)
    assert [one["share"] for one in bins] == pytest.approx([1 / BINS] * BINS)
    assert calibration_error(bins) == pytest.approx(told.mean(), rel=1e-5)
    [one] = reliability(np.ones(40), np.arange(40.0), labels=False)
    assert (one["told"], one["true"], one["share"]) == (1, 19.5, 1)


@pytest.mark.parametrize("kind", ["intensity", "classes", "instances", "volume", "stains"])
def test_an_evaluation_holds_what_pixels_are_told_against_the_truth(kind) -> None:
    """Images have the mean of their pixels, by which they are ranked; a report draws it; two can be compared."""
    stacks = [blobs((48, 60), seed=i) for i in range(4)]
    sources, targets = ([side[i] for side in stacks] for i in (0, 1))
    if kind == "volume":
        sources, targets = ([np.stack([image] * 3) for image in side] for side in (sources, targets))
    if kind in ("intensity", "stains"):
        targets = [target.astype(np.float32) * 40 for target in targets]
    if kind == "stains":
        targets = [np.stack([target, target[::-1]]) for target in targets]
    if kind in ("classes", "volume"):
        targets = [(target > 0).astype(np.uint8) for target in targets]
    first = targets[0] if kind == "stains" else targets[0][None]
    z = "volume" if kind == "volume" else "frame"
    of_targets = {"volume": "classes", "stains": "intensity"}.get(kind, kind)
    model = with_judge(untrained(sources[0][None], first, of_targets, z), per_pixel=True)
    axes = {"volume": ("ZYX",) * 2, "stains": ("YX", "CYX")}.get(kind, ("YX", "YX"))
    pairs = core.PairedFrames(sources, targets, axes, names=list("abcd"), z=z)
    report = json.loads(json.dumps(core.evaluate(model, pairs, None), allow_nan=False))
    trust, rows = report["trust"], {row["name"]: row for row in report["files"]}
    assert sum(one["share"] for one in trust["reliability"]) == pytest.approx(1)
    told = trust["monitors"]["expected_error"]
    assert told[CALIBRATION]["pooled"] == pytest.approx(calibration_error(trust["reliability"]))
    assert told[CALIBRATION]["per_image"]["value"] == pytest.approx(np.mean([r[CALIBRATION] for r in rows.values()]))
    true = []
    for name, source, target in zip("abcd", sources, targets, strict=True):
        prediction = model.predict(source, axes[0])
        [scored] = model.score_frames(source, prediction, axes)
        pixels = scored.expected_pixels(tuple(slice(0, n) for n in source.shape))
        assert rows[name]["expected_error"] == pytest.approx(pixels.mean(), rel=1e-4)
        if kind in ("intensity", "stains"):
            true.append(np.abs(prediction.astype(float) - target).mean())
        else:
            true.append(((prediction > 0) != (target > 0)).mean())
    ranked = spearman(np.array([rows[name]["expected_error"] for name in "abcd"]), np.array(true))
    assert told["spearman_images"]["pooled"] == pytest.approx(ranked)
    text = Page(joined(trust_section(report))).text
    assert "expected calibration error" in text and "Where it said" in text
    assert ("were wrong" in text) == (kind not in ("intensity", "stains"))
    assert "expected calibration error" in figures_text(report)
    found = compare({"one": report, "other": report})["differences"]["other"][CALIBRATION]
    assert (found["value"], found["verdict"]) == (0, "not told apart")


def test_a_judge_of_fields_tells_nothing_of_pixels() -> None:
    """No bins and no calibration error, but images have their mean; nor can it be compared by these."""
    sources = [blobs((48, 60), seed=i)[0] for i in range(3)]
    targets = [source // 2 for source in sources]
    model = with_judge(untrained(sources[0][None], targets[0][None]))
    pairs = core.PairedFrames(sources, targets, "YX", names=["a", "b", "c"])
    report = core.evaluate(model, pairs, None)
    assert report["trust"]["reliability"] is None
    assert CALIBRATION not in report["trust"]["monitors"]["expected_error"]
    assert all(row["expected_error"] > 0 and CALIBRATION not in row for row in report["files"])
    assert "Where it said" not in Page(joined(trust_section(report))).text
    assert CALIBRATION not in compare({"one": report, "other": report})["differences"]["other"]
