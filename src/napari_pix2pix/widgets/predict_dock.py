"""The dock *Predict*: a model and a layer become a new layer over it."""

import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import napari.viewer
from napari.layers import Layer
from napari.utils.notifications import show_error
from qtpy.QtWidgets import QLabel

from napari_pix2pix.events import Event
from napari_pix2pix.widgets.card import read_card
from napari_pix2pix.widgets.choices import DeviceChoice, ModelChoice
from napari_pix2pix.widgets.dock import Dock, Request
from napari_pix2pix.widgets.layers import file_of
from napari_pix2pix.widgets.placing import prediction_layers
from napari_pix2pix.widgets.places import new_working_folder


class ModelDock(Dock):
    """A dock that applies a model to layers and adds what comes of it."""

    def __init__(self, viewer: "napari.viewer.Viewer") -> None:
        super().__init__(viewer)
        self.model = ModelChoice(self.session)
        self.card = QLabel()
        self.card.setWordWrap(True)
        self.card.setToolTip("What the model says of itself")
        self.add_row("Model", self.model, "The model to use: the last one trained comes first")
        self.form.addRow("", self.card)
        self.model.combo.currentIndexChanged.connect(self._show_card)
        self._show_card()
        self._folder: Path | None = None
        self._load: Callable[[], list[Layer]] | None = None

    def add_device(self) -> None:
        """The last row of the form."""
        self.device = DeviceChoice(self.session)
        self.add_row("Device", self.device, "What computes. auto: a GPU where there is one")

    def finish(self, well: bool) -> None:
        """Load the result in a thread, then add it."""
        folder, load, self._folder, self._load = self._folder, self._load, None, None
        if well and load is not None:
            self.run_button.setEnabled(False)
            self.session.in_thread(partial(_load_and_clean, load, folder), self._add, self._not_loaded)
        elif folder is not None:
            self.session.in_thread(partial(shutil.rmtree, folder, True), _nothing, _nothing)

    def _add(self, layers: list[Layer]) -> None:
        for layer in layers:
            self.viewer.add_layer(layer)
        self.idle("Added " + " and ".join(repr(layer.name) for layer in layers))

    def _not_loaded(self, error: Exception) -> None:
        show_error(str(error))
        self.idle("Failed.")

    def _show_card(self, *_: Any) -> None:
        try:
            self.card.setText(read_card(self.model.value()).text)
        except ValueError as error:
            self.card.setText("" if self.model.combo.currentIndex() < 0 else str(error))


def _load_and_clean(load: Callable[[], list[Layer]], folder: Path) -> list[Layer]:
    try:
        return load()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _nothing(_: Any) -> None:
    pass


class PredictDock(ModelDock):
    """Predict the target of a layer with a trained model.

    Parameters
    ----------
    viewer
        Whose layers are offered, and to which the prediction is added.
    """

    verb, explained = "Predict", "Predict the whole layer; the prediction lies exactly over it, as a new layer"

    def __init__(self, viewer: "napari.viewer.Viewer") -> None:
        super().__init__(viewer)
        self.source = self.add_layer_choice("Source", "The layer to predict from")
        self.add_device()

    def request(self) -> Request:
        """``predict MODEL SOURCE --out PATH``."""
        model, source, device = self.model.value(), self.source.value, self.device.value()
        if source is None:
            raise ValueError("There must be a layer to predict from; open an image first.")
        folder = self._folder = new_working_folder()
        out = folder / "prediction.ome.tif"
        self._load = partial(prediction_layers, source, out, read_card(model).labels)

        def prepare(stopped: Callable[[], bool]) -> list[Any]:
            file = file_of(source, folder / "source.ome.tif", stopped)
            return ["predict", model, file.path, "--out", out, "--source-axes", file.axes, "--device", device]

        return Request(prepare, (source,))
