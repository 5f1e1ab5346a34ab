"""The folder of an evaluation: metrics.json, and metrics.csv with a row for each frame."""

import csv
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from napari_pix2pix.core.engine.atomic import written_beside
from napari_pix2pix.core.settings.config import read_json_object

METRICS, ROWS = "metrics.json", "metrics.csv"


def write_evaluation(out: Path, report: dict[str, Any]) -> None:
    """Write the report of `core.evaluate` to the folder `out`, each file beside and renamed."""
    with written_beside(out / ROWS) as beside, beside.open("w", newline="", encoding="utf8") as file:
        names = list(dict.fromkeys(name for row in report["files"] for name in row if name != "shift"))
        writer = csv.DictWriter(file, [*names, "shift_y", "shift_x"], extrasaction="ignore")
        writer.writeheader()
        for row in report["files"]:
            y, x = row.get("shift") or (None, None)
            writer.writerow(row | {"shift_y": y, "shift_x": x})
    with written_beside(out / METRICS) as beside:
        beside.write_text(json.dumps(report, indent=2, allow_nan=False), "utf8")


def read_evaluations(folders: Sequence[Path]) -> dict[str, dict[str, Any]]:
    """The reports in these folders, by the folders as they were given.

    Raises
    ------
    FileNotFoundError
        If a folder holds none.
    ValueError
        If one cannot be read, or was written before reports told of what kind their targets are.
    """
    reports = {}
    for folder in folders:
        path = folder if folder.name == METRICS else folder / METRICS
        if not path.is_file():
            raise FileNotFoundError(f"An evaluation must hold {METRICS}; there is none at {path}. Check the path.")
        report = read_json_object(path)
        if not {"kind", "files", "metrics", "intervals"} <= report.keys():
            raise ValueError(f"An evaluation must be of this version; {path} is older. Evaluate again.")
        reports[str(folder)] = report
    return reports
