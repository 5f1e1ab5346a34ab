"""Rows for the further stains of a target: layers with a name each, or files and folders."""

from collections.abc import Callable
from typing import Any, Generic, TypeVar

from napari.layers import Image, Layer
from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QHBoxLayout, QLineEdit, QPushButton, QToolButton, QVBoxLayout, QWidget

from napari_pix2pix.widgets.layer_choice import LayerChoice
from napari_pix2pix.widgets.path_line import PathLine

NOT_STAINED = "not stained"
"""What a list of layers offers where a sample may lack a stain."""
ADD_TIP = (
    "Another stain of the same samples, in a layer or folder of its own. A sample may lack it: what it was not stained "
    "for is not learned from it"
)
NAME_TIP = "What this stain is called, in all pairs; predictions of it are called so, too"
NAMED_PX = 70
R = TypeVar("R", bound=QWidget)


def name_line() -> QLineEdit:
    """For the name of a stain."""
    line = QLineEdit()
    line.setPlaceholderText("name")
    line.setToolTip(NAME_TIP)
    line.setFixedWidth(NAMED_PX)
    return line


def add_button() -> QPushButton:
    """Adds a stain."""
    button = QPushButton("+ stain")
    button.setToolTip(ADD_TIP)
    button.setFixedWidth(button.sizeHint().width())
    return button


class LayerStain(QWidget):
    """One stain: its name and, of the pair that is shown, its layer or none.

    Until it is said, the name is that of the first layer that is chosen.
    """

    changed = Signal()

    def __init__(self, viewer: Any, unused: Callable[[], Layer | None]) -> None:
        super().__init__()
        self.choice = LayerChoice(viewer, lambda _: None, kinds=(Image,), none=NOT_STAINED)
        self.choice.native.setToolTip("The layer of this stain, of the same size as the source; or none in this pair")
        self.name = name_line()
        self.name.textEdited.connect(self.changed)
        self.choice.changed.connect(self._take)
        _in_row(self, self.name, self.choice.native)
        if (layer := unused()) is not None:
            self.choice.value = layer

    def _take(self, *_: object) -> None:
        if not self.name.text() and self.choice.value is not None:
            self.name.setText(self.choice.value.name)
        self.changed.emit()


class Stains(QWidget, Generic[R]):
    """Rows of one kind, each of which can be taken out again.

    Parameters
    ----------
    make
        Makes a row; it tells of itself by a signal ``changed``.

    Signals
    -------
    changed()
        Another one, or one is different.
    removed(int)
        The row of this number is gone.
    """

    changed = Signal()
    removed = Signal(int)

    def __init__(self, make: Callable[[], R]) -> None:
        super().__init__()
        self._make = make
        self.rows: list[R] = []
        self._boxes: list[QWidget] = []
        self._layout = QVBoxLayout(self)
        self._layout.setContentsMargins(0, 0, 0, 0)
        self._layout.setSpacing(2)
        self.setFocusPolicy(Qt.FocusPolicy.NoFocus)

    def add(self) -> R:
        """One more row."""
        row = self._make()
        away = QToolButton()
        away.setText("×")
        away.setToolTip("Take this stain out, of all pairs")
        away.clicked.connect(lambda *_: self.remove(self.rows.index(row)))
        box = QWidget()
        _in_row(box, row, away)
        self._layout.addWidget(box)
        self.rows.append(row)
        self._boxes.append(box)
        row.changed.connect(self.changed)
        self.changed.emit()
        return row

    def remove(self, number: int) -> None:
        """Take this row out."""
        box = self._boxes.pop(number)
        del self.rows[number]
        self._layout.removeWidget(box)
        box.hide()
        box.deleteLater()
        self.removed.emit(number)
        self.changed.emit()


class LayerStains(Stains[LayerStain]):
    """The further stains of a pair of layers, which follow the viewer's layers."""

    def refresh(self) -> None:
        """Offer the layers that there are now."""
        for row in self.rows:
            row.choice.refresh()

    @property
    def names(self) -> tuple[str, ...]:
        """Of all."""
        return tuple(row.name.text().strip() for row in self.rows)

    @property
    def layers(self) -> tuple[Layer | None, ...]:
        """Of the pair that is shown."""
        return tuple(row.choice.value for row in self.rows)


class FileStains(Stains[PathLine]):
    """The further stains of pairs in files."""

    @property
    def paths(self) -> tuple[str, ...]:
        """Of all."""
        return tuple(row.value() for row in self.rows)


def _in_row(box: QWidget, *controls: QWidget) -> None:
    layout = QHBoxLayout(box)
    layout.setContentsMargins(0, 0, 0, 0)
    for control in controls:
        layout.addWidget(control)
