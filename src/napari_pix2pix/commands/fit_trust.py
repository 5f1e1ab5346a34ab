"""The command fit-trust: a model learns to judge the match."""

from contextlib import closing
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from napari_pix2pix.commands.events import Events, teaching_event
from napari_pix2pix.commands.flags import Device, Model, Overwrite, PairsAlone, Whole, load
from napari_pix2pix.commands.remarks import told
from napari_pix2pix.core.engine.foreign_text import require_text
from napari_pix2pix.core.settings.config import EmptyChannels, EmptyFrames, PairSettings
from napari_pix2pix.core.settings.training import MOST_STEPS


def fit_trust(
    model: Model,
    source: Annotated[Path, Parameter(help="A stack or a folder.")],
    target: Annotated[Path | None, Parameter(help="The truth: a stack or a folder.")] = None,
    *,
    out: Annotated[Path, Parameter(help="The new model: the same, taught to judge the match. A .safetensors file.")],
    trust_steps: Annotated[
        Whole | None,
        Parameter(
            name=("--trust-steps", "--steps"), help="Default: the number that its training had, or until it is good."
        ),
    ] = None,
    empty_frames: Annotated[
        EmptyFrames | None,
        Parameter(help="Frames without any label: empty or unlabelled; default: as in the training."),
    ] = None,
    empty_channels: Annotated[
        EmptyChannels | None,
        Parameter(help="Channels of one value all over a pair: empty or unstained; default: as in the training."),
    ] = None,
    pairs: PairsAlone = None,
    device: Device = "auto",
    overwrite: Overwrite = False,
) -> Events:
    """Teach a model to judge whether an image belongs to its source and to expect errors, and calibrate both.

    Pairs are divided by group: what the model has not seen teaches in part and calibrates in part; what trained or
    chose it only teaches. A model that was taught before is taught on.
    """
    if out.suffix != ".safetensors":
        raise ValueError(f"A model must go to a .safetensors file; got {out}. Choose another `out`.")
    require_text(out)
    if out.exists() and not overwrite:
        raise FileExistsError(f"An output must not exist yet; {out} does. Choose another `out` or `overwrite`.")
    if trust_steps is not None and not 1 <= trust_steps <= MOST_STEPS:
        raise ValueError(
            f"trust_steps must be from 1 to {MOST_STEPS}; got {trust_steps}. Leave it out for the model's."
        )

    from napari_pix2pix import core
    from napari_pix2pix.core.data.split import trained_elsewhere
    from napari_pix2pix.core.evaluation.admission import require_judged, require_two_sides
    from napari_pix2pix.files.outputs import require_apart, require_writable
    from napari_pix2pix.files.pairing import open_stacks
    from napari_pix2pix.files.training_stacks import target_names_of

    require_apart([model, model / "model.safetensors", source, target], [out])
    require_writable(out.parent)
    said, loaded = pairs or PairSettings(), load(model, device)
    require_two_sides(loaded)
    if "z" not in said.model_fields_set:
        said = said.model_copy(update={"z": loaded.source_view.pairs_z})
    stacks = open_stacks(source, target, said).without_bad().like(target_names_of(loaded))
    if said.skip_bad and not said.annotated_frames:
        stacks = stacks.sifted(lambda pair: require_judged(loaded, pair))
    elif not said.annotated_frames:
        stacks.require_each(lambda pair: require_judged(loaded, pair))
    require_apart(stacks.paths, [out])
    yield from told(stacks)
    if trained_elsewhere(loaded.provenance):
        text = (
            "What trained the model is not known, since it comes from elsewhere: if these images were among that, the "
            "errors that it expects are too small on new ones."
        )
        yield {"event": "warning", "text": text}
    taught = loaded
    with closing(
        core.fit_trust(
            loaded, stacks.frames(), trust_steps=trust_steps, empty_frames=empty_frames, empty_channels=empty_channels
        )
    ) as reports:
        for report in reports:
            if report.model is not None:
                taught = report.model
            else:
                yield teaching_event(report)
    taught.save(out)
    facts = taught.provenance["trust"]
    promise = taught.match.promise if taught.match else ""
    if taught.match and taught.match.calibration:
        promise += f" Masks that keep a promise (`trust_risk`): {taught.match.calibration.mask_line}."
    yield {
        "event": "result",
        "model": str(out),
        "trust": facts,
        "text": f"Model: {out}\nTaught for {facts['steps']:,} steps in all, on {facts['taught']} regions, and "
        f"calibrated on {facts['calibrated']} ({facts['groups']} groups). {promise}",
    }
