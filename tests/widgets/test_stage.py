"""The view is cleared for an overlay, and is as before when it goes; another overlay takes over what it has cleared."""

import numpy as np
import pytest

from napari_pix2pix.widgets.stage import CONTOUR, Cleared, Stage, taken_over
from small import blobs

pytestmark = pytest.mark.gui


def view(viewer) -> dict[str, tuple[bool, int | None]]:
    return {layer.name: (layer.visible, getattr(layer, "contour", None)) for layer in viewer.layers}


def test_what_an_overlay_hides_comes_back(make_napari_viewer) -> None:
    """When it is hidden, shown again, removed; and outlines of labels are drawn once for two overlays in a row."""
    viewer = make_napari_viewer()
    source, labels = blobs()
    image, found = viewer.add_image(source, name="source"), viewer.add_labels(labels, name="found")
    viewer.add_labels(labels, name="target")
    before = view(viewer)

    overlay = viewer.add_image(np.zeros(source.shape), name="error")
    Stage(viewer, overlay, (image, found), Cleared())
    cleared = before | {"found": (True, CONTOUR), "target": (False, 0)}
    assert view(viewer) == cleared | {"error": (True, None)}
    overlay.visible = False
    assert view(viewer) == before | {"error": (False, None)}
    overlay.visible = True
    assert view(viewer) == cleared | {"error": (True, None)}

    drawn: list[int] = []
    found.events.contour.connect(lambda event: drawn.append(found.contour))
    scores = viewer.add_image(np.zeros(source.shape), name="scores")
    Stage(viewer, scores, (image, found), taken_over([overlay]))
    assert view(viewer) == cleared | {"error": (False, None), "scores": (True, None)} and not drawn
    viewer.layers.remove(scores)
    assert view(viewer) == before | {"error": (False, None)}
