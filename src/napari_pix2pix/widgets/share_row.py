"""Models out and in: a button that exports the chosen model, and what becomes of a model of another program."""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from napari.utils.notifications import show_error
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QFileDialog, QInputDialog, QLabel, QPushButton, QVBoxLayout, QWidget

from napari_pix2pix.core.models.content import load_content
from napari_pix2pix.widgets.bridge import Event
from napari_pix2pix.widgets.card import read_card
from napari_pix2pix.widgets.choices import ModelChoice
from napari_pix2pix.widgets.flags import as_plain, in_a_dock
from napari_pix2pix.widgets.places import free_file, runs_folder
from napari_pix2pix.widgets.session import Job, Session

EXPORT = "Export …"
FORMATS = {"Package of the BioImage Model Zoo (*.zip)": ".zip", "ONNX (*.onnx)": ".onnx"}
ASKED = {
    "author": "Who made the model? Everybody who has the package will see it.",
    "licence": "Under which licence may others use it? Its SPDX identifier, like CC-BY-4.0:",
}


class ShareRow(QWidget):
    """Below a model's card; the button is hidden where there is no model to export.

    Parameters
    ----------
    session, token
        Of the dock.
    model
        Its choice.
    asked
        Flags for what the model is to make.
    """

    def __init__(self, session: Session, token: object, model: ModelChoice, asked: Callable[[], Sequence[str]]) -> None:
        super().__init__()
        self._session, self._token, self._model, self._asked = session, token, model, asked
        self._job: Job | None = None
        self._said = ""
        self.button = QPushButton(EXPORT)
        self.button.setToolTip(
            "Write the model for other programs: a package of the BioImage Model Zoo, for Fiji, QuPath and others, or "
            "ONNX. Nothing is sent anywhere"
        )
        self.button.clicked.connect(self.press)
        self.told = QLabel()
        self.told.setWordWrap(True)
        self.told.setTextFormat(Qt.TextFormat.PlainText)
        self.told.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.button, 0, Qt.AlignmentFlag.AlignLeft)
        layout.addWidget(self.told)
        model.combo.currentIndexChanged.connect(self.look)
        self.look()

    @property
    def busy(self) -> bool:
        """Whether a model is exported or imported now."""
        return self._job is not None

    def look(self, *_: object) -> None:
        """Offer the button where the chosen model can be exported."""
        if self.busy:
            return
        self.told.setVisible(bool(self.told.text()))
        try:
            self.button.setVisible(read_card(self._model.value()).exports)
        except ValueError:  # there is none, or it is told elsewhere
            self.button.setVisible(False)

    def press(self) -> None:
        """Ask where to, and begin; or stop."""
        if self._job is not None:
            self._job.stop()
            self._say("Stops …")
            return
        path = self._model.value()
        named = f"{path.parent.name if path.name == 'model.safetensors' else path.stem}.zip"
        chosen, kind = QFileDialog.getSaveFileName(
            self, "Export the model", str(runs_folder() / named), ";;".join(FORMATS)
        )
        if not chosen:
            return
        out = Path(chosen)
        out = out if out.suffix in FORMATS.values() else out.with_name(out.name + FORMATS.get(kind, ".zip"))
        self.export(path, out)

    def export(self, path: Path, out: Path) -> None:
        """Write the model in the file `path` to `out`, which the user has agreed to replace."""
        words: list[object] = ["export", path, out, "--overwrite", *self._asked()]
        config = load_content(path)[1].config
        known = {"author": config.authors, "licence": config.licence}
        for name in (name for name, said in known.items() if out.suffix == ".zip" and not said):
            said, well = QInputDialog.getText(self, "Export the model", ASKED[name])
            if not (well and said.strip()):
                return
            words += [f"--{name}", said.strip()]
        self._begin(words, f"Exports to {out.name}, and compares it with the model …", lambda: f"Exported to {out}.")

    def take(self, path: Path) -> None:
        """Import the package, or the ONNX file, at `path`, and choose it."""
        if self._job is not None:
            show_error(f"One model is exported or imported at a time; {path.name} must wait. Drop it again afterwards.")
            return
        out = free_file(runs_folder() / "imported", f"{path.stem}.safetensors")

        def done() -> str:
            self._model.set_value(out)
            self.told.setToolTip(as_plain(str(out)))
            return f"Imported {path.name}."

        self._begin(["import", path, "--out", out], f"Imports {path.name} …", done)

    def _begin(self, words: list[object], text: str, done: Callable[[], str]) -> None:
        self._said = ""
        self._job = self._session.start(self._token, lambda _: words, "Export and import")
        self._job.heard.connect(self._hear)
        self._job.ended.connect(partial(self._end, done))
        self.button.setText("Stop")
        self.button.show()
        self._say(text)

    def _hear(self, event: Event) -> None:
        if event["event"] == "error":
            self._said = in_a_dock(event["text"])
            show_error(self._said)

    def _end(self, done: Callable[[], str], well: bool) -> None:
        self._job = None
        self.button.setText(EXPORT)
        self._say(done() if well else self._said or "Stopped; nothing was written.")
        self.look()

    def _say(self, text: str) -> None:
        self.told.setText(text)
        self.told.show()
