"""The dock *Patch scores*: how far to trust each part of an image, given its source, as an overlay."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import napari.viewer
from napari.layers import Layer
from qtpy.QtCore import QEvent
from qtpy.QtWidgets import QComboBox

from napari_pix2pix.files.stacks import open_stack
from napari_pix2pix.widgets.bridge import Event
from napari_pix2pix.widgets.card import read_card
from napari_pix2pix.widgets.condition_choice import ConditionChoice
from napari_pix2pix.widgets.dock import Request
from napari_pix2pix.widgets.layer_choice import first_target, its_source, last_prediction, made_here
from napari_pix2pix.widgets.layers import file_of, pixels
from napari_pix2pix.widgets.model_dock import ModelDock
from napari_pix2pix.widgets.placing import with_all_channels
from napari_pix2pix.widgets.score_maps import ScoreMaps
from napari_pix2pix.widgets.scores_panel import ScoresPanel

BY_MATCH, BY_LOOKS = "Does it belong to its source?", "Does it look real? (plain)"


class ScoresDock(ModelDock):
    """Judge an image, field by field, given its source.

    Parameters
    ----------
    viewer
        Whose layers are offered, and to which the overlay is added.
    """

    verb, explained = "Score", "Add an overlay: what glows is bad. No truth is needed"

    def __init__(self, viewer: "napari.viewer.Viewer") -> None:
        super().__init__(viewer)
        self.add_directions(
            "Translated to", "Which side the image is of, or claims to be: a prediction, what it was made as"
        )
        self.condition = ConditionChoice(self, self.model)
        self.source = self.add_layer_choice("Source", "The layer that the model predicts from", its_source)
        self.image = self.add_layer_choice(
            "Image",
            "The layer to judge: a prediction, or a target image, to find pairs that do not match",
            last_prediction,
        )
        self.judge = QComboBox()
        self.judge.addItems([BY_MATCH, BY_LOOKS])
        self.add_device()
        self.add_teaching()
        self.panel = ScoresPanel(viewer, self.session, self.token)
        self.panel.add_detail("Judge", self.judge, "What to ask; a model that cannot judge the match asks the second")
        self.column.addWidget(self.panel)
        self.remember(judge=self.judge, device=self.device)
        self.column.addStretch(1)
        self.model.combo.currentIndexChanged.connect(self._show_sides)
        self._show_sides()
        self.order_tabs()
        let_go = self.panel.let_go
        self.destroyed.connect(lambda *_: let_go())

    def _domains(self) -> tuple[str, ...]:
        """Those of the chosen model, if it is of several; images are then judged by themselves."""
        try:
            return read_card(self.model.value()).domains
        except ValueError:  # there is none, or it is told elsewhere
            return ()

    def _show_sides(self, *_: Any) -> None:
        alone = bool(self._domains())
        self.show_row(self.source.native, not alone)
        self.show_row(self.to, not alone and self.to.count() > 1)

    def request(self) -> Request:
        """``score MODEL SOURCE IMAGE --out PATH``."""
        model, source, image = self.model.value(), self.source.value, self.image.value
        domains = self._domains()
        if domains:
            source = image  # it is its own
        if source is None or image is None:
            raise ValueError("There must be a source and an image to judge; open or predict them first.")
        if source is image and not domains:
            raise ValueError("The image must be another layer than the source; choose a prediction or a target image.")
        whole = with_all_channels(image, list(self.viewer.layers))
        folder = self.new_folder()
        self._judged, self._predicted = image, made_here(image) == "prediction"
        self._out = folder / "patch_scores.ome.tif"
        computing = [*self.computing(), *self.toward(), *self.condition.flags()]
        kind = ["--kind", "plain"] if self.judge.currentText() == BY_LOOKS else []

        def prepare(stopped: Callable[[], bool]) -> list[Any]:
            if domains:
                alone = file_of(image, folder / "image.ome.tif", stopped)
                words = ["score", model, alone.path, "--out", self._out, "--source-axes", alone.axes]
                return [*words, *self.computing()]
            files = [
                file_of(layer, folder / f"{name}.ome.tif", stopped)
                for layer, name in ((source, "source"), (whole, "image"))
            ]
            self._predicted = self._predicted or open_stack(files[1].path).is_prediction
            axes = ["--source-axes", files[0].axes, "--image-axes", files[1].axes]
            words = ["score", model, files[0].path, files[1].path, "--out", self._out, *axes, *computing]
            return [*words, *kind]

        return Request(prepare, (source, image))

    def hear(self, event: Event) -> None:
        """Where the scores lie."""
        if event["event"] == "placed":
            truth = None if self._domains() else self._truth()
            self.load_with(self._layers, self._judged, self._out, event, truth)
            size = event["receptive_field"]["size"]
            self.remark = f"What glows is bad. Each score judges a field of {size} × {size} px."
            if self._domains():
                self.remark += " Show “looks like” and point at it: which domain it looks like."
            if event["kind"] == "plain":
                self.remark += " Whether it is true, it cannot say."
            elif not self._predicted:
                self.remark += " Expected errors are those of predictions; a target is judged by its match."

    def _truth(self) -> tuple[Layer, str] | None:
        """The target image of what is judged, and its kind, if one lies on the same pixels."""
        target = first_target(list(self.viewer.layers))
        if not self._predicted or target in (None, self._judged) or pixels(target).shape != pixels(self._judged).shape:
            return None
        return target, read_card(self.model.value(), self.to.currentData()).encoding.kind

    def _layers(self, image: Layer, path: Path, told: Event, truth: tuple[Layer, str] | None) -> list[Layer]:
        """In a thread: what was found, and its layers; in front the expected error, of a target the match."""
        maps = ScoreMaps.read(image, path, told)
        maps = maps.with_truth(*truth) if truth and "expected_error" in maps.parts else maps
        wanted = ("expected_error", "rank", "scores") if self._predicted else ("rank", "scores")
        found = self.panel.layers(maps, next(part for part in wanted if part in maps.parts))
        domains = read_card(self.model.value()).domains
        return [*found, maps.domain_layer(path, domains)] if domains else found

    def event(self, event: QEvent) -> bool:
        """A dock that is closed follows the mouse no more."""
        if event.type() == QEvent.Type.ParentChange and self.parent() is None:
            self.panel.let_go()
        return super().event(event)

    def _add(self, layers: list[Layer]) -> None:
        self._active = self.viewer.layers.selection.active
        super()._add(layers)

    def added(self, layers: list[Layer]) -> None:
        """Show what they are about, beside the layer that was selected."""
        active = self._active
        if layers[0] in self.viewer.layers:
            self.viewer.layers.selection.active = layers[0] if active is None else active
            self.panel.show_maps(frames_first=not self._predicted)
