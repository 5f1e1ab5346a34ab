"""A model that ships works before anything was trained, says what it is, and is small."""

import json
from pathlib import Path

import numpy as np
import tifffile

from napari_pix2pix import core
from napari_pix2pix.commands.app import main
from napari_pix2pix.files.samples import bright_nuclei
from napari_pix2pix.files.starters import called, model_at, starters
from small import blobs, untrained


def test_each_is_small_and_says_where_it_is_from() -> None:
    """At most 6 MB, with a licence, figures on images that taught nothing, and a judge that has learned enough."""
    assert "nuclei" in starters()
    for path in starters().values():
        assert path.stat().st_size <= 6e6
        model = core.load_model(path, "cpu")
        assert model.config.licence
        assert model.config.authors
        assert model.provenance["figures"]["test"]
        assert model.match is not None
        assert model.match.calibration is not None
        assert not model.match.lesson
        rows = model.provenance["pairs"]["train"]
        assert not any(Path(row["path"]).is_absolute() for side in ("sources", "targets") for row in rows[side])


def test_a_name_is_the_model_that_ships_unless_a_file_has_it(tmp_path, monkeypatch) -> None:
    """What lies in the user's folder is meant first."""
    monkeypatch.chdir(tmp_path)
    assert model_at(tmp_path / "nuclei") == tmp_path / "nuclei"
    assert model_at(type(tmp_path)("nuclei")) == starters()["nuclei"]
    (tmp_path / "nuclei").mkdir()
    assert model_at(type(tmp_path)("nuclei")).resolve() == tmp_path / "nuclei"


def test_nuclei_are_found_by_a_name_alone(tmp_path, monkeypatch, capsys) -> None:
    """In the sample, with what may be wrong beside it; other names are asked for."""
    monkeypatch.chdir(tmp_path)
    tifffile.imwrite("image.tif", bright_nuclei()[:256, :256])
    assert main(["predict", "nuclei", "image.tif", "--out", "found.tif", "--trust", "--device", "cpu"]) == 0
    found = tifffile.imread("found.tif")
    assert 20 < len(np.unique(found)) < 400
    assert (tmp_path / "found.expected_error.tif").is_file()
    capsys.readouterr()
    assert main(["models", "--json"]) == 0
    [row] = json.loads(capsys.readouterr().out)["models"]
    assert row["name"] == "nuclei"
    assert "object_f1_iou50" in row["on test pairs"]
    assert main(["models", "nuclie"]) == 2
    assert "nuclei; got 'nuclie'" in capsys.readouterr().err


def test_that_nothing_was_found_is_said(tmp_path, monkeypatch, capsys) -> None:
    """Of a bright grey image, in which it sees no nuclei, however little error it expects there."""
    monkeypatch.chdir(tmp_path)
    bright = 255 - bright_nuclei()[:128, :128] // 4
    tifffile.imwrite("image.tif", bright)
    assert main(["predict", "nuclei", "image.tif", "--out", "found.tif", "--trust", "--device", "cpu"]) == 0
    assert not tifffile.imread("found.tif").any()
    assert "warning: Nothing was found. Either nothing is there" in capsys.readouterr().err


def test_a_model_that_ships_is_called_by_its_name(tmp_path) -> None:
    """As in the title of a report; others by their paths."""
    assert called(starters()["nuclei"]) == "nuclei"
    assert called(tmp_path / "nuclei.safetensors") == str(tmp_path / "nuclei.safetensors")


def test_halves_of_weights_predict_as_they_did(tmp_path) -> None:
    """To a thousandth of the range, in half the room; read again they are single, and kept as such."""
    source, _ = blobs()
    model = untrained(source[None], source[None], gan_weight=0.0, generator={"levels": 3, "base_channels": 32})
    model.save(tmp_path / "single.safetensors")
    model.save(tmp_path / "half.safetensors", half=True)
    sizes = [(tmp_path / f"{name}.safetensors").stat().st_size for name in ("half", "single")]
    assert sizes[0] < 0.6 * sizes[1]
    again = core.load_model(tmp_path / "half.safetensors", "cpu")
    assert {tensor.dtype for tensor in again.tensors().values()} == {
        tensor.dtype for tensor in model.tensors().values()
    }
    before, after = (one.predict(source, "YX", precision="float32").astype(float) for one in (model, again))
    assert np.abs(before - after).max() < 0.01 * np.ptp(source)
    again.save(tmp_path / "again.safetensors", half=True)
    assert core.load_model(tmp_path / "again.safetensors", "cpu").hash() == again.hash()
