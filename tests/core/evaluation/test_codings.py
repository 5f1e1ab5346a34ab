"""The same things stored by other numbers are judged as the same, and a mix of two codings is remarked on."""

import numpy as np
import pytest

from napari_pix2pix import core
from napari_pix2pix.core.data.pairs import PairedFrames
from napari_pix2pix.core.encodings.encoding import fit_encoding
from napari_pix2pix.core.encodings.masks import as_mask
from napari_pix2pix.core.evaluation.check import check
from napari_pix2pix.core.evaluation.codings import in_one_coding
from napari_pix2pix.core.evaluation.evaluate import evaluate_prediction
from napari_pix2pix.core.teaching.examples import examples
from napari_pix2pix.core.teaching.fit_trust import fit_trust
from small import blobs, untrained

SOURCE, LABELS = blobs((64, 80))
MASK = (LABELS > 0).astype(np.uint8)


def texts(report, level="warning") -> str:
    return " ".join(one["text"] for one in report["remarks"] if one["level"] == level)


@pytest.mark.parametrize("a", [MASK.astype(bool), MASK, MASK * 255, MASK.astype(np.uint16) * 65535])
@pytest.mark.parametrize("b", [MASK.astype(bool), MASK * 255])
def test_masks_agree_whatever_their_foreground_is_stored_as(a, b) -> None:
    """Equal masks have Dice 1, and a remark says so where they are stored by other numbers."""
    told = evaluate_prediction(a, b, "YX")
    assert told["kind"] == "classes"
    assert told["metrics"]["dice"]["value"] == 1
    assert any("counted as the same foreground" in remark for remark in told["remarks"]) == (
        int(a.max()) != int(b.max())
    )


def test_targets_are_taken_in_the_coding_of_a_model() -> None:
    """Masks of 0 and 255 are those of 0 and 1 that a model learned; other labels stay what they are."""
    encoding = fit_encoding([MASK[None]], "classes")
    pairs, remark = in_one_coding(PairedFrames(SOURCE, MASK * 255, "YX"), encoding)
    np.testing.assert_array_equal(pairs.target(0)[0], MASK)
    assert remark is not None
    mixed = PairedFrames(np.stack([SOURCE] * 2), np.stack([MASK, MASK * 255]), "TYX")
    assert set(np.unique(in_one_coding(mixed, encoding)[0].target(1))) == {0, 1}
    for other in (MASK, LABELS):
        pairs, remark = in_one_coding(PairedFrames(SOURCE, other, "YX"), encoding)
        np.testing.assert_array_equal(pairs.target(0)[0], other)
        assert remark is None


SAME = "counted as the same foreground"


def test_who_starts_from_a_model_takes_masks_in_its_coding(tmp_path) -> None:
    """Masks of 0 and 1, judged by some of 0 and 7, go on training a model of 0 and 255, which keeps its own codes."""
    small = {"patch_size": 16, "gan_weight": 0.0, "steps": 1, "validate_every": 1}
    model = untrained(SOURCE[None], MASK[None] * 255, "classes", **small)
    pairs, others = PairedFrames(SOURCE, MASK, "YX"), PairedFrames(SOURCE[:48], MASK[:48] * 7, "YX")
    with pytest.warns(UserWarning, match=SAME):
        *_, last = core.train(pairs, out=tmp_path / "run", initial=model, validation=others, device="cpu")
    assert last.model.target_encoding.classes == (0, 255)
    assert set(np.unique(last.model.predict(SOURCE, "YX"))) <= {0, 255}


@pytest.mark.filterwarnings("ignore:Which of these pairs", "ignore:No pairs to calibrate")
def test_who_judges_a_match_is_taught_by_masks_in_its_coding(monkeypatch) -> None:
    """The same for fit_trust; a label that is no class of the model is refused by the name of its pair."""
    model = untrained(SOURCE[None], MASK[None] * 255, "classes", patch_size=16)
    monkeypatch.setattr("napari_pix2pix.core.teaching.teacher.WINDOWS", (4, 4))
    sources = [SOURCE, SOURCE[::-1]]
    with pytest.warns(UserWarning, match=SAME):
        fit_trust(model, PairedFrames(sources, [MASK, MASK[::-1]], "YX"), trust_steps=1).close()
    with pytest.raises(ValueError, match=r"classes \[0, 255\] only; pair 1 holds \[1, 2"):
        fit_trust(model, PairedFrames(sources, [MASK * 255, LABELS[::-1]], "YX"), trust_steps=1)


def test_pictures_show_masks_in_one_coding() -> None:
    """What a report shows of an evaluation is what was judged."""
    report = evaluate_prediction(MASK, MASK * 255, "YX")
    (shown,) = examples(report, PairedFrames(MASK, MASK * 255, "YX"))
    np.testing.assert_array_equal(shown.prediction, shown.target)


def test_two_codings_in_one_set_are_remarked_on_and_foreground_makes_them_one() -> None:
    """Three classes that are one thing stored in two ways get a remark; as masks they are two classes and get none."""
    sources, targets = np.stack([SOURCE] * 4), np.stack([MASK, MASK * 255] * 2)
    pairs = PairedFrames(sources, targets, "TYX")
    report = check(pairs)
    assert report["target"]["classes"] == [0, 1, 255]
    assert "`foreground`" in texts(report)
    assert {"foreground": True} in [remedy["changes"] for one in report["remarks"] for remedy in one["remedies"]]
    report = check(pairs.recoded(target=as_mask))
    assert report["target"]["classes"] == [0, 1]
    assert "`foreground`" not in texts(report)


def test_labels_with_minus_one_are_labels() -> None:
    """They get a remark that names the remedy, and with it they are labels; grey values below zero get none."""
    signed = np.where(LABELS == 3, -1, LABELS.astype(np.int32))
    assert "`ignore_label` -1" in texts(check(SOURCE, signed, "YX"))
    report = check(PairedFrames(SOURCE, signed, "YX", ignore=-1))
    assert report["target"]["kind"] == "instances"
    assert "`ignore_label`" not in texts(report)
    assert "`ignore_label`" not in texts(check(SOURCE, SOURCE.astype(np.int32) - 1000, "YX"))
    told = evaluate_prediction(LABELS, signed, "YX")
    assert any("`ignore_label` -1" in remark for remark in told["remarks"])
    with pytest.raises(ValueError, match=r"must be 0 or more; the target of pair 0 holds -1.*`ignore_label` -1"):
        evaluate_prediction(LABELS, signed, "YX", kind="instances")


def test_a_mask_judged_as_objects_is_remarked_on() -> None:
    """One label for all objects against a label for each: few overlap, and a remark says why."""
    told = evaluate_prediction(MASK, LABELS, "YX", kind="instances")
    assert told["metrics"]["dice"]["value"] == 1
    assert told["metrics"]["object_f1_iou50"]["value"] == 0
    assert any("one label for all objects" in remark for remark in told["remarks"])


def test_boolean_targets_are_masks() -> None:
    """What is True is 1, in every frame that is read."""
    pairs = PairedFrames(SOURCE, MASK.astype(bool), "YX")
    assert pairs.target(0).dtype == np.uint8
    np.testing.assert_array_equal(pairs.target(0)[0], MASK)


@pytest.mark.parametrize("constant", [0, 7])
def test_a_constant_channel_has_figures(constant) -> None:
    """A target channel that never varies is judged like any other."""
    colours = np.stack([SOURCE // 16, np.full_like(SOURCE, constant), SOURCE // 20])
    told = evaluate_prediction(colours, colours, "CYX")
    assert told["metrics"]["mae"]["value"] == 0
