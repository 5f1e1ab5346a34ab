"""What strangers and slips of the hand give to the commands: 500 attempts in the tests, 5,000 in campaigns."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from adversary import cast
from adversary.campaign import SHARES, played
from adversary.law import Attempt, judge, judge_folder
from adversary.stage import GIB, Outcome, Stage

pytestmark = pytest.mark.skipif(
    sys.platform != "linux", reason="attempts are made in forked processes of bounded memory"
)

SENTENCE = b"error: steps must be at least 1; got 0. Choose more.\n"
TRUE = Outcome(2, b"", SENTENCE, 0.1, 0)


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with Stage() as warm:
        cast.prepare(warm, tmp_path_factory.mktemp("adversary") / "cast")
        yield warm


@pytest.mark.parametrize("family", SHARES)
def test_the_law_holds_for_hostile_inputs(stage: Stage, tmp_path: Path, family: str) -> None:
    """One sentence, the right exit code, nothing left, nothing lost, at most 10 s, at most 1 GiB more."""
    broken = [f"{name} {verdict}" for name, verdict in played(family, 500, stage, tmp_path) if verdict.broken]
    assert not broken, "\n".join(broken)


@pytest.mark.slow
@pytest.mark.campaign
@pytest.mark.parametrize("family", SHARES)
def test_the_law_holds_in_a_campaign(stage: Stage, tmp_path: Path, family: str) -> None:
    """The same, ten times as many."""
    broken = [f"{name} {verdict}" for name, verdict in played(family, 5000, stage, tmp_path) if verdict.broken]
    assert not broken, "\n".join(broken)


@pytest.mark.parametrize(
    ("outcome", "broken"),
    [
        (TRUE, ""),
        (Outcome(1, b"", SENTENCE, 0.1, 0), "exit 1 instead of 2"),
        (Outcome(None, b"", b"", 0.1, 0), "did not end"),
        (Outcome(2, b"", SENTENCE, 11.0, 0), "took 11.0 s"),
        (Outcome(2, b"", SENTENCE, 0.1, 2 * GIB), "took 2.0 GiB more"),
        (Outcome(2, b"", b"", 0.1, 0), "said 0 sentences"),
        (Outcome(2, b"", SENTENCE * 2, 0.1, 0), "said 2 sentences"),
        (Outcome(2, b"", b"error: KeyError: 'step'.\n", 0.1, 0), "the name of an exception"),
        (Outcome(2, b"", SENTENCE + b"Traceback (most recent call last):\n", 0.1, 0), "a traceback"),
        (Outcome(2, b"", SENTENCE + b"frame #0: c10::Error at a.cpp:3\n", 0.1, 0), "frames of C++"),
        (Outcome(2, b"\x1b[31m", SENTENCE, 0.1, 0), "a control character"),
        (Outcome(2, b"\xff", SENTENCE, 0.1, 0), "not UTF-8"),
        (Outcome(2, b"", SENTENCE + b"free(): invalid pointer\n", 0.1, 0), "neither error, warning nor progress"),
        (Outcome(2, b"", b"error: embedded null byte\n", 0.1, 0), "does not end as a sentence"),
    ],
)
def test_the_law_is_told_when_it_is_broken(outcome: Outcome, broken: str) -> None:
    """Each part of the law finds what breaks it."""
    found = list(judge(Attempt("any", lambda folder: []), outcome))
    assert any(broken in text for text in found) if broken else not found


def test_what_is_lost_or_left_is_found() -> None:
    """Inputs and foreign files are as they were; new files lie where results may lie, none of them hidden."""
    attempt = Attempt(
        "any", lambda folder: [], frozenset({0}), writes=("O",), keeps=("O/mine.csv",), never=("O/half.tif",)
    )
    before = {b"s.tif": "1", b"t.tif": "2", b"O": "folder", b"O/mine.csv": "3", b"O/old.tif": "4"}
    after = {b"s.tif": "other", b"O": "folder", b"O/a.tif": "5", b"O/.a-x": "6", b"O/half.tif": "7", b"p.tif": "8"}
    found = sorted(judge_folder(attempt, TRUE, before, after))
    lost = ["changed 's.tif'", "lost 'O/mine.csv'", "lost 't.tif'"]
    assert found == sorted([*lost, "left 'O/.a-x'", "left 'p.tif'", "made O/half.tif"])
    assert not list(judge_folder(attempt, TRUE, before, before | {b"O/.napari-pix2pix": "folder"}))
