"""The preview of a training: one layer whose pixels are replaced."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from napari.layers import Image, Labels, Layer
from numpy.typing import NDArray

from napari_pix2pix.files.stacks import open_stack
from napari_pix2pix.widgets.placing import MADE_HERE

GAP = 0.05
"""Between the source and the preview below it, as a share of the source's height."""


class PreviewLayer:
    """Source, prediction, target image and scores side by side, below the source; gone for good if it is removed.

    Parameters
    ----------
    viewer
        To which it is added.
    name
        Of the layer.
    source
        The layer to lie below; None: below all images there are.
    """

    legend = "Preview, below the source; scores are bright where the prediction looks real."

    def __init__(self, viewer: Any, name: str, source: Layer | None) -> None:
        self._viewer, self._name, self._source = viewer, name, source
        for old in [layer for layer in viewer.layers if layer.metadata.get(MADE_HERE, {}).get("is") == "preview"]:
            viewer.layers.remove(old)
        self.layer: Image | None = None

    def read(self, path: str) -> Callable[[], NDArray[np.uint8]]:
        """A function, for a thread, that reads the picture."""
        return partial(_read, Path(path))

    def show(self, picture: NDArray[np.uint8]) -> None:
        """Put the picture into the layer, which is added the first time."""
        if self._source is not None and self._source not in self._viewer.layers:  # the viewer may be closing
            return
        if self.layer is None:
            self._add(picture)
        elif self.layer in self._viewer.layers:
            self.layer.data = picture

    def miss(self, error: Exception) -> None:
        """A picture that cannot be read is left out: the next one comes soon."""

    def _add(self, picture: NDArray[np.uint8]) -> None:
        selected = set(self._viewer.layers.selection)
        shown = [layer for layer in self._viewer.layers if isinstance(layer, Image | Labels)]
        above = self._source or max(shown, key=_bottom, default=None)
        self.layer = Image(
            picture,
            name=self._name,
            rgb=True,
            metadata={MADE_HERE: {"is": "preview"}},
            **({} if above is None else _below(above)),
        )
        self._viewer.add_layer(self.layer)
        self._viewer.layers.selection = selected
        self._viewer.reset_view()


def _bottom(layer: Layer) -> float:
    return float(layer.extent.world[1][-2])


def _below(source: Layer) -> dict[str, Any]:
    """Arguments that put a picture below the layer."""
    low, high = np.asarray(source.extent.world)[:, -2:]
    return {
        "scale": np.abs(source.scale[-2:]),
        "translate": (high[0] + GAP * (high[0] - low[0]), low[1]),
        "units": source.units[-2:],
    }


def _read(path: Path) -> NDArray[np.uint8]:
    return open_stack(path).array[...]
