"""One folder of runs by seed and fold: what each holds out, who trains it, and that it goes on where it stopped."""

import csv
import json
import os
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from shutil import copytree

import numpy as np
import pytest
import tifffile
import torch

from napari_pix2pix import core
from napari_pix2pix.commands.app import main
from napari_pix2pix.commands.repeat import opened
from small import SMALL_FLAGS, blobs, small_config

GROUPS = "^(d[0-9])"
"""Donors of two cells each, but the last, which has one."""


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """As many as a worker beside another has on two cores: the number is in a model, and sums depend on it.

    What dask sets for its workers is left in this process's environment; later tests must not see it.
    """
    before, environment = torch.get_num_threads(), dict(os.environ)
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
    os.environ.clear()
    os.environ.update(environment)


@pytest.fixture(scope="module")
def folder(one_thread, tmp_path_factory) -> Path:
    """Pairs of four donors, and runs on them: two seeds, two folds."""
    place = tmp_path_factory.mktemp("repeat")
    for i in range(7):
        source, label = blobs(seed=i)
        for side, image in (("source", source), ("label", label), ("grey", source // 2 + 100)):
            (place / side).mkdir(exist_ok=True)
            tifffile.imwrite(place / side / f"d{i // 2} cell {i}.tif", image)
    assert main(words(place, "runs", "--seeds", "2", "--folds", "2")) == 0
    return place


def words(place: Path, out: str, *more: str, target: str = "label") -> list[str]:
    sides = [str(place / "source"), str(place / target)]
    groups = [] if "--groups" in more else ["--groups", GROUPS]
    return ["train", *sides, "--out", str(place / out), *groups, *SMALL_FLAGS, *more]


def refused(capsys, *given: str) -> str:
    capsys.readouterr()
    assert main(list(given)) == 2
    [said] = capsys.readouterr().err.splitlines()
    return said


def read(path: Path):
    return json.loads(path.read_text("utf8"))


def test_each_run_holds_out_whole_groups_and_is_a_run_like_any(folder) -> None:
    """Every pair is held out once for each seed, no donor in part; what is held out are the run's own test pairs."""
    plan = read(folder / "runs" / "repetition.json")
    by_seed: dict = {}
    for run in plan["runs"]:
        own = folder / "runs" / f"seed{run['seed']}_fold{run['fold']}"
        assert read(own / "run.json") == run
        by_seed.setdefault(run["seed"], []).append(run["held_out"])
        with (own / "split.csv").open(newline="") as file:
            trains = {row["name"] for row in csv.DictReader(file)}
        assert trains | set(run["held_out"]) == set(plan["pairs"]["train"]["names"])
        assert not {name[:2] for name in trains} & {name[:2] for name in run["held_out"]}
        model = core.load_model(own, "cpu") if own.is_file() else core.load_model(own / "model.safetensors", "cpu")
        assert model.config.seed == run["seed"]
        assert model.provenance["pairs"]["test"]["names"] == run["held_out"]
        assert read(own / "figures.json")["test"] == model.provenance["figures"]["test"]
    assert by_seed[0] == by_seed[1]
    assert sorted(name for held in by_seed[0] for name in held) == sorted(plan["pairs"]["train"]["names"])
    with (folder / "runs" / "runs.csv").open(newline="") as file:
        assert [row["name"] for row in csv.DictReader(file)] == [f"seed{s}_fold{f}" for s in (0, 1) for f in (1, 2)]


def test_more_seeds_join_and_what_is_done_is_left(folder, tmp_path, capsys) -> None:
    """A shard, and then the whole, make the same files as one command; nothing is done twice."""
    shared = folder / "shared"
    assert main(words(folder, "shared", "--seeds", "1", "--folds", "2", "--shard", "2/2")) == 0
    assert "To do, by other shards or by train --resume" in capsys.readouterr().out
    assert not (shared / "seed0_fold1" / "model.safetensors").exists()
    before = (shared / "seed0_fold2" / "model.safetensors").stat().st_mtime_ns
    assert main(["train", "--resume", str(shared), "--device", "cpu"]) == 0
    assert "Runs: 2 of 2 are done" in capsys.readouterr().out
    assert (shared / "seed0_fold2" / "model.safetensors").stat().st_mtime_ns == before
    ours, theirs = (folder / runs / "seed0_fold1" / "model.safetensors" for runs in ("runs", "shared"))
    assert ours.read_bytes() == theirs.read_bytes()


@pytest.mark.slow
def test_workers_make_the_same_runs(folder, capsys) -> None:
    """Dask's, each in a process of its own: two seeds more than another had, bit for bit."""
    assert main(words(folder, "worked", "--seeds", "1", "--folds", "2", "--shard", "1/2")) == 0
    assert main(words(folder, "worked", "--seeds", "2", "--folds", "2", "--local-workers", "2")) == 0
    assert "Runs: 4 of 4 are done" in capsys.readouterr().out
    for name in ("seed0_fold1", "seed0_fold2", "seed1_fold2"):
        ours, theirs = (folder / runs / name / "model.safetensors" for runs in ("runs", "worked"))
        assert ours.read_bytes() == theirs.read_bytes()


def test_an_interrupted_seed_goes_on(folder) -> None:
    """Stopped in the middle of the second run, by closing it: afterwards it is the run that nobody stopped."""
    from napari_pix2pix.commands.app import run_command

    seen = []

    def draw(events) -> int:
        for event in events:
            seen.append(event)
        return 0

    def stop() -> bool:
        return any(event.get("run") == "seed0_fold2" and event["step"] == 3 for event in seen)

    given = words(folder, "stopped", "--seeds", "1", "--folds", "2")
    run_command(given, draw, stop)
    assert seen[-1]["event"] == "stopped"
    assert not (folder / "stopped" / "seed0_fold2" / "figures.json").exists()
    seen.clear()
    run_command(given, draw, lambda: False)
    steps = [event["step"] for event in seen if event.get("run") == "seed0_fold2"]
    assert (min(steps), seen[-1]["unfinished"]) == (4, [])
    ours, theirs = (folder / runs / "seed0_fold2" / "model.safetensors" for runs in ("runs", "stopped"))
    assert ours.read_bytes() == theirs.read_bytes()


def test_files_are_read_once_for_all_runs(folder, monkeypatch) -> None:
    """Their hashes are those of the plan."""
    from napari_pix2pix.files import moved, pairing

    opened.cache_clear()
    read_files = []
    for module in (moved, pairing):
        plain = module.sha256
        monkeypatch.setattr(module, "sha256", lambda path, plain=plain: read_files.append(path) or plain(path))
    out = folder / "runs"
    from napari_pix2pix.commands.repeat import part_of

    plan, stacks, _ = opened(out, 0.0, None)
    for run in plan.runs:
        part_of(stacks, run).provenance()
    assert len(read_files) == len(set(read_files)) == 14
    opened.cache_clear()


@pytest.mark.filterwarnings("ignore:No room for")
def test_in_python_it_is_the_same(tmp_path) -> None:
    """Two folds of four pairs in memory; asked again it does nothing; other pairs are refused."""
    sides = zip(*(blobs(seed=i) for i in range(4)), strict=True)
    pairs = core.PairedFrames(*(list(side) for side in sides), "YX")
    how = {"out": tmp_path / "runs", "folds": 2, "device": "cpu"}
    runs = [run for run, report in core.repeat(pairs, small_config(), **how) if report.model]
    assert [run.name for run in runs] == ["seed0_fold1", "seed0_fold2"]
    assert set(runs[0].held_out) | set(runs[1].held_out) == set(pairs.names)
    assert list(core.repeat(pairs, small_config(), **how)) == []
    with pytest.raises(ValueError, match="was begun with other settings"):
        next(core.repeat(pairs, small_config(l1_weight=1), **how))


@pytest.mark.filterwarnings("ignore:No room for")
def test_what_is_in_memory_is_known_by_its_pixels(tmp_path) -> None:
    """Other pixels, masks, classes, validation pairs or a model to start from, of the same names, are refused.

    The same ones, read when they are asked for, are the same.
    """
    import dask.array

    def pairs(first=0, read=list, **more):
        images = [blobs(seed=seed) for seed in range(first, first + 4)]
        return core.PairedFrames(*(read(side) for side in zip(*images, strict=True)), "YX", **more)

    def lazy(side):
        return [dask.array.from_array(image, chunks=16) for image in side]

    how = {"out": tmp_path / "runs", "folds": 2, "device": "cpu", "validation": pairs(20)}
    models = [report.model for _, report in core.repeat(pairs(), small_config(), **how) if report.model]
    assert list(core.repeat(pairs(read=lazy), small_config(), **how | {"validation": pairs(20, lazy)})) == []
    mask = np.ones(blobs()[0].shape, bool)
    mask[:9] = False
    for given, more, what in (
        (pairs(4), {}, "pairs"),
        (pairs(valid=[mask] * 4), {}, "pairs"),
        (pairs(conditions=["a", "a", "b", "b"]), {}, "pairs"),
        (pairs(), {"validation": pairs(30)}, "pairs"),
        (pairs(), {"validation": None}, "pairs"),
        (pairs(), {"initial": models[0]}, "model to start from"),
    ):
        with pytest.raises(ValueError, match=f"was begun with (an)?other {what}"):
            next(core.repeat(given, small_config(), **how | more))
    with pytest.raises(ValueError, match="these are not the pairs that those in"):
        core.evaluate_runs(how["out"], pairs(4), device="cpu")


def held_out_apart(runs: Path) -> dict[str, list[str]]:
    """By run what it holds out, once it is sure that its model did not train on that."""
    found = {}
    for run in read(runs / "repetition.json")["runs"]:
        own = runs / f"seed{run['seed']}_fold{run['fold']}"
        with (own / "split.csv").open(newline="") as file:
            rows = list(csv.DictReader(file))
        assert not {row["name"] for row in rows if row["kind"] != "test"} & set(run["held_out"])
        found[own.name] = run["held_out"]
    assert sorted(found) == sorted(path.parent.name for path in runs.glob("*/run.json"))
    return found


@pytest.mark.filterwarnings("ignore:No room for")
def test_overwritten_runs_are_of_the_new_folds(tmp_path) -> None:
    """No run is left that trained on what is held out now; what is not ours stays."""
    sides = zip(*(blobs(seed=i) for i in range(6)), strict=True)
    pairs = core.PairedFrames(*(list(side) for side in sides), "YX")
    how = {"out": tmp_path / "runs", "device": "cpu"}
    list(core.repeat(pairs, small_config(), folds=2, **how))
    (tmp_path / "runs" / "seed0_fold2" / "notes.txt").write_text("mine")
    trained = {run.name for run, _ in core.repeat(pairs, small_config(), folds=3, overwrite=True, **how)}
    assert trained == set(held_out_apart(tmp_path / "runs")) == {f"seed0_fold{i}" for i in (1, 2, 3)}
    assert list(core.repeat(pairs, small_config(), folds=3, overwrite=True, **how)) == []  # it is the same
    assert core.evaluate_runs(tmp_path / "runs", pairs, device="cpu", empty_frames="empty")["n"] == 6
    (tmp_path / "runs" / "repetition.json").write_text("damaged")
    with closing(core.repeat(pairs, small_config(), folds=2, overwrite=True, **how)) as reports:
        next(reports)
    assert [path.parent.name for path in sorted(tmp_path.glob("runs/*/run.json"))] == ["seed0_fold1", "seed0_fold2"]
    assert not list(tmp_path.glob("runs/*/figures.json"))
    assert [path.name for path in tmp_path.glob("runs/*/notes.txt")] == ["notes.txt"]


@pytest.mark.slow
def test_the_command_overwrites_runs_of_other_folds(folder, tmp_path, capsys) -> None:
    """Each of the new runs is trained anew, those of the second seed go."""
    copytree(folder / "runs", tmp_path / "runs")
    given = ["--folds", "3", "--seeds", "1", "--overwrite", "--out", str(tmp_path / "runs")]
    assert main([*(word for word in words(folder, "") if word not in ("--out", str(folder))), *given]) == 0
    assert "Runs: 3 of 3 are done" in capsys.readouterr().out
    for name, held in held_out_apart(tmp_path / "runs").items():
        model = core.load_model(tmp_path / "runs" / name / "model.safetensors", "cpu")
        assert model.provenance["pairs"]["test"]["names"] == held


@pytest.mark.parametrize("seed", range(3))
def test_pairs_of_some_numbers_are_what_they_were(seed) -> None:
    """Of sources, targets, masks, windows and names those of the chosen pairs, and no others."""
    random = np.random.default_rng(seed)
    stacks = [random.integers(0, 9, (n, 16, 16)) for n in (1, 3, 2)]
    masks = [random.integers(0, 2, stack.shape) for stack in stacks]
    pairs = core.PairedFrames(stacks, stacks, "TYX", valid=masks, groups=["a", "b", "b"])
    some = pairs.within([region for region in pairs.regions() if region.frame % 2]).only([2, 1])
    assert [some.name(i) for i in range(len(some))] == [
        f"pair {p}, frame {t}" for p, t in [(2, 0), (2, 1), (1, 0), (1, 1), (1, 2)]
    ]
    for i, (stack, frame) in enumerate([(2, 0), (2, 1), (1, 0), (1, 1), (1, 2)]):
        was = pairs.places.index((stack, frame))
        assert (some.source(i)[0] == stacks[stack][frame]).all()
        assert (some.known(i) == (masks[stack][frame] > 0) * (was % 2)).all()


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        (["--folds", "5"], "There must be a group for each fold; got 5 folds and 4 groups. Choose --folds 4 or fewer."),
        (["--folds", "2", "--groups", "^(d)"], "What is held out must be a whole group; all pairs are of one, d."),
        (["--folds", "1"], "greater than or equal to 2"),
        (["--seeds", "0"], "greater than or equal to 1"),
        (["--seeds", "2", "--minutes", "1"], "must be given --steps or --minutes"),
        (["--seeds", "2", "--devices", "2"], "Each of several runs trains on one device"),
        (["--folds", "2", "--annotated-frames", "0", "1"], "say what is known by masks (--valid)"),
        (["--shard", "1/2"], "Only several runs can be shared; give --seeds or --folds, too."),
        (["--folds", "2", "--test-source", "{}/source", "--test-target", "{}/label"], "must be other files"),
        (["--seeds", "2", "--from", "{}/runs/seed0_fold1", "--folds", "2"], "trained the model to start from"),
    ],
)
def test_what_cannot_be_repeated_is_told(folder, capsys, more, sentence) -> None:
    """Before any work: no folder is made."""
    more = [word.format(folder) for word in more]
    assert sentence in refused(capsys, *words(folder, "refused", *more))
    assert not (folder / "refused").exists()


def test_runs_of_other_data_are_refused_in_the_folder(folder, capsys) -> None:
    """Other targets, settings or folds, something else, pairs with `--resume`: each a sentence, and nothing changes."""
    before = {path: path.stat().st_mtime_ns for path in (folder / "runs").rglob("*")}
    for given, sentence in (
        (words(folder, "runs", "--seeds", "2", "--folds", "2", target="grey"), "was begun with other pairs"),
        (words(folder, "runs", "--seeds", "2", "--folds", "2", "--l1-weight", "1"), "was begun with other settings"),
        (words(folder, "runs", "--seeds", "2", "--folds", "3"), "are divided otherwise. Give --folds as they were"),
        (words(folder, "source", "--seeds", "2"), "must not replace an input"),
        (words(folder, "runs/seed0_fold1", "--seeds", "2"), "holds something else"),
        (["train", "--resume", str(folder / "runs"), "--seeds", "2"], "For more seeds, give the command that began"),
        (["train", "--resume", str(folder / "runs"), "--finish"], "keep their pairs and settings"),
    ):
        assert sentence in refused(capsys, *given)
    assert before == {path: path.stat().st_mtime_ns for path in (folder / "runs").rglob("*")}


def test_grey_images_among_colours_are_colours_in_every_fold(tmp_path, capsys) -> None:
    """Also in a fold in which all are grey: one run trains on what another holds out."""
    for i in range(4):
        source, label = blobs(seed=i)
        grey = (source // 16).astype(np.uint8)
        for side, image in (("source", np.stack([grey] * 3, axis=-1) if i == 0 else grey), ("label", label)):
            (tmp_path / side).mkdir(exist_ok=True)
            tifffile.imwrite(tmp_path / side / f"d{i} cell.tif", image, photometric="rgb" if image.ndim == 3 else None)
    assert main(words(tmp_path, "runs", "--folds", "4")) == 0
    assert main(["evaluate", f"{tmp_path}/runs", "--out", f"{tmp_path}/judged", "--device", "cpu"]) == 0
    assert {row["n"] for row in read(tmp_path / "judged" / "metrics.json")["runs"]} == {1}


@pytest.mark.parametrize(
    "content", ["", "{}", '{"config": {}, "runs": []}', "[1]", '{"config": {"steps": "x"}, "runs": [{"seed": 0}]}']
)
def test_a_damaged_plan_is_told(tmp_path, capsys, content) -> None:
    """Whoever reads it: a sentence that names the folder."""
    (tmp_path / "repetition.json").write_text(content)
    for given in (["train", "--resume", f"{tmp_path}"], ["evaluate", f"{tmp_path}", "--out", f"{tmp_path}/e"]):
        assert f"that of {tmp_path} is damaged" in refused(capsys, *given)


def test_a_plan_that_tells_no_pairs_is_told(tmp_path, capsys) -> None:
    """Made in Python, or damaged."""
    plan = {"config": {}, "runs": [{"seed": 0}]}
    for pairs, sentence in ((None, "go on with {} from Python"), ({"train": {"names": ["a"]}}, "must tell its pairs")):
        (tmp_path / "repetition.json").write_text(json.dumps(plan | {"pairs": pairs}))
        capsys.readouterr()
        assert main(["train", "--resume", f"{tmp_path}"]) != 0
        assert sentence.format(tmp_path) in capsys.readouterr().err
