"""Data that are no pairs: each side by itself, domains with labels, images alone; (seed, step, number) decides."""

import numpy as np
import pytest
import torch

from napari_pix2pix.core import DomainFrames, Images, UnpairedFrames
from napari_pix2pix.core.data.other_patches import DomainPatches, SidePatches, UnpairedPatches
from napari_pix2pix.core.encodings.encoding import fit_encoding
from napari_pix2pix.core.encodings.normalization import NormalizationConfig
from small import small_config

RANDOM = np.random.default_rng(0)


def numbered(*shapes: tuple[int, ...], start: int = 0) -> list[np.ndarray]:
    """Images in which every pixel has a number of its own."""
    found = []
    for shape in shapes:
        found.append(np.arange(start, start + np.prod(shape), dtype=np.uint16).reshape(shape))
        start += found[-1].size
    return found


def patches_of(frames, **changes):
    config = small_config(**changes)
    sides = {}
    everything = [[side.read(i) for i in range(len(side))] for side in frames.sides.values()]
    for images, (name, side) in zip(everything, frames.sides.items(), strict=True):
        images = [image for own in everything for image in own] if isinstance(frames, DomainFrames) else images
        encoding = fit_encoding(images, "intensity", NormalizationConfig(method="min-max"))
        sides[name] = SidePatches(side, side.regions(), config, encoding)
    if isinstance(frames, DomainFrames):
        return DomainPatches(sides, config, frames)
    return UnpairedPatches(sides, config)


def grey(patches, name: str, batch) -> np.ndarray:
    return patches.sides[name].encoding.normalization.invert(batch[name].numpy())


def test_sides_may_differ_in_number_size_and_channels() -> None:
    """Every pixel of either side is drawn at last, and each patch is a window of it."""
    sources, targets = numbered((36, 40), (32, 33)), [RANDOM.integers(0, 99, (3, 48, 40)).astype(np.uint8)]
    frames = UnpairedFrames(sources, targets, ("YX", "CYX"))
    patches = patches_of(frames, flip=False, rotate=False)
    seen: set[int] = set()
    for step in range(300):
        batch = patches.batch(step)
        assert batch["source"].shape == (2, 1, 32, 32) and batch["target"].shape == (2, 3, 32, 32)
        for patch in grey(patches, "source", batch)[:, 0]:
            assert (np.diff(patch.astype(int), axis=1) == 1).all()
            seen.update(patch.ravel().tolist())
    assert seen == set(range(sum(image.size for image in sources)))


def test_seed_step_and_number_decide() -> None:
    """Again the same, whatever was drawn before and however the batch is shared; another seed or step is another."""
    frames = UnpairedFrames(RANDOM.random((3, 40, 40)), RANDOM.random((2, 50, 40)), "TYX")
    one, other = patches_of(frames), patches_of(frames)
    first = [one.batch(step) for step in range(4)]
    for step in (3, 1):
        parts = [other.batch(step, numbers=range(k, k + 1)) for k in range(2)]
        for name in ("source", "target"):
            assert torch.equal(first[step][name], torch.cat([part[name] for part in parts]))
    assert not torch.equal(first[0]["source"], first[1]["source"])
    assert not torch.equal(first[0]["source"], patches_of(frames, seed=1).batch(0)["source"])


def test_sides_are_drawn_independently() -> None:
    """Where both sides hold the same images, patches of the two do not show the same; a side alone is drawn as with
    another beside it."""
    stack = RANDOM.random((4, 64, 64))
    batches = [patches_of(UnpairedFrames(stack, stack, "TYX")).batch(step) for step in range(8)]
    same = [torch.equal(a, b) for batch in batches for a, b in zip(batch["source"], batch["target"], strict=True)]
    assert not any(same)
    beside = patches_of(UnpairedFrames(stack, RANDOM.random((40, 40)), ("TYX", "YX"))).batch(0)
    assert torch.equal(batches[0]["source"], beside["source"])


def test_domains_come_with_their_labels() -> None:
    """Every domain is as likely, however few its images; the block of what is not known is zero, and so marked."""
    numbers, labels = {"HE": 9, "PAS": 1, "new": 2}, {"HE": "HE", "PAS": "PAS", "new": None}
    domains = {name: np.full((n, 40, 40), i) + np.eye(40) / 2 for i, (name, n) in enumerate(numbers.items())}
    sites = {"HE": None, "PAS": "north", "new": "south"}
    frames = DomainFrames(domains, "TYX", labels={"stain": labels, "site": sites})
    assert frames.domains.sets == {"stain": ("HE", "PAS"), "site": ("north", "south")}
    vectors = {
        "HE": ([1, 0, 0, 0], [1, 1, 0, 0]),
        "PAS": ([0, 1, 1, 0], [1, 1, 1, 1]),
        "new": ([0, 0, 0, 1], [0, 0, 1, 1]),
    }
    patches, counts, wanted = patches_of(frames), np.zeros(3), np.zeros(3)
    for step in range(75):
        batch = patches.batch(step)
        for i, image in enumerate(batch["image"]):
            domain = int(patches.sides["HE"].encoding.normalization.invert(image.numpy()).mean())
            assert (batch["labels"][i].tolist(), batch["known"][i].tolist()) == vectors[list(numbers)[domain]]
            counts[domain] += 1
            wanted[list(vectors.values()).index((batch["wanted"][i].tolist(), batch["wanted_known"][i].tolist()))] += 1
    assert wanted.min() > 35
    assert counts.min() > 35


def test_what_nobody_knows_is_seldom_drawn_and_never_asked_for() -> None:
    """Sides without a label are together as likely as one with; images are translated to labels only."""
    sides = ["HE", "PAS", "new", "old", "other"]
    domains = {name: np.full((2, 40, 40), i) + np.eye(40) / 2 for i, name in enumerate(sides)}
    labels = {"stain": {name: name if name in ("HE", "PAS") else None for name in sides}}
    patches, known, wanted = patches_of(DomainFrames(domains, "TYX", labels=labels)), [], []
    seen = np.zeros(len(sides))
    for step in range(150):
        batch = patches.batch(step)
        known += batch["known"].amax(1).tolist()
        wanted += batch["wanted_known"].amin(1).tolist()
        for image in batch["image"]:
            seen[int(patches.sides["HE"].encoding.normalization.invert(image.numpy()).mean())] += 1
    assert wanted == [1] * 300
    assert 0.58 < np.mean(known) < 0.75
    assert seen.min() > 20

    held_out = DomainPatches({name: patches.sides[name] for name in ("new", "old")}, patches.config, patches.frames)
    batch = held_out.batch(0)
    assert not batch["known"].any() and batch["wanted_known"].all()


def test_images_alone_are_drawn_as_any_side() -> None:
    """By their name in the batch."""
    batch = patches_of(Images(RANDOM.random((2, 40, 40)), "TYX")).batch(0)
    assert set(batch) == {"image"} and batch["image"].shape == (2, 1, 32, 32)


DARK, HOLED = np.zeros((9, 9)), np.full((9, 9), np.nan)
CYX = "CYX", "YX"
FAULTS = {
    "at least two domains; got a": lambda: DomainFrames({"a": DARK}),
    "All domains must have the same channels": lambda: DomainFrames({"a": DARK[None], "b": np.zeros((3, 9, 9))}, "CYX"),
    "at least one image; got none": lambda: UnpairedFrames([], DARK),
    "channels; got 1 in image 0 and 2 in image 1": lambda: UnpairedFrames([DARK[None], np.zeros((2, 9, 9))], DARK, CYX),
    "as large as a patch, 16": lambda: Images(DARK, "YX").sides["image"].require_patches(16, 4),
    "image 0 holds NaN or Inf": lambda: Images(HOLED, "YX").sides["image"].require_finite(),
    "every one is constant": lambda: Images(DARK, "YX").sides["image"].require_finite(),
}


@pytest.mark.parametrize("sentence", FAULTS)
def test_what_cannot_be_is_told(sentence: str) -> None:
    """In one sentence."""
    with pytest.raises(ValueError, match=sentence) as caught:
        FAULTS[sentence]()
    assert "\n" not in str(caught.value)
