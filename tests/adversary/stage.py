"""Where attempts are made: a warm process that forks a child for each, and measures what it takes.

Run as a program it takes one JSON request a line on standard input and answers each on standard output.
"""

import json
import os
import pkgutil
import re
import resource
import signal
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from contextlib import suppress
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

END_S = 40
"""A child that has not ended after this is killed; long, since the machine may be busy."""
GIB = 1 << 30
LAST = re.compile(rb'"id": "after".*"done"')
"""What `serve` answers when it has done the last request."""
MOST = 3 * GIB
"""How much more address space a child may take than the warm process, unless the attempt says less."""


@dataclass(frozen=True)
class Outcome:
    """What came of a command: its exit code (negative: a signal; None: it did not end), output, time and memory."""

    code: int | None
    out: bytes
    err: bytes
    cpu_s: float
    more_bytes: int


class Stage:
    """The warm process, for as long as the `with` block lasts."""

    def __enter__(self) -> "Stage":
        paths = [str(Path(__file__).parents[1]), *filter(None, [os.environ.get("PYTHONPATH")])]
        self._said = tempfile.TemporaryDirectory()
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(paths), "OMP_NUM_THREADS": "1", "MPLBACKEND": "Agg"}
        pipe = subprocess.PIPE
        self._process = subprocess.Popen(
            [sys.executable, "-m", "adversary.stage"], stdin=pipe, stdout=pipe, env=environment, text=True
        )
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin and self._process.stdout
        self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()
        self._said.cleanup()

    def play(
        self,
        words: list[str],
        folder: Path,
        given: bytes = b"",
        most_bytes: int = MOST,
        signal_when: tuple[int, str] | None = None,
    ) -> Outcome:
        """What comes of the command line `words` in `folder`.

        Parameters
        ----------
        words
            Without the program's name; what is not UTF-8 in them as `os.fsdecode` has it.
        folder
            The current directory.
        given
            On standard input, which then stays open until the program has answered the request "after", or for long.
        most_bytes
            How much address space there is beyond what is in use before.
        signal_when
            A signal to send as soon as something in the folder matches a pattern.
        """
        said = Path(self._said.name)
        (said / "in").write_bytes(given)
        coded = [os.fsencode(word).hex() for word in words]
        request = {"words": coded, "folder": str(folder), "said": str(said), "most_bytes": most_bytes}
        assert self._process.stdin and self._process.stdout
        self._process.stdin.write(json.dumps(request | {"signal_when": signal_when}) + "\n")
        self._process.stdin.flush()
        answer = json.loads(self._process.stdout.readline())
        return Outcome(out=(said / "out").read_bytes(), err=(said / "err").read_bytes(), **answer)


# In the warm process


def _warm() -> None:
    """Import what commands import; nothing may run that leaves a thread, which a fork would lose."""
    import napari_pix2pix

    for module in pkgutil.walk_packages(napari_pix2pix.__path__, "napari_pix2pix."):
        if not module.name.startswith(("napari_pix2pix.widgets", "napari_pix2pix.__main__")):
            import_module(module.name)
    for name in (
        *("imagecodecs", "matplotlib.backends.backend_agg", "skimage.measure", "skimage.metrics", "skimage.filters"),
        *("skimage.segmentation", "rich.progress", "torch._dynamo", "torch.utils.checkpoint"),
    ):
        import_module(name)
    from napari_pix2pix.commands.app import main

    quiet = os.open(os.devnull, os.O_WRONLY)
    answers = os.dup(1)
    os.dup2(quiet, 1)
    for command in ("train", "predict", "score", "evaluate", "check", "fit-trust", "compare", "info"):
        main([command, "--help"])
    sys.stdout.flush()
    os.dup2(answers, 1)


def _child(request: dict[str, Any], stdin: int) -> int:
    from napari_pix2pix.commands.app import main

    os.setsid()
    os.dup2(stdin, 0)
    for number, name in ((1, "out"), (2, "err")):
        os.dup2(os.open(Path(request["said"], name), os.O_WRONLY), number)
    sys.stdin, sys.stdout = os.fdopen(0, "r"), os.fdopen(1, "w")
    sys.stderr = os.fdopen(2, "w", errors="backslashreplace", buffering=1)
    os.chdir(request["folder"])
    temporary = Path(request["folder"] + ".tmp")
    temporary.mkdir(exist_ok=True)
    os.environ["TMPDIR"] = tempfile.tempdir = str(temporary)
    used = int(Path("/proc/self/statm").read_text("ascii").split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + request["most_bytes"],) * 2)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    words = [os.fsdecode(bytes.fromhex(word)) for word in request["words"]]
    try:
        code = main(words)
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:  # as the interpreter would show it
        traceback.print_exc()
        code = 1
    sys.stdout.flush()
    sys.stderr.flush()
    return code


def _feed(mouth: int, said: Path, ended: threading.Event) -> None:
    """Give what there is to give, and wait for the last answer; a program that has ended takes no more."""
    given, until = (said / "in").read_bytes(), time.monotonic() + END_S / 2
    waits = bool(given)
    with suppress(BrokenPipeError), os.fdopen(mouth, "wb", buffering=0) as file:
        while given:
            given = given[file.write(given) :]
        while waits and not (ended.is_set() or time.monotonic() > until or LAST.search((said / "out").read_bytes())):
            time.sleep(0.02)


def _play(request: dict[str, Any], rests_bytes: int) -> dict[str, Any]:
    for name in ("out", "err"):
        Path(request["said"], name).write_bytes(b"")
    stdin, mouth = os.pipe()
    over = threading.Event()
    if not (child := os.fork()):
        code = 1
        try:
            os.close(mouth)
            code = _child(request, stdin)
        finally:
            os._exit(code)
    os.close(stdin)
    feeding = threading.Thread(target=_feed, args=(mouth, Path(request["said"]), over))
    feeding.start()
    started, signalled, ended = time.monotonic(), request["signal_when"] is None, 0
    while not ended and time.monotonic() - started < END_S:
        time.sleep(0.004)
        ended, status, usage = os.wait4(child, os.WNOHANG)
        if not (ended or signalled) and any(Path(request["folder"]).glob(request["signal_when"][1])):
            time.sleep(0.2)
            os.kill(child, request["signal_when"][0])
            signalled = True
    with suppress(ProcessLookupError):
        os.killpg(child, signal.SIGKILL)  # and whom it started
    if not ended:
        _, status, usage = os.wait4(child, 0)
    over.set()
    feeding.join()  # before the next fork, which would lose it
    code = os.waitstatus_to_exitcode(status) if ended else None
    more = usage.ru_maxrss * 1024 - rests_bytes
    return {"code": code, "cpu_s": usage.ru_utime + usage.ru_stime, "more_bytes": more}


def _serve() -> None:
    answers = os.fdopen(os.dup(1), "w")
    _warm()
    rests_bytes = int(Path("/proc/self/statm").read_text("ascii").split()[1]) * resource.getpagesize()
    for line in sys.stdin:
        answers.write(json.dumps(_play(json.loads(line), rests_bytes)) + "\n")
        answers.flush()


if __name__ == "__main__":
    _serve()
