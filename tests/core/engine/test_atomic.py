"""Files that are old or new, never half."""

import pytest

from napari_pix2pix.core.engine.atomic import remove_leftovers, written_beside


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
