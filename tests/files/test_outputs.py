"""Results lie as their inputs do, and replace nothing."""

from pathlib import Path, PurePath

import pytest
import tifffile

from napari_pix2pix.commands.app import main
from napari_pix2pix.files.outputs import plan_outputs, require_folder, shard_of
from small import blobs, untrained, with_judge


def planned(places, out, **named):
    return plan_outputs([(PurePath(place), [out.parent / "in" / place]) for place in places], out, **named)


def test_a_folder_mirrors_its_inputs(tmp_path) -> None:
    """Files of one name in two subfolders stay apart; the order is that of the names."""
    jobs = planned(["b/x.png", "x.ome.tif", "b/c/x.tif"], tmp_path / "out")
    assert [job.name for job in jobs] == ["b/c/x.tif", "b/x.png", "x.ome.tif"]
    results = [job.results[0].relative_to(tmp_path / "out").as_posix() for job in jobs]
    assert results == ["b/c/x.tif", "b/x.tif", "x.tif"]


def test_nothing_is_replaced(tmp_path) -> None:
    """No input, at any depth and by whatever name of its folder, and no other result."""
    (tmp_path / "in" / "b").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "in")
    for out in ("in", "link"):
        with pytest.raises(ValueError, match="must not replace an input"):
            planned(["a.png", "b/x.tif"], tmp_path / out)
    with pytest.raises(ValueError, match=r"must differ; .*x\.png and .*x\.tif would both be"):
        planned(["b/x.png", "b/x.tif"], tmp_path / "out")
    with pytest.raises(ValueError, match=r"must differ; .*a\.more\.tif and .*a\.tif would both be"):
        planned(["a.more.tif", "a.tif"], tmp_path / "out", beside=[lambda result: result.with_name("a.more.tif")])


@pytest.mark.parametrize("count", [1, 3, 7, 20])
def test_shards_share_the_jobs(tmp_path, count) -> None:
    """Each job is in one shard, whatever the order in which files are found."""
    places = [f"{i % 3}/{i}.tif" for i in range(11)]
    jobs = planned(places, tmp_path / "out")
    shards = [shard_of(jobs, f"{i + 1}/{count}") for i in range(count)]
    assert sorted(job.name for shard in shards for job in shard) == [job.name for job in jobs]
    assert max(map(len, shards)) - min(map(len, shards)) <= 1
    assert shard_of(planned(places[::-1], tmp_path / "out"), f"1/{count}") == shards[0]


@pytest.mark.parametrize("shard", ["0/4", "5/4", "4", "1/0", "-1/4", "a/b", "1/4/2", ""])
def test_wrong_shards_are_told(shard) -> None:
    with pytest.raises(ValueError, match="A shard must be its number and how many there are, from 1/40 to 40/40; got"):
        shard_of([], shard)


@pytest.mark.parametrize("name", ["tt.zip", "tt.CSV", "a.b.txt", "cells.npy", "case.svs", "x.safetensors"])
def test_a_folder_is_not_named_like_a_file(tmp_path, name) -> None:
    """Neither one that results of images go to, nor one of a run or an evaluation; a folder that is there may be."""
    out = tmp_path / name
    with pytest.raises(ValueError, match=r"folder, or of one image a \.tif or \.zarr; got .*, without \.\w+\.$"):
        plan_outputs([(PurePath("a.png"), (tmp_path / "a.png",))], out)
    if name != "case.svs":
        with pytest.raises(ValueError, match="Results must go to a folder; got"):
            require_folder(out)
    out.mkdir()
    require_folder(out)
    assert plan_outputs([(PurePath("a.png"), (tmp_path / "a.png",))], out)[0].results == (out / "a.tif",)


def test_a_dot_in_a_folders_name_is_no_ending(tmp_path) -> None:
    """What is no ending of a file may be one of a folder; and a script may judge each image into one of its name."""
    for name in ("run.v2", "0.5", "plate.A", "2024.11.30", ".hidden", "csv"):
        require_folder(tmp_path / name)
        assert plan_outputs([(PurePath("a.png"), (tmp_path / "a.png",))], tmp_path / name)
    for name in ("a.tif", "a.ome.zarr", "a.png", "a.svs"):
        require_folder(tmp_path / name)


@pytest.mark.parametrize(
    "words",
    [
        "predict M s.tif",
        "score M s.tif s.tif",
        "evaluate M s.tif s.tif",
        "train s.tif s.tif",
        "train s.tif s.tif --folds 2",
        "learning-curve s.tif s.tif --at 1,2,3",
        "register s.tif s.tif",
        "demo",
        "reader-set e",
    ],
)
def test_every_command_refuses_it_before_any_work(tmp_path, capsys, monkeypatch, words) -> None:
    """In one sentence, and nothing is made."""
    monkeypatch.chdir(tmp_path)
    image = blobs()[0]
    tifffile.imwrite("s.tif", image)
    if "M" in words:
        with_judge(untrained(image[None], image[None])).save(Path("m.safetensors"))
    before = sorted(tmp_path.iterdir())
    assert main([*words.replace("M", "m.safetensors").split(), "--out", "tt.zip"]) == 2
    [said] = capsys.readouterr().err.splitlines()
    assert "Results must go to a folder" in said and said.endswith("Choose another --out, without .zip.")
    assert sorted(tmp_path.iterdir()) == before
