"""The dock *Patch scores*: how real each part of an image looks, given its source, as an overlay."""

from collections.abc import Callable
from typing import Any

import napari.viewer
from napari.layers import Layer

from napari_pix2pix.widgets.bridge import Event
from napari_pix2pix.widgets.dock import Request
from napari_pix2pix.widgets.layer_choice import its_source, last_prediction
from napari_pix2pix.widgets.layers import file_of
from napari_pix2pix.widgets.model_dock import ModelDock
from napari_pix2pix.widgets.placing import scores_layer


class ScoresDock(ModelDock):
    """Score how real an image looks, field by field, given its source.

    Parameters
    ----------
    viewer
        Whose layers are offered, and to which the overlay is added.
    """

    verb, explained = "Score", "Add an overlay of patch scores: bright looks real, dark does not. No truth is needed"

    def __init__(self, viewer: "napari.viewer.Viewer") -> None:
        super().__init__(viewer)
        self.source = self.add_layer_choice("Source", "The layer that the model predicts from", its_source)
        self.image = self.add_layer_choice(
            "Image", "The layer to judge: a prediction, or a target image", last_prediction
        )
        self.add_device()

    def request(self) -> Request:
        """``score MODEL SOURCE IMAGE --out PATH``."""
        model, source, image, device = self.model.value(), self.source.value, self.image.value, self.device.value()
        if source is None or image is None:
            raise ValueError("There must be a source and an image to judge; open or predict them first.")
        if source is image:
            raise ValueError("The image must be another layer than the source; choose a prediction or a target image.")
        folder = self.new_folder()
        self._judged = image
        self._out = folder / "patch_scores.ome.tif"

        def prepare(stopped: Callable[[], bool]) -> list[Any]:
            files = [
                file_of(layer, folder / f"{name}.ome.tif", stopped)
                for layer, name in ((source, "source"), (image, "image"))
            ]
            axes = ["--source-axes", files[0].axes, "--image-axes", files[1].axes]
            return ["score", model, files[0].path, files[1].path, "--out", self._out, *axes, "--device", device]

        return Request(prepare, (source, image))

    def hear(self, event: Event) -> None:
        """Where the scores lie."""
        if event["event"] == "placed":
            self.load_with(_one, self._judged, self._out, event["scale"], event["translate"])
            size = event["receptive_field"]["size"]
            self.remark = (
                "Bright looks real, dark does not; whether it is true, it cannot say. "
                f"Each score judges a field of {size} × {size} px."
            )


def _one(*arguments: Any) -> list[Layer]:
    return [scores_layer(*arguments)]
