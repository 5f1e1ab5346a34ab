"""The dock *Generate* in a real window: number, class and seed in, layers out."""

import numpy as np
import pytest
from napari.layers import Image, Labels

from napari_pix2pix import core
from napari_pix2pix.core.training import loop
from napari_pix2pix.widgets.generate_dock import GenerateDock
from napari_pix2pix.widgets.places import recent_models, remember_model
from napari_pix2pix.widgets.train_dock import TrainDock
from small import blobs
from widgets.conftest import opened

pytestmark = [
    pytest.mark.gui,
    pytest.mark.filterwarnings("ignore:Images made differ", "ignore:There should be", "ignore:A class should"),
]
TINY = {
    "method": "gan",
    **{"patch_size": 16, "batch_size": 2, "latent": 4, "base_channels": 2, "steps": 5, "validate_every": 5},
}


@pytest.fixture
def trained(tmp_path, monkeypatch):
    """Gives the model of a run of such images."""
    monkeypatch.setattr(loop, "JUDGED_PATCHES", 4)

    def train(data: core.Images, **changes) -> core.TrainedModel:
        for _ in core.train(data, core.make_config(changes=TINY | changes), out=tmp_path / "run", device="cpu"):
            pass
        path = tmp_path / "run" / "model.safetensors"
        remember_model(path)
        return core.load_model(path, "cpu")

    return train


def test_pairs_of_a_class_come_as_layers(make_napari_viewer, until, trained) -> None:
    """Images and labels, as many as asked for, what Python makes; the words say that they are generated."""
    images = [blobs((24, 24), seed=i)[0] for i in range(6)]
    masks = [(image > image.mean()).astype(np.uint8) for image in images]
    model = trained(core.Images(images, "YX", target=masks, conditions=["a", "b"] * 3), target_kind="classes")
    viewer = make_napari_viewer()
    dock = opened(viewer, GenerateDock)
    assert "makes images with their targets from nothing" in dock.card.text()
    assert [dock.condition.itemText(i) for i in range(dock.condition.count())] == ["any", "a", "b"]
    dock.condition.setCurrentText("b")
    dock.number.setValue(3)
    dock.seed.setValue(7)
    dock.run()
    until(lambda: dock.job is None and dock.run_button.isEnabled())
    image, labels = viewer.layers
    assert isinstance(image, Image) and isinstance(labels, Labels), dock.status.text()
    assert image.name == "generated b, seed 7" and "no observations" in dock.status.text()
    made = model.generate_pairs(3, seed=7, condition="b")
    np.testing.assert_array_equal(image.data, made[0][:, 0])
    np.testing.assert_array_equal(labels.data, made[1][:, 0])


def test_colours_and_channels_are_shown_as_such(make_napari_viewer, until, trained) -> None:
    """RGB as one layer in colours; no class is asked for where there is none."""
    random = np.random.default_rng(0)
    trained(core.Images(list(random.integers(0, 255, (6, 24, 24, 3), np.uint8)), "YXS"))
    viewer = make_napari_viewer()
    dock = opened(viewer, GenerateDock)
    assert not dock.condition.isVisibleTo(dock)
    dock.number.setValue(2)
    dock.run()
    until(lambda: dock.job is None and dock.run_button.isEnabled())
    (layer,) = viewer.layers
    assert layer.rgb and layer.data.shape == (2, 16, 16, 3)


def test_another_methods_model_is_told_so(make_napari_viewer, until, tmp_path) -> None:
    """In a sentence; nothing is added, and the button works again."""
    source, target = blobs((32, 32))
    config = core.make_config(
        changes={
            "patch_size": 16,
            "generator": {"levels": 1, "base_channels": 2},
            "discriminator": {"n_layers": 1, "base_channels": 2},
            **{"steps": 1, "trust_steps": 0, "batch_size": 1},
        }
    )
    with pytest.warns(UserWarning):
        for _ in core.train(core.PairedFrames(source, target, "YX"), config, out=tmp_path / "run", device="cpu"):
            pass
    remember_model(tmp_path / "run" / "model.safetensors")
    viewer = make_napari_viewer()
    dock = opened(viewer, GenerateDock)
    dock.run()
    until(lambda: dock.job is None and dock.run_button.isEnabled())
    assert "makes them of others" in dock.status.text() + dock.warnings.text() and not viewer.layers


@pytest.mark.parametrize("targets", [True, False], ids=["with targets", "alone"])
def test_layers_are_trained_on_and_more_are_made(make_napari_viewer, until, targets) -> None:
    """Images, and targets if they are ticked; the picture shows real ones beside made ones; Generate comes next."""
    viewer = make_napari_viewer()
    image, labels = blobs((48, 64))
    viewer.add_image(np.stack([image, blobs((48, 64), seed=1)[0]]), name="cells")
    viewer.add_labels(np.stack([labels, blobs((48, 64), seed=1)[1]]), name="nuclei")
    dock = opened(viewer, TrainDock)
    dock.set_value(core.make_config("fast", changes=TINY | {"target_kind": "instances" if targets else "auto"}))
    assert dock.method.currentText() == "images from nothing (GAN)"
    assert dock.pairs.with_targets.isVisibleTo(dock) and not dock.known.native.isVisibleTo(dock)
    dock.pairs.with_targets.setChecked(targets)
    assert dock.target_kind.isVisibleTo(dock) == targets
    assert dock.pairs.add_button.text() == ("Add pair" if targets else "Add images")
    assert dock.target.native.isVisibleTo(dock) == targets
    found = "1 pair, 2 frames" if targets else "image: 2 frames, uint16"
    until(lambda: "".join(dock.findings.texts[:1]).startswith(found))
    dock.run()
    until(lambda: dock.job is None and dock.run_button.isEnabled(), 120)
    assert "Trained." in dock.status.text() and "Generate offers it" in dock.status.text(), dock.status.text()
    assert recent_models()[0].path.exists() and dock.door.text() == "Generate with it"
    page = dock.lead_on()
    assert isinstance(page, GenerateDock)
    until(lambda: page.job is None and page.run_button.isEnabled())
    made = [layer.name for layer in viewer.layers if layer.name.startswith(("generated", "targets of"))]
    assert made == ["generated, seed 0"] + ["targets of generated, seed 0"] * targets, page.status.text()
