"""The command predict: a model and sources in, predictions out."""

from contextlib import closing
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import Parameter

from napari_pix2pix.commands.events import Events
from napari_pix2pix.commands.flags import (
    Axes,
    Device,
    LocalWorkers,
    Overwrite,
    Scheduler,
    Shard,
    SideBySide,
    SourceChannels,
    SourceMore,
    TileSize,
    chosen_workers,
    load,
)
from napari_pix2pix.commands.remarks import told_of_calibration, told_of_halves, told_of_trust
from napari_pix2pix.core.settings.config import Precision, validated
from napari_pix2pix.core.settings.running import Running


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
    from napari_pix2pix.commands.jobs import ModelWork, do_each
    from napari_pix2pix.files.folders import further_paths, list_images, named_as, place_below
    from napari_pix2pix.files.outputs import beside, plan_outputs
    from napari_pix2pix.files.results import maps_path
    from napari_pix2pix.files.stacks import ZARR
    from napari_pix2pix.files.trusted import parts_of_trust
    from napari_pix2pix.files.trusted import trust_limit as limit_of

    if keep_frames and not out.name.lower().endswith(ZARR):
        raise ValueError(f"With `keep_frames` the output must be an OME-Zarr; got {out}. End `out` in .zarr.")

    how = {"tile_size": tile_size, "overlap": overlap, "draws": draws, "precision": precision}
    thresholds = {"seed_threshold": seed_threshold, "min_size": min_size, "trust_limit": trust_limit}
    validated(Running, {**how, **thresholds, "norm_statistics": norm_statistics})
    given = {path: root for root in source for path in list_images(root, tree=True, leave_out=[out], out=out)}
    names = {path: named_as(root)(path) for path, root in given.items()}
    more = further_paths(source_more, list(names.values()), tree=True)
    inputs = [(place_below(root, path), (path, *more[names[path]])) for path, root in given.items()]
    loaded = load(model, device)
    parts = [*(["spread"] if draws is not None else []), *(parts_of_trust(loaded) if trust else [])]
    jobs = plan_outputs(inputs, out, [*([maps_path] if keep_maps else []), *map(beside, parts)], [model])
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
        raise ValueError("A trust limit must limit something; give `trust`, too, or leave `trust_limit` out.")
    work, workers = (
        ModelWork("predictions", model, device, loaded.hash(), settings),
        chosen_workers(scheduler, local_workers),
    )
    places: dict[str, Any] = {"shard": shard, "overwrite": overwrite, "workers": workers}
    with closing(do_each(jobs, work, "predictions", out, work.made_with, **places)) as events:
        for event in events:
            yield event
            if trust and len(jobs) == 1 and event["event"] == "row":  # of several, the table tells
                yield told_of_trust(event["row"], settings["trust_limit"])
