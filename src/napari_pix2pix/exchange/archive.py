"""The files in a stranger's zip: named and counted before one is read, never written anywhere, and never run."""

import hashlib
import lzma
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

MOST_FILES = 10_000
LARGEST = 2**31 - 1
"""Bytes of one file; what ONNX can be in one."""
LARGEST_TEXT = 2**18
"""Bytes of a description."""
LARGEST_ARRAY = 2**28
"""Bytes of a test image."""
TIGHTEST = 200
"""Weights and images do not become smaller than this share by being packed; what does, is made to fill a memory."""
DAMAGED = (
    *(zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, OSError),
    *(RuntimeError, NotImplementedError),  # a password, or a packing that is not known
)
"""What unpacking raises of bytes that are not what was packed."""


@dataclass(frozen=True)
class Archive:
    """A package, opened.

    Parameters
    ----------
    path
        Of it.
    files
        In it, by name.
    zip
        What reads them.
    """

    path: Path
    files: dict[str, zipfile.ZipInfo]
    zip: zipfile.ZipFile

    def read(self, name: str, sha256: str | None = None, most: int = LARGEST) -> bytes:
        """The bytes of the file of this name.

        Raises
        ------
        ValueError
            If there is none, it is too large or damaged, or its SHA-256 is another.
        """
        if "://" in name:
            raise refused(self.path, f"{name!r:.200} lies elsewhere, and nothing is fetched")
        if (file := self.files.get(name.removeprefix("./"))) is None:
            raise refused(self.path, f"it names a file that is not in it, {name!r:.200}")
        if file.file_size > most:
            raise refused(self.path, f"{name!r:.200} unpacks to {file.file_size:,} bytes, more than {most:,}")
        if file.file_size > LARGEST_TEXT and file.file_size > TIGHTEST * file.compress_size:
            raise refused(
                self.path,
                f"{name!r:.200} unpacks from {file.compress_size:,} to {file.file_size:,} bytes, as no model does",
            )
        try:
            content = self.zip.read(file)
        except DAMAGED as error:
            raise refused(self.path, f"{name!r:.200} cannot be unpacked") from error
        if sha256 is not None and hashlib.sha256(content).hexdigest() != str(sha256).lower():
            raise refused(self.path, f"{name!r:.200} is not the file that it tells of: its SHA-256 is another")
        return content

    def array(self, name: str, sha256: str | None = None) -> NDArray[Any]:
        """The numbers in the .npy file of this name."""
        from io import BytesIO

        content = self.read(name, sha256, LARGEST_ARRAY)
        file = BytesIO(content)
        try:
            version = np.lib.format.read_magic(file)
            reading = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
            shape, _, dtype = reading(file)
            if dtype.hasobject or dtype.kind not in "biuf":
                raise ValueError(f"it holds {dtype}")
            if int(np.prod([int(n) for n in shape], dtype=object)) * dtype.itemsize != len(content) - file.tell():
                raise ValueError(f"it says {shape}")
            file.seek(0)
            found: NDArray[Any] = np.load(file, allow_pickle=False)
        except (ValueError, EOFError, SyntaxError) as error:
            raise refused(self.path, f"{name!r:.200} holds no array of numbers ({error!s:.100})") from error
        return found


@contextmanager
def opened(path: Path) -> Iterator[Archive]:
    """The package at `path`.

    Raises
    ------
    FileNotFoundError
        If there is none.
    ValueError
        If it is none, or would write outside of a folder that it is unpacked to.
    """
    if not path.is_file():
        raise FileNotFoundError(f"There must be a file to import; there is none at {path}. Check the path.")
    try:
        with zipfile.ZipFile(path) as file:
            parts = file.infolist()
            if len(parts) > MOST_FILES:
                raise refused(path, f"it holds {len(parts):,} files")
            for part in parts:
                name = PurePosixPath(part.filename)
                if name.is_absolute() or ".." in name.parts or "\\" in part.filename or ":" in part.filename:
                    raise refused(path, f"the path of a file in it leads out of it, {part.filename!r:.200}")
            files = {part.filename: part for part in parts}
            if len(files) < len(parts):  # of which programs read one or the other
                twice = next(name for name, n in Counter(part.filename for part in parts).items() if n > 1)
                raise refused(path, f"it holds two files of one name, {twice!r:.200}")
            yield Archive(path, files, file)
    except zipfile.BadZipFile as error:
        raise refused(path, "it is no zip") from error


def refused(path: Path, why: str) -> ValueError:
    """What is said of a package that is not taken."""
    return ValueError(
        f"A package to import must be one of the BioImage Model Zoo that this program can run; {path} is not: {why}. "
        "Take another copy or another package; nothing was written."
    )
