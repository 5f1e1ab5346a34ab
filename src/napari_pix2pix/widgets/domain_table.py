"""A table of the viewer's images that says which are learned from, and of which domain each is."""

from typing import Any

from napari.layers import Image, Layer
from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QHeaderView, QTableWidget, QTableWidgetItem

from napari_pix2pix.widgets.domains import LayerDomains
from napari_pix2pix.widgets.layer_choice import made_here, offered

SHOWN = 5
"""Rows before it scrolls."""
TIP = (
    "Tick what to learn from, and write beside it of which domain it is: a stain, a scanner, a modality. Images with "
    "the same name are of the same domain"
)


class DomainTable(QTableWidget):
    """A row for each image that no dock has made; at first each is a domain of its own, called as its layer.

    Parameters
    ----------
    viewer
        Whose layers are offered.

    Signals
    -------
    changed()
        Something else is to be learned from.
    """

    changed = Signal()

    def __init__(self, viewer: Any) -> None:
        super().__init__(0, 2)
        self._viewer = viewer
        self._layers: list[Layer] = []
        self._said: dict[Layer, tuple[bool, str]] = {}  # by the user
        self.setHorizontalHeaderLabels(["Image", "Domain"])
        self.horizontalHeader().setSectionResizeMode(QHeaderView.ResizeMode.Stretch)
        self.verticalHeader().hide()
        self.setTabKeyNavigation(False)
        self.setToolTip(TIP)
        self.itemChanged.connect(self._take)
        self.refresh()

    def refresh(self) -> None:
        """Offer the layers that there are now."""
        self._layers = [layer for layer in offered(self._viewer, (Image,)) if not made_here(layer)]
        self._said = {layer: said for layer, said in self._said.items() if layer in self._layers}
        self.blockSignals(True)
        self.setRowCount(len(self._layers))
        for row, layer in enumerate(self._layers):
            learned, domain = self._said.get(layer, (True, layer.name))
            name = QTableWidgetItem(layer.name)
            name.setFlags(Qt.ItemFlag.ItemIsEnabled | Qt.ItemFlag.ItemIsUserCheckable)
            name.setCheckState(Qt.CheckState.Checked if learned else Qt.CheckState.Unchecked)
            self.setItem(row, 0, name)
            self.setItem(row, 1, QTableWidgetItem(domain))
        self.blockSignals(False)
        rows = sum(self.rowHeight(row) for row in range(min(len(self._layers), SHOWN)))
        self.setFixedHeight(self.horizontalHeader().sizeHint().height() + rows + 2 * self.frameWidth())
        self.changed.emit()

    def value(self) -> LayerDomains:
        """What is ticked.

        Raises
        ------
        ValueError
            If these are not of several domains: one sentence.
        """
        rows = enumerate(self._layers)
        ticked = [(layer, self.item(row, 1).text().strip()) for row, layer in rows if self._is_ticked(row)]
        domains = LayerDomains(tuple(ticked))
        domains.require()
        return domains

    def _is_ticked(self, row: int) -> bool:
        return bool(self.item(row, 0).checkState() == Qt.CheckState.Checked)

    def _take(self, item: QTableWidgetItem) -> None:
        row = item.row()
        self._said[self._layers[row]] = self._is_ticked(row), self.item(row, 1).text()
        self.changed.emit()
