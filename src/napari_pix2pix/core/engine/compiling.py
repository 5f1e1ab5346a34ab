"""Networks compiled for the steps of a training, by torch's inductor."""

from typing import Any, cast

import torch
from torch import nn

HOW: dict[str, Any] = {"dynamic": False, "options": {"fallback_random": True}}
"""For the shapes of a training alone; dropout draws the numbers that it draws in networks that are not compiled."""


def compiled(network: nn.Module) -> nn.Module:
    """What computes as `network` does, with its very weights; its first call, and that after a change, compiles it.

    `network` itself stays as it is, for what is not a step: predictions have other shapes.
    """
    return cast(nn.Module, torch.compile(network, **HOW))


def require_compiler(device: torch.device) -> None:
    """Raise a ValueError if nothing can be compiled for this device."""
    try:
        torch.compile(lambda values: values + 1, **HOW)(torch.zeros(1, device=device))
    except RuntimeError as error:
        found = str(error).strip().splitlines()
        raise ValueError(
            "A machine on which networks are compiled must have a C++ compiler and Python's headers; compiling failed "
            f"here with: {found[0] if found else type(error).__name__} Install them, or set `compile` false."
        ) from error
