"""What commands say while they work, drawn for people or as JSON lines.

An event is a JSON object with a key ``event``: ``progress`` (done, total, unit …), ``preview`` (path), ``placed``
(geometry), ``trust`` (limit, and paths of what lies beside a prediction), ``row`` (row: a result's figures for its
table), ``note`` and ``warning`` (text), ``failure`` (file, text), ``stopped`` (text), ``error`` (code, text),
``result`` (figures and paths; text for people).
"""

import json
import signal
import time
import warnings
from collections.abc import Callable, Generator, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

from napari_pix2pix.core.engine.foreign_text import shown
from napari_pix2pix.core.settings.naming import as_flag, named

if TYPE_CHECKING:
    from napari_pix2pix.core.teaching.fit_trust import TrustReport
    from napari_pix2pix.core.training.reports import Report

Event = dict[str, Any]
Events = Generator[Event, None, None]
DONE, FAILED, WRONG_REQUEST = 0, 1, 2
"""Exit codes."""
REQUEST_ERRORS = (
    ValueError,
    FileNotFoundError,
    FileExistsError,
    PermissionError,
    NotADirectoryError,
    IsADirectoryError,
)
"""What is wrong with a request (exit 2); any other error is a failure of the work (exit 1)."""
PROGRESS_PER_S = 10
ENDING = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
"""Signals that ask a process to end."""


@contextmanager
def warnings_as_events() -> Iterator[SimpleQueue[Event]]:
    """Within the block, this package's warnings go to the queue and other packages' are not shown."""
    queue: SimpleQueue[Event] = SimpleQueue()
    said: set[str] = set()

    def put(message: Any, category: Any, filename: str, *_: Any, **__: Any) -> None:
        if category is UserWarning and "napari_pix2pix" in filename and str(message) not in said:
            said.add(str(message))
            queue.put({"event": "warning", "text": str(message)})

    with warnings.catch_warnings():
        warnings.simplefilter("always", UserWarning)
        warnings.showwarning = put
        yield queue


class Interrupt:
    """Signals to end within a `with` block: while a training steps, requests to end in order; else, and again, at once.

    Ctrl-C, and what clusters and closing windows send; not what was ignored before, as `nohup` has it.
    """

    def __init__(self) -> None:
        self.asked = self.stepping = False
        self._taken: int | None = None

    def __enter__(self) -> "Interrupt":
        heard = [number for number in ENDING if signal.getsignal(number) is not signal.SIG_IGN]
        self._before = {number: signal.signal(number, self._take) for number in heard}
        return self

    def __exit__(self, *_: object) -> None:
        for number, before in self._before.items():
            signal.signal(number, before)

    def _take(self, number: int, _: object) -> None:
        self._taken = number
        if self.asked or not self.stepping:
            raise KeyboardInterrupt
        self.asked = True

    def exit_code(self, code: int) -> int:
        """That of the process: `code`, or what shells tell of a signal, but Ctrl-C, that ended it before its time."""
        ended = self._taken not in (None, signal.SIGINT) and code != DONE
        return 128 + int(self._taken or 0) if ended else code

    def watch(self, events: Iterator[Event]) -> Iterator[Event]:
        """The events; from them it knows whether a training steps."""
        for event in events:
            steps = event.get("unit") == "steps" or "step" in event  # the latter of one of several runs
            self.stepping = steps or (self.stepping and event["event"] != "result")
            yield event


def until_stopped(events: Events, warned: SimpleQueue[Event], stop: Callable[[], bool]) -> Iterator[Event]:
    """Warnings and events in the order they came; closes `events`, which then keep what is done, if asked to stop."""
    for event in events:
        while not warned.empty():
            yield warned.get()
        yield event
        if stop() and event["event"] != "result":
            events.close()
            yield {"event": "stopped", "text": "Stopped; what is done is kept."}
            break
    while not warned.empty():
        yield warned.get()


def training_events(reports: Generator["Report", None, None], run: Path) -> Events:
    """The reports of a training as events; previews are drawn into the run folder."""
    from napari_pix2pix.files.pictures import write_preview

    with closing(reports):
        for report in reports:
            if (preview := report.preview) is not None:
                path = run / "previews" / f"{report.step:07d}.png"
                write_preview(path, preview)
                yield {"event": "preview", "step": report.step, "path": str(path)}
            if report.teaching is not None:
                yield teaching_event(report.teaching)
                continue
            yield {
                "event": "progress",
                "unit": "steps",
                "done": report.step,
                "total": report.steps,
                "remaining_s": report.remaining_s,
                "losses": report.losses,
                "metrics": report.metrics,
            }


def teaching_event(report: "TrustReport") -> Event:
    """How far the teaching of the judge of the match is."""
    return {
        "event": "progress",
        "unit": "trust steps",
        "done": report.step,
        "total": report.steps,
        "remaining_s": report.remaining_s,
        "losses": report.losses,
        "metrics": {},
    }


def exit_code(event: Event) -> int:
    """What this event means for the exit code."""
    return int(event.get("code", FAILED if event.get("failed") or event["event"] == "stopped" else DONE))


def with_flags(said: Any) -> Any:
    """An event, or a part of one, whose sentences call settings by the flags of the command line."""
    if isinstance(said, str):
        return named(said, as_flag)
    if isinstance(said, dict):
        return {name: with_flags(part) for name, part in said.items()}
    return [with_flags(part) for part in said] if isinstance(said, list) else said


def _paced(events: Iterator[Event]) -> Iterator[Event]:
    """The events, with progress thinned to a few a second; the last of all always comes."""
    last = 0.0
    for event in events:
        now = time.monotonic()
        if event["event"] != "progress" or event.get("metrics") or event["done"] == event["total"]:
            yield event
        elif now - last >= 1 / PROGRESS_PER_S:
            last = now
            yield event


def draw_json(events: Iterator[Event], write: Callable[[Event], None] | None = None) -> int:
    """Each event as a JSON line on standard output, or passed to `write`; the exit code."""
    code = DONE
    for event in _paced(events):
        code = max(code, exit_code(event))
        if write is not None:
            write(event)
        else:
            print(json.dumps(with_flags(event)), flush=True)
    return code


def draw_text(events: Iterator[Event]) -> int:
    """A progress bar and notes on standard error, results on standard output; the exit code."""
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        ProgressColumn,
        Task,
        TextColumn,
        TimeRemainingColumn,
    )
    from rich.table import Column
    from rich.text import Text

    class SpeedColumn(ProgressColumn):
        """Steps or files a second."""

        def render(self, task: Task) -> Text:
            return Text(f"{task.speed:.3g} {task.description}/s" if task.speed else "")

    notes, code = Console(stderr=True, soft_wrap=True, highlight=False, emoji=False), DONE
    tasks: dict[str, Any] = {}
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), SpeedColumn(Column(no_wrap=True)))
    bar = Progress(*columns, TimeRemainingColumn(), TextColumn("{task.fields[figures]}"), console=notes)
    marks = {"warning": "warning: ", "error": "error: ", "failure": "failed: "}
    try:
        for event in map(with_flags, _paced(events)):
            code = max(code, exit_code(event))
            if event["event"] == "progress":
                named = {**event.get("losses", {}), **event.get("metrics", {})}
                figures = "  ".join(f"{name} {value:.3f}" for name, value in named.items())
                if (unit := event["unit"]) not in tasks:
                    bar.start()
                    tasks[unit] = bar.add_task(unit, total=event["total"], figures="")
                bar.update(tasks[unit], completed=event["done"], total=event["total"], figures=figures)
            elif event["event"] == "result":
                if tasks:
                    bar.stop()
                print(shown(event["text"]), flush=True)
            elif "text" in event:
                notes.print(marks.get(event["event"], "") + shown(event["text"]), markup=False)
    finally:
        if tasks:
            bar.stop()
    return code
