"""Real images of many kinds are read as others read them."""

from pathlib import Path

import imagecodecs
import numpy as np
import pytest
import tifffile

from napari_pix2pix.files.folders import list_images
from napari_pix2pix.files.groups import read_groups
from napari_pix2pix.files.partners import open_pairs
from napari_pix2pix.files.stacks import open_stack, write_stack

DATA = Path(__file__).parents[3] / "shared" / "data"

pytestmark = pytest.mark.skipif(not DATA.is_dir(), reason="the shared data are not here")


@pytest.mark.parametrize("pattern", ["*/*.tif", "dsb2018/*/*/0*", "drive/*/2*.tif", "deepliif/*"])
def test_real_images_have_their_pixels(pattern) -> None:
    """Every file opens, and its pixels are those that its codec's library gives."""
    paths = sorted(path for path in DATA.glob(pattern) if path.suffix != ".csv")
    assert paths
    for path in paths:
        expected = tifffile.imread(path) if path.suffix == ".tif" else imagecodecs.imread(path)
        if path.suffix == ".png" and expected.ndim == 3:
            expected = expected[..., :3]
        read = open_stack(path)
        np.testing.assert_array_equal(read.array[...], expected)
        np.testing.assert_array_equal(read.array[..., 3:9, 5:11], expected[..., 3:9, 5:11])


def test_a_label_free_stack_has_its_axes_and_names(tmp_path) -> None:
    """Phase contrast is ZYX, its three stains are named channels, also after a detour by OME-Zarr."""
    phase, stains = (open_stack(DATA / "isl" / f"{name}.ome.tif") for name in ("phase", "fluorescence"))
    assert (phase.axes, stains.axes, stains.channel_names) == ("ZYX", "CYX", ("DAPI", "MAP2", "NFH"))
    for stack in (phase, stains):
        frames = (stack.plan.take(stack.array, i) for i in range(stack.plan.n_frames))
        path = tmp_path / "copy.zarr"
        write_stack(path, stack.plan, stack.array.dtype, frames, channel_names=stack.channel_names)
        copy = open_stack(path)
        assert (copy.axes, copy.channel_names) == (stack.axes, stack.channel_names)
        np.testing.assert_array_equal(copy.array[...], stack.array[...])


def test_facades_are_pairs_side_by_side() -> None:
    """Photo left, label right."""
    pairs = open_pairs(DATA / "facade_windows", side_by_side="right")
    assert len(pairs.names) == 238
    whole = imagecodecs.imread(pairs.sources[5].path)
    np.testing.assert_array_equal(pairs.sources[5].array[...], whole[:, 256:])
    np.testing.assert_array_equal(pairs.targets[5].array[...], whole[:, :256])


def test_real_names_pair_and_group() -> None:
    """Stains of one section pair by pattern; the domains of DSB2018 are groups."""
    pairs = open_pairs(DATA / "deepliif", pair_by=("*_ihc", "*_dapi"))
    assert pairs.names == ("Bladder1",)
    names = [path.stem for path in list_images(DATA / "dsb2018" / "train" / "image")]
    assert len(read_groups("^(..)", names)) == len(names)
