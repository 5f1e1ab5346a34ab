"""Packages that not every installation has, imported by name when they are needed, and kept from telling of it."""

import os
from importlib import import_module
from types import ModuleType

SILENT = "ORT_DISABLE_TELEMETRY"
"""Unless this is set before it is imported, onnxruntime reports its use to its makers; nothing is sent from here."""


def needed(*names: str) -> tuple[ModuleType, ...]:
    """These modules of packages that only models of other programs need; none of them reports what it is used for.

    Raises
    ------
    ValueError
        If one is not installed.
    """
    os.environ.setdefault(SILENT, "1")
    try:
        return tuple(import_module(name) for name in names)
    except ImportError as error:
        raise ValueError(
            f"For models of other programs further packages must be installed; {error.name} is not. Give: pip install "
            "'napari-pix2pix[export]'."
        ) from error
