"""Blinded readers: pictures that tell nothing but what they show; sheets are scored, or refused in a sentence."""

import csv
import json

import imagecodecs
import numpy as np
import pytest
import tifffile

from napari_pix2pix.commands.app import main
from napari_pix2pix.core.evaluation.readers import cohen, fleiss, told_apart
from small import blobs, untrained


def run(capsys, *words) -> tuple[int, str, str]:
    """Exit code, standard output, standard error of a command."""
    code = main([str(word) for word in words])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


@pytest.fixture
def work(tmp_path, capsys):
    """Six pairs of grey values, and a tool's predictions of them, evaluated."""
    for i in range(6):
        image = blobs(seed=i)[0]
        for side, pixels in (("target", image), ("found", image // 2 + 150)):
            (tmp_path / side).mkdir(exist_ok=True)
            tifffile.imwrite(tmp_path / side / f"cell {i}.tif", pixels)
    assert (
        run(capsys, "evaluate", "--prediction", tmp_path / "found", tmp_path / "target", "--out", tmp_path / "e")[0]
        == 0
    )
    return tmp_path


def table(path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf8") as file:
        return list(csv.DictReader(file))


def filled(path, rows, answers, delimiter=",") -> None:
    with path.open("w", newline="", encoding="utf-8-sig") as file:
        writer = csv.writer(file, delimiter=delimiter)
        writer.writerow(["set", "pair", "real"])
        writer.writerows([row["set"], row["pair"], answer] for row, answer in zip(rows, answers, strict=True))


def test_pictures_tell_nothing_but_what_they_show(work, capsys) -> None:
    """Of one size in bytes, without a name, time or text inside; the key, which lies apart, says which is real."""
    code, text, _ = run(capsys, "reader-set", work / "e", "--n", 10, "--side", 40, "--out", work / "set")
    assert code == 0 and "10 pairs: give readers the folder" in text
    rows = table(work / "set.key.csv")
    pictures = sorted((work / "set").glob("*.png"))
    assert [path.name for path in pictures] == [f"pair_{i:03}_{side}.png" for i in range(1, 11) for side in "AB"]
    assert len({path.stat().st_size for path in pictures}) == 1
    assert {path.name for path in (work / "set").iterdir()} == {
        *(path.name for path in pictures),
        "sheet.csv",
        "pairs.html",
    }
    for path in pictures:
        content = path.read_bytes()
        assert b"cell" not in content
        assert [mark for mark in (b"tEXt", b"tIME", b"iTXt", b"eXIf", b"zTXt") if mark in content] == []
    assert {row["real"] for row in rows} == {"A", "B"} and len({row["name"] for row in rows}) == 6
    assert table(work / "set" / "sheet.csv") == [{"set": row["set"], "pair": row["pair"], "real": ""} for row in rows]
    for row in rows:
        top, left = int(row["row"]), int(row["column"])
        true = tifffile.imread(work / "target" / f"{row['name']}.tif")[top : top + 40, left : left + 40].astype(float)
        low, high = np.percentile(true, (0.1, 99.9))
        real = imagecodecs.imread(work / "set" / f"pair_{int(row['pair']):03}_{row['real']}.png")
        np.testing.assert_allclose(real, np.clip((true - low) / (high - low), 0, 1) * 255, atol=1.01)
    page = (work / "set" / "pairs.html").read_text()
    assert page.count("<img") == 20 and "cell" not in page

    again = run(capsys, "reader-set", work / "e", "--n", 10, "--side", 40, "--out", work / "again")
    assert again[0] == 0 and (work / "again.key.csv").read_text() == (work / "set.key.csv").read_text()
    other = run(capsys, "reader-set", work / "e", "--n", 10, "--side", 40, "--out", work / "other", "--seed", 1)
    assert other[0] == 0 and (work / "other.key.csv").read_text() != (work / "set.key.csv").read_text()


def test_sheets_are_scored(work, capsys) -> None:
    """One reader who knows and one who guesses half; spreadsheets' semicolons, small letters and marks are read."""
    assert run(capsys, "reader-set", work / "e", "--n", 6, "--out", work / "set")[0] == 0
    rows = table(work / "set.key.csv")
    real, other = [row["real"] for row in rows], {"A": "B", "B": "A"}
    filled(work / "set" / "anna.csv", rows, [letter.lower() for letter in real], ";")
    filled(work / "set" / "ben.csv", rows, [*real[:3], *(other[letter] for letter in real[3:])])
    anna, ben = work / "set" / "anna.csv", work / "set" / "ben.csv"
    code, text, _ = run(capsys, "reader-set", "--score", anna)
    assert code == 0 and "AUC 1 [0.610 to 1]" in text and "Readers tell predictions from real images." in text
    code, text, _ = run(capsys, "reader-set", "--score", anna, ben, "--json")
    found = json.loads(text)
    assert (code, found["auc"]["value"], found["agreement"]["name"]) == (0, 0.75, "Cohen's kappa")
    assert [one["value"] for one in found["readers"].values()] == [1, 0.5]
    (work / "away").mkdir()
    ben.rename(work / "away" / "ben.csv")
    code, text, _ = run(capsys, "reader-set", "--score", work / "away" / "ben.csv", "--key", work / "set.key.csv")
    assert code == 0 and "Readers were not found to tell" in text


def test_bad_sheets_are_told_in_a_sentence(work, capsys) -> None:
    """What is missing or wrong is named, and nothing is scored."""
    assert run(capsys, "reader-set", work / "e", "--n", 6, "--out", work / "set")[0] == 0
    rows, sheet = table(work / "set.key.csv"), work / "set" / "sheet.csv"
    good = [row["real"] for row in rows]
    others = [row | {"set": "set 0"} for row in rows]
    for given, answers, said in (
        (
            rows,
            ["A", "", *good[2:5], " "],
            "an answer, A or B, for each pair; {} has none for pairs 2, 6. Fill",
        ),
        (rows, [""] * 6, "none for pairs 1, 2, 3, 4, 5 and 1 more"),
        (rows, ["C", *good[1:]], "An answer must be A or B; {} has 'C' for pair 1. Correct it."),
        (rows[:5], good[:5], "none for pair 6"),
        (others, good, "must be of the set of its key; {} is of another"),
        ([*rows[:5], rows[4]], good, "{} names one twice"),
        ([*rows[:5], rows[5] | {"pair": "77"}], good, "{} has pair 77, which is none"),
    ):
        filled(sheet, given, answers)
        code, out, err = run(capsys, "reader-set", "--score", sheet)
        assert (code, out, said.format(sheet) in err) == (2, "", True), err
    filled(sheet, rows, good)
    (work / "text.csv").write_text("hello")
    (work / "binary.csv").write_bytes(b"\xff\xfe\x00" * 9)
    for words, said in (
        (
            ["--score", work / "text.csv", "--key", work / "set.key.csv"],
            "(CSV) with the columns set, pair",
        ),
        (["--score", work / "binary.csv", "--key", work / "set.key.csv"], "must be a table (CSV)"),
        (["--score", work / "none.csv", "--key", work / "set.key.csv"], "A sheet must be a file; there is none at"),
        (["--score", sheet, "--key", sheet], "A key must be a table (CSV)"),
        (["--score", work / "text.csv"], "A sheet must have its key"),
        (["--score", sheet, sheet], "Each reader must have one sheet; one is there twice."),
        (["--score", sheet, "--out", work / "x"], "With --score there must be sheets only"),
        ([work / "e"], "A reader set must have EVALUATION and --out"),
        ([work / "e", "--out", work / "x", "--n", "0"], "must have 1 to 999 pairs; got 0."),
        ([work / "e", "--out", work / "x", "--side", "0"], "--side must be 1 to 4096 px; got 0."),
        ([work / "e", "--out", work / "x", "--seed", "-1"], "--seed must be 0 or more; got -1."),
        ([work / "e", "--out", work / "set"], "An output must not exist yet"),
        ([work / "found", "--out", work / "x"], "An evaluation must hold metrics.json"),
    ):
        code, _, err = run(capsys, "reader-set", *words)
        assert (code, said in err) == (2, True), err
    assert not (work / "x").exists() and not (work / "x.key.csv").exists()


def test_only_what_was_judged_is_shown(work, capsys) -> None:
    """Evaluations from before, images that changed, and predictions that are the truth."""
    before = json.loads((work / "e" / "metrics.json").read_text())
    del before["made_of"]
    (work / "old").mkdir()
    (work / "old" / "metrics.json").write_text(json.dumps(before))
    code, _, err = run(capsys, "reader-set", work / "old", "--out", work / "x")
    assert code == 2 and "An evaluation must tell which images it judged" in err and "evaluate again" in err
    same = ["evaluate", "--prediction", work / "target", work / "target", "--out", work / "same"]
    assert run(capsys, *same)[0] == 0
    code, _, err = run(capsys, "reader-set", work / "same", "--out", work / "x")
    assert code == 2 and "must show places where prediction and target differ" in err
    tifffile.imwrite(work / "found" / "cell 3.tif", blobs(seed=9)[0])
    code, _, err = run(capsys, "reader-set", work / "e", "--out", work / "x")
    assert code == 2 and "cell 3" in err and "these must be as they were" in err
    assert not (work / "x").exists() and not (work / "x.key.csv").exists()


@pytest.mark.parametrize("kind", ["instances", "classes", "colours", "stains", "volume"])
def test_models_of_every_kind_are_shown(tmp_path, capsys, kind) -> None:
    """Labels as outlines over their source, colours as colours, one of several stains, a plane of a volume."""
    random = np.random.default_rng(0)
    sources, labels = np.stack([np.stack(blobs((64, 64), seed=i)) for i in range(3)]).swapaxes(0, 1)
    targets, z = labels, "frame"
    if kind == "classes":
        targets = (labels > 0).astype(np.uint8)
    elif kind in ("colours", "stains"):
        targets = random.integers(0, 255, (3, 64, 64, 3) if kind == "colours" else (3, 2, 64, 64), np.uint8)
    elif kind == "volume":
        sources, z = np.repeat(sources[:, None], 4, axis=1), "volume"
        targets = (sources // 2).astype(np.uint16)
    axes = {"colours": "YXS", "stains": "CYX", "volume": "ZYX"}.get(kind, "YX")
    for i in range(3):
        for side, image, own in (("s", sources[i], "ZYX" if z == "volume" else "YX"), ("t", targets[i], axes)):
            (tmp_path / side).mkdir(exist_ok=True)
            tifffile.imwrite(
                tmp_path / side / f"{i}.tif",
                image,
                metadata={"axes": own},
                ome=kind != "colours",
                photometric="rgb" if own == "YXS" else "minisblack",
            )
    frame = targets[0] if kind == "stains" else targets[0][None]
    frame = np.moveaxis(targets[0], -1, 0) if kind == "colours" else frame
    told = "intensity" if kind in ("colours", "stains", "volume") else kind
    model = untrained(sources[0][None], frame, told, z, gan_weight=0.0)
    model.channel_axis = {"colours": "S", "stains": "C"}.get(kind, "")
    model.save(tmp_path / "m.safetensors")
    words = [tmp_path / "m.safetensors", tmp_path / "s", tmp_path / "t", "--z", z, "--out", tmp_path / "e"]
    code, _, err = run(capsys, "evaluate", *words)
    assert code == 0, err
    code, text, err = run(capsys, "reader-set", tmp_path / "e", "--n", 5, "--side", 32, "--out", tmp_path / "set")
    assert (code, "5 pairs" in text) == (0, True), err
    shapes = {imagecodecs.imread(path).shape for path in (tmp_path / "set").glob("*.png")}
    assert shapes == {(32, 32) if kind in ("stains", "volume") else (32, 32, 3)}


def test_agreement_is_that_of_the_textbooks() -> None:
    """Cohen's kappa of 20, 5, 10, 15 answers is 0.4; Fleiss' has shared margins; one group has no interval."""
    a = np.repeat([True, True, False, False], [20, 5, 10, 15])
    b = np.repeat([True, False, True, False], [20, 5, 10, 15])
    assert cohen(np.stack([a, b])) == pytest.approx(0.4)
    assert fleiss(np.stack([a, a, a])) == pytest.approx(1) and fleiss(np.ones((3, 5), bool)) is None
    shared = np.stack([a, b]).mean()  # Scott's pi
    expected = shared**2 + (1 - shared) ** 2
    assert fleiss(np.stack([a, b])) == pytest.approx(((a == b).mean() - expected) / (1 - expected))
    real = ["A", "B"] * 5
    found = told_apart(real, ["one"] * 10, {"r": real})
    assert found["auc"] == {"value": 1, "low": None, "high": None} and found["sentence"].startswith(
        "All pairs are from"
    )
    assert found["agreement"] is None
    wide, narrow = (told_apart(real, [str(i % n) for i in range(10)], {"r": real})["auc"] for n in (2, 10))
    assert wide["low"] < narrow["low"] == pytest.approx(0.7225, abs=1e-3)
