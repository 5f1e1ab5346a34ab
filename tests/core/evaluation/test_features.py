"""What is read from single objects: as scikit-image reads it, and which of it survives a prediction."""

import numpy as np
import pytest
from scipy import ndimage
from skimage.feature import graycomatrix, graycoprops
from skimage.measure import regionprops

from napari_pix2pix import core
from napari_pix2pix.core.evaluation.metrics.features import (
    FEATURES,
    LEVELS,
    TEXTURES,
    Populations,
    greys,
    judged,
    numbered,
    shapes,
)
from napari_pix2pix.core.evaluation.metrics.intervals import figure
from small import blobs, untrained


def test_objects_are_numbered_and_the_smallest_left_out() -> None:
    """Whatever their labels are, however large, in their order; nothing of fewer than 10 px."""
    labels = np.zeros((20, 20), np.int64)
    labels[:4, :4], labels[10:14, 10:14], labels[18:, 18:] = 2**40, 7, 3
    found = numbered(labels)
    assert found[0, 0] == 2 and found[10, 10] == 1 and found[19, 19] == 0
    assert numbered(np.zeros((5, 5), int)).max() == 0 and numbered(np.full((5, 5), 9)).min() == 1


def test_features_are_those_of_scikit_image() -> None:
    """Of each object by itself: its properties, and textures from its own matrix of neighbours."""
    image, labels = blobs()
    objects, (low, high) = numbered(labels), (300.0, 3300.0)
    shaped, grey = shapes(objects), greys(objects, image, (low, high))
    assert shaped.keys() | grey.keys() == set(FEATURES)
    quantized = np.clip((image - low) / (high - low) * LEVELS, 0, LEVELS - 1).astype(np.uint8)
    for i, region in enumerate(regionprops(objects, image)):
        assert shaped["size"][i] == region.area
        assert shaped["eccentricity"][i] == pytest.approx(region.eccentricity)
        assert shaped["solidity"][i] == pytest.approx(region.solidity)
        assert grey["mean"][i] == pytest.approx(region.intensity_mean)
        assert grey["deviation"][i] == pytest.approx(image[objects == region.label].std())
        assert grey["integrated"][i] == pytest.approx(image[objects == region.label].sum(dtype=float))
        # scikit-image knows no mask: what is outside is a level of its own, taken out again
        inside = np.where(region.image, quantized[region.slice] + 1, 0).astype(np.uint8)
        whole = graycomatrix(inside, [1], np.arange(4) * np.pi / 4, LEVELS + 1, symmetric=True)
        own = whole[1:, 1:].sum(axis=3, keepdims=True)
        for name in TEXTURES:
            assert grey[name][i] == pytest.approx(graycoprops(own, name)[0, 0])


def test_volumes_are_measured_too() -> None:
    """Their size, extent, intensity and the texture of their planes."""
    labels = np.zeros((6, 30, 30), int)
    labels[1:4, 3:10, 3:10], labels[2:5, 15:25, 15:25] = 5, 2
    objects = numbered(labels)
    assert shapes(objects)["size"].tolist() == [300, 147] and shapes(objects)["extent"].tolist() == [1, 1]
    found = greys(objects, np.where(labels == 5, 40, 7), (0, 50))
    assert found["mean"].tolist() == [7, 40] and found["contrast"].tolist() == [0, 0]


def test_what_an_object_does_not_have_is_not_told() -> None:
    """No neighbours, no texture; one grey level, no correlation; what is no number is left out, not dark."""
    labels = np.zeros((40, 40), int)
    labels[:8:2, :8:2], labels[20:30, :10], labels[20:30, 20:30] = 1, 2, 3
    image = np.where(labels == 3, np.arange(40) * 7.0, 50.0)
    found = greys(numbered(labels), image, (0, 300))
    assert [np.isnan(found[name]).tolist() for name in TEXTURES] == [[True, False, False]] * 2 + [[True, True, False]]
    assert found["contrast"][1] == 0 and found["homogeneity"][1] == 1 and found["correlation"][2] > 0.5
    image[20:25], image[22, 22] = np.where(labels[20:25] == 2, np.nan, image[20:25]), np.inf
    part = greys(numbered(labels), image, (0, 300))
    assert part["mean"][1] == 50 and part["integrated"][1] == 50 * 50 and part["contrast"][1] == 0
    kept = (labels == 3) & np.isfinite(image)
    assert part["mean"][2] == pytest.approx(image[kept].mean()) and part["integrated"][2] == image[kept].sum()
    image[labels == 2] = np.nan
    none = greys(numbered(labels), image, (0, 300))
    assert np.isnan([values[1] for values in none.values()]).all()


def population(change, n_frames=4, blind=False):
    """The read-outs of bright ellipses of many sizes and grey values, of predictions that `change` makes of them."""
    told, y, x = Populations(), *np.mgrid[:200, :200]
    for frame in range(n_frames):
        random = np.random.default_rng(frame)
        labels, image = np.zeros((200, 200), int), random.normal(0, 3, (200, 200))
        for i, (row, column) in enumerate(np.ndindex(6, 6)):
            disk = np.hypot((y - 17 - 33 * row) * random.uniform(1, 2), x - 17 - 33 * column) < random.uniform(5, 13)
            labels[disk] = i + 1
            image[disk] += 50 + 100 * random.random()
        predicted_labels, predicted = change(labels, image, random)
        images = None if blind else (predicted, image)
        told.add((predicted_labels, labels), images, (0, 160), f"frame {frame}")
    return told.report()


def test_the_truth_is_usable_and_what_is_wrong_is_not() -> None:
    """Twice as bright shifts intensities and no shape; swollen ones are too large; mixed up, single ones are lost."""
    same = population(lambda labels, image, _: (labels, image))
    assert {one["verdict"] for one in same["readouts"].values()} == {"usable"}
    assert same["n"] == {"prediction": 144, "target": 144, "matched": 144}
    assert same["sentence"].startswith("Of 11 read-outs of objects: usable: shape size,")
    size = same["readouts"]["size"]
    assert (size["bias"]["value"], size["correlation"]["value"], size["spread"]["value"]) == (0, pytest.approx(1), 1)

    bright = population(lambda labels, image, _: (labels, 2 * image))["readouts"]
    assert (bright["mean"]["verdict"], bright["size"]["verdict"]) == ("not", "usable")
    assert bright["mean"]["spread"]["value"] == pytest.approx(2) and "shifted" in bright["mean"]["why"]
    mean = bright["mean"]
    assert mean["bias"]["value"] == pytest.approx(mean["mean_prediction"] - mean["mean_target"])

    def swollen(labels, image, _):
        grown = ndimage.grey_dilation(labels, size=(5, 5))
        return np.where(labels > 0, labels, grown), image

    assert population(swollen)["readouts"]["size"]["verdict"] in ("with care", "not")

    def mixed(labels, image, random):
        values = np.concatenate([[0], 50 + 100 * random.random(labels.max())])
        return labels, values[labels] + random.normal(0, 3, labels.shape)

    found = population(mixed)["readouts"]["mean"]
    assert found["verdict"] == "not" and "single objects are mixed up" in found["why"]
    assert abs(found["standardized_difference"]["value"]) < 0.4


def test_little_is_not_enough() -> None:
    """One image is never more than usable with care, few objects tell nothing, and objects without a match are lost."""
    one = population(lambda labels, image, _: (labels, image), n_frames=1)["readouts"]["mean"]
    assert (one["verdict"], one["why"]) == ("with care", "one image or group tells nothing of another")
    assert one["bias"]["low"] is None
    few = population(lambda labels, image, _: (np.where(labels < 5, labels, 0), image), n_frames=2)["readouts"]["mean"]
    assert (few["verdict"], few["why"]) == ("not known", "8 objects are too few")
    lost = population(lambda labels, image, _: (np.roll(labels, 16, axis=1), image))["readouts"]["size"]
    assert lost["verdict"] == "not" and "true objects have a predicted one" in lost["why"]
    assert set(population(lambda labels, image, _: (labels, image), blind=True)["readouts"]) == {
        *("size", "eccentricity", "solidity", "form_factor", "extent")
    }
    assert Populations().report() is None
    flat = {name: figure(np.nan, None) for name in ("correlation", "spread", "standardized_difference")}
    assert judged(flat, (99, 99), 99) == ("not known", "all true objects are alike")


def test_objects_of_instances_are_read_in_their_sources() -> None:
    """Of a model's predictions all of them; of any tool's, which come without a source, shape alone."""
    images, labels = zip(*(blobs(seed=i) for i in range(3)), strict=True)
    by_model = core.evaluate(untrained(images[0][None], labels[0][None], "instances"), list(images), list(labels), "YX")
    assert set(by_model["features"][0]["readouts"]) == set(FEATURES)
    (found,) = core.evaluate_prediction(list(labels), list(labels), "YX", kind="instances")["features"]
    assert set(found["readouts"]) < set(FEATURES) and found["n"]["matched"] == found["n"]["target"] > 20
    assert found["readouts"]["size"]["verdict"] == "usable"


def test_a_model_finds_the_objects_of_both_sides() -> None:
    """In predictions and targets, whatever their dtype is; the same images have the same objects."""
    images, labels = zip(*(blobs(seed=i) for i in range(3)), strict=True)
    finder = untrained(images[0][None], labels[0][None], "instances")
    bright = [image * 15 for image in images]

    def found(prediction, target, **named):
        return core.evaluate_prediction(prediction, target, "YX", kind="intensity", objects=finder, **named)

    said = found(list(images), list(images))
    (counts,) = [one["counts"] for one in said["objects"]]
    assert counts["object_f1_iou50"]["value"] == 1 and counts["number"] == counts["number_target"]
    assert set(said["features"][0]["readouts"]) == set(FEATURES)
    with pytest.warns(UserWarning, match="Of the model that finds objects, in targets: "):
        found(bright, bright)  # brighter than anything that it learned from
    floats = [image / 7.0 for image in images]
    scaled = found(floats, floats)["objects"][0]["counts"]
    assert scaled["number"]["value"] == pytest.approx(counts["number"]["value"], rel=0.5)


@pytest.mark.parametrize(
    ("kind", "channels", "said"),
    [
        (
            "intensity",
            1,
            "must find labels in grey values; this one does not. Give another as `objects`, otsu, or label",
        ),
        ("instances", 3, "must take one channel, or all 1 of the targets; this one takes 3 channels."),
    ],
)
def test_a_model_that_finds_no_objects_is_refused(kind, channels, said) -> None:
    image, labels = blobs()
    target = image if kind == "intensity" else labels
    finder = untrained(np.repeat(image[None], channels, axis=0), target[None], kind)
    with pytest.raises(ValueError, match=said):
        core.evaluate_prediction(image, image, "YX", kind="intensity", objects=finder)
