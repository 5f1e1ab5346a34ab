"""What a command waits for, by name, and buttons that have it continue or stop."""

from qtpy.QtWidgets import QHBoxLayout, QLabel, QPushButton, QVBoxLayout, QWidget

from napari_pix2pix.widgets.session import Job


class Waiting(QWidget):
    """Hidden unless there is something to wait for."""

    def __init__(self) -> None:
        super().__init__()
        self._job: Job | None = None
        self.told = QLabel()
        self.told.setWordWrap(True)
        self.continue_button = QPushButton("Continue it")
        self.continue_button.setToolTip("Have what is paused go on")
        self.continue_button.clicked.connect(self._continue)
        self.stop_button = QPushButton("Stop it")
        self.stop_button.setToolTip("End in order what runs; what it has done is kept")
        self.stop_button.clicked.connect(self._stop)
        row = QHBoxLayout()
        row.addWidget(self.continue_button)
        row.addWidget(self.stop_button)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.told)
        layout.addLayout(row)
        self.hide()

    def wait_for(self, job: Job | None) -> None:
        """Say what is waited for; None: nothing is."""
        self._job = job
        if job is not None:
            job.pausing.connect(self._tell)
            job.ended.connect(self._over)
            self._tell()
        self.setVisible(job is not None)

    def _tell(self, *_: object) -> None:
        if self._job is not None:
            name, paused = self._job.name, self._job.paused
            self.told.setText(f"Waits for {name}, which {'is paused. Continue or stop it.' if paused else 'runs.'}")
            self.continue_button.setVisible(paused)
            self.stop_button.setEnabled(not self._job.stopped)

    def _over(self, *_: object) -> None:
        if self.sender() is self._job:
            self.wait_for(None)

    def _continue(self) -> None:
        if self._job is not None:
            self._job.pause(False)

    def _stop(self) -> None:
        if self._job is not None:
            self._job.stop()
            self.stop_button.setEnabled(False)
