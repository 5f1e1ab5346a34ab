"""What is in a dock's form, from one opening to the next."""

import json
from collections.abc import Mapping
from contextlib import suppress
from functools import partial
from typing import Any

from qtpy.QtWidgets import QCheckBox, QComboBox, QSpinBox, QWidget

from napari_pix2pix.core.engine.atomic import written_beside
from napari_pix2pix.widgets.places import settings_file

FILE = "forms.json"


def remember(dock: str, controls: Mapping[str, QWidget]) -> None:
    """Fill in what was there last, in this order, and keep what the user changes from now on.

    Parameters
    ----------
    dock
        Whose form.
    controls
        By name: lists, ticks and numbers.
    """
    said = _said().get(dock, {})
    for name, control in controls.items():
        if name in said:
            _fill(control, said[name])
        by_user = {QComboBox: "activated", QCheckBox: "clicked", QSpinBox: "editingFinished"}
        signal = next(signal for kind, signal in by_user.items() if isinstance(control, kind))
        getattr(control, signal).connect(partial(keep, dock, controls))


def keep(dock: str, controls: Mapping[str, QWidget], *_: object) -> None:
    """Write down what is in these controls now."""
    said = _said()
    said[dock] = {name: _value(control) for name, control in controls.items()}
    with suppress(OSError), written_beside(settings_file(FILE)) as beside:
        beside.write_text(json.dumps(said, indent=1), "utf8")


def _value(control: QWidget) -> Any:
    if isinstance(control, QComboBox):
        return control.currentText() if control.currentData() is None else control.currentData()
    return control.isChecked() if isinstance(control, QCheckBox) else control.value()


def _fill(control: QWidget, value: Any) -> None:
    """What cannot be there any more is left as it is."""
    if isinstance(control, QComboBox):
        found = [i for i in range(control.count()) if value in (control.itemData(i), control.itemText(i))]
        control.setCurrentIndex(found[0] if found else control.currentIndex())
    elif isinstance(control, QCheckBox) and isinstance(value, bool):
        control.setChecked(value)
    elif isinstance(control, QSpinBox) and isinstance(value, int) and not isinstance(value, bool):
        control.setValue(value)


def _said() -> dict[str, Any]:
    try:
        found = json.loads(settings_file(FILE).read_text("utf8"))
    except (OSError, ValueError):
        return {}
    return {name: form for name, form in found.items() if isinstance(form, dict)} if isinstance(found, dict) else {}
