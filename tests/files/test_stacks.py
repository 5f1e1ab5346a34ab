"""What one reads back is what was written, and what cannot be read is told."""

import json
import os
import pickle
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext

import imagecodecs
import numpy as np
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st

from napari_pix2pix.core.geometry.axes import AxesPlan
from napari_pix2pix.files.stacks import open_stack, stack_writer, standard, stem, write_stack


@given(data=st.data())
def test_a_written_stack_reads_back(tmp_path_factory, data: st.DataObject) -> None:
    """Frames, axes, dtype, pixel size, names and description survive TIFF and OME-Zarr, whatever they are."""
    letters = data.draw(st.sets(st.sampled_from("TZCS"))) | {"Y", "X"}
    axes = "".join(data.draw(st.permutations(sorted(letters))))
    shape = tuple(data.draw(st.integers(1, 40 if axis in "YX" else 4)) for axis in axes)
    plan = AxesPlan(axes, shape)
    dtype = np.dtype(data.draw(st.sampled_from(["bool", "uint8", "int16", "uint16", "uint32", "float16", "float32"])))
    sizes = data.draw(st.dictionaries(st.sampled_from(sorted(letters & set("ZYX"))), st.floats(1e-3, 1e3)))
    words = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"], exclude_characters="\ufffe\uffff"))
    named = "C" in axes and "S" not in axes and data.draw(st.booleans())
    words_of_channels = words.map(str.strip).filter(bool)
    names = tuple(data.draw(words_of_channels) for _ in range(plan.length("C"))) if named else ()
    description = data.draw(words).strip()
    stack = np.random.default_rng(0).integers(0, 120, plan.shape).astype(dtype)
    rgba = plan.length("S") == 4  # in a TIFF the fourth sample is opacity, which is left out
    for suffix in (".ome.tif", ".zarr"):
        path = tmp_path_factory.mktemp("s") / f"stäck 1{suffix}"
        frames = (plan.take(stack, i) for i in range(plan.n_frames))
        write_stack(path, plan, dtype, frames, pixel_size_um=sizes, channel_names=names, description=description)
        told = rgba and suffix != ".zarr"
        with pytest.warns(UserWarning, match="opacity") if told else nullcontext():
            read = open_stack(path)
        n_channels = plan.n_channels // 4 * 3 if told else plan.n_channels
        for i in range(plan.n_frames):
            expected = plan.take(stack, i)
            if told:
                expected = expected.reshape(-1, 4, *expected.shape[1:])[:, :3].reshape(-1, *expected.shape[1:])
            np.testing.assert_array_equal(read.plan.take(read.array, i), expected)
        in_tiff = {"bool": "uint8", "float16": "float32"}.get(dtype.name, dtype.name)
        assert read.array.dtype == (dtype if suffix == ".zarr" else in_tiff)
        assert read.pixel_size_um == pytest.approx(sizes)
        assert (read.channel_names, read.description) == (names, description)
        for axis in "TZYX":
            assert read.plan.length(axis) == plan.length(axis)
        assert read.plan.n_channels == n_channels


def test_a_tiff_has_the_axes_it_was_given(tmp_path) -> None:
    """Axes longer than 1 come back in the order T Z C Y X S."""
    for axes in ("YX", "XYT", "TZCYX", "YXS", "CYXS"):
        plan = AxesPlan(axes, tuple({"T": 3, "Z": 2, "C": 2, "Y": 20, "X": 30, "S": 3}[axis] for axis in axes))
        write_stack(tmp_path / "a.tif", plan, "uint8", [np.zeros((plan.n_channels, 20, 30))] * plan.n_frames)
        assert open_stack(tmp_path / "a.tif").plan == standard(plan)


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
    with pytest.warns(UserWarning, match="opacity in images is left out") if shape[2:] == (4,) else nullcontext():
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
    with pytest.raises(ValueError, match=r"must be a readable TIFF, PNG, JPEG or OME-Zarr; .*cut\.tif is not"):
        open_stack(path)


@pytest.mark.parametrize("name", ["noise.tif", "noise.png", "noise.jpg", "empty.tif"])
def test_files_that_are_no_image_are_told(tmp_path, name: str) -> None:
    """Noise and emptiness under an image's name, other formats and missing files are told."""
    (tmp_path / name).write_bytes(b"" if name.startswith("empty") else np.random.default_rng(0).bytes(500))
    with pytest.raises(ValueError, match="must be a readable TIFF, PNG, JPEG or OME-Zarr"):
        open_stack(tmp_path / name)
    with pytest.raises(FileNotFoundError, match="there is none at"):
        open_stack(tmp_path / "missing.tif")
    (tmp_path / "movie.avi").write_bytes(b"x")
    with pytest.raises(ValueError, match="must be a TIFF, PNG, JPEG or OME-Zarr; got"):
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
    with pytest.raises(ValueError, match="There must be 5 frames"), stack_writer(path, plan, "uint8") as put:
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


@pytest.mark.parametrize("suffix", [".tif", ".zarr"])
def test_there_must_be_as_many_frames_as_said(tmp_path, suffix: str) -> None:
    """One frame too few or too many is an error, and nothing is left of the file."""
    plan = AxesPlan("TYX", (3, 16, 16))
    for n in (2, 4):
        with pytest.raises(ValueError, match=f"There must be 3 frames .* got (number )?{n}"):
            write_stack(tmp_path / f"a{suffix}", plan, "uint8", [np.zeros((1, 16, 16))] * n)
    assert not list(tmp_path.iterdir())


def test_slices_of_a_half_are_slices_of_the_whole(tmp_path) -> None:
    """Of two images side by side, each is read as if it were alone."""
    pixels = np.arange(6 * 8 * 3, dtype=np.uint8).reshape(6, 8, 3)
    imagecodecs.imwrite(tmp_path / "both.png", pixels)
    for half, own in (("left", pixels[:, :4]), ("right", pixels[:, 4:])):
        read = open_stack(tmp_path / "both.png", half=half)
        assert (read.half, read.array.shape) == (half, own.shape)
        for index in (
            ...,
            2,
            (slice(1, 3), slice(2, 4)),
            (slice(None), -1),
            (..., 0),
            (0, ..., 1),
            (slice(None), 3, 2),
        ):
            np.testing.assert_array_equal(read.array[index], own[index])
    imagecodecs.imwrite(tmp_path / "odd.png", pixels[:, :7])
    with pytest.raises(ValueError, match=r"must be equally wide; .*odd\.png is 7 px wide"):
        open_stack(tmp_path / "odd.png", half="left")


@pytest.mark.parametrize(
    ("description", "names", "predicted"),
    [
        ('{"predicted": true}', (), True),
        ('{"predicted": false}', (), False),
        ("", ("DAPI (predicted)",), True),
        ("seen", ("DAPI",), False),
        ("[1]", (), False),
    ],
)
@pytest.mark.parametrize("suffix", [".ome.tif", ".zarr"])
def test_predictions_are_recognised(tmp_path, suffix, description, names, predicted) -> None:
    """A file that a network made says so in its description or in the name of a channel."""
    path = tmp_path / f"a{suffix}"
    plan = AxesPlan("CYX", (1, 8, 9))
    write_stack(path, plan, "uint8", [np.zeros((1, 8, 9))], channel_names=names, description=description)
    assert open_stack(path).is_prediction is predicted


@pytest.mark.parametrize("suffix", [".tif", ".zarr"])
def test_many_readers_get_what_they_asked_for(tmp_path, suffix: str) -> None:
    """Threads that read one file at the same time, and a copy sent to another process, see the right pixels."""
    stack = np.random.default_rng(0).integers(0, 999, (4, 600, 530), dtype=np.uint16)
    write_stack(tmp_path / f"a{suffix}", AxesPlan("ZYX", stack.shape), "uint16", stack[:, None])
    array = pickle.loads(pickle.dumps(open_stack(tmp_path / f"a{suffix}", half="right").array))
    windows = [(i % 4, slice(i * 9, i * 9 + 50), slice(i, i + 200)) for i in range(60)]
    with ThreadPoolExecutor(4) as threads:
        for window, pixels in zip(windows, threads.map(array.__getitem__, windows), strict=True):
            np.testing.assert_array_equal(pixels, stack[:, :, 265:][window])


def test_a_file_that_changes_is_read_anew(tmp_path) -> None:
    """What is remembered of a file ends when the file is written again."""
    path = tmp_path / "a.tif"
    for value in (1, 2):
        tifffile.imwrite(path, np.full((20, 30), value, np.uint8), compression="zlib")
        os.utime(path, ns=(value, value))
        assert open_stack(path).array[3, 4] == value


@pytest.mark.parametrize(
    ("name", "expected"), [("a.ome.tif", "a"), ("e.ome.zarr", "e"), ("b.x.tiff", "b.x"), ("c.PNG", "c")]
)
def test_stems(tmp_path, name: str, expected: str) -> None:
    """`.ome.tif` is one extension."""
    assert stem(tmp_path / name) == expected
