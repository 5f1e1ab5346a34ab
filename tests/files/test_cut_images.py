"""An image that is cut short is refused wherever it is cut; what follows a whole one does not matter."""

import os
import struct
import sys

import imagecodecs
import numpy as np
import pytest
import tifffile

from napari_pix2pix.files.readers.encoded import require_whole, size_of
from napari_pix2pix.files.stacks import open_stack

RNG = np.random.default_rng(0)
Y, X = np.mgrid[:96, :128]
IMAGE = (127 + 60 * np.sin(X / 9) + 50 * np.cos(Y / 7) + RNG.normal(0, 8, X.shape)).clip(0, 255).astype(np.uint8)
COLOURS = np.stack([IMAGE, IMAGE[::-1], IMAGE[:, ::-1]], axis=-1)
ENCODED = {
    "png": imagecodecs.png_encode(COLOURS),
    "jpg": imagecodecs.jpeg8_encode(COLOURS),
    "grey.jpg": imagecodecs.jpeg8_encode(IMAGE),
    "webp.png": imagecodecs.webp_encode(COLOURS),
    "jp2.png": imagecodecs.jpeg2k_encode(COLOURS),
}


@pytest.mark.parametrize("name", ENCODED)
@pytest.mark.parametrize("keep", [0.1, 1 / 3, 0.6, 0.95, 0.999])
def test_cut_pictures_are_refused(tmp_path, name: str, keep: float) -> None:
    """Cut anywhere, it is one sentence and no grey area."""
    whole = bytes(ENCODED[name])
    (tmp_path / f"a.{name}").write_bytes(whole[: int(len(whole) * keep)])
    with pytest.raises(ValueError, match=r"must be a readable .* is not"):
        open_stack(tmp_path / f"a.{name}")


@pytest.mark.parametrize("name", ENCODED)
@pytest.mark.parametrize("more", [b"\x00" * 9, b"\xff" * 9, b"trailer", bytes(ENCODED["jpg"])])
def test_what_follows_an_image_does_not_matter(tmp_path, name: str, more: bytes) -> None:
    """Padding, a camera's trailer or a second picture is no damage."""
    (tmp_path / f"a.{name}").write_bytes(bytes(ENCODED[name]) + more)
    np.testing.assert_array_equal(open_stack(tmp_path / f"a.{name}").array[...], imagecodecs.imread(ENCODED[name]))


def test_a_jpeg_with_all_that_jpegs_have_is_whole() -> None:
    """Comments, thumbnails that are JPEGs themselves, padded markers and restarts."""
    whole = bytes(ENCODED["jpg"])
    thumbnail = b"Exif\x00\x00" + whole[:500]
    for piece in (b"\xff\xe1" + struct.pack(">H", len(thumbnail) + 2) + thumbnail, b"\xff\xff\xff\xfe\x00\x04ab"):
        changed = whole[:2] + piece + whole[2:]
        require_whole(changed)
        np.testing.assert_array_equal(imagecodecs.jpeg8_decode(changed), imagecodecs.jpeg8_decode(whole))
    require_whole(whole[:-2] + b"\xff\xd0\xff\x00\xff\xd9")


def test_a_jpeg_that_promises_more_than_it_can_hold_is_refused(tmp_path) -> None:
    """Its header alone would take gigabytes, filled with grey."""
    data = bytearray(ENCODED["grey.jpg"])
    at = data.index(b"\xff\xc0") + 5
    data[at : at + 4] = struct.pack(">HH", 65500, 65500)
    (tmp_path / "a.jpg").write_bytes(data)
    with pytest.raises(ValueError, match="it is cut short"):
        open_stack(tmp_path / "a.jpg")


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such files")
@pytest.mark.parametrize("kind", ["pipe", "link", "folder", "zarr"])
def test_what_is_no_file_is_told_at_once(tmp_path, kind: str) -> None:
    """A pipe is not waited for, and a link without an end is told as such."""
    path = tmp_path / ("a.zarr" if kind == "zarr" else "a.tif")
    if kind == "zarr":
        path.mkdir()
    if kind in ("pipe", "zarr"):
        os.mkfifo(path / "zarr.json" if kind == "zarr" else path)
    elif kind == "link":
        path.symlink_to(tmp_path / "gone.tif")
    else:
        path.mkdir()
    told = {"pipe": "a.tif is neither", "link": r"A link must lead to an image; .*gone\.tif", "folder": "is neither"}
    with pytest.raises((ValueError, FileNotFoundError), match=told.get(kind, "its metadata are no file")):
        open_stack(path)


@pytest.mark.parametrize("compression", ["jpeg", "jpeg2000", "webp", "png", "jpegxr", "zlib", "lzw", "zstd"])
@pytest.mark.parametrize("piece", [0, 5])
def test_cut_tiles_are_refused(tmp_path, compression: str, piece: int) -> None:
    """The same inside a TIFF, in the first tile or a later one: the image or an error, never grey."""
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, COLOURS, photometric="rgb", compression=compression, tile=(32, 32))
    with tifffile.TiffFile(path) as file:
        start, n = file.pages[0].dataoffsets[piece], file.pages[0].databytecounts[piece]
        tag = file.pages[0].tags["TileByteCounts"]
        place = tag.valueoffset + piece * (tag.valuebytecount // tag.count)
        width = tag.valuebytecount // tag.count
    assert open_stack(path).array[...].shape == COLOURS.shape
    data = bytearray(path.read_bytes())
    data[place : place + width] = (n // 2).to_bytes(width, "little")  # the tile is said to be half as long
    path.write_bytes(data)
    with pytest.raises(ValueError, match=r"must be a readable .*a\.tif is not"):
        open_stack(path).array[...]
    assert start


@pytest.mark.parametrize("compression", ["zlib", "lzw", "zstd", "lzma", "packbits"])
def test_a_strip_that_unpacks_to_more_is_refused(tmp_path, compression: str) -> None:
    """No more is unpacked than the page says."""
    encode = getattr(imagecodecs, f"{compression}_encode")
    small, large = (bytes(encode(bytes(n))) for n in (64 * 64, 2**20 if compression == "packbits" else 2**25))
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, iter([small]), shape=(64, 64), dtype="uint8", compression=compression, metadata=None)
    data = bytearray(path.read_bytes())
    with tifffile.TiffFile(path) as file:
        offset, count = (file.pages[0].tags[name].valueoffset for name in ("StripOffsets", "StripByteCounts"))
    data[offset : offset + 4], data[count : count + 4] = (n.to_bytes(4, "little") for n in (len(data), len(large)))
    path.write_bytes(bytes(data) + large)
    with pytest.raises(ValueError, match=r"must hold 4096 bytes by the header; it holds more"):
        open_stack(path)


@pytest.mark.parametrize("size", [(40, 64), (2048, 1024), (50, 60), (123, 457)])
@pytest.mark.parametrize("codec", ["jpeg8", "png", "jpeg2k", "jpegxr", "webp", "jpegxl", "lerc", "avif", "jpegls"])
def test_the_size_of_an_image_is_known_before_it_is_decoded(codec: str, size) -> None:
    """As its decoder finds it."""
    pixels = np.zeros((*size, 3) if codec == "webp" else size, np.uint8)
    for how in ({"lossless": True}, {"lossless": False}) if codec == "webp" else ({},):
        encoded = bytes(getattr(imagecodecs, f"{codec}_encode")(pixels, **how))
        assert size_of(encoded) == size == getattr(imagecodecs, f"{codec}_decode")(encoded).shape[:2]


@pytest.mark.parametrize("compression", ["jpeg", "png", "jpeg2000", "jpegxr"])
def test_an_image_in_a_tile_is_no_larger_than_the_tile(tmp_path, compression: str) -> None:
    """What the image itself says is compared before anything is decoded."""
    name = {"jpeg": "jpeg8", "jpeg2000": "jpeg2k"}.get(compression, compression)
    large = bytes(getattr(imagecodecs, f"{name}_encode")(np.zeros((2048, 1024), np.uint8)))
    how = {"shape": (64, 64), "dtype": "uint8", "compression": compression, "metadata": None, "tile": (64, 64)}
    tifffile.imwrite(tmp_path / "a.tif", iter([large]), photometric="minisblack", **how)
    with pytest.raises(ValueError, match="must hold 64 x 64 px by the header; it holds 2048 x 1024"):
        open_stack(tmp_path / "a.tif")


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".tif"])
def test_empty_files_are_refused(tmp_path, suffix: str) -> None:
    """Decoders of pictures end the process on nothing, so they are not asked."""
    path = tmp_path / f"empty{suffix}"
    path.write_bytes(b"")
    with pytest.raises(ValueError, match="empty"):
        open_stack(path)
