"""Files that are either the old one or the new one, never half of one."""

import errno
import glob
import hashlib
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

FULL = {errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC)}
"""No room on the disk, or none left for this user."""
FULL_DISK = (
    "The disk must have room for what is written; it is full. Make room and try again; what is done is kept, and "
    "nothing is half-written."
)


def is_full(error: Exception) -> bool:
    """Whether `error` says that the disk is full."""
    return isinstance(error, OSError) and error.errno in FULL


@contextmanager
def written_beside(path: Path) -> Iterator[Path]:
    """A path beside `path` to write to; renamed to `path` if the block succeeds, removed if it fails.

    The name keeps the suffix of `path`, by which writers choose their format.

    Raises
    ------
    OSError
        If the folder cannot be written.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=_prefix(path), suffix=path.suffix, dir=path.parent)
    os.close(handle)
    beside = Path(name)
    try:
        yield beside
        mode = os.umask(0)  # mkstemp is private to the user; the result gets the usual permissions
        os.umask(mode)
        beside.chmod(0o666 & ~mode)
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


def remove_leftovers(path: Path) -> None:
    """Remove what processes killed while they wrote `path` have left beside it; none may be writing it now."""
    random = "[a-z0-9_]" * 8  # as tempfile names files
    for left in path.parent.glob(f"{glob.escape(_prefix(path))}{random}{glob.escape(path.suffix)}"):
        left.unlink(missing_ok=True)


def _prefix(path: Path) -> str:
    """How names beside `path` begin; short, and no other file's."""
    stem = path.stem
    return f".{stem if len(stem) <= 40 else stem[:31] + '~' + hashlib.sha256(stem.encode()).hexdigest()[:8]}-"
