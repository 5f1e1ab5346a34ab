"""`register`: targets are moved to lie over their sources, once; what could not be is not known, and said."""

import csv
import json

import numpy as np
import pytest
import tifffile
from scipy import ndimage

from napari_pix2pix.commands.app import main
from napari_pix2pix.core.data.fields import inside, moved, places
from napari_pix2pix.files.stacks import open_stack
from small import SMALL_FLAGS, blobs

SHAPE = (192, 224)


def tissue(seed=0):
    """A noisy image of enough objects to recognize, and their labels, each object its own."""
    quarters = [[blobs((96, 112), 4 * seed + 2 * i + j) for j in (0, 1)] for i in (0, 1)]
    image, labels = (np.block([[quarter[k] for quarter in row] for row in quarters]) for k in (0, 1))
    return image, ndimage.label(labels)[0].astype(np.uint16)


def bent(shape=SHAPE, local=4.0):
    random = np.random.default_rng(3)
    bumps = [ndimage.gaussian_filter(random.normal(size=shape), 40) for _ in range(2)]
    return np.stack([local * bump / np.abs(bump).max() for bump in bumps]).astype(np.float32)


def torn(image, nearest=False, field=None):
    """The image seen through a field of shifts: what `register` is to undo."""
    field = bent() if field is None else field
    return moved(image[None], places(field), nearest=nearest)[0]


def write(path, image, axes="YX", size=0.5, **said):
    path.parent.mkdir(parents=True, exist_ok=True)
    metadata = {"axes": axes, "PhysicalSizeX": size, "PhysicalSizeY": size} | said
    tifffile.imwrite(path, image, ome=True, metadata=metadata)
    return str(path)


def table(folder):
    with (folder / "registered.csv").open(encoding="utf8") as file:
        return {row["name"]: row for row in csv.DictReader(file)}


def test_a_torn_target_lies_over_its_source_again_with_all_that_its_file_says(tmp_path, capsys):
    image, labels = tissue()
    source, target = (
        write(tmp_path / "s/a.tif", image),
        write(tmp_path / "t/a.tif", torn(labels, nearest=True)),
    )
    assert main(["register", source, target, "--out", f"{tmp_path}/out", "--json"]) == 0
    events = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert events[-1]["frames"]["moved"] == 1
    result, known = (open_stack(tmp_path / "out" / folder / "a.tif") for folder in ("targets", "known"))
    assert (result.array.dtype, result.axes, result.pixel_size_um["X"]) == (np.uint16, "YX", 0.5)
    assert json.loads(result.description)["registered_to"]["name"] == "a.tif"
    mended, sure = np.asarray(result.array), np.asarray(known.array) > 0
    assert set(np.unique(mended)) <= set(np.unique(labels))
    wrong = [((image_ > 0) != (labels > 0))[sure].mean() for image_ in (torn(labels, nearest=True), mended)]
    assert wrong[1] < wrong[0] / 2
    assert sure.mean() > 0.8
    row = table(tmp_path / "out")["a"]
    assert float(row["after_px"]) < 1 < float(row["before_px"])
    assert float(row["correlation_before"]) < float(row["correlation_after"])
    assert float(row["least_area"]) > 0
    assert (tifffile.imread(target) == torn(labels, nearest=True)).all()


def test_what_was_registered_is_not_advised_to_be_and_stays_as_it_is(tmp_path, capsys):
    image, labels = tissue()
    source = write(tmp_path / "s/a.tif", image)
    target = write(tmp_path / "t/a.tif", torn(labels, nearest=True, field=2 * bent()))
    assert main(["check", source, target, "--local"]) == 0
    said = capsys.readouterr().out
    assert "Move them with the command register" in said
    assert said.splitlines()[-1].endswith("but first see to how targets lie on their sources")
    assert main(["register", source, target, "--out", f"{tmp_path}/out"]) == 0
    mended = f"{tmp_path}/out/targets/a.tif"
    capsys.readouterr()
    assert main(["check", source, mended, "--local"]) == 0
    said = capsys.readouterr().out
    assert "register" not in said
    assert "see to" not in said.splitlines()[-1]
    assert main(["register", source, mended, "--out", f"{tmp_path}/again"]) == 0
    again = table(tmp_path / "again")["a"]
    assert again["moved"] == "0"
    assert (tifffile.imread(f"{tmp_path}/again/targets/a.tif") == tifffile.imread(mended)).all()


def test_what_was_registered_trains(tmp_path):
    image, labels = tissue()
    for name, seed in (("a", 0), ("b", 1)):
        image, labels = tissue(seed)
        source = write(tmp_path / "s" / f"{name}.tif", image)
        write(tmp_path / "t" / f"{name}.tif", torn(labels, nearest=True))
    source, target, out = (str(tmp_path / folder) for folder in ("s", "t", "out"))
    assert main(["register", source, target, "--out", out]) == 0
    words = ["train", source, f"{out}/targets", "--valid", f"{out}/known", "--out", f"{tmp_path}/run", *SMALL_FLAGS]
    assert main(words) == 0


def test_grey_values_stay_within_their_range_and_channels_keep_their_names(tmp_path):
    image, _ = tissue()
    both = np.stack([4000 - image, np.full_like(image, 7)])
    both[1, 50:60] = 9
    target = np.stack([torn(channel) for channel in both])
    source = write(tmp_path / "s.tif", image)
    target = write(tmp_path / "t.tif", target, "CYX", Channel={"Name": ["DAPI", "flat"]})
    assert main(["register", source, target, "--out", f"{tmp_path}/out", "--target-channels", "DAPI"]) == 0
    result = open_stack(tmp_path / "out/targets/s.tif")
    assert result.channel_names == ("DAPI", "flat")
    values = np.asarray(result.array)
    assert values.dtype == np.uint16
    assert 7 <= values[1].min() <= values[1].max() <= 9
    off = np.abs(values[0].astype(int) - both[0].astype(int))[30:-30, 30:-30]
    was = np.abs(torn(both[0]).astype(int) - both[0].astype(int))[30:-30, 30:-30]
    assert off.mean() < 0.6 * was.mean()


def test_each_plane_is_moved_by_itself_and_what_lies_in_place_stays_to_the_bit(tmp_path):
    image, labels = tissue()
    planes = np.stack([labels, np.roll(labels, 5, 0), np.roll(labels, -6, 1)])
    source = write(tmp_path / "s.tif", np.stack([image] * 3), "ZYX")
    target = write(tmp_path / "t.tif", planes, "ZYX")
    assert main(["register", source, target, "--out", f"{tmp_path}/out"]) == 0
    row = table(tmp_path / "out")["s"]
    assert (row["moved"], row["in_place"], row["motion"].split()[0]) == ("2", "1", "shift")
    mended = np.asarray(open_stack(tmp_path / "out/targets/s.tif").array)
    assert (mended[0] == labels).all()
    for plane in mended[1:]:
        assert ((plane > 0) != (labels > 0))[16:-16, 16:-16].mean() < 0.01


def test_of_several_pairs_the_bad_ones_are_named_and_the_others_done(tmp_path, capsys):
    image, labels = tissue()
    holed = image.astype(np.float32)
    holed[3, 4] = np.nan
    pairs = {
        "good": (image, np.roll(labels, 4, 0)),
        "empty": (image, np.zeros_like(labels)),
        "holed": (holed, labels),
        "mirrored": (image, labels[:, ::-1]),
        "other": (image, tissue(9)[1]),
        "tiny": (image[:40, :40], labels[:40, :40]),
    }
    for name, (source, target) in pairs.items():
        write(tmp_path / "s" / f"{name}.tif", source)
        write(tmp_path / "t" / f"{name}.tif", np.ascontiguousarray(target))
    assert main(["register", f"{tmp_path}/s", f"{tmp_path}/t", "--out", f"{tmp_path}/out"]) == 1
    assert [path.name for path in (tmp_path / "out/targets").iterdir() if path.name[0] != "."] == ["good.tif"]
    with (tmp_path / "out/failures.csv").open(encoding="utf8") as file:
        reasons = {row["path"].rsplit("/")[-1]: row["reason"] for row in csv.DictReader(file)}
    assert "the target is constant" in reasons["empty.tif"]
    assert "NaN" in reasons["holed.tif"]
    assert "mirrored left to right" in reasons["mirrored.tif"]
    assert "in common" in reasons["other.tif"]
    assert "confidence" in reasons["other.tif"]
    assert "at least 64 px" in reasons["tiny.tif"]
    assert "Traceback" not in capsys.readouterr().err


def test_a_frame_that_matches_nothing_keeps_its_target_and_is_known_nowhere(tmp_path, capsys):
    image, labels = tissue()
    planes = np.stack([np.roll(labels, 4, 0), tissue(9)[1], np.zeros_like(labels)])
    source, target = write(tmp_path / "s.tif", np.stack([image] * 3), "TYX"), write(tmp_path / "t.tif", planes, "TYX")
    assert main(["register", source, target, "--out", f"{tmp_path}/out"]) == 0
    mended, known = (np.asarray(open_stack(tmp_path / "out" / name / "s.tif").array) for name in ("targets", "known"))
    assert (mended[1] == planes[1]).all()
    assert (known[1] == 0).all()
    assert (known[2] == 1).all()  # what is empty is so wherever it lies
    said = capsys.readouterr().err
    assert "s, frame 1 keeps its target as it was" in said
    assert table(tmp_path / "out")["s"]["unlike"] == "2"


@pytest.mark.parametrize("how", ["centre", "pixel size"])
def test_a_target_of_another_size_is_laid_on_its_source_and_that_is_said(tmp_path, capsys, how):
    image, _ = tissue()
    target = 4000 - image
    if how == "centre":
        placed, size = np.pad(target, ((20, 30), (10, 20)), mode="edge"), 0.5
    else:
        placed, size = ndimage.zoom(target, 0.5, order=1, grid_mode=True, mode="nearest"), 1.0
    paths = write(tmp_path / "s.tif", image), write(tmp_path / "t.tif", placed, size=size)
    assert main(["register", *paths, "--out", f"{tmp_path}/out"]) == 0
    assert ("centre is laid on centre" if how == "centre" else "by its pixel size") in capsys.readouterr().err
    result = open_stack(tmp_path / "out/targets/s.tif")
    assert result.array.shape == SHAPE
    assert result.pixel_size_um["X"] == 0.5
    apart = np.corrcoef(np.asarray(result.array)[16:-16, 16:-16].ravel(), target[16:-16, 16:-16].ravel())[0, 1]
    assert apart > (0.98 if how == "centre" else 0.9)


def test_masks_of_before_are_moved_and_unlabelled_pixels_tell_nothing(tmp_path):
    image, labels = tissue()
    labels = np.roll(labels, 6, 1)
    valid = np.ones(SHAPE, np.uint8)
    valid[:, :56] = 0
    paths = write(tmp_path / "s.tif", image), write(tmp_path / "t.tif", np.where(valid, labels, 9999).astype(np.uint16))
    mask = write(tmp_path / "m.tif", valid)
    for flags in (["--valid", mask], ["--ignore-label", "9999"]):
        out = tmp_path / flags[0][2:]
        assert main(["register", *paths, "--out", str(out), "--target-kind", "instances", *flags]) == 0
        known = np.asarray(open_stack(out / "known/s.tif").array)
        assert not known[:, :49].any()
        assert known[30:-30, 80:-30].mean() > 0.9


def test_it_goes_on_where_it_was_stopped_and_replaces_nothing_unasked(tmp_path, capsys):
    image, labels = tissue()
    paths = write(tmp_path / "s.tif", image), write(tmp_path / "t.tif", np.roll(labels, 4, 0))
    words = ["register", *paths, "--out", f"{tmp_path}/out"]
    assert main(words) == 0
    before = (tmp_path / "out/targets/s.tif").stat().st_mtime_ns
    capsys.readouterr()
    assert main(words) == 0
    assert "done before" in capsys.readouterr().out
    assert (tmp_path / "out/targets/s.tif").stat().st_mtime_ns == before
    assert main([*words, "--target-kind", "intensity"]) == 2
    assert "must not exist yet" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["{0}/s.tif", "{0}/t.tif", "--out", "{0}/out.tif"], "must go to a folder"),
        (["{0}/s.tif", "{0}/stack.tif", "--out", "{0}/out"], "the same planes and times"),
        (["{0}/s.tif", "{0}/t.tif", "--out", "{0}/out", "--valid", "{0}/tiny.tif"], "must show the pixels"),
        (["{0}/s.tif", "{0}/t.tif", "--out", "{0}/out", "--source-channels", "5"], "must be a number from 0"),
        (["{0}/s.tif", "{0}/nothing.tif", "--out", "{0}/out"], "must be images"),
        (["{0}/s.tif", "{0}/far.tif", "--out", "{0}/out"], "less than a quarter"),
    ],
)
def test_a_request_that_cannot_be_done_is_refused_in_a_sentence_and_writes_nothing(tmp_path, capsys, words, sentence):
    image, labels = tissue()
    write(tmp_path / "s.tif", image)
    write(tmp_path / "t.tif", labels)
    write(tmp_path / "stack.tif", np.stack([labels] * 2), "TYX")
    write(tmp_path / "tiny.tif", np.ones((20, 20), np.uint8))
    write(tmp_path / "far.tif", np.roll(image, 80, 1))
    assert main(["register", *(word.format(tmp_path) for word in words)]) == 2
    err = capsys.readouterr().err
    assert sentence in err
    assert "Traceback" not in err
    assert not list((tmp_path / "out").glob("targets/*.tif"))


def test_inside_is_what_lies_within():
    assert inside(places(np.full((2, 4, 4), 2, np.float32)), (4, 4)).sum() == 4


def test_read_in_bands_it_is_the_same_as_in_one_piece(tmp_path, monkeypatch):
    """Grey values to one, labels to the pixel, and all that the table tells; laid on its source by pixel size, too."""
    image, labels = tissue()
    images = {"grey": torn(4000 - image), "labels": torn(labels, nearest=True)}
    images["small"] = ndimage.zoom(images["grey"], 0.5, order=1, grid_mode=True, mode="nearest")
    for name, target in images.items():
        write(tmp_path / "s" / f"{name}.tif", image)
        write(tmp_path / "t" / f"{name}.tif", target, size=1.0 if name == "small" else 0.5)
    results = {}
    monkeypatch.setattr("napari_pix2pix.core.data.local_shifts.LARGEST_SIDE", 112)
    for n_pixels in (2**22, 50 * SHAPE[1]):
        monkeypatch.setattr("napari_pix2pix.core.data.local_shifts.BAND", n_pixels)
        out = tmp_path / str(n_pixels)
        assert main(["register", f"{tmp_path}/s", f"{tmp_path}/t", "--out", str(out)]) == 0
        files = {
            name: [tifffile.imread(out / side / f"{name}.tif") for side in ("targets", "known")] for name in images
        }
        rows = [{k: v for k, v in row.items() if k not in ("seconds", "path")} for row in table(out).values()]
        results[n_pixels] = files, rows
    (whole, rows), (banded, banded_rows) = results.values()
    for name in images:
        off = np.abs(whole[name][0].astype(int) - banded[name][0].astype(int))
        assert off.max() <= (1 if name != "labels" else 0)
        assert (whole[name][1] == banded[name][1]).all()
    for one, other in zip(rows, banded_rows, strict=True):
        assert {k: one[k] for k in ("moved", "known", "motion", "before_px")} == {
            k: other[k] for k in ("moved", "known", "motion", "before_px")
        }


def test_a_share_of_the_pairs_and_then_the_rest_on_workers(tmp_path):
    image, labels = tissue()
    for name in "abc":
        write(tmp_path / "s" / f"{name}.tif", image)
        write(tmp_path / "t" / f"{name}.tif", np.roll(labels, 4, 0))
    words = ["register", f"{tmp_path}/s", f"{tmp_path}/t", "--out", f"{tmp_path}/out"]
    assert main([*words, "--shard", "2/3"]) == 0
    assert [path.name for path in (tmp_path / "out/targets").glob("[a-z]*.tif")] == ["b.tif"]
    assert main([*words, "--local-workers", "1"]) == 0
    assert sorted(table(tmp_path / "out")) == ["a", "b", "c"]
    assert {row["moved"] for row in table(tmp_path / "out").values()} == {"1"}


def test_what_is_saturated_or_holds_nan_in_one_plane_only(tmp_path, capsys):
    """Clipped grey values still tell where edges are; NaN anywhere in a stack refuses it and writes nothing."""
    image, labels = tissue()
    saturated = image.clip(0, np.percentile(image, 70)).astype(np.uint16)
    source, target = write(tmp_path / "s.tif", saturated), write(tmp_path / "t.tif", np.roll(labels, 5, 1))
    assert main(["register", source, target, "--out", f"{tmp_path}/out"]) == 0
    mended = np.asarray(open_stack(tmp_path / "out/targets/s.tif").array)
    assert ((mended > 0) != (labels > 0))[16:-16, 16:-16].mean() < 0.01
    planes = np.stack([np.roll(image, 3, 0), image]).astype(np.float32)
    planes[1, 5, 5] = np.nan
    paths = write(tmp_path / "two.tif", np.stack([image] * 2), "ZYX"), write(tmp_path / "nan.tif", planes, "ZYX")
    assert main(["register", *paths, "--out", f"{tmp_path}/bad"]) == 2
    assert "the target of two, frame 1 holds NaN or Inf" in capsys.readouterr().err
    assert not list((tmp_path / "bad").glob("*/*.tif"))


def test_a_constant_or_wholly_saturated_source_is_refused(tmp_path, capsys):
    _, labels = tissue()
    source = write(tmp_path / "s.tif", np.full(SHAPE, 65535, np.uint16))
    assert main(["register", source, write(tmp_path / "t.tif", labels), "--out", f"{tmp_path}/out"]) == 2
    assert "the source is constant. Leave the pair out." in capsys.readouterr().err


@pytest.mark.parametrize("side", [50, 110])
def test_a_small_target_of_another_place_is_refused_however_large_its_source(tmp_path, capsys, side):
    """Most of the source has no target then: that must not make chance look like a match."""
    source, target = write(tmp_path / "s.tif", tissue()[0]), write(tmp_path / "t.tif", tissue(5)[1][:side, :side])
    assert main(["register", source, target, "--out", f"{tmp_path}/out"]) != 0
    said = capsys.readouterr().err
    assert ("must have something in common" if side > 64 else f"it is over {side} x {side}") in said
    assert not list((tmp_path / "out" / "targets").glob("*"))


def test_labels_stored_as_floats_are_asked_about(tmp_path, capsys):
    image, labels = tissue()
    source, target = write(tmp_path / "s.tif", image), write(tmp_path / "t.tif", labels.astype(np.float32))
    assert main(["register", source, target, "--out", f"{tmp_path}/out"]) == 0
    said = " ".join(capsys.readouterr().err.split())
    assert "t is moved as grey values." in said or "s is moved as grey values." in said
    assert "Then give --target-kind instances" in said
    assert main(["register", source, target, "--out", f"{tmp_path}/o2", "--target-kind", "instances"]) == 0
    assert "grey values" not in capsys.readouterr().err


def test_grey_planes_after_an_empty_one_are_no_labels(tmp_path, capsys):
    image = np.stack([tissue()[0]] * 2).astype(np.float32)
    empty = image * np.array([0, 1], np.float32)[:, None, None] * 1.37
    source, target = write(tmp_path / "s.tif", image, "ZYX"), write(tmp_path / "t.tif", empty, "ZYX")
    main(["register", source, target, "--out", f"{tmp_path}/out"])
    assert "grey values" not in capsys.readouterr().err
