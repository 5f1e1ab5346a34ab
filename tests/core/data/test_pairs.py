"""Sources and targets show the same pixels, and what is known of them is known."""

import numpy as np
import pytest

from napari_pix2pix.core.data.census import Census
from napari_pix2pix.core.data.pairs import PairedFrames
from napari_pix2pix.core.data.regions import Region
from small import blobs


@pytest.mark.parametrize(
    ("source", "target", "sentence"),
    [
        (
            [np.zeros((8, 8))],
            [np.zeros((8, 9))],
            "Source and target of cell 1 must show the same pixels; got 1 frame of Y 8, X 8",
        ),
        ([np.zeros((3, 8, 8))], [np.zeros((2, 8, 8))], "must show the same pixels; got 3 frames of Y 8, X 8"),
        ([np.zeros((8, 8))] * 2, [np.zeros((8, 8))], "must have a target; got 2 sources and 1 targets"),
        (
            [np.zeros((8, 8, 3)), np.zeros((8, 8, 4))],
            [np.zeros((8, 8))] * 2,
            "Every source must have the same channels",
        ),
    ],
)
def test_pairs_that_do_not_pair_up_are_named(source, target, sentence) -> None:
    """Sizes, counts and channels that differ are told with the pair's name."""
    with pytest.raises(ValueError, match=sentence):
        PairedFrames(source, target, names=[f"cell {i + 1}" for i in range(len(source))])


def test_pairs_that_cannot_be_trained_on_are_named() -> None:
    """NaN, constant images and images smaller than a patch are told."""
    source, target = blobs()
    holed = source.astype(np.float32)
    holed[3, 4] = np.nan
    with pytest.raises(ValueError, match="the source of cell holds NaN or Inf"):
        Census.of(PairedFrames(holed, target, names=["cell"]))
    with pytest.raises(ValueError, match="every source is constant"):
        Census.of(PairedFrames(np.ones_like(source), target))
    with pytest.raises(ValueError, match="every target is constant"):
        Census.of(PairedFrames(source, np.ones_like(target)))
    with pytest.raises(ValueError, match=r"a patch, 128 x 128 px; cell is 96 x 128. Choose `patch_size` 96\."):
        PairedFrames(source, target, names=["cell"]).require_patches(128, 32)


def test_what_is_not_known_has_no_region() -> None:
    """Frames that nobody annotated, and frames that hold the ignored value alone, are in no kind of pairs."""
    stack = np.arange(6)[:, None, None] * np.ones((6, 40, 40), int)
    assert [r.frame for r in PairedFrames(stack, stack, "TYX", valid=[1, 4]).regions()] == [1, 4]
    pairs = PairedFrames(stack, stack, "TYX", ignore=3)
    assert [r.frame for r in pairs.regions()] == [0, 1, 2, 4, 5]
    assert [r.frame for r in pairs.without({0}).regions()] == [1, 2, 4, 5]
    with pytest.raises(ValueError, match="Something of the targets must be known"):
        PairedFrames(stack[:1], stack[:1], "TYX", ignore=0).regions()


@pytest.mark.parametrize(
    ("valid", "sentence"),
    [
        ([9], "valid must name frames from 0 to 2; got 9"),
        (np.ones((40, 41)), "valid must show the pixels of its target; pair 0 has 1 frame of Y 40, X 41"),
        ([np.ones((3, 40, 40))] * 2, "one mask for each target; got 2 for 1"),
    ],
)
def test_masks_that_do_not_fit_are_told(valid, sentence) -> None:
    """Masks of other sizes and frames that are not there are told."""
    stack = np.zeros((3, 40, 40))
    with pytest.raises(ValueError, match=sentence):
        PairedFrames(stack, stack, "TYX", valid=valid)


def test_grey_among_colours_is_repeated() -> None:
    """In a set that mixes grey and RGB images, the grey value is each colour's."""
    grey, rgb = np.arange(64).reshape(8, 8), np.arange(8 * 8 * 3).reshape(8, 8, 3)
    pairs = PairedFrames([grey, rgb], [grey, grey], names=["grey", "rgb"])
    np.testing.assert_array_equal(pairs.source(0), np.stack([grey] * 3))
    np.testing.assert_array_equal(pairs.source(1), np.moveaxis(rgb, -1, 0))


def test_planes_of_the_source_become_channels() -> None:
    """Where the target has no Z all planes are channels; where it has, each plane's neighbours are."""
    volume, flat = np.arange(5 * 8 * 9).reshape(5, 8, 9), np.zeros((2, 8, 9))
    pairs = PairedFrames(volume, flat, ("ZYX", "CYX"), z="channels")
    assert (len(pairs), pairs.source(0).shape, pairs.target(0).shape) == (1, (5, 8, 9), (2, 8, 9))
    pairs = PairedFrames(volume, volume, "ZYX", z="channels")
    assert len(pairs) == 5
    np.testing.assert_array_equal(pairs.source(2), volume[1:4])
    np.testing.assert_array_equal(pairs.target(2), volume[2:3])
    with pytest.raises(ValueError, match=r"where only one has planes, take them as channels \(`z` channels\)"):
        PairedFrames(volume, flat, ("ZYX", "CYX"))


def test_channels_are_chosen_on_each_side() -> None:
    """The channels asked for, in the order asked for."""
    stack = np.arange(3 * 8 * 9).reshape(3, 8, 9)
    pairs = PairedFrames(stack, stack, "CYX", channels=([2, 0], [1]))
    np.testing.assert_array_equal(pairs.source(0), stack[[2, 0]])
    np.testing.assert_array_equal(pairs.target(0), stack[[1]])


def test_channels_may_lie_differently_in_each_stack() -> None:
    """A list of channels for each stack is taken stack by stack."""
    stack = np.arange(2 * 8 * 9).reshape(2, 8, 9)
    pairs = PairedFrames([stack, stack[::-1]], [stack[0]] * 2, ("CYX", "YX"), channels=([[1], [0]], None))
    np.testing.assert_array_equal(pairs.source(0), pairs.source(1))


def test_volumes_plane_by_plane() -> None:
    """The same pixels, known in the same places: by mask, and by annotated volumes."""
    source = np.arange(2 * 3 * 8 * 9).reshape(2, 3, 8, 9)
    mask = source % 5 == 0
    for valid, expected in ((mask, mask), ([1], np.arange(2)[:, None, None, None] == np.ones(source.shape))):
        volumes = PairedFrames(source, -source, "TZYX", z="volume", valid=valid)
        planes = volumes.planes()
        assert (len(volumes), len(planes), planes.planes()) == (2, 6, planes)
        for i in range(6):
            np.testing.assert_array_equal(planes.source(i)[0], source[divmod(i, 3)])
            np.testing.assert_array_equal(planes.known(i), expected[divmod(i, 3)])
            np.testing.assert_array_equal(planes.known(i), volumes.known(i // 3)[i % 3])


def test_pairs_within_regions_are_known_there_only() -> None:
    """A window of one frame and the whole of another; the pairs they came from still know everything."""
    pairs = PairedFrames(np.zeros((3, 20, 30)), np.ones((3, 20, 30)), "TYX")
    window = (slice(2, 8), slice(5, 25))
    inside = pairs.within([Region(0, window), pairs.regions()[2]])
    expected = np.zeros((20, 30), bool)
    expected[window] = True
    np.testing.assert_array_equal(inside.known(0), expected)
    np.testing.assert_array_equal(inside.known(0, (slice(0, 5), slice(0, 10))), expected[:5, :10])
    assert (inside.known(1).any(), inside.known(2).all(), pairs.known(1).all()) == (False, True, True)
    assert [region.frame for region in inside.regions()] == [0, 2]
    assert not inside.known_everywhere


def test_a_missing_stain_is_not_known_whatever_the_stack_holds() -> None:
    """Channels that a pair was not stained for read as zeros, and are told; the others are what they were."""
    targets = [np.stack([np.full((8, 8), 1 + i), np.full((8, 8), 5 + i)]).astype(np.uint16) for i in range(2)]
    sources = [np.arange(64, dtype=np.uint8).reshape(8, 8)] * 2
    pairs = PairedFrames(
        sources, targets, ("YX", "CYX"), channels=(None, [[0, None], [1, 0]]), target_names=["DAPI", "MAP2"]
    )
    assert pairs.stained.tolist() == [[True, False], [True, True]] and not pairs.all_stained
    assert pairs.target(0)[:, 0, 0].tolist() == [1, 0] and pairs.target(1)[:, 0, 0].tolist() == [6, 2]
    assert pairs.unstained({(1, 0)}).stains(1).tolist() == [False, True]
    assert PairedFrames(sources, targets, ("YX", "CYX")).all_stained
    with pytest.raises(ValueError, match="pair 0 is for nothing"):
        pairs.unstained({(0, 0)})
    with pytest.raises(ValueError, match="source must have all its channels"):
        PairedFrames(targets, targets, "CYX", channels=([[0, None], [0, 1]], None))
