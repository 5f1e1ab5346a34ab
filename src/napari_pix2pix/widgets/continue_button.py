"""A button that offers the runs that were stopped."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

from napari.utils.notifications import show_error
from qtpy.QtWidgets import QFileDialog, QMenu, QPushButton

from napari_pix2pix.widgets.flags import as_plain
from napari_pix2pix.widgets.runs import UnfinishedRun, unfinished_run, unfinished_runs


class ContinueButton(QPushButton):
    """Lists them when it is pressed.

    Parameters
    ----------
    folder
        Where runs lie.
    go_on
        Called with the run that is chosen.
    """

    def __init__(self, folder: Callable[[], Path], go_on: Callable[[UnfinishedRun], None]) -> None:
        super().__init__("Continue a run …")
        self._folder, self._go_on = folder, go_on
        self.setToolTip("Go on with a run that was stopped, from where it was")
        self.runs = QMenu(self)
        self.runs.setToolTipsVisible(True)
        self.runs.aboutToShow.connect(self.look)
        self.setMenu(self.runs)

    def look(self) -> None:
        """List the runs that there are now."""
        self.runs.clear()
        folder = self._folder()
        for run in unfinished_runs(folder):
            self.runs.addAction(run.text, partial(self._go_on, run)).setToolTip(as_plain(str(run.path)))
        if self.runs.isEmpty():
            self.runs.addAction(f"No unfinished run in {folder}").setEnabled(False)
        self.runs.addSeparator()
        self.runs.addAction("Another one …", self._choose)

    def _choose(self) -> None:
        path = QFileDialog.getExistingDirectory(self, "The folder of a run", str(self._folder()))
        if path and (run := unfinished_run(Path(path))) is not None:
            self._go_on(run)
        elif path:
            show_error(f"A run to continue must hold what it was stopped with; {path} does not, or it has ended.")
