"""How the pairs in files are meant: channels, planes, what is known, what belongs together."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from napari_pix2pix.core.encodings.masks import as_mask
from napari_pix2pix.core.settings.config import PairSettings, validated
from napari_pix2pix.files.areas import tissue_mask
from napari_pix2pix.files.folders import by_names, list_images
from napari_pix2pix.files.groups import read_groups
from napari_pix2pix.files.labels import Labels, conditions_of
from napari_pix2pix.files.moved import Moved
from napari_pix2pix.files.partners import PairedFiles, at_one_size, open_pairs
from napari_pix2pix.files.said import OF_DOMAINS, require_unsaid
from napari_pix2pix.files.stacks import PREDICTED, Stack, join_stacks, open_stack, sha256
from napari_pix2pix.files.stains import Stains, in_one_spelling, of_folders, of_names

if TYPE_CHECKING:
    from napari_pix2pix.core.data.pairs import PairedFrames

T = TypeVar("T")


@dataclass(frozen=True)
class PairedStacks:
    """Pairs in files, and how they are meant."""

    kind: ClassVar[str] = "pairs"

    files: PairedFiles
    settings: PairSettings
    masks: tuple[Stack, ...] = ()
    groups: tuple[str, ...] = ()
    stains: Stains | None = None
    """Which channel of each target is which; None: in all the same, by number."""
    conditions: tuple[Labels, ...] = ()
    hashed: "list[list[dict[str, Any]]] | None" = field(default=None, repr=False, compare=False)
    """Path, axes and hash of each source, target and mask, where they have been read already."""

    def frames(self, *, hashed: bool = True) -> "PairedFrames":
        """The same pairs for the core, with the hashes of their files, for which these are read.

        Raises
        ------
        ValueError
            If they do not show the same pixels, or a channel or group is missing.
        """
        from napari_pix2pix.core.data.pairs import PairedFrames  # imports torch

        said, files = self.settings, self.files
        sides = [
            ([stack.array for stack in stacks], [stack.axes for stack in stacks])
            for stacks in (files.sources, files.targets)
        ]
        pairs = PairedFrames(
            sides[0][0],
            sides[1][0],
            (sides[0][1], sides[1][1]),
            names=files.names,
            groups=self.groups or None,
            valid=[mask.array for mask in self.masks] or list(said.annotated_frames) or None,
            ignore=said.ignore_label,
            channels=(
                [channel_numbers(stack, said.source_channels) for stack in files.sources]
                if said.source_channels
                else None,
                self._target_numbers,
            ),
            z=said.z,
            source_names=self.source_names,
            target_names=self.target_names,
            hashes=[(_hashes(a), _hashes(b)) for a, b in zip(*self._identities[:2], strict=True)] if hashed else None,
            conditions={name: [labels[name] for labels in self.conditions] for name in next(iter(self.conditions), ())},
        )
        return pairs.recoded(target=as_mask) if said.foreground else pairs

    @property
    def _target_numbers(self) -> Sequence[Sequence[int | None]] | None:
        """Of the channels to take of each target; None: all."""
        if self.stains is not None:
            return self.stains.numbers
        wanted = self.settings.target_channels
        return [channel_numbers(stack, wanted) for stack in self.files.targets] if wanted else None

    @property
    def target_names(self) -> tuple[str, ...]:
        """What the channels of the targets that are taken are called; empty where nobody says."""
        return self.stains.names if self.stains else taken_names(self.files.targets[0], self.settings.target_channels)

    def like(self, names: Sequence[str]) -> "PairedStacks":
        """The same pairs, the channels of their targets in the order of these stains, of which some may be missing.

        As they are where either side has no names, or where channels are as many but called otherwise: by number.

        Raises
        ------
        ValueError
            If they miss some and have others.
        """
        numbers = self._target_numbers or [range(stack.plan.n_channels) for stack in self.files.targets]
        if self.stains:
            labels = [self.stains.names] * len(numbers)
        else:
            labels = [taken_names(stack, self.settings.target_channels) for stack in self.files.targets]
        if not names or not all(all(own) and len(set(own)) == len(own) > 0 for own in (*labels, names)):
            return self
        same = self.settings.same_names if self.stains else "different"
        spelled = in_one_spelling([*names, *(label for own in labels for label in own)], same)
        called = [[spelled[label] for label in own] for own in labels]
        if strange := [name for own in called for name in own if name not in names]:
            if self.stains is None or self.stains.all_there:
                return self
            raise ValueError(
                f"Stains must be those that were learned, {', '.join(names)}; {strange[0]} is none of them. Choose "
                "others with `target_channels`."
            )
        placed = tuple(
            tuple(each[own.index(name)] if name in own else None for name in names)
            for each, own in zip(numbers, called, strict=True)
        )
        as_is = self.stains is None and all(own == list(names) for own in called)
        return self if as_is else replace(self, stains=Stains(tuple(names), placed))

    @property
    def sides(self) -> dict[str, tuple[Stack, ...]]:
        """The stacks of either side."""
        return {"source": self.files.sources, "target": self.files.targets}

    @property
    def paths(self) -> list[Path]:
        """Every file that is read: of sources, targets and masks, with those of further channels, and the tables."""
        stacks = [*self.files.sources, *self.files.targets, *(() if self.settings.tissue else self.masks)]
        paths = [part.path for stack in stacks for part in (stack.parts or (stack,))]
        tables = map(Path, filter(None, (self.settings.groups, self.settings.condition)))
        return paths + [table for table in tables if table.suffix.lower() == ".csv"]

    def labelled(self, path: Path) -> "PairedFrames":
        """Label images in `path` that show the frames of these targets, paired with them by name.

        Raises
        ------
        FileNotFoundError
            If there are none.
        ValueError
            If one is missing, or does not show the same pixels.
        """
        from napari_pix2pix.core.data.pairs import PairedFrames

        labels, targets = _open_masks(str(path), self.files.names), self.files.targets
        axes = [stack.axes for stack in labels], [stack.axes for stack in targets]
        arrays = [stack.array for stack in labels], [stack.array for stack in targets]
        return PairedFrames(
            *arrays, axes, names=self.files.names, z="volume" if self.settings.z == "volume" else "frame"
        )

    @property
    def pixel_size_um(self) -> dict[str, float]:
        """Of the targets, or of the sources where these do not say; empty where they differ."""
        for side in (self.files.targets, self.files.sources):
            first, *others = (stack.pixel_size_um for stack in side)
            if first and all(size == first for size in others):
                return dict(first)
        return {}

    def sifted(self, require: Callable[["PairedFrames"], None]) -> "PairedStacks":
        """Those pairs that are such and that `require` does not refuse; the others join `files.skipped`.

        Raises
        ------
        ValueError
            If no pair is left.
        """
        names, skipped, kept = self.files.names, dict(self.files.skipped), []
        for i, name in enumerate(names):
            try:
                require(self.only([i]).frames(hashed=False))
                kept.append(i)
            except ValueError as error:
                if len(names) + len(skipped) == 1:
                    raise
                skipped[name] = f"{name} is left out: {error}"
        if not kept:
            raise ValueError(f"At least one pair must fit; none of {len(skipped)} does. {next(iter(skipped.values()))}")
        return self.only(kept, skipped)

    def require_each(self, require: Callable[["PairedFrames"], None]) -> None:
        """Raise a ValueError that names the first of several pairs that is none, or that `require` refuses."""
        names = self.files.names
        for i, name in enumerate(names):
            try:
                require(self.only([i]).frames(hashed=False))
            except ValueError as error:
                if len(names) == 1:
                    raise
                raise ValueError(f"{name} does not suit: {error} Or use the other pairs: `skip_bad`.") from error

    def without_bad(self) -> "PairedStacks":
        """With ``skip_bad`` only those pairs that are of one size, finite, and of as many channels as most.

        Not where frames are counted over all pairs.
        """
        if not self.settings.skip_bad or self.settings.annotated_frames:
            return self

        def require_finite(pair: "PairedFrames") -> None:
            pair.require_finite()

        whole = self.sifted(require_finite)
        usual, _ = Counter(
            whole.only([i]).frames(hashed=False).n_channels for i in range(len(whole.files.names))
        ).most_common(1)[0]

        def require_usual(pair: "PairedFrames") -> None:
            if pair.n_channels != usual:
                told = " and ".join(f"{n} of the {side}" for n, side in zip(pair.n_channels, whole.sides, strict=True))
                most = " and ".join(map(str, usual))
                raise ValueError(f"Pairs must have the channels of most, {most}; got {told}. Choose channels.")

        return whole.sifted(require_usual)

    def only(self, kept: list[int], skipped: dict[str, str] | None = None) -> "PairedStacks":
        """These of the pairs, by number; files that were read for their hashes are not read again."""

        def only(side: tuple[T, ...]) -> tuple[T, ...]:
            return tuple(side[i] for i in kept) if side else ()

        files = self.files
        left = PairedFiles(only(files.names), only(files.sources), only(files.targets), skipped or {})
        stains = self.stains.only(kept) if self.stains else None
        known = self.__dict__.get("_identities", self.hashed)
        hashed = [list(only(tuple(side))) for side in known] if known else None
        further = stains, only(self.conditions), hashed
        return PairedStacks(left, self.settings, only(self.masks), only(self.groups), *further)

    @cached_property
    def _identities(self) -> list[list[dict[str, Any]]]:
        """Path, axes and hash of each source, target and mask."""
        if self.hashed is not None:
            return self.hashed
        known: dict[Path, str] = {}  # of images side by side, one file is both
        masks = () if self.settings.tissue else self.masks  # which are no files
        sides = self.files.sources, self.files.targets, masks
        return [[identity_of(stack, known) for stack in side] for side in sides]

    @property
    def source_names(self) -> list[tuple[str, ...]]:
        """For each source what the channels that are taken are called; empty where the file does not say."""
        return [taken_names(stack, self.settings.source_channels) for stack in self.files.sources]

    def provenance(self) -> dict[str, Any]:
        """Files, hashes and settings, for the run folder and the model; `reopen` reads them again."""
        return {
            **dict(zip(("sources", "targets", "masks"), self._identities, strict=True)),
            "names": list(self.files.names),
            "groups": list(self.groups),
            **({"conditions": [dict(labels) for labels in self.conditions]} if self.conditions else {}),
            "settings": self.settings.model_dump(mode="json", exclude_defaults=True),
            "target_channels": list(self.target_names),
            "pixel_size_um": self.files.sources[0].pixel_size_um,
        } | ({"stains": [list(own) for own in self.stains.numbers]} if self.stains else {})


def open_stacks(source: Path | str, target: Path | str | None, settings: PairSettings) -> PairedStacks:
    """The pairs in two files, two folders or side by side in one.

    Raises
    ------
    FileNotFoundError
        If there are no images.
    ValueError
        If they do not pair up, a file cannot be read, or the settings contradict each other.
    """
    if settings.valid and settings.annotated_frames:
        raise ValueError("What is known must be said once: give `valid` or `annotated_frames`, not both.")
    if settings.tissue and (settings.valid or settings.annotated_frames):
        raise ValueError("What is known must be said once: give `tissue`, `valid` or `annotated_frames`, one of them.")
    require_unsaid(settings, "Pairs", *OF_DOMAINS)
    files = open_pairs(
        source,
        target,
        settings.source_axes,
        settings.target_axes,
        side_by_side=settings.side_by_side,
        pair_by=settings.pair_by,
        more=(settings.source_more, settings.target_more),
        skip_bad=settings.skip_bad,
        pixel_size_um=settings.pixel_size_um,
    )
    masks = _open_masks(settings.valid, files.names) if settings.valid else ()
    if settings.tissue:
        masks = tuple(tissue_mask(stack) for stack in files.sources)
    groups = tuple(read_groups(settings.groups, files.names)) if settings.groups else ()
    conditions: tuple[Labels, ...] = ()
    if settings.condition:
        paths = dict(zip(files.names, (stack.path for stack in files.sources), strict=True))
        conditions = conditions_of(settings.condition, paths, partly=True, further=True)
    return PairedStacks(files, settings, masks, groups, _stains_of(files, settings), conditions)


def _stains_of(files: PairedFiles, settings: PairSettings) -> Stains | None:
    wanted, same = settings.target_channels, settings.same_names
    names = [stack.channel_names for stack in files.targets]
    unnamed = not all(all(own) and len(set(own)) == len(own) > 0 for own in names)
    if files.folders and (unnamed or len(set(files.places)) > 1):
        return of_folders(files.targets, files.names, files.places, files.folders, wanted, same)
    return of_names(files.targets, wanted, same)


def reopen(provenance: dict[str, Any], moved: Moved | None = None) -> PairedStacks:
    """The pairs that `PairedStacks.provenance` describes, where they were or `moved` to.

    Raises
    ------
    FileNotFoundError
        If one is no longer there.
    ValueError
        If one is no longer what it was.
    """
    if {len(provenance[side]) for side in ("sources", "targets", "names")} != {len(provenance["names"])}:
        raise ValueError("An earlier training must tell as many names as sources and targets; it tells others.")
    sides, found, look = [], [], moved or Moved()
    for side in ("sources", "targets", "masks"):
        stacks = []
        for said in provenance[side]:
            parts = [(found_again(part, look), part) for part in (said, *said.get("more", ()))]
            found += parts
            stacks.append(join_stacks([stack for stack, _ in parts]))
        sides.append(tuple(stacks))
    settings = validated(PairSettings, provenance["settings"])
    if any(stack.read_at_um is not None for stack in sides[0]):
        each = [at_one_size(a, b, a.read_at_um) for a, b in zip(sides[0], sides[1], strict=True)]
        sides[:2] = [tuple(pair[i] for pair in each) for i in (0, 1)]
    files = PairedFiles(tuple(provenance["names"]), sides[0], sides[1])
    known = {stack.path.resolve(): said["sha256"] for stack, said in found}
    hashed = [[identity_of(stack, known) for stack in side] for side in sides]
    if settings.tissue:
        sides[2] = tuple(tissue_mask(stack) for stack in sides[0])
    stains = None
    if numbers := provenance.get("stains"):
        stains = Stains(tuple(provenance["target_channels"]), tuple(map(tuple, numbers)))
        if len(numbers) != len(files.names) or any(len(own) != len(stains.names) for own in numbers):
            raise ValueError("An earlier training must tell the stains of each target; it tells others.")
    conditions = tuple(provenance.get("conditions", ()))
    if conditions and len(conditions) != len(files.names):
        raise ValueError("An earlier training must tell as many classes as pairs; it tells others.")
    return PairedStacks(files, settings, sides[2], tuple(provenance["groups"]), stains, conditions, hashed)


def channel_numbers(stack: Stack, wanted: tuple[str, ...]) -> list[int]:
    """The numbers of these channels of `stack`, by name or number; none for all.

    Raises
    ------
    ValueError
        If there is no such channel.
    """
    count = stack.plan.length("C") * stack.plan.length("S")
    found = []
    for channel in wanted:
        if channel in stack.channel_names:
            found.append(stack.channel_names.index(channel))
        elif channel.isdecimal() and int(channel) < count:
            found.append(int(channel))
        else:
            named = f" or a name of {', '.join(stack.channel_names)}" if stack.channel_names else ""
            raise ValueError(
                f"A channel of {stack.path} must be a number from 0 to {count - 1}{named}; got {channel!r}."
            )
    return found


def taken_names(stack: Stack, wanted: tuple[str, ...]) -> tuple[str, ...]:
    """What the `wanted` channels, or all, are called; empty where the file does not say."""
    count = stack.plan.length("C") * stack.plan.length("S")
    numbers = channel_numbers(stack, wanted) or range(count)
    return tuple(stack.channel_names[i] for i in numbers) if len(stack.channel_names) == count else ()


def predicted_names(stacks: PairedStacks) -> tuple[str, ...]:
    """What is predicted in the channels of the sources, where these are predictions; empty where they do not say."""
    return tuple(name.removesuffix(PREDICTED) for name in stacks.source_names[0])


def _open_masks(path: str, names: tuple[str, ...]) -> tuple[Stack, ...]:
    """The mask for each name; a single mask for a single pair needs no name."""
    found = list_images(path)
    if len(found) == len(names) == 1:
        return (open_stack(found[0]),)
    by_name = by_names(path)
    missing = [name for name in names if name not in by_name]
    if missing:
        raise ValueError(f"Each pair must have a mask of its name in {path}; {missing[0]} has none. Add it.")
    return tuple(open_stack(by_name[name]) for name in names)


def identity_of(stack: Stack, known: dict[Path, str]) -> dict[str, Any]:
    """Where to find the stack again; `more` are the further files of its channels. Hashes join those `known`."""
    if stack.parts:
        first, *more = (identity_of(part, known) for part in stack.parts)
        return first | {"more": more}
    path = stack.path.resolve()
    if path not in known:
        known[path] = sha256(path)
    said: dict[str, Any] = {"path": str(path), "axes": stack.axes, "sha256": known[path]}
    said |= {"read_at_um": stack.read_at_um} if stack.read_at_um is not None else {}
    return said | ({"half": stack.half} if stack.half else {})


def _hashes(identity: dict[str, Any]) -> str:
    """Of all its files, a space between."""
    return " ".join(said["sha256"] for said in (identity, *identity.get("more", ())))


def found_again(identity: dict[str, Any], moved: Moved) -> Stack:
    """The stack of this identity, where it was or `moved` to."""
    path = moved.place_of(Path(identity["path"]), identity["sha256"])
    return open_stack(path, identity["axes"], identity.get("half"), identity.get("read_at_um"))
