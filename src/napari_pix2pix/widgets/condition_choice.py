"""Of which condition images are, where a model learned from pairs of several: a row of a dock."""

import csv
from pathlib import Path
from typing import Any

from qtpy.QtWidgets import QComboBox

from napari_pix2pix.core.encodings.domains import NO_DOMAINS, Domains
from napari_pix2pix.files.stacks import stem
from napari_pix2pix.widgets.card import read_card
from napari_pix2pix.widgets.choices import ModelChoice
from napari_pix2pix.widgets.dock import Dock

NOT_KNOWN = "not known"


class ConditionChoice(QComboBox):
    """The conditions that the chosen model knows, the first: not known; hidden where it knows none.

    Parameters
    ----------
    dock
        To which the row is added.
    model
        Its choice of a model.
    """

    def __init__(self, dock: Dock, model: ModelChoice) -> None:
        super().__init__()
        self._dock, self._model, self._known = dock, model, NO_DOMAINS
        tip = "Of which cell line, scanner, staining batch … the image is, as the model learned to tell them"
        dock.add_row("Condition", self, tip)
        model.combo.currentIndexChanged.connect(self.offer)
        self.offer()

    def offer(self, *_: Any) -> None:
        """Those of the model that is chosen now; what was chosen stays, if it is among them."""
        try:
            known: Domains = read_card(self._model.value()).conditions
        except ValueError:  # there is none, or it is told elsewhere
            known = NO_DOMAINS
        if known != self._known or not self.count():
            before, self._known = self.currentText(), known
            self.clear()
            self.addItems([NOT_KNOWN, *known.names])
            self.setCurrentIndex(max(0, self.findText(before)))
        self._dock.show_row(self, bool(known.sets) and not self._model.isHidden())

    @property
    def chosen(self) -> str | None:
        """Its name; None: not known."""
        return self.currentText() if self._known.sets and self.currentIndex() > 0 else None

    def flags(self) -> list[str]:
        """What says so of all images of a command."""
        return [] if self.chosen is None else ["--condition", self.chosen]

    def table(self, folder: Path, source: Path) -> list[Any]:
        """What says so of the one pair of a command, with this source: flags for a table, which is written here."""
        if self.chosen is None:
            return []
        labels, path = self._known.labels_of(self.chosen), folder / "condition.csv"
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("w", newline="", encoding="utf8") as file:
            csv.writer(file).writerows([("name", *labels), (stem(source), *labels.values())])
        return ["--condition", path]
