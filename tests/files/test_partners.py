"""Files that belong together are found by their names, and what has no partner is named."""

import unicodedata

import numpy as np
import pytest
import tifffile

from napari_pix2pix.core.settings.config import PairSettings
from napari_pix2pix.files.folders import place_below
from napari_pix2pix.files.pairing import open_stacks, reopen
from napari_pix2pix.files.partners import further_paths, named_pairs, open_pairs


def fill(folder, names, value=0) -> None:
    folder.mkdir(exist_ok=True)
    for i, name in enumerate(names):
        tifffile.imwrite(folder / name, np.full((8, 9), value + i, np.uint8))


def test_folders_are_paired_by_name(tmp_path) -> None:
    """Sources and targets of the same name without extension are pairs, whatever their order and suffix."""
    fill(tmp_path / "a", ["x 1.tif", "ü.ome.tif"], 0)
    fill(tmp_path / "b", ["ü.tiff", "x 1.tif"], 10)
    pairs = open_pairs(tmp_path / "a", tmp_path / "b")
    assert pairs.names == ("x 1", "ü")
    values = [[int(stack.array[0, 0]) for stack in side] for side in (pairs.sources, pairs.targets)]
    assert values == [[0, 1], [11, 10]]


@pytest.mark.parametrize(
    ("sources", "targets", "sentence"),
    [
        (["a.tif", "b.tif"], ["a.tif", "c.tif"], "b has no target \\(and 1 more without a partner\\)"),
        (["a.tif", "b.tif"], ["c.tif"], "no name is in both"),
        (["a.tif", "a.ome.tif"], ["a.tif", "b.tif"], "must differ; a.ome.tif and a.tif do not"),
    ],
)
def test_files_without_a_partner_are_named(tmp_path, sources, targets, sentence) -> None:
    """Each source must have one target; what is missing is named."""
    fill(tmp_path / "a", sources)
    fill(tmp_path / "b", targets)
    with pytest.raises(ValueError, match=sentence):
        open_pairs(tmp_path / "a", tmp_path / "b")


def test_pairs_reopen_only_unchanged(tmp_path) -> None:
    """The provenance of pairs opens them again, and tells when one has changed."""
    fill(tmp_path / "a", ["x.tif"])
    fill(tmp_path / "b", ["x.tif"])
    said = open_stacks(tmp_path / "a", tmp_path / "b", PairSettings()).provenance()
    assert reopen(said).files.names == ("x",)
    fill(tmp_path / "b", ["x.tif"], 7)
    with pytest.raises(ValueError, match=r"must be unchanged; .*x\.tif has changed"):
        reopen(said)


def test_patterns_name_pairs(tmp_path) -> None:
    """What `*` stands for pairs files of one folder or of two; other files are no part of it."""
    fill(tmp_path / "all", ["cell 1_bf.tif", "cell 2_bf.tif", "cell 2_dapi.tif", "cell 1_dapi.ome.tif", "notes.tif"])
    pairs = open_pairs(tmp_path / "all", pair_by=("*_bf", "*_dapi"))
    assert pairs.names == ("cell 1", "cell 2")
    assert [[stack.path.name for stack in side] for side in (pairs.sources, pairs.targets)] == [
        ["cell 1_bf.tif", "cell 2_bf.tif"],
        ["cell 1_dapi.ome.tif", "cell 2_dapi.tif"],
    ]
    fill(tmp_path / "b", ["mask[1].tif", "mask[2].tif"])
    fill(tmp_path / "a", ["1.tif", "2.tif"])
    assert open_pairs(tmp_path / "a", tmp_path / "b", pair_by=("*", "mask[*]")).names == ("1", "2")


@pytest.mark.parametrize(
    ("pair_by", "sentence"),
    [
        (("*_bf", "*_gfp"), r"must have names like \*_bf and \*_gfp; no name is in both"),
        (("*_bf", "dapi"), r"must have one \* for what pairs share, like \*_dapi; got 'dapi'"),
        (("*_*", "*"), r"must have one \*"),
    ],
)
def test_patterns_that_do_not_do_are_told(tmp_path, pair_by, sentence) -> None:
    """Patterns without one `*`, or that match nothing, are told."""
    fill(tmp_path, ["1_bf.tif", "1_dapi.tif"])
    with pytest.raises(ValueError, match=sentence):
        open_pairs(tmp_path, pair_by=pair_by)


def test_two_images_side_by_side_are_a_pair(tmp_path) -> None:
    """Each image of the folder is a source and a target, and the run finds the same halves again."""
    tmp_path = tmp_path / "pairs"
    fill(tmp_path, ["a.tif", "b.tif"])
    pixels = np.arange(8 * 10, dtype=np.uint8).reshape(8, 10)
    tifffile.imwrite(tmp_path / "a.tif", pixels)
    tifffile.imwrite(tmp_path / "b.tif", np.zeros((6, 4), np.uint8))
    for side, source, target in (("left", pixels[:, :5], pixels[:, 5:]), ("right", pixels[:, 5:], pixels[:, :5])):
        pairs = open_stacks(tmp_path, None, PairSettings(side_by_side=side))
        for found in (pairs, reopen(pairs.provenance())):
            assert found.files.names == ("a", "b")
            np.testing.assert_array_equal(found.files.sources[0].array[...], source)
            np.testing.assert_array_equal(found.files.targets[0].array[...], target)
            window = found.frames().target(0, (slice(2, 4), slice(1, 3)))
            np.testing.assert_array_equal(window[0], target[2:4, 1:3])
    with pytest.raises(ValueError, match="left or the right of two images; got 'top'"):
        open_pairs(tmp_path, side_by_side="top")
    with pytest.raises(ValueError, match="must come from one path"):
        open_pairs(tmp_path, tmp_path, side_by_side="left")
    with pytest.raises(ValueError, match="must have a target, unless both are side by side"):
        open_pairs(tmp_path)


def test_one_bad_file_is_named_or_left_out(tmp_path) -> None:
    """One unreadable file among many is an error that names it; when asked for, its pair is left out and named."""
    fill(tmp_path / "a", ["x.tif", "y.tif", "z.tif"])
    fill(tmp_path / "b", ["x.tif", "y.tif", "z.tif"])
    (tmp_path / "b" / "y.tif").write_bytes(b"II*\0 no image")
    with pytest.raises(ValueError, match=r"b/y\.tif is not"):
        open_pairs(tmp_path / "a", tmp_path / "b")
    pairs = open_pairs(tmp_path / "a", tmp_path / "b", skip_bad=True)
    assert pairs.names == ("x", "z")
    assert list(pairs.skipped) == ["y"]
    assert pairs.skipped["y"].startswith("y is left out: An image must be a readable")
    path = tmp_path / "b" / "z.tif"
    tifffile.imwrite(path, np.random.default_rng(0).integers(0, 9, (8, 9), dtype=np.uint8), compression="zlib")
    damaged = bytearray(path.read_bytes())
    damaged[-3] ^= 1  # in the checksum of the pixels, which only reading them finds
    path.write_bytes(damaged)
    assert open_pairs(tmp_path / "a", tmp_path / "b", skip_bad=True).names == ("x",)
    with pytest.raises(ValueError, match="An image must be a readable TIFF"):
        open_pairs(tmp_path / "a" / "y.tif", tmp_path / "b" / "y.tif", skip_bad=True)
    (tmp_path / "a" / "x.tif").write_bytes(b"II*\0 no image")
    with pytest.raises(ValueError, match="At least one pair must be readable; none of 3 is"):
        open_pairs(tmp_path / "a", tmp_path / "b", skip_bad=True)


def test_pairs_in_trees(tmp_path) -> None:
    """Files of one name in two subfolders are two pairs, with further channels each; lone subfolders are left out."""
    fill(tmp_path / "a", ["x.tif"])
    for folder in ("a/1", "a/2", "a/only", "b", "b/1", "b/2", "more", "more/1", "more/2"):
        fill(tmp_path / folder, ["x.tif"])
    pairs = named_pairs(tmp_path / "a", tmp_path / "b", tree=True)
    assert {name: [path.relative_to(tmp_path).as_posix() for path in pair] for name, pair in pairs.items()} == {
        name: [f"a/{name}.tif", f"b/{name}.tif"] for name in ("1/x", "2/x", "x")
    }
    more = further_paths([f"{tmp_path}/more"], list(pairs), tree=True)
    assert more == {name: [tmp_path / "more" / f"{name}.tif"] for name in pairs}
    assert list(named_pairs(tmp_path / "a", tmp_path / "b")) == ["x"]
    (tmp_path / "b" / "2" / "x.tif").rename(tmp_path / "b" / "2" / "y.tif")
    with pytest.raises(ValueError, match="2/x has no target"):
        named_pairs(tmp_path / "a", tmp_path / "b", tree=True)


def test_names_that_look_alike_are_the_same(tmp_path) -> None:
    """An accented letter is one whether it is kept as one character or two; files are opened by their own names."""
    fill(tmp_path / "a", [unicodedata.normalize("NFC", "zürich.tif"), "b.tif"])
    fill(tmp_path / "b", [unicodedata.normalize("NFD", "zürich.tif"), "b.tif"])
    pairs = open_stacks(tmp_path / "a", tmp_path / "b", PairSettings(groups="^(zü|b)"))
    assert pairs.files.names == ("b", unicodedata.normalize("NFC", "zürich"))
    assert [int(stack.array[0, 0]) for stack in pairs.files.targets] == [1, 0]


def test_images_and_masks_in_one_folder(tmp_path) -> None:
    """A file that both patterns match is of the side whose pattern says more."""
    fill(tmp_path, ["w0.tif", "w0_masks.tif", "w1.tif", "w1_masks.tif"])
    for pair_by in (("*", "*_masks"), ("*_masks", "*")):
        pairs = named_pairs(tmp_path, tmp_path, pair_by)
        assert {name: tuple(path.stem for path in pair) for name, pair in pairs.items()} == {
            name: tuple(pattern.replace("*", name) for pattern in pair_by) for name in ("w0", "w1")
        }


def test_folders_of_samples_are_pairs(tmp_path) -> None:
    """Stars in folders name pairs; folders that hold no image themselves are read with their subfolders."""
    for sample in ("s0", "s1"):
        (tmp_path / "samples").mkdir(exist_ok=True)
        fill(tmp_path / "samples" / sample, ["raw.tif", "label_a.tif"])
        for side in ("a", "b"):
            (tmp_path / side).mkdir(exist_ok=True)
            fill(tmp_path / side / sample, ["x.tif"])
    by_star = named_pairs(tmp_path / "samples/*/raw.tif", tmp_path / "samples/*/label_a.tif")
    assert {name: (a.parent.name, b.name) for name, (a, b) in by_star.items()} == {
        name: (name, "label_a.tif") for name in ("s0", "s1")
    }
    mirrored = open_stacks(tmp_path / "a", tmp_path / "b", PairSettings(groups="^(s[0-9])/", valid=str(tmp_path / "b")))
    assert mirrored.files.names == ("s0/x", "s1/x")
    assert mirrored.groups == ("s0", "s1")
    assert place_below(tmp_path / "samples/*/raw.tif", tmp_path / "samples/s0/raw.tif").as_posix() == "s0/raw.tif"
