"""Flags that take several values take them as their help shows."""

import re

import numpy as np
import pytest
import tifffile

from napari_pix2pix.commands.app import app, main
from napari_pix2pix.commands.flags import spread


@pytest.mark.parametrize(
    ("words", "numbers", "names"),
    [
        ("check a b --source-channels 0 1", ["0", "1"], ["0", "1"]),
        ("check a b --source-channels DAPI MAP2 --z frame", ["DAPI"], ["DAPI", "MAP2"]),
        ("check --source-channels 0 1 a b", ["0", "1"], ["0", "1", "a", "b"]),
        ("check a b --annotated-frames 0 2 4", ["0", "2", "4"], ["0", "2", "4"]),
        ("check a b --source-more c d", ["c"], ["c", "d"]),
        ("check --source-channels=1 --source-channels=0 a b", [], []),
    ],
)
def test_several_values_stand_behind_one_flag(words, numbers, names) -> None:
    """Numbers always, names where the command could do nothing else with them; a path stays a path."""
    for found, taken in ((spread(words.split()), numbers), (spread(words.split(), names=True), names)):
        flags = [i for i, word in enumerate(found) if word.startswith("--") and "=" not in word and word != "--z"]
        assert [found[i + 1] for i in flags] == taken


@pytest.mark.parametrize("command", ["train", "check", "evaluate", "predict", "score", "fit-trust"])
def test_help_names_no_flag_that_means_nothing(command, capsys) -> None:
    """No flag says that a list be empty."""
    app([command, "--help"])
    assert not re.search(r"--[a-z.-]*empty-(?!frames|channels)", capsys.readouterr().out)


@pytest.mark.parametrize(
    ("command", "named"), [("train", True), ("check", True), ("evaluate", False), ("fit-trust", False)]
)
def test_help_names_domains_where_they_are_taken(command, named, capsys) -> None:
    """What judges pairs alone refuses them, in its own words, if they are given all the same."""
    app([command, "--help"])
    assert ("--domains" in capsys.readouterr().out) is named
    if not named:
        out = ["--out", "x.safetensors"]
        assert main([command, "m", "s", "t", *out, "--domains", "(x)"]) == 2
        assert "Unknown option" not in capsys.readouterr().err


def test_names_behind_one_flag_reach_the_command(tmp_path, capsys) -> None:
    """The command is called with both, and its own error is told."""
    assert main(["check", str(tmp_path / "a"), str(tmp_path / "b"), "--source-channels", "DAPI", "MAP2"]) == 2
    assert "There must be images at" in capsys.readouterr().err
    assert main(["check", str(tmp_path / "a"), str(tmp_path / "b"), "c"]) == 2
    assert "Unused Tokens" in capsys.readouterr().err


@pytest.mark.parametrize(
    "words",
    [
        "predict m s --out o --trust --trust-limit inf",
        "predict m s --out o --tile-size 99999999999",
        "score m s i --out o --tile-size 99999999999",
        "fit-trust m s t --out o.safetensors --trust-steps 99999999999",
        "fit-trust m s t --out o.safetensors --steps 0",
    ],
)
def test_numbers_beyond_their_bounds_are_refused_at_the_door(words, capsys) -> None:
    """In one sentence that names the setting and the number, before any file is looked for."""
    assert main(words.split()) == 2
    [error] = capsys.readouterr().err.splitlines()
    assert re.match(r"error: (trust_limit|tile_size|trust_steps)\b.*; got .*(inf|99999999999|0)", error)


@pytest.mark.parametrize(
    "words",
    [
        *("fit-trust m s t --out o.safetensors --steps 1.5", "train a b --out c --devices 0x2"),
        *("predict m s --out o --local-workers 2.0", "train a b --out c --steps 1.5"),
    ],
)
def test_what_is_no_whole_number_is_refused(words, capsys) -> None:
    """It would be rounded, and something else be done than was asked for."""
    assert main(words.split()) == 2
    [error] = capsys.readouterr().err.splitlines()
    assert re.search(r"(whole number|valid integer).*got '(1\.5|0x2|2\.0)'", error)


def test_a_channel_behind_a_channel_is_no_source(tmp_path, capsys) -> None:
    """What is no path and what a source calls a channel is one; of another word it is said what to do."""
    stack = np.zeros((2, 32, 32), np.uint16)
    tifffile.imwrite(
        tmp_path / "a.ome.tif", stack, ome=True, metadata={"axes": "CYX", "Channel": {"Name": ["DAPI", "M"]}}
    )
    source, out = str(tmp_path / "a.ome.tif"), str(tmp_path / "o.tif")
    for words in (
        ["predict", "m", source, "--source-channels", "DAPI", "M"],
        ["score", "--source-channels", "M", "DAPI", source],
    ):
        assert spread(words).count("--source-channels") == 2
    assert main(["predict", "m", source, "--source-channels", "DAPI", "MAP2", "--out", out]) == 2
    assert "If it is a channel, repeat the flag: --source-channels NAME" in capsys.readouterr().err
