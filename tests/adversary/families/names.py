"""Names of files that no one should give: too long, no text, with newlines, escapes, formulas, markup, dashes."""

import itertools
import os
import random
from collections.abc import Iterator
from pathlib import Path

from adversary.cast import TRAIN, lay, source, tiff
from adversary.law import Attempt

ESCAPE = "\x1b]0;owned\x07\x1b[31m"
HOSTILE = [
    "new\nline.tif",
    f"{ESCAPE}red.tif",
    "=cmd|calc.tif",
    "+1.tif",
    "@sum.tif",
    "-1.tif",
    "<img src=x>.tif",
    "[bold]rich[red].tif",
    "tab\there.tif",
    "back\rreturn.tif",
    "\u202ereversed.tif",
    "{braces}%s.tif",
    "a,b;c'd\".tif",
    " space .tif",
    "\x9bcsi.tif",
    "star*.tif",
    "[0-9].tif",
    "~.tif",
    os.fsdecode(b"latin-\xe9.tif"),
    os.fsdecode(b"\xff\xfe.tif"),
    "emoji-\U0001f9a0.tif",
    "cafe\u0301.tif",
    "nul\x01.tif",
    "a" * 246 + ".tif",
    "é" * 120 + ".tif",
]
LONG = ["a" * 300, "b" * 252 + ".tif", "é" * 130 + ".tif", "/".join(["d" * 200] * 25) + "/x.tif", "x" * 5000]
ANY = frozenset({0, 1, 2})


def _commands(name: str) -> dict[str, tuple[list[str], str]]:
    at = f"./{name}"
    return {
        "predict": (["predict", "grey.safetensors", at, "--out", "o.tif"], "o.tif"),
        "predict to": (["predict", "grey.safetensors", "s0.tif", "--out", at], name),
        "check": (["check", at, "t0.tif"], ""),
        "train": (["train", at, "t0.tif", "--out", "r", *TRAIN], "r"),
        "train to": (["train", "s0.tif", "t0.tif", "--out", at, *TRAIN], name),
        "resume": (["train", "--resume", at], ""),
        "from": (["train", "s0.tif", "t0.tif", "--from", at, "--out", "r"], "r"),
        "config": (["train", "s0.tif", "t0.tif", "--config", at, "--out", "r"], "r"),
        "score": (["score", "model.safetensors", "s0.tif", at, "--out", "o.tif"], "o.tif"),
        "score to": (["score", "model.safetensors", "s0.tif", "t0.tif", "--out", at], name),
        "evaluate": (["evaluate", "grey.safetensors", at, "g0.tif", "--out", "E", "--allow-seen"], "E"),
        "evaluate to": (["evaluate", "grey.safetensors", "s0.tif", "g0.tif", "--allow-seen", "--out", at], name),
        "fit-trust": (["fit-trust", at, "s0.tif", "t0.tif", "--out", "m.safetensors", "--steps", "1"], "m.safetensors"),
        "fit-trust to": (["fit-trust", "model.safetensors", "s0.tif", "t0.tif", "--steps", "1", "--out", at], name),
        "compare": (["compare", at, at], ""),
        "compare to": (["compare", "judged", "judged", "--out", at], name),
        "info": (["info", at], ""),
        "groups": (["check", "s0.tif", "t0.tif", "--groups", at], ""),
        "valid": (["check", "s0.tif", "t0.tif", "--valid", at], ""),
        "source more": (["check", "s0.tif", "t0.tif", "--source-more", at], ""),
    }


NEEDS = ("s0.tif", "t0.tif", "g0.tif", "model.safetensors", "grey.safetensors", "judged")


def _nothing(name: str, command: str, codes: frozenset[int] = frozenset({2})) -> Attempt:
    """A command given a name of nothing, or of no file that can be."""
    line, writes = _commands(name)[command]
    title = f"{command}-{len(name)}-{name[:12]!a}"

    def make(folder: Path) -> list[str]:
        lay(folder, *NEEDS)
        return line

    return Attempt(title, make, codes, writes=(writes,) if writes and codes != {2} else ())


def _image(name: str, command: str) -> Attempt:
    """A command given a good image with a hostile name."""
    line, writes = _commands(name)[command]

    def make(folder: Path) -> list[str]:
        lay(folder, *NEEDS)
        (folder / name).write_bytes(tiff(source()))
        return line

    return Attempt(f"{command}-image-{name[:20]!a}", make, ANY, writes=(writes,) if writes else ())


def _folder(name: str, bad: bool) -> Attempt:
    """A folder with a hostile name in it: predicted, or named among the failures."""

    def make(folder: Path) -> list[str]:
        lay(folder, "grey.safetensors")
        (folder / "d").mkdir()
        (folder / "d" / "good.tif").write_bytes(tiff(source()))
        (folder / "d" / name).write_bytes(b"no image" if bad else tiff(source(1)))
        return ["predict", "grey.safetensors", "d", "--out", "O"]

    return Attempt(
        f"folder-{'bad' if bad else 'good'}-{name[:20]!a}", make, frozenset({1} if bad else {0, 1}), writes=("O",)
    )


def attempts() -> Iterator[Attempt]:
    """Too long for every command, hostile ones for every command, in folders; then made up."""
    for name in (LONG[0], LONG[-1]):
        for command in _commands(""):
            yield _nothing(name, command)
    for name in HOSTILE:
        yield _folder(name, bad=True)
        yield _image(name, "predict")
    for name in LONG[1:-1]:
        for command in ("predict", "predict to", "train to", "info", "evaluate to", "compare to"):
            yield _nothing(name, command)
    for name in HOSTILE[:10]:
        yield _folder(name, bad=False)
        yield _image(name, "check")
        yield _nothing(name, "info")
    letters = [
        "\x1b",
        "\n",
        "=",
        "é",
        "\u202e",
        "[",
        "]",
        "<",
        "&",
        "'",
        '"',
        " ",
        "\udce9",
        "\t",
        "a",
        "#",
        "%",
        "*",
        ":",
    ]
    for number in itertools.count():
        chance = random.Random(f"names {number}")
        name = "".join(chance.choices(letters, k=chance.choice((1, 3, 8, 60)))) + ".tif"
        name = name.replace("\udce9", "") if chance.random() < 0.5 else name
        while len(os.fsencode(name)) > 250:
            name = name[8:]
        name = f"a{name}" if name.startswith(".") else name  # what is hidden is no image
        kind = chance.choice(("folder", "image", "nothing"))
        if kind == "folder":
            yield _folder(name, chance.random() < 0.5)
        else:
            command = chance.choice([c for c in _commands("") if not c.endswith(" to")])
            yield _image(name, command) if kind == "image" else _nothing(name, command, frozenset({1, 2}))
