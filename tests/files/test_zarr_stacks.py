"""OME-Zarr directories are stacks like others."""

import json
import warnings
from importlib.util import find_spec

import google_crc32c
import numcodecs
import numpy as np
import pytest
import zarr
import zarr.codecs.numcodecs

from napari_pix2pix.core.geometry.axes import AxesPlan
from napari_pix2pix.files.folders import list_images
from napari_pix2pix.files.stacks import open_stack, sha256, stack_writer, write_stack

STACK = np.random.default_rng(0).integers(0, 9999, (2, 3, 40, 50), dtype=np.uint16)
AXES = [
    {"name": "c", "type": "channel"},
    {"name": "z", "type": "space", "unit": "millimeter"},
    {"name": "y", "type": "space", "unit": "nanometer"},
    {"name": "x", "type": "space"},
]


def described(**changed) -> dict:
    """What OME-Zarr 0.4 says of an image."""
    image = {
        "version": "0.4",
        "axes": AXES,
        "coordinateTransformations": [{"type": "scale", "scale": [1, 2, 1, 1]}],
        "datasets": [
            {"path": "0", "coordinateTransformations": [{"type": "scale", "scale": [1, 0.001, 250, 4]}]},
            {"path": "1", "coordinateTransformations": [{"type": "scale", "scale": [1, 0.001, 500, 8]}]},
        ],
    }
    return {"multiscales": [image | changed], "omero": {"channels": [{"label": "a"}, {"label": "é"}]}}


def write_group(path, attributes: dict, zarr_format: int, inside: str = "") -> None:
    """A pyramid of STACK as other programs write it."""
    root = zarr.create_group(path, zarr_format=zarr_format)
    group = root.create_group(inside) if inside else root
    for name, level in (("0", STACK), ("1", STACK[..., ::2, ::2])):
        group.create_array(name, shape=level.shape, dtype=level.dtype, chunks=(1, 1, 16, 16))[...] = level
    said = {"ome": {"version": "0.5", **attributes}} if zarr_format == 3 else attributes
    group.attrs.update(said)
    if inside:
        layout = {"bioformats2raw.layout": 3}
        root.attrs.update({"ome": layout} if zarr_format == 3 else layout)


@pytest.mark.parametrize("zarr_format", [2, 3])
@pytest.mark.parametrize("inside", ["", "0"])
def test_both_versions_are_read(tmp_path, zarr_format: int, inside: str) -> None:
    """Versions 0.4 and 0.5, alone or in a collection, give axes, sizes in micrometres, names and the largest level."""
    path = tmp_path / "a b é.zarr"
    write_group(path, described(), zarr_format, inside)
    read = open_stack(path)
    assert (read.axes, read.channel_names) == ("CZYX", ("a", "é"))
    assert read.pixel_size_um == pytest.approx({"Z": 2, "Y": 0.25})
    np.testing.assert_array_equal(read.array[...], STACK)
    np.testing.assert_array_equal(read.array[1, :, 5:20, 3:4], STACK[1, :, 5:20, 3:4])
    assert open_stack(path, "TZYX").axes == "TZYX"


def test_old_versions_name_no_types(tmp_path) -> None:
    """Axes that are mere names, and none at all, are understood; an array alone is read, too."""
    for i, axes in enumerate((["c", "z", "y", "x"], None)):
        said = described(axes=axes, coordinateTransformations=[], datasets=[{"path": "0"}])
        if axes is None:
            del said["multiscales"][0]["axes"]
        write_group(tmp_path / f"{i}.zarr", said, 2)
        assert open_stack(tmp_path / f"{i}.zarr").axes == "CZYX"
    zarr.create_array(tmp_path / "a.zarr", data=STACK, dimension_names=("c", "z", "y", "x"))
    zarr.create_array(tmp_path / "b.zarr", data=STACK[0], zarr_format=2)
    assert [open_stack(tmp_path / name).axes for name in ("a.zarr", "b.zarr")] == ["CZYX", "TYX"]


def test_what_is_no_image_is_told(tmp_path) -> None:
    """An empty folder, a plate, damaged metadata and metadata that disagree are one sentence each."""
    (tmp_path / "empty.zarr").mkdir()
    zarr.create_group(tmp_path / "plate.zarr", attributes={"ome": {"version": "0.5", "plate": {}}})
    write_group(tmp_path / "axes.zarr", described(axes=AXES[1:]), 3)
    write_group(tmp_path / "level.zarr", described(datasets=[{"path": "7", "coordinateTransformations": []}]), 3)
    write_group(tmp_path / "cut.zarr", described(), 3)
    said = (tmp_path / "cut.zarr" / "zarr.json").read_text()
    (tmp_path / "cut.zarr" / "zarr.json").write_text(said[: len(said) // 2])
    for name, why in (
        ("empty", ""),
        ("plate", "give the path of one field"),
        ("axes", "4"),
        ("level", "7"),
        ("cut", ""),
    ):
        with pytest.raises(ValueError, match=rf"must be a readable .* OME-Zarr; .*{name}\.zarr is not \(.*{why}"):
            open_stack(tmp_path / f"{name}.zarr")


def test_damaged_chunks_are_told(tmp_path) -> None:
    """A chunk that cannot be decoded is an error, not zeros."""
    write_group(tmp_path / "a.zarr", described(), 3)
    chunk = tmp_path / "a.zarr" / "0" / "c" / "1" / "2" / "0" / "0"
    chunk.write_bytes(chunk.read_bytes()[:-9])
    with pytest.raises(ValueError, match=r"a\.zarr is not"):
        open_stack(tmp_path / "a.zarr").array[...]


def test_pyramids_are_means_or_labels(tmp_path) -> None:
    """Each level halves the one before: by means, whose centres lie between pixels, or without new labels."""
    stack = np.random.default_rng(0).integers(0, 200, (2, 1100, 700), dtype=np.uint16)
    plan = AxesPlan("ZYX", stack.shape)
    sizes = {"Z": 3.0, "Y": 0.5, "X": 0.25}
    for labels, translation in ((False, [0, 0.25, 0.125]), (True, None)):
        path = tmp_path / f"{labels}.zarr"
        write_stack(path, plan, "uint16", stack[:, None], pixel_size_um=sizes, labels=labels)
        root = zarr.open_group(path, mode="r")
        levels = [root[str(i)] for i in range(3)]
        assert [level.shape for level in levels] == [(2, 1100, 700), (2, 550, 350), (2, 275, 175)]
        assert [level.chunks for level in levels] == [(1, 512, 512), (1, 512, 350), (1, 275, 175)]
        four = stack.reshape(2, 550, 2, 350, 2)
        expected = four[:, :, 0, :, 0] if labels else four.mean((2, 4))
        assert np.abs(levels[1][...] - expected).max() <= 0.5 * (not labels)
        steps = root.attrs["ome"]["multiscales"][0]["datasets"][1]["coordinateTransformations"]
        assert steps[0] == {"type": "scale", "scale": [3, 1, 0.5]}
        assert [step["translation"] for step in steps[1:]] == ([translation] if translation else [])


@pytest.mark.skipif(find_spec("jsonschema") is None, reason="jsonschema, which validates, is not installed")
@pytest.mark.parametrize("axes", ["YX", "TZCYX", "YXS", "XYC"])
def test_metadata_are_valid(tmp_path, axes: str) -> None:
    """What is written obeys the schema of OME-Zarr 0.5, in the order of axes that it prescribes."""
    from ngff_zarr.validate import validate

    plan = AxesPlan(axes, tuple({"T": 2, "Z": 2, "C": 2, "Y": 20, "X": 30, "S": 3}[axis] for axis in axes))
    frames = np.full((plan.n_frames, plan.n_channels, 20, 30), np.nan)
    names = tuple("abc"[: plan.n_channels])
    write_stack(tmp_path / "a.zarr", plan, "float32", frames, pixel_size_um={"X": 1}, channel_names=names)
    validate(json.loads((tmp_path / "a.zarr" / "zarr.json").read_text())["attributes"], "0.5", strict=True)
    read = open_stack(tmp_path / "a.zarr")
    assert read.axes == "".join(axis for axis in "TCZYX" if axis in axes.replace("S", "C"))
    assert read.channel_names == names


def test_a_failed_write_leaves_the_old_directory(tmp_path) -> None:
    """The old directory stays until the new one is whole; a folder of other files is never replaced."""
    path, plan = tmp_path / "out.zarr", AxesPlan("TYX", (3, 16, 16))
    write_stack(path, plan, "uint8", np.full((3, 1, 16, 16), 5))
    before = sha256(path)
    with pytest.raises(KeyboardInterrupt), stack_writer(path, plan, "uint8") as put:
        put(np.zeros((1, 16, 16)))
        raise KeyboardInterrupt
    assert sha256(path) == before
    assert list(tmp_path.iterdir()) == [path]
    with stack_writer(path, plan, "uint8") as put:
        for _ in range(3):
            put(np.ones((1, 16, 16)))
    assert sha256(path) != before
    assert open_stack(path).array[2, 3, 4] == 1
    assert list_images(tmp_path) == [path]
    (tmp_path / "mine").mkdir()
    write_stack(tmp_path / "mine" / "b.zarr", plan, "uint8", np.ones((3, 1, 16, 16)))
    with pytest.raises(ValueError, match="must end in"):
        write_stack(tmp_path / "mine", plan, "uint8", [])


@pytest.mark.parametrize(("axes", "shape", "frames", "kept"), [("TYX", (5, 9, 8), 3, 3), ("TZYX", (3, 4, 9, 8), 6, 1)])
def test_a_stopped_stack_holds_its_whole_frames(axes, shape, frames, kept, tmp_path) -> None:
    """Those along T, else Z; an error keeps nothing, nor does a stop before the first."""
    values, path = np.random.default_rng(0).integers(1, 99, shape, np.uint8), tmp_path / "a.zarr"
    plan = AxesPlan(axes, shape)

    def write(until: int):
        with stack_writer(path, plan, "uint8", keep_frames=True) as put:
            for i in range(until):
                put(plan.take(values, i))
            put(plan.take(values, until)[..., :4, :])
            yield

    for until in (0, frames):
        writing = write(until)
        next(writing)
        writing.close()
        assert path.exists() == (until > 0)
    assert np.array_equal(open_stack(path).array[...], values[:kept])
    before = sha256(path)
    failing = write(frames + 1)
    next(failing)
    with pytest.raises(OSError, match="full"):
        failing.throw(OSError("full"))
    assert sha256(path) == before


def test_opacity_is_left_out_where_it_is_named(tmp_path) -> None:
    """A channel that is called alpha after the others is no channel of the image."""
    colours = STACK[:, :, :8, :9].reshape(-1, 8, 9)[:4]
    names = ("red", "green", "blue", "alpha")
    write_stack(tmp_path / "a.zarr", AxesPlan("CYX", (4, 8, 9)), "uint16", [colours], channel_names=names)
    with pytest.warns(UserWarning, match="opacity in images is left out"):
        read = open_stack(tmp_path / "a.zarr")
    assert (read.axes, read.channel_names) == ("CYX", names[:3])
    np.testing.assert_array_equal(read.array[...], colours[:3])
    np.testing.assert_array_equal(read.array[-1, 2:4], colours[2, 2:4])


@pytest.mark.parametrize("shape", [(2**60, 2**60), (2**22, 2**22), (2**40, 1), (2**20, 2**20, 2**20)])
def test_absurd_shapes_are_refused_at_once(tmp_path, shape) -> None:
    """A header of some bytes is no image of exabytes; no tile is listed for it."""
    zarr.create_array(tmp_path / "a.zarr", shape=shape, chunks=(48,) * len(shape), dtype="uint16")
    with pytest.raises(ValueError, match=r"An image must have at most .*a\.zarr is said to be"):
        open_stack(tmp_path / "a.zarr")


@pytest.mark.parametrize("zarr_format", [2, 3])
@pytest.mark.parametrize("codec", ["Zstd", "GZip", "Zlib", "Blosc", "BZ2", "LZMA", "LZ4"])
def test_chunks_hold_no_more_than_the_metadata_say(tmp_path, codec: str, zarr_format: int) -> None:
    """What unpacks to more is refused before it is unpacked; a right chunk is read."""
    module = zarr.codecs.numcodecs if zarr_format == 3 else numcodecs
    how = {"chunks": (64, 64), "dtype": "uint16", "zarr_format": zarr_format, "overwrite": True}
    for n in (64, 2048):
        if zarr_format == 3 and codec in ("Zstd", "GZip", "Blosc"):
            compressor = getattr(zarr.codecs, codec.capitalize() + "Codec")()
        else:
            with warnings.catch_warnings(action="ignore"):  # numcodecs are no part of zarr 3's specification
                compressor = getattr(module, codec)()
        with warnings.catch_warnings(action="ignore"):
            array = zarr.create_array(
                tmp_path / f"{n}.zarr", shape=(n, n), compressors=compressor, **(how | {"chunks": (n, n)})
            )
            array[...] = np.full((n, n), 5, np.uint16)
    key = "0.0" if zarr_format == 2 else "c/0/0"
    with warnings.catch_warnings(action="ignore"):
        assert (open_stack(tmp_path / "64.zarr").array[3:5, 7] == 5).all()
        (tmp_path / "64.zarr" / key).write_bytes((tmp_path / "2048.zarr" / key).read_bytes())
        with pytest.raises(ValueError, match="a chunk must hold at most 12288 bytes by the metadata; it holds more"):
            open_stack(tmp_path / "64.zarr").array[...]


@pytest.mark.parametrize("where", ["start", "end"])
def test_chunks_of_shards_hold_no_more_than_the_metadata_say(tmp_path, where: str) -> None:
    """A shard is read whole or chunk by chunk; in both ways a chunk that unpacks to more is refused."""
    shards = {"shape": (32, 32), "index_location": where}
    array = zarr.create_array(tmp_path / "a.zarr", shape=(64, 64), chunks=(16, 16), shards=shards, dtype="uint8")
    array[...] = values = np.random.default_rng(0).integers(0, 4, (64, 64), np.uint8)
    read = open_stack(tmp_path / "a.zarr").array
    np.testing.assert_array_equal(read[...], values)
    np.testing.assert_array_equal(read[3:40, 5:9], values[3:40, 5:9])
    packed = numcodecs.Zstd().encode(bytes(2**20))
    first = 68 if where == "start" else 0
    index = np.full((4, 2), 2**64 - 1, "<u8")
    index[0] = first, len(packed)
    index_bytes = index.tobytes() + google_crc32c.value(index.tobytes()).to_bytes(4, "little")
    shard = index_bytes + packed if where == "start" else packed + index_bytes
    (tmp_path / "a.zarr" / "c" / "0" / "0").write_bytes(shard)
    for window in ((slice(None),) * 2, (slice(0, 4),) * 2):
        with pytest.raises(ValueError, match="a chunk must hold at most 4352 bytes by the metadata; it holds more"):
            open_stack(tmp_path / "a.zarr").array[window]
