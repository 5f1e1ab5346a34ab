"""The dock *Predict*: a model and a layer become a new layer over it, or files become files."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import napari.viewer
from napari.layers import Labels, Layer
from qtpy.QtWidgets import QCheckBox, QComboBox, QSpinBox

from napari_pix2pix.core.geometry.axes import WHOLE, AxesPlan, Window, ZMode
from napari_pix2pix.files.folders import list_images
from napari_pix2pix.files.outputs import beside, folder_names
from napari_pix2pix.files.stacks import open_stack
from napari_pix2pix.widgets.bridge import Event
from napari_pix2pix.widgets.card import Card, read_card
from napari_pix2pix.widgets.choices import FolderChoice
from napari_pix2pix.widgets.condition_choice import ConditionChoice
from napari_pix2pix.widgets.dock import Request
from napari_pix2pix.widgets.files_choice import FilesChoice
from napari_pix2pix.widgets.flags import in_a_dock, time_left
from napari_pix2pix.widgets.frames_choice import FramesChoice
from napari_pix2pix.widgets.layer_choice import first_image, first_target, made_here
from napari_pix2pix.widgets.layers import SLIDE, file_of, is_slide, layer_axes, pixels, turned
from napari_pix2pix.widgets.model_dock import ALL, ModelDock
from napari_pix2pix.widgets.object_sliders import MAPS, Maps, ObjectSliders
from napari_pix2pix.widgets.part_choice import PartChoice
from napari_pix2pix.widgets.places import free_file, predictions_folder
from napari_pix2pix.widgets.placing import (
    LAZY_BYTES,
    axes_of_result,
    colours_of,
    is_lazy,
    on_grid_of,
    prediction_layers,
)
from napari_pix2pix.widgets.share_row import ShareRow
from napari_pix2pix.widgets.trust_layers import glow, object_features, trust_layers

LAYER, FILES = "a layer", "files"
RISK = (
    "Let the mask “not to trust” keep a promise: of what it leaves, at most this share of the pixels is wrong, on "
    "average over new images like those that calibrated (grey values err by at most this share of the usual error). A "
    "single image may have more, and images unlike those are promised nothing (--trust-risk)"
)


class PredictDock(ModelDock):
    """Predict the target of a layer, or of files, with a trained model.

    Parameters
    ----------
    viewer
        Whose layers are offered, and to which the prediction is added.
    """

    makes_all = True
    verb, explained = "Predict", "A layer's prediction becomes a new layer exactly over it; that of files, files"
    leads_to, door_text = "Patch scores", "Where not to believe it"
    stop_explained = "End what runs; the frames or files that are done are kept"

    def __init__(self, viewer: "napari.viewer.Viewer") -> None:
        super().__init__(viewer)
        self.of = QComboBox()
        self.of.addItems([LAYER, FILES])
        self.add_row("From", self.of, "What to predict from: a layer of this viewer, or files, which may be many")
        self.add_directions("Translate to", "What is to come of it: what the model learned to make, or the way back")
        self.condition = ConditionChoice(self, self.model)
        self.exchange = ShareRow(
            self.session, self.token, self.model, lambda: [*self.toward(), *self.condition.flags()]
        )
        self.form.insertRow(2, "", self.exchange)
        self.source = self.add_layer_choice("Source", "The layer to predict from", first_image)
        self.part = PartChoice(viewer)
        self.add_row("Part", self.part, "Which part of the slide")
        self.frames = FramesChoice(viewer)
        self.add_row("Frames", self.frames, "Which frames or planes of the layer")
        self.files = FilesChoice()
        self.add_row("Files", self.files, "Images to predict from; a folder with its subfolders")
        self.folder = FolderChoice(predictions_folder())
        self.add_row("Folder", self.folder, "Where predictions of files go, and those of layers too large for memory")
        self.add_device()
        self.add_teaching()
        self.trust = QCheckBox("Expected error beside it")
        self.trust.setChecked(True)
        self.form.addRow("", self.trust)
        self.risk = QSpinBox()
        self.risk.setRange(0, 99)
        self.risk.setSuffix(" %")
        self.risk.setSpecialValueText("no promise")
        self.add_row("Risk", self.risk, RISK)
        self.trust.toggled.connect(self._show_rows)
        self.objects = ObjectSliders(self.session, self.token, viewer)
        self.form.addRow(self.objects)
        self._frames, self._keeps = 1, False  # of what is predicted at present, and whether some are done
        self._promise = ""  # of the mask
        self._said, self._in_shares = "", True  # whether expected errors are shares of wrong pixels
        self._errors: Path | None = None  # expected ones that are written, but too large to be shown
        self.of.currentIndexChanged.connect(self._show_rows)
        self.source.changed.connect(self._show_rows)
        self.model.combo.currentIndexChanged.connect(self._show_rows)
        self.to.currentIndexChanged.connect(self._show_rows)
        self._show_rows()
        self.remember(trust=self.trust, risk=self.risk, device=self.device)
        self.column.addStretch(1)
        self.order_tabs()

    def _show_rows(self, *_: Any) -> None:
        """Only what the present choice needs."""
        of_layer = self.of.currentText() == LAYER
        several = self.frames.offer(self.source.value, self._planes())
        for field, shown in (
            (self.source.native, of_layer),
            (self.part, of_layer and self.part.offer(self.source.value)),
            (self.frames, of_layer and several),
            (self.files, not of_layer),
            (
                self.folder,
                not of_layer or self._is_large() or (self.source.value is not None and is_slide(self.source.value)),
            ),
        ):
            self.show_row(field, shown)

        card = self._card()
        known = card is not None and card.expects_errors
        self.trust.setEnabled(known)
        self.risk.setEnabled(known and self.trust.isChecked())
        self.trust.setToolTip(
            "How wrong each pixel is likely to be, as an overlay, and which not to trust; objects to keep or to check "
            "(--trust)" + ("" if known else ". This model was not taught to judge")
        )

    def _trusting(self) -> list[str]:
        if not (self.trust.isChecked() and self.trust.isEnabled()):
            return []
        return ["--trust", *(["--trust-risk", f"{self.risk.value() / 100:g}"] if self.risk.value() else [])]

    def _card(self) -> Card | None:
        try:
            return self._card_of(self.model.value())
        except ValueError:
            return None

    def _card_of(self, model: Path) -> Card:
        return read_card(model, self.to.currentData())

    def _planes(self) -> bool:
        card = self._card()
        return card is None or card.view.z == "frame"

    def _is_large(self) -> bool:
        card, source = self._card(), self.source.value
        if card is None or source is None:
            return False
        try:
            return card.bytes_of(AxesPlan(layer_axes(source), tuple(pixels(source).shape))) > LAZY_BYTES
        except ValueError:  # too many axes: said when it is used
            return False

    def reset_choices(self, event: Any = None) -> None:
        """Offer the layers that there are now."""
        super().reset_choices(event)
        self._show_rows()

    def predict_at_once(self, source: Layer | None) -> None:
        """Predict this layer; of a stack the frame that is displayed, which is quick. Not if something runs already."""
        if source is None or source not in self.viewer.layers or self.job is not None:
            return
        self.of.setCurrentText(LAYER)
        self.source.value = source
        self.frames.choose_displayed()
        self.run()

    def request(self) -> Request:
        """``predict MODEL SOURCE --out PATH``."""
        self._said, self._promise, self.remark = "", "", ""
        return self._of_files() if self.of.currentText() == FILES else self._of_layer()

    def _of_files(self) -> Request:
        model, files, out = self.model.value(), self.files.value(), self.folder.value()
        if not files:
            raise ValueError("There must be files to predict from; choose some, or a folder.")
        how = [*self.computing(), *self.toward(), *self.condition.flags(), *self._trusting()]
        words = ["predict", model, *files, "--out", out, *how]
        return Request(lambda stopped: words, ())

    def _of_layer(self) -> Request:
        model, source = self.model.value(), self.source.value
        if source is None:
            raise ValueError("There must be a layer to predict from; open an image first.")
        card, window = self._card_of(model), self.frames.window()
        self._in_shares = card.encoding.is_labels
        if is_slide(source) and self.to.currentData() != ALL:
            return self._of_slide(source, card)
        shape = pixels(source).shape
        sizes = tuple(part.stop - part.start for part in window) if window else tuple(shape)
        plan = AxesPlan(layer_axes(source), sizes)
        large, folder = card.bytes_of(plan) > LAZY_BYTES, self.new_folder()
        if self.to.currentData() == ALL:
            return self._of_all(source, card, window, folder)
        self._frames = plan.n_frames if card.view.z in ("frame", "neighbours") else plan.length("T")
        # Only an OME-Zarr can keep the frames that are done.
        out = folder / f"prediction.ome.{'zarr' if self._frames > 1 else 'tif'}"
        if large:
            out = free_file(self.folder.value(), f"{source.name} (predicted).ome.zarr")
            self.remark = f"It is too large for memory and lies in {out}."
        self._errors = beside("expected_error")(out) if large and self._trusting() else None
        maps = card.encoding.kind == "instances" and not large
        like = first_target(list(self.viewer.layers))
        self.load_with(_load, source, out, card, window, maps, like, part=out if self._frames > 1 else None)
        flags = [*self.computing(), *self.toward(), *self.condition.flags(), *self._trusting()]
        flags += ["--keep-frames"] if out.suffix == ".zarr" else []
        flags += ["--keep-maps"] if maps else []

        def prepare(stopped: Callable[[], bool]) -> list[Any]:
            file = file_of(source, folder / "source.ome.tif", stopped, window)
            axes = ["--source-axes", file.axes]
            return ["predict", model, file.path, "--out", out, *axes, *flags]

        return Request(prepare, (source,))

    def _of_slide(self, source: Layer, card: Card) -> Request:
        """``predict MODEL SLIDE --out PATH`` of a part of it; the result, as large as the slide, stays in a file."""
        model, folder, self._frames = self.model.value(), self.new_folder(), 1
        flags = [*self.part.flags(source, folder), *self.computing(), *self.toward(), *self.condition.flags()]
        out = free_file(self.folder.value(), f"{source.name} (predicted).ome.tif")
        self.remark = f"It lies in {out}, with the slide's size and place."
        self._errors = None
        self.load_with(_load_slide, source, out, card)
        words = ["predict", model, source.metadata[SLIDE], "--out", out, *flags, *self._trusting()]
        return Request(lambda stopped: words, (source,))

    def _of_all(self, source: Layer, card: Card, window: Window, folder: Path) -> Request:
        """``predict MODEL SOURCE --to all --out FOLDER``: a layer for each domain, side by side."""
        model, out, flags = self.model.value(), folder / "domains", [*self.computing(), *self.toward()]
        self.remark = "Side by side: the grid button below the layers lays them over each other again."
        self.load_with(_load_all, source, out, card, window)

        def prepare(stopped: Callable[[], bool]) -> list[Any]:
            file = file_of(source, folder / "source.ome.tif", stopped, window)
            return ["predict", model, file.path, "--out", out, "--source-axes", file.axes, *flags]

        return Request(prepare, (source,))

    def stop(self) -> None:
        """End in order what runs; in as long as it takes, once there is something to keep."""
        self._stop(None if self._keeps else self.stop_within_s)

    def hear(self, event: Event) -> None:
        """Whether there is something to keep; what became of files."""
        if event["event"] == "progress":
            self._keeps = self._folder is not None and self._frames > 1 and self._frames_done(event) > 0
        elif event["event"] == "trust" and event.get("promised"):
            self._promise = in_a_dock(event["promise"])
        elif event["event"] == "result":
            self._said = in_a_dock(event["text"])

    def _frames_done(self, event: Event) -> int:
        # The share counts one frame more, for what is written at the end.
        return min(int(event["done"] / event["total"] * (self._frames + 1) + 1e-6), self._frames)

    def show_progress(self, event: Event) -> None:
        """How far it is, in frames or files."""
        of_files, share = self._folder is None, event["done"] / event["total"]
        done, total, what = int(event["done"]), int(event["total"]), "files"
        if not of_files:
            done, total, what = self._frames_done(event), self._frames, "frames"
        said = total > 1 and (of_files or not self._trusting())  # judged are all frames together
        counted = f"{done:,} of {total:,} {what}" if said else f"{share:.0%}"
        self.status.setText(f"{counted}{time_left(self.seconds_left(share))}")

    def finish(self, well: bool) -> None:
        """Say what became of files; add what became of a layer."""
        self._keeps = False
        of_files = self._folder is None
        super().finish(well)
        if of_files and self._said:
            self.status.setText(self._said)
        elif of_files and self.status.text() == "Stopped.":
            self.status.setText(f"Stopped. What is done is kept in {self.folder.value()}; Predict does the rest.")

    def _add(self, layers: list[Layer]) -> None:
        if self._errors is not None and self._errors.exists():
            self.remark += f" Its expected error lies in {self._errors}."
        glowing = [glow(layer, self._in_shares) for layer in layers if made_here(layer) == "expected error"]
        self.remark = " ".join(text for text in (self.remark, *glowing, self._promise) if text)
        super()._add(layers)

    def added(self, layers: list[Layer]) -> None:
        """Lay them side by side if they are of all domains; offer what leads on."""
        if self.to.currentData() == ALL and layers and layers[0] in self.viewer.layers:
            getattr(self.viewer, "canvas", self.viewer).grid.enabled = True  # the canvas has it since napari 0.9
        self.door.setVisible(any(layer in self.viewer.layers for layer in layers))
        self.objects.offer([layer for layer in layers if layer in self.viewer.layers])


def _load(source: Layer, out: Path, card: Card, window: Window, with_maps: bool, like: Layer | None) -> list[Layer]:
    layers = prediction_layers(source, out, card, window or WHOLE)
    if card.encoding.kind == "classes" and like is not None:
        layers[0].colormap = colours_of(like, card.encoding.classes)
    features = object_features(out)
    if features and isinstance(layers[0], Labels):
        layers[0].features = features
    maps = out.with_name("prediction.maps.tif")
    if with_maps and maps.is_file():
        stack, axes = open_stack(maps), axes_of_result(source, open_stack(out))
        wanted = axes.replace("Y", "CY") if axes.index("Y") < axes.index("X") else axes.replace("X", "CX")
        values = turned(stack.array[...], stack.axes, wanted)
        z: ZMode = "volume" if card.view.z == "volume" else "frame"
        plans = AxesPlan(wanted, values.shape, z=z), AxesPlan(axes, layers[0].data.shape, z=z)
        layers[0].metadata[MAPS] = Maps(values, *plans, card.encoding)
    return layers if is_lazy(layers[0]) else [*layers, *trust_layers(source, out, window=window)]


def _load_slide(source: Layer, out: Path, card: Card) -> list[Layer]:
    return _load(on_grid_of(source, open_stack(out)), out, card, WHOLE, False, None)


def _load_all(source: Layer, out: Path, card: Card, window: Window) -> list[Layer]:
    layers = []
    for name, folder in folder_names(card.domains).items():
        (file,) = list_images(out / folder)
        (layer,) = prediction_layers(source, file, card, window or WHOLE)[:1]
        layer.name = f"{name}: {source.name}"
        layers.append(layer)
    return layers
