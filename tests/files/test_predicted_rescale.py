"""--rescale: the network sees the training's pixel size, the result lies on the source's grid."""

import json
from dataclasses import replace

import numpy as np
import pytest
import tifffile
from scipy import ndimage

from napari_pix2pix import core
from napari_pix2pix.commands.app import main
from napari_pix2pix.core.encodings.encoding import Encoding
from napari_pix2pix.core.encodings.rescaling import resampled
from napari_pix2pix.core.evaluation.metrics.instances import object_f1
from napari_pix2pix.core.running import predict as running
from napari_pix2pix.core.running.bands import Band
from napari_pix2pix.core.running.trained_model import TrainedModel
from napari_pix2pix.core.settings.running import PredictSettings
from napari_pix2pix.files.predicted import predict_file
from napari_pix2pix.files.stacks import open_stack
from small import SMALL_FLAGS, blobs

PIXEL = 0.5
"""Of the training, in µm."""


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A model file, trained at 0.5 µm."""
    folder = tmp_path_factory.mktemp("trained")
    for name, image in zip(("source", "target"), blobs(), strict=True):
        write(folder / f"{name}.tif", image, PIXEL)
    pair = [f"{folder}/source.tif", f"{folder}/target.tif"]
    assert main(["train", *pair, "--out", f"{folder}/run", *SMALL_FLAGS, "--target-kind", "intensity"]) == 0
    return folder / "run" / "model.safetensors"


def write(path, image, size=None, axes="YX"):
    metadata = {"axes": axes} | ({f"PhysicalSize{axis}": size for axis in "YX"} if size else {})
    tifffile.imwrite(path, image, ome=True, metadata=metadata)
    return path


def identity(model, monkeypatch) -> TrainedModel:
    """The model with a network that gives back what it sees, and remembers how large that was."""
    made, seen = replace(model, target_encoding=model.source_encoding), []

    def bands(_, stack, plan, *words):
        for frame in range(plan.n_frames):
            source = plan.take(stack, frame)
            seen.append(source.shape[1:])
            rows = slice(0, plan.frame_shape[-2])
            yield Band(frame, rows, plan.frame_shape, source, made.source_encoding.encode(source))

    monkeypatch.setattr(running, "map_bands", bands)
    made.seen = seen
    return made


@pytest.mark.parametrize("size", [0.19, 0.25, 0.7, 1.1])
def test_the_result_lies_on_the_source(model, tmp_path, monkeypatch, size) -> None:
    """The network sees the training's pixels; an identity gives the source back, frame by frame, pixel by pixel."""
    loaded = identity(core.load_model(model, "cpu"), monkeypatch)
    random = np.random.default_rng(0)
    frames = ndimage.gaussian_filter(random.standard_normal((3, 83, 101)), (0, 9, 9))
    frames = (2000 + 20000 * frames).astype(np.uint16)
    source, out = write(tmp_path / "s.tif", frames, size, "TYX"), tmp_path / "out.tif"
    list(predict_file(loaded, source, out, PredictSettings(rescale=True)))
    assert set(loaded.seen) == {(round(83 * size / PIXEL), round(101 * size / PIXEL))}
    written = open_stack(out)
    assert written.pixel_size_um == pytest.approx({"Y": size, "X": size})
    found = np.asarray(written.array).astype(float)
    inside = (slice(None), slice(6, -6), slice(6, -6))
    assert np.abs(found - frames)[inside].max() < 0.03 * np.ptp(frames)
    said = json.loads(written.description)
    assert said["rescaled_to_um"] == {"Y": PIXEL, "X": PIXEL}


def test_instances_are_decoded_on_the_source(model, tmp_path, monkeypatch) -> None:
    """Each object comes back, with finer borders than objects of the training's pixel size have."""
    encoding = Encoding(kind="instances", n_channels=1, dtype="uint16")
    y, x = np.ogrid[:240, :280]
    discs = [(y - 20 - 40 * (i // 7)) ** 2 + (x - 20 - 40 * (i % 7)) ** 2 < (7 + i % 11) ** 2 for i in range(42)]
    labels = sum(disc * np.uint16(i + 1) for i, disc in enumerate(discs))
    loaded = replace(core.load_model(model, "cpu"), target_encoding=encoding)
    ideal = resampled(encoding.encode(labels[None]), (120, 140))
    band = Band(0, slice(0, 120), (120, 140), np.zeros((1, 120, 140), np.uint16), ideal)
    monkeypatch.setattr(running, "map_bands", lambda *words: iter([band]))
    source = write(tmp_path / "s.tif", labels, PIXEL / 2)
    with pytest.warns(UserWarning, match="lies below the training range"):
        list(predict_file(loaded, source, tmp_path / "out.tif", PredictSettings(rescale=True)))

    def overlap(found) -> float:
        return ((found > 0) & (labels > 0)).sum() / ((found > 0) | (labels > 0)).sum()

    found = np.asarray(open_stack(tmp_path / "out.tif").array)
    assert object_f1(found, labels) == 1
    assert overlap(found) > 0.97 > overlap(resampled(encoding.decode(ideal), labels.shape, labels=True)[0])


def test_unknown_pixels_stay_unknown(model, tmp_path) -> None:
    """NaN marks the same pixels of the result as without --rescale."""
    image = blobs()[0].astype(np.float32)
    image[20:24, 30:37] = np.nan
    source = write(tmp_path / "s.tif", image, 0.3)
    with pytest.warns(UserWarning, match="28 pixels of the source are NaN or Inf"):
        list(predict_file(core.load_model(model, "cpu"), source, tmp_path / "out.tif", PredictSettings(rescale=True)))
    assert (np.asarray(open_stack(tmp_path / "out.tif").array)[20:24, 30:37] == 0).all()


def test_sizes_that_are_alike_change_nothing(model, tmp_path, capsys) -> None:
    """Up to 10 % apart the prediction is the same, and says nothing of rescaling."""
    source = write(tmp_path / "s.tif", blobs()[0], 0.54)
    for name, more in (("plain", []), ("rescaled", ["--rescale"])):
        assert main(["predict", str(model), str(source), "--out", str(tmp_path / f"{name}.tif"), *more]) == 0
    plain, rescaled = (open_stack(tmp_path / f"{name}.tif") for name in ("plain", "rescaled"))
    np.testing.assert_array_equal(np.asarray(plain.array), np.asarray(rescaled.array))
    assert plain.description == rescaled.description
    assert "pixel size" not in capsys.readouterr().err


def test_rescaling_is_named_and_refused_where_sizes_are_not_known(model, tmp_path, capsys) -> None:
    """The warning of another pixel size names --rescale, which ends it; without a size there is one sentence."""
    other, unknown = write(tmp_path / "a.tif", blobs()[0], 0.25), write(tmp_path / "b.tif", blobs()[0])
    words = ["predict", str(model), str(other), "--out", str(tmp_path / "out.tif"), "--overwrite"]
    assert main(words) == 0
    assert (
        "that of the training was 0.5 x 0.5 µm; expect a poor result. Predict with --rescale" in capsys.readouterr().err
    )
    assert main([*words, "--rescale"]) == 0
    assert "pixel size" not in capsys.readouterr().err
    words = ["predict", str(model), str(unknown), "--out", str(tmp_path / "no.tif"), "--rescale"]
    assert main(words) == 2
    [said] = capsys.readouterr().err.splitlines()
    assert "along Y and X the source's is not known. Write it into the file, or leave --rescale out." in said
    loaded = core.load_model(model, "cpu")
    loaded.provenance["pairs"]["train"].pop("pixel_size_um")
    with pytest.raises(ValueError, match="along Y and X the training's is not known"):
        list(predict_file(loaded, other, tmp_path / "no.tif", PredictSettings(rescale=True)))
    assert not (tmp_path / "no.tif").exists()
