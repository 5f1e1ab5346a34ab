"""Objects with their expected errors: the same however the rows come; outlines go round all of their pixels."""

import csv
import json
from itertools import pairwise, product

import numpy as np
import pytest
from matplotlib.path import Path as Outline
from scipy import ndimage

from napari_pix2pix.core.geometry.axes import AxesPlan
from napari_pix2pix.files.judged_objects import objects_writer, outlines
from small import blobs

SHAPE = (90, 120)
LABELS = np.stack([blobs(SHAPE, seed=seed)[1].astype(np.int32) for seed in range(4)])
EXPECTED = np.random.default_rng(0).random(LABELS.shape).astype(np.float32)


def written(tmp_path, axes, labels, expected, rows, limit=0.5, columns=SHAPE[1]):
    """The table and the features, from so many rows, or so many columns of them, at a time."""
    z = "volume" if axes.endswith("ZYX") and labels.ndim == 4 else "frame"
    plan = AxesPlan(axes, labels.shape, z=z)
    table, shapes = tmp_path / "o.csv", tmp_path / "o.geojson"
    with objects_writer(table, shapes, plan, limit) as objects:
        for frame in range(plan.n_frames):
            ours, theirs = (plan.take(values, frame)[0] for values in (labels, expected))
            for row, column in product(range(0, SHAPE[0], rows), range(0, SHAPE[1], columns)):
                some = (..., slice(row, row + rows), slice(column, column + columns))
                objects.add(ours[some], theirs[some], (row, column))
            objects.finish(frame, lambda window, frame=ours: frame[window])
    with table.open(newline="") as file:
        found = list(csv.DictReader(file))
    return found, json.loads(shapes.read_text())["features"], objects.row


@pytest.mark.parametrize(("rows", "columns"), [(90, 120), (17, 120), (17, 50), (1, 120)])
@pytest.mark.parametrize("axes", ["TYX", "TZYX"])
def test_each_object_has_its_mean_error_and_its_place(tmp_path, axes, rows, columns, monkeypatch) -> None:
    """However few rows and columns come at a time: a row for each object of each frame or volume."""
    monkeypatch.setattr("napari_pix2pix.files.judged_objects.AT_ONCE", 20)
    shape = (2, 2, *SHAPE) if axes == "TZYX" else LABELS.shape
    labels, expected = LABELS.reshape(shape), EXPECTED.reshape(shape)
    found, features, counts = written(tmp_path, axes, labels, expected, rows, columns=columns)
    numbers = [(t, label) for t, frame in enumerate(labels) for label in np.unique(frame[frame > 0])]
    assert [(int(row["t"]), int(row["label"])) for row in found] == numbers
    for row in found:
        t, label = int(row["t"]), int(row["label"])
        inside = labels[t] == label
        mean = expected[t][inside].mean(dtype=float)
        assert float(row["expected_error"]) == pytest.approx(mean, rel=1e-4)
        assert row["verdict"] == ("check" if mean > 0.5 else "keep")
        centre = [float(row[axis]) for axis in axes[1:].lower()]
        assert centre == pytest.approx(ndimage.center_of_mass(inside), abs=0.01)
        assert int(row["size"]) == inside.sum()
    assert counts == {"objects": len(found), "objects_to_check": sum(row["verdict"] == "check" for row in found)}
    told = {(f["properties"]["t"], f["properties"]["label"]): f["properties"] for f in features}
    assert sorted(told) == numbers
    for row in found:
        said = told[int(row["t"]), int(row["label"])]
        assert (f"{said['expected_error']:.6g}", said["verdict"]) == (row["expected_error"], row["verdict"])

    # The outlines hold the centres of the object's pixels, and of no others.
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]] + 0.5
    for feature in features[:: max(1, len(features) // 6)]:
        said = feature["properties"]
        frame = labels[(said["t"], said["z"])] if "z" in said else labels[said["t"]]
        shape = feature["geometry"]["coordinates"]
        polygons = [shape] if feature["geometry"]["type"] == "Polygon" else shape
        np.testing.assert_array_equal(inside_of(polygons, x, y), frame == said["label"])


def inside_of(polygons, x, y):
    """Whether points lie in a polygon and in none of its holes."""
    points, found = np.stack([x.ravel(), y.ravel()], axis=1), np.zeros(x.size, bool)
    for outer, *holes in polygons:
        hollow = np.any([found & False, *(Outline(hole).contains_points(points) for hole in holes)], axis=0)
        found |= Outline(outer).contains_points(points) & ~hollow
    return found.reshape(x.shape)


def test_holes_and_parts_are_outlined() -> None:
    """A ring has a hole, turned the other way round; two parts are two polygons; the place of the mask counts."""
    mask = np.zeros((30, 40), bool)
    mask[3:20, 5:25], mask[8:12, 10:15], mask[22:24, 0:3] = True, False, True
    polygons = outlines(mask, (100, 200))
    assert [len(rings) for rings in polygons] == [2, 1]
    y, x = np.mgrid[:30, :40] + 0.5
    np.testing.assert_array_equal(inside_of(polygons, x + 200, y + 100), mask)
    turns = [sum(a[0] * b[1] - b[0] * a[1] for a, b in pairwise(ring)) for ring in polygons[0]]
    assert turns[0] > 0 > turns[1]
    assert all(ring[0] == ring[-1] for rings in polygons for ring in rings)


def test_a_frame_without_objects_has_none(tmp_path) -> None:
    found, features, counts = written(tmp_path, "YX", np.zeros(SHAPE, np.int32), EXPECTED[0], 40)
    assert (found, features, counts["objects"]) == ([], [], 0)
    full, features, _ = written(tmp_path, "YX", np.ones(SHAPE, np.int32), EXPECTED[0], 40)
    assert (full[0]["size"], len(features)) == (str(SHAPE[0] * SHAPE[1]), 1)
