"""Which norm makes tiled prediction exact without a gap between training and prediction: a JSON line per training.

Each norm of the generator is trained with the preset `fast` on two real sets, and its last weights are tested in two
modes: `frozen` (statistics of the training, no dropout: tiles are exact) and `image` (statistics of the test image,
dropout on: as in the paper). The baseline is `batch` in the mode `image`, the paper's own. `textbook` is batch norm
with the running averages that training leaves behind. Errors are mean |prediction - target| as a share of the target's
range; `mismatch` is the largest difference between tiles of 64 px and the whole image, likewise.

    python benchmarks/norms.py --data ../shared/data
"""

import os

os.environ |= {"OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": "0"}  # before torch is imported

import argparse
import copy
import json
import statistics
import tempfile
import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import tifffile
import torch
from torch import nn

from napari_pix2pix.core.data.pairs import PairedFrames
from napari_pix2pix.core.evaluation.metrics.classes import dice
from napari_pix2pix.core.networks.norms import image_statistics, recompute_statistics
from napari_pix2pix.core.running.prediction import (
    Findings,
    Forward,
    plan_prediction,
    predict_by_image_statistics,
    predict_tiles,
)
from napari_pix2pix.core.running.trained_model import TrainedModel
from napari_pix2pix.core.settings.config import PairSettings, make_config
from napari_pix2pix.core.training.loop import train
from napari_pix2pix.files.pairing import open_stacks

NORMS = ("batch", "batch-renorm", "none")


def isbi2012(data: Path) -> tuple[PairedFrames, PairedFrames]:
    """18 slices to train on, one left out, five to test on."""
    source, target = (tifffile.imread(data / "isbi2012" / name) for name in ("image.tif", "membrane.tif"))
    return PairedFrames(source[:18], target[:18], "ZYX"), PairedFrames(source[19:], target[19:], "ZYX")


def dsb2018(data: Path) -> tuple[PairedFrames, PairedFrames]:
    """479 images to train on, 57 to test on; the target is the foreground."""
    parts = []
    for part in ("train", "validation"):
        folder = data / "dsb2018" / part
        read = open_stacks(folder / "image", folder / "label", PairSettings()).frames()
        sources = [np.moveaxis(read.source(i), 0, -1) for i in range(len(read))]
        targets = [np.where(read.target(i)[0] > 0, np.uint8(255), np.uint8(0)) for i in range(len(read))]
        parts.append(PairedFrames(sources, targets, ("YXS", "YX")))
    return parts[0], parts[1]


def errors(model: TrainedModel, test: PairedFrames, mode: str) -> tuple[float, float]:
    """Mean |prediction - target| as a share of the range, and mean Dice, over the test images."""
    rows = []
    for i in range(len(test)):
        source, target = test.source(i), test.target(i)
        if mode == "image":
            frame = model.source_encoding.encode(source)
            maps = predict_by_image_statistics(Forward(model.generator, model.device), frame)
            prediction = model.decode(maps, source)
        else:
            prediction = model.predict_frame(source)
        rows.append((np.abs(prediction / 255 - target / 255).mean(), dice(prediction > 127, target > 127)))
    error, dices = zip(*rows, strict=True)
    return float(np.mean(error)), float(np.mean(dices))


def mismatch(model: TrainedModel, source: np.ndarray, mode: str) -> float:
    """The largest difference between tiles and the whole image, as a share of the range; dropout off."""
    frame = model.source_encoding.encode(source)

    def maps(tile_size: int | None) -> np.ndarray:
        plan = plan_prediction(model.generator, frame.shape[1:], tile_size)
        found = np.zeros((1, *frame.shape[1:]), np.float32)
        for window, values in predict_tiles(Forward(model.generator, model.device), frame, plan, Findings(batch=1)):
            found[(slice(None), *window)] += values
        return found

    if mode == "frozen":
        whole, tiled = maps(None), maps(64)
    else:
        with image_statistics(model.generator):
            for module in model.generator.modules():
                if isinstance(module, nn.Dropout):
                    module.eval()
            whole, tiled = maps(None), maps(64)
    return float(np.abs(whole - tiled).max() / 1.8)


def runs(args: argparse.Namespace) -> Iterator[dict[str, object]]:
    """One training after the other."""
    for name in args.sets:
        learn, test = {"isbi2012": isbi2012, "dsb2018": dsb2018}[name](args.data)
        for seed in range(args.seeds):
            for norm in args.norms:
                changes = {
                    "generator": {"norm": norm},
                    "target_kind": "intensity",
                    "validation_share": 0.0,
                    "calibration_share": 0.0,
                    "trust_steps": 0,
                    "validate_every": args.steps,
                    "steps": args.steps,
                    "seed": seed,
                }
                running: list[dict[str, torch.Tensor]] = []

                def remembering(network: nn.Module, batches: Iterable[torch.Tensor], kept: list = running) -> None:
                    kept[:] = [copy.deepcopy(network.state_dict())]
                    recompute_statistics(network, batches)

                with (
                    tempfile.TemporaryDirectory() as folder,
                    mock.patch("napari_pix2pix.core.training.loop.recompute_statistics", remembering),
                ):
                    *_, last = train(learn, make_config("fast", changes=changes), out=folder)
                assert last.model is not None
                told = {"set": name, "norm": norm, "seed": seed, "steps": args.steps}
                yield {**told, **figures(last.model, test)}
                if norm == "batch":
                    last.model.generator.load_state_dict(running[0])
                    yield {**told, "norm": "batch, textbook", **figures(last.model, test)}


def figures(model: TrainedModel, test: PairedFrames) -> dict[str, float]:
    """Errors and mismatches in both modes."""
    row = {}
    for mode in ("frozen", "image"):
        row[f"{mode}_l1"], row[f"{mode}_dice"] = errors(model, test, mode)
        row[f"{mode}_mismatch"] = mismatch(model, test.source(0), mode)
    return row


def table(rows: list[dict[str, Any]]) -> str:
    """Mean ± standard deviation over the seeds, for docs/decisions.md."""
    columns = [f"{mode}_{figure}" for figure in ("l1", "dice", "mismatch") for mode in ("frozen", "image")]
    lines = ["| set | norm | " + " | ".join(columns) + " |", "|---" * (len(columns) + 2) + "|"]
    for key in dict.fromkeys((row["set"], row["norm"]) for row in rows):
        those = [row for row in rows if (row["set"], row["norm"]) == key]
        cells = []
        for column in columns:
            values = [row[column] for row in those]
            spread = f" ± {statistics.stdev(values):.4f}" if len(values) > 1 else ""
            cells.append(
                f"{statistics.mean(values):.1e}" if "mismatch" in column else f"{statistics.mean(values):.4f}{spread}"
            )
        lines.append("| " + " | ".join([*key, *cells]) + " |")
    return "\n".join(lines)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--sets", nargs="+", default=["isbi2012", "dsb2018"])
    parser.add_argument("--norms", nargs="+", default=list(NORMS))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=1500)
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    rows = []
    for row in runs(args):
        print(json.dumps(row), flush=True)
        rows.append(row)
    print(table(rows))
