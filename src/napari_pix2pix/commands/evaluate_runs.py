"""The command evaluate on a folder of runs: each judged on what it held out, or all on the pairs that are given."""

from pathlib import Path
from typing import Any

from napari_pix2pix.commands.events import Events
from napari_pix2pix.commands.recipe import command_line
from napari_pix2pix.commands.remarks import told
from napari_pix2pix.commands.repeat import opened
from napari_pix2pix.core.settings.config import PairSettings


def evaluate_runs(
    folder: Path,
    source: Path | None,
    target: Path | None,
    out: Path,
    said: PairSettings | None,
    asked: dict[str, Any],
    device: str,
    overwrite: bool,
) -> Events:
    """Figures of several runs: those of each in a folder of its own in `out`, and in `out` those of all as one.

    Parameters
    ----------
    folder
        Of the runs.
    source, target, said
        Pairs to judge every run by, and how they are meant; None: each run is judged on what it held out.
    out, overwrite
        As of `evaluate`.
    asked
        What is asked of the core's `evaluate`.
    device
        To predict on.
    """
    from napari_pix2pix.core.evaluation.repetition import gathered
    from napari_pix2pix.core.training.judged_runs import groups_of, judged_runs, require_judged
    from napari_pix2pix.core.training.repetition import PLAN
    from napari_pix2pix.files.evaluations import MARKS, require_free, write_evaluation
    from napari_pix2pix.files.judged import Judged, made_of
    from napari_pix2pix.files.outputs import require_apart, require_writable
    from napari_pix2pix.files.pairing import PairedStacks, open_stacks
    from napari_pix2pix.report.repeated import draw_runs, runs_text

    if (source is None) != (target is None):
        raise ValueError("Pairs that judge runs must have both sides; give SOURCE and TARGET, or neither.")
    if source is None and said is not None:
        raise ValueError("What runs have held out is read as it was for the training; leave settings of pairs out.")
    require_free(out, overwrite)
    plan = require_judged(folder, source is not None)
    for run in plan.runs:
        require_free(out / run.name, overwrite=True)
    written = [out / name for name in MARKS] + [out / run.name / name for run in plan.runs for name in MARKS]
    require_apart([folder / PLAN, source, target], written)
    require_writable(out, made=False)

    _, stacks, pairs = opened(folder, (folder / PLAN).stat().st_mtime, None)
    trained, given = stacks.train, stacks.test
    assert isinstance(trained, PairedStacks)
    if source is not None:
        given = open_stacks(source, target, said or PairSettings(z=trained.settings.z)).like(trained.target_names)
        yield from told(given)
    judged = given or trained
    require_apart([*stacks.paths, *judged.paths], written)
    asked = asked | {"pixel_size_um": judged.pixel_size_um}
    frames = given.frames() if given else None
    reports: list[dict[str, Any]] = []
    for run, report in judged_runs(folder, plan, pairs, frames, device, **asked):
        model, names = folder / run.name / "model.safetensors", None if given else run.held_out
        write_evaluation(out / run.name, report | {"made_of": made_of(judged, {model: names})})
        reports.append(report)
        yield {"event": "progress", "unit": "runs", "done": len(reports), "total": len(plan.runs)}
    report = gathered(reports, plan.runs, trained.files.names, plan.config, groups_of(frames or pairs))
    models = {folder / run.name / "model.safetensors": None if given else run.held_out for run in plan.runs}
    report["made_of"] = made_of(judged, models)
    write_evaluation(out, report)
    judged_all = Judged.of(report, judged, frames or pairs)
    page = draw_runs(out / "report.html", folder, judged_all, device, command_line())
    text = f"{runs_text(report)}\nFigures: {out / 'metrics.json'}\nReport: {page}"
    yield {"event": "result", "metrics": str(out / "metrics.json"), "report": str(page), **report, "text": text}
