"""Rows that are folded away until they are asked for."""

from qtpy.QtGui import QIcon
from qtpy.QtWidgets import QWidget
from superqt import QCollapsible

FOLDED, OPEN = "▶", "▼"


class Fold(QCollapsible):
    """A line that opens and closes what belongs to it; its arrow is text, so that it has the colour of the theme.

    Parameters
    ----------
    title, tooltip
        Of the line.
    inner
        What is folded away.
    """

    def __init__(self, title: str, tooltip: str, inner: QWidget) -> None:
        super().__init__(f"{FOLDED} {title}")
        self.setToolTip(tooltip)
        self.setCollapsedIcon(QIcon())
        self.setExpandedIcon(QIcon())
        self.addWidget(inner)
        self.layout().setContentsMargins(0, 0, 0, 0)
        self.toggled.connect(lambda opened: self.setText(f"{OPEN if opened else FOLDED} {title}"))
