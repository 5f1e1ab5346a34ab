"""Pairs of several conditions in a real window: said in Train, chosen where a model is used that knows some."""

import csv
from pathlib import Path

import numpy as np
import pytest

from napari_pix2pix import core
from napari_pix2pix.widgets.evaluate_dock import MODEL, EvaluateDock
from napari_pix2pix.widgets.improve_dock import ImproveDock
from napari_pix2pix.widgets.places import recent_models, remember_model
from napari_pix2pix.widgets.predict_dock import PredictDock
from napari_pix2pix.widgets.scores_dock import ScoresDock
from napari_pix2pix.widgets.train_dock import TrainDock
from small import blobs, small_config
from widgets.conftest import opened

pytestmark = [
    pytest.mark.gui,
    pytest.mark.filterwarnings(
        "ignore:Patches should be", "ignore:No room for", "ignore:Every validation", "ignore:A condition should"
    ),
]


def train(out: Path, conditions) -> Path:
    """A model of a few steps."""
    sources = [blobs((64, 64), seed=i)[0] for i in range(4)]
    targets = [image // 2 + 800 * (i % 2) for i, image in enumerate(sources)]
    pairs = core.PairedFrames(sources, targets, "YX", conditions=conditions)
    for _ in core.train(pairs, small_config(target_kind="intensity"), out=out, device="cpu"):
        pass
    remember_model(out / "model.safetensors")
    return out / "model.safetensors"


def test_what_a_model_knows_is_offered_and_asked_for(make_napari_viewer, until, tmp_path) -> None:
    """In Predict and Patch scores by its name, in Evaluate and Improve as a table for the one pair; else no row."""
    plain, model = train(tmp_path / "plain", None), train(tmp_path / "run", ["a", "b"] * 2)
    viewer = make_napari_viewer()
    source, _ = blobs((64, 80), seed=5)
    image, truth = viewer.add_image(source, name="section"), viewer.add_image(source // 2, name="stain")
    predict = opened(viewer, PredictDock)
    predict.model.set_value(plain)
    assert not predict.condition.isVisibleTo(predict) and predict.condition.flags() == []
    predict.model.set_value(model)
    offered = [predict.condition.itemText(i) for i in range(predict.condition.count())]
    assert predict.condition.isVisibleTo(predict) and offered == ["not known", "a", "b"]
    assert "of a, b" in predict.card.text()
    loaded = core.load_model(model, "cpu")
    for name in (None, "b"):
        predict.condition.setCurrentText(name or "not known")
        predict.source.value = image
        predict.run()
        until(lambda: predict.job is None and predict.run_button.isEnabled())
        made = viewer.layers[-1]
        np.testing.assert_array_equal(made.data, loaded.predict(source, condition=name))
    predict.model.set_value(plain)
    assert predict.condition.flags() == []
    predict.model.set_value(model)

    scores = opened(viewer, ScoresDock)
    scores.model.set_value(model)
    scores.source.value, scores.image.value = image, made
    scores.condition.setCurrentText("a")
    assert scores.request().prepare(lambda: False)[-2:] == ["--condition", "a"]

    judged = opened(viewer, EvaluateDock)
    assert not judged.condition.isVisibleTo(judged)
    judged.judged.setCurrentText(MODEL)
    judged.model.set_value(model)
    assert judged.condition.isVisibleTo(judged)
    judged.source.value, judged.target.value = image, truth
    judged.condition.setCurrentText("b")
    words = judged.request().prepare(lambda: False)
    with Path(words[words.index("--condition") + 1]).open(newline="") as file:
        assert [dict(row) for row in csv.DictReader(file)] == [{"name": "source", "condition": "b"}]
    judged.run()
    until(lambda: judged.job is None and judged.run_button.isEnabled(), 60)
    assert judged.report is not None and "By condition" in judged.report.read_text(), judged.status.text()

    improve = opened(viewer, ImproveDock)
    improve.model.set_value(model)
    improve.source.value, improve.truth.value = image, truth
    improve.condition.setCurrentText("a")
    words = improve.request().prepare(lambda: False)
    assert words[words.index("--condition") + 1].read_text().split() == ["name,condition", "source,a"]


def test_pairs_of_layers_are_of_what_their_names_say(make_napari_viewer, until, notes) -> None:
    """A pattern for the layers' names; the model that comes of it knows these classes; other methods do not ask."""
    viewer = make_napari_viewer()
    for i in range(4):
        image = blobs((64, 64), seed=i)[0]
        viewer.add_image(image, name=f"{'ab'[i % 2]} {i}")
        viewer.add_image(image // 2 + 800 * (i % 2), name=f"target {i}")
    dock = opened(viewer, TrainDock)
    dock.set_value(small_config(target_kind="intensity"))
    for i in range(4):
        dock.source.value, dock.target.value = viewer.layers[f"{'ab'[i % 2]} {i}"], viewer.layers[f"target {i}"]
        if i < 3:
            dock.pairs.add_button.click()
    dock.condition.setText("^(.) ")
    assert dock._read_as() == ["--condition", "^(.) "]
    assert "PairSettings(condition='^(.) ')" in dock._recipe(Path("run")).script(["s", "t", *dock._read_as()])
    dock.run()
    until(lambda: dock.job is None and dock.run_button.isEnabled(), 120)
    assert dock.status.text().startswith("Trained."), (dock.status.text(), notes)
    assert core.load_model(recent_models()[0].path, "cpu").provenance["conditions"] == {"a": 2, "b": 2}
    dock.condition.setText("~/no such.csv")
    assert dock._read_as() == ["--condition", str(Path("~/no such.csv").expanduser())]
    dock.method.setCurrentIndex(dock.method.findData("cyclegan"))
    assert dock._read_as() == []
