"""A path means the images that a person would expect: a file, a folder, a pattern, and what is no image is named."""

import os

import numpy as np
import pytest
import tifffile

from napari_pix2pix.core.geometry.axes import AxesPlan
from napari_pix2pix.core.settings.config import PairSettings
from napari_pix2pix.files.folders import list_images, place_below
from napari_pix2pix.files.pairing import open_stacks, reopen
from napari_pix2pix.files.partners import open_pairs
from napari_pix2pix.files.stacks import open_stack, write_stack


def fill(folder, names, value=0) -> None:
    folder.mkdir(exist_ok=True)
    for i, name in enumerate(names):
        tifffile.imwrite(folder / name, np.full((8, 9), value + i, np.uint8))


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


def test_zarr_directories_are_images(tmp_path) -> None:
    """An OME-Zarr is one image: in a folder, by a pattern, alone, and in the provenance of a run."""
    plan = AxesPlan("YX", (8, 9))
    for side in "ab":
        for name in ("1.zarr", "2.ome.zarr"):
            write_stack(tmp_path / side / name, plan, "uint8", [np.zeros((1, 8, 9))])
    assert [p.name for p in list_images(tmp_path / "a")] == ["1.zarr", "2.ome.zarr"]
    assert [p.name for p in list_images(tmp_path / "a" / "*.ome.*")] == ["2.ome.zarr"]
    assert list_images(tmp_path / "a" / "1.zarr") == [tmp_path / "a" / "1.zarr"]
    said = open_stacks(tmp_path / "a", tmp_path / "b", PairSettings()).provenance()
    assert reopen(said).files.names == ("1", "2")
    write_stack(tmp_path / "b" / "1.zarr", plan, "uint8", [np.ones((1, 8, 9))])
    with pytest.raises(ValueError, match=r"1\.zarr has changed"):
        reopen(said)


def test_a_tree_of_images(tmp_path) -> None:
    """Images in subfolders count where asked for: not hidden ones, what is left out, parts of a Zarr, nor loops."""
    fill(tmp_path, ["a.tif"])
    for folder in ("b", "b/c", ".hidden", "out"):
        fill(tmp_path / folder, ["x.tif"])
    plan = AxesPlan("YX", (8, 9))
    write_stack(tmp_path / "b" / "d.zarr", plan, np.uint8, [np.zeros((1, 8, 9), np.uint8)])
    (tmp_path / "b" / "round").symlink_to(tmp_path / "b")
    (tmp_path / "linked").symlink_to(tmp_path / "b" / "c")
    found = list_images(tmp_path, tree=True, leave_out=[tmp_path / "b" / ".." / "out"])
    places = [place_below(tmp_path, path).as_posix() for path in found]
    assert places == ["a.tif", "b/c/x.tif", "b/d.zarr", "b/x.tif", "linked/x.tif"]
    assert list_images(tmp_path) == [tmp_path / "a.tif"]
    assert place_below(f"{tmp_path}/*.tif", tmp_path / "a.tif").as_posix() == "a.tif"


def test_what_cannot_be_read_is_found(tmp_path) -> None:
    """A broken link and a pipe that are named like images are listed: whoever opens them says what is wrong."""
    fill(tmp_path / "a", ["x.tif"])
    (tmp_path / "a" / "gone.tif").symlink_to(tmp_path / "nowhere.tif")
    os.mkfifo(tmp_path / "a" / "pipe.tif")
    for path in (tmp_path / "a", tmp_path / "a" / "*.tif"):
        assert [file.name for file in list_images(path)] == ["gone.tif", "pipe.tif", "x.tif"]
    fill(tmp_path / "b", ["x.tif", "gone.tif", "pipe.tif"])
    with pytest.raises(ValueError, match=r"gone\.tif.*`skip_bad`"):
        open_pairs(tmp_path / "a", tmp_path / "b")
    pairs = open_pairs(tmp_path / "a", tmp_path / "b", skip_bad=True)
    assert (pairs.names, sorted(pairs.skipped)) == (("x",), ["gone", "pipe"])


def test_a_folder_that_may_not_be_read_is_named(tmp_path, monkeypatch) -> None:
    """The others are found, and who opens it says what is wrong; whoever runs this may be allowed everything."""
    fill(tmp_path / "a", ["x.tif"])
    fill(tmp_path / "a" / "closed", ["y.tif"])
    monkeypatch.setattr("os.access", lambda path, _: path != tmp_path / "a" / "closed")
    assert list_images(tmp_path / "a", tree=True) == [tmp_path / "a" / "closed", tmp_path / "a" / "x.tif"]
    with pytest.raises(PermissionError, match=r"must be readable for you; .*closed is not"):
        open_stack(tmp_path / "a" / "closed")


def test_patterns_and_folders_leave_out_the_same(tmp_path) -> None:
    """Hidden files and those of the system are no images, whether a folder or a pattern means them."""
    fill(tmp_path, ["a.tif", "._a.tif", "b.png"])
    (tmp_path / "Thumbs.db").write_text("")
    assert list_images(tmp_path) == list_images(tmp_path / "*") == [tmp_path / "a.tif", tmp_path / "b.png"]
    assert list_images(tmp_path / "._*") == [tmp_path / "._a.tif"]
