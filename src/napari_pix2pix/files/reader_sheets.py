"""The sheet that a reader fills in, and the key to it."""

import csv
import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path

from napari_pix2pix.core.engine.foreign_text import write_table
from napari_pix2pix.core.evaluation.readers import CHOICES

SHEET = "sheet.csv"
COLUMNS = ("set", "pair", "real")
KEY_COLUMNS = ("set", "pair", "real", "name", "group", "channel", "row", "column")
MOST_BYTES = 2**22
"""Of a sheet: more is something else."""


def key_of(folder: Path) -> Path:
    """Where the key to the reader set in `folder` lies: beside it, so that the folder can be handed on."""
    return folder.with_name(f"{folder.name}.key.csv")


def write_sheet(folder: Path, key: Path, rows: Sequence[Mapping[str, object]]) -> None:
    """Write the sheet to fill in to `folder`, and the `key`; rows have what `KEY_COLUMNS` name but the set."""
    name = hashlib.sha256(repr([dict(row) for row in rows]).encode()).hexdigest()[:8]
    write_table(folder / SHEET, COLUMNS, [{"set": f"set {name}", "pair": row["pair"]} for row in rows])
    write_table(key, KEY_COLUMNS, [{"set": f"set {name}", **row} for row in rows])


def read_key(path: Path) -> list[dict[str, str]]:
    """The rows of a key, in order.

    Raises
    ------
    FileNotFoundError, ValueError
        If there is none, or it is none.
    """
    if not path.is_file():
        raise FileNotFoundError(
            f"A sheet must have its key, which reader-set wrote beside the folder of images; there is none at {path}. "
            "Give its path as `key`."
        )
    rows = _read(path, KEY_COLUMNS, "A key")
    if any(row["real"] not in CHOICES for row in rows):
        raise ValueError(f"A key must say A or B for each pair; {path} does not. Give the one that reader-set wrote.")
    return rows


def read_answers(path: Path, key: Sequence[Mapping[str, str]]) -> list[str]:
    """What the reader of this sheet took to be real, A or B, for each pair of the key.

    Raises
    ------
    FileNotFoundError, ValueError
        If there is no sheet, it is of another set, or an answer is missing or is none.
    """
    if not path.is_file():
        raise FileNotFoundError(f"A sheet must be a file; there is none at {path}. Check the path.")
    rows = _read(path, COLUMNS, "A sheet")
    if any(row["set"] != key[0]["set"] for row in rows):
        raise ValueError(f"A sheet must be of the set of its key; {path} is of another. Give its own `key`.")
    given = {row["pair"]: row["real"].strip().upper() for row in rows}
    wanted = [row["pair"] for row in key]
    if len(given) < len(rows) or (strange := [pair for pair in given if pair not in wanted]):
        which = f"has pair {strange[0]}, which is none" if len(given) == len(rows) else "names one twice"
        raise ValueError(f"A sheet must have a row for each pair; {path} {which}. Fill in the sheet as it was written.")
    if missing := [pair for pair in wanted if not given.get(pair)]:
        raise ValueError(
            f"A sheet must have an answer, A or B, for each pair; {path} has none for {_some(missing)}. Fill in all, "
            "guesses too."
        )
    if wrong := [pair for pair in wanted if given[pair] not in CHOICES]:
        raise ValueError(f"An answer must be A or B; {path} has {given[wrong[0]]!r} for pair {wrong[0]}. Correct it.")
    return [given[pair] for pair in wanted]


def _some(pairs: Sequence[str]) -> str:
    listed = ", ".join(pairs[:5])
    return f"pair{'s' * (len(pairs) > 1)} {listed}" + (f" and {len(pairs) - 5} more" if len(pairs) > 5 else "")


def _read(path: Path, columns: Sequence[str], what: str) -> list[dict[str, str]]:
    """The rows of a table as spreadsheets write it, with commas, semicolons or tabs."""
    wrong = f"{what} must be a table (CSV) with the columns {', '.join(columns)}; {path} is none. Give another."
    if path.stat().st_size > MOST_BYTES:
        raise ValueError(wrong)
    try:
        text = path.read_text("utf-8-sig")
    except UnicodeDecodeError:
        raise ValueError(wrong) from None
    head = text.partition("\n")[0]
    delimiter = max(",;\t", key=head.count)
    try:
        rows = list(csv.DictReader(text.splitlines(), delimiter=delimiter, strict=True))
    except csv.Error:
        raise ValueError(wrong) from None
    if not rows or not set(columns) <= rows[0].keys():
        raise ValueError(wrong)
    found = [{name: row[name] or "" for name in columns} for row in rows if any(row.values())]
    return [row | {"pair": row["pair"].strip()} for row in found]
