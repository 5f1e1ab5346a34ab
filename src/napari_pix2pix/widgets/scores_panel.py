"""What was found of an image's fields: an overlay with sliders, the field under the mouse, the worst ones, a mask."""

import math
from typing import Any

from napari.layers import Image, Layer
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QComboBox, QFormLayout, QLabel, QPushButton, QVBoxLayout, QWidget
from superqt import QLabeledDoubleSlider

from napari_pix2pix.widgets.field_pointer import FieldPointer
from napari_pix2pix.widgets.flags import in_a_dock
from napari_pix2pix.widgets.fold import Fold
from napari_pix2pix.widgets.score_maps import ERRORS, TITLES, Place, ScoreMaps
from napari_pix2pix.widgets.worst_list import WorstList

HINT = "Point at the image to see what is known of a field; click to keep it."


class ScoresPanel(QWidget):
    """Only *Details* until there is something to show.

    Parameters
    ----------
    viewer
        To which layers belong.
    session, token
        Of the dock: where long work is done.
    """

    def __init__(self, viewer: Any, session: Any, token: object) -> None:
        super().__init__()
        self.viewer, self._session, self._token = viewer, session, token
        self.maps: ScoreMaps | None = None
        self.overlay: Image | None = None
        self.pointer: FieldPointer | None = None

        self.told = _text("")
        self.told.setMinimumHeight(self.told.fontMetrics().lineSpacing() * 3)  # so that what is below stays in place
        self.opacity = QLabeledDoubleSlider(Qt.Orientation.Horizontal)
        self.opacity.setRange(0, 1)
        self.opacity.setValue(1)
        self.threshold = QLabeledDoubleSlider(Qt.Orientation.Horizontal)
        self.worst = WorstList(viewer, self._pin)
        self.mask_button = QPushButton("Mask what I should not trust")
        self.mask_button.setToolTip("Labels on the image's own pixels: 1 where the field around a pixel is bad")
        self.part = QComboBox()
        self.promise, self.agreement = _text(""), _text("")
        self.agreement.setToolTip("How what was expected goes with the truth, where a target image is open")

        form = QFormLayout()
        for name, field, told in (
            ("Opacity", self.opacity, "Of the overlay"),
            ("Threshold", self.threshold, "What is not worse is faint, and not masked"),
        ):
            field.setToolTip(told)
            form.addRow(name, field)
        self.found = QWidget()
        inside = QVBoxLayout(self.found)
        inside.setContentsMargins(0, 0, 0, 0)
        inside.addWidget(self.told)
        inside.addWidget(self.agreement)
        inside.addLayout(form)
        inside.addWidget(self.worst)
        inside.addWidget(self.mask_button)
        inner = QWidget()
        self._details = QFormLayout(inner)
        self.details = Fold("Details", "What to ask, what to show, and what the figures promise", inner)
        self.add_detail("Show", self.part, "What the overlay and the list show. What glows is bad in each")
        self._details.addRow(self.promise)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.found)
        layout.addWidget(self.details)

        self.opacity.valueChanged.connect(self._fade)
        self.threshold.valueChanged.connect(self._colour)
        self.part.currentIndexChanged.connect(self._show_part)
        self.mask_button.clicked.connect(self.mask)
        self._coloured: tuple[str, float] = "", 0.0  # the part and the threshold of the overlay's colours
        viewer.layers.events.removed.connect(self._removed)
        self.clear()

    def add_detail(self, label: str, field: QWidget, tooltip: str) -> None:
        """A labelled control under *Details*."""
        field.setToolTip(tooltip)
        self._details.insertRow(0, label, field)

    def layers(self, maps: ScoreMaps, part: str) -> list[Layer]:
        """The overlay and the box, to be added to the viewer, and then `show_maps`."""
        overlay = maps.layer(part)
        self._next = maps, part, overlay, FieldPointer(self.viewer, maps, overlay, self._tell)
        return [overlay, self._next[3].box]

    def show_maps(self, frames_first: bool) -> None:
        """Show what the layers that were added are about."""
        self.clear()
        self.maps, part, self.overlay, self.pointer = self._next
        self.part.blockSignals(True)
        self.part.clear()
        for name in (name for name in TITLES if name in self.maps.parts):
            self.part.addItem(_title(self.maps, name), name)
        self.part.setCurrentIndex(self.part.findData(part))
        self.part.blockSignals(False)
        self.promise.setText(in_a_dock(self.maps.promise))
        self.agreement.setText(self.maps.agreement())
        self.agreement.setVisible(bool(self.agreement.text()))
        self.overlay.opacity = self.opacity.value()
        self._coloured = part, self.maps.threshold(part)  # as it comes
        self._set_threshold(part)
        self.worst.show_maps(self.maps, part, frames_first)
        self._tell("")
        self.pointer.connect()
        self.found.show()

    def let_go(self) -> None:
        """Follow the mouse no more; the dock may be gone already."""
        if self.pointer is not None:
            self.pointer.disconnect()
        self.maps = self.overlay = self.pointer = None

    def clear(self) -> None:
        """Show nothing."""
        self.let_go()
        self.part.clear()
        self.promise.setText("")
        self.found.hide()

    # What the user does

    def _tell(self, text: str) -> None:
        self.told.setText(text or HINT)

    def _pin(self, place: Place) -> None:
        if self.pointer is not None:
            self.pointer.point(place, pin=True)

    def _fade(self, opacity: float) -> None:
        if self.overlay is not None:
            self.overlay.opacity = opacity

    def _show_part(self, _: int) -> None:
        if self.maps is None or self.overlay is None:
            return
        part = self.part.currentData()
        self.overlay.data = self.maps.parts[part]
        self.overlay.name = self.maps.title(part)
        self.overlay.contrast_limits_range = self.overlay.contrast_limits = self.maps.summaries[part].limits
        self._set_threshold(part)
        self.worst.show_maps(self.maps, part)

    def _set_threshold(self, part: str) -> None:
        assert self.maps is not None
        low, high = self.maps.summaries[part].limits
        at = self.maps.threshold(part)
        self.threshold.blockSignals(True)
        self.threshold.setRange(min(low, at), max(high, at))
        self.threshold.setDecimals(3 if max(high, at) < 10 else 1)
        self.threshold.setValue(at)
        self.threshold.blockSignals(False)
        self._colour()

    def _colour(self, *_: Any) -> None:
        """What is better than the threshold is faint; a colour map is drawn anew only where it is another."""
        if self.maps is None or self.overlay is None:
            return
        part, threshold = self.part.currentData(), self.threshold.value()
        if part != self._coloured[0] or not math.isclose(threshold, self._coloured[1], rel_tol=1e-3):  # a slider rounds
            self.overlay.colormap = self.maps.colours(part, threshold)
            self._coloured = part, threshold

    def mask(self) -> None:
        """Add the mask, once a thread has made it."""
        maps = self.maps
        if maps is None:
            return
        part, threshold = self.part.currentData(), self.threshold.value()
        if not maps.bad(part, threshold).any():
            self._offer_harder(maps, part, threshold)
            return
        self.mask_button.setEnabled(False)

        def made(layer: Layer) -> None:
            self.mask_button.setEnabled(True)
            if maps.image in self.viewer.layers:
                self.viewer.add_layer(layer)

        def failed(error: Exception) -> None:
            self.mask_button.setEnabled(True)
            self._tell(in_a_dock(str(error)))

        self._session.in_thread(self._token, lambda: maps.mask(part, threshold), made, failed)

    def _offer_harder(self, maps: ScoreMaps, part: str, threshold: float) -> None:
        """Instead of an empty mask: a threshold that marks something, and what it is."""
        harder = maps.harder(part)
        if not maps.bad(part, harder).any():
            self._tell("All fields are told alike, so there is nothing to mask.")
            return
        self.threshold.setValue(harder)
        worse = "above" if part in ERRORS else "below"
        self._tell(
            f"No field is {worse} {threshold:.3g}, so the mask would be empty. The threshold is now {harder:.3g}, "
            "which the worst twentieth exceeds; press again to mask that."
        )

    def _removed(self, event: Any) -> None:
        if self.overlay is not None and event.value in (self.overlay, self.maps and self.maps.image):
            self.clear()


def _title(maps: ScoreMaps, part: str) -> str:
    return f"{maps.kind} score" if part == "scores" else TITLES[part]


def _text(text: str) -> QLabel:
    label = QLabel(text)
    label.setWordWrap(True)
    return label
