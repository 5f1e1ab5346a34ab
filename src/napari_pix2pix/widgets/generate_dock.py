"""The dock *Generate*: images from nothing, and their targets, as layers."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import napari.viewer
import numpy as np
from napari.layers import Image, Labels, Layer
from qtpy.QtWidgets import QComboBox, QSpinBox

from napari_pix2pix.files.folders import list_images
from napari_pix2pix.files.stacks import Stack, open_stack
from napari_pix2pix.widgets.bridge import Event
from napari_pix2pix.widgets.card import Card, read_card
from napari_pix2pix.widgets.dock import Request
from napari_pix2pix.widgets.flags import time_left
from napari_pix2pix.widgets.model_dock import ModelDock
from napari_pix2pix.widgets.placing import MADE_HERE

ANY = "any"
MOST = 10_000
"""Images at once; more are made by the command."""


class GenerateDock(ModelDock):
    """Make images by a model that learned to make them from nothing.

    Parameters
    ----------
    viewer
        To which the layers are added.
    """

    verb, explained = "Generate", "Add images, and their targets if the model makes such: generated, no observations"

    def __init__(self, viewer: "napari.viewer.Viewer") -> None:
        super().__init__(viewer)
        self.number, self.seed, self.condition = QSpinBox(), QSpinBox(), QComboBox()
        self.number.setRange(1, MOST)
        self.number.setValue(16)
        self.seed.setRange(0, 2**31 - 1)
        self.add_row("Number", self.number, "How many images")
        self.add_row("Class", self.condition, "Which class all are of; any: each of one drawn at random")
        self.add_row("Seed", self.seed, "The same seed makes the same images; another makes others")
        self.add_device()
        self.remember(number=self.number, seed=self.seed, device=self.device)
        self.column.addStretch(1)
        self.model.combo.currentIndexChanged.connect(self._offer_classes)
        self._offer_classes()
        self.order_tabs()

    def _offer_classes(self, *_: Any) -> None:
        try:
            classes = read_card(self.model.value()).domains
        except ValueError:  # there is none, or it is told elsewhere
            classes = ()
        self.condition.clear()
        self.condition.addItems([ANY, *classes])
        self.show_row(self.condition, bool(classes))

    def request(self) -> Request:
        """``generate MODEL --n N --out DIR``."""
        model, out = self.model.value(), self.new_folder() / "generated"
        card, chosen = read_card(model), self.condition.currentText()
        words = ["generate", model, "--n", self.number.value(), "--seed", self.seed.value(), "--out", out]
        words += ["--device", self.device.value()]
        words += ["--condition", chosen] if card.domains and chosen != ANY else []
        named = f"generated{f' {chosen}' if chosen != ANY and card.domains else ''}, seed {self.seed.value()}"
        self.remark = "They are no observations."
        self.load_with(_load, out, card, named)

        def prepare(stopped: Callable[[], bool]) -> list[Any]:
            return words

        return Request(prepare, ())

    def show_progress(self, event: Event) -> None:
        """How many are there."""
        done, total = event["done"], event["total"]
        self.status.setText(f"{done:,} of {total:,} images{time_left(self.seconds_left(done / total))}")


def _load(out: Path, card: Card, named: str) -> list[Layer]:
    """In a thread: the images as one stack, channels as layers; and their targets."""
    sides = {"source": named, "target": f"targets of {named}"} if (out / "source").is_dir() else {".": named}
    layers: list[Layer] = []
    for folder, called in sides.items():
        layers += _layers([open_stack(path) for path in list_images(out / folder)], called, folder == "target" and card)
    return layers


def _layers(stacks: list[Stack], called: str, card: Any) -> list[Layer]:
    """One for each channel, or one in colours; label images as labels."""
    first = stacks[0]
    values = np.stack([stack.array[...] for stack in stacks])
    size = first.pixel_size_um
    how: dict[str, Any] = {
        "scale": (1.0, *(size.get(axis, 1.0) for axis in "YX")),
        "metadata": {MADE_HERE: {"is": "generated", "source": called}},
    }
    if card and card.encoding.is_labels:
        return [Labels(values, name=called, **how)]
    if first.axes.endswith("S"):
        return [Image(values, name=called, rgb=True, **how)]
    if "C" not in first.axes:
        return [Image(values, name=called, **how)]
    channels = np.moveaxis(values, 1 + first.axes.index("C"), 0)
    names = first.channel_names or tuple(f"channel {i}" for i in range(len(channels)))
    return [
        Image(values, name=f"{name}: {called}", blending="additive", **how)
        for name, values in zip(names, channels, strict=True)
    ]
