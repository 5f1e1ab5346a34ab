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
"""As in `napari_pix2pix.events`, which knows more rooms than may be known here."""
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
Send = Callable[[int, Event], None]


class Child:
    """A process `napari-pix2pix serve`, started when first needed and again after it has died.

    Parameters
    ----------
    on_event
        Called with the number of a command and each of its events, on a thread of this object. The last is always
        ``{"event": "done", "code": …, "stopped": …}``, even if the process dies: then an ``error`` tells why.
    command
        What to start.
    """

    def __init__(self, on_event: Send, command: Sequence[str] = COMMAND) -> None:
        self._on_event, self._command = on_event, tuple(command)
        self._numbers, self._lock = itertools.count(1), threading.RLock()
        self._process: _Process | None = None

    @property
    def pid(self) -> int | None:
        """Of the process; None while there is none."""
        return self._process.popen.pid if self._process is not None and self._process.alive else None

    @property
    def busy(self) -> bool:
        """Whether a command runs or waits."""
        return self._process is not None and bool(self._process.commands)

    def warm_up(self) -> None:
        """Start the process, so that the first command need not wait for it.

        Raises
        ------
        OSError
            If it cannot be started.
        """
        with self._lock:
            if self._process is None or not self._process.alive:
                self._process = _Process(self._command, self._on_event, self._go_on)

    def run(self, words: Sequence[object]) -> int:
        """Have the command line `words` done after those before it; its number."""
        number = next(self._numbers)
        with self._lock:
            try:
                self.warm_up()
                assert self._process is not None
                self._process.run(number, tuple(str(word) for word in words))
                return number
            except OSError as error:
                text = f"The process that computes cannot be started ({error})."
        self._on_event(number, {"event": "error", "code": FAILED, "text": text})
        self._on_event(number, {"event": "done", "code": FAILED, "stopped": False})
        return number

    def pause(self, number: int) -> None:
        """Have the command wait after its present step."""
        self._send({"pause": number})

    def resume(self, number: int) -> None:
        """Have a paused command go on."""
        self._send({"continue": number})

    def stop(self, number: int, within_s: float | None = None) -> None:
        """Have the command end in order, keeping what is done; after `within_s` seconds, if given, its process dies."""
        with self._lock:
            process = self._process
            if process is None or number not in process.commands:
                return
            process.send({"stop": number})
        if within_s is not None:
            timer = threading.Timer(within_s, process.kill_for, (number,))
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
        if process is not None and wait:
            process.close()
        elif process is not None:
            threading.Thread(target=process.close, daemon=True).start()

    def _send(self, request: Event) -> None:
        with self._lock:
            if self._process is not None:
                self._process.send(request)

    def _go_on(self, waiting: dict[int, tuple[str, ...]]) -> None:
        """Have a new process do what waited behind a command that had to be killed."""
        with self._lock:
            self.warm_up()
            assert self._process is not None
            for number, words in waiting.items():
                self._process.run(number, words)


class _Process:
    """One life of the child."""

    def __init__(
        self, command: tuple[str, ...], on_event: Send, go_on: Callable[[dict[int, tuple[str, ...]]], None]
    ) -> None:
        self.commands: dict[int, tuple[str, ...]] = {}  # running or waiting, the oldest first
        self._on_event, self._go_on = on_event, go_on
        self._killed_for: int | None = None
        self._closing = False
        self._last_words: deque[str] = deque(maxlen=20)
        self._lock = threading.RLock()
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

    def run(self, number: int, words: tuple[str, ...]) -> None:
        with self._lock:
            self.commands[number] = words
        self.send({"id": number, "command": words})

    def send(self, request: Event) -> None:
        assert self.popen.stdin is not None
        with contextlib.suppress(OSError, ValueError):  # it has just died or is closed: `_bury` tells
            self.popen.stdin.write(json.dumps(request) + "\n")
            self.popen.stdin.flush()

    def kill_for(self, number: int) -> None:
        """End at once what did not end in order, if it still has not."""
        with self._lock:
            if number in self.commands:
                self._killed_for = number
                self.popen.kill()

    def close(self) -> None:
        with self._lock:
            self._closing, idle = True, not self.commands
        if idle:  # nothing to save, and it may be in the middle of its imports
            self.popen.kill()
        self._close_input()
        try:
            self.popen.wait(CLOSE_S)
        except subprocess.TimeoutExpired:
            self.popen.kill()
            self.popen.wait()
        if threading.current_thread() is not self._answers:
            self._answers.join(1)

    def _close_input(self) -> None:
        assert self.popen.stdin is not None
        with contextlib.suppress(OSError):  # it has died with something unsaid
            self.popen.stdin.close()

    def _read_errors(self) -> None:
        assert self.popen.stderr is not None
        with self.popen.stderr as lines:
            self._last_words.extend(line.strip() for line in lines if line.strip())

    def _read_answers(self) -> None:
        assert self.popen.stdout is not None
        with self.popen.stdout as lines:
            for line in lines:
                try:
                    event = json.loads(line)
                except ValueError:  # no answer but a print of some library
                    continue
                number = event.pop("id", None)
                if number not in self.commands:
                    continue
                if event["event"] == "done":
                    with self._lock:
                        del self.commands[number]
                self._on_event(number, event)
        self.popen.wait()
        self._close_input()
        self._errors.join(1)
        self._bury()

    def _bury(self) -> None:
        """Tell every command that is not done how it ended."""
        with self._lock:
            left, self.commands = self.commands, {}
        asked = self._closing or self._killed_for is not None
        waiting = {} if self._closing or not asked else {n: w for n, w in left.items() if n != self._killed_for}
        for number in left.keys() - waiting.keys():
            if not asked:
                text = why_it_died(self.popen.returncode, list(self._last_words))
                self._on_event(number, {"event": "error", "code": FAILED, "text": text})
            self._on_event(number, {"event": "done", "code": DONE if asked else FAILED, "stopped": asked})
        if waiting:
            self._go_on(waiting)


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
