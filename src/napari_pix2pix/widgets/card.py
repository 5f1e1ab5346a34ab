"""What a model file says of itself, read without its weights."""

import json
import math
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from safetensors import SafetensorError, safe_open

from napari_pix2pix.core.encodings.encoding import Encoding
from napari_pix2pix.core.encodings.source_view import SourceView
from napari_pix2pix.core.geometry.axes import AxesPlan
from napari_pix2pix.core.settings.config import Config, validated

KINDS = {"intensity": "grey values", "classes": "classes", "instances": "objects, one label each"}


class Card(NamedTuple):
    """A model in short.

    Parameters
    ----------
    encoding
        Of its targets.
    view
        How it takes frames from a source.
    channel_axis
        Of its targets: ``"C"``, ``"S"`` (RGB) or ``""``.
    text
        A line for people.
    expects_errors
        Whether it was taught how far its predictions can be trusted.
    """

    encoding: Encoding
    view: SourceView
    channel_axis: str
    text: str
    expects_errors: bool = False

    def bytes_of(self, plan: AxesPlan) -> int:
        """Of the prediction for a source of this plan."""
        pixels = math.prod(plan.length(axis) for axis in "TZYX")
        return pixels * self.encoding.n_channels * np.dtype(self.encoding.dtype_decoded).itemsize


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
        encoding, view = (
            Encoding.model_validate(said["target_encoding"]),
            SourceView.model_validate(said["source_view"]),
        )
        config, provenance = validated(Config, said["config"]), said.get("provenance", {})
        step = provenance.get("step", config.steps)
        figures = provenance.get("figures", {}).get("validation", {})
    except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
        raise ValueError(f"A model must be a file written by Train; {path} is not.") from error
    parts = [f"predicts {KINDS[encoding.kind]}", f"trained for {step} steps"]
    if figures:
        name, value = next(iter(figures.items()))
        parts.append(f"{name} {value:.3g} on validation pairs")
    if not config.scores:
        parts.append("gives no patch scores")
    return Card(encoding, view, str(said.get("channel_axis", "")), " · ".join(parts), "trust" in said)
