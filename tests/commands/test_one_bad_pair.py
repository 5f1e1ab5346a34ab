"""One bad pair among several does not stop the others, and is named by its own reason."""

import numpy as np
import pytest
import tifffile

from napari_pix2pix.commands.app import main
from small import blobs, untrained


@pytest.fixture
def folders(tmp_path):
    """Four pairs of grey values and objects."""
    for name in ("s", "t"):
        (tmp_path / name).mkdir()
    for i in range(4):
        source, labels = blobs((32, 32), i)
        tifffile.imwrite(tmp_path / "s" / f"p{i}.tif", source)
        tifffile.imwrite(tmp_path / "t" / f"p{i}.tif", labels)
    return tmp_path


def test_check_leaves_out_what_train_leaves_out(folders, capsys) -> None:
    """With --skip-bad the bad pair is named and the others are usable; the patch to give to train is said."""
    tifffile.imwrite(folders / "t" / "p0.tif", blobs((20, 32))[1])
    words = ["check", str(folders / "s"), str(folders / "t")]
    assert main(words) == 2
    capsys.readouterr()
    assert main([*words, "--skip-bad"]) == 0
    out = capsys.readouterr().out
    assert "p0 is left out: Source and target of p0 must show the same pixels" in out
    assert "give it --patch-size 32" in out
    assert out.splitlines()[-1] == "usable with --patch-size 32"


def test_check_says_what_train_asks_for(tmp_path, capsys) -> None:
    """Images smaller than a usual patch, one without labels: usable with these flags, which train then takes."""
    source, labels = blobs((160, 160))
    stacks = {"s": np.stack([source] * 3), "t": np.stack([labels, labels, 0 * labels])}
    for name, stack in stacks.items():
        tifffile.imwrite(tmp_path / f"{name}.tif", stack, photometric="minisblack", metadata={"axes": "TYX"})
    words = ["check", *(str(tmp_path / f"{name}.tif") for name in stacks)]
    assert main(words) == 0
    last = capsys.readouterr().out.splitlines()[-1]
    assert last == "usable with --patch-size 160 and --empty-frames empty or unlabelled"
    assert main([*words, "--patch-size", "160", "--empty-frames", "empty"]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "usable"


def test_evaluate_names_the_target_that_is_of_another_kind(folders, capsys, monkeypatch) -> None:
    """A grey-value target among labels is named, the others are judged, and the exit code says so."""
    monkeypatch.setattr("napari_pix2pix.report.draw.draw_evaluation", lambda path, *_: path.write_text("drawn"))
    source, labels = blobs((32, 32))
    untrained(source[None], labels[None], "instances", gan_weight=0).save(folders / "m.safetensors")
    noise = np.random.default_rng(0).integers(0, 4096, (32, 32)).astype(np.uint16)
    tifffile.imwrite(folders / "t" / "p1.tif", noise)
    words = ["evaluate", *(str(folders / name) for name in ("m.safetensors", "s", "t")), "--out", str(folders / "e")]
    assert main(words) == 1
    told = capsys.readouterr()
    assert "p1 is left out: Targets for this model must be labels" in told.out + told.err
    assert (folders / "e" / "metrics.json").exists()


def test_fit_trust_leaves_out_what_does_not_suit_the_model(folders, capsys, monkeypatch) -> None:
    """A source in colours is named by its own shape; with --skip-bad the others teach."""
    monkeypatch.setattr("napari_pix2pix.core.teaching.teacher.WINDOWS", (4, 4))
    source, labels = blobs((32, 32))
    untrained(source[None], labels[None], "instances", gan_weight=0).save(folders / "m.safetensors")
    tifffile.imwrite(folders / "s" / "p1.tif", np.stack([source // 16] * 3, -1).astype(np.uint8), photometric="rgb")
    words = ["fit-trust", *(str(folders / name) for name in ("m.safetensors", "s", "t")), "--steps", "1", "--skip-bad"]
    assert main([*words[:-1], "--out", str(folders / "new.safetensors")]) == 2
    told = capsys.readouterr().err
    assert "p1 does not suit: A source for this model must have 1 channel; got 3" in told
    assert "use the other pairs: --skip-bad" in told
    assert main([*words, "--out", str(folders / "new.safetensors")]) == 0
    told = capsys.readouterr()
    assert "p1 is left out: Pairs must have the channels of most, 1 and 1; got 3 of the source" in told.out + told.err


@pytest.mark.parametrize("odd", ["s/p0.tif", "t/p2.tif"])
def test_the_channels_of_most_are_those_of_all(folders, capsys, odd: str) -> None:
    """An image of two channels among others of one is left out and named, wherever it stands."""
    image = tifffile.imread(folders / odd)
    tifffile.imwrite(folders / odd, np.stack([image, image]), photometric="minisblack", metadata={"axes": "CYX"})
    words = ["check", str(folders / "s"), str(folders / "t"), "--skip-bad"]
    assert main(words) == 0
    out = capsys.readouterr().out
    assert f"{odd[2:4]} is left out: Pairs must have the channels of most, 1 and 1; got" in out
    assert "3 pairs" in out or "pairs  3" in out
