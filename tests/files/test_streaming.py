"""Files that are predicted row by row are what the arrays in memory give, in TIFF and OME-Zarr."""

import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import tifffile
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_pix2pix.core.geometry.axes import AxesPlan
from napari_pix2pix.core.running import bands
from napari_pix2pix.core.running.prediction import Findings
from napari_pix2pix.core.settings.running import PredictSettings
from napari_pix2pix.files.outputs import beside
from napari_pix2pix.files.predicted import maps_path, predict_file
from napari_pix2pix.files.readers import unpacked, zarr_stacks
from napari_pix2pix.files.stacks import Block, open_stack, stack_writer, write_stack
from napari_pix2pix.files.writers import ome_tiff, pyramids, waiting
from small import untrained

RNG = np.random.default_rng(0)


@contextmanager
def traced() -> Iterator[Callable[[], int]]:
    """Within the block, what gives the most bytes that numpy and Python have held so far."""
    tracemalloc.start()
    try:
        yield lambda: tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@settings(max_examples=15)
@given(data=st.data())
@pytest.mark.parametrize("suffix", [".tif", ".zarr"])
def test_rows_give_the_file_that_frames_give(tmp_path_factory, suffix: str, data: st.DataObject) -> None:
    """However many rows come, or blocks in whatever order: every pixel of every level, of stacks, volumes, colours."""
    axes = data.draw(st.sampled_from(["YX", "TCYX", "ZYXS", "CXZY", "CYXS"]))
    lengths = {"T": 2, "Z": 3, "C": 2, "S": 3, "X": data.draw(st.integers(1, 90)), "Y": data.draw(st.integers(1, 150))}
    plan = AxesPlan(
        axes, tuple(lengths[axis] for axis in axes), z="volume" if "Z" in axes and data.draw(st.booleans()) else "frame"
    )
    dtype = np.dtype(data.draw(st.sampled_from(["uint8", "float32", "int32"])))
    stack = RNG.integers(0, 200, plan.shape).astype(dtype)
    folder, steps = tmp_path_factory.mktemp("s"), data.draw(st.lists(st.integers(1, 70), min_size=1, max_size=4))
    with pytest.MonkeyPatch.context() as patch:
        for module in (pyramids, ome_tiff, zarr_stacks):
            patch.setattr(module, "TILE", 16)
        patch.setattr(waiting, "HELD", data.draw(st.sampled_from([1, 2**24])))
        patch.setattr(ome_tiff, "PYRAMID_ABOVE", 500)
        write_stack(folder / f"whole{suffix}", plan, dtype, (plan.take(stack, i) for i in range(plan.n_frames)))
        apart = data.draw(st.integers(1, 90)) if data.draw(st.booleans()) else None
        with stack_writer(folder / f"rows{suffix}", plan, dtype) as put:
            for frame in range(plan.n_frames):
                start, i = 0, 0
                while start < plan.length("Y"):
                    stop = start + steps[i % len(steps)]
                    if apart is None:
                        put(plan.take(stack, frame, plan.rows(slice(start, stop))))
                    else:
                        for left in reversed(range(0, plan.length("X"), apart)):
                            window = plan.window(slice(start, stop), slice(left, left + apart))
                            put(Block(plan.take(stack, frame, window), start, left))
                    start, i = stop, i + 1
    whole, rows = (_levels(folder / f"{name}{suffix}") for name in ("whole", "rows"))
    assert len(whole) == len(rows) == 1 + max(0, int(np.ceil(np.log2(max(plan.frame_shape[-2:]) / 16)))) or (
        suffix == ".tif" and np.prod(plan.frame_shape[-2:]) <= 500
    )
    for ours, theirs in zip(rows, whole, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    for above, below in pairwise(rows if suffix == ".zarr" else []):  # of TIFF see test_ome_tiff
        np.testing.assert_array_equal(below, pyramids.halved(above, pyramids.are_labels(dtype, None)))
    read = open_stack(folder / f"rows{suffix}")
    for frame in range(read.plan.n_frames):
        np.testing.assert_array_equal(
            read.plan.take(read.array, frame), AxesPlan(axes, plan.shape).take(stack, frame).astype(read.array.dtype)
        )
    assert sorted(path.name for path in folder.iterdir()) == [f"rows{suffix}", f"whole{suffix}"]


def _levels(path) -> list[np.ndarray]:
    if path.suffix == ".zarr":
        return [array[...] for _, array in sorted(zarr.open_group(path, mode="r").arrays())]
    with tifffile.TiffFile(path) as file:
        return [level.asarray() for level in file.series[0].levels]


STACKS = [
    ("YX", (131, 70), "frame", "intensity", {}),
    ("YX", (131, 70), "frame", "intensity", {"draws": 2}),
    ("YX", (131, 70), "frame", "intensity", {"overlap": 4}),
    ("CTYX", (2, 3, 90, 61), "frame", "intensity", {}),
    ("ZCYX", (3, 2, 90, 61), "frame", "classes", {}),
    ("ZYX", (4, 90, 61), "volume", "intensity", {"draws": 2}),
    ("TYX", (2, 131, 70), "frame", "instances", {}),
]


@pytest.mark.parametrize(("axes", "shape", "z", "kind", "how"), STACKS)
@pytest.mark.parametrize("suffix", [".tif", ".zarr"])
@pytest.mark.filterwarnings("ignore:Tiles overlap by", "ignore:Objects should have")
def test_a_streamed_file_is_the_prediction_of_the_array(
    tmp_path, monkeypatch, axes, shape, z, kind, how, suffix
) -> None:
    """Prediction, maps and spread of a file, tile rows at a time, are those of the array in memory."""
    monkeypatch.setattr(bands, "AT_ONCE", 1500)
    stack = RNG.integers(0, 999, shape, dtype=np.uint16)
    plan = AxesPlan(axes, shape, z=z)
    source = np.broadcast_to(np.arange(1000, dtype=np.uint16), (plan.n_channels, *[3] * (len(plan.spatial) - 1), 1000))
    target = source if kind == "intensity" else source[:1] // (100 if kind == "instances" else 300)
    model = untrained(source, target, kind, z)
    write_stack(tmp_path / f"source{suffix}", plan, "uint16", (plan.take(stack, i) for i in range(plan.n_frames)))
    out, how = tmp_path / f"out{suffix}", {"tile_size": 32} | how
    *_, row = predict_file(model, tmp_path / f"source{suffix}", out, PredictSettings(keep_maps=True, **how))
    read, expected = open_stack(out), model.prediction_plan(stack, axes)
    prediction = model.predict(stack, axes, **how)
    for frame in range(read.plan.n_frames):
        whole = AxesPlan(expected.axes, expected.shape)
        np.testing.assert_array_equal(read.plan.take(read.array, frame), whole.take(prediction, frame))
    assert (row["row"]["input_low"], row["row"]["input_high"]) == (stack.min(), stack.max())

    frames = model.draw_maps if "draws" in how else model.predict_maps  # maps and spread lie beside it
    _, grey, maps, *spread = next(frames(stack, axes, **how))
    expected = {maps_path(out): maps} | {beside("spread")(out): model.decode_spread(values, grey) for values in spread}
    for path, values in expected.items():
        found = open_stack(path)
        first = values if z == "frame" else values[:, 0]
        np.testing.assert_array_equal(found.plan.take(found.array, 0), first)


class Generated:
    """A source (C, Y, X) of any size that holds no pixels."""

    dtype = np.dtype("uint16")

    def __init__(self, shape: tuple[int, int, int]) -> None:
        self.shape = shape

    def __getitem__(self, index: tuple[slice, slice, slice]) -> np.ndarray:
        channels, rows, columns = (np.arange(*side.indices(n)) for side, n in zip(index, self.shape, strict=True))
        pixels = ((rows[:, None] // 9 * 31 + columns // 9 * 17) % 900).astype(np.uint16)
        return np.broadcast_to(pixels, (len(channels), *pixels.shape)).copy()


def predicted_peak(folder, monkeypatch, shape: tuple[int, int, int], kind: str = "intensity", suffix=".tif") -> int:
    """The most bytes of numpy and Python (what torch holds is a tile) from source to file, in tiles of 64 px."""
    for name, value in (("AT_ONCE", 64 * 64), ("BLOCK", 64 * 64)):
        monkeypatch.setattr(bands, name, value)
    monkeypatch.setattr(bands, "Findings", lambda: Findings(batch=1))
    monkeypatch.setattr(waiting, "HELD", 2**15)
    for module in (pyramids, ome_tiff, zarr_stacks):
        monkeypatch.setattr(module, "TILE", 64)
    monkeypatch.setattr(ome_tiff, "BUFFER", 2**14)
    monkeypatch.setattr("napari_pix2pix.core.encodings.encoding.LARGEST", 64)
    monkeypatch.setattr("napari_pix2pix.core.encodings.encoding.HELD", 1)
    source = Generated(shape)
    image = np.broadcast_to(np.arange(900, dtype=np.uint16).reshape(30, 30), (shape[0], 30, 30))
    target = image[:1] // 90 if kind == "instances" else image[:3]
    model = untrained(image, target, kind)
    plan = model.prediction_plan(source, "CYX")
    with traced() as peak:
        with stack_writer(folder / f"{kind}{suffix}", plan, model.target_encoding.dtype_decoded) as put:
            for _, (rows, columns), values in model.decode_bands(model.predict_bands(source, "CYX", tile_size=64)):
                put(Block(values, rows.start, columns.start))
        return peak()


@pytest.mark.parametrize("kind", ["intensity", "instances"])
def test_memory_does_not_grow_with_the_height(tmp_path, monkeypatch, kind: str) -> None:
    """From source to file: four times the rows take no more memory, but what is read ahead at a time by chance."""
    peaks = [predicted_peak(tmp_path, monkeypatch, (1, height, 64), kind) for height in (600, 600, 2400)]
    assert peaks[2] - peaks[1] < 64 * (2400 - 600) * 4 / 2  # half of these rows, float32; the first imports everything


@pytest.mark.parametrize("suffix", [".tif", ".zarr"])
def test_memory_does_not_grow_with_the_width(tmp_path, monkeypatch, suffix: str) -> None:
    """Eight times the columns take but the places of more tiles: no row of them, of no channel, is ever held."""
    for channels in (1, 4):
        shapes = [(channels, 200, width) for width in (400, 400, 3200)]
        peaks = [predicted_peak(tmp_path, monkeypatch, shape, suffix=suffix) for shape in shapes]
        assert peaks[2] - peaks[1] < 64 * (3200 - 400) * 4 / 2  # half of one, float32


def test_memory_of_channels_is_that_of_a_block(tmp_path, monkeypatch) -> None:
    """A source of 16 channels takes, beside what one takes, a few times what the network sees of it at once."""
    few, _, many = (predicted_peak(tmp_path, monkeypatch, (channels, 200, 800)) for channels in (1, 1, 16))
    seen = 16 * 4 * 96**2  # tiles with what they see around them, float32
    assert many - few < 3 * seen


STORED = [{}, {"compression": "zlib", "tile": (512, 512)}, {"rowsperstrip": 8, "compression": "zlib"}]


@pytest.mark.parametrize("how", STORED)
def test_only_what_a_window_shows_is_read(tmp_path, how: dict) -> None:
    """Of a TIFF whose pixels lie as in memory, in one strip, or in strips or tiles, in either byte order."""
    path, shape = tmp_path / "a.tif", (4000, 3000)
    stack = np.arange(np.prod(shape), dtype=np.uint32).reshape(shape).astype(np.uint16)
    tifffile.imwrite(path, stack, byteorder=">", **how)
    array = open_stack(path).array
    np.testing.assert_array_equal(array[:2, :2], stack[:2, :2])  # to have everything imported
    with traced() as peak:
        window = array[1000:1016, 20:1020]
        assert peak() < 4e6
    np.testing.assert_array_equal(window, stack[1000:1016, 20:1020])
    assert window.dtype == np.dtype("uint16")


WIDE = [
    ("YX", (300, 200), {"rowsperstrip": 8}),
    ("YX", (300, 200), {"rowsperstrip": 300}),
    ("YXS", (300, 200, 3), {"rowsperstrip": 32}),
    ("CYX", (3, 300, 200), {"rowsperstrip": 32, "photometric": "minisblack"}),
    ("ZYX", (5, 300, 200), {"rowsperstrip": 32, "photometric": "minisblack"}),
]


@pytest.mark.parametrize(("axes", "shape", "how"), WIDE)
def test_rows_of_strips_are_unpacked_once_for_all_blocks(tmp_path, monkeypatch, axes, shape, how) -> None:
    """Of compressed strips: what is read by blocks is what the file holds, and no row is unpacked for each of them."""
    stack = RNG.integers(0, 2**16, shape, dtype=np.uint16)
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, stack, compression="zlib", metadata={"axes": axes}, **how)
    monkeypatch.setattr(unpacked, "PIECE", 8)
    given = open_stack(path)
    assert given.array.strip == how["rowsperstrip"]
    rows = list[int]()

    def read(*asked):
        found = given.array.read(*asked)
        rows.append(found.shape[axes.replace("Z", "").index("Y")])
        return found

    plan = AxesPlan(axes, shape)
    counting = replace(given, array=replace(given.array, read=read))
    with unpacked.rows_unpacked_once(counting, tmp_path, 3) as once:
        assert sorted(tmp_path.iterdir()) == [path]  # what waits has no name
        for top in range(0, 300, 60):
            for left in range(0, 200, 40):
                for frame in range(plan.n_frames):
                    window = (slice(max(0, top - 10), top + 70), slice(max(0, left - 10), left + 50))
                    np.testing.assert_array_equal(plan.take(once.array, frame, window), plan.take(stack, frame, window))
    if plan.n_frames <= 3:  # no more planes by turns than wait
        assert sum(rows) <= 1 + 300 + 2 * 10 * 5


def test_a_wide_image_in_strips_is_predicted_like_one_in_tiles(tmp_path, monkeypatch) -> None:
    """Also of several files, and a PNG: rows wait unpacked beside the result, and are gone."""
    monkeypatch.setattr(bands, "BLOCK", 32 * 32)
    monkeypatch.setattr("napari_pix2pix.files.predicted.BLOCK", 32 * 32)
    stack = RNG.integers(0, 2**16, (2, 90, 150), dtype=np.uint16)
    for i, plane in enumerate(stack):
        tifffile.imwrite(tmp_path / f"strips{i}.tif", plane, compression="zlib", rowsperstrip=16)
        tifffile.imwrite(tmp_path / f"tiles{i}.tif", plane, compression="zlib", tile=(16, 16))
    model, found = untrained(stack, stack), []
    for kind in ("strips", "tiles"):
        source, more = (tmp_path / f"{kind}{i}.tif" for i in (0, 1))
        list(predict_file(model, source, tmp_path / f"{kind}.tif", PredictSettings(tile_size=32), more=[more]))
        found.append(open_stack(tmp_path / f"{kind}.tif").array[...])
    np.testing.assert_array_equal(*found)
    assert len(list(tmp_path.iterdir())) == 6


def test_a_prediction_that_is_left_or_fails_leaves_nothing(tmp_path, monkeypatch) -> None:
    """Stopped after some rows, or where the source breaks off: no output, nothing beside it, and the error is told."""
    monkeypatch.setattr(bands, "AT_ONCE", 1500)
    stack = RNG.integers(0, 999, (2, 200, 60), dtype=np.uint16)
    model = untrained(stack[:1], stack[:1])
    for suffix in (".tif", ".zarr"):
        source = tmp_path / f"source{suffix}"
        write_stack(source, AxesPlan("TYX", stack.shape), "uint16", stack[:, None])
        before = sorted(tmp_path.iterdir())
        working = predict_file(model, source, tmp_path / f"out{suffix}", PredictSettings(tile_size=32))
        assert [next(working)["event"] for _ in range(3)][-1] == "progress"
        working.close()
        assert sorted(tmp_path.iterdir()) == before
        working = predict_file(model, source, tmp_path / f"out{suffix}", PredictSettings(tile_size=32))
        while next(working)["event"] != "progress":
            pass
        if suffix == ".tif":
            source.write_bytes(source.read_bytes()[:3000])
        else:
            for chunk in (source / "0" / "c" / "1").rglob("0"):
                if chunk.is_file():
                    chunk.write_bytes(b"damaged")
        with pytest.raises(ValueError, match=f"source{suffix} is not"):
            list(working)
        assert sorted(tmp_path.iterdir()) == before
