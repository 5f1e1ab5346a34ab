"""A home of its own for every test, a small model, and a viewer with docks whose child ends with the test."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from napari_pix2pix.core.geometry.axes import AxesPlan
from napari_pix2pix.files.stacks import write_stack
from small import SMALL_FLAGS, blobs


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No test touches the user's own runs, cache or settings."""
    for name, folder in (("HOME", ""), ("XDG_CONFIG_HOME", "config"), ("XDG_CACHE_HOME", "cache")):
        monkeypatch.setenv(name, str(tmp_path / "home" / folder))
    if find_spec("napari"):
        import napari.settings

        monkeypatch.setattr(napari.settings, "_CFG_PATH", str(tmp_path / "home" / "settings.yaml"))
        napari.settings._clear_plugin_settings_cache()
    return tmp_path / "home"


def write_image(path: Path, image: np.ndarray, axes: str = "YX") -> Path:
    plan = AxesPlan(axes, image.shape)
    write_stack(path, plan, image.dtype, (plan.take(image, i) for i in range(plan.n_frames)))
    return path


@pytest.fixture(scope="session")
def pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Files of a source and its labels."""
    folder = tmp_path_factory.mktemp("pair")
    source, labels = blobs()
    return write_image(folder / "source.tif", source), write_image(folder / "labels.tif", labels)


@pytest.fixture(scope="session")
def small_model(pair: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of labels, hardly trained."""
    run = tmp_path_factory.mktemp("run") / "blobs"
    words = [sys.executable, "-m", "napari_pix2pix", "train", *map(str, pair), "--out", str(run), *SMALL_FLAGS]
    subprocess.run(words, check=True, capture_output=True)
    return run / "model.safetensors"


@pytest.fixture
def notes(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """What napari's notifications say."""
    from napari.utils.notifications import notification_manager

    said: list[str] = []

    def hear(notification: object) -> None:
        said.append(str(notification.message))  # type: ignore[attr-defined]

    notification_manager.notification_ready.connect(hear)
    yield said
    notification_manager.notification_ready.disconnect(hear)


@pytest.fixture
def until(qtbot) -> Callable[..., None]:
    """Wait, with the window alive, until a condition holds."""
    return lambda condition, seconds=60: qtbot.waitUntil(condition, timeout=int(seconds * 1000))


def opened(viewer, dock_class):
    """The dock, in the viewer's window."""
    dock = dock_class(viewer)
    viewer.window.add_dock_widget(dock, name=dock_class.__name__)
    return dock
