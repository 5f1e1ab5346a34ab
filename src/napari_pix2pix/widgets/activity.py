"""How far a command is, in napari's activity dock."""

import io
from contextlib import suppress

from napari.utils import progress

PARTS = 1000


class Activity:
    """One bar there, until it is closed.

    Parameters
    ----------
    name
        What runs.
    """

    def __init__(self, name: str) -> None:
        self._bar = progress(total=PARTS, desc=name, file=io.StringIO())  # nothing for the terminal

    def show(self, share: float) -> None:
        """So much is done, from 0 to 1; a bar never goes back."""
        if (more := round(PARTS * share) - int(self._bar.n)) > 0:
            with suppress(RuntimeError):  # the window is gone
                self._bar.update(more)

    def close(self) -> None:
        """It is over; to say so twice does nothing."""
        if self._bar in progress._all_instances:
            with suppress(RuntimeError):  # the window is gone
                self._bar.close()
