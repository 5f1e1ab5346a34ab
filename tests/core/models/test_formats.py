"""A model of any released format predicts and scores what it did when it was made, for ever."""

from pathlib import Path

import numpy as np
import pytest
import tifffile

from napari_pix2pix import core
from napari_pix2pix.core.engine.tensor_headers import read_header

MODELS = Path(__file__).parents[2] / "fixtures" / "models_v1"
HASHES = {
    "classes": "4e10fd6ddf8b908cfefbc3139fbcd991e55d838a2812e880c6b55716164637f6",
    "instances": "76cc825ac05f89a434a4af2f133f3b97fb5213e4e6cefdec8820853d366e6bbd",
    "intensity_volume": "bb9fd50790cb131ae6313963879581a31f09c5bdb0a3526cfeffae214f2d61ec",
    "l1_only": "d891a4868536fa467a9c736f2875bdcc9c6507d63452ae88f3100a5cac336c9d",
}
"""By which records of results and evaluations know them."""
AXES = {"classes": "TYX", "instances": "YX", "intensity_volume": "ZYX", "l1_only": "TYX"}


def as_before(model: core.TrainedModel, name: str) -> None:
    """Within the rounding of float32 sums, whose order is the machine's; of grey values, one."""
    source, expected = (tifffile.imread(MODELS / f"{name}.{what}.tif") for what in ("source", "prediction"))
    prediction = model.predict(source, AXES[name], precision="float32")
    assert (prediction.shape, prediction.dtype) == (expected.shape, expected.dtype)
    if model.target_encoding.is_labels:
        assert (prediction != expected).mean() < 1e-3
    else:
        np.testing.assert_allclose(prediction.astype(float), expected.astype(float), rtol=0, atol=1)
    if (scores := MODELS / f"{name}.scores.npz").is_file():
        scored = model.score(source, expected, AXES[name])
        for part, values in np.load(scores).items():
            np.testing.assert_allclose(getattr(scored, part), values, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("name", AXES)
def test_a_model_of_the_first_format_is_as_before(name: str, tmp_path) -> None:
    """Predictions and scores of a released format's files; saved again, in the present one, likewise."""
    file = MODELS / f"{name}.safetensors"
    assert read_header(file).version == 1
    model = core.load_model(file, "cpu")
    assert model.config.label_loss == "l1"  # as all were trained then
    as_before(model, name)
    model.save(tmp_path / "model.safetensors")
    header = read_header(tmp_path / "model.safetensors")
    assert header.version == 2
    assert {key.split(".")[0] for key in header.tensors} <= {"networks", "trust"}
    again = core.load_model(tmp_path / "model.safetensors", "cpu")
    as_before(again, name)
    assert again.hash() == model.hash() == HASHES[name]
    assert again.content() == model.content()


def test_what_is_not_known_is_kept(tmp_path) -> None:
    """A key that this package does not know, in the content or in where a model came from, is written again."""
    model = core.load_model(MODELS / "l1_only.safetensors", "cpu")
    model.further["lab"] = {"bench": 3}
    model.provenance["weather"] = ["rain"]
    model.save(tmp_path / "model.safetensors")
    again = core.load_model(tmp_path / "model.safetensors", "cpu")
    again.save(tmp_path / "again.safetensors")
    content = core.load_model(tmp_path / "again.safetensors", "cpu").content()
    assert (content["lab"], content["provenance"]["weather"]) == ({"bench": 3}, ["rain"])
    assert (tmp_path / "again.safetensors").read_bytes() == (tmp_path / "model.safetensors").read_bytes()
