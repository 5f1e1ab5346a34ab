"""The command evaluate: figures against the truth."""

from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import Parameter

from napari_pix2pix.commands.evaluate_runs import evaluate_runs
from napari_pix2pix.commands.events import Events
from napari_pix2pix.commands.flags import OF_MODEL, Device, Model, Overwrite, PairsAlone, load
from napari_pix2pix.commands.recipe import command_line
from napari_pix2pix.commands.remarks import told, told_of_halves
from napari_pix2pix.commands.sentences import sentence_of
from napari_pix2pix.core.settings.config import Config, EmptyChannels, EmptyFrames, PairSettings


def evaluate(
    model: Annotated[Model | None, Parameter(help="As of the other commands; left out with --prediction.")] = None,
    source: Annotated[Path | None, Parameter(help="A stack or a folder.")] = None,
    target: Annotated[Path | None, Parameter(help="The truth: a stack or a folder.")] = None,
    *,
    prediction: Annotated[Path | None, Parameter(help="Any tool's output, judged instead of a model.")] = None,
    out: Annotated[Path, Parameter(help="The folder for metrics.json and metrics.csv.")],
    pairs: PairsAlone = None,
    target_kind: Annotated[
        Literal["auto", "intensity", "classes", "instances"], Parameter(help="With --prediction: what it shows.")
    ] = "auto",
    empty_frames: Annotated[EmptyFrames, Parameter(help=Config.model_fields["empty_frames"].description)] = "ask",
    empty_channels: Annotated[EmptyChannels, Parameter(help=Config.model_fields["empty_channels"].description)] = "ask",
    objects: Annotated[
        str | None,
        Parameter(
            help="Count objects in grey values and measure them: otsu, what exceeds Otsu's threshold of targets; "
            "label images, a file or a folder paired by name; or a model (nuclei), by which both sides are searched."
        ),
    ] = None,
    stain: Annotated[
        Literal["hed"] | None, Parameter(help="In RGB targets, measure the brown of DAB and its mask.")
    ] = None,
    draws: Annotated[
        int | None,
        Parameter(
            help="With --objects: what so many dropout draws tell of each object beside one prediction, in bits."
        ),
    ] = None,
    beside: Annotated[
        tuple[Annotated[Path, OF_MODEL], ...],
        Parameter(help="Further models for the same pairs, as baselines; one in RUN/l1_only is always taken."),
    ] = (),
    allow_seen: Annotated[
        bool, Parameter(negative="", help="Evaluate files that made the model, too, and mark every figure.")
    ] = False,
    device: Device = "auto",
    overwrite: Overwrite = False,
) -> Events:
    """Figures against the truth: metrics.json, metrics.csv, report.html; files that made the model are refused.

    Of a folder of runs (train --seeds, --folds) each run is judged on what it held out, without SOURCE and TARGET.
    """
    from napari_pix2pix.core.training.repetition import is_repetition

    if model is not None and prediction is None and is_repetition(model):
        by_model = _finder(objects)
        if beside or draws is not None or (objects not in (None, "otsu") and by_model is None):
            raise ValueError("Runs are judged by themselves; leave other models, `draws` and labels of `objects` out.")
        from napari_pix2pix.core import load_model

        finder = load_model(by_model, device) if by_model else objects
        asked: dict[str, Any] = {"objects": finder, "stain": stain, "allow_seen": allow_seen}
        asked |= {"empty_frames": empty_frames, "empty_channels": empty_channels}
        yield from evaluate_runs(model, source, target, out, pairs, asked, device, overwrite)
        return
    if prediction is not None:
        # evaluate --prediction PATH TARGET: the one positional argument is the target.
        given = [path for path in (model, source, target) if path is not None]
        if len(given) != 1:
            raise ValueError(f"With `prediction` there must be one more path, the TARGET; got {len(given)}.")
        if draws is not None:
            raise ValueError("Draws must be of a model; a prediction is one. Leave `draws` out.")
        source, target = prediction, given[0]
    elif model is None or source is None:
        raise ValueError("An evaluation must have MODEL SOURCE TARGET, or `prediction` PATH TARGET.")
    from napari_pix2pix.files.evaluations import MARKS, require_free
    from napari_pix2pix.files.outputs import all_or_none, require_apart, require_writable

    require_free(out, overwrite)
    written = [out / name for name in MARKS]
    by_model = _finder(objects)
    require_apart([model, source, target, *beside, by_model or (None if objects == "otsu" else objects)], written)
    require_writable(out, made=False)

    from napari_pix2pix import core
    from napari_pix2pix.core.engine.atomic import is_full
    from napari_pix2pix.core.evaluation.admission import require_judged, require_two_sides
    from napari_pix2pix.files.evaluations import write_evaluation
    from napari_pix2pix.files.judged import made_of
    from napari_pix2pix.files.pairing import open_stacks, predicted_names
    from napari_pix2pix.files.training_stacks import target_names_of
    from napari_pix2pix.report.card import figures_text
    from napari_pix2pix.report.draw import draw_evaluation

    assert source is not None
    finder = core.load_model(by_model, device) if by_model else None
    said, loaded = pairs or PairSettings(), None
    others: dict[str, Any] = {}
    if prediction is None:
        assert model is not None
        others = _beside(model, beside, device)
        loaded = load(model, device)
        require_two_sides(loaded)
        if "z" not in said.model_fields_set:
            said = said.model_copy(update={"z": loaded.source_view.pairs_z})
        yield from told_of_halves(loaded, said.side_by_side)
    # One bad pair among several does not stop the others.
    stacks = open_stacks(source, target, said if said.annotated_frames else said.model_copy(update={"skip_bad": True}))
    stacks = stacks.like(target_names_of(loaded) if loaded else predicted_names(stacks))
    if not said.annotated_frames:  # which are counted over all pairs
        stacks = stacks.sifted(lambda pair: None if loaded is None else require_judged(loaded, pair))
    yield from told(stacks, "warning" if said.skip_bad else "failure")
    require_apart(stacks.paths, written)
    frames = stacks.frames()
    asked = {
        "empty_frames": empty_frames,
        "empty_channels": empty_channels,
        "objects": finder or (objects if objects in (None, "otsu") else stacks.labelled(Path(objects))),
        "stain": stain,
        "pixel_size_um": stacks.pixel_size_um,
    }
    if loaded is None:
        report = core.evaluate_prediction(frames, None, kind=target_kind, **asked)
    else:
        report = core.evaluate(loaded, frames, None, beside=others, allow_seen=allow_seen, draws=draws, **asked)
    if stacks.files.skipped and not said.skip_bad:
        report["failed"] = list(stacks.files.skipped)
    judge = model / "model.safetensors" if model is not None and model.is_dir() else model
    report["made_of"] = made_of(stacks, None if judge is None or loaded is None else {judge: None})
    names = stacks.target_names
    path, page = out / "metrics.json", out / "report.html"
    undrawn: Exception | None = None
    with all_or_none(written):
        write_evaluation(out, report)
        try:
            draw_evaluation(page, report, frames, stacks, loaded, prediction or model or source, command_line())
        except Exception as error:  # the figures are there, whatever cannot be drawn
            if is_full(error):
                raise
            undrawn = error
    if undrawn is not None:
        raise RuntimeError(f"{path} is written, but its report could not be: {sentence_of(undrawn)}") from undrawn
    text = f"{figures_text(report, names)}\nFigures: {path}\nReport: {page}"
    yield {"event": "result", "metrics": str(path), "report": str(page), **report, "text": text}


def _finder(objects: str | None) -> Path | None:
    """The model that is to find objects; None where it is none that does."""
    from napari_pix2pix.files.starters import model_in

    return None if objects in (None, "otsu") else model_in(Path(objects))


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
