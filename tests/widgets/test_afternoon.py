"""A whole afternoon in a real window: from a sample to a better model, and the command line makes the very same."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from napari.layers import Labels

from napari_pix2pix.core.engine.tensor_files import read_tensors
from napari_pix2pix.files.stacks import open_stack
from small import small_config

pytestmark = pytest.mark.gui


def command(words) -> None:
    subprocess.run([sys.executable, "-m", "napari_pix2pix", *map(str, words)], check=True, capture_output=True)


@pytest.mark.timeout(600)
def test_an_afternoon(make_napari_viewer, until, home: Path, tmp_path: Path, monkeypatch) -> None:
    """Open a sample, check, train, predict, score, evaluate, correct, improve, save; by nothing but what is on screen.

    Then every training and prediction is made again by the command line: bit for bit the same.
    """
    viewer = make_napari_viewer()

    def opened(name: str):
        _, dock = viewer.window.add_plugin_dock_widget("napari-pix2pix", name)
        return dock

    def done(dock, seconds: float = 200) -> list:
        """The layers that one press of the button brings."""
        before = list(viewer.layers)
        dock.run_button.click()
        until(lambda: dock.job is None and dock.run_button.isEnabled(), seconds)
        return [layer for layer in viewer.layers if layer not in before]

    # Open and check.
    viewer.open_sample("napari-pix2pix", "tissue")
    train = opened("Train")
    sent, run = [], train.session.child.run
    monkeypatch.setattr(train.session.child, "run", lambda words: sent.append([*words]) or run(words))
    until(lambda: bool(train.findings.texts) and train.findings.texts[0].startswith("1 pair"))
    assert (train.source.value.name, train.target.value.name) == ("tissue", "nuclei")

    # Train.
    train.set_value(small_config(steps=60, validate_every=30, trust_steps=4))
    train.device.setCurrentIndex(train.device.findData("cpu"))
    done(train)
    assert train.status.text().startswith("Trained.")
    model = home / "napari-pix2pix" / "nuclei" / "model.safetensors"
    assert model.is_file()

    # Predict, with a trust overlay.
    predict = opened("Predict")
    assert predict.model.value() == model
    predict.trust.setChecked(True)
    prediction, _, expected = done(predict)
    assert prediction.name == "tissue (predicted)"
    assert isinstance(prediction, Labels)
    assert expected.visible
    first = prediction.data.copy()

    # Score.
    scores = opened("Patch scores")
    assert scores.image.value is prediction
    assert len(done(scores)) >= 1

    # Evaluate.
    evaluate = opened("Evaluate")
    assert (evaluate.prediction.value.name, evaluate.target.value.name) == ("tissue (predicted)", "nuclei")
    (difference,) = done(evaluate)
    assert difference.data.any()
    assert evaluate.table.rowCount() > 3
    assert evaluate.report.is_file()

    # Correct and improve.
    improve = opened("Improve")
    improve.correct_button.click()
    improve.truth.value.data[:200] = viewer.layers["nuclei"].data[:200]
    improve.mark_button.click()
    improve.known.value.add([[[0, 0], [0, 500], [190, 500], [190, 0]]], shape_type="polygon")
    improve.steps.setValue(6)
    done(improve)
    assert "→" in improve.status.text()
    assert predict.model.value().parent.name == "nuclei improved"

    # Save.
    prediction.save(str(tmp_path / "saved.tif"))
    assert np.array_equal(open_stack(tmp_path / "saved.tif").array, first)

    # The same again, without a window.
    trainings = [words for words in sent if words[0] == "train"]
    assert [words[0] for words in sent if words[0] not in ("info", "check")] == [
        *("train", "predict", "score", "evaluate", "train"),
    ]
    for i, words in enumerate(trainings):
        out = words.index("--out") + 1
        command([*words[:out], tmp_path / f"run{i}", *words[out + 1 :]])
        ours, theirs = (read_tensors(Path(p) / "model.safetensors")[0] for p in (words[out], tmp_path / f"run{i}"))
        assert ours.keys() == theirs.keys()
        assert all(np.array_equal(ours[name], theirs[name]) for name in ours)
    source = model.parent / "data" / "source.ome.tif"
    command(["predict", model, source, "--out", tmp_path / "p.tif", "--trust", "--device", "cpu"])
    assert np.array_equal(open_stack(tmp_path / "p.tif").array, first)
    assert np.array_equal(open_stack(tmp_path / "p.expected_error.tif").array, expected.data)
