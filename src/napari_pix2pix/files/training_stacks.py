"""All pairs that a training reads from files: those that train, choose, and judge, and those of an earlier training."""

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

from napari_pix2pix.files.pairing import PairedStacks, reopen

if TYPE_CHECKING:
    from napari_pix2pix.core.model import TrainedModel


@dataclass(frozen=True)
class TrainingStacks:
    """The pairs of a training.

    Parameters
    ----------
    train, validation, test
        Which train, choose the best model, and give figures one may quote.
    old
        What the model to start from was trained on, where it is mixed in.
    """

    train: PairedStacks
    validation: PairedStacks | None = None
    test: PairedStacks | None = None
    old: PairedStacks | None = None

    def provenance(self) -> dict[str, Any]:
        """Files, hashes and settings of each; `again` opens them."""
        stacks = {part.name: getattr(self, part.name) for part in fields(self)}
        return {name: part.provenance() if part else None for name, part in stacks.items()}

    @classmethod
    def again(cls, provenance: dict[str, Any]) -> "TrainingStacks":
        """The pairs that `provenance` describes.

        Raises
        ------
        FileNotFoundError
            If one is no longer there.
        ValueError
            If one is no longer what it was.
        """
        return cls(**{name: reopen(said) for name, said in provenance.items() if said})

    def require_apart(self) -> None:
        """Raise a ValueError if a file that trains also chooses or judges."""
        kinds = (("Validation", self.validation), ("Test", self.test))
        for kind, stacks in kinds:
            for other in (self.train, self.old, self.validation if kind == "Test" else None):
                if stacks and other and other.settings.side_by_side == stacks.settings.side_by_side:
                    seen = {said["sha256"] for side in ("sources", "targets") for said in other.provenance()[side]}
                    for said in stacks.provenance()["sources"]:
                        if said["sha256"] in seen:
                            part = "train" if other is not self.validation else "choose the best model"
                            raise ValueError(
                                f"{kind} pairs must be other files than those that {part}; {said['path']} is in both."
                            )


def figures_of_old(old: "TrainedModel", new: "TrainedModel") -> tuple[str, dict[str, float], dict[str, float]]:
    """On the pairs that judged `old`: their kind, and the figures of `old` and of `new`.

    The kind is ``test`` where the old training had such pairs, else ``validation``; empty, as are the figures, where it
    had neither.

    Raises
    ------
    FileNotFoundError, ValueError
        If the files of these pairs are not there, are no longer what they were, or some of them trained `new`.
    """
    from napari_pix2pix.core.evaluation import judge
    from napari_pix2pix.core.split import windows_of

    said, rows = old.provenance.get("pairs") or {}, old.provenance.get("regions", [])
    for kind in ("test", "validation"):
        if said.get(kind):
            pairs = reopen(said[kind]).frames()
            regions = pairs.regions()
            seen = bool(
                {file["sha256"] for file in said[kind]["sources"]} & {place[0] for place in _places(new, "train")}
            )
        elif kind == "validation" and any(row["kind"] == kind for row in rows) and said.get("train"):
            pairs = reopen(said["train"]).frames()
            regions = windows_of(pairs, rows, kind)
            seen = any(_overlap(a, b) for a in _places(old, kind) for b in _places(new, "train"))
        else:
            continue
        if seen:
            raise ValueError(f"some of its {kind} pairs trained the new one.")
        return kind, *(judge(model, pairs, regions).figures for model in (old, new))  # type: ignore[return-value]
    return "", {}, {}


Place = tuple[str, int, int, int, int, int]
"""The hash of a source, a frame of it, and where the window starts and stops along Y and X."""


def _places(model: "TrainedModel", kind: str) -> list[Place]:
    """Which windows of which files were of this kind in the training of `model`."""
    said = (model.provenance.get("pairs") or {}).get("train") or {"names": [], "sources": []}
    hashes = dict(zip(said["names"], (file["sha256"] for file in said["sources"]), strict=True))
    sides = ("y_start", "y_stop", "x_start", "x_stop")
    rows = [row for row in model.provenance.get("regions", []) if row["kind"] == kind and row["name"] in hashes]
    return [(hashes[row["name"]], row["frame"], *(row[side] for side in sides)) for row in rows]


def _overlap(a: Place, b: Place) -> bool:
    return a[:2] == b[:2] and a[2] < b[3] and b[2] < a[3] and a[4] < b[5] and b[4] < a[5]
