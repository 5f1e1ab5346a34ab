"""Controls that several docks have: which model, which device, which folder."""

from pathlib import Path

from napari.utils.notifications import show_error
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QComboBox, QFileDialog, QHBoxLayout, QLineEdit, QPushButton, QWidget

from napari_pix2pix.files.starters import starters
from napari_pix2pix.widgets.card import read_card
from napari_pix2pix.widgets.defaults import defaults
from napari_pix2pix.widgets.flags import as_plain, in_a_dock
from napari_pix2pix.widgets.places import recent_models, remember_model
from napari_pix2pix.widgets.session import Session


class _WithButton(QWidget):
    """A control with a button beside it."""

    def __init__(self, control: QWidget, text: str, tooltip: str) -> None:
        super().__init__()
        self.button = QPushButton(text)
        self.button.setToolTip(tooltip)
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(control, 1)
        layout.addWidget(self.button)


class ModelChoice(_WithButton):
    """The recent models, the last first, then those that ship with the package; and a button for a file."""

    def __init__(self, session: Session) -> None:
        self.combo = QComboBox()
        super().__init__(self.combo, "File …", "Choose a model.safetensors that is not in the list")
        self.combo.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        self.combo.setMinimumContentsLength(12)
        self.combo.setPlaceholderText("train a model first, or choose a file")
        self.button.clicked.connect(self._browse)
        self._session = session
        session.models_changed.connect(self.refresh)
        self.refresh()

    def value(self) -> Path:
        """The chosen model.

        Raises
        ------
        ValueError
            If there is none, or it is no model of ours.
        """
        path = self.combo.currentData()
        if path is None:
            raise ValueError("There must be a model; train one first, or choose a file.")
        path = Path(path)
        read_card(path)
        return path

    def set_value(self, path: Path) -> None:
        """Choose the model in this file, and put it first among the recent ones.

        Raises
        ------
        ValueError
            If it is no model of ours.
        """
        read_card(path)
        remember_model(path)
        self._session.models_changed.emit()

    def refresh(self) -> None:
        """Offer the models, with the last one chosen."""
        self.combo.clear()
        shipped = {path: f"{name} (ships with the package)" for name, path in starters().items()}
        for path, name in ({model.path: model.name for model in recent_models()} | shipped).items():
            self.combo.addItem(name, str(path))
            self.combo.setItemData(self.combo.count() - 1, as_plain(str(path)), Qt.ItemDataRole.ToolTipRole)
        self.combo.setCurrentIndex(0 if self.combo.count() else -1)

    def _browse(self) -> None:
        path, _ = QFileDialog.getOpenFileName(self, "A trained model", filter="Models (*.safetensors)")
        if path:
            try:
                self.set_value(Path(path))
            except ValueError as error:
                show_error(in_a_dock(str(error)))


class FolderChoice(_WithButton):
    """A folder, to type or to choose."""

    def __init__(self, folder: Path) -> None:
        self.line = QLineEdit()
        super().__init__(self.line, "…", "Choose a folder")
        self.button.clicked.connect(self._browse)
        self.set_value(folder)

    def value(self) -> Path:
        """The folder."""
        return Path(self.line.text()).expanduser()

    def set_value(self, folder: Path) -> None:
        """Choose this folder."""
        home = Path.home()
        self.line.setText(str(Path("~") / folder.relative_to(home) if folder.is_relative_to(home) else folder))

    def _browse(self) -> None:
        if folder := QFileDialog.getExistingDirectory(self, "A folder for runs", str(self.value())):
            self.set_value(Path(folder))


class DeviceChoice(QComboBox):
    """auto, and the devices of this machine once the child has named them."""

    def __init__(self, session: Session) -> None:
        super().__init__()
        self._session = session
        for name in dict.fromkeys(["auto", defaults().device]):
            self.addItem(name, name)
        self.setCurrentIndex(self.count() - 1)
        self.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        self.setMinimumContentsLength(24)
        session.devices_known.connect(self._fill)
        session.ask_for_devices()

    def value(self) -> str:
        """The name of the device."""
        return str(self.currentData())

    def resolved(self) -> str:
        """The name of the device that `auto` takes, once it is known; else of the one chosen."""
        return next(iter(self._session.devices), "auto") if self.value() == "auto" else self.value()

    def _fill(self) -> None:
        for name, said in self._session.devices.items():
            if self.findData(name) < 0:
                self.addItem("", name)
            self.setItemText(self.findData(name), f"{name} ({said})")
        first = next(iter(self._session.devices))
        self.setItemText(0, f"auto: {first} ({self._session.devices[first]})")
