"""Targets in files that were stained for some of the markers only: what is there is learned, what is not is told."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from every_pair import write
from napari_pix2pix.core.settings.config import PairSettings
from napari_pix2pix.files.images import ImageStacks
from napari_pix2pix.files.pairing import PairedStacks, open_stacks, reopen
from napari_pix2pix.files.stains import Stains, apart, called, in_one_spelling
from napari_pix2pix.files.training_stacks import Sides, TrainingStacks

NAMED = {"a": ("DAPI", "MAP2"), "b": ("NFH", "DAPI"), "c": ("DAPI", "MAP2", "NFH")}
"""Of each file the stains, in its order."""


def grey(name: str, stain: str) -> np.ndarray:
    """An image that tells which it is."""
    return np.full((16, 18), 10 * ord(name) + len(stain) * ord(stain[0]), np.uint16) + np.arange(18, dtype=np.uint16)


def in_files(folder: Path, named: dict[str, tuple[str, ...]] = NAMED) -> tuple[Path, Path]:
    """Folders of sources and of targets whose channels are named."""
    for name, stains in named.items():
        write(folder / "bf" / f"{name}.tif", grey(name, "bf"), "YX")
        write(folder / "stained" / f"{name}.tif", np.stack([grey(name, one) for one in stains]), "CYX", stains)
    return folder / "bf", folder / "stained"


def in_folders(folder: Path, named: dict[str, tuple[str, ...]] = NAMED, more: dict[str, str] | None = None) -> Any:
    """A folder of sources and one for each stain; the latter's files may be called otherwise."""
    for name, stains in named.items():
        write(folder / "bf" / f"{name}.tif", grey(name, "bf"), "YX")
        for stain in stains:
            write(folder / stain / f"{(more or {}).get(stain, '{}').format(name)}.tif", grey(name, stain), "YX")
    return folder / "bf", folder / "DAPI", tuple(str(folder / stain) for stain in ("MAP2", "NFH"))


def require_stained(stacks: PairedStacks, expected: dict[str, tuple[str, ...]], names: tuple[str, ...]) -> None:
    """Each stain of each pair is what was stained, and no other is there; and again when it is opened anew."""
    for opened in (stacks, reopen(stacks.provenance())):
        assert opened.target_names == names
        pairs = opened.frames(hashed=False)
        assert pairs.target_names == names
        for i, name in enumerate(pairs.names):
            assert [*pairs.stains(i)] == [stain in expected[name] for stain in names]
            for k, stain in enumerate(names):
                if stain in expected[name]:
                    np.testing.assert_array_equal(pairs.target(i)[k], grey(name, stain))


def test_stains_named_in_files(tmp_path) -> None:
    """Files that name their channels may hold some of them, in any order."""
    stacks = open_stacks(*in_files(tmp_path), PairSettings())
    require_stained(stacks, NAMED, ("DAPI", "MAP2", "NFH"))
    assert str(stacks.stains) == "Stains: DAPI in 3 of 3 pairs, MAP2 in 2, NFH in 2."


def test_stains_in_folders(tmp_path) -> None:
    """A folder for each stain may lack files, the first as well; a pattern names a stain by what stands around."""
    named = NAMED | {"d": ("NFH",)}
    source, target, more = in_folders(tmp_path, named)
    stacks = open_stacks(source, target, PairSettings(target_more=more))
    require_stained(stacks, named, ("DAPI", "MAP2", "NFH"))
    source, target, _ = in_folders(tmp_path / "patterns", named, {"MAP2": "{}_m2"})
    more = f"{tmp_path}/patterns/MAP2/*_m2.tif", str(tmp_path / "patterns" / "NFH")
    assert open_stacks(source, target, PairSettings(target_more=more)).target_names == ("DAPI", "m2", "NFH")


def test_chosen_stains(tmp_path) -> None:
    """Of named stains those are taken that are asked for, in that order; of folders by number, too."""
    named = {name: stains for name, stains in NAMED.items() if name != "b"} | {"b": ("NFH", "MAP2")}
    said = PairSettings(target_channels=("NFH", "MAP2"))
    require_stained(open_stacks(*in_files(tmp_path, named), said), named, ("NFH", "MAP2"))
    source, target, more = in_folders(tmp_path / "folders", named)
    said = PairSettings(target_more=more, target_channels=("NFH", "1"))
    require_stained(open_stacks(source, target, said), named, ("NFH", "MAP2"))


@pytest.mark.parametrize(
    "named",
    [
        {"a": ("DAPI", "MAP2"), "b": ("DAPI", "MAP2")},
        {"a": ("image a",), "b": ("image b",)},
        {"a": ("red", "red"), "b": ("red", "green")},
    ],
)
def test_channels_are_told_by_number_where_names_do_not_differ_or_tell_nothing(tmp_path, named) -> None:
    """Names that are the same in all files, shared by none or twice in one leave channels what they are by number."""
    stacks = open_stacks(*in_files(tmp_path, named), PairSettings())
    assert stacks.stains is None
    assert stacks.frames(hashed=False).all_stained


def test_a_number_may_mean_what_is_called_alike(tmp_path) -> None:
    """One channel of those that differ elsewhere, or by a slip that is said to be one."""
    paths = in_files(tmp_path, {"a": ("DAPI", "MAP2"), "b": ("dapi", "NFH"), "c": ("DAPI", "MAP2")})
    for wanted, same in ((("0",), "same"), (("DAPI",), "same")):
        frames = open_stacks(*paths, PairSettings(target_channels=wanted, same_names=same)).frames(hashed=False)
        assert frames.all_stained and frames.n_channels[1] == 1


def test_the_same_names_in_another_order_are_the_same_stains(tmp_path) -> None:
    """Channels that are named go by their names, not by their places."""
    named = {"a": ("DAPI", "MAP2"), "b": ("MAP2", "DAPI")}
    stacks = open_stacks(*in_files(tmp_path, named), PairSettings())
    require_stained(stacks, named, ("DAPI", "MAP2"))
    assert stacks.stains.all_there


@pytest.mark.parametrize(
    ("named", "settings", "sentence"),
    [
        ({"a": ("DAPI", "x"), "b": ("dapi",), "c": ("DAPI",)}, {}, "and 'dapi' are probably the same. Choose"),
        ({"a": ("MAP2",), "b": ("MAP 2",), "c": ("MAP2",)}, {"target_channels": ("MAP2",)}, "and 'MAP 2' are prob"),
        ({"a": ("DAPI", "dapi"), "b": ("DAPI",)}, {"same_names": "same"}, "once; one has 'DAPI' and 'dapi'"),
        ({"a": ("A", "B"), "b": ("B", "A")}, {"target_channels": ("1",)}, "1 is B in a.tif but A in b.tif. Choose"),
        (NAMED, {"target_channels": ("NFH", "1")}, "1 is MAP2 in a.tif but DAPI in b.tif. Choose channels by"),
        ({"a": ("A", "B"), "b": ("a", "B")}, {"target_channels": ("0",)}, "'A' and 'a' are probably the same"),
        (NAMED, {"target_channels": ("GFP",)}, "GFP is in none. They have DAPI, MAP2, NFH"),
        (NAMED, {"target_channels": ("MAP2",)}, "must be stained for something; b is for nothing. Leave it out"),
    ],
)  # fmt: skip
def test_bad_names_are_told(tmp_path, named, settings, sentence) -> None:
    """Names that differ by case or spaces only are asked about; a stain of no file and a pair without any are named."""
    with pytest.raises(ValueError, match=sentence):
        open_stacks(*in_files(tmp_path, named), PairSettings(**settings)).frames(hashed=False)


def test_what_to_do_about_names_works(tmp_path) -> None:
    """Said to be the same, two spellings are one stain; said to be different, two."""
    paths = in_files(tmp_path, {"a": ("DAPI", "MAP2"), "b": ("dapi ",), "c": ("DAPI",)})
    for said, names in (("same", ("DAPI", "MAP2")), ("different", ("DAPI", "MAP2", "dapi "))):
        assert open_stacks(*paths, PairSettings(same_names=said)).target_names == names
    source, target, more = in_folders(tmp_path / "folders", {"a": ("DAPI",), "b": ("DAPI", "dapi"), "c": ("dapi",)})
    more = (str(tmp_path / "folders" / "dapi"),)
    with pytest.raises(ValueError, match="'DAPI' and 'dapi' are probably the same"):
        open_stacks(source, target, PairSettings(target_more=more))
    said = PairSettings(target_more=more, same_names="different")
    assert open_stacks(source, target, said).target_names == ("DAPI", "dapi")


def test_files_of_stains_that_belong_nowhere_are_told(tmp_path) -> None:
    """A misspelt file is not taken for a stain that is missing, a source without any target is named."""
    source, target, more = in_folders(tmp_path)
    settings = PairSettings(target_more=more)
    write(tmp_path / "bf" / "x.tif", grey("x", "bf"), "YX")
    with pytest.raises(ValueError, match="must be stained for something; x has no file in"):
        open_stacks(source, target, settings)
    kept = open_stacks(source, target, settings.model_copy(update={"skip_bad": True}))
    assert "x" in kept.files.skipped
    require_stained(kept, NAMED, ("DAPI", "MAP2", "NFH"))
    (tmp_path / "MAP2" / "c.tif").rename(tmp_path / "MAP2" / "C.tif")
    with pytest.raises(ValueError, match=r"C in .*MAP2 has no source, and b has no file there. Rename it"):
        open_stacks(source, target, settings)


def test_one_folder_of_targets_lacks_none(tmp_path) -> None:
    """Without further folders a source without a target is refused."""
    source, target, _ = in_folders(tmp_path, NAMED | {"d": ("NFH",)})
    with pytest.raises(ValueError, match="d has no target"):
        open_stacks(source, target, PairSettings())


def test_folders_name_stains_whose_files_are_all_called_alike(tmp_path) -> None:
    """Files of every folder that call their channel the same tell nothing: the folders, or their paths, do."""
    for name, stains in NAMED.items():
        write(tmp_path / "bf" / f"{name}.tif", grey(name, "bf"), "YX")
        for stain in stains:
            write(tmp_path / stain / "images" / f"{name}.tif", grey(name, stain)[None], "CYX", ("Channel 0",))
    folders = [tmp_path / stain / "images" for stain in ("DAPI", "MAP2", "NFH")]
    stacks = open_stacks(tmp_path / "bf", folders[0], PairSettings(target_more=tuple(map(str, folders[1:]))))
    assert stacks.target_names == ("DAPI/images", "MAP2/images", "NFH/images")


def test_pairs_that_judge_have_the_stains_of_those_that_train(tmp_path) -> None:
    """They are told by their names, some may be missing; others are refused."""
    train = open_stacks(*in_files(tmp_path / "train"), PairSettings())
    judges = {"x": ("NFH", "DAPI"), "y": ("NFH",)}
    paths = Sides(*in_files(tmp_path / "judge", judges))
    stacks = TrainingStacks.open(train, paths, None, None, False)
    require_stained(stacks.validation, judges, ("DAPI", "MAP2", "NFH"))
    again = TrainingStacks.again(stacks.provenance())
    require_stained(again.validation, judges, ("DAPI", "MAP2", "NFH"))
    paths = Sides(*in_files(tmp_path / "others", {"x": ("NFH", "Tau"), "y": ("NFH",)}))
    with pytest.raises(ValueError, match=r"The test pairs do not suit: Stains must be those .* Tau is none of them"):
        TrainingStacks.open(train, None, paths, None, False)


def test_one_pair_alone_is_what_it_is_among_others(tmp_path) -> None:
    """Pairs that are looked at one by one, as where bad ones are left out, keep their stains."""
    stacks = open_stacks(*in_files(tmp_path), PairSettings(skip_bad=True)).without_bad()
    require_stained(stacks, NAMED, ("DAPI", "MAP2", "NFH"))


@pytest.mark.parametrize(("numbers", "error"), [([[0, None]], "tell the stains"), ([[0, None]] * 3, "tell the stains")])
def test_stains_of_an_earlier_training_that_do_not_fit_are_told(tmp_path, numbers, error) -> None:
    """What a stranger's file tells of stains is held against its pairs."""
    said = open_stacks(*in_files(tmp_path), PairSettings()).provenance() | {"stains": numbers}
    with pytest.raises(ValueError, match=error):
        reopen(said)


def test_images_made_from_nothing_have_every_stain(tmp_path) -> None:
    """With their targets they are one image: none of it may be missing."""
    with pytest.raises(ValueError, match=r"must have every stain; some lack one .*MAP2 in 2, NFH in 2"):
        ImageStacks.open(*in_files(tmp_path), PairSettings())


def test_names_of_folders_and_patterns(tmp_path) -> None:
    """A stain is called as its folder, as what stands around the star, or as the names of its files tell."""
    (tmp_path / "MAP2").mkdir()
    assert called(tmp_path / "MAP2") == "MAP2"
    assert called(tmp_path / "*_NFH.tif") == "NFH"
    assert called(tmp_path / "MAP2" / "*.tif") == "MAP2"
    assert called(tmp_path / "*" / "dapi.ome.tif") == "dapi"
    assert called(tmp_path, "*_dapi") == "dapi"
    assert apart(["images", "images"], ["x/a/images", "y/a/images"]) == ("x/a/images", "y/a/images")
    assert in_one_spelling(["a", "A "], "same") == {"a": "a", "A ": "a"}
    assert Stains(("a",), ((0,), (None,))).only([1]).numbers == ((None,),)
