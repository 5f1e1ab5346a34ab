"""Older formats of the model file, as the present one."""

from collections.abc import Mapping
from typing import Any, TypeVar

from napari_pix2pix.core.settings.config import Config

T = TypeVar("T")
FIRST = ("generator.", "discriminator.")
"""How names of tensors began in format 1."""


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


def first_content(content: Mapping[str, Any]) -> dict[str, Any]:
    """The present content as format 1 would have it, which knew one method and did not name it."""
    only = Config.model_fields["method"].default
    config = {name: value for name, value in content["config"].items() if (name, value) != ("method", only)}
    return {**content, "config": config}
