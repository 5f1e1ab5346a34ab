"""The dock *Evaluate*: a prediction, or a model, against the truth: figures, a difference, and a report."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import napari.viewer
from napari.layers import Labels, Layer
from qtpy.QtCore import QUrl
from qtpy.QtGui import QDesktopServices
from qtpy.QtWidgets import (
    QAbstractItemView,
    QCheckBox,
    QComboBox,
    QHeaderView,
    QPushButton,
    QTableWidget,
    QTableWidgetItem,
)

from napari_pix2pix.core.geometry.axes import AxesPlan
from napari_pix2pix.widgets.bridge import Event
from napari_pix2pix.widgets.card import Card, read_card
from napari_pix2pix.widgets.choices import FolderChoice
from napari_pix2pix.widgets.condition_choice import ConditionChoice
from napari_pix2pix.widgets.dock import Request
from napari_pix2pix.widgets.flags import in_a_dock, spoken
from napari_pix2pix.widgets.glossary import explained
from napari_pix2pix.widgets.layer_choice import first_target, its_source, last_prediction
from napari_pix2pix.widgets.layers import file_of, layer_axes, pixels
from napari_pix2pix.widgets.model_dock import ModelDock
from napari_pix2pix.widgets.places import evaluations_folder, free_run
from napari_pix2pix.widgets.placing import LAZY_BYTES, difference_layer, prediction_layers

PREDICTION, MODEL = "a prediction", "a model"
FURTHER = re.compile(r"_iou(?!50$)\d+$")
"""Figures that are left to the report: objects at further overlaps."""
LEGEND = "In the difference, 1 (orange) is only in the target image, 2 (blue) only in the prediction."


class EvaluateDock(ModelDock):
    """Judge a prediction or a model against the truth.

    Parameters
    ----------
    viewer
        Whose layers are offered, and to which the difference is added.
    """

    verb, explained = "Evaluate", "Figures against the truth, a layer of the difference, and a report to hand on"

    def __init__(self, viewer: "napari.viewer.Viewer") -> None:
        super().__init__(viewer)
        self.judged = QComboBox()
        self.judged.addItems([PREDICTION, MODEL])
        self.add_row(
            "Judge",
            self.judged,
            "A prediction of any tool, or a model: that is set beside baselines, and what trained it is refused",
            at=0,
        )
        self.prediction = self.add_layer_choice("Prediction", "The layer to judge, of any tool", last_prediction)
        self.condition = ConditionChoice(self, self.model)
        self.source = self.add_layer_choice("Source", "The layer that the model predicts from", its_source)
        self.target = self.add_layer_choice("Target image", "The truth: grey values or labels", first_target)
        self.empty_frames = QComboBox()
        self.empty_frames.addItems(["ask", "empty", "unlabelled"])
        self.add_row(
            "Empty frames",
            self.empty_frames,
            "What frames without any label mean. empty: nothing is there; unlabelled: nobody has looked, and they do "
            "not count",
        )
        self.empty_channels = QComboBox()
        self.empty_channels.addItems(["ask", "empty", "unstained"])
        self.add_row(
            "Empty channels",
            self.empty_channels,
            "What a channel of one value means. empty: nothing is there; unstained: nobody has stained for it, and it "
            "does not count",
        )
        self.seen = QCheckBox("Also what made the model")
        self.seen.setToolTip(
            "Judge images that trained or chose the model, too; every figure is then marked (--allow-seen)"
        )
        self.form.addRow("", self.seen)
        self.folder = FolderChoice(evaluations_folder())
        self.add_row("Folder", self.folder, "Where the folder with figures and report is made")
        self.add_device()

        self.table = QTableWidget()
        self.table.setToolTip("The figures, with the interval of 95 % where there are several images or groups")
        self.table.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.table.horizontalHeader().setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
        self.table.setMinimumHeight(150)
        self.report_button = QPushButton("Open report")
        self.report_button.setToolTip("Open report.html in the browser: figures, the worst images, the model's card")
        self.report_button.clicked.connect(self.open_report)
        self.column.addWidget(self.table, 100)
        self.column.addWidget(self.report_button)
        self.column.addStretch(1)  # keeps the form together while there is no table
        self.report: Path | None = None
        self._following: Request | None = None
        self._kind, self._lies = "", ""  # what is judged; where a prediction lies that is too large for memory
        self.judged.currentIndexChanged.connect(self._show_rows)
        self.target.changed.connect(self._show_rows)
        self._show_figures({})
        self.remember(empty_frames=self.empty_frames, empty_channels=self.empty_channels, device=self.device)
        self._show_rows()
        self.order_tabs()

    def _show_rows(self, *_: Any) -> None:
        """Only what the present choice needs."""
        of_model = self.judged.currentText() == MODEL
        for field, shown in (
            (self.model, of_model),
            (self.prediction.native, not of_model),
            (self.source.native, of_model),
            (self.empty_frames, isinstance(self.target.value, Labels)),
            (self.empty_channels, _has_channels(self.target.value)),
            (self.device, of_model),
        ):
            self.show_row(field, shown)
        self._show_card()
        self.condition.offer()
        self.seen.setVisible(of_model)

    def request(self) -> Request:
        """``evaluate MODEL SOURCE TARGET --out DIR`` or ``evaluate --prediction PREDICTION TARGET --out DIR``."""
        of_model, target = self.judged.currentText() == MODEL, self.target.value
        judged = self.source.value if of_model else self.prediction.value
        if judged is None or target is None:
            raise ValueError("There must be an image to judge and its target image; open or predict them first.")
        if judged is target:
            raise ValueError("The target image must be another layer than what is judged; choose another one.")
        model = self.model.value() if of_model else None
        name = f"{self.model.combo.currentText()} on {judged.name}" if of_model else judged.name
        out, work = free_run(self.folder.value(), name), self.new_folder()
        self.report, self._kind, self._lies, self._following = None, "", "", None
        self._show_figures({})
        flags: list[Any] = ["--out", out, "--empty-frames", self.empty_frames.currentText()]
        flags += ["--empty-channels", self.empty_channels.currentText()]
        if model is None:
            self.load_with(lambda: [difference_layer(judged, target, self._kind)])
        else:
            flags += ["--device", self.device.value(), *(["--allow-seen"] if self.seen.isChecked() else [])]
            self._predict_after(model, judged, target, work, out)

        def prepare(stopped: Callable[[], bool]) -> list[Any]:
            files = [
                file_of(layer, work / f"{side}.ome.tif", stopped)
                for layer, side in ((judged, "source" if model else "prediction"), (target, "target"))
            ]
            axes = ["--source-axes", files[0].axes, "--target-axes", files[1].axes]
            first = [model, files[0].path] if model else ["--prediction", files[0].path]
            own = self.condition.table(work, files[0].path) if model else []
            return ["evaluate", *first, files[1].path, *axes, *own, *flags]

        return Request(prepare, (judged, target))

    def _predict_after(self, model: Path, source: Layer, target: Layer, work: Path, folder: Path) -> None:
        """Once there are figures, the prediction is wanted, too, and its difference.

        It goes with `work`, but one that is too large for memory is read when it is seen: it stays in `folder`.
        """
        card, out, flags = read_card(model), work / "prediction.ome.tif", [*self.computing(), *self.condition.flags()]
        if card.bytes_of(AxesPlan(layer_axes(source), tuple(pixels(source).shape))) > LAZY_BYTES:
            out = folder / "prediction.ome.zarr"
            self._lies = f"The prediction is too large for memory and lies in {out}."

        def prepare(stopped: Callable[[], bool]) -> list[Any]:
            file = file_of(source, work / "source.ome.tif", stopped)
            return ["predict", model, file.path, "--out", out, "--source-axes", file.axes, *flags]

        self._following = Request(prepare, (source, target))
        self.load_with(_prediction_and_difference, source, target, out, card)

    def hear(self, event: Event) -> None:
        """The figures, and where the report lies."""
        if event["event"] == "result" and "report" in event:
            self.report, self._kind = Path(event["report"]), event["kind"]
            self._show_figures(event)
            legend = [LEGEND] if self._kind != "intensity" else []
            self.remark = " ".join([*legend, *map(in_a_dock, event["remarks"]), self._lies])

    def finish(self, well: bool) -> None:
        """The figures are there: show where they come from."""
        following, self._following = self._following, None
        if well and following is not None:
            self.begin(following)
        else:
            super().finish(well)

    def open_report(self) -> None:
        """Show the report in the browser."""
        if self.report is not None:
            QDesktopServices.openUrl(QUrl.fromLocalFile(str(self.report)))

    def _show_figures(self, report: dict[str, Any]) -> None:
        metrics, baselines = report.get("metrics", {}), report.get("baselines", {})
        names = [name for name, figure in metrics.items() if figure["value"] is not None and not FURTHER.search(name)]
        self.table.setRowCount(len(names))
        self.table.setColumnCount(1 + len(baselines))
        self.table.setVerticalHeaderLabels([spoken(name) for name in names])
        for row, name in enumerate(names):
            self.table.verticalHeaderItem(row).setToolTip(explained(spoken(name)))
        self.table.setHorizontalHeaderLabels(["figure", *(name.replace("_", " ") for name in baselines)])
        for row, name in enumerate(names):
            for column, figures in enumerate((metrics, *baselines.values())):
                self.table.setItem(row, column, QTableWidgetItem(_said(figures.get(name))))
        self.table.setVisible(bool(names))
        self.report_button.setVisible(bool(names))


def _has_channels(layer: Layer | None) -> bool:
    """Whether the layer has channels that are no colours."""
    try:
        return layer is not None and "C" in layer_axes(layer)
    except ValueError:  # too many axes: said when it is used
        return False


def _said(figure: dict[str, Any] | None) -> str:
    """``0.83 (0.79 – 0.86)``."""
    if figure is None or figure["value"] is None:
        return "–"
    low, high = figure.get("low"), figure.get("high")
    return f"{figure['value']:.3g}" + (f" ({low:.3g} – {high:.3g})" if low is not None and high is not None else "")


def _prediction_and_difference(source: Layer, target: Layer, out: Path, card: Card) -> list[Layer]:
    layers = prediction_layers(source, out, card)
    if len(layers) == 1 and pixels(layers[0]).shape == pixels(target).shape:
        layers.append(difference_layer(layers[0], target, card.encoding.kind))
    return layers
