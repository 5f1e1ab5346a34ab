"""Many results, in turn or on workers: one bad input does not stop the others, and what is done is not done again."""

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_pix2pix.commands.cluster import on_workers
from napari_pix2pix.commands.events import REQUEST_ERRORS, Event, Events
from napari_pix2pix.commands.sentences import sentence_of
from napari_pix2pix.core.engine.atomic import is_full
from napari_pix2pix.core.engine.foreign_text import shown
from napari_pix2pix.core.settings.running import PredictSettings, ScoreSettings
from napari_pix2pix.files.outputs import Job, all_or_none, is_one_file, require_replaceable, require_writable, shard_of
from napari_pix2pix.files.records import Records
from napari_pix2pix.files.stacks import sha256

if TYPE_CHECKING:
    from napari_pix2pix.core.running.trained_model import TrainedModel

NAMED = 5
"""How many failed files the last line names."""

TITLES = {"predictions": "Predictions", "scores": "Patch scores", "registered": "Registered targets", "runs": "Runs"}

Work = Callable[[Job], Iterable[Event]]

_models: "dict[tuple[Path, float, str], TrainedModel]" = {}


def load_once(path: Path, device: str, model_sha256: str | None = None) -> "TrainedModel":
    """The model in this file or run folder; the last one stays in memory.

    Raises
    ------
    ValueError
        If it is none, or not the one with the hash that is given.
    """
    from napari_pix2pix.core import load_model

    if (path / "model.safetensors").is_file():  # a run folder
        path = path / "model.safetensors"
    key = (path.resolve(), path.stat().st_mtime if path.exists() else 0.0, device)
    if key not in _models:
        loaded = load_model(path, device)
        if model_sha256 and loaded.hash() != model_sha256:
            raise ValueError(
                f"Every worker must find the same model at {path}; on one it is another. Share its folder."
            )
        _models.clear()
        _models[key] = loaded
    return _models[key]


@dataclass(frozen=True)
class ModelWork:
    """What a model makes of each job. Holds no model, so that it can be sent to workers, which load theirs once.

    Parameters
    ----------
    model, device
        The model's path, and where it runs.
    model_sha256
        Its hash.
    how
        It is run; tells whether it predicts or scores.
    """

    model: Path
    device: str
    model_sha256: str
    how: PredictSettings | ScoreSettings

    @property
    def made_with(self) -> dict[str, Any]:
        """What tells one way of making the results from another."""
        made = {"model_sha256": self.model_sha256, **self.how.model_copy(update={"condition": None}).record}
        drawn = getattr(self.how, "annotations", None)
        if drawn is not None and Path(drawn).is_file():  # else it is told by who reads it
            made["annotations"] = sha256(Path(drawn))
        return made

    def __call__(self, job: Job) -> Iterable[Event]:
        """Make the job's results; its events."""
        from napari_pix2pix.files.predicted import predict_file
        from napari_pix2pix.files.scored import score_file

        model, out = load_once(self.model, self.device, self.model_sha256), job.results[0]
        how = self.how.model_copy(update={"condition": job.condition})
        known: dict[str, Any] = {"model_sha256": self.model_sha256}
        known |= {"hashes": dict(zip(job.inputs, job.hashes, strict=True))} if job.hashes else {}
        if isinstance(how, PredictSettings):
            source, *more = job.inputs
            with all_or_none(job.results, kept_if_stopped=how.keep_frames):
                yield from predict_file(model, source, out, how, more=more, **known)
        else:
            image, source, *more = job.inputs
            with all_or_none(job.results):
                yield from score_file(model, source, image, out, how, more=more, **known)


def do_each(
    jobs: list[Job],
    work: Work,
    table: str,
    out: Path,
    made_with: dict[str, Any],
    *,
    shard: str | None = None,
    overwrite: bool = False,
    workers: str | int | None = None,
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
    workers
        Who does the jobs, see `on_workers`; None: this process, in turn.

    Raises
    ------
    FileExistsError
        If something is in the way; before any work.
    PermissionError
        If the folder cannot be written.
    OSError
        If the disk is full; what is done is kept.
    """
    one = is_one_file(out)
    records = Records(out.parent if one else out, table, made_with, of_one=one)
    mine = shard_of(jobs, shard)
    for job in [] if overwrite else mine:
        existing = next((path for path in job.results if path.exists()), None)
        if existing and not records.knows(job):
            missing = next((path for path in job.results if not path.exists()), None)
            killed = f", without {missing}, as a run that was killed leaves it" if missing else ""
            raise FileExistsError(
                f"An output must not exist yet; {existing} does{killed}. Choose another `out` or `overwrite`."
            )
    for path in (path for job in mine for path in job.results):
        require_replaceable(path)
    require_writable(records.out)
    records.require_tables_free(overwrite)
    try:
        yield from _do_all(mine, work, table, records, overwrite, workers, alone=len(jobs) == 1)
    except OSError as error:
        if not is_full(error):
            raise
        raise OSError(
            f"The disk must have room for the results; that of {out} is full. "
            "Make room and give the command again; what is done is kept, and nothing is half-written."
        ) from error


def _do_all(
    jobs: list[Job],
    work: Work,
    table: str,
    records: Records,
    overwrite: bool,
    workers: str | int | None,
    alone: bool,
) -> Events:
    paths: dict[str, list[str]] = {"written": [], "done before": [], "failed": []}
    attempt = partial(_attempt, work, records, overwrite, alone)
    do = partial(_in_turn, attempt)
    found = do(jobs) if workers is None else on_workers(do, partial(_fail, records, alone), jobs, workers)
    done = 0
    try:
        with closing(found):
            for event in found:
                if event["event"] == "outcome":
                    done += 1
                    paths[event["outcome"]].append(event["path"])
                    unit = table if table == "runs" else "files"
                    yield {"event": "progress", "unit": unit, "done": done, "total": len(jobs)}
                elif "done" in event:
                    yield event | {"done": done + event["done"], "total": len(jobs)}
                else:
                    yield event
    finally:
        records.write_tables()
    written, before, failed = (sorted(some) for some in paths.values())
    text = shown(written[0], kept="") if len(written) == 1 else f"{len(written)} files in {records.out}"
    text += f"; {len(before)} done before" if before else ""
    text += f"; {len(failed)} failed: {_some(failed)}; see {records.out}/failures.csv" if failed else ""
    text = f"{TITLES[table]}: {text}"
    yield {"event": "result", "written": written, "done_before": len(before), "failed": failed, "text": text}


def _in_turn(attempt: Callable[[Job], Iterable[Event]], jobs: Iterable[Job]) -> Events:
    """Attempt each job until it is done; what another process has claimed comes last."""
    left, shared = deque(jobs), False
    while left:
        job = left.popleft()
        for event in attempt(job):
            if event["event"] != "claimed":
                yield event
                continue
            left.append(job)
            if not shared:
                shared = True
                yield {"event": "note", "text": "Another process works here, too; what it has claimed is waited for."}


def _attempt(work: Work, records: Records, overwrite: bool, alone: bool, job: Job) -> Events:
    """Do the job unless it is done. At the end its ``outcome``, or ``claimed`` if another process is at it."""
    with records.claimed(job) as ours:
        if not ours:
            yield {"event": "claimed"}
            return
        try:
            before = records.is_done(job)
            if not before:
                yield from _do(job, work, records, overwrite)
        except (*REQUEST_ERRORS, OSError, RuntimeError, MemoryError) as error:
            yield from _fail(records, alone, job, error)
        else:
            outcome = "done before" if before else "written"
            yield {"event": "outcome", "outcome": outcome, "path": str(job.results[0])}


def _fail(records: Records, alone: bool, job: Job, error: Exception) -> Iterator[Event]:
    """Record that the job failed, and say so; raise the error if no other job could go on."""
    if alone or is_full(error):
        raise error
    path = str(job.inputs[0])
    records.fail(job, sentence_of(error))
    yield {"event": "failure", "file": path, "text": f"{shown(path, kept='')}: {sentence_of(error)}"}
    yield {"event": "outcome", "outcome": "failed", "path": path}


def _do(job: Job, work: Work, records: Records, overwrite: bool) -> Events:
    """One job, and its record."""
    job = records.begin(job, overwrite)
    started, row = time.monotonic(), {}
    try:
        for event in work(job):
            if event["event"] == "row":
                row = event["row"]
            yield event
    finally:
        records.forget(job)
    records.finish(job, {"seconds": round(time.monotonic() - started, 3)} | row)


def _some(names: list[str]) -> str:
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(shown(name, kept="") for name in names[:NAMED]) + more
