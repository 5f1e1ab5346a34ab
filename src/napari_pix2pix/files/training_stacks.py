"""All pairs that a training reads from files: those that train, choose and judge, and those of an earlier training."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_pix2pix.files.domains import DomainStacks
from napari_pix2pix.files.images import ImageStacks
from napari_pix2pix.files.labels import conditions_of
from napari_pix2pix.files.moved import Moved
from napari_pix2pix.files.pairing import PairedStacks, open_stacks
from napari_pix2pix.files.pairing import reopen as reopen_pairs
from napari_pix2pix.files.unpaired import UnpairedStacks

OTHERS: dict[str, Any] = {"unpaired": UnpairedStacks, "domains": DomainStacks, "images": ImageStacks}
"""What methods learn from that is no pairs, by its kind."""

if TYPE_CHECKING:
    from napari_pix2pix.core.running.trained_model import TrainedModel


@dataclass(frozen=True)
class Sides:
    """Where the pairs of one kind are: their sources, targets, and further channels of either."""

    source: Path
    target: Path | None
    source_more: tuple[str, ...] = ()
    target_more: tuple[str, ...] = ()


@dataclass(frozen=True)
class TrainingStacks:
    """The pairs of a training, or what it learns from instead.

    Parameters
    ----------
    train, validation, test
        Which train, choose the best model, and give figures one may quote; the latter two are always pairs.
    old
        What the model to start from was trained on, where it is mixed in.
    """

    train: PairedStacks | UnpairedStacks | DomainStacks | ImageStacks
    validation: PairedStacks | None = None
    test: PairedStacks | None = None
    old: PairedStacks | None = None

    @classmethod
    def open(
        cls,
        train: PairedStacks | UnpairedStacks | DomainStacks | ImageStacks,
        validation: Sides | None,
        test: Sides | None,
        initial: "TrainedModel | None",
        with_old: bool,
        moved: Moved | None = None,
    ) -> "TrainingStacks":
        """The pairs in these places; validation and test pairs are read as those that train are.

        Raises
        ------
        ValueError
            If they cannot be read so, or a file or group is in two kinds.
        """
        if isinstance(train, PairedStacks):
            train = train.like(target_names_of(initial))
        said, judges = train.settings, {}
        if isinstance(train, DomainStacks | ImageStacks) and (validation or test):
            what = "Images of several domains" if isinstance(train, DomainStacks) else "Images from nothing"
            raise ValueError(f"{what} have no pairs to be judged by; leave these out.")
        for kind, sides in (("validation", validation), ("test", test)):
            if sides is None:
                continue
            if (sides.target is None) != bool(said.side_by_side):
                raise ValueError(f"Pairs must have both sides: give `{kind}_source` and `{kind}_target`.")
            if said.valid and not Path(said.valid).is_dir():
                raise ValueError(
                    f"Where {kind} pairs are given, `valid` must be a folder of masks for all pairs, by name; got the "
                    f"file {said.valid}."
                )
            more = {"source_more": sides.source_more, "target_more": sides.target_more, "annotated_frames": ()}
            own = said.model_copy(update=more)
            judges[kind] = _like(open_stacks(sides.source, sides.target, own), train, kind).without_bad()
        old = None
        if with_old:
            if not isinstance(train, PairedStacks):
                raise ValueError("Old pairs must be mixed with pairs; here there are none. Leave `with_old_pairs` out.")
            pairs = initial.provenance.get("pairs") if initial else None
            if not pairs or not pairs.get("train"):
                raise ValueError("Old pairs must be those of a model trained from files; give one with `from`.")
            old = reopen_pairs(pairs["train"], moved).like(train.target_names)
        if isinstance(train, PairedStacks) and said.condition:
            require_conditions_there(said.condition, [train, *judges.values()])
        stacks = cls(train, judges.get("validation"), judges.get("test"), old)
        stacks.require_apart(initial)
        return stacks

    def require_apart(self, initial: "TrainedModel | None") -> None:
        """Raise a ValueError if a file or a group is of two kinds, or has trained the model to start from."""
        rows = initial.provenance.get("seen", []) + initial.provenance.get("regions", []) if initial else []
        seen = {row["source_sha256"] for row in rows if row["kind"] == "train" and "source_sha256" in row}
        verbs = {"train": self.train, "choose the best model": self.validation, "give test figures": self.test}
        taken: list[tuple[str, set[str], set[str]]] = []
        for verb, stacks in verbs.items():
            if stacks is None:
                continue
            told = stacks.provenance()
            files = told["sources"] + ([] if isinstance(stacks, PairedStacks) else told["targets"])
            paths = {said["sha256"]: said["path"] for said in files}
            groups = set(stacks.groups)
            for other, hashes, others in taken:
                if both := hashes & paths.keys():
                    raise ValueError(
                        f"Pairs that {verb} must be other files than those that {other}; {paths[min(both)]} is in both."
                    )
                if both := others & groups:
                    raise ValueError(
                        f"Pairs that {verb} must be of other groups than those that {other}; {min(both)} is in both."
                    )
            taken.append((verb, set(paths), groups))
            if verb == "train":
                taken.append(("trained the model to start from", seen, set()))

    @property
    def paths(self) -> list[Path]:
        """Every file that is read."""
        return [path for part in fields(self) for path in getattr(getattr(self, part.name), "paths", ())]

    def provenance(self) -> dict[str, Any]:
        """Files, hashes and settings of each; `again` opens them."""
        stacks = {part.name: getattr(self, part.name) for part in fields(self)}
        return {name: part.provenance() if part else None for name, part in stacks.items()}

    @classmethod
    def again(cls, provenance: dict[str, Any], moved: Moved | None = None) -> "TrainingStacks":
        """The pairs that `provenance` describes, where they were or `moved` to.

        Raises
        ------
        FileNotFoundError
            If one is no longer there.
        ValueError
            If one is no longer what it was, or the training did not read files.
        """
        if not provenance.get("train"):
            raise ValueError("A run to resume here must have read its pairs from files; resume this one from Python.")
        said = {part.name: provenance.get(part.name) for part in fields(cls)}
        return cls(**{name: reopen(part, moved) for name, part in said.items() if part})


def target_names_of(model: "TrainedModel | None") -> tuple[str, ...]:
    """What the channels of the targets were called that the model learned from files; empty where they had no names."""
    pairs = model.provenance.get("pairs") if model else None
    return tuple(((pairs or {}).get("train") or {}).get("target_channels") or ())


def _like(judges: PairedStacks, train: Any, kind: str) -> PairedStacks:
    """Pairs that judge, with the stains of those that train."""
    try:
        return judges.like(train.target_names) if isinstance(train, PairedStacks) else judges
    except ValueError as error:
        raise ValueError(f"The {kind} pairs do not suit: {error}") from error


def require_conditions_there(condition: str, among: Sequence[PairedStacks]) -> None:
    """Raise a ValueError if a table of conditions names something that is none of these pairs, nor left out."""
    paths: dict[str, Path] = {}
    for stacks in among:
        paths |= {name: Path(name) for name in stacks.files.skipped}
        paths |= dict(zip(stacks.files.names, (stack.path for stack in stacks.files.sources), strict=True))
    conditions_of(condition, paths, partly=True)


def reopen(said: dict[str, Any], moved: Moved | None = None) -> Any:
    """The stacks that `provenance` of `PairedStacks` or one of `OTHERS` describes; raises what theirs do."""
    if said.get("kind") in OTHERS:
        return OTHERS[said["kind"]].reopen(said, moved)
    return reopen_pairs(said, moved)


def figures_of_old(old: "TrainedModel", new: "TrainedModel", moved: Moved | None = None) -> dict[str, Any]:
    """On the pairs that judged `old`: their ``kind``, and the figures ``before`` (of `old`) and ``after`` (of `new`).

    They are read where they were or `moved` to. The kind is ``test`` where the old training had such pairs, else
    ``validation``; nothing where it had neither.

    Raises
    ------
    FileNotFoundError, ValueError
        If the files of these pairs are not there, are no longer what they were, or some of them trained `new`.
    """
    from napari_pix2pix.core.data.emptiness import judged_as, settle_empty
    from napari_pix2pix.core.data.split import met, windows_of
    from napari_pix2pix.core.evaluation.codings import in_one_coding
    from napari_pix2pix.core.evaluation.headlines import judge

    said, rows = old.provenance.get("pairs") or {}, old.provenance.get("regions", [])
    trained = [row for row in new.provenance["regions"] if row["kind"] == "train"]
    for kind in ("test", "validation"):
        judging = [row for row in rows if row["kind"] == kind]
        if said.get(kind):
            files = {file["sha256"] for file in said[kind]["sources"]}
            seen = any(row.get("source_sha256") in files for row in trained)
        elif judging and said.get("train"):
            if said["train"].get("kind") in OTHERS:
                continue  # what was held out is no pairs
            seen = any(map(met(trained), judging))
        else:
            continue
        if seen:
            raise ValueError(f"some of its {kind} pairs trained the new one.")
        pairs = reopen(said[kind] or said["train"], moved).frames()
        pairs, _ = in_one_coding(pairs, old.target_encoding)
        everywhere = range(pairs.n_channels[1])
        pairs = settle_empty(pairs, *judged_as(old.config), old.target_encoding.kind, varying=everywhere)
        regions = pairs.regions() if said.get(kind) else windows_of(pairs, judging, kind)
        before, after = (judge(model, pairs, regions).figures for model in (old, new))
        return {"kind": kind, "before": before, "after": after}
    return {}
