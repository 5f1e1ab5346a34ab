"""The command train: pairs in, a run with its model out."""

import sys
from collections import deque
from itertools import chain
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from napari_pix2pix.commands.events import DONE, Event, Events, training_events
from napari_pix2pix.commands.flags import ConfigFlags, Device, Overwrite, Pairs, Whole, load
from napari_pix2pix.commands.recipe import command_line
from napari_pix2pix.commands.remarks import told, told_of_sides, understood
from napari_pix2pix.commands.sentences import sentence_of
from napari_pix2pix.core.settings.config import PRESETS, PairSettings, make_config, read_json_object


def train(
    source: Annotated[Path | None, Parameter(help="A stack or a folder.")] = None,
    target: Annotated[
        Path | None, Parameter(help="A stack or a folder; paired by file name, but with a method that needs no pairs.")
    ] = None,
    *,
    out: Annotated[Path | None, Parameter(help="The run folder; OUT/model.safetensors is the result.")] = None,
    resume: Annotated[Path | None, Parameter(help="Go on with this run, with its pairs and settings.")] = None,
    finish: Annotated[
        bool,
        Parameter(negative="", help="With --resume: no more steps; judge the model, and teach it to judge."),
    ] = False,
    minutes: Annotated[
        float | None,
        Parameter(help="Time to train and to learn to judge, instead of steps: how many fit is measured first."),
    ] = None,
    from_model: Annotated[
        Path | None,
        Parameter(name="--from", help="A model to start from; flags change its settings."),
    ] = None,
    with_old_pairs: Annotated[
        bool,
        Parameter(negative="", help="With --from: every second patch is of what taught that model."),
    ] = False,
    data_root: Annotated[
        Path | None,
        Parameter(help="With --resume or --with-old-pairs: where the pairs are now; they are told by their hashes."),
    ] = None,
    preset: Annotated[
        str | None, Parameter(help=f"Settings to start from: {', '.join(PRESETS)}. Default: microscopy.")
    ] = None,
    config: Annotated[Path | None, Parameter(help="A JSON file of settings.")] = None,
    settings: Annotated[ConfigFlags | None, Parameter(name="*")] = None,
    pairs: Pairs = None,
    validation_source: Annotated[Path | None, Parameter(help="Pairs that choose the best model.")] = None,
    validation_target: Annotated[Path | None, Parameter(help="Their targets.")] = None,
    validation_source_more: Annotated[tuple[str, ...], Parameter(help="As --source-more, for these pairs.")] = (),
    validation_target_more: Annotated[tuple[str, ...], Parameter(help="As --target-more, for these pairs.")] = (),
    test_source: Annotated[Path | None, Parameter(help="Pairs to judge the finished model by.")] = None,
    test_target: Annotated[Path | None, Parameter(help="Their targets.")] = None,
    test_source_more: Annotated[tuple[str, ...], Parameter(help="As --source-more, for these pairs.")] = (),
    test_target_more: Annotated[tuple[str, ...], Parameter(help="As --target-more, for these pairs.")] = (),
    device: Device = "auto",
    devices: Annotated[Whole, Parameter(help="Train on so many devices at once, which share each batch.")] = 1,
    num_nodes: Annotated[Whole, Parameter(help="On so many machines at once, where torchrun or SLURM starts it.")] = 1,
    overwrite: Overwrite = False,
) -> Events:
    """Train a model on pairs of images; with --method cyclegan on sources and targets that are no pairs."""
    from napari_pix2pix.core.training.run_folder import RunFolder
    from napari_pix2pix.files.moved import Moved
    from napari_pix2pix.files.outputs import require_apart
    from napari_pix2pix.files.pairing import open_stacks
    from napari_pix2pix.files.training_stacks import Sides, TrainingStacks
    from napari_pix2pix.files.unpaired import UnpairedStacks

    judges: dict[str, tuple[Path | None, Path | None, tuple[str, ...], tuple[str, ...]]] = {
        "validation": (validation_source, validation_target, validation_source_more, validation_target_more),
        "test": (test_source, test_target, test_source_more, test_target_more),
    }
    if finish and resume is None:
        raise ValueError("A run to finish must be there already; give `resume` RUN, too.")
    initial = load(from_model, "cpu") if from_model else None
    if data_root is not None and resume is None and not with_old_pairs:
        raise ValueError("A data root must be of pairs of an earlier training; give `resume` or `with_old_pairs`, too.")
    roots = (data_root,) if data_root else ()
    if resume is not None:
        others = (out, config, settings, pairs, initial, preset, with_old_pairs, overwrite, minutes is not None)
        if any(others) or any(map(any, judges.values())):
            raise ValueError(
                f"A resumed run must keep its pairs and settings; give `resume` {resume}, and perhaps `device`. For "
                f"more steps, or other settings, train its model in a new run: SOURCE TARGET `from` {resume} `out` NEW."
            )
        chosen, out = None, resume
        given_anew = tuple(path for path in (source, target) if path)
        try:
            read = RunFolder(resume).plan()["provenance"]["pairs"]
            stacks = TrainingStacks.again(read, Moved((*given_anew, *roots), resume, only=bool(given_anew)))
            if origin := read.get("initial"):
                initial = load(Path(origin["path"]), "cpu") if Path(origin["path"]).exists() else None
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(
                f"A run to resume must tell its pairs; {resume / 'config.json'} does not ({type(error).__name__} "
                f"{error}). Restore it, or start anew with `overwrite`."
            ) from error
    else:
        if source is None or out is None:
            raise ValueError("A training must have a source, a target and `out` RUN. See train --help.")
        said = pairs or PairSettings()
        table = said.groups if Path(said.groups or "").suffix.lower() == ".csv" else None
        given: list[Path | str | None] = [source, target, config, from_model, said.valid, table]
        given += [*said.source_more, *said.target_more]
        for first, second, *more in judges.values():
            given += [first, second, *chain(*more)]
        require_apart(given, [out], but=[out / "data"])
        changes = settings.model_dump(exclude_unset=True) if settings else {}
        if minutes is not None and "steps" in changes:
            raise ValueError("A training must be given `steps` or `minutes`; got both. Leave one of them out.")
        kept = initial.config.model_dump(mode="json") if initial and preset is None else None
        chosen = make_config(preset or "microscopy", config, changes, kept)
        RunFolder(out).require_free(overwrite)
        if wrong := [kind for kind, (first, *rest) in judges.items() if first is None and any(rest)]:
            raise ValueError(f"Pairs must have both sides: give `{wrong[0]}_source` and `{wrong[0]}_target`.")
        sides = {kind: Sides(paths[0], *paths[1:]) if paths[0] else None for kind, paths in judges.items()}
        if chosen.data == "pairs":
            trained: Any = open_stacks(source, target, said).without_bad()
        else:
            trained = UnpairedStacks.open(source, target, said)
        stacks = TrainingStacks.open(trained, sides["validation"], sides["test"], initial, with_old_pairs, Moved(roots))
        origin = {"path": str(from_model.resolve()), "sha256": initial.hash()} if initial and from_model else None
        everything: list[Any] = [stacks.train, stacks.validation, stacks.test]
        for some in filter(None, everything):
            yield from told_of_sides(some) if isinstance(some, UnpairedStacks) else told(some)
    run = RunFolder(out)
    owned = [out / name for name in ("previews", *run.FILES)] if resume else [out]
    require_apart(stacks.paths, [*owned, *run.written()], but=[] if resume else [out / "data"])

    from napari_pix2pix import core
    from napari_pix2pix.core.engine.atomic import FULL_DISK, is_full
    from napari_pix2pix.core.engine.processes import number

    if minutes is not None:
        yield {"event": "note", "text": "Measures how many steps fit in the time …"}
    reports = core.train(
        stacks.train.frames(),
        chosen,
        out=out,
        minutes=minutes,
        validation=stacks.validation.frames() if stacks.validation else None,
        test=stacks.test.frames() if stacks.test else None,
        initial=None if resume else initial,
        old_pairs=stacks.old.frames() if stacks.old else None,
        resume=resume is not None,
        finish=finish,
        overwrite=overwrite,
        device=device,
        devices=devices,
        num_nodes=num_nodes,
        provenance={**stacks.provenance(), "initial": origin},
    )
    if number() > 0:  # the first process speaks for all
        deque(reports, maxlen=0)
        sys.exit(DONE)
    plan = read_json_object(out / "config.json")
    yield {"event": "note", "text": understood(stacks.train, plan)}
    if minutes is not None:
        count, judging = plan["config"]["steps"], plan["config"].get("trust_steps", 0)
        then = f", then {judging:,} steps of learning to judge" if judging else ""
        text = f"In {minutes:g} minutes fit {count:,} steps{then}. To repeat it exactly, give these numbers."
        yield {"event": "note", "text": text, "steps": count, "trust_steps": judging}
    try:
        yield from training_events(reports, out)
    except OSError as error:
        if not is_full(error):
            raise
        raise OSError(f"{FULL_DISK} Go on with train `resume` {out}.") from error
    result = _trained(out / "model.safetensors", initial, device, Moved(roots))
    try:
        from napari_pix2pix.report.draw import draw_training

        result["report"] = str(draw_training(out, load(out, device), stacks, command_line()))
        result["text"] += f"\nReport: {result['report']}"
    except Exception as error:  # whatever cannot be drawn, the model is there
        yield {"event": "warning", "text": f"The model is saved; its report could not be written: {sentence_of(error)}"}
    yield result


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
