"""Settings as flags of the command line, and other words for people."""

import html
import re

from pydantic import BaseModel

from napari_pix2pix.core.settings.config import METHODS
from napari_pix2pix.core.settings.naming import as_flag, named

IN_DOCKS = {
    "target_kind": "Target is",
    "out": "Folder",
    "trust": "Expected error beside it",
    "trust_risk": "Risk",
    "allow_seen": "Also what made the model",
    "from": "Model",
    "valid": "Known",
    "foreground": "foreground",
    "ignore_label": "ignore label",
    "condition": "condition",
    "z": "planes (Z)",
    "with_old_pairs": "Mix in the old pairs",
}
"""What docks call settings by another name."""
SETTINGS = {name for settings in METHODS.values() for name in settings.model_fields}
"""The settings of trainings, which docks call as they are called."""


TEACHING = {
    "Give it to fit-trust with pairs that it has not seen": "A training on several images leaves some to calibrate on",
    "Give it to fit-trust for more": "Train again with more",
    "Give it to fit-trust again": "Train again",
} | dict.fromkeys(("Give it to fit-trust", "Teach it with fit-trust"), "Press “Teach it to judge”")
"""What the command line says of a command that is a button here, or that no dock has."""


def changed_flags(preset: BaseModel, config: BaseModel, prefix: str = "") -> list[str]:
    """The flags that turn the settings of `preset` into `config`."""
    words: list[str] = []
    for name, value in config:
        old, flag = getattr(preset, name), f"{prefix}{name.replace('_', '-')}"
        if isinstance(value, BaseModel):
            words += changed_flags(old, value, f"{flag}.")
        elif value == old or value is None:
            continue
        elif isinstance(value, tuple):
            words += [f"--{flag}", *map(str, value)]
        else:
            words.append(f"--{flag}={str(value).lower() if isinstance(value, bool) else value}")
    return words


def in_a_dock(text: str) -> str:
    """A sentence with the names that controls have: `` `l1_weight` 10 `` is ``“L1 weight” 10``.

    What no dock has is called by its flag.
    """
    for words, button in TEACHING.items():
        text = text.replace(words, button)
    return named(text, _in_docks)


def _in_docks(name: str) -> str:
    shown = IN_DOCKS.get(name)
    if shown is None and name.partition(".")[0] in SETTINGS:
        shown = label(name)
    return as_flag(name) if shown is None else f"“{shown}”"


def label(name: str) -> str:
    """What the control of a setting is called: ``discriminator.n_layers`` is ``discriminator: n layers``."""
    return name.replace(".", ": ").replace("_", " ").replace("l1", "L1").replace("gan", "GAN")


def as_plain(text: str) -> str:
    """A tooltip that shows this text as it is, also what looks like HTML, as a stranger's file name may."""
    return f"<qt>{html.escape(text)}</qt>" if text else ""


def time_left(seconds: float | None) -> str:
    """`` · 1 min 20 s left``, or nothing where it is not known."""
    if seconds is None:
        return ""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    said = f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s" if minutes else f"{rest} s"
    return f" · {said} left"


def spoken(name: str) -> str:
    """The name of a loss or a figure as people say it."""
    said = name.replace("_", " ").replace("l1", "L1").replace("l2", "L2").replace(" f1", " F1")
    return re.sub(r" iou(\d)0$", r" at IoU 0.\1", said)


def losses_and_figures(losses: dict[str, float], figures: dict[str, float]) -> str:
    """``L1 0.45 · generator 2.02``, and the figures on validation pairs where there are any, on a line of their own."""
    lines = [("", losses), ("validation: ", figures)]
    return "\n".join(
        start + " · ".join(f"{spoken(name)} {value:.3g}" for name, value in row.items()) for start, row in lines if row
    )
