"""What a JPEG, PNG, WebP or their like says of itself before it is decoded: size, wholeness, which way is up.

Decoders fill what a cut file lacks with grey, and take as much memory as its header asks for.
"""

import re
import zlib
from collections.abc import Iterator
from typing import NamedTuple

JPEG, PNG, JPEG_XR = b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"II\xbc"
STANDALONE = {0x01, *range(0xD0, 0xD9)}
"""Markers of JPEG without a length."""
FRAMES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}
"""Markers of JPEG before what it says of its size."""
HUFFMAN, MOST_PER_BYTE = {0xC0, 0xC1, 0xC2}, 2048
"""Of these a block of 8 x 8 px takes a bit at least, so that a byte holds at most 512 px, and some room."""
MOST_PER_DEFLATED_BYTE = 8 * 1032
"""Pixels of one bit: deflate packs 1,032 bytes into one at the most (zlib, technical details)."""
JPEG_LS = 0xF7
CODED_END = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]")
"""The first marker behind compressed pixels."""
EXIF = b"Exif\x00\x00"
ORIENTATION = 274


class CutShort(ValueError):
    """The file ends before its image does."""

    def __init__(self) -> None:
        super().__init__("it is cut short: its image ends before it is complete")


class _Segment(NamedTuple):
    marker: int
    content: bytes


def require_whole(data: bytes) -> None:
    """Raise `CutShort` if the image ends early; what follows it does not matter.

    Of what is not said here (the rest of PNG, WebP, JPEG 2000, JPEG-LS, AVIF, JPEG XL), the decoders tell.
    """
    if not data:  # on which decoders end the process
        raise CutShort
    if data.startswith(JPEG):
        for segment in _segments(data):
            if segment.marker == JPEG_LS:
                return
            size = _numbers(segment.content, (1, 2), (3, 2)) if segment.marker in HUFFMAN else None
            if size and size[0] * size[1] > MOST_PER_BYTE * len(data):
                raise CutShort
    elif data.startswith(PNG):
        size = size_of(data)
        if size and size[0] * size[1] > MOST_PER_DEFLATED_BYTE * len(data):
            raise CutShort
    elif data.startswith(JPEG_XR):
        tags = _tags(data, "little")
        for start, count in ((0xBCC0, 0xBCC1), (0xBCC2, 0xBCC3)):  # pixels, opacity
            if tags.get(start, 0) + tags.get(count, 0) > len(data):
                raise CutShort


def size_of(data: bytes) -> tuple[int, int] | None:
    """(rows, columns) by the header; None where it is not known."""
    if data.startswith(JPEG):
        found = next((s.content for s in _segments(data) if s.marker in FRAMES | {JPEG_LS}), b"")
        return _numbers(found, (1, 2), (3, 2))
    if data.startswith(PNG):
        return _numbers(data, (20, 4), (16, 4))
    if data.startswith(JPEG_XR):
        tags = _tags(data, "little")
        return tags.get(0xBC81, 0), tags.get(0xBC80, 0)
    if (at := data[:4096].find(b"\xff\x4f\xff\x51")) >= 0:  # JPEG 2000
        size = _numbers(data, (at + 12, 4), (at + 8, 4))
        origin = _numbers(data, (at + 20, 4), (at + 16, 4))
        return (size[0] - origin[0], size[1] - origin[1]) if size and origin else None
    if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        return _webp_size(data)
    if data.startswith(b"Lerc2 "):
        at = 10 if int.from_bytes(data[6:10], "little") < 3 else 14  # a checksum comes first
        return int.from_bytes(data[at : at + 4], "little"), int.from_bytes(data[at + 4 : at + 8], "little")
    if (at := data[:4096].find(b"ispe")) >= 0:  # AVIF, HEIF
        return _numbers(data, (at + 12, 4), (at + 8, 4))
    if data.startswith(b"\xff\x0a") or b"jxlc" in data[:4096]:
        return _jpeg_xl_size(data[2:] if data.startswith(b"\xff\x0a") else data[data.index(b"jxlc") + 6 :])
    return None


def _webp_size(data: bytes) -> tuple[int, int] | None:
    kind = data[12:16]
    if kind == b"VP8X":
        return int.from_bytes(data[27:30], "little") + 1, int.from_bytes(data[24:27], "little") + 1
    if kind == b"VP8L":
        bits = int.from_bytes(data[21:25], "little")
        return (bits >> 14 & 0x3FFF) + 1, (bits & 0x3FFF) + 1
    if kind == b"VP8 ":
        return int.from_bytes(data[28:30], "little") & 0x3FFF, int.from_bytes(data[26:28], "little") & 0x3FFF
    return None


def _jpeg_xl_size(stream: bytes) -> tuple[int, int]:
    """By the bits behind the signature of a JPEG XL's codestream (ISO/IEC 18181-1, SizeHeader)."""
    bits = int.from_bytes(stream[:16], "little")

    def take(n: int) -> int:
        nonlocal bits
        value, bits = bits & ((1 << n) - 1), bits >> n
        return value

    small = take(1)

    def length() -> int:
        return 8 * (take(5) + 1) if small else take((9, 13, 18, 30)[take(2)]) + 1

    rows = length()
    across, down = ((0, 1), (1, 1), (12, 10), (4, 3), (3, 2), (16, 9), (5, 4), (2, 1))[take(3)]
    return rows, rows * across // down if across else length()


def orientation_of(data: bytes) -> int:
    """How the image is to be turned, 1 to 8 as Exif counts; 1 means not at all."""
    exif = b""
    if data.startswith(JPEG):
        for segment in _segments(data):
            if segment.marker == 0xDA:  # pixels
                break
            if segment.marker == 0xE1 and segment.content.startswith(EXIF):
                exif = segment.content[len(EXIF) :]
                break
    elif data.startswith(PNG):
        exif = next((content for name, content in png_chunks(data) if name == b"eXIf"), b"")
    elif data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        at = 12
        while at + 8 <= len(data):
            name, n = data[at : at + 4], int.from_bytes(data[at + 4 : at + 8], "little")
            if name == b"EXIF":
                exif = data[at + 8 : at + 8 + n].removeprefix(EXIF)
            at += 8 + n + n % 2
    if exif[:2] not in (b"II", b"MM"):
        return 1
    found = _tags(exif, "little" if exif.startswith(b"II") else "big").get(ORIENTATION, 1)
    return found if 1 <= found <= 8 else 1


def png_chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Name and content of each chunk of a PNG."""
    at = len(PNG)
    while at + 8 <= len(data):
        n = int.from_bytes(data[at : at + 4], "big")
        yield data[at + 4 : at + 8], data[at + 8 : at + 8 + n]
        at += n + 12


def has_palette(data: bytes) -> bool:
    """Whether it is a PNG whose pixels are numbers of colours."""
    return data.startswith(PNG) and data[25:26] == b"\x03"


def with_numbers_as_colours(data: bytes) -> bytes:
    """The PNG with a palette, its colours replaced: number `i` is (i, i, i), without opacity."""
    said = [(name, content) for name, content in png_chunks(data) if name != b"tRNS"]
    grey = b"".join(bytes((i, i, i)) for i in range(2 ** data[24]))
    changed = ((name, grey if name == b"PLTE" else content) for name, content in said)
    return PNG + b"".join(
        len(content).to_bytes(4, "big") + name + content + zlib.crc32(name + content).to_bytes(4, "big")
        for name, content in changed
    )


def _segments(data: bytes) -> Iterator[_Segment]:
    """What a JPEG consists of, up to its end.

    Raises
    ------
    CutShort
        If there is none.
    """
    at = 2
    while True:
        while data[at : at + 1] == b"\xff" and data[at + 1 : at + 2] == b"\xff":  # padding
            at += 1
        if data[at : at + 1] != b"\xff" or at + 2 > len(data):
            found = data.find(b"\xff", at)  # as decoders, over what is no marker
            if found < 0 or found + 2 > len(data):
                raise CutShort
            at = found if found > at else at + 1
            continue
        marker = data[at + 1]
        if marker == 0xD9:
            return
        if marker in STANDALONE or marker == 0:
            at += 2
            continue
        n = int.from_bytes(data[at + 2 : at + 4], "big")
        if at + 2 + n > len(data):
            raise CutShort
        yield _Segment(marker, data[at + 4 : at + 2 + n])
        at += 2 + n
        if marker == 0xDA:
            if (end := CODED_END.search(data, at)) is None:
                raise CutShort
            at = end.start()


def _numbers(data: bytes, *places: tuple[int, int]) -> tuple[int, int] | None:
    """The two unsigned numbers at these offsets of this many bytes."""
    if any(start + n > len(data) for start, n in places):
        return None
    first, second = (int.from_bytes(data[start : start + n], "big") for start, n in places)
    return first, second


def _tags(data: bytes, order: str) -> dict[int, int]:
    """The numbers in the first directory of what is built like a TIFF."""

    def number(at: int, n: int) -> int:
        return int.from_bytes(data[at : at + n], "little" if order == "little" else "big")

    start = number(4, 4)
    found = {}
    for at in range(start + 2, start + 2 + 12 * min(number(start, 2), 1000), 12):
        size = {1: 1, 3: 2, 4: 4}.get(number(at + 2, 2))
        if size:
            found[number(at, 2)] = number(at + 8, size)
    return found
