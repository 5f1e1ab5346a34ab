"""Many results, one after another: one bad input does not stop the others, and what is done is not done again."""

import errno
import time
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from napari_pix2pix.events import REQUEST_ERRORS, Event, Events
from napari_pix2pix.files.outputs import Job, is_one_file, require_writable, shard_of
from napari_pix2pix.files.records import Records

FULL = {errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC)}
"""No room on the disk, or none left for this user."""
NAMED = 5
"""How many failed files the last line names."""

TITLES = {"predictions": "Predictions", "scores": "Patch scores"}

Work = Callable[[Job], Iterable[Event]]


def do_each(
    jobs: list[Job],
    work: Work,
    table: str,
    out: Path,
    made_with: dict[str, Any],
    *,
    shard: str | None = None,
    overwrite: bool = False,
) -> Events:
    """Do every job; a bad file among several is named and the others are done.

    In a folder, what an earlier run has done in the same way is left out, and what another process is doing is waited
    for; there, tables list all results and failures.

    Parameters
    ----------
    jobs
        As `plan_outputs` plans them.
    work
        Does one job; of its events, ``row`` holds figures for the table.
    table
        Which results: predictions or scores.
    out
        Where results go: one file, or a folder.
    made_with
        The hash of the model and the settings that change a result; JSON.
    shard
        Which share of the jobs to do, see `shard_of`.
    overwrite
        Whether results that exist and were made otherwise, or by others, may be replaced.

    Raises
    ------
    FileExistsError
        If something is in the way; before any work.
    PermissionError
        If the folder cannot be written.
    OSError
        If the disk is full; what is done is kept.
    """
    records = None if is_one_file(out) else Records(out, table, made_with)
    mine = shard_of(jobs, shard)
    for job in [] if overwrite else mine:
        existing = next((path for path in job.results if path.exists()), None)
        if existing and not (records and records.knows(job)):
            raise FileExistsError(
                f"An output must not exist yet; {existing} does. Choose another --out or --overwrite."
            )
    require_writable(out if records else out.parent)
    try:
        yield from _do_all(mine, work, table, records, overwrite, alone=len(jobs) == 1)
    except OSError as error:
        if not _is_full(error):
            raise
        raise OSError(
            f"The disk must have room for the results; that of {out} is full. "
            "Make room and give the command again; what is done is kept, and nothing is half-written."
        ) from error


def _do_all(jobs: list[Job], work: Work, table: str, records: Records | None, overwrite: bool, alone: bool) -> Events:
    left, shared, before = deque(jobs), False, 0
    written: list[str] = []
    failed: list[str] = []
    try:
        while left:
            job = left.popleft()
            with records.claimed(job) if records else nullcontext(True) as ours:
                try:
                    if not ours:
                        left.append(job)
                    elif records and records.is_done(job):
                        before += 1
                    else:
                        done = len(jobs) - len(left) - 1
                        for event in _do(job, work, records, overwrite):
                            share = {"done": done + event["done"], "total": len(jobs)} if "done" in event else {}
                            yield event | share
                        written.append(str(job.results[0]))
                except (*REQUEST_ERRORS, OSError, RuntimeError, MemoryError) as error:
                    if alone or _is_full(error):
                        raise
                    failed.append(str(job.inputs[0]))
                    if records:
                        records.fail(job, str(error))
                    yield {"event": "failure", "file": failed[-1], "text": f"{failed[-1]}: {error}"}
            if not ours and not shared:
                shared = True
                yield {"event": "note", "text": "Another process works here, too; what it has claimed is waited for."}
            yield {"event": "progress", "unit": "files", "done": len(jobs) - len(left), "total": len(jobs)}
    finally:
        if records:
            records.write_tables()
    place = records.out if records else ""
    text = written[0] if len(written) == 1 else f"{len(written)} files in {place}"
    text += f"; {before} done before" if before else ""
    text += f"; {len(failed)} failed: {_some(failed)}; see {place}/failures.csv" if failed else ""
    text = f"{TITLES[table]}: {text}"
    yield {"event": "result", "written": written, "done_before": before, "failed": failed, "text": text}


def _do(job: Job, work: Work, records: Records | None, overwrite: bool) -> Events:
    """One job, and its record."""
    if records is None:
        yield from work(job)
        return
    records.begin(job, overwrite)
    started, row = time.monotonic(), {}
    for event in work(job):
        if event["event"] == "row":
            row = event["row"]
        yield event
    records.finish(job, {"seconds": round(time.monotonic() - started, 3)} | row)


def _is_full(error: Exception) -> bool:
    return isinstance(error, OSError) and error.errno in FULL


def _some(names: list[str]) -> str:
    return ", ".join(names[:NAMED]) + (f" and {len(names) - NAMED} more" if len(names) > NAMED else "")
