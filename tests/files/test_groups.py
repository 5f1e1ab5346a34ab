"""What belongs together is said by a table or by the names."""

import pytest

from napari_pix2pix.files.groups import read_groups

NAMES = ["slide1_a", "slide1_b", "slide 2_ä"]


@pytest.mark.parametrize(
    ("expression", "groups"),
    [
        ("^(slide ?[0-9]+)_", ["slide1", "slide1", "slide 2"]),
        ("[0-9]", ["1", "1", "2"]),
        ("(?:slide) ?(.)", ["1", "1", "2"]),
    ],
)
def test_a_regular_expression_groups_names(expression, groups) -> None:
    """The first group, else the whole match, is the group."""
    assert read_groups(expression, NAMES) == groups


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_a_table_groups_names(tmp_path, encoding) -> None:
    """Columns in any order, names with or without extension, quotes and a byte order mark are understood."""
    path = tmp_path / "my groups.CSV"
    path.write_text('group, name,more\nA,slide1_a.ome.tif,1\nA,"slide1_b",2\nB,slide 2_ä.png,\nC,unused,\n', encoding)
    assert read_groups(str(path), NAMES) == ["A", "A", "B"]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("name,group\nslide1_a,A\nslide1_b,\n", r"Every image must have a group; .*gives none to slide1_b, slide 2_ä"),
        ("image,slide\nslide1_a,A\n", "columns name and group; .*the first row names image, slide"),
        ("", "the first row names nothing"),
        ("name,group\nslide1_a,A\nslide1_a.tif,B\n", "slide1_a is in two groups, A and B"),
        ("name,group\nslide1_a\n", "gives none to slide1_a, slide1_b, slide 2_ä"),
        ("name,group\n\xff", "columns name and group"),
    ],
)
def test_tables_that_do_not_do_are_told(tmp_path, text, sentence) -> None:
    """A missing name, column or decision is named."""
    (tmp_path / "g.csv").write_bytes(text.encode("latin-1"))
    with pytest.raises(ValueError, match=sentence):
        read_groups(str(tmp_path / "g.csv"), NAMES)


def test_groups_that_are_nothing_are_told(tmp_path) -> None:
    """A missing table, a broken expression and names that do not match are told."""
    with pytest.raises(FileNotFoundError, match="there is no file"):
        read_groups(str(tmp_path / "none.csv"), NAMES)
    with pytest.raises(ValueError, match=r"'\(slide' is neither"):
        read_groups("(slide", NAMES)
    with pytest.raises(ValueError, match=r"gives none to n0, n1, n2, n3, n4 and 2 more"):
        read_groups("slide", [f"n{i}" for i in range(7)])
