"""Pairs in files mean what was said of them, and mean the same when a run is resumed."""

import numpy as np
import pytest
import tifffile

from napari_pix2pix.core.axes import AxesPlan
from napari_pix2pix.core.config import PairSettings
from napari_pix2pix.files.pairing import channel_numbers, open_stacks, reopen
from napari_pix2pix.files.stacks import open_stack, write_stack


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
        ({"valid": "{}/b", "annotated_frames": (0,)}, "give --valid or --annotated-frames, not both"),
        ({"valid": "{}/m/s0_0.tif"}, "must have a mask of its name in .*; s0_1 has none"),
    ],
)
def test_what_cannot_be_meant_is_told(pairs, settings, sentence) -> None:
    """Channels, groups and masks that are not there are named."""
    said = {name: value.format(pairs) if name == "valid" else value for name, value in settings.items()}
    with pytest.raises(ValueError, match=sentence):
        open_stacks(pairs / "a", pairs / "b", PairSettings(**said)).frames()
