"""Files that are either the old one or the new one, never half of one."""

import errno
import glob
import hashlib
import itertools
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
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
    """A path beside `path` to write to; on the disk and renamed to `path` if the block succeeds, removed if it fails.

    The name keeps the suffix of `path`, by which writers choose their format. What a process that was killed while it
    wrote `path` has left is written over.

    Raises
    ------
    OSError
        If the folder cannot be written.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with _claimed(path, path.suffix) as (beside, handle):
        os.truncate(beside, 0)
        if sys.platform == "win32":  # an open file cannot be renamed
            os.close(handle)
        try:
            yield beside
            _to_disk(beside)
            beside.replace(path)
        except BaseException:  # once it is renamed, another thread's may lie there
            beside.unlink(missing_ok=True)
            raise


@contextmanager
def directory_beside(path: Path) -> Iterator[Path]:
    """An empty directory beside `path` to write to, removed with all that is left in it when the block ends.

    What a process that was killed while it wrote `path` has left is removed first.

    Raises
    ------
    OSError
        If the folder cannot be written.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with _claimed(path, ".lock") as (lock, handle):
        folder = lock.with_suffix("")
        try:
            if folder.is_dir():
                shutil.rmtree(folder)
            folder.mkdir()
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)
            if sys.platform == "win32":
                os.close(handle)
            lock.unlink(missing_ok=True)


def remove_leftovers(path: Path) -> None:
    """Remove what processes killed while they wrote `path` have left beside it; none may be writing it now."""
    random = "[a-z0-9_]" * 8
    beside = f"{glob.escape(_prefix(path))}{random}"
    for left in (*path.parent.glob(f"{beside}{glob.escape(path.suffix)}"), *path.parent.glob(f"{beside}.lock")):
        left.unlink(missing_ok=True)
    for left in path.parent.glob(beside):
        if left.is_dir() and not left.is_symlink():
            shutil.rmtree(left, ignore_errors=True)


@contextmanager
def _claimed(path: Path, suffix: str) -> Iterator[tuple[Path, int]]:
    """The first file beside `path`, by number, that no living process writes to, and its handle, locked until the end.

    A lock ends with its process, however that ends; so what can be locked is left over. It is created with the usual
    permissions: to ask for the umask one would have to change it, for all threads.
    """
    for number in itertools.count():
        beside = path.parent / f"{_prefix(path)}{number:08d}{suffix}"
        try:
            handle = os.open(beside, os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0), 0o666)
        except OSError as error:
            if os.path.lexists(beside) and error.errno != errno.ENOSPC:
                continue  # another user's
            raise
        if _lock(handle) and _is_at(handle, beside):
            break
        os.close(handle)
    try:
        yield beside, handle
    finally:
        with suppress(OSError):  # closed before on Windows
            os.close(handle)


def _lock(handle: int) -> bool:
    """Whether the file is ours now; where the file system knows no locks, it is."""
    try:
        if sys.platform == "win32":
            import msvcrt

            msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        return error.errno in (errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS)
    return True


def _is_at(handle: int, path: Path) -> bool:
    """Whether the open file still lies there: whoever had it before may have renamed or removed it meanwhile."""
    try:
        return os.path.samestat(os.fstat(handle), path.lstat())
    except OSError:
        return False


def _to_disk(path: Path) -> None:
    """Return once the file's content would survive a loss of power."""
    handle = os.open(path, os.O_RDWR)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _prefix(path: Path) -> str:
    """How names beside `path` begin; short, and no other file's."""
    stem = path.stem
    return f".{stem if len(stem) <= 40 else stem[:31] + '~' + hashlib.sha256(os.fsencode(stem)).hexdigest()[:8]}-"
