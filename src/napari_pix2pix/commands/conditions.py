"""Of which condition the images of a command are: of one all of them, or of that which a table names."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from napari_pix2pix.commands.events import Events

if TYPE_CHECKING:
    from napari_pix2pix.core.running.trained_model import TrainedModel
    from napari_pix2pix.files.outputs import Job


def under_conditions(
    jobs: "list[Job]", said: str | None, names: Mapping[Path, str], model: "TrainedModel"
) -> "list[Job]":
    """The jobs, with the condition of each.

    Parameters
    ----------
    jobs
        As `plan_outputs` plans them.
    said
        A condition, or a CSV file that names that of each; None: not known.
    names
        What a table calls each, by the first of its files.
    model
        Which is to know them.

    Raises
    ------
    FileNotFoundError
        If there is no such table.
    ValueError
        If it cannot be read, or the model does not know a condition.
    """
    from napari_pix2pix.files.labels import conditions_of

    if said is None:
        return jobs
    if not (model.conditions.sets and said.lower().endswith(".csv")):
        model.under(said)
        return [replace(job, condition=said) for job in jobs]
    files = {names[job.inputs[0]]: job.inputs[0] for job in jobs}
    found = dict(zip(files.values(), conditions_of(said, files, partly=True, further=True), strict=True))
    own = (model.conditions.in_own_words(found[job.inputs[0]]) for job in jobs)
    return [
        replace(job, condition=model.conditions.called(labels) or None) for job, labels in zip(jobs, own, strict=True)
    ]


def told_of_conditions(jobs: "list[Job]", model: "TrainedModel") -> Events:
    """A note where those of some images are not known, though the model knows some."""
    none = [job.name for job in jobs if job.condition is None]
    if none and model.conditions.sets:
        more = f" and {len(none) - 1} more" if len(none) > 1 else ""
        known = ", ".join(model.conditions.names)
        text = f"Of {none[0]}{more} the condition is not said; the model, which knows {known}, does without."
        yield {"event": "note", "text": text}
