"""What *Predict* and *Patch scores* share: a model, and results that are loaded in a thread and become layers."""

import shutil
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from napari.layers import Image, Labels, Layer
from napari.utils.notifications import show_error
from qtpy.QtWidgets import QComboBox

from napari_pix2pix.core.settings.running import PredictSettings
from napari_pix2pix.widgets.card import read_card
from napari_pix2pix.widgets.choices import DeviceChoice, ModelChoice
from napari_pix2pix.widgets.defaults import defaults
from napari_pix2pix.widgets.dock import Dock, Request
from napari_pix2pix.widgets.flags import in_a_dock
from napari_pix2pix.widgets.glossary import with_words
from napari_pix2pix.widgets.layer_choice import made_here
from napari_pix2pix.widgets.places import new_working_folder, remember_model
from napari_pix2pix.widgets.session import STOP_S
from napari_pix2pix.widgets.stage import Cleared, Stage, taken_over
from napari_pix2pix.widgets.teach_row import TeachRow
from napari_pix2pix.widgets.words import Words

OVERLAYS = ("expected error", "not to trust", "patch scores", "difference")
"""What lies over an image; two of them at once cannot be read."""
STAGED: dict[str, type[Layer]] = {"expected error": Image, "patch scores": Image, "difference": Labels}
"""Overlays that need the view for themselves, if they are layers of this kind."""
DRAWN_MS = 20
"""How long the window has, at least, to draw a layer before the next one comes."""

ALL = "all"
"""Every domain, as the command calls it."""


class ModelDock(Dock):
    """A dock that applies a model to layers and adds what comes of it."""

    stop_within_s = STOP_S  # nothing is lost with it

    def __init__(self, viewer: Any) -> None:
        super().__init__(viewer)
        self.model = ModelChoice(self.session)
        self.card = Words()
        self.card.setToolTip("What the model says of itself")
        self.add_row("Model", self.model, "The model to use: the last one trained comes first")
        self.form.addRow("", self.card)
        self.model.combo.currentIndexChanged.connect(self._show_card)
        self._show_card()
        self.remark = ""
        self._folder: Path | None = None
        self._load: Callable[[], list[Layer]] | None = None
        self._part: Path | None = None
        self._coming: list[Layer] = []
        self._turns: Iterator[None] = iter(())  # in which these are being added
        self._cleared = Cleared()  # what overlays have that these replace
        self._next_turn = self._later(self._take_turn, DRAWN_MS)

    def add_device(self) -> None:
        """The last row of the form."""
        self.device = DeviceChoice(self.session)
        self.add_row("Device", self.device, "What computes. auto: a GPU where there is one, else the processor")

    makes_all = False
    """Whether it can be asked for all domains at once."""

    def add_directions(self, label: str, tooltip: str) -> None:
        """Which side the model is to make, where it makes several."""
        self.to = QComboBox()
        self.add_row(label, self.to, tooltip)
        self.model.combo.currentIndexChanged.connect(self._offer_directions)
        self._offer_directions()

    def _offer_directions(self, *_: Any) -> None:
        try:
            card = read_card(self.model.value())
            sides = (*card.directions, *([ALL] if card.domains and self.makes_all else []))
        except ValueError:  # there is none, or it is told elsewhere
            sides = ("target",)
        if [self.to.itemData(i) for i in range(self.to.count())] != list(sides):
            self.to.blockSignals(True)  # whoever hears of another model hears of this
            self.to.clear()
            for side in sides:
                self.to.addItem(side, side)
            self.to.blockSignals(False)
        self.show_row(self.to, len(sides) > 1)

    def toward(self) -> list[str]:
        """Flags for the side that the model is to make."""
        return [] if self.to.currentData() in (None, PredictSettings().to) else ["--to", self.to.currentData()]

    def add_teaching(self) -> None:
        """Below it what a model lacks that cannot judge its predictions."""
        self.teach = TeachRow(self.session, self.token, self.model, self.device)
        self.form.addRow(self.teach)

    def computing(self) -> list[str]:
        """Flags for what computes, and in which tiles."""
        tile_size = defaults().tile_size
        return ["--device", self.device.value(), *(["--tile-size", str(tile_size)] if tile_size else [])]

    def new_folder(self) -> Path:
        """A folder for this command's files; it goes when the command has ended."""
        self._folder = new_working_folder()
        return self._folder

    def begin(self, request: Request) -> None:
        """Have it done; the model is the first one that is offered next time."""
        if self.model.isVisibleTo(self):
            remember_model(self.model.value())
        while self._next_turn.isActive():  # the last result is not all there yet
            self._next_turn.stop()
            self._take_turn()
        super().begin(request)

    def load_with(self, load: Callable[..., list[Layer]], *arguments: Any, part: Path | None = None) -> None:
        """What is to become of the result; if it is stopped, of the `part` that is there, if any."""
        self._load, self._part = partial(load, *arguments), part

    def finish(self, well: bool) -> None:
        """Load the result in a thread, then add it."""
        folder, load, self._folder, self._load = self._folder, self._load, None, None
        if folder is None:
            return
        if load is not None and (well or (self._part is not None and self._part.exists())):
            self.run_button.setEnabled(False)
            self.status.setText("Loads the result …")
            self.session.in_thread(self.token, partial(_load_and_clean, load, folder), self._add, self._not_loaded)
        else:
            self.session.in_thread(self.token, partial(shutil.rmtree, folder, True), _nothing, _nothing)

    def _add(self, layers: list[Layer]) -> None:
        """One after the other, since the window stands still while it draws a layer for the first time."""
        self._coming, self._turns = layers, self._add_in_turns(layers)
        self._take_turn()

    def _take_turn(self) -> None:
        there = self.viewer.layers
        if any(layer not in there for layer in self.layers):  # the viewer may be closing
            for layer in self._coming:
                if layer in there:
                    there.remove(layer)
            self._cleared.restore()
            self.idle("Stopped.")
        elif next(self._turns, self) is not self:
            self._next_turn.start()

    def _add_in_turns(self, layers: list[Layer]) -> Iterator[None]:
        bars = [layer.colorbar for layer in layers if hasattr(layer, "colorbar") and layer.colorbar.visible]
        for bar in bars:  # each is as much to draw as an image
            bar.visible = False
        self._cleared = taken_over(layer for layer in self.viewer.layers if made_here(layer) in OVERLAYS)
        for layer in layers:
            self.viewer.add_layer(layer)
            yield
        for layer in layers:
            if isinstance(layer, STAGED.get(made_here(layer), ())) and layer in self.viewer.layers:
                Stage(self.viewer, layer, self._seen_beside(layer, layers), self._cleared)
                self._cleared = Cleared()
                yield
        self._cleared.restore()  # unless an overlay has taken it over
        for bar in bars:
            bar.visible = True
            yield
        self.added(layers)
        self.idle("Added " + " and ".join(f"“{layer.name}”" for layer in layers) + f". {self.remark}")

    def _seen_beside(self, overlay: Layer, layers: list[Layer]) -> tuple[Layer, ...]:
        """What stays in sight: what was judged; of a difference, which shows both sides, only images as they were."""
        if made_here(overlay) == "difference":
            return tuple(layer for layer in self.viewer.layers if isinstance(layer, Image) and not made_here(layer))
        return *self.layers, *(layer for layer in layers if made_here(layer) == "prediction")

    def added(self, layers: list[Layer]) -> None:
        """These layers have come; some may have gone again."""

    def closed(self) -> None:
        """What has not come yet comes no more."""
        self._next_turn.stop()
        super().closed()

    def _not_loaded(self, error: Exception) -> None:
        show_error(text := in_a_dock(str(error)))
        self.idle(text)

    def _show_card(self, *_: Any) -> None:
        try:
            text = read_card(self.model.value()).text
        except ValueError as error:
            text = "" if self.model.combo.currentIndex() < 0 else in_a_dock(str(error))
        self.card.setText(text)
        self.card.setToolTip(with_words("What the model says of itself", text))
        self.card.setVisible(bool(text) and not self.model.isHidden())


def _load_and_clean(load: Callable[[], list[Layer]], folder: Path) -> list[Layer]:
    try:
        return load()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _nothing(_: Any) -> None:
    pass
