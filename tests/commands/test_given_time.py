"""On the command line a training is given minutes, and ended where it is; what cannot go together is told."""

import json

import pytest
import tifffile

from napari_pix2pix.commands.app import main
from napari_pix2pix.commands.train import hurried
from napari_pix2pix.core.settings.config import make_config
from napari_pix2pix.core.training import time_given
from small import SMALL_FLAGS, blobs

FLAGS = [
    word for pair in zip(SMALL_FLAGS[::2], SMALL_FLAGS[1::2], strict=True) if pair[0] != "--steps" for word in pair
]


@pytest.fixture
def pair(tmp_path):
    """Files of a source and its labels."""
    for name, image in zip(("source.tif", "labels.tif"), blobs(), strict=True):
        tifffile.imwrite(tmp_path / name, image, metadata={"axes": "YX"})
    return [str(tmp_path / "source.tif"), str(tmp_path / "labels.tif")]


def test_minutes_become_steps_and_are_said(pair, tmp_path, capsys, monkeypatch) -> None:
    """As many as the run's settings say; a run that ended is ended already, and keeps its model."""
    monkeypatch.setattr(time_given, "MOST_STEPS", 3)
    out = str(tmp_path / "run")
    assert main(["train", *pair, "--out", out, *FLAGS, "--minutes", "0.01", "--json"]) == 0
    said = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    config = json.loads((tmp_path / "run" / "config.json").read_text())["config"]
    [note] = [event for event in said if "trust_steps" in event]
    assert (note["steps"], note["trust_steps"]) == (config["steps"], config["trust_steps"])
    assert f"In 0.01 minutes fit {config['steps']} steps." in note["text"]
    before = (tmp_path / "run" / "model.safetensors").read_bytes()
    assert main(["train", "--resume", out, "--finish", "--device", "cpu"]) == 0
    assert (tmp_path / "run" / "model.safetensors").read_bytes() == before


@pytest.mark.parametrize(
    ("preset", "count", "advised"),
    [(None, 168, True), ("microscopy", 168, True), (None, 2_000, False), ("fast", 10, False), ("paper", 10, True)],
)
def test_smaller_networks_are_advised_where_few_steps_fit(preset, count, advised) -> None:
    """Of the settings that were asked for; who has the small ones is told nothing."""
    text = hurried(make_config(preset), preset, count)
    assert ("`preset` fast" in text) == advised
    assert not advised or text.startswith(f" This is {count / make_config(preset).steps:.1%} of the ")


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--minutes", "1", "--steps", "2"], "must be given --steps or --minutes; got both"),
        (["--minutes", "nan"], "minutes must be more than 0"),
        (["--finish"], "A run to finish must be there already; give --resume RUN"),
    ],
)
def test_what_cannot_go_together_is_told(pair, tmp_path, capsys, words, sentence) -> None:
    """In a sentence, and nothing is written."""
    assert main(["train", *pair, "--out", str(tmp_path / "run"), *words]) == 2
    assert sentence in capsys.readouterr().err
    assert not (tmp_path / "run").exists()
