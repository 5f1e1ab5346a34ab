"""Slides are sources like any other: read lazily, at any pixel size, RGB on white, and nothing tells whose they are."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import tifffile

from napari_pix2pix.__main__ import main
from napari_pix2pix.files.folders import list_images
from napari_pix2pix.files.partners import at_one_size
from napari_pix2pix.files.readers.slides import _on_white
from napari_pix2pix.files.stacks import open_stack, stem
from slide_files import PATIENT, tissue_picture, write_pyramid, write_slide

REAL = Path(__file__).parents[3] / "shared/data/slides/CMU-1-Small-Region.svs"
pytest.importorskip("openslide", reason="the extra slides is not installed")


@pytest.fixture(scope="module")
def picture():
    return tissue_picture()[0]


@pytest.fixture(scope="module")
def slide(tmp_path_factory, picture):
    return write_slide(tmp_path_factory.mktemp("slides") / "case.svs", picture)


def test_a_slide_is_its_pixels(slide, picture):
    stack = open_stack(slide)
    assert stack.axes == "YXS" and stack.pixel_size_um == {"Y": 0.5, "X": 0.5} and stack.objective == 20
    assert np.array_equal(stack.array[...], picture)
    assert np.array_equal(stack.array[100:580:3, 7, 1], picture[100:580:3, 7, 1])
    assert np.array_equal(stack.array[-20:, 890:1000], picture[-20:, 890:1000])


@pytest.mark.parametrize("write", [write_slide, write_pyramid])
def test_a_level_of_the_size_is_taken_as_it_is(tmp_path, picture, write):
    path = write(tmp_path / ("a.svs" if write is write_slide else "a.ome.tif"), picture)
    for number in range(3):
        stack = open_stack(path, pixel_size_um=0.5 * 2**number)
        assert np.array_equal(stack.array[...], picture[:: 2**number, :: 2**number])


@pytest.mark.parametrize("pixel_size_um", [0.7, 1.3, 2.6])
def test_a_window_of_a_resampled_slide_is_that_of_the_whole(slide, pixel_size_um):
    array = open_stack(slide, pixel_size_um=pixel_size_um).array
    whole = array[...]
    assert array.shape == whole.shape == (*(int(n * 0.5 / pixel_size_um) for n in (600, 900)), 3)
    for y, x in ((0, 0), (13, 57), (70, 31)):
        assert np.array_equal(array[y : y + 41, x : x + 77], whole[y : y + 41, x : x + 77])


def test_resampled_pixels_are_means_of_their_areas(tmp_path):
    picture = np.random.default_rng(0).integers(0, 256, (300, 450, 3), np.uint8)
    path = write_slide(tmp_path / "a.svs", picture, levels=1)
    threes = open_stack(path, pixel_size_um=1.5).array[...]
    means = picture.reshape(100, 3, 150, 3, 3).mean((1, 3))
    assert np.abs(threes - means).max() < 1.01  # rounded along each axis
    assert np.abs(open_stack(path, pixel_size_um=1.3).array[...].mean() - picture.mean()) < 0.5


def test_labels_are_not_averaged(tmp_path):
    labels = np.kron(np.arange(1, 101).reshape(10, 10), np.ones((30, 30))).astype(np.uint16)
    path = write_pyramid(tmp_path / "labels.ome.tif", labels)
    for pixel_size_um in (0.8, 1.7):
        found = open_stack(path, pixel_size_um=pixel_size_um).array[...]
        assert set(np.unique(found)) == set(range(1, 101))


def test_grey_values_around_an_empty_middle_are_averaged(tmp_path):
    grey = np.random.default_rng(0).integers(100, 4000, (1024, 1024)).astype(np.uint16)
    grey[384:640, 384:640] = 100
    path = write_pyramid(tmp_path / "grey.ome.tif", grey, levels=1)
    found = open_stack(path, pixel_size_um=1).array[:100, :100]
    assert np.abs(found - grey[:200, :200].reshape(100, 2, 100, 2).mean((1, 3))).max() < 1.01


def test_pixels_that_are_not_known_stay_in_their_areas_whatever_the_window(tmp_path):
    known = np.ones((64, 64), np.float32)
    known[32, 32], known[10, 16] = np.nan, np.inf
    path = write_pyramid(tmp_path / "a.ome.tif", known, 1.0, levels=1)
    for step in (1.6, 1.7, 2.3, 2.5):
        array = open_stack(path, pixel_size_um=step).array
        whole = array[...]
        assert not np.isfinite(whole[int(32.5 / step), int(32.5 / step)])
        starts = np.arange(whole.shape[0]) * step
        overlaps = [(starts < at + 1 - 1e-6) & (starts + step > at + 1e-6) for at in (32, 10, 16)]
        expected = np.outer(overlaps[0], overlaps[0]) | np.outer(overlaps[1], overlaps[2])
        assert np.array_equal(~np.isfinite(whole), expected)
        each = [[array[y : y + 1, x : x + 1][0, 0] for x in range(len(whole))] for y in range(len(whole))]
        assert np.array_equal(each, whole, equal_nan=True)


def test_a_size_that_is_the_finest_but_for_rounding_is_the_finest(slide, picture):
    for pixel_size_um in (0.495, 0.4951, 0.5, 0.505):
        assert np.array_equal(open_stack(slide, pixel_size_um=pixel_size_um).array[...], picture)
    with pytest.raises(ValueError, match="at its finest, and was asked for"):
        open_stack(slide, pixel_size_um=0.4949)


def test_sides_of_almost_one_size_show_the_same_place_at_their_far_end(tmp_path):
    fine, coarse = np.zeros((2000, 2000), np.uint8), np.zeros((994, 994), np.uint8)
    fine[1960:1976, 1960:1976], at = 200, 1968 * 0.25 / 0.503
    coarse[round(at) - 4 : round(at) + 4, round(at) - 4 : round(at) + 4] = 200
    a = write_pyramid(tmp_path / "a.ome.tif", fine, 0.25, levels=2)
    b = write_pyramid(tmp_path / "b.ome.tif", coarse, 0.503, levels=1)
    for size in (0.503, 0.5, 1.006):
        for first, second in ((a, b), (b, a)):
            sides = at_one_size(open_stack(first), open_stack(second), size)
            spots = [np.argwhere(side.array[...] > 100).mean(axis=0) for side in sides]
            assert sides[0].array.shape == sides[1].array.shape
            assert np.abs(spots[0] - spots[1]).max() < 1.5


def test_where_nothing_was_scanned_is_white():
    pixels = np.array([[[0, 0, 0, 0], [10, 20, 30, 255], [0, 0, 0, 51]]], np.uint8)
    assert _on_white(pixels).tolist() == [[[255, 255, 255], [10, 20, 30], [204, 204, 204]]]


def test_slides_are_found_in_folders_and_named_by_their_stems(slide):
    assert list_images(slide.parent) == [slide] and stem(slide) == "case"


@pytest.mark.parametrize("json_lines", [True, False])
def test_info_tells_levels_and_no_patient(slide, capsys, json_lines):
    assert main(["info", str(slide), *(["--json"] if json_lines else [])]) == 0
    said = capsys.readouterr().out
    assert PATIENT not in said and "User" not in said
    if json_lines:
        told = json.loads(said)
        assert told["objective"] == 20 and told["pixel_size_um"] == {"Y": 0.5, "X": 0.5}
        assert [level["shape"] for level in told["levels"]] == [[600, 900, 3], [300, 450, 3], [150, 225, 3]]
    else:
        assert "objective of 20x" in said and "level 2: 225 x 150 px, 2 µm, 1 : 4" in said


def test_info_tells_the_levels_of_a_pyramidal_tiff(tmp_path, picture, capsys):
    assert main(["info", str(write_pyramid(tmp_path / "a.ome.tif", picture))]) == 0
    assert "level 1: 450 x 300 px, 1 µm, 1 : 2" in capsys.readouterr().out


@pytest.mark.parametrize("n_levels", [1, 2])
def test_resolution_in_centimetres_is_the_pixel_size_of_a_tiff_with_levels(tmp_path, picture, n_levels):
    """As vips, QuPath and scanners write it, and OpenSlide reads it; a plain TIFF says so without knowing."""
    path, how = tmp_path / "a.tif", {"resolution": (20_000, 10_000), "resolutionunit": "CENTIMETER", "tile": (64, 64)}
    with tifffile.TiffWriter(path) as file:
        file.write(picture, subifds=n_levels - 1, metadata=None, **how)
        for _ in range(n_levels - 1):
            file.write(picture[::2, ::2], subfiletype=1, metadata=None, **how)
    stack = open_stack(path)
    assert len(stack.levels) == (n_levels if n_levels > 1 else 0)
    assert stack.pixel_size_um == ({"Y": 1.0, "X": 0.5} if n_levels > 1 else {})


def test_resolution_of_no_microscope_is_no_pixel_size(tmp_path, picture):
    """10 pixels in a centimetre are what is written where none is known."""
    path, how = tmp_path / "a.tif", {"resolution": (10, 10), "resolutionunit": "CENTIMETER", "tile": (64, 64)}
    with tifffile.TiffWriter(path) as file:
        file.write(picture, subifds=1, metadata=None, **how)
        file.write(picture[::2, ::2], subfiletype=1, metadata=None, **how)
    assert open_stack(path).pixel_size_um == {}


def test_a_tiff_cut_short_is_named(tmp_path, picture):
    path = write_pyramid(tmp_path / "a.ome.tif", picture)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(ValueError, match=r"a\.ome\.tif is not \(it is damaged or cut short\)"):
        open_stack(path).array[...]


def test_a_slide_cut_short_is_named(slide, tmp_path):
    cut = tmp_path / "cut.svs"
    cut.write_bytes(slide.read_bytes()[:200_000])
    with pytest.raises(ValueError, match=r"A slide must be one that OpenSlide reads, whole; .*cut\.svs is not"):
        open_stack(cut).array[...]


def test_a_level_that_is_missing_is_named(slide):
    with pytest.raises(ValueError, match=r"has pixels of 0\.5 µm at its finest, .*0\.1 µm\. Give `pixel_size_um` 0\.5"):
        open_stack(slide, pixel_size_um=0.1)


def test_a_slide_of_no_pixel_size_is_named(tmp_path, picture):
    path = write_slide(tmp_path / "a.svs", picture, None)
    assert open_stack(path).pixel_size_um == {}
    with pytest.raises(ValueError, match=r"a slide must say how large its pixels are; .*a\.svs does not"):
        open_stack(path, pixel_size_um=1)


def test_without_the_extra_one_sentence_says_what_to_install(slide, tmp_path, picture, monkeypatch, capsys):
    pyramid = write_pyramid(tmp_path / "a.ome.tif", picture)
    monkeypatch.setitem(sys.modules, "openslide", None)
    assert main(["info", str(slide)]) == 2
    assert capsys.readouterr().err.strip().endswith("it is not. Give: pip install 'napari-pix2pix[slides]'.")
    assert open_stack(pyramid, pixel_size_um=1).array.shape == (300, 450, 3)  # tifffile reads these


@pytest.mark.skipif(not REAL.exists(), reason="no real slide here")
def test_a_real_slide():
    stack = open_stack(REAL, pixel_size_um=0.998)
    assert stack.array.shape == (1483, 1110, 3) and stack.objective == 20
    assert np.array_equal(stack.array[700:800, 600:], stack.array[...][700:800, 600:])
