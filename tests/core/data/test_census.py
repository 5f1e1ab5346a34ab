"""What must be known of pairs is found in pieces, however large a frame is, and by reading little."""

import numpy as np
import pytest

from napari_pix2pix import core
from napari_pix2pix.core.data import regions as regions_module
from napari_pix2pix.core.data.census import Census
from napari_pix2pix.core.data.pairs import PairedFrames
from napari_pix2pix.core.data.regions import Region, pieces
from napari_pix2pix.core.encodings.kinds import guess_kind
from small import blobs, small_config


class Recording:
    """An array that counts how often each of its pixels is read, and how many at once."""

    def __init__(self, array: np.ndarray) -> None:
        self.array, self.counts, self.largest = array, np.zeros(array.shape, int), 0
        self.shape, self.dtype = array.shape, array.dtype

    def __getitem__(self, window):
        self.counts[window] += 1
        self.largest = max(self.largest, self.array[window].size)
        return self.array[window]


def test_pieces_are_the_regions_in_bands(monkeypatch) -> None:
    """Each pixel once, in order; a region that is small enough is one piece."""
    monkeypatch.setattr(regions_module, "PIECE", 300)
    regions = Region(0, (slice(0, 2), slice(3, 50), slice(5, 15))), Region(1, (slice(0, 10), slice(0, 30)))
    seen = np.zeros((2, 60, 30), int)
    *first, last = pieces(regions)
    for piece in first:
        assert piece.frame == 0 and np.prod(piece.shape) <= 300
        seen[piece.window] += 1
    assert (seen[:, 3:50, 5:15] == 1).all() and seen.sum() == 2 * 47 * 10
    assert last == regions[1]


@pytest.mark.filterwarnings("ignore:No room for", "ignore:Patches should be no smaller")
@pytest.mark.parametrize("kind", ["intensity", "classes", "instances", "auto"])
def test_before_the_first_step_a_pixel_is_read_twice_at_most(tmp_path, monkeypatch, kind: str) -> None:
    """Once to know the pairs, once to fit on what trains, in pieces; the first piece once more for its channels."""
    monkeypatch.setattr(regions_module, "PIECE", 24 * 128)
    source, labels = blobs((240, 128))
    target = {"intensity": source, "classes": (labels > 0).astype(np.uint8)}.get(kind, labels)
    sides = Recording(source), Recording(target)
    config = small_config(target_kind=kind, empty_frames="unlabelled", class_weights="rare")
    reports = core.train(PairedFrames(*sides, "YX"), config, out=tmp_path, device="cpu")
    reports.close()
    for side in sides:
        first = side.counts[:24].max()
        rare = kind == "classes" and side is sides[1]
        assert side.counts.min() >= 1 and side.counts[24:].max() <= 2 + rare and first <= 3 + rare
        assert side.largest <= 24 * 128


def test_the_census_is_what_whole_frames_say() -> None:
    """The kind that is guessed of whole frames, and the frames whose target is 0; read in pieces or at once."""
    images = [blobs(seed=i) for i in range(4)]
    images[2][1][:] = 0
    sources, targets = (list(side) for side in zip(*images, strict=True))
    for side in (sources, targets, [(target > 0).astype(np.uint8) for target in targets]):
        pairs = PairedFrames(sources, side, "YX")
        found = Census.of(pairs)
        assert found.kind == guess_kind(image[None] for image in side)
        assert found.empty == (() if side is sources else (2,))


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda a: a.__setitem__((90, 3), np.nan), "finite; the source of pair 0 holds NaN or Inf"),
        (lambda a: a.fill(3), "At least one source must vary"),
    ],
)
def test_what_cannot_train_is_told_wherever_it_lies(monkeypatch, change, sentence: str) -> None:
    """In whichever piece."""
    monkeypatch.setattr(regions_module, "PIECE", 24 * 128)
    source, target = blobs()
    source = source.astype(np.float32)
    change(source)
    with pytest.raises(ValueError, match=sentence):
        Census.of(PairedFrames(source, target, "YX"))


@pytest.mark.parametrize("kind", ["intensity", "classes", "instances"])
def test_a_check_reads_pieces_and_finds_what_whole_frames_say(monkeypatch, kind: str) -> None:
    """A frame larger than memory is checked, as is what is known of it; figures and remarks stay the same."""
    source, labels = blobs((240, 128))
    target = {"intensity": source[::-1].copy(), "classes": (labels > 0).astype(np.uint8) * 255}.get(kind, labels)
    valid = np.ones(source.shape, np.uint8)
    valid[:, 100:] = 0
    stacks = [np.stack([side, np.zeros_like(side)]) for side in (source, target, valid + 1)]

    def report(*sides: Recording) -> dict:
        return core.check(PairedFrames(*sides[:2], "TYX", valid=sides[2]), config=small_config(empty_frames="empty"))

    whole = report(*map(Recording, stacks))
    monkeypatch.setattr(regions_module, "PIECE", 72 * 128)
    monkeypatch.setattr("napari_pix2pix.core.data.alignment.MIDDLE", 96)
    sides = [Recording(side) for side in stacks]
    found = report(*sides)
    assert found["usable"] and max(side.largest for side in sides) <= 72 * 128
    for side in ("source", "target"):
        assert found[side] == whole[side]
    assert [one["level"] for one in found["remarks"]] == [one["level"] for one in whole["remarks"]]
