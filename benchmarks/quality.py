"""How good the preset `fast` is on real sets: a JSON line per training, then a table of mean ± SD over the seeds.

Beside pix2pix stand, on the same pairs and of the same size and time, `pix2pix-l1` (--label-loss l1), and the same
U-Net without a discriminator (--gan-weight 0), trained by L1 (`l1`) and by cross-entropy (`cross-entropy`): that takes
less time, so they make more steps; how many is measured at the start. No test image trains or chooses.

    python benchmarks/quality.py --data ../shared/data --sets dsb2018 --seeds 3
"""

import os

os.environ |= {"OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": "0"}  # before torch is imported

import argparse
import csv
import json
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import tifffile

from napari_pix2pix import core
from napari_pix2pix.core.settings.config import PairSettings, make_config
from napari_pix2pix.files.pairing import open_stacks

Pairs = tuple[core.PairedFrames, core.PairedFrames, dict[str, Any]]
SHOWN = ("dice", "object_f1_iou50", "mae", "psnr")
METHODS: dict[str, dict[str, Any]] = {
    "pix2pix": {},
    "pix2pix-l1": {"label_loss": "l1"},
    "l1": {"label_loss": "l1", "gan_weight": 0.0, "l2_weight": 0.0},
    "cross-entropy": {"label_loss": "cross-entropy", "gan_weight": 0.0},
}
OF_LABELS = ("pix2pix-l1", "cross-entropy")


def dsb2018(data: Path) -> Pairs:
    """479 images to train on, 57 to test on: nuclei, one id each, in four kinds of light and stain."""
    folders = [data / "dsb2018" / part for part in ("train", "validation")]
    parts = [open_stacks(folder / "image", folder / "label", PairSettings()) for folder in folders]
    settings = {"target_kind": "instances", "empty_frames": "empty", "intensity_jitter": 0.2}
    return parts[0].frames(), parts[1].frames(), settings


def isbi2012(data: Path) -> Pairs:
    """18 slices to train on, one left out, five to test on: membranes."""
    source, target = (tifffile.imread(data / "isbi2012" / name) for name in ("image.tif", "membrane.tif"))
    pairs = [core.PairedFrames(source[part], target[part], "ZYX") for part in (slice(18), slice(19, None))]
    return pairs[0], pairs[1], {"target_kind": "classes"}


def drive(data: Path) -> Pairs:
    """16 images to train on, four to test on: vessels, known in the field of view."""
    folder = data / "drive"
    read = open_stacks(folder / "image", folder / "vessel", PairSettings(valid=str(folder / "field_of_view")))
    return (*halves(read.frames(), 16), {"target_kind": "classes"})


def facade_windows(data: Path, source: str) -> Pairs:
    """200 photos with windows to train on, 38 to test on."""
    pairs = open_stacks(data / "facade_windows", None, PairSettings(side_by_side=source)).frames()
    return (*halves(pairs, 200), {"target_kind": "intensity"})


def halves(pairs: core.PairedFrames, count: int) -> tuple[core.PairedFrames, core.PairedFrames]:
    """The first `count` pairs, and the others, read into memory."""
    parts = []
    for frames in (range(count), range(count, len(pairs))):
        sides = [[np.moveaxis(read(i), 0, -1) for i in frames] for read in (pairs.source, pairs.target)]
        known = None if pairs.known_everywhere else [pairs.known(i) for i in frames]
        parts.append(core.PairedFrames(*sides, "YXS", valid=known))
    return parts[0], parts[1]


SETS: dict[str, Callable[[Path], Pairs]] = {
    "dsb2018": dsb2018,
    "isbi2012": isbi2012,
    "drive": drive,
    "photo to windows": partial(facade_windows, source="left"),
    "windows to photo": partial(facade_windows, source="right"),
}


def runs(args: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """One training after the other."""
    for name in args.sets:
        learn, test, settings = SETS[name](args.data)
        seconds: dict[str, float] = {}
        for method in args.methods:
            if method in OF_LABELS and settings["target_kind"] == "intensity":
                continue
            seconds[method] = seconds_per_step(learn, settings | METHODS[method])
            steps = round(args.steps * seconds[args.methods[0]] / seconds[method])
            for seed in range(args.seeds):
                changes = settings | METHODS[method] | {"steps": steps, "seed": seed, "trust_steps": 0}
                changes["validate_every"] = max(1, steps // 8)
                started, used = time.monotonic(), time.process_time()
                with tempfile.TemporaryDirectory() as folder:
                    *_, last = core.train(learn, make_config("fast", changes=changes), out=folder)
                row = {"set": name, "method": method, "seed": seed, "steps": steps}
                row |= {"seconds": round(time.monotonic() - started), "cpu_seconds": round(time.process_time() - used)}
                report = core.evaluate(last.model, test, None)
                row |= {metric: report["metrics"][metric]["value"] for metric in SHOWN if metric in report["metrics"]}
                if name == "dsb2018":
                    row["domains"] = by_domain(report["files"], args.data / "dsb2018" / "index.csv")
                yield row


def seconds_per_step(pairs: core.PairedFrames, changes: dict[str, Any]) -> float:
    """The median of thirty steps."""
    config = make_config("fast", changes=changes | {"steps": 40, "validation_share": 0.0, "trust_steps": 0})
    times = []
    with tempfile.TemporaryDirectory() as folder:
        for report in core.train(pairs, config, out=folder):
            times.append(report.elapsed_s)
    return statistics.median(np.diff(times[5:-2]).tolist())


def by_domain(files: list[dict[str, Any]], index: Path) -> dict[str, dict[str, float]]:
    """Means of the figures over the images of each domain."""
    with index.open(newline="") as file:
        rows = list(csv.DictReader(file))
    domains = {row["id"]: row["domain"] for row in rows}
    found: dict[str, list[dict[str, Any]]] = {}
    for row in files:
        found.setdefault(domains[row["name"]], []).append(row)
    return {
        domain: {"n": len(some)} | {metric: statistics.mean(row[metric] for row in some) for metric in SHOWN[:2]}
        for domain, some in found.items()
    }


def table(rows: list[dict[str, Any]]) -> str:
    """Mean ± standard deviation over the seeds."""
    metrics = [metric for metric in SHOWN if any(metric in row for row in rows)]
    lines = ["| set | method | steps | seconds | " + " | ".join(metrics) + " |", "|---" * (len(metrics) + 4) + "|"]
    for key in dict.fromkeys((row["set"], row["method"]) for row in rows):
        those = [row for row in rows if (row["set"], row["method"]) == key]
        cells = [str(those[0]["steps"]), str(round(statistics.median(row["seconds"] for row in those)))]
        for metric in metrics:
            values = [row[metric] for row in those if metric in row]
            spread = f" ± {statistics.stdev(values):.3f}" if len(values) > 1 else ""
            cells.append(f"{statistics.mean(values):.3f}{spread}" if values else "")
        lines.append("| " + " | ".join([*key, *cells]) + " |")
    return "\n".join(lines)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--sets", nargs="+", choices=SETS, default=list(SETS))
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=make_config("fast").steps, help="of pix2pix")
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    found = []
    for row in runs(args):
        print(json.dumps(row), flush=True)
        found.append(row)
    print(table(found))
