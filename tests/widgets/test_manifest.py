"""What napari sees of the plugin."""

import json
import subprocess
import sys
from importlib.metadata import EntryPoint
from importlib.resources import files

import numpy as np
import pytest
from npe2 import PluginManifest
from skimage import data

from napari_pix2pix.widgets import samples

WIDGETS = """
import json, sys
import napari_pix2pix.widgets.train_dock, napari_pix2pix.widgets.predict_dock, napari_pix2pix.widgets.scores_dock
import napari_pix2pix.widgets.evaluate_dock, napari_pix2pix.widgets.improve_dock
import napari_pix2pix.widgets.samples
print(json.dumps([name for name in ("torch", "lightning_fabric") if name in sys.modules]))
"""


def test_everything_that_the_manifest_names_is_there() -> None:
    manifest = PluginManifest.from_distribution("napari-pix2pix")
    for command in manifest.contributions.commands:
        assert callable(EntryPoint("", str(command.python_name), "").load())
    names = {widget.display_name for widget in manifest.contributions.widgets}
    assert names == {"Train", "Predict", "Improve", "Patch scores", "Evaluate", "Generate"}
    assert set(manifest.contributions.menus) == {"napari/layers/filter", "napari/layers/visualize"}


def test_preferences_are_explained_where_they_are_seen() -> None:
    """What is empty, auto or 0 stands beside the control, and the whole in its tooltip; the plugin has an icon."""
    manifest = PluginManifest.from_distribution("napari-pix2pix")
    [preferences] = manifest.contributions.configurations.values()
    for said in preferences.properties.values():
        assert "(" in said.title and said.description.endswith(".")
    package, name = manifest.icon.split(":")
    assert (files(package) / name).is_file()


def test_the_docks_do_not_import_torch() -> None:
    done = subprocess.run([sys.executable, "-c", WIDGETS], check=True, capture_output=True, text=True)
    assert json.loads(done.stdout) == []


@pytest.mark.parametrize("sample", [samples.tissue, samples.coins])
def test_sample_pairs_fit(sample) -> None:
    (source, _, kind), (labels, _, target_kind) = sample()
    assert (kind, target_kind) == ("image", "labels")
    assert source.shape == labels.shape
    assert labels.max() > 10


def test_a_sample_that_cannot_be_downloaded_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def offline() -> None:
        raise OSError("no route to host\nat all")

    monkeypatch.setattr(data, "cells3d", offline)
    with pytest.raises(ConnectionError, match="connect to the internet"):
        samples.cells()


def test_the_downloaded_sample_is_a_pair(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(data, "cells3d", lambda: np.zeros((60, 2, 8, 9), np.uint16))
    layers = samples.cells()
    assert [layer[0].shape for layer in layers] == [(60, 8, 9)] * 2
    assert [layer[1]["name"] for layer in layers] == ["membrane", "cell nuclei"]


@pytest.mark.gui
def test_napari_opens_docks_and_samples(make_napari_viewer) -> None:
    """By the names in the manifest."""
    viewer = make_napari_viewer()
    viewer.open_sample("napari-pix2pix", "tissue")
    assert [layer.name for layer in viewer.layers] == ["tissue", "nuclei"]
    for name in ("Train", "Predict", "Improve", "Patch scores", "Evaluate", "Generate"):
        _, dock = viewer.window.add_plugin_dock_widget("napari-pix2pix", name)
        if name != "Generate":  # from nothing
            assert dock.source.value.name == "tissue"
        assert not dock.parent().windowIcon().isNull()  # of a dock that floats
