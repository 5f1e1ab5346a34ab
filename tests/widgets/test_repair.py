"""Train shows how targets lie on their sources, and a click lays them over these: with all that a pair can be."""

from pathlib import Path

import numpy as np
import pytest
from napari.layers import Labels, Vectors
from scipy import ndimage

from napari_pix2pix.widgets.pairs import FilePairs, LayerPair
from napari_pix2pix.widgets.train_dock import TrainDock
from small import blobs, small_config
from widgets.conftest import opened, write_image

pytestmark = pytest.mark.gui
CUT = (..., slice(16, -16), slice(16, -16))


def tissue(seed=0):
    """A noisy image of enough objects to recognize, and their labels, each object its own."""
    quarters = [[blobs((96, 112), 4 * seed + 2 * i + j) for j in (0, 1)] for i in (0, 1)]
    image, labels = (np.block([[quarter[k] for quarter in row] for row in quarters]) for k in (0, 1))
    return image, ndimage.label(labels)[0].astype(np.uint16)


@pytest.fixture
def train(make_napari_viewer, tmp_path):
    """Opens Train in a viewer with these images."""

    def open_in(*images):
        viewer = make_napari_viewer()
        for values, name in images:
            named = {"name": name, "scale": [0.5] * values.ndim}
            viewer.add_labels(values, **named) if "labels" in name else viewer.add_image(values, **named)
        dock = opened(viewer, TrainDock)
        dock.set_value(small_config(steps=2))
        dock.folder.set_value(tmp_path / "runs")
        return viewer, dock

    return open_in


def pressed(dock, button, until) -> str:
    """What is said once that is done."""
    button.click()
    until(lambda: dock.lie.job is None and not dock.lie.told.text().endswith("…"))
    return dock.lie.told.text()


def repaired(dock, until) -> LayerPair:
    before = dock.pairs.value()
    pressed(dock, dock.lie.repair_button, until)
    until(lambda: dock.pairs.value() != before)
    return dock.pairs.value().pairs[-1]


def test_arrows_show_where_a_target_lies_and_repair_lays_it_over_its_source(train, until) -> None:
    """Over the source's pixels, whatever its scale; the labels stay labels, and what is not known is marked."""
    image, labels = tissue()
    viewer, dock = train((image, "tissue"), (np.roll(labels, 5, 1), "labels"))
    said = pressed(dock, dock.lie.show_button, until)
    assert said.startswith("Targets lie off by 5 px in the median")
    assert "target shifted by (0, 5) px" in dock.findings.texts
    dock.check._begin()  # as its timer would: what was looked at with local shifts is not looked at without
    assert dock.check.job is None
    [arrows] = [layer for layer in viewer.layers if isinstance(layer, Vectors)]
    assert np.abs(arrows.data[:, 1] - [0, 5]).max() < 1
    assert f"Arrows are {arrows.length:g} times as long" in said
    assert (arrows.scale == viewer.layers["tissue"].scale).all()
    pair = repaired(dock, until)
    assert dock.lie.told.text().startswith("Repaired (frames: 1 moved)")
    assert (pair.source.name, pair.target.name) == ("tissue", "labels (registered)")
    assert isinstance(pair.target, Labels)
    assert (pair.target.data == labels)[CUT].mean() > 0.99
    assert not pair.known.data[:, -4:].any()  # which lies beyond the border of the target
    assert not arrows.visible
    dock.target.value = viewer.layers["labels"]
    assert not dock.lie.told.isVisibleTo(dock)
    dock.target.value = pair.target
    dock.run()
    until(lambda: dock.job is None)
    assert dock.status.text().startswith("Trained.")


@pytest.mark.slow
def test_each_stain_and_each_plane_of_several_pairs(train, until) -> None:
    """Planes move by themselves, stains too; a pair that does not belong together keeps its target, and is named."""
    image, _ = tissue()
    planes = np.stack([image, tissue(1)[0]])
    stains = np.stack([np.roll(planes[0], 4, 0), np.roll(planes[1], -4, 1)]), np.roll(planes, 3, 1)
    more = (tissue(2)[0][None].repeat(2, 0), "other"), (tissue(5)[0][None].repeat(2, 0), "strange")
    viewer, dock = train((planes, "tissue"), (stains[0], "A"), (stains[1], "B"), *more)
    dock.pairs.add_stain.click()
    named = dict(zip(("tissue", "A", "B", "other", "strange"), viewer.layers, strict=True))
    own = LayerPair(named["tissue"], named["A"], None, (named["A"], named["B"]))
    other = LayerPair(named["other"], named["strange"], None, (named["strange"], None))
    dock.pairs.choose_layers([other, own])
    pressed(dock, dock.lie.show_button, until)
    arrows = [layer for layer in viewer.layers if isinstance(layer, Vectors)]
    assert [layer.name for layer in arrows] == ["local shifts: A"]
    assert set(arrows[0].data[:, 0, 0]) == {0, 1}
    pair = repaired(dock, until)
    first = dock.pairs.value().pairs[0]
    assert [layer.name for layer in pair.stains] == ["A (registered)", "B (registered)"]
    for stain in pair.stains:
        assert np.abs(stain.data.astype(float) - planes)[CUT].mean() < 5
    assert first == other
    assert "could not be repaired stay" in dock.lie.told.text()


@pytest.mark.slow
def test_files_are_repaired_into_files(train, until, tmp_path) -> None:
    image, labels = tissue()
    for name in ("a", "b"):
        write_image(tmp_path / "s" / f"{name}.tif", image)
        write_image(tmp_path / "t" / f"{name}.tif", np.roll(labels, 4, 0))
    _, dock = train()
    dock.pairs.choose_files(tmp_path / "s", tmp_path / "t")
    assert "in the median" in pressed(dock, dock.lie.show_button, until)
    assert pressed(dock, dock.lie.repair_button, until).startswith("Repaired (frames: 2 moved)")
    pairs = dock.pairs.value()
    assert isinstance(pairs, FilePairs)
    targets = Path(pairs.target)
    assert (Path(pairs.source), Path(pairs.known)) == (tmp_path / "s", targets.parent / "known")
    assert sorted(path.name for path in targets.glob("*.tif")) == ["a.tif", "b.tif"]


def test_what_cannot_be_repaired_is_said_and_stays(train, until, notes) -> None:
    """Nothing in common, and what are no pairs."""
    viewer, dock = train((tissue()[0], "tissue"), (tissue(9)[1], "labels"))
    said = pressed(dock, dock.lie.repair_button, until)
    assert "must have something in common" in said
    assert notes == [said]
    assert dock.pairs.value().pairs[0].target is viewer.layers["labels"]
    dock.method.setCurrentIndex(dock.method.findData("cyclegan"))
    assert not dock.lie.isVisibleTo(dock)
