"""Small files that say they are large, and lacks of memory."""

import itertools
import json
import random
import struct
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import tifffile

from adversary.cast import SIDE, lay, tiff
from adversary.families.damaged import attempt_on, store
from adversary.law import Attempt

WRONG = frozenset({2})


def strip_bomb(unpacked: int) -> Callable[[Path], object]:
    """A strip of a small TIFF that unpacks to `unpacked` bytes."""

    def make(folder: Path) -> None:
        content = bytearray(tiff(np.zeros((SIDE, SIDE), "u1"), compression="zlib"))
        with tifffile.TiffFile(__import__("io").BytesIO(bytes(content))) as file:
            offset = file.pages[0].tags["StripByteCounts"].offset
        packer = zlib.compressobj(9)
        packed = b"".join(packer.compress(bytes(1 << 20)) for _ in range(unpacked >> 20)) + packer.flush()
        struct.pack_into("<I", content, offset + 8, len(packed))
        at = struct.unpack_from("<I", content, 4)[0]
        for entry in range(struct.unpack_from("<H", content, at)[0]):
            place = at + 2 + 12 * entry
            tag, _ = struct.unpack_from("<HH", content, place)
            if tag == 273:
                struct.pack_into("<I", content, place + 8, len(content))
            if tag == 279:
                struct.pack_into("<HII", content, place + 2, 4, 1, len(packed))
        (folder / "x.tif").write_bytes(bytes(content) + packed)

    return make


def zarr_shape(shape: tuple[int, ...], chunk: int = 16) -> Callable[[Path], object]:
    """Pixels of a store are said to be more than there are atoms."""

    def make(folder: Path) -> None:
        path = store(folder, "x.zarr") / "zarr.json"
        said = json.loads(path.read_text("utf8"))
        said["shape"] = list(shape)
        said["chunk_grid"]["configuration"]["chunk_shape"] = [chunk] * len(shape)
        path.write_text(json.dumps(said), "utf8")

    return make


def zarr_chunk_bomb(unpacked: int) -> Callable[[Path], object]:
    """A chunk that unpacks to far more than a chunk is."""

    def make(folder: Path) -> None:
        import gzip

        from zarr.codecs import GzipCodec

        path = store(folder, "x.zarr", compressors=[GzipCodec()])
        (path / "c" / "0" / "0").write_bytes(gzip.compress(bytes(unpacked)))

    return make


def png_of(width: int, height: int) -> Callable[[Path], object]:
    """A PNG whose header says so; its pixels are zeros, as far as they go."""

    def make(folder: Path) -> None:
        def part(name: bytes, held: bytes) -> bytes:
            return struct.pack(">I", len(held)) + name + held + struct.pack(">I", zlib.crc32(name + held))

        head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
        pixels = zlib.compress(bytes(min(1 << 20, (width + 1) * height)), 9)
        (folder / "x.png").write_bytes(
            b"\x89PNG\r\n\x1a\n" + part(b"IHDR", head) + part(b"IDAT", pixels) + part(b"IEND", b"")
        )

    return make


def jpeg_of(width: int, height: int) -> Callable[[Path], object]:
    """A JPEG whose header says so."""

    def make(folder: Path) -> None:
        import imagecodecs

        content = bytearray(imagecodecs.jpeg_encode(np.zeros((SIDE, SIDE), "u1")))
        at = content.index(b"\xff\xc0") + 5
        struct.pack_into(">HH", content, at, height, width)
        (folder / "x.jpg").write_bytes(bytes(content))

    return make


def tiff_of(width: int, height: int) -> Callable[[Path], object]:
    """A TIFF whose header says so."""

    def make(folder: Path) -> None:
        content = bytearray(tiff(np.zeros((SIDE, SIDE), "u2")))
        at = struct.unpack_from("<I", content, 4)[0]
        for entry in range(struct.unpack_from("<H", content, at)[0]):
            place = at + 2 + 12 * entry
            if struct.unpack_from("<H", content, place)[0] in (256, 257, 278):
                value = width if struct.unpack_from("<H", content, place)[0] == 256 else height
                struct.pack_into("<HII", content, place + 2, 4, 1, value)
        (folder / "x.tif").write_bytes(bytes(content))

    return make


def _no_memory(command: str) -> Attempt:
    """A good file whose only strip takes more memory than there is: exit 1, and it is not called damaged."""

    def make(folder: Path) -> list[str]:
        lay(folder, "grey.safetensors", "t0.tif")
        image = np.zeros((12_000, 12_000), np.uint16)
        tifffile.imwrite(folder / "x.tif", image, compression="zlib", compressionargs={"level": 1}, rowsperstrip=12_000)
        return ["predict", "grey.safetensors", "x.tif", "--out", "o.tif"]

    return Attempt(f"no-memory-{command}", make, frozenset({1}), says=("emory",), most_bytes=200 << 20)


def attempts() -> Iterator[Attempt]:
    """The known ones, then other sizes."""
    huge = ((2**60, 2**60), "x.zarr")
    yield attempt_on("zarr-2^60", huge[1], zarr_shape(huge[0]), "predict", WRONG)
    yield attempt_on("strip", "x.tif", strip_bomb(4 << 30), "check", WRONG)
    yield _no_memory("predict")
    yield attempt_on("png", "x.png", png_of(2**30, 2**30), "predict", WRONG)
    yield attempt_on("jpeg", "x.jpg", jpeg_of(65500, 65500), "predict", frozenset({1, 2}))
    for number in itertools.count():
        chance = random.Random(f"bombs {number}")
        command = chance.choice(("check", "predict"))
        side = 2 ** chance.randrange(15, 31)
        bad, path = chance.choice(
            (
                (strip_bomb(chance.choice((1, 2)) << 30), "x.tif"),
                (zarr_shape((2 ** chance.randrange(20, 63),) * 2), "x.zarr"),
                (zarr_shape((2 ** chance.randrange(10, 40), 48, 48)), "x.zarr"),
                (zarr_chunk_bomb(1 << 30), "x.zarr"),
                (png_of(side, side), "x.png"),
                (png_of(2**31 - 1, 1), "x.png"),
                (jpeg_of(65500, chance.choice((8, 65500))), "x.jpg"),
                (tiff_of(side, side), "x.tif"),
                (zarr_shape((48, 48), 2 ** chance.randrange(20, 40)), "x.zarr"),
            )
        )
        yield attempt_on(f"{number}-{path}", path, bad, command, frozenset({0, 1, 2}))
