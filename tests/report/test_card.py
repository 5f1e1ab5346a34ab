"""A model's card says what it is, what it was made of, and what it will not take."""

import json

import numpy as np
import pytest
import tifffile

from napari_pix2pix import core
from napari_pix2pix.commands.app import main
from napari_pix2pix.report.card import model_lines
from napari_pix2pix.report.methods_paragraph import methods
from napari_pix2pix.widgets.card import read_card
from small import SMALL_FLAGS, blobs, small_config


def test_the_card_holds_what_one_asks(tmp_path, capsys) -> None:
    """Hashes, groups, ranges, time and device, refusals, authors and licence; within one image it says so."""
    source = blobs((96, 384))[0]
    for name, image in (("a", source), ("b", source // 2)):
        tifffile.imwrite(tmp_path / f"{name}.tif", image)
    words = ["train", tmp_path / "a.tif", tmp_path / "b.tif", "--out", tmp_path / "run", *SMALL_FLAGS]
    assert main([str(w) for w in (*words, "--authors", "A. Author", "--licence", "CC BY 4.0", "--groups", "^.")]) == 0
    capsys.readouterr()
    assert main(["info", str(tmp_path / "run")]) == 0
    card = dict(line.strip().split("  ", 1) for line in capsys.readouterr().out.splitlines())
    assert main(["info", str(tmp_path / "run"), "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert card["source hashes"] == said["provenance"]["pairs"]["train"]["sources"][0]["sha256"][:12]
    assert card["groups"] == "1, kept apart"
    low, high = (said["source_encoding"]["normalization"][end][0] for end in ("low", "high"))
    assert card["normalization"].startswith(f"source {low:.6g} to {high:.6g} to ±1; target ")
    assert card["time and device"].endswith(("thread", "threads"))
    assert card["pairs"] == "1 of a.tif"
    assert said["elapsed_s"] > 0
    assert card["refuses"] == "; ".join(said["refuses"])
    assert "files that made it" in card["refuses"]
    assert (card["authors"], card["licence"]) == ("A. Author", "CC BY 4.0")
    assert card["these figures"] == "are from within one image and say nothing about another"


@pytest.mark.filterwarnings("ignore")
def test_the_card_tells_each_stain(tmp_path) -> None:
    """How many pairs that trained have it, and its own figures; so does the model's line in a dock."""
    sources = [blobs((64, 64), seed)[0] for seed in range(4)]
    targets = [np.stack([source // 2, source // 3]) for source in sources]
    missing = {(0, 1), (1, 1), (2, 0)}
    pairs, all_there = (
        core.PairedFrames(sources, targets, ("YX", "CYX"), target_names=["DAPI", "MAP2"]).unstained(some)
        for some in (missing, ())
    )
    judges = core.PairedFrames(sources[:1], targets[:1], ("YX", "CYX")).unstained({(0, 1)})
    config = small_config(steps=1, validation_share=0, calibration_share=0)
    *_, report = core.train(pairs, config, out=tmp_path, validation=judges, test=all_there, device="cpu")
    lines = model_lines(report.model)
    dapi, map2 = report.model.provenance["stains"]
    assert (dapi["pairs"], map2["pairs"]) == (3, 2)
    assert dapi["figures"]["validation"] == report.model.provenance["figures"]["validation"]
    assert lines["stain DAPI"].startswith("3 pairs; on validation pairs mae ")
    assert lines["stain MAP2"].startswith("2 pairs; in none of the validation pairs; on test pairs mae ")
    assert "DAPI 3 pairs, MAP2 2" in read_card(tmp_path / "model.safetensors").text
    assert "3 were stained for DAPI and 2 were stained for MAP2" in methods(report.model)[0]


def test_the_time_adds_up_and_is_no_part_of_the_model(tmp_path) -> None:
    """What a stopped and a resumed process took are one time; the model says nothing of it."""
    source = blobs()[0]
    pairs = core.PairedFrames(source, source, "YX")
    config = small_config(validation_share=0, calibration_share=0)
    for report in core.train(pairs, config, out=tmp_path, device="cpu"):
        if report.step == 2:
            break
    first = json.loads((tmp_path / "elapsed.json").read_text())["elapsed_s"]
    (tmp_path / "elapsed.json").write_text(json.dumps({"elapsed_s": first + 1000}))
    *_, report = core.train(pairs, out=tmp_path, resume=True, device="cpu")
    assert json.loads((tmp_path / "elapsed.json").read_text())["elapsed_s"] >= first + 1000
    assert "elapsed" not in json.dumps(report.model.content())
