"""A training as text: what is copied asks for exactly what the button asks for."""

import shlex
from pathlib import Path
from types import SimpleNamespace

import pytest

from napari_pix2pix import core
from napari_pix2pix.commands import app as cli
from napari_pix2pix.core.settings.config import make_config
from napari_pix2pix.widgets import recipe as recipes
from napari_pix2pix.widgets.recipe import Recipe, shell_line
from small import small_config

RECIPES = {
    "small": Recipe(Path("runs/my cells"), "fast", small_config(seed=3, flip=False), "cpu"),
    "paper": Recipe(Path("runs/a"), "paper", make_config("paper", changes={"authors": "A. B's lab"}), "auto"),
}

UNPAIRED = Recipe(Path("runs/b"), "fast", make_config("fast", changes={"method": "cyclegan", "steps": 9}), "cpu")


@pytest.mark.parametrize("name", RECIPES)
def test_the_copied_command_is_the_same_request(name: str, pair: tuple[Path, Path]) -> None:
    """Through a shell's eyes: names with blanks and quotes, too."""
    recipe = RECIPES[name]
    said = ["--source-axes", "YX", "--valid", "a mask.tif"]
    program, *words = shlex.split(shell_line(recipe.command([*pair, *said])))
    assert program == "napari-pix2pix"
    command, bound, _ = cli.app.parse_args(words, exit_on_error=False, print_error=False)
    given = bound.arguments
    assert command is cli.train
    assert (given["source"], given["target"], given["out"], given["device"]) == (*pair, recipe.run, recipe.device)
    assert (given["pairs"].source_axes, given["pairs"].valid) == ("YX", "a mask.tif")
    changes = given["settings"].model_dump(exclude_unset=True) if given.get("settings") else {}
    assert make_config(given["preset"], changes=changes) == recipe.config


@pytest.mark.parametrize("name", RECIPES)
def test_the_copied_script_is_the_same_training(name: str, pair, monkeypatch: pytest.MonkeyPatch) -> None:
    """It runs, and asks the core for these pairs and settings."""
    recipe, asked = RECIPES[name], []
    monkeypatch.setattr(core, "train", lambda pairs, config, **named: asked.append((pairs, config, named)) or [])
    exec(compile(recipe.script([*pair, "--target-axes", "YX"]), "copied", "exec"), {})
    [(pairs, config, named)] = asked
    assert config == recipe.config
    assert (named["out"], named["device"]) == (str(recipe.run), recipe.device)
    assert [said["path"] for said in named["provenance"]["train"]["targets"]] == [str(pair[1])]
    assert pairs.source(0).shape == (1, 96, 128)


@pytest.mark.parametrize(
    ("word", "quoted"),
    [
        ("--steps=100", "--steps=100"),
        (r"C:\plain\x.tif", r"C:\plain\x.tif"),
        (r"C:\my cells\x.tif", r'"C:\my cells\x.tif"'),
        (r"C:\R&D\a%PATH%\x.tif", r'"C:\R&D\a%PATH%\x.tif"'),
        ("C:\\R&D\\", '"C:\\R&D\\\\"'),
        ("a(1)", '"a(1)"'),
        ("a^b|c<d>e", '"a^b|c<d>e"'),
    ],
)
def test_on_windows_no_name_is_read_as_a_command(word: str, quoted: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What cmd.exe takes for its own is quoted; a backslash before the quote is doubled."""
    monkeypatch.setattr(recipes, "os", SimpleNamespace(name="nt"))
    assert shell_line(["train", word]) == f"napari-pix2pix train {quoted}"


def test_a_script_of_pairs_that_need_no_flags_is_python() -> None:
    """Files whose axes they tell themselves are named, and nothing else."""
    script = Recipe(Path("run"), "fast", make_config("fast"), "cpu").script(["a.tif", "b.tif"])
    compile(script, "copied", "exec")
    assert "open_stacks('a.tif', 'b.tif', PairSettings())" in script


def test_a_method_without_pairs_is_said_in_either_text(pair, monkeypatch: pytest.MonkeyPatch) -> None:
    """And the script opens both sides each by itself."""
    _, *words = shlex.split(shell_line(UNPAIRED.command(pair)))
    _, bound, _ = cli.app.parse_args(words, exit_on_error=False, print_error=False)
    changes = bound.arguments["settings"].model_dump(exclude_unset=True)
    assert make_config(bound.arguments["preset"], changes=changes) == UNPAIRED.config
    asked = []
    monkeypatch.setattr(core, "train", lambda frames, config, **named: asked.append((frames, config)) or [])
    exec(compile(UNPAIRED.script(pair), "copied", "exec"), {})
    [(frames, config)] = asked
    assert config == UNPAIRED.config
    assert isinstance(frames, core.UnpairedFrames)
