"""Every kind of pair with conditions goes through every command: what Python gives of arrays is in the files."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, cached_property
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from every_pair import RARE_SOURCES, RARE_TARGETS, SOURCES, TARGETS, Pair, command, pairwise, unreported
from napari_pix2pix import core
from napari_pix2pix.commands.app import run_command
from napari_pix2pix.files.outputs import beside
from napari_pix2pix.files.stacks import open_stack, sha256

TRAIN, TEST = range(6), range(10, 12)
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")  # what commands tell in events


def bears(seed: int) -> str | None:
    """The class of the image of this seed; of one that trains it is not known."""
    return None if seed == 4 else "ab"[seed % 2]


@dataclass(frozen=True)
class Trained:
    """A pair with its files and a table of their conditions, and a run of it."""

    pair: Pair
    folder: Path

    @cached_property
    def run(self) -> Path:
        """Of six images, by the command."""
        for kind, seeds in (("train", TRAIN), ("test", TEST)):
            self.pair.write(self.folder / kind, seeds)
        rows = (f"cell {seed}.tif,{bears(seed) or ''}\n" for seed in (*TRAIN, *TEST))
        (self.folder / "t.csv").write_text("name,line\n" + "".join(rows))
        rows = (f"cell {seed},{bears(seed) or ''}\n" for seed in TRAIN)
        (self.folder / "train.csv").write_text("name,line\n" + "".join(rows))
        with unreported():
            command("train", *self.words, "--out", self.folder / "run")
        return self.folder / "run"

    @property
    def words(self) -> list[Any]:
        """Of a training, but where it goes."""
        return [*self.sides("train"), *self.pair.flags, "--condition", self.folder / "train.csv"]

    @cached_property
    def model(self) -> core.TrainedModel:
        return core.load_model(self.run / "model.safetensors", "cpu")

    def sides(self, kind: str) -> tuple[Path, Path]:
        return self.folder / kind / "source", self.folder / kind / "target"

    def frames(self, kind: str, seeds: range) -> core.PairedFrames:
        """The pairs in these files as arrays, with the files' hashes and their conditions."""
        files = zip(*([side / f"cell {seed}.tif" for seed in seeds] for side in self.sides(kind)), strict=True)
        hashes = [(sha256(source), sha256(target)) for source, target in files]
        return self.pair.frames(seeds, hashes=hashes, conditions={"line": [bears(seed) for seed in seeds]})

    def predict(self, seed: int, **how: Any) -> Any:
        """By Python, of the image's own condition."""
        kind = self.pair.kinds[0]
        return self.model.predict(
            self.pair.arrays(seed)[0], kind.axes, channels=kind.take, condition=bears(seed), **how
        )


def require_same_weights(model: core.TrainedModel, other: core.TrainedModel) -> None:
    ours, theirs = model.tensors(), other.tensors()
    assert ours.keys() == theirs.keys()
    assert all((value == theirs[name]).all() for name, value in ours.items())


def train(trained: Trained, out: Path) -> None:
    """Again the same weights, bit for bit: by the command, stopped and resumed, and from Python."""
    assert trained.model.conditions.names == ("a", "b")
    steps: list[Any] = []

    def draw(events: Any) -> int:
        for event in events:
            steps.extend([event["done"]] if event.get("unit") == "steps" else [])
        return 0

    words = ["train", *map(str, trained.words), "--out", f"{out}/run", "--device", "cpu"]
    run_command(words, draw, stop=lambda: bool(steps))
    assert steps == [1]
    with unreported():
        command("train", "--resume", out / "run")
    require_same_weights(core.load_model(out / "run" / "model.safetensors", "cpu"), trained.model)
    config = core.make_config(changes=json.loads((trained.run / "config.json").read_text())["config"])
    *_, report = core.train(trained.frames("train", TRAIN), config, out=out / "python", device="cpu")
    require_same_weights(report.model, trained.model)


def predict(trained: Trained, out: Path) -> None:
    """Of a folder by a table, each as what it is; of a file by a name; in tiles the same, to a float's last bit."""
    assert trained.run
    source, _ = trained.sides("test")
    command("predict", trained.run, source, "--condition", trained.folder / "t.csv", "--out", out)
    for seed in TEST:
        path = source / f"cell {seed}.tif"
        expected = trained.predict(seed)
        np.testing.assert_array_equal(np.asarray(open_stack(out / path.name).array), expected, strict=True)
        one = out / f"one {seed}.tif"
        words = ["predict", trained.run, path, "--condition", bears(seed), "--out", one, "--precision", "float32"]
        command(*words, "--tile-size", 16)
        expected = trained.predict(seed, precision="float32").astype(float)
        np.testing.assert_allclose(np.asarray(open_stack(one).array).astype(float), expected, rtol=1e-3, atol=1)


def predict_draws(trained: Trained, out: Path) -> None:
    """The mean over dropout draws of its own condition."""
    assert trained.run
    words = "predict", trained.run, trained.sides("test")[0], "--condition", trained.folder / "t.csv", "--out", out
    command(*words, "--draws", 2)
    for seed in TEST:
        found = np.asarray(open_stack(out / f"cell {seed}.tif").array)
        np.testing.assert_array_equal(found, trained.predict(seed, draws=2), strict=True)


def predict_trust(trained: Trained, out: Path) -> None:
    """The expected errors are those of what the model makes of this condition."""
    assert trained.run
    words = "predict", trained.run, trained.sides("test")[0], "--condition", trained.folder / "t.csv", "--out", out
    command(*words, "--trust")
    kind = trained.pair.kinds[0]
    for seed in TEST:
        expected = trained.predict(seed)
        np.testing.assert_array_equal(np.asarray(open_stack(out / f"cell {seed}.tif").array), expected, strict=True)
        source = trained.pair.arrays(seed)[0]
        written = np.asarray(open_stack(beside("expected_error")(out / f"cell {seed}.tif")).array)
        model = trained.model.under(bears(seed))
        window = tuple(slice(0, n) for n in model.source_plan(source, kind.axes, kind.take).frame_shape)
        frames = model.score_frames(source, expected, trained.pair.axes, channels=kind.take)
        pixels = np.stack([scored.expected_pixels(window) for scored in frames]).reshape(written.shape)
        np.testing.assert_allclose(written, pixels, rtol=1e-4, atol=1e-6)


def score(trained: Trained, out: Path) -> None:
    """The plain scores see the planes, those of the match what was made under them."""
    assert trained.run
    for kind in ("plain", *(["match"] if trained.pair.judge else [])):
        words = "score", trained.run, *trained.sides("test"), "--condition", trained.folder / "t.csv", "--kind", kind
        command(*words, "--out", out / kind)
        for seed in TEST:
            own, shown = trained.pair.kinds
            named: dict[str, Any] = {"channels": own.take, "kind": kind, "condition": bears(seed)}
            named["image_channels"] = shown.taken(seed) if any(shown.lacks) else ()
            scored = trained.model.score(*trained.pair.arrays(seed), trained.pair.axes, **named)
            for part, values in scored.parts.items():
                path = out / kind / f"cell {seed}.tif"
                found = open_stack(path if part == "scores" else beside(part)(path))
                np.testing.assert_array_equal(np.asarray(found.array), values)


def evaluate(trained: Trained, out: Path) -> None:
    """The figures that Python finds, by class, too, and a report that tells them."""
    assert trained.run
    flags = [*trained.pair.kinds[0].pairs, "--condition", trained.folder / "t.csv"]
    command("evaluate", trained.run, *trained.sides("test"), "--out", out, *flags)
    said = json.loads((out / "metrics.json").read_text())
    assert said.pop("made_of")["judges"] == [{"model": str(trained.run / "model.safetensors"), "pairs": None}]
    size = open_stack(trained.sides("test")[1] / "cell 10.tif").pixel_size_um
    found = core.evaluate(trained.model, trained.frames("test", TEST), None, pixel_size_um=size)
    assert said == json.loads(json.dumps(found)) and list(said["conditions"]) == ["a", "b"]
    assert "By condition" in (out / "report.html").read_text()


def fit_trust(trained: Trained, out: Path) -> None:
    """What Python teaches it, bit for bit."""
    assert trained.run
    flags = [*trained.pair.kinds[0].pairs, "--trust-steps", 1, "--condition", trained.folder / "train.csv"]
    command("fit-trust", trained.run, *trained.sides("train"), "--out", out / "m.safetensors", *flags)
    taught = core.load_model(out / "m.safetensors", "cpu")
    *_, report = core.fit_trust(trained.model, trained.frames("train", TRAIN), trust_steps=1)
    require_same_weights(taught, report.model)
    assert taught.conditions == trained.model.conditions


def go_on_from(trained: Trained, out: Path) -> None:
    """With old pairs mixed in, with its classes; of pairs that have none, too."""
    assert trained.run
    flags = [*trained.pair.kinds[0].pairs, "--steps", 1, "--from", trained.run]
    with unreported():
        flags += ["--out", out / "old", "--condition", out / "two.csv", "--with-old-pairs"]
        (out / "two.csv").write_text("name,line\ncell 10,a\ncell 11,b\n")
        command("train", *trained.sides("test"), *flags)
        command("train", *trained.sides("test"), *flags[:-5], "--out", out / "none")
    for name in ("old", "none"):
        model = core.load_model(out / name / "model.safetensors", "cpu")
        assert model.conditions == trained.model.conditions


ACTIONS: dict[str, Callable[[Trained, Path], None]] = {
    "train": train,
    "predict": predict,
    "predict --draws": predict_draws,
    "predict --trust": predict_trust,
    "score": score,
    "evaluate": evaluate,
    "fit-trust": fit_trust,
    "train --from": go_on_from,
}
FEW = {
    ("grey", "several channels", False, "predict"),
    ("volume", "grey", False, "train"),
    ("labels", "classes", True, "score"),
    ("two channels", "classes", True, "predict --trust"),
    ("time series", "RGB", False, "evaluate"),
    ("RGB", "instances", True, "fit-trust"),
    ("planes as channels", "grey", False, "train --from"),
}
"""In every run; the pairwise others in a campaign."""


def possible(row: tuple[str, str, bool, str]) -> bool:
    """Which needs a judge, and, of objects, more of a model than two steps make."""
    return row[3] != "predict --trust" or (row[2] and row[1] != "instances")


CHOSEN = pairwise((list(SOURCES), list(TARGETS), [False, True], list(ACTIONS)), possible)
RARE = pairwise((list(RARE_SOURCES), list(TARGETS | RARE_TARGETS), [False, True], list(ACTIONS)), possible)
FURTHER = [pytest.mark.slow, pytest.mark.campaign]
ALL = sorted({*FEW, *CHOSEN, *RARE}, key=str)
ROWS = [row if row in FEW else pytest.param(*row, marks=FURTHER) for row in ALL]


def test_every_action_is_tried() -> None:
    """In every run but for draws, which a campaign tries."""
    assert {row[3] for row in FEW} == ACTIONS.keys() - {"predict --draws"}
    assert set(product(SOURCES, ACTIONS)) <= {(row[0], row[3]) for row in ALL}


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Gives the run of such pairs, trained when it is first asked for."""
    return cache(lambda pair: Trained(pair, tmp_path_factory.mktemp("pair")))


@pytest.mark.parametrize(("source", "target", "judge", "action"), ROWS, ids=lambda value: str(value))
def test_pairs_of_conditions_of_every_kind(trained, tmp_path, source, target, judge, action) -> None:
    """The row of the table: this kind of pair, and what is done with the model."""
    ACTIONS[action](trained(Pair(source, target, judge)), tmp_path)
