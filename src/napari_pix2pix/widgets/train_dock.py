"""The dock *Train*: two layers become a model, with a preview that refreshes in place."""

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import napari.viewer
from napari.layers import Labels, Shapes
from qtpy.QtWidgets import QComboBox, QLineEdit, QPushButton, QScrollArea, QSpinBox
from superqt import QCollapsible

from napari_pix2pix.core.config import PRESETS, Config, make_config
from napari_pix2pix.widgets.bridge import Event
from napari_pix2pix.widgets.choices import DeviceChoice, FolderChoice
from napari_pix2pix.widgets.dock import Dock, Request
from napari_pix2pix.widgets.flags import changed_flags, losses_and_figures, time_left
from napari_pix2pix.widgets.layer_choice import first_image, first_target
from napari_pix2pix.widgets.layers import file_of, known_file
from napari_pix2pix.widgets.places import free_run, remember_model, runs_folder
from napari_pix2pix.widgets.preview import PreviewLayer
from napari_pix2pix.widgets.settings_form import SettingsForm

PRESET_TIPS = {
    "fast": "fast: a small network, minutes on a processor; to see whether it works at all",
    "microscopy": "microscopy: the full size; a GPU does it in an hour",
    "paper": "paper: as Isola et al. trained it; for comparison",
}
IN_SIGHT = ("steps", "patch_size")


class TrainDock(Dock):
    """Train a model on a pair of layers.

    Parameters
    ----------
    viewer
        Whose layers are offered, and to which the preview is added.
    """

    verb, explained = "Train", "Train a model that predicts the target image from the source"
    stop_explained = "End the training; the best model so far is kept"

    def __init__(self, viewer: "napari.viewer.Viewer") -> None:
        super().__init__(viewer)
        self.preview: PreviewLayer | None = None
        self._run_folder: Path | None = None
        self._named = False

        # What to learn from.
        self.source = self.add_layer_choice("Source", "The layer to predict from, e.g. brightfield", first_image)
        self.target = self.add_layer_choice(
            "Target image", "The layer to learn to predict, of the same size: grey values or labels", first_target
        )
        self.target.changed.connect(self._follow_target)
        self.known = self.add_layer_choice(
            "Known",
            "Where the target image is known: labels (not 0) or shapes drawn on it. Nothing else is learned from",
            lambda _: None,
            kinds=(Labels, Shapes),
            none="everywhere",
        )
        self.name = QLineEdit()
        self.name.textEdited.connect(self._name_edited)
        self.add_row("Name", self.name, "Of the model; a folder of this name holds the run")
        self.folder = FolderChoice(runs_folder())
        self.add_row("Folder", self.folder, "Where the run's folder is made; it keeps the model, history and previews")

        # How.
        self.preset = QComboBox()
        self.preset.addItems(["fast", *(name for name in PRESETS if name != "fast")])
        self.add_row("Preset", self.preset, "Settings to start from.\n" + "\n".join(PRESET_TIPS.values()))
        self.steps = QSpinBox()
        self.steps.setRange(1, 10_000_000)
        self.steps.setGroupSeparatorShown(True)
        self.add_row("Steps", self.steps, "Updates of the network. Stop at any time: the best model so far is kept")
        self.patch_size = QSpinBox()
        self.patch_size.setRange(8, 4096)
        self.patch_size.setSuffix(" px")
        self.add_row("Patch size", self.patch_size, "Side of the square pieces that the network learns from")
        self.device = DeviceChoice(self.session)
        self.add_row("Device", self.device, "What computes. auto: a GPU where there is one, else the processor")
        self.settings = SettingsForm(make_config(self.preset.currentText()), IN_SIGHT)
        self._fold_settings()
        self.preset.currentTextChanged.connect(self._take_preset)
        self._take_preset(self.preset.currentText())

        # While it runs.
        self.pause_button = QPushButton("Pause")
        self.pause_button.setCheckable(True)
        self.pause_button.setEnabled(False)
        self.pause_button.setToolTip("Let the computer rest, and go on later")
        self.pause_button.toggled.connect(self._pause)
        self.buttons.insertWidget(1, self.pause_button, 1)
        self._follow_target()

    def _fold_settings(self) -> None:
        scroll = QScrollArea()
        scroll.setWidgetResizable(True)
        scroll.setWidget(self.settings)
        scroll.setMinimumHeight(180)
        more = QCollapsible("More settings")
        more.setToolTip("Everything else; the preset's values are good ones")
        more.setCollapsedIcon("▶")
        more.setExpandedIcon("▼")
        more.addWidget(scroll)
        more.layout().setContentsMargins(0, 0, 0, 0)
        self.form.addRow(more)

    # The settings

    def value(self) -> Config:
        """The settings in the form.

        Raises
        ------
        ValueError
            If one is out of range or two do not fit: one sentence.
        """
        seen = {"steps": self.steps.value(), "patch_size": self.patch_size.value()}
        whole = self.settings.value().model_dump() | seen
        return make_config(self.preset.currentText(), changes=whole)

    def set_value(self, config: Config) -> None:
        """Show these settings."""
        self.settings.set_value(config)
        self.steps.setValue(config.steps)
        self.patch_size.setValue(config.patch_size)

    def _take_preset(self, name: str) -> None:
        self.set_value(make_config(name))

    def _name_edited(self, text: str) -> None:
        self._named = bool(text)

    def _follow_target(self, *_: Any) -> None:
        """Until the user names the model, it is called like what it predicts."""
        if not self._named and self.target.value is not None:
            self.name.setText(self.target.value.name)

    # The command

    def request(self) -> Request:
        """``train SOURCE TARGET --out RUN``."""
        source, target, device = self.source.value, self.target.value, self.device.value()
        known = self.known.value
        if source is None or target is None:
            raise ValueError("There must be a source and a target image; open two layers of the same size first.")
        if source is target:
            raise ValueError("The target image must be another layer than the source; choose another one.")
        run = self._run_folder = free_run(self.folder.value(), self.name.text())
        preset = self.preset.currentText()
        flags = changed_flags(make_config(preset), self.value())
        self.preview = PreviewLayer(self.viewer, f"{run.name} preview", source)

        def prepare(stopped: Callable[[], bool]) -> list[Any]:
            files = [
                file_of(layer, run / "data" / f"{side}.ome.tif", stopped)
                for layer, side in ((source, "source"), (target, "target"))
            ]
            remember_model(run / "model.safetensors")  # listed as soon as it is there, even if napari is closed before
            axes = ["--source-axes", files[0].axes, "--target-axes", files[1].axes]
            paths = [file.path for file in files]
            mask = ["--valid", known_file(known, target, run / "data" / "known.ome.tif")] if known is not None else []
            return ["train", *paths, "--out", run, "--preset", preset, *flags, *axes, *mask, "--device", device]

        return Request(prepare, (source, target) if known is None else (source, target, known))

    def run(self) -> None:
        """Begin; errors are told."""
        super().run()
        self.pause_button.setEnabled(self.job is not None)

    def hear(self, event: Event) -> None:
        """Show how far it is and what it has learned."""
        if event["event"] == "preview" and self.preview is not None:
            self.session.in_thread(self.token, self.preview.read(event["path"]), self.preview.show, self.preview.miss)
        elif event["event"] == "progress" and self.stop_button.isEnabled():
            said = losses_and_figures(event.get("losses", {}), event.get("metrics", {}))
            left = time_left(event.get("remaining_s"))
            seen = "" if self.preview is None or self.preview.layer is None else "\n" + self.preview.legend
            self.status.setText(f"Step {event['done']:,} of {event['total']:,}{left}\n{said}{seen}")

    def finish(self, well: bool) -> None:
        """Offer the model to the other docks: the finished one, or the best so far."""
        self.pause_button.setChecked(False)
        self.pause_button.setEnabled(False)
        run, self._run_folder = self._run_folder, None
        if run is None:
            return
        model = run / "model.safetensors"
        if model.is_file():
            remember_model(model)
            self.session.models_changed.emit()
            how = "Trained." if well else self.status.text() + " The best model so far is kept."
            self.status.setText(f"{how} Predict and Patch scores offer it as “{run.name}”.\n{model}")
        else:
            for folder in (run / "data", run):  # nothing came of it
                with suppress(OSError):
                    folder.rmdir()

    def _pause(self, paused: bool) -> None:
        self.pause_button.setText("Continue" if paused else "Pause")
        if self.job is not None:
            self.job.pause(paused)
            if paused:
                self.status.setText(self.status.text() + "\nPauses after this step.")
