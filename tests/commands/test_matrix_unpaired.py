"""Every kind of source with every kind of target, without pairs: whatever a model of pairs can, both ways."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, cached_property
from itertools import product
from pathlib import Path

import numpy as np
import pytest

from every_pair import RARE_SOURCES, RARE_TARGETS, SMALL, SOURCES, TARGETS, Pair, command, unreported
from napari_pix2pix import core
from napari_pix2pix.core.training import loop
from napari_pix2pix.files.stacks import open_stack

TRAIN, TEST = {"source": range(3), "target": range(10, 14)}, 20
"""Seeds of either side, which are no pairs; of a pair that judges."""


@dataclass(frozen=True)
class Trained:
    """Sides with their files, and a run of them."""

    pair: Pair
    folder: Path

    @property
    def words(self) -> list[str]:
        """Of a training, but where it goes."""
        source, target = self.pair.kinds
        sides = [self.folder / side / side for side in TRAIN]
        flags = [*source.pairs, *source.settings, *target.settings, *SMALL, "--generator.architecture", "unet"]
        return [*map(str, sides), "--method", "cyclegan", "--pool-size", "2", *flags]

    @cached_property
    def run(self) -> Path:
        """Of three sources and four targets, by the command."""
        for side, seeds in TRAIN.items():
            self.pair.write(self.folder / side, seeds)
        self.pair.write(self.folder / "test", [TEST])
        with unreported():
            command("train", *self.words, "--out", self.folder / "run")
        return self.folder / "run"

    @cached_property
    def model(self) -> core.TrainedModel:
        return core.load_model(self.run / "model.safetensors", "cpu")

    def test(self, side: str) -> Path:
        """A file that did not train."""
        assert self.run
        return self.folder / "test" / side / f"cell {TEST}.tif"


def train(trained: Trained, out: Path) -> None:
    """Again the same weights, bit for bit; both ways are told."""
    with unreported():
        assert trained.run
        command("train", *trained.words, "--out", out / "again")
    require_same_weights(core.load_model(out / "again" / "model.safetensors", "cpu"), trained.model)
    assert trained.model.directions == ("target", "source")


def predict(trained: Trained, out: Path, to: str = "target") -> None:
    """Of a file what Python makes of its array, in one piece or in tiles; with the axes of the other side."""
    side = "source" if to == "target" else "target"
    words = "predict", trained.run, trained.test(side), "--to", to
    command(*words, "--out", out / "p.tif")
    command(*words, "--out", out / "tiles.tif", "--tile-size", 16)
    whole, tiles = (np.asarray(open_stack(out / name).array) for name in ("p.tif", "tiles.tif"))
    kind = trained.pair.kinds[0]
    array, axes = trained.pair.arrays(TEST)[side == "target"], trained.pair.axes[side == "target"]
    channels = kind.take if side == "source" else ()
    np.testing.assert_array_equal(whole, trained.model.toward(to).predict(array, axes, channels=channels), strict=True)
    if whole.dtype.kind == "f" or trained.model.toward(to).target_encoding.kind == "intensity":
        np.testing.assert_allclose(whole.astype(float), tiles.astype(float), rtol=1e-3, atol=1)
    else:
        assert (whole != tiles).mean() < 0.01


def predict_back(trained: Trained, out: Path) -> None:
    """The same the other way."""
    predict(trained, out, "source")


def score(trained: Trained, out: Path) -> None:
    """What was made is scored, by the discriminator of its side."""
    command("predict", trained.run, trained.test("source"), "--out", out / "p.tif")
    words = "score", trained.run, trained.test("source"), out / "p.tif"
    command(*words, "--out", out / "s.tif")
    assert np.isfinite(np.asarray(open_stack(out / "s.tif").array)).all()


def evaluate(trained: Trained, out: Path) -> None:
    """By a pair, as of any model."""
    sides = trained.test("source").parent, trained.test("target").parent
    command("evaluate", trained.run, *sides, "--out", out / "e", *trained.pair.kinds[0].pairs)
    assert (out / "e" / "metrics.json").exists()


def fit_trust(trained: Trained, out: Path) -> None:
    """By a pair it is taught to judge, and predicts as before."""
    sides, flags = (trained.test("source").parent, trained.test("target").parent), trained.pair.kinds[0].pairs
    command("fit-trust", trained.run, *sides, "--out", out / "m.safetensors", "--trust-steps", 1, *flags)
    taught = core.load_model(out / "m.safetensors", "cpu")
    assert taught.match is not None
    for name, network in trained.model.networks.items():
        for ours, theirs in zip(network.parameters(), taught.networks[name].parameters(), strict=True):
            assert (ours == theirs).all()


def resume(trained: Trained, out: Path) -> None:
    """A run that is over is resumed to the same."""
    with unreported():
        assert trained.run
        command("train", *trained.words, "--out", out / "run")
        command("train", "--resume", out / "run")
    require_same_weights(core.load_model(out / "run" / "model.safetensors", "cpu"), trained.model)


def require_same_weights(model: core.TrainedModel, other: core.TrainedModel) -> None:
    ours, theirs = model.tensors(), other.tensors()
    assert ours.keys() == theirs.keys() and all((value == theirs[name]).all() for name, value in ours.items())


ACTIONS: dict[str, Callable[[Trained, Path], None]] = {
    "train": train,
    "predict": predict,
    "predict --to source": predict_back,
    "score": score,
    "evaluate": evaluate,
    "fit-trust": fit_trust,
    "train --resume": resume,
}
FEW = {
    ("grey", "classes", "predict"),
    ("two channels", "RGB", "predict --to source"),
    ("RGB", "grey", "score"),
    ("volume", "grey", "predict"),
    ("labels", "several channels", "evaluate"),
    ("chosen channels", "instances", "train"),
}
"""In every run; all others in a campaign."""


def possible(row: tuple[str, str, str]) -> bool:
    """Planes as channels are of pairs."""
    return (SOURCES | RARE_SOURCES)[row[0]].z != "channels"


ALL = filter(possible, product(SOURCES | RARE_SOURCES, TARGETS | RARE_TARGETS, ACTIONS))
FURTHER = [pytest.mark.slow, pytest.mark.campaign]
ROWS = [row if row in FEW else pytest.param(*row, marks=FURTHER) for row in ALL]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Gives the run of two sides, trained when it is first asked for."""
    return cache(lambda pair: Trained(pair, tmp_path_factory.mktemp("sides")))


@pytest.fixture(autouse=True)
def judged_on_few(monkeypatch) -> None:
    """Eight patches tell as well that they are judged as 64 do, and sooner."""
    monkeypatch.setattr(loop, "JUDGED_PATCHES", 8)


@pytest.mark.filterwarnings("ignore::UserWarning")  # what commands tell in events
@pytest.mark.parametrize(("source", "target", "action"), ROWS)
def test_every_two_sides_go_both_ways(trained, tmp_path, source, target, action) -> None:
    """What its action says, for this source and this target, which are no pairs."""
    ACTIONS[action](trained(Pair(source, target, judge=False)), tmp_path)


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_planes_as_channels_are_of_pairs(tmp_path) -> None:
    """And refused in a sentence."""
    trained = Trained(Pair("planes as channels", "grey", judge=False), tmp_path)
    for side, seeds in TRAIN.items():
        trained.pair.write(tmp_path / side, seeds)
    [*_, event] = command("train", *trained.words, "--out", tmp_path / "run", code=2)
    assert "z must be frame or volume where there are no pairs" in event["text"]
