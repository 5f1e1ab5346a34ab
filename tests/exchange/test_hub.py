"""A folder that a stranger can use: the model as it is, and a card that says how."""

import json
import shlex
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
import tifffile

from napari_pix2pix.commands.app import main

MODELS = Path(__file__).parents[1] / "fixtures" / "models_v1"
SAID = "--author", "A. Author", "--licence", "CC-BY-4.0"


@pytest.mark.parametrize(("name", "axes"), [("l1_only", "TYX"), ("intensity_volume", "ZYX")])
def test_the_card_says_how_to_predict(name: str, axes: str, tmp_path, monkeypatch, capsys) -> None:
    """Its command, given as it stands, predicts; its head is what the hub reads; the model is the same file."""
    path, out, image = MODELS / f"{name}.safetensors", tmp_path / "nuclei", MODELS / f"{name}.source.tif"
    said = *SAID, "--sample", image, "--source-axes", axes
    assert main([str(word) for word in ("export", path, out, "--hub", *said)]) == 0
    assert "names the files that trained it" in capsys.readouterr().out
    assert sorted(file.name for file in out.iterdir()) == ["README.md", "cover.png", "model.safetensors"]
    assert (out / "model.safetensors").read_bytes() == path.read_bytes()
    assert np.ptp(imagecodecs.imread(out / "cover.png")) > 50
    card = (out / "README.md").read_text("utf8")
    nothing, head, text = card.split("---\n", 2)
    facts = {line.partition(": ")[0]: json.loads(line.partition(": ")[2]) for line in head.splitlines()}
    assert not nothing and facts["license"] == "cc-by-4.0" and facts["library_name"] == "napari-pix2pix"
    assert facts["pipeline_tag"] == "image-to-image" and "| trained | " in text and "(cover.png)" in text
    assert text.count("A. Author") == text.count("CC-BY-4.0") == 2 and "| authors | A. Author |" in text
    [command] = [line for line in text.splitlines() if line.startswith("napari-pix2pix predict")]
    monkeypatch.chdir(out)
    words = [str(image) if word == "IMAGE" else word for word in shlex.split(command)[1:]]
    assert main([*words, "--precision", "float32", "--source-axes", axes]) == 0
    expected = tifffile.imread(MODELS / f"{name}.prediction.tif").astype(float)
    np.testing.assert_allclose(tifffile.imread("PREDICTED.tif"), expected, rtol=0, atol=1)


def test_a_folder_of_others_is_not_written_over(tmp_path, capsys) -> None:
    """Nor a file, nor the model itself; the ending says that `hub` is meant, or is not."""
    (path := tmp_path / "model.safetensors").write_bytes((MODELS / "l1_only.safetensors").read_bytes())

    def refused(*words: object) -> str:
        assert main([str(word) for word in ("export", path, *words, *SAID)]) == 2
        return capsys.readouterr().err

    assert "must not replace an input" in refused(tmp_path, "--hub", "--overwrite")
    assert "or, with --hub, to a folder" in refused(tmp_path / "a.zip", "--hub")
    assert "or, with --hub, to a folder" in refused(tmp_path / "a")
    (other := tmp_path / "other").mkdir()
    (other / "README.md").write_text("mine")
    assert "must not exist yet" in refused(other, "--hub")
    assert "must go to a folder" in refused(other / "README.md", "--hub")
    assert [file.name for file in other.iterdir()] == ["README.md"] and (other / "README.md").read_text() == "mine"
