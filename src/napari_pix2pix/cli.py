"""The command line: one function per command, each a generator of events; flags come from the config's own fields.

This module imports torch only inside commands, so that help answers at once.
"""

import json
import os
import shlex
import sys
import traceback
from collections import deque
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import App, CycloptsError, Parameter
from pydantic import ValidationError

from napari_pix2pix import __version__
from napari_pix2pix.core.atomic import FULL_DISK, is_full
from napari_pix2pix.core.config import (
    PRESETS,
    Config,
    EmptyFrames,
    PairSettings,
    Precision,
    in_one_sentence,
    make_config,
    read_json_object,
)
from napari_pix2pix.events import (
    DONE,
    FAILED,
    REQUEST_ERRORS,
    WRONG_REQUEST,
    Event,
    Events,
    Interrupt,
    draw_json,
    draw_text,
    teaching_event,
    training_events,
    until_stopped,
    warnings_as_events,
)
from napari_pix2pix.remarks import told, told_of_calibration, told_of_halves, told_of_trust, understood


class ConfigFlags(Config):
    """The settings given as flags; checked against each other only once the preset is known."""

    def model_post_init(self, _: Any) -> None:
        """Nothing yet."""


Pairs = Annotated[PairSettings | None, Parameter(name="*", group="Pairs")]
Out = Annotated[Path, Parameter(help="Where the result goes.")]
Axes = Annotated[str | None, Parameter(help="One letter of TZCYXS per axis, where the file does not say.")]
Device = Annotated[str, Parameter(help="auto, cpu, cuda:0, mps.")]
SourceChannels = Annotated[
    tuple[str, ...], Parameter(help="Channels to take, by name or number; default: those of the training, by name.")
]
SideBySide = Annotated[
    Literal["left", "right"] | None, Parameter(help="Each image holds source and target: which half is the source.")
]
SourceMore = Annotated[tuple[str, ...], Parameter(help=PairSettings.model_fields["source_more"].description)]
Overwrite = Annotated[bool, Parameter(negative="", help="Replace an existing output.")]
Shard = Annotated[
    str | None, Parameter(help="3/40: every 40th of the files from the third on, for jobs that share a folder.")
]
Scheduler = Annotated[
    str | None, Parameter(help="Address of a dask scheduler, like tcp://node7:8786, whose workers do the files.")
]
LocalWorkers = Annotated[int | None, Parameter(help="Do the files in so many processes on this machine.")]
TileSize = Annotated[int | None, Parameter(help="Side of what each tile keeps, px. Default: one piece up to 2048.")]

app = App(
    "napari-pix2pix",
    help="Train, run and trust paired image-to-image models on microscopy.",
    help_epilogue="Every command takes `--json` (progress and result as JSON lines, for scripts) and "
    "`--debug` (where an error was raised).",
    version=__version__,
    exit_on_error=False,
    print_error=False,
    result_action="return_value",
)


@app.command
def demo(
    *,
    out: Annotated[Path, Parameter(help="The folder to write to; an earlier demo there is replaced.")] = Path(
        "napari-pix2pix-demo"
    ),
    view: Annotated[bool, Parameter(negative="", help="Open the result in napari.")] = False,
    device: Device = "auto",
) -> Events:
    """Train, predict, score and evaluate on a real image that ships with scikit-image."""
    from napari_pix2pix.demo import run_demo, view_demo

    yield from run_demo(out, device)
    if view:
        view_demo(out)


@app.command
def check(
    source: Annotated[Path, Parameter(help="A stack or a folder.")],
    target: Annotated[Path | None, Parameter(help="A stack or a folder; paired by file name.")] = None,
    *,
    preset: Annotated[str | None, Parameter(help="Settings that the pairs must suit; default: any.")] = None,
    config: Annotated[Path | None, Parameter(help="A JSON file of such settings.")] = None,
    settings: Annotated[ConfigFlags | None, Parameter(name="*")] = None,
    pairs: Pairs = None,
) -> Events:
    """Whether these pairs can be trained on, and which field and patch size suit them; exit 1 if they cannot."""
    chosen = None
    if preset or config or settings:
        changes = settings.model_dump(exclude_unset=True) if settings else {}
        chosen = make_config(preset or "microscopy", config, changes)

    from napari_pix2pix import core
    from napari_pix2pix.card import table
    from napari_pix2pix.files.pairing import open_stacks

    stacks = open_stacks(source, target, pairs or PairSettings())
    files = stacks.files
    report = core.check(stacks.frames(), config=chosen)
    for event in told(stacks):
        report["warnings"].append(event["text"])
        report["remarks"].append({"text": event["text"], "short": "", "level": "warning", "remedies": []})
    sizes = [(a.pixel_size_um, b.pixel_size_um) for a, b in zip(files.sources, files.targets, strict=True)]
    report["pixel_size_um"] = dict(zip(("source", "target"), sizes[0], strict=True))
    shown = [" x ".join(f"{size[axis]:.4g}" for axis in "ZYX" if axis in size) or "not said" for size in sizes[0]]
    report["facts"]["pixel size, µm"] = " and ".join(dict.fromkeys(shown))
    verdict = f"not usable: {' '.join(report['unusable'])}" if report["unusable"] else "usable"
    text = "\n".join(
        [table(report["facts"].items()), *(f"warning: {sentence}" for sentence in report["warnings"]), verdict]
    )
    yield {"event": "result", **report, "code": DONE if report["usable"] else FAILED, "text": text}


@app.command
def train(
    source: Annotated[Path | None, Parameter(help="A stack or a folder.")] = None,
    target: Annotated[Path | None, Parameter(help="A stack or a folder; paired by file name.")] = None,
    *,
    out: Annotated[Path | None, Parameter(help="The run folder; OUT/model.safetensors is the result.")] = None,
    resume: Annotated[Path | None, Parameter(help="Go on with this run, with its pairs and settings.")] = None,
    from_model: Annotated[
        Path | None,
        Parameter(name="--from", help="A model to start from; flags change its settings."),
    ] = None,
    with_old_pairs: Annotated[
        bool,
        Parameter(negative="", help="With --from: every second patch is of what taught that model."),
    ] = False,
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
    devices: Annotated[int, Parameter(help="Train on so many devices at once, which share each batch.")] = 1,
    num_nodes: Annotated[int, Parameter(help="On so many machines at once, where torchrun or SLURM starts it.")] = 1,
    overwrite: Overwrite = False,
) -> Events:
    """Train a model on pairs of images."""
    from napari_pix2pix.files.pairing import open_stacks
    from napari_pix2pix.files.training_stacks import Sides, TrainingStacks

    judges = {
        "validation": (validation_source, validation_target, validation_source_more, validation_target_more),
        "test": (test_source, test_target, test_source_more, test_target_more),
    }
    initial = _load(from_model, "cpu") if from_model else None
    if resume is not None:
        others = (source, target, out, config, settings, pairs, initial, preset, with_old_pairs, overwrite)
        if any(others) or any(map(any, judges.values())):
            raise ValueError("A resumed run must keep its pairs and settings; give --resume RUN, and perhaps --device.")
        run = read_json_object(_existing(resume / "config.json", "A run to resume must hold config.json"))
        chosen, out, said = None, resume, run["provenance"]["pairs"]
        stacks = TrainingStacks.again(said)
        if origin := said.get("initial"):
            initial = _load(Path(origin["path"]), "cpu") if Path(origin["path"]).exists() else None
    else:
        if source is None or out is None:
            raise ValueError("A training must have a source, a target and --out RUN. See train --help.")
        changes = settings.model_dump(exclude_unset=True) if settings else {}
        kept = initial.config.model_dump(mode="json") if initial and preset is None else None
        chosen = make_config(preset or "microscopy", config, changes, kept)
        _require_free(out, overwrite)
        if wrong := [kind for kind, (first, *rest) in judges.items() if first is None and any(rest)]:
            raise ValueError(f"Pairs must have both sides: give --{wrong[0]}-source and --{wrong[0]}-target.")
        sides = {kind: Sides(paths[0], *paths[1:]) if paths[0] else None for kind, paths in judges.items()}
        trained = open_stacks(source, target, pairs or PairSettings()).without_bad()
        stacks = TrainingStacks.open(trained, sides["validation"], sides["test"], initial, with_old_pairs)
        origin = {"path": str(from_model.resolve()), "sha256": initial.hash()} if initial and from_model else None
        for some in filter(None, (stacks.train, stacks.validation, stacks.test)):
            yield from told(some)

    from napari_pix2pix import core
    from napari_pix2pix.core.processes import number

    reports = core.train(
        stacks.train.frames(),
        chosen,
        out=out,
        validation=stacks.validation.frames() if stacks.validation else None,
        test=stacks.test.frames() if stacks.test else None,
        initial=None if resume else initial,
        old_pairs=stacks.old.frames() if stacks.old else None,
        resume=resume is not None,
        overwrite=overwrite,
        device=device,
        devices=devices,
        num_nodes=num_nodes,
        provenance={**stacks.provenance(), "initial": origin},
    )
    if number() > 0:  # the first process speaks for all
        deque(reports, maxlen=0)
        sys.exit(DONE)
    yield {"event": "note", "text": understood(stacks.train, read_json_object(out / "config.json"))}
    yield from training_events(reports, out)
    result = _trained(out / "model.safetensors", initial, device)
    try:
        from napari_pix2pix.reports import draw_training

        result["report"] = str(draw_training(out, _load(out, device), stacks, _command()))
        result["text"] += f"\nReport: {result['report']}"
    except Exception as error:  # whatever cannot be drawn, the model is there
        yield {"event": "warning", "text": f"The model is saved; its report could not be written: {_sentence(error)}"}
    yield result


def _trained(path: Path, initial: Any, device: str) -> Event:
    """What came of a training; beside figures of the model it started from, which are kept in the new one."""
    from napari_pix2pix.files.training_stacks import figures_of_old

    model = _load(path, device)
    figures, lines = model.provenance["figures"], []
    not_compared = ""
    if initial is not None and "compared" not in model.provenance:
        try:
            model.provenance["compared"] = figures_of_old(initial.to(device), model)
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
    from napari_pix2pix.core.metrics.comparison import higher_is_better

    return "the same" if before == after else "better" if (after > before) == higher_is_better(figure) else "worse"


@app.command
def predict(
    model: Annotated[Path, Parameter(help="A model.safetensors.")],
    source: Annotated[list[str], Parameter(help="Files, folders or patterns.")],
    *,
    out: Annotated[Path, Parameter(help="A .tif or .zarr for one source, else a folder; what is done there is kept.")],
    source_axes: Axes = None,
    source_channels: SourceChannels = (),
    source_more: SourceMore = (),
    side_by_side: SideBySide = None,
    tile_size: TileSize = None,
    overlap: Annotated[
        int | None, Parameter(help="Of tiles, px. Default: exact, no seams; less is faster, and blended.")
    ] = None,
    norm_statistics: Annotated[
        Literal["training", "image"] | None,
        Parameter(help="Of batch norm, instead of what the model was trained for; those of the training allow tiles."),
    ] = None,
    rescale: Annotated[
        bool,
        Parameter(
            negative="",
            help="Let the network see the training's pixel size, where a source's differs by more than 10 %.",
        ),
    ] = False,
    draws: Annotated[
        int | None,
        Parameter(
            help="The mean over so many dropout draws; their standard deviation goes to OUT.spread.tif or .zarr."
        ),
    ] = None,
    seed_threshold: Annotated[
        float | None, Parameter(help="Instances: an object starts where the depth exceeds this share. Default: 0.5.")
    ] = None,
    min_size: Annotated[
        int | None, Parameter(help="Instances: smaller objects are dropped, px. Default: the model's.")
    ] = None,
    keep_maps: Annotated[
        bool, Parameter(negative="", help="Keep what the network gave (OUT.maps.tif), to decode objects again.")
    ] = False,
    keep_frames: Annotated[
        bool, Parameter(negative="", help="If it is stopped, keep the frames that are done, as a shorter OME-Zarr.")
    ] = False,
    trust: Annotated[
        bool,
        Parameter(
            negative="",
            help="How far to trust each pixel: OUT.expected_error.tif, and OUT.untrusted.tif, 1 where that is above "
            "the limit; each object, to keep or to check: OUT.objects.csv, OUT.outlines.geojson.",
        ),
    ] = False,
    trust_limit: Annotated[
        float | None,
        Parameter(
            help="With --trust: the expected error above which a pixel is not trusted, in the target's units; of "
            "labels a share of wrong pixels. Default: twice the usual error."
        ),
    ] = None,
    shard: Shard = None,
    scheduler: Scheduler = None,
    local_workers: LocalWorkers = None,
    device: Device = "auto",
    precision: Annotated[
        Precision, Parameter(help="auto: bfloat16 where the training found it as good; float32: tiles leave no trace.")
    ] = "auto",
    overwrite: Overwrite = False,
) -> Events:
    """Predict the target of each source; a folder with its subfolders."""
    from napari_pix2pix.files.folders import further_paths, list_images, named_as, place_below
    from napari_pix2pix.files.outputs import beside, plan_outputs
    from napari_pix2pix.files.results import maps_path
    from napari_pix2pix.files.stacks import ZARR
    from napari_pix2pix.files.trusted import parts_of_trust
    from napari_pix2pix.files.trusted import trust_limit as limit_of
    from napari_pix2pix.jobs import ModelWork, do_each

    if keep_frames and not out.name.lower().endswith(ZARR):
        raise ValueError(f"With --keep-frames the output must be an OME-Zarr; got {out}. End --out in .zarr.")

    given = {path: root for root in source for path in list_images(root, tree=True, leave_out=[out])}
    names = {path: named_as(root)(path) for path, root in given.items()}
    more = further_paths(source_more, list(names.values()), tree=True)
    inputs = [(place_below(root, path), (path, *more[names[path]])) for path, root in given.items()]
    loaded = _load(model, device)
    parts = [*(["spread"] if draws is not None else []), *(parts_of_trust(loaded) if trust else [])]
    jobs = plan_outputs(inputs, out, [*([maps_path] if keep_maps else []), *map(beside, parts)])
    yield from told_of_halves(loaded, side_by_side)
    settings: dict[str, Any] = {
        "axes": source_axes,
        "wanted": source_channels,
        "half": side_by_side,
        "tile_size": tile_size,
        "overlap": overlap,
        "seed_threshold": seed_threshold,
        "min_size": min_size,
        "keep_maps": keep_maps,
        "draws": draws,
        "norm_statistics": norm_statistics,
        "rescale": rescale,
        "precision": precision,
    }
    settings |= {"keep_frames": True} if keep_frames else {}  # changes no result: what is done stays done
    if trust:
        settings |= {"trust": True, "trust_limit": limit_of(loaded, trust_limit)}
        yield from told_of_calibration(loaded)
    elif trust_limit is not None:
        raise ValueError("A trust limit must limit something; give --trust, too, or leave --trust-limit out.")
    work, workers = ModelWork("predictions", model, device, loaded.hash(), settings), _workers(scheduler, local_workers)
    how: dict[str, Any] = {"shard": shard, "overwrite": overwrite, "workers": workers}
    with closing(do_each(jobs, work, "predictions", out, work.made_with, **how)) as events:
        for event in events:
            yield event
            if trust and len(jobs) == 1 and event["event"] == "row":  # of several, the table tells
                yield told_of_trust(event["row"], settings["trust_limit"])


@app.command
def score(
    model: Annotated[Path, Parameter(help="A model.safetensors.")],
    source: Annotated[Path, Parameter(help="A file or a folder.")],
    image: Annotated[
        Path | None, Parameter(help="Predictions or targets: a file, or a folder paired by file name.")
    ] = None,
    *,
    out: Annotated[Path, Parameter(help="A .tif or .zarr for one image, else a folder; what is done there is kept.")],
    source_axes: Axes = None,
    source_channels: SourceChannels = (),
    source_more: SourceMore = (),
    side_by_side: SideBySide = None,
    pair_by: Annotated[tuple[str, str] | None, Parameter(help=PairSettings.model_fields["pair_by"].description)] = None,
    image_axes: Axes = None,
    kind: Annotated[
        Literal["match", "plain"] | None,
        Parameter(
            help="match: does it belong to its source, with expected errors; plain: does it look real. "
            "Default: the first that the model has."
        ),
    ] = None,
    table: Annotated[
        bool, Parameter(negative="", help="A table of all scores, too (OUT.table.csv): position, score, rank, errors.")
    ] = False,
    per_pixel: Annotated[
        bool,
        Parameter(
            negative="",
            help="Every image on the pixels of IMAGE, linear between the centres of the fields, instead of one for "
            "each field.",
        ),
    ] = False,
    tile_size: TileSize = None,
    shard: Shard = None,
    scheduler: Scheduler = None,
    local_workers: LocalWorkers = None,
    device: Device = "auto",
    overwrite: Overwrite = False,
) -> Events:
    """Patch scores of images given their sources, placed on the image; no truth needed. High = matches, looks real.

    Beside OUT.tif: which fields lie wholly inside (OUT.valid.tif) and, from a model that was taught to judge the match,
    OUT.expected_error.tif, OUT.rank.tif and OUT.error_bound.tif.
    """
    from napari_pix2pix.files.folders import further_paths, halved, named_pairs, place_below
    from napari_pix2pix.files.outputs import beside, plan_outputs
    from napari_pix2pix.files.results import parts_of_scores
    from napari_pix2pix.jobs import ModelWork, do_each

    if image is None and (side_by_side is None) == (pair_by is None):
        raise ValueError(
            "A source must have an IMAGE to score, unless it holds both (--side-by-side) or names tell (--pair-by)."
        )
    halves = (side_by_side, None) if image else halved(side_by_side)
    pairs = named_pairs(source, image or source, pair_by, tree=True, leave_out=[out])
    more = further_paths(source_more, list(pairs), tree=True)
    inputs = [
        (place_below(image or source, judged), (judged, given, *more[name])) for name, (given, judged) in pairs.items()
    ]
    loaded = _load(model, device)
    jobs = plan_outputs(inputs, out, [beside(part) for part in parts_of_scores(loaded, kind, table)])
    yield from told_of_halves(loaded, side_by_side)
    if kind != "plain":
        yield from told_of_calibration(loaded)
    settings: dict[str, Any] = {
        "source_axes": source_axes,
        "image_axes": image_axes,
        "wanted": source_channels,
        "halves": halves,
        "tile_size": tile_size,
        "kind": kind,
        "table": table,
    } | ({"each_pixel": True} if per_pixel else {})
    work, workers = ModelWork("scores", model, device, loaded.hash(), settings), _workers(scheduler, local_workers)
    how: dict[str, Any] = {"shard": shard, "overwrite": overwrite, "workers": workers}
    yield from do_each(jobs, work, "scores", out, work.made_with, **how)


@app.command
def evaluate(
    model: Annotated[Path | None, Parameter(help="A model.safetensors; left out with --prediction.")] = None,
    source: Annotated[Path | None, Parameter(help="A stack or a folder.")] = None,
    target: Annotated[Path | None, Parameter(help="The truth: a stack or a folder.")] = None,
    *,
    prediction: Annotated[Path | None, Parameter(help="Any tool's output, judged instead of a model.")] = None,
    out: Annotated[Path, Parameter(help="The folder for metrics.json and metrics.csv.")],
    pairs: Pairs = None,
    target_kind: Annotated[
        Literal["auto", "intensity", "classes", "instances"], Parameter(help="With --prediction: what it shows.")
    ] = "auto",
    empty_frames: Annotated[EmptyFrames, Parameter(help=Config.model_fields["empty_frames"].description)] = "ask",
    objects: Annotated[
        str | None,
        Parameter(
            help="Count objects in grey values and measure them: otsu, what exceeds Otsu's threshold of targets; or "
            "label images, a file or a folder paired by name."
        ),
    ] = None,
    stain: Annotated[
        Literal["hed"] | None, Parameter(help="In RGB targets, measure the brown of DAB and its mask.")
    ] = None,
    beside: Annotated[
        tuple[Path, ...],
        Parameter(help="Further models for the same pairs, as baselines; one in RUN/l1_only is always taken."),
    ] = (),
    allow_seen: Annotated[
        bool, Parameter(negative="", help="Evaluate files that made the model, too, and mark every figure.")
    ] = False,
    device: Device = "auto",
    overwrite: Overwrite = False,
) -> Events:
    """Figures against the truth: metrics.json, metrics.csv, report.html; files that made the model are refused."""
    if prediction is not None:
        # evaluate --prediction PATH TARGET: the one positional argument is the target.
        given = [path for path in (model, source, target) if path is not None]
        if len(given) != 1:
            raise ValueError(f"With --prediction there must be one more path, the TARGET; got {len(given)}.")
        source, target = prediction, given[0]
    elif model is None or source is None:
        raise ValueError("An evaluation must have MODEL SOURCE TARGET, or --prediction PATH TARGET.")
    if out.is_file():
        raise FileExistsError(f"An evaluation must go to a folder; {out} is a file. Choose another --out.")
    existing = [out / name for name in ("metrics.json", "metrics.csv", "report.html") if (out / name).exists()]
    if existing and not overwrite:
        raise FileExistsError(f"An output must not exist yet; {existing[0]} does. Choose another --out or --overwrite.")

    from napari_pix2pix import core
    from napari_pix2pix.card import figures_text
    from napari_pix2pix.core.evaluation import require_suited
    from napari_pix2pix.files.evaluations import write_evaluation
    from napari_pix2pix.files.pairing import open_stacks, taken_names
    from napari_pix2pix.reports import draw_evaluation

    assert source is not None
    said, loaded = pairs or PairSettings(), None
    others: dict[str, Any] = {}
    if prediction is None:
        assert model is not None
        others = _beside(model, beside, device)
        loaded = _load(model, device)
        if "z" not in said.model_fields_set:
            said = said.model_copy(update={"z": loaded.source_view.pairs_z})
        yield from told_of_halves(loaded, said.side_by_side)
    # One bad pair among several does not stop the others.
    stacks = open_stacks(source, target, said if said.annotated_frames else said.model_copy(update={"skip_bad": True}))
    if not said.annotated_frames:  # which are counted over all pairs
        stacks = stacks.sifted(lambda pair: None if loaded is None else require_suited(loaded, pair))
    yield from told(stacks, "warning" if said.skip_bad else "failure")
    frames = stacks.frames()
    asked: dict[str, Any] = {
        "empty_frames": empty_frames,
        "objects": objects if objects in (None, "otsu") else stacks.labelled(Path(objects)),
        "stain": stain,
        "pixel_size_um": stacks.pixel_size_um,
    }
    if loaded is None:
        report = core.evaluate_prediction(frames, None, kind=target_kind, **asked)
    else:
        report = core.evaluate(loaded, frames, None, beside=others, allow_seen=allow_seen, **asked)
    if stacks.files.skipped and not said.skip_bad:
        report["failed"] = list(stacks.files.skipped)
    write_evaluation(out, report)
    names = taken_names(stacks.files.targets[0], said.target_channels)
    path, page = out / "metrics.json", out / "report.html"
    try:
        draw_evaluation(page, report, frames, stacks, loaded, prediction or model or source, _command())
    except Exception as error:  # the figures are there, whatever cannot be drawn
        raise RuntimeError(f"{path} is written, but its report could not be: {_sentence(error)}") from error
    text = f"{figures_text(report, names)}\nFigures: {path}\nReport: {page}"
    yield {"event": "result", "metrics": str(path), "report": str(page), **report, "text": text}


def _beside(model: Path, further: tuple[Path, ...], device: str) -> dict[str, Any]:
    """Further models to judge on the same pairs, by name; that in `l1_only` of the model's run is one."""
    from napari_pix2pix.core import load_model

    run = model if model.is_dir() else model.parent
    sibling = run / "l1_only" / "model.safetensors"
    found = {"l1_only": load_model(sibling, device)} if sibling.is_file() else {}
    for path in further:
        file = path / "model.safetensors" if path.is_dir() else path
        name = file.resolve().parent.name if file.name == "model.safetensors" else file.stem
        if name in found:
            raise ValueError(f"Models beside each other must be called differently; {name} is there twice.")
        found[name] = load_model(file, device)
    return found


@app.command
def fit_trust(
    model: Annotated[Path, Parameter(help="A model.safetensors.")],
    source: Annotated[Path, Parameter(help="A stack or a folder.")],
    target: Annotated[Path | None, Parameter(help="The truth: a stack or a folder.")] = None,
    *,
    out: Annotated[Path, Parameter(help="The new model: the same, taught to judge the match. A .safetensors file.")],
    steps: Annotated[int | None, Parameter(help="Default: the model's --trust-steps.")] = None,
    empty_frames: Annotated[
        EmptyFrames | None,
        Parameter(help="Frames without any label: empty or unlabelled; default: as in the training."),
    ] = None,
    pairs: Pairs = None,
    device: Device = "auto",
    overwrite: Overwrite = False,
) -> Events:
    """Teach a model to judge whether an image belongs to its source and to expect errors, and calibrate both.

    Pairs are divided by group: what the model has not seen teaches in part and calibrates in part; what trained or
    chose it only teaches.
    """
    if out.suffix != ".safetensors":
        raise ValueError(f"A model must go to a .safetensors file; got {out}. Choose another --out.")
    if out.exists() and not overwrite:
        raise FileExistsError(f"An output must not exist yet; {out} does. Choose another --out or --overwrite.")
    if steps is not None and steps < 1:
        raise ValueError(f"steps must be at least 1; got {steps}. Leave it out for the model's.")

    from napari_pix2pix import core
    from napari_pix2pix.files.outputs import require_writable
    from napari_pix2pix.files.pairing import open_stacks

    require_writable(out.parent)
    said, loaded = pairs or PairSettings(), _load(model, device)
    if "z" not in said.model_fields_set:
        said = said.model_copy(update={"z": loaded.source_view.pairs_z})
    stacks = open_stacks(source, target, said).without_bad()
    yield from told(stacks)
    taught = loaded
    with closing(core.fit_trust(loaded, stacks.frames(), steps=steps, empty_frames=empty_frames)) as reports:
        for report in reports:
            if report.model is not None:
                taught = report.model
            else:
                yield teaching_event(report)
    taught.save(out)
    facts = taught.provenance["trust"]
    known = taught.match.calibration if taught.match else None
    promise = known.promise if known else "No calibration pairs: scores have no ranks, errors no bound."
    yield {
        "event": "result",
        "model": str(out),
        "trust": facts,
        "text": f"Model: {out}\nTaught on {facts['taught']} and calibrated on {facts['calibrated']} regions "
        f"({facts['groups']} groups). {promise}",
    }


@app.command
def compare(
    evaluations: Annotated[list[Path], Parameter(help="Folders that evaluate wrote; the first is the reference.")],
    *,
    out: Annotated[Path | None, Parameter(help="A JSON file for what was found.")] = None,
    overwrite: Overwrite = False,
) -> Events:
    """What differs between evaluations of the same files, image by image, with intervals."""
    if out is not None and out.exists() and not overwrite:
        raise FileExistsError(f"An output must not exist yet; {out} does. Choose another --out or --overwrite.")

    from napari_pix2pix import core
    from napari_pix2pix.card import comparison_text
    from napari_pix2pix.core.atomic import written_beside
    from napari_pix2pix.files.evaluations import read_evaluations

    found = core.compare(read_evaluations(evaluations))
    if out is not None:
        with written_beside(out) as beside:
            beside.write_text(json.dumps(found, indent=2, allow_nan=False), "utf8")
    yield {"event": "result", **found, "text": comparison_text(found)}


@app.command
def info(model: Annotated[Path | None, Parameter(help="A model.safetensors.")] = None) -> Events:
    """What this machine computes with, or a model's card."""
    if model is None:
        from napari_pix2pix.core.devices import available_devices, describe_device

        devices = {name: describe_device(name) for name in available_devices()}
        text = "\n".join(f"{name:>8}  {what}" for name, what in devices.items())
        yield {"event": "result", "version": __version__, "devices": devices, "text": f"{__version__}\n{text}"}
        return
    loaded = _load(model, "cpu")
    from napari_pix2pix.card import model_text, refusals
    from napari_pix2pix.core.run_folder import RunFolder

    elapsed = RunFolder(model if model.is_dir() else model.parent).elapsed_s() or None
    content = {**loaded.content(), "sha256": loaded.hash(), "refuses": refusals(loaded), "elapsed_s": elapsed}
    yield {"event": "result", **content, "text": model_text(loaded, elapsed)}


def _require_free(out: Path, overwrite: bool) -> None:
    from napari_pix2pix.core.run_folder import RunFolder

    RunFolder(out).require_free(overwrite)


def _existing(path: Path, must: str) -> Path:
    if not path.is_file():
        raise FileNotFoundError(f"{must}; there is none at {path}. Check the path.")
    return path


_words: list[str] = []
"""Of the command that runs."""


def _command() -> str:
    """The exact command that runs, for a shell."""
    return shlex.join(["napari-pix2pix", *_words])


def _load(path: Path, device: str) -> Any:
    """The model; the last one stays in memory for the next command of `serve`."""
    from napari_pix2pix.jobs import load_once

    return load_once(path, device)


def _workers(scheduler: str | None, local_workers: int | None) -> str | int | None:
    if scheduler is not None and local_workers is not None:
        raise ValueError("Workers must be those of --scheduler or --local-workers; got both. Leave one out.")
    return local_workers if scheduler is None else scheduler


@app.command
def serve() -> int:
    """For the docks: stay warm and take JSON requests on standard input until it closes."""
    from napari_pix2pix.serve import serve_requests

    answers, sys.stdout = sys.stdout, sys.stderr  # what a library prints must not look like an answer
    return serve_requests(run_command, sys.stdin, answers)


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; the exit code."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    flags = {flag for flag in ("--json", "--debug") if flag in words}
    words = [word for word in words if word not in flags]
    draw = draw_json if "--json" in flags else draw_text
    with Interrupt() as interrupt:
        return run_command(
            words, lambda events: draw(interrupt.watch(events)), lambda: interrupt.asked, debug="--debug" in flags
        )


def run_command(
    words: list[str],
    draw: Callable[[Iterator[Event]], int],
    stop: Callable[[], bool] = lambda: False,
    debug: bool = False,
) -> int:
    """One command; its events are drawn and its error told in one sentence. The exit code."""
    _words[:] = words
    try:
        events = app(words)
        if not isinstance(events, Generator):  # help or version, already printed, or `serve` that has ended
            return events if isinstance(events, int) else DONE
        with closing(events), warnings_as_events() as warned:
            return draw(until_stopped(events, warned, stop))
    except KeyboardInterrupt:
        return draw(iter([{"event": "error", "code": FAILED, "text": "Interrupted; no file is half-written."}]))
    except BrokenPipeError:  # whoever read our output is gone
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    except Exception as error:  # the outermost door: whatever failed becomes one sentence
        if debug:
            traceback.print_exc()
        code = WRONG_REQUEST if isinstance(error, (CycloptsError, *REQUEST_ERRORS)) else FAILED
        return draw(iter([{"event": "error", "code": code, "text": _sentence(error)}]))


def _sentence(error: Exception) -> str:
    if isinstance(error.__cause__, ValidationError):
        return in_one_sentence(error.__cause__)
    if is_full(error):
        return FULL_DISK
    if isinstance(error, OSError) and error.strerror:
        return f"{error.strerror}: {error.filename}" if error.filename else error.strerror
    text = " ".join(str(error).split())
    if _is_out_of_memory(error):
        ours = isinstance(error, MemoryError) and text.endswith(".")
        return text if ours else FULL_MEMORY.format(text.partition(". ")[0] or type(error).__name__)
    return text if isinstance(error, ValueError | OSError | CycloptsError) else f"{type(error).__name__}: {text}"


FULL_MEMORY = (
    "Memory must suffice for the work; it does not ({}). Lower the patch or batch size, or free some of it, "
    "and try again; what was saved is kept."
)


def _is_out_of_memory(error: Exception) -> bool:
    from napari_pix2pix.core.devices import is_out_of_memory

    return isinstance(error, MemoryError | RuntimeError) and is_out_of_memory(error)
