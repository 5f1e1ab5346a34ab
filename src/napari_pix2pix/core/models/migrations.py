"""Older formats of the model file, as the present one."""

from collections.abc import Mapping
from typing import Any, TypeVar

T = TypeVar("T")
FIRST = ("generator.", "discriminator.")
"""How names of tensors began in format 1."""
LATER: dict[str, dict[str, Any]] = {
    "config": {
        "compile": False,
        "method": "pix2pix",
        "condition_dropout": 0.1,
        "empty_channels": "ask",
        "generator": {"upsampling": "transposed"},
        "discriminator": {"layers": ""},
        "label_loss": "l1",
        "gan_share": 1.0,
    },
    "source_encoding": {"partial": False},
    "target_encoding": {"partial": False},
}
"""Of each part what format 1 did not know, as it was then."""


def present_names(version: int, tensors: dict[str, T]) -> dict[str, T]:
    """What stands under the names of the format `version`, under the present names.

    Format 1 knew two networks, `generator.*` and `discriminator.*`; since 2 all are `networks.NAME.*`.
    """
    if version > 1:
        return tensors
    return {f"networks.{name}" if name.startswith(FIRST) else name: tensor for name, tensor in tensors.items()}


def first_names(tensors: Mapping[str, T]) -> dict[str, T]:
    """What stands under the present names, under those of format 1 where it had some."""
    short = {name: name.removeprefix("networks.") for name in tensors}
    return {short[name] if short[name].startswith(FIRST) else name: tensor for name, tensor in tensors.items()}


def kept_config(config: Any) -> Any:
    """A config as a model or a run has kept it, with what it could not name as it was then; what is none stays."""
    if not isinstance(config, dict) or config.get("method", "pix2pix") != "pix2pix":
        return config
    return {"label_loss": LATER["config"]["label_loss"], **config}


def first_content(content: Mapping[str, Any]) -> dict[str, Any]:
    """The present content as format 1 would have it: what came later is not named where it is as it was then."""
    return _without(content, LATER)


def _without(said: Mapping[str, Any], later: Mapping[str, Any]) -> dict[str, Any]:
    """`said` without what holds what it does in `later`, part by part."""
    parts = {name: part for name, part in later.items() if isinstance(part, dict) and name in said}
    kept = {name: value for name, value in said.items() if name in parts or name not in later or value != later[name]}
    return kept | {name: _without(said[name], part) for name, part in parts.items()}
