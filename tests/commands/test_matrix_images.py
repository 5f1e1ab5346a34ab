"""Every kind of image alone, and with every kind of target: trained, resumed, made from nothing again and again."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, cached_property
from itertools import product
from pathlib import Path

import numpy as np
import pytest

from every_pair import RARE_SOURCES, RARE_TARGETS, SOURCES, TARGETS, Kind, command, stack, unreported, write
from napari_pix2pix import core
from napari_pix2pix.core.training import loop
from napari_pix2pix.files.stacks import open_stack

pytestmark = pytest.mark.filterwarnings("ignore:Images made differ")
KINDS, ALONE = SOURCES | RARE_SOURCES, "alone"
SMALL = (
    *("--method", "gan", "--patch-size", "32", "--batch-size", "2", "--latent", "4", "--base-channels", "1"),
    *("--steps", "7", "--validate-every", "7"),
)


@dataclass(frozen=True)
class Trained:
    """Images of a kind, alone or with targets, and a run of them."""

    source: str
    target: str
    folder: Path

    @property
    def kinds(self) -> tuple[Kind, Kind | None]:
        """Of both sides."""
        return KINDS[self.source], (TARGETS | RARE_TARGETS).get(self.target)

    @property
    def words(self) -> list[str]:
        """Of a training, but where it goes."""
        source, target = self.kinds
        sides = ["source"] + (["target"] if target else [])
        settings = [*source.settings, *target.settings] if target else []
        return [*(str(self.folder / side) for side in sides), *source.pairs, *settings, *SMALL]

    @cached_property
    def run(self) -> Path:
        """Of four images, by the command."""
        source, target = self.kinds
        for seed in range(4):
            name = f"cell {seed}.tif"
            write(self.folder / "source" / name, stack(source, seed), source.axes, source.names)
            if target is not None:
                values = stack(target, seed, source.frames)
                write(self.folder / "target" / name, values, source.frames + target.axes, target.names)
        with unreported():
            command("train", *self.words, "--out", self.folder / "run")
        return self.folder / "run"


def train(trained: Trained, out: Path) -> None:
    """Again the same weights, bit for bit, and so when it is resumed."""
    assert trained.run
    with unreported():
        command("train", *trained.words, "--out", out / "again")
        command("train", "--resume", out / "again")
    runs = out / "again", trained.run
    ours, theirs = (core.load_model(run / "model.safetensors").tensors() for run in runs)
    assert ours.keys() == theirs.keys() and all((value == theirs[name]).all() for name, value in ours.items())


def generate(trained: Trained, out: Path) -> None:
    """Files hold what Python makes, in the channels and the data type of those that trained, and can be read so."""
    source, target = trained.kinds
    command("generate", trained.run, "--n", 2, "--out", out / "made")
    model = core.load_model(trained.run / "model.safetensors", "cpu")
    images = model.generate(2)
    place = out / "made" / "source" if target else out / "made"
    for k, image in enumerate(images):
        made = open_stack(place / f"generated_{k:04}.tif")
        plan = made.plan
        np.testing.assert_array_equal(plan.take(made.array, 0), image)
        real = open_stack(trained.folder / "source" / "cell 0.tif")
        assert made.array.dtype == real.array.dtype and made.is_generated
        assert plan.n_channels == (len(source.take) or real.plan.n_channels)
        assert plan.channel_axis == real.plan.channel_axis or not plan.channel_axis
    if target:
        _, targets = model.generate_pairs(2)
        made = open_stack(out / "made" / "target" / "generated_0001.tif")
        np.testing.assert_array_equal(made.plan.take(made.array, 0), targets[1])
        pairs = core.PairedFrames(
            [open_stack(path).array for path in sorted(place.glob("*.tif"))],
            [open_stack(path).array for path in sorted((out / "made" / "target").glob("*.tif"))],
            (open_stack(place / "generated_0000.tif").axes, made.axes),
        )
        assert pairs.n_channels == (images.shape[1], targets.shape[1])


def refuse(trained: Trained, out: Path) -> None:
    """Nothing is predicted by such a model."""
    events = command("predict", trained.run, trained.folder / "source", "--out", out / "x", code=2)
    assert "makes them from nothing" in events[-1]["text"]


ACTIONS: dict[str, Callable[[Trained, Path], None]] = {"train": train, "generate": generate, "predict": refuse}
FEW = {
    ("grey", ALONE, "generate"),
    ("RGB", "instances", "generate"),
    ("two channels", "classes", "train"),
    ("time series", "RGB", "generate"),
    ("chosen channels", ALONE, "train"),
    ("labels", "several channels", "generate"),
    ("floats", "grey", "predict"),
}
"""In every run; all others in a campaign."""


def possible(row: tuple[str, str, str]) -> bool:
    """Of planes only; what is made of labels alone is grey values."""
    return KINDS[row[0]].z == "frame"


ALL = filter(possible, product(KINDS, [ALONE, *TARGETS, *RARE_TARGETS], ACTIONS))
FURTHER = [pytest.mark.slow, pytest.mark.campaign]
ROWS = [row if row in FEW else pytest.param(*row, marks=FURTHER) for row in ALL]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Gives the run of such images, trained when it is first asked for."""
    return cache(lambda source, target: Trained(source, target, tmp_path_factory.mktemp("images")))


@pytest.mark.parametrize(("source", "target", "action"), ROWS, ids=lambda value: str(value))
def test_images_from_nothing_of_every_kind(trained, tmp_path, monkeypatch, source, target, action) -> None:
    """The row of the table: this kind of image with this target, and what is done with the model."""
    monkeypatch.setattr(loop, "JUDGED_PATCHES", 8)
    ACTIONS[action](trained(source, target), tmp_path)
