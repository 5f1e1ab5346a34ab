"""What is hidden, and drawn as outlines, while an overlay is shown: two colours on one pixel cannot be read."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any
from weakref import WeakValueDictionary

from napari.layers import Image, Labels, Layer

from napari_pix2pix.widgets.layer_choice import made_here

CONTOUR = 2
"""How thick outlines of labels are, px."""


@dataclass
class Cleared:
    """What an overlay has changed in the view.

    Parameters
    ----------
    hidden
        Layers that were visible.
    outlined
        Labels that were filled.
    """

    hidden: list[Layer] = field(default_factory=list)
    outlined: list[Labels] = field(default_factory=list)

    def restore(self) -> None:
        """Have it as it was."""
        for layer in self.hidden:
            layer.visible = True
        for labels in self.outlined:
            labels.contour = 0
        self.hidden, self.outlined = [], []


class Stage:
    """Clears the view for an overlay while it is visible; what was hidden for it comes back when it goes.

    Parameters
    ----------
    viewer
        Whose layers they are.
    overlay
        What is to be read; with it goes its stage.
    seen
        Layers that stay: the source, and what is judged, of which labels become outlines.
    cleared
        What overlays before it have changed, see `taken_over`.
    """

    def __init__(self, viewer: Any, overlay: Layer, seen: tuple[Layer, ...], cleared: Cleared) -> None:
        self._viewer, self._overlay, self._seen, self.cleared = viewer, overlay, seen, cleared
        # napari holds methods weakly, functions not: the stage lives as long as its overlay does.
        self._follows = lambda *_: self._follow()
        self._goes = lambda event: self._removed(event)
        overlay.events.visible.connect(self._follows)
        viewer.layers.events.removed.connect(self._goes)
        _STAGES[id(overlay)] = self
        self._follow()

    def _follow(self) -> None:
        (self._clear if self._overlay.visible else self.cleared.restore)()

    def _clear(self) -> None:
        for layer in self._viewer.layers:
            if layer in self._seen and isinstance(layer, Labels) and layer.contour == 0:
                layer.contour = CONTOUR
                self.cleared.outlined.append(layer)
            hides = isinstance(layer, Image | Labels) and layer not in (self._overlay, *self._seen)
            if hides and layer.visible and made_here(layer) != "field":
                layer.visible = False
                self.cleared.hidden.append(layer)
        for layer in [layer for layer in self.cleared.hidden if layer in self._seen]:
            layer.visible = True
            self.cleared.hidden.remove(layer)

    def _removed(self, event: Any) -> None:
        if event.value is self._overlay:
            self._overlay.events.visible.disconnect(self._follows)
            self._viewer.layers.events.removed.disconnect(self._goes)
            self.cleared.restore()


_STAGES: WeakValueDictionary[int, Stage] = WeakValueDictionary()
"""By the id of their overlays."""


def taken_over(overlays: Iterable[Layer]) -> Cleared:
    """What these overlays have changed in the view; they are hidden, and nothing is drawn anew for that."""
    found = Cleared()
    for overlay in overlays:
        if (stage := _STAGES.get(id(overlay))) is not None:
            found.hidden += stage.cleared.hidden
            found.outlined += stage.cleared.outlined
            stage.cleared = Cleared()
        overlay.visible = False
    return found
