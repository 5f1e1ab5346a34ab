"""What a publication must tell is told, or said to be missing; LaTeX prints it as it is."""

import re

import numpy as np

from napari_pix2pix import core
from napari_pix2pix.report.checklist import DEFINITIONS, ESCAPED, NOT_TOLD, checklist, escaped, latex
from napari_pix2pix.report.content import TITLES, Content
from napari_pix2pix.report.methods_paragraph import methods
from napari_pix2pix.report.page import html
from small import blobs, small_config


def test_every_figure_of_people_is_defined() -> None:
    """But the two that tell of the expected error alone."""
    assert set(TITLES) - set(DEFINITIONS) == {"expected_error", "expected_calibration_error"}


def test_a_model_tells_its_data_split_seed_hardware_versions_and_metrics(tmp_path) -> None:
    """Each with what is known; where data can be had is not, and is said."""
    images, labels = zip(*(blobs(seed=i) for i in range(5)), strict=True)
    pairs = core.PairedFrames(list(images), list(labels), "YX")
    config = small_config(target_kind="instances", steps=1, seed=3)
    *_, last = core.train(pairs, config, out=tmp_path / "run", device="cpu")
    report = core.evaluate(last.model, pairs, None, allow_seen=True)
    rows = dict(checklist(last.model, report))
    assert list(rows)[:9] == [
        *("data", "pixel size", "split", "seed", "training", "hardware", "versions", "model", "licence")
    ]
    assert rows["seed"].startswith("3; one training") and rows["training"] == "1 of 1 steps, method pix2pix"
    assert "cpu" in rows["hardware"] and "torch" in rows["versions"] and last.model.hash() in rows["model"]
    assert rows["licence"] == rows["pixel size"] == NOT_TOLD and "train" in rows["split"]
    assert "IoU is above 0.5" in rows["object F1 at IoU 0.5"] and "at most 0.2 (Cohen, 1988)" in rows["read-outs"]
    assert "2000 resamples" in rows["intervals"] and rows["judged on"].startswith("5 ")
    text, cited = methods(last.model, report)
    page = html(Content("t", "c", report, last.model))
    for part in ("Checklist for publication", "The same as LaTeX", r"\begin{description}"):
        assert part in page
    verdicts = [one["verdict"] for one in report["features"][0]["readouts"].values()]
    assert len(verdicts) == 11 and all(
        page.count(f">{verdict}</strong>") == verdicts.count(verdict) for verdict in verdicts
    )
    written = latex(text, cited, list(rows.items()))
    assert written.count(r"\item") == len(cited) + len(rows)
    bare = re.sub(r"\\[&%$#_{}]|\$[^$]*\$|\\(text\w+|ldots)\{\}|\\u\{a\}", "", written)
    assert not set("&%$#_~^<>|×β²±°µ") & set(bare)


def test_predictions_of_a_tool_have_metrics_and_ask_for_the_rest() -> None:
    image = blobs()[0].astype(np.float32)
    report = core.evaluate_prediction(image + 5, image, "YX", kind="intensity")
    rows = dict(checklist(None, report))
    assert NOT_TOLD in rows["model"] and rows["peak signal-to-noise ratio"] == DEFINITIONS["psnr"]
    assert rows["intervals"] == "none: one image or group"
    assert "Checklist for publication" in html(Content("t", "c", report))


def test_what_latex_obeys_is_text() -> None:
    """Names of strangers, too."""
    assert escaped(r"50 % of a_b & \input{x} ~") == r"50 \% of a\_b \& \textbackslash{}input\{x\} \textasciitilde{}"
    assert all(len(sign) == 1 for sign in ESCAPED)
