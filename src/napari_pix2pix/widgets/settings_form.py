"""A form over settings: one control per field of a frozen model, its docstring as tooltip, its limits enforced."""

from collections.abc import Callable, Collection
from typing import Any, Literal, NamedTuple, get_args, get_origin

from pydantic.fields import FieldInfo
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QCheckBox, QComboBox, QFormLayout, QLabel, QLineEdit, QSpinBox, QWidget

from napari_pix2pix.core.settings.config import Settings, validated
from napari_pix2pix.widgets.flags import label
from napari_pix2pix.widgets.glossary import with_words

LARGEST = 2**31 - 1


class _Field(NamedTuple):
    """A control with how to read and to fill it."""

    control: QWidget
    value: Callable[[], Any]
    set_value: Callable[[Any], None]
    changed: Any


class _Rows(NamedTuple):
    """Of one kind of settings: the controls by where their field is, and what is written above parts."""

    fields: dict[tuple[str, ...], _Field]
    titles: list[QLabel]


class SettingsForm(QWidget):
    """The fields of settings except those in `without`, nested ones in titled parts.

    `set_value(c)` then `value() == c`: also what it does not show is kept. Settings of another kind have other fields.

    Parameters
    ----------
    start
        The settings to begin with.
    without
        Names of fields that are shown elsewhere.

    Signals
    -------
    changed()
        Something else is in the form.
    """

    changed = Signal()

    def __init__(self, start: Settings, without: tuple[str, ...] = ()) -> None:
        super().__init__()
        self._settings, self._without = start, without
        self._layout = QFormLayout(self)
        self._layout.setContentsMargins(0, 0, 0, 0)
        self._of: dict[type[Settings], _Rows] = {}
        self._hidden: set[str] = set()
        self.set_value(start)

    @property
    def _fields(self) -> dict[tuple[str, ...], _Field]:
        return self._of[type(self._settings)].fields

    def _build(self, start: Settings) -> None:
        """A row for each field; those of other kinds of settings are kept."""
        self._of[type(start)] = rows = _Rows({}, [])
        plain = [name for name, value in start if not isinstance(value, Settings)]
        nested = [name for name, value in start if isinstance(value, Settings)]
        for name in plain:
            if name not in self._without:
                self._add(rows, (name,), type(start).model_fields[name])
        for name in nested:
            part: Settings = getattr(start, name)
            rows.titles.append(QLabel(f"<b>{label(name)}</b>"))
            self._layout.addRow(rows.titles[-1])
            for inner, described in type(part).model_fields.items():
                self._add(rows, (name, inner), described)

    def value(self) -> Settings:
        """The settings as they are in the form.

        Raises
        ------
        ValueError
            If a value is out of range, or two do not fit: one sentence.
        """
        values = self._settings.model_dump()
        for path, field in self._fields.items():
            place = values
            for name in path[:-1]:
                place = place[name]
            place[path[-1]] = field.value()
        return validated(type(self._settings), values)

    def set_value(self, settings: Settings) -> None:
        """Show these settings."""
        before, self._settings = self._settings, settings
        if type(settings) not in self._of:
            self._build(settings)
            self._show_all()
        elif type(settings) is not type(before):
            self._show_all()
        for path, field in self._fields.items():
            value: Any = settings
            for name in path:
                value = getattr(value, name)
            field.set_value(value)

    def show_settings(self, names: Collection[str], shown: bool) -> None:
        """Show or hide those of these names, of whatever part they are; what is hidden is kept."""
        self._hidden = self._hidden - set(names) if shown else self._hidden | set(names)
        self._show_all()

    def _show_all(self) -> None:
        for kind, rows in self._of.items():
            present = kind is type(self._settings)
            for title in rows.titles:
                self._layout.setRowVisible(title, present)
            for path, field in rows.fields.items():
                self._layout.setRowVisible(field.control, present and path[-1] not in self._hidden)

    def _add(self, rows: _Rows, path: tuple[str, ...], described: FieldInfo) -> None:
        field = _field(described)
        tooltip = with_words(described.description or "", label(path[-1]))
        field.control.setToolTip(tooltip)
        field.control.setAccessibleName(label(".".join(path)))
        named = QLabel(label(path[-1]))
        named.setToolTip(tooltip)
        named.setBuddy(field.control)
        self._layout.addRow(named, field.control)
        field.changed.connect(lambda *_: self.changed.emit())
        rows.fields[path] = field


def _field(described: FieldInfo) -> _Field:
    kind = described.annotation
    if kind is bool:
        box = QCheckBox()
        return _Field(box, box.isChecked, box.setChecked, box.toggled)
    if get_origin(kind) is Literal:
        combo = QComboBox()
        combo.addItems([str(choice) for choice in get_args(kind)])
        return _Field(combo, combo.currentText, combo.setCurrentText, combo.currentTextChanged)
    low, high = _limits(described)
    if kind is int and high <= LARGEST:
        spin = QSpinBox()
        spin.setRange(low, high)
        return _Field(spin, spin.value, spin.setValue, spin.valueChanged)
    line = QLineEdit()
    if kind is int:
        return _Field(line, lambda: _whole(line.text()), lambda value: line.setText(str(value)), line.editingFinished)
    if kind is str:
        return _Field(line, line.text, line.setText, line.editingFinished)
    return _Field(line, lambda: _read(line.text()), lambda value: line.setText(_written(value)), line.editingFinished)


def _limits(described: FieldInfo) -> tuple[int, int]:
    low, high = -LARGEST, LARGEST
    for limit in described.metadata:
        low = getattr(limit, "ge", low)
        low = getattr(limit, "gt", low - 1) + 1
        high = getattr(limit, "le", high)
        high = getattr(limit, "lt", high + 1) - 1
    return low, high


def _whole(text: str) -> Any:
    return int(text) if text.strip().isdecimal() else text  # pydantic says it better


def _written(value: Any) -> str:
    """A number, several with commas between, a word, or nothing."""
    if value is None or isinstance(value, str):
        return value or ""
    return ", ".join(repr(part) for part in value) if isinstance(value, tuple) else repr(value)


def _read(text: str) -> Any:
    if not text.strip():
        return None
    try:
        numbers = [float(part) for part in text.split(",")]
    except ValueError:
        return text  # pydantic says it better
    return numbers if len(numbers) > 1 else numbers[0]
