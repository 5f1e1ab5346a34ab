"""What is hidden, and drawn as outlines, while an overlay is shown: two colours on one pixel cannot be read."""

from typing import Any

from napari.layers import Image, Labels, Layer

from napari_pix2pix.widgets.layer_choice import made_here

CONTOUR = 2
"""How thick outlines of labels are, px."""


class Stage:
    """Clears the view for an overlay while it is visible; what was hidden for it comes back when it goes.

    Parameters
    ----------
    viewer
        Whose layers they are.
    overlay
        What is to be read.
    seen
        Layers that stay: the source, and what is judged, of which labels become outlines.
    """

    def __init__(self, viewer: Any, overlay: Layer, seen: tuple[Layer, ...]) -> None:
        self._viewer, self._overlay, self._seen = viewer, overlay, seen
        self._hidden: list[Layer] = []
        self._outlined: list[Labels] = []
        overlay.events.visible.connect(self._follow)
        viewer.layers.events.removed.connect(self._removed)
        self._follow()

    def _follow(self, *_: Any) -> None:
        (self._clear if self._overlay.visible else self._restore)()

    def _clear(self) -> None:
        for layer in self._viewer.layers:
            if layer in self._seen and isinstance(layer, Labels) and layer.contour == 0:
                layer.contour = CONTOUR
                self._outlined.append(layer)
            hides = isinstance(layer, Image | Labels) and layer not in (self._overlay, *self._seen)
            if hides and layer.visible and made_here(layer) != "field":
                layer.visible = False
                self._hidden.append(layer)

    def _restore(self) -> None:
        for layer in self._hidden:
            layer.visible = True
        for labels in self._outlined:
            labels.contour = 0
        self._hidden, self._outlined = [], []

    def _removed(self, event: Any) -> None:
        if event.value is self._overlay:
            self._overlay.events.visible.disconnect(self._follow)
            self._viewer.layers.events.removed.disconnect(self._removed)
            self._restore()
