"""The folder of an evaluation: metrics.json, and metrics.csv with a row for each frame."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from napari_pix2pix.core.engine.atomic import written_beside
from napari_pix2pix.core.engine.foreign_text import write_table
from napari_pix2pix.core.settings.config import read_json_object
from napari_pix2pix.files.outputs import require_folder

METRICS, ROWS, PAGE = "metrics.json", "metrics.csv", "report.html"
MARKS = {METRICS: b'"kind_of_pairs"', ROWS: b"name,", PAGE: b"napari-pix2pix"}
"""What is in the first bytes of each file of an evaluation."""
MARKED = 2**20


def require_free(out: Path, overwrite: bool) -> None:
    """Raise a FileExistsError if an evaluation in `out` would replace something; an earlier one may be overwritten."""
    if out.is_file():
        raise FileExistsError(f"An evaluation must go to a folder; {out} is a file. Choose another `out`.")
    require_folder(out)
    for name, mark in MARKS.items():
        path = out / name
        if not path.exists():
            continue
        if not overwrite:
            raise FileExistsError(f"An output must not exist yet; {path} does. Choose another `out` or `overwrite`.")
        if not path.is_file() or not _begins_with(path, mark):
            raise FileExistsError(
                f"Only what this program wrote may be overwritten; {path} is something else. Choose another `out`, or "
                "move it away."
            )


def _begins_with(path: Path, mark: bytes) -> bool:
    """Whether the file's first part holds `mark`, or nothing at all, as after a power failure."""
    with path.open("rb") as file:
        begin = file.read(MARKED)
    return mark in (begin.partition(b"\n")[0] if path.name == ROWS else begin) or not begin.strip(b"\0")


def write_evaluation(out: Path, report: dict[str, Any]) -> None:
    """Write the report of `core.evaluate` to the folder `out`, each file beside and renamed."""
    names = list(dict.fromkeys(name for row in report["files"] for name in row if name != "shift"))
    rows = [row | dict(zip(("shift_y", "shift_x"), row.get("shift") or (), strict=False)) for row in report["files"]]
    rows = [row | ({"stains": ", ".join(row["stains"])} if "stains" in row else {}) for row in rows]
    write_table(out / ROWS, [*names, "shift_y", "shift_x"], rows)
    with written_beside(out / METRICS) as beside:
        beside.write_text(json.dumps(report, indent=2, allow_nan=False), "utf8")


def read_evaluations(folders: Sequence[Path]) -> dict[str, dict[str, Any]]:
    """The reports in these folders, by the folders as they were given.

    Raises
    ------
    FileNotFoundError
        If a folder holds none.
    ValueError
        If one is given twice, cannot be read, or was written before reports told of what kind their targets are.
    """
    reports: dict[str, dict[str, Any]] = {}
    known: dict[Path, Path] = {}
    for folder in folders:
        path = folder if folder.name == METRICS else folder / METRICS
        if (other := known.setdefault(path.resolve(), folder)) is not folder:
            twice = f"{folder} is given twice" if folder == other else f"{folder} is {other}"
            raise ValueError(f"Evaluations to compare must be different ones; {twice}. Leave one out.")
        if not path.is_file() and (folder / "repetition.json").is_file():
            raise FileNotFoundError(f"Runs must be judged to be compared; evaluate {folder} first.")
        if not path.is_file() and (done := sorted(folder.glob(f"*/{METRICS}"))):
            raise FileNotFoundError(
                f"An evaluation must hold {METRICS}; {folder} has none, but {len(done)} below it, the first in "
                f"{done[0].parent}. If it was not finished, give the same evaluate once more; else name one of them."
            )
        if not path.is_file():
            raise FileNotFoundError(f"An evaluation must hold {METRICS}; there is none at {path}. Check the path.")
        report = read_json_object(path)
        if not {"kind", "files", "metrics", "intervals"} <= report.keys():
            raise ValueError(f"An evaluation must be of this version; {path} is older. Evaluate again.")
        reports[str(folder)] = report
    return reports
