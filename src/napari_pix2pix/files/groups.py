"""Which images must stay together in a split: those of one slide, well, donor or day."""

import csv
import re
import unicodedata
from collections.abc import Sequence
from pathlib import Path

from napari_pix2pix.files.stacks import SUFFIXES, stem


def read_groups(groups: str, names: Sequence[str]) -> list[str]:
    """The group of each name, from a table or from a regular expression.

    Parameters
    ----------
    groups
        The path of a CSV file with the columns `name` (with or without extension) and `group`; else a regular
        expression, whose first group, or whole match if it has none, is the group.
    names
        Of the pairs: file names without extension.

    Raises
    ------
    FileNotFoundError
        If `groups` ends in ``.csv`` and there is no such file.
    ValueError
        If the table or the expression cannot be read, or leaves a name without a group.
    """
    groups = unicodedata.normalize("NFC", groups) if not Path(groups).is_file() else groups
    if Path(groups).suffix.lower() == ".csv":
        table = _table(Path(groups))
        missing = [name for name in names if name not in table]
        found = [table.get(name, "") for name in names]
    else:
        try:
            expression = re.compile(groups)
        except re.error as error:
            raise ValueError(
                f"Groups must be a CSV file or a regular expression on the names; {groups!r} is neither ({error}). "
                "Give, for example, '^(slide[0-9]+)_'."
            ) from error
        matches = [expression.search(name) for name in names]
        found = [(match[1 if expression.groups else 0] or "") if match else "" for match in matches]
        missing = [name for name, group in zip(names, found, strict=True) if not group]
    if missing:
        shown = ", ".join(missing[:5]) + (f" and {len(missing) - 5} more" if len(missing) > 5 else "")
        raise ValueError(f"Every image must have a group; {groups} gives none to {shown}. Add what is missing.")
    return found


def _table(path: Path) -> dict[str, str]:
    if not path.is_file():
        raise FileNotFoundError(f"Groups must be a CSV file or a regular expression; there is no file {path}.")
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = csv.DictReader(file)
            columns = [column.strip() for column in rows.fieldnames or []]
            if not {"name", "group"} <= set(columns):
                raise ValueError(f"the first row names {', '.join(columns) or 'nothing'}")
            rows.fieldnames = columns
            table: dict[str, str] = {}
            for row in rows:
                name, group = (row["name"] or "").strip(), (row["group"] or "").strip()
                name = unicodedata.normalize("NFC", stem(Path(name)) if name.lower().endswith(SUFFIXES) else name)
                if group and table.setdefault(name, group) != group:
                    raise ValueError(f"{name} is in two groups, {table[name]} and {group}")
    except (ValueError, csv.Error) as error:
        raise ValueError(
            f"A table of groups must be a CSV file with the columns name and group; {path}: {error}."
        ) from error
    return table
