"""The docks' child process: commands as JSON lines in, their events as JSON lines out; stays warm in between."""

import json
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from queue import SimpleQueue
from typing import IO, Any

from napari_pix2pix import __version__
from napari_pix2pix.commands.events import DONE, ENDING, FAILED, WRONG_REQUEST, Event, draw_json

PAUSE_S = 0.1
"""How often a paused command looks whether it may go on."""
GRACE_S = 4.0
"""How long a command may take to end in order once standard input has closed."""
REQUEST = 'A request must be {"id": …, "command": ["word", …]} or {"stop": id}, "pause", "continue", on one line.'
Name = str | int | float | None


def serve_requests(run_command: Callable[..., int], requests: IO[str], answers: IO[str]) -> int:
    """Take requests until `requests` ends and have `run_command` do them; the exit code.

    ``{"id": 1, "command": ["predict", "model.safetensors", …]}`` runs a command, one at a time. Its events come back
    with that ``id``; the last is ``{"event": "done", "code": …}``. ``{"pause": 1}``, ``{"continue": 1}`` and
    ``{"stop": 1}`` speak of the command with that id, running or waiting. What is no request is told, and the next one
    taken. When `requests` ends, or a signal asks the process to end, what runs is stopped.
    """
    waiting: SimpleQueue[dict[str, Any] | None] = SimpleQueue()
    stopped: set[Any] = set()
    paused: set[Any] = set()
    closed, finished, writing = threading.Event(), threading.Event(), threading.Lock()
    ended_by: list[int] = []

    def answer(event: Event) -> None:
        with writing:
            answers.write(json.dumps(event) + "\n")
            answers.flush()

    def listen() -> None:
        try:
            for line in requests:
                take(line)
        finally:
            closed.set()
            waiting.put(None)

    def end_in_time() -> None:
        closed.wait()
        if not finished.wait(GRACE_S):
            os._exit(exit_code())  # files are written beside and renamed

    def end(number: int, _: Any) -> None:
        ended_by.append(number)
        closed.set()
        waiting.put(None)

    def exit_code() -> int:
        return 128 + ended_by[0] if ended_by else DONE

    def take(line: str) -> None:
        try:
            request = json.loads(line)
        except (ValueError, RecursionError):
            request = None
        if not isinstance(request, dict):
            request = {}
        names = list(request.values())
        if _is_command(request):
            waiting.put(request)
        elif len(names) == 1 and _is_name(names[0]) and set(request) <= {"pause", "continue", "stop"}:
            name = names[0]
            if "pause" in request:
                paused.add(name)
            elif "continue" in request:
                paused.discard(name)
            else:
                stopped.add(name)
        else:
            answer({"id": None, "event": "error", "code": WRONG_REQUEST, "text": REQUEST})

    if threading.current_thread() is threading.main_thread():
        for number in ENDING[1:]:
            signal.signal(number, end)
    for work in (listen, end_in_time):
        threading.Thread(target=work, daemon=True).start()
    answer({"event": "ready", "version": __version__})
    import napari_pix2pix.core.training.loop  # noqa: F401 - stay warm

    while (request := waiting.get()) is not None and not closed.is_set():
        name = request.get("id")

        def is_stopped(name: Any = name) -> bool:
            return name in stopped or closed.is_set()

        def draw(events: Iterator[Event], name: Any = name) -> int:
            def pausing() -> Iterator[Event]:
                for event in events:
                    yield event
                    while name in paused and not is_stopped(name):
                        time.sleep(PAUSE_S)

            return draw_json(pausing(), lambda event: answer({"id": name, **event}))

        words = [str(word) for word in request["command"]]
        try:
            code = DONE if is_stopped() else run_command(words, draw, stop=is_stopped)
        except SystemExit as exit:  # of a process that has done its share
            code = exit.code if isinstance(exit.code, int) else FAILED
        answer({"id": name, "event": "done", "code": code, "stopped": name in stopped})
    finished.set()
    return exit_code()


def _is_name(value: Any) -> bool:
    """Whether a command can be called so."""
    return isinstance(value, Name) and not isinstance(value, bool)


def _is_command(request: dict[str, Any]) -> bool:
    """Whether the request has words that could be typed, for a command that asks nobody and opens nothing."""
    words = request.get("command")
    if not isinstance(words, list) or not _is_name(request.get("id")):
        return False
    return all(isinstance(word, str | int | float) and "\0" not in str(word) and word != "--view" for word in words)
