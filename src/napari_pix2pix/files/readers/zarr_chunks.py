"""The chunks of a zarr array, none of which unpacks to more than the array says: looked at before they are decoded."""

import bz2
import lzma
import math
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray
from zarr.abc.store import RangeByteRequest
from zarr.storage import LocalStore, WrapperStore

ZSTD = b"\x28\xb5\x2f\xfd"
CHECKSUM = 4
"""Bytes behind the index of a shard, which has two numbers of 8 bytes for each chunk (zarr 3, sharding codec)."""
ROOM = 4096
"""Bytes that a chunk may hold beyond its pixels: headers, checksums."""


class CheckedChunks(WrapperStore[Any]):
    """A store that refuses chunks whose compressed bytes unpack to more than the array says, once `watch` is called."""

    codec: str | None = None
    most = in_shard = 0
    index_first = False

    def watch(self, array: zarr.Array[Any]) -> None:
        """Look at the chunks of this array from now on, those of shards by their index."""
        self.codec, self.most = _last_codec(array), math.prod(array.chunks) * array.dtype.itemsize + ROOM
        if array.shards is not None:
            self.in_shard = math.prod(n // k for n, k in zip(array.shards, array.chunks, strict=True))
            said: Any = array.metadata.to_dict()
            self.index_first = said["codecs"][0]["configuration"]["index_location"] == "start"

    async def get(self, key: str, *arguments: Any, **named: Any) -> Any:
        """What lies at `key`."""
        found = await super().get(key, *arguments, **named)
        if found is not None and self.codec is not None:
            for packed in self._chunks(found.to_bytes(), named.get("byte_range")):
                require_small(self.codec, packed, self.most)
        return found

    def _chunks(self, data: bytes, part: Any) -> Iterator[bytes]:
        """The chunks in what was read: all of a shard, one of it, or none where it is its index."""
        if not self.in_shard:
            yield data
            return
        length = 16 * self.in_shard + CHECKSUM
        if part is None:
            index = data[:length] if self.index_first else data[-length:]
            places = np.frombuffer(index[:-CHECKSUM], "<u8").reshape(-1, 2) if len(index) == length else ()
            yield from (data[at : at + n] for at, n in map(_numbers, places) if at + n <= len(data))
        elif isinstance(part, RangeByteRequest) and len(data) != length:
            yield data


def _numbers(place: NDArray[np.uint64]) -> tuple[int, int]:
    return int(place[0]), int(place[1])


def open_checked(path: Path) -> zarr.Array[Any]:
    """The array in the directory, with its chunks looked at before they are decoded."""
    array = zarr.open_array(CheckedChunks(LocalStore(path, read_only=True)), mode="r")
    store = array.store
    assert isinstance(store, CheckedChunks)
    store.watch(array)
    return array


def _last_codec(array: zarr.Array[Any]) -> str | None:
    """What the chunks were compressed with last; None where that is nothing."""
    if not array.compressors:
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
