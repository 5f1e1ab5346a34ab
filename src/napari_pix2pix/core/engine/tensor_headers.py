"""What a tensor file says of itself, without its tensors and without torch. The file is believed against its size only.

References
----------
The safetensors format, https://huggingface.co/docs/safetensors: eight bytes say how long the JSON is that follows, then
come the tensors, without gaps.
"""

import json
import math
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from napari_pix2pix.core.settings.untrusted_json import LONGEST, parse_json

KEY = "napari_pix2pix"
"""The one metadata key: the order of several is random in the file."""
FORMAT_VERSION = 2
"""Of the files that are written; all before are read."""
CONTENT = "content"
"""The tensor that holds a long JSON text, compressed; the metadata is then an object that names it."""
LONGEST_METADATA = 2**17
"""Characters of JSON in the metadata; longer texts, of a row for each of hundreds of images, are compressed."""
LONGEST_HEADER = 100_000_000
"""Bytes; safetensors reads no longer ones."""
BITS = {"BOOL": 8, "U8": 8, "I8": 8, "I16": 16, "I32": 32, "I64": 64, "F16": 16, "BF16": 16, "F32": 32, "F64": 64}
"""Of a number, by the format's names of what we write."""


class _Tensor(NamedTuple):
    start: int
    stop: int
    said: tuple[str, tuple[int, ...]]


@dataclass(frozen=True)
class Header:
    """What a tensor file says of itself.

    Parameters
    ----------
    path
        Of the file.
    version
        Of its format.
    tensors_sha256
        Of the tensors, see `tensor_files.digest`; None in the first format.
    content
        The JSON object that was written with the tensors.
    tensors
        By name the dtype, in the format's words, and the shape of each.
    """

    path: Path
    version: int
    tensors_sha256: str | None
    content: dict[str, Any]
    tensors: dict[str, tuple[str, tuple[int, ...]]]


def read_header(path: Path) -> Header:
    """What the file `path` says of itself.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If it is no file of ours, is damaged, or is newer than this package.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(
            f"A model must be a file written by `train`, or one that ships, as the command models lists them; there is "
            f"none at {path}. Check the path."
        )
    said, first = _json_of(path)
    metadata = said.pop("__metadata__", None)
    tensors = {name: _tensor(path, value) for name, value in said.items()}
    end = max((tensor.stop for tensor in tensors.values()), default=0)
    if first + end != path.stat().st_size:
        raise ValueError(
            f"A model must be whole; {path} says that it has {first + end:,} bytes, and has {path.stat().st_size:,}. "
            "Take another copy of it."
        )
    if not isinstance(metadata, dict) or not isinstance(text := metadata.get(KEY), str):
        raise ValueError(f"A model must be written by `train`; {path} holds tensors of another program.")
    try:
        content = parse_json(text)
        if not isinstance(content, dict):
            raise ValueError(f"it is no object but {type(content).__name__}")
        told = {name: content.pop(name, None) for name in ("format_version", "tensors_sha256")}
        if (packed := tensors.pop(CONTENT, None)) is not None:
            content = _unpacked(path, first + packed.start, packed.stop - packed.start)
    except (ValueError, zlib.error) as error:
        raise ValueError(f"A model must describe itself in JSON; {path} does not ({error}).") from error
    return Header(path, *_version_of(path, **told), content, {name: t.said for name, t in tensors.items()})


def _version_of(path: Path, format_version: Any, tensors_sha256: Any) -> tuple[int, str | None]:
    """The version of the format, and what it says of the tensors."""
    if not isinstance(format_version, int) or isinstance(format_version, bool) or format_version < 1:
        raise ValueError(
            f"A model must say its format; that of {path} is {format_version!r:.50}. Take another copy of it."
        )
    if format_version > FORMAT_VERSION:
        raise ValueError(
            f"{path} is of format {format_version}, this package reads up to {FORMAT_VERSION}. Update napari-pix2pix."
        )
    if format_version == 1:
        return 1, None
    if not isinstance(tensors_sha256, str):
        raise ValueError(f"A model must say the SHA-256 of its tensors; {path} does not. Take another copy of it.")
    return format_version, tensors_sha256


def _json_of(path: Path) -> tuple[dict[str, Any], int]:
    """The JSON before the tensors, and the byte at which they begin."""
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if not 0 < length <= min(path.stat().st_size - 8, LONGEST_HEADER):
            raise _no_model(path)
        text = file.read(length)
    try:
        said = parse_json(text.decode("utf8"))
    except ValueError as error:
        raise _no_model(path) from error
    if not isinstance(said, dict):
        raise _no_model(path)
    return said, 8 + length


def _tensor(path: Path, said: Any) -> _Tensor:
    try:
        (start, stop), dtype, shape = said["data_offsets"], said["dtype"], said["shape"]
        counts = all(type(n) is int and n >= 0 for n in (start, stop, *shape))
        if counts and 8 * (stop - start) == math.prod((BITS[dtype], *shape)):
            return _Tensor(start, stop, (dtype, tuple(shape)))
    except (KeyError, TypeError, ValueError):
        pass
    raise _no_model(path)


def _unpacked(path: Path, start: int, length: int) -> dict[str, Any]:
    """The content in these bytes."""
    with path.open("rb") as file:
        file.seek(start)
        unpacking = zlib.decompressobj()
        text = unpacking.decompress(file.read(length), LONGEST)
    if not unpacking.eof:
        raise ValueError(f"it is cut off, or longer than {LONGEST:,} characters")
    content = parse_json(text.decode())
    if not isinstance(content, dict):
        raise ValueError(f"it is no object but {type(content).__name__}")
    return content


def _no_model(path: Path) -> ValueError:
    return ValueError(f"A model must be a safetensors file written by `train`; {path} is not. Check the path.")


def header_text(content: dict[str, Any], tensors_sha256: str) -> tuple[str, bytes]:
    """What is written: sorted JSON, so that the same model is the same bytes; and what goes to the tensor `CONTENT`."""
    facts = {"format_version": FORMAT_VERSION, "tensors_sha256": tensors_sha256}
    text = json.dumps({**content, **facts}, sort_keys=True)
    if len(text) <= LONGEST_METADATA:
        return text, b""
    return json.dumps({"content": CONTENT, **facts}), zlib.compress(json.dumps(content, sort_keys=True).encode(), 1)
