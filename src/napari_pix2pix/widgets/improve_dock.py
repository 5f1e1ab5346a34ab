"""The dock *Improve*: a prediction that somebody has corrected teaches the model that made it."""

import math
import re
from collections.abc import Callable
from typing import Any

import napari.viewer
import numpy as np
from napari.layers import Labels, Layer, Shapes
from napari.utils.notifications import show_error
from qtpy.QtWidgets import QCheckBox, QHBoxLayout, QLabel, QLineEdit, QPushButton, QSpinBox, QWidget

from napari_pix2pix.widgets.card import read_card
from napari_pix2pix.widgets.choices import DeviceChoice, ModelChoice
from napari_pix2pix.widgets.condition_choice import ConditionChoice
from napari_pix2pix.widgets.dock import Request
from napari_pix2pix.widgets.flags import in_a_dock, spoken
from napari_pix2pix.widgets.layer_choice import its_source, last_prediction
from napari_pix2pix.widgets.layers import frame_axes, pixels
from napari_pix2pix.widgets.pairs import LayerPair, LayerPairs
from napari_pix2pix.widgets.places import free_run, remember_model, runs_folder
from napari_pix2pix.widgets.placing import MADE_HERE, placement
from napari_pix2pix.widgets.runs import model_config
from napari_pix2pix.widgets.step_times import expected_phases, in_phases
from napari_pix2pix.widgets.training_dock import TrainingDock

SHARE, FEWEST = 10, 100
"""An improvement takes a tenth of the model's own steps, but at least so many."""
VALIDATIONS = 5
"""In an improvement."""


class ImproveDock(TrainingDock):
    """Go on with a model on what has been corrected.

    Parameters
    ----------
    viewer
        Whose layers are offered.
    """

    verb, explained = "Improve", "Train the model further on what is true here; the old model stays as it is"

    def __init__(self, viewer: "napari.viewer.Viewer") -> None:
        super().__init__(viewer)
        self._named = False
        self.model = ModelChoice(self.session)
        self.add_row("Model", self.model, "The model to improve: the last one trained comes first")
        self.condition = ConditionChoice(self, self.model)
        self.source = self.add_layer_choice("Source", "The layer that was predicted from", its_source)
        self.truth = self.add_layer_choice(
            "Truth", "What should have been predicted: the corrected prediction, or another layer", last_prediction
        )
        self.known = self.add_layer_choice(
            "True in",
            "Where it is true: labels (not 0) or shapes drawn on it. Nothing else is learned from",
            last_region,
            kinds=(Labels, Shapes),
            none="everywhere",
        )

        # Two helping hands.
        self.correct_button = QPushButton("Correct a copy")
        self.correct_button.setToolTip("Add a copy of the chosen truth to paint in, and choose it")
        self.correct_button.clicked.connect(self.correct)
        self.mark_button = QPushButton("Mark a region")
        self.mark_button.setToolTip("Add a layer to draw on where the truth is to be used, and choose it")
        self.mark_button.clicked.connect(self.mark)
        hands = QHBoxLayout()
        hands.addWidget(self.correct_button)
        hands.addWidget(self.mark_button)
        self.form.addRow("", hands)
        self.whole_stack = QCheckBox("A region holds for the whole stack")
        self.whole_stack.setToolTip("Else what is drawn is true in the displayed plane or frame only")
        self.form.addRow("", self.whole_stack)
        self.marked = QLabel()
        self.marked.setWordWrap(True)
        self.marked.setToolTip("How much of the truth is learned from")
        self.form.addRow("", self.marked)
        for changed in (self.truth.changed, self.known.changed):
            changed.connect(self._count_marked)

        self.name = QLineEdit()
        self.name.textEdited.connect(self._name_edited)
        self.add_row("Name", self.name, "Of the new model; a folder of this name holds the run")
        self.steps = QSpinBox()
        self.steps.setRange(1, 10_000_000)
        self.steps.setValue(FEWEST)
        self.steps.setGroupSeparatorShown(True)
        self.time = QLabel()
        self.time.setToolTip("How long this takes on this device, as measured here")
        row = QHBoxLayout()
        row.addWidget(self.steps, 1)
        row.addWidget(self.time, 1)
        box = QWidget()
        row.setContentsMargins(0, 0, 0, 0)
        box.setLayout(row)
        self.add_row("Steps", box, "Further updates of the network")
        self.old_pairs = QCheckBox("Mix in the old pairs")
        self.old_pairs.setToolTip(
            "Every second patch is of what taught the model, so that it does not forget. Its files must still be there"
        )
        self.old_pairs.setChecked(True)
        self.form.addRow("", self.old_pairs)
        self.device = DeviceChoice(self.session)
        self.add_row("Device", self.device, "What computes. auto: a GPU where there is one, else the processor")
        self.model.combo.currentIndexChanged.connect(self._follow_model)
        self.session.devices_known.connect(self._show_time)
        for changed in (self.steps.valueChanged, self.device.currentIndexChanged):
            changed.connect(self._show_time)
        self._follow_model()
        self._count_marked()
        self.remember(old_pairs=self.old_pairs, whole_stack=self.whole_stack, device=self.device)
        self.order_tabs()

    def correct(self) -> None:
        """Add a copy of the truth to paint in, and choose it."""
        truth = self.truth.value
        if truth is None:
            return show_error("There must be a prediction to correct; predict first, or open a layer.")
        made = {**truth.metadata, MADE_HERE: {"is": "truth"}}
        copy = type(truth)(truth.data.copy(), **placement(truth), name=f"{truth.name}: corrected", metadata=made)
        truth.visible = False
        self.viewer.add_layer(copy)
        if isinstance(copy, Labels):
            copy.mode = "paint"
            self._paint_classes(copy)
        self.truth.value = copy

    def _paint_classes(self, copy: Labels) -> None:
        """Let the brush have labels that the model knows, and no others: it would refuse them after the work."""
        try:
            encoding = read_card(self.model.value()).encoding
        except ValueError:  # there is none yet
            return
        if encoding.kind != "classes":
            return
        classes = np.array(encoding.classes)

        def keep(_: Any = None) -> None:
            if copy.selected_label not in classes:
                copy.selected_label = int(classes[np.abs(classes - copy.selected_label).argmin()])

        copy.selected_label = int(classes.max())
        copy.events.selected_label.connect(keep)

    def mark(self) -> None:
        """Add a layer to draw a region on, and choose it; of a stack it belongs to the plane that is displayed."""
        truth = self.truth.value
        if truth is None:
            return show_error("There must be a truth to mark a region of; open a layer first.")
        kept = list(range(truth.ndim))
        if self.whole_stack.isChecked() or not frame_axes(truth):
            kept = kept[-2:]
        region = Shapes(
            ndim=len(kept),
            name="true here",
            metadata={MADE_HERE: {"is": "region"}},
            face_color="#3b8bd055",
            edge_color="#3b8bd0",
            **placement(truth, kept),
        )
        self.viewer.add_layer(region)
        region.events.data.connect(self._count_marked)
        region.mode = "add_polygon"
        self.known.value = region

    def _count_marked(self, *_: Any) -> None:
        """Say where the truth is used, before the click."""
        truth, known = self.truth.value, self.known.value
        planes = [] if truth is None else frame_axes(truth)
        self.whole_stack.setVisible(bool(planes))
        total = math.prod(pixels(truth).shape[i] for i in planes) if truth is not None else 1
        text = ""
        if isinstance(known, Shapes) and known.ndim == 2:
            text = f"{known.nshapes} region(s), true in all {total} planes" if total > 1 else ""
        elif isinstance(known, Shapes):
            drawn = {tuple(np.round(shape[0, :-2]).astype(int)) for shape in known.data}
            text = f"{known.nshapes} region(s), true in {len(drawn)} of {total} planes"
        self.marked.setText(text)
        self.marked.setVisible(bool(text))

    def request(self) -> Request:
        """``train SOURCE TRUTH --from MODEL --with-old-pairs --out RUN``."""
        model, source, truth, known = self.model.value(), self.source.value, self.truth.value, self.known.value
        if source is None or truth is None:
            raise ValueError("There must be a source and what is true of it; open or predict them first.")
        if known is None and truth.metadata.get(MADE_HERE, {}).get("is") == "prediction":
            raise ValueError(
                f"The truth must be more than the model's own prediction; {truth.name!r} is just that. Correct a copy, "
                "or mark a region where it is true."
            )
        if isinstance(known, Shapes) and not known.nshapes:
            raise ValueError(f"There must be a region where the truth is to be used; draw one on {known.name!r}.")
        pairs = LayerPairs((LayerPair(source, truth, known),))
        pairs.require()
        if not read_card(model).paired:
            raise ValueError(
                f"A model to improve must have learned from pairs; {self.model.combo.currentText()!r} did without. "
                "Choose another, or train anew."
            )
        steps, device = self.steps.value(), self.device.value()
        flags = [f"--steps={steps}", f"--validate-every={max(1, steps // VALIDATIONS)}"]
        flags += ["--with-old-pairs"] if self.old_pairs.isChecked() else []
        run = free_run(runs_folder(), self.name.text())
        config = model_config(model).model_copy(update={"steps": steps})
        self.watch(run, config, self.device.resolved(), source)

        def prepare(stopped: Callable[[], bool]) -> list[Any]:
            words = pairs.words(run / "data", stopped)
            words += self.condition.table(run / "data", words[0])
            remember_model(run / "model.safetensors")
            return ["train", *words, "--out", run, "--from", model, *flags, "--device", device]

        return Request(prepare, pairs.layers)

    def figures(self) -> list[str]:
        """On the pairs that judged the old model: what it reached, and what the new one does."""
        compared = self.result.get("compared")
        if compared:
            before, after = compared["before"], compared["after"]
            verdicts = compared["verdicts"]
            both = " · ".join(f"{spoken(n)} {before[n]:.3f} → {after[n]:.3f} ({verdicts[n]})" for n in before)
            return [f"On the {compared['kind']} pairs of the old model: {both}"]
        return [in_a_dock(self.result["not_compared"])] if self.result.get("not_compared") else super().figures()

    def _name_edited(self, text: str) -> None:
        self._named = bool(text)

    def _show_time(self, *_: Any) -> None:
        try:
            config = model_config(self.model.value()).model_copy(update={"steps": self.steps.value()})
        except ValueError:  # there is none yet
            return
        self.time.setText(in_phases(*expected_phases(config, self.device.resolved())))

    def _follow_model(self, *_: Any) -> None:
        try:
            path = self.model.value()
            self.steps.setValue(max(FEWEST, model_config(path).steps // SHARE))
        except ValueError:  # there is none yet
            return
        self._show_time()
        if not self._named:
            name = re.sub(r" improved(-\d+)?$", "", self.model.combo.currentText())
            self.name.setText(f"{name} improved")


def last_region(layers: list[Layer]) -> Layer | None:
    """The uppermost region that *Mark a region* has made; None: everywhere."""
    made = [layer for layer in layers if layer.metadata.get(MADE_HERE, {}).get("is") == "region"]
    return made[-1] if made else None
