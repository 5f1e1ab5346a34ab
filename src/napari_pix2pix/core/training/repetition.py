"""A folder of several trainings on the same pairs, by seed and fold: each is a run that goes on where it stopped."""

import hashlib
import json
import warnings
from collections.abc import Generator
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from pydantic import Field

from napari_pix2pix.core.data.folds import Run, repeated
from napari_pix2pix.core.data.pairs import PairedFrames
from napari_pix2pix.core.data.regions import pieces
from napari_pix2pix.core.engine.atomic import written_beside
from napari_pix2pix.core.running.trained_model import TrainedModel, load_model
from napari_pix2pix.core.settings.config import Config, read_json_object, validated
from napari_pix2pix.core.settings.training import Settings
from napari_pix2pix.core.training.loop import train
from napari_pix2pix.core.training.reports import Report
from napari_pix2pix.core.training.run_folder import RunFolder

PLAN, OWN, FIGURES = "repetition.json", "run.json", "figures.json"
"""In a folder of runs: the plan; in that of each run what it holds out and, once it is done, its figures."""
MOST_RUNS = 10_000


class Repetition(Settings):
    """The plan of several trainings, as in `repetition.json`."""

    config: dict[str, Any]
    """The settings of all, but the seed."""
    runs: Annotated[tuple[Run, ...], Field(min_length=1, max_length=MOST_RUNS)]
    """What differs."""
    pairs: dict[str, Any] | None = None
    """Where the pairs are from, as `TrainingStacks.provenance` tells; None: not from files."""
    initial: dict[str, Any] | None = None
    """The model that all start from."""

    @classmethod
    def read(cls, folder: Path) -> "Repetition":
        """The plan of the runs in this folder.

        Raises
        ------
        FileNotFoundError
            If it holds none.
        ValueError
            If it cannot be read.
        """
        if not is_repetition(folder):
            raise FileNotFoundError(f"A folder of runs must hold {PLAN}; {folder} has none. Check the path.")
        try:
            plan = validated(cls, read_json_object(folder / PLAN))
            validated(Config, plan.config)
        except ValueError as error:
            raise ValueError(
                f"A folder of runs must hold the {PLAN} that was written for it; that of {folder} is damaged ({error}) "
                "Restore it."
            ) from error
        return plan

    def begin(self, folder: Path, overwrite: bool = False) -> "Repetition":
        """Write the plan, or join that of an earlier command for the same: what was begun there is gone on with.

        With `overwrite` the runs there that are not of this plan are removed; those that are, are gone on with.

        Raises
        ------
        FileExistsError
            If the folder holds something else.
        ValueError
            If it holds runs on other pairs, or with other settings or folds; or another process trains one of those
            that are to be removed.
        """
        plan = self
        if is_repetition(folder) and not overwrite:
            plan = self._joined(Repetition.read(folder), folder)
        elif is_repetition(folder):
            self._remove_others(folder)
        elif folder.is_file() or (folder.is_dir() and any(folder.iterdir()) and not is_repetition(folder)):
            raise FileExistsError(
                f"Several runs must go to a new or empty folder, or to one of runs; {folder} holds something else. "
                "Choose another `out`."
            )
        _write(folder / PLAN, plan.model_dump(mode="json"))
        for run in plan.runs:
            _write(folder / run.name / OWN, run.model_dump(mode="json"))
        return plan

    def _remove_others(self, folder: Path) -> None:
        """Remove the runs in the folder that are not of this plan: nobody is to judge them by what they trained on."""
        ours = {run.name: run for run in self.runs}
        others = [
            own
            for own in sorted(path.parent for path in folder.glob(f"*/{OWN}"))
            if own.name not in ours or _is_of_another(own, self, ours[own.name])
        ]
        for own in others:
            RunFolder(own).lock().release()
        for own in others:
            RunFolder(own).clear()
            for name in (OWN, FIGURES, ".lock"):
                (own / name).unlink(missing_ok=True)
            for place in (own / "previews", own):
                with suppress(OSError):  # something else lies there, too
                    place.rmdir()

    def _joined(self, other: "Repetition", folder: Path) -> "Repetition":
        for what, ours, theirs in (
            ("pairs", _kept(self.pairs), _kept(other.pairs)),
            ("settings", self.config, other.config),
            ("model to start from", _kept(self.initial), _kept(other.initial)),
        ):
            if ours != theirs:
                other_one = "another" if what.startswith("model") else "other"
                raise ValueError(
                    f"Runs in one folder must be of the same pairs and settings; {folder} was begun with {other_one} "
                    f"{what}. Choose another `out`, or `overwrite`."
                )
        begun = {run.name: run for run in other.runs}
        ours_by_name = {run.name: run for run in self.runs}
        if _division(self.runs) != _division(other.runs) or any(
            begun[name] != run for name, run in ours_by_name.items() if name in begun
        ):
            raise ValueError(
                f"Runs in one folder must hold out the same pairs; those of {folder} are divided otherwise. Give "
                "`folds` as they were, or choose another `out`."
            )
        return self.model_copy(update={"runs": tuple((begun | ours_by_name).values())})

    @property
    def made_with(self) -> dict[str, Any]:
        """What tells one way of making the runs from another: they must not lie in one folder."""
        said = [_kept(self.pairs), self.config, _kept(self.initial)]
        return {"repetition": _hash(said)}

    def identity(self, run: Run) -> str:
        """What tells this run from any other: also what it trains on and holds out."""
        return _hash([self.made_with, run.model_dump(mode="json")])

    @property
    def judged(self) -> bool:
        """Whether there are pairs to judge every run by: what it holds out, or test pairs of all."""
        return all(run.held_out for run in self.runs) or bool((self.pairs or {}).get("test"))

    def settings(self, run: Run) -> Config:
        """Of this run."""
        return validated(Config, {**self.config, "seed": run.seed})

    def unfinished(self, folder: Path) -> list[str]:
        """The names of the runs that are not done."""
        return [run.name for run in self.runs if not (folder / run.name / FIGURES).is_file()]

    @classmethod
    def of(cls, config: Config, runs: tuple[Run, ...], **said: Any) -> "Repetition":
        """The plan for these settings, whose seed is the runs'."""
        return validated(cls, {"config": config.model_dump(mode="json", exclude={"seed"}), "runs": runs, **said})


def is_repetition(folder: Path) -> bool:
    """Whether the folder is one of several runs."""
    return (folder / PLAN).is_file()


def repeat(
    pairs: PairedFrames,
    config: Config | None = None,
    *,
    out: Path | str,
    seeds: int = 1,
    folds: int | None = None,
    validation: PairedFrames | None = None,
    initial: TrainedModel | None = None,
    overwrite: bool = False,
    device: str = "auto",
) -> Generator[tuple[Run, Report], None, None]:
    """Train for each seed and fold, one after another; yields after each step the run and its report.

    Asked again for the same, it goes on: runs that are done are left out, one that was interrupted goes on.

    Parameters
    ----------
    pairs
        What to learn from. Those of one group (see `PairedFrames`) are held out together.
    config
        The settings; its seed is that of the first run, the next has the next. None: the preset `microscopy`.
    out
        The folder of the runs: ``seed0_fold1`` and so on, and `repetition.json`, which tells what each holds out.
    seeds
        How many.
    folds
        In how many parts the groups are divided, of which each run holds one out, as its test pairs; None: none is.
    validation, initial, device
        As of `train`, the same for all runs.
    overwrite
        Replace earlier runs in `out`, all that were made otherwise, on other pairs or with other folds.

    Raises
    ------
    ValueError
        If there are not so many groups, or `out` holds runs on other pairs, with other settings or from another model.
    """
    pairs, copied = pairs.held_together(pairs.require_finite())
    if copied:
        warnings.warn(copied, stacklevel=2)
    settings = config or (initial.config if initial else Config())
    runs = repeated(pairs.names, pairs.groups, settings.seed, seeds, folds)
    told: dict[str, Any] = {"pairs": identity_of(pairs)}
    told["pairs"] |= {"validation": identity_of(validation)} if validation is not None else {}
    told |= {"initial": {"sha256": initial.hash()}} if initial is not None else {}
    plan, folder = Repetition.of(settings, runs, **told), Path(out)
    plan.begin(folder, overwrite)
    for run in runs:
        if (folder / run.name / FIGURES).is_file() and _is_of(folder / run.name, plan, run):
            continue
        trains, held = run.divided(pairs.names)
        given: dict[str, Any] = {
            "validation": validation,
            "test": pairs.only(held) if held else None,
            "initial": initial,
        }
        for report in carried_on(folder, plan, run, pairs.only(trains), device=device, **given):
            yield run, report


def carried_on(
    folder: Path,
    plan: Repetition,
    run: Run,
    pairs: Any,
    provenance: dict[str, Any] | None = None,
    **given: Any,
) -> Generator[Report, None, None]:
    """`train` this run of the plan, on from where it was interrupted; its figures are written when it is done."""
    own = folder / run.name
    begun = all((own / name).is_file() for name in ("config.json", "checkpoint.safetensors")) and _is_of(own, plan, run)
    if not begun:
        (own / FIGURES).unlink(missing_ok=True)
    said = {**(provenance or {}), "repetition": plan.identity(run)}
    how: dict[str, Any] = given | ({"initial": None} if begun else {})
    yield from train(pairs, plan.settings(run), out=own, resume=begun, overwrite=not begun, provenance=said, **how)
    _write(own / FIGURES, load_model(own / "model.safetensors", "cpu").provenance["figures"])


def _is_of(own: Path, plan: Repetition, run: Run) -> bool:
    """Whether what is in this folder was begun as this run of the plan."""
    try:
        told = RunFolder(own).plan()["provenance"]["pairs"]
    except (FileNotFoundError, KeyError):
        return False
    return bool(told.get("repetition") == plan.identity(run))


def _is_of_another(own: Path, plan: Repetition, run: Run) -> bool:
    """Whether this folder is of another run than this one of the plan, or nobody can tell."""
    if (own / OWN).read_text("utf8", "replace") != _text(run.model_dump(mode="json")):
        return True
    try:
        RunFolder(own).plan()
        return not _is_of(own, plan, run)
    except FileNotFoundError:  # planned, and not begun
        return False
    except ValueError:  # damaged
        return True


def identity_of(pairs: PairedFrames) -> dict[str, Any]:
    """What tells pairs that are in memory from others: their pixels are read, a piece at a time, unless hashes tell."""
    digest = hashlib.sha256(json.dumps([dict(own) for own in pairs.labels]).encode())
    reads = [pairs.known] if pairs.hashes else [pairs.known, pairs.source, pairs.target]
    for region in pieces(pairs.regions()):
        for read in reads:
            values = read(region.frame, region.window)
            digest.update(f"{region.frame} {values.shape} {values.dtype.name}".encode())
            digest.update(np.ascontiguousarray(values, values.dtype.newbyteorder("<")).data)
    return {
        "names": list(pairs.names),
        "groups": list(pairs.groups),
        "hashes": [list(own) for own in pairs.hashes or ()],
        "content": digest.hexdigest(),
    }


def _kept(said: Any) -> Any:
    """What was said of pairs without where they, and what tells of them, lie: they may have moved."""
    if isinstance(said, list):
        return [_kept(part) for part in said]
    if not isinstance(said, dict):
        return said
    kept = {name: _kept(part) for name, part in said.items() if name != "path"}
    if isinstance(how := said.get("settings"), dict):
        kept["settings"] = {name: part for name, part in how.items() if name not in ("groups", "valid", "condition")}
    return kept


def _division(runs: tuple[Run, ...]) -> set[tuple[str, ...]]:
    """What is held out, whatever the seed."""
    return {run.held_out for run in runs}


def _write(path: Path, content: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    text = _text(content)
    if not (path.is_file() and path.read_text("utf8") == text):
        with written_beside(path) as beside:
            beside.write_text(text, "utf8")


def _text(content: Any) -> str:
    return json.dumps(content, indent=1)


def _hash(said: Any) -> str:
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()
