"""A package of the BioImage Model Zoo passes the zoo's own tests and gives what the model gives."""

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import tifffile

from napari_pix2pix import core
from napari_pix2pix.commands.app import main
from napari_pix2pix.core.engine.further import needed
from napari_pix2pix.exchange import portable, zoo
from napari_pix2pix.exchange.sample import sample_of
from small import blobs, untrained, with_judge

MODELS = Path(__file__).parents[1] / "fixtures" / "models_v1"
AXES = {"classes": "TYX", "instances": "YX", "intensity_volume": "ZYX", "l1_only": "TYX"}
SAID = "--author", "A. Author", "--author", "B. Author", "--licence", "CC-BY-4.0"

if any(find_spec(name) is None for name in ("bioimageio", "onnxruntime", "onnxscript")):
    pytest.skip("pip install '.[export]'", allow_module_level=True)
needed("onnxruntime")


def of_two_channels(path: Path) -> Path:
    """A model of two channels with ranges of their own, on both sides."""
    source = np.stack([blobs((64, 72), 0)[0], blobs((64, 72), 1)[0] // 8])
    with_judge(untrained(source, source[::-1] // 2)).save(path)
    return path


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.filterwarnings(
    "ignore::DeprecationWarning",  # torch's, of its own TorchScript
    "ignore::FutureWarning",
    "ignore::ResourceWarning",  # bioimageio.spec lets the collector close a package
)
@pytest.mark.parametrize("name", ["two channels", *AXES])
def test_each_format_of_weights_gives_what_the_model_gives(name: str, tmp_path) -> None:
    """By the zoo's command, without a network; and of another image than that in the package, at another size."""
    from bioimageio.core import create_prediction_pipeline
    from bioimageio.core.digest_spec import create_sample_for_model
    from bioimageio.spec import load_model_description

    path = of_two_channels(tmp_path / "m.safetensors") if " " in name else MODELS / f"{name}.safetensors"
    out, given = tmp_path / "μ.zip", []
    if name in AXES:
        given = ["--sample", MODELS / f"{name}.source.tif", "--source-axes", AXES[name]]
    assert main([str(word) for word in ("export", path, out, *SAID, *given)]) == 0
    model = core.load_model(path, "cpu")
    network = portable.portable(model)
    shape = [n + (i + 1) * step for i, (n, step) in enumerate(zip(network.smallest_tile, network.grid, strict=True))]
    known = model.source_encoding.normalization
    ends = [np.reshape(end, (-1, *(1,) * len(shape))) for end in (known.low, known.high)]
    image = np.random.default_rng(3).uniform(*ends, (network.channels, *shape)).astype(np.float32)
    maps, encoding = model.maps_of_frame(model.source_encoding.encode(image)), model.target_encoding
    if encoding.normalization is not None:
        low, high = (
            np.reshape(end, ends[0].shape) for end in (encoding.normalization.low, encoding.normalization.high)
        )
        maps = np.clip(maps * (high - low) / 2 / encoding.normalization.limit + (low + high) / 2, 0, None)
        span = (high - low).min()
    else:
        span = 2
    assert main(["import", str(out), "--out", str(tmp_path / "back.safetensors")]) == 0
    back = core.load_model(tmp_path / "back.safetensors", "cpu")
    assert back.describe().networks.split(";")[0] == model.describe().networks.split(";")[0]  # the generator itself
    assert (back.predict_frame(image, "float32") == model.predict_frame(image, "float32")).all()
    command = [sys.executable, "-m", "bioimageio.core", "test", str(out)]
    wide = os.environ | {"COLUMNS": "300"}
    tested = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=wide)
    assert tested.returncode == 0, tested.stdout[-3000:] + tested.stderr[-3000:]
    assert all(f"Reproduce test outputs from test inputs ({weights})" in tested.stdout for weights in zoo.FORMATS)
    described = load_model_description(out)
    for weights in zoo.FORMATS:
        sample = create_sample_for_model(described, inputs={zoo.INPUT: image[None]})  # is changed in place
        with create_prediction_pipeline(described, weight_format=weights, devices=["cpu"]) as running:
            made = running.predict_sample_without_blocking(sample, skip_input_padding=True, skip_output_cropping=True)
        found = made.members[zoo.OUTPUT].data.values[0]
        np.testing.assert_allclose(found, maps, rtol=0, atol=portable.TOLERANCE * span)


@pytest.mark.parametrize("kind", ["intensity", "classes"])
def test_a_sample_is_of_sides_that_the_network_takes(kind: str, tmp_path) -> None:
    """The middle of an image, mirrored where it is too small; without one, noise in the range of what trained."""
    source, labels = blobs((20, 700))
    model = untrained(source[None], (labels > 0).astype(np.uint8)[None], kind)
    network = portable.portable(model)
    tifffile.imwrite(tmp_path / "image.tif", source)
    shown, made_up = (sample_of(model, network.smallest_tile, image) for image in (tmp_path / "image.tif", None))
    assert not shown.made_up and (shown.source[0, :20] == source[:, 94:606]).all()
    assert (shown.source[0, 20:] == shown.source[0, 12:20][::-1]).all()
    known = model.source_encoding.normalization
    assert made_up.made_up and known.low[0] <= made_up.source.min() < made_up.source.max() <= known.high[0]
    for sample in (shown, made_up):
        sides = zip(sample.source.shape[1:], network.smallest_tile, network.grid, strict=True)
        assert all(n >= least and (n - least) % step == 0 for n, least, step in sides)
        assert (sample.prediction == model.predict_frame(sample.source, "float32")).all()


def test_a_package_says_who_made_it_and_for_whom(tmp_path, capsys) -> None:
    """No author, no licence, a licence that nobody knows, each image by its own range: one sentence, and no file."""
    path, out = MODELS / "l1_only.safetensors", tmp_path / "model.zip"

    def refused(*words: object) -> str:
        assert main([str(word) for word in ("export", *words)]) == 2
        assert not list(tmp_path.glob("*.zip")) and not list(tmp_path.glob(".model*"))
        return capsys.readouterr().err

    assert "must say its author; this one does not. Give --author" in refused(path, out)
    assert "must say its licence" in refused(path, out, "--author", "A. Author")
    assert "license" in refused(path, out, "--author", "A. Author", "--licence", "mine")
    own = untrained(*(blobs()[0][None],) * 2, source_normalization={"statistics": "image"})
    with_judge(own).save(tmp_path / "own.safetensors")
    assert "one normalization for all images" in refused(tmp_path / "own.safetensors", out, *SAID)
