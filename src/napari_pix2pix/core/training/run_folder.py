"""The files of a run, and the lock that keeps it to one process."""

import json
import math
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

from filelock import FileLock, Timeout
from pydantic import BaseModel, Field
from torch import Tensor

from napari_pix2pix.core.engine.atomic import remove_leftovers, written_beside
from napari_pix2pix.core.engine.foreign_text import require_text, write_table
from napari_pix2pix.core.engine.memory import is_out_of_memory
from napari_pix2pix.core.engine.tensor_files import tensors_of
from napari_pix2pix.core.engine.tensor_headers import read_header
from napari_pix2pix.core.models.content import content_of
from napari_pix2pix.core.models.migrations import present_names
from napari_pix2pix.core.settings.config import read_json_object, validated

MISFITS = (KeyError, TypeError, AttributeError, IndexError, RuntimeError)
"""What comes of using what is not there, or not of the type or shape that it must be."""
LONGEST_REASON = 200
PREVIEW = re.compile(r"\d{7,}\.png")
"""The name of a preview: its step."""
MARK, MARKED = b"napari", 2**20
"""What the first bytes of a model, a checkpoint or a plan hold."""


class CheckpointState(BaseModel):
    """What a checkpoint tells beside tensors."""

    step: Annotated[int, Field(ge=0, lt=2**63)]
    history: list[dict[str, float | None]]
    best: float | None
    model: dict[str, Any]
    last: Annotated[int, Field(ge=0, lt=2**63)] | None = None
    worse: Annotated[int, Field(ge=0)] = 0
    scaler: dict[str, Any] = {}


class RunFolder:
    """The files of a run."""

    FILES = (
        *("config.json", "split.csv", "history.csv", "elapsed.json", "checkpoint.safetensors", "model.safetensors"),
        "report.html",
    )

    def __init__(self, path: Path) -> None:
        self.path = path
        self.model = path / "model.safetensors"

    def require_free(self, overwrite: bool) -> None:
        """Raise a FileExistsError if something is there, unless it may be overwritten."""
        require_text(self.path)
        if self.path.is_file():
            raise FileExistsError(f"A run must go to a folder; {self.path} is a file. Choose another `out`.")
        if overwrite and (found := self.written()) and not self._is_run():
            raise FileExistsError(
                f"Only a run may be overwritten; {found[0]} is of none. Choose another `out`, or move it away."
            )
        allowed = {".lock", "data"}  # the docks write layers without a file to `data` first
        if not overwrite and self.path.is_dir() and any(p.name not in allowed for p in self.path.iterdir()):
            raise FileExistsError(
                f"A run must go to a new or empty folder; {self.path} holds files. Choose another `out`, or `resume`, "
                "or `overwrite`."
            )

    def lock(self) -> FileLock:
        """The lock of this run, taken; two processes never work on one run."""
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            (self.path / ".lock").touch()
        except OSError as error:
            raise PermissionError(
                f"A run's folder must be writable; {self.path} is not ({error.strerror}). Choose another `out`."
            ) from error
        lock = FileLock(self.path / ".lock", timeout=0)
        try:
            lock.acquire()
        except Timeout as error:
            raise ValueError(f"A run must have one process at a time; another works on {self.path}.") from error
        for name in self.FILES:
            remove_leftovers(self.path / name)
        return lock

    def written(self) -> list[Path]:
        """The files of an earlier run."""
        files = [path for name in self.FILES if (path := self.path / name).is_file() or path.is_symlink()]
        return files + sorted(path for path in self.path.glob("previews/*.png") if PREVIEW.fullmatch(path.name))

    def _is_run(self) -> bool:
        """Whether the folder is one of a run: locked by one, or with a model or a plan that says so."""
        if (self.path / ".lock").is_file():
            return True
        for name in ("model.safetensors", "checkpoint.safetensors", "config.json"):
            if (self.path / name).is_file():
                with (self.path / name).open("rb") as file:
                    if MARK in file.read(MARKED):
                        return True
        return False

    def clear(self) -> None:
        """Remove the files of an earlier run."""
        for path in self.written():
            path.unlink()

    def plan(self) -> dict[str, Any]:
        """What `write_plan` wrote."""
        for name in ("config.json", "checkpoint.safetensors"):
            if not (self.path / name).is_file():
                raise FileNotFoundError(f"A run to resume must hold {name}; {self.path} has none. Check the path.")
        path = self.path / "config.json"
        with self._told("config.json"):
            plan = read_json_object(path)
            content_of(plan)
        return plan

    def checkpoint(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """The tensors and the state to go on from."""
        header = read_header(self.path / "checkpoint.safetensors")
        return present_names(header.version, tensors_of(header)), header.content

    @contextmanager
    def _told(self, name: str) -> Iterator[None]:
        """Within the block, whatever is wrong with this file, which the run itself wrote, is told in one sentence."""
        try:
            yield
        except (ValueError, *MISFITS) as error:
            if is_out_of_memory(error):
                raise
            reason = f"{type(error).__name__} {error}" if isinstance(error, MISFITS) else f"{error}"
            reason = " ".join(reason.split())
            raise ValueError(
                f"A run must be resumed from the files that it wrote; {self.path / name} is damaged or of another "
                f"({reason[:LONGEST_REASON]}). Restore it, or start anew with `overwrite`."
            ) from error

    def restore(self, into: Callable[[dict[str, Tensor], dict[str, Any]], None]) -> None:
        """Give the checkpoint to what knows where to put it.

        Raises
        ------
        ValueError
            If it does not fit.
        """
        with self._told("checkpoint.safetensors"):
            tensors, state = self.checkpoint()
            validated(CheckpointState, state)
            into(tensors, state)

    def elapsed_s(self) -> float:
        """How long the training has taken, in all processes that worked on it; 0 before it is said.

        It is no part of the model, which is the same whatever the time.

        Raises
        ------
        ValueError
            If the file does not tell.
        """
        path = self.path / "elapsed.json"
        if not path.is_file():
            return 0.0
        elapsed = read_json_object(path).get("elapsed_s")
        if isinstance(elapsed, bool) or not isinstance(elapsed, int | float) or not 0 <= elapsed < math.inf:
            raise ValueError(
                f'{path} must tell how long a run took, {{"elapsed_s": 12.5}}; got {elapsed!r:.60}. Delete it.'
            )
        return float(elapsed)

    def write_elapsed(self, elapsed_s: float) -> None:
        """Keep what `elapsed_s` tells."""
        with written_beside(self.path / "elapsed.json") as beside:
            beside.write_text(json.dumps({"elapsed_s": round(elapsed_s, 1)}), "utf8")

    def write_plan(self, plan: dict[str, Any]) -> None:
        """`config.json`: what this run does, with what."""
        with written_beside(self.path / "config.json") as beside:
            beside.write_text(json.dumps(plan, indent=2, sort_keys=True), "utf8")

    def write_rows(self, name: str, rows: list[dict[str, Any]], columns: list[str]) -> None:
        """A CSV file of these rows."""
        write_table(self.path / name, columns, rows)
