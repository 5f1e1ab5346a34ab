"""Rows of a form that say what to learn from: layers, or files and folders; one pair or several."""

from collections.abc import Sequence
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

from napari.layers import Image, Labels, Layer, Shapes
from napari.utils.notifications import show_error
from qtpy.QtCore import QObject, Qt, Signal
from qtpy.QtWidgets import (
    QCheckBox,
    QHBoxLayout,
    QLineEdit,
    QListWidget,
    QPushButton,
    QRadioButton,
    QWidget,
)

from napari_pix2pix.core.settings.training import Data
from napari_pix2pix.widgets.domain_table import DomainTable
from napari_pix2pix.widgets.domains import FileDomains, LayerDomains
from napari_pix2pix.widgets.layer_choice import LayerChoice, first_image, first_target, made_here, offered
from napari_pix2pix.widgets.layers import layer_axes, pixels
from napari_pix2pix.widgets.pairs import FilePairs, LayerPair, LayerPairs
from napari_pix2pix.widgets.path_line import PathLine
from napari_pix2pix.widgets.stain_rows import (
    ADD_TIP,
    NOT_STAINED,
    FileStains,
    LayerStain,
    LayerStains,
    add_button,
    name_line,
)

if TYPE_CHECKING:
    from napari_pix2pix.widgets.dock import Dock

AXES_TIP = "One letter for each axis: T time, Z planes, C channels, Y, X. "
CHANNELS_TIP = "Channels in layers of their own: merge them (right click, Merge to Stack) and call the new axis C."
NO_PAIR = "There must be a source and a target image; open two layers of the same size first."
SHOWN_PAIRS = 4
Learned = LayerPairs | FilePairs | LayerDomains | FileDomains
"""What is learned from."""


class AxesLine(QLineEdit):
    """The axes of the chosen layer, to be read and corrected: they are kept as the layer's axis labels.

    Parameters
    ----------
    choice
        Of the layer.

    Signals
    -------
    corrected()
        The layer has other axes now.
    """

    corrected = Signal()

    def __init__(self, choice: LayerChoice) -> None:
        super().__init__()
        self._choice = choice
        self.setFixedWidth(self.fontMetrics().horizontalAdvance("TCZYXS") + 20)
        choice.changed.connect(self.refresh)
        self.editingFinished.connect(self._take)
        self.refresh()

    def refresh(self, *_: object) -> None:
        """Show the axes of the layer that is chosen now."""
        layer = self._choice.value
        self.setEnabled(layer is not None)
        try:
            self.setText("" if layer is None else layer_axes(layer))
        except ValueError:  # too many axes: said when it is used
            self.setText("")
        shape = "" if layer is None else f"\n{layer.name}: {' × '.join(map(str, pixels(layer).shape))}"
        self.setToolTip(f"{AXES_TIP}Correct them if they are guessed wrongly. {CHANNELS_TIP}{shape}")

    def _take(self) -> None:
        layer, said = self._choice.value, self.text().strip().upper()
        if layer is None or said == layer_axes(layer):
            return self.refresh()
        letters = said.removesuffix("S") if getattr(layer, "rgb", False) else said
        fits = len(set(letters)) == len(letters) == layer.ndim and {"Y", "X"} <= set(letters) <= set("TZCYX")
        if fits:
            layer.axis_labels = tuple(letters)
            self.corrected.emit()
        else:
            show_error(
                f"Axes must be {layer.ndim} different letters of TZCYX with Y and X; got {said!r} for {layer.name!r}."
            )
        self.refresh()


class PairRows(QObject):
    """What to learn from.

    Parameters
    ----------
    dock
        To whose form the rows are added.

    Signals
    -------
    changed()
        Something else is to be learned from.
    """

    changed = Signal()

    def __init__(self, dock: "Dock") -> None:
        super().__init__(dock)
        self._form, self._viewer = dock.form, dock.viewer
        self.pairs: list[LayerPair] = []
        self.data: Data = "pairs"

        # Layers, or files.
        self.from_layers, self.from_files = QRadioButton("Layers"), QRadioButton("Files")
        self.from_layers.setToolTip("Layers that are open here")
        self.from_files.setToolTip("Files or folders, without opening them; folders of pairs are paired by file name")
        self.from_layers.setChecked(True)
        self.from_files.toggled.connect(self._switch)
        self.with_targets = QCheckBox("and their target images")
        self.with_targets.setToolTip("Make pairs of an image and its labels, or another image; else images alone")
        self.with_targets.toggled.connect(self._switch)
        dock.add_row("Learn from", _in_row(QWidget(), self.from_layers, self.from_files, stretch=True), "")

        dock.add_row("Make images", self.with_targets, self.with_targets.toolTip())

        # A pair of layers.
        explained = {
            "Source": "The layer to predict from, e.g. brightfield",
            "Target image": "The layer to learn to predict, of the same size: grey values or labels",
            "Known": "Where the target image is known: labels (not 0) or shapes drawn on it. Nothing else is learned "
            "from",
        }
        self.source = LayerChoice(dock.viewer, first_image)
        self.target = LayerChoice(dock.viewer, first_target)
        self.known = LayerChoice(dock.viewer, lambda _: None, kinds=(Labels, Shapes), none="everywhere")
        self.source_axes, self.target_axes = AxesLine(self.source), AxesLine(self.target)
        self.first_stain, self.stains = name_line(), LayerStains(lambda: LayerStain(dock.viewer, self._unused))
        self.first_stain.hide()
        self.first_stain.textEdited.connect(self.changed)
        self.add_stain, self.add_file_stain = add_button(), add_button()
        for button in (self.add_stain, self.add_file_stain):
            button.clicked.connect(lambda *_: self._stain())
            button.clicked.connect(lambda *_: dock.order_tabs())
        target = self.first_stain, self.target.native, self.target_axes, self.add_stain
        rows = (
            (self.source, (self.source.native, self.source_axes)),
            (self.target, target),
            (self.known, (self.known.native,)),
        )
        self._layer_rows: list[QWidget] = []
        for (label, tooltip), (choice, controls) in zip(explained.items(), rows, strict=True):
            dock.follow_layers(choice)
            choice.native.setToolTip(tooltip)
            row = controls[0] if len(controls) == 1 else _in_row(QWidget(), *controls, wide=choice.native)
            dock.add_row(label, row, tooltip)
            self._layer_rows.append(row)
            choice.changed.connect(self._tell)
            if choice is self.target:
                dock.follow_layers(self.stains)
                dock.add_row("Further stains", self.stains, ADD_TIP)
        self.stains.removed.connect(self._unstain)
        self.stains.changed.connect(self._follow_stains)
        for line in (self.source_axes, self.target_axes):
            line.corrected.connect(self.changed)

        # Several of them.
        self.add_button, self.remove_button = QPushButton("Add pair"), QPushButton("Remove pair")
        self.add_button.setToolTip("Keep this pair, and choose another one to learn from, too")
        self.remove_button.setToolTip("Take the selected pair out of the list")
        self.add_button.clicked.connect(self._add)
        self.remove_button.clicked.connect(self._remove)
        buttons = _in_row(QWidget(), self.add_button, self.remove_button)
        self.list = QListWidget()
        self.list.setToolTip("Pairs that are learned from together; the one chosen above counts, too")
        self._form.addRow("", buttons)
        self._form.addRow("", self.list)
        dock.viewer.layers.events.removed.connect(self._forget)

        # Files.
        self.files = {name: PathLine(hint) for name, hint in _HINTS.items()}
        self.file_axes = {name: QLineEdit() for name in ("source", "target")}
        self._file_rows: list[QWidget] = []
        for label, (name, path) in zip(explained, self.files.items(), strict=True):
            path.line.setToolTip(_FILE_TIPS[name])
            path.changed.connect(self.changed)
            beside = []
            if name in self.file_axes:
                said = self.file_axes[name]
                said.setPlaceholderText("axes")
                said.setToolTip(f"{AXES_TIP}Empty: as the files say")
                said.setFixedWidth(self.source_axes.width())
                said.editingFinished.connect(self.changed)
                beside = [said, *([self.add_file_stain] if name == "target" else [])]
            box = _in_row(QWidget(), path, *beside)
            dock.add_row(label, box, _FILE_TIPS[name])
            self._file_rows.append(box)
            if name == "target":
                self.file_stains = FileStains(lambda: PathLine(_HINTS["target"]))
                self.file_stains.changed.connect(self._switch)
                dock.add_row("Further stains", self.file_stains, ADD_TIP)
        self._list_rows = [buttons, self.list]

        # Several domains.
        self.domains = DomainTable(dock.viewer)
        dock.follow_layers(self.domains)
        self.folder, self.folder_axes = PathLine("a subfolder for each domain"), QLineEdit()
        self.folder_axes.setPlaceholderText("axes")
        self.folder_axes.setToolTip(f"{AXES_TIP}Empty: as the files say")
        self.folder_axes.setFixedWidth(self.source_axes.width())
        in_folder = _in_row(QWidget(), self.folder, self.folder_axes)
        dock.add_row("Domains", self.domains, self.domains.toolTip())
        dock.add_row("Domains", in_folder, "A folder with a subfolder of images for each domain, called as the domain")
        for changed in (self.domains.changed, self.folder.changed, self.folder_axes.editingFinished):
            changed.connect(self.changed)
        self._domain_rows = {False: self.domains, True: in_folder}  # by whether from files
        self._switch()

    @property
    def paired(self) -> bool:
        """Whether source and target of a row belong together."""
        return self.data in ("pairs", "images")

    @property
    def alone(self) -> bool:
        """Whether sources have no targets."""
        return self.data == "images" and not self.with_targets.isChecked()

    @property
    def has_targets(self) -> bool:
        """Whether there are target images among them."""
        return self.data != "domains" and not self.alone

    def value(self) -> Learned:
        """What is chosen.

        Raises
        ------
        ValueError
            If something is missing: one sentence.
        """
        if self.data == "domains":
            return self._domains()
        if self.from_files.isChecked():
            source, target, known = (self.files[name].value() for name in _HINTS)
            a, b = (self.file_axes[side].text().strip().upper() for side in ("source", "target"))
            known = known if self.data == "pairs" else ""
            more = self.file_stains.paths if self.data == "pairs" else ()
            files = FilePairs(source, target, known, (a, b), self.paired, self.alone, more)
            files.require()
            return files
        pair = self._shown()
        chosen = [*self.pairs] if pair is None or pair in self.pairs else [*self.pairs, pair]
        if not chosen:
            raise ValueError(NO_PAIR)
        layers = LayerPairs(tuple(chosen), self.paired, self.alone, self._stain_names())
        layers.require()
        return layers

    def _domains(self) -> LayerDomains | FileDomains:
        if not self.from_files.isChecked():
            return self.domains.value()
        domains = FileDomains(self.folder.value(), self.folder_axes.text().strip().upper())
        domains.require()
        return domains

    def ask_for(self, data: Data) -> None:
        """Pairs; images of two sides that belong to no other; images of several domains; or images, to make others."""
        self.data = data
        self._switch()

    def choose_files(self, source: Path | str, target: Path | str) -> None:
        """Learn from these files or folders."""
        self.from_files.setChecked(True)
        self.files["source"].set_value(source)
        self.files["target"].set_value(target)

    def choose_layers(self, pairs: Sequence[LayerPair]) -> None:
        """Learn from these pairs of layers, of as many stains as now."""
        self.from_layers.setChecked(True)
        self.pairs = list(pairs) if len(pairs) > 1 else []
        last = pairs[-1]
        choices = [self.target, *(row.choice for row in self.stains.rows)]
        self.source.value, self.known.value = last.source, last.known
        for choice, layer in zip(choices, last.stains or (last.target,), strict=True):
            choice.value = layer
        self._show_pairs()

    def swap(self) -> None:
        """Let source and target change places."""
        if self.from_files.isChecked():
            source, target = (self.files[side].value() for side in ("source", "target"))
            self.choose_files(target, source)
        elif (pair := self._shown()) is not None and not pair.stains:
            self.source.value, self.target.value = pair.target, pair.source

    def _tell(self, *_: object) -> None:
        self.changed.emit()

    def _shown(self) -> LayerPair | None:
        source = self.source.value
        target = source if self.alone else self.target.value
        known = self.known.value if self.data == "pairs" else None
        if self._is_stained():
            stains = target, *self.stains.layers
            first = next(filter(None, stains), None)
            return None if source is None or first is None else LayerPair(source, first, known, stains)
        return None if source is None or target is None else LayerPair(source, target, known)

    # Several stains

    def _is_stained(self) -> bool:
        """Whether a target is several layers."""
        return self.data == "pairs" and bool(self.stains.rows)

    def _stain_names(self) -> tuple[str, ...]:
        return (self.first_stain.text().strip(), *self.stains.names) if self._is_stained() else ()

    def _unused(self) -> Layer | None:
        """An image that is nothing yet, for the next stain."""
        taken = {self.source.value, self.target.value, *self.stains.layers}
        taken |= set(chain.from_iterable(pair.layers for pair in self.pairs))
        layers = offered(self._viewer, (Image,))
        return next((layer for layer in layers if layer not in taken and not made_here(layer)), None)

    def _stain(self) -> None:
        """One more."""
        if self.from_files.isChecked():
            self.file_stains.add()
            return
        if not self.first_stain.text() and self.target.value is not None:
            self.first_stain.setText(self.target.value.name)
        self.pairs = [pair._replace(stains=(*(pair.stains or (pair.target,)), None)) for pair in self.pairs]
        self.stains.add()

    def _unstain(self, number: int) -> None:
        """That of this row is gone, and with it pairs that had no other."""
        had = [(pair, [*pair.stains[: number + 1], *pair.stains[number + 2 :]]) for pair in self.pairs]
        left = [(pair, own, first) for pair, own in had if (first := next(filter(None, own), None))]
        self.pairs = [
            pair._replace(target=first, stains=tuple(own) if len(own) > 1 else ()) for pair, own, first in left
        ]

    def _follow_stains(self) -> None:
        """With several, the first may be missing, too."""
        self.target.offer_none(NOT_STAINED if self._is_stained() else "")
        self._switch()

    def _switch(self, *_: object) -> None:
        files = self.from_files.isChecked()
        for rows, shown in ((self._layer_rows, not files), (self._file_rows, files)):
            for row in rows:
                wanted = {"pairs": 3, "unpaired": 2, "images": 1 if self.alone else 2}.get(self.data, 0)
                self._form.setRowVisible(row, shown and row in rows[:wanted])  # the last says where it is known
        self._form.setRowVisible(self.with_targets, self.data == "images")
        paired = self.data == "pairs"
        self.first_stain.setVisible(self._is_stained())
        for button in (self.add_stain, self.add_file_stain):
            button.setVisible(paired)
        self._form.setRowVisible(self.stains, paired and not files and bool(self.stains.rows))
        self._form.setRowVisible(self.file_stains, paired and files and bool(self.file_stains.rows))
        for of_files, row in self._domain_rows.items():
            self._form.setRowVisible(row, self.data == "domains" and files == of_files)
        self._show_pairs()

    def _show_pairs(self) -> None:
        files = self.from_files.isChecked() or self.data == "domains"
        self.list.clear()
        self.list.addItems([pair.text for pair in self.pairs])
        height = self.list.sizeHintForRow(0) * min(len(self.pairs), SHOWN_PAIRS) + 2 * self.list.frameWidth()
        self.list.setFixedHeight(max(height, 1))
        self._form.setRowVisible(self._list_rows[0], not files)
        self._form.setRowVisible(self.list, not files and bool(self.pairs))
        what = "pair" if self.paired and not self.alone else "images"
        self.add_button.setText(f"Add {what}")
        self.remove_button.setText(f"Remove {what}")
        self.remove_button.setEnabled(bool(self.pairs))
        self.changed.emit()

    def _add(self) -> None:
        pair = self._shown()
        if pair is None:
            return show_error(NO_PAIR)
        if pair not in self.pairs:
            self.pairs.append(pair)
        self._show_pairs()

    def _remove(self) -> None:
        row = self.list.currentRow()
        del self.pairs[row if row >= 0 else -1]
        self._show_pairs()

    def _forget(self, event: object) -> None:
        """A layer is gone, and its pairs with it."""
        gone: Layer = event.value  # type: ignore[attr-defined]
        if any(gone in pair.layers for pair in self.pairs):
            self.pairs = [pair for pair in self.pairs if gone not in pair.layers]
            self._show_pairs()


_HINTS = {"source": "a file or a folder", "target": "a file or a folder", "known": "everywhere"}
_FILE_TIPS = {
    "source": "A stack, or a folder of images, to predict from",
    "target": "A stack, or a folder of images of the same names, to learn to predict",
    "known": "A mask of where the target image is known (not 0), or a folder of masks of the same names",
}


def _in_row(box: QWidget, *controls: QWidget, stretch: bool = False, wide: QWidget | None = None) -> QWidget:
    """Controls side by side, of which one is as `wide` as there is room; the default is the first."""
    layout = QHBoxLayout(box)
    layout.setContentsMargins(0, 0, 0, 0)
    for control in controls:
        layout.addWidget(control, 0 if stretch or control is not (wide or controls[0]) else 1)
    if stretch:
        layout.addStretch(1)
    box.setFocusPolicy(Qt.FocusPolicy.NoFocus)
    return box
