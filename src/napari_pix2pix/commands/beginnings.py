"""What a training begins with: pairs and settings that are given, or those that its run has kept."""

from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter
from pydantic import AfterValidator

from napari_pix2pix.commands.flags import ConfigFlags, load
from napari_pix2pix.core.settings.config import PairSettings, Settings, make_config
from napari_pix2pix.files.starters import model_at


class Earlier(Settings):
    """What of earlier trainings one goes on with."""

    resume: Path | None = None
    """Go on with this run, with its pairs and settings."""
    finish: bool = False
    """With --resume: no more steps; judge the model, and teach it to judge."""
    from_model: Annotated[
        Path | None, Parameter(name="--from"), AfterValidator(lambda path: path and model_at(path))
    ] = None
    """A model to start from; flags change its settings."""
    with_old_pairs: bool = False
    """With --from: every second patch is of what taught that model."""
    data_root: Path | None = None
    """With --resume or --with-old-pairs: where the pairs are now; they are told by their hashes."""


class Judges(Settings):
    """Pairs that do not train, but judge."""

    validation_source: Path | None = None
    """Pairs that choose the best model."""
    validation_target: Path | None = None
    """Their targets."""
    validation_source_more: tuple[str, ...] = ()
    """As --source-more, for these pairs."""
    validation_target_more: tuple[str, ...] = ()
    """As --target-more, for these pairs."""
    test_source: Path | None = None
    """Pairs to judge the finished model by."""
    test_target: Path | None = None
    """Their targets."""
    test_source_more: tuple[str, ...] = ()
    """As --source-more, for these pairs."""
    test_target_more: tuple[str, ...] = ()
    """As --target-more, for these pairs."""

    def of(self, kind: str) -> tuple[Path | None, Path | None, tuple[str, ...], tuple[str, ...]]:
        """Source, target and more of either, of the pairs for ``validation`` or ``test``."""
        sides = [getattr(self, f"{kind}_{side}") for side in ("source", "target")]
        more = [getattr(self, f"{kind}_{side}_more") for side in ("source", "target")]
        return (*sides, *more)


@dataclass(frozen=True)
class Request:
    """What a training was asked for; the flags of the command, as they were given."""

    source: Path | None
    target: Path | None
    out: Path | None
    pairs: PairSettings | None
    judges: Judges
    earlier: Earlier
    preset: str | None
    config: Path | None
    settings: ConfigFlags | None
    minutes: float | None
    overwrite: bool
    repeated: bool = False


@dataclass(frozen=True)
class Beginning:
    """What a training begins with.

    Parameters
    ----------
    out
        The run folder.
    stacks
        The `TrainingStacks` that train and judge.
    config
        None: that of the run that is gone on with.
    initial, origin
        The model that it starts, or started, from, and where that is from; None where there is none.
    """

    out: Path
    stacks: Any
    config: Any
    initial: Any
    origin: dict[str, Any] | None


def begin(asked: Request) -> Beginning:
    """The pairs, settings and model to begin with.

    Raises
    ------
    ValueError
        If what was asked for does not go together.
    """
    earlier = asked.earlier
    if earlier.finish and earlier.resume is None:
        raise ValueError("A run to finish must be there already; give `resume` RUN, too.")
    initial = load(earlier.from_model, "cpu") if earlier.from_model else None
    if earlier.data_root is not None and earlier.resume is None and not earlier.with_old_pairs:
        raise ValueError("A data root must be of pairs of an earlier training; give `resume` or `with_old_pairs`, too.")
    return _anew(asked, initial) if earlier.resume is None else _again(asked, earlier.resume)


def _again(asked: Request, run: Path) -> Beginning:
    from napari_pix2pix.core.training.run_folder import RunFolder
    from napari_pix2pix.files.moved import Moved
    from napari_pix2pix.files.training_stacks import TrainingStacks

    earlier = asked.earlier
    others = (asked.out, asked.config, asked.settings, asked.pairs, earlier.from_model, asked.preset)
    if any((*others, earlier.with_old_pairs, asked.overwrite, asked.minutes is not None, asked.judges != Judges())):
        raise ValueError(
            f"A resumed run must keep its pairs and settings; give `resume` {run}, and perhaps `device`. For "
            f"more steps, or other settings, train its model in a new run: SOURCE TARGET `from` {run} `out` NEW."
        )
    given_anew = [path for path in (asked.source, asked.target) if path]
    roots, initial, origin = [*given_anew, *filter(None, [earlier.data_root])], None, None
    try:
        read = RunFolder(run).plan()["provenance"]["pairs"]
        stacks = TrainingStacks.again(read, Moved(tuple(roots), run, only=bool(given_anew)))
        if origin := read.get("initial"):
            initial = load(Path(origin["path"]), "cpu") if Path(origin["path"]).exists() else None
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(
            f"A run to resume must tell its pairs; {run / 'config.json'} does not ({type(error).__name__} "
            f"{error}). Restore it, or start anew with `overwrite`."
        ) from error
    return Beginning(run, stacks, None, initial, origin)


def _anew(asked: Request, initial: Any) -> Beginning:
    from napari_pix2pix.core.training.run_folder import RunFolder
    from napari_pix2pix.files.moved import Moved
    from napari_pix2pix.files.outputs import require_apart, require_folder
    from napari_pix2pix.files.pairing import open_stacks
    from napari_pix2pix.files.training_stacks import OTHERS, Sides, TrainingStacks

    source, out, earlier = asked.source, asked.out, asked.earlier
    if source is None or out is None:
        raise ValueError("A training must have a source, a target and `out` RUN. See train --help.")
    require_folder(out)
    said = asked.pairs or PairSettings()
    judges = {kind: asked.judges.of(kind) for kind in ("validation", "test")}
    tables = [name for name in (said.groups, said.domains, said.condition) if name and name.lower().endswith(".csv")]
    given: list[Path | str | None] = [source, asked.target, asked.config, earlier.from_model, said.valid, *tables]
    given += [*said.source_more, *said.target_more]
    for first, second, *more in judges.values():
        given += [first, second, *chain(*more)]
    require_apart(given, [out], but=[out / "data"])
    changes = asked.settings.model_dump(exclude_unset=True) if asked.settings else {}
    if asked.minutes is not None and "steps" in changes:
        raise ValueError("A training must be given `steps` or `minutes`; got both. Leave one of them out.")
    kept = initial.config.model_dump(mode="json") if initial and asked.preset is None else None
    config = make_config(asked.preset or "microscopy", asked.config, changes, kept)
    if not asked.repeated:  # a folder of runs is gone on with
        RunFolder(out).require_free(asked.overwrite)
    if wrong := [kind for kind, (first, *rest) in judges.items() if first is None and any(rest)]:
        raise ValueError(f"Pairs must have both sides: give `{wrong[0]}_source` and `{wrong[0]}_target`.")
    validation, test = (Sides(paths[0], *paths[1:]) if paths[0] else None for paths in judges.values())
    trained: Any
    if config.data == "pairs":
        trained = open_stacks(source, asked.target, said).without_bad()
    else:
        trained = OTHERS[config.data].open(source, asked.target, said)
    roots = Moved((earlier.data_root,) if earlier.data_root else ())
    stacks = TrainingStacks.open(trained, validation, test, initial, earlier.with_old_pairs, roots)
    origin = None
    if initial and earlier.from_model:
        origin = {"path": str(earlier.from_model.resolve()), "sha256": initial.hash()}
    return Beginning(out, stacks, config, initial, origin)
