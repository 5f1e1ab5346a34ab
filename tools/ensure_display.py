"""Make sure that window tests have a display, or say which one line would give them one.

A napari window needs OpenGL, so Qt's "offscreen" platform is not enough; pytest-xvfb starts Xvfb by itself where it
is installed. tox runs this before the tests: root on a system with apt gets the missing packages, anybody else gets
the line. The exit code is 1 only where tests must not be skipped (``CI=true``) and there is still no display.
"""

import ctypes
import os
import shutil
import subprocess
import sys
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
APT_LINE = f"apt-get update && apt-get install --yes {' '.join(PACKAGES)}"


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


def _install() -> None:
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    for arguments in (["update"], ["install", "--yes", *PACKAGES]):
        if subprocess.run(["apt-get", *arguments], env=environment, stdin=subprocess.DEVNULL).returncode:
            return
    missing_libraries.cache_clear()


def main() -> int:
    """Install or tell; return the exit code."""
    if not missing_packages():
        return 0
    if hasattr(os, "geteuid") and os.geteuid() == 0 and shutil.which("apt-get"):
        _install()
    if not (missing := missing_packages()):
        return 0
    print(f"Window tests need {', '.join(missing)}. As root, on Debian or Ubuntu:\n  {APT_LINE}", file=sys.stderr)
    return int(os.environ.get("CI") == "true")


if __name__ == "__main__":
    sys.exit(main())
