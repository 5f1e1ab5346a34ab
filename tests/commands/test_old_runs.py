"""A run that an earlier release began can be gone on with, for ever."""

import csv
import shutil
from pathlib import Path

import pytest
import torch

from napari_pix2pix.commands.app import main
from napari_pix2pix.core.engine.tensor_files import read_tensors
from napari_pix2pix.core.models.migrations import present_names

STOPPED = Path(__file__).parents[1] / "fixtures" / "run_v1"
"""`run` was stopped by the release of the first format after three of its six steps, `whole` was not."""


def weights(checkpoint: Path, version: int) -> torch.Tensor:
    """The weights in a checkpoint, of the averaged and the trained networks."""
    tensors = present_names(version, read_tensors(checkpoint)[0])
    names = [name for name in sorted(tensors) if name.startswith(("networks.", "trained."))]
    return torch.cat([tensors[name].flatten() for name in names if name.endswith(("weight", "bias"))])


def rows(folder: Path) -> list[dict[str, float]]:
    with (folder / "history.csv").open(newline="") as file:
        return [{name: float(value) for name, value in row.items()} for row in csv.DictReader(file)]


def test_a_run_of_the_first_format_goes_on(tmp_path, monkeypatch) -> None:
    """Its pairs beside it, its optimizers, average and history as they were: the end is that of the old release.

    On the machine that made it to the last bit; elsewhere within the rounding of sums, whose order is the machine's.
    """
    shutil.copytree(STOPPED, tmp_path / "moved")
    monkeypatch.chdir(tmp_path / "moved")
    assert main(["train", "--resume", "run", "--device", "cpu"]) == 0
    stopped = weights(STOPPED / "run" / "checkpoint.safetensors", 1)
    whole = weights(STOPPED / "whole" / "checkpoint.safetensors", 1)
    resumed = weights(Path("run", "checkpoint.safetensors"), 2)
    assert (resumed - whole).norm() < 0.02 * (whole - stopped).norm()
    for found, expected in zip(rows(Path("run")), rows(STOPPED / "whole"), strict=True):
        assert found == pytest.approx(expected, rel=1e-3)
