"""The dock *Predict* in a real window: frames, files, objects, large results, and what a stop keeps."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from napari.layers import Image, Labels

from commands.test_predict_trust import judged, risk_curves
from napari_pix2pix.core.encodings.encoding import Encoding
from napari_pix2pix.core.geometry.axes import AxesPlan
from napari_pix2pix.files.stacks import open_stack
from napari_pix2pix.widgets import placing, predict_dock
from napari_pix2pix.widgets.object_sliders import MAPS, Maps, ObjectSliders
from napari_pix2pix.widgets.places import remember_model
from napari_pix2pix.widgets.placing import MADE_HERE
from napari_pix2pix.widgets.predict_dock import FILES, PredictDock
from napari_pix2pix.widgets.trust_layers import error_layer
from small import SMALL_FLAGS, blobs
from widgets.conftest import write_image

pytestmark = pytest.mark.gui
PLACE = {"scale": (2, 0.5, 0.25), "translate": (7, 3, -4), "rotate": (0, 0, 20), "axis_labels": ("t", "y", "x")}


def command(*words: object) -> None:
    subprocess.run([sys.executable, "-m", "napari_pix2pix", *map(str, words)], check=True, capture_output=True)


@pytest.fixture(scope="session")
def intensity_model(pair, tmp_path_factory) -> Path:
    """A model of grey values."""
    run = tmp_path_factory.mktemp("run") / "grey"
    command("train", pair[0], pair[0], "--out", run, *SMALL_FLAGS)
    return run / "model.safetensors"


@pytest.fixture
def film() -> np.ndarray:
    return np.stack([blobs(seed=i)[0] for i in range(5)])


def opened(make_napari_viewer, model: Path, film: np.ndarray | None = None) -> PredictDock:
    viewer = make_napari_viewer()
    if film is not None:
        viewer.add_image(film, name="film", **PLACE)
    remember_model(model)
    dock = PredictDock(viewer)
    viewer.window.add_dock_widget(dock, name="Predict")
    return dock


def predicted(dock: PredictDock, until) -> list:
    """The layers that one press of the button brings."""
    before = list(dock.viewer.layers)
    dock.run()
    until(lambda: dock.job is None and dock.run_button.isEnabled())
    return [layer for layer in dock.viewer.layers if layer not in before]


def test_frames_are_the_displayed_one_a_range_or_all(make_napari_viewer, until, intensity_model, film) -> None:
    """Each exactly over its source, with the same pixels, and with the limits of the training's targets."""
    dock = opened(make_napari_viewer, intensity_model, film)
    source = dock.viewer.layers["film"]
    (whole,) = predicted(dock, until)
    assert isinstance(whole, Image)
    assert whole.data.shape == film.shape
    assert tuple(whole.contrast_limits) == tuple(
        float(ends[0]) for ends in (lambda n: (n.low, n.high))(dock._card().encoding.normalization)
    )
    dock.frames.combo.setCurrentIndex(1)
    dock.viewer.dims.set_current_step(0, 3)
    (shown,) = predicted(dock, until)
    dock.frames.combo.setCurrentIndex(2)
    dock.frames.first.setValue(1)
    dock.frames.last.setValue(2)
    (some,) = predicted(dock, until)
    for layer, first, last in ((shown, 3, 3), (some, 1, 2)):
        assert np.array_equal(layer.data, whole.data[first : last + 1])
        for corner in ((0, 0, 0), (0, 95, 127)):
            there = source.data_to_world((corner[0] + first, *corner[1:]))
            assert np.allclose(layer.data_to_world(corner), there)
        assert "predicted" in layer.name


def test_a_stopped_prediction_shows_the_frames_that_are_done(make_napari_viewer, until, intensity_model, film) -> None:
    """Their number is in the name, and they are those of the whole."""
    long = np.concatenate([film] * 200)
    dock = opened(make_napari_viewer, intensity_model, long)
    dock.run()
    until(lambda: "frames" in dock.status.text() and int(dock.status.text().split(" of")[0]) >= 10)
    dock.stop_button.click()
    until(lambda: dock.job is None and dock.run_button.isEnabled())
    (layer,) = [layer for layer in dock.viewer.layers if layer.name != "film"]
    n = len(layer.data)
    assert 0 < n < len(long)
    assert layer.name == f"film (predicted, {n} of 1000 frames)"
    assert np.array_equal(layer.data[:5], layer.data[5:10])
    assert layer.data[n - 1].any()


def test_a_layer_of_too_many_axes_is_told_when_it_is_used(make_napari_viewer, notes, intensity_model) -> None:
    """The dock opens, and stays as it is."""
    viewer = make_napari_viewer()
    viewer.add_image(np.zeros((1, 1, 1, 2, 8, 8), np.uint8), name="six")
    remember_model(intensity_model)
    dock = PredictDock(viewer)
    viewer.window.add_dock_widget(dock, name="Predict")
    dock.run()
    assert notes[-1] == "A layer must have 2 to 5 axes; 'six' has 6."
    assert dock.run_button.isEnabled()


class _Later:
    """A session whose threads end when the test says so."""

    def __init__(self) -> None:
        self.waiting: list = []

    def in_thread(self, owner, work, then, failed) -> None:
        self.waiting.append(lambda: then(work()))

    def work(self) -> None:
        while self.waiting:
            self.waiting.pop(0)()


def test_a_new_prediction_is_not_decoded_because_the_last_one_was(make_napari_viewer) -> None:
    """Its objects keep what is known of them; the old ones are decoded to the end; the sliders serve the new."""
    viewer, later = make_napari_viewer(), _Later()
    sliders = ObjectSliders(later, object(), viewer)
    encoding = Encoding(kind="instances", n_channels=1, dtype="int32")
    plan = AxesPlan("YX", (8, 8))
    layers = []
    for name in ("old", "new"):
        maps = Maps(
            np.full((encoding.n_maps, 8, 8), -0.9, np.float32), AxesPlan("CYX", (encoding.n_maps, 8, 8)), plan, encoding
        )
        layers.append(viewer.add_labels(np.ones((8, 8), np.int32), name=name, metadata={MAPS: maps}))
        layers[-1].features = {"index": [1], "size": [64]}
    old, new = layers
    sliders.offer([old])
    sliders.seed.setValue(90)
    sliders.offer([new])
    later.work()
    assert not old.data.any()
    assert new.data.all()
    assert list(new.features["size"]) == [64]
    sliders.seed.setValue(80)
    later.work()
    assert not new.data.any()
    assert not sliders._busy


def test_objects_are_decoded_again_while_a_slider_moves(make_napari_viewer, until, pair, small_model, tmp_path) -> None:
    """What the sliders show is what the command line makes with the same thresholds, bit for bit."""
    model = small_model
    dock = opened(make_napari_viewer, model)
    if dock._card().encoding.kind != "instances":
        command("train", *pair, "--out", tmp_path / "run", *SMALL_FLAGS, "--target-kind", "instances")
        model = tmp_path / "run" / "model.safetensors"
        dock.model.set_value(model)
    dock.viewer.add_image(open_stack(pair[0]).array[...], name="tissue")
    assert not dock.objects.isVisibleTo(dock)
    (layer,) = predicted(dock, until)
    assert isinstance(layer, Labels)
    assert dock.objects.isVisibleTo(dock)
    before = layer.data.copy()
    dock.objects.seed.setValue(75)
    dock.objects.smallest.setValue(2)
    until(lambda: not dock.objects._busy)
    flags = ["--seed-threshold", 0.75, "--min-size", 2, "--device", "cpu"]
    command("predict", model, pair[0], "--out", tmp_path / "p.tif", *flags)
    assert np.array_equal(layer.data, open_stack(tmp_path / "p.tif").array)
    assert not np.array_equal(layer.data, before)
    encoding = dock._card().encoding
    dock.objects.seed.setValue(round(100 * encoding.seed_threshold))
    dock.objects.smallest.setValue(encoding.min_size)
    until(lambda: not dock.objects._busy)
    assert np.array_equal(layer.data, before)


def test_files_become_files_and_a_bad_one_stops_nobody(
    make_napari_viewer, until, notes, intensity_model, film, tmp_path
) -> None:
    dock = opened(make_napari_viewer, intensity_model)
    for i, frame in enumerate(film):
        write_image(tmp_path / "in" / "plate" / f"{i}.tif", frame)
    (tmp_path / "in" / "bad.tif").write_bytes(b"no image")
    dock.of.setCurrentText(FILES)
    assert dock.files.isVisibleTo(dock)
    assert not dock.source.native.isVisibleTo(dock)
    dock.run()
    assert "There must be files" in notes[-1]
    dock.files.set_value([str(tmp_path / "in")])
    dock.folder.set_value(tmp_path / "out")
    assert predicted(dock, until) == []
    assert "5 files" in dock.status.text()
    assert "bad.tif" in dock.status.text()
    command("predict", intensity_model, tmp_path / "in" / "plate" / "3.tif", "--out", tmp_path / "3.tif")
    there = open_stack(tmp_path / "out" / "plate" / "3.tif").array[...]
    assert np.array_equal(there, open_stack(tmp_path / "3.tif").array)


def few_bytes(monkeypatch) -> None:
    for module in (placing, predict_dock):
        monkeypatch.setattr(module, "LAZY_BYTES", 10_000)


def test_what_is_too_large_lies_in_a_file_and_is_read_when_seen(
    make_napari_viewer, until, intensity_model, film, tmp_path, monkeypatch
) -> None:
    """Here: more than 10 kB. In the folder that the user chose, with a pyramid."""
    few_bytes(monkeypatch)
    wide = np.tile(film, (1, 6, 5))
    dock = opened(make_napari_viewer, intensity_model, wide)
    assert dock.folder.isVisibleTo(dock)
    dock.folder.set_value(tmp_path / "large")
    (layer,) = predicted(dock, until)
    (path,) = (tmp_path / "large").iterdir()
    assert path.name == "film (predicted).ome.zarr"
    assert str(path) in dock.status.text()
    assert layer.multiscale
    assert [type(level).__module__.split(".")[0] for level in layer.data] == ["dask"] * len(layer.data)
    assert np.array_equal(np.asarray(layer.data[0]), open_stack(path).array[...])
    assert layer.data[0].shape == wide.shape


def test_expected_errors_too_large_to_be_shown_are_told_of(
    make_napari_viewer, until, film, tmp_path, monkeypatch
) -> None:
    """Where they lie: they were asked for."""
    few_bytes(monkeypatch)
    judged("instances").save(tmp_path / "judged.safetensors")
    dock = opened(make_napari_viewer, tmp_path / "judged.safetensors", film[:2])
    dock.trust.setChecked(True)
    dock.folder.set_value(tmp_path / "large")
    assert [layer.name for layer in predicted(dock, until)] == ["film (predicted)"]
    errors = tmp_path / "large" / "film (predicted).expected_error.zarr"
    assert errors.is_dir()
    assert str(errors) in dock.status.text()


def test_a_tick_lays_the_expected_error_beside_it(make_napari_viewer, until, film, intensity_model, tmp_path) -> None:
    """Over the part that was predicted; what `predict --trust` writes. Not every model can be asked."""
    dock = opened(make_napari_viewer, intensity_model, film)
    assert not dock.trust.isEnabled()
    assert "not taught to judge" in dock.trust.toolTip()
    model = tmp_path / "judged.safetensors"
    judged("instances", risk=risk_curves(60)).save(model)
    dock.model.set_value(model)
    dock.trust.setChecked(False)
    assert not dock.risk.isEnabled()
    dock.trust.setChecked(True)
    dock.risk.setValue(6)
    dock.frames.combo.setCurrentIndex(2)
    dock.frames.first.setValue(1)
    dock.frames.last.setValue(2)
    layers = predicted(dock, until)
    assert [layer.name for layer in layers] == ["film (predicted)", "not to trust: film", "expected error: film"]
    write_image(tmp_path / "part.tif", film[1:3], "TYX")
    command(
        "predict",
        model,
        tmp_path / "part.tif",
        "--out",
        tmp_path / "p.tif",
        *("--trust", "--trust-risk", "0.06"),
        *("--device", "cpu"),
    )
    assert "Of the pixels that the mask leaves, at most 6 % are wrong" in dock.status.text()
    for layer, part in zip(layers, ("", ".untrusted", ".expected_error"), strict=True):
        assert np.array_equal(layer.data, open_stack(tmp_path / f"p{part}.tif").array)
        assert np.allclose(layer.data_to_world((0, 3, 4)), dock.viewer.layers["film"].data_to_world((1, 3, 4)))


def test_a_result_comes_layer_by_layer(make_napari_viewer, until, intensity_model, film) -> None:
    """The window is drawn in between, the colour bar last; if its source goes meanwhile, what has come goes, too."""
    dock = opened(make_napari_viewer, intensity_model, film)
    layers, there = dock.viewer.layers, []

    def come() -> None:
        source = layers["film"] if "film" in layers else dock.viewer.add_image(film, name="film")
        told = {MADE_HERE: {"is": "expected error"}}
        errors = error_layer(np.ones(film.shape, np.float32), 0.5, name="errors", metadata=told)
        dock.layers = (source,)
        dock.run_button.setEnabled(False)
        dock._add([Labels(np.ones(film.shape, int), name="predicted"), errors])

    layers.events.inserted.connect(lambda event: there.append((event.value.name, dock.run_button.isEnabled())))
    come()
    assert [layer.name for layer in layers] == ["film", "predicted"]
    until(dock.run_button.isEnabled)
    assert there == [("predicted", False), ("errors", False)]
    assert dock.status.text().startswith("Added “predicted” and “errors”")
    assert not hasattr(layers["errors"], "colorbar") or layers["errors"].colorbar.visible
    layers.remove("predicted")
    layers.remove("errors")
    come()
    layers.remove("film")
    until(dock.run_button.isEnabled)
    assert (list(layers), dock.status.text()) == ([], "Stopped.")

    # All at once, too; the window is drawn in between, since napari alone may crash otherwise.
    come()
    until(dock.run_button.isEnabled)
    layers.clear()
    dock.viewer.screenshot(flash=False)
    dock.viewer.add_image(film)
    assert [dock.viewer.screenshot(flash=False).any() for _ in range(2)] == [True, True]
