"""Losses and validation figures as they come, as two small plots."""

import csv
import html
from math import ceil, floor, log10
from pathlib import Path
from typing import Any

from qtpy import PYSIDE6
from qtpy.QtWidgets import QLabel, QVBoxLayout, QWidget

from napari_pix2pix.widgets.flags import spoken

COLOURS = ("#3b8bd0", "#d98200", "#3fa45b", "#b06fd0", "#c0504d", "#8a8a2e", "#2aa7a7", "#a0785a")
"""Seen on dark and on light."""
GREY, HEIGHT = "#888888", 96
VALIDATION, MOST_TICKS = "validation_", 4


def warm_up() -> None:
    """Import what draws, in a thread, so that the first curve need not wait for it.

    PySide6 dies now and then if classes of widgets are made in a thread, as that import does; there it waits.
    """
    if not PYSIDE6:
        import pyqtgraph  # noqa: F401


class Curves(QWidget):
    """Two plots over the steps; hidden until there is something to show.

    pyqtgraph is imported when a training begins, so that a dock opens at once; then the plots are made, too, so that
    the first curve does not come with all that.
    """

    def __init__(self) -> None:
        super().__init__()
        self.setToolTip("How losses (above) and figures on the validation pairs (below) have gone")
        self.series: dict[str, dict[str, tuple[list[int], list[float]]]] = {"losses": {}, "validation": {}}
        self._layout = QVBoxLayout(self)
        self._layout.setContentsMargins(0, 0, 0, 0)
        self._layout.setSpacing(0)
        self._legends: dict[str, QLabel] = {}
        self._plots: dict[str, Any] = {}
        self.hide()

    def clear(self) -> None:
        """Begin anew."""
        for which, series in self.series.items():
            series.clear()
            if which in self._plots:
                self._plots[which].clear()
                self._show(which, False)
        self.hide()

    def add(self, step: int, losses: dict[str, float], figures: dict[str, float]) -> None:
        """One point for each of them; losses that are those of the step before are not repeated."""
        known = {name: values[-1] for name, (_, values) in self.series["losses"].items()}
        self._extend("losses", step, losses if losses != known else {})
        self._extend("validation", step, figures)

    def read(self, history: Path) -> None:
        """Show what a run has written of itself so far."""
        self.clear()
        try:
            with history.open(newline="", encoding="utf8") as file:
                rows = [{name: float(value) for name, value in row.items() if value} for row in csv.DictReader(file)]
            steps = [int(row.pop("step")) for row in rows]
        except (OSError, ValueError, TypeError, KeyError, OverflowError, csv.Error):  # it has none yet, or no such one
            return
        for step, row in zip(steps, rows, strict=True):
            figures = {name: value for name, value in row.items() if name.startswith(VALIDATION)}
            for name, value in row.items():
                which = "validation" if name in figures else "losses"
                self._append(which, step, name.removeprefix(VALIDATION), value)
        for which in self.series:
            self._draw(which)

    def _extend(self, which: str, step: int, values: dict[str, float]) -> None:
        for name, value in values.items():
            self._append(which, step, name, value)
        if values:
            self._draw(which)

    def _append(self, which: str, step: int, name: str, value: float) -> None:
        steps, values = self.series[which].setdefault(name, ([], []))
        steps.append(step)
        values.append(value)

    def _draw(self, which: str) -> None:
        series = self.series[which]
        if not series:
            return
        self.make()
        plot, heard = self._plots[which], [value for _, values in series.values() for value in values]
        logarithmic = which == "losses" and min(heard) > 0
        plot.clear()
        plot.setLogMode(False, logarithmic)
        plot.getAxis("left").setTicks([log_ticks(min(heard), max(heard))] if logarithmic else None)
        named = []
        for colour, (name, (steps, values)) in zip(COLOURS, sorted(series.items()), strict=False):  # as in history.csv
            dots = {"symbol": "o", "symbolSize": 4, "symbolBrush": colour, "symbolPen": None}
            plot.plot(steps, values, pen=colour, **(dots if which == "validation" else {}))
            called = f"{html.escape(spoken(name))} {values[-1]:.3g}"
            named.append(f'<nobr><span style="color: {colour}">■</span> {called}</nobr>')
        self._legends[which].setText(("" if which == "losses" else "validation: ") + " &nbsp; ".join(named))
        self._show(which, True)
        self.show()

    def _show(self, which: str, shown: bool) -> None:
        self._legends[which].setVisible(shown)
        self._plots[which].setVisible(shown)

    def make(self) -> None:
        """Have the plots, hidden."""
        if self._plots:
            return
        import pyqtgraph

        for which in self.series:
            legend = QLabel()
            legend.setWordWrap(True)
            plot = pyqtgraph.PlotWidget(background=None)
            plot.setStyleSheet("background: transparent")  # whatever theme comes next
            plot.setFixedHeight(HEIGHT)
            plot.setMouseEnabled(False, False)
            plot.setMenuEnabled(False)
            plot.hideButtons()
            for side in ("left", "bottom"):
                axis = plot.getAxis(side)
                axis.setPen(GREY)
                axis.setTextPen(GREY)
            plot.getAxis("left").setWidth(42)
            self._legends[which], self._plots[which] = legend, plot
            self._layout.addWidget(legend)
            self._layout.addWidget(plot)
            self._show(which, False)


def log_ticks(lowest: float, highest: float) -> list[tuple[float, str]]:
    """A few round numbers from the lowest to the highest: where they are on a logarithmic axis, and what they are."""
    decades = range(floor(log10(lowest)), ceil(log10(highest)) + 1)
    for steps in ((1, 2, 5), (1, 3), (1,)):
        found = [step * 10.0**decade for decade in decades for step in steps]
        inside = [value for value in found if lowest <= value <= highest]
        if len(inside) <= MOST_TICKS:
            break
    shown = inside[:: ceil(len(inside) / MOST_TICKS)] if len(inside) > 1 else [lowest, highest]
    return [(log10(value), f"{value:.2g}") for value in shown]
