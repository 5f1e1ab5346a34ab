"""Every kind of TIFF is read as what it is, and what is damaged is told."""

import logging
import threading
from pathlib import Path

import numpy as np
import pytest
import tifffile

from napari_pix2pix.files.folders import list_images
from napari_pix2pix.files.readers import tiff
from napari_pix2pix.files.stacks import open_stack

RNG = np.random.default_rng(0)
STACK = RNG.integers(0, 9999, (3, 2, 40, 50), dtype=np.uint16)
OME = '<?xml version="1.0" encoding="UTF-8"?><OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06" {}</OME>'


def write(path: Path, stack=STACK, **how) -> None:
    tifffile.imwrite(path, stack, **{"photometric": "minisblack", **how})


@pytest.mark.parametrize(
    "how",
    [
        {"metadata": None},
        {"tile": (16, 32), "compression": "zlib"},
        {"rowsperstrip": 7, "compression": "lzw"},
        {"compression": "zstd", "predictor": True},
        {"bigtiff": True},
        {"byteorder": ">"},
        {"imagej": True},
        {"ome": True, "metadata": {"axes": "TCYX"}},
        {"planarconfig": "separate"},
        {"truncate": True},
    ],
    ids=str,
)
def test_kinds_of_tiff_are_read(tmp_path, how) -> None:
    """However the pages are stored, a window and the whole are the pixels that were written."""
    write(tmp_path / "a b.tif", **how)
    read = open_stack(tmp_path / "a b.tif").array
    pages = STACK.reshape(-1, 40, 50)
    np.testing.assert_array_equal(read[...].reshape(pages.shape), pages)
    np.testing.assert_array_equal(read[..., 5:20, 17:49].reshape(-1, 15, 32), pages[:, 5:20, 17:49])


@pytest.mark.parametrize("dtype", ["bool", "int8", "int16", "uint32", "float16", "float32", "float64"])
def test_dtypes_are_kept(tmp_path, dtype: str) -> None:
    """Single bits, signed and half numbers keep their values and dtype."""
    stack = RNG.integers(0, 2, (2, 33, 41)).astype(dtype) - (3 if dtype.startswith("int") else 0)
    write(tmp_path / "a.tif", stack.astype(dtype), compression="zlib")
    read = open_stack(tmp_path / "a.tif")
    assert read.array.dtype == dtype
    np.testing.assert_array_equal(read.array[:, 3:], stack[:, 3:])


def test_only_the_tiles_under_a_window_are_read(tmp_path, monkeypatch) -> None:
    """A window of one tile reads one tile."""
    write(tmp_path / "a.tif", STACK, tile=(16, 16), compression="zlib")
    array, counted = open_stack(tmp_path / "a.tif").array, []
    read = tifffile.FileHandle.read
    monkeypatch.setattr(tifffile.FileHandle, "read", lambda *given: counted.append(given[1:]) or read(*given))
    array[...]  # the headers are known from here on
    counted.clear()
    np.testing.assert_array_equal(array[2, 1, 16:30, 32:40], STACK[2, 1, 16:30, 32:40])
    assert len(counted) == 1


def test_a_pyramid_is_read_at_full_resolution(tmp_path) -> None:
    """Of the levels of a pyramid the largest is the image."""
    with tifffile.TiffWriter(tmp_path / "p.ome.tif") as file:
        file.write(STACK[0], subifds=1, tile=(16, 16), photometric="minisblack", metadata={"axes": "CYX"})
        file.write(STACK[0, :, ::2, ::2], subfiletype=1, tile=(16, 16), photometric="minisblack")
    np.testing.assert_array_equal(open_stack(tmp_path / "p.ome.tif").array[...], STACK[0])


def test_ome_says_axes_units_and_names(tmp_path) -> None:
    """Sizes in other units become micrometres, and channels have their names."""
    said = {"axes": "ZCYX", "PhysicalSizeX": 250, "PhysicalSizeXUnit": "nm", "PhysicalSizeZ": 0.002}
    said |= {
        "PhysicalSizeZUnit": "mm",
        "PhysicalSizeY": 3,
        "PhysicalSizeYUnit": "pixel",
        "Channel": {"Name": ["a", "é"]},
    }
    write(tmp_path / "a.ome.tif", ome=True, metadata=said)
    read = open_stack(tmp_path / "a.ome.tif")
    assert (read.axes, read.channel_names) == ("ZCYX", ("a", "é"))
    assert read.pixel_size_um == pytest.approx({"X": 0.25, "Z": 2})


@pytest.mark.parametrize(
    ("labels", "names"),
    [(["DAPI", "GFP"] * 3, ("DAPI", "GFP")), (["1", "2", "3", "4", "5", "6"], ()), ([], ())],
)
def test_imagej_labels_name_channels(tmp_path, labels, names) -> None:
    """ImageJ's slice labels are channel names where they repeat for every slice."""
    more = {"Labels": labels} if labels else {}
    write(tmp_path / "j.tif", imagej=True, metadata={"axes": "ZCYX", **more})
    assert open_stack(tmp_path / "j.tif").channel_names == names


def multi_file(folder: Path, n: int) -> list[Path]:
    """An OME-TIFF of `n` time points, each in a file of its own; every file has the whole OME-XML."""
    paths = [folder / f"part {i}.ome.tif" for i in range(n)]
    places = "".join(
        f'<TiffData FirstT="{i}" IFD="0" PlaneCount="1"><UUID FileName="{path.name}">urn:uuid:{i}</UUID></TiffData>'
        for i, path in enumerate(paths)
    )
    for i, path in enumerate(paths):
        xml = OME.format(
            f'UUID="urn:uuid:{i}"><Image ID="Image:0"><Pixels ID="Pixels:0" DimensionOrder="XYCZT" Type="uint16" '
            f'SizeX="50" SizeY="40" SizeC="1" SizeZ="1" SizeT="{n}"><Channel ID="Channel:0:0" SamplesPerPixel="1"/>'
            f"{places}</Pixels></Image>"
        )
        write(path, STACK[i, 0], description=xml, metadata=None, compression="zlib")
    return paths


def test_a_stack_in_several_files_is_one_stack(tmp_path) -> None:
    """The parts of an OME-TIFF are read together; where one is missing or damaged, it is named."""
    paths = multi_file(tmp_path, 3)
    read = open_stack(paths[0])
    assert (read.axes, read.array.shape) == ("TYX", (3, 40, 50))
    np.testing.assert_array_equal(read.array[...], STACK[:, 0])
    np.testing.assert_array_equal(read.array[2, 3:5], STACK[2, 0, 3:5])
    with pytest.raises(ValueError, match=r"it is a part of an OME-TIFF; open part 0\.ome\.tif"):
        open_stack(paths[1])
    with pytest.raises(ValueError, match=r"Give that one, or the axes of this file's own pages"):
        open_stack(paths[1])
    np.testing.assert_array_equal(open_stack(paths[1], "YX").array[...], STACK[1, 0])
    whole = paths[2].read_bytes()
    paths[2].write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match=r"part 0\.ome\.tif is not"):
        open_stack(paths[0])
    paths[2].unlink()
    for axes in (None, "TYX"):
        with pytest.raises(ValueError, match=r"part 2\.ome\.tif' is missing or damaged"):
            open_stack(paths[0], axes)
    np.testing.assert_array_equal(open_stack(paths[0], "YX").array[...], STACK[0, 0])


def test_a_folder_of_sets_holds_their_first_files(tmp_path) -> None:
    """Parts are read with the first file, and not counted as images that fail; without it they are told."""
    paths = multi_file(tmp_path, 3)
    write(tmp_path / "b.ome.tif")
    with pytest.warns(UserWarning, match="2 of 4 files are parts of OME-TIFFs whose first file is there"):
        assert list_images(tmp_path) == [tmp_path / "b.ome.tif", paths[0]]
    paths[0].unlink()
    assert list_images(tmp_path) == [tmp_path / "b.ome.tif", *paths[1:]]


def test_a_part_without_the_metadata_points_to_it(tmp_path) -> None:
    """A file that says that its OME-XML is elsewhere is not read as a stack of its own."""
    xml = OME.format('UUID="urn:uuid:1"><BinaryOnly MetadataFile="first.ome.tif" UUID="urn:uuid:0"/>')
    write(tmp_path / "b.ome.tif", STACK[0, 0], description=xml, metadata=None)
    with pytest.raises(ValueError, match=r"part of an OME-TIFF; open first\.ome\.tif"):
        open_stack(tmp_path / "b.ome.tif")


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ('SizeT="3"', 'SizeT="4"'),
        ('SizeT="3"', 'SizeT="2"'),
        ('SizeX="50"', 'SizeX="60"'),
        ('SizeY="40"', 'SizeY="20"'),
        ('Type="uint16"', 'Type="float"'),
        ("</OME>", "</EMO>"),
        ("<Pixels", "<Pixies"),
    ],
)
def test_ome_xml_that_disagrees_is_told(tmp_path, before: str, after: str) -> None:
    """OME-XML that does not fit the pixels is an error that says so; with axes given, the pages are what they are."""
    path = tmp_path / "a.ome.tif"
    write(path, ome=True, metadata={"axes": "TCYX"})
    tifffile.tiffcomment(path, tifffile.tiffcomment(path).replace(before, after).encode())
    with pytest.raises(ValueError, match=r"The OME-XML of .*a\.ome\.tif must agree with its pixels; .* Give the axes"):
        open_stack(path)
    np.testing.assert_array_equal(open_stack(path, "TYX").array[...], STACK.reshape(6, 40, 50))


def test_pages_that_are_no_stack_are_told(tmp_path) -> None:
    """Where pages differ in size, none of them is silently left out."""
    with tifffile.TiffWriter(tmp_path / "a.tif") as file:
        for size in (40, 40, 30):
            file.write(STACK[0, 0, :size], photometric="minisblack", metadata=None)
    with pytest.raises(ValueError, match="its 3 pages are not one stack"):
        open_stack(tmp_path / "a.tif")


def test_a_second_image_in_the_file_is_mentioned(tmp_path) -> None:
    """Of several images in an OME-TIFF the first is read, and that is said."""
    with tifffile.TiffWriter(tmp_path / "a.ome.tif") as file:
        for stack in (STACK[0], STACK[0, 0, :20]):
            file.write(stack, photometric="minisblack", metadata={"axes": "CYX"[-stack.ndim :]})
    with pytest.warns(UserWarning, match=r"a\.ome\.tif holds 2 images; the first, \(2, 40, 50\), is read"):
        assert open_stack(tmp_path / "a.ome.tif").array.shape == (2, 40, 50)


@pytest.mark.parametrize("before", [True, False])
def test_a_preview_is_left_out(tmp_path, before: bool) -> None:
    """A small page beside the stack, before or behind it, is no part of it, and that is said."""
    preview, stack = STACK[0, 0, :10, :12].astype(np.uint8), STACK[:, 0]
    with tifffile.TiffWriter(tmp_path / "a.tif") as file:
        for image in (preview, stack) if before else (stack, preview):
            file.write(image, photometric="minisblack", metadata=None, compression="zlib")
    with pytest.warns(UserWarning, match=r"a\.tif holds 2 images; the largest, \(3, 40, 50\), is read"):
        read = open_stack(tmp_path / "a.tif")
    np.testing.assert_array_equal(read.array[...], stack)
    np.testing.assert_array_equal(read.array[1, 3:9], stack[1, 3:9])


def test_other_threads_may_read_what_we_refuse(tmp_path, monkeypatch) -> None:
    """While a file is opened here, what tifffile logs of another in another thread stays a log there."""
    write(tmp_path / "a.tif")
    logged = []

    def log() -> None:
        try:
            logging.getLogger("tifffile").error("a fault in napari's reader")
        except ValueError as error:
            logged.append(error)

    def whole(series: tifffile.TiffPageSeries) -> None:
        other = threading.Thread(target=log)
        other.start()
        other.join()

    monkeypatch.setattr(tiff, "_require_whole", whole)
    open_stack(tmp_path / "a.tif")
    assert logged == []


def test_absurd_sizes_are_refused(tmp_path) -> None:
    """A header that promises terabytes is an error, not an attempt."""
    path = tmp_path / "a.tif"
    write(path, STACK[0, 0], metadata=None, compression="zlib")
    with tifffile.TiffFile(path, mode="r+") as file:
        file.pages[0].tags["ImageWidth"].overwrite(2**31 - 1, dtype="I")
    with pytest.raises(ValueError, match="must be a readable TIFF"):
        open_stack(path)


@pytest.mark.parametrize(
    "how",
    [
        {"metadata": None},
        {"compression": "zlib"},
        {"compression": "lzw", "rowsperstrip": 16, "metadata": None},
        {"compression": "zlib", "tile": (32, 32)},
        {"imagej": True, "metadata": {"axes": "ZCYX"}},
        {"ome": True, "compression": "zlib", "metadata": {"axes": "ZCYX"}},
        {"bigtiff": True, "rowsperstrip": 7},
    ],
    ids=str,
)
def test_damaged_tiffs_are_an_error_or_the_image(tmp_path, how) -> None:
    """Cut anywhere or with one bit flipped, a TIFF gives one sentence, or an image of the right size and dtype.

    Where pixels have a checksum (zlib), they are the right pixels, too. Which axis the pages count may be lost.
    """
    path, random = tmp_path / "a.tif", np.random.default_rng(1)
    write(path, **how)
    whole = path.read_bytes()
    with tifffile.TiffFile(path) as file:
        spans = [span for page in file.pages for span in zip(page.dataoffsets, page.databytecounts, strict=True)]
    is_header = np.ones(len(whole), bool)
    for start, count in spans:
        is_header[start : start + count] = False
    outcomes = set()
    for i in range(60):
        damaged = bytearray(whole)
        if i % 3 == 0:
            damaged = damaged[: random.integers(len(whole))]
        else:
            at = random.choice(np.flatnonzero(is_header)) if i % 3 == 1 else random.integers(len(whole))
            damaged[at] ^= 1 << random.integers(8)
        path.write_bytes(damaged)
        try:
            pixels = open_stack(path).array[...]
        except ValueError as error:
            assert "Write it anew" in str(error) or "must agree with its pixels" in str(error)
            outcomes.add("told")
            continue
        assert (pixels.size, pixels.shape[-2:], pixels.dtype) == (STACK.size, STACK.shape[-2:], STACK.dtype)
        if how.get("compression") == "zlib":
            np.testing.assert_array_equal(pixels.reshape(STACK.shape), STACK)
        outcomes.add("read")
    assert outcomes == {"told", "read"}
