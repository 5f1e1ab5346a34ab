"""Which channel of each target is which stain, where targets were not all stained for the same."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from napari_pix2pix.core.data.conditions import folded
from napari_pix2pix.core.settings.config import SameNames
from napari_pix2pix.files.folders import below_pattern
from napari_pix2pix.files.stacks import Stack, stem

Labels = tuple[str, ...]
"""What the channels of a target are called."""


@dataclass(frozen=True)
class Stains:
    """What the channels of targets are called, and where each is in each target.

    Parameters
    ----------
    names
        One per stain.
    numbers
        For each target the number of each stain's channel; None where it was not stained for it.
    """

    names: Labels
    numbers: tuple[tuple[int | None, ...], ...]

    @property
    def all_there(self) -> bool:
        """Whether no target misses one."""
        return not any(None in own for own in self.numbers)

    def only(self, kept: Iterable[int]) -> "Stains":
        """Of these targets alone."""
        return Stains(self.names, tuple(self.numbers[i] for i in kept))

    def __str__(self) -> str:
        counts = [sum(own[k] is not None for own in self.numbers) for k in range(len(self.names))]
        first, *others = (f"{name} in {count}" for name, count in zip(self.names, counts, strict=True))
        return f"Stains: {', '.join([f'{first} of {len(self.numbers)} pairs', *others])}."


def of_names(targets: Sequence[Stack], wanted: Sequence[str], same: SameNames) -> Stains | None:
    """The stains that files name, where these differ in their names; None where channels are told by number.

    So they are where a file does not name all its channels, each by a name of its own; and where all have as many and
    no name is in two of them, since they name something else then. What is `wanted` may be missing in files that name
    others.

    Raises
    ------
    ValueError
        If names differ by case or spaces only and nobody says what that means.
    """
    if wanted:
        return _wanted(targets, wanted, same)
    labels = _trusted(targets)
    if labels is None or len(set(labels)) == 1:
        return None
    return arranged(labels, (), same)


def of_folders(
    targets: Sequence[Stack],
    names: Sequence[str],
    places: Sequence[Sequence[int]],
    folders: Sequence[str],
    wanted: Sequence[str],
    same: SameNames,
) -> Stains:
    """The stains of targets whose channels lie in several folders, each called as its files say, or as its folder is.

    Parameters
    ----------
    targets, names
        Of the pairs.
    places
        For each target the numbers of the folders in which it has a file.
    folders
        What each is called.
    wanted
        Stains to take, by name or number; empty: all.
    same
        What names mean that differ by case or spaces only.

    Raises
    ------
    ValueError
        If files of one folder differ in their channels without naming them, or there is no such stain.
    """
    parts = [(stack.parts or (stack,)) for stack in targets]
    own: dict[tuple[int, int], Labels] = {}  # by target and folder
    for by_file in (True, False):
        for place, folder in enumerate(folders):
            there = {i: parts[i][list(places[i]).index(place)] for i in range(len(targets)) if place in places[i]}
            said = _trusted(list(there.values())) if by_file else None
            counts = {stack.plan.n_channels: i for i, stack in there.items()}
            if said is None and len(counts) > 1:
                (a, i), (b, j), *_ = counts.items()
                raise ValueError(
                    f"Files of one stain must have the same channels; those of {folder} have {a} in {names[i]} and {b} "
                    f"in {names[j]}. Name the channels in all of these files, or take out the others."
                )
            count = next(iter(counts), 1)
            called = (folder,) if count == 1 else tuple(f"{folder} {k}" for k in range(count))
            own |= {(i, place): said[n] if said else called for n, i in enumerate(there)}
        in_folders = {(place, label) for (_, place), labels in own.items() for label in labels}
        if max(Counter(label for _, label in in_folders).values()) == 1:
            break  # else files of several folders are called alike: they say nothing of stains
    order = sorted({(place, n, label) for (_, place), labels in own.items() for n, label in enumerate(labels)})
    union = tuple(dict.fromkeys(label for *_, label in order))
    labels = [tuple(label for place in places[i] for label in own[i, place]) for i in range(len(targets))]
    chosen = [union[int(one)] if one not in union and _is_number(one, len(union)) else one for one in wanted]
    return arranged(labels, chosen or union, same)


def arranged(labels: Sequence[Labels], wanted: Sequence[str], same: SameNames) -> Stains:
    """Where each of the `wanted` stains, or all, are among these channels, by name.

    Raises
    ------
    ValueError
        If a wanted one is nowhere, a target has one twice, or names differ by case or spaces only and nobody says what
        that means.
    """
    found = [*wanted, *dict.fromkeys(label for own in labels for label in own)]
    spelled = in_one_spelling(found, same)
    names = tuple(dict.fromkeys(spelled[name] for name in wanted or found))
    own_names = [[spelled[label] for label in own] for own in labels]
    for own, said in zip(own_names, labels, strict=True):
        if twice := [a for a, b in zip(said, own, strict=True) if own.count(b) > 1 and b in names]:
            raise ValueError(
                f"A target must have each stain once; one has {' and '.join(map(repr, twice))}, which are the same. "
                "Choose `same_names` different, or name one of them otherwise."
            )
    _require_somewhere(names, own_names)
    return Stains(names, tuple(tuple(own.index(n) if n in own else None for n in names) for own in own_names))


def in_one_spelling(names: Iterable[str], same: SameNames) -> dict[str, str]:
    """For each name the first of those that differ from it by case or spaces only, if these are the same.

    Raises
    ------
    ValueError
        If there are such and nobody says whether they are.
    """
    first: dict[str, str] = {}
    spelled = {}
    for name in names:
        other = name if same == "different" else first.setdefault(folded(name), name)
        if other != name and same == "ask":
            raise ValueError(
                f"Names of stains that differ by case or spaces only must be said to be the same or different; "
                f"{other!r} and {name!r} are probably the same. Choose `same_names` same or different."
            )
        spelled[name] = other
    return spelled


def called(path: Path | str, pattern: str | None = None) -> str:
    """What the stain is called whose files `path` means: as the folder, or what stands around the stars of a pattern.

    `pattern` is for the names of the files, where they are told by one.
    """
    below = pattern or below_pattern(path)
    if below is None:
        return Path(path).name if Path(path).is_dir() else stem(Path(path))
    around = stem(Path(below)) if pattern is None else pattern
    return around.translate(str.maketrans("*?[]", "    ")).strip(" _-./") or Path(path).parent.name


def apart(names: Sequence[str], paths: Sequence[Path | str]) -> Labels:
    """These names of the stains in `paths`; where two are the same, the folders above are part of them."""
    for above in range(1, max(len(Path(path).parts) for path in paths) + 1):
        if len(set(names)) == len(names):
            break
        names = ["/".join([*Path(path).parts[-above - 1 : -1], Path(path).name]) for path in paths]
    return tuple(names)


def _trusted(stacks: Sequence[Stack]) -> list[Labels] | None:
    """What these files call their channels, where that tells stains: see `of_names`."""
    labels = [stack.channel_names for stack in stacks]
    for stack, own in zip(stacks, labels, strict=True):
        if len(own) != stack.plan.n_channels or not all(own) or len(set(own)) < len(own):
            return None
    shared = max(Counter(label for own in labels for label in own).values(), default=0) > 1
    return labels if shared or len(labels) == 1 or len(set(map(len, labels))) > 1 else None


def _wanted(targets: Sequence[Stack], wanted: Sequence[str], same: SameNames) -> Stains | None:
    labels = [stack.channel_names for stack in targets]
    counts = [stack.plan.n_channels for stack in targets]
    _require_one_stain(targets, wanted, same)
    if all(one in own or _is_number(one, n) for own, n in zip(labels, counts, strict=True) for one in wanted):
        return None
    asked = set(map(folded, wanted))
    spelled = in_one_spelling([*wanted, *(one for own in labels for one in own if folded(one) in asked)], same)
    own_names = [[spelled.get(label, label) for label in own] for own in labels]
    if all(labels):
        _require_somewhere([one for one in wanted if not one.isdecimal()], own_names)
    numbers = []
    for own, n in zip(own_names, counts, strict=True):
        found: list[int | None] = []
        for one in wanted:
            if one in own or _is_number(one, n):
                found.append(own.index(one) if one in own else int(one))
            elif own and any(one in others for others in own_names):
                found.append(None)
            else:
                return None  # whoever looks for this channel says that it is not there
        numbers.append(tuple(found))
    return Stains(tuple(wanted), tuple(numbers))


def _require_one_stain(targets: Sequence[Stack], wanted: Sequence[str], same: SameNames) -> None:
    """Raise a ValueError if a number means a channel that files, whose names tell stains, call otherwise."""
    labels = _trusted(targets) or [()] * len(targets)
    for one in wanted:
        called = {
            stack.path: one if one in own else own[int(one)]
            for stack, own in zip(targets, labels, strict=True)
            if one in own or _is_number(one, len(own))
        }
        spelled = in_one_spelling(called.values(), same)
        for file, name in called.items():
            first = next(iter(called))
            if spelled[name] != spelled[called[first]]:
                raise ValueError(
                    f"A channel chosen by number must be the same stain in all targets; {one} is {called[first]} in "
                    f"{first.name} but {name} in {file.name}. Choose channels by their names."
                )


def _require_somewhere(names: Iterable[str], own_names: Sequence[Sequence[str]]) -> None:
    """Raise a ValueError that names the first of these stains that no target has."""
    for name in names:
        if not any(name in own for own in own_names):
            there = ", ".join(dict.fromkeys(label for own in own_names for label in own))
            raise ValueError(f"A stain must be in some of the targets; {name} is in none. They have {there}.")


def _is_number(word: str, count: int) -> bool:
    return word.isdecimal() and int(word) < count
