"""Labels of images in files: by a table, or by their names."""

import csv
import re
import unicodedata
from collections import Counter
from collections.abc import Mapping
from pathlib import Path, PurePath

from napari_pix2pix.files.stacks import SUFFIXES, stem

Labels = dict[str, str | None]
"""By the name of a set of labels the one that an image bears, None where that is not known."""


def alone(what: str) -> str:
    """What the only set of labels is called where nobody names it."""
    return what.removesuffix("s")


def by_table(
    table: Path, paths: Mapping[str, Path], what: str, *, partly: bool = False, further: bool = False
) -> dict[Path, Labels]:
    """The labels of images, by name, by a CSV file: ``name``, with or without its ending, and a column for each set.

    A name may hold the subfolder, and must where images in two are called alike. Columns end with commas, semicolons or
    tabs, as spreadsheets write them.

    Parameters
    ----------
    table, paths, what
        The file; the images by name; what it is a table of.
    partly
        It need not name all of these, of which nothing is then known; but one at least.
    further
        It may name others, too.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If it is none, names an image that is not there, or not one that is.
    """
    if not table.is_file():
        raise FileNotFoundError(f"A table of {what} must be there; there is no file {table}. Check the path.")
    try:
        text = table.read_text("utf-8-sig")
        rows = list(csv.DictReader(text.splitlines(), delimiter=max(",;\t", key=text.partition("\n")[0].count)))
    except (UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"A table of {what} must be a CSV file; {table} is none: {error}. Give another.") from error
    sets = [name for name in (rows[0] if rows else {}) if name and name != "name"]
    if not rows or "name" not in rows[0] or not sets:
        raise ValueError(
            f"A table of {what} must have the columns name and one for each set of labels; {table} has not. Add them."
        )
    called = Counter(PurePath(name).name for name in paths)
    own = dict(paths) | {PurePath(name).name: path for name, path in paths.items() if called[PurePath(name).name] == 1}
    found: dict[Path, Labels] = {}
    for row in rows:
        said = unicodedata.normalize("NFC", str(row["name"] or "").strip())
        name = PurePath(said).with_name(stem(Path(said))).as_posix() if said.lower().endswith(SUFFIXES) else said
        if called[name] > 1 and name not in paths:
            raise ValueError(
                f"A table of {what} must tell images apart; {called[name]} are called {said}. Write their subfolders "
                "before their names, like a/x.tif."
            )
        if name not in own and further:
            continue
        if name not in own:
            raise ValueError(
                f"A table of {what} must name images that are there; {table} names {said}, of which there is no file. "
                "Correct the name or leave the row out."
            )
        if own[name] in found:
            raise ValueError(f"A table of {what} must name an image once; {table} names {said} twice. Leave one out.")
        found[own[name]] = {one: str(row[one] or "").strip() or None for one in sets}
    if partly and not found:
        raise ValueError(
            f"A table of {what} must name some of the images, if with an empty cell; {table} names none of "
            f"{len(paths)}, of which the first is {next(iter(paths))}. Correct the names or leave it out."
        )
    if partly:
        return {path: found.get(path, dict.fromkeys(sets)) for path in paths.values()}
    if missing := [name for name, path in paths.items() if path not in found]:
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise ValueError(
            f"A table of {what} must name every image; {missing[0]}{more} is not in {table}. Add it; its labels may "
            "be empty, which means not known."
        )
    return found


def by_name(pattern: str, paths: list[Path], what: str, *, partly: bool = False) -> dict[Path, Labels]:
    """The labels of images by a regular expression on their names; a named group is a set, the only one `SET`.

    If it is to fit them `partly`, nothing is known of those that it does not fit.
    """
    try:
        known = re.compile(pattern)
    except re.error as error:
        raise ValueError(f"`{what}` must be a CSV file or a regular expression; got {pattern}: {error}.") from error
    if not known.groups:
        raise ValueError(f"`{what}` must have a group in brackets, which is the label; {pattern} has none. Add one.")
    found: dict[Path, Labels] = {}
    for path in paths:
        match = known.search(path.name)
        if match is None and partly:
            found[path] = dict.fromkeys(known.groupindex or [alone(what)])
            continue
        if match is None:
            raise ValueError(
                f"`{what}` must fit the names of all images; {pattern} does not fit {path.name}. Change it, or give a "
                "CSV file."
            )
        found[path] = dict(match.groupdict()) or {alone(what): match.group(1)}
    if partly and not any(any(labels.values()) for labels in found.values()):
        raise ValueError(
            f"`{what}` must fit the names of some images; {pattern} fits none. Change it, or give a CSV file."
        )
    return found


def conditions_of(
    said: str, paths: Mapping[str, Path], *, partly: bool = False, further: bool = False
) -> tuple[Labels, ...]:
    """The class of each image, by name, as a CSV file (`by_table`) or a regular expression (`by_name`) says it."""
    if said.lower().endswith(".csv"):
        found = by_table(Path(said), paths, "conditions", partly=partly, further=further)
    else:
        found = by_name(said, list(paths.values()), "condition", partly=partly)
    return tuple(found[path] for path in paths.values())
