"""Pairs in files mean what was said of them, and mean the same when a run is resumed."""

import json
from pathlib import Path

import numpy as np
import pytest
import tifffile

from napari_pix2pix.core.geometry.axes import AxesPlan
from napari_pix2pix.core.settings.config import PairSettings
from napari_pix2pix.files.pairing import channel_numbers, open_stacks, reopen
from napari_pix2pix.files.stacks import Stack, join_stacks, open_stack, sha256, write_stack


@pytest.fixture
def pairs(tmp_path):
    """Folders of three 2-channel sources, their targets, and masks."""
    random = np.random.default_rng(0)
    for i in range(3):
        for side, axes, shape in (("a", "CYX", (2, 20, 30)), ("b", "YX", (20, 30)), ("m", "YX", (20, 30))):
            image = random.integers(0, 2 if side == "m" else 99, shape).astype(np.uint8)
            plan = AxesPlan(axes, shape)
            names = ("DAPI", "MAP2") if side == "a" else ()
            write_stack(
                tmp_path / side / f"s{i // 2}_{i}.tif", plan, "uint8", [plan.take(image, 0)], channel_names=names
            )
    return tmp_path


def test_everything_said_of_pairs_reaches_the_core(pairs) -> None:
    """Channels by name, masks by file name, groups by expression: as said, and again from the provenance."""
    settings = PairSettings(source_channels=("MAP2",), valid=str(pairs / "m"), groups="^(s[0-9])_", ignore_label=7)
    stacks = open_stacks(pairs / "a", pairs / "b", settings)
    for opened in (stacks, reopen(stacks.provenance())):
        frames = opened.frames()
        assert frames.groups == ["s0", "s0", "s1"]
        for i, name in enumerate(frames.names):
            target = tifffile.imread(pairs / "b" / f"{name}.tif")
            known = (tifffile.imread(pairs / "m" / f"{name}.tif") > 0) & (target != 7)
            np.testing.assert_array_equal(frames.known(i), known)
            np.testing.assert_array_equal(frames.target(i)[0][known], target[known])
            np.testing.assert_array_equal(frames.source(i), tifffile.imread(pairs / "a" / f"{name}.tif")[1:])


def test_annotated_frames(pairs) -> None:
    """Only the frames that are said to be annotated are known."""
    frames = open_stacks(pairs / "a", pairs / "b", PairSettings(annotated_frames=(0, 2))).frames()
    assert [region.frame for region in frames.regions()] == [0, 2]


@pytest.mark.parametrize(("wanted", "found"), [((), []), (("MAP2", "0"), [1, 0]), (("1",), [1])])
def test_channels_by_name_or_number(pairs, wanted, found) -> None:
    """A channel is what it is called in the file, or its number."""
    assert channel_numbers(open_stack(pairs / "a" / "s0_0.tif"), wanted) == found


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"source_channels": ("GFP",)}, "must be a number from 0 to 1 or a name of DAPI, MAP2; got 'GFP'"),
        ({"target_channels": ("1",)}, "must be a number from 0 to 0; got '1'"),
        ({"groups": "^(t[0-9])_"}, "Every image must have a group"),
        ({"valid": "{}/b", "annotated_frames": (0,)}, "give `valid` or `annotated_frames`, not both"),
        ({"valid": "{}/m/s0_0.tif"}, "must have a mask of its name in .*; s0_1 has none"),
    ],
)
def test_what_cannot_be_meant_is_told(pairs, settings, sentence) -> None:
    """Channels, groups and masks that are not there are named."""
    said = {name: value.format(pairs) if name == "valid" else value for name, value in settings.items()}
    with pytest.raises(ValueError, match=sentence):
        open_stacks(pairs / "a", pairs / "b", PairSettings(**said)).frames()


class Counted:
    """Pixels that say which part of them was asked for."""

    def __init__(self, array: np.ndarray) -> None:
        self.array, self.shape, self.dtype, self.asked = array, array.shape, array.dtype, []

    def __getitem__(self, index):
        self.asked.append(index)
        return self.array[index]


ROOMS = ["CYX", "YX", "YXS", "TZCYX", "ZCTYX", "TYXS", "YCX", "TCYX"]


@pytest.mark.parametrize("one", ROOMS)
@pytest.mark.parametrize("other", ROOMS)
def test_joined_channels_are_those_of_each_file(one, other) -> None:
    """Frame by frame, window by window, whatever the order of axes; only the window is read."""
    sizes = {"T": 1 + ("T" in one and "T" in other), "Z": 1 + ("Z" in one and "Z" in other), "C": 2, "Y": 9, "X": 11}
    sizes |= {"S": 3}
    random = np.random.default_rng(0)
    parts = []
    for i, axes in enumerate((one, other)):
        dtype = (np.uint8, np.uint16)[i]
        array = Counted(random.integers(0, 200, [sizes[axis] for axis in axes]).astype(dtype))
        parts.append(Stack(Path(f"{i}.tif"), array, axes))
    joined = join_stacks(parts)
    window = (slice(2, 5), slice(3, 4))
    assert (joined.plan.n_channels, joined.array.dtype) == (sum(part.plan.n_channels for part in parts), np.uint16)
    for frame in range(joined.plan.n_frames):
        expected = np.concatenate([part.plan.take(part.array.array, frame, window) for part in parts])
        for part in parts:
            part.array.asked.clear()
        np.testing.assert_array_equal(joined.plan.take(joined.array, frame, window), expected)
        for part in parts:
            [index] = part.array.asked
            assert (index[part.axes.index("Y")], index[part.axes.index("X")]) == window
    whole = np.asarray(joined.array)
    assert whole.shape == joined.array.shape
    for index in ((..., 3, slice(1, 4)), (Ellipsis,), 0, (*[0] * (whole.ndim - 3), 1), (..., slice(0, 2), 4, 5)):
        np.testing.assert_array_equal(joined.array[index], whole[index])


def test_channels_of_two_files_keep_names_and_hashes(pairs) -> None:
    """By name or number over both; read again from the provenance; changed files and other sizes are told."""
    settings = PairSettings(source_more=(f"{pairs}/b",), source_channels=("2", "MAP2"))
    stacks = open_stacks(pairs / "a", pairs / "b", settings)
    said = json.loads(json.dumps(stacks.provenance()))
    assert [len(source["more"]) for source in said["sources"]] == [1, 1, 1]
    for opened in (stacks, reopen(said)):
        assert opened.files.sources[0].channel_names == ("DAPI", "MAP2", "")
        frames = opened.frames()
        for i, name in enumerate(frames.names):
            a, b = (tifffile.imread(pairs / side / f"{name}.tif") for side in "ab")
            np.testing.assert_array_equal(frames.source(i), np.stack([b, a[1]]))
        assert frames.hashes[0][0] == f"{sha256(pairs / 'a' / 's0_0.tif')} {sha256(pairs / 'b' / 's0_0.tif')}"
    (pairs / "b" / "s1_2.tif").write_bytes((pairs / "b" / "s0_0.tif").read_bytes())
    with pytest.raises(ValueError, match=r"s1_2\.tif has changed"):
        reopen(said)
    tifffile.imwrite(pairs / "b" / "s1_2.tif", np.zeros((20, 29), np.uint8))
    sentence = "joined must show the same frames; got .*a.s1_2.tif .* and .*b.s1_2.tif"
    with pytest.raises(ValueError, match=sentence):
        open_stacks(pairs / "a", pairs / "m", settings)
    (pairs / "b" / "s1_2.tif").unlink()
    with pytest.raises(ValueError, match="s1_2 has none"):
        open_stacks(pairs / "a", pairs / "m", settings)
