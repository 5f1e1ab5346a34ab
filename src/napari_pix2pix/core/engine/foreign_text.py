"""What strangers wrote, names of files and layers above all, made harmless where it is shown or put into a table."""

import csv
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from napari_pix2pix.core.engine.atomic import written_beside

FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")
"""How cells begin that a spreadsheet would compute."""
UNSEEN = ("Cc", "Cs", "Zl", "Zp")
"""Categories of characters that move a cursor, colour a terminal, or are half of one."""
TURNING = range(0x202A, 0x202F), range(0x2066, 0x206A)
"""Characters that turn the direction in which what follows is read."""


def shown(text: str, kept: str = "\n\t") -> str:
    r"""The text with characters that a terminal would obey as their escapes, like ``\x1b``; those in `kept` stay."""
    if text.isascii() and text.isprintable():
        return text

    def seen(character: str) -> str:
        code = ord(character)
        obeyed = unicodedata.category(character) in UNSEEN or any(code in some for some in TURNING)
        return repr(character)[1:-1] if obeyed and character not in kept else character

    return "".join(map(seen, text))


def require_text(path: Path) -> None:
    """Raise a ValueError if the path is no text in UTF-8, which the library that writes models asks for."""
    try:
        str(path).encode()
    except UnicodeEncodeError:
        raise ValueError(
            f"The path of a model must be text in UTF-8; {shown(str(path), kept='')} is not. Choose another `out`."
        ) from None


def cell(value: Any) -> Any:
    """What to put into a table for this value: no text that a spreadsheet computes or a terminal obeys.

    Numbers, and texts that are numbers, stay as they are; before other texts that begin like a formula comes a ``'``.
    """
    if not isinstance(value, str):
        return value
    if value.startswith(FORMULA) and not _is_number(value):
        value = f"'{value}"
    return shown(value)


@contextmanager
def table_writer(path: Path, columns: Sequence[str]) -> Iterator["Table"]:
    """A CSV file with these columns, beside and renamed, to which rows are put.

    Raises
    ------
    OSError
        If it cannot be written.
    """
    with written_beside(path) as beside, beside.open("w", newline="", encoding="utf8") as file:
        table = Table(csv.writer(file))
        table.put(columns)
        yield table


class Table:
    """What rows are put to."""

    def __init__(self, writer: Any) -> None:
        self._writer = writer

    def put(self, values: Iterable[Any]) -> None:
        """Add a row of these values."""
        self._writer.writerow([cell(value) for value in values])


def write_table(path: Path, columns: Sequence[str], rows: Iterable[dict[str, Any]]) -> None:
    """A CSV file of these columns of the rows; what a row lacks is empty."""
    with table_writer(path, columns) as table:
        for row in rows:
            table.put(row.get(name) for name in columns)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return text == text.strip()
