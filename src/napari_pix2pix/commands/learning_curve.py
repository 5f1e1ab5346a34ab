"""The command learning-curve: whether more pairs would help."""

import json
import re
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter, Token

from napari_pix2pix.commands.beginnings import Earlier, Judges, Request, begin
from napari_pix2pix.commands.events import Events
from napari_pix2pix.commands.flags import ConfigFlags, Device, Overwrite, Pairs, Whole, chosen_workers
from napari_pix2pix.commands.recipe import command_line
from napari_pix2pix.commands.remarks import told
from napari_pix2pix.commands.repeat import figures, groups_of, planned, require_repeatable, run_all
from napari_pix2pix.core.settings.config import PRESETS

if TYPE_CHECKING:
    from napari_pix2pix.core.training.repetition import Repetition


def _numbers(_: Any, tokens: Sequence[Token]) -> tuple[int, ...]:
    words = [word for token in tokens for word in token.value.split(",")]
    if not all(re.fullmatch(r"\d{1,9}", word.strip()) for word in words):
        raise ValueError(f"it must be numbers with commas between, as in 4,8,16,32; got {tokens[0].value!r}.")
    return tuple(sorted({int(word) for word in words}))


def learning_curve(
    source: Annotated[Path, Parameter(help="A stack or a folder.")],
    target: Annotated[Path | None, Parameter(help="A stack or a folder, paired by file name.")] = None,
    *,
    at: Annotated[
        tuple[int, ...],
        Parameter(converter=_numbers, n_tokens=1, negative=(), help="Numbers of pairs to train on, as in 4,8,16,32."),
    ],
    seeds: Annotated[Whole, Parameter(help="Train so many times on each number, each time on other pairs.")] = 3,
    out: Annotated[Path, Parameter(help="A folder for the runs, learning_curve.json and report.html.")],
    preset: Annotated[
        str | None, Parameter(help=f"Settings to start from: {', '.join(PRESETS)}. Default: microscopy.")
    ] = None,
    config: Annotated[Path | None, Parameter(help="A JSON file of settings.")] = None,
    settings: Annotated[ConfigFlags | None, Parameter(name="*")] = None,
    pairs: Pairs = None,
    judges: Annotated[Judges | None, Parameter(name="*")] = None,
    device: Device = "auto",
    shard: Annotated[str | None, Parameter(help="3/40: every 40th of the runs from the third on.")] = None,
    scheduler: Annotated[
        str | None, Parameter(help="Address of a dask scheduler whose workers train the runs.")
    ] = None,
    local_workers: Annotated[Whole | None, Parameter(help="Train so many runs at once on this machine.")] = None,
    overwrite: Overwrite = False,
) -> Events:
    """Train on few and on more pairs, and tell in a sentence what twice as many would add.

    The same pairs, of whole groups, are held out from all to judge by, or given by --test-source and --test-target.
    Given again, it goes on where it was stopped.
    """
    from napari_pix2pix.core.data.folds import of_numbers
    from napari_pix2pix.core.evaluation.learning_curve import require_numbers

    require_numbers(at)
    if not 1 <= seeds <= 1000:
        raise ValueError(f"There must be 1 to 1000 seeds; got {seeds}. Choose `seeds` 3.")
    workers = chosen_workers(scheduler, local_workers)
    quick = ConfigFlags(**{"trust_steps": 0, **(settings.model_dump(exclude_unset=True) if settings else {})})
    asked = (source, target, out, pairs, judges or Judges(), Earlier(), preset, config, quick, None)
    begun = begin(Request(*asked, overwrite=overwrite, repeated=True))
    require_repeatable(begun.stacks, None, 1)
    yield from told(begun.stacks.train)
    names, groups, copied = groups_of(begun.stacks.train)
    if copied:
        yield {"event": "warning", "text": copied}
    judged = begun.stacks.test is not None
    plan = planned(begun, of_numbers(names, groups, at, begun.config.seed, seeds, judged))
    if left := set(plan.unfinished(out)) if not overwrite else {run.name for run in plan.runs}:
        yield {"event": "note", "text": "Measures what a training takes …"}
        yield _budget(plan, begun.stacks, len(left), device)
    shared: dict[str, Any] = {"shard": shard, "workers": workers, "overwrite": overwrite}
    with closing(run_all(plan, out, device, **shared)) as events:
        for event in events:
            if event["event"] != "result" or event["failed"] or event["unfinished"]:
                yield event
                continue
            found = _found(plan, out)
            yield {"event": "result", **event, **found, "text": _drawn(found, out)}


def _budget(plan: "Repetition", stacks: Any, n: int, device: str) -> dict[str, Any]:
    """What so many trainings take, as a short one on the pairs of the largest tells."""
    from napari_pix2pix.core.training.forecast import minutes_here

    run = max(plan.runs, key=lambda run: run.pairs or 0)
    settings, pairs = plan.settings(run), stacks.train.frames(hashed=False)
    trains, held = run.divided(pairs.names)
    judges = pairs.only(held) if held else stacks.test and stacks.test.frames(hashed=False)
    minutes = minutes_here(pairs.only(trains), settings, device, judges)
    text = (
        f"{n} trainings × {settings.steps:,} steps, about {minutes:.2g} minutes each on this machine with start and "
        f"judging: about {n * minutes:.2g} minutes in all, one after another."
    )
    text += " Learning to judge (`trust_steps`) comes on top." if settings.trust_steps else ""
    told = {"trainings": n, "steps": settings.steps, "minutes_each": minutes, "minutes": n * minutes}
    return {"event": "note", "text": text, "budget": told}


def _found(plan: "Repetition", out: Path) -> dict[str, Any]:
    """The figures of all trainings, and a curve through each that is known."""
    from napari_pix2pix.core.evaluation.headlines import HEADLINES
    from napari_pix2pix.core.evaluation.learning_curve import fit_learning_curve

    points: list[dict[str, Any]] = [
        {"pairs": run.pairs, "seed": run.seed}
        | {name.removeprefix("test "): value for name, value in figures(out, run).items()}
        for run in plan.runs
    ]
    known = [name for name in points[0] if name not in ("pairs", "seed")]
    headline = next(name for name in reversed(known) if name in HEADLINES.values())  # of objects, F1 comes after Dice
    curves = {name: fit_learning_curve([p["pairs"] for p in points], [p[name] for p in points], name) for name in known}
    return {"points": points, "curves": curves, "headline": headline}


def _drawn(found: dict[str, Any], out: Path) -> str:
    """Write what was found, and its page; the text for people."""
    from napari_pix2pix.core.engine.atomic import written_beside
    from napari_pix2pix.report.learning_curve import draw_curve, sentence

    said = sentence(found["curves"][found["headline"]])
    with written_beside(out / "learning_curve.json") as beside:
        beside.write_text(json.dumps(found | {"sentence": said}, indent=1, allow_nan=False), "utf8")
    page = draw_curve(out / "report.html", found, command_line())
    return f"{said}\nFigures: {out / 'learning_curve.json'}\nReport: {page}"
