"""Several trainings on the same pairs, by seed and fold: planned once, done in turn, by shards or by workers."""

from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from napari_pix2pix.commands.beginnings import Beginning, Earlier, Request, begin
from napari_pix2pix.commands.events import Event, Events
from napari_pix2pix.commands.flags import load
from napari_pix2pix.commands.remarks import told
from napari_pix2pix.core.settings.config import Settings, read_json_object

if TYPE_CHECKING:
    from napari_pix2pix.core.data.folds import Run
    from napari_pix2pix.core.data.pairs import PairedFrames
    from napari_pix2pix.core.training.repetition import Repetition
    from napari_pix2pix.files.pairing import PairedStacks
    from napari_pix2pix.files.training_stacks import TrainingStacks


class Repeats(Settings):
    """How often a training is repeated."""

    seeds: Annotated[int, Field(ge=1, le=1000)] | None = None
    """Train so many times, with this seed and the next ones: OUT is a folder of runs, for evaluate."""
    folds: Annotated[int, Field(ge=2, le=1000)] | None = None
    """Divide the pairs, by groups, into so many parts; each run holds one out, and is judged on it by evaluate."""


def train_repeatedly(asked: Request, repeats: Repeats, device: str, devices: int, shared: dict[str, Any]) -> Events:
    """Train what was asked for with each seed and fold; or go on with a folder of runs.

    `shared` says which of the runs, and who trains them, see `run_all`.
    """
    from napari_pix2pix.core.data.folds import repeated

    if asked.earlier.resume is not None:
        if (asked.out, asked.source, asked.target, repeats, asked.overwrite) != (None, None, None, Repeats(), False):
            raise ValueError(
                f"Runs that are gone on with keep their pairs, seeds and folds; give `resume` {asked.earlier.resume} "
                "alone. For more seeds, give the command that began them, with more."
            )
        plan = gone_on_with(asked)
        yield from run_all(plan, asked.earlier.resume, device, root=asked.earlier.data_root, **shared)
        return
    begun = begin(asked)
    require_repeatable(begun.stacks, asked.minutes, devices)
    yield from told(begun.stacks.train)
    names, groups, copied = groups_of(begun.stacks.train)
    if copied:
        yield {"event": "warning", "text": copied}
    runs = repeated(names, groups, begun.config.seed, repeats.seeds or 1, repeats.folds)
    yield from run_all(planned(begun, runs), begun.out, device, **shared)


def groups_of(stacks: "PairedStacks") -> tuple[Sequence[str], Sequence[str], str]:
    """Names and groups of these pairs, copies of a source in one; and a sentence that says so, or "". All are read."""
    pairs = stacks.frames(hashed=False)
    together, copied = pairs.held_together(pairs.require_finite())
    return stacks.files.names, together.groups, copied


def require_repeatable(stacks: "TrainingStacks", minutes: float | None, devices: int) -> None:
    """Raise a ValueError if a training on these cannot be repeated."""
    if stacks.train.kind != "pairs":
        raise ValueError(
            "Trainings that are repeated must be of pairs, which judge them. Leave `seeds` and `folds` out."
        )
    if stacks.train.settings.annotated_frames:
        raise ValueError(
            "Frames that are annotated are counted over all pairs, of which each run has others; say what is known by "
            "masks (`valid`)."
        )
    if minutes is not None:
        raise ValueError("Trainings that are compared must make the same steps; give `steps` instead of `minutes`.")
    if devices > 1:
        raise ValueError(
            "Each of several runs trains on one device; share the runs among machines by --shard or `scheduler`."
        )


def planned(begun: Beginning, runs: "Sequence[Run]") -> "Repetition":
    """The plan of these runs on the pairs that a training would begin with.

    Raises
    ------
    ValueError
        If runs hold pairs out, and there are test pairs besides, or they have trained the model to start from.
    """
    from napari_pix2pix.core.training.repetition import Repetition

    stacks = begun.stacks
    if stacks.test is not None and any(run.held_out for run in runs):
        raise ValueError(
            "What a run holds out are its test pairs; leave `test_source` and `test_target` out, and judge the runs on "
            "those by evaluate OUT SOURCE TARGET."
        )
    for run in {run.held_out: run for run in runs}.values():
        part_of(stacks, run).require_apart(begun.initial)
    return Repetition.of(begun.config, tuple(runs), pairs=stacks.provenance(), initial=begun.origin)


def gone_on_with(asked: Request) -> "Repetition":
    """The plan of the folder of runs to resume.

    Raises
    ------
    ValueError
        If it cannot be finished before its time, or started from something.
    """
    from napari_pix2pix.core.training.repetition import Repetition

    earlier = asked.earlier
    assert earlier.resume is not None
    others = (asked.pairs, asked.preset, asked.config, asked.settings, asked.minutes)
    if any(others) or earlier != Earlier(resume=earlier.resume, data_root=earlier.data_root):
        raise ValueError(
            f"Runs that are gone on with keep their pairs and settings; give `resume` {earlier.resume}, and perhaps "
            "`device`. One of them is finished before its time by its own folder."
        )
    return Repetition.read(earlier.resume)


def run_all(
    plan: "Repetition",
    out: Path,
    device: str,
    *,
    root: Path | None = None,
    shard: str | None = None,
    workers: str | int | None = None,
    overwrite: bool = False,
) -> Events:
    """Train every run of the plan in `out`, or a share of them; what is done there is left out."""
    from napari_pix2pix.commands.jobs import do_each
    from napari_pix2pix.core.training.repetition import FIGURES, OWN
    from napari_pix2pix.files.outputs import Job

    plan = plan.begin(out, overwrite)
    jobs = [
        Job(run.name, (own / OWN,), (own / "model.safetensors", own / FIGURES))
        for run in plan.runs
        if (own := out / run.name)
    ]
    work = RunWork(out, device, root)
    shared: dict[str, Any] = {"shard": shard, "overwrite": overwrite, "workers": workers}
    with closing(do_each(jobs, work, "runs", out, plan.made_with, **shared)) as events:
        for event in events:
            yield _told(plan, out, event) if event["event"] == "result" else event


def _told(plan: "Repetition", out: Path, event: Event) -> Event:
    """The result of several runs."""
    left = plan.unfinished(out)
    n = len(plan.runs) - len(left)
    lines = [f"Runs: {n} of {len(plan.runs)} are done, in {out}"]
    if event["failed"]:
        lines.append(f"Failed: {len(event['failed'])}; see {out}/failures.csv")
    if left and not event["failed"]:
        lines.append(f"To do, by other shards or by train `resume` {out}: {len(left)}")
    if not left:
        lines += [f"  {name}  {mean:.3f} ± {sd:.3f}" for name, (mean, sd) in spread(plan, out).items()]
        lines.append(f"Next: evaluate {out} {'' if plan.judged else 'SOURCE TARGET '}--out EVALUATION")
    return event | {"runs": [run.name for run in plan.runs], "unfinished": left, "text": "\n".join(lines)}


def spread(plan: "Repetition", out: Path) -> dict[str, tuple[float, float]]:
    """By figure its mean over runs, and its standard deviation, on the test pairs or else those that chose."""
    import numpy as np

    found = [figures(out, run) for run in plan.runs]
    names = [name for name in found[0] if all(name in own for own in found)]
    values = {name: np.array([own[name] for own in found]) for name in names}
    return {name: (float(v.mean()), float(v.std(ddof=1)) if len(v) > 1 else 0.0) for name, v in values.items()}


def figures(out: Path, run: "Run") -> dict[str, float]:
    """Of a run that is done: those on its test pairs, or else on those that chose it."""
    from napari_pix2pix.core.training.repetition import FIGURES

    told = read_json_object(out / run.name / FIGURES)
    kind = "test" if "test" in told else "validation"
    return {f"{kind} {name}": value for name, value in told.get(kind, {}).items()}


@dataclass(frozen=True)
class RunWork:
    """Trains a run. Holds no pairs, so that it can be sent to workers, which open them once.

    Parameters
    ----------
    out
        The folder of the runs.
    device
        To train on.
    root
        Where pairs are that have moved.
    """

    out: Path
    device: str
    root: Path | None = None

    def __call__(self, job: Any) -> Iterator[Event]:
        """Train the run of this job; its progress, and a row of its figures."""
        from napari_pix2pix.core.training.repetition import carried_on

        plan, stacks, whole = opened(self.out, (self.out / "repetition.json").stat().st_mtime, self.root)
        run = next(run for run in plan.runs if run.name == job.name)
        own = part_of(stacks, run)
        initial = load(Path(plan.initial["path"]), "cpu") if plan.initial else None
        if initial is not None and plan.initial and initial.hash() != plan.initial["sha256"]:
            raise ValueError(f"The model to start from must be the one it was; {plan.initial['path']} is another.")
        trains, held = run.divided(whole.names)
        parts = {"validation": own.validation, "test": None if held else own.test, "old_pairs": own.old}
        given: dict[str, Any] = {name: part.frames() if part else None for name, part in parts.items()}
        told = {**own.provenance(), "initial": plan.initial}
        given |= {"initial": initial, "device": self.device} | ({"test": whole.only(held)} if held else {})
        reports = carried_on(self.out, plan, run, whole.only(trains), told, **given)
        with closing(reports):
            for report in reports:
                done = report.step / report.steps
                yield {"event": "progress", "unit": "runs", "done": 0.99 * done, "step": report.step, "run": run.name}
        place = {"seed": run.seed, "fold" if run.pairs is None else "pairs": run.fold or run.pairs}
        yield {"event": "row", "row": {**place, **figures(self.out, run)}}


@lru_cache(maxsize=1)
def opened(out: Path, changed: float, root: Path | None) -> "tuple[Repetition, TrainingStacks, PairedFrames]":
    """The plan in this folder, which `changed` then, and its pairs: read once for all runs of a process.

    Runs have parts of the very same frames, so that grey images among colour ones are colours even where all are grey.
    """
    from napari_pix2pix.core.training.repetition import Repetition
    from napari_pix2pix.files.moved import Moved
    from napari_pix2pix.files.pairing import PairedStacks
    from napari_pix2pix.files.training_stacks import TrainingStacks

    plan = Repetition.read(out)
    if not plan.pairs or not plan.pairs.get("train"):
        raise ValueError(
            f"Runs to go on with here must have read their pairs from files; go on with {out} from Python."
        )
    try:
        stacks = TrainingStacks.again(plan.pairs, Moved(tuple(filter(None, [root])), out))
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(
            f"A folder of runs must tell its pairs; {out}/repetition.json does not ({type(error).__name__} {error}). "
            "Restore it."
        ) from error
    assert isinstance(stacks.train, PairedStacks)
    return plan, stacks, stacks.train.frames()


def part_of(stacks: "TrainingStacks", run: "Run") -> "TrainingStacks":
    """The pairs of this run: what it trains on, and what it holds out as its test pairs."""
    from dataclasses import replace

    from napari_pix2pix.files.pairing import PairedStacks

    assert isinstance(stacks.train, PairedStacks)
    trains, held = run.divided(stacks.train.files.names)
    return replace(stacks, train=stacks.train.only(trains), test=stacks.train.only(held) if held else stacks.test)
