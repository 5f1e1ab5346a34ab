"""A list of the viewer's images and labels that follows them."""

from collections.abc import Callable
from typing import Any, Protocol

from magicgui.widgets import ComboBox
from napari.layers import Image, Labels, Layer
from qtpy.QtWidgets import QWidget

from napari_pix2pix.widgets.placing import MADE_HERE

Kinds = tuple[type[Layer], ...]
EMPTY = "open an image first"
"""What a list says that has nothing to offer."""
Prefer = Callable[[list[Layer]], Layer | None]


class Follower(Protocol):
    """A control that offers layers."""

    def refresh(self) -> None:
        """Offer the layers that there are now."""


class LayerChoice:
    """One of the viewer's layers.

    Parameters
    ----------
    viewer
        Whose layers are offered.
    prefer
        Picks the layer to begin with; asked again when layers come and go, until the user has chosen.
    kinds
        Of the layers offered.
    none
        What stands for no layer, which can then be chosen, too.
    """

    def __init__(self, viewer: Any, prefer: Prefer, kinds: Kinds = (Image, Labels), none: str = "") -> None:
        self._viewer, self._prefer, self._kinds, self._chosen = viewer, prefer, kinds, False
        self._none = none
        self._combo = ComboBox(choices=lambda _: self._offered())
        self.native: QWidget = self._combo.native
        self.native.setPlaceholderText(EMPTY)
        self.changed = self._combo.changed
        self.native.activated.connect(self._choose)
        self.refresh()

    @property
    def value(self) -> Layer | None:
        """The chosen layer; None where there is none to choose."""
        return self._combo.value

    @value.setter
    def value(self, layer: Layer | None) -> None:
        self._combo.value = layer
        self._chosen = True

    def offer_none(self, none: str) -> None:
        """No layer can be chosen, too, which is called so; empty: it cannot."""
        if none != self._none:
            self._none = none
            self.refresh()

    def _offered(self) -> list[tuple[str, Layer | None]]:
        nothing: list[tuple[str, Layer | None]] = [(self._none, None)] if self._none else []
        return nothing + [(layer.name, layer) for layer in offered(self._viewer, self._kinds)]

    def refresh(self) -> None:
        """Offer the layers that there are now."""
        before = self.value
        self._combo.reset_choices()
        layers = offered(self._viewer, self._kinds)
        self._chosen = self._chosen and (before in layers or (before is None and bool(self._none)))
        wanted = before if self._chosen else self._prefer(layers)
        if wanted is not None:
            self._combo.value = wanted  # also after a renaming, which the combo takes for another choice

    def _choose(self, _: int) -> None:
        self._chosen = True


def offered(viewer: Any, kinds: Kinds) -> list[Layer]:
    """The viewer's layers of these kinds, the undermost first."""
    return [layer for layer in viewer.layers if isinstance(layer, kinds)]


def made_here(layer: Layer) -> str:
    """What a layer is that a dock has made: prediction, patch scores or preview; else empty."""
    return str(layer.metadata.get(MADE_HERE, {}).get("is", ""))


def first_image(layers: list[Layer]) -> Layer | None:
    """The undermost image that no dock has made."""
    own = [layer for layer in layers if not made_here(layer)]
    return next((layer for layer in own if isinstance(layer, Image)), next(iter(own), None))


def first_target(layers: list[Layer]) -> Layer | None:
    """The undermost labels, else the image next to the first one."""
    own = [layer for layer in layers if not made_here(layer) and layer is not first_image(layers)]
    return next((layer for layer in own if isinstance(layer, Labels)), next(iter(own), None))


def last_prediction(layers: list[Layer]) -> Layer | None:
    """The uppermost prediction, else the first target."""
    made = [layer for layer in layers if made_here(layer) == "prediction"]
    return made[-1] if made else first_target(layers)


def its_source(layers: list[Layer]) -> Layer | None:
    """The layer from which the last prediction was made, else the first image."""
    made = last_prediction(layers)
    name = made.metadata.get(MADE_HERE, {}).get("source") if made is not None else None
    return next((layer for layer in layers if layer.name == name), first_image(layers))
