"""fit-trust and score on the command line: the same as from Python, and files that say what they are."""

import csv
import json

import numpy as np
import pytest
import tifffile

from napari_pix2pix import core
from napari_pix2pix.commands.app import main
from small import SMALL_FLAGS, blobs


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    """Pairs, a model that was trained on some of them, and that model taught on the others."""
    folder = tmp_path_factory.mktemp("work")
    for i in range(6):
        for side, image in zip(("sources", "targets"), blobs(seed=i), strict=True):
            (folder / f"{side}{i // 3}").mkdir(exist_ok=True)
            tifffile.imwrite(folder / f"{side}{i // 3}" / f"{i}.tif", image, metadata={"axes": "YX"})
    flags = [*SMALL_FLAGS, "--target-kind", "instances"]
    assert main(["train", f"{folder}/sources0", f"{folder}/targets0", "--out", f"{folder}/run", *flags]) == 0
    words = [
        "fit-trust",
        f"{folder}/run",
        f"{folder}/sources1",
        f"{folder}/targets1",
        "--out",
        f"{folder}/m.safetensors",
    ]
    assert main([*words, "--steps", "3", "--device", "cpu"]) == 0
    return folder


def run(capsys, *words) -> tuple[int, str, str]:
    code = main([str(word) for word in words])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_fit_trust_equals_python(work) -> None:
    """The same weights and calibration, bit for bit; new files: two groups teach, one calibrates."""
    stacks = [[tifffile.imread(work / f"{side}1" / f"{i}.tif") for i in (3, 4, 5)] for side in ("sources", "targets")]
    pairs = core.PairedFrames(*stacks, "YX", names=["3", "4", "5"], hashes=[(str(i), f"t{i}") for i in (3, 4, 5)])
    *_, last = core.fit_trust(core.load_model(work / "run" / "model.safetensors", "cpu"), pairs, steps=3)
    found = core.load_model(work / "m.safetensors", "cpu")
    assert found.provenance["trust"] == {"steps": 3, "taught": 2, "calibrated": 1, "groups": 1}
    ours = last.model.tensors()
    assert ours.keys() == found.tensors().keys()
    assert all((value == ours[name]).all() for name, value in found.tensors().items())


def test_score_writes_what_python_says(work, tmp_path, capsys) -> None:
    """Scores, which are valid, expected errors and ranks: a file each, and a table of all with positions in pixels."""
    pair = [work / side / "0.tif" for side in ("sources0", "targets0")]
    out = tmp_path / "s.tif"
    words = ["score", work / "m.safetensors", *pair, "--out", out, "--device", "cpu", "--json"]
    code, text, _ = run(capsys, *words, "--table")
    assert code == 0
    placed = next(event for event in map(json.loads, text.splitlines()) if event["event"] == "placed")
    assert placed["kind"] == "match"
    assert "has not learned enough" in placed["promise"] and "No guarantee" in placed["promise"]
    model = core.load_model(work / "m.safetensors", "cpu")
    found = model.score(*(tifffile.imread(path) for path in pair), "YX")
    np.testing.assert_array_equal(tifffile.imread(out), found.scores)
    for name in ("valid", "expected_error", "rank"):
        np.testing.assert_array_equal(tifffile.imread(tmp_path / f"s.{name}.tif"), getattr(found, name))
    assert not (tmp_path / "s.error_bound.tif").exists()
    with (tmp_path / "s.table.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["y", "x", "score", "valid", "expected_error", "rank"]
    assert len(rows) == found.scores.size
    row = rows[found.scores.shape[1] * 3 + 4]
    assert (float(row["y"]), float(row["x"])) == (2.5 + 3 * 2, 2.5 + 4 * 2)
    assert float(row["score"]) == pytest.approx(found.scores[3, 4], rel=1e-4)
    assert (int(row["valid"]), float(row["rank"])) == (found.valid[3, 4], pytest.approx(found.rank[3, 4], rel=1e-4))
    code, _, err = run(capsys, *words, "--table")
    assert (code, "must not exist yet" in err) == (2, True) or code == 2


def test_plain_scores_on_request(work, tmp_path, capsys) -> None:
    """--kind plain gives the scores of the training's discriminator, and nothing that it does not know."""
    pair = [work / side / "0.tif" for side in ("sources0", "targets0")]
    words = [*pair, "--device", "cpu", "--out"]
    assert run(capsys, "score", work / "m.safetensors", *words, tmp_path / "a.tif", "--kind", "plain")[0] == 0
    assert run(capsys, "score", work / "run", *words, tmp_path / "b.tif")[0] == 0
    np.testing.assert_array_equal(tifffile.imread(tmp_path / "a.tif"), tifffile.imread(tmp_path / "b.tif"))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.tif", "a.valid.tif", "b.tif", "b.valid.tif"]
    code, _, err = run(capsys, "score", work / "run", *words, tmp_path / "c.tif", "--kind", "match")
    assert code == 2
    assert "Give it to fit-trust" in err


def test_what_fit_trust_refuses(work, tmp_path, capsys) -> None:
    """An output that exists, or is no model file, no steps, and targets of another kind: a sentence each, exit 2."""
    model, pair = work / "run", [work / "sources1", work / "targets1"]
    for out, more, sentence in (
        (work / "m.safetensors", (), "must not exist yet"),
        (tmp_path / "m.tif", (), "must go to a .safetensors file"),
        (tmp_path / "m.safetensors", ("--steps", "0"), "trust_steps must be from 1 to 1000000000; got 0"),
        (tmp_path / "m.safetensors", ("--trust-steps", "-1"), "trust_steps must be from 1 to 1000000000; got -1"),
    ):
        code, _, err = run(capsys, "fit-trust", model, *pair, "--out", out, *more)
        assert code == 2
        assert sentence in err
    assert not list(tmp_path.iterdir())
