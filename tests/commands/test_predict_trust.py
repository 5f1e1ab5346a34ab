"""predict --trust: expected errors and a mask on the prediction's pixels, and a row; they are what score says of it."""

import csv
import json
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tifffile

from napari_pix2pix import core
from napari_pix2pix.commands.app import main
from napari_pix2pix.core.geometry.axes import AxesPlan
from napari_pix2pix.core.trust.calibration import FEWEST_GROUPS
from napari_pix2pix.core.trust.novelty import Novelty
from napari_pix2pix.core.trust.risk import RiskCurves
from napari_pix2pix.files.stacks import open_stack, write_stack
from small import blobs, untrained, with_judge

FRAMES = [blobs((90, 120), seed=seed) for seed in range(4)]


def risk_curves(groups: int, most: float = 1.0) -> RiskCurves:
    """Of groups that err more the more is left: nothing up to an expected error of .02, .03 on average up to .05."""
    limits = np.array([0.02, 0.05, 64], np.float32)
    losses = np.outer(np.linspace(0.5, 1.5, groups), [0, 0.03, 0.3]).astype(np.float32)
    return RiskCurves(limits, losses, np.array([0.3, 0.6, 1], np.float32), 1.0 if most == 1 else 8.0, most)


def judged(kind="intensity", calibrated=True, z="frame", risk=None, per_pixel=False):
    """A model whose judge of the match is not taught, but calibrated; it expects errors of pixels, or of fields."""
    source, target = (np.stack([frame[side] for frame in FRAMES]) for side in (0, 1))
    if kind == "intensity":
        target = (target * 100).astype(np.uint16)
    if kind == "classes":
        target = (target > 0).astype(np.uint8)
    one = slice(None) if z == "volume" else slice(1)
    model = untrained(
        source[None] if z == "volume" else source[:1], target[None] if z == "volume" else target[one], kind, z
    )
    groups = (risk.groups if risk else FEWEST_GROUPS) if calibrated else 0
    return with_judge(model, groups, risk=risk, per_pixel=per_pixel)


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """The paths of models of each kind."""
    folder = tmp_path_factory.mktemp("models")
    made = {"intensity": judged(), "classes": judged("classes"), "instances": judged("instances")}
    made |= {"bare": judged(calibrated=False), "unjudged": replace(judged(), match=None), "volume": judged(z="volume")}
    made |= {"pixels": judged("instances", per_pixel=True), "thick": judged(z="volume", per_pixel=True)}
    for name, model in made.items():
        model.save(folder / f"{name}.safetensors")
    return {name: folder / f"{name}.safetensors" for name in made}


def stack(path, axes="TYX"):
    """Four frames in a file, as they are in memory."""
    source = np.stack([frame[0] for frame in FRAMES])
    source = source.reshape(2, 2, *source.shape[1:]) if len(axes) == 4 else source
    source = source[:1] if axes == "YX" else source
    source = source[0] if axes == "YX" else source
    plan = AxesPlan(axes, source.shape)
    write_stack(
        path,
        plan,
        source.dtype,
        (plan.take(source, i) for i in range(plan.n_frames)),
        pixel_size_um={"Y": 0.5, "X": 0.25},
    )
    return source


def run(capsys, *words) -> tuple[int, str, str]:
    code = main([str(word) for word in words])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


@pytest.mark.parametrize(
    ("kind", "axes", "suffix", "tile"),
    [
        ("intensity", "TYX", "tif", 48),
        ("classes", "TZYX", "zarr", 32),
        ("instances", "TYX", "tif", None),
        ("volume", "ZYX", "tif", None),
        ("volume", "TZYX", "zarr", 32),
        ("pixels", "TYX", "tif", 48),
        ("thick", "ZYX", "tif", None),
    ],
)
def test_it_is_what_score_says_of_the_prediction(
    models, tmp_path, capsys, monkeypatch, kind, axes, suffix, tile
) -> None:
    """At each pixel of the prediction, some rows at a time; the prediction itself is that without --trust."""
    monkeypatch.setattr("napari_pix2pix.files.trusted.ROWS", 32)
    monkeypatch.setattr("napari_pix2pix.files.trusted.COLUMNS", 50)
    source = stack(tmp_path / f"s.{suffix}", axes)
    out, plain = tmp_path / f"p.{suffix}", tmp_path / f"plain.{suffix}"
    words = [
        "predict",
        models[kind],
        tmp_path / f"s.{suffix}",
        "--source-axes",
        open_stack(tmp_path / f"s.{suffix}").axes,
    ]
    words += ["--device", "cpu", "--json", *(["--tile-size", tile] if tile else [])]
    code, text, err = run(capsys, *words, "--out", out, "--trust")
    assert (code, err) == (0, ""), text
    assert run(capsys, *words, "--out", plain)[0] == 0
    events = [json.loads(line) for line in text.splitlines()]
    trust, row = (next(event for event in events if event["event"] == name) for name in ("trust", "row"))
    row = row["row"]

    prediction, *maps = (open_stack(path) for path in (out, trust["expected_error"], trust["untrusted"]))
    np.testing.assert_array_equal(np.asarray(prediction.array), np.asarray(open_stack(plain).array))
    model = core.load_model(models[kind], "cpu")
    whole = model.score(source, np.asarray(prediction.array), (axes, prediction.axes))
    window = tuple(slice(0, n) for n in source.shape[-len(whole.fields) :])
    frames = list(model.score_frames(source, np.asarray(prediction.array), (axes, prediction.axes)))
    pixels, expected = (
        np.stack([getattr(frame, known)(window) for frame in frames]).reshape(source.shape)
        for known in ("expected_pixels", "around")
    )
    assert (pixels != expected).any() == (kind in ("pixels", "thick"))
    written = np.asarray(maps[0].array)
    np.testing.assert_allclose(written, pixels, rtol=1e-3)
    np.testing.assert_array_equal(np.asarray(maps[1].array), written > trust["limit"])
    assert maps[0].pixel_size_um == prediction.pixel_size_um == {"Y": 0.5, "X": 0.25}
    said = json.loads(maps[0].description)
    assert said["trust_limit"] == trust["limit"] and said.get("probability", False) == (kind == "pixels")

    assert row["novel"] == 0
    inside = whole.expected_error[whole.valid] if whole.valid.any() else whole.expected_error
    mean = pixels.mean() if kind in ("pixels", "thick") else inside.mean()
    assert row["expected_error"] == pytest.approx(mean, rel=1e-4)
    assert row["worst_expected_error"] == pytest.approx(inside.max(), rel=1e-4)
    assert row["untrusted"] == pytest.approx((written > trust["limit"]).mean())
    place = [row[f"worst_{axis.lower()}"] for axis in axes]
    n = len(whole.fields)
    grid = [*place[:-n], *((x - t) / s for x, t, s in zip(place[-n:], whole.translate, whole.scale, strict=True))]
    assert whole.expected_error[tuple(int(x) for x in grid)] == pytest.approx(row["worst_expected_error"], rel=1e-4)
    if kind in ("instances", "pixels"):
        with Path(trust["objects"]).open(newline="") as file:
            objects = list(csv.DictReader(file))
        labels = np.asarray(prediction.array)
        assert row["objects"] == len(objects) == sum(np.unique(frame[frame > 0]).size for frame in labels)
        for told in objects:
            inside = labels[int(told["t"])] == int(told["label"])
            mean = expected[int(told["t"])][inside].mean()
            assert float(told["expected_error"]) == pytest.approx(mean, rel=1e-3)
            assert told["verdict"] == ("check" if mean > trust["limit"] else "keep")
        assert len(json.loads(Path(trust["outlines"]).read_text())["features"]) == len(objects)
    else:
        assert not list(tmp_path.glob("*.csv"))
    shares = [event["done"] for event in events if event["event"] == "progress"]
    assert shares == sorted(shares)


def test_a_folder_has_a_row_for_each_the_worst_first(models, tmp_path, capsys) -> None:
    """Given again, nothing is done again; without a map it is. Workers write the same. The maps are no images."""
    (tmp_path / "in").mkdir()
    for i in range(3):
        tifffile.imwrite(tmp_path / "in" / f"{i}.tif", FRAMES[i][0])
    words = [
        "predict",
        models["intensity"],
        tmp_path / "in",
        "--device",
        "cpu",
        "--trust",
        "--trust-limit",
        "0.2",
        "--out",
    ]
    assert run(capsys, *words, tmp_path / "a")[0] == 0
    with (tmp_path / "a" / "predictions.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 3
    errors = [float(row["expected_error"]) for row in rows]
    assert errors == sorted(errors, reverse=True)
    assert {"untrusted", "worst_expected_error", "worst_y", "worst_x", "outside_training_range"} <= rows[0].keys()
    assert "3 done before" in run(capsys, *words, tmp_path / "a")[1]
    (tmp_path / "a" / "1.untrusted.tif").unlink()
    assert "2 done before" in run(capsys, *words, tmp_path / "a")[1]
    score = ["score", models["intensity"], tmp_path / "in", tmp_path / "a", "--device", "cpu", "--out", tmp_path / "s"]
    code, text, _ = run(capsys, *score)
    assert (code, "3 files" in text) == (0, True)

    distributed = pytest.importorskip("distributed")
    named = {"n_workers": 2, "threads_per_worker": 1, "processes": False, "dashboard_address": "127.0.0.1:0"}
    with distributed.LocalCluster(**named) as running:
        assert run(capsys, *words, tmp_path / "b", "--scheduler", running.scheduler_address)[0] == 0
    for path in (tmp_path / "a").glob("*.tif"):
        assert (tmp_path / "b" / path.name).read_bytes() == path.read_bytes()
    assert len(list((tmp_path / "b").glob("*.tif"))) == 9


def test_what_cannot_be_trusted_is_said_and_leaves_no_file(models, tmp_path, capsys) -> None:
    """No judge, a source smaller than a field or with NaN, a limit that is none: a sentence each, exit 2."""
    stack(tmp_path / "s.tif", "YX")
    tifffile.imwrite(tmp_path / "small.tif", FRAMES[0][0][:14])
    holed = FRAMES[0][0].astype(np.float32)
    holed[40, 40] = np.nan
    tifffile.imwrite(tmp_path / "holed.tif", holed)
    for kind, name, more, told in (
        ("unjudged", "s", ["--trust"], "Teach it with fit-trust"),
        ("intensity", "small", ["--trust"], "at least one field large, 16 x 16 px; got 14 x 120"),
        ("intensity", "holed", ["--trust"], "must be finite; frame 0 holds NaN or Inf"),
        (
            "intensity",
            "s",
            ["--trust", "--trust-limit", "-1"],
            "trust_limit: input should be greater than or equal to 0; got",
        ),
        ("intensity", "s", ["--trust-limit", "1"], "give --trust, too"),
        ("intensity", "s", ["--trust", "--rescale"], "cannot be had together"),
        *(
            ("intensity", "s", ["--trust", "--trust-risk", risk], f"trust_risk: input should be {side} than")
            for risk, side in (("0", "greater"), ("-1", "greater"), ("1", "less"), ("2", "less"))
        ),
        ("intensity", "s", ["--trust-risk", "0.02"], "A risk must be that of a mask; give --trust, too"),
        ("intensity", "s", ["--trust", "--trust-risk", "0.02", "--trust-limit", "1"], "got both. Leave --trust-limit"),
    ):
        words = ["predict", models[kind], tmp_path / f"{name}.tif", "--device", "cpu", "--out", tmp_path / "p.tif"]
        code, _, err = run(capsys, *words, *more)
        assert (code, told in err) == (2, True), err
        assert not list(tmp_path.glob("p*"))


def test_a_model_without_calibration_says_so(models, tmp_path, capsys) -> None:
    stack(tmp_path / "s.tif", "YX")
    words = ["predict", models["bare"], tmp_path / "s.tif", "--device", "cpu", "--out", tmp_path / "p.tif", "--trust"]
    code, _, err = run(capsys, *words)
    assert code == 0
    assert "The model was not calibrated" in err
    assert "of the pixels are not to be trusted (above" in err  # a single file has no table


@pytest.mark.parametrize("kind", ["classes", "intensity"])
def test_a_mask_of_a_risk_is_the_promised_one(tmp_path, capsys, kind) -> None:
    """It is drawn at the limit that the calibration gives; words, files and the model's card say what is promised."""
    risk, limit = (0.06, 0.05) if kind == "classes" else (0.5, 64)
    model = judged(kind, risk=risk_curves(60, 1.0 if kind == "classes" else 10.0))
    model.save(tmp_path / "m.safetensors")
    scale = core.load_model(tmp_path / "m.safetensors").match.calibration.scale
    stack(tmp_path / "s.tif", "YX")
    words = ["predict", tmp_path / "m.safetensors", tmp_path / "s.tif", "--device", "cpu", "--out", tmp_path / "p.tif"]
    code, text, err = run(capsys, *words, "--trust", "--trust-risk", risk, "--json")
    assert (code, err) == (0, "")
    events = [json.loads(line) for line in text.splitlines()]
    trust = next(event for event in events if event["event"] == "trust")
    assert (trust["promised"], trust["trust_risk"]) == (True, risk)
    assert trust["mask_limit"] == pytest.approx(limit * scale)
    promised = "at most 6 % are wrong" if kind == "classes" else "err by at most 4 grey values, 50 % of the usual"
    assert promised in trust["promise"] and "nothing is promised" in trust["promise"]
    assert {"event": "note", "text": trust["promise"]} in events
    mask, expected = (open_stack(trust[part]) for part in ("untrusted", "expected_error"))
    np.testing.assert_array_equal(np.asarray(mask.array), np.asarray(expected.array) > trust["mask_limit"])
    said = json.loads(expected.description)  # by which colours go
    assert (said["promise"], said["trust_limit"]) == (trust["promise"], trust["limit"])
    assert trust["limit"] == pytest.approx(2 * core.load_model(tmp_path / "m.safetensors").match.usual_error)
    if kind == "classes":  # where all may be left, the limit is what nothing exceeds
        _, text, _ = run(capsys, *words[:-1], tmp_path / "q.tif", "--trust", "--trust-risk", 0.5, "--json")
        assert '"mask_limit": 1.0' in text and not np.asarray(open_stack(tmp_path / "q.untrusted.tif").array).any()
    _, card, _ = run(capsys, "info", tmp_path / "m.safetensors")
    told = "leaves 30% of the pixels where at most 2 % of them may be wrong, 60% where 5 %"
    told = told if kind == "classes" else "60% of the pixels where they may err by 25 % of the usual error, 100% where"
    card = " ".join(card.split())
    assert told in card and "not for a single one" in card


@pytest.mark.parametrize("apart", [True, False])
def test_a_strict_mask_tells_pixels_apart_that_are_hardly_ever_wrong(tmp_path, capsys, apart) -> None:
    """They are told the same expected error; the mask goes by each one's own, but not of a judge of before."""
    model = judged("classes", risk=replace(risk_curves(60), apart=apart), per_pixel=True)
    network, scale = model.match.network.of_pixels, model.match.calibration.scale
    network.usual.fill_(0.04)
    network.rare.fill_(0.01)
    network.last.weight.data.mul_(9)
    model.match.calibration.risk.limits[:2] = 0.02, 0.025
    model.save(tmp_path / "m.safetensors")
    stack(tmp_path / "s.tif", "YX")
    words = ["predict", tmp_path / "m.safetensors", tmp_path / "s.tif", "--device", "cpu", "--out", tmp_path / "p.tif"]
    assert run(capsys, *words, "--trust", "--trust-risk", 0.02)[0] == 0
    told, mask = (np.asarray(open_stack(tmp_path / f"p.{part}.tif").array) for part in ("expected_error", "untrusted"))
    again = core.load_model(tmp_path / "m.safetensors")
    [scored] = again.score_frames(FRAMES[0][0], np.asarray(open_stack(tmp_path / "p.tif").array), "YX")
    own = scored.masked_pixels((slice(0, 90), slice(0, 120)))
    rare = np.isclose(told, scale * 0.01, rtol=1e-5)
    assert 0.1 < rare.mean() < 1
    np.testing.assert_allclose(own[~rare], told[~rare], rtol=1e-4)
    np.testing.assert_array_equal(mask, (own if apart else told) > np.float32(scale * 0.02))
    assert bool(mask[rare].any()) == apart


@pytest.mark.parametrize(
    ("curves", "calibrated", "told"),
    [
        (risk_curves(30), True, "it needs at least 49 calibration groups, this model has 30; the least"),
        (risk_curves(12), True, "it needs at least 49 calibration groups, this model has 12."),
        (None, True, "calibrated before there were such masks. Give it to fit-trust again"),
        (None, False, "this model was not calibrated"),
    ],
    ids=["few", "below twenty", "of before", "bare"],
)
def test_a_risk_that_cannot_be_promised_leaves_the_usual_mask(tmp_path, capsys, curves, calibrated, told) -> None:
    """A warning says why; the mask is that of a command without a risk."""
    judged("classes", calibrated, risk=curves).save(tmp_path / "m.safetensors")
    stack(tmp_path / "s.tif", "YX")
    words = ["predict", tmp_path / "m.safetensors", tmp_path / "s.tif", "--device", "cpu", "--trust", "--out"]
    code, _, err = run(capsys, *words, tmp_path / "p.tif", "--trust-risk", "0.02")
    assert code == 0
    assert "No mask promises a risk of 0.02: " in err and told in err and "The mask is one without a promise" in err
    assert run(capsys, *words, tmp_path / "q.tif")[0] == 0
    masks = [open_stack(tmp_path / f"{name}.untrusted.tif") for name in "pq"]
    assert np.array_equal(*(np.asarray(mask.array) for mask in masks))
    assert [json.loads(mask.description).get("promised") for mask in masks] == [False, None]


def test_without_a_risk_it_is_said_what_the_mask_left(tmp_path, capsys) -> None:
    """Of the pixels that calibrated; that this is no promise, and how to have one."""
    judged("classes", risk=risk_curves(60)).save(tmp_path / "m.safetensors")
    stack(tmp_path / "s.tif", "YX")
    words = ["predict", tmp_path / "m.safetensors", tmp_path / "s.tif", "--device", "cpu", "--trust"]
    _, _, err = run(capsys, *words, "--out", tmp_path / "p.tif")
    assert "The mask promises nothing: of the pixels that calibrated it leaves 60%, of which 3.0% were wrong." in err
    assert "Give --trust-risk" in err


def test_no_object_is_kept_of_a_source_that_is_like_nothing_that_trained(models, tmp_path, capsys) -> None:
    """Where a warning says that expected errors do not hold, they let nothing be kept; in the other frames they do."""
    model = core.load_model(models["instances"], "cpu")
    seen = [model.source_encoding.encode(frame[0][None]) for frame in FRAMES]
    novelty = Novelty.of(seen, model.match.network.fields[-1].size)
    replace(model, match=replace(model.match, novelty=novelty)).save(tmp_path / "m.safetensors")
    strange = np.random.default_rng(0).integers(0, 4000, FRAMES[1][0].shape, np.uint16)
    source = np.stack([FRAMES[0][0], strange, FRAMES[2][0]])
    tifffile.imwrite(tmp_path / "s.tif", source, ome=True, metadata={"axes": "TYX"})
    words = ["predict", tmp_path / "m.safetensors", tmp_path / "s.tif", "--device", "cpu", "--seed-threshold", "0.2"]
    code, *told = run(capsys, *words, "--min-size", "0", "--out", tmp_path / "p.tif", "--trust", "--trust-limit", "9")
    text = "".join(told)
    assert code == 0 and "expected errors and bounds do not hold" in text
    with (tmp_path / "p.objects.csv").open(newline="") as file:
        verdicts = [(row["t"], row["verdict"]) for row in csv.DictReader(file)]
    assert set(verdicts) == {("0", "keep"), ("1", "check"), ("2", "keep")}
    assert f"{verdicts.count(('1', 'check'))} of {len(verdicts)} objects are to be checked." in text
    outlines = json.loads((tmp_path / "p.outlines.geojson").read_text())["features"]
    assert {f["properties"]["verdict"] for f in outlines if f["properties"]["t"] == 1} == {"check"}


KILLED = """\
import os, signal
from napari_pix2pix.commands.app import main
from napari_pix2pix.files import predicted
predicted.write_trust = lambda *_, **__: os.kill(os.getpid(), signal.SIGKILL)
main({words!r})
"""


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
def test_a_run_that_was_killed_between_its_files_is_run_again(models, tmp_path, capsys) -> None:
    """By the same command, which makes what a run makes that was never killed; in another way it must be told to."""
    stack(tmp_path / "s.tif", "YX")
    (tmp_path / "out").mkdir()
    out, never = tmp_path / "out" / "p.tif", tmp_path / "p.tif"
    words = ["predict", str(models["pixels"]), str(tmp_path / "s.tif"), "--device", "cpu", "--trust", "--out"]
    killed = subprocess.run([sys.executable, "-c", KILLED.format(words=[*words, str(out)])], capture_output=True)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    left = out.read_bytes()
    assert [path.name for path in out.parent.iterdir() if not path.name.startswith(".")] == ["p.tif"]

    code, _, err = run(capsys, *words, out, "--tile-size", 48)
    assert code == 2 and "must not exist yet" in err and "without" in err
    stack(tmp_path / "other.tif", "YX")
    code, _, err = run(
        capsys, *(tmp_path / "other.tif" if word == str(tmp_path / "s.tif") else word for word in words), out
    )
    assert code == 2 and "must not exist yet" in err
    assert out.read_bytes() == left

    assert run(capsys, *words, out)[0] == 0
    assert run(capsys, *words, never)[0] == 0
    made = sorted(path.name for path in tmp_path.glob("p*"))
    assert sorted(path.name for path in out.parent.iterdir()) == made and len(made) == 5
    for name in made:
        assert (out.parent / name).read_bytes() == (tmp_path / name).read_bytes()

    code, _, err = run(capsys, *words, out)
    assert code == 2 and "must not exist yet" in err


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
def test_what_was_finished_before_is_not_a_killed_runs(models, tmp_path, capsys) -> None:
    """Who lets it be replaced, and is killed, must let it be again: it may still be the finished one."""
    stack(tmp_path / "s.tif", "YX")
    out = tmp_path / "p.tif"
    words = ["predict", str(models["intensity"]), str(tmp_path / "s.tif"), "--device", "cpu", "--out", str(out)]
    assert run(capsys, *words, "--trust")[0] == 0
    script = KILLED.format(words=[*words, "--trust", "--overwrite"])
    assert subprocess.run([sys.executable, "-c", script], capture_output=True).returncode == -signal.SIGKILL
    code, _, err = run(capsys, *words, "--trust")
    assert code == 2 and "must not exist yet" in err
    assert run(capsys, *words, "--trust", "--overwrite")[0] == 0
    assert not [path.name for path in tmp_path.iterdir() if path.name.startswith(".")]
