"""Has what is to be learned from checked in the child whenever something else is chosen, and shows what is found."""

import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from qtpy.QtCore import QObject, QTimer

from napari_pix2pix.widgets.bridge import Event
from napari_pix2pix.widgets.check_panel import CheckPanel
from napari_pix2pix.widgets.flags import in_a_dock
from napari_pix2pix.widgets.pair_rows import Learned
from napari_pix2pix.widgets.places import new_working_folder
from napari_pix2pix.widgets.session import Job, Session

MOST_BYTES = 2**28
"""Of the pairs that are checked without being asked."""
QUIET_MS = 400
"""How long nothing changes before a check begins."""
LOOK = "the look at the images"
"""What others wait for."""
Asked = Callable[[], "tuple[Learned, list[str]]"]


class _TooLarge(Exception):
    """To be checked only when asked."""


class PairCheck(QObject):
    """Checks what `asked` says, some moments after `look` was called for the last time.

    Parameters
    ----------
    session, token
        Who runs commands, and for whom.
    panel
        Where the findings are shown.
    asked
        What is learned from and the flags of the settings; a ValueError where there is nothing to check.
    """

    def __init__(self, session: Session, token: object, panel: CheckPanel, asked: Asked) -> None:
        super().__init__(panel)
        self.panel, self.job = panel, None
        self._session, self._token, self._asked = session, token, asked
        self._seen: object = None
        self._again = False
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(QUIET_MS)
        self._timer.timeout.connect(self._begin)
        panel.asked.connect(lambda: self._begin(whatever_size=True))

    job: Job | None

    def look(self, *_: object) -> None:
        """Something may have changed."""
        self._timer.start()

    def leave_to_others(self) -> None:
        """What is chosen now is looked at elsewhere: do not begin."""
        self._timer.stop()
        self._again = False
        with suppress(ValueError):  # then it is not looked at elsewhere, either
            self._seen = _key(*self._asked())

    def forget(self) -> None:
        """The next look checks, whatever was checked before."""
        self._seen = None

    def look_anew(self) -> None:
        """Who looked elsewhere saw nothing."""
        self.forget()
        self.look()

    def _begin(self, whatever_size: bool = False) -> None:
        try:
            pairs, flags = self._asked()
            key = _key(pairs, flags)
        except ValueError:  # said when it is to be trained
            self._seen = None
            return self.panel.clear()
        if self.job is not None:
            self._again = True
            return
        if key == self._seen and not whatever_size:
            return
        self._seen = key
        folder: list[Path] = []

        def prepare(stopped: Callable[[], bool]) -> list[Any]:
            if pairs.n_bytes() > MOST_BYTES and not whatever_size:
                raise _TooLarge
            folder.append(new_working_folder())
            return ["check", *pairs.words(folder[0], stopped), *flags]

        self.panel.say("Looks at the images …")
        self.job = job = self._session.start(self._token, prepare, LOOK)
        job.heard.connect(self._hear)
        job.ended.connect(self._end)
        job.ended.connect(lambda _: self._session.in_thread(None, lambda: _remove(folder), _nothing, _nothing))

    def _hear(self, event: Event) -> None:
        if event["event"] == "result":
            self.panel.show_report(event)
        elif event["event"] == "error":
            if isinstance(event.get("error"), _TooLarge):
                self.panel.offer("Large images are looked at when you ask for it.")
            else:
                self.panel.say(in_a_dock(event["text"]))

    def _end(self, well: bool) -> None:
        job, self.job = self.job, None
        if job is not None and job.stopped:
            self._seen = None
            self.panel.clear()
        if self._again:
            self._again = False
            self.look()


def _key(pairs: Learned, flags: list[str]) -> object:
    return pairs.key, tuple(flags)


def _remove(folders: list[Path]) -> None:
    for folder in folders:
        shutil.rmtree(folder, ignore_errors=True)


def _nothing(_: Any) -> None:
    pass
