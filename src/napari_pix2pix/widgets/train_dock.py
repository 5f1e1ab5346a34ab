"""The dock *Train*: pairs become a model, with a preview that refreshes in place."""

import json
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, get_args

import napari.viewer
from napari.layers import Image, Labels, Layer
from napari.utils.notifications import show_error
from qtpy.QtGui import QIntValidator
from qtpy.QtWidgets import (
    QApplication,
    QCheckBox,
    QComboBox,
    QFileDialog,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QMenu,
    QPushButton,
    QSpinBox,
    QWidget,
)

from napari_pix2pix.core.engine.atomic import written_beside
from napari_pix2pix.core.settings.config import METHODS, Config, PairSettings, make_config, read_json_object
from napari_pix2pix.widgets.bridge import Event
from napari_pix2pix.widgets.check_panel import CheckPanel
from napari_pix2pix.widgets.choices import DeviceChoice, FolderChoice
from napari_pix2pix.widgets.continue_button import ContinueButton
from napari_pix2pix.widgets.dock import Dock, Request
from napari_pix2pix.widgets.flags import IN_DOCKS, in_a_dock
from napari_pix2pix.widgets.fold import Fold
from napari_pix2pix.widgets.layer_choice import offered
from napari_pix2pix.widgets.pair_check import MOST_BYTES, QUIET_MS, PairCheck
from napari_pix2pix.widgets.pair_picture import PairPicture
from napari_pix2pix.widgets.pair_rows import Learned, PairRows
from napari_pix2pix.widgets.places import free_run, remember_model, runs_folder
from napari_pix2pix.widgets.recipe import Recipe, shell_line
from napari_pix2pix.widgets.repair_row import RepairRow
from napari_pix2pix.widgets.runs import UnfinishedRun
from napari_pix2pix.widgets.samples import tissue
from napari_pix2pix.widgets.session import STOP_S
from napari_pix2pix.widgets.settings_form import SettingsForm
from napari_pix2pix.widgets.step_times import expected_phases, in_phases
from napari_pix2pix.widgets.training_dock import JUDGING, TrainingDock
from napari_pix2pix.widgets.words import Words

PRESET_TIPS = {
    "fast": "fast: a small network, minutes on a processor; to see whether it works at all",
    "microscopy": "microscopy: the full size; a GPU does it in an hour",
    "paper": "paper: as its authors trained it; for comparison",
    "vanilla": "vanilla, of images from nothing: the first GAN, at full size at once; for comparison",
}
METHOD_TIP = (
    "Pairs: source and target show the same, pixel by pixel. No pairs: two sets of images, e.g. of two stains, that "
    "need not show the same; numbers and sizes may differ. Several domains: the same of as many stains, scanners or "
    "modalities as there are, each into any other. Images from nothing: others like these, or pairs of an image and "
    "its labels to train on. How wrong a prediction is, only pairs can tell"
)
LEARNS_FROM = {
    "pairs": "pairs",
    "unpaired": "no pairs",
    "domains": "several domains",
    "images": "images from nothing",
}
"""What methods that are offered here learn from."""
TIMES = {"a first look (3 min)": 3.0, "an hour": 60.0, "overnight (10 h)": 600.0, "steps": None}
TIME_OF = {"fast": 0, "microscopy": 1}
"""By preset what is offered first of these; else steps."""
STEPS = len(TIMES) - 1
OF_VOLUMES = ("patch_depth", "z_levels", "z_layers")
"""Settings that matter only where frames are volumes."""
IN_SIGHT = ("method", "steps", "patch_size", "target_kind")
ABOUT_PAIRS = ("target_kind", "source_kind", "empty_frames", "empty_channels", "shift_tolerance")
"""Settings that another preset does not change."""
BY_CLASS = ("pairs", "images")
"""What may be of classes (`condition`)."""
READING = ("foreground", "ignore_label")
"""What remedies may say of how the pairs are read."""
KINDS = {"auto": "as found", "intensity": "grey values", "classes": "classes", "instances": "objects, one label each"}


class TrainDock(TrainingDock):
    """Train a model on pairs of layers, or of files.

    Parameters
    ----------
    viewer
        Whose layers are offered, and to which the preview is added.
    """

    verb, explained = "Train", "Train a model that predicts the target image from the source"

    def __init__(self, viewer: "napari.viewer.Viewer") -> None:
        super().__init__(viewer)
        self._named = False
        # What remedies of the check have set, and for which targets: by name what was before, and what is since.
        self._remedied: tuple[set[object], dict[str, tuple[Any, Any]]] = set(), {}
        self._looks = self._later(self._look, QUIET_MS)
        self._then: Request | None = None  # once the pairs are found usable

        # What to learn from.
        self.sample = QWidget()
        try_one = _button("Try a sample", "Open a tissue section and the labels of its nuclei", self.open_sample)
        beside = QHBoxLayout(self.sample)
        beside.setContentsMargins(0, 0, 0, 0)
        beside.addWidget(QLabel("Open an image and its target, or:"), 1)
        beside.addWidget(try_one)
        self.form.addRow(self.sample)
        self.method = QComboBox()
        for name, settings in METHODS.items():
            if settings.data in LEARNS_FROM:
                self.method.addItem(f"{LEARNS_FROM[settings.data]} ({settings.called or name})", name)
        self.add_row("Method", self.method, METHOD_TIP)
        self.show_row(self.method, self.method.count() > 1)
        self.pairs = PairRows(self)
        self.source, self.target, self.known = self.pairs.source, self.pairs.target, self.pairs.known
        self.target_kind = QComboBox()
        for kind, shown in KINDS.items():
            self.target_kind.addItem(shown, kind)
        self.add_row("Target is", self.target_kind, Config.model_fields["target_kind"].description or "")
        self.picture = PairPicture(self.session, self.token)
        self.form.addRow(self.picture)
        self.findings = CheckPanel()
        self.form.addRow(self.findings)
        ways: tuple[Callable[[], Any], ...] = self._check_flags, self._register_flags, lambda: self.folder.value()
        self.lie = RepairRow(self.session, self.token, viewer, self.pairs, *ways)
        self.form.addRow(self.lie)

        # How.
        self.name = QLineEdit()
        self.name.textEdited.connect(self._name_edited)
        self.add_row("Name", self.name, "Of the model; a folder of this name holds the run")
        self.preset = QComboBox()
        self.preset.addItems(presets_of(self.method.currentData()))
        self.add_row("Preset", self.preset, "Settings to start from.\n" + "\n".join(PRESET_TIPS.values()))
        self.how_long = QComboBox()
        for shown, minutes in TIMES.items():
            self.how_long.addItem(shown, minutes)
        self.steps = QSpinBox()
        self.steps.setRange(1, 10_000_000)
        self.steps.setGroupSeparatorShown(True)
        self.steps.setToolTip("Updates of the network")
        self._fills = False  # the form, so that steps are nobody's choice
        self.time = Words()
        self.add_row(
            "How long",
            _row(self.how_long, self.steps),
            "Time: how many steps fit is measured first; or steps. Stop at any time: the best model so far is kept",
        )
        self.time.setToolTip("How long this takes on this device, as measured here; known after the first steps of one")
        self.form.addRow("", self.time)
        self.patch_size = QSpinBox()
        self.patch_size.setRange(8, 4096)
        self.patch_size.setSuffix(" px")
        self.add_row("Patch size", self.patch_size, "Side of the square pieces that the network learns from")
        self.device = DeviceChoice(self.session)
        self.add_row("Device", self.device, "What computes. auto: a GPU where there is one, else the processor")
        self.settings = SettingsForm(self._preset(self.preset.currentText()), IN_SIGHT)
        self._fold_settings()
        self._add_ways_out()

        # What follows what.
        self.check = PairCheck(self.session, self.token, self.findings, self._to_check)
        self.findings.remedied.connect(self._remedy)
        self.lie.looks.connect(self.check.leave_to_others)
        self.lie.found.connect(self.findings.show_report)
        self.lie.unseen.connect(self.check.look_anew)
        self.pairs.changed.connect(self._follow_target)
        self.preset.currentTextChanged.connect(self._change_preset)
        self.method.currentIndexChanged.connect(self._change_method)
        self.session.devices_known.connect(self._show_time)
        self.how_long.currentIndexChanged.connect(self._show_steps)
        self.steps.valueChanged.connect(self._count_steps)
        self._take_preset(self.preset.currentText())
        self._show_steps()
        for changed in (
            *(self.pairs.changed, self.settings.changed, self.patch_size.valueChanged, self.steps.valueChanged),
            *(self.how_long.currentIndexChanged, self.target_kind.currentIndexChanged),
            *(self.device.currentIndexChanged, self.planes.currentIndexChanged),
            *(self.foreground.toggled, self.ignore_label.editingFinished, self.condition.editingFinished),
        ):
            changed.connect(self._changed)
        self._follow_target()
        self.reset_choices()
        self.planes.currentTextChanged.connect(self._show_depths)
        self._show_depths()
        self.remember(
            method=self.method, preset=self.preset, how_long=self.how_long, steps=self.steps, device=self.device
        )
        self._changed()
        self.order_tabs()

    def _show_depths(self, *_: Any) -> None:
        self.settings.show_settings(OF_VOLUMES, self.planes.currentText() == "volume")

    @property
    def trains(self) -> bool:
        """Not while the pairs are looked at."""
        return super().trains and self._then is None

    def _fold_settings(self) -> None:
        self.folder = FolderChoice(runs_folder())
        self.folder.setToolTip("Where the run's folder is made; it keeps the model, history and previews")
        self.folder.line.setToolTip(self.folder.toolTip())
        ways = {
            "Reset": ("The settings of the preset", lambda: self._take_preset(self.preset.currentText())),
            "Load …": ("Settings from a JSON file, e.g. the config.json of a run", self._load),
            "Save …": ("The settings as a JSON file, for here or for --config", self._save),
        }
        buttons = [_button(text, tooltip, slot) for text, (tooltip, slot) in ways.items()]
        layout = self.settings.layout()
        layout.insertRow(0, "folder", self.folder)
        layout.insertRow(1, _row(*buttons))
        self.planes = QComboBox()
        self.planes.addItems(get_args(PairSettings.model_fields["z"].annotation))
        self.planes.setToolTip(PairSettings.model_fields["z"].description or "")
        label = QLabel("planes (Z)")
        label.setToolTip(self.planes.toolTip())
        layout.insertRow(2, label, self.planes)
        self.foreground, self.ignore_label, self.condition = QCheckBox(), QLineEdit(), QLineEdit()
        self.condition.setPlaceholderText("none; a CSV file, or a pattern of names")
        self.ignore_label.setPlaceholderText("none")
        self.ignore_label.setValidator(QIntValidator())
        rows: dict[str, QWidget] = {
            **{"foreground": self.foreground, "ignore_label": self.ignore_label},
            "condition": self.condition,
        }
        for row, (name, control) in enumerate(rows.items(), 3):
            called = QLabel(IN_DOCKS[name])
            for part in (called, control):
                part.setToolTip(PairSettings.model_fields[name].description or "")
            layout.insertRow(row, called, control)
        self.form.addRow(Fold("More settings", "Everything else; the preset's values are good ones", self.settings))

    def _add_ways_out(self) -> None:
        """Runs to continue, and the training as text."""
        self.continue_button = ContinueButton(self.folder.value, self.continue_run)
        self.copy_button = QPushButton("Copy as …")
        self.copy_button.setToolTip("This training as text, to run it elsewhere or many times")
        menu = QMenu(self)
        menu.addAction("Command", self.copy_command)
        menu.addAction("Python", self.copy_python)
        self.copy_button.setMenu(menu)
        self.column.insertWidget(self.column.indexOf(self.bar), _row(self.continue_button, self.copy_button))

    # The settings

    def value(self) -> Config:
        """The settings in the form.

        Raises
        ------
        ValueError
            If one is out of range or two do not fit: one sentence.
        """
        seen = {
            "steps": self.steps.value(),
            "patch_size": self.patch_size.value(),
            "target_kind": self.target_kind.currentData(),
        }
        whole = self.settings.value().model_dump() | seen
        return make_config(self.preset.currentText(), changes=whole)

    def set_value(self, config: Config) -> None:
        """Show these settings; their steps are asked for, no time."""
        self._fill(config)
        self.how_long.setCurrentIndex(STEPS)

    def minutes(self) -> float | None:
        """The time that the training is given; None: its steps count."""
        found: float | None = self.how_long.currentData()
        return found

    def _fill(self, config: Config) -> None:
        self._fills = True
        self._show_method(config)
        self.settings.set_value(config)
        self.steps.setValue(config.steps)
        self.patch_size.setValue(config.patch_size)
        self.target_kind.setCurrentIndex(self.target_kind.findData(config.target_kind))
        self._fills = False

    def _count_steps(self, *_: Any) -> None:
        """Who changes the steps wants steps."""
        if not self._fills:
            self.how_long.setCurrentIndex(STEPS)

    def _show_steps(self, *_: Any) -> None:
        self.steps.setVisible(self.minutes() is None)

    def _show_method(self, config: Config) -> None:
        """The method of these settings, and what goes with it, without a change of them."""
        for combo in (self.method, self.preset):
            combo.blockSignals(True)
        self.method.setCurrentIndex(self.method.findData(config.method))
        if (presets := presets_of(config.method)) != [self.preset.itemText(i) for i in range(self.preset.count())]:
            before = self.preset.currentText()
            self.preset.clear()
            self.preset.addItems(presets)
            self.preset.setCurrentIndex(max(0, self.preset.findText(before)))
        for combo in (self.method, self.preset):
            combo.blockSignals(False)
        if self.pairs.data != config.data:
            self.pairs.ask_for(config.data)
            for control in (self.foreground, self.ignore_label):  # what is said of pairs alone
                self.settings.layout().setRowVisible(control, config.data == "pairs")
            self.settings.layout().setRowVisible(self.condition, config.data in BY_CLASS)

    def _change_method(self, _: int) -> None:
        """The settings of another method, of the preset of this name if it has one."""
        presets, name = presets_of(self.method.currentData()), self.preset.currentText()
        self._change_preset(name if name in presets else presets[0])
        self.order_tabs()

    def _change_preset(self, name: str) -> None:
        """The settings of another preset; what was said about the pairs stays."""
        config = self._preset(name)
        try:
            said = self.value().model_dump(include=set(ABOUT_PAIRS) & type(config).model_fields.keys())
            config = self._preset(name, said)
        except ValueError:  # what is in the form now, or both together, cannot be
            pass
        self._take(name, config)

    def _preset(self, name: str, said: dict[str, Any] | None = None) -> Config:
        """The settings of the preset of this name of the chosen method, and what is `said`."""
        return make_config(name, changes={**(said or {}), "method": self.method.currentData()})

    def _take_preset(self, name: str) -> None:
        self._take(name, self._preset(name))

    def _take(self, name: str, config: Config) -> None:
        self._fill(config)
        self.how_long.setCurrentIndex(TIME_OF.get(name, STEPS))

    def _load(self) -> None:
        if path := QFileDialog.getOpenFileName(self, "Settings", str(self.folder.value()), "Settings (*.json)")[0]:
            self.load_settings(Path(path))

    def load_settings(self, path: Path) -> None:
        """Show the settings in this JSON file; a run's config.json will do."""
        try:
            said = read_json_object(path)
            told = said["config"] if isinstance(said.get("config"), dict) else said
            self.set_value(make_config(self.preset.currentText(), changes=told))
        except (ValueError, OSError) as error:
            show_error(in_a_dock(str(error)))

    def _save(self) -> None:
        start = str(self.folder.value() / "settings.json")
        if path := QFileDialog.getSaveFileName(self, "Settings", start, "Settings (*.json)")[0]:
            self.save_settings(Path(path))

    def save_settings(self, path: Path) -> None:
        """Write the settings as JSON, as ``--config`` reads it."""
        try:
            with written_beside(path) as beside:
                beside.write_text(json.dumps(self.value().model_dump(mode="json"), indent=2), "utf8")
        except (ValueError, OSError) as error:
            show_error(in_a_dock(str(error)))

    def _name_edited(self, text: str) -> None:
        self._named = bool(text)

    def _follow_target(self, *_: Any) -> None:
        """Until the user names the model, it is called like what it predicts; and a target is asked about."""
        self.show_row(self.target_kind, self.pairs.has_targets)
        try:
            pairs = self.pairs.value()
        except ValueError:  # nothing is chosen yet
            return
        if not self._named:
            self.name.setText(pairs.name)
        with suppress(ValueError):  # what is in the form cannot be, which is said when it is used
            self._forget_remedies(pairs.targets)

    def open_sample(self) -> None:
        """Open the pair that comes with the plugin."""
        for data, named, kind in tissue():
            self.viewer.add_layer(Layer.create(data, named, kind))

    def _look(self) -> None:
        """Show what is chosen."""
        try:
            pairs = self.pairs.value()
        except ValueError:  # nothing is chosen yet
            pairs = None
        self.picture.look(pairs)

    def reset_choices(self, event: Any = None) -> None:
        """Offer the layers that there are now, or a sample."""
        super().reset_choices(event)
        for line in (self.pairs.source_axes, self.pairs.target_axes):
            line.refresh()
        self.sample.setVisible(not offered(self.viewer, (Image, Labels)))

    def _changed(self, *_: Any) -> None:
        self._show_time()
        self._looks.start()
        if self.job is None:
            self.check.look()

    def _show_time(self) -> None:
        try:
            config, minutes = self.value(), self.minutes()
            found, fitting = expected_phases(config, self.device.resolved()), ""
            if minutes is not None:
                judges = 60 * minutes * JUDGING if config.teaching_steps else 0.0
                learns, all_steps = 60 * minutes - judges, found[0]
                fitting = f" (about {learns / all_steps * config.steps:,.0f} steps)" if all_steps else ""
                found = learns, judges
            self.time.setText(in_phases(*found) + fitting)
        except ValueError:  # said when it is used
            self.time.setText("")

    # The check

    def _to_check(self) -> tuple[Learned, list[str]]:
        return self.pairs.value(), self._check_flags()

    def _check_flags(self) -> list[str]:
        config = self.value().model_copy(update={"steps": self._preset(self.preset.currentText()).steps})
        return [*self._read_as(), *self._recipe(Path(), config).flags]

    def _register_flags(self) -> list[str]:
        """How pairs are read where their targets are laid over their sources: always plane by plane."""
        said, kind = self._reading(), self.target_kind.currentData()
        words = ["--target-kind", kind] if kind != "auto" else []
        words += ["--z", said.z] if said.z == "channels" else []
        return words + ([] if said.ignore_label is None else ["--ignore-label", str(said.ignore_label)])

    def _remedy(self, remedy: dict[str, Any]) -> None:
        try:
            if remedy["swap"]:
                self.pairs.swap()
            before, changes = self._said_of_pairs(), remedy["changes"]
            self._set(changes)
            since = dict(self._remedied[1])
            for name in changes.keys() & before.keys():
                first, _ = since.get(name, (before[name], None))
                since[name] = first, changes[name]
            self._remedied = self.pairs.value().targets, since
        except ValueError as error:
            show_error(in_a_dock(str(error)))
        self._changed()

    def _forget_remedies(self, targets: set[object]) -> None:
        """What was found of targets that are no longer learned from is not said of these, if nobody said it since."""
        of, since = self._remedied
        if since and not of & targets:
            now = self._said_of_pairs()
            self._remedied = set(), {}
            self._set({name: was for name, (was, said) in since.items() if now[name] == said})

    def _said_of_pairs(self) -> dict[str, Any]:
        """What is said about the pairs, by the names of settings."""
        known = self.value().model_dump(include=set(ABOUT_PAIRS))
        return known | self._reading().model_dump(include=set(READING))

    def _set(self, changes: dict[str, Any]) -> None:
        """Show these settings, of the training or of how pairs are read, beside the others; a method with its own."""
        if (method := changes.get("method")) is not None:
            self.method.setCurrentIndex(self.method.findData(method))
        read = {**self._reading().model_dump(), **changes}
        others = {name: value for name, value in changes.items() if name not in READING}
        self._fill(make_config(kept=self.value().model_dump(), changes=others))
        self.foreground.setChecked(read["foreground"])
        self.ignore_label.setText("" if read["ignore_label"] is None else str(read["ignore_label"]))

    # The command

    def request(self) -> Request:
        """``train SOURCE TARGET --out RUN``."""
        pairs, read_as, recipe = self.pairs.value(), self._read_as(), self._recipe()

        def prepare(stopped: Callable[[], bool]) -> list[Any]:
            words = [*pairs.words(recipe.run / "data", stopped), *read_as]
            remember_model(recipe.run / "model.safetensors")  # listed as soon as it is there
            return recipe.command(words)

        beside = pairs.layers[0] if pairs.layers else None
        self.watch(recipe.run, recipe.config, self.device.resolved(), beside, recipe.minutes)
        return Request(prepare, pairs.layers)

    def begin(self, request: Request) -> None:
        """Look at the pairs with these settings, then train."""
        self.check.leave_to_others()
        self.picture.hide()  # what is learned is seen now
        pairs, flags = self.pairs.value(), self._recipe(Path()).flags
        words: list[Any] = []

        def check(stopped: Callable[[], bool]) -> list[Any]:
            words[:] = request.prepare(stopped)
            if pairs.n_bytes() > MOST_BYTES:  # the training itself refuses what it must
                self._then = None
                return words
            return ["check", *words[1 : words.index("--out")], *flags]

        self._then, self._unusable = Request(lambda _: words, request.layers), ""
        self.starting = "Looks at the images …"
        super().begin(Request(check, request.layers))

    def stop(self) -> None:
        """End in order what runs; a look at the pairs, of which nothing is kept, soon."""
        self._stop(STOP_S if self._then is not None else None)

    def hear(self, event: Event) -> None:
        """Show what was found, then how far it is and what it has learned."""
        if event["event"] == "result" and "remarks" in event:
            self.findings.show_report(event)
            self._unusable = in_a_dock(" ".join(event["unusable"]))
        else:
            super().hear(event)

    def finish(self, well: bool) -> None:
        """Train what was found usable; then offer the model."""
        then, self._then = self._then, None
        self.starting = Dock.starting
        if then is not None and well:
            super().begin(then)
        elif then is not None and self._unusable:
            self.discard_run()
            show_error(self._unusable)
            self.status.setText(self._unusable)
        else:
            if then is not None:  # it was not looked at to the end
                self.check.forget()
            super().finish(well)

    def _reading(self) -> PairSettings:
        """How the pairs are read."""
        ignored = self.ignore_label.text() if self.ignore_label.hasAcceptableInput() else None
        said = {"z": self.planes.currentText(), "foreground": self.foreground.isChecked(), "ignore_label": ignored}
        condition = self.condition.text() if self.pairs.data in BY_CLASS else ""
        if condition.strip().lower().endswith(".csv"):
            condition = str(Path(condition.strip()).expanduser())
        return PairSettings.model_validate(said | {"condition": condition if condition.strip() else None})

    def _read_as(self) -> list[str]:
        """Flags that say how the pairs are read."""
        said = self._reading()
        if self.pairs.data != "pairs":
            said = said.model_copy(update={"foreground": False, "ignore_label": None})
        words = [] if said.z == PairSettings().z else ["--z", said.z]
        words += ["--foreground"] if said.foreground else []
        words += ["--condition", said.condition] if said.condition else []
        return words + ([] if said.ignore_label is None else ["--ignore-label", str(said.ignore_label)])

    def _recipe(self, run: Path | None = None, config: Config | None = None) -> Recipe:
        folder = free_run(self.folder.value(), self.name.text()) if run is None else run
        return Recipe(folder, self.preset.currentText(), config or self.value(), self.device.value(), self.minutes())

    # Runs that were stopped

    def continue_run(self, run: UnfinishedRun) -> None:
        """Go on with this run, with its pairs and settings."""
        if self.job is not None:
            return
        try:
            config = run.config()
        except (ValueError, KeyError, OSError) as error:
            show_error(in_a_dock(str(error)))
            return
        self.set_value(config)
        self.check.leave_to_others()
        self.check.forget()
        self.name.setText(run.path.name)
        self._named = True
        self.watch(run.path, config, self.device.resolved(), self.source.value)
        device = self.device.value()
        super().begin(Request(lambda _: ["train", "--resume", run.path, "--device", device], ()))

    # As text

    def copy_command(self) -> None:
        """Put the command into the clipboard."""
        self._copy("command", lambda recipe, pairs: shell_line(recipe.command(pairs)))

    def copy_python(self) -> None:
        """Put a script that does the same into the clipboard."""
        self._copy("Python script", lambda recipe, pairs: recipe.script(pairs))

    def _copy(self, what: str, write: Callable[[Recipe, list[Any]], str]) -> None:
        """Write layers that have no file of their own, then copy what names them."""
        try:
            pairs, read_as, recipe = self.pairs.value(), self._read_as(), self._recipe()
        except (ValueError, OSError) as error:
            show_error(in_a_dock(str(error)))
            return

        def copied(text: str) -> None:
            QApplication.clipboard().setText(text)
            if self.job is None:
                self.status.setText(f"The {what} is in the clipboard.")

        def work() -> str:
            return write(recipe, [*pairs.words(recipe.run / "data"), *read_as])

        self.session.in_thread(self.token, work, copied, lambda error: show_error(in_a_dock(str(error))))


def presets_of(method: str) -> list[str]:
    """The presets of this method, the one for a first look before the others."""
    return sorted(METHODS[method].presets, key=lambda name: name != "fast")


def _button(text: str, tooltip: str, slot: Callable[[], object]) -> QPushButton:
    button = QPushButton(text)
    button.setToolTip(tooltip)
    button.clicked.connect(lambda *_: slot())
    return button


def _row(*controls: QWidget) -> QWidget:
    row = QWidget()
    layout = QHBoxLayout(row)
    layout.setContentsMargins(0, 0, 0, 0)
    for control in controls:
        layout.addWidget(control, 1)
    return row
