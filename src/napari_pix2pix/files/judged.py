"""What an evaluation was made of, as it tells it: where the pairs are, and which model judged which of them."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from napari_pix2pix.core.data.pairs import PairedFrames
from napari_pix2pix.core.running.trained_model import load_model
from napari_pix2pix.core.teaching.examples import Example, shown
from napari_pix2pix.files.moved import Moved
from napari_pix2pix.files.pairing import PairedStacks, reopen


def made_of(stacks: PairedStacks, models: Mapping[Path, tuple[str, ...] | None] | None) -> dict[str, Any]:
    """What `metrics.json` tells under ``made_of``.

    Parameters
    ----------
    stacks
        The pairs.
    models
        By path of each model, the names of the pairs that judged it, or None: all. None: the sources of the pairs are
        predictions.
    """
    judges = [
        {"model": str(path.resolve()), "pairs": None if names is None else list(names)}
        for path, names in (models or {}).items()
    ] or [{"model": None, "pairs": None}]
    return {"pairs": stacks.provenance(), "judges": judges}


@dataclass(frozen=True)
class Judged:
    """An evaluation whose images can be predicted once more.

    Parameters
    ----------
    report
        What was found.
    stacks, pairs
        What it was found on.
    judges
        Each model, None for predictions that were given, and the pairs that it judged, by name; None: all.
    """

    report: dict[str, Any]
    stacks: PairedStacks
    pairs: PairedFrames
    judges: tuple[tuple[str | None, frozenset[str] | None], ...]

    @classmethod
    def reopened(cls, report: dict[str, Any]) -> "Judged":
        """The evaluation, with the pairs that it tells of.

        Raises
        ------
        ValueError
            If it does not tell, or a file has changed.
        FileNotFoundError
            If a file is no longer there.
        """
        told = report.get("made_of")
        if not told:
            raise ValueError("an evaluation of an earlier version does not tell where its images are; evaluate again")
        try:
            stacks = reopen(told["pairs"], Moved())
            judges = tuple(
                (judge["model"], None if judge["pairs"] is None else frozenset(judge["pairs"]))
                for judge in told["judges"]
            )
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"what it was made of is damaged ({type(error).__name__} {error})") from error
        return cls(report, stacks, stacks.frames(), judges)

    @classmethod
    def of(cls, report: dict[str, Any], stacks: PairedStacks, pairs: PairedFrames) -> "Judged":
        """The evaluation that has just been made of these pairs."""
        judges = tuple(
            (judge["model"], None if judge["pairs"] is None else frozenset(judge["pairs"]))
            for judge in report["made_of"]["judges"]
        )
        return cls(report, stacks, pairs, judges)

    def examples(self, row: dict[str, Any], device: str = "auto", most: int = 1) -> Iterator[tuple[str, Example]]:
        """The image of this row as each of the first `most` of its models predicts it, by the folder of each."""
        frame = next(i for i in range(len(self.pairs)) if self.pairs.name(i) == row["name"])
        name = self.pairs.names[self.pairs.places[frame][0]]
        judges = [model for model, own in self.judges if own is None or name in own]
        for path in judges[:most]:
            model = None if path is None else load_model(Path(path), device)
            (example,) = shown([(row, "worst")], self.report, self.pairs, model, scored=False)
            yield ("prediction" if path is None else Path(path).parent.name), example

    def how(self, device: str = "cpu") -> dict[str, Any]:
        """How `report.side_by_side` is to show its images."""
        path = self.judges[0][0]
        model = None if path is None else load_model(Path(path), device)
        view = None if model is None else model.source_view
        shows = (
            "planes" if view and view.z in ("neighbours", "all") else "colours" if view and view.colours else "stains"
        )
        plan = self.pairs.target_plans[0]
        return {
            "classes": model.target_encoding.classes if model else (),
            "channels": self.stacks.target_names or [f"channel {k}" for k in range(plan.n_channels)],
            "colours": self.report["kind"] == "intensity" and plan.channel_axis == "S" and plan.n_channels == 3,
            "source_shows": shows,
        }
