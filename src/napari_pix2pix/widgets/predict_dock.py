"""The dock *Predict*: a model and a layer become a new layer over it."""

from collections.abc import Callable
from typing import Any

import napari.viewer

from napari_pix2pix.widgets.card import read_card
from napari_pix2pix.widgets.dock import Request
from napari_pix2pix.widgets.layer_choice import first_image
from napari_pix2pix.widgets.layers import file_of
from napari_pix2pix.widgets.model_dock import ModelDock
from napari_pix2pix.widgets.placing import prediction_layers


class PredictDock(ModelDock):
    """Predict the target of a layer with a trained model.

    Parameters
    ----------
    viewer
        Whose layers are offered, and to which the prediction is added.
    """

    verb, explained = "Predict", "Predict the whole layer; the prediction becomes a new layer exactly over it"

    def __init__(self, viewer: "napari.viewer.Viewer") -> None:
        super().__init__(viewer)
        self.source = self.add_layer_choice("Source", "The layer to predict from", first_image)
        self.add_device()

    def request(self) -> Request:
        """``predict MODEL SOURCE --out PATH``."""
        model, source, device = self.model.value(), self.source.value, self.device.value()
        if source is None:
            raise ValueError("There must be a layer to predict from; open an image first.")
        folder = self.new_folder()
        out = folder / "prediction.ome.tif"
        self.load_with(prediction_layers, source, out, read_card(model).labels)

        def prepare(stopped: Callable[[], bool]) -> list[Any]:
            file = file_of(source, folder / "source.ome.tif", stopped)
            return ["predict", model, file.path, "--out", out, "--source-axes", file.axes, "--device", device]

        return Request(prepare, (source,))
