"""The bridge to the child, with real processes and without Qt."""

import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from queue import Queue

import psutil
import pytest

from napari_pix2pix.widgets.bridge import MEMORY, Child, Event, why_it_died
from small import SMALL_FLAGS

LONG = [flag if flag not in ("4", "6") else "100000" for flag in SMALL_FLAGS]


class Ear:
    """A child and what is heard from it."""

    def __init__(self, *command: str) -> None:
        self.heard: Queue[tuple[int, Event]] = Queue()
        self.child = Child(lambda number, event: self.heard.put((number, event)), *([command] if command else []))

    def until(self, number: int, *kinds: str, seconds: float = 60) -> list[Event]:
        """The events of the command up to the first of these kinds."""
        events = []
        while True:
            who, event = self.heard.get(timeout=seconds)
            if who == number:
                events.append(event)
                if event["event"] in kinds:
                    return events
                assert event["event"] != "done", events


@pytest.fixture
def ear() -> Iterator[Ear]:
    ear = Ear()
    yield ear
    ear.child.close()


def texts(events: list[Event], kind: str = "error") -> list[str]:
    return [event["text"] for event in events if event["event"] == kind]


def test_a_command_is_started_answers_and_is_done(ear: Ear) -> None:
    """Events come in order, the child stays for the next command."""
    events = ear.until(ear.child.run(["info"]), "done")
    assert [event["event"] for event in events] == ["started", "result", "done"]
    assert events[1]["devices"]
    pid = ear.child.pid
    assert ear.until(ear.child.run(["info"]), "done")[-1] == {"event": "done", "code": 0, "stopped": False}
    assert ear.child.pid == pid


def test_an_error_is_one_sentence_and_the_next_command_works(ear: Ear, tmp_path: Path) -> None:
    """A wrong request costs nothing."""
    events = ear.until(ear.child.run(["info", tmp_path / "no.safetensors"]), "done")
    assert len(texts(events)) == 1
    assert "\n" not in texts(events)[0]
    assert events[-1]["code"] == 2
    assert ear.until(ear.child.run(["info"]), "done")[-1]["code"] == 0


def test_a_killed_child_is_told_and_the_next_command_works(ear: Ear, pair, tmp_path: Path) -> None:
    """As after the kernel's out-of-memory killer."""
    number = ear.child.run(["train", *pair, "--out", tmp_path / "run", *LONG])
    ear.until(number, "progress")
    os.kill(ear.child.pid, signal.SIGKILL)
    events = ear.until(number, "done")
    assert texts(events) == [MEMORY]
    assert events[-1]["code"] == 1
    assert ear.until(ear.child.run(["info"]), "done")[-1]["code"] == 0


@pytest.mark.slow
def test_a_child_killed_while_it_rests_is_replaced(ear: Ear) -> None:
    """Nobody asked for anything: nobody hears of it."""
    ear.until(ear.child.run(["info"]), "done")
    os.kill(ear.child.pid, signal.SIGKILL)
    while ear.child.pid is not None:
        time.sleep(0.01)
    assert not texts(ear.until(ear.child.run(["info"]), "done"))


def test_stop_keeps_the_model_and_the_child(ear: Ear, pair, tmp_path: Path) -> None:
    """Within 5 s, and what waits behind it goes on."""
    number = ear.child.run(["train", *pair, "--out", tmp_path / "run", *LONG])
    behind, forgotten = ear.child.run(["info"]), ear.child.run(["info"])
    ear.until(number, "progress")
    pid, before = ear.child.pid, time.monotonic()
    ear.child.stop(forgotten, within_s=0)
    assert [event["event"] for event in ear.until(forgotten, "done")] == ["done"]
    ear.child.stop(number)
    assert ear.until(number, "done")[-1]["stopped"]
    assert time.monotonic() - before < 5
    assert (tmp_path / "run" / "model.safetensors").is_file()
    assert ear.until(behind, "done")[-1]["code"] == 0
    assert ear.child.pid == pid


@pytest.mark.slow
def test_a_paused_training_rests_until_it_is_continued(ear: Ear, pair, tmp_path: Path) -> None:
    number = ear.child.run(["train", *pair, "--out", tmp_path / "run", *LONG])
    ear.until(number, "progress")
    ear.child.pause(number)
    time.sleep(1)
    while not ear.heard.empty():
        ear.heard.get()
    time.sleep(1)
    assert ear.heard.empty()
    ear.child.resume(number)
    ear.until(number, "progress")


def test_a_child_that_does_not_stop_is_killed() -> None:
    """After the time given; what waits behind it gets a new child."""
    deaf = Ear(sys.executable, "-c", "import time; time.sleep(60)")
    number, behind = deaf.child.run(["predict"]), deaf.child.run(["predict"])
    before, pid = time.monotonic(), deaf.child.pid
    deaf.child.stop(number, within_s=0.5)
    assert deaf.until(number, "done") == [
        {"event": "started"},
        {"event": "done", "code": 0, "stopped": True},
    ]
    assert time.monotonic() - before < 2
    assert deaf.until(behind, "started")
    assert deaf.child.pid != pid
    deaf.child.stop(behind, within_s=0)
    deaf.until(behind, "done")
    deaf.child.close()


def test_closing_ends_a_training_in_order(ear: Ear, pair, tmp_path: Path) -> None:
    """Within 5 s, its model kept, no process left."""
    number = ear.child.run(["train", *pair, "--out", tmp_path / "run", *LONG])
    waiting = ear.child.run(["info"])
    ear.until(number, "progress")
    pid, before = ear.child.pid, time.monotonic()
    ear.child.close()
    assert time.monotonic() - before < 5
    assert not psutil.pid_exists(pid)
    assert (tmp_path / "run" / "model.safetensors").is_file()
    done = {who for who, event in ear.heard.queue if event["event"] == "done"}
    assert done == {number, waiting}


def test_closing_a_child_in_its_imports_takes_no_time(ear: Ear) -> None:
    ear.child.warm_up()
    pid, before = ear.child.pid, time.monotonic()
    ear.child.close()
    assert time.monotonic() - before < 1
    assert not psutil.pid_exists(pid)


def test_what_cannot_be_started_is_told(tmp_path: Path) -> None:
    nothing = Ear(str(tmp_path / "no-python"))
    events = nothing.until(nothing.child.run(["info"]), "done")
    assert "cannot be started" in texts(events)[0]


def test_the_last_words_of_a_child_are_told() -> None:
    """What a broken installation prints reaches the user."""
    broken = Ear(sys.executable, "-c", "raise ImportError('libtorch is missing')")
    events = broken.until(broken.child.run(["info"]), "done")
    assert texts(events) == ["The computation ended unexpectedly: ImportError: libtorch is missing"]


@pytest.mark.parametrize(("code", "part"), [(-9, "memory"), (-11, "SIGSEGV"), (3, "exit code 3")])
def test_each_way_to_die_has_a_sentence(code: int, part: str) -> None:
    assert part in why_it_died(code, [])
