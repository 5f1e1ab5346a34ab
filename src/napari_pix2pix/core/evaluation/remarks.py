"""What is to be said of pairs before a training, and what could be done about it."""

from dataclasses import dataclass, field
from typing import Any, Literal

Figures = dict[str, Any]
Level = Literal["unusable", "warning", "hint"]


@dataclass(frozen=True)
class Remedy:
    """What could be done about a remark.

    Parameters
    ----------
    label
        In a few words, as on a button.
    changes
        Of settings by the names of their fields, nested as in `Config`.
    swap
        Whether source and target are to change places.
    """

    label: str
    changes: dict[str, Any] = field(default_factory=dict)
    swap: bool = False


@dataclass(frozen=True)
class Remark:
    """What to know about pairs before a training.

    Parameters
    ----------
    text
        A sentence.
    short
        The same in a few words, for a window; empty: the sentence is short.
    level
        ``unusable``: they cannot be trained on; ``warning``: to be looked at; ``hint``: what suits them.
    remedies
        What could be done about it by settings.
    """

    text: str
    short: str = ""
    level: Level = "warning"
    remedies: tuple[Remedy, ...] = ()
