"""Patches show the same window of source and target, the same in every run."""

import numpy as np
import pytest
import torch

from napari_pix2pix.core.encoding import fit_encoding
from napari_pix2pix.core.pairs import PairedFrames
from napari_pix2pix.core.patches import PairedPatches
from small import small_config


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
