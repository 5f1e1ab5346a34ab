"""What `check` finds, in words, with what could be done about it a click away."""

from typing import Any

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QFrame, QHBoxLayout, QLabel, QPushButton, QVBoxLayout, QWidget

from napari_pix2pix.widgets.bridge import Event
from napari_pix2pix.widgets.flags import as_plain, in_a_dock
from napari_pix2pix.widgets.glossary import with_words

MARKS = {"unusable": "#e0483e", "warning": "#d98200", "hint": "#3b8bd0"}
"""Colours that are seen on dark and on light."""


class CheckPanel(QFrame):
    """A line about the pairs and one for each remark, with its remedies.

    Signals
    -------
    remedied(dict)
        A remedy is chosen, as of `core.check`: ``label``, ``changes`` of settings, ``swap``.
    asked()
        Pairs that are not checked by themselves are to be.
    """

    remedied = Signal(object)
    asked = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.setToolTip("What a look at the pairs finds, before anything runs")
        self.texts: list[str] = []
        self.buttons: list[QPushButton] = []
        self._rows: list[QWidget] = []
        self._layout = QVBoxLayout(self)
        self._layout.setContentsMargins(0, 0, 0, 0)
        self._layout.setSpacing(2)
        self.hide()

    def clear(self) -> None:
        """Show nothing."""
        for row in self._rows:
            self._layout.removeWidget(row)
            row.hide()
            row.deleteLater()
        self._rows, self.texts, self.buttons = [], [], []
        self.hide()

    def say(self, text: str) -> None:
        """Show this line only."""
        self.clear()
        self._add(text)

    def offer(self, text: str) -> None:
        """Show this line, and a button that asks for a check."""
        self.clear()
        button = QPushButton("Check")
        button.setToolTip("Read all images once, and say what is found")
        button.clicked.connect(self.asked)
        self._add(text, [button])

    def show_report(self, report: Event) -> None:
        """Show what was found.

        Parameters
        ----------
        report
            As of `core.check`.
        """
        self.clear()
        self._add(in_short(report))
        for own in report.get("stains", ()):
            told = report["facts"][f"stain {own['name']}"]
            self._add(f"{own['name']}: {told}")
        order = list(MARKS)
        for remark in sorted(report["remarks"], key=lambda remark: order.index(remark["level"])):
            buttons = [self._remedy(remedy) for remedy in remark["remedies"]]
            short, text = (in_a_dock(remark[name]) for name in ("short", "text"))
            self._add(short or text, buttons, remark["level"], text)

    def _remedy(self, remedy: dict[str, Any]) -> QPushButton:
        button = QPushButton(remedy["label"])
        settings = ", ".join(_told(remedy["changes"])) or "source and target change places"
        button.setToolTip(f"Sets {settings}" if remedy["changes"] else settings.capitalize())
        button.clicked.connect(lambda: self.remedied.emit(remedy))
        return button

    def _add(
        self, text: str, buttons: list[QPushButton] | None = None, level: str | None = None, tooltip: str = ""
    ) -> None:
        row = QWidget()
        row.setToolTip(as_plain(with_words(tooltip, text)))
        label = QLabel()
        label.setWordWrap(True)
        mark = f'<span style="color: {MARKS[level]}">■</span> ' if level else ""
        label.setText(mark + text.replace("<", "&lt;"))
        layout = QHBoxLayout(row)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(label, 1)
        for button in buttons or ():
            layout.addWidget(button)
        self._layout.addWidget(row)
        self._rows.append(row)
        self.texts.append(text)
        self.buttons += buttons or []
        self.show()


def in_short(report: Event) -> str:
    """``2 pairs, 512×512, uint16 → instances (45 objects)``.

    Parameters
    ----------
    report
        As of `core.check`.
    """
    if "n_pairs" not in report:
        return _of_sides(report)
    pairs, frames = report["n_pairs"], report["n_frames"]
    counted = f"{pairs} pair{'s' if pairs > 1 else ''}" + (f", {frames} frames" if frames > pairs else "")
    sizes = dict.fromkeys("×".join(map(str, report[name])) for name in ("smallest", "largest"))
    source, target = report["source"], report["target"]
    channels = f", {source['channels']} channels" if source["channels"] > 1 else ""
    kind = {"intensity": f"grey values, {'/'.join(target['dtypes'])}", "classes": "classes"}.get(
        target["kind"], f"objects ({target.get('n_labels', 0)})"
    )
    if target["kind"] == "classes" and target.get("classes"):
        kind = f"classes {', '.join(map(str, target['classes']))}"
    return f"{counted}, {' to '.join(sizes)}, {'/'.join(source['dtypes'])}{channels} → {kind}"


def _of_sides(report: Event) -> str:
    """``source: 3 frames, uint16 · target: 5 frames, uint8, objects``; of domains by their names."""
    sides = report.get("domains") or {name: report[name] for name in ("source", "target", "image") if name in report}
    told = []
    for name, figures in sides.items():
        frames = figures["n_frames"]
        kind = {"classes": ", classes", "instances": ", objects"}.get(figures["kind"], "")
        told.append(f"{name}: {frames} frame{'s' if frames > 1 else ''}, {'/'.join(figures['dtypes'])}{kind}")
    return " · ".join(told)


def _told(changes: dict[str, Any], prefix: str = "") -> list[str]:
    told = []
    for name, value in changes.items():
        nested = isinstance(value, dict)
        told += _told(value, f"{prefix}{name}.") if nested else [f"{prefix}{name} to {value}"]
    return told
