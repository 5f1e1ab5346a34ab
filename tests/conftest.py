"""What holds for every test: windows only where there is a display, and nothing left behind."""

import gc
import os
import time
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import hypothesis
import psutil
import pytest

import ensure_display
from heeded import heed_signals

# The same examples in every run, and no verdict on a busy machine's speed.
hypothesis.settings.register_profile("repeatable", derandomize=True, deadline=None)
hypothesis.settings.load_profile("repeatable")

END_S = 8.0
"""The docks promise that their child has ended 5 s after the last of them; a busy machine takes longer."""
GRACE_S = 3.0
"""After an error zarr's other reads of a slice end on threads of their own; what is open after this is left open."""

WITHOUT = " and ".join(name for name in ("napari", "pytestqt") if find_spec(name) is None)
QT_LOADS = not WITHOUT and not ensure_display.missing_libraries()


def _why_no_window() -> str:
    """Why no window can be opened here; empty where it can (pytest-xvfb starts Xvfb where it is installed)."""
    if WITHOUT:
        return f"{WITHOUT} not installed"
    return f"no display; as root: {ensure_display.APT_LINE}" if ensure_display.missing_packages() else ""


NO_WINDOW = _why_no_window()
MAY_SKIP = bool(WITHOUT) or os.environ.get("CI") != "true"

if QT_LOADS:  # napari's fixtures; pyproject.toml keeps pytest from loading them where napari cannot be imported
    pytest_plugins = ["napari.utils._testsupport"]

heed_signals()

# These import Qt at their top.
collect_ignore = ["widgets"] if MAY_SKIP and not QT_LOADS else []


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if collect_ignore:
        terminalreporter.write_line(f"tests/widgets was left out: {NO_WINDOW}")


def pytest_addoption(pluginmanager: pytest.PytestPluginManager) -> None:
    if not QT_LOADS:  # pytest-qt imports Qt as soon as it is configured, which would stop the headless tests, too
        pluginmanager.set_blocked("pytest-qt")


def pytest_runtest_setup(item: pytest.Item) -> None:
    if NO_WINDOW and item.get_closest_marker("gui"):
        if MAY_SKIP:
            pytest.skip(NO_WINDOW)
        pytest.fail(NO_WINDOW, pytrace=False)


@pytest.fixture(autouse=True)
def _nothing_left_behind(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Fail a test that leaves a child process running or a temporary file open."""
    process = psutil.Process()
    children_before = set(process.children())
    temporary = tmp_path_factory.getbasetemp()

    def open_files() -> list[str]:
        if os.name != "posix":  # slow on Windows, where an open file could not be removed anyway
            return []
        return [file.path for file in process.open_files() if Path(file.path).is_relative_to(temporary)]

    files_before = open_files()
    yield

    children = [child for child in process.children() if child not in children_before and not _is_helper(child)]
    _, left = psutil.wait_procs(children, timeout=END_S)
    named = [" ".join(_command(child)) or str(child) for child in left]
    for child in left:
        child.kill()
    psutil.wait_procs(left, timeout=3)
    if named:
        pytest.fail(f"the test left child processes running: {named}", pytrace=False)

    deadline = time.monotonic() + GRACE_S
    while set(open_files()) - set(files_before) and time.monotonic() < deadline:
        gc.collect()  # what only a reference cycle holds is not left open
        time.sleep(0.05)
    if files := sorted(set(open_files()) - set(files_before)):
        pytest.fail(f"the test left files open: {files}", pytrace=False)


def _command(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:  # it has just ended
        return []


def _is_helper(process: psutil.Process) -> bool:
    """Whether it is Python's own helper for multiprocessing, which lives as long as its parent by design."""
    return any("resource_tracker" in part or "forkserver" in part for part in _command(process))
