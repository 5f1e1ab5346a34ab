"""Nobody judges what they learned from."""

import numpy as np
import pytest

from napari_pix2pix.core.data.pairs import PairedFrames
from napari_pix2pix.core.data.regions import Region
from napari_pix2pix.core.data.split import LEAST_SIDE, Split, evenly, seen_frames, split_pairs, unlike, without_seen
from small import small_config


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


def stained(stains: list[str], groups: list[str] | None = None) -> PairedFrames:
    """Pairs that are stained for these letters of abc."""
    image, planes = np.zeros((40, 40), np.uint8), np.zeros((3, 40, 40), np.uint8)
    channels = [[k if letter in own else None for k, letter in enumerate("abc")] for own in stains]
    how = {"channels": (None, channels), "target_names": "abc", "groups": groups}
    return PairedFrames([image] * len(stains), [planes] * len(stains), ("YX", "CYX"), **how)


def held(pairs: PairedFrames, part: tuple[Region, ...]) -> str:
    return "".join(np.array([*"abc"])[np.any([pairs.stains(region.frame) for region in part], axis=0)])


@pytest.mark.parametrize("seed", range(5))
def test_each_kind_has_each_stain_where_it_can(seed: int) -> None:
    """However they are drawn; kinds keep their sizes, groups stay whole, and the same seed gives the same."""
    stains = ["a", "a", "ab", "a", "c", "b", "a", "a", "bc", "a"] * 2
    pairs = stained(stains, [f"slide {i // 2}" for i in range(20)])
    config = small_config(seed=seed, validation_share=0.2, calibration_share=0.2)
    split = split_pairs(pairs, config, reach=21)
    parts = split.train, split.validation, split.calibration
    assert [len(part) for part in parts] == [12, 4, 4]
    assert [held(pairs, part) for part in parts] == ["abc"] * 3
    assert not split.remarks
    named = [{pairs.groups[region.frame] for region in part} for part in parts]
    assert [len(kind) for kind in named] == [6, 2, 2]
    assert split == split_pairs(pairs, config, reach=21)


@pytest.mark.parametrize("seed", range(5))
def test_a_stain_that_is_rare_trains_first(seed: int) -> None:
    """With two pairs one trains and one chooses the best model; what lacks it is said."""
    pairs = stained(["a"] * 7 + ["b", "ac", "c"])
    split = split_pairs(pairs, small_config(seed=seed), reach=21)
    assert held(pairs, split.train) == "abc"
    assert "c" in held(pairs, split.validation)
    assert "No validation pair is stained for b: nothing of it chooses the best model." in split.remarks
    assert any(remark.startswith("No calibration pair is stained for b") for remark in split.remarks)


def test_pairs_that_lack_nothing_are_divided_as_ever() -> None:
    """Whether stains are told or not."""
    image, planes = np.zeros((40, 40), np.uint8), np.zeros((3, 40, 40), np.uint8)
    plain = PairedFrames([image] * 20, [planes] * 20, ("YX", "CYX"))
    assert split_pairs(stained(["abc"] * 20), small_config(), 21) == split_pairs(plain, small_config(), 21)


def test_what_has_no_room_is_left_out_and_said() -> None:
    """An image with room for training alone is trained on, with a remark for each kind left out."""
    image = np.zeros((40, 40), np.uint8)
    split = split_pairs(PairedFrames(image, image, "YX"), small_config(), reach=21)
    assert not split.validation
    assert not split.calibration
    assert len(split.remarks) == 2
    assert "scores have no ranks" in split.remarks[1]


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


def row(kind: str, file: str, frame: int = 0, x: tuple[int, int] = (0, 20), **more: str) -> dict:
    window = {"y_start": 0, "y_stop": 20, "x_start": x[0], "x_stop": x[1]}
    return {"kind": kind, "name": "a", "group": "a", "frame": frame, "source_sha256": file, **window, **more}


def judges(n_frames: int = 3, hashes: str = "f", **more) -> PairedFrames:
    stack = np.zeros((n_frames, 20, 40), np.uint8)
    return PairedFrames(stack, stack, "TYX", hashes=[(hashes, "t")], **more)


def test_frames_that_made_a_model_are_told_by_file_frame_and_window() -> None:
    """The kind that taught it most is told; other frames, files and windows made nothing; older models tell files."""
    regions = [row("validation", "f", 0), row("train", "f", 0, (20, 40)), row("calibration", "f", 2), row("train", "g")]
    assert seen_frames(judges(), {"regions": regions}) == {0: "train", 2: "calibration"}
    assert seen_frames(judges(hashes="h f"), {"regions": regions}) == {0: "train", 2: "calibration"}
    assert seen_frames(judges(hashes="h"), {"regions": regions}) == {}
    assert seen_frames(judges(), {"regions": [], "seen": [row("train", "f", 1)]}) == {1: "train"}
    assert seen_frames(judges(valid=[1]), {"regions": regions}) == {}
    left = np.zeros((3, 20, 40), bool)
    left[:, :, :20] = True
    assert seen_frames(judges(valid=left), {"regions": regions}) == {0: "validation", 2: "calibration"}
    files = {"train": {"sources": [{"sha256": "f"}]}, "validation": {"sources": [{"sha256": "v", "more": []}]}}
    assert seen_frames(judges(1), {"pairs": files}) == {0: "train"}
    assert seen_frames(judges(1, hashes="v"), {"pairs": files, "regions": []}) == {0: "validation"}
    stack = np.zeros((20, 40))
    assert seen_frames(PairedFrames(stack, stack, "YX"), {"regions": regions}) == {}


def test_groups_that_made_a_model_are_told_where_they_are_named() -> None:
    """By the names given to both; a file's own name is no group."""
    regions = {"regions": [row("calibration", "x", group="slide 1"), row("train", "y", group="slide 1")]}
    assert seen_frames(judges(1, names=["b"], groups=["slide 1"]), regions) == {0: "train"}
    assert seen_frames(judges(1, names=["b"], groups=["slide 2"]), regions) == {}
    assert seen_frames(judges(1, names=["slide 1"]), regions) == {}
    assert seen_frames(judges(1, names=["a"]), {"regions": [row("train", "x")]}) == {}


class Asked(dict):
    """A row that counts, with all others, how often it is asked for something."""

    n = 0

    def get(self, *arguments):
        Asked.n += 1
        return super().get(*arguments)

    def __getitem__(self, key):
        Asked.n += 1
        return super().__getitem__(key)

    def __eq__(self, other) -> bool:
        Asked.n += 1
        return super().__eq__(other)


@pytest.mark.parametrize("ask", ["without_seen", "seen_frames", "unlike"])
def test_frames_are_compared_with_their_own_rows_alone(ask: str) -> None:
    """Twice as many frames of one stack are asked twice as often for what they were, not four times."""
    asked = []
    for n in (100, 200):
        rows = [Asked(row("train", "f", i)) for i in range(n)]
        pairs, regions = judges(n), judges(n).regions()
        Asked.n = 0
        if ask == "without_seen":
            assert without_seen(Split((), regions), pairs, rows).train == regions
        elif ask == "seen_frames":
            assert len(seen_frames(pairs, {"regions": rows})) == n
        else:
            assert len(unlike(Split(regions).rows(pairs), rows)) == n
        asked.append(Asked.n)
    assert asked[1] <= 2.1 * asked[0]


def test_what_stands_for_much_is_bounded_and_lies_within() -> None:
    """Few large regions each give their middle, many give some; what is small is taken whole."""

    def regions(count: int, *shape: int) -> tuple[Region, ...]:
        return tuple(Region(i, tuple(slice(10, 10 + side) for side in shape)) for i in range(count))

    everywhere = PairedFrames(np.zeros((9, 9)), np.zeros((9, 9)), "YX")
    for many, most in (
        (regions(1, 9000, 7000), 2**22),
        (regions(5, 3000, 3001), 2**24),
        (regions(300, 2000, 700), 2**22),
        (regions(4, 30, 1024, 1024), 2**24),
    ):
        chosen = evenly(everywhere, many, most)
        pixels = sum(np.prod(region.shape) for region in chosen)
        assert most / 2 < pixels <= most
        for region in chosen:
            whole = many[region.frame]
            assert all(a.start <= b.start < b.stop <= a.stop for a, b in zip(whole.window, region.window, strict=True))
            assert min(region.shape[-2:]) >= LEAST_SIDE
        assert (chosen[0].frame, chosen[-1].frame) == (0, len(many) - 1)
    small = regions(3, 100, 100)
    assert evenly(everywhere, small, 30000) == small


def test_what_stands_for_much_is_known() -> None:
    """A middle of which nothing is known judges nothing."""
    stack = np.zeros((3, 2000, 2000), np.uint8)
    valid = np.zeros(stack.shape, bool)
    valid[0], valid[1, :10], valid[2, 900:1100, 900:1100] = True, True, True
    pairs = PairedFrames(stack, stack, "TYX", valid=valid)
    assert [region.frame for region in evenly(pairs, pairs.regions(), 2**21)] == [0, 2]
