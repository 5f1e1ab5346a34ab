"""OME-TIFFs are written as Fiji, QuPath and other viewers need them."""

import json
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import tifffile

from napari_pix2pix.core.geometry.axes import AxesPlan
from napari_pix2pix.files.stacks import open_stack, write_stack
from napari_pix2pix.files.writers import ome_tiff

RNG = np.random.default_rng(0)


def test_large_frames_get_a_pyramid(tmp_path, monkeypatch) -> None:
    """Above 4096 x 4096 pixels, tiles and levels of half the size; labels are never averaged, intensities always."""
    monkeypatch.setattr(ome_tiff, "PYRAMID_ABOVE", 1000**2)
    monkeypatch.chdir(tmp_path)  # a bare name is a path, too
    for axes, shape, dtype, labels in (
        ("ZCYX", (2, 2, 1001, 1100), "uint16", False),
        ("YXS", (1200, 1001, 3), "uint8", False),
        ("YX", (1001, 1100), "int32", None),
        ("YX", (1001, 1100), "uint8", True),
    ):
        plan = AxesPlan(axes, shape)
        stack = RNG.integers(0, 200, shape).astype(dtype)
        frames = (plan.take(stack, i) for i in range(plan.n_frames))
        write_stack("a.tif", plan, dtype, frames, labels=labels)
        with tifffile.TiffFile("a.tif") as file:
            assert len(file.series) == 1
            assert file.pages[0].tile == (512, 512)
            assert len(file.pages[0].subifds) == 2
            levels = [level.asarray() for level in file.series[0].levels]
        np.testing.assert_array_equal(levels[0], stack)
        y, x = axes.index("Y"), axes.index("X")
        for above, level in pairwise(levels):
            halves = np.moveaxis(above, (y, x), (-2, -1))[..., ::2, ::2]
            level = np.moveaxis(level, (y, x), (-2, -1))
            assert level.shape == halves.shape
            if labels is False:
                even = np.pad(
                    np.moveaxis(above, (y, x), (-2, -1)), [(0, 0)] * (above.ndim - 2) + [(0, 1), (0, 1)], "edge"
                )
                four = [
                    even[..., i::2, j::2][..., : level.shape[-2], : level.shape[-1]] for i in (0, 1) for j in (0, 1)
                ]
                assert np.abs(np.mean(four, axis=0) - level).max() <= 0.5
            else:
                np.testing.assert_array_equal(level, halves)
    assert [path.name for path in tmp_path.iterdir()] == ["a.tif"]


def test_bigtiff_is_used_where_4_gigabytes_may_not_do(tmp_path, monkeypatch) -> None:
    """A small stack is a TIFF that every program reads, a large one a BigTIFF."""
    plan = AxesPlan("TYX", (2, 64, 64))
    for limit, big in ((ome_tiff.BIG_ABOVE, False), (1000, True)):
        monkeypatch.setattr(ome_tiff, "BIG_ABOVE", limit)
        write_stack(tmp_path / "a.tif", plan, "uint8", np.zeros((2, 1, 64, 64)))
        with tifffile.TiffFile(tmp_path / "a.tif") as file:
            assert file.is_bigtiff is big


def test_pages_lie_in_the_order_that_fiji_expects(tmp_path) -> None:
    """Channels fastest, then Z, then T, in the pages and by the OME-XML: the order of an ImageJ hyperstack."""
    plan = AxesPlan("CTZYX", (2, 4, 3, 8, 9))
    stack = np.arange(np.prod(plan.shape), dtype=np.uint16).reshape(plan.shape)
    names = ("DAPI (predicted)", "<é & 'quotes\">")
    said = json.dumps({"predicted": True, "text": "{} <é>"})
    frames = (plan.take(stack, i) for i in range(plan.n_frames))
    sizes = {"X": 0.1, "Y": 0.2, "Z": 1}
    write_stack(tmp_path / "a.tif", plan, "uint16", frames, pixel_size_um=sizes, channel_names=names, description=said)
    ordered = stack.transpose(1, 2, 0, 3, 4)  # T Z C Y X
    tifffile.imwrite(tmp_path / "j.tif", ordered, imagej=True, metadata={"axes": "TZCYX"})
    with tifffile.TiffFile(tmp_path / "a.tif") as ours, tifffile.TiffFile(tmp_path / "j.tif") as imagej:
        for a, b in zip(ours.pages, imagej.pages, strict=True):
            np.testing.assert_array_equal(a.asarray(), b.asarray())
        assert [imagej.imagej_metadata[name] for name in ("channels", "slices", "frames")] == [2, 3, 4]
        xml = ours.ome_metadata
    image = tifffile.xml2dict(xml)["OME"]["Image"]
    assert image["Description"] == said
    pixels = image["Pixels"]
    assert pixels["DimensionOrder"] == "XYCZT"
    assert [pixels[f"Size{axis}"] for axis in "XYCZT"] == [9, 8, 2, 3, 4]
    assert [(pixels[f"PhysicalSize{axis}"], pixels[f"PhysicalSize{axis}Unit"]) for axis in "XYZ"] == [
        *((0.1, "µm"), (0.2, "µm"), (1, "µm"))
    ]
    assert [channel["Name"] for channel in pixels["Channel"]] == list(names)
    assert pixels["TiffData"] == {"IFD": 0, "PlaneCount": 24}


@pytest.mark.parametrize("axes", ["YX", "TZCYX", "CYXS"])
def test_ome_xml_is_valid(tmp_path, axes: str) -> None:
    """What is written obeys the OME schema of 2016-06."""
    plan = AxesPlan(axes, tuple({"T": 2, "Z": 2, "C": 2, "Y": 20, "X": 30, "S": 3}[axis] for axis in axes))
    frames = np.zeros((plan.n_frames, plan.n_channels, 20, 30))
    write_stack(tmp_path / "a.tif", plan, "uint8", frames, pixel_size_um={"X": 1}, description='<"&>')
    schema = Path(find_spec("ome_types").origin).with_name("ome-2016-06.xsd").read_bytes()
    with tifffile.TiffFile(tmp_path / "a.tif") as file:
        assert tifffile.OmeXml.validate(file.ome_metadata, schema) is True


def test_numbers_that_ome_does_not_have_are_told(tmp_path) -> None:
    """A TIFF of 64-bit integers is refused, with the way out."""
    with pytest.raises(ValueError, match=r"at most 32 bits, or floats; got int64\. Write a \.zarr"):
        write_stack(tmp_path / "a.tif", AxesPlan("YX", (8, 9)), "int64", [np.zeros((1, 8, 9))])


def test_temporary_files_of_a_pyramid_go(tmp_path, monkeypatch) -> None:
    """Levels wait beside the result and are gone, whether the writing succeeds or fails."""
    monkeypatch.setattr(ome_tiff, "PYRAMID_ABOVE", 1000)
    with pytest.raises(ValueError, match="There must be 2 frames"):
        write_stack(tmp_path / "a.tif", AxesPlan("TYX", (2, 600, 600)), "uint8", [np.zeros((1, 600, 600))])
    assert not list(tmp_path.iterdir())


def test_names_are_text_as_it_was(tmp_path) -> None:
    """Names that look like numbers stay as they are; what XML cannot hold becomes a question mark; a size 0 is none."""
    plan, path = AxesPlan("CYX", (3, 8, 9)), tmp_path / "a.tif"
    names = ("0488", "true", "\x1b[0m\udcff")
    how = {"pixel_size_um": {"X": 0.0, "Y": 0.5}, "channel_names": names, "description": "1e3"}
    write_stack(path, plan, "uint8", [np.zeros((3, 8, 9))], **how)
    read = open_stack(path)
    assert (read.channel_names, read.description) == (("0488", "true", "?[0m?"), "1e3")
    assert read.pixel_size_um == {"Y": 0.5}


def test_what_is_made_again_is_the_same_to_the_byte(tmp_path) -> None:
    """With a description and without: so a layer's file is known by its hash."""
    values = np.arange(60, dtype=np.uint16).reshape(6, 10)
    for description in ("", "how"):
        for name in "ab":
            write_stack(
                tmp_path / f"{name}.ome.tif", AxesPlan.of(values), values.dtype, [values[None]], description=description
            )
        assert (tmp_path / "a.ome.tif").read_bytes() == (tmp_path / "b.ome.tif").read_bytes()


def test_tiles_of_one_value_are_packed_once_and_read_as_all(tmp_path, monkeypatch) -> None:
    """Glass; also in colours, and at the border, where tiles are filled up."""
    packed, pack = [], tifffile.TIFF.COMPRESSORS[8]
    monkeypatch.setattr(ome_tiff, "_pack", lambda tile: packed.append(tile.shape) or pack(tile))
    for shape, dtype in (((1100, 2100), "uint16"), ((1100, 2100, 3), "uint8"), ((1100, 2100), "float32")):
        image = np.full(shape, np.nan if dtype == "float32" else 243, dtype)
        image[600:610, 520:530] = 7
        plan = AxesPlan("YXS"[: len(shape)], shape)
        packed.clear()
        write_stack(tmp_path / "a.tif", plan, dtype, [plan.take(image, 0)])
        assert len(packed) == 1 + 1 + 5 + 2  # the spot, glass, and the lower and right borders
        np.testing.assert_array_equal(tifffile.imread(tmp_path / "a.tif"), image)
