"""Sources and targets show the same pixels, and nobody judges what they learned from."""

import numpy as np
import pytest
import torch

from napari_pix2pix.core.encoding import fit_encoding
from napari_pix2pix.core.pairs import PairedFrames
from napari_pix2pix.core.patches import PairedPatches
from napari_pix2pix.core.split import split_pairs
from small import blobs, small_config


def patches_of(pairs: PairedFrames, **changes) -> PairedPatches:
    frames = [pairs.source(i) for i in range(len(pairs))]
    encoding = fit_encoding(frames, "intensity")
    return PairedPatches(pairs, pairs.regions(), small_config(**changes), encoding, encoding)


@pytest.mark.parametrize("jitter", [1.0, 1.2])
def test_source_and_target_patches_show_the_same_window(jitter: float) -> None:
    """With the source as its own target, both patches are equal after cropping, turning, mirroring and jitter."""
    stack = np.random.default_rng(0).integers(0, 4000, (3, 60, 50)).astype(np.uint16)
    patches = patches_of(PairedFrames(stack, stack, "TYX"), jitter=jitter)
    seen = []
    for step in range(8):
        batch = patches.batch(step)
        source, target = batch.source, batch.target
        assert source.shape == (2, 1, 32, 32)
        torch.testing.assert_close(source, target)
        seen.append(source)
    assert not any(torch.equal(seen[0], other) for other in seen[1:])


def test_a_patch_depends_on_seed_and_step_alone() -> None:
    """The patches of a step are the same whatever was asked before, and others for another seed."""
    stack = np.random.default_rng(0).integers(0, 4000, (3, 60, 50)).astype(np.uint16)
    pairs = PairedFrames(stack, stack, "TYX")
    one, other = patches_of(pairs), patches_of(pairs)
    for step in range(5):
        other.batch(step)
    assert torch.equal(one.batch(5).source, other.batch(5).source)
    assert not torch.equal(one.batch(5).source, patches_of(pairs, seed=1).batch(5).source)


def test_every_pixel_can_be_drawn() -> None:
    """Patches reach every corner of an image that is just larger than a patch."""
    image = np.arange(34 * 33, dtype=np.uint16).reshape(34, 33)
    patches = patches_of(PairedFrames(image, image, "YX"), flip=False, rotate=False)
    seen = {float(value) for step in range(60) for value in patches.batch(step).source.unique()}
    assert len(seen) == image.size


def test_groups_stay_together() -> None:
    """Pairs of one slide are never in two kinds, and every pair is in one."""
    stacks = [np.zeros((40, 40), np.uint8)] * 20
    pairs = PairedFrames(stacks, stacks, "YX", groups=[f"slide {i // 2}" for i in range(20)])
    split = split_pairs(pairs, small_config(), reach=21)
    kinds = [
        {pairs.groups[region.frame] for region in part} for part in (split.train, split.validation, split.calibration)
    ]
    assert [len(kind) for kind in kinds] == [8, 1, 1]
    assert len(set.union(*kinds)) == 10
    assert split == split_pairs(pairs, small_config(), reach=21)
    assert split != split_pairs(pairs, small_config(seed=1), reach=21)


def test_frames_of_a_stack_are_blocks_with_a_gap() -> None:
    """Within one stack kinds are contiguous, a frame apart."""
    stack = np.zeros((20, 40, 40), np.uint8)
    split = split_pairs(PairedFrames(stack, stack, "TYX"), small_config(), reach=21)
    frames = [[region.frame for region in part] for part in (split.train, split.validation, split.calibration)]
    assert frames == [list(range(14)), [15, 16], [18, 19]]


def test_parts_of_an_image_are_apart_by_the_reach() -> None:
    """Within one image kinds are blocks of at least a patch, the generator's reach apart."""
    image = np.zeros((64, 400), np.uint8)
    split = split_pairs(PairedFrames(image, image, "YX"), small_config(), reach=21)
    columns = [part[0].window[1] for part in (split.train, split.validation, split.calibration)]
    assert columns == [slice(0, 278), slice(299, 339), slice(360, 400)]


def test_what_has_no_room_is_left_out_and_said() -> None:
    """An image with room for training alone is trained on, with a remark for each kind left out."""
    image = np.zeros((40, 40), np.uint8)
    split = split_pairs(PairedFrames(image, image, "YX"), small_config(), reach=21)
    assert not split.validation
    assert not split.calibration
    assert len(split.remarks) == 2
    assert "scores have no ranks" in split.remarks[1]


@pytest.mark.parametrize(
    ("source", "target", "sentence"),
    [
        (
            [np.zeros((8, 8))],
            [np.zeros((8, 9))],
            "Source and target of cell 1 must show the same pixels; got 1 x 8 x 8",
        ),
        ([np.zeros((3, 8, 8))], [np.zeros((2, 8, 8))], "must show the same pixels; got 3 x 8 x 8"),
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
        PairedFrames(holed, target, names=["cell"]).require_trainable()
    with pytest.raises(ValueError, match="every source is constant"):
        PairedFrames(np.ones_like(source), target).require_trainable()
    with pytest.raises(ValueError, match="every target is constant"):
        PairedFrames(source, np.ones_like(target)).require_trainable()
    with pytest.raises(ValueError, match=r"a patch, 128 x 128 px; cell is 96 x 128. Choose --patch-size 96\."):
        PairedFrames(source, target, names=["cell"]).require_patches(128, 32)


def test_patches_show_where_the_target_is_known() -> None:
    """With a mask over a third, patches are at least half known where they can be, and say where."""
    image = np.random.default_rng(0).integers(1, 4000, (60, 120)).astype(np.uint16)
    valid = np.zeros((60, 120), np.uint8)
    valid[:, 40:80] = 255
    pairs = PairedFrames(image, np.where(valid, image, 0), "YX", valid=valid)
    patches = patches_of(pairs, rotate=False, flip=False)
    for step in range(10):
        batch = patches.batch(step)
        assert (batch.known.mean(dim=(1, 2, 3)) >= 0.5).all()
        known = batch.known.expand_as(batch.source) > 0
        torch.testing.assert_close(batch.source[known], batch.target[known])
    np.testing.assert_array_equal(pairs.known(0), valid > 0)
    assert pairs.target(0)[0, 0, 0] == image[:, 40:80].min()  # what is not known looks like the least that is


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
        (np.ones((40, 41)), "valid must show the pixels of its target; pair 0 has 1 x 40 x 41"),
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
    with pytest.raises(ValueError, match=r"where only one has planes, take them as channels \(z\)"):
        PairedFrames(volume, flat, ("ZYX", "CYX"))


def test_channels_are_chosen_on_each_side() -> None:
    """The channels asked for, in the order asked for."""
    stack = np.arange(3 * 8 * 9).reshape(3, 8, 9)
    pairs = PairedFrames(stack, stack, "CYX", channels=([2, 0], [1]))
    np.testing.assert_array_equal(pairs.source(0), stack[[2, 0]])
    np.testing.assert_array_equal(pairs.target(0), stack[[1]])


def test_a_stack_of_times_and_planes_is_cut_along_one_of_them() -> None:
    """No kind holds a neighbour, in time or depth, of another: frames at one place of the longer axis stay together."""
    stack = np.zeros((2, 10, 40, 40), np.uint8)
    split = split_pairs(PairedFrames(stack, stack, "TZYX"), small_config(), reach=21)
    planes = [{region.frame % 10 for region in part} for part in (split.train, split.validation, split.calibration)]
    assert planes == [{0, 1, 2, 3, 4, 5}, {7}, {9}]
    assert len(split.train) == 12


def test_one_group_is_never_divided_between_kinds() -> None:
    """Several files of one slide all train, and the remark says that nothing is left to validate on."""
    stacks = [np.zeros((40, 40), np.uint8)] * 5
    split = split_pairs(PairedFrames(stacks, stacks, "YX", groups=["slide"] * 5), small_config(), reach=21)
    assert (len(split.train), len(split.validation), len(split.remarks)) == (5, 0, 2)


def test_channels_may_lie_differently_in_each_stack() -> None:
    """A list of channels for each stack is taken stack by stack."""
    stack = np.arange(2 * 8 * 9).reshape(2, 8, 9)
    pairs = PairedFrames([stack, stack[::-1]], [stack[0]] * 2, ("CYX", "YX"), channels=([[1], [0]], None))
    np.testing.assert_array_equal(pairs.source(0), pairs.source(1))
