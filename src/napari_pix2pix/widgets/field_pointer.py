"""The field under the mouse: what is known of it, and a box around what it sees; a click pins it."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from napari.layers import Image, Shapes

from napari_pix2pix.widgets.placing import MADE_HERE, linear, placement
from napari_pix2pix.widgets.score_maps import Place, ScoreMaps

EDGE = "#56b4e9"
"""Sky blue of Okabe and Ito, which no colour of the overlay is near to."""


class FieldPointer:
    """Follows the mouse over an overlay.

    Parameters
    ----------
    viewer
        Whose mouse it is; it gets no layer, see `box`.
    maps
        What is known of the fields.
    overlay
        The layer that shows them.
    tell
        Is told what is known of the field; empty where there is none.
    """

    def __init__(self, viewer: Any, maps: ScoreMaps, overlay: Image, tell: Callable[[str], None]) -> None:
        self.viewer, self.maps, self.overlay, self.tell = viewer, maps, overlay, tell
        self.place: Place | None = None
        self.pinned = False
        first = tuple(0 for _ in maps.axes)
        self.box = Shapes(
            [maps.box(first)],
            shape_type="polygon",
            name=f"field: {maps.image.name}",
            metadata={MADE_HERE: {"is": "field", "source": maps.image.name}},
            edge_color=EDGE,
            face_color="transparent",
            edge_width=max(1.0, maps.sizes[-1] / 24),
            visible=False,
            **placement(maps.image, maps.keep),
        )

        self._unmoved, self._centre = np.asarray(self.box.translate), maps.centre(first)
        self._linear = linear(self.box)

    def connect(self) -> None:
        """Begin to follow."""
        self.viewer.mouse_move_callbacks.append(self._move)
        self.viewer.mouse_drag_callbacks.append(self._press)

    def disconnect(self) -> None:
        """Follow no more."""
        for callbacks, ours in (
            (self.viewer.mouse_move_callbacks, self._move),
            (self.viewer.mouse_drag_callbacks, self._press),
        ):
            if ours in callbacks:
                callbacks.remove(ours)

    def point(self, place: Place | None, pin: bool = False) -> None:
        """Show this field, and keep it if it is pinned."""
        self.pinned = pin and place is not None
        if place == self.place:
            return self._say()
        self.place = place
        if place is not None:  # moved, which is faster than drawn anew
            self.box.translate = self._unmoved + self._linear @ (self.maps.centre(place) - self._centre)
        self.box.visible = place is not None
        self._say()

    def _say(self) -> None:
        if self.place is None:
            return self.tell("")
        self.tell(self.maps.facts(self.place) + (" · pinned, click again to let go" if self.pinned else ""))

    def under(self, position: Any) -> Place | None:
        """The field at a place in the world."""
        if not self.overlay.visible or self.viewer.dims.ndisplay != 2:
            return None
        found = self.overlay.world_to_data(position)
        return self.maps.at(found) if np.isfinite(found).all() else None

    def _move(self, _: Any, event: Any) -> None:
        if not self.pinned:
            self.point(self.under(event.position))

    def _press(self, _: Any, event: Any) -> Iterator[None]:
        yield
        if event.type == "mouse_move":  # a drag moves the camera
            return
        place = self.under(event.position)
        self.point(place, pin=not (self.pinned and place == self.place))
