"""Which images a path means, and what they are called."""

import re
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from glob import glob
from pathlib import Path, PurePath

from napari_pix2pix.files.readers.tiff_sets import without_parts
from napari_pix2pix.files.records import is_result
from napari_pix2pix.files.stacks import (
    SUFFIXES,
    is_beside,
    is_image,
    may_look_into,
    stem,
)


def list_images(
    path: Path | str, *, tree: bool | None = None, leave_out: Sequence[Path] = (), out: Path | None = None
) -> list[Path]:
    """The images that `path` means: itself, those in the folder, or those that the glob pattern matches.

    An OME-Zarr directory is one image. Hidden files never are one, nor what lies beside a result as `is_beside` tells,
    unless a pattern matches nothing else. What is named like an image but cannot be read is among them, so that whoever
    opens it says so.

    Parameters
    ----------
    path
        A file, a folder or a pattern, in which folders may have stars, too.
    tree
        Whether images in a folder's subfolders are meant, too. None: where the folder itself holds none.
    leave_out
        Subfolders that are not.
    out
        The folder for results: what an earlier run has put there is no image of a folder or pattern, unless all are.

    Raises
    ------
    FileNotFoundError
        If there is no such file or no image in the folder.
    """
    path = Path(path)
    if is_image(path) or path.is_file():
        found = [path]
    elif path.is_dir():
        closed = frozenset(other.resolve() for other in (path, *leave_out))
        found = list(_in_folder(path, closed, bool(tree)))
        if not found and tree is None:
            found = list(_in_folder(path, closed, True))
    else:
        found = _matched(path)
    if out is not None and len(found) > 1:
        found = [p for p in found if not is_result(out, p)] or found
    if len(found) > 1:
        found = without_parts(found)
    if not found:
        raise FileNotFoundError(
            f"There must be images at {path} (TIFF, PNG, JPEG or OME-Zarr; a file, a folder or a pattern); found none. "
            "Check the path."
        )
    return sorted(found)


def _in_folder(folder: Path, closed: frozenset[Path], tree: bool) -> Iterator[Path]:
    """Its images; with `tree` also those in its subfolders, which are not entered if they are `closed`."""
    for path in folder.iterdir():
        if path.name.startswith("."):
            continue
        if _is_called_image(path):
            if not is_beside(path):
                yield path
        elif tree and path.is_dir() and (real := path.resolve()) not in closed:
            # A link to a folder around it would never end; what may not be read is named by who opens it.
            yield from _in_folder(path, closed | {real}, tree) if may_look_into(path) else [path]


def _is_called_image(path: Path) -> bool:
    """Whether the path is an image, or would be if it could be read: a broken link, say."""
    return is_image(path) or (path.name.lower().endswith(SUFFIXES) and not path.is_dir())


def _divided(path: Path | str) -> tuple[Path, str] | None:
    """The folder in which a glob pattern begins, and the pattern below it; None where `path` is no pattern."""
    parts = Path(path).parts
    for i, part in enumerate(parts):
        if any(sign in part for sign in "*?[") and not Path(*parts[: i + 1]).exists():
            return Path(*parts[:i]), "/".join(parts[i:])
    return None


def below_pattern(path: Path | str) -> str | None:
    """Of a glob pattern what begins with its first star's folder; None where `path` is no pattern."""
    divided = _divided(path)
    return divided[1] if divided else None


def _matched(path: Path) -> list[Path]:
    """The images that a pattern matches; other files, only where it matches no image."""
    if (divided := _divided(path)) is None:
        return []
    folder, pattern = divided
    found = [folder / name for name in glob(pattern, root_dir=folder, recursive=True)]  # noqa: PTH207, which takes hidden ones
    images = [file for file in found if _is_called_image(file)]
    return [file for file in images if not is_beside(file)] or images or [file for file in found if file.is_file()]


def place_below(given: Path | str, path: Path) -> PurePath:
    """Where the image `path` lies below the folder `given`, or that in which the pattern begins; else its name."""
    divided = _divided(given)
    folder = divided[0] if divided else Path(given)
    return path.relative_to(folder) if folder in path.parents else PurePath(path.name)


def named_as(path: Path | str) -> Callable[[Path], str]:
    """A function that names the images that `path` means: what its star stands for, else as the files are called.

    Below a folder, the subfolder is part of the name: ``subfolder/name``. Where a pattern has stars in its folders, the
    name is what all its stars stand for, a ``/`` between.
    """
    if has_folder_stars(path) and (divided := _divided(path)):
        folder, pattern = divided
        shape = _shape(pattern)

        def between(file: Path) -> str:
            match = shape.fullmatch(file.relative_to(folder).as_posix())
            return _stemmed("/".join(part for part in match.groups() if part)) if match else stem(file)

        return between
    pattern = Path(path).name
    if pattern.count("*") != 1 or any(sign in pattern for sign in "?["):
        return lambda file: in_one_form(place_below(path, file).with_name(stem(file)).as_posix())
    before, after = pattern.split("*")
    return lambda file: _stemmed(file.name[len(before) : len(file.name) - len(after)])


def has_folder_stars(path: Path | str) -> bool:
    """Whether the path is a pattern with wildcards in its folders."""
    divided = _divided(path)
    return divided is not None and "/" in divided[1]


def _shape(pattern: str) -> re.Pattern[str]:
    """A glob pattern as an expression with a group for each wildcard."""
    signs = {"**/": "(?:(.+)/)?", "*": "([^/]*)", "?": "([^/])"}
    parts = re.split(r"(\*\*/|\*|\?|\[[^]]+\])", pattern)
    shown = (f"({part.replace('[!', '[^', 1)})" if part[:1] == "[" and part[-1:] == "]" else None for part in parts)
    return re.compile(
        "".join(signs.get(part) or one or re.escape(part) for part, one in zip(parts, shown, strict=True))
    )


def _stemmed(name: str) -> str:
    """The name without an extension of images, if it has one."""
    return in_one_form(stem(Path(name)) if name.lower().endswith(SUFFIXES) else name)


def in_one_form(name: str) -> str:
    """The name in one encoding: file systems keep an accented letter as one character or as two."""
    return unicodedata.normalize("NFC", name)


def placed_as(given: Path | str, name_of: Callable[[Path], str | None]) -> Callable[[Path], str | None]:
    """`name_of` with the subfolder of `given` that a file lies in before it."""

    def placed(file: Path) -> str | None:
        name = name_of(file)
        return None if name is None else in_one_form((place_below(given, file).parent / name).as_posix())

    return placed


def by_names(path: Path | str) -> dict[str, Path]:
    """The images that `path` means, by what each is called and, if it is a pattern, by what its star stands for."""
    files = list_images(path)
    return each_by_name(files, placed_as(path, stem)) | each_by_name(files, named_as(path))


def each_by_name(files: list[Path], name_of: Callable[[Path], str | None]) -> dict[str, Path]:
    """The files by their names; raise a ValueError where two have the same."""
    by_name: dict[str, Path] = {}
    for path in files:
        name = name_of(path)
        if name is not None and (other := by_name.setdefault(name, path)) != path:
            raise ValueError(f"File names without extension must differ; {other.name} and {path.name} do not.")
    return by_name
