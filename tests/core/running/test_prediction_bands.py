"""Predictions that stream are those of the whole: rows of tiles, objects, statistics, draws."""

import threading
import warnings
from collections.abc import Iterable, Iterator
from itertools import cycle, pairwise
from pathlib import Path
from tempfile import gettempdir
from unittest import mock

import numpy as np
import psutil
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from napari_pix2pix import core
from napari_pix2pix.core.encodings import normalization, object_rows
from napari_pix2pix.core.encodings.encoding import Encoding
from napari_pix2pix.core.encodings.object_rows import ObjectRows
from napari_pix2pix.core.engine import devices
from napari_pix2pix.core.geometry.areas import Area
from napari_pix2pix.core.geometry.axes import AxesPlan
from napari_pix2pix.core.running import bands as bands_module
from napari_pix2pix.core.running.bands import put_together, read_ahead
from napari_pix2pix.core.running.predict import decoded_frames, predict_bands, whole_frames
from napari_pix2pix.core.running.prediction import Findings
from napari_pix2pix.core.running.sources import warn_of_range
from napari_pix2pix.core.running.trained_model import TrainedModel
from napari_pix2pix.core.settings.running import PredictSettings
from napari_pix2pix.core.training import finishing
from small import blobs, small_config, untrained

RNG = np.random.default_rng(0)
INSTANCES = Encoding(kind="instances", n_channels=1, dtype="uint16", min_size=6)


@pytest.fixture(autouse=True)
def _few_pixels_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if images were large."""
    monkeypatch.setattr(bands_module, "AT_ONCE", 1000)
    monkeypatch.setattr("napari_pix2pix.core.encodings.encoding.LARGEST", 30)
    monkeypatch.setattr("napari_pix2pix.core.encodings.encoding.HELD", 1)


# Bands


@settings(max_examples=25)
@given(
    height=st.integers(1, 150),
    width=st.integers(1, 90),
    tile_size=st.integers(8, 70),
    overlap=st.none() | st.integers(0, 8),
    draws=st.none() | st.just(2),
)
def test_bands_are_the_rows_of_the_whole_frame(height, width, tile_size, overlap, draws) -> None:
    """From the first to the last, each once; their maps are those of the whole frame, blended or drawn, too."""
    source = RNG.integers(0, 999, (2, height, width), dtype=np.uint16)
    model = untrained(source, source[:1], source_normalization={"method": "min-max"})
    named = {"tile_size": tile_size, "overlap": overlap, "draws": draws}
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Tiles overlap by")
        bands = list(model.predict_bands(source, "CYX", **named))
        assert [band.rows.start for band in bands] == [0, *(band.rows.stop for band in bands[:-1])]
        assert [band.last for band in bands] == [False] * (len(bands) - 1) + [True]
        np.testing.assert_array_equal(np.concatenate([band.source for band in bands], axis=-2), source)
        maps = np.concatenate([band.maps for band in bands], axis=-2)
        assert maps.shape == (2 if draws else 1, height, width)
        if overlap is None:
            [whole] = model.predict_bands(source, "CYX", tile_size=160, draws=draws)
            np.testing.assert_allclose(maps, whole.maps, rtol=0, atol=2e-4)
        else:  # one row of tiles is one band, computed as a whole
            expected = np.concatenate([band.maps for band in _in_one_band(model, source, named)], axis=-2)
            np.testing.assert_allclose(maps, expected, rtol=0, atol=1e-5)


@settings(max_examples=12)
@given(
    shape=st.tuples(st.integers(1, 60), st.integers(1, 120)),
    planes=st.sampled_from([None, 3]),
    kind=st.sampled_from(["intensity", "classes", "instances"]),
    tile_size=st.integers(8, 40),
    overlap=st.none() | st.integers(0, 8),
    draws=st.none() | st.just(2),
    at_once=st.sampled_from([1, 4000]),
    block=st.sampled_from([1, 1500]),
)
@pytest.mark.filterwarnings("ignore:Tiles overlap by", "ignore:Objects should have", "ignore:.*of the source lies")
def test_blocks_give_what_whole_rows_of_tiles_give(
    shape, planes, kind, tile_size, overlap, draws, at_once, block
) -> None:
    """To the bit, of grey values and labels, of images and volumes, exact, blended or drawn; each pixel comes once."""
    volume = planes is not None
    source = RNG.integers(0, 999, (2, *([planes] if volume else []), *shape), dtype=np.uint16)
    target = source[:1] if kind == "intensity" else source[:1] // (100 if kind == "instances" else 300)
    model = untrained(source, target, kind, "volume" if volume else "frame")
    named = {"tile_size": tile_size, "overlap": overlap, "draws": draws}
    found = []
    for pixels in (2**22, block):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(bands_module, "BLOCK", pixels)
            patch.setattr(bands_module, "Findings", lambda: Findings(batch=at_once))
            bands = list(model.predict_bands(source, "CZYX" if volume else "CYX", **named))
            counts = np.zeros(shape, int)
            for band in bands:
                counts[band.rows, band.columns] += 1
                np.testing.assert_array_equal(band.source, source[..., band.rows, band.columns])
            assert (counts == 1).all()
            assert [band.first for band in bands] == [True] + [False] * (len(bands) - 1)
            assert [band.last for band in bands] == [False] * (len(bands) - 1) + [True]
            found.append((bands, *whole_frames(bands), *decoded_frames(model.decode_bands(bands), source.shape[1:])))
    (_, (_, _, maps), (_, values)), (_, (_, _, ours), (_, decoded)) = found
    np.testing.assert_array_equal(ours, maps)
    np.testing.assert_array_equal(decoded, values)


def _in_one_band(model: TrainedModel, source: np.ndarray, named: dict) -> Iterator:
    """The same tiles, added up in one array of the whole frame."""
    from napari_pix2pix.core.running.prediction import Forward, predict_tiles

    plan = model.tile_plan(source.shape[1:], named["tile_size"], named["overlap"])
    maps = np.zeros((2 if named["draws"] else 1, *source.shape[1:]), np.float32)
    encoded = model.source_encoding.encode(source)
    for window, values in predict_tiles(Forward(model.generator, model.device, named["draws"]), encoded, plan):
        maps[(slice(None), *window)] += values
    yield bands_module.Band(0, slice(0, source.shape[1]), source.shape[1:], source, maps)


STACKS = [("TCYX", (2, 2, 97, 50), "frame"), ("XYZ", (41, 90, 3), "frame"), ("ZYX", (5, 90, 41), "volume")]
KINDS = ["intensity", "classes", "instances"]  # in a volume an untrained network finds one object, too large to hold


@pytest.mark.parametrize(
    ("axes", "shape", "z", "kind"),
    [(*stack, kind) for stack in STACKS for kind in KINDS if (stack[2], kind) != ("volume", "instances")],
)
def test_predictions_of_stacks_do_not_depend_on_the_bands(axes: str, shape, z: str, kind: str) -> None:
    """For any kind of target, of stacks and volumes: as the frames in one piece, also frame by frame."""
    stack = ndimage.gaussian_filter(RNG.random(shape), [0] * (len(shape) - 2) + [3, 3])
    stack = (1000 * (stack - stack.min()) / np.ptp(stack)).astype(np.uint16)
    source = AxesPlan(axes, shape, z=z).take(stack, 0)
    target = source[:1] if kind == "intensity" else (source[:1] > 500).astype(np.uint8)
    target = ndimage.label(target)[0].astype(np.uint16) if kind == "instances" else target
    model = untrained(source, target, kind, z)
    whole, tiled = (model.predict(stack, axes, tile_size=size) for size in (None, 24))
    np.testing.assert_allclose(tiled.astype(int), whole.astype(int), atol=1 if kind == "intensity" else 0)
    for frame, values in model.predict_frames(stack, axes, tile_size=24):
        np.testing.assert_array_equal(values, model.prediction_plan(stack, axes).take(tiled, frame))
    assert frame == AxesPlan(axes, shape, z=z).n_frames - 1


@pytest.mark.parametrize("method", ["percentiles", "min-max", "mean-std"])
def test_statistics_of_an_image_do_not_depend_on_the_tiles(monkeypatch, method: str) -> None:
    """Where each image is normalized by itself, its statistics are those of all of it, whatever is in memory."""
    monkeypatch.setattr(normalization, "PORTION", 40)
    monkeypatch.setattr(bands_module, "PORTION", 40)
    source = (RNG.gamma(2, 100, (1, 130, 60)) * np.linspace(1, 3, 130)[:, None]).astype(np.uint16)
    model = untrained(source, source, source_normalization={"method": method, "statistics": "image"})
    whole, tiled = (model.predict(source, "CYX", tile_size=size).astype(int) for size in (None, 24))
    np.testing.assert_allclose(tiled, whole, atol=1)


def test_what_is_wrong_with_a_source_is_counted_over_all_bands(monkeypatch) -> None:
    """NaN is marked in all bands and told once, with its number; so is the share outside the training range."""
    monkeypatch.setattr("napari_pix2pix.core.encodings.encoding.LARGEST", 99)  # for the objects of an untrained network
    source = RNG.random((1, 200, 40)).astype(np.float32)
    for kind, target in (("intensity", source), ("instances", (source > 0.5).astype(np.uint16))):
        model = untrained(source, target, kind)
        bad = source.copy()
        bad[0, 20:23, 5] = bad[0, 150, 7] = np.nan
        bad[0, 100:] += 10
        with pytest.warns(UserWarning) as told:
            prediction = model.predict(bad, "CYX", tile_size=24)[None]
        assert sorted(str(one.message).split(" the ")[0] for one in told) == ["4 pixels of", "50% of"]
        marked = np.isnan(prediction) if kind == "intensity" else prediction == 0
        assert marked[0][np.isnan(bad[0])].all()
        assert kind == "instances" or marked.sum() == 4


def test_what_comes_next_is_read_meanwhile() -> None:
    """A thread reads one place ahead and no further; its errors are raised where their place would have come."""
    read = []

    def reading(place: int) -> str:
        read.append((place, threading.current_thread() is threading.main_thread()))
        if place == 3:
            raise OSError("gone")
        return str(place)

    found = read_ahead(reading, range(9))
    assert next(found) == (0, "0")
    assert [next(found), next(found)] == [(1, "1"), (2, "2")]
    assert max(place for place, _ in read) <= 3
    with pytest.raises(OSError, match="gone"):
        next(found)
    assert not any(main for _, main in read)
    assert list(read_ahead(str, [])) == []


# Objects


def decoded(maps: np.ndarray, steps: list[int], largest: int, columns: Iterable[int] = ()) -> np.ndarray:
    """Labels of maps that come so many rows at a time, again and again, in windows that end at these columns."""
    found, start, (*_, height, width) = list[np.ndarray](), 0, maps.shape
    folder = Path(gettempdir()) if columns else None  # what waits lies in files, or in memory
    with ObjectRows(0.0, INSTANCES.min_size, maps.shape[1:], largest, folder) as objects:
        for step in cycle(steps):
            for left, right in pairwise(sorted({0, *(min(column, width) for column in columns), width})):
                rows, some = slice(start, min(start + step, height)), slice(left, right)
                for out, labels, marks in objects.add(rows, some, maps[..., rows, some], maps[0][..., rows, some] > 0):
                    assert out.start == sum(part.shape[-2] for part in found)
                    np.testing.assert_array_equal(marks, maps[0][..., out, :] > 0)
                    found.append(labels)
            start += step
            if start >= height:
                return np.concatenate(found, axis=-2)
    raise AssertionError


def planted(seed: int, shape: tuple[int, int], n: int, radius: float, noise: float = 0.02) -> np.ndarray:
    """Encoded discs that may touch, each with an id of its own; their depth with noise."""
    random, labels = np.random.default_rng(seed), np.zeros(shape, np.uint16)
    y, x = np.mgrid[: shape[0], : shape[1]]
    for i in range(1, n + 1):
        cy, cx, r = random.uniform(0, shape[0]), random.uniform(0, shape[1]), random.uniform(0.5, 1) * radius
        labels[((y - cy) ** 2 + (x - cx) ** 2 < r**2) & (labels == 0)] = i
    maps = INSTANCES.encode(labels[None])
    return np.stack([maps[0], maps[1] + random.normal(0, noise, shape)]).astype(np.float32)


@settings(max_examples=60)
@given(
    seed=st.integers(0, 10**6),
    height=st.integers(1, 260),
    n=st.integers(0, 60),
    noise=st.sampled_from([0.02, 1.0]),
    steps=st.lists(st.integers(1, 90), min_size=1, max_size=3),
    columns=st.lists(st.integers(1, 79), max_size=3),
    at_once=st.sampled_from([40, 2000, 10**6]),
)
def test_objects_do_not_depend_on_the_windows_that_come(seed, height, n, noise, steps, columns, at_once) -> None:
    """Objects that touch each other or no one, across any border: the same pixels and numbers as decoded whole."""
    maps = planted(seed, (height, 80), n, 11, noise)
    with mock.patch.object(object_rows, "AT_ONCE", at_once):
        found = decoded(maps, steps, 40, columns)
    np.testing.assert_array_equal(found, INSTANCES.decode(maps)[0])


@pytest.mark.parametrize("step", [7, 30])
def test_objects_of_volumes_do_not_depend_on_the_rows_that_come_together(step: int) -> None:
    """Likewise in three dimensions; but for their numbers, which follow the rows."""
    maps = ndimage.zoom(planted(1, (120, 80), 40, 9)[:, None], (1, 4, 1, 1), order=0)
    rows, whole = decoded(maps, [step], 40), INSTANCES.decode(maps)[0]
    pairs = np.unique(np.stack([rows.ravel(), whole.ravel()]), axis=1)
    assert pairs.shape[1] == len(np.unique(whole)) == len(np.unique(rows)) > 20


def test_a_carpet_of_objects_is_decoded_as_the_whole() -> None:
    """Where all of an image is one part of foreground, rows go out all the same, and objects stay as they are."""
    y, x = np.mgrid[:600, :60]
    maps = np.stack([np.ones((600, 60)), np.cos(y / 3) * np.cos(x / 3 + y / 50) - 0.4]).astype(np.float32)
    found, largest = list[np.ndarray](), 0
    with ObjectRows(0.0, 6, (600, 60), 40) as objects:
        for start in range(0, 600, 20):
            rows = slice(start, start + 20)
            found += [labels for _, labels, _ in objects.add(rows, slice(0, 60), maps[:, rows])]
            largest = max(largest, start + 20 - sum(part.shape[0] for part in found))
    np.testing.assert_array_equal(np.concatenate(found), INSTANCES.decode(maps)[0])
    assert found[-1].max() > 100
    assert largest <= 120 + 4


def test_objects_for_which_the_disk_has_no_room_raise(tmp_path) -> None:
    """Before a page is mapped that has no place: touching it would end the process. No file stays open."""
    resource, process = pytest.importorskip("resource"), psutil.Process()
    maps, before = np.zeros((2, 64, 64), np.float32), process.num_fds()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
    try:
        with pytest.raises(OSError), ObjectRows(0.0, 6, (64, 64), folder=tmp_path) as objects:
            list(objects.add(slice(0, 64), slice(0, 64), maps))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert process.num_fds() == before
    assert not list(tmp_path.iterdir())


def test_a_long_thin_object_takes_memory_for_itself_alone(monkeypatch) -> None:
    """A scratch from one side to the other, among specks: no more is looked at at once than its box."""
    maps = np.full((2, 300, 2000), -0.9, np.float32)
    maps[:, 100:104] = 0.9
    maps[:, 200:203, ::40] = maps[:, 200:203, 1::40] = maps[:, 200:203, 2::40] = 0.9
    sizes, find = list[int](), object_rows.find_objects
    monkeypatch.setattr(object_rows, "AT_ONCE", 2000)
    monkeypatch.setattr(
        object_rows, "find_objects", lambda foreground, *rest: sizes.append(foreground.size) or find(foreground, *rest)
    )
    np.testing.assert_array_equal(decoded(maps, [300], 400), INSTANCES.decode(maps)[0])
    assert max(sizes) <= 8192


def test_objects_larger_than_may_be_held_are_told() -> None:
    """An object that does not end is cut, said once; those beside it are whole, and no two have one number."""
    maps = np.full((2, 400, 60), -0.9, np.float32)
    maps[:, :, 10:20] = 0.9
    maps[:, 195:205, 30:40] = 0.9
    with pytest.warns(
        UserWarning, match="Objects should have at most 40 rows .* one has 1[0-9]* or more and may"
    ) as told:
        labels = decoded(maps, [10], 40)
    assert len(told) == 1
    assert len(np.unique(labels[:, 15])) > 1
    beside = labels[200, 35]
    np.testing.assert_array_equal(labels == beside, INSTANCES.decode(maps)[0] == INSTANCES.decode(maps)[0, 200, 35])
    assert (labels[maps[0] > 0] > 0).all()


# Precision


def test_bfloat16_is_taken_where_it_was_found_as_good_and_is_native(monkeypatch) -> None:
    """By default where the model says so and the device computes with it; what is asked for is always done."""
    model = untrained(RNG.integers(0, 999, (1, 90, 60)), RNG.integers(0, 999, (1, 90, 60)))
    for native, found, expected in ((True, "bfloat16", "bfloat16"), (False, "bfloat16", "float32")):
        monkeypatch.setattr(devices, "_cpu_has_bfloat16", lambda native=native: native)
        model.provenance["predicts_in"] = found
        assert model.precision_for() == expected
        assert model.precision_for("float32") == "float32"
        assert model.precision_for("bfloat16") == "bfloat16"
        model.provenance["predicts_in"] = "float32"
        assert model.precision_for() == "float32"
    with pytest.raises(ValueError, match="must be bfloat16 or float32 on the CPU"):
        model.predict(np.zeros((9, 9)), precision="float16")


def test_tiles_in_bfloat16_are_near_the_whole_in_float32() -> None:
    """It rounds to 8 bits at each layer: another prediction, but one that the tiles hardly change."""
    source = RNG.integers(0, 999, (1, 90, 60))
    model = untrained(source, source, source_normalization={"method": "min-max"})
    exact, fast, tiled = (
        np.concatenate(
            [band.maps for band in model.predict_bands(source, "CYX", tile_size=size, precision=precision)], 1
        )
        for precision, size in (("float32", 90), ("bfloat16", 90), ("bfloat16", 24))
    )
    assert 1e-4 < np.abs(fast - exact).max() < 0.1
    assert np.abs(tiled - fast).max() < 0.02


@pytest.mark.filterwarnings("ignore:Pairs that judge must not be those that train")
@pytest.mark.parametrize(("allowed", "predicts_in"), [(np.inf, "bfloat16"), (0.0, "float32")])
def test_a_training_finds_out_what_its_model_predicts_in(tmp_path, monkeypatch, allowed, predicts_in) -> None:
    """By the error on the validation pairs, in both precisions; kept in the model."""
    monkeypatch.setattr(devices, "_cpu_has_bfloat16", lambda: True)
    monkeypatch.setattr(finishing, "SAME_ERROR", allowed)
    image = blobs()[0]
    *_, report = core.train(
        core.PairedFrames(image, image, "YX"), small_config(), out=tmp_path, validation=core.PairedFrames(image, image)
    )
    told = report.model.provenance
    assert told["predicts_in"] == predicts_in
    errors = [
        np.abs(report.model.predict(image, "YX", precision=precision).astype(float) - image).mean()
        for precision in ("bfloat16", "float32")
    ]
    assert told["figures"]["validation"]["mae"] == pytest.approx(errors[1])
    assert told["bfloat16_changes_error_by"] == pytest.approx(abs(errors[0] - errors[1]) / errors[1], rel=1e-3)
    assert core.load_model(tmp_path / "model.safetensors", "cpu").provenance == told


@pytest.mark.parametrize("axes", ["CYX", "TCYX"])
def test_a_range_is_told_once_for_all_channels_and_frames(axes) -> None:
    """Of the channel where most lies outside, with the number of others; of a series its first frame that is so."""
    usual = np.stack([blobs((48, 64), seed=seed)[0] for seed in range(3)])
    model = untrained(usual, usual[:1])
    strange = usual.astype(np.float32) - [[[0]], [[9000]], [[20_000]]]
    source = strange if axes == "CYX" else np.stack([usual, strange, strange - 1, usual])
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        model.predict(source, axes)
    [said] = [str(one.message) for one in told]
    assert said.startswith("100% of channel 2 of the source lies below the training range ")
    assert said.endswith(" (so does much of 1 other channel); expect a poor prediction.")


def test_what_is_not_wanted_is_neither_read_nor_computed(monkeypatch) -> None:
    """Blocks without a wanted pixel; what is wanted is as in the whole, to the bit."""
    monkeypatch.setattr(bands_module, "BLOCK", 32 * 32)
    source = RNG.integers(0, 999, (1, 160, 192), dtype=np.uint16)
    model = untrained(source, source, source_normalization={"method": "min-max"})
    monkeypatch.setattr(Findings, "batch", 0)
    read = []

    class Watched:
        shape, ndim, dtype = source.shape, 3, source.dtype

        def __getitem__(self, index):
            read.append(index[-2:])
            return source[index]

    how = PredictSettings(tile_size=32, precision="float32")
    area = Area((slice(70, 90), slice(100, 120)))
    whole = put_together(list(predict_bands(model, source, "CYX", how)), "maps")
    seen = np.zeros((160, 192), int)
    for band in predict_bands(model, Watched(), "CYX", how, area=area):
        window = band.rows, band.columns
        seen[window] += 1
        assert band.wanted == area.touches(window)
        assert band.maps.shape[1:] == band.source.shape[1:] == seen[window].shape
        if band.wanted:
            assert np.array_equal(band.maps, whole[(slice(None), *window)])
            assert np.array_equal(band.source, source[(slice(None), *window)])
        else:
            assert not band.maps.any() and not any(band.maps.strides[-2:])
    assert (seen == 1).all()
    reach = model.tile_plan((160, 192), 32).overlap[0]
    assert len([rows for rows, _ in read if rows.stop - rows.start > 1]) <= 3  # two blocks, and what novelty looks at
    assert min(rows.start for rows, _ in read) >= 64 - reach and max(rows.stop for rows, _ in read) <= 96 + reach


def test_a_grey_source_has_one_range_though_it_is_each_colours() -> None:
    """Where a model expects colours, nobody who gave a grey image is told of channels."""
    colours = np.stack([blobs((48, 64), seed=seed)[0] for seed in range(3)])
    model = untrained(colours, colours[:1])
    plan = AxesPlan("YX", (48, 64), channels=(0, 0, 0))
    with pytest.warns(UserWarning, match="^100% of the source lies above the training range [^;(]*; expect a poor"):
        assert warn_of_range(model, np.array([[0, 1.0]] * 3), plan)
    assert not warn_of_range(model, np.array([[0, 0.05]] * 3), plan)
