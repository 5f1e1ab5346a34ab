"""What a model file says of itself, read without its weights."""

import json
from pathlib import Path
from typing import Any, NamedTuple

from safetensors import SafetensorError, safe_open

KINDS = {"intensity": "grey values", "classes": "classes", "instances": "objects, one label each"}


class Card(NamedTuple):
    """A model in short.

    Parameters
    ----------
    kind
        Of its targets: ``intensity``, ``classes`` or ``instances``.
    text
        A line for people.
    """

    kind: str
    text: str

    @property
    def labels(self) -> bool:
        """Whether it predicts labels."""
        return self.kind != "intensity"


def read_card(path: Path) -> Card:
    """The card of the model in the file `path`.

    Raises
    ------
    ValueError
        If it is no model of ours.
    """
    try:
        with safe_open(path, "numpy") as file:
            said: dict[str, Any] = json.loads((file.metadata() or {})["napari_pix2pix"])
        kind, config, provenance = said["target_encoding"]["kind"], said["config"], said.get("provenance", {})
        step = provenance.get("step", config["steps"])
        figures = provenance.get("figures", {}).get("validation", {})
    except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
        raise ValueError(f"A model must be a file written by Train; {path} is not.") from error
    parts = [f"predicts {KINDS.get(kind, kind)}", f"trained for {step} steps"]
    if figures:
        name, value = next(iter(figures.items()))
        parts.append(f"{name} {value:.3g} on validation pairs")
    if not config["gan_weight"]:
        parts.append("gives no patch scores")
    return Card(kind, " · ".join(parts))
