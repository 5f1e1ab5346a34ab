"""Older formats of the model file, as the present one."""

from typing import TypeVar

T = TypeVar("T")


def present_names(version: int, tensors: dict[str, T]) -> dict[str, T]:
    """What stands under the names of the format `version`, under the present names.

    Format 1 knew two networks, `generator.*` and `discriminator.*`; since 2 all are `networks.NAME.*`.
    """
    if version > 1:
        return tensors
    return {
        f"networks.{name}" if name.startswith(("generator.", "discriminator.")) else name: tensor
        for name, tensor in tensors.items()
    }
