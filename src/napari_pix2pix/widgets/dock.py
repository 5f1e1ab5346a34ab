"""What the docks share: a form, a button that runs a command of the command line, and what is heard of it."""

import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

from napari.layers import Layer
from napari.utils.notifications import show_error, show_warning
from qtpy.QtCore import QEvent, QObject, QSize, Qt, QTimer
from qtpy.QtGui import QIcon, QKeySequence
from qtpy.QtWidgets import (
    QDockWidget,
    QFormLayout,
    QFrame,
    QHBoxLayout,
    QLabel,
    QMainWindow,
    QProgressBar,
    QPushButton,
    QScrollArea,
    QShortcut,
    QVBoxLayout,
    QWidget,
)

from napari_pix2pix.widgets.activity import Activity
from napari_pix2pix.widgets.bridge import Event
from napari_pix2pix.widgets.doors import open_page
from napari_pix2pix.widgets.flags import in_a_dock
from napari_pix2pix.widgets.glossary import with_words
from napari_pix2pix.widgets.layer_choice import Follower, LayerChoice, Prefer
from napari_pix2pix.widgets.remembered import keep, remember
from napari_pix2pix.widgets.session import STOP_S, Job, Prepare, shared_session
from napari_pix2pix.widgets.waiting import Waiting

RUN_KEYS, STOP_KEYS = "Ctrl+Return", "Ctrl+."
"""Where the keyboard is in the dock."""
ICON = Path(__file__).parents[1] / "icon.svg"
SETTLED_MS = 100
"""When what is shown newly has found its place."""
SHOWN_EVERY_MS = 500
"""How often it is shown how far a command is: without a GPU, each drawing of a window takes time from what computes."""


class Request(NamedTuple):
    """What a dock asks for.

    Parameters
    ----------
    prepare
        Finds the words of the command, in a thread; see `Session.start`.
    layers
        If one of them is removed, the command is stopped.
    """

    prepare: Prepare
    layers: tuple[Layer, ...]


class _Column(QScrollArea):
    """What is in it scrolls where the window is low, and is never cut at its side."""

    def __init__(self) -> None:
        super().__init__()
        self.setWidget(QWidget())
        self.setWidgetResizable(True)
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setFocusPolicy(Qt.FocusPolicy.NoFocus)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Grow with what is in it."""
        if event.type() == QEvent.Type.LayoutRequest:
            self.updateGeometry()
        return super().eventFilter(watched, event)

    def minimumSizeHint(self) -> QSize:
        """As wide as what is in it."""
        return QSize(self.sizeHint().width(), 100)

    def sizeHint(self) -> QSize:
        """All of it, and the bar beside it."""
        return self.widget().minimumSizeHint() + QSize(self.verticalScrollBar().sizeHint().width(), 0)


def _inside(field: QWidget) -> Iterator[QWidget]:
    """What the keyboard reaches in a control that is made of several; nothing in a simple one."""
    return _controls(field.layout()) if field.layout() is not None else iter(())


def _controls(layout: Any) -> Iterator[QWidget]:
    """What the keyboard reaches in a layout, in its order."""
    for i in range(layout.count()):
        item = layout.itemAt(i)
        inner = item.layout() or (item.widget().layout() if item.widget() is not None else None)
        if inner is not None:
            yield from _controls(inner)
        elif item.widget() is not None and item.widget().focusPolicy() & Qt.FocusPolicy.TabFocus:
            yield item.widget()


class Dock(QWidget):
    """A form with one button that runs one command.

    A dock says what it wants in `request`, and hears of it in `hear` and `finish`.

    Parameters
    ----------
    viewer
        Whose layers are offered, and to which results are added.
    """

    verb, explained, stop_explained = "Run", "", "End what runs; nothing is added"
    starting = "Starts …"
    leads_to, door_text = "", ""
    """The next page of the work, and what leads there is called."""
    stop_within_s: float | None = None
    """How long the button Stop waits before it kills the child; None: as long as it takes."""

    def __init__(self, viewer: Any) -> None:
        super().__init__()
        self.viewer, self.session = viewer, shared_session()
        self.job: Job | None = None
        self.layers: tuple[Layer, ...] = ()  # that the present command needs, or the last one needed
        self._trouble = ""
        self._began: tuple[float, float] | None = None  # when it was first heard how far it is, and how far
        self._heard: Event | None = None  # how far it is, not yet shown
        # Timers of its own end with it, which those of `QTimer.singleShot` do not with every binding of Qt.
        self._rest = self._later(self._show_heard, SHOWN_EVERY_MS)
        self._joins, self._raises = self._later(self._join_others), self._later(self._raise)
        self._reveals = self._later(self._reveal, SETTLED_MS)
        self._activity: Activity | None = None
        self._kept: dict[str, QWidget] = {}  # from one opening to the next
        self._choices: list[Follower] = []
        self._build()
        viewer.layers.events.removed.connect(self._layer_removed)

        # Closing a dock fires no closeEvent (napari#8071), but it takes the dock's parent away or destroys it.
        self.token = token = object()
        session = self.session
        session.enter(token)
        self.destroyed.connect(lambda *_: session.leave(token))

    def _build(self) -> None:
        self.form = QFormLayout()
        self.form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        self.run_button = QPushButton(self.verb)
        self.run_button.setToolTip(f"{self.explained} ({RUN_KEYS})")
        self.run_button.clicked.connect(self.run)
        self.stop_button = QPushButton("Stop")
        self.stop_button.setToolTip(f"{self.stop_explained} ({STOP_KEYS})")
        for keys, button in ((RUN_KEYS, self.run_button), (STOP_KEYS, self.stop_button)):
            shortcut = QShortcut(QKeySequence(keys), self)
            shortcut.setContext(Qt.ShortcutContext.WidgetWithChildrenShortcut)  # several docks are open
            shortcut.activated.connect(button.click)
        self.stop_button.clicked.connect(self.stop)
        self.buttons = QHBoxLayout()
        self.buttons.addWidget(self.run_button, 2)
        self.buttons.addWidget(self.stop_button, 1)
        self.bar = QProgressBar()
        self.bar.setToolTip("How much is done")
        self.bar.setTextVisible(False)
        self.status = QLabel()
        self.status.setWordWrap(True)
        self.status.setTextFormat(Qt.TextFormat.PlainText)  # it names files and models, which may be a stranger's
        self.status.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.warnings = QLabel()
        self.warnings.setWordWrap(True)
        self.warnings.setTextFormat(Qt.TextFormat.PlainText)
        self.warnings.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.warnings.setToolTip("What to know of the last run")
        self.warnings.hide()
        self._scroll = scroll = _Column()
        self.column = QVBoxLayout(scroll.widget())
        self.column.addLayout(self.form)
        self.column.addLayout(self.buttons)
        self.waiting = Waiting()
        self.column.addWidget(self.bar)
        self.column.addWidget(self.status)
        self.column.addWidget(self.waiting)
        self.door = QPushButton(self.door_text)
        self.door.setToolTip(f"Open {self.leads_to}, or bring it to the front")
        self.door.clicked.connect(lambda *_: self.lead_on())
        self.door.hide()
        self.column.addWidget(self.door)
        self.column.addWidget(self.warnings)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(scroll)
        self._show_idle()

    def lead_on(self) -> Any:
        """Open the next page of the work, which is given back."""
        return open_page(self.viewer, self.leads_to)

    # The form

    def add_row(self, label: str, field: QWidget, tooltip: str, at: int = -1) -> None:
        """A labelled control, in row `at` of the form; -1: the last."""
        tooltip = with_words(tooltip, label)
        field.setToolTip(tooltip)
        name = QLabel(label)
        name.setToolTip(tooltip)
        field.setAccessibleName(label)
        name.setBuddy(next(iter(_inside(field)), field))
        self.form.insertRow(at, name, field)

    def add_layer_choice(self, label: str, tooltip: str, prefer: Prefer, **which: Any) -> LayerChoice:
        """A list of the viewer's layers that follows them; `prefer` and `which` as for `LayerChoice`."""
        choice = LayerChoice(self.viewer, prefer, **which)
        self.follow_layers(choice)
        self.add_row(label, choice.native, tooltip)
        return choice

    def show_row(self, field: QWidget, shown: bool) -> None:
        """Show or hide a control with its label."""
        field.setVisible(shown)
        self.form.labelForField(field).setVisible(shown)

    def follow_layers(self, choice: Follower) -> None:
        """Have the list follow the viewer's layers."""
        self._choices.append(choice)

    def order_tabs(self) -> None:
        """Let the tab key go from control to control as the eye does."""
        for before, after in pairwise(_controls(self.column)):
            self.setTabOrder(before, after)

    def remember(self, **controls: QWidget) -> None:
        """Fill these in as they were when the dock was last used, and keep what the user says from now on."""
        self._kept = controls
        remember(type(self).__name__, controls)

    def reset_choices(self, event: Any = None) -> None:
        """Offer the layers that there are now; napari calls this when they change."""
        for choice in self._choices:
            choice.refresh()

    # The command

    def request(self) -> Request:
        """What the form asks for.

        Raises
        ------
        ValueError
            If something is missing: one sentence.
        """
        raise NotImplementedError

    def run(self) -> None:
        """Begin; errors are told."""
        if self.job is not None:
            return
        try:
            request = self.request()
        except (ValueError, OSError) as error:
            text = in_a_dock(str(error))
            show_error(text)
            self.status.setText(text)
            return
        self.begin(request)

    def begin(self, request: Request) -> None:
        """Have a command done."""
        first, self._trouble, self._began = self.session.first, "", None
        self.layers = request.layers
        if self._kept:
            keep(type(self).__name__, self._kept)
        self.warnings.clear()
        self.warnings.hide()
        self.door.hide()
        self.job = job = self.session.start(self.token, request.prepare, self.verb)
        self._activity = activity = Activity(self.verb, self.session)
        job.ended.connect(lambda *_: activity.close())
        job.heard.connect(self._hear)
        job.ended.connect(self._end)
        self.run_button.setEnabled(False)
        self.stop_button.setEnabled(True)
        self.bar.setRange(0, 0)
        self.bar.show()
        self.status.setText("" if first else "Prepares …")
        self.waiting.wait_for(first)
        self._reveals.start()

    def stop(self) -> None:
        """End in order what runs."""
        self._stop(self.stop_within_s)

    def _stop(self, within_s: float | None) -> None:
        if self.job is not None:
            self.stop_button.setEnabled(False)
            self.status.setText("Stops …")
            self.job.stop(within_s)

    def hear(self, event: Event) -> None:
        """An event of the command that the dock itself cares for."""

    def share(self, event: Event) -> float:
        """How much of the whole is done, from 0 to 1."""
        return float(event["done"] / event["total"])

    def show_progress(self, event: Event) -> None:
        """Say how far it is, unless it is being stopped."""

    def finish(self, well: bool) -> None:
        """The command is over."""

    def idle(self, text: str = "") -> None:
        """Nothing runs any more: the button works again."""
        self._show_idle()
        self.status.setText(text)

    # What is heard

    def _hear(self, event: Event) -> None:
        kind = event["event"]
        if kind == "started":
            self.waiting.wait_for(None)
            self.status.setText(self.starting)
        elif kind == "progress":
            self._began = self._began or (time.monotonic(), event["done"] / event["total"])
            self._heard = event
        elif kind == "warning":
            show_warning(text := in_a_dock(event["text"]))
            if text not in self.warnings.text():
                self.warnings.setText("\n".join(filter(None, (self.warnings.text(), f"! {text}"))))
                self.warnings.setToolTip(with_words("What to know of the last run", self.warnings.text()))
            self.warnings.show()
        elif kind in ("error", "failure"):
            self._trouble = in_a_dock(event["text"])
            show_error(self._trouble)
        self.hear(event)
        if not self._rest.isActive():
            self._show_heard()

    def _show_heard(self) -> None:
        """Show how far it is, then rest."""
        event, self._heard = self._heard, None
        if event is not None and self.job is not None:
            share = self.share(event)
            self.bar.setRange(0, 1000)
            self.bar.setValue(round(1000 * share))
            if self._activity is not None:
                self._activity.show(share)
            if self.stop_button.isEnabled():
                self.show_progress(event)
            self._rest.start()

    def seconds_left(self, share: float) -> float | None:
        """What the rest takes at the speed so far; None while that is not known."""
        since, first = self._began or (time.monotonic(), share)
        took = time.monotonic() - since
        return took * (1 - share) / (share - first) if share > first and took > 1 else None

    def _end(self, well: bool) -> None:
        job, self.job, self._heard = self.job, None, None
        self._rest.stop()
        if job is not None:
            self.idle("Stopped." if job.stopped else "" if well else self._trouble)
            self.finish(well)
            self._reveals.start()

    def _reveal(self) -> None:
        """Scroll to what is said of the command, and to what leads on."""
        self._scroll.ensureWidgetVisible(self.status, 0, 8)
        if self.door.isVisibleTo(self):
            self._scroll.ensureWidgetVisible(self.door, 0, 8)

    def _show_idle(self) -> None:
        self.run_button.setEnabled(True)
        self.stop_button.setEnabled(False)
        self.waiting.wait_for(None)
        self.bar.hide()

    # What goes away

    def _layer_removed(self, event: Any) -> None:
        if event.value in self.layers:
            self._stop(STOP_S)

    def _join_others(self) -> None:
        """Become a page beside the docks that are open already: below each other none has room."""
        frame = self.parent()
        window = frame.parent() if isinstance(frame, QDockWidget) else None
        if not isinstance(window, QMainWindow) or window.tabifiedDockWidgets(frame) or frame.isFloating():
            return
        area = window.dockWidgetArea(frame)
        for other in window.findChildren(QDockWidget):
            if other is not frame and isinstance(other.widget(), Dock) and window.dockWidgetArea(other) == area:
                window.tabifyDockWidget(other, frame)
                self._raises.start()
                return

    def _sign(self) -> None:
        """Show whose window it is where the dock floats as one of its own."""
        frame = self.parent()
        if isinstance(frame, QDockWidget):
            frame.setWindowIcon(QIcon(str(ICON)))

    def _raise(self) -> None:
        frame = self.parent()
        if isinstance(frame, QDockWidget):
            frame.raise_()

    def _later(self, what: Callable[[], None], after_ms: int = 0) -> QTimer:
        """Once it is started, it does this after so long, unless the dock is gone."""
        timer = QTimer(self)
        timer.setSingleShot(True)
        timer.setInterval(after_ms)
        timer.timeout.connect(what)
        return timer

    def closed(self) -> None:
        """The dock is gone, and what it runs is stopped."""
        self.session.leave(self.token)

    def event(self, event: QEvent) -> bool:
        """Notice that napari has taken the widget out of its dock, which is all it does on close."""
        if event.type() == QEvent.Type.ParentChange:
            if self.parent() is None:
                self.closed()
            else:
                self.session.enter(self.token)
                self._sign()
            self._joins.start()
        return super().event(event)
