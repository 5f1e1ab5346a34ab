"""Which files belong together: sources and targets, and further channels of either."""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePath

from napari_pix2pix.files.folders import each_by_name, has_folder_stars, in_one_form, list_images, named_as, placed_as
from napari_pix2pix.files.readers.lazy import LazyArray, is_slide
from napari_pix2pix.files.readers.levels import ALIKE
from napari_pix2pix.files.readers.turned import without_last
from napari_pix2pix.files.stacks import Stack, join_stacks, open_stack, stack_at, stem
from napari_pix2pix.files.stains import apart, called

LEFT_OVER = 2
"""By how many px slides of one section at one pixel size may differ in size."""


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
    places, folders
        Where targets lie in several folders: for each the numbers of those in which it has a file, and what the folders
        call the stain that is in them. Else empty.
    """

    names: tuple[str, ...]
    sources: tuple[Stack, ...]
    targets: tuple[Stack, ...]
    skipped: dict[str, str] = field(default_factory=dict)
    places: tuple[tuple[int, ...], ...] = ()
    folders: tuple[str, ...] = ()


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
    pixel_size_um: float | None = None,
) -> PairedFiles:
    """The pairs of `named_pairs` as stacks.

    Parameters
    ----------
    source, target
        Files, folders or patterns. With `side_by_side`, only the source; with `pair_by`, the target defaults to it.
    source_axes, target_axes
        Where the files do not say, or say it wrongly.
    side_by_side
        ``"left"`` or ``"right"``: each image holds both, the source on this side.
    pair_by
        Patterns for the names of sources and targets, see `named_pairs`.
    more
        Files, folders or patterns for further channels of sources and targets, see `further_paths`.
    skip_bad
        Whether to leave out the pairs that cannot be read, for which all of them are read once. The default refuses
        them, since nobody should miss them.
    pixel_size_um
        As in `at_one_size`.

    Raises
    ------
    FileNotFoundError
        If there are no images.
    ValueError
        If they do not pair up, or a file cannot be read.
    """
    halves: tuple[str | None, str | None] = (None, None)
    skipped: dict[str, str] = {}
    targets = source if target is None else target
    if side_by_side is not None:
        if target is not None or pair_by is not None:
            raise ValueError("Images side by side must come from one path; leave out the target and `pair_by`.")
        halves = halved(side_by_side)
        images = each_by_name(list_images(source), placed_as(source, stem))
        sides = images, images
    elif target is None and pair_by is None:
        raise ValueError("A source must have a target, unless both are side by side in one image (`side_by_side`).")
    else:
        a, b = named_sides(source, targets, pair_by)
        sides = dict(sorted(a.items())), b
    alone = skipped if skip_bad else None
    if more[1] or side_by_side:
        stained = stained_paths(*sides, more[1], (source, targets), alone)
    else:
        if not skip_bad and sides[0].keys() & sides[1].keys() and (single := sides[0].keys() ^ sides[1].keys()):
            raise ValueError(f"{without_partner(sides[0], single)} Or use the other pairs: `skip_bad`.")
        stained = {name: [b] for name, (_, b) in paired(*sides, (source, targets), pair_by, alone).items()}
    further = further_paths(more[0], list(stained))
    pairs, places = {}, []
    for name, paths in stained.items():
        try:
            pair = (
                open_joined(sides[0][name], further[name], source_axes, halves[0]),
                _open_stained(paths, target_axes, halves[1]),
            )
            pair = at_one_size(*pair, pixel_size_um)
            if skip_bad and len(stained) + len(skipped) > 1:
                for stack in pair:
                    _read_through(stack)
            pairs[name] = pair
            places.append(tuple(place for place, path in enumerate(paths) if path))
        except (ValueError, OSError) as error:
            if len(stained) + len(skipped) == 1:
                raise
            if not skip_bad:
                raise ValueError(f"{error} Or use the other pairs: `skip_bad`.") from error
            skipped[name] = f"{name} is left out: {error}"
    if not pairs:
        raise ValueError(
            f"At least one pair must be readable; none of {len(skipped)} is. {next(iter(skipped.values()))}"
        )
    opened, their_targets = zip(*pairs.values(), strict=True)
    if not more[1]:
        return PairedFiles(tuple(pairs), opened, their_targets, skipped)
    folders = called(targets, pair_by and pair_by[1]), *map(called, more[1])
    named_apart = apart(folders, [targets, *more[1]])
    return PairedFiles(tuple(pairs), opened, their_targets, skipped, tuple(places), named_apart)


def at_one_size(source: Stack, target: Stack, pixel_size_um: float | None = None) -> tuple[Stack, Stack]:
    """Source and target with pixels of this size, µm: slides of one section, whatever level each was scanned at.

    None: where one is a slide and their sizes differ, the coarser of the two, else as they are. Where
    levels that are of that size to 1 % differ, both have exactly that of the coarser. What rounding leaves over at the
    lower and right border, a pixel or two, is cut off.

    Raises
    ------
    ValueError
        As `at_pixel_size`.
    """
    sides = source, target
    if pixel_size_um is None and any(is_slide(side.path) for side in sides):
        known = [max(side.pixel_size_um.get(axis, 0.0) for axis in "YX") for side in sides]
        if min(known) and max(known) > (1 + ALIKE) * min(known):
            pixel_size_um = max(known)
    if pixel_size_um is None:
        return sides
    source, target = (stack_at(side, pixel_size_um) for side in sides)
    if any(abs(source.plan.length(axis) - target.plan.length(axis)) > LEFT_OVER for axis in "YX"):
        got = max(side.pixel_size_um[axis] for side in (source, target) for axis in "YX")  # to 1 % that asked for
        source, target = (stack_at(side, got, exactly=True) for side in sides)
    for axis in "YX":
        ours, theirs = (side.plan.length(axis) for side in (source, target))
        if ours != theirs and abs(ours - theirs) <= LEFT_OVER:
            source, target = (_cut(side, axis, min(ours, theirs)) for side in (source, target))
    return source, target


def _cut(stack: Stack, axis: str, length: int) -> Stack:
    over = stack.plan.length(axis) - length
    if not over or not isinstance(stack.array, LazyArray):
        return stack
    array, axes = without_last(stack.array, stack.axes, axis, over)
    return replace(stack, array=array, axes=axes)


def halved(side: str | None) -> tuple[str | None, str | None]:
    """The halves that source and target are, where the source is on this side; None for whole images."""
    if side not in ("left", "right", None):
        raise ValueError(f"The source must be the left or the right of two images; got {side!r}.")
    return (side, {"left": "right", "right": "left"}[side]) if side else (None, None)


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
    """The pairs in two files, or in two folders by file name without extension, by their names; no file is opened.

    Subfolders are read where the folder itself holds no image, and a pattern with stars in its folders names pairs by
    what all its stars stand for. Names that look alike are the same, however they are encoded.

    Parameters
    ----------
    source, target
        Files, folders or patterns.
    pair_by
        A pattern for the names of sources, one for those of targets, like ``("*_bf", "*_dapi")``: what `*` stands for
        is the name of the pair, and files that do not match are no part of it. A file that both match is of the side
        whose pattern says more.
    tree
        Whether those in subfolders are meant in any case, named ``subfolder/name``; subfolders that only one side has
        are left out.
    leave_out, out
        As in `list_images`.
    alone
        If given, a file without a partner gets a sentence in it, by its name, and the others are paired.

    Raises
    ------
    FileNotFoundError
        If there are no images.
    ValueError
        If no name is on both sides, or, without `alone`, a source has no target or a target no source.
    """
    a, b = named_sides(source, target, pair_by, tree=tree, leave_out=leave_out, out=out)
    return paired(a, b, (source, target), pair_by, alone)


def named_sides(
    source: Path | str,
    target: Path | str,
    pair_by: tuple[str, str] | None = None,
    *,
    tree: bool | None = None,
    leave_out: Sequence[Path] = (),
    out: Path | None = None,
) -> tuple[dict[str, Path], dict[str, Path]]:
    """The sources and the targets of `named_pairs`, each by its name; those of no partner are among them."""
    closed = (*leave_out, Path(source), Path(target))
    sources, targets = (list_images(path, tree=tree, leave_out=closed, out=out) for path in (source, target))
    if pair_by is None and len(sources) == len(targets) == 1:
        name = in_one_form(stem(sources[0]))
        return {name: sources[0]}, {name: targets[0]}
    if pair_by is None:
        names = [named_as(path) if has_folder_stars(path) else placed_as(path, stem) for path in (source, target)]
    else:
        readers = [_pattern(pattern) for pattern in pair_by]
        names = [placed_as(path, reader) for path, reader in zip((source, target), readers, strict=True)]
        both = {path for path in {*sources} & {*targets} if all(reader(path) is not None for reader in readers)}
        if len(pair_by[0]) < len(pair_by[1]):
            sources = [path for path in sources if path not in both]
        elif len(pair_by[0]) > len(pair_by[1]):
            targets = [path for path in targets if path not in both]
    a, b = each_by_name(sources, names[0]), each_by_name(targets, names[1])
    if tree:
        shared = {PurePath(name).parent for name in a} & {PurePath(name).parent for name in b}
        a, b = ({name: path for name, path in side.items() if PurePath(name).parent in shared} for side in (a, b))
    return a, b


def paired(
    a: dict[str, Path],
    b: dict[str, Path],
    given: tuple[Path | str, Path | str],
    pair_by: tuple[str, str] | None = None,
    alone: dict[str, str] | None = None,
) -> dict[str, tuple[Path, Path]]:
    """The sources `a` and targets `b` of the same names, in order; raises what `named_pairs` does."""
    if not a.keys() & b.keys():
        how = "the same file names without extension" if pair_by is None else f"names like {' and '.join(pair_by)}"
        raise ValueError(
            f"Sources and targets must have {how}; no name is in both {given[0]} and {given[1]}. "
            "Rename the files, or say how they are named with `pair_by`."
        )
    if single := sorted(a.keys() ^ b.keys()):
        if alone is None:
            raise ValueError(without_partner(a, single))
        sides = {name: "target" if name in a else "source" for name in single}
        alone |= {name: f"{name} is left out: it has no {side} of the same name." for name, side in sides.items()}
    return {name: (a[name], b[name]) for name in sorted(a.keys() & b.keys())}


def without_partner(a: dict[str, Path], single: Iterable[str]) -> str:
    """The sentence for these names, each of a source (`a`) or a target without the other."""
    first, *others = sorted(single)
    more = f" (and {len(others)} more without a partner)" if others else ""
    side = "target" if first in a else "source"
    return (
        f"Each source must have a target of the same name; {first} has no {side}{more}. Add it, or move the other away."
    )


def stained_paths(
    sources: dict[str, Path],
    targets: dict[str, Path],
    more: Sequence[str],
    given: tuple[Path | str, Path | str],
    alone: dict[str, str] | None = None,
) -> dict[str, list[Path | None]]:
    """For each source its file among the targets and in each of the files, folders or patterns `more`, named as there.

    None where there is none: the image was not stained for it.

    Raises
    ------
    FileNotFoundError
        If one of these has no images.
    ValueError
        If a source has none at all, unless `alone` is given, or one is in a folder that lacks another and is of no
        source, as where its name is misspelt.
    """
    folders = [targets]
    for further in more:
        files = list_images(further)
        by_name = each_by_name(files, named_as(further))
        folders.append({next(iter(sources)): files[0]} if len(files) == len(sources) == 1 else by_name)
    for path, folder in zip((given[1], *more), folders, strict=True):
        missing, strange = sorted(sources.keys() - folder.keys()), sorted(folder.keys() - sources.keys())
        if strange and (missing or folder is targets):
            if folder is targets and alone is not None:
                alone |= {name: f"{name} is left out: it has no source of the same name." for name in strange}
                continue
            lacking = f", and {missing[0]} has no file there" if missing else ""
            raise ValueError(
                f"Each file of a stain must be called as its source; {strange[0]} in {path} has no source{lacking}. "
                "Rename it, or move it away."
            )
    found: dict[str, list[Path | None]] = {name: [f.get(name) for f in folders] for name in sources}
    if none := [name for name, paths in found.items() if not any(paths)]:
        if alone is None or len(none) == len(found):
            several = f" (and {len(none) - 1} more)" if len(none) > 1 else ""
            raise ValueError(
                f"Each source must be stained for something; {none[0]}{several} has no file in "
                f"{', '.join(map(str, (given[1], *more)))}. Add one, leave it out, or say with a pattern what files "
                "are called, like 'folder/*_phase.tif'."
            )
        alone |= {name: f"{name} is left out: it has no target of the same name." for name in none}
    return {name: paths for name, paths in found.items() if any(paths)}


def open_joined(path: Path, more: Sequence[Path], axes: str | None = None, half: str | None = None) -> Stack:
    """The stack in `path` with the channels of the files `more` appended; `axes` are of all that have as many."""
    return join_stacks([open_stack(path, axes, half), *(_open_further(other, axes) for other in more)])


def _open_further(path: Path, axes: str | None) -> Stack:
    """The stack in `path`, with these axes if it has as many."""
    stack = open_stack(path)
    return open_stack(path, axes) if axes and len(axes) == len(stack.axes) else stack


def _open_stained(paths: Sequence[Path | None], axes: str | None, half: str | None) -> Stack:
    """The stack of the files that are there; `axes` are of the first, and of all that have as many."""
    first, *more = paths
    there = [path for path in more if path]
    if first is not None:
        return open_joined(first, there, axes, half)
    return join_stacks([_open_further(path, axes) for path in there])


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
        by_name = each_by_name(files, named_as(path))
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


def _read_through(stack: Stack) -> None:
    """Raise if a frame cannot be decoded."""
    for frame in range(stack.plan.n_frames):
        stack.plan.take(stack.array, frame)


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
