"""Patches show the same window of source and target, the same in every run."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy import ndimage

from napari_pix2pix.core.data import patches as patches_module
from napari_pix2pix.core.data.pairs import PairedFrames
from napari_pix2pix.core.data.patches import STATISTICS, MixedPatches, PairedPatches
from napari_pix2pix.core.data.regions import Region
from napari_pix2pix.core.encodings.encoding import fit_encoding
from napari_pix2pix.core.encodings.kinds import Kind
from napari_pix2pix.core.settings.config import NormalizationConfig
from small import blobs, small_config

RANDOM = np.random.default_rng(0)


def patches_of(
    pairs: PairedFrames,
    kind: Kind = "intensity",
    source_kind: Kind = "intensity",
    regions: tuple[Region, ...] = (),
    **changes,
) -> PairedPatches:
    sources, targets = ([read(i) for i in range(len(pairs))] for read in (pairs.source, pairs.target))
    encodings = fit_encoding(sources, source_kind), fit_encoding(targets, kind)
    return PairedPatches(pairs, regions or pairs.regions(), small_config(**changes), *encodings)


def numbered(*shape: int) -> NDArray[np.uint16]:
    """An image in which every pixel has a number of its own."""
    return np.arange(np.prod(shape), dtype=np.uint16).reshape(shape)


class CountingStack:
    """An array that counts the pixels that are read of it."""

    def __init__(self, array: NDArray) -> None:
        self.array, self.shape, self.dtype, self.n_read = array, array.shape, array.dtype, 0

    def __getitem__(self, index) -> NDArray:
        self.n_read += self.array[index].size
        return self.array[index]


@pytest.mark.parametrize("jitter", [1.0, 1.2])
def test_source_and_target_patches_show_the_same_window(jitter: float) -> None:
    """With the source as its own target, both patches are equal after cropping, turning, mirroring and jitter."""
    stack = np.random.default_rng(0).integers(0, 4000, (3, 60, 50)).astype(np.uint16)
    patches = patches_of(PairedFrames(stack, stack, "TYX"), jitter=jitter)
    seen = []
    for step in range(8):
        batch = patches.batch(step)
        source, target = batch["source"], batch["target"]
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
    assert torch.equal(one.batch(5)["source"], other.batch(5)["source"])
    assert not torch.equal(one.batch(5)["source"], patches_of(pairs, seed=1).batch(5)["source"])


def test_every_pixel_can_be_drawn() -> None:
    """Patches reach every corner of an image that is just larger than a patch."""
    image = np.arange(34 * 33, dtype=np.uint16).reshape(34, 33)
    patches = patches_of(PairedFrames(image, image, "YX"), flip=False, rotate=False)
    seen = {float(value) for step in range(60) for value in patches.batch(step)["source"].unique()}
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
        assert (batch["known"].mean(dim=(1, 2, 3)) >= 0.5).all()
        known = batch["known"].expand_as(batch["source"]) > 0
        source = patches.source_encoding.decode(batch["source"].numpy())
        target = patches.target_encoding.decode(batch["target"].numpy())
        np.testing.assert_array_equal(source[known], target[known])
    np.testing.assert_array_equal(pairs.known(0), valid > 0)
    assert pairs.target(0)[0, 0, 0] == image[:, 40:80].min()  # what is not known looks like the least that is


def test_every_pixel_comes_from_the_regions() -> None:
    """Patches, of either stream, on foreground or anywhere, show the regions alone, and at last all of them."""
    image = numbered(80, 70)
    regions = (Region(0, (slice(0, 34), slice(3, 37))), Region(0, (slice(40, 75), slice(30, 64))))
    allowed = {int(value) for region in regions for value in image[region.window].flat}
    for share in (0.0, 1.0):
        patches = patches_of(PairedFrames(image, image, "YX"), regions=regions, foreground_share=share)
        batches = [patches.batch(step, stream)["source"].numpy() for step in range(40) for stream in (0, STATISTICS)]
        seen = {int(value) for batch in batches for value in patches.source_encoding.decode(batch).flat}
        assert seen <= allowed
        assert share or seen == allowed


def test_turns_and_mirrors_act_alike_on_all_three() -> None:
    """Source, target and mask stay together in each of the eight ways to lay a patch."""
    image = numbered(60, 50)
    pairs = PairedFrames(image, image[::-1, ::-1], "YX", valid=(image % 3 > 0).astype(np.uint8))
    patches, ways = patches_of(pairs), set()
    for step in range(40):
        batch = patches.batch(step)
        source = patches.source_encoding.decode(batch["source"].numpy()).astype(int)
        np.testing.assert_array_equal(batch["known"].numpy() > 0, source % 3 > 0)
        known = source % 3 > 0
        target = patches.target_encoding.decode(batch["target"].numpy()).astype(int)
        np.testing.assert_array_equal(target[known], (image.size - 1 - source)[known])
        ways |= {(int(p[0, 0, 1] - p[0, 0, 0]), int(p[0, 1, 0] - p[0, 0, 0])) for p in source}
    assert len(ways) == 8


def test_the_papers_jitter_magnifies_both_alike() -> None:
    """286/256: 229 px become 256 along straight lines, and labels change where the source says."""
    rows, columns = np.meshgrid(np.arange(300.0), np.arange(310.0), indexing="ij")
    labels = ((3 * columns + rows) % 97 < 40).astype(np.uint8)
    pairs = PairedFrames(np.stack([rows, columns]), labels, ("CYX", "YX"))
    config = {"patch_size": 256, "jitter": 286 / 256, "batch_size": 1}
    patches = patches_of(pairs, "classes", flip=False, rotate=False, **config)
    for step in range(3):
        batch = patches.batch(step)
        rows, columns = patches.source_encoding.normalization.invert(batch["source"][0].numpy())
        steps = np.diff(columns[:, 2:-2], axis=1)
        np.testing.assert_allclose(steps, 229 / 256, atol=1e-3)
        np.testing.assert_allclose(np.diff(rows[2:-2], axis=0), 229 / 256, atol=1e-3)
        place = (3 * columns + rows) % 97
        inside, outside = abs(place - 20) < 16, abs(place - 68.5) < 24  # a pixel away from the line, labels are sure
        label = batch["target"][0].argmax(dim=0).numpy()
        assert inside.any() and outside.any()
        assert label[inside].all() and not label[outside].any()


def test_of_large_frames_only_windows_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """Frames that are not kept are read by the window; frames that are, once."""
    image = np.random.default_rng(0).integers(1, 4000, (3, 200, 300)).astype(np.uint16)
    source, target = CountingStack(image), CountingStack(image)
    for share in (0.0, 1.0):
        patches = patches_of(PairedFrames(source, target, "TYX"), foreground_share=share)
        patches.batch(0)
        source.n_read = target.n_read = 0
        for step in range(20):
            patches.batch(step)
        assert source.n_read <= image.size and target.n_read <= image.size
        with monkeypatch.context() as patch:
            patch.setattr(patches_module, "CACHE_BYTES", 10_000)
            large = patches_of(PairedFrames(source, target, "TYX"), foreground_share=share)
            large.batch(0)  # thresholds
            source.n_read = target.n_read = 0
            batch = large.batch(1)
            assert source.n_read == target.n_read == batch["source"].numel() * (1 + bool(share))


def test_of_many_frames_no_more_are_encoded_than_can_be_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where all frames together are too large, those that are kept are read once, and of the others only windows."""
    stack = CountingStack(np.random.default_rng(0).integers(1, 4000, (12, 100, 100)).astype(np.uint16))
    monkeypatch.setattr(patches_module, "CACHE_BYTES", 3 * 2 * 4 * 100 * 100)
    patches = patches_of(PairedFrames(stack, np.array(stack.array), "TYX"))
    stack.n_read = 0
    n_patches = sum(len(patches.batch(step)["source"]) for step in range(60))
    assert stack.n_read <= 3 * 100 * 100 + n_patches * 32 * 32


@pytest.mark.parametrize("kind", ["intensity", "classes", "instances"])
@pytest.mark.parametrize("own", [False, True])
def test_windows_are_encoded_as_whole_frames_are(kind: Kind, own: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Objects are whole and an image's own statistics its own, also where frames are too large to be kept."""
    source, labels = blobs((150, 200))
    target = {"intensity": source // 2, "classes": (labels > 0).astype(np.uint8), "instances": labels}[kind]
    pairs = PairedFrames(source, target, "YX")
    normalization = {"statistics": "image" if own else "training"}
    encodings = (
        fit_encoding([source[None]], "intensity", NormalizationConfig(**normalization), limit=1.0),
        fit_encoding([target[None]], kind, NormalizationConfig(**normalization)),
    )
    batches = []
    for room in (2**30, 100):
        monkeypatch.setattr(patches_module, "CACHE_BYTES", room)
        batches.append(
            [PairedPatches(pairs, pairs.regions(), small_config(), *encodings).batch(step) for step in (0, 1)]
        )
    for kept, read in zip(*batches, strict=True):
        assert torch.equal(kept["source"], read["source"])
        assert torch.equal(kept["target"], read["target"])


def sparse(kind: Kind) -> tuple[NDArray[np.uint16], NDArray[np.bool_]]:
    """Two frames of 400 x 400, a few spots on 0.5 % of them, and where these are."""
    random, spots = np.random.default_rng(0), np.zeros((2, 400, 400), bool)
    for frame, y, x in zip(random.integers(0, 2, 14), *random.integers(0, 400, (2, 14)), strict=True):
        spots[frame, y, x] = True
    spots = ndimage.binary_dilation(spots, np.ones((1, 9, 9)))
    if kind == "instances":
        return ndimage.label(spots)[0].astype(np.uint16), spots
    if kind == "classes":
        return np.where(spots, 4, 1).astype(np.uint16), spots
    return (random.normal(500, 20, spots.shape) + 1500 * spots).astype(np.uint16), spots


@pytest.mark.parametrize("large", [False, True])
@pytest.mark.parametrize("kind", ["intensity", "classes", "instances"])
def test_foreground_share(kind: Kind, large: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a sparse target this share of patches has foreground in its middle; of frames too large to keep, more do."""
    target, spots = sparse(kind)
    pairs = PairedFrames(spots.astype(np.uint8), target, "TYX")

    def share(wanted: float) -> float:
        patches = patches_of(pairs, kind, foreground_share=wanted, rotate=False, flip=False)
        if large:
            monkeypatch.setattr(patches_module, "CACHE_BYTES", 10_000)
        return float(np.mean([(patch > 0).any() for step in range(100) for patch in patches.batch(step)["source"]]))

    plain, half, always = share(0.0), share(0.5), share(1.0)
    assert plain < 0.12
    if large:
        assert always > 4 * plain
    else:
        assert always >= 0.98  # one or two of noise that no window with a threshold's vote had shown
        assert abs(half - (1 + plain) / 2) < 0.1


def test_foreground_is_in_the_middle_and_known() -> None:
    """A patch lies around its foreground as far as borders allow; what is not known is no foreground."""
    source, target, valid = numbered(100, 100), np.zeros((100, 100), np.uint8), np.zeros((100, 100), np.uint8)
    target[50, 60], target[3, 97], target[80, 20] = 1, 2, 3
    valid[50, 60] = valid[3, 97] = 1  # what is not known reads as the least that is: an object, here
    pairs = PairedFrames(source, target, "YX", valid=valid)
    patches = patches_of(pairs, "instances", foreground_share=1.0, flip=False, rotate=False)
    batches = [patches.source_encoding.decode(patches.batch(step)["source"].numpy()) for step in range(20)]
    corners = {int(corner) for batch in batches for corner in batch[:, 0, 0, 0]}
    assert corners == {int(source[50 - 16, 60 - 16]), int(source[0, 100 - 32])}


def test_intensity_jitter_is_a_gain_and_an_offset_of_each_source_channel() -> None:
    """Of the same patches, each source channel becomes a line of what it was, within the share; labels never do."""
    stack = np.random.default_rng(0).integers(0, 4000, (2, 3, 60, 50)).astype(np.uint16)
    pairs = PairedFrames(stack, stack, "TCYX")
    plain, jittered = patches_of(pairs), patches_of(pairs, intensity_jitter=0.2)
    lines = []
    for step in range(10):
        before, after = plain.batch(step), jittered.batch(step)
        assert torch.equal(before["target"], after["target"])
        for old, new in zip(before["source"].flatten(0, 1), after["source"].flatten(0, 1), strict=True):
            gain, offset = np.polyfit(old.numpy().ravel(), new.numpy().ravel(), 1)
            np.testing.assert_allclose(new, gain * old + offset, atol=1e-5)
            lines.append((gain, offset))
    gains, offsets = np.transpose(lines)
    assert 0.8 <= gains.min() < 0.85 and 1.15 < gains.max() <= 1.2
    assert -0.2 <= offsets.min() < -0.15 and 0.15 < offsets.max() <= 0.2
    assert len(np.unique(gains.round(6))) == len(gains)
    again = patches_of(pairs, intensity_jitter=0.2)
    assert torch.equal(again.batch(9)["source"], jittered.batch(9)["source"])

    labels = (stack[:, 0] > 2000).astype(np.uint8)
    pairs = PairedFrames(labels, stack, ("TYX", "TCYX"))
    plain, jittered = (patches_of(pairs, source_kind="classes", intensity_jitter=share) for share in (0, 0.2))
    assert torch.equal(plain.batch(0)["source"], jittered.batch(0)["source"])


def test_new_and_old_patches_take_turns() -> None:
    """Counted over all steps every second patch is old, whatever the batch size; what is known goes with it."""
    new, old = (PairedFrames(np.full((40, 40), value), np.eye(40), "YX") for value in (0, 1))
    masked = PairedFrames(np.ones((40, 40)), np.eye(40), "YX", valid=np.eye(40))
    encodings = fit_encoding([np.arange(2)[None, None]], "intensity"), fit_encoding([np.eye(40)[None]], "intensity")
    for count in (1, 3, 4):
        config = small_config(batch_size=count)
        mixed = MixedPatches(*(PairedPatches(pairs, pairs.regions(), config, *encodings) for pairs in (new, old)))
        found = torch.cat([mixed.batch(step)["source"][:, 0, 0, 0] for step in range(4)])
        assert len(found) == 4 * count
        assert (found > 0).sum() == (found < 0).sum()
    parts = (PairedPatches(pairs, pairs.regions(), config, *encodings) for pairs in (new, masked))
    mixed = MixedPatches(*parts)
    batch = mixed.batch(0)
    assert [bool(part.all()) for part in batch["known"]] == [True, True, False, False]
    shares = [mixed.batch(0, numbers=range(k, k + 1)) for k in range(4)]  # of four processes, which must weigh alike
    assert all(share.keys() == batch.keys() for share in shares)


def test_old_volumes_of_another_depth_are_refused() -> None:
    """A batch has one depth; the sentence names the one that fits both."""
    volumes = [PairedFrames(*RANDOM.random((2, depth, 40, 40)), "ZYX", z="volume") for depth in (8, 4)]
    with pytest.raises(ValueError, match=r"got 8 and 4 planes\. Choose `patch_depth` 4"):
        MixedPatches(*(patches_of(pairs) for pairs in volumes))


def test_what_a_class_image_holds_where_nothing_is_known_is_no_class(monkeypatch) -> None:
    """A window of a frame too large to be kept, in which only the ignored value lies."""
    labels = np.full((64, 64), 255, np.uint8)
    labels[:8, :8] = np.eye(8)
    pairs = PairedFrames(RANDOM.random((64, 64)), labels, "YX", ignore=255)
    known = np.where(labels == 255, 0, labels)
    encodings = fit_encoding([RANDOM.random((1, 9, 9))], "intensity"), fit_encoding([known[None]], "classes")
    monkeypatch.setattr(patches_module, "CACHE_BYTES", 100)
    patches = PairedPatches(pairs, pairs.regions(), small_config(), *encodings)
    assert all(torch.isfinite(patches.batch(step)["target"]).all() for step in range(5))
