"""A result lies where its source lies: origin, time step and scales without a unit are taken over, in every format."""

import json
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import tifffile
import zarr

from napari_pix2pix.core.geometry.axes import AxesPlan
from napari_pix2pix.core.settings.running import PredictSettings, ScoreSettings
from napari_pix2pix.files.placement import Placement, measure
from napari_pix2pix.files.predicted import predict_file
from napari_pix2pix.files.scored import score_file
from napari_pix2pix.files.stacks import open_stack, write_stack
from small import untrained, with_judge

RNG = np.random.default_rng(0)
PLACED = {
    "translated": ({"Y": 0.5, "X": 0.25}, Placement({"Y": (100.0, "µm"), "X": (-250.5, "µm")})),
    "without a unit": ({}, Placement({"Y": (7.0, "")}, {"Y": (0.5, ""), "X": (0.5, "")})),
    "in time": ({"Y": 2.0, "X": 2.0}, Placement({}, {"T": (30.0, "s")})),
    "in planes": ({"Z": 3.0, "Y": 2.0, "X": 2.0}, Placement({"Z": (10.0, "µm"), "X": (1.0, "µm")}, {"T": (0.1, "s")})),
}


@pytest.mark.parametrize("name", PLACED)
def test_placement_survives_both_formats(tmp_path, name: str) -> None:
    """What is written is read, from TIFF to OME-Zarr and back."""
    sizes, placement = PLACED[name]
    plan = AxesPlan("TZCYX", (2, 3, 2, 20, 30))
    frames = RNG.integers(0, 99, (plan.n_frames, 2, 20, 30), np.uint8)
    for first, second in product((".ome.tif", ".zarr"), repeat=2):
        write_stack(tmp_path / f"a{first}", plan, "uint8", frames, pixel_size_um=sizes, placement=placement)
        read = open_stack(tmp_path / f"a{first}")
        how = {"pixel_size_um": read.pixel_size_um, "placement": read.placement}
        write_stack(tmp_path / f"b{second}", plan, "uint8", frames, **how)
        found = open_stack(tmp_path / f"b{second}")
        assert found.pixel_size_um == sizes
        assert found.placement.step == placement.step
        at = {axis: where for axis, where in found.placement.origin.items() if where[0]}
        assert at == placement.origin


def test_what_other_programs_write_is_read(tmp_path) -> None:
    """Units are converted, transformations of level and image are applied one after the other."""
    group = zarr.create_group(tmp_path / "a.zarr")
    group.create_array("0", data=np.zeros((2, 8, 9), np.uint8))
    level = [{"type": "scale", "scale": [2, 500, 3]}, {"type": "translation", "translation": [1, 2000, 5]}]
    whole = [{"type": "scale", "scale": [10, 1, 2]}, {"type": "translation", "translation": [0, 1000, 1]}]
    axes = [("t", "time", "millisecond"), ("y", "space", "nanometer"), ("x", "space", None)]
    group.attrs["ome"] = {
        "version": "0.5",
        "multiscales": [
            {
                "axes": [{"name": n, "type": kind} | ({"unit": u} if u else {}) for n, kind, u in axes],
                "datasets": [{"path": "0", "coordinateTransformations": level}],
                "coordinateTransformations": whole,
            }
        ],
    }
    read = open_stack(tmp_path / "a.zarr")
    assert read.pixel_size_um == pytest.approx({"Y": 0.5})
    assert read.placement.step == {"T": (pytest.approx(0.02), "s"), "X": (6.0, "")}
    assert read.placement.origin == {"T": (pytest.approx(0.01), "s"), "Y": (pytest.approx(3), "µm"), "X": (11.0, "")}

    said = {"axes": "TYX", "TimeIncrement": 2, "TimeIncrementUnit": "min", "PhysicalSizeX": 1}
    said |= {"Plane": {"PositionX": [4.0, 4.0], "PositionXUnit": ["mm", "mm"], "PositionY": [3.0, 3.0]}}
    tifffile.imwrite(tmp_path / "a.ome.tif", np.zeros((2, 8, 9), np.uint8), photometric="minisblack", metadata=said)
    read = open_stack(tmp_path / "a.ome.tif")
    assert read.placement == Placement({"X": (4000.0, "µm"), "Y": (3.0, "")}, {"T": (120.0, "s")})

    interval = {"axes": "TYX", "finterval": 1.5, "unit": "um"}
    tifffile.imwrite(tmp_path / "j.tif", np.zeros((2, 8, 9), np.uint8), imagej=True, metadata=interval)
    assert open_stack(tmp_path / "j.tif").placement.step == {"T": (1.5, "s")}


@pytest.mark.parametrize("suffix", [".tif", ".zarr"])
def test_results_lie_where_their_source_lies(tmp_path, suffix: str) -> None:
    """Predictions and maps of trust as the source, scores where the middle of their first field is."""
    source, target = RNG.integers(0, 900, (2, 1, 64, 64), np.uint16)
    model = with_judge(untrained(source, target))
    sizes, placement = PLACED["translated"]
    given, out, scores = tmp_path / "source.zarr", tmp_path / f"out{suffix}", tmp_path / f"scores{suffix}"
    write_stack(given, AxesPlan("YX", (64, 64)), "uint16", [source], pixel_size_um=sizes, placement=placement)
    for event in predict_file(model, given, out, PredictSettings(trust=True)):
        del event
    placed = next(
        event for event in score_file(model, given, out, scores, ScoreSettings()) if event["event"] == "placed"
    )
    for beside in (f"out{suffix}", f"out.expected_error{suffix}", f"out.untrusted{suffix}"):
        read = open_stack(tmp_path / beside)
        assert (read.pixel_size_um, read.placement) == (sizes, placement)
    read = open_stack(scores)
    for axis, step, start in zip("YX", placed["scale"], placed["translate"], strict=True):
        assert read.pixel_size_um[axis] == pytest.approx(sizes[axis] * step)
        assert read.placement.origin[axis][0] == pytest.approx(placement.origin[axis][0] + sizes[axis] * start)


def test_a_scale_of_one_says_nothing_new(tmp_path) -> None:
    """Where a file says nothing, nothing is made up."""
    for suffix in (".tif", ".zarr"):
        write_stack(tmp_path / f"a{suffix}", AxesPlan("TYX", (2, 8, 9)), "uint8", np.zeros((2, 1, 8, 9)))
        assert open_stack(tmp_path / f"a{suffix}").placement == Placement()
    said = json.loads((Path(tmp_path) / "a.zarr" / "zarr.json").read_text())["attributes"]["ome"]["multiscales"][0]
    assert said["datasets"][0]["coordinateTransformations"] == [{"type": "scale", "scale": [1.0, 1.0, 1.0]}]
    assert not any("unit" in axis for axis in said["axes"])


@pytest.mark.parametrize(
    ("axis", "unit", "expected"),
    [("X", "nm", (2e-3, "µm")), ("Z", "parsec", (2.0, "")), ("T", "h", (7200.0, "s")), ("T", "µm", (2.0, ""))],
)
def test_units(axis, unit, expected) -> None:
    """Lengths in micrometres, times in seconds; what is neither stays a number."""
    assert measure(axis, 2.0, unit) == pytest.approx(expected)
