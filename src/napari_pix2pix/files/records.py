"""What is done in a folder of results: a record of each, claims among processes, and the tables made of the records."""

import csv
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import SoftFileLease, Timeout

from napari_pix2pix.core.engine.atomic import remove_leftovers, written_beside
from napari_pix2pix.files.outputs import Job
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
    "predictions": lambda row: (-row.get("expected_error", 0), -(row["outside_training_range"] or 0)),
    "scores": lambda row: row["mean"],
}
"""What sorts the rows of each table."""


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
    """

    def __init__(self, out: Path, table: str, made_with: dict[str, Any]) -> None:
        self.out, self.table = out, table
        self.made_with = json.loads(json.dumps(made_with))
        self._leases: dict[Path, SoftFileLease] = {}

    # One job

    @contextmanager
    def claimed(self, job: Job) -> Iterator[bool]:
        """Within the block the job is this process's alone; False where it is another's."""
        path = self._path(job, "claim")
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
        """Whether the result was made, or begun, with this model and these settings, of whatever inputs."""
        return self._read(job).get("made_with") == self.made_with

    def is_done(self, job: Job) -> bool:
        """Whether the result exists, made with this model and these settings of these very inputs, which are read."""
        record = self._read(job)
        done = (
            "row" in record
            and record["made_with"] == self.made_with
            and all(path.exists() for path in job.results)
            and record["inputs"] == [sha256(path) for path in job.inputs]
        )
        if done and "failure" in record:  # which was about another input
            del record["failure"]
            self._write(job, record)
        return done

    def begin(self, job: Job, overwrite: bool) -> None:
        """Say that the result is about to be written.

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
                "Choose another --out or --overwrite."
            )
        if record and "row" not in record:
            for path in job.results:
                remove_leftovers(path)
        made_of = {"made_with": self.made_with, "inputs": [sha256(path) for path in job.inputs]}
        self._write(job, {"table": self.table} | made_of)

    def finish(self, job: Job, row: Row) -> None:
        """Say that the result is done, with what its table tells."""
        named = {"name": job.name, "output": job.results[0].relative_to(self.out).as_posix()}
        self._write(job, self._read(job) | {"row": named | row})

    def fail(self, job: Job, reason: str) -> None:
        """Say that it failed; an earlier result and its row stay."""
        self._write(job, self._read(job) | {"failure": {"path": str(job.inputs[0]), "reason": reason}})

    # All of them

    def write_tables(self) -> None:
        """Write the rows of all results in the folder, and all failures, whichever process made them."""
        if not self._folder.is_dir():
            return
        with SoftFileLease(self._folder / "tables.claim", lease_duration=LEASE_S):
            records = [_load(path) for path in self._folder.rglob("*.json") if _is_record(path)]
            worst = WORST_FIRST[self.table]
            rows = [record["row"] for record in records if record.get("table") == self.table and "row" in record]
            rows = [row for row in rows if (self.out / row["output"]).exists()]
            failures = [record["failure"] for record in records if "failure" in record]
            _write_csv(self.out / f"{self.table}.csv", sorted(rows, key=lambda row: (worst(row), row["name"])))
            _write_csv(self.out / "failures.csv", sorted(failures, key=lambda row: row["path"]))

    @property
    def _folder(self) -> Path:
        return self.out / FOLDER

    def _path(self, job: Job, suffix: str) -> Path:
        place = job.results[0].relative_to(self.out)
        return self._folder / place.with_name(f"{place.name}.{suffix}")

    def _read(self, job: Job) -> dict[str, Any]:
        """The record; empty if there is none."""
        return _load(self._path(job, "json"))

    def _write(self, job: Job, record: dict[str, Any]) -> None:
        with written_beside(self._path(job, "json")) as beside:
            beside.write_text(json.dumps(record, indent=1), "utf8")


def _load(path: Path) -> dict[str, Any]:
    """The record; empty if there is none, or none that can be read, as after a power failure."""
    try:
        return dict(json.loads(path.read_text("utf8")))
    except (FileNotFoundError, ValueError):
        return {}


def _is_record(path: Path) -> bool:
    """Whether it is one; not a file that a killed process was about to rename."""
    return not path.name.startswith(".")


def _write_csv(path: Path, rows: list[Row]) -> None:
    """A table of these rows; without any there is none."""
    if not rows:
        path.unlink(missing_ok=True)
        return
    columns = dict.fromkeys(name for row in rows for name in row)
    with written_beside(path) as beside, beside.open("w", newline="", encoding="utf8") as file:
        writer = csv.DictWriter(file, list(columns))
        writer.writeheader()
        writer.writerows(rows)
