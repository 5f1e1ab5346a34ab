"""A list of the worst regions, or frames, that moves the camera to them."""

from collections.abc import Callable
from typing import Any

import numpy as np
from qtpy.QtWidgets import QComboBox, QListWidget, QVBoxLayout, QWidget

from napari_pix2pix.widgets.score_maps import Place, ScoreMaps

SMALLEST, LARGEST = 120, 400
"""Of a field on the screen when the camera goes to it, px; in between, the zoom stays."""
REGIONS, FRAMES = "Worst regions", "Worst frames"


class WorstList(QWidget):
    """The worst first; one that is chosen is looked at.

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
        self._maps: ScoreMaps | None = None
        self._part = ""
        self.what = QComboBox()
        self.what.setToolTip("Regions that see nothing in common, or, of a stack, whole frames by their means")
        self.list = QListWidget()
        self.list.setToolTip("The worst first. Choose one to look at it")
        self.list.setMaximumHeight(150)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.what)
        layout.addWidget(self.list)
        self.what.currentTextChanged.connect(self._fill)
        self.list.currentRowChanged.connect(self._go)

    def show_maps(self, maps: ScoreMaps, part: str, frames_first: bool = False) -> None:
        """List what is worst by this part; frames first where each is a pair that may be bad."""
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

    def _fill(self, *_: Any) -> None:
        maps, part = self._maps, self._part
        if maps is None:
            return
        if self.what.currentText() == FRAMES:
            found = maps.summaries[part].frames
            rows = [f"{_where(maps, place, frame=True)}: mean {mean:.3g}" for place, mean in found]
            self.places = [place for place, _ in found]
        else:
            self.places = maps.summaries[part].regions
            rows = [f"{maps.parts[part][place]:.3g} at {_where(maps, place)}" for place in self.places]
        self.list.blockSignals(True)
        self.list.clear()
        self.list.addItems([f"{i}.  {row}" for i, row in enumerate(rows, 1)])
        self.list.setCurrentRow(-1)
        self.list.blockSignals(False)

    def _go(self, row: int) -> None:
        if self._maps is None or not 0 <= row < len(self.places):
            return
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
