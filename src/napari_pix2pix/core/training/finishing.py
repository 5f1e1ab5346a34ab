"""What follows the last step of a training: the best model, its figures, and that it learns to judge."""

import warnings
from collections.abc import Iterator
from dataclasses import replace

from napari_pix2pix.core.data.pairs import PairedFrames
from napari_pix2pix.core.data.patches import MixedPatches
from napari_pix2pix.core.data.split import Split, met, windows_of
from napari_pix2pix.core.engine.devices import resolve_precision
from napari_pix2pix.core.engine.processes import number, part
from napari_pix2pix.core.evaluation.headlines import HEADLINES, judge
from napari_pix2pix.core.evaluation.metrics.comparison import higher_is_better
from napari_pix2pix.core.running.trained_model import TrainedModel, load_model
from napari_pix2pix.core.settings.config import Config, Precision
from napari_pix2pix.core.teaching.fit_trust import TrustReport, fit_trust
from napari_pix2pix.core.training.material import Material
from napari_pix2pix.core.training.prepare import Prepared
from napari_pix2pix.core.training.run_folder import RunFolder

SAME_ERROR = 1e-3
"""A change of the error on validation pairs, as a share of it, that is none: so much is bfloat16 allowed to make."""


def finished(given: Prepared, run: RunFolder) -> TrainedModel:
    """The best model, with its figures on the test pairs, and what it predicts in.

    Where processes share the training they part here; the first finds these figures, the others have the model without.
    """
    first = number() == 0
    given.learner.fabric.barrier()  # the first process has written it
    part()
    model, material = loaded(given, run), given.material
    if not first:
        return model
    if material.judged_regions and resolve_precision("auto", model.device) == "bfloat16":
        change = _change_of_error(model, material, "bfloat16")
        predicts_in = "bfloat16" if change < SAME_ERROR else "float32"
        model.provenance |= {"predicts_in": predicts_in, "bfloat16_changes_error_by": change}
        model.save(run.model)
    if material.test is not None:
        judged = judge(model, material.test, material.test.regions())
        model.provenance["figures"]["test"] = judged.figures
        if stains := judged.told(model.provenance.get("stains", ()), "test"):
            model.provenance["stains"] = stains
        model.save(run.model)
    return model


def loaded(given: Prepared, run: RunFolder) -> TrainedModel:
    """The model that is saved."""
    return load_model(run.model, str(given.model.device))


def is_to_judge(config: Config, model: TrainedModel) -> bool:
    """Whether the model is to learn to judge, and has not; that takes pairs."""
    known = model.match is not None or "trust" in model.provenance
    return bool(config.teaching_steps) and not known


def taught(given: Prepared, run: RunFolder, model: TrainedModel) -> Iterator[TrustReport]:
    """Teach the best model to judge the match; if stopped, a resumed run begins it anew."""
    try:
        reports = fit_trust(model, *teaching(given), at_most=given.config.teaching_steps)
    except ValueError as error:  # the model is good without
        sentence = f"The model is saved, but was not taught to judge its predictions. {error}"
        warnings.warn(sentence, stacklevel=3)
        replace(model, provenance={**model.provenance, "trust": {"not_taught": str(error)}}).save(run.model)
        return
    for report in reports:
        if report.model is not None:
            report.model.save(run.model)
        else:
            yield report


def teaching(given: Prepared) -> tuple[PairedFrames, Split]:
    """The pairs that teach and calibrate: a model that was improved is judged by what it knew before.

    The new pairs are few, and mostly what it was wrong about; calibration pairs among them do not calibrate.
    """
    patches, pairs, split = given.material.patches, given.material.pairs, given.material.split
    assert pairs is not None and split is not None
    if not isinstance(patches, MixedPatches):
        return pairs, split
    old, new = patches.old, split.rows(pairs)
    taken = [row for row in new if row["kind"] != "calibration"]
    split = Split(old.regions, (), windows_of(old.pairs, given.model.provenance["old_regions"], "calibration"))
    rows = [row for row in split.rows(old.pairs) if row["kind"] == "calibration"]
    is_taken = met(taken)
    free = (region for region, row in zip(split.calibration, rows, strict=True) if not is_taken(row))
    return old.pairs, replace(split, calibration=tuple(free))


def _change_of_error(model: TrainedModel, material: Material, precision: Precision) -> float:
    """By which share the error on the validation pairs changes when the model predicts in `precision`."""
    decides, pairs = HEADLINES[model.target_encoding.kind], material.judged
    assert pairs is not None
    judged = judge(model, pairs, material.judging, precision).figures, model.provenance["figures"]["validation"]
    found, exact = (1 - one[decides] if higher_is_better(decides) else one[decides] for one in judged)
    return abs(found - exact) / exact if exact else float(found != exact)
