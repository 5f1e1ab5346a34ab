"""The command line: a module per command, each a generator of events; flags come from the config's own fields.

Torch is imported only inside commands, so that help answers at once.
"""

import os
import sys
import traceback
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from io import TextIOWrapper

from cyclopts import App, CycloptsError, Parameter, UnusedCliTokensError

from napari_pix2pix import __version__
from napari_pix2pix.commands.check import check
from napari_pix2pix.commands.compare import compare
from napari_pix2pix.commands.demo import demo
from napari_pix2pix.commands.evaluate import evaluate
from napari_pix2pix.commands.events import (
    DONE,
    FAILED,
    REQUEST_ERRORS,
    WRONG_REQUEST,
    Event,
    Interrupt,
    draw_json,
    draw_text,
    until_stopped,
    warnings_as_events,
)
from napari_pix2pix.commands.export import export
from napari_pix2pix.commands.field import field
from napari_pix2pix.commands.fit_trust import fit_trust
from napari_pix2pix.commands.flags import spread
from napari_pix2pix.commands.generate import generate
from napari_pix2pix.commands.import_ import import_
from napari_pix2pix.commands.info import info
from napari_pix2pix.commands.learning_curve import learning_curve
from napari_pix2pix.commands.models import models
from napari_pix2pix.commands.predict import predict
from napari_pix2pix.commands.reader_set import reader_set
from napari_pix2pix.commands.recipe import remember
from napari_pix2pix.commands.register import register
from napari_pix2pix.commands.score import score
from napari_pix2pix.commands.sentences import is_wrong_path, sentence_of
from napari_pix2pix.commands.train import train

app = App(
    "napari-pix2pix",
    help="Train, run and trust paired image-to-image models on microscopy.",
    help_epilogue="Every command takes `--json` (progress and result as JSON lines, for scripts) and "
    "`--debug` (where an error was raised).",
    version=__version__,
    exit_on_error=False,
    print_error=False,
    result_action="return_value",
    default_parameter=Parameter(negative_iterable=()),
)


for command in (
    demo,
    check,
    register,
    train,
    predict,
    generate,
    score,
    evaluate,
    fit_trust,
    compare,
    reader_set,
    learning_curve,
    export,
    models,
    info,
    field,
):
    app.command(command)
app.command(import_, name="import")


@app.command
def serve() -> int:
    """For the docks: stay warm and take JSON requests on standard input until it closes."""
    from napari_pix2pix.commands.serve import serve_requests

    if sys.stdout is sys.stderr:
        raise ValueError("A process that serves must not serve another; leave the command serve out.")
    answers, sys.stdout = sys.stdout, sys.stderr  # what a library prints must not look like an answer
    for stream in (sys.stdin, answers):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(encoding="utf8", errors="surrogateescape")
    return serve_requests(run_command, sys.stdin, answers)


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; the exit code."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    flags = {flag for flag in ("--json", "--debug") if flag in words}
    words = [word for word in words if word not in flags]
    draw = draw_json if "--json" in flags else draw_text
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a name may hold what the terminal cannot show
    with Interrupt() as interrupt:
        try:
            code = run_command(
                words, lambda events: draw(interrupt.watch(events)), lambda: interrupt.asked, debug="--debug" in flags
            )
        except KeyboardInterrupt:  # asked again while the sentence was written
            code = FAILED
        return interrupt.exit_code(code)


def _called(words: list[str]) -> object:
    """What the command gives; what stands behind a flag of several values and can be nothing else is one of them."""
    try:
        return app(spread(words))
    except UnusedCliTokensError:
        try:
            return app(spread(words, names=True))
        except CycloptsError:
            pass
        raise


def run_command(
    words: list[str],
    draw: Callable[[Iterator[Event]], int],
    stop: Callable[[], bool] = lambda: False,
    debug: bool = False,
) -> int:
    """One command; its events are drawn and its error told in one sentence. The exit code."""
    remember(words)
    try:
        events = _called(words)
        if not isinstance(events, Generator):  # help or version, already printed, or `serve` that has ended
            return events if isinstance(events, int) else DONE
        with closing(events), warnings_as_events() as warned:
            return draw(until_stopped(events, warned, stop))
    except KeyboardInterrupt:
        return draw(iter([{"event": "error", "code": FAILED, "text": "Interrupted; no file is half-written."}]))
    except BrokenPipeError:  # whoever read our output is gone
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    except Exception as error:  # the outermost door: whatever failed becomes one sentence
        if debug:
            traceback.print_exc()
        wrong = isinstance(error, (CycloptsError, *REQUEST_ERRORS)) or is_wrong_path(error)
        code = WRONG_REQUEST if wrong else FAILED
        return draw(iter([{"event": "error", "code": code, "text": sentence_of(error)}]))
