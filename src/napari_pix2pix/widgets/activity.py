"""How far a command is, in napari's activity dock."""

import io
from contextlib import suppress

from napari.utils import progress
from qtpy.QtCore import QObject, QTimer

PARTS = 1000


class Activity(QObject):
    """One bar there, until it is closed.

    Whenever its bar is drawn, napari has everything done that waits in the window's queue, be it the end of the
    command: so nobody draws it in the middle of something else.

    Parameters
    ----------
    name
        What runs.
    parent
        With which it goes.
    """

    def __init__(self, name: str, parent: QObject) -> None:
        super().__init__(parent)
        self._name, self._share, self._over, self._draws = name, 0.0, False, False
        self._bar: progress | None = None
        self._soon = QTimer(self)
        self._soon.setSingleShot(True)
        self._soon.timeout.connect(self._draw)
        self._soon.start(0)

    def show(self, share: float) -> None:
        """So much is done, from 0 to 1; a bar never goes back."""
        self._share = share
        self._soon.start(0)

    def close(self) -> None:
        """It is over."""
        self._over = True
        self._soon.start(0)

    def _draw(self) -> None:
        if self._draws:  # what is drawn now is followed by what is new
            return
        self._draws, drawn = True, None
        with suppress(RuntimeError):  # the window is gone
            while not self._over and drawn != self._share:
                drawn = self._share
                if self._bar is None:
                    self._bar = progress(total=PARTS, desc=self._name, file=io.StringIO())  # nothing for the terminal
                if (more := round(PARTS * drawn) - int(self._bar.n)) > 0:
                    self._bar.update(more)
        self._draws = False
        if self._over:
            with suppress(RuntimeError):
                if self._bar is not None and self._bar in progress._all_instances:
                    self._bar.close()
            self.deleteLater()
