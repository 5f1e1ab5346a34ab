"""Samples that were stained for some markers only, a folder for each stain, go through every command."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from every_pair import SMALL, Kind, command, stack, unreported, write
from napari_pix2pix import core
from napari_pix2pix.commands.app import main
from napari_pix2pix.files.stacks import open_stack

STAINS = {"DAPI": range(6), "MAP2": (0, 2, 3, 5), "NFH": (1, 2, 3, 5)}
NEW = {"DAPI": (20, 21), "MAP2": (20,), "NFH": (21,)}
FLAGS = [*SMALL, "--trust-steps", "1"]
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")  # what commands tell in events


def stained(folder: Path, stains: Any) -> list[Any]:
    """Folders of sources and of each stain; the arguments and flags that say them."""
    for seed in sorted({seed for seeds in stains.values() for seed in seeds}):
        write(folder / "bf" / f"cell {seed}.tif", stack(Kind("YX"), seed), "YX")
    for stain, seeds in stains.items():
        for seed in seeds:
            write(folder / stain / f"cell {seed}.tif", stack(Kind("YX"), seed) // (1 + len(stain) % 3), "YX")
    first, *more = (folder / stain for stain in stains)
    return [folder / "bf", first, *(word for one in more for word in ("--target-more", one))]


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    """Of a training on them."""
    folder = tmp_path_factory.mktemp("stains")
    with unreported():
        events = command("train", *stained(folder, STAINS), "--out", folder / "run", *FLAGS)
    assert "Stains: DAPI in 6 of 6 pairs, MAP2 in 4, NFH in 4." in [event.get("text") for event in events]
    return folder / "run"


def test_a_check_tells_which_pairs_have_which_stain(tmp_path, capsys) -> None:
    """As a table, in text and in JSON; pairs that lack some are usable."""
    assert main(["check", *map(str, stained(tmp_path, STAINS)), *SMALL, "--json"]) == 0
    report = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert report["usable"]
    assert report["stains"][1] == {"name": "MAP2", "pairs": 4, "without": ["cell 1", "cell 4"]}
    assert "stain MAP2" in report["text"] and "4 of 6 pairs, not cell 1, cell 4" in report["text"]
    assert not any("Stains:" in text for text in report["warnings"])


def test_a_model_predicts_every_stain_by_its_name(run, tmp_path) -> None:
    """Whatever a pair lacked."""
    model = core.load_model(run / "model.safetensors", "cpu")
    assert model.provenance["pairs"]["train"]["target_channels"] == [*STAINS]
    command("predict", run, run.parent / "bf" / "cell 4.tif", "--out", tmp_path / "p.tif", "--trust")
    assert open_stack(tmp_path / "p.tif").channel_names == tuple(f"{stain} (predicted)" for stain in STAINS)


def test_a_run_of_missing_stains_is_resumed(run, tmp_path) -> None:
    """From what it says of its pairs, to the same weights; as old pairs beside new ones it reads the same again."""
    plan = json.loads((run / "config.json").read_text())
    assert plan["provenance"]["pairs"]["train"]["stains"][1] == [0, None, 1]
    with unreported():
        command("train", "--resume", run, "--finish")
        new = stained(tmp_path / "new", {"DAPI": (30, 31, 32), "MAP2": (30,), "NFH": (31, 32)})
        flags = ["--from", run, "--with-old-pairs", "--steps", "1", "--trust-steps", "0"]
        *_, result = command("train", *new, "--out", tmp_path / "again", *flags)
    assert not result["not_compared"]


def test_new_pairs_judge_and_teach_by_name(run, tmp_path) -> None:
    """Folders in another order, a stain that no pair has: what is there is judged and taught."""
    first, target, *more = stained(tmp_path, {"NFH": (21,), "DAPI": (20, 21)})
    command("evaluate", run, first, target, *more, "--out", tmp_path / "e")
    found = json.loads((tmp_path / "e" / "metrics.json").read_text())
    assert found["n"] == 2 and np.isfinite(found["metrics"]["mae"]["value"])
    command("fit-trust", run, first, target, *more, "--out", tmp_path / "m.safetensors", "--trust-steps", "1")


def test_validation_and_test_pairs_may_lack_stains(tmp_path) -> None:
    """Pairs of their own are told by the names of their stains."""
    train = stained(tmp_path / "train", STAINS)
    (source, first, *more), judges = stained(tmp_path / "test", NEW), []
    for kind in ("validation", "test"):
        further = [f"--{kind}-target-more" if word == "--target-more" else word for word in more]
        judges += [f"--{kind}-source", source, f"--{kind}-target", first, *further]
    with pytest.raises(AssertionError, match="must be other files"):
        command("train", *train, *judges, "--out", tmp_path / "run", *FLAGS)
    with unreported():
        command("train", *train, *judges[: len(judges) // 2], "--out", tmp_path / "run", *FLAGS)


@pytest.mark.parametrize(
    ("stains", "flags", "sentence"),
    [
        ({"DAPI": (1, 2), "dapi": (2,)}, [], "probably the same. Choose --same-names same or different"),
        ({"DAPI": (1, 2), "MAP2": (2,)}, ["--target-channels", "GFP"], "GFP is in none. They have DAPI, MAP2"),
        ({"DAPI": (1, 2), "MAP2": (2,)}, ["--target-channels", "MAP2"], "cell 1 is for nothing. Leave it out"),
    ],
)  # fmt: skip
def test_bad_stains_are_told(tmp_path, stains, flags, sentence) -> None:
    """In one sentence that says what to do."""
    with pytest.raises(AssertionError, match=sentence):
        command("train", *stained(tmp_path, stains), "--out", tmp_path / "run", *FLAGS, *flags)


def test_a_channel_of_one_value_is_asked_about(tmp_path) -> None:
    """The answers that the sentence names are taken, and kept in the run."""
    words = ["train", *stained(tmp_path, {"DAPI": range(4), "MAP2": range(4)})]
    write(tmp_path / "MAP2" / "cell 2.tif", np.full_like(stack(Kind("YX"), 2), 100), "YX")
    with pytest.raises(
        AssertionError, match=r"MAP2 of cell 2 is, and varies in others. Choose --empty-channels empty or un"
    ):
        command(*words, "--out", tmp_path / "run", *FLAGS)
    with unreported():
        command(*words, "--out", tmp_path / "run", *FLAGS, "--empty-channels", "unstained")
    model = core.load_model(tmp_path / "run" / "model.safetensors", "cpu")
    assert model.config.empty_channels == "unstained" and model.target_encoding.partial


def test_one_named_stain_judges_and_improves_a_model_of_several(run, tmp_path) -> None:
    """As a dock writes a layer: a file that names its one channel is that stain, the others are missing."""
    source = write(tmp_path / "bf" / "new.tif", stack(Kind("YX"), 40), "YX")
    truth = write(tmp_path / "truth" / "new.tif", stack(Kind("YX"), 40)[None] // 3, "CYX", ("NFH",))
    command("evaluate", run, source, truth, "--out", tmp_path / "e")
    found = json.loads((tmp_path / "e" / "metrics.json").read_text())
    assert [one["n"] for one in found["stains"]] == [0, 0, 1]
    flags = ["--from", run, "--with-old-pairs", "--steps", "1", "--trust-steps", "0"]
    with unreported():
        command("train", source, truth, "--out", tmp_path / "better", *flags)
    other = write(tmp_path / "other.tif", stack(Kind("YX"), 40)[None], "CYX", ("Tau",))
    with pytest.raises(AssertionError, match="must have 3 channels; got 1"):
        command("evaluate", run, source, other, "--out", tmp_path / "o")
