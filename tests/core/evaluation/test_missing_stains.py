"""A channel that a pair was not stained for has no say in any figure."""

import json
from dataclasses import replace

import numpy as np
import pytest

from napari_pix2pix import core
from napari_pix2pix.core.data.pairs import PairedFrames
from napari_pix2pix.core.evaluation.evaluate import evaluate_prediction
from napari_pix2pix.core.evaluation.headlines import judge
from napari_pix2pix.core.evaluation.metrics.comparison import compare
from small import Noisy, blobs, untrained, with_judge

NAMES = "DAPI", "MAP2"
SOURCES = [blobs(seed=i)[0] for i in range(4)]
TARGETS = [np.stack([source // 2, blobs(seed=i + 9)[0] // 5]) for i, source in enumerate(SOURCES)]
MISSING = {(1, 1), (2, 0)}
"""The second pair lacks MAP2, the third DAPI."""


def pairs_of(sources, targets, missing=MISSING, of=PairedFrames, **named) -> PairedFrames:
    axes = tuple("CYX" if image.ndim == 3 else "YX" for image in (sources[0], targets[0]))
    return of(list(sources), list(targets), axes, target_names=NAMES, **named).unstained(missing)


@pytest.fixture(scope="module")
def model():
    return with_judge(untrained(SOURCES[0][None], TARGETS[0]))


@pytest.mark.parametrize("partial", [False, True])
@pytest.mark.parametrize("objects", [None, "otsu"])
def test_noise_in_a_missing_stain_changes_nothing(objects, partial) -> None:
    """Figures, baselines, ceiling, kinds of error, objects and expected errors: the same, bit for bit."""
    plain = untrained(SOURCES[0][None], TARGETS[0])
    encoding = plain.target_encoding.model_copy(update={"partial": partial})
    model, found = with_judge(replace(plain, target_encoding=encoding)), []
    for of in (PairedFrames, Noisy):
        pairs = pairs_of(SOURCES, TARGETS, of=of)
        report = core.evaluate(model, pairs, None, objects=objects, pixel_size_um={"Y": 0.5, "X": 0.5})
        found.append(json.dumps(report, allow_nan=False))
    assert found[0] == found[1]


def test_noise_in_a_missing_stain_of_a_volume_changes_nothing() -> None:
    """Plane by plane and as a whole."""
    targets = [np.stack([target, target // 2, target // 3], axis=1) for target in TARGETS[:3]]
    found = []
    for of in (PairedFrames, Noisy):
        volumes = of([target + 9 for target in targets], targets, "CZYX", z="volume", target_names=NAMES)
        report = evaluate_prediction(volumes.unstained(MISSING), None, objects="otsu")
        found.append(json.dumps(report, allow_nan=False))
    assert found[0] == found[1]


@pytest.mark.filterwarnings("error")
def test_noise_that_is_no_number_changes_nothing() -> None:
    """Of grey values that are float, and of any tool's prediction, missing channels of which may be NaN, too."""
    targets = [target.astype(np.float32) / 7 for target in TARGETS]
    found = []
    for of in (PairedFrames, Noisy):
        predictions = [target + np.float32(3) for target in targets]
        if of is Noisy:
            predictions[1][1], predictions[2][0] = np.nan, 1e6
        report = evaluate_prediction(pairs_of(predictions, targets, of=of), None, objects="otsu")
        found.append(json.dumps(report, allow_nan=False))
    assert found[0] == found[1]


def test_noise_in_a_missing_stain_chooses_no_model(model) -> None:
    """What is judged in a training, all channels and each by itself."""
    found = [
        judge(model, pairs, pairs.regions())
        for of in (PairedFrames, Noisy)
        for pairs in [pairs_of(SOURCES, TARGETS, of=of)]
    ]
    assert found[0] == found[1]
    alone = pairs_of([SOURCES[i] for i in (0, 2, 3)], [TARGETS[i] for i in (0, 2, 3)], {(i, 0) for i in range(3)})
    assert found[0].channels[1] == judge(model, alone, alone.regions()).figures


@pytest.mark.parametrize("channel", [0, 1])
def test_a_channel_is_judged_by_the_pairs_that_have_it(model, channel) -> None:
    """Its figures, spectrum, objects and baselines are those of these pairs alone; with how many there are."""
    predictions = [model.predict(source, axes="YX") for source in SOURCES]
    report = evaluate_prediction(pairs_of(predictions, TARGETS), None, objects="otsu")
    kept = [i for i in range(4) if (i, channel) not in MISSING]
    alone = evaluate_prediction(
        PairedFrames([predictions[i][channel] for i in kept], [TARGETS[i][channel] for i in kept], "YX"),
        None,
        kind="intensity",
        objects="otsu",
    )
    metrics = {name: figure for name, figure in alone["metrics"].items() if name in report["channels"][channel]}
    assert report["channels"][channel] == metrics and len(metrics) == 17
    spectra = [{**one, "resolution_px": None} for one in (report["spectra"][channel], alone["spectra"][0])]
    assert spectra[0] == spectra[1]  # a last bit moves the ends of an interval where a curve lies along its threshold
    assert report["objects"][channel] == alone["objects"][0]
    assert report["stains"][channel] == {"name": NAMES[channel], "n": 3, "pairs": 3}
    assert report["ranges"]["channels"][channel] == alone["ranges"]["channels"][0]


def test_the_best_affine_map_of_a_channel_is_that_of_the_pairs_that_have_it(model) -> None:
    """The baseline's figures of an image with one stain are those of a fit to the images with that stain."""
    found = core.evaluate(model, pairs_of(SOURCES, TARGETS), None)["baselines"]["affine"]["mae"]["value"]
    each = []
    for channel in (0, 1):
        kept = [i for i in range(4) if (i, channel) not in MISSING]
        sources, targets = ([side[i] for i in kept] for side in (SOURCES, TARGETS))
        alone = pairs_of(sources, targets, {(i, 1 - channel) for i in range(len(kept))})
        said = core.evaluate(model, alone, None)
        rows = fitted(sources, [target[channel] for target in targets])
        assert said["baselines"]["affine"]["mae"]["value"] == pytest.approx(np.mean(rows), rel=1e-3)
        each.append(dict(zip(kept, rows, strict=True)))
    expected = [np.mean([rows[i] for rows in each if i in rows]) for i in range(4)]
    assert found == pytest.approx(np.mean(expected), rel=1e-3)


def fitted(sources, targets) -> list[float]:
    """The mean absolute error of the least-squares line through all pixels, image by image."""
    line = np.polyfit(
        *(np.concatenate([image.ravel() for image in side]).astype(float) for side in (sources, targets)), 1
    )
    return [float(np.abs(np.rint(np.polyval(line, a)) - b).mean()) for a, b in zip(sources, targets, strict=True)]


def test_an_images_figures_are_of_the_stains_that_it_has() -> None:
    """The mean over them; its row tells which they are, and so does a remark."""
    predictions = [target + np.array([2, 10], np.uint16).reshape(2, 1, 1) for target in TARGETS]
    report = evaluate_prediction(pairs_of(predictions, TARGETS), None)
    rows = {row["name"]: (row["mae"], ", ".join(row["stains"])) for row in report["files"]}
    assert rows == {
        "pair 0": (6, "DAPI, MAP2"),
        "pair 1": (2, "DAPI"),
        "pair 2": (10, "MAP2"),
        "pair 3": (6, "DAPI, MAP2"),
    }
    assert [channel["mae"]["value"] for channel in report["channels"]] == [2, 10]
    assert report["known_share"] == 6 / 8
    [remark] = report["remarks"]
    assert "DAPI in 3, MAP2 in 3 of 4" in remark


def test_an_image_is_not_among_the_best_for_lacking_a_bright_stain() -> None:
    """Images are ranked by their error as a share of that of their stains; with all of them, by their error."""
    errors = [(10, 1000), (20, 0), (0, 500), (5, 900)]
    predictions = [
        target + np.array(error, np.uint16).reshape(2, 1, 1) for target, error in zip(TARGETS, errors, strict=True)
    ]
    names = [row["name"] for row in evaluate_prediction(pairs_of(predictions, TARGETS), None)["files"]]
    assert names == ["pair 1", "pair 0", "pair 3", "pair 2"]  # 20 of 12; 505 of 406; 452 of 406; 500 of 800
    names = [row["name"] for row in evaluate_prediction(pairs_of(predictions, TARGETS, ()), None)["files"]]
    assert names == ["pair 0", "pair 3", "pair 2", "pair 1"]


def test_only_figures_of_the_same_stains_are_compared() -> None:
    """Image by image: what one of two has judged and the other has not is no difference."""
    predictions = [target + np.uint16(3) for target in TARGETS]
    some, others, all_there = (
        evaluate_prediction(pairs_of(predictions, TARGETS, missing), None) for missing in (MISSING, {(0, 1)}, ())
    )
    assert compare({"a": some, "b": some})["differences"]["b"]["mae"]["value"] == 0
    for other in (others, all_there):
        with pytest.raises(ValueError, match="the same stains; those of pair"):
            compare({"a": some, "b": other})


@pytest.mark.filterwarnings("ignore:The prediction")
def test_a_prediction_that_is_no_number_in_one_of_several_channels_has_no_figures() -> None:
    """The others have, and each channel."""
    predictions = [target.astype(np.float32) + np.float32(3) for target in TARGETS]
    predictions[0][1, 5, 5] = np.nan
    report = evaluate_prediction(pairs_of(predictions, TARGETS, ()), None)
    assert report["files"][0]["mae"] is None
    assert [channel["mae"]["value"] for channel in report["channels"]] == [3, 3]


def test_a_stain_that_no_image_has_has_no_figures(model) -> None:
    """They are null, and the others' are there."""
    report = core.evaluate(model, pairs_of(SOURCES, TARGETS, {(i, 1) for i in range(4)}), None, objects="otsu")
    json.dumps(report, allow_nan=False)
    assert all(figure["value"] is None for figure in report["channels"][1].values())
    assert report["channels"][1].keys() == report["channels"][0].keys()
    assert report["channels"][0]["mae"] == report["metrics"]["mae"]
    assert report["ranges"]["channels"][1] is report["ranges"]["foreground_above"][1] is None
    assert report["objects"][1]["counts"]["number"]["value"] is None
    assert report["stains"][1] == {"name": "MAP2", "n": 0, "pairs": 0}
    assert "MAP2 in none of 4" in report["remarks"][0]
