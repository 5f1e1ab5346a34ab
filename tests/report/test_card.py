"""A model's card says what it is, what it was made of, and what it will not take."""

import json

import tifffile

from napari_pix2pix import core
from napari_pix2pix.commands.app import main
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
