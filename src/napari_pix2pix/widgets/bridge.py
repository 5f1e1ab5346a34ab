"""The child process that computes for the docks: starts it, talks to it in JSON lines, notices when it dies. No Qt."""

import contextlib
import itertools
import json
import os
import signal
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

Event = dict[str, Any]
"""As in `napari_pix2pix.commands.events`, which knows more rooms than may be known here."""
DONE, FAILED = 0, 1
"""Exit codes."""
COMMAND = (sys.executable, "-P", "-m", "napari_pix2pix", "serve")
"""-P: a folder that happens to be the current one does not shadow the standard library."""
CLOSE_S = 4.5
"""How long a child may take to end once it is asked to; it promises 4 s. Then it is killed."""
MEMORY = (
    "The computation was killed, most often because memory ran out; what was saved is kept. "
    "Close other programs, or lower the patch or batch size, and try again."
)


class Child:
    """A process `napari-pix2pix serve`, started when first needed and again after it has died; one command at a time.

    Parameters
    ----------
    on_event
        Called with the number of a command and each of its events, mostly on a thread of this object. The first is
        ``started``; the last is always ``{"event": "done", "code": …, "stopped": …}``, even if the process dies: then
        an ``error`` before it tells why.
    command
        What to start.
    """

    def __init__(self, on_event: Callable[[int, Event], None], command: Sequence[str] = COMMAND) -> None:
        self._tell, self._command = on_event, tuple(command)
        self._numbers, self._lock = itertools.count(1), threading.RLock()
        self._waiting: dict[int, tuple[str, ...]] = {}
        self._process: _Process | None = None  # takes the next command
        self._working: _Process | None = None  # has a command; another one only after `close`

    @property
    def pid(self) -> int | None:
        """Of the process; None while there is none."""
        process = self._process
        return process.popen.pid if process is not None and process.alive else None

    def warm_up(self) -> None:
        """Start the process, so that the first command need not wait for it.

        Raises
        ------
        OSError
            If it cannot be started.
        """
        with self._lock:
            if self._process is None or not self._process.alive:
                self._process = _Process(self._command, self._hear, self._bury)

    def run(self, words: Sequence[object]) -> int:
        """Have the command line `words` done after those before it; its number."""
        number = next(self._numbers)
        with self._lock:
            self._waiting[number] = tuple(str(word) for word in words)
            self._next()
        return number

    def pause(self, number: int) -> None:
        """Have a running command wait after its present step."""
        self._send_to(number, {"pause": number})

    def resume(self, number: int) -> None:
        """Have a paused command go on."""
        self._send_to(number, {"continue": number})

    def stop(self, number: int, within_s: float | None = None) -> None:
        """Have the command end in order, keeping what is done; after `within_s` seconds, if given, its process dies."""
        with self._lock:
            if self._waiting.pop(number, None) is not None:
                self._tell(number, {"event": "done", "code": DONE, "stopped": True})
                return
            self._send_to(number, {"stop": number})
        if within_s is not None:
            timer = threading.Timer(within_s, self._kill, (number,))
            timer.daemon = True
            timer.start()

    def close(self, wait: bool = True) -> None:
        """End the process: in order if it works and ends within a few seconds, else at once.

        Parameters
        ----------
        wait
            Whether to return only when it has ended. Otherwise a thread sees to it.
        """
        with self._lock:
            process, self._process = self._process, None
            waiting, self._waiting = self._waiting, {}
        for number in waiting:
            self._tell(number, {"event": "done", "code": DONE, "stopped": True})
        if process is not None and wait:
            process.close()
        elif process is not None:
            threading.Thread(target=process.close, daemon=True).start()

    def _next(self) -> None:
        """Begin with what waits, if nothing runs."""
        with self._lock:
            while self._working is None and self._waiting:
                number = next(iter(self._waiting))
                words = self._waiting.pop(number)
                try:
                    self.warm_up()
                except OSError as error:
                    text = f"The process that computes cannot be started ({error})."
                    self._tell(number, {"event": "error", "code": FAILED, "text": text})
                    self._tell(number, {"event": "done", "code": FAILED, "stopped": False})
                    continue
                assert self._process is not None
                self._working, self._process.number = self._process, number
                self._tell(number, {"event": "started"})
                self._process.send({"id": number, "command": words})

    def _send_to(self, number: int, request: Event) -> None:
        with self._lock:
            if self._working is not None and self._working.number == number:
                self._working.send(request)

    def _kill(self, number: int) -> None:
        """End at once what did not end in order, if it still has not."""
        with self._lock:
            if self._working is not None and self._working.number == number:
                self._working.asked_to_end = True
                self._working.popen.kill()

    # On the threads of a process

    def _hear(self, process: "_Process", event: Event) -> None:
        number = event.pop("id", None)
        if number is None or number != process.number:
            return
        self._tell(number, event)
        if event["event"] == "done":
            self._release(process)

    def _bury(self, process: "_Process") -> None:
        with self._lock:
            if self._process is process:
                self._process = None
        if process.number is not None:
            asked = process.asked_to_end
            if not asked:
                text = why_it_died(process.popen.returncode, list(process.last_words))
                self._tell(process.number, {"event": "error", "code": FAILED, "text": text})
            self._tell(process.number, {"event": "done", "code": DONE if asked else FAILED, "stopped": asked})
            self._release(process)

    def _release(self, process: "_Process") -> None:
        with self._lock:
            process.number = None
            if self._working is process:
                self._working = None
            self._next()


class _Process:
    """One life of the child; `on_answer` and `on_end` are called on a thread of its own."""

    def __init__(
        self,
        command: tuple[str, ...],
        on_answer: Callable[["_Process", Event], None],
        on_end: Callable[["_Process"], None],
    ) -> None:
        self.number: int | None = None  # of the command it works on
        self.asked_to_end = False
        self.last_words: deque[str] = deque(maxlen=20)
        self._on_answer, self._on_end = on_answer, on_end
        self.popen = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf8",
            errors="replace",
            env=os.environ | {"OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": "0", "PYTHONUTF8": "1"},
            start_new_session=True,  # Ctrl-C in the terminal of napari is not meant for it
            creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
        )
        self._errors = threading.Thread(target=self._read_errors, daemon=True)
        self._answers = threading.Thread(target=self._read_answers, daemon=True)
        self._errors.start()
        self._answers.start()

    @property
    def alive(self) -> bool:
        return self.popen.poll() is None

    def send(self, request: Event) -> None:
        assert self.popen.stdin is not None
        with contextlib.suppress(OSError, ValueError):  # it has just died or is closed: `on_end` tells
            self.popen.stdin.write(json.dumps(request) + "\n")
            self.popen.stdin.flush()

    def close(self) -> None:
        self.asked_to_end = True
        if self.number is None:  # nothing to save, and it may be in the middle of its imports
            self.popen.kill()
        self._close_input()
        try:
            self.popen.wait(CLOSE_S)
        except subprocess.TimeoutExpired:
            self.popen.kill()
            self.popen.wait()
        self._answers.join(0.3)

    def _close_input(self) -> None:
        assert self.popen.stdin is not None
        with contextlib.suppress(OSError):  # it has died with something unsaid
            self.popen.stdin.close()

    def _read_errors(self) -> None:
        assert self.popen.stderr is not None
        with self.popen.stderr as lines:
            self.last_words.extend(line.strip() for line in lines if line.strip())

    def _read_answers(self) -> None:
        assert self.popen.stdout is not None
        with self.popen.stdout as lines:
            for line in lines:
                try:
                    event = json.loads(line)
                except (ValueError, RecursionError):  # no answer but a print of some library
                    continue
                if isinstance(event, dict) and isinstance(event.get("event"), str):
                    self._on_answer(self, event)
        self.popen.wait()
        self._close_input()
        self._errors.join(1)
        self._on_end(self)


def why_it_died(returncode: int, last_words: list[str]) -> str:
    """One sentence for a child that ended without being asked to.

    Parameters
    ----------
    returncode
        As `subprocess` tells it: minus the signal where a signal ended it.
    last_words
        The last lines of its standard error.
    """
    if returncode == -getattr(signal, "SIGKILL", 9):
        return MEMORY
    if returncode < 0:
        named = next((s.name for s in signal.Signals if s == -returncode), str(-returncode))
        return f"The computation crashed ({named}). Try again; if it crashes again, try the device cpu."
    said = f": {last_words[-1][:300]}" if last_words else f" with exit code {returncode}."
    return f"The computation ended unexpectedly{said}"
