"""A list of the worst regions, or frames, that moves the camera to them and remembers which were seen."""

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from qtpy.QtCore import Qt
from qtpy.QtGui import QKeySequence, QShortcut
from qtpy.QtWidgets import QComboBox, QFileDialog, QHBoxLayout, QListWidget, QPushButton, QVBoxLayout, QWidget

from napari_pix2pix.core.engine.atomic import written_beside
from napari_pix2pix.widgets.score_maps import TITLES, Place, ScoreMaps

SMALLEST, LARGEST = 120, 400
"""Of a field on the screen when the camera goes to it, px; in between, the zoom stays."""
REGIONS, FRAMES = "Worst regions", "Worst frames"
KEYS = {"F8": 1, "Shift+F8": -1}
"""To the next worst place, and to the one before."""
SEEN = "✓"


class WorstList(QWidget):
    """The worst first; one that is chosen is looked at, and marked as seen.

    Parameters
    ----------
    viewer
        Whose camera it moves.
    chosen
        Is told the field that was chosen.
    """

    def __init__(self, viewer: Any, chosen: Callable[[Place], None]) -> None:
        super().__init__()
        self.viewer, self._chosen = viewer, chosen
        self.places: list[Place] = []
        self.seen: set[tuple[str, Place]] = set()
        self._rows: list[str] = []
        self._maps: ScoreMaps | None = None
        self._part = ""
        self.what = QComboBox()
        self.what.setToolTip("Regions that see nothing in common, or, of a stack, whole frames by their means")
        self.list = QListWidget()
        self.list.setToolTip("The worst first. Choose one to look at it; F8 goes to the next, Shift+F8 back")
        self.list.setMaximumHeight(150)
        self.next_button, self.previous_button, self.save_button = (
            QPushButton(text) for text in ("Next worst", "Back", "Save list …")
        )
        self.next_button.setToolTip("Look at the next place of the list (F8)")
        self.previous_button.setToolTip("Look at the place before (Shift+F8)")
        self.save_button.setToolTip("The list as a CSV file: where, how bad, and whether it was seen")
        buttons = QHBoxLayout()
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.what)
        layout.addWidget(self.list)
        layout.addLayout(buttons)
        for button in (self.next_button, self.previous_button, self.save_button):
            buttons.addWidget(button)
        self.what.currentTextChanged.connect(self._fill)
        self.list.currentRowChanged.connect(self._go)
        self.next_button.clicked.connect(lambda: self.go_on(1))
        self.previous_button.clicked.connect(lambda: self.go_on(-1))
        self.save_button.clicked.connect(self._save)
        for keys, step in KEYS.items():
            shortcut = QShortcut(QKeySequence(keys), self)
            shortcut.setContext(Qt.ShortcutContext.WindowShortcut)
            shortcut.activated.connect(lambda step=step: self.go_on(step))

    def show_maps(self, maps: ScoreMaps, part: str, frames_first: bool = False) -> None:
        """List what is worst by this part; frames first where each is a pair that may be bad."""
        if maps is not self._maps:
            self.seen.clear()
        self._maps, self._part = maps, part
        before = self.what.currentText()
        several = bool(maps.summaries[part].frames)
        self.what.blockSignals(True)
        self.what.clear()
        self.what.addItems([REGIONS, FRAMES] if several else [REGIONS])
        wanted = FRAMES if several and (frames_first or before == FRAMES) else REGIONS
        self.what.setCurrentText(wanted)
        self.what.blockSignals(False)
        self._fill()

    def go_on(self, step: int) -> None:
        """Look at the next place of the list, or, with -1, at the one before."""
        row = self.list.currentRow() + step
        if self.places and 0 <= row < len(self.places):
            self.list.setCurrentRow(row)

    def save(self, path: Path) -> None:
        """Write the list as CSV: place in pixels, how bad, the true error where it is known, whether it was seen."""
        maps = self._maps
        assert maps is not None
        errors = [name for name in TITLES if name in maps.parts]
        with written_beside(path) as beside, beside.open("w", newline="", encoding="utf8") as file:
            writer = csv.writer(file)
            writer.writerow(["place", *maps.axes.lower(), *errors, "seen"])
            for i, place in enumerate(self.places, 1):
                at = [f"{x:.1f}" for x in maps.centre(place)]
                told = [f"{maps.parts[name][place]:.6g}" for name in errors]
                writer.writerow([i, *at, *told, int((self.what.currentText(), place) in self.seen)])

    def _save(self) -> None:
        if self._maps is not None and (
            path := QFileDialog.getSaveFileName(self, "List of the worst", "worst.csv", "Tables (*.csv)")[0]
        ):
            self.save(Path(path))

    def _fill(self, *_: Any) -> None:
        maps, part = self._maps, self._part
        if maps is None:
            return
        if self.what.currentText() == FRAMES:
            found = maps.summaries[part].frames
            self._rows = [f"{_where(maps, place, frame=True)}: mean {mean:.3g}" for place, mean in found]
            self.places = [place for place, _ in found]
        else:
            self.places = maps.summaries[part].regions
            self._rows = [f"{maps.parts[part][place]:.3g} at {_where(maps, place)}" for place in self.places]
        self.list.blockSignals(True)
        self.list.clear()
        self.list.addItems([self._row(i) for i in range(len(self.places))])
        self.list.setCurrentRow(-1)
        self.list.blockSignals(False)

    def _row(self, i: int) -> str:
        mark = f" {SEEN}" if (self.what.currentText(), self.places[i]) in self.seen else ""
        return f"{i + 1}.{mark}  {self._rows[i]}"

    def _go(self, row: int) -> None:
        if self._maps is None or not 0 <= row < len(self.places):
            return
        self.seen.add((self.what.currentText(), self.places[row]))
        self.list.item(row).setText(self._row(row))
        look_at(self.viewer, self._maps, self.places[row])
        self._chosen(self.places[row])


def look_at(viewer: Any, maps: ScoreMaps, place: Place) -> None:
    """Move camera and sliders to this field."""
    world = maps.world(maps.centre(place))
    first = viewer.dims.ndim - len(world)
    for axis, at in enumerate(world, first):
        viewer.dims.set_point(axis, at)
    shown = [axis - first for axis in viewer.dims.displayed]
    if len(shown) != 2 or min(shown) < 0:
        return
    camera = camera_of(viewer)
    camera.center = tuple(float(world[axis]) for axis in shown)
    corners = [maps.world(corner)[shown] for corner in maps.box(place)]
    side = max(float(abs(a - b).max()) for a in corners for b in corners)
    camera.zoom = float(np.clip(camera.zoom, SMALLEST / side, LARGEST / side))


def camera_of(viewer: Any) -> Any:
    """The viewer's camera; from napari 0.9 on it belongs to its scene."""
    return viewer.scene.camera if hasattr(viewer, "scene") else viewer.camera


def _where(maps: ScoreMaps, place: Place, frame: bool = False) -> str:
    """``t 3, y 211, x 83``; of a frame without Y and X."""
    at = zip(maps.axes.lower(), maps.centre(place), strict=True)
    skipped = "zyx"[-len(maps.scale) :] if frame else ""
    return ", ".join(f"{axis} {x:.0f}" for axis, x in at if axis not in skipped)
