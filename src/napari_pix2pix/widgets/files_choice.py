"""Files or a folder, to type or to choose."""

from pathlib import Path

from qtpy.QtWidgets import QFileDialog, QHBoxLayout, QLineEdit, QPushButton, QWidget

from napari_pix2pix.files.stacks import SUFFIXES

BETWEEN = ";"


class FilesChoice(QWidget):
    """One or more files, folders or patterns, with ``;`` between them."""

    def __init__(self) -> None:
        super().__init__()
        self.line = QLineEdit()
        self.line.setPlaceholderText("files, a folder, or a pattern")
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.line, 1)
        for text, tooltip, browse in (
            ("Files …", "Choose one or more images", self._browse_files),
            ("Folder …", "Choose a folder; its subfolders belong to it", self._browse_folder),
        ):
            button = QPushButton(text)
            button.setToolTip(tooltip)
            button.clicked.connect(browse)
            layout.addWidget(button)

    def value(self) -> list[str]:
        """As the command line takes them; empty where nothing is chosen."""
        return [str(Path(part.strip()).expanduser()) for part in self.line.text().split(BETWEEN) if part.strip()]

    def set_value(self, paths: list[str]) -> None:
        """Choose these."""
        self.line.setText(f"{BETWEEN} ".join(paths))

    def _browse_files(self) -> None:
        images = " ".join(f"*{suffix}" for suffix in SUFFIXES)
        if files := QFileDialog.getOpenFileNames(self, "Images", filter=f"Images ({images});;All files (*)")[0]:
            self.set_value(files)

    def _browse_folder(self) -> None:
        if folder := QFileDialog.getExistingDirectory(self, "A folder of images"):
            self.set_value([folder])
