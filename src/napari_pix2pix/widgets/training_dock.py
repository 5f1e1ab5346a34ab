"""What *Train* and *Improve* share: a training that is watched, paused, stopped, and offered to the other docks."""

import html
import time
from contextlib import suppress
from functools import partial
from pathlib import Path
from shutil import rmtree
from typing import Any

from napari.layers import Layer
from qtpy.QtCore import Qt, QTimer
from qtpy.QtWidgets import QMessageBox, QPushButton, QWidget

from napari_pix2pix.core.settings.config import Config
from napari_pix2pix.widgets.bridge import Event
from napari_pix2pix.widgets.card import read_card
from napari_pix2pix.widgets.choices import DeviceChoice
from napari_pix2pix.widgets.curves import Curves, warm_up
from napari_pix2pix.widgets.dock import Dock, Request
from napari_pix2pix.widgets.flags import in_a_dock, spoken, time_left
from napari_pix2pix.widgets.glossary import explained
from napari_pix2pix.widgets.places import remember_model
from napari_pix2pix.widgets.preview import PreviewLayer
from napari_pix2pix.widgets.session import STOP_S, Job
from napari_pix2pix.widgets.step_times import UNITS, expected_phases, remember_step_time, rounded

LINK = "#3b8bd0"
"""Seen on dark and on light."""
JUDGING = 0.25
"""Of the time of a training that is given time, at most, learns to judge; so much is assumed where it is not known."""
LEADS = {True: ("Predict", "Predict with it"), False: ("Generate", "Generate with it")}
"""By whether a model makes images of others: what is next."""
WARM, NOTED_EVERY_S = 10, 5.0
"""The time of a step is remembered after so many steps, and so often."""


class TrainingDock(Dock):
    """A dock that trains a model.

    Parameters
    ----------
    viewer
        Whose layers are offered, and to which the preview is added.
    """

    device: DeviceChoice
    leads_to, door_text = LEADS[True]
    stop_explained = "End the training; the best model so far is kept, and the run can be continued later"

    def __init__(self, viewer: Any) -> None:
        super().__init__(viewer)
        self.preview: PreviewLayer | None = None
        self.result: Event = {}
        self._run: Path | None = None
        self._timed: tuple[Config, str] | None = None
        self._noted = 0.0  # when the time of a step was
        self._minutes: float | None = None
        self.pause_button = QPushButton("Pause")
        self.pause_button.setCheckable(True)
        self.pause_button.setEnabled(False)
        self.pause_button.setToolTip("Let the computer rest, and go on later")
        self.pause_button.toggled.connect(self._pause)
        self.buttons.insertWidget(1, self.pause_button, 1)
        self.judge_button = QPushButton("Stop and judge")
        self.judge_button.setToolTip(
            "Make no more steps: keep the best model so far, teach it to judge its predictions, and write the report"
        )
        self.judge_button.clicked.connect(self.stop_and_judge)
        self.judge_button.hide()
        self.column.insertWidget(self.column.indexOf(self.bar), self.judge_button)
        self._ends_early = False  # what runs is stopped, and what follows a last step is to follow
        self.curves = Curves()
        self.column.addWidget(self.curves)
        self.column.addStretch(1)
        self.status.setOpenExternalLinks(True)

    def watch(self, run: Path, config: Config, device: str, beside: Layer | None, minutes: float | None = None) -> None:
        """A training into this folder is about to begin.

        Parameters
        ----------
        run
            The run's folder.
        config, device
            What is trained, on what: its steps are timed.
        beside
            The preview lies below this layer; None: below all images there are.
        minutes
            That it is given, if it is given time.
        """
        self._minutes = minutes
        self._run, self._timed, self.result = run, (config, device), {}
        self._noted, self._ends_early = 0.0, False
        self.preview = PreviewLayer(self.viewer, f"{run.name} preview", beside)
        self.curves.read(run / "history.csv")

    def begin(self, request: Request) -> None:
        """Have it done."""
        self.status.setTextFormat(Qt.TextFormat.PlainText)
        self.session.in_thread(self.token, warm_up, lambda _: self.curves.make(), lambda _: None)
        super().begin(request)
        if self.job is not None:
            self.job.pausing.connect(self.pause_button.setChecked)
        self.pause_button.setEnabled(True)

    def hear(self, event: Event) -> None:
        """Show how far it is and what it has learned."""
        kind = event["event"]
        if kind == "preview" and self.preview is not None:
            self.session.in_thread(self.token, self.preview.read(event["path"]), self.preview.show, self.preview.miss)
        elif kind == "progress":
            self._note_time(event)
            learns = event["unit"] == "steps" and event["done"] < event["total"] and self.stop_button.isEnabled()
            self.judge_button.setVisible(learns and self._judges())
            if event["unit"] == "steps":
                self.curves.add(event["done"], event.get("losses", {}), event.get("metrics", {}))
        elif kind == "note":
            if "trust_steps" in event and self._timed:
                counts = {name: event[name] for name in ("steps", "trust_steps")}
                self._timed = self._timed[0].model_copy(update=counts), self._timed[1]
            if self.stop_button.isEnabled():
                self.status.setText(in_a_dock(event["text"]))
        elif kind == "result":
            self.result = event

    def phases(self) -> tuple[float | None, float | None]:
        """Seconds that it learns, and that it learns to judge; None where that is not known."""
        if self._timed is None:
            return None, 0.0
        if self._minutes is None:
            return expected_phases(*self._timed)
        judges = 60 * self._minutes * JUDGING if self._timed[0].teaching_steps else 0.0
        return 60 * self._minutes - judges, judges

    def share(self, event: Event) -> float:
        """Of both, learning and learning to judge."""
        learns, judges = self.phases()
        known = learns / (learns + judges) if learns and judges else 1 - JUDGING
        first = 1.0 if judges == 0 else known
        done = super().share(event)
        return first * done if event["unit"] == "steps" else first + (1 - first) * done

    def show_progress(self, event: Event) -> None:
        """The step, and what there is to see; nothing new while it rests."""
        if self.pause_button.isChecked():
            return
        judging, left = event["unit"] != "steps", time_left(event.get("remaining_s"))
        what = "Learns to judge predictions: step" if judging else "Step"
        seen = "" if self.preview is None or self.preview.layer is None else "\n" + self.preview.legend
        if event["done"] < event["total"]:
            _, judges = self.phases()
            then = "" if judging or judges == 0 else ", then learns to judge"
            then += f" {rounded(judges)}" if then and judges else ""
            text = f"{what} {event['done']:,} of {event['total']:,}{left}{then}"
        else:
            text = "Prepares to judge …" if not judging and self._judges() else "Judges the model, draws the report …"
        self.status.setText(f"{text}{seen}")

    def _judges(self) -> bool:
        """Whether the model that is trained is to learn to judge its predictions."""
        return self._timed is not None and bool(self._timed[0].teaching_steps)

    def stop_and_judge(self) -> None:
        """Make no more steps, and do what follows the last one."""
        self._ends_early = True
        self.stop()

    def _stop(self, within_s: float | None) -> None:
        self.judge_button.hide()
        super()._stop(within_s)

    def finish(self, well: bool) -> None:
        """Offer the model to the other docks: the finished one, or the best so far."""
        self.judge_button.hide()
        ends_early, self._ends_early = self._ends_early, False
        if ends_early and self._run is not None and (self._run / "checkpoint.safetensors").is_file():
            words = ["train", "--resume", self._run, "--finish", "--device", self.device.value()]
            self.begin_again(Request(lambda _: words, self.layers))
            return
        self.pause_button.setChecked(False)
        self.pause_button.setEnabled(False)
        self.session.look_at_devices()
        if (run := self._run) is None:
            return
        model = run / "model.safetensors"
        if model.is_file():
            remember_model(model)
            self.session.models_changed.emit()
            how = "Trained." if well else html.escape(self.status.text()) + " The best model so far is kept."
            translates = True
            with suppress(ValueError):  # which says so where it is used
                translates = read_card(model).translates
            self.leads_to, self.door_text = LEADS[translates]
            self.door.setText(self.door_text)
            self.door.setToolTip(f"Open {self.leads_to}, or bring it to the front")
            offering = "Predict and Patch scores offer" if translates else "Generate offers"
            offered = f"{offering} it as “{html.escape(run.name)}”."
            lines = [f"{how} {offered}", *map(html.escape, self.figures()), html.escape(str(model))]
            if report := self.result.get("report"):
                lines.insert(-1, f'<a style="color: {LINK}" href="{Path(report).as_uri()}">Report</a>')
            self.status.setTextFormat(Qt.TextFormat.RichText)
            self.status.setText("<br>".join(lines))
            self.status.setToolTip(explained(" ".join(lines)))
            self.door.show()
            self._run = None
        else:
            self.discard_run()

    def lead_on(self) -> Any:
        """Predict what was learned from, or make more like it."""
        page = super().lead_on()
        if self.leads_to == "Predict":
            page.predict_at_once(next(iter(self.layers), None))
        else:
            page.run()
        return page

    def begin_again(self, request: Request) -> None:
        """Go on with the run that was stopped."""
        self.pause_button.setChecked(False)
        TrainingDock.begin(self, request)
        self.status.setText("Prepares to judge …")

    # What goes away

    @property
    def trains(self) -> bool:
        """Whether a training runs, all of whose data are on the disk."""
        return self.job is not None and self.job.number is not None and self._run is not None

    def closed(self) -> None:
        """The training goes on without the dock, or is stopped: that is asked once."""
        if self.trains and (job := self.job) is not None and _is_open(self.viewer):
            self.session.adopt(job)
            gone = "The dock is closed"
            QTimer.singleShot(0, partial(_ask_about, self.viewer, job, gone))
        super().closed()

    def _layer_removed(self, event: Any) -> None:
        if event.value not in self.layers:
            return
        if self.trains and (job := self.job) is not None and _is_open(self.viewer):
            self.layers = ()  # so that it is asked once
            QTimer.singleShot(0, partial(_ask_about, self.viewer, job, f"“{event.value.name}” is removed"))
        else:
            super()._layer_removed(event)

    def figures(self) -> list[str]:
        """Lines with the figures of what was trained."""
        kinds = {"figures": "validation", "test": "test"}
        return [f"{kind}: {listed(self.result[name])}" for name, kind in kinds.items() if self.result.get(name)]

    def discard_run(self) -> None:
        """Nothing is trained any more; what was written for a training that has not begun is removed."""
        self.pause_button.setEnabled(False)
        run, self._run = self._run, None
        if run is not None and not (run / "config.json").is_file():
            rmtree(run / "data", ignore_errors=True)
            with suppress(OSError):  # it is not empty: something else is there
                (run / ".lock").unlink(missing_ok=True)
                run.rmdir()

    def _note_time(self, event: Event) -> None:
        left, to_do = event.get("remaining_s"), event["total"] - event["done"]
        due = event["done"] >= WARM and time.monotonic() - self._noted > NOTED_EVERY_S
        if self._timed and left and to_do and due and event["unit"] in UNITS:
            remember_step_time(*self._timed, event["unit"], left / to_do)
            self._noted = time.monotonic()

    def _pause(self, paused: bool) -> None:
        self.pause_button.setText("Continue" if paused else "Pause")
        if self.job is not None:
            self.job.pause(paused)
            if paused:
                self.status.setText(self.status.text() + "\nPauses after this step.")


def _is_open(viewer: Any) -> bool:
    """Whether there is a window to ask in: not where napari itself is closed."""
    try:
        return bool(viewer.window._qt_window.isVisible())
    except (AttributeError, RuntimeError):  # it is gone
        return False


def _ask_about(viewer: Any, job: Job, gone: str) -> None:
    if not _is_open(viewer) or not ask_to_go_on(viewer.window._qt_window, f"{gone}, but {job.name} still runs."):
        job.stop(STOP_S)


def ask_to_go_on(window: QWidget, what: str) -> bool:
    """Whether what runs is to go on; the user says so."""
    box = QMessageBox(window)
    box.setWindowTitle("napari-pix2pix")
    box.setText(f"{what} Its data are on the disk, so it can go on. If it stops, the best model so far is kept.")
    go_on = box.addButton("Go on", QMessageBox.ButtonRole.AcceptRole)
    box.addButton("Stop", QMessageBox.ButtonRole.DestructiveRole)
    box.setDefaultButton(go_on)
    box.setEscapeButton(go_on)
    box.exec()
    return box.clickedButton() is go_on


def listed(figures: dict[str, float]) -> str:
    """``dice 0.91 · iou 0.84``."""
    return " · ".join(f"{spoken(name)} {value:.3g}" for name, value in figures.items())
