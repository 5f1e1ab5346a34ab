"""The command score: a model, sources and images in, patch scores out."""

from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from napari_pix2pix.commands.events import Events
from napari_pix2pix.commands.flags import (
    UNNEGATED,
    Device,
    LocalWorkers,
    Model,
    Overwrite,
    Scheduler,
    Shard,
    SourceMore,
    chosen_workers,
    load,
)
from napari_pix2pix.commands.remarks import told_of_calibration, told_of_halves
from napari_pix2pix.core.settings.config import PairSettings
from napari_pix2pix.core.settings.running import ScoreSettings


def score(
    model: Model,
    source: Annotated[Path, Parameter(help="A file or a folder.")],
    image: Annotated[
        Path | None, Parameter(help="Predictions or targets: a file, or a folder paired by file name.")
    ] = None,
    *,
    out: Annotated[Path, Parameter(help="A .tif or .zarr for one image, else a folder; what is done there is kept.")],
    settings: Annotated[ScoreSettings | None, UNNEGATED] = None,
    source_more: SourceMore = (),
    pair_by: Annotated[tuple[str, str] | None, Parameter(help=PairSettings.model_fields["pair_by"].description)] = None,
    shard: Shard = None,
    scheduler: Scheduler = None,
    local_workers: LocalWorkers = None,
    device: Device = "auto",
    overwrite: Overwrite = False,
) -> Events:
    """Patch scores of images given their sources, placed on the image; no truth needed. High = matches, looks real.

    Beside OUT.tif: which fields lie wholly inside (OUT.valid.tif) and, from a model that was taught to judge the match,
    OUT.expected_error.tif, OUT.rank.tif and OUT.error_bound.tif. A model of several domains scores images by
    themselves: give SOURCE alone; OUT.domains.tif tells which domain each field looks like.
    """
    from napari_pix2pix.commands.conditions import told_of_conditions, under_conditions
    from napari_pix2pix.commands.jobs import ModelWork, do_each
    from napari_pix2pix.core.running.sources import require_translator
    from napari_pix2pix.files.folders import place_below
    from napari_pix2pix.files.outputs import beside, plan_outputs
    from napari_pix2pix.files.partners import further_paths, halved, named_pairs
    from napari_pix2pix.files.scored import parts_of_scores

    how = settings or ScoreSettings()
    loaded = load(model, device)
    require_translator(loaded)
    if loaded.domains.sets:
        require_alone(image, how, pair_by)
        image = source
    loaded = loaded.toward(how.to)
    if image is None and (how.side_by_side is None) == (pair_by is None):
        raise ValueError(
            "A source must have an IMAGE to score, unless it holds both (`side_by_side`) or names tell (`pair_by`)."
        )
    halves = (how.side_by_side, None) if image else halved(how.side_by_side)
    pairs = named_pairs(source, image or source, pair_by, tree=True, leave_out=[out], out=out)
    more = further_paths(source_more, list(pairs), tree=True)
    inputs = [
        (place_below(image or source, judged), (judged, given, *more[name])) for name, (given, judged) in pairs.items()
    ]
    jobs = plan_outputs(inputs, out, [beside(part) for part in parts_of_scores(loaded, how.kind, how.table)], [model])
    jobs = under_conditions(jobs, how.condition, {judged: name for name, (_, judged) in pairs.items()}, loaded)
    yield from told_of_conditions(jobs, loaded)
    yield from told_of_halves(loaded, how.side_by_side)
    if how.kind != "plain":
        yield from told_of_calibration(loaded)
    work, workers = ModelWork(model, device, loaded.hash(), how), chosen_workers(scheduler, local_workers)
    places: dict[str, Any] = {"shard": shard, "overwrite": overwrite, "workers": workers}
    yield from do_each(jobs, work, "scores", out, work.made_with | {"halves": halves}, **places)


def require_alone(image: Path | None, how: ScoreSettings, pair_by: tuple[str, str] | None) -> None:
    """Raise a ValueError if something is said of sources and images where the model judges images by themselves."""
    if image is not None or how.side_by_side or pair_by or how.to != ScoreSettings().to:
        raise ValueError(
            "A model of several domains scores images by themselves, of whatever domain; leave IMAGE, `side_by_side`, "
            "`pair_by` and `to` out."
        )
