"""Repeated trainings on every kind of pair: runs hold out, are judged, are compared, and their pages are drawn."""

import json
from pathlib import Path

import pytest

from every_pair import Pair, command, unreported

PAIRS = [
    ("RGB", "RGB"),
    ("volume", "instances"),
    ("grey", "stains of which some are missing"),
    ("volumes of channels over time", "several channels"),
    *(
        pytest.param(*own, marks=pytest.mark.slow)
        for own in (("RGB", "grey"), ("volume", "grey"), ("grey", "several channels"), ("time series", "classes"))
    ),
]


@pytest.mark.parametrize(("source", "target"), PAIRS)
def test_runs_are_trained_judged_and_compared(tmp_path: Path, source: str, target: str) -> None:
    """Each image is judged once, by a model that never saw it; the pages show images."""
    pair = Pair(source, target, judge=False)
    sides = pair.write(tmp_path, range(n := 6 if "missing" in target else 4))
    flags = [*pair.flags, "--validation-share", "0"]
    with unreported():
        for out, more in (("a", ()), ("b", ("--l1-weight", "10"))):
            command("train", *sides, "--out", tmp_path / out, "--folds", "2", *flags, *more)
            command("evaluate", tmp_path / out, "--out", tmp_path / f"{out} judged")
    judged = tmp_path / "a judged", tmp_path / "b judged"
    command("compare", *judged, "--out", tmp_path / "c.json", "--report", tmp_path / "c.html")
    plan, said = (json.loads(path.read_text()) for path in (tmp_path / "a/repetition.json", judged[0] / "metrics.json"))
    held = sorted(name for run in plan["runs"] for name in run["held_out"])
    assert held == sorted(plan["pairs"]["train"]["names"])
    assert {row["runs"] for row in said["files"]} == {1} and said["seen"] is False
    for stain in said.get("stains", ()):
        assert stain["n"] == sum(stain["name"] in row.get("stains", [stain["name"]]) for row in said["files"]) > 0
    (told,) = json.loads((tmp_path / "c.json").read_text())["repeated"].values()
    assert told["same_folds"] and told["settings"] and told["differences"]
    assert len(said["files"]) == n * len(pair.frames([0]))
    pages = [path.read_text("utf8") for path in (judged[0] / "report.html", tmp_path / "c.html")]
    assert "2 runs" in pages[0] and "No images are shown" not in pages[1] and 'class="example"' in pages[1]
