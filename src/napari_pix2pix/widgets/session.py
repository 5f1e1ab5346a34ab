"""The Qt half of the bridge: one child for all docks, its events as signals, its end with the last dock."""

import atexit
from collections.abc import Callable, Sequence
from contextlib import suppress
from threading import Thread
from typing import Any

from qtpy.QtCore import QObject, Qt, Signal
from qtpy.QtWidgets import QApplication

from napari_pix2pix.core.engine.atomic import FULL_DISK, is_full
from napari_pix2pix.widgets.bridge import FAILED, Child, Event
from napari_pix2pix.widgets.layers import Stopped

STOP_S = 4.5
"""How long a command may take to end in order once its dock or its layer is gone."""
Prepare = Callable[[Callable[[], bool]], Sequence[object]]


class Job(QObject):
    """A command from its preparation to its end.

    Signals
    -------
    heard(dict)
        What it says while it works.
    ended(bool)
        It is over, and whether well.
    pausing(bool)
        It was asked to wait, or to go on.
    """

    heard = Signal(object)
    ended = Signal(bool)
    pausing = Signal(bool)

    def __init__(self, session: "Session", owner: object, name: str = "") -> None:
        super().__init__(session)
        self.owner, self.name = owner, name
        self.stopped = self.paused = False
        self.number: int | None = None
        self._session = session

    def stop(self, within_s: float | None = None) -> None:
        """Have it end in order, keeping what is done; after `within_s` seconds, if given, its process is killed."""
        self.stopped = True
        if self.number is not None:
            self._session.child.stop(self.number, within_s)

    def pause(self, paused: bool) -> None:
        """Have it wait, or go on."""
        self.paused = paused
        if self.number is not None:
            (self._session.child.pause if paused else self._session.child.resume)(self.number)
        self.pausing.emit(paused)

    def _take(self, event: Event) -> None:
        if event["event"] == "done":
            self.ended.emit(event["code"] == 0 and not self.stopped)
            self.deleteLater()
        else:
            self.heard.emit(event)


class Session(QObject):
    """What all docks of this process share.

    Signals
    -------
    models_changed()
        There is another recent model.
    devices_known()
        `devices` has been filled.
    """

    models_changed = Signal()
    devices_known = Signal()
    _arrived = Signal(object, object)
    _called = Signal(object, object)

    def __init__(self) -> None:
        super().__init__()
        self.child = Child(self._receive)
        self.devices: dict[str, str] = {}
        self._asked_for_devices = False
        self._owners: set[object] = set()
        self._jobs: dict[int, Job] = {}
        self._preparing: set[Job] = set()
        # Queued: they are emitted on other threads, and delivered on that of the window.
        self._arrived.connect(self._deliver, Qt.ConnectionType.QueuedConnection)
        self._called.connect(self._call, Qt.ConnectionType.QueuedConnection)
        application = QApplication.instance()
        assert application is not None
        application.aboutToQuit.connect(self.close)
        atexit.register(self.close)  # where an application ends without saying so

    # Docks

    def enter(self, owner: object) -> None:
        """A dock is open: the child gets warm."""
        self._owners.add(owner)
        with suppress(OSError):  # the first command will say so
            self.child.warm_up()

    def leave(self, owner: object) -> None:
        """A dock is gone: what it runs is stopped, and with the last dock the child ends."""
        if owner not in self._owners:
            return
        self._owners.discard(owner)
        for job in [*self._jobs.values(), *self._preparing]:
            if job.owner is owner:
                job.stop(STOP_S)
        if not self._owners:
            self.child.close(wait=False)

    def close(self) -> None:
        """Nothing of this session works any more when it returns; within 5 s."""
        for job in [*self._jobs.values(), *self._preparing]:
            job.stopped = True
        self._owners.clear()
        self.child.close()

    # Work

    def start(self, owner: object, prepare: Prepare, name: str = "") -> Job:
        """A command whose words `prepare` finds in a thread; it is told how to know whether the user has stopped it.

        By `name` others are told what they wait for.
        """
        job = Job(self, owner, name)
        self._preparing.add(job)

        def ready(words: Any) -> None:
            self._preparing.discard(job)
            job.stopped |= not self._owners if owner is self else owner not in self._owners
            if job.stopped:
                job._take({"event": "done", "code": 0})
            else:
                job.number = self.child.run(words)
                self._jobs[job.number] = job

        def failed(error: Exception) -> None:
            self._preparing.discard(job)
            if not isinstance(error, Stopped):
                text = FULL_DISK if is_full(error) else str(error)
                job._take({"event": "error", "code": FAILED, "text": text, "error": error})
            job._take({"event": "done", "code": FAILED})

        self.in_thread(self, lambda: prepare(lambda: job.stopped), ready, failed)
        return job

    def adopt(self, job: Job) -> None:
        """Have it go on to its end without the dock that began it."""
        job.owner = owner = object()
        self._owners.add(owner)

        def over(_: bool) -> None:
            self.models_changed.emit()
            self.leave(owner)

        job.ended.connect(over)

    @property
    def first(self) -> Job | None:
        """The command of a dock that runs, or is the next to."""
        return next((job for job in [*self._jobs.values(), *self._preparing] if job.owner is not self), None)

    def in_thread(
        self, owner: object, work: Callable[[], Any], then: Callable[[Any], None], failed: Callable[[Exception], None]
    ) -> None:
        """Have `work` done in a thread; its result or error is passed on in the window's, if the dock is there."""

        def do() -> None:
            try:
                result, function = work(), then
            except Exception as error:  # whatever it is, the window must hear of it
                result, function = error, failed
            with suppress(RuntimeError):  # the application has ended
                self._called.emit(owner, lambda: function(result))

        Thread(target=do, daemon=True).start()

    def _call(self, owner: object, function: Callable[[], None]) -> None:
        if owner is self or owner in self._owners:
            function()

    def ask_for_devices(self) -> None:
        """Have `devices_known` emitted, once the child has said."""
        if self.devices:
            self.devices_known.emit()
        elif not self._asked_for_devices:
            self._asked_for_devices = True
            self.look_at_devices()

    def look_at_devices(self) -> None:
        """Have `devices_known` emitted with what is free then."""
        job = self.start(self, lambda stopped: ["info"])
        job.heard.connect(self._learn_devices)
        job.ended.connect(self._devices_asked)

    def _devices_asked(self, well: bool) -> None:
        self._asked_for_devices = well or bool(self.devices)

    def _learn_devices(self, event: Event) -> None:
        if event["event"] == "result":
            self.devices = dict(event["devices"])
            self.devices_known.emit()

    # From the child

    def _receive(self, number: int, event: Event) -> None:
        """An event, on the thread of the child."""
        with suppress(RuntimeError):  # the application has ended
            self._arrived.emit(number, event)

    def _deliver(self, number: int, event: Event) -> None:
        job = self._jobs.pop(number, None) if event["event"] == "done" else self._jobs.get(number)
        if job is not None:
            job._take(event)


_session: Session | None = None


def shared_session() -> Session:
    """The one session of this process."""
    global _session
    if _session is None:
        _session = Session()
    return _session
