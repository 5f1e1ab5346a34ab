"""The core speaks of settings; each surface calls them by its own names."""

import ast
import re
from pathlib import Path

import pytest

from napari_pix2pix import core
from napari_pix2pix.commands.app import app
from napari_pix2pix.commands.events import with_flags
from napari_pix2pix.core.settings.naming import ASKED, NAMED, as_flag, named, names

CORE = Path(core.__file__).parent
OTHERS = {"pip", "split", "train"}
"""What else messages put in backticks."""


def sentences() -> dict[str, str]:
    """Every text in the core that is no docstring, by its place."""
    found = {}
    for path in CORE.rglob("*.py"):
        tree = ast.parse(path.read_text("utf8"))
        docstrings = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings:
                found[f"{path.relative_to(CORE)}:{node.lineno}"] = node.value
    return found


def test_no_message_of_the_core_holds_a_flag() -> None:
    """It names settings in backticks, and only such as there are."""
    said = {place: text for place, text in sentences().items() if not place.startswith("settings/naming.py")}
    assert not {place: text for place, text in said.items() if re.search("--[a-z]", text)}
    called = {name for text in said.values() for name in NAMED.findall(text)}
    assert called - OTHERS <= names() and len(called) > 20


def test_every_name_is_a_flag() -> None:
    """What a sentence tells to give, some command takes."""
    flags = {flag for name in app if not name.startswith("-") for flag in _flags(app[name])}
    assert {as_flag(name) for name in names() if "." not in name} - flags <= {as_flag(name) for name in NESTED}
    assert {as_flag(name) for name in ASKED} <= flags


NESTED = ("generator", "discriminator", "source_normalization", "target_normalization")


def _flags(command) -> set[str]:
    return {name for argument in command.assemble_argument_collection() for name in argument.names}


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Choose `patch_size` 96, or `generator.levels` 4.", "Choose --patch-size 96, or --generator.levels 4."),
        ("A file written by `train`, at /a/`b`/--c.", "A file written by `train`, at /a/`b`/--c."),
        ("Give `source_channels`.", "Give --source-channels."),
    ],
)
def test_the_command_line_shows_flags(text: str, shown: str) -> None:
    """In every part of an event; nothing else is touched."""
    assert named(text, as_flag) == shown
    event = {"text": text, "remarks": [{"text": text, "n": 1}], "code": 2}
    assert with_flags(event) == {"text": shown, "remarks": [{"text": shown, "n": 1}], "code": 2}
