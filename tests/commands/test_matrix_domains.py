"""Every kind of image in several domains: trained, resumed, translated to each in tiles or whole, and scored."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, cached_property
from itertools import product
from pathlib import Path

import numpy as np
import pytest

from every_pair import RARE_SOURCES, SMALL, SOURCES, Kind, command, stack, unreported, write
from napari_pix2pix import core
from napari_pix2pix.core.training import loop
from napari_pix2pix.files.stacks import open_stack

KINDS = SOURCES | RARE_SOURCES
TRAIN, TEST = {"as it is": range(3), "inverted & dim": range(10, 14)}, 20
"""Seeds of either domain; of an image that did not train."""


@dataclass(frozen=True)
class Trained:
    """Domains of a kind of image with their files, and a run of them."""

    kind: Kind
    folder: Path

    @property
    def words(self) -> list[str]:
        """Of a training, but where it goes."""
        flags = [*self.kind.pairs, *SMALL, "--generator.architecture", "unet", "--critic-steps", "1"]
        return [str(self.folder / "images"), "--method", "stargan", *flags]

    @cached_property
    def run(self) -> Path:
        """Of three and four images, by the command."""
        for name, seeds in TRAIN.items():
            for seed in seeds:
                values = stack(self.kind, seed)
                values = values if name == "as it is" else ((values.max() - values) / 2).astype(values.dtype)
                place = self.folder / "images" / name / f"cell {seed}.tif"
                write(place, values, self.kind.axes, self.kind.names)
        write(self.test, stack(self.kind, TEST), self.kind.axes, self.kind.names)
        with unreported():
            command("train", *self.words, "--out", self.folder / "run")
        return self.folder / "run"

    @property
    def test(self) -> Path:
        """A file that did not train."""
        return self.folder / f"cell {TEST}.tif"

    @cached_property
    def model(self) -> core.TrainedModel:
        return core.load_model(self.run / "model.safetensors", "cpu")


def train(trained: Trained, out: Path) -> None:
    """Again the same weights, bit for bit, and so when it is resumed."""
    assert trained.run
    with unreported():
        command("train", *trained.words, "--out", out / "again")
        command("train", "--resume", out / "again")
    ours, theirs = (model.tensors() for model in (core.load_model(out / "again" / "model.safetensors"), trained.model))
    assert ours.keys() == theirs.keys() and all((value == theirs[name]).all() for name, value in ours.items())


def predict(trained: Trained, out: Path) -> None:
    """To each domain what Python makes of the array, in one piece or in tiles."""
    words = "predict", trained.run, trained.test, "--to", "all"
    command(*words, "--out", out / "whole")
    command(*words, "--out", out / "tiles", "--tile-size", 16)
    for name in TRAIN:
        whole, tiles = (
            np.asarray(open_stack(out / how / name / trained.test.name).array) for how in ("whole", "tiles")
        )
        own = trained.model.toward(name)
        array = own.predict(stack(trained.kind, TEST), trained.kind.axes, channels=trained.kind.take)
        np.testing.assert_array_equal(whole, array, strict=True)
        np.testing.assert_allclose(whole.astype(float), tiles.astype(float), rtol=1e-3, atol=1)


def score(trained: Trained, out: Path) -> None:
    """The image by itself: finite scores, and shares that add up to one."""
    command("score", trained.run, trained.test, "--out", out / "s.tif")
    scores, domains = (open_stack(out / name) for name in ("s.tif", "s.domains.tif"))
    assert np.isfinite(np.asarray(scores.array)).all()
    likely = np.moveaxis(np.asarray(domains.array), domains.axes.index("C"), 0)
    assert len(likely) == len(TRAIN)
    np.testing.assert_allclose(likely.sum(axis=0), 1, atol=1e-5)


ACTIONS: dict[str, Callable[[Trained, Path], None]] = {"train": train, "predict": predict, "score": score}
FEW = {
    ("grey", "predict"),
    ("RGB", "score"),
    ("two channels", "train"),
    ("volume", "predict"),
    ("time series", "score"),
    ("chosen channels", "predict"),
}
"""In every run; all others in a campaign."""
ALL = product([name for name, kind in KINDS.items() if kind.z != "channels"], ACTIONS)
FURTHER = [pytest.mark.slow, pytest.mark.campaign]
ROWS = [row if row in FEW else pytest.param(*row, marks=FURTHER) for row in ALL]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Gives the run of a kind, trained when it is first asked for."""
    return cache(lambda name: Trained(KINDS[name], tmp_path_factory.mktemp("domains")))


@pytest.fixture(autouse=True)
def judged_on_few(monkeypatch) -> None:
    """Enough for either domain to have some."""
    monkeypatch.setattr(loop, "JUDGED_PATCHES", 16)


@pytest.mark.filterwarnings("ignore::UserWarning")  # what commands tell in events
@pytest.mark.parametrize(("kind", "action"), ROWS)
def test_every_image_can_be_of_a_domain(trained, tmp_path, kind, action) -> None:
    """What its action says, of this kind of image."""
    ACTIONS[action](trained(kind), tmp_path)
