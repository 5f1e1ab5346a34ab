"""Several stains of a sample, each in a layer of its own, of which a pair may lack some."""

import numpy as np
import pytest
from napari.layers import Image, Labels

from napari_pix2pix.core.geometry.axes import AxesPlan
from napari_pix2pix.core.settings.config import PairSettings
from napari_pix2pix.files.pairing import PairedStacks, open_stacks
from napari_pix2pix.files.stacks import write_stack
from napari_pix2pix.widgets.pairs import FilePairs, LayerPair, LayerPairs
from napari_pix2pix.widgets.stain_rows import NOT_STAINED
from napari_pix2pix.widgets.train_dock import TrainDock
from small import blobs
from widgets.conftest import opened

pytestmark = pytest.mark.gui


def read(words: list) -> PairedStacks:
    """As the command line does."""
    source, target, *flags = map(str, words)
    more = tuple(value for name, value in zip(flags[::2], flags[1::2], strict=True) if name == "--target-more")
    return open_stacks(source, target, PairSettings(target_more=more))


def image(seed: int, name: str) -> Image:
    return Image(blobs(seed=seed)[0], name=name)


def stained(*there: str) -> LayerPairs:
    """For each word a pair that has the stains of these letters."""
    pairs = []
    for i, letters in enumerate(there):
        layers = tuple(
            image(10 * i + k, f"{letter} {i}") if letter in letters else None for k, letter in enumerate("ab")
        )
        first = next(filter(None, layers))
        pairs.append(LayerPair(image(100 + i, f"field {i}"), first, None, layers))
    return LayerPairs(tuple(pairs), stains=("DAPI", "MAP2"))


def test_stains_of_layers_are_folders_of_their_names(tmp_path) -> None:
    """Each stain is what its layer shows, called as the user says, and missing where there is no layer."""
    pairs = stained("ab", "a", "b")
    pairs.require()
    stacks = read(pairs.words(tmp_path))
    assert stacks.target_names == ("DAPI", "MAP2")
    frames = stacks.frames(hashed=False)
    for i, pair in enumerate(pairs.pairs):
        assert np.array_equal(frames.source(i)[0], pair.source.data)
        assert [*frames.stains(i)] == [layer is not None for layer in pair.stains]
        for k, layer in enumerate(pair.stains):
            assert layer is None or np.array_equal(frames.target(i)[k], layer.data)
    assert len(pairs.layers) == 7 and pairs.n_bytes() == sum(layer.data.nbytes for layer in pairs.layers)
    assert pairs.name == "DAPI, MAP2"
    assert [pair.text for pair in pairs.pairs] == ["field 0 → a 0, b 0", "field 1 → a 1, –", "field 2 → –, b 2"]


@pytest.mark.parametrize("there", [("ab", "ab"), ("ab",)])
def test_stains_that_are_all_there_are_named_too(tmp_path, there) -> None:
    """One pair or several."""
    stacks = read(stained(*there).words(tmp_path))
    assert stacks.target_names == ("DAPI", "MAP2") and stacks.frames(hashed=False).all_stained


def test_a_file_that_calls_its_channel_otherwise_is_written_anew(tmp_path) -> None:
    """The user's name counts; a file that says none, or the same, is linked."""
    pairs = stained("ab", "ab")
    for i, called in enumerate((("Channel 0",), ())):
        layer, path = pairs.pairs[i].stains[0], tmp_path / f"own {i}.tif"
        plan = AxesPlan("YX", layer.data.shape)
        write_stack(path, plan, layer.data.dtype, [layer.data[None]], channel_names=called)
        layer._source = layer.source.model_copy(update={"path": str(path)})
    stacks = read(pairs.words(tmp_path / "data"))
    assert stacks.target_names == ("DAPI", "MAP2")
    paths = [said["path"] for said in stacks.provenance()["targets"]]
    assert [str(tmp_path / "own") in path for path in paths] == [False, True]


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda p: p._replace(stains=("DAPI", "DAPI")), "must be called differently; got DAPI, DAPI"),
        (lambda p: p._replace(stains=("DAPI", " ")), "must have a name"),
        (lambda p: p._replace(pairs=p.pairs[1:2]), "must be in some pair; MAP2 is in none"),
        (lambda p: p._replace(pairs=(with_stain(p.pairs[0], Labels(blobs()[1], name="cells")),)), "'cells' holds"),
        (lambda p: p._replace(pairs=(with_stain(p.pairs[0], p.pairs[0].stains[0]),)), "must be another layer; 'a 0'"),
        (lambda p: p._replace(pairs=(with_stain(p.pairs[0], p.pairs[0].source),)), "another layer than the source"),
    ],
)  # fmt: skip
def test_stains_that_cannot_be_are_told(change, sentence) -> None:
    """In one sentence."""
    with pytest.raises(ValueError, match=sentence):
        change(stained("ab", "a")).require()


def with_stain(pair: LayerPair, layer) -> LayerPair:
    return pair._replace(stains=(pair.stains[0], layer))


def test_further_folders_are_further_stains(pair, tmp_path) -> None:
    """Files are taken as they are."""
    files = FilePairs(str(pair[0]), str(pair[1]), more=(str(pair[0]),))
    assert files.words(tmp_path) == [*pair, "--target-more", pair[0]]
    with pytest.raises(ValueError, match="choose a file or a folder"):
        FilePairs(str(pair[0]), str(pair[1]), more=("",)).require()


def test_the_dock_has_a_row_for_each_stain(make_napari_viewer) -> None:
    """A stain is added, named after its first layer, missing in a pair, and taken out again."""
    viewer = make_napari_viewer()
    for i in range(2):
        for k, name in enumerate(("BF", "DAPI", "MAP2")):
            viewer.add_image(blobs(seed=10 * i + k)[0], name=f"{name} {i}")
    dock = opened(viewer, TrainDock)
    rows = dock.pairs
    rows.source.value, rows.target.value = viewer.layers["BF 0"], viewer.layers["DAPI 0"]
    assert rows.value().stains == () and rows.first_stain.isHidden()
    rows.add_stain.click()
    assert not rows.first_stain.isHidden()
    (row,) = rows.stains.rows
    row.choice.value = viewer.layers["MAP2 0"]
    for line, name in ((rows.first_stain, "DAPI"), (row.name, "MAP2")):
        line.setText(name)
        line.textEdited.emit(name)
    rows.add_button.click()
    rows.source.value, row.choice.value = viewer.layers["BF 1"], viewer.layers["MAP2 1"]
    rows.target.value = None
    pairs = rows.value()
    assert pairs.stains == ("DAPI", "MAP2")
    assert [[layer and layer.name for layer in pair.stains] for pair in pairs.pairs] == [
        ["DAPI 0", "MAP2 0"],
        [None, "MAP2 1"],
    ]
    viewer.add_image(np.zeros((8, 8)), name="another")
    assert rows.target.value is None and rows.target.native.currentText() == NOT_STAINED
    rows.add_stain.click()
    assert [len(pair.stains) for pair in rows.pairs] == [3]
    rows.stains.remove(1)
    rows.stains.remove(0)
    assert [pair.stains for pair in rows.pairs] == [()]
    assert rows.target.value is not None and rows.value().stains == ()


def test_the_dock_checks_what_some_pairs_lack(make_napari_viewer, until) -> None:
    """The panel tells which pairs have which stain."""
    viewer = make_napari_viewer()
    for i in range(2):
        for k, name in enumerate(("BF", "DAPI", "MAP2")):
            viewer.add_image(blobs(seed=10 * i + k)[0], name=f"{name} {i}")
    dock = opened(viewer, TrainDock)
    rows = dock.pairs
    rows.source.value, rows.target.value = viewer.layers["BF 0"], viewer.layers["DAPI 0"]
    rows.add_stain.click()
    rows.stains.rows[0].choice.value = viewer.layers["MAP2 0"]
    rows.add_button.click()
    rows.source.value, rows.target.value = viewer.layers["BF 1"], viewer.layers["DAPI 1"]
    rows.stains.rows[0].choice.value = None
    until(lambda: any("of 2 pairs" in text for text in dock.findings.texts), 120)
    assert "DAPI 0: 2 of 2 pairs" in dock.findings.texts
    assert "MAP2 0: 1 of 2 pairs, not BF 1" in dock.findings.texts
