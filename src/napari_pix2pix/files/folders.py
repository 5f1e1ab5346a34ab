"""Which files a path means, and which of them belong together."""

import re
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from glob import glob
from pathlib import Path, PurePath

from napari_pix2pix.files.readers.tiff_sets import without_parts
from napari_pix2pix.files.records import is_result
from napari_pix2pix.files.stacks import (
    SUFFIXES,
    Stack,
    is_beside,
    is_image,
    join_stacks,
    may_look_into,
    open_stack,
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


@dataclass(frozen=True)
class PairedFiles:
    """Sources and targets as stacks, in the same order.

    Parameters
    ----------
    names
        One per pair.
    sources, targets
        One per pair, too.
    skipped
        By name a sentence for each pair that was left out.
    """

    names: tuple[str, ...]
    sources: tuple[Stack, ...]
    targets: tuple[Stack, ...]
    skipped: dict[str, str] = field(default_factory=dict)


def open_pairs(
    source: Path | str,
    target: Path | str | None = None,
    source_axes: str | None = None,
    target_axes: str | None = None,
    *,
    side_by_side: str | None = None,
    pair_by: tuple[str, str] | None = None,
    more: tuple[Sequence[str], Sequence[str]] = ((), ()),
    skip_bad: bool = False,
) -> PairedFiles:
    """The pairs of `pair_paths` as stacks.

    Parameters
    ----------
    source, target
        Files, folders or patterns. With `side_by_side`, only the source; with `pair_by`, the target defaults to it.
    source_axes, target_axes
        Where the files do not say, or say it wrongly.
    side_by_side
        ``"left"`` or ``"right"``: each image holds both, the source on this side.
    pair_by
        Patterns for the names of sources and targets, see `pair_paths`.
    more
        Files, folders or patterns for further channels of sources and targets, see `further_paths`.
    skip_bad
        Whether to leave out the pairs that cannot be read, for which all of them are read once. The default refuses
        them, since nobody should miss them.

    Raises
    ------
    FileNotFoundError
        If there are no images.
    ValueError
        If they do not pair up, or a file cannot be read.
    """
    halves: tuple[str | None, str | None] = (None, None)
    skipped: dict[str, str] = {}
    if side_by_side is not None:
        if target is not None or pair_by is not None:
            raise ValueError("Images side by side must come from one path; leave out the target and `pair_by`.")
        halves = halved(side_by_side)
        images = _by_name(list_images(source), _placed(source, stem))
        named = {name: (path, path) for name, path in images.items()}
    elif target is None and pair_by is None:
        raise ValueError("A source must have a target, unless both are side by side in one image (`side_by_side`).")
    else:
        named = named_pairs(source, source if target is None else target, pair_by, alone=skipped if skip_bad else None)
    pairs = {}
    further = [further_paths(paths, list(named)) for paths in more]
    for name, (a, b) in named.items():
        try:
            pair = (
                open_joined(a, further[0][name], source_axes, halves[0]),
                open_joined(b, further[1][name], target_axes, halves[1]),
            )
            if skip_bad and len(named) + len(skipped) > 1:
                for stack in pair:
                    _read_through(stack)
            pairs[name] = pair
        except (ValueError, OSError) as error:
            if len(named) + len(skipped) == 1:
                raise
            if not skip_bad:
                raise ValueError(f"{error} Or use the other pairs: `skip_bad`.") from error
            skipped[name] = f"{name} is left out: {error}"
    if not pairs:
        raise ValueError(
            f"At least one pair must be readable; none of {len(skipped)} is. {next(iter(skipped.values()))}"
        )
    sources, targets = zip(*pairs.values(), strict=True)
    return PairedFiles(tuple(pairs), sources, targets, skipped)


def halved(side: str | None) -> tuple[str | None, str | None]:
    """The halves that source and target are, where the source is on this side; None for whole images."""
    if side not in ("left", "right", None):
        raise ValueError(f"The source must be the left or the right of two images; got {side!r}.")
    return (side, {"left": "right", "right": "left"}[side]) if side else (None, None)


def pair_paths(
    source: Path | str, target: Path | str, pair_by: tuple[str, str] | None = None
) -> list[tuple[Path, Path]]:
    """The pairs in two files, or in two folders by file name without extension; no file is opened.

    Parameters
    ----------
    source, target
        Files, folders or patterns.
    pair_by
        A pattern for the names of sources, one for those of targets, like ``("*_bf", "*_dapi")``: what `*` stands for
        is the name of the pair, and files that do not match are no part of it.

    Raises
    ------
    FileNotFoundError
        If there are no images.
    ValueError
        If a source has no target or a target no source.
    """
    return list(named_pairs(source, target, pair_by).values())


def named_pairs(
    source: Path | str,
    target: Path | str,
    pair_by: tuple[str, str] | None = None,
    *,
    tree: bool | None = None,
    leave_out: Sequence[Path] = (),
    out: Path | None = None,
    alone: dict[str, str] | None = None,
) -> dict[str, tuple[Path, Path]]:
    """The pairs of `pair_paths` by their names.

    With `tree` those in subfolders, too, named ``subfolder/name``; subfolders that only one side has are left out, as
    are those in `leave_out`; `out` as in `list_images`. Without, subfolders are read where the folder itself holds no
    image, and a pattern with stars in its folders names pairs by what all its stars stand for. A file that both
    patterns of `pair_by` match is of the side whose pattern says more. Names that look alike are the same, however they
    are encoded. In `alone`, if given, a file without a partner gets a sentence by its name, and the others are paired.
    """
    closed = (*leave_out, Path(source), Path(target))
    sources, targets = (list_images(path, tree=tree, leave_out=closed, out=out) for path in (source, target))
    if pair_by is None and len(sources) == len(targets) == 1:
        return {_same_form(stem(sources[0])): (sources[0], targets[0])}
    if pair_by is None:
        names = [named_as(path) if _has_folder_stars(path) else _placed(path, stem) for path in (source, target)]
    else:
        readers = [_pattern(pattern) for pattern in pair_by]
        names = [_placed(path, reader) for path, reader in zip((source, target), readers, strict=True)]
        both = {path for path in {*sources} & {*targets} if all(reader(path) is not None for reader in readers)}
        if len(pair_by[0]) < len(pair_by[1]):
            sources = [path for path in sources if path not in both]
        elif len(pair_by[0]) > len(pair_by[1]):
            targets = [path for path in targets if path not in both]
    a, b = _by_name(sources, names[0]), _by_name(targets, names[1])
    if tree:
        shared = {PurePath(name).parent for name in a} & {PurePath(name).parent for name in b}
        a, b = ({name: path for name, path in side.items() if PurePath(name).parent in shared} for side in (a, b))
    if not a.keys() & b.keys():
        how = "the same file names without extension" if pair_by is None else f"names like {' and '.join(pair_by)}"
        raise ValueError(
            f"Sources and targets must have {how}; no name is in both {source} and {target}. "
            "Rename the files, or say how they are named with `pair_by`."
        )
    if single := sorted(a.keys() ^ b.keys()):
        sides = {name: "target" if name in a else "source" for name in single}
        if alone is None:
            more = f" (and {len(single) - 1} more without a partner)" if len(single) > 1 else ""
            raise ValueError(
                f"Each source must have a target of the same name; {single[0]} has no {sides[single[0]]}{more}."
            )
        alone |= {name: f"{name} is left out: it has no {side} of the same name." for name, side in sides.items()}
    return {name: (a[name], b[name]) for name in sorted(a.keys() & b.keys())}


def open_joined(path: Path, more: Sequence[Path], axes: str | None = None, half: str | None = None) -> Stack:
    """The stack in `path` with the channels of the files `more` appended; `axes` are of all that have as many."""
    parts = [open_stack(path, axes, half)]
    for other in more:
        stack = open_stack(other)
        parts.append(open_stack(other, axes) if axes and len(axes) == len(stack.axes) else stack)
    return join_stacks(parts)


def further_paths(more: Sequence[str], names: Sequence[str], *, tree: bool | None = None) -> dict[str, list[Path]]:
    """For each of these names its file in each of the files, folders or patterns `more`.

    The name of a file is its own, without extension; in a pattern with one star, what that stands for. A single file
    for a single name needs no name. With `tree` those in subfolders count, too, named ``subfolder/name``.

    Raises
    ------
    FileNotFoundError
        If there are no images.
    ValueError
        If a name has no file.
    """
    found: dict[str, list[Path]] = {name: [] for name in names}
    names = list(found)
    for path in more:
        files = list_images(path, tree=tree)
        by_name = _by_name(files, named_as(path))
        if len(files) == len(names) == 1:
            by_name = {names[0]: files[0]}
        if missing := [name for name in names if name not in by_name]:
            raise ValueError(
                f"Each image must have a file of its name for further channels in {path}; {missing[0]} has none. "
                "Add it, or say with a pattern what files are called, like 'folder/*_phase.tif'."
            )
        for name in names:
            found[name].append(by_name[name])
    return found


def named_as(path: Path | str) -> Callable[[Path], str]:
    """A function that names the images that `path` means: what its star stands for, else as the files are called.

    Below a folder, the subfolder is part of the name: ``subfolder/name``. Where a pattern has stars in its folders, the
    name is what all its stars stand for, a ``/`` between.
    """
    if _has_folder_stars(path) and (divided := _divided(path)):
        folder, pattern = divided
        shape = _shape(pattern)

        def between(file: Path) -> str:
            match = shape.fullmatch(file.relative_to(folder).as_posix())
            return _stemmed("/".join(part for part in match.groups() if part)) if match else stem(file)

        return between
    pattern = Path(path).name
    if pattern.count("*") != 1 or any(sign in pattern for sign in "?["):
        return lambda file: _same_form(place_below(path, file).with_name(stem(file)).as_posix())
    before, after = pattern.split("*")
    return lambda file: _stemmed(file.name[len(before) : len(file.name) - len(after)])


def _has_folder_stars(path: Path | str) -> bool:
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
    return _same_form(stem(Path(name)) if name.lower().endswith(SUFFIXES) else name)


def _same_form(name: str) -> str:
    """The name in one encoding: file systems keep an accented letter as one character or as two."""
    return unicodedata.normalize("NFC", name)


def _placed(given: Path | str, name_of: Callable[[Path], str | None]) -> Callable[[Path], str | None]:
    """`name_of` with the subfolder of `given` that a file lies in before it."""

    def placed(file: Path) -> str | None:
        name = name_of(file)
        return None if name is None else _same_form((place_below(given, file).parent / name).as_posix())

    return placed


def _read_through(stack: Stack) -> None:
    """Raise if a frame cannot be decoded."""
    for frame in range(stack.plan.n_frames):
        stack.plan.take(stack.array, frame)


def by_names(path: Path | str) -> dict[str, Path]:
    """The images that `path` means, by what each is called and, if it is a pattern, by what its star stands for."""
    files = list_images(path)
    return _by_name(files, _placed(path, stem)) | _by_name(files, named_as(path))


def _by_name(files: list[Path], name_of: Callable[[Path], str | None]) -> dict[str, Path]:
    by_name: dict[str, Path] = {}
    for path in files:
        name = name_of(path)
        if name is not None and (other := by_name.setdefault(name, path)) != path:
            raise ValueError(f"File names without extension must differ; {other.name} and {path.name} do not.")
    return by_name


def _pattern(pattern: str) -> Callable[[Path], str | None]:
    """A function that gives what `*` stands for in a file's name without extension; None where it does not match."""
    if pattern.count("*") != 1:
        raise ValueError(f"A pattern for names must have one * for what pairs share, like *_dapi; got {pattern!r}.")
    before, after = map(re.escape, pattern.split("*"))
    shape = re.compile(f"{before}(.+){after}")

    def name_of(path: Path) -> str | None:
        match = shape.fullmatch(stem(path))
        return match[1] if match else None

    return name_of
