"""Scores by the judge of the match go to their files frame by frame, as arrays are scored."""

import csv
from dataclasses import replace

import numpy as np
import pytest
import tifffile

from napari_pix2pix.core.geometry.per_pixel import per_pixel
from napari_pix2pix.core.settings.running import ScoreSettings
from napari_pix2pix.files.outputs import beside
from napari_pix2pix.files.scored import parts_of_scores, score_file
from napari_pix2pix.files.stacks import open_stack
from small import blobs, untrained, with_judge

FRAMES = [blobs((90, 120), seed=seed) for seed in range(4)]
SOURCE, IMAGE = (np.stack([frame[side] for frame in FRAMES]) for side in (0, 1))


@pytest.fixture(scope="module")
def model():
    """Its judge of the match is not taught, but calibrated, on enough groups for a bound."""
    model = with_judge(untrained(SOURCE[:1], IMAGE[:1], "instances"))
    return replace(model, networks={"generator": model.generator})


@pytest.mark.parametrize("suffix", ["tif", "zarr"])
@pytest.mark.parametrize("axes", ["TYX", "TZYX"])
def test_every_file_holds_what_score_gives(model, tmp_path, axes, suffix) -> None:
    """All that is known of each score, in tiles; the table has a row for each, with its place in stack and image."""
    sides = [stack.reshape(2, 2, *stack.shape[1:]) if "Z" in axes else stack for stack in (SOURCE, IMAGE)]
    for name, stack in zip(("source", "image"), sides, strict=True):
        tifffile.imwrite(tmp_path / f"{name}.tif", stack, ome=True, metadata={"axes": axes})
    out = tmp_path / f"scores.{suffix}"
    *_, placed, last = score_file(
        model, tmp_path / "source.tif", tmp_path / "image.tif", out, ScoreSettings(tile_size=32, table=True)
    )
    whole = model.score(*sides, axes)
    parts = parts_of_scores(model, None, table=False)
    assert ["scores", *parts] == [*whole.parts] == ["scores", "valid", "expected_error", "rank", "error_bound"]
    for name, values in whole.parts.items():
        written = np.asarray(open_stack(out if name == "scores" else beside(name)(out)).array)
        np.testing.assert_allclose(written, values, rtol=1e-4, atol=1e-5)
    expected = whole.expected_error[whole.valid].mean()
    assert last["row"]["expected_error"] == pytest.approx(expected, rel=1e-4)
    of_each = [frame.mean_error for frame in model.score_frames(*sides, axes)]
    assert placed["expected_errors"] == pytest.approx(of_each, rel=1e-4)

    with beside("table")(out).open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == whole.scores.size
    for place in [(0,) * len(axes), tuple(n - 1 for n in whole.scores.shape), tuple(range(len(axes)))]:
        row = rows[np.ravel_multi_index(place, whole.scores.shape)]
        at = [*place[:-2], *(i * s + t for i, s, t in zip(place[-2:], whole.scale, whole.translate, strict=True))]
        assert [float(row[axis.lower()]) for axis in axes] == at
        found = [float(row["score" if name == "scores" else name]) for name in whole.parts]
        assert found == pytest.approx([float(values[place]) for values in whole.parts.values()], rel=1e-4, abs=1e-5)


@pytest.mark.parametrize("suffix", ["tif", "zarr"])
def test_each_pixel_has_what_the_fields_around_it_have(model, tmp_path, monkeypatch, suffix) -> None:
    """On the image's own pixels, some rows at a time; valid between fields that are; the table stays one of fields."""
    monkeypatch.setattr("napari_pix2pix.files.trusted.ROWS", 32)
    for name, stack in (("source", SOURCE), ("image", IMAGE)):
        how = {"axes": "TYX", "PhysicalSizeX": 0.5, "PhysicalSizeY": 0.25}
        tifffile.imwrite(tmp_path / f"{name}.tif", stack, ome=True, metadata=how)
    out, whole = tmp_path / f"scores.{suffix}", model.score(SOURCE, IMAGE, "TYX")
    events = list(
        score_file(
            model, tmp_path / "source.tif", tmp_path / "image.tif", out, ScoreSettings(per_pixel=True, table=True)
        )
    )
    placed = next(event for event in events if event["event"] == "placed")
    assert (placed["scale"], placed["translate"]) == ((1, 1), (0, 0))
    window = tuple(slice(0, n) for n in IMAGE.shape[1:])
    for name, values in whole.parts.items():
        written = open_stack(out if name == "scores" else beside(name)(out))
        expected = per_pixel(values.astype(np.float32), whole.scale, whole.translate, window)
        expected = expected == 1 if name == "valid" else expected
        np.testing.assert_allclose(np.asarray(written.array), expected, rtol=1e-4, atol=1e-5)
        assert written.pixel_size_um == pytest.approx({"Y": 0.25, "X": 0.5})
    assert len(beside("table")(out).read_text().splitlines()) == whole.scores.size + 1


def test_one_frame_is_scored_as_in_a_stack(model) -> None:
    """By `score_frame`, which looks at one frame, and by either kind of discriminator, if there is one."""
    whole, one = model.score(SOURCE, IMAGE, "TYX"), model.score_frame(SOURCE[2:3], IMAGE[2:3])
    assert (one.kind, one.axes, one.promise) == ("match", "YX", whole.promise)
    for name, values in one.parts.items():
        np.testing.assert_array_equal(values, whole.parts[name][2])
    with pytest.raises(ValueError, match="must have a discriminator"):
        model.score(SOURCE, IMAGE, "TYX", kind="plain")


def test_what_cannot_be_scored_leaves_no_file(model, tmp_path) -> None:
    """NaN in the last frame: neither scores nor what goes beside them."""
    holed = SOURCE.astype(np.float32)
    holed[-1, 40, 40] = np.nan
    for name, stack in (("source", holed), ("image", IMAGE)):
        tifffile.imwrite(tmp_path / f"{name}.tif", stack, ome=True, metadata={"axes": "TYX"})
    with pytest.raises(ValueError, match="frame 3 holds NaN or Inf"):
        list(
            score_file(
                model, tmp_path / "source.tif", tmp_path / "image.tif", tmp_path / "s.tif", ScoreSettings(table=True)
            )
        )
    assert sorted(path.name for path in tmp_path.iterdir()) == ["image.tif", "source.tif"]


def test_maps_are_what_predict_decodes(model) -> None:
    """`generate` gives, of an encoded frame, the maps of `predict_maps`."""
    [(_, _, maps)] = model.predict_maps(SOURCE[0], "YX")
    np.testing.assert_array_equal(model.maps_of_frame(model.source_encoding.encode(SOURCE[:1])), maps)
