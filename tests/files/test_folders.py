"""Files find their partners."""

import numpy as np
import pytest
import tifffile

from napari_pix2pix.files.folders import list_images, open_pairs, reopen_pairs


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
    frames = pairs.frames()
    assert [frames.name(i) for i in range(2)] == ["x 1", "ü"]
    assert int(frames.target(0)[0, 0, 0]) == 11


def test_paths_files_folders_and_patterns(tmp_path) -> None:
    """A file means itself, a folder its images in order, a pattern what it matches; hidden files are left out."""
    fill(tmp_path, ["b.tif", "a.tif", ".c.tif"])
    (tmp_path / "notes.txt").write_text("")
    assert [p.name for p in list_images(tmp_path)] == ["a.tif", "b.tif"]
    assert [p.name for p in list_images(tmp_path / "b*")] == ["b.tif"]
    assert list_images(tmp_path / "a.tif") == [tmp_path / "a.tif"]
    for nothing in ("c.tif", "z*"):
        with pytest.raises(FileNotFoundError, match=r"There must be images at .* found none"):
            list_images(tmp_path / nothing)


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
    pairs = open_pairs(tmp_path / "a", tmp_path / "b")
    assert reopen_pairs(pairs.provenance()).names == pairs.names
    said = pairs.provenance()
    fill(tmp_path / "b", ["x.tif"], 7)
    with pytest.raises(ValueError, match=r"must find its pairs unchanged; .*x\.tif has changed"):
        reopen_pairs(said)
