"""report.html of evaluate and train: written beside the figures, refused where one is, never at the model's cost."""

import json

import numpy as np
import pytest
import tifffile

from napari_pix2pix.commands.app import main
from napari_pix2pix.report import draw as reports
from small import SMALL_FLAGS, blobs


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    """A run, the pairs that made it, and pairs that did not."""
    folder = tmp_path_factory.mktemp("work")
    for i in range(6):
        for side, image in zip(("sources", "targets"), blobs(seed=i), strict=True):
            path = folder / ("old" if i < 4 else "new") / side / f"cell {i} <b>.tif"
            path.parent.mkdir(parents=True, exist_ok=True)
            tifffile.imwrite(path, image)
    pair = [str(folder / "old" / side) for side in ("sources", "targets")]
    assert main(["train", *pair, "--out", str(folder / "run"), *SMALL_FLAGS, "--target-kind", "instances"]) == 0
    return folder


def run(capsys, *words) -> tuple[int, str, str]:
    code = main([str(word) for word in words])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def new_pairs(work) -> list:
    return [work / "new" / side for side in ("sources", "targets")]


def test_train_reports_on_its_validation_pairs(work) -> None:
    """The page shows the image that chose the model, the losses, the card, and the exact command."""
    page = (work / "run" / "report.html").read_text("utf8")
    said = json.loads((work / "run" / "config.json").read_text())["provenance"]["split"]
    assert said["validation"] == 1
    assert "Judged: 1 image, validation pairs: they chose which weights were kept" in page
    assert page.count("<img ") == 5 and "&lt;b&gt;" in page and "cell 0 <b>" not in page
    assert "Losses, and figures of the validation pairs" in page
    assert f"napari-pix2pix train {work}/old/sources {work}/old/targets --out {work}/run --generator.levels 3" in page
    assert "in red" not in page


def test_evaluate_writes_three_files_and_refuses_any_that_is_there(work, tmp_path, capsys) -> None:
    """metrics.json, metrics.csv and report.html, whole; each alone is in the way, before any work."""
    words = ["evaluate", work / "run", *new_pairs(work), "--out", tmp_path / "e"]
    code, out, _ = run(capsys, *words, "--json")
    assert code == 0
    result = json.loads(out.splitlines()[-1])
    assert result["report"] == str(tmp_path / "e" / "report.html")
    names = ["metrics.csv", "metrics.json", "report.html"]
    assert sorted(path.name for path in (tmp_path / "e").iterdir()) == names
    page = (tmp_path / "e" / "report.html").read_text("utf8")
    command = f"evaluate {work}/run {work}/new/sources {work}/new/targets --out {tmp_path}/e</pre>"
    assert page.count("<img ") == 10 and command in page
    for kept in names:
        for name in names:
            if name != kept:
                (tmp_path / "e" / name).unlink(missing_ok=True)
        code, _, err = run(capsys, *words)
        assert (code, f"{kept} does" in err) == (2, True)
        assert run(capsys, *words, "--overwrite")[0] == 0
    assert run(capsys, *words, "--overwrite")[0] == 0


def test_what_cannot_be_drawn_costs_neither_model_nor_figures(work, tmp_path, capsys, monkeypatch) -> None:
    """train warns and is done, evaluate fails but keeps its figures; nothing half-written is left."""

    def fails(*_: object) -> None:
        raise RuntimeError("no ink")

    monkeypatch.setattr(reports, "write_report", fails)
    pair = [work / "new" / side / "cell 4 <b>.tif" for side in ("sources", "targets")]
    code, _, err = run(capsys, "train", *pair, "--out", tmp_path / "run", *SMALL_FLAGS)
    assert (code, "warning: The model is saved; its report could not be written: RuntimeError: no ink" in err) == (
        0,
        True,
    )
    assert (tmp_path / "run" / "model.safetensors").is_file()
    code, _, err = run(capsys, "evaluate", work / "run", *new_pairs(work), "--out", tmp_path / "e")
    assert (code, "metrics.json is written, but its report could not be" in err) == (1, True)
    assert sorted(path.name for path in (tmp_path / "e").iterdir()) == ["metrics.csv", "metrics.json"]


def test_without_validation_pairs_the_page_says_that_there_are_no_figures(work, tmp_path, capsys) -> None:
    """It still holds losses, card and methods; a run that is begun anew loses the page of the old one."""
    pair = [work / "new" / side / "cell 4 <b>.tif" for side in ("sources", "targets")]
    words = ["train", *pair, "--out", tmp_path / "run", *SMALL_FLAGS, "--validation-share", "0"]
    assert run(capsys, *words)[0] == 0
    page = (tmp_path / "run" / "report.html").read_text("utf8")
    assert reports.NOT_JUDGED in page and "<img " not in page and "Isola" in page and "Losses" in page
    monkey = "stale"
    (tmp_path / "run" / "report.html").write_text(monkey)
    assert run(capsys, *words, "--overwrite")[0] == 0
    assert (tmp_path / "run" / "report.html").read_text("utf8") != monkey


def test_a_part_of_one_image_is_judged_where_it_chose_only(tmp_path, capsys) -> None:
    """One image divided: the page shows its validation part, and calls it what it is."""
    source, target = blobs((96, 400))
    for name, image in (("source", source), ("target", target)):
        tifffile.imwrite(tmp_path / f"{name}.tif", image)
    pair = [tmp_path / "source.tif", tmp_path / "target.tif"]
    words = ["train", *pair, "--out", tmp_path / "run", *SMALL_FLAGS, "--target-kind", "classes"]
    tifffile.imwrite(tmp_path / "target.tif", (target > 0).astype(np.uint8))
    assert run(capsys, *words)[0] == 0
    [row] = [
        r.split(",") for r in (tmp_path / "run" / "split.csv").read_text().splitlines() if r.startswith("validation")
    ]
    page = (tmp_path / "run" / "report.html").read_text("utf8")
    assert "within one image; says nothing about another" in page
    assert f"96 × {int(row[7]) - int(row[6])} px from row 0, column {row[6]} of 96 × 400 px: all that is judged" in page


def test_pairs_that_made_the_model_are_shown_in_red(work, tmp_path, capsys) -> None:
    """--allow-seen evaluates them and the page says so."""
    pair = [work / "old" / side for side in ("sources", "targets")]
    assert run(capsys, "evaluate", work / "run", *pair, "--out", tmp_path / "e")[0] == 2
    assert not (tmp_path / "e").exists()
    assert run(capsys, "evaluate", work / "run", *pair, "--out", tmp_path / "e", "--allow-seen")[0] == 0
    page = (tmp_path / "e" / "report.html").read_text("utf8")
    assert 'class="summary seen"' in page and 'class="wide figures seen"' in page and "in red" in page
