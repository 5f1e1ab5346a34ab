"""`check` with local shifts: what it tells of pairs that lie off in places, are turned, or do not belong together."""

import json

import imagecodecs
import numpy as np
import pytest
import tifffile

from napari_pix2pix import core
from napari_pix2pix.commands.app import main
from small import blobs


def tissue(seed=0):
    """A noisy image of enough objects to recognize, and their labels."""
    quarters = [[blobs((96, 112), 4 * seed + 2 * i + j) for j in (0, 1)] for i in (0, 1)]
    image, labels = (np.block([[quarter[k] for quarter in row] for row in quarters]) for k in (0, 1))
    return image, labels


def test_a_sheared_target_is_told_with_its_shifts_and_their_motion():
    image, _ = tissue()
    rows = np.arange(192)
    sheared = np.stack([np.roll(image[i], round(0.04 * (i - 96))) for i in rows])
    report = core.check(image, sheared, local=True)
    local = report["local"]
    assert local["largest"] > 3 * local["median"] / 2 > 1.5
    assert local["unmatched"] < 0.3
    assert local["explained_by"] == {"affine": 1}
    assert any("command register" in text for text in report["warnings"])
    assert report["facts"]["motion"] == "affine 1 of 1 frame"
    blocks = np.array(local["frames"]["pair 0"]["blocks"])
    matches = blocks[:, 5] > 0
    assert blocks[matches, 3] == pytest.approx(0.04 * (blocks[matches, 0] - 96), abs=1.2)
    json.dumps(report, allow_nan=False)


def test_pairs_that_lie_well_say_so_and_nothing_is_measured_unasked():
    image, labels = tissue()
    report = core.check(image, labels, local=True)
    assert report["local"]["median"] < 1
    assert report["local"]["explained_by"] == {"shift": 1}
    assert not any("lie off" in text for text in report["warnings"])
    assert "local" not in core.check(image, labels)


def test_each_plane_of_a_stack_is_told_by_itself_what_is_turned_and_what_is_of_something_else():
    image, labels = tissue()
    targets = np.stack([labels, labels[:, ::-1], tissue(7)[1], np.zeros_like(labels)])
    report = core.check(np.stack([image] * 4), targets, local=True)
    local = report["local"]
    assert local["turned"] == {"pair 0, frame 1": "mirrored left to right"}
    assert local["nothing_in_common"] == ["pair 0, frame 1", "pair 0, frame 2"]
    assert list(local["not_measured"]) == ["pair 0, frame 3"]
    said = " ".join(report["warnings"])
    assert "mirrored left to right" in said
    assert "nothing in common" in said
    assert "the target is constant" in said


def test_volumes_are_looked_at_in_plane():
    image, labels = tissue()
    pairs = core.PairedFrames(np.stack([image] * 3), np.stack([labels] * 3), "ZYX", z="volume")
    assert len(core.check(pairs, local=True)["local"]["frames"]) == 3


def test_the_command_tells_it_and_refuses_what_are_no_pairs(tmp_path, capsys):
    image, labels = tissue()
    tifffile.imwrite(tmp_path / "image.tif", image)
    tifffile.imwrite(tmp_path / "labels.tif", np.roll(labels, 4, 0))
    paths = [f"{tmp_path}/image.tif", f"{tmp_path}/labels.tif"]
    assert main(["check", *paths, "--local"]) == 0
    out = capsys.readouterr().out
    assert "local shifts" in out
    assert "shift 1 of 1 frame" in out
    assert "warning: Targets lie off their sources by 4" in out
    assert main(["check", *paths, "--local", "--method", "cyclegan"]) == 2
    assert "Leave --local out" in capsys.readouterr().err
    with pytest.raises(ValueError, match="must be those of pairs"):
        core.check(core.Images(image), local=True)


def test_a_picture_shows_the_shifts_of_planes_and_colours_and_replaces_nothing(tmp_path, capsys):
    image, labels = tissue()
    sources = np.stack([np.stack([image] * 3), np.stack([image] * 3)])
    tifffile.imwrite(tmp_path / "image.tif", sources, metadata={"axes": "ZCYX"}, ome=True)
    tifffile.imwrite(tmp_path / "labels.tif", np.stack([np.roll(labels, 4, 0), tissue(7)[1]]))
    words = ["check", f"{tmp_path}/image.tif", f"{tmp_path}/labels.tif", "--target-axes", "ZYX", "--picture"]
    assert main([*words, f"{tmp_path}/new/shifts.png"]) == 0
    assert f"Picture: {tmp_path}/new/shifts.png" in capsys.readouterr().out
    picture = imagecodecs.imread(tmp_path / "new/shifts.png")
    assert picture.shape[1] > picture.shape[0] > 300
    assert np.ptp(picture[..., :3].astype(int), axis=-1).max() > 100  # coloured arrows on grey
    for name, sentence in (("new/shifts.png", "must not exist yet"), ("shifts.jpg", "must end in .png")):
        assert main([*words, f"{tmp_path}/{name}"]) == 2
        assert sentence in capsys.readouterr().err
