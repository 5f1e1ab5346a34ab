"""The law: one sentence, the right exit code, nothing left, nothing lost, at most 10 s, at most 1 GiB more."""

import hashlib
import json
import os
import re
import shutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from adversary.stage import GIB, MOST, Outcome, Stage

SECONDS = 10.0
"""Of the processor, so that a busy machine gives no verdict; what waits for nothing is ended by the stage."""
LONGEST = 3000
"""Characters of an error that a stranger's file or name can cause."""
WHOLE = 64 << 20
"""Larger files are told apart by size, time and beginning: the families make sparse ones of gigabytes."""

FORBIDDEN = {
    "a traceback": r"Traceback \(most recent call last\)|^\s*File \".*\", line \d+",
    "the name of an exception": r"(?:^|: )(?:[a-z_]+\.)*[A-Z]\w*(?:Error|Exception|Interrupt|Warning|Exit|NotFound): ",
    "what was not foreseen": r"must be foreseen; this was not",
    "frames of C++": r"frame #\d|\w\.(?:cpp|cc|cu|h):\d+|c10::|at::|INTERNAL ASSERT",
    "pydantic's address": r"errors\.pydantic\.dev",
    "an object's address": r"<[\w.]+ (?:object )?at 0x[0-9a-f]+>",
    "a bare errno": r"\[Errno \d+\]",
    "a control character": "[\x00-\x08\x0b-\x1f\x7f\x80-\x9f\u202a-\u202e\u2066-\u2069]",
}
MARKS = ("error: ", "failed: ", "warning: ")
TOLD = re.compile(
    r"\s*$|(?:files|frames|steps|trust steps|tiles|pairs|draws)\b|Read sources |Expected error "
    r"|Another process |Stopped;|--(?:tile-size|overlap) \d+ rounded up|\d+ tiles? of |Tiles of "
)
"""Other lines on standard error: progress and notes."""
OURS = {".napari-pix2pix", ".lock"}
"""Hidden names that may stay: records of a folder of results, the lock of a run."""


@dataclass(frozen=True)
class Attempt:
    """A hostile input to a command.

    Parameters
    ----------
    name
        Unique in its family.
    make
        Lays the input into an empty folder, the current directory of the command; the command line's words.
    codes
        The exit codes that are right.
    says
        What standard error must hold, each, if the exit code is not 0.
    first
        A command line to give before.
    writes
        What the command may make, change or remove: these paths and those below.
    keeps
        What it must not, though it lies there.
    never
        What must not be there afterwards.
    given
        What standard input holds.
    most_bytes
        How much more address space there is.
    signal_when
        A signal to send, and the pattern of the path that must have come before.
    """

    name: str
    make: Callable[[Path], list[str]]
    codes: frozenset[int] = frozenset({2})
    says: tuple[str, ...] = ()
    first: tuple[str, ...] = ()
    writes: tuple[str, ...] = ()
    keeps: tuple[str, ...] = ()
    never: tuple[str, ...] = ()
    given: bytes = b""
    most_bytes: int = MOST
    signal_when: tuple[int, str] | None = None


@dataclass(frozen=True)
class Verdict:
    """An attempt, what came of it, and which parts of the law it broke."""

    attempt: Attempt
    words: list[str]
    outcome: Outcome
    broken: list[str]

    def __str__(self) -> str:
        said = self.outcome.err.decode(errors="replace")[-600:] or self.outcome.out.decode(errors="replace")[-300:]
        words = " ".join(map(ascii, self.words))[:400]
        return f"{self.attempt.name}: {'; '.join(self.broken)}\n    {words}\n    exit {self.outcome.code}: {said!r}"


def hold_to_the_law(attempt: Attempt, stage: Stage, folder: Path) -> Verdict:
    """Make the attempt in the new `folder`, which is removed afterwards, and judge it."""
    folder.mkdir()
    temporary = folder.with_name(folder.name + ".tmp")
    temporary.mkdir()
    try:
        words = attempt.make(folder)
        if attempt.first:
            stage.play(list(attempt.first), folder)
        before = contents(folder)
        outcome = stage.play(words, folder, attempt.given, attempt.most_bytes, attempt.signal_when)
        after = contents(folder)
        broken = [*judge(attempt, outcome), *judge_folder(attempt, outcome, before, after)]
        broken += [f"left {path.name} in the temporary folder" for path in sorted(temporary.iterdir())]
        return Verdict(attempt, words, outcome, broken)
    finally:
        for path in (folder, temporary):
            shutil.rmtree(os.fsencode(path))


def judge(attempt: Attempt, outcome: Outcome) -> Iterable[str]:
    """What is wrong with how the command ended and what it said."""
    if outcome.code is None:
        yield "did not end"
        return
    if outcome.code not in attempt.codes:
        yield f"exit {outcome.code} instead of {' or '.join(map(str, sorted(attempt.codes)))}"
    if outcome.cpu_s > SECONDS:
        yield f"took {outcome.cpu_s:.1f} s"
    if outcome.more_bytes > GIB:
        yield f"took {outcome.more_bytes / GIB:.1f} GiB more"
    try:
        err, out = outcome.err.decode(), outcome.out.decode()
    except UnicodeDecodeError:
        yield "printed what is not UTF-8"
        return
    for what, pattern in FORBIDDEN.items():
        yield from (f"printed {what}" for text in (err, out) if re.search(pattern, text, re.MULTILINE))
    lines = err.split("\n")
    errors = [line for line in lines if line.startswith("error: ")]
    if attempt.given:  # `serve` answers on standard output, each request on lines of its own, to the last
        try:
            answers = [json.loads(line) for line in out.splitlines()]
        except (ValueError, RecursionError):
            yield "answered what is no JSON"
            return
        if not all(isinstance(answer, dict) for answer in answers):
            yield "answered what is no object"
        elif not any(answer.get("id") == "after" and answer.get("event") == "done" for answer in answers):
            yield "did not answer the last request"
        return
    if outcome.code == 2 and len(errors) != 1:
        yield f"said {len(errors)} sentences instead of one"
    if outcome.code == 1 and not (errors or "failed" in err + out or "not usable" in out or "Stopped" in err):
        yield "failed without a sentence"
    if outcome.code == 0 and errors:
        yield "said an error and that all is well"
    for line in lines:
        if not line.startswith(MARKS) and not TOLD.match(line):
            yield f"said a line that is neither error, warning nor progress: {line[:80]!r}"
            break
    for line in errors:
        if len(line) > LONGEST:
            yield f"said {len(line)} characters"
        if not line.rstrip().endswith((".", "?", "!", ")")):
            yield "said what does not end as a sentence"
        if not line.removeprefix("error: ").strip(" ."):
            yield "said nothing"
    if outcome.code:
        yield from (f"did not say {text!r}" for text in attempt.says if text not in err)


def judge_folder(
    attempt: Attempt, outcome: Outcome, before: dict[bytes, str], after: dict[bytes, str]
) -> Iterable[str]:
    """What was lost or left in the folder."""
    own = [os.fsencode(path) for path in attempt.writes]

    def may(path: bytes) -> bool:
        return os.fsdecode(path) not in attempt.keeps and any(
            path == name or path.startswith((name + b"/", name + b".")) for name in own
        )

    for path, what in before.items():
        if path not in after and not may(path):
            yield f"lost {os.fsdecode(path)!a}"
        elif path in after and after[path] != what and what != "folder" and not may(path):
            yield f"changed {os.fsdecode(path)!a}"
    for path in after.keys() - before.keys():
        hidden = [part for part in os.fsdecode(path).split("/") if part.startswith(".") and part not in OURS]
        if hidden or not may(path) or path.endswith(b".claim"):
            yield f"left {os.fsdecode(path)!a}"
    yield from (f"made {path}" for path in attempt.never if os.fsencode(path) in after)


def contents(folder: Path) -> dict[bytes, str]:
    """What each path below `folder` is."""
    found, root = {}, os.fsencode(folder)
    for place, folders, files in os.walk(root):
        for name in folders + files:
            path = os.path.join(place, name)  # noqa: PTH118 - names may be no text
            found[os.path.relpath(path, root)] = _content(path)
    return found


def _content(path: bytes) -> str:
    if os.path.islink(path):  # noqa: PTH114
        return f"link to {os.readlink(path)!r}"  # noqa: PTH115
    if os.path.isdir(path):  # noqa: PTH112
        return "folder"
    if not os.path.isfile(path):  # noqa: PTH113
        return "special"
    status = os.stat(path)  # noqa: PTH116
    with open(path, "rb") as file:  # noqa: PTH123
        if status.st_size > WHOLE:
            return f"{status.st_size} {status.st_mtime_ns}"
        return hashlib.sha256(file.read()).hexdigest()
