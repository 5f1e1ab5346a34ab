"""Labels survive the way into a network's channels and back."""

from pathlib import Path

import numpy as np
import pytest
import tifffile

from napari_pix2pix.core.encodings.encoding import LIMIT, Encoding, fit_encoding, rare_weights
from napari_pix2pix.core.encodings.kinds import guess_kind
from napari_pix2pix.core.evaluation.metrics.instances import object_f1

DSB2018 = Path(__file__).parents[4] / "shared" / "data" / "dsb2018" / "train" / "label"


def touching_squares() -> np.ndarray:
    labels = np.zeros((60, 60), np.uint16)
    labels[5:25, 5:25], labels[5:25, 25:45], labels[40:60, 0:20] = 1, 700, 3
    return labels


def test_touching_objects_come_back_as_they_were() -> None:
    """Objects that touch each other or the image's border are the same objects after encode and decode."""
    labels = touching_squares()
    encoding = fit_encoding([labels[None]], "instances")
    maps = encoding.encode(labels[None])
    assert np.abs(maps).max() <= np.float32(LIMIT)
    decoded = encoding.decode(maps)
    assert decoded.dtype == np.int32
    assert object_f1(decoded[0], labels) == 1
    assert (decoded[0] > 0).sum() == (labels > 0).sum()


@pytest.mark.skipif(not DSB2018.is_dir(), reason="the shared DSB2018 labels are not here")
def test_real_nuclei_come_back() -> None:
    """On a tenth of DSB2018, 98 % of the nuclei come back at IoU 0.5."""
    stacks = [tifffile.imread(path)[None] for path in sorted(DSB2018.glob("*.tif"))[::10]]
    encoding = fit_encoding(stacks, "instances").model_copy(update={"min_size": 1})
    scores = [object_f1(encoding.decode(encoding.encode(labels))[0], labels[0]) for labels in stacks]
    assert np.mean(scores) >= 0.98


@pytest.mark.parametrize("values", [(0, 255), (0, 1, 7), (3,)])
def test_classes_come_back(values: tuple[int, ...]) -> None:
    """Class labels, whatever their numbers, are the same after encode and decode."""
    labels = np.random.default_rng(0).choice(values, (1, 20, 20)).astype(np.uint8)
    encoding = fit_encoding([labels], "classes")
    np.testing.assert_array_equal(encoding.decode(encoding.encode(labels)), labels)


@pytest.mark.parametrize(
    ("target", "kind", "sentence"),
    [
        (np.zeros((2, 8, 8), np.uint8), "instances", "must have one channel; got 2"),
        (np.full((1, 8, 8), 0.5, np.float32), "classes", "must hold whole numbers; got fractions"),
        (np.arange(64, dtype=np.uint8).reshape(1, 8, 8), "classes", "at most 16 labels; got more"),
    ],
)
def test_targets_that_cannot_be_labels_are_told(target: np.ndarray, kind: str, sentence: str) -> None:
    """A target that cannot be what it is said to be is refused, with the way out."""
    with pytest.raises(ValueError, match=sentence):
        fit_encoding([target], kind)


def test_an_unknown_class_is_told() -> None:
    """A label that the training never saw is named."""
    encoding = fit_encoding([np.array([[[0, 1]]], np.uint8)], "classes")
    with pytest.raises(ValueError, match=r"labels \[0, 1\] only; got \[9\] too"):
        encoding.encode(np.array([[[0, 9]]], np.uint8))


def test_rare_classes_weigh_more() -> None:
    """Each class weighs as much in all as any other, none more than ten; equal shares weigh one."""
    labels = np.zeros((1, 10, 100), np.uint8)
    labels[0, :2] = 1
    np.testing.assert_allclose(rare_weights([labels[:, :5], labels[:, 5:]], (0, 1)), (1 / (2 * 0.8), 1 / (2 * 0.2)))
    labels[0, :2] = 0
    labels[0, 0, 0] = 1
    assert rare_weights([labels], (0, 1, 2))[1:] == (10, 10)


@pytest.mark.parametrize("ids", [(1, 2**32 - 1), (5, 70_000)])
def test_sparse_ids_are_objects_like_any_other(ids) -> None:
    """Object ids up to 2**32 cost no more memory than small ones and come back as objects."""
    labels = np.zeros((1, 40, 40), np.uint32)
    labels[0, 5:15, 5:15], labels[0, 20:35, 20:35] = ids
    assert guess_kind([labels]) == "instances"
    encoding = fit_encoding([labels], "instances")
    assert object_f1(encoding.decode(encoding.encode(labels))[0], labels[0]) == 1


def test_what_is_not_known_does_not_count() -> None:
    """Classes and the range of grey values come from what is known alone."""
    labels = np.array([[[0, 0, 1, 1, 7, 7, 7, 7]]], np.uint8)
    known = labels[0] < 7
    assert fit_encoding([labels], "classes", known=[known]).classes == (0, 1)
    assert fit_encoding([labels * 30], "intensity", known=[known]).normalization.high == (30.0,)


def test_the_smallest_object_is_learned() -> None:
    """What is smaller than nearly all objects that train is dropped; small ones that are usual stay."""
    labels = np.zeros((1, 200, 200), np.uint16)
    for i in range(100):
        y, x = divmod(i, 10)
        labels[0, 20 * y : 20 * y + 3, 20 * x : 20 * x + 3] = i + 1
    encoding = fit_encoding([labels], "instances")
    assert encoding.min_size == 9
    maps = encoding.encode(labels)
    maps[:, :3, :3] = -0.9
    maps[:, 1, 1] = 0.9
    assert encoding.decode(maps).max() == 99
    assert fit_encoding([labels * 0], "instances").min_size == 10


@pytest.mark.parametrize("classes", [(-1, 2), (0, 2**63), (0, 256)])
def test_classes_must_be_such_that_the_data_type_holds_them(classes) -> None:
    """A stranger's file may say otherwise; a prediction could not be written."""
    with pytest.raises(ValueError, match="classes must be labels that uint8 holds, 0 to 255; got"):
        Encoding(kind="classes", n_channels=1, dtype="uint8", classes=classes)
