"""What ends a process from outside ends it in order: one sentence, nothing half-written, the exit code of shells."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import tifffile

from napari_pix2pix.commands.app import main
from napari_pix2pix.core.methods.pix2pix import Pix2Pix
from napari_pix2pix.files import predicted, scored
from small import SMALL_FLAGS, blobs, untrained, with_judge

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals")
DOCS = (Path(__file__).parents[2] / "docs" / "many_files.md").read_text("utf8")
CODES = {signal.SIGTERM: 143, signal.SIGHUP: 129, signal.SIGINT: 1}


@pytest.fixture
def work(tmp_path, monkeypatch):
    """A current folder with a model, a source and a target."""
    monkeypatch.chdir(tmp_path)
    for name, seed in (("s.tif", 0), ("t.tif", 1)):
        tifffile.imwrite(name, blobs(seed=seed)[0])
    source = blobs()[0][None].astype(np.float32)
    with_judge(untrained(source, source)).save(tmp_path / "m.safetensors")
    return tmp_path


def sending(monkeypatch, owner, name: str, number: int, after: int = 1) -> None:
    """Let the process get the signal at this call of a function."""
    plain, count = getattr(owner, name), []

    def call(*words, **named):
        count.append(name)
        if len(count) == after:
            os.kill(os.getpid(), number)
        return plain(*words, **named)

    monkeypatch.setattr(owner, name, call)


@pytest.mark.parametrize("number", CODES, ids=lambda number: number.name)
@pytest.mark.parametrize("words", [["predict", "--out", "z.zarr"], ["predict", "--out", "z.tif", "--trust"], ["score"]])
def test_files_are_whole_or_not_there(work, monkeypatch, capsys, number, words) -> None:
    """In the middle of a prediction, or of the scores, whose files are written by threads; then all can be done."""
    if words[0] == "score":
        words, at = ["score", "m.safetensors", "s.tif", "t.tif", "--out", "z.tif", "--table"], "place_of"
    else:
        words, at = ["predict", "m.safetensors", "s.tif", *words[1:]], "limit_of" if "--trust" in words else "json"
    before, handlers = sorted(work.iterdir()), [signal.getsignal(known) for known in CODES]
    with monkeypatch.context() as patch:
        owner = predicted._SourceRange if words[0] == "predict" else scored
        sending(patch, owner, "add" if words[0] == "predict" else at, number)
        assert main(words) == CODES[number]
    assert capsys.readouterr().err.splitlines()[-1] == "error: Interrupted; no file is half-written."
    assert sorted(work.iterdir()) == before
    assert [signal.getsignal(known) for known in CODES] == handlers
    assert main(words) == 0


@pytest.mark.parametrize("number", CODES, ids=lambda number: number.name)
def test_a_training_keeps_what_is_done(work, monkeypatch, capsys, number) -> None:
    """It ends after its step, with a checkpoint; a second signal changes nothing once it is done; it goes on."""
    with monkeypatch.context() as patch:
        sending(patch, Pix2Pix, "step", number, after=3)
        assert main(["train", "s.tif", "t.tif", "--out", "run", *SMALL_FLAGS]) == CODES[number]
    assert "Stopped; what is done is kept." in capsys.readouterr().err.splitlines()
    assert {"checkpoint.safetensors", "model.safetensors"} <= {path.name for path in Path("run").iterdir()}
    with monkeypatch.context() as patch:
        sending(patch, Pix2Pix, "step", number, after=3)  # the last: there is nothing more to stop
        assert main(["train", "--resume", "run"]) in (0, CODES[number])
    assert main(["train", "--resume", "run"]) == 0
    assert not [path for path in Path("run").rglob(".*") if path.name != ".lock"]


def test_what_is_to_be_ignored_is(work, monkeypatch) -> None:
    """As by nohup."""
    monkeypatch.setattr(signal, "getsignal", lambda number: signal.SIG_IGN)
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        sending(monkeypatch, predicted._SourceRange, "add", signal.SIGHUP)
        assert main(["predict", "m.safetensors", "s.tif", "--out", "p.tif"]) == 0
    finally:
        signal.signal(signal.SIGHUP, before)


SRUN = """\
#!/bin/bash
if [ -n "$ENDED" ]; then
    "$@" --json > told.txt &
    child=$!
    until grep -q '"done": [5-9]' told.txt; do sleep 0.1; done
    kill -TERM $child
    wait $child
else
    "$@"
fi
"""
"""What starts the steps of a job, and sends them the signal."""


@pytest.mark.slow
def test_the_slurm_training_of_the_docs_goes_on(work, tmp_path) -> None:
    """Ended by SIGTERM it is queued again, and then is the same to the last bit as one that was never ended."""
    [script] = re.findall(r"^```slurm-train\n(.*?)^```", DOCS, re.DOTALL | re.MULTILINE)
    flags = " ".join([flag if flag != "6" else "30" for flag in SMALL_FLAGS])
    script = script.replace("sources targets", f"s.tif t.tif {flags}")
    Path("bin").mkdir()
    commands = {"srun": SRUN, "scontrol": '#!/bin/bash\necho "$@" >> queued.txt\n'}
    commands["napari-pix2pix"] = f'#!/bin/bash\nexec {sys.executable} -m napari_pix2pix "$@"\n'
    for name, text in commands.items():
        Path("bin", name).write_text(text)
        Path("bin", name).chmod(0o755)
    path = {"PATH": f"{tmp_path}/bin:{os.environ['PATH']}", "SLURM_JOB_ID": "7"}

    def job(**named: str) -> int:
        return subprocess.run(
            ["bash", "-c", script], env=os.environ | path | named, timeout=120, check=False
        ).returncode

    assert job(ENDED="1") == 143
    assert Path("queued.txt").read_text() == "requeue 7\n"
    assert '"event": "stopped"' in Path("told.txt").read_text()
    assert job() == 0
    assert Path("queued.txt").read_text() == "requeue 7\n"
    assert main(["train", "s.tif", "t.tif", "--out", "plain", *flags.split()]) == 0
    assert Path("plain/model.safetensors").read_bytes() == Path("runs/nuclei/model.safetensors").read_bytes()


def test_serve_ends_in_order_when_it_is_asked_to(work) -> None:
    """SIGTERM stops what it does, which keeps what is done, and ends it."""
    words = ["train", "s.tif", "t.tif", "--out", "run", *(word if word != "6" else "100000" for word in SMALL_FLAGS)]
    command = [sys.executable, "-m", "napari_pix2pix", "serve"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        process.stdin.write(f'{{"id": 1, "command": {words}}}\n'.replace("'", '"'))
        process.stdin.flush()
        while '"progress"' not in process.stdout.readline():
            pass
        started = time.monotonic()
        process.send_signal(signal.SIGTERM)
        told = process.stdout.read()
        assert process.wait(timeout=20) == 143
    assert time.monotonic() - started < 15
    assert '"event": "stopped"' in told
    assert Path("run/checkpoint.safetensors").exists()
