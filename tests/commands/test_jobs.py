"""What is done is done once, by whoever; what fails stops nothing else."""

import csv
import errno
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path, PurePath
from types import SimpleNamespace

import numpy as np
import pytest
import tifffile

from napari_pix2pix import core
from napari_pix2pix.commands.app import main
from napari_pix2pix.commands.events import draw_text
from napari_pix2pix.commands.jobs import do_each
from napari_pix2pix.core.engine.atomic import written_beside
from napari_pix2pix.files.outputs import plan_outputs
from napari_pix2pix.files.records import Records
from small import SMALL_FLAGS, blobs

DOCS = (Path(__file__).parents[2] / "docs" / "many_files.md").read_text("utf8")
PLACES = ["1/x.tif", "2/x.tif", "a.tif", "b.tif"]
OUTSIDE = dict(zip(PLACES, (0.1, 0.4, None, 0.2), strict=True))
MADE_WITH = {"model_sha256": "abc", "channels": (1, 2)}


@pytest.fixture
def inputs(tmp_path):
    """Files in a tree, each holding its name."""
    for place in PLACES:
        (tmp_path / "in" / place).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "in" / place).write_text(place)
    return tmp_path / "in"


class Copying:
    """Work that copies each input, and knows what it did; `before` is called first."""

    def __init__(self, inputs: Path, before=lambda job: None) -> None:
        self.inputs, self.before, self.done = inputs, before, []

    def __call__(self, job):
        self.done.append(job.name)
        with written_beside(job.results[0]) as beside:
            self.before(job)
            beside.write_bytes(job.inputs[0].read_bytes())
        yield {"event": "row", "row": {"outside_training_range": OUTSIDE.get(job.name)}}

    def run(self, made_with=MADE_WITH, **named):
        """What it did, and the last event."""
        out, self.done = self.inputs.parent / "out", []
        found = sorted(path for path in self.inputs.rglob("*") if path.is_file())
        jobs = plan_outputs([(path.relative_to(self.inputs), [path]) for path in found], out)
        for event in do_each(jobs, self, "predictions", out, made_with, **named):
            last = event
        return self.done, last


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf8") as file:
        return list(csv.DictReader(file))


def contents(out: Path) -> dict[str, bytes]:
    """All that can be seen in the folder, without the times that the tables hold."""
    found = {path.relative_to(out).as_posix(): path for path in out.rglob("[!.]*") if path.is_file()}
    seen = {name: path.read_bytes() for name, path in found.items() if not name.startswith(".")}
    if "predictions.csv" in seen:
        seen["predictions.csv"] = json.dumps([row | {"seconds": ""} for row in rows(out / "predictions.csv")]).encode()
    return seen


def test_done_is_done(inputs) -> None:
    """Only what is new, changed or gone is done again; all rows stay, the worst first."""
    copying, out = Copying(inputs), inputs.parent / "out"
    assert copying.run()[0] == PLACES
    table = (out / "predictions.csv").read_bytes()
    assert [row["name"] for row in rows(out / "predictions.csv")] == ["2/x.tif", "b.tif", "1/x.tif", "a.tif"]
    done, last = copying.run()
    assert (done, last["done_before"], last["written"]) == ([], 4, [])
    assert (out / "predictions.csv").read_bytes() == table
    (out / "1" / "x.tif").unlink()
    (inputs / "c.tif").write_text("new")
    done, last = copying.run()
    assert (done, last["done_before"]) == (["1/x.tif", "c.tif"], 3)
    assert last["text"] == f"Predictions: 2 files in {out}; 3 done before"
    assert len(rows(out / "predictions.csv")) == 5
    out.rename(inputs.parent / "moved")
    (inputs.parent / "moved").rename(out)
    assert copying.run()[0] == []


@pytest.mark.parametrize("other", [{"model_sha256": "abd"}, {"channels": (1, 3)}, {"draws": 2}])
def test_other_models_or_settings_need_overwrite(inputs, other) -> None:
    """Nothing is touched before any work; with --overwrite everything is made anew, once."""
    copying = Copying(inputs)
    copying.run()
    before = contents(inputs.parent / "out")
    with pytest.raises(FileExistsError, match=r"must not exist yet; .*out/1/x.tif does. .*`overwrite`"):
        copying.run(MADE_WITH | other)
    assert (copying.done, contents(inputs.parent / "out")) == ([], before)
    assert copying.run(MADE_WITH | other, overwrite=True)[0] == PLACES
    assert copying.run(MADE_WITH | other, overwrite=True)[0] == []
    with pytest.raises(FileExistsError):
        copying.run()


def test_a_strangers_file_is_not_replaced(inputs) -> None:
    (inputs.parent / "out").mkdir()
    (inputs.parent / "out" / "b.tif").write_text("mine")
    with pytest.raises(FileExistsError, match=r"b\.tif does"):
        Copying(inputs).run()
    assert Copying(inputs).run(shard="1/4")[0] == ["1/x.tif"]  # which is not about b
    assert (inputs.parent / "out" / "b.tif").read_text() == "mine"


def test_a_changed_input_needs_overwrite(inputs) -> None:
    """It is that file's failure, again and again; its old result and row stay until it may be replaced."""
    copying, out = Copying(inputs), inputs.parent / "out"
    copying.run()
    (inputs / "a.tif").write_text("changed")
    for _ in range(2):
        done, last = copying.run()
        assert (done, last["failed"], last["done_before"]) == ([], [str(inputs / "a.tif")], 3)
        assert "made of another input" in rows(out / "failures.csv")[0]["reason"]
        assert (len(rows(out / "predictions.csv")), (out / "a.tif").read_text()) == (4, "a.tif")
    (inputs / "a.tif").write_text("a.tif")
    assert copying.run()[1]["done_before"] == 4
    assert not (out / "failures.csv").exists()
    (inputs / "a.tif").write_text("changed")
    assert copying.run(overwrite=True)[0] == ["a.tif"]
    assert (out / "a.tif").read_text() == "changed"


def test_a_record_that_cannot_be_read_is_none(inputs) -> None:
    """After a power failure: its result is a stranger's."""
    copying, out = Copying(inputs), inputs.parent / "out"
    copying.run()
    (out / ".napari-pix2pix" / "b.tif.json").write_bytes(b"")
    with pytest.raises(FileExistsError, match=r"b\.tif does"):
        copying.run()
    assert copying.run(overwrite=True)[0] == ["b.tif"]


def test_tables_keep_to_their_results(inputs) -> None:
    """Scores that fail to replace predictions leave these in their table, and theirs out of it."""
    copying, out = Copying(inputs), inputs.parent / "out"
    copying.run()
    (inputs / "a.tif").write_text("changed")
    jobs = plan_outputs([(PurePath(place), [inputs / place]) for place in ("a.tif", "b.tif")], out)
    Records(out, "scores", MADE_WITH).fail(jobs[0], "no discriminator")
    Records(out, "scores", MADE_WITH).write_tables()
    assert not (out / "scores.csv").exists()
    Records(out, "predictions", MADE_WITH).write_tables()
    assert (len(rows(out / "predictions.csv")), len(rows(out / "failures.csv"))) == (4, 1)


def test_failures_come_and_go(inputs) -> None:
    """A bad file is named in the summary and in failures.csv, and leaves it as soon as it succeeds."""
    bad, out = {"2/x.tif", "b.tif"}, inputs.parent / "out"

    def fail(job) -> None:
        if job.name in bad:
            raise ValueError(f"no good, {job.name}")

    copying = Copying(inputs, fail)
    done, last = copying.run()
    assert done == PLACES
    assert last["failed"] == [str(inputs / "2" / "x.tif"), str(inputs / "b.tif")]
    assert f"2 failed: {inputs}/2/x.tif, {inputs}/b.tif" in last["text"]
    assert rows(out / "failures.csv") == [
        {"path": str(inputs / name), "reason": f"no good, {name}"} for name in ("2/x.tif", "b.tif")
    ]
    assert sorted(row["output"] for row in rows(out / "predictions.csv")) == ["1/x.tif", "a.tif"]
    bad.remove("b.tif")
    assert copying.run()[0] == ["2/x.tif", "b.tif"]
    assert [row["path"] for row in rows(out / "failures.csv")] == [str(inputs / "2" / "x.tif")]
    bad.clear()
    assert copying.run()[0] == ["2/x.tif"]
    assert not (out / "failures.csv").exists()


@pytest.mark.parametrize("interruption", [KeyboardInterrupt, SystemExit])
def test_an_interrupted_run_goes_on(inputs, interruption) -> None:
    """Ctrl-C or a crash in the middle: no half file, the tables tell what is done, and the next run does the rest."""

    def interrupt(job) -> None:
        if job.name == "a.tif":
            raise interruption

    with pytest.raises(interruption):
        Copying(inputs, interrupt).run()
    out = inputs.parent / "out"
    assert set(contents(out)) == {"1/x.tif", "2/x.tif", "predictions.csv"}
    assert len(rows(out / "predictions.csv")) == 2
    assert Copying(inputs).run()[0] == ["a.tif", "b.tif"]


def test_what_was_written_but_not_recorded_is_made_again(inputs) -> None:
    """Killed between the two: the result is known to have been begun, and is no reason to ask for --overwrite."""

    class Killed(Records):
        def finish(self, job, row) -> None:
            raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr("napari_pix2pix.commands.jobs.Records", Killed)
        Copying(inputs).run()
    assert set(contents(inputs.parent / "out")) == {"1/x.tif"}
    assert Copying(inputs).run()[0] == PLACES


def test_overlapping_runs_share_the_work(inputs) -> None:
    """Four processes' worth of threads at once: each file is done once, all return only when all is done."""
    for i in range(20):
        (inputs / f"{i}.tif").write_text(f"{i}")
    together = threading.Barrier(4)

    def run(copying) -> None:
        together.wait()
        copying.run()
        missing.extend(path for path in inputs.rglob("*.tif") if not (out / path.relative_to(inputs)).exists())

    missing, out = [], inputs.parent / "out"
    busy = [Copying(inputs, lambda job: threading.Event().wait(0.005)) for _ in range(4)]
    threads = [threading.Thread(target=run, args=(copying,)) for copying in busy]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    done = [name for copying in busy for name in copying.done]
    assert len(done) == len(set(done)) == 24
    assert sum(bool(copying.done) for copying in busy) > 1
    assert missing == []
    assert len(rows(out / "predictions.csv")) == 24


CLAIMING = """\
import time
from pathlib import PosixPath
from napari_pix2pix.core.engine.atomic import written_beside
from napari_pix2pix.files import records
from napari_pix2pix.files.outputs import Job
records.LEASE_S = {lease_s}
held = records.Records({out!r}, "predictions", {made_with!r})
with held.claimed({job!r}) as ours, written_beside({job!r}.results[0]):
    held.begin({job!r}, False)
    print(ours, flush=True)
    time.sleep(60)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
@pytest.mark.parametrize(("how", "lease_s"), [(signal.SIGKILL, 30.0), (signal.SIGSTOP, 0.6)])
def test_another_processs_claim_is_waited_for(inputs, monkeypatch, how, lease_s) -> None:
    """Its file comes last: at once when it is dead, without its leftovers; after a while when it shows no life."""
    monkeypatch.setattr("napari_pix2pix.files.records.LEASE_S", lease_s)
    out = inputs.parent / "out"
    [job] = plan_outputs([(PurePath("1/x.tif"), [inputs / "1" / "x.tif"])], out)
    script = CLAIMING.format(lease_s=lease_s, out=out, made_with=MADE_WITH, job=job)

    def end() -> None:
        process.send_signal(how)
        if how == signal.SIGKILL:
            process.wait()

    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "True\n"
        with Records(out, "predictions", MADE_WITH).claimed(job) as ours:
            assert not ours
        assert len(list((out / "1").iterdir())) == 1  # half of something
        ending = threading.Timer(1.5, end)
        ending.start()
        started = time.monotonic()
        order = Copying(inputs).run()[0]
        elapsed_s = time.monotonic() - started
        ending.join()
        process.kill()
    assert order == [*PLACES[1:], "1/x.tif"]
    assert 1.4 < elapsed_s < 25
    assert [path.name for path in (out / "1").iterdir()] == ["x.tif"]


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory):
    """A trained model of images whose pixels are 0.5 µm wide."""
    folder = tmp_path_factory.mktemp("trained")
    for name, image in zip(("source", "target"), blobs(), strict=True):
        metadata = {"axes": "YX", "PhysicalSizeX": 0.5, "PhysicalSizeY": 0.5}
        tifffile.imwrite(folder / f"{name}.tif", image, ome=True, metadata=metadata)
    pair = [f"{folder}/source.tif", f"{folder}/target.tif"]
    assert main(["train", *pair, "--out", f"{folder}/run", *SMALL_FLAGS, "--target-kind", "intensity"]) == 0
    return folder / "run"


@pytest.fixture
def plates(tmp_path):
    """Three images in two folders, one of them brighter than the others."""
    for seed, place in enumerate(["p1/x.tif", "p2/x.tif", "p2/y.png.tif"]):
        (tmp_path / "plates" / place).parent.mkdir(parents=True, exist_ok=True)
        image = blobs(seed=seed)[0] + (20000 if place == "p2/x.tif" else 0)
        tifffile.imwrite(tmp_path / "plates" / place, image.astype(np.uint16))
    return tmp_path / "plates"


@pytest.mark.filterwarnings("ignore:100% of the source lies above the training range")
def test_a_tree_is_predicted_and_scored(run_folder, plates, tmp_path, capsys) -> None:
    """The results mirror the sources; the tables tell the input's range and the scores."""
    out, scores = tmp_path / "out", tmp_path / "scores"
    assert main(["predict", str(run_folder), str(plates), "--out", str(out)]) == 0
    model = core.load_model(run_folder / "model.safetensors", "cpu")
    table = rows(out / "predictions.csv")
    assert table[0]["name"] == "p2/x.tif"
    assert sorted(row["output"] for row in table) == ["p1/x.tif", "p2/x.tif", "p2/y.png.tif"]
    low, high = model.source_encoding.normalization.low[0], model.source_encoding.normalization.high[0]
    for row in table:
        source = tifffile.imread(plates / row["name"])
        np.testing.assert_array_equal(tifffile.imread(out / row["output"]), model.predict(source, "YX"))
        assert (float(row["input_low"]), float(row["input_high"])) == (source.min(), source.max())
        assert float(row["outside_training_range"]) == pytest.approx(((source < low) | (source > high)).mean())
    for _ in range(2):
        assert main(["score", str(run_folder), str(plates), str(out), "--out", str(scores)]) == 0
    assert "3 done before" in capsys.readouterr().out
    table = rows(scores / "scores.csv")
    assert [float(row["mean"]) for row in table] == sorted(float(row["mean"]) for row in table)
    for row in table:
        scored = model.score(tifffile.imread(plates / row["name"]), tifffile.imread(out / row["name"]), "YX")
        inside = scored.scores[scored.valid]
        assert (float(row["mean"]), float(row["lowest"])) == pytest.approx((inside.mean(), inside.min()))


def test_an_output_folder_among_the_sources_is_no_source(run_folder, plates, capsys) -> None:
    """The second run does not predict the predictions of the first."""
    for _ in range(2):
        assert main(["predict", str(run_folder), str(plates), "--out", str(plates / "predicted")]) == 0
    assert "0 files" in capsys.readouterr().out.splitlines()[-1]
    assert len(list(plates.rglob("*.tif"))) == 6
    assert main(["score", str(run_folder), str(plates), str(plates / "predicted"), "--out", str(plates / "s")]) == 0
    assert main(["predict", str(run_folder), str(plates), "--out", str(plates)]) == 2
    assert "must not replace an input" in capsys.readouterr().err


def test_further_channels_lie_as_the_sources_do(run_folder, plates, tmp_path, capsys) -> None:
    """A flat folder of further channels cannot say which x.tif it means."""
    (tmp_path / "flat").mkdir()
    (tmp_path / "flat" / "x.tif").write_bytes((plates / "p1" / "x.tif").read_bytes())
    words = ["predict", str(run_folder), str(plates), "--out", str(tmp_path / "out"), "--source-more"]
    assert main([*words, str(tmp_path / "flat")]) == 2
    assert "p1/x has none" in capsys.readouterr().err


@pytest.mark.parametrize(("size", "warned"), [(0.5, False), (0.54, False), (0.6, True), (None, False)])
def test_other_pixel_sizes_than_in_training_are_warned_of(run_folder, tmp_path, capsys, size, warned) -> None:
    """By both numbers, beyond 10 %; not where the file does not say."""
    metadata = {"axes": "YX"} | ({"PhysicalSizeX": size, "PhysicalSizeY": size} if size else {})
    tifffile.imwrite(tmp_path / "a.tif", blobs()[0], ome=True, metadata=metadata)
    for command in (["predict", str(tmp_path / "a.tif")], ["score", *[str(tmp_path / "a.tif")] * 2]):
        assert main([command[0], str(run_folder), *command[1:], "--out", str(tmp_path / f"{command[0]}.tif")]) == 0
        said = f"The pixel size of a source is {size} x {size} µm, that of the training was 0.5 x 0.5 µm"
        assert (said in capsys.readouterr().err) == warned


def filling_up(monkeypatch, after: int) -> None:
    """Let the disk be full once `after` images are written, in the middle of the next."""
    write, names = tifffile.FileHandle.write, set()

    def fail(handle, data, /):
        names.add(handle.path)  # names beside results are numbered, alike in all folders
        if len(names) > after and len(data) > 200:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return write(handle, data)

    monkeypatch.setattr(tifffile.FileHandle, "write", fail)


def test_a_full_disk_stops_in_order(run_folder, plates, tmp_path, monkeypatch, capsys) -> None:
    """One sentence, exit 1, what is done is whole and stays done; with room again the rest is done."""
    out = tmp_path / "out"
    words = ["predict", str(run_folder), str(plates), "--out", str(out)]
    with monkeypatch.context() as patch:
        filling_up(patch, 1)
        assert main(words) == 1
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith(f"error: The disk must have room for the results; that of {out} is full.")
    assert set(contents(out)) == {"p1/x.tif", "predictions.csv"}
    assert [path.name for path in out.rglob(".*")] == [".napari-pix2pix"]
    tifffile.imread(out / "p1" / "x.tif")
    assert main(words) == 0
    assert capsys.readouterr().out == f"Predictions: 2 files in {out}; 1 done before\n"
    with monkeypatch.context() as patch:
        filling_up(patch, 0)
        assert main([*words[:2], str(plates / "p1" / "x.tif"), "--out", str(tmp_path / "p.tif")]) == 1
    assert "The disk must have room" in capsys.readouterr().err
    assert not list(tmp_path.glob("*p*.tif"))


def test_speed_and_time_left_are_shown(capsys) -> None:
    """Beside the bar."""

    def events():
        for done in range(1, 6):
            time.sleep(0.11)
            yield {"event": "progress", "unit": "files", "done": done, "total": 5}

    draw_text(events())
    last = capsys.readouterr().err.strip().splitlines()[-1]
    speed, left = re.search(r"5/5 +([0-9.]+) files/s +(\S+)", last).groups()
    assert (1 < float(speed) < 10, left) == (True, "0:00:00")


SHIM = """\
#!{python}
import os, signal, sys, tifffile
write, left = tifffile.TiffWriter.write, int(os.environ.get("KILLED_AT", "0"))
def killing(*words, **named):
    global left
    result, left = write(*words, **named), left - 1
    if left == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    return result
tifffile.TiffWriter.write = killing
from napari_pix2pix.commands.app import main
raise SystemExit(main())
"""
"""The command, which kills itself while it writes one of its images."""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="bash and SIGKILL")
def test_the_slurm_array_of_the_docs(run_folder, plates, tmp_path) -> None:
    """Its shards as processes, one killed in the middle, and all again: byte for byte a plain run's results."""
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "nuclei").symlink_to(run_folder)
    for i in range(4):
        (plates / f"{i}.tif").write_bytes((plates / "p1" / "x.tif").read_bytes())
    (tmp_path / "bin").mkdir()
    shim = tmp_path / "bin" / "napari-pix2pix"
    shim.write_text(SHIM.format(python=sys.executable))
    shim.chmod(0o755)
    [script] = re.findall(r"^```slurm\n(.*?)^```", DOCS, re.DOTALL | re.MULTILINE)

    def submit(killed: int | None = None) -> list[int]:
        shards = []
        for i in (1, 2):
            said = {"SLURM_ARRAY_TASK_ID": f"{i}", "SLURM_ARRAY_TASK_COUNT": "2"}
            said |= {"KILLED_AT": "2"} if i == killed else {}
            environment = os.environ | {"PATH": f"{tmp_path}/bin:{os.environ['PATH']}"} | said
            options = {"cwd": tmp_path, "env": environment, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
            shards.append(subprocess.Popen(["bash", "-c", script], **options))
        told = [shard.communicate(timeout=120)[0] for shard in shards]
        codes = [shard.returncode for shard in shards]
        assert killed or codes == [0, 0], told
        return codes

    assert 0 in (codes := submit(killed=2))
    assert set(codes) & {-signal.SIGKILL, 128 + signal.SIGKILL}
    out = tmp_path / "predicted"
    assert len(list(out.rglob(".*.tif"))) == 1
    assert submit() == [0, 0]
    assert list(out.rglob(".*.tif")) == []
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path)
        assert main(["predict", "runs/nuclei", "plates", "--out", "plain"]) == 0
    assert len(contents(out)) == 8
    assert contents(out) == contents(tmp_path / "plain")


def test_the_snakemake_rule_of_the_docs(run_folder, plates, tmp_path, monkeypatch) -> None:
    """Its command, for every shard, does all files."""
    monkeypatch.chdir(tmp_path)
    [rule] = re.findall(r"^```snakemake\n(.*?)^```", DOCS, re.DOTALL | re.MULTILINE)
    [command] = re.findall(r'"(napari-pix2pix .*)"', rule)
    given = {"model": run_folder / "model.safetensors", "images": plates}
    assert all(f"{name}=" in rule for name in given)
    for shard in (1, 2, 3, 4):
        wildcards = SimpleNamespace(shard=shard, shards=4)
        _, *words = shlex.split(command.format(input=SimpleNamespace(**given), wildcards=wildcards))
        assert main(words) == 0
    assert len(rows(tmp_path / "predicted" / "predictions.csv")) == 3


def test_inputs_are_hashed_once(inputs, monkeypatch) -> None:
    """What the record says of them is told to the work."""
    hashed, told = [], []
    monkeypatch.setattr("napari_pix2pix.files.records.sha256", lambda path: hashed.append(path) or f"of {path.name}")
    Copying(inputs, before=lambda job: told.append((job.inputs, job.hashes))).run()
    assert len(hashed) == len(set(hashed)) == len(PLACES)
    assert all(hashes == tuple(f"of {path.name}" for path in paths) for paths, hashes in told)


def test_a_folder_that_an_earlier_version_began_goes_on(tmp_path, capsys) -> None:
    """What it recorded of model, settings and input is what is recorded now: nothing is done again."""
    models = Path(__file__).parents[1] / "fixtures" / "models_v1"
    model, source = str(models / "classes.safetensors"), str(models / "classes.source.tif")
    known = {"model_sha256": "4e10fd6ddf8b908cfefbc3139fbcd991e55d838a2812e880c6b55716164637f6"}
    plain = {"tile_size": None, "wanted": []}
    recorded = {
        "predict": known
        | plain
        | {"axes": "TYX", "half": None, "overlap": None, "seed_threshold": None, "min_size": None, "draws": None}
        | {"keep_maps": False, "norm_statistics": None, "rescale": False, "precision": "auto"},
        "score": known
        | plain
        | {"source_axes": "TYX", "image_axes": None, "halves": [None, None], "kind": "plain", "table": False},
    }
    words = {
        "predict": [model, source, "--source-axes", "TYX"],
        "score": [model, source, str(models / "classes.prediction.tif"), "--source-axes", "TYX", "--kind", "plain"],
    }
    for command, made_with in recorded.items():
        again = [command, *words[command], "--out", str(tmp_path / command)]
        assert main(again) == 0
        [record] = (tmp_path / command / ".napari-pix2pix").glob("*.json")
        assert json.loads(record.read_text("utf8"))["made_with"] == made_with
        assert main(again) == 0
        assert "1 done before" in capsys.readouterr().out
