"""Layers and files as SOURCE and TARGET of the command line: the same pixels, each in its pair."""

from pathlib import Path

import numpy as np
import pytest
from napari.layers import Image, Labels, Shapes

from napari_pix2pix.core.settings.config import PairSettings, validated
from napari_pix2pix.files.pairing import PairedStacks, open_stacks
from napari_pix2pix.widgets.layers import Stopped
from napari_pix2pix.widgets.pairs import FilePairs, LayerPair, LayerPairs
from small import blobs
from widgets.conftest import write_image


def read(words: list) -> PairedStacks:
    """As the command line does."""
    source, target, *flags = map(str, words)
    said = {name[2:].replace("-", "_"): value for name, value in zip(flags[::2], flags[1::2], strict=True)}
    return open_stacks(source, target, validated(PairSettings, said))


def layers(seed: int) -> LayerPair:
    """All of the same names."""
    source, labels = blobs(seed=seed)
    return LayerPair(Image(source, name="field / 1"), Labels(labels, name="nuclei"))


def test_several_pairs_of_layers_are_folders_paired_by_name(tmp_path: Path) -> None:
    """Layers of one name stay apart, and every target stays with its source."""
    pairs = LayerPairs(tuple(layers(seed) for seed in range(3)))
    frames = read(pairs.words(tmp_path)).frames()
    for i, pair in enumerate(pairs.pairs):
        assert np.array_equal(frames.source(i)[0], pair.source.data)
        assert np.array_equal(frames.target(i)[0], pair.target.data)
    assert pairs.name == "nuclei"


@pytest.mark.parametrize("name", ["mine.tif", "mine.ome.zarr"])
def test_a_layer_with_a_file_of_its_own_is_not_copied(name: str, tmp_path: Path) -> None:
    """Alone it is named, among others it is linked; what trained is known by its own path."""
    pair = layers(0)
    path = write_image(tmp_path / name, pair.source.data)
    opened = Image(pair.source.data, name="mine")
    opened._source = opened.source.model_copy(update={"path": str(path)})
    alone = LayerPairs((LayerPair(opened, pair.target),)).words(tmp_path / "data")
    assert alone[0] == path
    both = read(LayerPairs((LayerPair(opened, pair.target), layers(1))).words(tmp_path / "data"))
    assert str(path) in [said["path"] for said in both.provenance()["sources"]]


def test_what_is_known_goes_with_its_pair(tmp_path: Path) -> None:
    """Where one pair marks what is known, all of another is known."""
    first, second = layers(0), layers(1)
    marked = Shapes([[[20, 30], [60, 90]]], shape_type="rectangle")
    pairs = LayerPairs((first._replace(known=marked), second))
    assert pairs.n_bytes() == sum(layer.data.nbytes for pair in pairs.pairs for layer in pair[:2])
    assert marked in pairs.layers
    frames = read(pairs.words(tmp_path)).frames()
    assert 0 < frames.known(0).mean() < 0.3
    assert frames.known(1).all()


def test_axes_are_those_of_the_layers(tmp_path: Path) -> None:
    """Also where a file alone would be read otherwise."""
    source = np.random.default_rng(0).integers(0, 9, (3, 40, 50)).astype(np.uint16)
    layer = Image(source, axis_labels=("C", "Y", "X"))
    target = Labels((source[0] > 4).astype(np.uint8))
    frames = read(LayerPairs((LayerPair(layer, target),)).words(tmp_path)).frames()
    assert frames.source_plans[0].n_channels == 3
    assert np.array_equal(frames.source(0), source)


def test_lazy_layers_are_written_frame_by_frame_and_can_be_stopped(tmp_path: Path) -> None:
    import dask.array

    stack = np.random.default_rng(0).integers(0, 99, (4, 30, 40)).astype(np.uint8)
    lazy = dask.array.from_array(stack, chunks=(1, 30, 40))
    pyramid = Image([lazy, lazy[:, ::2, ::2]], multiscale=True, name="lazy")
    pair = LayerPairs((LayerPair(pyramid, Image(lazy, name="too")),))
    assert np.array_equal(read(pair.words(tmp_path)).frames().source(2)[0], stack[2])
    with pytest.raises(Stopped):
        pair.words(tmp_path / "again", lambda: True)


def test_rgb_layers_keep_their_colours(tmp_path: Path) -> None:
    colours = np.random.default_rng(0).integers(0, 256, (30, 40, 3)).astype(np.uint8)
    pair = LayerPairs((LayerPair(Image(colours, rgb=True), Labels((colours[..., 0] > 99).astype(np.uint8))),))
    frames = read(pair.words(tmp_path)).frames()
    assert np.array_equal(np.moveaxis(frames.source(0), 0, -1), colours)


def test_files_are_taken_as_they_are(pair, tmp_path: Path) -> None:
    files = FilePairs(str(pair[0]), str(pair[1]), axes=("YX", ""))
    assert files.words(tmp_path) == [*pair, "--source-axes", "YX"]
    assert files.n_bytes() == sum(path.stat().st_size for path in pair)
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(ValueError, match="choose a file or a folder"):
        FilePairs(str(pair[0]), "").require()
