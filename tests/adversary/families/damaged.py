"""Images of every format, damaged: cut, with bits flipped, with foreign headers, empty, misnamed."""

import random
import struct
from collections.abc import Callable, Iterator
from pathlib import Path

import imagecodecs
import numpy as np
import zarr

from adversary.cast import TRAIN, lay, source, tiff
from adversary.law import Attempt

EITHER = frozenset({0, 2})
"""Where the damage may lie in what is not needed."""


def eight_bit() -> np.ndarray:
    return (source() // 10).clip(0, 255).astype(np.uint8)


def _tiff(**named) -> Callable[[], bytes]:
    return lambda: tiff(source(), **named)


FILES: dict[str, Callable[[], bytes]] = {
    "a.tif": _tiff(),
    "deflate.tif": _tiff(compression="zlib", predictor=True, rowsperstrip=8),
    "lzw.tif": _tiff(compression="lzw", rowsperstrip=16),
    "zstd.tif": _tiff(compression="zstd", tile=(16, 16)),
    "lzma.tif": _tiff(compression="lzma"),
    "packbits.tif": lambda: tiff(eight_bit(), compression="packbits"),
    "jpeg.tif": lambda: tiff(eight_bit(), compression="jpeg", tile=(16, 16)),
    "jp2.tif": _tiff(compression="jpeg2000"),
    "webp.tif": lambda: tiff(np.dstack([eight_bit()] * 3), compression="webp"),
    "png.tif": _tiff(compression="png"),
    "xl.tif": _tiff(compression="jpegxl"),
    "big.tif": _tiff(bigtiff=True, byteorder=">"),
    "b.ome.tif": _tiff(ome=True, metadata={"axes": "YX", "PhysicalSizeX": 0.5, "PhysicalSizeY": 0.5}),
    "c.tif": _tiff(imagej=True, metadata={"axes": "YX"}),
    "a.png": lambda: imagecodecs.png_encode(source()),
    "eight.png": lambda: imagecodecs.png_encode(eight_bit()),
    "a.jpg": lambda: imagecodecs.jpeg_encode(eight_bit(), level=95),
    "progressive.jpeg": lambda: (
        imagecodecs.jpeg_encode(eight_bit(), level=95, progressive=True)
        if "progressive" in imagecodecs.jpeg_encode.__doc__
        else imagecodecs.jpeg_encode(eight_bit(), level=80)
    ),
}
SCORED = tuple(f"o.{part}tif" for part in ("", "valid.", "expected_error.", "rank.", "error_bound."))
"""What `score` makes of a source that is good after all."""
COMMANDS = ("predict", "check", "train", "score", "evaluate")


def words(command: str, bad: str) -> tuple[list[str], str, list[str]]:
    """A command whose source is `bad`, what it writes, and what it needs of the cast."""
    return {
        "predict": (["predict", "grey.safetensors", bad, "--out", "o.tif"], "o.tif", ["grey.safetensors"]),
        "check": (["check", bad, "t0.tif"], "", ["t0.tif"]),
        "train": (["train", bad, "t0.tif", "--out", "r", *TRAIN], "r", ["t0.tif"]),
        "score": (
            ["score", "model.safetensors", bad, "t0.tif", "--out", "o.tif"],
            "o.tif",
            ["model.safetensors", "t0.tif"],
        ),
        "evaluate": (
            ["evaluate", "grey.safetensors", bad, "g0.tif", "--out", "E", "--allow-seen"],
            "E",
            ["grey.safetensors", "g0.tif"],
        ),
    }[command]


def attempt_on(name: str, bad: str, lay_bad: Callable[[Path], object], command: str, codes: frozenset[int]) -> Attempt:
    """The command on what `lay_bad` puts at `bad`."""
    line, writes, needs = words(command, bad)
    says = (Path(bad).stem,) if codes == {2} and command in ("predict", "check") else ()

    def make(folder: Path) -> list[str]:
        lay(folder, *needs)
        lay_bad(folder)
        return line

    made = SCORED if command == "score" else (writes,) if writes else ()
    return Attempt(f"{command}-{name}", make, codes, writes=made, says=says)


def written(bad: str, content: bytes) -> Callable[[Path], object]:
    return lambda folder: (folder / bad).write_bytes(content)


def cut(content: bytes, share: float) -> bytes:
    return content[: int(len(content) * share)]


def flipped(content: bytes, chance: random.Random, bits: int, first: int = 0) -> bytes:
    changed = bytearray(content)
    for _ in range(bits):
        changed[chance.randrange(first, len(changed))] ^= 1 << chance.randrange(8)
    return bytes(changed)


def tag_changed(content: bytes, chance: random.Random) -> bytes:
    """One entry of the first directory of a TIFF says something else."""
    changed = bytearray(content)
    if content[2] in (43, 0) and 43 in content[2:4]:
        return flipped(content, chance, 4, 8)
    order = "<" if content[:2] == b"II" else ">"
    at = struct.unpack_from(order + "I", content, 4)[0]
    entry = at + 2 + 12 * chance.randrange(struct.unpack_from(order + "H", content, at)[0])
    value = chance.choice((0, 1, 3, 65535, 2**31, 2**32 - 1, chance.randrange(2**32)))
    part = chance.choice(("value", "count", "type"))
    if part == "type":
        struct.pack_into(order + "H", changed, entry + 2, value & 0xFFFF)
    else:
        struct.pack_into(order + "I", changed, entry + (4 if part == "count" else 8), value)
    return bytes(changed)


def store(folder: Path, name: str = "a.zarr", zarr_format: int = 3, **named) -> Path:
    array = zarr.create_array(
        folder / name, shape=(48, 48), dtype="u2", chunks=(16, 16), zarr_format=zarr_format, **named
    )
    array[:] = source()
    return folder / name


def chunks(path: Path) -> list[Path]:
    return sorted(p for p in path.rglob("*") if p.is_file() and p.name not in ("zarr.json", ".zarray", ".zattrs"))


def _damaged_store(zarr_format: int, how: str, seed: int) -> Callable[[Path], object]:
    def make(folder: Path) -> None:
        chance = random.Random(seed)
        path = store(folder, zarr_format=zarr_format)
        chunk = chance.choice(chunks(path))
        metadata = path / ("zarr.json" if zarr_format == 3 else ".zarray")
        if how == "cut":
            chunk.write_bytes(cut(chunk.read_bytes(), 0.5))
        elif how == "empty":
            chunk.write_bytes(b"")
        elif how == "noise":
            chunk.write_bytes(chance.randbytes(200))
        elif how == "metadata cut":
            metadata.write_bytes(cut(metadata.read_bytes(), 0.6))
        elif how == "metadata null":
            metadata.write_text("null")
        elif how == "metadata deep":
            metadata.write_text("[" * 100_000 + "]" * 100_000)
        elif how == "metadata flipped":
            metadata.write_bytes(flipped(metadata.read_bytes(), chance, 2))
        else:
            metadata.unlink()

    return make


def attempts() -> Iterator[Attempt]:
    """Each kind of damage to each format; then at random, without end."""
    for name in ("a.jpg", "jpeg.tif", "a.png", "jp2.tif", "webp.tif", "png.tif"):  # decoders that fill in
        for command in ("check", "predict"):
            for share in (0.34, 0.7):
                bad = written(name, cut(FILES[name](), share))
                yield attempt_on(f"{name}-cut-{share}", name, bad, command, frozenset({2}))
    hows = ("cut", "empty", "noise", "metadata cut", "metadata null", "metadata deep", "metadata gone")
    for zarr_format in (2, 3):
        for how in hows:
            bad = _damaged_store(zarr_format, how, 0)
            yield attempt_on(f"zarr{zarr_format}-{how}", "a.zarr", bad, "predict", frozenset({2}))
    for number in range(10**9):
        chance = random.Random(f"damaged {number}")
        command = chance.choice(COMMANDS[:2] if chance.random() < 0.8 else COMMANDS)
        name = chance.choice(list(FILES))
        how = chance.choice(("cut", "flipped", "tag", "zeros", "head", "empty", "text", "renamed", "inserted", "store"))
        codes = EITHER | ({1} if command == "check" else set())
        if how == "store":
            which = chance.choice(("metadata flipped", "noise", "cut", "empty"))
            lay_bad = _damaged_store(chance.choice((2, 3)), which, number)
            codes = codes if which == "metadata flipped" else frozenset({2})
            yield attempt_on(f"{number}-zarr-{which}", "a.zarr", lay_bad, command, codes)
            continue
        content, bad = FILES[name](), name
        if how == "cut":
            share = chance.uniform(0, 0.97)
            content = cut(content, share)
            codes = frozenset({2}) if share < 0.85 else codes
        elif how == "flipped":
            content = flipped(content, chance, chance.choice((1, 2, 8, 64)))
        elif how == "tag" and name.endswith("tif"):
            content = tag_changed(content, chance)
        elif how == "zeros":
            at, long = chance.randrange(len(content)), chance.randrange(1, 400)
            content = content[:at] + bytes(min(long, len(content) - at)) + content[at + long :]
        elif how == "inserted":
            at = chance.randrange(len(content))
            content = content[:at] + chance.randbytes(chance.randrange(1, 100)) + content[at:]
        elif how == "renamed":
            bad = chance.choice(("x.tif", "x.png", "x.jpg", "x.ome.tif"))
        else:
            content = {"empty": b"", "text": b"no image at all\n" * 20}.get(how, content[:4] + chance.randbytes(1000))
            codes = frozenset({2}) if how in ("empty", "text") else codes
        yield attempt_on(f"{number}-{how}-{name}", bad, written(bad, content), command, codes)
