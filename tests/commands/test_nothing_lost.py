"""Nothing of the user's is lost: what a command reads it never writes over, and it removes only what it wrote."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
import tifffile

from napari_pix2pix.commands.app import main
from small import SMALL_FLAGS, blobs, untrained, with_judge


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    """A model of grey values that can judge."""
    path = tmp_path_factory.mktemp("model") / "m.safetensors"
    source = blobs()[0][None].astype(np.float32)
    with_judge(untrained(source, source)).save(path)
    return path


@pytest.fixture
def work(tmp_path, monkeypatch) -> Path:
    """A current folder W with sources, targets and what else a command may read."""
    monkeypatch.chdir(tmp_path)
    for folder in ("src", "tgt", "W/previews", "W/tgt"):
        Path(folder).mkdir(parents=True)
        for i in range(2):
            tifffile.imwrite(f"{folder}/a{i}.tif", blobs(seed=i)[0])
    Path("W/config.json").write_text("{}")
    Path("W/groups.csv").write_text("name,group\na0,x\na1,y\n")
    Path("link").symlink_to("W")
    return tmp_path


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


TRAIN = ["train", "src", "tgt", *SMALL_FLAGS, "--overwrite"]
HELD = {
    "sources": ["train", "W/previews", "W/tgt", "--out", "W", *SMALL_FLAGS, "--overwrite"],
    "pattern": ["train", "W/previews/*.tif", "tgt", "--out", "W", *SMALL_FLAGS, "--overwrite"],
    "by a link": ["train", "link/previews", "tgt", "--out", "W", *SMALL_FLAGS, "--overwrite"],
    "to a link": ["train", "W/previews", "tgt", "--out", "link", *SMALL_FLAGS, "--overwrite"],
    "config": [*TRAIN, "--out", "W", "--config", "W/config.json"],
    "groups": [*TRAIN, "--out", "W", "--groups", "W/groups.csv"],
    "valid": [*TRAIN, "--out", "W", "--valid", "W/tgt"],
    "more": [*TRAIN, "--out", "W", "--source-more", "W/tgt/*.tif"],
    "validation": [*TRAIN, "--out", "W", "--validation-source", "W/previews", "--validation-target", "W/tgt"],
    "test": [*TRAIN, "--out", "W", "--test-source", "src", "--test-target", "W/tgt"],
}


@pytest.mark.parametrize("words", HELD.values(), ids=HELD)
def test_a_run_holds_no_input(work, capsys, words) -> None:
    """Whatever is read, by whatever name, `train --out` is refused where it lies there, and nothing is changed."""
    before = contents(work)
    assert main(words) == 2
    [said] = capsys.readouterr().err.splitlines()
    assert "An output must not" in said
    assert "input" in said
    assert contents(work) == before


def test_no_output_is_an_input_by_another_name(work, model, capsys) -> None:
    """A hard link, a link, the model itself, an evaluation's table that is read, a zarr around a source."""
    os.link("src/a0.tif", "hard.tif")
    Path("soft.tif").symlink_to("src/a0.tif")
    Path("e").mkdir()
    Path("e/metrics.csv").write_text("name,group\na0,x\na1,y\n")
    Path("e/metrics.json").write_text("{}")
    Path("z.zarr").mkdir()
    tifffile.imwrite("z.zarr/a.tif", blobs()[0])
    Path("m.safetensors").write_bytes(model.read_bytes())
    before = contents(work)
    for words in (
        ["predict", model, "src/a0.tif", "--out", "hard.tif"],
        ["predict", model, "src/a0.tif", "--out", "soft.tif"],
        ["predict", model, "soft.tif", "--out", "src/a0.tif"],
        ["score", model, "src/a0.tif", "tgt/a0.tif", "--out", "hard.tif"],
        ["predict", model, "z.zarr/a.tif", "--out", "z.zarr"],
        ["evaluate", model, "src", "tgt", "--out", "e", "--groups", "e/metrics.csv"],
        ["fit-trust", "m.safetensors", "src", "tgt", "--out", "m.safetensors"],
        ["compare", "e", "e", "--out", "e/metrics.json"],
    ):
        assert main([*map(str, words), "--overwrite"]) == 2
        said = capsys.readouterr().err.splitlines()[-1]
        assert "An output must not" in said or "e/metrics.json is something else" in said
    assert contents(work) == before


def test_overwrite_removes_only_what_a_run_wrote(work, capsys) -> None:
    """Other pictures among its previews stay; a folder that is no run's is refused."""
    out = ["--out", "run"]
    assert main([*TRAIN, *out]) == 0
    Path("run/previews/mine.png").write_text("mine")
    Path("run/.config-mine").write_text("mine")
    assert main([*TRAIN, *out]) == 0
    assert Path("run/previews/mine.png").read_text() == Path("run/.config-mine").read_text() == "mine"
    Path("other").mkdir()
    Path("other/report.html").write_text("mine")
    assert main([*TRAIN, "--out", "other"]) == 2
    assert "Only a run may be overwritten; other/report.html is of none." in capsys.readouterr().err
    assert contents(Path("other")) == {"other/report.html": b"mine"}


@pytest.mark.parametrize("inside", ["notes.txt", "zarr.json", "0/notes.txt", "labels/x"])
def test_a_folder_is_not_removed_for_its_name(work, model, capsys, inside) -> None:
    """Called .zarr, or with a file of zarr's: only an OME-Zarr of ours, and nothing else in it, is replaced."""
    words = ["predict", str(model), "src/a0.tif", "--out", "p.zarr", "--overwrite"]
    if inside == "labels/x":
        assert main(words) == 0
        assert main(words) == 0
    path = Path("p.zarr", inside)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("{}")
    before = contents(work)
    assert main(words) == 2
    assert "Only what this program wrote may be overwritten; p.zarr" in capsys.readouterr().err
    assert contents(work) == before


@pytest.mark.parametrize("name", ["failures.csv", "predictions.csv"])
@pytest.mark.parametrize("overwrite", [[], ["--overwrite"]])
def test_tables_that_no_record_knows_stay(work, model, capsys, name, overwrite) -> None:
    """Also beside results of ours; an own table that lost its records is replaced with --overwrite."""
    out = Path("out")
    out.mkdir()
    (out / name).write_text("mine")
    words = ["predict", str(model), "src", "--out", "out"]
    assert main([*words, *overwrite]) == 2
    assert f"out/{name} was not made by this program" in capsys.readouterr().err
    assert contents(out) == {f"out/{name}": b"mine"}
    (out / name).unlink()
    assert main(words) == 0
    if name == "failures.csv":
        (out / name).write_text("mine")
        assert main([*words, *overwrite]) == 2
        assert (out / name).read_text() == "mine"
    else:
        (out / ".napari-pix2pix").rename("records")
        for path in out.glob("*.tif"):
            path.unlink()
        assert main(words) == 2
        assert main([*words, "--overwrite"]) == 0


@pytest.mark.parametrize("name", ["metrics.json", "metrics.csv", "report.html"])
def test_an_evaluation_replaces_only_one(work, model, capsys, name) -> None:
    """A stranger's file stays whatever is said, before any work."""
    Path("e").mkdir()
    Path("e", name).write_text('{"mine": 1}')
    words = ["evaluate", str(model), "src", "tgt", "--out", "e"]
    assert main(words) == 2
    assert f"must not exist yet; e/{name} does" in capsys.readouterr().err
    assert main([*words, "--overwrite"]) == 2
    assert f"Only what this program wrote may be overwritten; e/{name} is something else" in capsys.readouterr().err
    Path("e", name).unlink()
    assert main(words) == 0
    assert main([*words, "--overwrite"]) == 0


def test_results_beside_their_sources_are_no_sources(work, model) -> None:
    """PNG in, TIFF beside: the same command again finds all done, with subfolders and for scores."""
    import imagecodecs

    for place in ("mix/a.png", "mix/b/a.png", "of/a.png", "of/b/a.png", "both/a.png", "both/b/a.png"):
        Path(place).parent.mkdir(parents=True, exist_ok=True)
        Path(place).write_bytes(imagecodecs.png_encode(blobs()[0]))
    for *words, out in (
        ["predict", model, "mix", "mix"],
        ["predict", model, "of/*.png", "of"],
        ["score", model, "both", "both", "both"],
    ):
        for _ in range(2):
            assert main([*map(str, words), "--out", out]) == 0
        done = sorted(path.relative_to(out).as_posix() for path in Path(out).rglob("a.tif"))
        assert done == (["a.tif"] if out == "of" else ["a.tif", "b/a.tif"])
    assert json.loads(Path("mix/.napari-pix2pix/a.tif.json").read_text())["row"]["name"] == "a.png"
