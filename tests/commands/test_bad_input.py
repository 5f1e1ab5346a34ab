"""What predict says of sources that are not what the model knows, and what it leaves alone."""

import errno
import os
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
import tifffile
import zarr

from napari_pix2pix.commands.app import main
from napari_pix2pix.files.stacks import open_stack
from small import SMALL_FLAGS, blobs

IMAGE = blobs(seed=5)[0]


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """A model of instances and one of float intensities, trained on one channel of 0.5 µm."""
    folder = tmp_path_factory.mktemp("trained")
    source, labels = blobs()
    write(folder / "source.tif", source)
    write(folder / "labels.tif", labels)
    write(folder / "float.tif", labels.astype(np.float32) / 7)
    for kind, target in (("instances", "labels"), ("intensity", "float")):
        words = ["train", f"{folder}/source.tif", f"{folder}/{target}.tif", "--out", f"{folder}/{kind}"]
        assert main([*words, *SMALL_FLAGS, "--target-kind", kind]) == 0
    return {kind: str(folder / kind) for kind in ("instances", "intensity")}


def write(path: Path, image, size: float = 0.5, axes: str = "YX", **named) -> Path:
    metadata = {"axes": axes, "PhysicalSizeX": size, "PhysicalSizeY": size}
    tifffile.imwrite(path, image, ome=True, metadata=metadata, **named)
    return path


def cut(path: Path, share: float = 0.6) -> Path:
    """The file without its end."""
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    return path


def cut_tiff(folder: Path) -> Path:
    return cut(write(folder / "bad.tif", IMAGE))


def cut_compressed(folder: Path) -> Path:
    return cut(write(folder / "bad.tif", IMAGE, compression="zlib", rowsperstrip=8))


def cut_stack(folder: Path) -> Path:
    tifffile.imwrite(folder / "bad.tif", np.stack([IMAGE] * 4), photometric="minisblack")
    return cut(folder / "bad.tif")


def cut_png(folder: Path) -> Path:
    (folder / "bad.png").write_bytes(imagecodecs.png_encode(IMAGE))
    return cut(folder / "bad.png")


def cut_jpeg(folder: Path) -> Path:
    (folder / "bad.jpg").write_bytes(imagecodecs.jpeg_encode((IMAGE // 16).astype(np.uint8)))
    return cut(folder / "bad.jpg", 0.05)


def cut_zarr(folder: Path) -> Path:
    array = zarr.create_array(folder / "bad.zarr", shape=IMAGE.shape, dtype=IMAGE.dtype, chunks=(32, 32))
    array[:] = IMAGE
    chunk = next(path for path in (folder / "bad.zarr").rglob("*") if path.is_file() and path.name != "zarr.json")
    cut(chunk)
    return folder / "bad.zarr"


def empty(folder: Path) -> Path:
    (folder / "bad.tif").write_bytes(b"")
    return folder / "bad.tif"


def text(folder: Path) -> Path:
    (folder / "bad.tif").write_text("no image at all")
    return folder / "bad.tif"


def two_channels(folder: Path) -> Path:
    return write(folder / "bad.tif", np.stack([IMAGE, IMAGE]), axes="CYX")


def colours(folder: Path) -> Path:
    tifffile.imwrite(folder / "bad.tif", np.zeros((40, 40, 3), np.uint8), photometric="rgb")
    return folder / "bad.tif"


UNREADABLE = "An image must be a readable TIFF, PNG, JPEG or OME-Zarr; {bad} is not ("
BAD = {
    cut_tiff: UNREADABLE,
    cut_compressed: UNREADABLE,
    cut_stack: UNREADABLE,
    cut_png: UNREADABLE,
    cut_jpeg: UNREADABLE,
    cut_zarr: UNREADABLE,
    empty: UNREADABLE,
    text: UNREADABLE,
    two_channels: "A source for this model must have 1 channel; got 2 (CYX, (2, 96, 128)). Choose channels "
    "(--source-channels) or give the axes.",
    colours: "A source for this model must have 1 channel; got 3 (YXS, (40, 40, 3)). Choose channels",
}


@pytest.mark.parametrize("make", BAD, ids=lambda make: make.__name__)
def test_a_bad_file_is_named_and_the_others_are_done(models, tmp_path, capsys, make) -> None:
    """Alone it ends the command, exit 2; among others it is named there and in failures.csv, exit 1."""
    folder, out = tmp_path / "sources", tmp_path / "out"
    folder.mkdir()
    write(folder / "good.tif", IMAGE)
    bad = make(folder)
    sentence = BAD[make].format(bad=bad)
    assert main(["predict", models["instances"], str(bad), "--out", str(tmp_path / "alone.tif")]) == 2
    [said] = capsys.readouterr().err.splitlines()
    assert said.startswith(f"error: {sentence}")
    assert main(["predict", models["instances"], str(folder), "--out", str(out)]) == 1
    assert f"failed: {bad}: {sentence}" in capsys.readouterr().err
    assert sentence in (out / "failures.csv").read_text().replace('""', '"')
    assert [path.name for path in sorted(out.glob("[!.]*"))] == ["failures.csv", "good.tif", "predictions.csv"]
    assert not list(tmp_path.glob("*alone*"))


def test_wrong_axes_are_told(models, tmp_path, capsys) -> None:
    """Letters that do not fit the pixels, and planes that a model takes for channels."""
    source = str(write(tmp_path / "s.tif", np.stack([IMAGE] * 3), axes="ZYX"))
    words = ["predict", models["instances"], source, "--out", str(tmp_path / "out.tif"), "--source-axes"]
    for axes, sentence in (
        ("YX", "axes must name each axis of the stack; got 'YX' for shape (3, 96, 128). Give 3 letters of TZCYXS."),
        ("QYX", "axes must be letters of TZCYXS, each once, with Y and X among them; got 'QYX'."),
        ("CYX", "A source for this model must have 1 channel; got 3 (CYX, (3, 96, 128))."),
    ):
        assert main([*words, axes]) == 2
        [said] = capsys.readouterr().err.splitlines()
        assert sentence in said
    assert [path.name for path in tmp_path.iterdir()] == ["s.tif"]
    assert main([*words, "TYX"]) == 0


def test_another_range_than_in_training_is_warned_of_with_numbers(models, tmp_path, capsys) -> None:
    """How much lies on which side of which range; nothing is said of a source like those of the training."""
    for name, image, told in (
        ("bright", IMAGE + np.uint16(20000), "100% of the source lies above the training range"),
        ("dark", IMAGE.astype(np.float32) - 20000, "100% of the source lies below the training range"),
        ("same", IMAGE, ""),
    ):
        source = write(tmp_path / f"{name}.tif", image)
        out = str(tmp_path / f"{name}.out.tif")
        assert main(["predict", models["instances"], str(source), "--out", out]) == 0
        said = capsys.readouterr().err
        assert told in said if told else "range" not in said
    low, high = blobs()[0].min(), blobs()[0].max()
    assert main(["predict", models["instances"], str(tmp_path / "bright.tif"), "--out", out, "--overwrite"]) == 0
    numbers = capsys.readouterr().err.split("training range ")[1].split(";")[0].split(" to ")
    assert low <= float(numbers[0]) < float(numbers[1]) <= high


@pytest.mark.parametrize(("kind", "mark"), [("instances", 0), ("intensity", np.nan)])
def test_nan_is_predicted_marked_and_warned_of(models, tmp_path, capsys, kind, mark) -> None:
    """Where the source is not known, neither is the prediction; everywhere else it is, exit 0."""
    holed = IMAGE.astype(np.float32)
    holed[30:33, 40:50], holed[60, 60] = np.nan, np.inf
    source, out = write(tmp_path / "s.tif", holed), tmp_path / "out.tif"
    assert main(["predict", models[kind], str(source), "--out", str(out)]) == 0
    assert f"31 pixels of the source are NaN or Inf; the prediction is {mark} there." in capsys.readouterr().err
    found = np.asarray(open_stack(out).array)
    np.testing.assert_array_equal(found[~np.isfinite(holed)], np.full(31, mark, found.dtype))
    assert np.isfinite(found[np.isfinite(holed)]).all()


def test_an_output_never_replaces_an_input(models, tmp_path, capsys) -> None:
    """Under whatever name, also with --overwrite: neither the result nor what goes beside it; nor do scores."""
    source = write(tmp_path / "s.tif", IMAGE)
    write(tmp_path / "p.maps.tif", IMAGE)
    (tmp_path / "link").symlink_to(tmp_path)
    before = {path: path.read_bytes() for path in tmp_path.glob("*.tif")}
    model, predict = models["instances"], ["predict", models["instances"], str(source)]
    for words in (
        [*predict, "--out", str(source)],
        [*predict, "--out", str(tmp_path)],
        [*predict, "--out", f"{tmp_path}/link/s.tif"],
        [*predict, "--out", f"{tmp_path}/nowhere/../s.tif"],
        ["predict", model, str(tmp_path / "p.maps.tif"), "--out", str(tmp_path / "p.tif"), "--keep-maps"],
        ["score", model, str(source), str(tmp_path / "p.maps.tif"), "--out", str(source)],
        ["score", model, str(source), str(tmp_path / "p.maps.tif"), "--out", str(tmp_path / "p.maps.tif")],
    ):
        assert main([*words, "--overwrite"]) == 2
        [said] = capsys.readouterr().err.splitlines()
        assert "An output must not replace an input" in said
    assert {path: path.read_bytes() for path in tmp_path.glob("*.tif")} == before


def test_a_disk_that_fills_up_under_a_zarr_leaves_nothing_of_it(models, tmp_path, monkeypatch, capsys) -> None:
    """One sentence, exit 1; an earlier result is whole."""
    source, out = write(tmp_path / "s.tif", IMAGE), tmp_path / "out.zarr"
    words = ["predict", models["instances"], str(source), "--out", str(out)]
    assert main(words) == 0
    before = np.asarray(open_stack(out).array)
    put, count = zarr.storage.LocalStore.set, []

    async def fail(store, key, value):
        count.append(key)
        if len(count) > 3:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return await put(store, key, value)

    with monkeypatch.context() as patch:
        patch.setattr(zarr.storage.LocalStore, "set", fail)
        capsys.readouterr()
        assert main([*words, "--overwrite"]) == 1
    said = capsys.readouterr().err.splitlines()[-1]
    assert said.startswith(f"error: The disk must have room for the results; that of {out} is full.")
    np.testing.assert_array_equal(np.asarray(open_stack(out).array), before)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.zarr", "s.tif"]
