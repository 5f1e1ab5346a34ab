"""The command register: targets moved to where they lie over their sources."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from napari_pix2pix.commands.events import Event, Events
from napari_pix2pix.commands.flags import UNNEGATED, LocalWorkers, Overwrite, Scheduler, Shard, chosen_workers
from napari_pix2pix.core.settings.running import RegisterSettings

TARGETS, KNOWN = "targets", "known"
"""Folders of the results."""


def register(
    source: Annotated[Path, Parameter(help="A stack or a folder.")],
    target: Annotated[Path, Parameter(help="A stack or a folder; paired by file name.")],
    *,
    out: Annotated[Path, Parameter(help="A folder: targets/ and known/, to train on, and registered.csv.")],
    settings: Annotated[RegisterSettings | None, UNNEGATED] = None,
    shard: Shard = None,
    scheduler: Scheduler = None,
    local_workers: LocalWorkers = None,
    overwrite: Overwrite = False,
) -> Events:
    """Move targets, place by place, to where they lie over their sources; what could not be matched is not known.

    Then train SOURCE OUT/targets --valid OUT/known. Sources stay as they are.
    """
    from napari_pix2pix.commands.jobs import do_each
    from napari_pix2pix.files.folders import by_names
    from napari_pix2pix.files.outputs import Job, is_one_file, require_apart, require_folder
    from napari_pix2pix.files.partners import named_pairs

    how = settings or RegisterSettings()
    require_folder(out)
    if is_one_file(out):
        raise ValueError(f"Targets and masks must go to a folder; got {out}. Leave {out.suffix} out.")
    pairs = named_pairs(source, target, how.pair_by, leave_out=[out], out=out)
    masks = by_names(how.valid) if how.valid else {}
    if how.valid and len(masks) == len(pairs) == 1:
        masks = dict(zip(pairs, masks.values(), strict=True))
    if how.valid and (missing := [name for name in pairs if name not in masks]):
        raise ValueError(f"Each pair must have a mask of its name in {how.valid}; {missing[0]} has none. Add it.")
    jobs = [
        Job(
            name,
            (*paths, *([masks[name]] if how.valid else [])),
            (out / TARGETS / f"{name}.tif", out / KNOWN / f"{name}.tif"),
        )
        for name, paths in pairs.items()
    ]
    require_apart([path for job in jobs for path in job.inputs], [path for job in jobs for path in job.results])
    made_with: dict[str, Any] = how.model_dump(mode="json", exclude_defaults=True)
    workers = chosen_workers(scheduler, local_workers)
    places: dict[str, Any] = {"shard": shard, "overwrite": overwrite, "workers": workers}
    found = do_each(jobs, _Work(how), "registered", out, made_with, **places)
    rows = list[Event]()
    for event in found:
        if event["event"] == "row":
            rows.append(event["row"])
        if event["event"] == "result" and rows:
            counts = {name: sum(row[name] for row in rows) for name in ("moved", "in_place", "kept", "unlike")}
            told = ", ".join(f"{n} {name.replace('_', ' ')}" for name, n in counts.items() if n)
            event = event | {"frames": counts, "text": f"{event['text']}\nFrames: {told}\nTable: {out}/registered.csv"}
        yield event


@dataclass(frozen=True)
class _Work:
    how: RegisterSettings

    def __call__(self, job: Any) -> Events:
        from napari_pix2pix.files.outputs import all_or_none
        from napari_pix2pix.files.registered import register_file

        with all_or_none(job.results):
            yield from register_file(job, self.how)
