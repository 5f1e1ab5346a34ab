"""Folders of runs are judged each run on what it held out, and compared run by run; pages show images side by side."""

import json
from pathlib import Path

import numpy as np
import pytest
import tifffile

from napari_pix2pix import core
from napari_pix2pix.commands.app import main
from napari_pix2pix.core.data.folds import Run
from napari_pix2pix.core.evaluation.metrics.runs import paired, settings_apart
from napari_pix2pix.core.evaluation.repetition import gathered
from small import SMALL_FLAGS, blobs

GROUPS = {name: name for name in "abc"}
RUNS = ("seed0_fold1", "seed0_fold2", "seed1_fold1", "seed1_fold2")


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Pairs of grey values, two folders of runs that differ in a setting, and the evaluations of both."""
    place = tmp_path_factory.mktemp("judged")
    for i in range(5):
        source, _ = blobs(seed=i)
        for side, image in (("source", source), ("target", source // 2 + 100)):
            (place / side).mkdir(exist_ok=True)
            tifffile.imwrite(place / side / f"d{i // 2} cell {i}.tif", image)
    for name, more in (("a", []), ("b", ["--l1-weight", "10"])):
        pairs = [str(place / "source"), str(place / "target"), "--groups", "^(d[0-9])"]
        out = ["--seeds", "2", "--folds", "2", "--out", str(place / name)]
        assert main(["train", *pairs, *out, *SMALL_FLAGS, *more]) == 0
        assert main(["evaluate", str(place / name), "--out", str(place / f"{name} judged"), "--device", "cpu"]) == 0
    return place


def read(path: Path):
    return json.loads(path.read_text("utf8"))


def refused(capsys, *given: object) -> str:
    capsys.readouterr()
    assert main([str(word) for word in given]) == 2
    [said] = capsys.readouterr().err.splitlines()
    return said


def test_each_run_is_judged_on_what_it_held_out(folder, capsys) -> None:
    """Each image by the models of both seeds that never saw its donor; means and deviations are those of the runs."""
    said = read(folder / "a judged" / "metrics.json")
    plan = read(folder / "a" / "repetition.json")
    held = {f"seed{run['seed']}_fold{run['fold']}": set(run["held_out"]) for run in plan["runs"]}
    of_each = {run: read(folder / "a judged" / run / "metrics.json") for run in RUNS}
    for run, report in of_each.items():
        assert {row["name"] for row in report["files"]} == held[run]
        assert report["seen"] is False
    assert (said["n"], said["seen"], said["intervals"]) == (5, False, {"over": "groups", "n": 3})
    for row in said["files"]:
        values = [
            other["mae"] for report in of_each.values() for other in report["files"] if other["name"] == row["name"]
        ]
        assert (row["runs"], len(values)) == (2, 2)
        assert row["mae"] == pytest.approx(np.mean(values))
    values = [report["metrics"]["mae"]["value"] for report in of_each.values()]
    assert [run["metrics"]["mae"] for run in said["runs"]] == values
    mae = said["metrics"]["mae"]
    assert mae["value"] == pytest.approx(np.mean([row["mae"] for row in said["files"]]))
    assert mae["sd"] == pytest.approx(np.std(values, ddof=1))
    assert mae["sd_seeds"] == pytest.approx(np.std([np.mean(values[:2]), np.mean(values[2:])], ddof=1))
    assert mae["sd_folds"] == pytest.approx(np.std([np.mean(values[::2]), np.mean(values[1::2])], ddof=1))
    page = (folder / "a judged" / "report.html").read_text("utf8")
    assert "4 runs (2 seeds × 2 folds), 5 images" in page


def test_a_model_finds_the_objects_of_every_run(folder, tmp_path, capsys) -> None:
    """As it does for one: each run tells of them; label images are of single evaluations."""
    asked = ["--objects", "nuclei", "--device", "cpu"]
    assert main(["evaluate", str(folder / "a"), "--out", str(tmp_path / "out"), *asked]) == 0
    for run in RUNS:
        told = read(tmp_path / "out" / run / "metrics.json")
        assert len(told["objects"]) == len(told["features"]) == 1  # channel
    said = refused(capsys, "evaluate", folder / "a", "--out", tmp_path / "no", "--objects", folder / "source")
    assert "leave other models, --draws and labels of --objects out" in said
    assert not (tmp_path / "no").exists()


def test_other_pairs_judge_every_run(folder, tmp_path, capsys) -> None:
    """Given images, also those of runs that hold nothing out; every model judges all of them."""
    for i in range(5, 8):
        source, _ = blobs(seed=i)
        for side, image in (("source", source), ("target", source // 2 + 100)):
            (tmp_path / side).mkdir(exist_ok=True)
            tifffile.imwrite(tmp_path / side / f"new {i}.tif", image)
    words = ["evaluate", folder / "a", tmp_path / "source", tmp_path / "target", "--out", tmp_path / "e"]
    assert main([*map(str, words), "--device", "cpu"]) == 0
    said = read(tmp_path / "e" / "metrics.json")
    assert (said["n"], {row["runs"] for row in said["files"]}, said["worst"]["n"]) == (3, {4}, 4)
    told = "In the worst tenth of each of 4 runs" in capsys.readouterr().out
    assert told is bool(said["worst"]["names"])  # which of three they have in common is the models'


def test_two_folders_are_compared_image_by_image_and_run_by_run(folder, tmp_path, capsys) -> None:
    """The setting that differs is told; differences are those of the same seed and fold; the page shows both."""
    words = [str(folder / "a judged"), str(folder / "b judged")]
    more = ["--out", str(tmp_path / "c.json"), "--report", str(tmp_path / "c.html"), "--device", "cpu"]
    assert main(["compare", *words, *more]) == 0
    text = capsys.readouterr().out
    assert "settings: l1_weight 100.0 -> 10.0" in text
    found = read(tmp_path / "c.json")
    (told,) = found["repeated"].values()
    a, b = (
        [read(folder / f"{name} judged" / run / "metrics.json")["metrics"]["mae"]["value"] for run in RUNS]
        for name in "ab"
    )
    assert told["differences"]["mae"]["value"] == pytest.approx(np.mean(np.subtract(b, a)))
    assert (told["same_folds"], told["differences"]["mae"]["n"]) == (True, 4)
    page = (tmp_path / "c.html").read_text("utf8")
    assert page.count('class="example"') >= 1
    assert "a judged: prediction" in page and "b judged: error" in page
    assert "default-src &#x27;none&#x27;" in page


def test_images_that_are_gone_leave_a_page_without_them(folder, tmp_path) -> None:
    """The differences are there all the same, and why there are no images."""
    for name in "ab":
        (tmp_path / name).mkdir()
        said = read(folder / f"{name} judged" / "metrics.json")
        said["made_of"]["pairs"]["sources"][0] |= {"path": "/nowhere/x.tif"}
        (tmp_path / name / "metrics.json").write_text(json.dumps(said))
    assert main(["compare", f"{tmp_path}/a", f"{tmp_path}/b", "--report", f"{tmp_path}/c.html"]) == 0
    assert "No images are shown: The pairs of an earlier training must be there" in (tmp_path / "c.html").read_text(
        "utf8"
    )


def test_evaluations_of_models_and_of_tools_have_a_page_too(folder, tmp_path) -> None:
    """One model against any tool's predictions of the same files."""
    model = folder / "a" / "seed0_fold1"
    held = read(folder / "a" / "seed0_fold1" / "run.json")["held_out"]
    for side in ("source", "target"):
        (tmp_path / side).mkdir()
        for name in held:
            image = tifffile.imread(folder / side / f"{name}.tif")
            tifffile.imwrite(tmp_path / side / f"{name}.tif", image)
    pairs = [f"{tmp_path}/source", f"{tmp_path}/target"]
    assert main(["evaluate", str(model), *pairs, "--out", f"{tmp_path}/model", "--device", "cpu"]) == 0
    assert main(["evaluate", "--prediction", *pairs, "--out", f"{tmp_path}/tool"]) == 0
    words = [f"{tmp_path}/model", f"{tmp_path}/tool", "--report", f"{tmp_path}/c.html"]
    assert main(["compare", *words, "--device", "cpu"]) == 0
    page = (tmp_path / "c.html").read_text("utf8")
    assert "model: prediction" in page and "tool: prediction" in page


def test_what_cannot_be_judged_together_is_told(folder, tmp_path, capsys) -> None:
    """Unfinished runs, runs that hold nothing out, half a pair, runs that nobody judged, what is in the way."""
    pairs = [folder / "source", folder / "target"]
    assert main([*map(str, ["train", *pairs, "--seeds", "2", "--out", tmp_path / "all", *SMALL_FLAGS])]) == 0
    words = ["evaluate", tmp_path / "all", "--out", tmp_path / "e"]
    assert "must have held pairs out to be judged by" in refused(capsys, *words)
    assert "must not have made it" in refused(capsys, "evaluate", tmp_path / "all", *pairs, "--out", tmp_path / "e")
    (tmp_path / "all" / "seed1" / "figures.json").unlink()
    assert "seed1 is not. Go on with train --resume" in refused(capsys, *words)
    assert "must have both sides" in refused(capsys, "evaluate", folder / "a", pairs[0], "--out", tmp_path / "e")
    assert "leave other models, --draws and labels" in refused(
        capsys, "evaluate", folder / "a", "--draws", "2", "--out", tmp_path / "e"
    )
    assert "evaluate" in refused(capsys, "compare", folder / "a", folder / "b judged")
    same = ["compare", folder / "a judged", folder / "b judged", "--report", folder / "a judged" / "metrics.json"]
    assert "must not exist yet" in refused(capsys, *same)
    assert "must not replace an input" in refused(capsys, *same, "--overwrite")
    assert not (tmp_path / "e").exists()


@pytest.mark.filterwarnings("ignore:No room for")
def test_in_python_runs_in_memory_are_judged(tmp_path) -> None:
    """The same figures as each model's own, on the pairs that it held out."""
    from small import small_config

    sides = zip(*(blobs(seed=i) for i in range(6)), strict=True)
    pairs = core.PairedFrames(*(list(side) for side in sides), "YX")
    for _ in core.repeat(pairs, small_config(), out=tmp_path, folds=2, device="cpu"):
        pass
    report = core.evaluate_runs(tmp_path, pairs, device="cpu", empty_frames="empty")
    own = core.load_model(tmp_path / "seed0_fold1" / "model.safetensors", "cpu").provenance["figures"]["test"]
    assert report["runs"][0]["metrics"]["dice"] == pytest.approx(own["dice"])
    assert report["n"] == 6


def report_of(**maes: float) -> dict:
    """As of `evaluate`, with these errors."""
    files = [{"name": name, "group": name, "mae": value} for name, value in maes.items()]
    mean = {"mae": {"value": float(np.mean(list(maes.values()))), "low": None, "high": None}}
    told = {"kind": "intensity", "kind_of_pairs": "test", "n": len(files), "known_share": 1.0, "seen": False}
    return told | {"files": files, "metrics": mean, "baselines": {}, "remarks": [], "intervals": {"over": "images"}}


def test_what_every_model_does_badly_on_is_what_all_have_among_their_worst() -> None:
    """Of equally bad ones nobody knows which; one model alone tells nothing of chance."""
    runs = [Run(seed=seed) for seed in (0, 1)]
    reports = [report_of(a=9, b=1, c=8), report_of(a=7, b=9, c=1)]
    assert gathered(reports, runs, "abc", {}, GROUPS)["worst"]["names"] == []
    reports[1] = report_of(a=9, b=9, c=1)
    assert gathered(reports, runs, "abc", {}, GROUPS)["worst"]["names"] == []
    reports[1] = report_of(a=9, b=8, c=1)
    assert gathered(reports, runs, "abc", {}, GROUPS)["worst"] == {
        "figure": "mae",
        "share": 0.1,
        "n": 2,
        "names": ["a"],
    }
    assert gathered(reports[:1], runs[:1], "abc", {}, GROUPS)["worst"]["n"] == 1


def test_a_figure_that_not_every_run_has_is_told() -> None:
    """Of the runs that have it, whichever comes first: models that were not calibrated expect no errors."""
    reports = [report_of(a=1, b=2), report_of(a=3, b=4), report_of(a=1, b=2)]
    name, figure = "expected_calibration_error", {"value": 0.2, "low": None, "high": None}
    for report in reports[1:]:
        report["metrics"][name] = figure
        report["baselines"] = {"affine": {"mae": figure}}
        for row in report["files"]:
            row[name] = 0.2
    runs = [Run(seed=seed) for seed in range(3)]
    for order in ([0, 1, 2], [1, 0, 2]):
        found = gathered([reports[i] for i in order], runs, "ab", {}, GROUPS)
        assert found["metrics"][name]["value"] == pytest.approx(0.2)
        assert found["metrics"][name]["sd"] == 0
        assert found["metrics"]["mae"]["value"] == pytest.approx(np.mean([5 / 3, 8 / 3]))
        assert [row[name] for row in found["files"]] == [0.2, 0.2]
        assert found["baselines"]["affine"]["mae"]["value"] == 0.2


def runs_of(values) -> list[dict]:
    """A run for each seed, that has such a figure."""
    same = {"fold": None, "pairs": 8, "held_out": 0}
    return [{"seed": seed, "metrics": {"dice": value}} | same for seed, value in enumerate(values)]


def test_the_interval_of_paired_runs_covers_a_true_difference() -> None:
    """Student's t for seeds; wider by what is held out over what trains for folds, as Nadeau and Bengio have it."""
    random = np.random.default_rng(0)
    covered = 0
    for _ in range(400):
        values = random.normal(0.5, 1, 6)
        first, other = (runs_of(own) for own in (np.zeros(6), values))
        found = paired(first, other, "dice")
        covered += found["low"] <= 0.5 <= found["high"]
    assert 0.92 < covered / 400 < 0.98
    plain = found["high"] - found["low"]
    for run in other:
        run["held_out"] = 2
    assert (paired(first, other, "dice")["high"] - paired(first, other, "dice")["low"]) / plain == pytest.approx(
        np.sqrt((1 / 6 + 2 / 8) / (1 / 6))
    )
    assert paired(first[:1], other[:1], "dice")["low"] is None


def test_settings_apart_are_named_as_they_are_given() -> None:
    """Nested ones by both names."""
    ours, theirs = (
        {"a": 1, "generator": {"levels": 3, "skips": True}},
        {"a": 1, "generator": {"levels": 4, "skips": True}},
    )
    assert settings_apart(ours, theirs) == {"generator.levels": [3, 4]}
