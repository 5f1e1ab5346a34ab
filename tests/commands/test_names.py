"""Whatever a file is called, a command works or says one sentence, and nothing it draws or writes obeys the name."""

import csv
import json
import os
import sys
from pathlib import Path

import numpy as np
import pytest
import tifffile

from napari_pix2pix.commands.app import main
from small import SMALL_FLAGS, blobs, untrained, with_judge

LONG = "l" * 300
COMMANDS = {
    "train source": ["train", LONG, "s.tif", "--out", "run", *SMALL_FLAGS],
    "train out": ["train", "s.tif", "s.tif", "--out", LONG, *SMALL_FLAGS],
    "resume": ["train", "--resume", LONG],
    "check": ["check", "s.tif", LONG],
    "predict model": ["predict", LONG, "s.tif", "--out", "p.tif"],
    "predict source": ["predict", "m.safetensors", LONG, "--out", "p.tif"],
    "predict out": ["predict", "m.safetensors", "s.tif", "--out", f"{LONG}.tif"],
    "predict folder": ["predict", "m.safetensors", "s.tif", "--out", LONG],
    "score": ["score", "m.safetensors", "s.tif", LONG, "--out", "p.tif"],
    "evaluate": ["evaluate", "m.safetensors", "s.tif", LONG, "--out", "e"],
    "evaluate out": ["evaluate", "m.safetensors", "s.tif", "s.tif", "--out", LONG],
    "fit-trust": ["fit-trust", "m.safetensors", "s.tif", "s.tif", "--out", f"{LONG}.safetensors"],
    "compare": ["compare", LONG, "e", "--out", "c.json"],
    "reader set": ["reader-set", LONG, "--out", "r"],
    "reader set out": ["reader-set", "e", "--out", LONG],
    "compare page": ["compare", "e", "e", "--report", f"{LONG}.html"],
    "runs": ["train", "s.tif", "s.tif", "--seeds", "2", "--out", LONG],
    "learning-curve": ["learning-curve", "s.tif", LONG, "--at", "1,2,3", "--out", "c"],
    "info": ["info", LONG],
    "demo": ["demo", "--out", LONG],
}


@pytest.fixture
def work(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    tifffile.imwrite("s.tif", blobs()[0])
    source = blobs()[0][None].astype(np.float32)
    model = with_judge(untrained(source, source))
    model.provenance["pairs"] = {"train": {"target_channels": ["a\x1b[2Jb\nfigures  perfect"]}}
    model.save(tmp_path / "m.safetensors")
    return tmp_path


@pytest.mark.parametrize("words", COMMANDS.values(), ids=COMMANDS)
def test_a_name_may_be_too_long(work, capsys, words) -> None:
    """One sentence, exit 2, nothing made."""
    before = sorted(work.iterdir())
    assert main(words) == 2
    [said] = capsys.readouterr().err.splitlines()
    assert said.startswith("error: ")
    assert "255" in said or "too long" in said
    assert sorted(work.iterdir()) == before


def test_a_result_may_not_have_too_long_a_name(work, capsys) -> None:
    """A name that just fits is predicted in a folder; one whose parts would not fit is told before any work."""
    name = "n" * 251 + ".tif"
    Path("s.tif").rename(name)
    assert main(["predict", "m.safetensors", name, "--out", "o"]) == 0
    assert main(["predict", "m.safetensors", name, "--out", "o"]) == 0
    assert "1 done before" in capsys.readouterr().out
    assert main(["predict", "m.safetensors", name, "--out", "t", "--trust"]) == 2
    assert "A file's name must have at most 255 bytes" in capsys.readouterr().err


@pytest.mark.skipif(sys.platform != "linux", reason="names that are no text")
def test_names_command_nothing(work, capfd) -> None:
    """Terminal escapes, new lines, formulas, and bytes that are no text: shown as escapes, tables neutral and UTF-8."""
    names = ["=1+1.tif", "@x.tif", "-a.tif", "e\x1b[2J.tif", "n\nerror: forged.tif", os.fsdecode(b"b\xff.tif")]
    Path("in").mkdir()
    for name in names:
        Path("in", name).write_bytes(Path("s.tif").read_bytes())
    Path("in", "bad\x1b[2J.tif").write_text("no image")
    assert main(["predict", "m.safetensors", "in", "--out", "o"]) == 1
    told = capfd.readouterr()
    assert "\x1b[2J" not in told.out + told.err
    assert "\nerror: forged" not in told.out + told.err
    with Path("o/predictions.csv").open(newline="", encoding="utf8") as file:
        rows = list(csv.DictReader(file))
    assert {row["name"] for row in rows} >= {"'=1+1.tif", "'@x.tif", "'-a.tif", r"e\x1b[2J.tif", r"b\udcff.tif"}
    assert main(["predict", "m.safetensors", "in", "--out", "o", "--json"]) == 1
    assert [json.loads(line)["event"] for line in capfd.readouterr().out.splitlines()][-1] == "result"
    name = os.fsdecode(b"b\xff.tif")
    assert main(["evaluate", "m.safetensors", f"in/{name}", "in/@x.tif", "--out", f"e{name}"]) == 0
    capfd.readouterr()
    assert main(["train", f"in/{name}", "in/@x.tif", "--out", f"r{name}", *SMALL_FLAGS]) == 2
    assert r"must be text in UTF-8; rb\udcff.tif is not" in capfd.readouterr().err


def test_a_card_forges_nothing(work, capfd) -> None:
    """A stranger's words stay on their line, without escapes; JSON has them as they are."""
    assert main(["info", "m.safetensors"]) == 0
    told = capfd.readouterr().out
    assert r"a\x1b[2Jb\nfigures  perfect" in told
    assert "\x1b[2J" not in told
