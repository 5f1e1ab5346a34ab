"""Pairs that moved are found by their hashes, and nothing else is taken for them."""

import numpy as np
import pytest
import tifffile

from napari_pix2pix.core.settings.config import PairSettings
from napari_pix2pix.files import pairing
from napari_pix2pix.files.moved import Moved
from napari_pix2pix.files.pairing import open_stacks, reopen


@pytest.fixture
def here(tmp_path):
    """Two pairs in folders beside a run, and what their provenance says."""
    here = tmp_path / "here"
    for i, side in enumerate(("a", "b")):
        (here / side).mkdir(parents=True)
        for j in range(2):
            tifffile.imwrite(here / side / f"{j}.tif", np.full((8, 9), 10 * i + j, np.uint8))
    (here / "run").mkdir()
    return here, open_stacks(here / "a", here / "b", PairSettings()).provenance()


@pytest.mark.parametrize("how", ["with the run", "renamed folder", "renamed files", "given anew"])
def test_moved_pairs_are_found(here, tmp_path, how) -> None:
    """Beside the run without a word; below a root by path, name or hash alone."""
    folder, said = here
    there = folder.rename(tmp_path / "there")
    moved = Moved(run=there / "run")
    if how == "renamed folder":
        (there / "b").rename(there / "masks")
        moved = Moved((there,))
    elif how == "renamed files":
        for path in (*there.glob("a/*.tif"), *there.glob("b/*.tif")):
            path.rename(there / f"{path.parent.name}_{path.name}")
        moved = Moved((there,))
    elif how == "given anew":
        moved = Moved((there / "a", there / "b"), only=True)
    stacks = reopen(said, moved)
    assert [int(stack.array[0, 0]) for side in (stacks.files.sources, stacks.files.targets) for stack in side] == [
        *(0, 1, 10, 11)
    ]
    assert all(there in stack.path.parents for stack in stacks.files.sources)


def test_what_is_nowhere_is_told_with_the_remedy(here, tmp_path) -> None:
    """The sentence names the file and the flag; files of other content are not taken."""
    folder, said = here
    there = folder.rename(tmp_path / "there")
    tifffile.imwrite(there / "b" / "1.tif", np.zeros((8, 9), np.uint8))
    for moved in (None, Moved((there,)), Moved((there / "a",), only=True)):
        with pytest.raises(FileNotFoundError, match=r"none at .*tif.*`data_root` FOLDER"):
            reopen(said, moved)


def test_each_file_is_hashed_once(here, tmp_path, monkeypatch) -> None:
    """Also where one image holds both sides; and what was opened again is not hashed anew."""
    folder, _ = here
    hashed = []
    monkeypatch.setattr(pairing, "sha256", lambda path: hashed.append(path) or "0")
    for j in range(2):
        tifffile.imwrite(folder / "a" / f"{j}.tif", np.full((8, 10), j, np.uint8))
    stacks = open_stacks(folder / "a", None, PairSettings(side_by_side="left"))
    stacks.frames()
    said = stacks.provenance()
    assert len(hashed) == 2
    monkeypatch.undo()
    again = open_stacks(folder / "a", None, PairSettings(side_by_side="left"))
    said = again.provenance()
    monkeypatch.setattr(pairing, "sha256", lambda path: hashed.append(path) or "0")
    hashed.clear()
    assert reopen(said).provenance() == said
    assert hashed == []
