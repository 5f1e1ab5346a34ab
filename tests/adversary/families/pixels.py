"""Images that are whole, of kinds that no microscope makes: complex, boolean, not finite, huge numbers, odd shapes."""

import io
import itertools
import random
from collections.abc import Callable, Iterator
from pathlib import Path

import imagecodecs
import numpy as np
import zarr
from PIL import Image

from adversary.cast import source, tiff
from adversary.families.damaged import COMMANDS, attempt_on, eight_bit, written
from adversary.law import Attempt

ANY = frozenset({0, 1, 2})
WRONG = frozenset({2})


def _png(mode: str, **named) -> bytes:
    with io.BytesIO() as file:
        Image.fromarray(eight_bit()).convert(mode).save(file, named.pop("format", "png"), **named)
        return file.getvalue()


def _values(value: float, kind: str, share: float = 1) -> Callable[[], bytes]:
    def make() -> bytes:
        image = source().astype(kind)
        with np.errstate(all="ignore"):
            image[: int(len(image) * share)] = np.array(value).astype(kind)
        return tiff(image)

    return make


ODD: dict[str, tuple[str, Callable[[], bytes], frozenset[int]]] = {
    "complex64": ("x.tif", lambda: tiff(source() * np.complex64(1 + 2j)), WRONG),
    "complex128": ("x.tif", lambda: tiff(source() * np.complex128(1 + 2j)), WRONG),
    "bool": ("x.tif", lambda: tiff(source() > 500), ANY),
    "int64": ("x.tif", lambda: tiff(source().astype(np.int64) << 40), ANY),
    "uint64": ("x.tif", lambda: tiff(np.full((48, 48), 2**64 - 1, np.uint64)), ANY),
    "int8": ("x.tif", lambda: tiff((source() % 256).astype(np.int8)), ANY),
    "float16": ("x.tif", lambda: tiff(source().astype(np.float16)), ANY),
    "float64": ("x.tif", lambda: tiff(source() * 1e300), ANY),
    "tiny": ("x.tif", lambda: tiff(source() * 1e-310), ANY),
    "nan": ("x.tif", _values(np.nan, "f4"), ANY),
    "some nan": ("x.tif", _values(np.nan, "f4", 0.2), ANY),
    "inf": ("x.tif", _values(np.inf, "f4", 0.2), ANY),
    "minus inf": ("x.tif", _values(-np.inf, "f8", 1), ANY),
    "constant": ("x.tif", _values(7, "u2"), ANY),
    "rgba": ("x.png", lambda: _png("RGBA"), ANY),
    "palette": ("x.png", lambda: _png("P"), ANY),
    "one bit": ("x.png", lambda: _png("1"), ANY),
    "grey and alpha": ("x.png", lambda: _png("LA"), ANY),
    "cmyk": ("x.jpg", lambda: _png("CMYK", format="jpeg"), ANY),
    "colours": ("x.jpg", lambda: _png("RGB", format="jpeg"), ANY),
    "palette in tiff": ("x.tif", lambda: _png("P", format="tiff"), ANY),
    "1x1": ("x.tif", lambda: tiff(source()[:1, :1]), ANY),
    "1x48": ("x.tif", lambda: tiff(source()[:1]), ANY),
    "planar": ("x.tif", lambda: tiff(np.stack([source()] * 3), photometric="rgb", planarconfig="separate"), ANY),
    "five axes": ("x.tif", lambda: tiff(np.stack([source()] * 8).reshape(2, 2, 2, 48, 48)), ANY),
    "seven axes": ("x.tif", lambda: tiff(np.ones((1, 2, 1, 2, 1, 4, 4), "u2")), ANY),
    "no extension": ("x", lambda: tiff(source()), ANY),
    "one of many levels": ("x.tif", lambda: tiff(np.stack([source()] * 3), metadata={"axes": "QYX"}), ANY),
    "big endian": ("x.tif", lambda: tiff(source(), byteorder=">"), ANY),
    "a mask": ("x.tif", lambda: tiff(source() * 0), ANY),
    "other size": ("x.png", lambda: imagecodecs.png_encode(source()[:40, :33]), ANY),
}


def _stored(kind: str) -> Callable[[Path], object]:
    def make(folder: Path) -> None:
        image = np.zeros((0, 48) if kind == "no rows" else (48, 48), "c8" if kind == "complex" else "f4")
        array = zarr.create_array(folder / "x.zarr", shape=image.shape, dtype=image.dtype, chunks=(16, 16))
        if image.size:
            array[:] = source() + (1j if kind == "complex" else 0)

    return make


def attempts() -> Iterator[Attempt]:
    """Each kind of pixels for each command; then mixtures at random."""
    for command, (name, (path, content, codes)) in itertools.product(COMMANDS, ODD.items()):
        if command in ("check", "predict") or name in (
            "complex64",
            "nan",
            "some nan",
            "inf",
            "1x1",
            "float64",
            "uint64",
        ):
            yield attempt_on(name, path, written(path, content()), command, codes)
    for command in ("check", "predict"):
        yield attempt_on("complex zarr", "x.zarr", _stored("complex"), command, WRONG)
        yield attempt_on("no rows zarr", "x.zarr", _stored("no rows"), command, WRONG)
    kinds = ("u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f2", "f4", "f8", "c8", "?")
    for number in itertools.count():
        chance = random.Random(f"pixels {number}")
        shape = tuple(chance.choice((1, 1, 2, 3, 5, 48)) for _ in range(chance.choice((2, 2, 3, 4, 5))))
        kind = chance.choice(kinds)
        with np.errstate(all="ignore"):
            wild = np.random.default_rng(number).normal(0, 10.0 ** chance.choice((0, 3, 9, 200)), shape)
            if chance.random() < 0.3:
                wild.flat[0] = chance.choice((np.nan, np.inf, -np.inf))
            image = wild.astype(kind)
        yield attempt_on(
            f"{number}-{kind}-{shape}",
            "x.tif",
            written("x.tif", tiff(image, photometric="minisblack")),
            chance.choice(COMMANDS[:2] if chance.random() < 0.8 else COMMANDS),
            WRONG if kind == "c8" else ANY,
        )
