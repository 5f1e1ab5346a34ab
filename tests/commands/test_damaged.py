"""What an earlier run left is not believed: damaged or foreign, it is one sentence, and --overwrite leads out."""

import errno
import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import tifffile

from napari_pix2pix.commands.app import main
from napari_pix2pix.core.engine import atomic
from small import SMALL_FLAGS, blobs, untrained, with_judge

DEEP = "[" * 100_000
TRAIN = ["train", "s.tif", "t.tif", *SMALL_FLAGS]


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Path:
    """A folder with a pair, a model and a run."""
    folder = tmp_path_factory.mktemp("trained")
    for name, seed in (("s.tif", 0), ("t.tif", 1)):
        tifffile.imwrite(folder / name, blobs(seed=seed)[0])
    source = blobs()[0][None].astype(np.float32)
    with_judge(untrained(source, source)).save(folder / "m.safetensors")
    assert (
        main(["train", *(str(folder / name) for name in TRAIN[1:3]), "--out", str(folder / "run"), *SMALL_FLAGS]) == 0
    )
    return folder


@pytest.fixture
def work(trained, tmp_path, monkeypatch) -> Path:
    """A copy of it, the current folder."""
    shutil.copytree(trained, tmp_path / "w")
    monkeypatch.chdir(tmp_path / "w")
    return tmp_path / "w"


def without(*names: str):
    """A change of a JSON file: this key is no longer there."""

    def change(text: str) -> str:
        content = json.loads(text)
        inner = content
        for name in names[:-1]:
            inner = inner[name]
        del inner[names[-1]]
        return json.dumps(content)

    return change


def as_(value, *names: str):
    """A change of a JSON file: this key has another value."""

    def change(text: str) -> str:
        content = json.loads(text)
        inner = content
        for name in names[:-1]:
            inner = inner[name]
        inner[names[-1]] = value
        return json.dumps(content)

    return change


PLANS = {
    "empty": lambda _: "",
    "null": lambda _: "null",
    "deep": lambda _: DEEP,
    "foreign": lambda _: '{"mine": 1}',
    "no provenance": without("provenance"),
    "no pairs": without("provenance", "pairs"),
    "no sources": without("provenance", "pairs", "train", "sources"),
    "pairs are a list": as_([], "provenance", "pairs"),
    "names are gone": as_([], "provenance", "pairs", "train", "names"),
    "no encoding": without("source_encoding"),
    "steps are words": as_("many", "config", "steps"),
    "other networks": as_(16, "config", "generator", "base_channels"),
    "origin is a number": as_(5, "provenance", "pairs", "initial"),
}


def resume_fails(capsys) -> str:
    capsys.readouterr()
    assert main(["train", "--resume", "run"]) == 2
    said = [line for line in capsys.readouterr().err.splitlines() if not line.startswith("warning")]
    assert len(said) == 1
    assert said[0].startswith("error: ")
    assert "Traceback" not in said[0]
    return said[0]


@pytest.mark.parametrize("change", PLANS.values(), ids=PLANS)
def test_a_plan_that_is_not_the_runs(work, capsys, change) -> None:
    """Nothing is done."""
    path = Path("run/config.json")
    path.write_text(change(path.read_text()))
    before = Path("run/checkpoint.safetensors").read_bytes()
    resume_fails(capsys)
    assert Path("run/checkpoint.safetensors").read_bytes() == before


@pytest.mark.parametrize("damage", ["empty", "cut", "a model", "another run's"])
def test_a_checkpoint_that_is_not_the_runs(work, capsys, damage) -> None:
    """Then --overwrite leads out, whatever else is damaged."""
    path = Path("run/checkpoint.safetensors")
    if damage == "another run's":
        assert main([*TRAIN, "--out", "other", "--discriminator.norm", "none"]) == 0
    content = {
        "empty": b"",
        "cut": path.read_bytes()[:5000],
        "a model": Path("run/model.safetensors").read_bytes(),
        "another run's": Path("other/checkpoint.safetensors").read_bytes() if Path("other").exists() else b"",
    }
    path.write_bytes(content[damage])
    assert "checkpoint.safetensors" in resume_fails(capsys)
    if damage == "cut":
        for name in ("config.json", "split.csv", "history.csv", "elapsed.json", "model.safetensors"):
            Path("run", name).write_bytes(b"\0\xff")
        assert main([*TRAIN, "--out", "run", "--overwrite"]) == 0


@pytest.mark.parametrize("content", ["null", "{}", '{"elapsed_s": "x"}', '{"elapsed_s": NaN}', DEEP, "\0"])
def test_a_time_that_is_none(work, capsys, content) -> None:
    """A card goes without it and says so; a run to go on with asks to delete it, and then goes on."""
    Path("run/elapsed.json").write_text(content)
    assert "elapsed.json" in resume_fails(capsys)
    assert main(["info", "run"]) == 0
    assert "How long the training took is not known." in capsys.readouterr().err
    Path("run/elapsed.json").unlink()
    assert main(["train", "--resume", "run"]) == 0


RECORDS = ["null", "[]", "", DEEP, '{"row": 5}', '{"table": "x"}', '{"row": {"name": 1}, "made_with": []}', "\0\0"]


@pytest.mark.parametrize("content", RECORDS, ids=range(len(RECORDS)))
def test_a_record_that_is_none(work, capsys, content) -> None:
    """Its result is a stranger's, which --overwrite replaces; without a result it is made."""
    words = ["predict", "m.safetensors", "s.tif", "--out", "o"]
    assert main(words) == 0
    Path("o/.napari-pix2pix/s.tif.json").write_text(content)
    Path("o/.napari-pix2pix/s.tif.claim").write_text(content)
    os.utime("o/.napari-pix2pix/s.tif.claim", (0, 0))
    Path("o/.napari-pix2pix/foreign.json").write_text(content)
    capsys.readouterr()
    assert main(words) == 2
    assert capsys.readouterr().err.startswith("error: An output must not exist yet; o/s.tif does.")
    assert main([*words, "--overwrite"]) == 0
    Path("o/.napari-pix2pix/s.tif.json").write_text(content)
    Path("o/s.tif").unlink()
    Path("o/predictions.csv").unlink()
    assert main(words) == 0


REPEATED = {
    "predict": ["predict", "m.safetensors", "s.tif", "--out", "z.tif", "--trust", "--keep-maps"],
    "score": ["score", "m.safetensors", "s.tif", "t.tif", "--out", "z.zarr", "--table"],
    "evaluate": ["evaluate", "m.safetensors", "s.tif", "t.tif", "--out", "e"],
    "train": [*TRAIN, "--out", "new"],
    "a folder": ["predict", "m.safetensors", "s.tif", "t.tif", "--out", "o"],
}


@pytest.mark.parametrize("words", REPEATED.values(), ids=REPEATED)
def test_after_a_full_disk_the_same_command_works(work, monkeypatch, capsys, words) -> None:
    """Whichever file it was that had no room; but a training that has begun is gone on with."""
    make, allowed, count = atomic._claimed, [0], []

    def fail(*arguments, **named):
        count.append(1)
        if len(count) > allowed[0]:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return make(*arguments, **named)

    monkeypatch.setattr(atomic, "_claimed", fail)
    while (code := main(words)) != 0:
        said = capsys.readouterr().err
        assert (code, "must not exist yet" in said, "The disk must have room" in said) == (1, False, True), said
        if "Go on with train --resume new." in said:
            words = ["train", "--resume", "new"]
        allowed[0] += 1
        count.clear()
    assert allowed[0] > 0
