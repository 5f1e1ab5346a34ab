"""What one reads back is what was written, and what cannot be read is told."""

import json

import imagecodecs
import numpy as np
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st

from napari_pix2pix.core.axes import AxesPlan
from napari_pix2pix.files.stacks import open_stack, stack_writer, standard, stem, write_stack


@given(
    axes=st.sampled_from(["YX", "TYX", "ZYX", "CYX", "TZCYX", "YXS", "TYXS", "XYT", "YXC"]),
    dtype=st.sampled_from(["uint8", "uint16", "int32", "float32"]),
)
def test_a_written_stack_reads_back(tmp_path_factory, axes: str, dtype: str) -> None:
    """Pixels, axes, dtype, pixel size and channel names survive the file, frames streaming through."""
    path = tmp_path_factory.mktemp("s") / "stack.tif"
    sizes = {"T": 3, "Z": 2, "C": 2, "Y": 20, "X": 30, "S": 3}
    plan = AxesPlan(axes, tuple(sizes[axis] for axis in axes))
    stack = np.random.default_rng(0).integers(0, 200, plan.shape).astype(dtype)
    names = ("DAPI", "MAP2") if "C" in axes else ()
    frames = (plan.take(stack, i) for i in range(plan.n_frames))
    write_stack(path, plan, dtype, frames, pixel_size_um={"X": 0.25, "Y": 0.5}, channel_names=names)
    read = open_stack(path)
    assert read.plan == standard(plan)
    assert read.array.dtype == dtype
    assert (read.pixel_size_um, read.channel_names) == ({"X": 0.25, "Y": 0.5}, names)
    np.testing.assert_array_equal(read.array[...], stack.transpose([axes.index(axis) for axis in read.axes]))


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
def test_imagej_stacks_have_their_axes_and_sizes(tmp_path, dtype: str) -> None:
    """An ImageJ hyperstack is read with its axes and pixel size."""
    stack = np.arange(2 * 3 * 8 * 9).reshape(2, 3, 8, 9).astype(dtype)
    tifffile.imwrite(
        tmp_path / "j.tif", stack, imagej=True, resolution=(4, 2), metadata={"axes": "ZCYX", "unit": "um", "spacing": 2}
    )
    read = open_stack(tmp_path / "j.tif")
    assert (read.axes, read.pixel_size_um) == ("ZCYX", {"X": 0.25, "Y": 0.5, "Z": 2.0})
    np.testing.assert_array_equal(read.array[...], stack)
    np.testing.assert_array_equal(read.plan.take(read.array, 1, (slice(2, 4), slice(3, 9))), stack[1, :, 2:4, 3:9])


def test_plain_pages_are_frames(tmp_path) -> None:
    """A multi-page TIFF that says nothing is a row of frames; axes that are given win."""
    stack = np.arange(3 * 8 * 9, dtype=np.uint16).reshape(3, 8, 9)
    tifffile.imwrite(tmp_path / "p.tif", stack, photometric="minisblack", metadata=None)
    assert open_stack(tmp_path / "p.tif").axes == "TYX"
    assert open_stack(tmp_path / "p.tif", "CYX").plan.n_channels == 3
    with pytest.raises(ValueError, match=r"p\.tif: axes must name each axis"):
        open_stack(tmp_path / "p.tif", "YX")


@pytest.mark.parametrize(("shape", "axes"), [((8, 9), "YX"), ((8, 9, 3), "YXS"), ((8, 9, 4), "YXS")])
@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_png_keeps_its_bits(tmp_path, shape, axes, dtype) -> None:
    """8- and 16-bit grey and colour PNG files keep every value; opacity is dropped."""
    pixels = np.random.default_rng(0).integers(0, np.iinfo(dtype).max, shape).astype(dtype)
    imagecodecs.imwrite(tmp_path / "p.png", pixels)
    read = open_stack(tmp_path / "p.png")
    assert read.axes == axes
    np.testing.assert_array_equal(read.array[...], pixels[..., :3] if axes == "YXS" else pixels)


@pytest.mark.parametrize("compression", [None, "zlib"])
@pytest.mark.parametrize("keep", [0.02, 0.5, 0.95])
def test_truncated_tiffs_are_told(tmp_path, compression, keep: float) -> None:
    """A file cut short at the header or in the pixels is refused, never read as something else."""
    path = tmp_path / "cut.tif"
    stack = np.random.default_rng(0).integers(0, 9999, (4, 64, 64), dtype=np.uint16)
    tifffile.imwrite(path, stack, compression=compression, photometric="minisblack")
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * keep)])
    with pytest.raises(ValueError, match=r"must be a readable TIFF, PNG or JPEG; .*cut\.tif is not"):
        open_stack(path)


@pytest.mark.parametrize("name", ["noise.tif", "noise.png", "noise.jpg", "empty.tif"])
def test_files_that_are_no_image_are_told(tmp_path, name: str) -> None:
    """Noise and emptiness under an image's name, other formats and missing files are told."""
    (tmp_path / name).write_bytes(b"" if name.startswith("empty") else np.random.default_rng(0).bytes(500))
    with pytest.raises(ValueError, match="must be a readable TIFF, PNG or JPEG"):
        open_stack(tmp_path / name)
    with pytest.raises(FileNotFoundError, match="there is none at"):
        open_stack(tmp_path / "missing.tif")
    (tmp_path / "movie.avi").write_bytes(b"x")
    with pytest.raises(ValueError, match="must be a TIFF, PNG or JPEG; got"):
        open_stack(tmp_path / "movie.avi")


def test_a_failed_write_leaves_the_old_file(tmp_path) -> None:
    """Whether the frames fail or the block is left, the old file stays and nothing lies beside it."""
    path, plan = tmp_path / "out.tif", AxesPlan("TYX", (5, 16, 16))
    path.write_text("old")

    def failing():
        yield np.zeros((1, 16, 16))
        raise RuntimeError("no power")

    with pytest.raises(RuntimeError, match="no power"):
        write_stack(path, plan, "uint8", failing())
    with pytest.raises(KeyboardInterrupt), stack_writer(path, plan, "uint8") as put:
        put(np.zeros((1, 16, 16)))
        raise KeyboardInterrupt
    with pytest.raises(ValueError, match=r"reshape|match"), stack_writer(path, plan, "uint8") as put:
        for _ in range(5):
            put(np.zeros((1, 16, 17)))
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_streamed_equals_written(tmp_path) -> None:
    """The streaming writer gives the file that writing in one go gives."""
    stack = np.random.default_rng(0).integers(0, 99, (5, 16, 16), dtype=np.uint16)
    plan = AxesPlan("TYX", stack.shape)
    with stack_writer(tmp_path / "a.tif", plan, stack.dtype, description=json.dumps({"a": 1})) as put:
        for frame in stack:
            put(frame[None])
    np.testing.assert_array_equal(open_stack(tmp_path / "a.tif").array[...], stack)


@pytest.mark.parametrize(("name", "expected"), [("a.ome.tif", "a"), ("b.x.tiff", "b.x"), ("c.PNG", "c")])
def test_stems(tmp_path, name: str, expected: str) -> None:
    """`.ome.tif` is one extension."""
    assert stem(tmp_path / name) == expected
