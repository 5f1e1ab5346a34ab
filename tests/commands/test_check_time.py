"""`check --time` tells how long a training would take here."""

import json
from itertools import chain

import numpy as np
import pytest
import tifffile

from napari_pix2pix.commands.app import main
from small import SMALL_FLAGS, blobs


@pytest.mark.parametrize("kind", ["grey", "rgb to labels", "volume"])
def test_minutes_are_told_with_the_steps(kind, tmp_path, capsys) -> None:
    """Of the settings that are asked for, for every kind of pair; nothing is left behind."""
    source, target = (np.stack(side) for side in zip(*(blobs(seed=i) for i in range(4)), strict=True))
    more = []
    if kind == "rgb to labels":
        source = np.stack([source] * 3, axis=-1).astype(np.uint8)
    if kind == "grey":
        target = source // 2
    if kind == "volume":
        more = ["--z", "volume", "--patch-depth", "2"]
    axes = {"grey": "TYX", "rgb to labels": "TYXS", "volume": "ZYX"}[kind]
    photometric = "rgb" if axes.endswith("S") else "minisblack"
    tifffile.imwrite(tmp_path / "a.tif", source, photometric=photometric, metadata={"axes": axes})
    target_axes = axes.removesuffix("S")
    tifffile.imwrite(tmp_path / "b.tif", target, photometric="minisblack", metadata={"axes": target_axes})
    asked = {"--empty-frames": "empty", "--steps": "6000", "--trust-steps": "0", "--device": "cpu"}
    flags = dict(zip(SMALL_FLAGS[::2], SMALL_FLAGS[1::2], strict=True)) | asked
    pair = [str(tmp_path / "a.tif"), str(tmp_path / "b.tif")]
    assert main(["check", *pair, *chain(*flags.items()), *more, "--time", "--json"]) == 0
    told = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert told["time"]["steps"] == 6000 and told["time"]["judges"] is False
    assert 0 < told["time"]["minutes"] < 1000
    assert "minutes for 6,000 steps on this machine" in told["facts"]["time"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.tif", "b.tif"]


def test_images_that_are_no_pairs_have_no_time(tmp_path, capsys) -> None:
    """One sentence, before anything is read."""
    assert main(["check", str(tmp_path), str(tmp_path), "--method", "cyclegan", "--time"]) == 2
    assert "Times must be those of pairs; cyclegan takes none. Leave --time out." in capsys.readouterr().err
