"""Workers of dask do what one process does in turn, to the byte, also when one of them is killed."""

import builtins
import contextlib
import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import tifffile

from napari_pix2pix.commands import cluster
from napari_pix2pix.commands.app import main
from small import SMALL_FLAGS, blobs

distributed = pytest.importorskip("distributed")


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A trained model."""
    folder = tmp_path_factory.mktemp("trained")
    for name, image in zip(("source", "target"), blobs(), strict=True):
        tifffile.imwrite(folder / f"{name}.tif", image)
    pair = [f"{folder}/source.tif", f"{folder}/target.tif"]
    assert main(["train", *pair, "--out", f"{folder}/run", *SMALL_FLAGS, "--target-kind", "intensity"]) == 0
    return folder / "run"


@pytest.fixture
def plates(tmp_path, monkeypatch):
    """Images in two folders below the working folder, one of them much brighter and one cut short."""
    monkeypatch.chdir(tmp_path)
    for seed, place in enumerate(["p1/x.tif", "p2/bad.tif", "p2/x.tif", "p2/y.tif"]):
        (tmp_path / "plates" / place).parent.mkdir(parents=True, exist_ok=True)
        image = blobs(seed=seed)[0] + (20000 if place == "p2/x.tif" else 0)
        tifffile.imwrite(tmp_path / "plates" / place, image.astype(np.uint16))
    bad = tmp_path / "plates" / "p2" / "bad.tif"
    bad.write_bytes(bad.read_bytes()[:5000])
    return tmp_path / "plates"


@pytest.fixture(scope="module")
def scheduler():
    """The address of a scheduler with two workers in this process."""
    named = {"n_workers": 2, "threads_per_worker": 1, "processes": False, "dashboard_address": "127.0.0.1:0"}
    with distributed.LocalCluster(**named) as running:
        yield running.scheduler_address


def contents(out: Path) -> dict[str, object]:
    """All files in a folder of results, hidden ones included; of rows and records not the seconds they took."""
    found: dict[str, object] = {}
    for path in sorted(path for path in out.rglob("*") if path.is_file()):
        name = path.relative_to(out).as_posix()
        if path.suffix == ".csv":
            with path.open(newline="", encoding="utf8") as file:
                found[name] = [row | {"seconds": ""} for row in csv.DictReader(file)]
        elif path.suffix == ".json":
            found[name] = json.loads(path.read_text("utf8"))
            found[name].get("row", {}).pop("seconds", None)
        else:
            found[name] = path.read_bytes()
    return found


def test_workers_do_what_one_process_does(model, plates, scheduler, capsys) -> None:
    """Results, tables, records, what is told and exit codes; and what is done is not done again."""
    told = {}
    for out, more in (("plain", []), ("shared", ["--scheduler", scheduler])):
        assert main(["predict", str(model), "plates", "--out", out, *more]) == 1
        predicted = capsys.readouterr()
        assert "lies above the training range" in predicted.err
        assert main(["score", str(model), out, out, "--out", f"{out}-scores", *more]) == 0
        (plates / "p2" / "bad.tif").rename("bad.tif")
        assert main(["predict", str(model), "plates", "--out", out, *more]) == 0
        again = capsys.readouterr().out.splitlines()[-1]
        assert "3 done before" in again
        Path("bad.tif").rename(plates / "p2" / "bad.tif")
        told[out] = [(predicted.out + again).replace(out, "")]
        told[out] += sorted(line for line in predicted.err.splitlines() if line.startswith(("warning", "failed")))
    assert told["plain"] == told["shared"]
    for name in ("", "-scores"):
        plain, shared = contents(Path(f"plain{name}")), contents(Path(f"shared{name}"))
        assert len([place for place in plain if place.endswith(".tif")]) == (6 if name else 3)  # .valid.tif, too
        assert shared == plain


def test_a_full_disk_on_a_worker_stops_in_order(model, plates, scheduler, monkeypatch, capsys) -> None:
    """One sentence, exit 1; with room again the rest is done."""

    def fail(*_: object, **__: object) -> None:
        raise OSError(28, os.strerror(28))

    (plates / "p2" / "bad.tif").unlink()
    words = ["predict", str(model), "plates", "--out", "out", "--scheduler", scheduler]
    with monkeypatch.context() as patch:
        patch.setattr(tifffile.TiffWriter, "write", fail)
        assert main(words) == 1
    assert "error: The disk must have room for the results; that of out is full." in capsys.readouterr().err
    # What the worker had begun, it may have finished when there was room again.
    assert main(words) == 0
    assert "failed" not in capsys.readouterr().out
    written = sorted(Path("out").rglob("[!.]*.tif"))
    assert len(written) == 3
    assert all(tifffile.imread(path).shape for path in written)


def test_wrong_workers_are_told(model, plates, monkeypatch, capsys) -> None:
    """In one sentence each, before any work."""
    monkeypatch.setattr(cluster, "CONNECT_S", 0.5)
    words = ["predict", str(model), "plates", "--out", "out"]
    for flags, code, sentence in (
        (["--scheduler", "tcp://127.0.0.1:9"], 1, "A dask scheduler must answer at tcp://127.0.0.1:9; none does."),
        (["--scheduler", "nonsense://x"], 1, "A dask scheduler must answer at nonsense://x; none does."),
        (["--local-workers", "0"], 2, "--local-workers must be 1 to 512; got 0. Choose no more than there are cores."),
        (["--local-workers", "2", "--scheduler", "x"], 2, "those of --scheduler or --local-workers; got both."),
    ):
        assert main([*words, *flags]) == code
        [said] = capsys.readouterr().err.splitlines()
        assert sentence in said
    real = builtins.__import__
    with monkeypatch.context() as patch:

        def missing(name: str, *words: object, **named: object) -> object:
            if name == "distributed":
                raise ImportError(name)
            return real(name, *words, **named)

        patch.setattr(builtins, "__import__", missing)
        assert main([*words, "--local-workers", "2"]) == 2
    [said] = capsys.readouterr().err.splitlines()
    assert "pip install 'napari-pix2pix[cluster]'" in said
    assert list(Path("out").rglob("[!.]*.tif")) == []


SHIM = """\
import os, signal, sys, tifffile
from pathlib import Path
write = tifffile.TiffWriter.write
written = 0
def killing(writer, *words, **named):
    global written
    result, written = write(writer, *words, **named), written + 1
    if Path("always").exists() and ".4-" in writer.filehandle.name:
        os.kill(os.getpid(), signal.SIGKILL)
    if Path("once").exists() and written == 2:
        Path("once").unlink()
        os.kill(os.getpid(), signal.SIGKILL)
    return result
tifffile.TiffWriter.write = killing
from napari_pix2pix.commands.app import main
if __name__ == "__main__":
    raise SystemExit(main())
"""
"""The command, whose first worker at its second image, or each at the image 4, kills itself while it writes."""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL")
def test_a_killed_worker_changes_nothing(model, plates) -> None:
    """Two processes, one of them killed while it writes: bit for bit the plain run. A file that kills all is named."""
    for i in range(6):
        tifffile.imwrite(plates / f"{i}.tif", blobs((300, 200), seed=i)[0])

    def run(out: str, *more: str) -> subprocess.CompletedProcess[str]:
        words = ["predict", str(model), "plates", "--device", "cpu", "--out", out, *more]
        return subprocess.run([sys.executable, "shim.py", *words], check=False, capture_output=True, text=True)

    Path("shim.py").write_text(SHIM)
    plain = run("plain")
    Path("once").touch()
    shared = run("shared", "--local-workers", "2")
    assert not Path("once").exists()
    assert (plain.returncode, shared.returncode) == (1, 1), shared.stderr
    assert shared.stdout == plain.stdout.replace("plain", "shared")
    assert "Traceback" not in shared.stderr
    assert len(list(Path("shared").rglob("*.tif"))) == 9
    assert contents(Path("shared")) == contents(Path("plain"))

    Path("always").touch()
    failing = run("failing", "--local-workers", "2")
    assert failing.returncode == 1
    assert "failed: plates/4.tif: Its workers must live until it is done; 4 died at it." in failing.stderr
    assert "Traceback" not in failing.stderr
    assert len(list(Path("failing").rglob("[!.]*.tif"))) == 8
    Path("always").unlink()
    assert run("failing").returncode == 1
    assert contents(Path("failing")) == contents(Path("plain"))


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="signals")
@pytest.mark.parametrize("ended", ["command", "scheduler"])
def test_what_ends_in_the_middle_is_told_and_goes_on(model, plates, ended) -> None:
    """Ctrl-C, which a terminal sends to the workers, too, and a scheduler that is killed: one sentence, exit 1."""
    (plates / "p2" / "bad.tif").unlink()
    for i in range(20):
        tifffile.imwrite(plates / f"{i}.tif", blobs((500, 500), seed=i)[0])
    words = [sys.executable, "-m", "napari_pix2pix", "predict", str(model), "plates", "--out", "out"]
    with contextlib.ExitStack() as running:

        def start(*words: str, **named: object) -> subprocess.Popen[str]:
            process = subprocess.Popen(words, text=True, start_new_session=True, **named)
            running.callback(process.wait)
            running.callback(process.kill)
            return process

        if ended == "scheduler":
            dask, address = (sys.executable, "-m"), "tcp://127.0.0.1:18642"
            quiet = {"stderr": subprocess.DEVNULL, "stdout": subprocess.DEVNULL}
            flags = ("--host", "127.0.0.1", "--port", "18642", "--dashboard-address", "127.0.0.1:0")
            scheduler = start(*dask, "distributed.cli.dask_scheduler", *flags, **quiet)
            start(*dask, "distributed.cli.dask_worker", address, "--no-nanny", "--no-dashboard", **quiet)
            workers = ["--scheduler", address]
        else:
            workers = ["--local-workers", "2"]
        command = start(*words, *workers, stderr=subprocess.PIPE, stdout=subprocess.PIPE)
        while len(list(Path("out").rglob("[!.]*.tif"))) < 2:
            assert command.poll() is None, command.communicate()[1]
            time.sleep(0.05)
        if ended == "scheduler":
            scheduler.kill()
        else:
            os.killpg(command.pid, signal.SIGINT)
        _, told = command.communicate(timeout=100)
    *_, last = told.splitlines()
    sentence = "The scheduler must stay until all is done; it has gone." if ended == "scheduler" else "Interrupted;"
    assert (command.returncode, "Traceback" in told) == (1, False), told
    assert last.startswith(f"error: {sentence}")
    plain = subprocess.run(words, check=True, capture_output=True, text=True)
    assert "done before" in plain.stdout
    assert len(list(Path("out").rglob("*.tif"))) == 23
