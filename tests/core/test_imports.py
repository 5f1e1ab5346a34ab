"""The floor is light and the core knows no window."""

import subprocess
import sys

import pytest

FLOOR = [
    "settings.config",
    "geometry.axes",
    "geometry.tiles",
    "encodings.normalization",
    "encodings.encoding",
    "engine.atomic",
]


def modules_after(statement: str) -> set[str]:
    code = f"{statement}; import sys; print(*sys.modules)"
    return set(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split())


@pytest.mark.parametrize("module", FLOOR)
def test_the_floor_does_not_import_torch(module: str) -> None:
    """Planning, forms and help stay fast."""
    assert not {"torch", "lightning_fabric"} & modules_after(f"import napari_pix2pix.core.{module}")


def test_who_predicts_does_not_wait_for_what_trains() -> None:
    """Lightning, and torch's compiler with it, take as long to import as half of torch."""
    loaded = modules_after(
        "from napari_pix2pix.core import load_model; "
        "import napari_pix2pix.commands.predict, napari_pix2pix.files.predicted"
    )
    assert "torch" in loaded
    assert not {"lightning_fabric", "torch._dynamo"} & loaded


def test_the_core_imports_neither_qt_nor_napari() -> None:
    """All of the headless API works where there is no screen."""
    loaded = modules_after("from napari_pix2pix import core; [getattr(core, name) for name in core.__all__]")
    assert "torch" in loaded
    assert not {"napari", "qtpy", "PyQt6", "PySide6", "magicgui", "tifffile", "zarr"} & loaded


def test_openmp_is_told_to_wait_passively() -> None:
    """Whoever comes through the core has the setting before torch is imported."""
    code = (
        "from napari_pix2pix import core; import os; print(os.environ['OMP_WAIT_POLICY'], os.environ['GOMP_SPINCOUNT'])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env={}).stdout
    assert found.split() == ["PASSIVE", "0"]
