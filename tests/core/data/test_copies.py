"""A source under two names lies on one side of every split, and it is said once."""

import warnings
from functools import partial

import numpy as np
import pytest

from napari_pix2pix import core
from napari_pix2pix.core.data.census import Census
from napari_pix2pix.core.data.copies import Contents, held_together
from napari_pix2pix.core.data.split import KINDS, Split, split_pairs, without_copies
from napari_pix2pix.core.methods import method_of
from napari_pix2pix.core.settings.config import make_config
from napari_pix2pix.core.training.image_material import of_images
from napari_pix2pix.core.training.material import of_sides
from napari_pix2pix.core.training.repetition import Repetition
from napari_pix2pix.core.training.start import Start
from small import blobs, small_config

IMAGES = [blobs((48, 64), seed=seed) for seed in range(8)]


def pairs_of(numbers, **how) -> core.PairedFrames:
    """The pairs of these numbers, in order; the first is another image each time, whatever its source."""
    return core.PairedFrames([IMAGES[i][0] for i in numbers], [IMAGES[i][1] for i in numbers], "YX", **how)


@pytest.mark.parametrize("seed", range(5))
def test_copies_are_on_one_side_of_the_split(seed: int) -> None:
    """However pairs are drawn; other pairs are as they were, and the sentence names one pair and counts the others."""
    numbers = [0, 1, 2, 3, 0, 4, 5, 1, 0, 6]
    pairs = pairs_of(numbers)
    together, said = pairs.held_together(Census.of(pairs).known_by)
    split = split_pairs(together, small_config(seed=seed, validation_share=0.3, calibration_share=0.2), reach=21)
    kinds = [{numbers[region.frame] for region in getattr(split, kind)} for kind in KINDS]
    assert all(kinds) and sum(map(len, kinds)) == len(set.union(*kinds)) == 7
    assert said.startswith("The source of pair 4 shows the same image as that of pair 0, to the last pixel. So do 2 m")
    assert together.groups[2] == "pair 2" and pairs.groups[4] == "pair 4"


def test_groups_with_a_copy_are_one() -> None:
    """Also by way of a third; copies within one group need no word."""
    stacks = dict(enumerate(range(6)))
    groups, said = held_together("abcdef", "uuvwxy", stacks, {0: b"1", 1: b"1", 2: b"2", 3: b"2", 4: b"3", 5: b"2"})
    assert groups == ["u", "u", "v", "v", "x", "v"] and "d shows the same image as that of c" in said
    assert held_together("ab", "uu", {0: 0, 1: 1}, {0: b"1", 1: b"1"}) == (["u", "u"], "")


def test_what_is_empty_is_no_copy() -> None:
    """Sources of one value are alike everywhere; one pixel makes another image, another dtype or shape does, too."""
    one, other = np.zeros((2, 1, 8, 8), np.uint8)
    other[0, 3, 3] = 1
    contents = Contents()
    for frame, values in enumerate([one, one, other, other, other.astype(np.int8), other.reshape(1, 4, 16)]):
        contents.add(frame, values)
    known = contents.known_by
    assert list(known) == [2, 3, 4, 5] and known[2] == known[3] and len(set(known.values())) == 3


def test_a_frame_that_comes_again_in_a_series_judges_nothing() -> None:
    """It goes to its copy; a kind that is left with nothing is told."""
    stack, labels = (np.stack([IMAGES[i][side] for i in [*range(7), 2, 7, 7, 1, 0]]) for side in (0, 1))
    pairs = core.PairedFrames(stack, labels, "TYX")
    split = split_pairs(pairs, small_config(validation_share=0.1, calibration_share=0.2), reach=21)
    assert [region.frame for region in split.validation] == [8] and [r.frame for r in split.calibration] == [10, 11]
    found = without_copies(split, Census.of(pairs).known_by)
    assert {region.frame for region in found.train} == {*range(7), 10, 11} and found.validation == split.validation
    assert not found.calibration and found.remarks[0].startswith("2 of the frames set aside are copies of others")
    assert found.remarks[1].startswith("No room for calibration pairs")
    assert without_copies(Split(split.train, split.validation), {}).remarks == ()


def test_train_says_it_once(tmp_path) -> None:
    """And divides so; a validation pair that is a copy is told of, since somebody chose it."""
    config = small_config(steps=1, validation_share=0.3, calibration_share=0.0)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        *_, last = core.train(pairs_of([0, 1, 2, 3, 0, 1, 2]), config, out=tmp_path / "run")
    assert [str(one.message)[:27] for one in told if "to the last pixel" in str(one.message)] == [
        "The source of pair 4 shows "
    ]
    rows = last.model.provenance["regions"]
    kinds = {row["name"]: row["kind"] for row in rows}
    assert all(kinds[f"pair {i}"] == kinds[f"pair {i + 4}"] for i in range(3)) and set(kinds.values()) > {"train"}
    with pytest.warns(UserWarning, match="the source of pair 1 is a copy of one that trains: figures are too good"):
        core.train(pairs_of([0, 1, 2]), config, out=tmp_path / "judged", validation=pairs_of([5, 1])).close()


def test_folds_hold_copies_out_together(tmp_path) -> None:
    """In Python as by the command."""
    config = small_config(steps=1, validation_share=0.0)
    with pytest.warns(UserWarning, match="pair 2 shows the same image as that of pair 0"):
        runs = core.repeat(pairs_of([0, 1, 0, 2]), config, out=tmp_path / "runs", folds=3)
        next(runs)
    held = [own.held_out for own in Repetition.read(tmp_path / "runs").runs]
    assert sorted(map(sorted, held)) == [["pair 0", "pair 2"], ["pair 1"], ["pair 3"]]
    runs.close()


@pytest.mark.parametrize("method", ["cyclegan", "stargan", "gan"])
def test_where_there_are_no_pairs_copies_judge_nothing(method: str) -> None:
    """What is held out on a side is nothing that trains there."""
    numbers = [0, 1, 2, 3, 4, 0, 1, 2, 3, 4, 5, 6]
    images = [IMAGES[i][0] for i in numbers]
    others = [image[:, ::-1] for image in images]
    data = {
        "cyclegan": lambda: core.UnpairedFrames(images, others, ("YX", "YX")),
        "stargan": lambda: core.DomainFrames({"a": images, "b": others}, "YX"),
        "gan": lambda: core.Images(images, "YX"),
    }[method]()
    own = {"discriminator": {"norm": "none", "conditional": False}} if method != "gan" else {}
    config = make_config(changes={"method": method, "patch_size": 32, "validation_share": 0.4, **own})
    of = of_images if method == "gan" else partial(of_sides, judges=(None, None))
    made = of(data, start=Start(config), method=method_of(config))
    for side in data.sides:
        rows = [row for row in made.rows if row.get("side", side) == side]
        kinds = [
            {numbers[int(row["name"].split()[-1])] for row in rows if row["kind"] == kind}
            for kind in ("train", "validation")
        ]
        assert all(kinds) and not set.intersection(*kinds)
    assert any("frames set aside are copies of others, to the last pixel" in remark for remark in made.remarks)
