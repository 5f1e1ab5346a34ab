"""Every kind of pair goes through every command: what Python gives of arrays is in the files, where it belongs."""

import csv
import json
import subprocess
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import cache, cached_property
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from every_pair import (
    HEIGHT,
    PIXEL_UM,
    PLANE_UM,
    RARE_SOURCES,
    RARE_TARGETS,
    SOURCES,
    TARGETS,
    WIDTH,
    Pair,
    command,
    pairwise,
    unreported,
)
from napari_pix2pix import core
from napari_pix2pix.commands.app import run_command
from napari_pix2pix.core.geometry.per_pixel import per_pixel
from napari_pix2pix.files.outputs import beside
from napari_pix2pix.files.stacks import open_stack, sha256

TRAIN, TEST = range(4), range(10, 12)


@dataclass(frozen=True)
class Trained:
    """A pair with its files, and a run of it."""

    pair: Pair
    folder: Path

    @cached_property
    def run(self) -> Path:
        """Of four images, by the command."""
        self.pair.write(self.folder / "train", TRAIN)
        self.pair.write(self.folder / "test", TEST)
        with unreported():
            self.train(self.folder / "run")
        return self.folder / "run"

    def train(self, out: Path) -> None:
        command("train", *self.sides("train"), "--out", out, *self.pair.flags)

    @cached_property
    def model(self) -> core.TrainedModel:
        return core.load_model(self.run / "model.safetensors", "cpu")

    def sides(self, kind: str) -> tuple[Path, Path]:
        return self.folder / kind / "source", self.folder / kind / "target"

    def test(self, seed: int = TEST[0]) -> tuple[Path, Path]:
        """Files that did not train."""
        assert self.run
        return tuple(side / f"cell {seed}.tif" for side in self.sides("test"))

    def frames(self, kind: str, seeds: Iterable[int]) -> core.PairedFrames:
        """The pairs in these files as arrays, with the files' hashes."""
        files = zip(*([side / f"cell {seed}.tif" for seed in seeds] for side in self.sides(kind)), strict=True)
        return self.pair.frames(seeds, hashes=[(sha256(source), sha256(target)) for source, target in files])

    @property
    def named(self) -> list[str]:
        """What predicted channels are called."""
        target = self.pair.kinds[1]
        return [f"{name} (predicted)" for name in target.names or ("target",)]

    def score(self, seed: int) -> core.PatchScores:
        """By Python, of the target as its file has it."""
        source, target = self.pair.kinds
        there = target.taken(seed) if any(target.lacks) else ()
        return self.model.score(*self.pair.arrays(seed), self.pair.axes, channels=source.take, image_channels=there)

    def predict(self, source: Any, **how: Any) -> Any:
        """By Python, from an array like those that trained."""
        kind = self.pair.kinds[0]
        return self.model.predict(source, kind.axes, channels=kind.take, **how)


def require_prediction(trained: Trained, path: Path, expected: Any, pixel_um: float = PIXEL_UM) -> None:
    """The file holds these pixels, with the target's axes and channels, where the source lies."""
    found, axes = open_stack(path), trained.pair.axes[1]
    assert found.axes == axes
    np.testing.assert_array_equal(np.asarray(found.array), expected, strict=True)
    size = {"Y": pixel_um, "X": pixel_um} | ({"Z": PLANE_UM} if "Z" in trained.pair.axes[0] else {})
    assert {axis: found.pixel_size_um.get(axis) for axis in "ZYX" if axis in axes} == {
        a: size[a] for a in "ZYX" if a in axes
    }
    if "S" not in axes:
        assert list(found.channel_names) == trained.named
    assert expected.shape[axes.index("Y")] == HEIGHT and expected.shape[axes.index("X")] == WIDTH


def train(trained: Trained, out: Path) -> None:
    """Again the same weights, bit for bit, and from Python, too; with a report."""
    assert trained.run
    trained.train(out / "again")
    require_same_weights(core.load_model(out / "again" / "model.safetensors", "cpu"), trained.model)
    assert (out / "again" / "report.html").stat().st_size > 10_000
    config = core.make_config(changes=json.loads((trained.run / "config.json").read_text())["config"])
    *_, report = core.train(trained.frames("train", TRAIN), config, out=out / "run", device="cpu")
    require_same_weights(report.model, trained.model)


def predict_file(trained: Trained, out: Path) -> None:
    """Of an array the same as of its file."""
    source, _ = trained.test()
    command("predict", trained.run, source, "--out", out / "p.tif")
    require_prediction(trained, out / "p.tif", trained.predict(trained.pair.arrays(TEST[0])[0]))


def predict_folder(trained: Trained, out: Path) -> None:
    """Of each file in its folder, and a table with a row for each; in OME-Zarr the same."""
    trained.test()
    command("predict", trained.run, trained.sides("test")[0], "--out", out)
    with (out / "predictions.csv").open(newline="") as file:
        assert len(list(csv.DictReader(file))) == len(TEST)
    for seed in TEST:
        require_prediction(trained, out / f"cell {seed}.tif", trained.predict(trained.pair.arrays(seed)[0]))
    command("predict", trained.run, trained.test()[0], "--out", out / "p.zarr")
    found, expected = open_stack(out / "p.zarr"), open_stack(out / f"cell {TEST[0]}.tif")
    for frame in range(expected.plan.n_frames):  # there colours are channels
        ours, theirs = (stack.plan.take(stack.array, frame) for stack in (found, expected))
        np.testing.assert_array_equal(ours, theirs, strict=True)


def predict_trust(trained: Trained, out: Path) -> None:
    """The expected errors that `score` gives of the prediction, on its pixels; not to be trusted above the limit."""
    source, _ = trained.test()
    events = command("predict", trained.run, source, "--out", out / "p.tif", "--trust")
    array = trained.pair.arrays(TEST[0])[0]
    expected = trained.predict(array)
    require_prediction(trained, out / "p.tif", expected)
    written = np.asarray(open_stack(beside("expected_error")(out / "p.tif")).array)
    error = expected_errors(trained, array, expected).reshape(written.shape)
    np.testing.assert_allclose(written, error, rtol=1e-4, atol=1e-6)
    [limit] = [event["limit"] for event in events if event["event"] == "trust"]
    np.testing.assert_array_equal(np.asarray(open_stack(beside("untrusted")(out / "p.tif")).array), written > limit)
    assert beside("objects")(out / "p.tif").exists() == (trained.pair.target == "instances")


def require_same_weights(model: core.TrainedModel, other: core.TrainedModel) -> None:
    ours, theirs = model.tensors(), other.tensors()
    assert ours.keys() == theirs.keys()
    assert all((value == theirs[name]).all() for name, value in ours.items())


def expected_errors(trained: Trained, source: Any, image: Any, **how: Any) -> Any:
    """Of the pixels, frame by frame."""
    channels = trained.pair.kinds[0].take
    window = tuple(slice(0, n) for n in trained.model.source_plan(source, trained.pair.axes[0], channels).frame_shape)
    frames = trained.model.score_frames(source, image, trained.pair.axes, channels=channels, **how)
    return np.stack([scored.expected_pixels(window) for scored in frames])


def each_pixel(values: Any, scored: core.PatchScores, source: Any, trained: Trained) -> Any:
    """`values` of the fields on the pixels of the image."""
    plan = trained.model.source_plan(source, trained.pair.axes[0], trained.pair.kinds[0].take)
    window = tuple(slice(0, n) for n in plan.frame_shape)
    return per_pixel(values.astype(np.float32), scored.scale, scored.translate, window)


def predict_draws(trained: Trained, out: Path) -> None:
    """The mean over dropout draws, and beside it their spread."""
    source, _ = trained.test()
    command("predict", trained.run, source, "--out", out / "p.tif", "--draws", 2)
    array, kind = trained.pair.arrays(TEST[0])[0], trained.pair.kinds[0]
    require_prediction(trained, out / "p.tif", trained.predict(array, draws=2))
    plan = trained.model.prediction_plan(array, kind.axes, kind.take)
    spread = open_stack(beside("spread")(out / "p.tif"))
    for frame, _, expected in trained.model.predict_draws(array, kind.axes, draws=2, channels=kind.take):
        np.testing.assert_array_equal(plan.take(spread.array, frame)[: len(expected)], expected)


def predict_rescaled(trained: Trained, out: Path) -> None:
    """At the training's pixel size as ever; at another the maps of what the network saw rescaled, decoded."""
    source, _ = trained.test()
    command("predict", trained.run, source, "--out", out / "p.tif", "--rescale")
    array, kind = trained.pair.arrays(TEST[0])[0], trained.pair.kinds[0]
    require_prediction(trained, out / "p.tif", trained.predict(array))
    trained.pair.write(out / "coarse", TEST, 2 * PIXEL_UM)
    command("predict", trained.run, out / "coarse" / "source" / source.name, "--out", out / "c.tif", "--rescale")
    plan = trained.model.prediction_plan(array, kind.axes, kind.take)
    scale = (1.0, 2.0, 2.0)[-len(plan.frame_shape) :]
    expected = np.zeros(plan.shape, trained.model.target_encoding.dtype_decoded)
    for frame, values, maps in trained.model.predict_maps(array, kind.axes, channels=kind.take, scale=scale):
        plan.put(expected, frame, trained.model.decode(maps, values))
    require_prediction(trained, out / "c.tif", expected, 2 * PIXEL_UM)


def score(trained: Trained, out: Path) -> None:
    """Of each file in a folder what Python gives of the arrays; each field where it lies."""
    trained.test()
    command("score", trained.run, *trained.sides("test"), "--out", out)
    for seed in TEST:
        path = out / f"cell {seed}.tif"
        scored = trained.score(seed)
        said = json.loads(open_stack(path).description)["patch_scores"]
        assert (said["scale"], said["translate"]) == ([*scored.scale], [*scored.translate])
        assert scored.kind == said["kind"] == ("match" if trained.pair.judge else "plain")
        for part, values in scored.parts.items():
            found = open_stack(path if part == "scores" else beside(part)(path))
            np.testing.assert_array_equal(np.asarray(found.array), values)
            assert found.axes == scored.axes == trained.pair.axes[1].translate(str.maketrans("", "", "CS"))
            size = {"Z": PLANE_UM, "Y": PIXEL_UM, "X": PIXEL_UM}
            steps = dict(zip("ZYX"[-len(scored.scale) :], scored.scale, strict=True))
            for axis, step in steps.items():
                assert found.pixel_size_um[axis] == size[axis] * step


def score_each_pixel(trained: Trained, out: Path) -> None:
    """The same on the pixels of the image."""
    source, target = trained.test()
    command("score", trained.run, source, target, "--out", out / "s.tif", "--per-pixel")
    arrays = trained.pair.arrays(TEST[0])
    scored = trained.score(TEST[0])
    for part, values in scored.parts.items():
        found = np.asarray(open_stack(out / "s.tif" if part == "scores" else beside(part)(out / "s.tif")).array)
        expected = each_pixel(values, scored, arrays[0], trained)
        if part == "expected_error":
            there = trained.pair.kinds[1].taken(TEST[0]) if any(trained.pair.kinds[1].lacks) else ()
            expected = expected_errors(trained, *arrays, image_channels=there).reshape(found.shape)
        np.testing.assert_allclose(found, expected == 1 if part == "valid" else expected, rtol=1e-4, atol=1e-6)


def evaluate(trained: Trained, out: Path) -> None:
    """The figures that Python finds, and a report that shows each frame."""
    trained.test()
    command("evaluate", trained.run, *trained.sides("test"), "--out", out, *trained.pair.kinds[0].pairs)
    said = json.loads((out / "metrics.json").read_text())
    assert said.pop("made_of")["judges"] == [{"model": str(trained.run / "model.safetensors"), "pairs": None}]
    size = open_stack(trained.test()[1]).pixel_size_um
    found = core.evaluate(trained.model, trained.frames("test", TEST), None, pixel_size_um=size)
    assert said == json.loads(json.dumps(found))
    assert ("trust" in said) == trained.pair.judge
    assert (out / "report.html").stat().st_size > 10_000


def evaluate_prediction(trained: Trained, out: Path) -> None:
    """Predictions in files have the figures of the model that made them."""
    trained.test()
    sources, targets = trained.sides("test")
    command("predict", trained.run, sources, "--out", out / "predicted")
    kind = trained.model.target_encoding.kind
    flags = ["--target-kind", kind, *(("--z", "volume") if trained.pair.kinds[0].z == "volume" else ())]
    command("evaluate", "--prediction", out / "predicted", targets, "--out", out / "e", *flags)
    said = json.loads((out / "e" / "metrics.json").read_text())
    found = core.evaluate(trained.model, trained.frames("test", TEST), None)
    for name, figure in found["metrics"].items():
        assert said["metrics"][name]["value"] == pytest.approx(figure["value"], nan_ok=True), name


def fit_trust(trained: Trained, out: Path) -> None:
    """The model predicts as before, and knows what Python has taught it, bit for bit."""
    flags = [*trained.pair.kinds[0].pairs, "--trust-steps", 1]
    assert trained.run
    command("fit-trust", trained.run, *trained.sides("train"), "--out", out / "m.safetensors", *flags)
    taught, before = core.load_model(out / "m.safetensors", "cpu"), trained.model
    *_, report = core.fit_trust(before, trained.frames("train", TRAIN), steps=1)
    assert taught.match is not None
    require_same_weights(taught, report.model)
    require_same_weights(replace(taught, match=None), replace(before, match=None))


def go_on_from(trained: Trained, out: Path) -> None:
    """A training from the model reads sources and targets as the model does, and is compared with it."""
    kinds = trained.pair.kinds
    flags = [*kinds[0].pairs, "--steps", 1]
    with unreported():
        events = command("train", *trained.sides("train"), "--from", trained.run, "--out", out / "run", *flags)
    model = core.load_model(out / "run" / "model.safetensors", "cpu")
    assert model.source_encoding == trained.model.source_encoding
    assert model.target_encoding == trained.model.target_encoding
    assert model.source_view == trained.model.source_view
    assert (model.match is not None) == trained.pair.judge
    assert events[-1]["figures"] and not events[-1]["not_compared"]


def resume(trained: Trained, out: Path) -> None:
    """Stopped after its first step and resumed, a training ends with the weights of one never interrupted."""
    assert trained.run
    steps: list[Any] = []

    def draw(events: Any) -> int:
        for event in events:
            steps.extend([event["done"]] if event.get("unit") == "steps" else [])
        return 0

    words = ["train", *map(str, trained.sides("train")), "--out", f"{out}/run", *trained.pair.flags, "--device", "cpu"]
    run_command(words, draw, stop=lambda: bool(steps))
    assert steps == [1]
    with unreported():
        command("train", "--resume", out / "run")
    require_same_weights(core.load_model(out / "run" / "model.safetensors", "cpu"), trained.model)


ACTIONS: dict[str, Callable[[Trained, Path], None]] = {
    "train": train,
    "predict a file": predict_file,
    "predict a folder": predict_folder,
    "predict --trust": predict_trust,
    "predict --draws": predict_draws,
    "predict --rescale": predict_rescaled,
    "score": score,
    "score --per-pixel": score_each_pixel,
    "evaluate": evaluate,
    "evaluate --prediction": evaluate_prediction,
    "fit-trust": fit_trust,
    "train --from": go_on_from,
    "train --resume": resume,
}


def possible(row: tuple[str, str, bool, str]) -> bool:
    return row[2] or row[3] != "predict --trust"  # which needs a judge


FACTORS = list(SOURCES), list(TARGETS), [False, True], list(ACTIONS)
CHOSEN = sorted(pairwise(FACTORS, possible), key=lambda row: row[:3])
RARE = [
    *pairwise((list(RARE_SOURCES), list(TARGETS), [False, True], list(ACTIONS)), possible),
    *pairwise((list(SOURCES), list(RARE_TARGETS), [False, True], list(ACTIONS)), possible),
]
CHOSEN += [
    ("grey", "stains of which some are missing", True, action)
    for action in ("train", "predict a folder", "evaluate", "score", "fit-trust", "train --resume")
]
OTHERS = sorted({*filter(possible, product(*FACTORS)), *RARE} - set(CHOSEN), key=lambda row: row[:3])
FURTHER = [pytest.mark.slow, pytest.mark.campaign]
ROWS = [*CHOSEN, *(pytest.param(*row, marks=FURTHER) for row in OTHERS)]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Gives the run of a pair, trained when it is first asked for."""
    return cache(lambda pair: Trained(pair, tmp_path_factory.mktemp("pair")))


@pytest.mark.filterwarnings("ignore::UserWarning")  # what commands tell in events
@pytest.mark.parametrize(("source", "target", "judge", "action"), ROWS)
def test_every_pair_goes_all_the_way(trained, tmp_path, source, target, judge, action) -> None:
    """What its action says, for this source, target, and model with or without a judge."""
    ACTIONS[action](trained(Pair(source, target, judge)), tmp_path)


SERVED = [
    Pair("RGB", "classes", judge=True),
    Pair("planes as channels", "several channels", judge=False),
    Pair("volume", "instances", judge=False),
]


def test_the_child_of_the_docks_does_the_same(trained, tmp_path) -> None:
    """`serve` trains the same weights and predicts, scores and evaluates to the same pixels and figures."""

    def asked(pair: Pair, run: Path, out: Path) -> list[list[Any]]:
        (source, target), kind = trained(pair).test(), pair.kinds[0]
        return [
            ["train", *trained(pair).sides("train"), "--out", run, *pair.flags],
            ["predict", run, source, "--out", out / "p.tif", *(["--trust"] if pair.judge else [])],
            ["score", run, source, target, "--out", out / "s.tif"],
            ["evaluate", run, *trained(pair).sides("test"), "--out", out / "e", *kind.pairs],
        ]

    here, there = tmp_path / "here", tmp_path / "there"
    requests = [words for pair in SERVED for words in asked(pair, there / f"{pair} run", there / str(pair))]
    assert served([[*map(str, words), "--device", "cpu"] for words in requests]) == [0] * len(requests)
    for pair in SERVED:
        for words in asked(pair, trained(pair).run, here / str(pair))[1:]:
            command(*words)
        require_same_weights(core.load_model(there / f"{pair} run" / "model.safetensors", "cpu"), trained(pair).model)
        images = [path.name for path in (here / str(pair)).glob("*.tif")]
        assert len(images) >= 3 + 2 * pair.judge
        for name in images:
            ours, theirs = (np.asarray(open_stack(which / str(pair) / name).array) for which in (here, there))
            np.testing.assert_array_equal(ours, theirs, strict=True)
        figures = [json.loads((which / str(pair) / "e" / "metrics.json").read_text()) for which in (here, there)]
        assert figures[0] | {"made_of": None} == figures[1] | {"made_of": None}  # which names the run


def served(requests: list[list[str]]) -> list[int]:
    """The exit codes of these commands in a child like that of the docks."""
    words, done = [sys.executable, "-m", "napari_pix2pix", "serve"], list[int]()
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
        for i, request in enumerate(requests):
            child.stdin.write(json.dumps({"id": i, "command": request}) + "\n")
        child.stdin.flush()
        while len(done) < len(requests):
            event = json.loads(child.stdout.readline())
            done += [event["code"]] if event["event"] == "done" else []
        child.stdin.close()
    return done
