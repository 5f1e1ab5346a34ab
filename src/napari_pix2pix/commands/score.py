"""The command score: a model, sources and images in, patch scores out."""

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
from napari_pix2pix.commands.remarks import told_of_calibration, told_of_halves
from napari_pix2pix.core.settings.config import PairSettings


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
    from napari_pix2pix.commands.jobs import ModelWork, do_each
    from napari_pix2pix.files.folders import further_paths, halved, named_pairs, place_below
    from napari_pix2pix.files.outputs import beside, plan_outputs
    from napari_pix2pix.files.results import parts_of_scores

    if image is None and (side_by_side is None) == (pair_by is None):
        raise ValueError(
            "A source must have an IMAGE to score, unless it holds both (`side_by_side`) or names tell (`pair_by`)."
        )
    halves = (side_by_side, None) if image else halved(side_by_side)
    pairs = named_pairs(source, image or source, pair_by, tree=True, leave_out=[out], out=out)
    more = further_paths(source_more, list(pairs), tree=True)
    inputs = [
        (place_below(image or source, judged), (judged, given, *more[name])) for name, (given, judged) in pairs.items()
    ]
    loaded = load(model, device)
    jobs = plan_outputs(inputs, out, [beside(part) for part in parts_of_scores(loaded, kind, table)], [model])
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
    work, workers = (
        ModelWork("scores", model, device, loaded.hash(), settings),
        chosen_workers(scheduler, local_workers),
    )
    how: dict[str, Any] = {"shard": shard, "overwrite": overwrite, "workers": workers}
    yield from do_each(jobs, work, "scores", out, work.made_with, **how)
