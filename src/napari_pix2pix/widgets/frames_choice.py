"""Which frames of a layer: the displayed one, a range, or all."""

from typing import Any

import numpy as np
from napari.layers import Layer
from qtpy.QtWidgets import QComboBox, QHBoxLayout, QLabel, QSpinBox, QWidget

from napari_pix2pix.core.geometry.axes import WHOLE, Window
from napari_pix2pix.widgets.layers import frame_axes, layer_axes, pixels

ALL, DISPLAYED, RANGE = "all", "displayed", "range"
WORDS = {"T": "frame", "Z": "plane"}


class FramesChoice(QWidget):
    """All frames of a layer, the one that the viewer displays, or a range of its first axis that has several.

    Parameters
    ----------
    viewer
        Whose sliders say what is displayed.
    """

    def __init__(self, viewer: Any) -> None:
        super().__init__()
        self._viewer = viewer
        self._layer: Layer | None = None
        self._axes: list[int] = []
        self.combo = QComboBox()
        self.combo.setToolTip("The displayed one is quick: see whether the model suits before all are predicted")
        self.combo.currentIndexChanged.connect(self._show_range)
        self.first, self.last, self._to = QSpinBox(), QSpinBox(), QLabel("to")
        for spin, which in ((self.first, "first"), (self.last, "last")):
            spin.setToolTip(f"The {which} one, as napari's slider counts them: from 0 on")
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        for part in (self.combo, self.first, self._to, self.last):
            layout.addWidget(part, 1 if part is self.combo else 0)

    def offer(self, layer: Layer | None, planes: bool) -> bool:
        """Offer the frames of this layer, where planes are frames of their own or not; whether there are several."""
        try:
            axes = frame_axes(layer, planes) if layer is not None else []
        except ValueError:  # too many axes: said when it is used
            axes = []
        if (layer, axes) != (self._layer, self._axes):
            self._layer, self._axes = layer, axes
            self._fill()
        return bool(axes)

    def choose_displayed(self) -> None:
        """Only the frame that is displayed, where there are several."""
        if self._axes:
            self.combo.setCurrentIndex(self.combo.findData(DISPLAYED))

    def window(self) -> Window:
        """A slice for each axis of the layer's data; empty: all.

        Raises
        ------
        ValueError
            If the last one comes before the first.
        """
        if self._layer is None or not self._axes or self.combo.currentData() == ALL:
            return WHOLE
        window = [slice(0, n) for n in pixels(self._layer).shape]
        if self.combo.currentData() == RANGE:
            first, last = self.first.value(), self.last.value()
            if last < first:
                raise ValueError(f"A range must not end before it begins; got {first} to {last}.")
            window[self._axes[0]] = slice(first, last + 1)
            return tuple(window)
        place = np.round(self._layer.world_to_data(self._viewer.dims.point[-self._layer.ndim :])).astype(int)
        for axis in self._axes:
            at = int(np.clip(place[axis], 0, window[axis].stop - 1))
            window[axis] = slice(at, at + 1)
        return tuple(window)

    def _fill(self) -> None:
        self.combo.clear()
        if self._layer is not None and self._axes:
            letters, shape = layer_axes(self._layer), pixels(self._layer).shape
            words = [f"{shape[axis]} {WORDS[letters[axis]]}s" for axis in self._axes]
            self.combo.addItem(f"all: {' × '.join(words)}", ALL)
            self.combo.addItem(f"the displayed {WORDS[letters[self._axes[-1]]]}", DISPLAYED)
            self.combo.addItem(f"{WORDS[letters[self._axes[0]]]}s", RANGE)
            for spin, value in ((self.first, 0), (self.last, shape[self._axes[0]] - 1)):
                spin.setRange(0, shape[self._axes[0]] - 1)
                spin.setValue(value)
        self._show_range()

    def _show_range(self, *_: Any) -> None:
        for part in (self.first, self._to, self.last):
            part.setVisible(self.combo.currentData() == RANGE)
