"""Training on slides: both sides at one pixel size, from tissue alone, gone on with as if never interrupted."""

import json

import numpy as np
import pytest

from napari_pix2pix.commands.app import main
from napari_pix2pix.core import load_model
from napari_pix2pix.core.data import patches as patches_module
from napari_pix2pix.core.data.patches import PairedPatches
from napari_pix2pix.core.encodings.encoding import fit_encoding
from napari_pix2pix.core.settings.config import PairSettings
from napari_pix2pix.files.pairing import open_stacks, reopen
from napari_pix2pix.files.stacks import open_stack
from slide_files import tissue_picture, write_pyramid, write_slide
from small import SMALL_FLAGS, small_config

pytest.importorskip("openslide", reason="the extra slides is not installed")
PICTURE, TISSUE = tissue_picture((600, 900))


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A source slide of 0.25 µm and a target slide of 0.5 µm of one section, two rows of which are not on both."""
    place = tmp_path_factory.mktemp("slides")
    twice = np.repeat(np.repeat(PICTURE, 2, axis=0), 2, axis=1)
    write_slide(place / "he.svs", twice, 0.25)
    write_slide(place / "ihc.svs", 255 - PICTURE[:599], 0.5)
    write_pyramid(place / "dab.ome.tif", 255 - PICTURE[..., 0], 0.5)
    return place


def test_both_sides_show_the_same_place_at_one_size(place):
    pairs = open_stacks(place / "he.svs", place / "ihc.svs", PairSettings()).frames(hashed=False)
    assert pairs.frame_shape(0) == (599, 900)  # the coarser of the two
    assert np.array_equal(pairs.source(0), PICTURE[:599].transpose(2, 0, 1))
    assert np.array_equal(pairs.target(0), 255 - PICTURE[:599].transpose(2, 0, 1))
    coarse = open_stacks(place / "he.svs", place / "ihc.svs", PairSettings(pixel_size_um=1)).frames(hashed=False)
    assert coarse.frame_shape(0) == (300, 450) or coarse.frame_shape(0) == (299, 450)
    assert np.array_equal(coarse.source(0), 255 - coarse.target(0))


def test_only_tissue_is_known_and_patches_hold_it(place, monkeypatch):
    settings = PairSettings(pixel_size_um=1, tissue=True)
    stacks = open_stacks(place / "he.svs", place / "dab.ome.tif", settings)
    pairs = stacks.frames(hashed=False)
    known, inside = pairs.known(0), TISSUE[::2, ::2]
    assert known[inside].mean() > 0.98 and known[~inside].mean() < 0.1
    assert np.array_equal(known[50:90, 33:300], pairs.known(0, (slice(50, 90), slice(33, 300))))
    encodings = [fit_encoding([side], "intensity", limit=1.0) for side in (pairs.source(0), pairs.target(0))]
    for bytes_kept in (2**30, 0):  # whole frames are kept, or windows are read
        monkeypatch.setattr(patches_module, "CACHE_BYTES", bytes_kept)
        patches = PairedPatches(pairs, pairs.regions(), small_config(batch_size=16), *encodings)
        shares = [float(known.mean()) for known in patches.batch(1)["known"]]
        assert np.mean(shares) > 0.7
    assert min(shares) >= 0.5


def test_pairs_of_slides_are_opened_again_as_they_were(place):
    for settings in (PairSettings(), PairSettings(pixel_size_um=0.8, tissue=True)):
        stacks = open_stacks(place / "he.svs", place / "ihc.svs", settings)
        again = reopen(json.loads(json.dumps(stacks.provenance()))).frames(hashed=False)
        pairs = stacks.frames(hashed=False)
        assert np.array_equal(again.source(0), pairs.source(0)) and np.array_equal(again.target(0), pairs.target(0))
        assert np.array_equal(again.known(0), pairs.known(0))


def test_train_and_predict_slides_and_go_on(place, tmp_path, capsys):
    run, how = tmp_path / "run", [*SMALL_FLAGS, "--pixel-size-um", "1", "--tissue", "--json"]
    assert main(["train", str(place / "he.svs"), str(place / "ihc.svs"), "--out", str(run), *how]) == 0
    assert main(["train", "--resume", str(run)]) == 0
    model = load_model(run / "model.safetensors")
    assert model.provenance["pairs"]["train"]["pixel_size_um"] == {"Y": 1.0, "X": 1.0}
    out = tmp_path / "p.ome.tif"
    how = ["--out", str(out), "--tissue", "--device", "cpu", "--tile-size", "64"]
    assert main(["predict", str(run), str(place / "he.svs"), *how]) == 0
    stack = open_stack(out)
    assert stack.array.shape == (300, 450, 3) and stack.pixel_size_um == {"Y": 1.0, "X": 1.0}
    how = ["--allow-seen", "--pixel-size-um", "1", "--tissue", "--device", "cpu", "--out", str(tmp_path / "e")]
    assert main(["evaluate", str(run), str(place / "he.svs"), str(place / "ihc.svs"), *how]) == 0


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        (("--pixel-size-um", "0.1"), "pixels of 0.25 µm at its finest, and was asked for 0.1 µm"),
        (("--tissue", "--valid", "{place}"), "What is known must be said once"),
        (("--tissue", "--method", "cyclegan"), "cannot have --tissue"),
    ],
)
def test_bad_slides_to_train_on_are_named(place, tmp_path, capsys, flags, sentence):
    flags = [flag.format(place=place) for flag in flags]
    how = [str(place / "he.svs"), str(place / "ihc.svs"), "--out", str(tmp_path / "run"), *flags]
    assert main(["train", *how]) == 2
    assert sentence in capsys.readouterr().err and not (tmp_path / "run").exists()
