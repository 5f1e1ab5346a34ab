"""Several runs, each judged on what it held out, or all on other pairs."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from napari_pix2pix.core.data.folds import Run
from napari_pix2pix.core.data.pairs import PairedFrames
from napari_pix2pix.core.evaluation.evaluate import evaluate
from napari_pix2pix.core.evaluation.repetition import gathered
from napari_pix2pix.core.running.trained_model import load_model
from napari_pix2pix.core.training.repetition import Repetition, identity_of


def evaluate_runs(
    folder: Path | str, pairs: PairedFrames, *, given: PairedFrames | None = None, device: str = "auto", **asked: Any
) -> dict[str, Any]:
    """Figures of the runs that `repeat` has made in `folder`, each on the pairs that it held out, as one evaluation.

    Parameters
    ----------
    folder
        Of the runs.
    pairs
        Those that `repeat` was given.
    given
        Other pairs to judge every run by instead.
    device
        To predict on.
    **asked
        As of `evaluate`.

    Returns
    -------
    dict
        See `evaluation.repetition.gathered`.

    Raises
    ------
    ValueError
        If a run is not done, or holds nothing out and no other pairs are given; if `pairs` are not those of the runs.
    """
    plan = require_judged(Path(folder), given is not None)
    told = {name: own for name, own in (plan.pairs or {}).items() if name != "validation"}
    if given is None and "content" in told and told != identity_of(pairs):
        raise ValueError(
            f"Runs must be judged on what they held out; these are not the pairs that those in {folder} were begun "
            "with. Give those, or these as other pairs to judge by."
        )
    reports = [report for _, report in judged_runs(Path(folder), plan, pairs, given, device, **asked)]
    return gathered(reports, plan.runs, pairs.names, plan.config, groups_of(given or pairs))


def groups_of(pairs: PairedFrames) -> dict[str, str]:
    """By frame its group."""
    return {pairs.name(i): pairs.groups[stack] for i, (stack, _) in enumerate(pairs.places)}


def require_judged(folder: Path, given: bool) -> Repetition:
    """The plan of the runs in this folder; raise a ValueError if they cannot be judged."""
    plan = Repetition.read(folder)
    if unfinished := plan.unfinished(folder):
        more = f" and {len(unfinished) - 1} more are" if len(unfinished) > 1 else " is"
        raise ValueError(
            f"Runs must be done to be judged together; {unfinished[0]}{more} not. Go on with train `resume` {folder}."
        )
    if any(run.pairs is not None for run in plan.runs):
        raise ValueError(
            f"Runs that are judged together must differ in nothing but seed and fold; those in {folder} are of a "
            "learning curve. See its report.html, or evaluate one of them."
        )
    if not given and not plan.judged:
        raise ValueError(
            f"Runs must have held pairs out to be judged by, or be given others; those in {folder} trained on all. "
            "Give SOURCE and TARGET of pairs that they have not seen."
        )
    return plan


def judged_runs(
    folder: Path, plan: Repetition, pairs: PairedFrames, given: PairedFrames | None, device: str, **asked: Any
) -> Iterator[tuple[Run, dict[str, Any]]]:
    """Each run, and what `evaluate` finds on what it held out of `pairs`, or on those that are `given`."""
    for run in plan.runs:
        model = load_model(folder / run.name / "model.safetensors", device)
        _, held = run.divided(pairs.names)
        yield run, evaluate(model, given or pairs.only(held), None, **asked)
