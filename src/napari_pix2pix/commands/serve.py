"""The docks' child process: commands as JSON lines in, their events as JSON lines out; stays warm in between."""

import json
import os
import threading
import time
from collections.abc import Callable, Iterator
from queue import SimpleQueue
from typing import IO, Any

from napari_pix2pix import __version__
from napari_pix2pix.commands.events import DONE, WRONG_REQUEST, Event, draw_json

PAUSE_S = 0.1
"""How often a paused command looks whether it may go on."""
GRACE_S = 4.0
"""How long a command may take to end in order once standard input has closed."""


def serve_requests(run_command: Callable[..., int], requests: IO[str], answers: IO[str]) -> int:
    """Take requests until `requests` ends and have `run_command` do them; the exit code.

    ``{"id": 1, "command": ["predict", "model.safetensors", …]}`` runs a command, one at a time. Its events come back
    with that ``id``; the last is ``{"event": "done", "code": …}``. ``{"pause": 1}``, ``{"continue": 1}`` and
    ``{"stop": 1}`` speak of the command with that id, running or waiting. When `requests` ends, what runs is stopped.
    """
    waiting: SimpleQueue[dict[str, Any] | None] = SimpleQueue()
    stopped: set[Any] = set()
    paused: set[Any] = set()
    closed, writing = threading.Event(), threading.Lock()

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
            end = threading.Timer(GRACE_S, os._exit, (DONE,))  # files are written beside and renamed
            end.daemon = True
            end.start()

    def take(line: str) -> None:
        try:
            request = json.loads(line)
        except ValueError:
            request = None
        names = list(request.values()) if isinstance(request, dict) else []
        if isinstance(request, dict) and isinstance(request.get("command"), list):
            waiting.put(request)
        elif len(names) == 1 and isinstance(names[0], str | int) and set(request) <= {"pause", "continue", "stop"}:
            name = names[0]
            if "pause" in request:
                paused.add(name)
            elif "continue" in request:
                paused.discard(name)
            else:
                stopped.add(name)
        else:
            text = 'A request must be {"id": …, "command": […]} or {"stop": id}, "pause", "continue", on one line.'
            answer({"event": "error", "code": WRONG_REQUEST, "text": text})

    threading.Thread(target=listen, daemon=True).start()
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
        code = DONE if is_stopped() else run_command(words, draw, stop=is_stopped)
        answer({"id": name, "event": "done", "code": code, "stopped": name in stopped})
    return DONE
