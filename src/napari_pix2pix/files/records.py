"""What is done in a folder of results: a record of each, claims among processes, and the tables made of the records."""

import hashlib
import json
import os
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from filelock import SoftFileLease, Timeout
from pydantic import BaseModel, ConfigDict

from napari_pix2pix.core.engine.atomic import remove_leftovers, written_beside
from napari_pix2pix.core.engine.foreign_text import write_table
from napari_pix2pix.core.settings.naming import as_flag, named
from napari_pix2pix.files.outputs import LONGEST, Job
from napari_pix2pix.files.stacks import sha256

FOLDER = ".napari-pix2pix"
"""Holds the records and claims of the folder that it lies in, so that they move with it."""
LEASE_S = 30.0
"""After how long without a sign of life a claim of another machine is void; on the same machine a dead process's is at
once."""
GLANCE_S, LOOK_S = 0.002, 1.0
"""How long to wait for a job that another process has claimed, when it is met first, and again."""

Row = dict[str, Any]
WORST_FIRST: dict[str, Callable[[Row], Any]] = {
    "predictions": lambda row: (-(row.get("expected_error") or 0), -(row.get("outside_training_range") or 0)),
    "scores": lambda row: row.get("mean") or 0,
    "registered": lambda row: -(row.get("after_px") or 0),
    "runs": lambda row: 0,
}
"""What sorts the rows of each table."""
FAILURES = "failures.csv"
BEGINS = {f"{table}.csv": "name,output," for table in WORST_FIRST} | {FAILURES: "path,reason"}
"""How tables begin that are made of records."""


class _Row(BaseModel):
    model_config = ConfigDict(extra="allow")
    name: str
    output: str
    expected_error: float | None = None
    outside_training_range: float | None = None
    mean: float | None = None
    after_px: float | None = None


class _Failure(BaseModel):
    path: str
    reason: str


class _Record(BaseModel):
    table: Literal["predictions", "scores", "registered", "runs"] | None = (
        None  # there is none of a file that has only failed
    )
    made_with: dict[str, Any] | None = None
    inputs: list[str] = []
    row: _Row | None = None
    failure: _Failure | None = None


class Records:
    """The records of the results in a folder.

    A record says what a result is made with: the hashes of model and inputs, and the settings. It has a row once the
    result is done, a failure where that failed, and neither while a process is at it, or was killed. Claims are files
    that only one process can create; a claim that a killed process left becomes void. A process that is held up for
    long loses its claim, too, and another does its work; a result is whole, and the same, whoever wrote it last.

    Parameters
    ----------
    out
        The folder of the results.
    table
        The name of the table of their rows: predictions or scores.
    made_with
        The hash of the model and the settings that change a result; JSON.
    of_one
        Whether one file of this folder is made, alone: then there is no table, the record is a hidden file beside it,
        and lasts as long as a process is at it; that of one that was killed tells that what it left may be replaced.
    """

    def __init__(self, out: Path, table: str, made_with: dict[str, Any], of_one: bool = False) -> None:
        self.out, self.table, self._of_one = out, table, of_one
        self.made_with = json.loads(json.dumps(made_with))
        self._leases: dict[Path, SoftFileLease] = {}

    # One job

    @contextmanager
    def claimed(self, job: Job) -> Iterator[bool]:
        """Within the block the job is this process's alone; False where it is another's."""
        path = self._path(job, "claim")
        _remove_void(path)
        asked_before = path in self._leases  # a lease must be watched for a while before it is void
        lease = self._leases.setdefault(path, SoftFileLease(path, lease_duration=LEASE_S))
        try:
            wait_s = LOOK_S if asked_before else GLANCE_S  # a dead process's claim is taken at the second try
            lease.acquire(timeout=wait_s, poll_interval=wait_s / 4)
        except Timeout:
            yield False
            return
        try:
            yield True
        finally:
            del self._leases[path]
            lease.release()

    def knows(self, job: Job) -> bool:
        """Whether the result was made, or begun, with this model and these settings, of whatever inputs.

        But one that is made alone, of these inputs, as they are.
        """
        record = self._read(job)
        same = not self._of_one or record.get("inputs") == _as_they_are(job.inputs)
        return same and record.get("made_with") == job.made_with(self.made_with)

    def is_done(self, job: Job) -> bool:
        """Whether the result exists, made with this model and these settings of these very inputs, which are read."""
        record = self._read(job)
        done = (
            "row" in record
            and record.get("made_with") == job.made_with(self.made_with)
            and all(path.exists() for path in job.results)
            and record.get("inputs") == [sha256(path) for path in job.inputs]
        )
        if done and "failure" in record:  # which was about another input
            del record["failure"]
            self._write(job, record)
        return done

    def begin(self, job: Job, overwrite: bool) -> Job:
        """Say that the result is about to be written; the job, with the hashes of its inputs.

        Raises
        ------
        FileExistsError
            If it exists, unless it may be overwritten or was begun by a process that was killed.
        """
        record = self._read(job)
        existing = next((path for path in job.results if path.exists()), None)
        if existing and not overwrite and ("row" in record or not self.knows(job)):
            raise FileExistsError(
                f"An output must not exist yet; {existing} does, made of another input or with other settings. "
                "Choose another `out` or `overwrite`."
            )
        if record and "row" not in record:
            for path in job.results:
                remove_leftovers(path)
        if self._of_one and overwrite:  # what is there need not be a killed process's: the next run is to ask again
            self.forget(job)
            return job
        hashes = () if self._of_one else tuple(sha256(path) for path in job.inputs)
        inputs = _as_they_are(job.inputs) if self._of_one else hashes
        self._write(job, {"table": self.table, "made_with": job.made_with(self.made_with), "inputs": inputs})
        return replace(job, hashes=hashes)

    def finish(self, job: Job, row: Row) -> None:
        """Say that the result is done, with what its table tells; of one that is made alone nobody asks."""
        if self._of_one:
            return
        named = {"name": job.name, "output": job.results[0].relative_to(self.out).as_posix()}
        self._write(job, self._read(job) | {"row": named | row})

    def forget(self, job: Job) -> None:
        """Remove what was said of a file that is made alone: no process is at it, and none was killed."""
        if self._of_one:
            self._path(job, "json").unlink(missing_ok=True)

    def fail(self, job: Job, reason: str) -> None:
        """Say that it failed; an earlier result and its row stay."""
        self._write(job, self._read(job) | {"failure": {"path": str(job.inputs[0]), "reason": named(reason, as_flag)}})

    # All of them

    def write_tables(self) -> None:
        """Write the rows of all results in the folder, and all failures, whichever process made them."""
        if self._of_one or not self._folder.is_dir():
            return
        with SoftFileLease(self._folder / "tables.claim", lease_duration=LEASE_S):
            records = self._all()
            worst = WORST_FIRST[self.table]
            rows = [record["row"] for record in records if record.get("table") == self.table and "row" in record]
            rows = [row for row in rows if (self.out / row["output"]).exists()]
            failures = [record["failure"] for record in records if "failure" in record]
            _write_or_remove(self.out / f"{self.table}.csv", sorted(rows, key=lambda row: (worst(row), row["name"])))
            _write_or_remove(self.out / FAILURES, sorted(failures, key=lambda row: row["path"]))

    def require_tables_free(self, overwrite: bool) -> None:
        """Raise a FileExistsError if a table would be replaced that was not made of records.

        One that looks like ours but has no records beside it may be overwritten; one that does not, only where records
        know that it was written, as after a damage.
        """
        if self._of_one:
            return
        records = self._all()
        made = {
            f"{self.table}.csv": any("row" in record and record.get("table") == self.table for record in records),
            FAILURES: any("failure" in record for record in records),
        }
        for name, written in made.items():
            path = self.out / name
            if not path.exists():
                continue
            if not path.is_file() or not (_is_table(path) or (written and overwrite)):
                raise FileExistsError(
                    f"The table of results must not replace another; {path} was not made by this program. "
                    "Move it away, or choose another `out`."
                )
            if not records and not overwrite:
                raise FileExistsError(
                    f"An output must not exist yet; {path} does, without records of what it tells. Choose another "
                    "`out` or `overwrite`."
                )

    @property
    def _folder(self) -> Path:
        return self.out / FOLDER

    def _all(self) -> list[dict[str, Any]]:
        """Every record in the folder."""
        return [_load(path) for path in self._folder.rglob("*.json") if _is_record(path)]

    def _path(self, job: Job, suffix: str) -> Path:
        path = _beside(self.out, job.results[0].relative_to(self.out), suffix)
        return self.out / f".{path.name}" if self._of_one else path

    def _read(self, job: Job) -> dict[str, Any]:
        """The record; empty if there is none."""
        return _load(self._path(job, "json"))

    def _write(self, job: Job, record: dict[str, Any]) -> None:
        with written_beside(self._path(job, "json")) as beside:
            beside.write_text(json.dumps(record, indent=1), "utf8")


def is_result(out: Path, path: Path) -> bool:
    """Whether a record in the folder `out` says that `path` is a result."""
    if not (out / FOLDER).is_dir():
        return False
    place = path.parent.resolve() / path.name
    return place.is_relative_to(out.resolve()) and "row" in _load(
        _beside(out, place.relative_to(out.resolve()), "json")
    )


def _beside(out: Path, place: Path, suffix: str) -> Path:
    """The record or claim of the result at `place` in `out`; its name is short enough."""
    name = f"{place.name}.{suffix}"
    if len(os.fsencode(name)) > LONGEST - len(".-12345678.lock"):  # beside it, claims and what is being written
        name = f"{hashlib.sha256(os.fsencode(place.name)).hexdigest()}.{suffix}"
    return out / FOLDER / place.with_name(name)


def _load(path: Path) -> dict[str, Any]:
    """The record; empty if there is none, or what is there is none, as after a power failure."""
    try:
        record: dict[str, Any] = _Record(**json.loads(path.read_text("utf8"))).model_dump(exclude_unset=True)
    except (FileNotFoundError, ValueError, TypeError, RecursionError):
        return {}
    return {name: value for name, value in record.items() if value is not None}


def _as_they_are(paths: Iterable[Path]) -> list[str]:
    """Each of these files, or folders, with its size and when it was changed: what tells it from another, unread."""
    return [f"{path.resolve()} {(now := path.stat()).st_size} {now.st_mtime_ns}" for path in paths]


def _remove_void(claim: Path) -> None:
    """Remove a claim in which nobody is named, and was not for a while: of a process for which there was no room."""
    with suppress(FileNotFoundError):
        found = claim.stat()
        if not found.st_size and found.st_mtime < time.time() - LEASE_S:
            claim.unlink()


def _is_record(path: Path) -> bool:
    """Whether it is one; not a file that a killed process was about to rename."""
    return not path.name.startswith(".") and path.is_file()


def _is_table(path: Path) -> bool:
    """Whether the file begins as our tables do, or holds nothing, as after a power failure."""
    with path.open("rb") as file:
        begin = file.read(len(BEGINS[path.name])).strip(b"\0 \r\n")
    return not begin or begin == BEGINS[path.name].encode()


def _write_or_remove(path: Path, rows: list[Row]) -> None:
    """A table of these rows; without any there is none."""
    if rows:
        write_table(path, list(dict.fromkeys(name for row in rows for name in row)), rows)
    elif path.exists():
        path.unlink()
