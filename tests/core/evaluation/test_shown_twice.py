"""`check` says what is shown twice: by pairs of other names, groups and sizes, and by images that are to judge."""

import numpy as np
import tifffile

from napari_pix2pix import core
from napari_pix2pix.commands.app import main
from small import blobs


def tissue(seed=0):
    """A noisy image of enough objects to recognize, and their labels."""
    quarters = [[blobs((96, 112), 4 * seed + 2 * i + j) for j in (0, 1)] for i in (0, 1)]
    return tuple(np.block([[quarter[k] for quarter in row] for row in quarters]) for k in (0, 1))


def pairs(crop=True):
    found = [tissue(seed) for seed in range(3)]
    return [*found, tuple(np.ascontiguousarray(side[20:170, 30:200].T) for side in found[1])] if crop else found


def test_pairs_that_show_one_place_are_told_unless_a_group_keeps_them_together():
    sources, targets = zip(*pairs(), strict=True)
    report = core.check(list(sources), list(targets))
    [row] = report["shown_twice"]
    assert (row["first"], row["second"], row["how"], row["judges"]) == ("pair 1", "pair 3", "transposed", None)
    assert any("pair 3 shows what pair 1 shows (100 % of the smaller one, transposed)" in t for t in report["warnings"])
    grouped = core.PairedFrames(list(sources), list(targets), groups=["a", "b", "c", "b"])
    assert core.check(grouped)["shown_twice"] == []


def test_labels_as_sources_are_known_by_their_targets_and_planes_of_volumes_one_by_one():
    sources, targets = zip(*pairs(), strict=True)
    masks = [(target > 0).astype(np.uint8) for target in targets]
    assert len(core.check(masks, list(sources))["shown_twice"]) == 1
    volumes = [
        np.stack([image, tissue(9)[0][: image.shape[0], : image.shape[1]]]) for image in (sources[0], sources[2])
    ]
    apart = core.PairedFrames(volumes, volumes, "ZYX", z="volume")
    [row] = core.check(apart)["shown_twice"]
    assert (row["first"], row["second"]) == ("pair 0, frame 1", "pair 1, frame 1")


def test_the_command_looks_into_the_images_that_judge(tmp_path, capsys):
    for name, (source, target) in zip("abc", pairs(crop=False), strict=True):
        for side, image in (("s", source), ("t", target)):
            (tmp_path / side).mkdir(exist_ok=True)
            tifffile.imwrite(tmp_path / side / f"{name}.tif", image)
    (tmp_path / "test").mkdir()
    tifffile.imwrite(tmp_path / "test/x.tif", np.ascontiguousarray(tissue(1)[0][10:160, :150][:, ::-1]))
    tifffile.imwrite(tmp_path / "test/y.tif", tissue(8)[0])
    words = ["check", f"{tmp_path}/s", f"{tmp_path}/t"]
    assert main([*words, "--test-source", f"{tmp_path}/test"]) == 0
    out = capsys.readouterr().out
    assert "x of the test images shows what b shows (100 % of the smaller one, mirrored left to right)" in out
    assert main([*words, "--validation-source", f"{tmp_path}/nothing"]) == 2
    assert "must be images" in capsys.readouterr().err
    assert main([*words, "--method", "cyclegan", "--test-source", f"{tmp_path}/test"]) == 2
    assert "Leave --validation-source and --test-source out" in capsys.readouterr().err
