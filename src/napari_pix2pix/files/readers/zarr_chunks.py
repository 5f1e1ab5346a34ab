"""The chunks of a zarr array, none of which unpacks to more than the array says: looked at before they are decoded."""

import bz2
import lzma
import math
import zlib
from typing import Any

import zarr
from zarr.storage import LocalStore, WrapperStore

ZSTD = b"\x28\xb5\x2f\xfd"
ROOM = 4096
"""Bytes that a chunk may hold beyond its pixels: headers, checksums."""


class CheckedChunks(WrapperStore[Any]):
    """A store that refuses chunks whose compressed bytes unpack to more than `most`.

    Parameters
    ----------
    store
        Of the array.
    codec
        The name of what the chunks were compressed with last.
    most
        Bytes.
    """

    def __init__(self, store: Any, codec: str, most: int) -> None:
        super().__init__(store)
        self.codec, self.most = codec, most

    async def get(self, key: str, *arguments: Any, **named: Any) -> Any:
        """What lies at `key`."""
        found = await super().get(key, *arguments, **named)
        if found is not None and not key.endswith(("zarr.json", ".zarray", ".zattrs", ".zgroup")):
            require_small(self.codec, found.to_bytes(), self.most)
        return found


def open_checked(path: Any, key: str) -> zarr.Array[Any]:
    """The array `key` in the directory, with its chunks looked at before they are decoded; shards are not."""
    array = zarr.open_array(path / key, mode="r")
    codec = _last_codec(array)
    if codec is None:
        return array
    most = math.prod(array.chunks) * array.dtype.itemsize + ROOM
    return zarr.open_array(CheckedChunks(LocalStore(path / key, read_only=True), codec, most), mode="r")


def _last_codec(array: zarr.Array[Any]) -> str | None:
    """What the chunks were compressed with last; None where that is nothing, or the chunks are shards."""
    if array.shards is not None or not array.compressors:
        return None
    last: Any = array.compressors[-1]
    name = getattr(last, "codec_id", None) or last.to_dict()["name"]  # of versions 2 and 3
    return str(name).removeprefix("numcodecs.").lower()


def require_small(codec: str, packed: bytes, most: int) -> None:
    """Raise a ValueError if the bytes unpack to more than `most`; what cannot be unpacked is left to the decoder."""
    held = 0
    if codec == "blosc" and len(packed) >= 16:
        held = int.from_bytes(packed[4:8], "little")
    elif codec == "lz4" and len(packed) >= 4:
        held = int.from_bytes(packed[:4], "little")
    elif codec == "zstd" and packed.startswith(ZSTD):
        held = _zstd_size(packed, most)
    elif codec in ("gzip", "zlib"):
        held = _unpacked(zlib.decompressobj(47), packed, most)
    elif codec == "bz2":
        held = _unpacked(bz2.BZ2Decompressor(), packed, most)
    elif codec == "lzma":
        held = _unpacked(lzma.LZMADecompressor(), packed, most)
    if held > most:
        raise ValueError(f"a chunk must hold at most {most} bytes by the metadata; it holds more")


def _zstd_size(packed: bytes, most: int) -> int:
    """What the frame's header says; where it says nothing, what it is, up to a little more than `most`."""
    flags = packed[4]
    n = (1 if flags & 0x20 else 0, 2, 4, 8)[flags >> 6]
    at = 5 + (0 if flags & 0x20 else 1) + (0, 1, 2, 4)[flags & 3]
    if n:
        return int.from_bytes(packed[at : at + n], "little") + (256 if n == 2 else 0)
    import imagecodecs

    try:
        return len(imagecodecs.zstd_decode(packed, out=most + 1))
    except imagecodecs.ZstdError as error:
        return most + 1 if "too small" in str(error) else 0


def _unpacked(decompressor: Any, packed: bytes, most: int) -> int:
    """How many bytes it unpacks to, counted up to a little more than `most`."""
    held = 0
    try:
        while held <= most and not decompressor.eof:
            piece = decompressor.decompress(packed, min(2**20, most + 1 - held))
            packed = getattr(decompressor, "unconsumed_tail", b"")  # zlib hands back what it has not read
            held += len(piece)
            if not piece:
                break
    except (zlib.error, lzma.LZMAError, OSError):
        return 0
    return held
