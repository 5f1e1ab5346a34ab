"""What is no file: dangling links, pipes, folders named as images, empty folders, links in a circle, sockets."""

import itertools
import os
import random
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

from adversary.cast import TRAIN, lay, source, tiff
from adversary.law import Attempt


def dangling(path: Path) -> None:
    path.symlink_to("no-such-file.tif")


def pipe(path: Path) -> None:
    os.mkfifo(path)


def folder(path: Path) -> None:
    path.mkdir()


def circle(path: Path) -> None:
    path.symlink_to(path.name)


def to_pipe(path: Path) -> None:
    os.mkfifo(path.with_name("pipe"))
    path.symlink_to("pipe")


def device(path: Path) -> None:
    path.symlink_to("/dev/zero")


def null(path: Path) -> None:
    path.symlink_to("/dev/null")


def sock(path: Path) -> None:
    before = Path.cwd()
    os.chdir(path.parent)  # the address of a socket must be short
    try:
        with socket.socket(socket.AF_UNIX) as made:
            made.bind(path.name)
    finally:
        os.chdir(before)


KINDS: tuple[Callable[[Path], None], ...] = (dangling, pipe, folder, circle, to_pipe, device, null, sock)
NAMES = ("b.tif", "b.png", "b.jpg", "b.ome.tif", "b.zarr")
COMMANDS = {
    "predict": ["predict", "grey.safetensors", "{}", "--out", "o.tif"],
    "predict to": ["predict", "grey.safetensors", "s0.tif", "--out", "{}/x.tif"],
    "check": ["check", "{}", "t0.tif"],
    "check target": ["check", "s0.tif", "{}"],
    "train": ["train", "s0.tif", "{}", "--out", "r", *TRAIN],
    "train to": ["train", "s0.tif", "t0.tif", "--out", "{}", *TRAIN],
    "score": ["score", "model.safetensors", "s0.tif", "{}", "--out", "o.tif"],
    "evaluate": ["evaluate", "{}", "s0.tif", "t0.tif", "--out", "E"],
    "info": ["info", "{}"],
    "config": ["train", "s0.tif", "t0.tif", "--config", "{}", "--out", "r"],
    "resume": ["train", "--resume", "{}"],
    "compare": ["compare", "{}", "{}"],
    "groups": ["check", "s0.tif", "t0.tif", "--groups", "{}"],
    "fit-trust": ["fit-trust", "{}", "s0.tif", "t0.tif", "--out", "m.safetensors"],
}
MAY_BE_MADE = {"train to": frozenset({0, 2}), "predict to": frozenset({0, 1, 2})}


def _alone(kind: Callable[[Path], None], name: str, command: str) -> Attempt:
    at = name

    def make(place: Path) -> list[str]:
        lay(place, "s0.tif", "t0.tif", "grey.safetensors", "model.safetensors")
        kind(place / at)
        return [word.format(at) for word in COMMANDS[command]]

    codes = MAY_BE_MADE.get(command, frozenset({2})) if kind is folder else frozenset({2})
    return Attempt(f"{command}-{kind.__name__}-{at}", make, codes, writes=(at,) if command.endswith(" to") else ())


def _among(kind: Callable[[Path], None], name: str, command: str) -> Attempt:
    """Among two good ones: they are done, it is named, exit 1; for pairs all is refused, and it is named."""

    def make(place: Path) -> list[str]:
        lay(place, "grey.safetensors")
        for side in ("d", "e"):
            (place / side).mkdir()
            for number in range(2):
                (place / side / f"a{number}.tif").write_bytes(tiff(source(number)))
        if command == "evaluate" and name != "b.tif":
            (place / "e" / "b.tif").write_bytes(tiff(source()))
        kind(place / "d" / name)
        if command == "predict":
            return ["predict", "grey.safetensors", "d", "--out", "O"]
        return ["check", "d", "e"]

    codes = frozenset({1} if command == "predict" else {1, 2})
    if kind is folder and name != "b.zarr":
        codes |= {0}  # a folder of images, though named as one, that holds none
    says = () if kind is folder else (name if command == "predict" else "b",)
    return Attempt(f"among-{command}-{kind.__name__}-{name}", make, codes, says=says, writes=("O",))


def attempts() -> Iterator[Attempt]:
    """Each kind of special file among good ones, and for each command."""
    for kind, command in itertools.product(KINDS, ("predict", "check")):
        yield _among(kind, "b.tif", command)
    for kind, command in itertools.product(KINDS[:4], COMMANDS):
        yield _alone(kind, "b.tif", command)
    seen = set()
    for number in itertools.count():
        chance = random.Random(f"special {number}")
        kind, name, command = chance.choice(KINDS), chance.choice(NAMES), chance.choice([*COMMANDS, "among"])
        if (kind, name, command) in seen and len(seen) < len(KINDS) * len(NAMES) * len(COMMANDS) * 0.9:
            continue
        seen.add((kind, name, command))
        yield _among(kind, name, "predict") if command == "among" else _alone(kind, name, command)
