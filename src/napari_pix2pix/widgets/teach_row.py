"""A model that was not taught to judge its predictions: why, and a button that has its run do so."""

from functools import partial
from pathlib import Path
from typing import Any

from napari.utils.notifications import show_error
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QLabel, QPushButton, QVBoxLayout, QWidget

from napari_pix2pix.widgets.bridge import Event
from napari_pix2pix.widgets.card import read_card
from napari_pix2pix.widgets.choices import DeviceChoice, ModelChoice
from napari_pix2pix.widgets.flags import in_a_dock, time_left
from napari_pix2pix.widgets.runs import run_to_judge
from napari_pix2pix.widgets.session import Job, Session

TEACH = "Teach it to judge"
LACKS = "It was not taught to judge its predictions."
ELSEWHERE = (
    f"{LACKS} What made it is not beside it, so it cannot be taught here: Train or Improve make one that is, unless "
    "“trust steps” is 0."
)
IMPORTED = f"{LACKS} It was imported; a few pairs of yours teach it to: see fit-trust --help."
UNPAIRED = (
    f"{LACKS} It learned without pairs, so nothing tells how wrong they are; a few registered pairs would: see "
    "fit-trust --help."
)


class TeachRow(QWidget):
    """Hidden where the chosen model can judge its predictions.

    Parameters
    ----------
    session, token
        Of the dock.
    model, device
        Its choices.
    """

    def __init__(self, session: Session, token: object, model: ModelChoice, device: DeviceChoice) -> None:
        super().__init__()
        self._session, self._token, self._model, self._device = session, token, model, device
        self._job: Job | None = None
        self._trouble = ""
        self.told = QLabel()
        self.told.setWordWrap(True)
        self.told.setTextFormat(Qt.TextFormat.PlainText)
        self.button = QPushButton(TEACH)
        self.button.setToolTip(
            "Have the run that made it teach it where its predictions are wrong, with the pairs of that training. If "
            "the training was stopped, it makes no more steps"
        )
        self.button.clicked.connect(self.press)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.told)
        layout.addWidget(self.button)
        model.combo.currentIndexChanged.connect(self.look)
        self.look()

    @property
    def busy(self) -> bool:
        """Whether a model learns to judge now."""
        return self._job is not None

    def look(self, *_: Any) -> None:
        """Say what the chosen model lacks, and whether it can be mended here."""
        if self.busy:
            return
        try:
            path = self._model.value()
            card = read_card(path)
        except ValueError:  # there is none, or it is told elsewhere
            self.hide()
            return
        run = run_to_judge(path)
        self.setVisible(not card.expects_errors)
        self.button.setVisible(run is not None)
        why = f"{LACKS} {in_a_dock(card.not_taught)}".strip()
        here = run is not None or card.not_taught
        elsewhere = IMPORTED if card.imported else ELSEWHERE if card.paired else UNPAIRED
        self.told.setText(why if here else elsewhere)

    def press(self) -> None:
        """Begin, or stop."""
        if self._job is not None:
            self._job.stop()
            self.told.setText("Stops …")
            return
        path: Path = self._model.value()
        if (run := run_to_judge(path)) is None:
            self.look()
            return
        words = ["train", "--resume", run, "--finish", "--device", self._device.value()]
        self._trouble = ""
        self._job = self._session.start(self._token, lambda _: words, "Teach it to judge")
        self._job.heard.connect(self._hear)
        self._job.ended.connect(partial(self._end, path))
        self.button.setText("Stop")
        self.told.setText("Prepares to judge …")

    def _hear(self, event: Event) -> None:
        if event["event"] == "progress" and event["unit"] == "trust steps":
            left = time_left(event.get("remaining_s"))
            self.told.setText(f"Learns to judge: step {event['done']:,} of {event['total']:,}{left}")
        elif event["event"] == "error":
            self._trouble = in_a_dock(event["text"])
            show_error(self._trouble)

    def _end(self, path: Path, well: bool) -> None:
        self._job = None
        self.button.setText(TEACH)
        if well:
            self._model.set_value(path)  # every dock shows it anew
        self.look()
        if self._trouble:
            self.told.setText(self._trouble)
