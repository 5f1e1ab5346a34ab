"""Files that are old or new, never half."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from napari_pix2pix.core.engine.atomic import directory_beside, remove_leftovers, written_beside


def test_leftovers_are_one_files_own(tmp_path) -> None:
    """What was being written to one file is removed; what is being written to others of similar names stays."""
    long = "l" * 40
    names = ["a.tif", "a-b.tif", "a[1].tif", "a.json", f"{long}1.tif", f"{long}2.tif"]
    for name in names:
        with pytest.raises(KeyError), written_beside(tmp_path / name) as beside:
            raise KeyError
        assert list(tmp_path.iterdir()) == []
    left = {}
    for name in names:
        with written_beside(tmp_path / name) as beside:
            left[name] = beside.name
        (tmp_path / name).rename(tmp_path / left[name])  # as if it had been killed before
    for i, name in enumerate(names):
        remove_leftovers(tmp_path / name)
        assert {path.name for path in tmp_path.iterdir()} == {left[other] for other in names[i + 1 :]}


KILLED = """
import os, sys
from pathlib import Path
from napari_pix2pix.core.engine.atomic import directory_beside, written_beside

path = Path(sys.argv[1])
with (directory_beside if path.suffix == ".zarr" else written_beside)(path) as beside:
    (beside / "pixels" if beside.is_dir() else beside).write_bytes(bytes(1000))
    os._exit(9)
"""


@pytest.mark.parametrize("name", ["a.tif", "z.zarr"])
def test_what_a_killed_process_left_goes_with_the_next_write(tmp_path, name: str) -> None:
    """To the same place; what a living process or thread is writing there stays."""
    path, write = tmp_path / name, directory_beside if name.endswith("zarr") else written_beside
    subprocess.run([sys.executable, "-c", KILLED, path], check=False)
    assert any(tmp_path.iterdir())
    with write(path) as first:
        left = {first, first.with_name(first.name + ".lock")} if first.is_dir() else {first}
        assert set(tmp_path.iterdir()) == left
        assert not (any(first.iterdir()) if first.is_dir() else first.stat().st_size)
        with write(path) as second:
            assert second != first
            assert second.exists()
        assert first.exists()
    assert [p for p in tmp_path.iterdir() if p.name.startswith(".")] == []


def test_a_file_has_the_usual_permissions(tmp_path) -> None:
    """As any that the user's programs create."""
    (tmp_path / "b").write_text("")
    with written_beside(tmp_path / "a") as beside:
        beside.write_text("x")
    assert (tmp_path / "a").stat().st_mode == (tmp_path / "b").stat().st_mode


def test_threads_write_the_same_file(tmp_path) -> None:
    """Each its own; the last one wins, and nothing is left."""

    def write(i: int) -> None:
        with written_beside(tmp_path / "a.txt") as beside:
            beside.write_text(str(i) * 1000)

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(write, range(10)))
    assert set((tmp_path / "a.txt").read_text()) in [{str(i)} for i in range(10)]
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.skipif(sys.platform != "linux", reason="names that are no text are Linux's")
def test_long_names_that_are_no_text_are_written(tmp_path) -> None:
    path = tmp_path / f"{'l' * 60}\udce9.tif"
    with written_beside(path) as beside:
        beside.write_bytes(b"x")
    assert path.read_bytes() == b"x"
