"""A model of several domains in a real window: to one, to all side by side, and which one each field looks like."""

import numpy as np
import pytest
from napari.layers import Labels

from napari_pix2pix import core
from napari_pix2pix.core.training import loop
from napari_pix2pix.widgets.places import remember_model
from napari_pix2pix.widgets.predict_dock import PredictDock
from napari_pix2pix.widgets.scores_dock import ScoresDock
from small import blobs
from widgets.conftest import opened

pytestmark = [pytest.mark.gui, pytest.mark.filterwarnings("ignore:Patches should be", "ignore:No room for")]
TINY = {
    "method": "stargan",
    "generator": {"architecture": "unet", "levels": 2, "base_channels": 4},
    "discriminator": {"n_layers": 1, "base_channels": 4},
    **{"patch_size": 32, "batch_size": 2, "critic_steps": 1, "steps": 2, "validate_every": 2},
}


@pytest.fixture
def model(tmp_path, monkeypatch):
    """Of bright and dark images."""
    monkeypatch.setattr(loop, "JUDGED_PATCHES", 8)
    bright = [blobs((64, 64), seed=i)[0] for i in range(3)]
    domains = core.DomainFrames({"bright": bright, "dark": [4000 - image for image in bright]}, "YX")
    for _ in core.train(domains, core.make_config(changes=TINY), out=tmp_path / "run", device="cpu"):
        pass
    path = tmp_path / "run" / "model.safetensors"
    remember_model(path)
    return path


def test_to_one_to_all_and_whose_a_field_is(make_napari_viewer, until, model) -> None:
    """Its domains are offered, and all of them; these come as layers in a grid; scores take the image alone."""
    viewer = make_napari_viewer()
    image = viewer.add_image(blobs((64, 80), seed=5)[0], name="section", scale=(0.5, 0.5))
    grid = getattr(viewer, "canvas", viewer).grid
    predict = opened(viewer, PredictDock)
    predict.model.set_value(model)
    assert [predict.to.itemText(i) for i in range(predict.to.count())] == ["bright", "dark", "all"]
    assert not predict.trust.isEnabled()
    predict.source.value = image
    for choice, expected in ((1, ["section (predicted)"]), (2, ["bright: section", "dark: section"])):
        predict.to.setCurrentIndex(choice)
        before = list(viewer.layers)
        predict.run()
        until(lambda: predict.job is None and predict.run_button.isEnabled())
        made = [layer for layer in viewer.layers if layer not in before]
        assert [layer.name for layer in made] == expected, predict.status.text()
        assert all(np.allclose(layer.scale, 0.5) and layer.data.shape == (64, 80) for layer in made)
        assert grid.enabled == (choice == 2)
    assert "Side by side" in predict.status.text()

    grid.enabled = False
    scores = opened(viewer, ScoresDock)
    scores.model.set_value(model)
    assert not scores.source.native.isVisibleTo(scores) and not scores.to.isVisibleTo(scores)
    scores.image.value = image
    scores.run()
    until(lambda: scores.job is None and scores.run_button.isEnabled())
    (told,) = [layer for layer in viewer.layers if isinstance(layer, Labels)]
    assert told.name == "looks like: section" and set(np.unique(told.data)) <= {1, 2}
    assert list(told.features["domain"])[1].startswith("bright, ") and scores.panel.maps.kind == "plain"
