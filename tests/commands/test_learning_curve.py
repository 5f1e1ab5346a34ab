"""`learning-curve`: few and more pairs, judged on the same; in one sentence what twice as many would add."""

import json
from pathlib import Path

import numpy as np
import pytest
import tifffile

from napari_pix2pix.commands.app import main
from napari_pix2pix.core.data.folds import of_numbers
from napari_pix2pix.core.evaluation.learning_curve import PERFECT, fit_learning_curve
from napari_pix2pix.core.evaluation.metrics.classes import of_classes
from napari_pix2pix.core.evaluation.metrics.comparison import higher_is_better
from napari_pix2pix.core.evaluation.metrics.instances import of_instances
from napari_pix2pix.core.evaluation.metrics.intensities import of_channel
from napari_pix2pix.report.learning_curve import sentence
from small import SMALL_FLAGS, blobs


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    place = tmp_path_factory.mktemp("curve")
    for i in range(8):
        source, label = blobs(seed=i)
        for side, image in (("source", source), ("label", label), ("grey", source // 2 + 100)):
            (place / side).mkdir(exist_ok=True)
            tifffile.imwrite(place / side / f"cell {i}.tif", image)
    return place


def words(place: Path, *more: str, out: str = "curve", target: str = "label") -> list[str]:
    sides = [str(place / "source"), str(place / target)]
    return ["learning-curve", *sides, "--out", str(place / out), *SMALL_FLAGS, *more]


def test_a_curve_is_told_in_a_sentence_after_its_budget(folder, capsys) -> None:
    """Nine trainings on nested pairs; the budget comes first; given again, only the sentence is made."""
    given = words(folder, "--at", "2,4,6", "--seeds", "2", "--json")
    assert main(given) == 0
    events = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    order = [event["event"] for event in events]
    budget = next(event["budget"] for event in events if "budget" in event)
    assert (budget["trainings"], budget["steps"]) == (6, 6)
    assert budget["minutes"] == pytest.approx(6 * budget["minutes_each"])
    assert next(i for i, event in enumerate(events) if "budget" in event) < order.index("progress")
    told = json.loads((folder / "curve" / "learning_curve.json").read_text())
    assert told["sentence"].startswith("Twice as many pairs, 12 instead of 6: about ")
    assert events[-1]["text"].startswith(told["sentence"])
    assert (len(told["points"]), told["headline"]) == (6, "object_f1_iou50")
    page = (folder / "curve" / "report.html").read_text("utf8")
    assert told["sentence"].partition(" (")[0] in page and "<svg" in page
    plan = json.loads((folder / "curve" / "repetition.json").read_text())
    by_seed = {seed: [set(run["trains"]) for run in plan["runs"] if run["seed"] == seed] for seed in (0, 1)}
    assert all(few < more < most for few, more, most in by_seed.values())
    assert len({tuple(run["held_out"]) for run in plan["runs"]}) == 1

    assert main([word for word in given if word != "--json"]) == 0
    said = capsys.readouterr()
    assert (told["sentence"] in said.out, "trainings ×" in said.err) == (True, False)


def test_grey_values_on_pairs_that_are_given(folder, capsys) -> None:
    """Then nothing is held out, and an error that falls is a gain."""
    (folder / "test").mkdir()
    for side in ("source", "grey"):
        (folder / "test" / side).mkdir()
        image = blobs(seed=20)[0]
        tifffile.imwrite(folder / "test" / side / "new.tif", image if side == "source" else image // 2 + 100)
    judges = ["--test-source", str(folder / "test/source"), "--test-target", str(folder / "test/grey")]
    assert main(words(folder, "--at", "2,4,8", "--seeds", "1", *judges, out="grey curve", target="grey")) == 0
    assert "mean absolute error; how sure that is, only more seeds would tell." in capsys.readouterr().out


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        (["--at", "4,8"], "A curve must go through at least 3 numbers of pairs; got 4, 8. Give, for example, --at"),
        (["--at", "2,4,7"], "as many pairs as the largest number, 7; got 8, of which 2 are held out to judge. Choose"),
        (["--at", "0,2,4"], "Numbers of pairs must be at least 1; got 0."),
        (["--at", "2,four,6"], "numbers with commas between, as in 4,8,16,32"),
        (["--at", "2,4,6", "--seeds", "0"], "There must be 1 to 1000 seeds; got 0."),
        (
            ["--at", "2,4,6", "--groups", "(cell)"],
            "What is held out must be a whole group; all pairs are of one, cell.",
        ),
    ],
)
def test_what_makes_no_curve_is_told(folder, capsys, more, sentence) -> None:
    """Before any work: no folder is made."""
    capsys.readouterr()
    assert main(words(folder, *more, out="refused")) == 2
    [said] = capsys.readouterr().err.splitlines()
    assert sentence in said
    assert not (folder / "refused").exists()


def test_groups_train_or_judge() -> None:
    """None does both, and of each seed the first pairs come group by group."""
    names, groups = [f"n{i}" for i in range(12)], [f"g{i // 3}" for i in range(12)]
    runs = of_numbers(names, groups, [3, 6, 9], 5, 2, judged=False)
    group = dict(zip(names, groups, strict=True))
    for run in runs:
        trains = {group[name] for name in run.trains}
        assert not trains & {group[name] for name in run.held_out}
        assert len(trains) == run.pairs // 3
    assert {run.seed for run in runs} == {5, 6}


def test_a_law_is_found_again() -> None:
    """Of figures that obey one, whether they rise or fall, twice as many pairs give what it says."""
    n = np.repeat([4, 8, 16, 32], 2)
    for figure, sign in (("dice", 1), ("psnr", 1), ("mae", -1)):
        best = 0.9 if sign > 0 else 0.1
        found = fit_learning_curve(n.tolist(), (best - sign * 0.5 * n**-0.7).tolist(), figure)
        true = sign * 0.5 * (32**-0.7 - 64**-0.7)
        assert found["gain"]["value"] == pytest.approx(true, rel=1e-2)
        assert found["gain"]["pairs"] == [32, 64]
        assert found["law"]["exponent"] == pytest.approx(0.7, rel=1e-2)


@pytest.mark.parametrize("kind", ["intensity", "classes", "instances"])
def test_no_curve_promises_more_than_perfect(kind) -> None:
    """Of every figure that is written: what is perfect bounds the curve, in its foreground, too."""
    random, known = np.random.default_rng(0), np.ones((32, 32), bool)
    target = random.integers(0, 10, (32, 32)).astype(float)
    labels = np.kron(np.arange(16).reshape(4, 4), np.ones((8, 8), int))
    rows = {
        "intensity": lambda: of_channel(target, target, known, 9.0, 4.0),
        "classes": lambda: of_classes(np.diag([3, 4])),
        "instances": lambda: of_instances(labels, labels),
    }
    for figure, perfect in rows[kind]().items():
        if figure.startswith("psnr") or figure in ("objects", "object_area") or figure.endswith("_target"):
            continue
        assert perfect == pytest.approx(PERFECT[figure.removesuffix("_foreground")], abs=0.05)
        sign = 1 if higher_is_better(figure) else -1
        best = PERFECT[figure.removesuffix("_foreground")]
        misses = [0.1, 0.06, 0.02, 0.1, 0.06, 0.015]  # as if they went on to nothing, and beyond
        curve = fit_learning_curve([4, 8, 16] * 2, [best - sign * miss for miss in misses], figure)["curve"]
        ends = [end for point in curve for end in (point["value"], point["low"], point["high"])]
        assert max(sign * end for end in ends) <= sign * best + 1e-6


def test_noise_widens_the_interval_and_no_gain_is_perhaps_nothing() -> None:
    """Figures that only scatter promise nothing; without more trainings than parameters nobody knows how sure."""
    random = np.random.default_rng(0)
    n = np.repeat([4, 8, 16, 32], 3)
    flat = fit_learning_curve(n.tolist(), (0.7 + random.normal(0, 0.01, 12)).tolist(), "dice")
    assert flat["gain"]["low"] < 1e-3
    assert "perhaps nothing" in sentence(flat) or "more pairs have not helped here" in sentence(flat)
    falling = fit_learning_curve([4, 8, 16, 32] * 2, [0.5, 0.4, 0.3, 0.2] * 2, "dice")
    assert "about +0 Dice" in sentence(falling) and "more pairs have not helped here" in sentence(falling)
    law = 0.9 - 0.5 * n**-0.5
    widths = []
    for noise in (0.005, 0.03):
        gain = fit_learning_curve(n.tolist(), (law + random.normal(0, noise, 12)).tolist(), "dice")["gain"]
        assert gain["low"] <= 0.5 * (32**-0.5 - 64**-0.5) <= gain["high"]
        widths.append(gain["high"] - gain["low"])
    assert widths[0] < widths[1]
    assert fit_learning_curve([2, 4, 8], [0.5, 0.6, 0.65], "dice")["gain"]["low"] is None


@pytest.mark.parametrize("exponent", [0.1, 0.2, 1.0])
def test_the_interval_holds_the_gain_of_flat_curves_too(exponent) -> None:
    """A curve that is almost straight at its end may bend or not: in 20 draws the true gain is outside of 2 at most."""
    n = np.repeat([4, 8, 16, 32], 3)
    truth = 0.6 * (32**-exponent - 64**-exponent)
    held = 0
    for seed in range(20):
        noise = np.random.default_rng(1000 + seed).normal(0, 0.08, 12) / np.sqrt(n)
        curve = fit_learning_curve(n.tolist(), (0.9 - 0.6 * n**-exponent + noise).tolist(), "dice")
        held += curve["gain"]["low"] <= truth <= curve["gain"]["high"]
        assert all(point["low"] <= point["value"] <= point["high"] for point in curve["curve"])
    assert held >= 18


@pytest.mark.parametrize("level", [0.0, 0.3])
def test_where_all_trainings_are_alike_nothing_is_promised(level) -> None:
    """As after trainings that were too short: no gain of rounding, and the question whether they were."""
    said = sentence(fit_learning_curve([1, 2, 4, 1, 2, 4], [level] * 6, "object_f1_iou50"))
    assert "about +0 " in said and "see first whether trainings were long enough" in said
