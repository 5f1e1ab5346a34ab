"""The command predict: a model and sources in, predictions out."""

from contextlib import closing
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from napari_pix2pix.commands.events import Event, Events
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
from napari_pix2pix.commands.remarks import told_of_calibration, told_of_halves, told_of_mask, told_of_trust
from napari_pix2pix.core.settings.running import PredictSettings

ALL = "all"
"""Every domain."""


def predict(
    model: Model,
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
    from napari_pix2pix.commands.conditions import told_of_conditions, under_conditions
    from napari_pix2pix.commands.jobs import ModelWork, do_each
    from napari_pix2pix.files.folders import list_images, named_as, place_below
    from napari_pix2pix.files.outputs import beside, folder_names, is_one_file, plan_outputs
    from napari_pix2pix.files.partners import further_paths
    from napari_pix2pix.files.predicted import maps_path
    from napari_pix2pix.files.stacks import ZARR
    from napari_pix2pix.files.trusted import mask_limit, parts_of_trust, trust_limit

    how = settings or PredictSettings()
    if how.keep_frames and not out.name.lower().endswith(ZARR):
        raise ValueError(f"With `keep_frames` the output must be an OME-Zarr; got {out}. End `out` in .zarr.")
    if how.trust_limit is not None and not how.trust:
        raise ValueError("A trust limit must limit something; give `trust`, too, or leave `trust_limit` out.")
    if how.trust_risk is not None and not how.trust:
        raise ValueError("A risk must be that of a mask; give `trust`, too, or leave `trust_risk` out.")
    if how.trust_risk is not None and how.trust_limit is not None:
        raise ValueError("A mask must have a limit or a risk; got both. Leave `trust_limit` or `trust_risk` out.")

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
    loaded, ways = load(model, device), {how.to: out}
    if how.to == ALL and loaded.domains.sets:
        if is_one_file(out):
            raise ValueError(
                f"Images of all domains must go to a folder, a subfolder for each; got {out}. Give `out` a folder."
            )
        ways = {name: out / folder for name, folder in folder_names(loaded.domains.names).items()}
    workers, results = chosen_workers(scheduler, local_workers), list[Event]()
    for to, place in ways.items():
        one, made = how.model_copy(update={"to": to}), loaded.toward(to)
        made.require_asked()
        parts = [*(["spread"] if how.draws is not None else []), *(["tissue"] if how.tissue else [])]
        parts += parts_of_trust(made, how) if how.trust else ()
        read = [model, *([Path(how.annotations)] if how.annotations is not None else [])]
        jobs = plan_outputs(inputs, place, [*([maps_path] if how.keep_maps else []), *map(beside, parts)], read)
        jobs = under_conditions(jobs, how.condition, names, made)
        yield from told_of_conditions(jobs, made)
        yield from told_of_halves(made, how.side_by_side)
        if how.trust:
            one = one.model_copy(update={"trust_limit": trust_limit(made, how.trust_limit)})
            yield from told_of_calibration(made)
            yield from told_of_mask(made, how)
        work = ModelWork(model, device, made.hash(), one)
        places: dict[str, Any] = {"shard": shard, "overwrite": overwrite, "workers": workers}
        with closing(do_each(jobs, work, "predictions", place, work.made_with, **places)) as events:
            for event in events:
                if event["event"] == "result":
                    results.append(event)
                    continue
                yield event
                alone = len(jobs) == 1  # of several, the table tells
                if alone and one.trust_limit is not None and event["event"] == "row":
                    yield told_of_trust(event["row"], mask_limit(made, one.trust_limit, one.trust_risk))
    yield _together(results)


def _together(results: list[Event]) -> Event:
    """One result of several."""
    if len(results) == 1:
        return results[0]
    return {
        "event": "result",
        "written": [path for result in results for path in result["written"]],
        "done_before": sum(result["done_before"] for result in results),
        "failed": [path for result in results for path in result["failed"]],
        "text": "\n".join(result["text"] for result in results),
    }
