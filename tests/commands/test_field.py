"""The command field, and models whose discriminator is a list of layers."""

import json

import numpy as np
import pytest
import tifffile

from napari_pix2pix import core
from napari_pix2pix.commands.app import main
from small import SMALL_FLAGS, blobs

LISTED = "4,2,1 5,1,2 3,1,1"


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        ("--image 256", (70, 8, 11.5, 30, 24)),
        ("--n-layers 5 --image 256", (286, 32, 47.5, 6, 0)),
        ("--n-layers 0 --image 9", (1, 1, 0.0, 9, 9)),
    ],
)
def test_the_papers_fields_are_told(flags: str, expected: tuple, capsys) -> None:
    """Field, stride, centre of the first score, scores, and those that see no padding."""
    assert main(["field", *flags.split(), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert tuple(told[name] for name in ("size", "stride", "centre", "scores", "inside")) == expected


def test_any_layers_are_told_for_people(capsys) -> None:
    """DiscoGAN's: 94 px, and one score for an image of 64 px, in its middle; a smaller one has none."""
    layers = "4,2,1 4,2,1 4,2,1 4,2,1 4,1,0"
    assert main(["field", "--layers", layers, "--image", "64"]) == 0
    said = capsys.readouterr().out
    assert "One score sees 94 x 94 px. Scores lie 16 px apart; the first sits on pixel 31.5" in said
    assert "1 x 1 scores; 0 x 0 see no padding" in said
    assert main(["field", "--layers", layers, "--image", "63"]) == 0
    assert "no score: it takes 64 px at least" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--layers", "4,2"], "A layer must be kernel,stride,padding"),
        (["--n-layers", "6"], "n_layers: input should be less than or equal to 5; got 6"),
        (["--n-layers", "2", "--layers", "4,2,1"], "must have n_layers or layers; got both"),
        (["--image", "0"], "a side of 1 px or more; got 0"),
    ],
)
def test_a_wrong_request_is_one_sentence(flags: list[str], said: str, capsys) -> None:
    """And exit 2."""
    assert main(["field", *flags]) == 2
    assert said in capsys.readouterr().err


@pytest.mark.filterwarnings("ignore:No room for")
def test_a_model_of_listed_layers_is_trained_read_and_scores(tmp_path, monkeypatch, capsys) -> None:
    """By flag as in Python; its card and its methods paragraph tell the layers; its scores lie where `field` says."""
    monkeypatch.chdir(tmp_path)
    source, labels = blobs()
    for name, image in (("s", source), ("t", labels)):
        tifffile.imwrite(f"{name}.tif", image)
    assert main(["train", "s.tif", "t.tif", "--out", "run", *SMALL_FLAGS, "--discriminator.layers", LISTED]) == 0
    model = ["run/model.safetensors", "s.tif", "t.tif"]
    assert main(["fit-trust", *model, "--out", "taught.safetensors", "--trust-steps", "2"]) == 0
    capsys.readouterr()
    assert main(["field", "--layers", LISTED, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    model = core.load_model("taught.safetensors", "cpu")
    assert model.config.discriminator.layers == LISTED
    for kind in ("plain", "match"):
        scored = model.score(source, labels, "YX", kind=kind)
        assert (scored.receptive_field.size, scored.scale[0], scored.translate[0]) == (
            told["size"],
            told["stride"],
            told["centre"],
        )
        tiled = model.score(source, labels, "YX", kind=kind, tile_size=20)
        np.testing.assert_allclose(tiled.scores, scored.scores, rtol=0, atol=1e-4)
    assert main(["info", "run/model.safetensors"]) == 0
    assert f"PatchGAN of {LISTED}, field {told['size']} px" in capsys.readouterr().out
    assert f"layers of kernel,stride,padding {LISTED}" in (tmp_path / "run" / "report.html").read_text("utf8")
