"""How targets lie on their sources place by place, shown as arrows; and a button that lays them over their sources."""

import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from napari.utils.notifications import show_error, show_warning
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QHBoxLayout, QPushButton, QVBoxLayout, QWidget

from napari_pix2pix.widgets.bridge import Event
from napari_pix2pix.widgets.flags import in_a_dock, time_left
from napari_pix2pix.widgets.layer_choice import made_here
from napari_pix2pix.widgets.pair_rows import Learned, PairRows
from napari_pix2pix.widgets.pairs import FilePairs, LayerPairs
from napari_pix2pix.widgets.places import free_run, new_working_folder
from napari_pix2pix.widgets.repaired import KNOWN, Repaired, arrows, one_by_one, repaired, sentence, times_as_long
from napari_pix2pix.widgets.session import STOP_S, Job, Session
from napari_pix2pix.widgets.words import Words

SHOW, REPAIR = "Local shifts", "Repair"
SHOW_TIP = (
    "Measure how far targets lie off their sources place by place, and show it as arrows: from where something lies in "
    "the source to where it lies in the target image. A few seconds for each of some frames"
)
REPAIR_TIP = (
    "Lay target images over their sources, place by place, into new layers or files, and learn from these. What cannot "
    "be matched is marked as not known; the images themselves stay as they are"
)


class RepairRow(QWidget):
    """Two buttons and a sentence; hidden where what is learned from are no pairs.

    Parameters
    ----------
    session, token
        Of the dock.
    viewer
        To which arrows and repaired targets are added.
    rows
        Where the pairs are chosen.
    checked
        Flags of a check of these pairs; a ValueError where there is nothing to check.
    registered
        The same for registering them.
    folder
        Where results go.

    Signals
    -------
    looks()
        A check with local shifts has begun, which tells all that one without would.
    found(dict)
        Its report.
    unseen()
        It ended without one.
    """

    looks, found, unseen = Signal(), Signal(object), Signal()

    def __init__(
        self,
        session: Session,
        token: object,
        viewer: Any,
        rows: PairRows,
        checked: Callable[[], list[str]],
        registered: Callable[[], list[str]],
        folder: Callable[[], Path],
    ) -> None:
        super().__init__()
        self._session, self._token, self._viewer, self._rows = session, token, viewer, rows
        self._checked, self._registered, self._folder = checked, registered, folder
        self.job: Job | None = None
        self._key: object = None  # of the pairs that the sentence is about
        self._trouble = ""
        self.told = Words()
        self.show_button, self.repair_button = QPushButton(SHOW), QPushButton(REPAIR)
        self.show_button.setToolTip(SHOW_TIP)
        self.repair_button.setToolTip(REPAIR_TIP)
        self.show_button.clicked.connect(lambda *_: self._press(self.show_shifts))
        self.repair_button.clicked.connect(lambda *_: self._press(self.repair))
        column, buttons = QVBoxLayout(self), QHBoxLayout()
        column.setContentsMargins(0, 0, 0, 0)
        for button in (self.show_button, self.repair_button):
            buttons.addWidget(button)
        column.addLayout(buttons)
        column.addWidget(self.told)
        self.told.hide()
        rows.changed.connect(self.follow)
        self.follow()

    def follow(self, *_: object) -> None:
        """What is learned from may be something else now: what was said is no longer about it."""
        try:
            pairs = self._rows.value()
        except ValueError:  # nothing is chosen yet
            pairs = None
        self.setVisible(self._rows.data == "pairs" and pairs is not None)
        if self.job is None and pairs is not None and pairs.key != self._key:
            self.say("")

    def say(self, text: str) -> None:
        """Show this line."""
        self.told.setText(text)
        self.told.setVisible(bool(text))

    def _press(self, begin: Callable[[], None]) -> None:
        """Begin, or stop what runs."""
        if self.job is not None:
            self.job.stop(STOP_S)
            return self.say("Stops …")
        try:
            begin()
        except (ValueError, OSError) as error:
            self.say(in_a_dock(str(error)))
            show_error(self.told.text())

    def show_shifts(self) -> None:
        """Have local shifts measured, and shown."""
        pairs, flags = self._rows.value(), [*self._checked(), "--local"]
        folder: list[Path] = []

        def prepare(stopped: Callable[[], bool]) -> list[Any]:
            folder.append(new_working_folder())
            return ["check", *pairs.words(folder[0], stopped), *flags]

        def show(event: Event) -> None:
            self.found.emit(event)
            if local := event.get("local"):
                self._show_arrows(pairs, local)
            else:
                self.say(in_a_dock(" ".join(event["unusable"])))

        self._start("Measures local shifts …", pairs, prepare, show, folder)
        assert self.job is not None
        self.job.ended.connect(lambda well: None if well else self.unseen.emit())
        self.looks.emit()

    def _show_arrows(self, pairs: Learned, local: Event) -> None:
        for old in [layer for layer in self._viewer.layers if made_here(layer) == "local shifts"]:
            self._viewer.layers.remove(old)
        drawn = arrows(local, pairs) if isinstance(pairs, LayerPairs) and not self._gone(pairs) else []
        for layer in drawn:
            self._viewer.add_layer(layer)
        self.say(sentence(local, times_as_long(local) if drawn else 1))

    def repair(self) -> None:
        """Have targets laid over their sources, and learn from them."""
        pairs, flags = self._rows.value(), self._registered()
        if isinstance(pairs, FilePairs) and pairs.more:
            raise ValueError(
                "Targets in files must be in one folder to be repaired; these are in several, one for each stain. "
                "Repair them one by one, or open them as layers."
            )
        assert isinstance(pairs, LayerPairs | FilePairs)  # others are not offered
        out, folder = free_run(self._folder(), f"{pairs.name} registered"), list[Path]()

        def prepare(stopped: Callable[[], bool]) -> list[Any]:
            folder.append(new_working_folder())
            written = pairs if isinstance(pairs, FilePairs) else one_by_one(pairs)
            return ["register", *written.words(folder[0], stopped), "--out", out, *flags]

        self._start("Lays target images over their sources …", pairs, prepare, partial(self._take, pairs, out), folder)

    def _take(self, pairs: LayerPairs | FilePairs, out: Path, event: Event) -> None:
        """Learn from what was written."""
        told = ", ".join(f"{n} {what.replace('_', ' ')}" for what, n in event["frames"].items() if n)
        kept = " Images that could not be repaired stay as they are." if event["failed"] else ""
        text = f"Repaired (frames: {told}) and chosen to learn from.{kept} Figures: {out / 'registered.csv'}"
        if isinstance(pairs, FilePairs):
            self._rows.choose_files(pairs.source, out / "targets")
            self._rows.files["known"].set_value(out / KNOWN)
            return self._tell_of(text)

        def choose(result: Repaired) -> None:
            if self._gone(pairs):
                return self.say(f"A layer is gone; the repaired target images are in {out / 'targets'}.")
            for old in [layer for layer in self._viewer.layers if made_here(layer) == "local shifts"]:
                old.visible = False  # they lie so no more
            for layer in result.layers:
                self._viewer.add_layer(layer)
            self._rows.choose_layers(result.pairs)
            self._tell_of(text)

        def failed(error: Exception) -> None:
            self.say(str(error))
            show_error(str(error))

        self._session.in_thread(self._token, lambda: repaired(pairs, event["written"]), choose, failed)

    def _tell_of(self, text: str) -> None:
        """Say this of what is chosen now."""
        self._key = self._rows.value().key
        self.say(text)

    def _gone(self, pairs: LayerPairs) -> bool:
        return any(layer not in self._viewer.layers for layer in pairs.layers)

    # The command

    def _start(
        self,
        text: str,
        pairs: Learned,
        prepare: Callable[[Callable[[], bool]], list[Any]],
        take: Callable[[Event], None],
        folder: list[Path],
    ) -> None:
        self._key, self._trouble = pairs.key, ""
        self.say(text)
        for button in (self.show_button, self.repair_button):
            button.setText("Stop")
        self.job = job = self._session.start(self._token, prepare, text.removesuffix(" …").lower())
        job.heard.connect(partial(self._hear, text, take))
        job.ended.connect(partial(self._end, folder))

    def _hear(self, text: str, take: Callable[[Event], None], event: Event) -> None:
        kind = event["event"]
        if kind == "progress":
            self.say(f"{text} {event['done'] / event['total']:.0%}{time_left(event.get('remaining_s'))}")
        elif kind in ("warning", "failure"):
            show_warning(in_a_dock(event["text"]))
        elif kind == "error":
            self._trouble = in_a_dock(event["text"])
            show_error(self._trouble)
        elif kind == "result":
            take(event)

    def _end(self, folder: list[Path], well: bool) -> None:
        job, self.job = self.job, None
        self.show_button.setText(SHOW)
        self.repair_button.setText(REPAIR)
        if job is not None and job.stopped:
            self.say("Stopped.")
        elif self._trouble:
            self.say(self._trouble)
        self._session.in_thread(None, lambda: _remove(folder), lambda _: None, lambda _: None)


def _remove(folders: list[Path]) -> None:
    for folder in folders:
        shutil.rmtree(folder, ignore_errors=True)
