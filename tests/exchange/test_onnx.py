"""A model as ONNX gives what the model gives, to whoever has read one page."""

import json
import re
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import tifffile

from napari_pix2pix import core
from napari_pix2pix.commands.app import main
from napari_pix2pix.core.engine.further import needed
from napari_pix2pix.exchange import portable
from napari_pix2pix.exchange.onnx_file import write_onnx
from small import blobs, untrained

ROOT = Path(__file__).parents[2]
MODELS = ROOT / "tests" / "fixtures" / "models_v1"
CROP = slice(0, 45), slice(3, 56)
"""No multiple of the grid."""

if any(find_spec(name) is None for name in ("onnxruntime", "onnxscript")):
    pytest.skip("pip install '.[export]'", allow_module_level=True)
needed("onnxruntime")


def snippet() -> str:
    """The page's only block of Python."""
    [code] = re.findall(
        r"^```python\n(.*?)^```", (ROOT / "docs/sharing.md").read_text("utf8"), re.DOTALL | re.MULTILINE
    )
    return code


def comes_back(name: str, source: np.ndarray, folder: Path) -> None:
    """The file is a model again, which predicts what it did, in one piece and in tiles."""
    assert main(["import", str(folder / "model.onnx"), "--out", str(folder / "back.safetensors")]) == 0
    models = [core.load_model(path, "cpu") for path in (MODELS / f"{name}.safetensors", folder / "back.safetensors")]
    axes = "ZYX" if source.ndim == 3 else "YX"
    first, back = (model.predict(source, axes, precision="float32") for model in models)
    tiled = models[1].predict(source, axes, precision="float32", tile_size=16)
    assert back.dtype == first.dtype
    for found in (back, tiled):
        assert (np.abs(found.astype(float) - first) > 1).mean() < 1e-3


@pytest.mark.parametrize("name", ["classes", "instances", "intensity_volume", "l1_only"])
def test_the_page_says_how_to_predict_with_it(name: str, tmp_path, monkeypatch, capsys) -> None:
    """Its lines, as they stand, make the prediction: grey values, those of volumes, classes and objects."""
    assert main(["export", str(MODELS / f"{name}.safetensors"), str(tmp_path / "model.onnx"), "--json"]) == 0
    told = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert told["written"] == [str(tmp_path / "model.onnx")] and told["apart"] < portable.TOLERANCE
    source = tifffile.imread(MODELS / f"{name}.source.tif")
    source = source if name == "intensity_volume" or source.ndim == 2 else source[0]
    source = source[(..., *CROP)]
    tifffile.imwrite(tmp_path / "source.tif", source)
    monkeypatch.chdir(tmp_path)
    names: dict = {}
    exec(snippet(), names)
    comes_back(name, source, tmp_path)
    model = core.load_model(MODELS / f"{name}.safetensors", "cpu")
    expected = model.predict(source, "ZYX" if source.ndim == 3 else "YX", precision="float32")
    found = np.squeeze(names["prediction"])
    if model.target_encoding.is_labels:
        assert found.max() > 0 and (found != expected).mean() < 1e-3
    else:
        np.testing.assert_allclose(np.rint(found), expected.astype(float), rtol=0, atol=1)
        assert np.ptp(found) > 10


@pytest.mark.parametrize("z", ["frame", pytest.param("volume", marks=pytest.mark.slow)])
def test_a_network_that_mirrors_and_looks_at_the_image_is_exported(z: str, tmp_path) -> None:
    """Residual blocks with instance norm, of several channels; in volumes, with planes that are halved."""
    source = np.stack([blobs((32, 40), seed)[0] for seed in range(2)])
    source = np.stack([source] * 4, axis=1) if z == "volume" else source
    like = {"architecture": "resnet-6", "base_channels": 4, "norm": "instance", "z_levels": int(z == "volume")}
    model = untrained(source, source[:1], z=z, generator=like)
    assert write_onnx(portable.portable(model), tmp_path / "model.onnx") < portable.TOLERANCE


def refused(capsys, *words: object) -> str:
    """The sentence of a request that was wrong."""
    assert main([*map(str, words)]) == 2
    return capsys.readouterr().err


def test_nothing_is_written_that_cannot_be_right(tmp_path, monkeypatch, capsys) -> None:
    """Over a model, over what exists, under no known name, without a package, and of what gives something else."""
    path, out = tmp_path / "model.safetensors", tmp_path / "model.onnx"
    path.write_bytes((MODELS / "l1_only.safetensors").read_bytes())
    assert "ends in .onnx" in refused(capsys, "export", path, tmp_path / "model.h5")
    out.hardlink_to(path)
    assert "must not replace an input" in refused(capsys, "export", path, out, "--overwrite")
    out.unlink()
    out.write_bytes(b"old")
    assert "must not exist yet" in refused(capsys, "export", path, out)
    monkeypatch.setattr(portable, "TOLERANCE", -1.0)
    assert "must give what the model gives" in refused(capsys, "export", path, out, "--overwrite")
    monkeypatch.setattr(portable, "TOLERANCE", 1e-4)
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    assert "pip install 'napari-pix2pix[export]'" in refused(capsys, "export", path, out, "--overwrite")
    assert out.read_bytes() == b"old" and len(list(tmp_path.iterdir())) == 2
