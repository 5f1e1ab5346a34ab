"""A line in which a file or a folder is typed or chosen."""

from pathlib import Path

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QFileDialog, QHBoxLayout, QLineEdit, QMenu, QPushButton, QWidget


class PathLine(QWidget):
    """A file or a folder, to type or to choose.

    Signals
    -------
    changed()
        Another one.
    """

    changed = Signal()

    def __init__(self, hint: str) -> None:
        super().__init__()
        self.line = QLineEdit()
        self.line.setPlaceholderText(hint)
        self.line.editingFinished.connect(self.changed)
        menu = QMenu(self)
        menu.addAction("A file …", self._file)
        menu.addAction("A folder …", self._folder)
        button = QPushButton("…")
        button.setToolTip("Choose a file or a folder")
        button.setMenu(menu)
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.line, 1)
        layout.addWidget(button)
        self.setFocusPolicy(Qt.FocusPolicy.NoFocus)

    def value(self) -> str:
        """The path; empty for none."""
        return self.line.text().strip()

    def set_value(self, path: Path | str) -> None:
        """Choose this one."""
        self.line.setText(str(path))
        self.changed.emit()

    def _file(self) -> None:
        if path := QFileDialog.getOpenFileName(self, "An image", self.value())[0]:
            self.set_value(path)

    def _folder(self) -> None:
        if path := QFileDialog.getExistingDirectory(self, "A folder of images", self.value()):
            self.set_value(path)
