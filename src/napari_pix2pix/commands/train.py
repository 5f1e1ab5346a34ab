"""The command train: pairs in, a run with its model out."""

import sys
from collections import deque
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from napari_pix2pix.commands.beginnings import Earlier, Judges, Request, begin
from napari_pix2pix.commands.events import DONE, Event, Events, training_events
from napari_pix2pix.commands.flags import (
    UNNEGATED,
    ConfigFlags,
    Device,
    Overwrite,
    Pairs,
    Whole,
    chosen_workers,
    load,
)
from napari_pix2pix.commands.recipe import command_line
from napari_pix2pix.commands.remarks import told, told_of_sides, understood
from napari_pix2pix.commands.repeat import Repeats, train_repeatedly
from napari_pix2pix.commands.sentences import sentence_of
from napari_pix2pix.core.settings.config import PRESETS, Config, read_json_object, validated

FAST, HURRIED = "fast", 0.1
"""The preset of small networks; below this share of the steps that settings are made for others are advised."""


def train(
    source: Annotated[Path | None, Parameter(help="A stack or a folder.")] = None,
    target: Annotated[
        Path | None, Parameter(help="A stack or a folder; paired by file name, but with a method that needs no pairs.")
    ] = None,
    *,
    out: Annotated[Path | None, Parameter(help="The run folder; OUT/model.safetensors is the result.")] = None,
    earlier: Annotated[Earlier | None, UNNEGATED] = None,
    minutes: Annotated[
        float | None,
        Parameter(help="Time to train and to learn to judge, instead of steps: how many fit is measured first."),
    ] = None,
    preset: Annotated[
        str | None, Parameter(help=f"Settings to start from: {', '.join(PRESETS)}. Default: microscopy.")
    ] = None,
    config: Annotated[Path | None, Parameter(help="A JSON file of settings.")] = None,
    settings: Annotated[ConfigFlags | None, Parameter(name="*")] = None,
    pairs: Pairs = None,
    judges: Annotated[Judges | None, Parameter(name="*")] = None,
    device: Device = "auto",
    devices: Annotated[Whole, Parameter(help="Train on so many devices at once, which share each batch.")] = 1,
    num_nodes: Annotated[Whole, Parameter(help="On so many machines at once, where torchrun or SLURM starts it.")] = 1,
    repeats: Annotated[Repeats | None, Parameter(name="*")] = None,
    shard: Annotated[str | None, Parameter(help="With several runs, 3/40: every 40th from the third on.")] = None,
    scheduler: Annotated[
        str | None, Parameter(help="With several runs: address of a dask scheduler whose workers train them.")
    ] = None,
    local_workers: Annotated[
        Whole | None, Parameter(help="With several runs: train so many at once on this machine.")
    ] = None,
    overwrite: Overwrite = False,
) -> Events:
    """Train a model on pairs of images; without pairs, or on several domains, by --method.

    With --method cyclegan on sources and targets that are no pairs; with --method stargan on a folder of images of
    several domains, a subfolder for each. With --seeds or --folds several models, in a folder of runs.
    """
    from napari_pix2pix.core.training.repetition import is_repetition
    from napari_pix2pix.core.training.run_folder import RunFolder
    from napari_pix2pix.files.moved import Moved
    from napari_pix2pix.files.outputs import require_apart
    from napari_pix2pix.files.training_stacks import OTHERS

    earlier = earlier or Earlier()
    judges, repeats = judges or Judges(), repeats or Repeats()
    several = repeats != Repeats() or (earlier.resume is not None and is_repetition(earlier.resume))
    workers = chosen_workers(scheduler, local_workers)
    if not several and (shard or workers is not None):
        raise ValueError("Only several runs can be shared; give `seeds` or `folds`, too.")
    request = Request(
        *(source, target, out, pairs, judges, earlier, preset, config, settings, minutes),
        overwrite=overwrite,
        repeated=several,
    )
    if several:
        shared: dict[str, Any] = {"shard": shard, "workers": workers, "overwrite": overwrite}
        yield from train_repeatedly(request, repeats, device, devices * num_nodes, shared)
        return
    begun = begin(request)
    out, stacks, initial, resume = begun.out, begun.stacks, begun.initial, earlier.resume is not None
    if not resume:
        for some in filter(None, (stacks.train, stacks.validation, stacks.test)):
            yield from told_of_sides(some) if some.kind in OTHERS else told(some)
    run = RunFolder(out)
    owned = [out / name for name in ("previews", *run.FILES)] if resume else [out]
    require_apart(stacks.paths, [*owned, *run.written()], but=[] if resume else [out / "data"])

    from napari_pix2pix import core
    from napari_pix2pix.core.engine.atomic import FULL_DISK, is_full
    from napari_pix2pix.core.engine.processes import number
    from napari_pix2pix.core.training.reports import NotFinite

    if minutes is not None:
        yield {"event": "note", "text": "Measures how many steps fit in the time …"}
    reports = core.train(
        stacks.train.frames(),
        begun.config,
        out=out,
        minutes=minutes,
        validation=stacks.validation.frames() if stacks.validation else None,
        test=stacks.test.frames() if stacks.test else None,
        initial=None if resume else initial,
        old_pairs=stacks.old.frames() if stacks.old else None,
        resume=resume,
        finish=earlier.finish,
        overwrite=overwrite,
        device=device,
        devices=devices,
        num_nodes=num_nodes,
        provenance={**stacks.provenance(), "initial": begun.origin},
    )
    if number() > 0:  # the first process speaks for all
        with suppress(NotFinite):
            deque(reports, maxlen=0)
        sys.exit(DONE)
    plan = read_json_object(out / "config.json")
    yield {"event": "note", "text": understood(stacks.train, plan)}
    if minutes is not None:
        settled = validated(Config, plan["config"])
        count, judging = settled.steps, settled.teaching_steps
        then = f", then {judging:,} steps of learning to judge" if judging else ""
        text = f"In {minutes:g} minutes fit {count:,} steps{then}. To repeat it exactly, give these numbers."
        text += hurried(begun.config, preset, count)
        yield {"event": "note", "text": text, "steps": count, "trust_steps": judging}
    try:
        yield from training_events(reports, out)
    except OSError as error:
        if not is_full(error):
            raise
        raise OSError(f"{FULL_DISK} Go on with train `resume` {out}.") from error
    result = _trained(out / "model.safetensors", initial, device, Moved(tuple(filter(None, [earlier.data_root]))))
    try:
        from napari_pix2pix.report.draw import draw_training

        result["report"] = str(draw_training(out, load(out, device), stacks, command_line()))
        result["text"] += f"\nReport: {result['report']}"
    except Exception as error:  # whatever cannot be drawn, the model is there
        yield {"event": "warning", "text": f"The model is saved; its report could not be written: {sentence_of(error)}"}
    yield result


def hurried(config: Config, preset: str | None, count: int) -> str:
    """A sentence to append where so few steps fit of those asked for that smaller networks would learn more."""
    if preset == FAST or FAST not in config.presets or count >= HURRIED * config.steps:
        return ""
    share = f"{count / config.steps:.1%} of the {config.steps:,} steps that these settings are made for"
    return f" This is {share}; `preset` {FAST} has smaller networks, of which more fit."


def _trained(path: Path, initial: Any, device: str, moved: Any) -> Event:
    """What came of a training; beside figures of the model it started from, which are kept in the new one."""
    from napari_pix2pix.files.training_stacks import figures_of_old

    model = load(path, device)
    figures, lines = model.provenance["figures"], []
    not_compared = ""
    if initial is not None and "compared" not in model.provenance:
        try:
            model.provenance["compared"] = figures_of_old(initial.to(device), model, moved)
            model.save(path)
        except (ValueError, FileNotFoundError) as error:
            not_compared = f"Not compared with the model before: {error}"
            lines.append(not_compared)
    if model.match is not None and model.match.lesson:
        lines.append(model.match.lesson)
    compared = dict(model.provenance.get("compared") or {})
    if compared:
        before, after = compared["before"], compared["after"]
        compared["verdicts"] = {name: _verdict(name, before[name], after[name]) for name in before}
        told = (
            f"{name} {before[name]:.3f} -> {after[name]:.3f} ({said})" for name, said in compared["verdicts"].items()
        )
        lines.append(f"On the {compared['kind']} pairs of the model before: {', '.join(told)}")
    kinds = [f"{kind:>12}  {_listed(some)}" for kind, some in figures.items()]
    return {
        "event": "result",
        "model": str(path),
        "figures": figures.get("validation", {}),
        "test": figures.get("test", {}),
        "compared": compared,
        "not_compared": not_compared,
        "text": "\n".join([f"Model: {path} (step {model.provenance['step']})", *kinds, *lines]),
    }


def _listed(figures: dict[str, float]) -> str:
    return ", ".join(f"{name} {value:.3f}" for name, value in figures.items())


def _verdict(figure: str, before: float, after: float) -> str:
    from napari_pix2pix.core.evaluation.metrics.comparison import higher_is_better

    if f"{before:.3f}" == f"{after:.3f}":  # as they are shown
        return "the same"
    return "better" if (after > before) == higher_is_better(figure) else "worse"
