"""Metrics give what one counts by hand."""

import numpy as np
import pytest
from scipy import ndimage, stats
from skimage.metrics import adapted_rand_error, structural_similarity, variation_of_information

from napari_pix2pix.core.data.pairs import PairedFrames
from napari_pix2pix.core.evaluation.metrics.classes import confusion, of_classes, of_each_class
from napari_pix2pix.core.evaluation.metrics.errors import moved, strays
from napari_pix2pix.core.evaluation.metrics.fourier import OF_RINGS, Spectra, falls_below, of_rings, power
from napari_pix2pix.core.evaluation.metrics.frames import Frames
from napari_pix2pix.core.evaluation.metrics.instances import numbers_of, of_instances
from napari_pix2pix.core.evaluation.metrics.intensities import (
    Histogram,
    joined,
    of_channel,
    ranks,
    similarity,
)
from napari_pix2pix.core.evaluation.metrics.intervals import interval, summarize
from napari_pix2pix.core.evaluation.metrics.judges import judge_of
from napari_pix2pix.core.evaluation.metrics.scale_free import scale_free_similarity

EVERYWHERE = np.ones((2, 3), bool)


def smooth(seed: int, shape: tuple[int, int] = (128, 128), width: float = 3.0) -> np.ndarray:
    """Grey values from 0 to 4000 without a direction."""
    values = ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=shape), width)
    return (values - values.min()) / np.ptp(values) * 4000


# Intensities


def test_grey_values_by_hand() -> None:
    """MAE, RMSE, NRMSE, PSNR and correlations of six pixels, and of the three of them that are foreground."""
    target = np.array([[0, 10, 20], [30, 40, 50]], np.uint16)
    prediction = np.array([[2, 10, 18], [34, 40, 46]], np.uint16)
    row = of_channel(prediction, target, EVERYWHERE, data_range=50, level=25)
    assert row["mae"] == pytest.approx(12 / 6)
    assert row["rmse"] == pytest.approx(np.sqrt(40 / 6))
    assert row["nrmse"] == pytest.approx(np.sqrt(40 / 6) / 50)
    assert row["psnr"] == pytest.approx(10 * np.log10(50**2 / (40 / 6)))
    assert row["pearson"] == pytest.approx(np.corrcoef(prediction.ravel(), target.ravel())[0, 1])
    assert row["spearman"] == 1
    assert row["mae_foreground"] == pytest.approx(8 / 3)
    assert row["rmse_foreground"] == pytest.approx(np.sqrt(32 / 3))
    assert row["ssim"] is None  # no window of 7 x 7 px fits


def test_what_has_no_meaning_is_none() -> None:
    """PSNR of equal images, correlations with a constant, foreground where there is none."""
    target = np.array([[0, 10, 20], [30, 40, 50]], np.float32)
    assert of_channel(target, target, EVERYWHERE, 50, None)["psnr"] is None
    row = of_channel(np.full_like(target, 7), target, EVERYWHERE, 50, None)
    assert (row["pearson"], row["spearman"], row["mae_foreground"]) == (None, None, None)
    assert row["mae"] == pytest.approx((7 + 3 + 13 + 23 + 33 + 43) / 6)


def test_only_what_is_known_counts() -> None:
    """Whatever stands where the target is not known changes no figure, SSIM and its windows included."""
    target, known = smooth(0), np.ones((128, 128), bool)
    known[:, 60:] = False
    prediction = target + np.random.default_rng(1).normal(0, 100, target.shape)
    rows = [of_channel(prediction, np.where(known, target, other), known, 4000, 2000) for other in (0, 9000)]
    assert rows[0] == rows[1]
    alone = of_channel(prediction[:, :60], target[:, :60], known[:, :60], 4000, 2000)
    of_pixels = {name: value for name, value in rows[0].items() if name not in OF_RINGS}  # those taper at the borders
    assert of_pixels == pytest.approx({name: alone[name] for name in of_pixels}, rel=1e-5)


@pytest.mark.parametrize("offset", [0, 60_000])
def test_ssim_is_that_of_scikit_image(offset: float) -> None:
    """Its mean over windows within the image, with small and large offsets."""
    a, b = smooth(0) + offset, smooth(1) + offset
    map_, inside = similarity(a, b, np.ones(a.shape, bool), 4000)
    expected = structural_similarity(a, b, win_size=7, data_range=4000)
    assert map_[inside].mean() == pytest.approx(expected, abs=1e-5)


def test_ranks_are_those_of_scipy() -> None:
    """Counted or sorted, ties share their mean."""
    values = np.random.default_rng(0).integers(-5, 9, 50)
    np.testing.assert_allclose(ranks(values), stats.rankdata(values))
    np.testing.assert_allclose(ranks(values.astype(float)), stats.rankdata(values))


def test_channels_are_joined() -> None:
    """Errors of all pixels of all channels; correlations are means."""
    targets = np.stack([smooth(0), smooth(1) * 3])
    predictions = np.stack([smooth(2), smooth(3)])
    known = np.ones(targets.shape[1:], bool)
    rows = [of_channel(a, b, known, 100, None) for a, b in zip(predictions, targets, strict=True)]
    row, error = joined(rows, 8000), predictions - targets
    assert row["mae"] == pytest.approx(np.abs(error).mean())
    assert row["rmse"] == pytest.approx(np.sqrt((error**2).mean()))
    assert row["psnr"] == pytest.approx(10 * np.log10(8000**2 / (error**2).mean()))
    assert row["pearson"] == pytest.approx(np.mean([r["pearson"] for r in rows]))


def test_histograms_give_medians_and_thresholds() -> None:
    """Added piece by piece; constants have no threshold."""
    values = np.array([1, 1, 1, 2, 8, 9, 9], np.uint16)
    histogram = Histogram(1, 9, True)
    histogram.add(values[:3])
    histogram.add(values[3:])
    assert histogram.median() == 2
    assert 2 <= histogram.otsu() < 8
    floats = Histogram(0.0, 1.0, False)
    floats.add(np.linspace(0, 1, 1001))
    assert floats.median() == pytest.approx(0.5, abs=1e-3)
    constant = Histogram(3, 3, True)
    constant.add(np.full(5, 3))
    assert (constant.median(), constant.otsu()) == (3, None)


def test_the_power_of_a_wave_lies_at_its_frequency() -> None:
    """16 periods in 128 px are 0.125 cycles/px, in any direction; noise is as strong everywhere."""
    known, x = np.ones((128, 128), bool), np.arange(128)
    for wave in (
        np.sin(2 * np.pi * x * 16 / 128) * np.ones((128, 1)),
        np.sin(2 * np.pi * x[:, None] * 16 / 128) + 0 * x,
    ):
        found = power(wave, known)
        assert found.argmax() in (15, 16)  # the rings that meet at 0.125
        assert np.delete(found, range(13, 19)).sum() < 1e-3 * found.sum()
    noise = power(np.random.default_rng(0).normal(0, 2, (256, 256)), np.ones((256, 256), bool))
    np.testing.assert_allclose(noise[4:].mean(), 4, rtol=0.05)


def test_spectra_are_of_what_is_known() -> None:
    """Noise of which half is known is as strong as all of it, whatever the other half holds."""
    noise = np.random.default_rng(0).normal(0, 2, (256, 256))
    known = np.ones(noise.shape, bool)
    known[:, 128:] = False
    found = [power(np.where(known, noise, other), known) for other in (0, 900)]
    np.testing.assert_array_equal(*found)
    np.testing.assert_allclose(found[0][4:].mean(), 4, rtol=0.1)


def test_blur_shows_where_the_spectrum_halves() -> None:
    """A Gaussian of width s lets exp(-(2 pi s f)^2) of the power through: half of it at sqrt(ln 2) / (2 pi s)."""
    noise = np.random.default_rng(0).normal(1000, 100, (1, 256, 256))
    for width in (1.0, 2.0):
        spectra = Spectra(1)
        blurred = ndimage.gaussian_filter(noise, (0, width, width), mode="wrap")
        spectra.add(blurred, noise, np.ones((256, 256), bool))
        (told,) = spectra.report({"Y": 0.5, "X": 0.5})
        assert told["half"] == pytest.approx(np.sqrt(np.log(2)) / (2 * np.pi * width), rel=0.1)
        assert told["half_per_um"] == pytest.approx(told["half"] / 0.5)
    spectra = Spectra(1)
    spectra.add(noise, noise, np.ones((256, 256), bool))
    assert spectra.report()[0]["half"] is None
    assert falls_below(np.array([0.1, 0.2, 0.3]), np.array([1.0, 0.75, 0.25]), 0.5) == pytest.approx(0.25)


def test_rings_tell_how_fine_the_detail_is_right() -> None:
    """What is right below 0.125 cycles/px and noise above it parts there: 8 px; with an interval over groups, in µm."""
    random, spectra = np.random.default_rng(0), Spectra(1)
    frequency = np.hypot(np.fft.fftfreq(256)[:, None], np.fft.fftfreq(256))
    known = np.ones((256, 256), bool)
    for i in range(4):
        true, other = random.normal(0, 1, (2, 256, 256))
        coarse = np.where(frequency < 0.125, np.fft.fft2(true), np.fft.fft2(other))
        prediction = 5 * np.fft.ifft2(coarse).real + 70  # whatever their scale
        assert of_rings(prediction, true, known)["frc_cutoff"] == pytest.approx(0.125, abs=0.01)
        spectra.add(prediction[None], true[None], known, f"group {i}")
    (told,) = spectra.report({"Y": 0.5, "X": 0.5})
    assert told["resolution_px"]["value"] == pytest.approx(8, abs=0.4)
    assert told["resolution_um"]["low"] <= told["resolution_um"]["value"] == pytest.approx(4, abs=0.2)
    assert np.mean(told["correlation"][:15]) > 0.95 and abs(np.mean(told["correlation"][17:])) < 0.05
    same, nothing = of_rings(true, true, known), of_rings(np.full_like(true, 3), true, known)
    assert same == pytest.approx({"frc_cutoff": 0.5, "spectral_correlation": 1})
    assert nothing == {"frc_cutoff": 0, "spectral_correlation": None}
    assert of_rings(other, true, known)["frc_cutoff"] == 0
    for small in ((100, 60), (40, 200), (9, 9)):  # in which some rings hold nothing
        corner = smooth(0)[: small[0], : small[1]] if small[1] < 128 else smooth(0, small)
        assert of_rings(2 * corner, corner, np.ones(corner.shape, bool))["frc_cutoff"] == 0.5
    assert of_rings(true, np.zeros_like(true), known) == dict.fromkeys(same)
    moved_away = of_rings(np.roll(smooth(0), 40, axis=0), smooth(0), known[:128, :128])
    assert moved_away["frc_cutoff"] == 0 and moved_away["spectral_correlation"] > 0.7  # the same texture elsewhere


def test_a_scale_free_ssim_asks_for_no_scale() -> None:
    """Any gain and offset are forgiven, inversion is not; else it is SSIM at the best of all factors."""
    a, b = smooth(0), 0.7 * smooth(0) + 0.3 * smooth(1)
    known = np.ones(a.shape, bool)
    inside = similarity(a, b, known, 4000)[1]

    def found(prediction: np.ndarray, target: np.ndarray) -> float:
        return scale_free_similarity(prediction, target, known, inside, 4000)

    assert found(5 * a + 900, a) == pytest.approx(1, abs=1e-4)
    assert found(b, a) == pytest.approx(found(0.01 * b - 40, a), abs=1e-3)
    assert found(4000 - a, a) < 0.2 and found(np.full_like(a, 7), a) < 0.2
    base = [image - np.percentile(image, 3) for image in (a, b)]
    best = max(
        structural_similarity(base[0], k * base[1], win_size=7, data_range=4000) for k in np.linspace(0.5, 2, 61)
    )
    assert found(b, a) == pytest.approx(best, abs=2e-3)
    assert scale_free_similarity(a, a, known, known & False, 4000) is None


# Classes


def test_classes_by_hand() -> None:
    """Eight pixels of three classes: confusion, Dice, IoU, and the three scores of the paper."""
    target = np.array([0, 0, 0, 0, 5, 5, 9, 9])
    prediction = np.array([0, 0, 0, 5, 5, 5, 5, 9])
    counts = confusion(prediction, target, [0, 5, 9])
    assert counts.tolist() == [[3, 1, 0], [0, 2, 0], [0, 1, 1]]
    row = of_classes(counts)
    assert row["dice"] == pytest.approx((4 / 6 + 2 / 3) / 2)
    assert row["iou"] == pytest.approx((2 / 4 + 1 / 2) / 2)
    assert row["pixel_accuracy"] == pytest.approx(6 / 8)
    assert row["class_accuracy"] == pytest.approx((3 / 4 + 1 + 1 / 2) / 3)
    assert row["class_iou"] == pytest.approx((3 / 4 + 1 / 2 + 1 / 2) / 3)
    assert of_each_class(counts)[1] == pytest.approx({"dice": 4 / 6, "iou": 2 / 4, "accuracy": 1.0})


def test_a_class_that_is_not_there_does_not_count() -> None:
    """Neither in the target nor in the prediction: no figure of its own; no foreground at all is right."""
    counts = confusion(np.zeros(4, int), np.zeros(4, int), [0, 1])
    assert of_each_class(counts)[1] == {"dice": None, "iou": None, "accuracy": None}
    row = of_classes(counts)
    assert (row["dice"], row["iou"], row["class_accuracy"]) == (1, 1, 1)


# Instances


def rows_of(*columns: int) -> np.ndarray:
    """Labels of columns, four pixels high."""
    return np.tile(np.array(columns), (4, 1))


def test_objects_by_hand() -> None:
    """Two objects, one found exactly and one by two thirds; then merged, split, invented and missed ones."""
    target = rows_of(1, 1, 0, 2, 2, 2, 0, 0)
    row = of_instances(rows_of(7, 7, 0, 9, 9, 0, 0, 0), target)
    assert [row[f"object_f1_iou{i}"] for i in (50, 60, 70)] == [1, 1, 0.5]
    assert row["object_ap_iou70"] == pytest.approx(1 / 3)
    assert (row["object_precision_iou70"], row["object_recall_iou70"]) == (0.5, 0.5)
    assert (row["invented"], row["missing"], row["merges"], row["splits"]) == (0, 0, 0, 0)
    assert (row["object_area"], row["object_area_target"]) == (8, 10)
    assert row["dice"] == pytest.approx(2 * 16 / (16 + 20))

    merged = of_instances(rows_of(7, 7, 7, 7, 7, 7, 0, 0), target)
    assert (merged["merges"], merged["splits"], merged["missing"]) == (1, 0, 0)
    split = of_instances(target, rows_of(7, 7, 7, 7, 7, 7, 0, 0))
    assert (split["merges"], split["splits"]) == (0, 1)
    strange = of_instances(rows_of(7, 7, 0, 0, 0, 0, 0, 8), target)
    assert (strange["invented"], strange["missing"]) == (1, 1)
    assert (strange["object_precision_iou50"], strange["object_recall_iou50"]) == (0.5, 0.5)


def test_labels_are_counted_as_numpy_finds_them() -> None:
    """Small ones by counting, large and negative ones by sorting; none of none."""
    few = np.random.default_rng(0).integers(0, 9, 50).astype(np.uint16)
    for labels in (few, few[few > 2], few.astype(np.uint64) * 2**40, few.astype(int) - 4, few[:0]):
        expected = np.unique(labels, return_inverse=True, return_counts=True)
        for a, b in zip(numbers_of(labels), expected, strict=True):
            np.testing.assert_array_equal(a, b)


def test_objects_agree_with_scikit_image() -> None:
    """Adapted Rand error and variation of information are those of the images themselves."""
    random = np.random.default_rng(0)
    target, prediction = (ndimage.zoom(random.integers(0, 5, (8, 8)), 4, order=0) for _ in range(2))
    row = of_instances(prediction, target)
    assert row["adapted_rand_error"] == pytest.approx(adapted_rand_error(target, prediction)[0])
    assert row["variation_of_information"] == pytest.approx(variation_of_information(target, prediction).sum())
    same = of_instances(target + (target > 0), target)
    assert same["adapted_rand_error"] == pytest.approx(0)
    assert same["variation_of_information"] == pytest.approx(0)


def test_no_objects_and_unknown_objects() -> None:
    """Nothing found where nothing is: F1 1, no precision; what is not known is not there."""
    none = np.zeros((4, 4), int)
    row = of_instances(none, none)
    assert (row["object_f1_iou50"], row["object_ap_iou90"], row["object_precision_iou50"]) == (1, 1, None)
    assert (row["adapted_rand_error"], row["object_area"]) == (None, None)
    known = np.ones((4, 8), bool)
    known[:, 5:] = False
    target = rows_of(1, 1, 0, 0, 0, 2, 2, 2)
    row = of_instances(rows_of(1, 1, 0, 0, 0, 0, 3, 4), target, known)
    assert (row["object_f1_iou50"], row["objects"], row["objects_target"]) == (1, 1, 1)


# Kinds of error


def test_moved_images_lie_where_they_should() -> None:
    """Whole pixels move exactly, labels stay labels, and what came from outside is not inside."""
    image = smooth(0)[None]
    result, inside = moved(image, (2.0, -3.0), labels=False)
    np.testing.assert_allclose(result[0, 2:, :-3], image[0, :-2, 3:], atol=1e-6)
    assert inside[2:, :-3].all()
    assert inside.sum() == 126 * 125
    labels, _ = moved((image > 2000).astype(np.uint8) * 7, (0.4, -0.4), labels=True)
    assert set(np.unique(labels)) == {0, 7}
    assert (labels == 7).sum() > 0


def test_strays_are_objects_far_from_any_other() -> None:
    """One near the truth and one far from it; specks of noise are no objects."""
    true = np.zeros((40, 40), bool)
    true[5:10, 5:10] = True
    found = np.zeros_like(true)
    found[5:10, 11:16] = True  # 2 px beside it
    found[25:30, 25:30] = True
    found[35, 5:8] = True
    assert strays(found, true) == (1, 2)
    assert strays(true, found) == (0, 1)
    assert strays(found, np.zeros_like(true)) == (2, 2)


@pytest.mark.parametrize("kind", ["intensity", "classes"])
def test_a_prediction_that_covers_everything_finds_nothing(kind) -> None:
    """It is no object over all others; but of a target that covers nearly everything it is the one there is."""
    target = np.zeros((1, 40, 40), np.uint8)
    target[0, 5:15, 5:15] = target[0, 25:35, 25:35] = 200
    known = np.ones((40, 40), bool)
    known[:, 38:] = False
    nearly = np.full_like(target[0], 200)
    nearly[0, :30] = 0
    pairs = PairedFrames([target[0]] * 2, [target[0], nearly], "YX", valid=[known, known])
    frames = Frames(pairs)
    judge = judge_of(kind, frames, [0, 200])
    rows = [judge.add(np.full_like(target, 200), frame) for frame in frames]
    assert [(row["invented"], row["missing"], row["objects"], row["objects_target"]) for row in rows] == [
        (0, 2, 0, 2),
        (0, 0, 1, 1),
    ]


# Intervals


def test_intervals_are_over_groups() -> None:
    """Images of one group are no independent evidence: the interval widens, the value stays."""
    values, names = [0.1] * 5 + [0.9] * 5, [str(i) for i in range(10)]
    apart = interval(values, names)
    grouped = interval(values, ["a"] * 5 + ["b"] * 5)
    assert apart["value"] == grouped["value"] == pytest.approx(0.5)
    assert (grouped["low"], grouped["high"]) == pytest.approx((0.1, 0.9))
    assert apart["low"] > 0.15
    assert interval(values, ["a"] * 10)["low"] is None


def test_an_interval_covers_the_mean_as_often_as_it_says() -> None:
    """Of 95 % intervals from 40 values each, about 95 % hold the true mean."""
    random = np.random.default_rng(0)
    held = 0
    for i in range(100):
        found = interval(random.normal(3, 1, 40).tolist(), seed=i)
        held += found["low"] <= 3 <= found["high"]
    assert 88 <= held <= 99


def test_what_is_not_known_does_not_count_in_a_mean() -> None:
    """None is left out; of nothing there is no mean."""
    rows = [{"a": 1.0, "b": None}, {"a": None, "b": None}, {"a": 3.0, "b": None}]
    found = summarize(rows, ["x", "y", "z"])
    assert found["a"]["value"] == 2
    assert found["b"] == {"value": None, "low": None, "high": None}
