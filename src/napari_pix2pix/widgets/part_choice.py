"""Which part of a slide: all, what is displayed, where shapes are drawn, or its tissue."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from napari.layers import Layer, Shapes
from numpy.typing import NDArray
from qtpy.QtWidgets import QComboBox, QHBoxLayout, QWidget

from napari_pix2pix.widgets.layer_choice import LayerChoice
from napari_pix2pix.widgets.layers import is_slide, pixel_size_um, pixels

ALL, SEEN, DRAWN, TISSUE = "all of it", "what I see", "region", "tissue"
CORNERS = 64
"""Of an ellipse."""


class PartChoice(QWidget):
    """A part of a slide's layer, as flags of ``predict``.

    Parameters
    ----------
    viewer
        Whose shapes are offered.
    """

    def __init__(self, viewer: Any) -> None:
        super().__init__()
        self.combo = QComboBox()
        self.combo.addItems([SEEN, DRAWN, TISSUE, ALL])
        self.combo.setToolTip(
            "What I see: the displayed field, at the pixel size at which it is displayed, which is quick. Region: "
            "where a Shapes layer has areas. Tissue is found by its colours. Glass takes no time "
            "(--region, --annotations, --tissue)"
        )
        self.shapes = LayerChoice(viewer, _last, (Shapes,))
        self.shapes.native.setPlaceholderText("draw in a Shapes layer first")
        self.shapes.native.setToolTip("The areas in which to predict: rectangles, ellipses and polygons")
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.combo, 1)
        layout.addWidget(self.shapes.native, 1)
        self.combo.currentIndexChanged.connect(self._show)
        self._show()

    def offer(self, layer: Layer | None) -> bool:
        """Whether this layer has parts to choose: it is a slide."""
        self.shapes.refresh()
        return layer is not None and is_slide(layer)

    def flags(self, layer: Layer, folder: Path) -> list[Any]:
        """What says the chosen part of this layer; shapes go to a file in `folder`.

        Raises
        ------
        ValueError
            If nothing of it is displayed, or no area is drawn.
        """
        chosen = self.combo.currentText()
        if chosen == SEEN:
            return seen_flags(layer)
        if chosen == DRAWN:
            drawn = self.shapes.value
            if drawn is None:
                raise ValueError("A region must be drawn in a Shapes layer; there is none. Add one, and draw.")
            file = folder / "region.geojson"
            file.write_text(json.dumps(areas_of(drawn, layer)), "utf8")
            return ["--annotations", file]
        return ["--tissue"] if chosen == TISSUE else []

    def _show(self, *_: Any) -> None:
        self.shapes.native.setVisible(self.combo.currentText() == DRAWN)


def _last(layers: list[Layer]) -> Layer | None:
    return layers[-1] if layers else None


def seen_flags(layer: Layer) -> list[Any]:
    """The displayed field of a layer, in pixels of its full resolution, and the pixel size of the displayed level.

    Raises
    ------
    ValueError
        If nothing of it is displayed.
    """
    level = layer.data[layer.data_level] if layer.multiscale else layer.data
    whole = np.array(pixels(layer).shape[:2], float)
    step = whole / level.shape[:2]
    low, high = np.clip(np.asarray(layer.corner_pixels, float)[:, -2:] + [[0, 0], [1, 1]], 0, level.shape[:2]) * step
    if not (high > low).all():
        raise ValueError("Something of the slide must be displayed to be predicted; nothing is. Move it into view.")
    (y, x), (height, width) = np.floor(low).astype(int), np.ceil(np.minimum(high, whole) - np.floor(low)).astype(int)
    sizes = pixel_size_um(layer)
    flags: list[Any] = ["--region", f"{x},{y},{width},{height}"]
    return [*flags, "--pixel-size-um", f"{sizes['X'] * step[1]:.6g}"] if "X" in sizes else flags


def areas_of(drawn: Shapes, layer: Layer) -> dict[str, Any]:
    """The areas of a Shapes layer as GeoJSON, in pixels of `layer`'s full resolution, corners at integers.

    Raises
    ------
    ValueError
        If it holds no area.
    """
    features = []
    for corners, kind in zip(drawn.data, drawn.shape_type, strict=True):
        if kind not in ("rectangle", "polygon", "ellipse"):
            continue
        ring = _ellipse(corners[:, -2:]) if kind == "ellipse" else corners[:, -2:]
        to_layer: Callable[[Any], Any] = layer.world_to_data
        places = [to_layer(drawn.data_to_world(np.append(corners[0, :-2], point)))[-2:] + 0.5 for point in ring]
        line = [[float(x), float(y)] for y, x in [*places, places[0]]]
        geometry = {"type": "Polygon", "coordinates": [line]}
        features.append({"type": "Feature", "geometry": geometry, "properties": {"objectType": "annotation"}})
    if not features:
        raise ValueError(
            f"A region must be an area: a rectangle, an ellipse or a polygon; {drawn.name!r} holds none. Draw one."
        )
    return {"type": "FeatureCollection", "features": features}


def _ellipse(corners: NDArray[Any]) -> NDArray[np.float64]:
    """Points on the ellipse in a box with these four corners."""
    centre, one, other = corners.mean(axis=0), corners[1] - corners[0], corners[3] - corners[0]
    turn = np.linspace(0, 2 * np.pi, CORNERS, endpoint=False)[:, None]
    found: NDArray[np.float64] = centre + np.cos(turn) * one / 2 + np.sin(turn) * other / 2
    return found
