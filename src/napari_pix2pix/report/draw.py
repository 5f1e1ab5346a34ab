"""The reports that `evaluate` and `train` write: what they have found, shown and told by `files.report`."""

import csv
import math
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from napari_pix2pix.core.data.emptiness import judged_as, settle_empty
from napari_pix2pix.core.data.pairs import PairedFrames
from napari_pix2pix.core.data.split import windows_of
from napari_pix2pix.core.evaluation.evaluate import evaluate
from napari_pix2pix.core.methods import method_of
from napari_pix2pix.core.running.trained_model import TrainedModel
from napari_pix2pix.core.teaching.examples import MOST, examples
from napari_pix2pix.core.training.run_folder import RunFolder
from napari_pix2pix.files.domains import DomainStacks
from napari_pix2pix.files.images import ImageStacks
from napari_pix2pix.files.pairing import PairedStacks
from napari_pix2pix.files.starters import called
from napari_pix2pix.files.training_stacks import TrainingStacks
from napari_pix2pix.report.card import model_lines
from napari_pix2pix.report.content import Content
from napari_pix2pix.report.from_nothing import made_pictures
from napari_pix2pix.report.page import write_report
from napari_pix2pix.report.translations import translations

FEW = 3
"""Examples of several channels each."""
MOST_JUDGED = 64
"""Validation images that the report of a training judges: enough to see how it went, in seconds."""
MOST_PIXELS = 2**24
"""Of these, unless one alone has more."""
NO_PAIRS = (
    "The model learned without pairs, so this page has no figures of truth: evaluate it on a few registered pairs, "
    "which tell what it invents and what it misses. Without them no error can be expected of a prediction, either."
)
MADE = (
    "The model makes images from nothing: they are no observations, and no figure tells whether one of them is true. "
    "Beside real images they show what it has learned; whether training on them helps, only real pairs can tell."
)
NOT_JUDGED = "No pairs were set aside to judge this model by, so this page has no figures: evaluate it on other pairs."


def draw_evaluation(
    path: Path,
    report: dict[str, Any],
    pairs: PairedFrames,
    stacks: PairedStacks,
    model: TrainedModel | None,
    judged: Path,
    command: str,
) -> None:
    """The page at `path` on what `evaluate` has found for these pairs.

    Parameters
    ----------
    path
        Of the HTML file.
    report, pairs, model
        The figures, what they were taken on, and the model; None: any tool's predictions were judged.
    stacks
        Where the pairs came from.
    judged
        The model's path, or that of the predictions.
    command
        What writes the page.
    """
    channels = stacks.target_names
    content = Content(
        f"Evaluation of {called(judged)}",
        command,
        report,
        model,
        examples(report, pairs, model, _how_many(report, model)),
        _card(model, judged if judged.is_dir() else judged.parent),
        channels=channels,
        skipped=stacks.files.skipped,
    )
    write_report(path, content)


def draw_training(run: Path, model: TrainedModel, stacks: TrainingStacks, command: str) -> Path:
    """The page on the model of this run, judged by its validation pairs; its path."""
    path, title = run / "report.html", f"Training of {run.name or run}"
    history = _history(run / "history.csv")
    validation = stacks.validation or stacks.train
    if not isinstance(validation, PairedStacks):
        figures = model.provenance.get("figures", {}).get("validation", {})
        remarks = [*method_of(model.config).told(figures), MADE if model.config.data == "images" else NO_PAIRS]
        grid = translations(model, validation.frames(hashed=False)) if isinstance(validation, DomainStacks) else []
        if isinstance(validation, ImageStacks):
            grid = made_pictures(model, validation.frames(hashed=False))
        content = Content(title, command, None, model, (), _card(model, run), history, (), {}, remarks, grid)
        write_report(path, content)
        return path
    pairs = validation.frames(hashed=False)  # that they chose the model is known, and said
    pairs = settle_empty(
        pairs, *judged_as(model.config), model.target_encoding.kind, varying=range(pairs.n_channels[1])
    )
    rows = model.provenance.get("regions", ())
    regions = pairs.regions() if stacks.validation else windows_of(pairs, rows, "validation")
    if not regions:
        content = Content(title, command, None, model, (), _card(model, run), history, remarks=[NOT_JUDGED])
        write_report(path, content)
        return path
    pixels = sum(math.prod(region.shape) for region in regions)
    count = max(1, min(MOST_JUDGED, len(regions) * MOST_PIXELS // pixels))
    judged = regions[:: -(-len(regions) // count)]
    pairs, few = pairs.within(judged), f"{len(judged)} of {len(regions)} validation images, evenly chosen."
    remarks = [few] if len(judged) < len(regions) else []
    report = evaluate(model, pairs, None, empty_frames="empty", empty_channels="empty", kind_of_pairs="validation")
    channels = validation.target_names
    shown = examples(report, pairs, model, _how_many(report, model))
    write_report(path, Content(title, command, report, model, shown, _card(model, run), history, channels, {}, remarks))
    return path


def _how_many(report: dict[str, Any], model: TrainedModel | None) -> int:
    """Examples: fewer where each has a row of pictures for each of several channels that are no colours."""
    colours = model is not None and model.channel_axis == "S"
    return MOST if colours or len(report.get("channels", ())) < 2 else FEW


def _card(model: TrainedModel | None, run: Path) -> Sequence[tuple[str, str]]:
    if model is None:
        return ()
    try:
        elapsed = RunFolder(run).elapsed_s() or None
    except ValueError as error:  # another program's, perhaps
        elapsed = None
        warnings.warn(f"How long the training took is not known. {error}", stacklevel=2)
    return list(model_lines(model, elapsed).items())


def _history(path: Path) -> list[dict[str, float]]:
    with path.open(newline="", encoding="utf8") as file:
        return [{name: float(value) for name, value in row.items() if value} for row in csv.DictReader(file)]
