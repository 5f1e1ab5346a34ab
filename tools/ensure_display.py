"""Make sure that window tests have a display, or say which one line would give them one; likewise, a browser.

A napari window needs OpenGL, so Qt's "offscreen" platform is not enough; pytest-xvfb starts Xvfb by itself where it
is installed. tox runs this before the tests: root on a system with apt gets the missing packages, anybody else gets
the line. With ``--browser``, for the slow tests, a Chromium is made sure of, too: they open reports in it. The exit
code is 1 only where tests must not be skipped (``CI=true``) and something is still missing.
"""

import ctypes
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from functools import cache

# What Qt loads beyond what a bare Debian or Ubuntu has. The wheels of PyQt6 and PySide6 need the same.
PACKAGE_OF_LIBRARY = {
    "libEGL.so.1": "libegl1",
    "libGL.so.1": "libgl1",
    "libdbus-1.so.3": "libdbus-1-3",
    "libfontconfig.so.1": "libfontconfig1",
    "libglib-2.0.so.0": "libglib2.0-0",
    "libxcb-cursor.so.0": "libxcb-cursor0",
    "libxcb-icccm.so.4": "libxcb-icccm4",
    "libxcb-keysyms.so.1": "libxcb-keysyms1",
    "libxcb-shape.so.0": "libxcb-shape0",
    "libxkbcommon-x11.so.0": "libxkbcommon-x11-0",
}
PACKAGES = ("xvfb", *PACKAGE_OF_LIBRARY.values())
BROWSER = "chromium"
"""Debian's package; on Ubuntu it is a snap, and Chrome does as well."""
BROWSERS = (BROWSER, "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")


def apt_line(packages: Sequence[str]) -> str:
    """What root types to get these packages."""
    return f"apt-get update && apt-get install --yes {' '.join(packages)}"


APT_LINE = apt_line(PACKAGES)


def _loads(library: str) -> bool:
    try:
        ctypes.CDLL(library)
    except OSError:
        return False
    return True


@cache
def missing_libraries() -> tuple[str, ...]:
    """Debian's packages without which a Qt binding cannot be imported or open a window here."""
    if not sys.platform.startswith("linux"):
        return ()
    return tuple(package for library, package in PACKAGE_OF_LIBRARY.items() if not _loads(library))


def missing_packages() -> tuple[str, ...]:
    """Debian's packages without which window tests cannot run here; empty where they can."""
    has_display = not sys.platform.startswith("linux") or os.environ.get("DISPLAY") or shutil.which("Xvfb")
    return missing_libraries() if has_display else ("xvfb", *missing_libraries())


def browser() -> str | None:
    """The Chromium or Chrome of this machine."""
    return next((found for name in BROWSERS if (found := shutil.which(name))), None)


def _install(packages: Sequence[str]) -> None:
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    for arguments in (["update"], ["install", "--yes", *packages]):
        if subprocess.run(["apt-get", *arguments], env=environment, stdin=subprocess.DEVNULL).returncode:
            return
    missing_libraries.cache_clear()


def _missing(with_browser: bool) -> tuple[str, ...]:
    return missing_packages() + ((BROWSER,) if with_browser and browser() is None else ())


def main(arguments: Sequence[str] = ()) -> int:
    """Install or tell; return the exit code."""
    with_browser = "--browser" in arguments
    if not (missing := _missing(with_browser)):
        return 0
    packages = PACKAGES + ((BROWSER,) if BROWSER in missing else ())
    if hasattr(os, "geteuid") and os.geteuid() == 0 and shutil.which("apt-get"):
        _install(packages)
    if not (missing := _missing(with_browser)):
        return 0
    needing = "Window tests and slow tests" if with_browser else "Window tests"
    line = apt_line(packages)
    print(f"{needing} need {', '.join(missing)}. As root, on Debian or Ubuntu:\n  {line}", file=sys.stderr)
    return int(os.environ.get("CI") == "true")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
