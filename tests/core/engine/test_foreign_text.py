"""What strangers wrote commands neither a terminal nor a spreadsheet, and loses nothing else."""

import csv

import pytest

from napari_pix2pix.core.engine.foreign_text import cell, shown, write_table


@pytest.mark.parametrize("text", ["a.tif", "Zellkern µm 细胞 Ω", "two\nlines\tapart", ""])
def test_what_people_write_is_shown_as_it_is(text) -> None:
    assert shown(text) == text


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("\x1b[2Ja", r"\x1b[2Ja"),
        ("a\rb\x07", r"a\rb\x07"),
        ("\x9b31m", r"\x9b31m"),
        ("\udcff.tif", r"\udcff.tif"),
        ("gpj.\u202eexe", r"gpj.\u202eexe"),
        ("\u2028", r"\u2028"),
    ],
)
def test_what_a_terminal_would_obey_is_escaped(text, seen) -> None:
    assert shown(text) == seen
    assert seen.encode()


def test_cells_are_no_formulas(tmp_path) -> None:
    """Texts that begin like one are marked; numbers, also as texts, stay numbers; a table is valid UTF-8."""
    for text in ("=1+1", "+cmd", "@SUM(A1)", "-2+3", "\t=1", "\r=1", "- a"):
        assert cell(text).startswith("'")
    for value in ("-1.5", "+3", "-1e-05", -1.5, None, 0, "a=b", "a-b", True, "-inf"):
        assert cell(value) == value
    rows = [{"name": "=a,\nb", "x": -1.5}, {"name": "\udcff\x1b", "y": "-2"}]
    write_table(tmp_path / "t.csv", ["name", "x", "y"], rows)
    with (tmp_path / "t.csv").open(newline="", encoding="utf8") as file:
        assert list(csv.DictReader(file)) == [
            {"name": "'=a,\nb", "x": "-1.5", "y": ""},
            {"name": r"\udcff\x1b", "x": "", "y": "-2"},
        ]
