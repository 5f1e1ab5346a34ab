"""The command predict: a model and sources in, predictions out."""

from contextlib import closing
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from napari_pix2pix.commands.events import Events
from napari_pix2pix.commands.flags import (
    UNNEGATED,
    Device,
    LocalWorkers,
    Overwrite,
    Scheduler,
    Shard,
    SourceMore,
    chosen_workers,
    load,
)
from napari_pix2pix.commands.remarks import told_of_calibration, told_of_halves, told_of_trust
from napari_pix2pix.core.settings.running import PredictSettings


def predict(
    model: Annotated[Path, Parameter(help="A model.safetensors.")],
    source: Annotated[list[str], Parameter(help="Files, folders or patterns.")],
    *,
    out: Annotated[Path, Parameter(help="A .tif or .zarr for one source, else a folder; what is done there is kept.")],
    settings: Annotated[PredictSettings | None, UNNEGATED] = None,
    source_more: SourceMore = (),
    shard: Shard = None,
    scheduler: Scheduler = None,
    local_workers: LocalWorkers = None,
    device: Device = "auto",
    overwrite: Overwrite = False,
) -> Events:
    """Predict the target of each source; a folder with its subfolders."""
    from napari_pix2pix.commands.jobs import ModelWork, do_each
    from napari_pix2pix.files.folders import list_images, named_as, place_below
    from napari_pix2pix.files.outputs import beside, plan_outputs
    from napari_pix2pix.files.partners import further_paths
    from napari_pix2pix.files.predicted import maps_path
    from napari_pix2pix.files.stacks import ZARR
    from napari_pix2pix.files.trusted import parts_of_trust, trust_limit

    how = settings or PredictSettings()
    if how.keep_frames and not out.name.lower().endswith(ZARR):
        raise ValueError(f"With `keep_frames` the output must be an OME-Zarr; got {out}. End `out` in .zarr.")
    if how.trust_limit is not None and not how.trust:
        raise ValueError("A trust limit must limit something; give `trust`, too, or leave `trust_limit` out.")

    try:
        given = {path: root for root in source for path in list_images(root, tree=True, leave_out=[out], out=out)}
    except FileNotFoundError as error:
        if not how.source_channels or len(source) == 1:
            raise
        raise FileNotFoundError(f"{error} If it is a channel, repeat the flag: `source_channels` NAME.") from error
    names = {path: named_as(root)(path) for path, root in given.items()}
    more = further_paths(source_more, list(names.values()), tree=True)
    inputs = [(place_below(root, path), (path, *more[names[path]])) for path, root in given.items()]
    if how.trust and how.to != "target":
        raise ValueError(
            f"How far to trust is known of what is made of sources, the target; got `to` {how.to}. Leave it or `trust` "
            "out."
        )
    loaded = load(model, device).toward(how.to)
    parts = [*(["spread"] if how.draws is not None else []), *(parts_of_trust(loaded) if how.trust else [])]
    jobs = plan_outputs(inputs, out, [*([maps_path] if how.keep_maps else []), *map(beside, parts)], [model])
    yield from told_of_halves(loaded, how.side_by_side)
    if how.trust:
        how = how.model_copy(update={"trust_limit": trust_limit(loaded, how.trust_limit)})
        yield from told_of_calibration(loaded)
    work, workers = ModelWork(model, device, loaded.hash(), how), chosen_workers(scheduler, local_workers)
    places: dict[str, Any] = {"shard": shard, "overwrite": overwrite, "workers": workers}
    with closing(do_each(jobs, work, "predictions", out, work.made_with, **places)) as events:
        for event in events:
            yield event
            alone = len(jobs) == 1  # of several, the table tells
            if alone and how.trust_limit is not None and event["event"] == "row":
                yield told_of_trust(event["row"], how.trust_limit)
