"""A model that learned without pairs, and the few registered pairs of a user: they teach what to expect, and judge."""

import csv
import json

import numpy as np
import pytest
import tifffile

from napari_pix2pix.commands.app import main
from napari_pix2pix.core.training import loop
from small import blobs

pytestmark = pytest.mark.filterwarnings(
    "ignore:The model hides", "ignore:Patches should be", "ignore:Sources and targets sh", "ignore:No room for"
)


SMALL = [
    *("--method", "cyclegan", "--generator.architecture", "unet", "--generator.levels", "2"),
    *("--generator.base-channels", "4", "--discriminator.base-channels", "4", "--discriminator.n-layers", "1"),
    *("--patch-size", "32", "--batch-size", "2", "--steps", "4", "--validate-every", "2", "--pool-size", "2"),
]


def run(capsys, *words) -> tuple[int, str, str]:
    """Exit code, standard output and error of a command."""
    code = main([str(word) for word in words])
    said = capsys.readouterr()
    return code, said.out, said.err


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Sides that are no pairs, the run that learned from them, and four pairs that it has not seen."""
    place = tmp_path_factory.mktemp("judged")
    for folder, seeds, seen in (
        ("a", range(4), 0),
        ("b", range(9, 13), 1),
        ("x", range(20, 24), 0),
        ("y", range(20, 24), 1),
    ):
        (place / folder).mkdir()
        for seed in seeds:
            image = blobs(seed=seed)[0]
            tifffile.imwrite(
                place / folder / f"{folder if seed < 20 else 'pair'}{seed}.tif", 4000 - image if seen else image
            )
    with pytest.MonkeyPatch.context() as few:
        few.setattr(loop, "JUDGED_PATCHES", 8)
        code = main([str(w) for w in ("train", place / "a", place / "b", *SMALL, "--out", place / "run")])
    assert code == 0
    return place


def test_a_few_pairs_teach_what_error_to_expect(place, tmp_path, capsys) -> None:
    """Without them `predict --trust` says why there is none, and what to do; and what it says to do works."""
    code, _, err = run(capsys, "predict", place / "run", place / "x", "--trust", "--out", tmp_path / "none")
    assert code == 2 and "learned without pairs, which no error is known of. Teach it with fit-trust and a" in err
    assert not (tmp_path / "none").exists()
    taught = tmp_path / "taught.safetensors"
    words = "fit-trust", place / "run", place / "x", place / "y", "--trust-steps", "4", "--out", taught
    code, out, err = run(capsys, *words)
    assert code == 0 and "calibrated on" in out, err
    code, _, err = run(capsys, "predict", taught, place / "x", "--trust", "--out", tmp_path / "trusted")
    assert code == 0, err
    with next((tmp_path / "trusted").glob("*.csv")).open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 4 and all(float(row["expected_error"]) >= 0 for row in rows)
    code, _, err = run(capsys, "predict", taught, place / "y", "--to", "source", "--trust", "--out", tmp_path / "back")
    assert code == 2 and "How far to trust is known of what is made of sources" in err


def test_pairs_judge_it_and_tell_what_is_invented(place, tmp_path, capsys) -> None:
    """As of pix2pix: figures, invented and missing objects, on pairs that are test pairs."""
    code, _, err = run(capsys, "evaluate", place / "run", place / "x", place / "y", "--out", tmp_path / "figures")
    assert code == 0, err
    told = json.loads((tmp_path / "figures" / "metrics.json").read_text())
    assert told["kind_of_pairs"] == "test" and told["n"] == 4
    assert {"invented", "missing"} <= told["metrics"].keys() | told["files"][0].keys()
    page = (tmp_path / "figures" / "report.html").read_text()
    assert "nvented" in page and "issing" in page


@pytest.mark.parametrize("side", ["a", "b"])
def test_pairs_of_what_trained_a_side_are_no_test_pairs(place, tmp_path, capsys, side) -> None:
    """They were learned from, if without the other half; of either side."""
    (tmp_path / "other").mkdir()
    for path in (place / side).iterdir():
        tifffile.imwrite(tmp_path / "other" / path.name, np.uint16(4000) - tifffile.imread(path))
    pairs = (place / "a", tmp_path / "other") if side == "a" else (tmp_path / "other", place / "b")
    code, _, err = run(capsys, "evaluate", place / "run", *pairs, "--out", tmp_path / "figures")
    assert code == 2 and "Pairs that judge a model must not have made it" in err and "--allow-seen" in err
