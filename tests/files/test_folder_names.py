"""What a stranger calls a domain is a folder of ours, and leads nowhere else."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_pix2pix.files.outputs import folder_names

NAMES = {"H&E": "H&E", "../x": "_._x", "a/b": "a_b", ".": "_", "\x1b[1m": "__1m"}


@pytest.mark.parametrize(("label", "name"), NAMES.items())
def test_what_leads_elsewhere_becomes_an_underscore(label: str, name: str) -> None:
    """Slashes, points at the ends, and what a terminal obeys."""
    assert folder_names([label]) == {label: name}


@given(st.lists(st.text(min_size=1, max_size=8), unique=True, max_size=6))
def test_each_label_has_a_folder_of_its_own(labels: list[str]) -> None:
    """Right below, whatever the labels; also where capitals are not told apart."""
    found = folder_names(labels)
    assert list(found) == labels
    assert len({name.lower() for name in found.values()}) == len(labels)
    assert all((Path("out") / name).parent == Path("out") and name not in ("", ".", "..") for name in found.values())
