"""Pixels are seen as their file means them: upright, 0 black, labels as numbers, without opacity; real numbers only."""

import struct
import zlib

import imagecodecs
import numpy as np
import pytest
import tifffile
import zarr

from napari_pix2pix.files.readers.encoded import PNG, png_chunks
from napari_pix2pix.files.stacks import open_stack

RNG = np.random.default_rng(0)
GREY = RNG.integers(0, 256, (20, 30), np.uint8)
RGB = RNG.integers(0, 256, (20, 30, 3), np.uint8)
UPRIGHT = {
    1: lambda stored: stored,
    2: lambda stored: stored[:, ::-1],
    3: lambda stored: stored[::-1, ::-1],
    4: lambda stored: stored[::-1],
    5: lambda stored: stored.swapaxes(0, 1),
    6: lambda stored: np.rot90(stored, -1),
    7: lambda stored: np.rot90(stored, -1)[::-1],
    8: np.rot90,
}
"""By orientation: what is seen, of the stored rows and columns."""
WINDOWS = (..., 3, (slice(2, 9), slice(4, 15)), (slice(None), 5), (slice(2, 8, 2), slice(3, 14, 3)), (-1, -1))


def exif(orientation: int) -> bytes:
    """Exif data that hold an orientation alone."""
    return b"MM\x00*\x00\x00\x00\x08\x00\x01" + struct.pack(">HHIHHI", 274, 3, 1, orientation, 0, 0)


def chunk(name: bytes, content: bytes) -> bytes:
    """A chunk of a PNG."""
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def with_exif(data: bytes, orientation: int) -> bytes:
    """The PNG or JPEG, said to be turned."""
    if data.startswith(PNG):
        return data[:33] + chunk(b"eXIf", exif(orientation)) + data[33:]
    said = b"Exif\x00\x00" + exif(orientation)
    return data[:2] + b"\xff\xe1" + struct.pack(">H", len(said) + 2) + said + data[2:]


@pytest.mark.parametrize("orientation", UPRIGHT)
@pytest.mark.parametrize("kind", ["png", "jpg", "tif", "tiles.tif", "rgb.tif", "stack.tif"])
def test_images_are_upright(tmp_path, kind: str, orientation: int) -> None:
    """Exif of pictures and the tag of a TIFF turn the image, whole and in windows."""
    path = tmp_path / f"a.{kind}"
    pixels = {"rgb.tif": RGB, "stack.tif": np.stack([GREY, GREY + 1])}.get(kind, GREY)
    if kind.endswith("tif"):
        how = {"photometric": "rgb" if pixels is RGB else "minisblack", "metadata": None}
        how |= {"tile": (16, 16), "compression": "zlib"} if kind.startswith("tiles") else {}
        tifffile.imwrite(path, pixels, extratags=[(274, "H", 1, orientation, True)], **how)
    else:
        data = imagecodecs.png_encode(pixels) if kind == "png" else imagecodecs.jpeg8_encode(pixels, 99)
        pixels = imagecodecs.imread(bytes(data))
        path.write_bytes(with_exif(bytes(data), orientation))
    read = open_stack(path).array
    expected = UPRIGHT[orientation](pixels) if kind != "stack.tif" else np.stack([*map(UPRIGHT[orientation], pixels)])
    assert read.shape == expected.shape
    for window in WINDOWS:
        whole = (
            window if kind != "stack.tif" or window is ... else (1, *(window if type(window) is tuple else [window]))
        )
        np.testing.assert_array_equal(read[whole], expected[whole])


@pytest.mark.parametrize("dtype", ["bool", "uint8", "uint16"])
@pytest.mark.parametrize("compression", [None, "zlib"])
def test_white_is_zero_is_turned_round(tmp_path, dtype: str, compression) -> None:
    """Two files that say the same of every pixel are read as the same, though one counts from white."""
    black = RNG.integers(0, 2 if dtype == "bool" else 200, (20, 30)).astype(dtype)
    white = ~black
    for name, stored in (("minisblack", black), ("miniswhite", white)):
        tifffile.imwrite(tmp_path / f"{name}.tif", stored, photometric=name, compression=compression)
        read = open_stack(tmp_path / f"{name}.tif").array
        assert read.dtype == dtype
        np.testing.assert_array_equal(read[...], black)
        np.testing.assert_array_equal(read[2:5, 7], black[2:5, 7])


@pytest.mark.parametrize("planar", ["contig", "separate"])
@pytest.mark.parametrize("n", [2, 4])
@pytest.mark.parametrize("kind", ["unassalpha", "assocalpha"])
@pytest.mark.parametrize("ome", [False, True])
def test_opacity_of_tiffs_is_left_out(tmp_path, kind: str, n: int, planar: str, ome: bool) -> None:
    """As that of a PNG: RGBA is RGB, grey with opacity is grey, and it is said."""
    stored = RNG.integers(0, 256, (20, 30, n), np.uint8)
    seen = stored[..., 0] if n == 2 else stored[..., :3]
    moved = stored if planar == "contig" else np.moveaxis(stored, -1, 0)
    photometric = "minisblack" if n == 2 else "rgb"
    path = tmp_path / ("a.ome.tif" if ome else "a.tif")
    tifffile.imwrite(path, moved, photometric=photometric, planarconfig=planar, extrasamples=[kind], ome=ome)
    with pytest.warns(UserWarning, match="opacity in images is left out"):
        read = open_stack(path)
    frame = read.plan.take(read.array, 0)
    np.testing.assert_array_equal(frame, np.moveaxis(seen.reshape(20, 30, -1), -1, 0))
    rows = read.plan.take(read.array, 0, read.plan.rows(slice(3, 9)))
    np.testing.assert_array_equal(rows, frame[:, 3:9])


def test_samples_that_are_no_opacity_stay(tmp_path) -> None:
    """Four samples of which none is said to be opacity are four channels."""
    stored = RNG.integers(0, 256, (20, 30, 4), np.uint8)
    tifffile.imwrite(tmp_path / "a.tif", stored, photometric="minisblack", planarconfig="contig")
    assert open_stack(tmp_path / "a.tif").plan.n_channels == 4


def palette_png(numbers: np.ndarray, colours: np.ndarray, opacity: bytes) -> bytes:
    """A PNG whose pixels are numbers of colours."""
    rows = b"".join(b"\x00" + row.tobytes() for row in numbers)
    head = struct.pack(">IIBBBBB", numbers.shape[1], numbers.shape[0], 8, 3, 0, 0, 0)
    said = ((b"IHDR", head), (b"PLTE", colours.tobytes()), (b"tRNS", opacity), (b"IDAT", zlib.compress(rows)))
    return PNG + b"".join(chunk(name, content) for name, content in (*said, (b"IEND", b"")))


def test_a_palette_is_of_labels_or_of_a_photo(tmp_path) -> None:
    """Numbers that mark areas are labels; those of which neighbours differ are a photo's colours. Either is said."""
    colours = RNG.integers(0, 256, (256, 3), np.uint8)
    areas = np.repeat(np.repeat(RNG.integers(0, 5, (4, 3), np.uint8), 16, 0), 16, 1)
    for name, numbers, seen in (("areas", areas, areas), ("photo", GREY, colours[GREY])):
        data = palette_png(numbers, colours, b"\x00" if name == "areas" else b"\xff")
        assert [part for part, _ in png_chunks(data)] == [b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND"]
        (tmp_path / f"{name}.png").write_bytes(data)
        with pytest.warns(UserWarning, match="with a palette are read as"):
            read = open_stack(tmp_path / f"{name}.png")
        np.testing.assert_array_equal(read.array[...], seen)
    tifffile.imwrite(tmp_path / "a.tif", GREY, photometric="palette", colormap=np.zeros((3, 256), np.uint16))
    np.testing.assert_array_equal(open_stack(tmp_path / "a.tif").array[...], GREY)


@pytest.mark.parametrize("suffix", ["tif", "zarr"])
def test_complex_pixels_are_refused(tmp_path, suffix: str) -> None:
    """With the way out, whatever the format."""
    pixels = np.ones((20, 30), np.complex64)
    if suffix == "tif":
        tifffile.imwrite(tmp_path / "a.tif", pixels)
    else:
        zarr.create_array(tmp_path / "a.zarr", data=pixels)
    with pytest.raises(ValueError, match=r"must be real numbers; .* are complex\. Save their magnitude or phase"):
        open_stack(tmp_path / f"a.{suffix}")
