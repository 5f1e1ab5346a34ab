"""What a model file says of itself, read without its weights."""

import math
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np

from napari_pix2pix.core.encodings.domains import NO_DOMAINS, Domains
from napari_pix2pix.core.encodings.encoding import Encoding
from napari_pix2pix.core.encodings.source_view import SourceView
from napari_pix2pix.core.geometry.axes import AxesPlan
from napari_pix2pix.core.models.content import load_content
from napari_pix2pix.core.settings.pix2pix import Translation

KINDS = {"intensity": "grey values", "classes": "classes", "instances": "objects, one label each"}
UNPAIRED = ("swd",)
"""Figures that need no pairs, by which a model was chosen."""


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
    not_taught
        Why it could not be, if that was tried.
    directions
        The sides that the model makes, the usual one first.
    paired
        Whether it learned from pairs.
    domains
        The domains that it makes, if it is of several: images are their own source.
    translates
        Whether it makes images of others, and not from nothing.
    conditions
        The classes of pairs that it learned to tell.
    imported
        Whether it was trained elsewhere.
    exports
        Whether other programs can have it: it has a generator of ours, which no imported graph is.
    """

    encoding: Encoding
    view: SourceView
    channel_axis: str
    text: str
    expects_errors: bool = False
    not_taught: str = ""
    directions: tuple[str, ...] = ("target",)
    paired: bool = True
    domains: tuple[str, ...] = ()
    translates: bool = True
    conditions: Domains = NO_DOMAINS
    imported: bool = False
    exports: bool = True

    def bytes_of(self, plan: AxesPlan) -> int:
        """Of the prediction for a source of this plan."""
        pixels = math.prod(plan.length(axis) for axis in "TZYX")
        return pixels * self.encoding.n_channels * np.dtype(self.encoding.dtype_decoded).itemsize


def read_card(path: Path, to: str = "target") -> Card:
    """The card of the model in the file `path`, as it makes the side `to`; read again only where the file has changed.

    Raises
    ------
    ValueError
        If it is no model of ours.
    """
    try:
        told = path.stat()
        return _read(path, to, told.st_mtime_ns, told.st_size)
    except OSError as error:
        raise ValueError(f"A model must be a file written by Train; {path} is not.") from error


@lru_cache(maxsize=64)
def _read(path: Path, to: str, _changed: int, _size: int) -> Card:
    _, content = load_content(path)
    config, told = content.config, content.provenance
    encoding, view, channel_axis = content.target_encoding, content.source_view, content.channel_axis
    back = to != content.directions[0]
    if back and content.target_view is not None:
        encoding, view, channel_axis = content.source_encoding, content.target_view, content.source_channel_axis
    step = told.step if "step" in told.model_fields_set else config.steps
    made = f"makes images{' with their targets' * content.joint} from nothing"
    nothing = config.data == "images"
    imported = "imported" in (told.model_extra or {})
    parts = [
        made if nothing else f"predicts {KINDS[encoding.kind]}",
        "imported" if imported else f"trained for {step} steps",
    ]
    if figures := told.figures.get("validation"):
        name = next((name for name in UNPAIRED if name in figures), next(iter(figures)))
        value = figures[name]
        parts.append(f"{name} {value:.3g} on {'held-out images' if name in UNPAIRED else 'validation pairs'}")
    if len({stain.pairs for stain in told.stains}) > 1:
        first, *others = told.stains
        parts.append(", ".join([f"{first.name} {first.pairs} pairs", *(f"{one.name} {one.pairs}" for one in others)]))
    if content.conditions.sets:
        parts.append(f"of {', '.join(content.conditions.names)}")
    if not config.scores and not nothing:
        parts.append("gives no patch scores")
    not_taught = (told.trust.not_taught if told.trust else None) or ""
    text, taught = " · ".join(parts), content.trust is not None and not back
    return Card(
        encoding,
        view,
        channel_axis,
        text,
        taught,
        not_taught,
        content.directions,
        config.data == "pairs",
        content.domains.names,
        not nothing,
        content.conditions,
        imported,
        isinstance(config, Translation),
    )
