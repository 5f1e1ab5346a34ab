"""Outputs where the user's own things are: tables, folders, sources; and signals while they are made."""

import itertools
import random
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import imagecodecs

from adversary.cast import TRAIN, lay, source, tiff
from adversary.families.damaged import eight_bit
from adversary.law import Attempt

WRONG = frozenset({2})
NEEDS = ("s0.tif", "t0.tif", "g0.tif", "model.safetensors", "grey.safetensors", "judged")
TO = {
    "predict": ["predict", "grey.safetensors", "s0.tif", "--out"],
    "trust": ["predict", "model.safetensors", "s0.tif", "--trust", "--out"],
    "score": ["score", "model.safetensors", "s0.tif", "t0.tif", "--out"],
    "train": ["train", "s0.tif", "t0.tif", *TRAIN, "--out"],
    "evaluate": ["evaluate", "grey.safetensors", "s0.tif", "g0.tif", "--allow-seen", "--out"],
    "fit-trust": ["fit-trust", "model.safetensors", "s0.tif", "t0.tif", "--steps", "1", "--out"],
    "compare": ["compare", "judged", "judged", "--out"],
}
TABLES = (
    "failures.csv",
    "predictions.csv",
    "scores.csv",
    "s0.tif",
    "t0.tif",
    "metrics.json",
    "metrics.csv",
    "report.html",
    "config.json",
    "history.csv",
    "split.csv",
    "elapsed.json",
    "checkpoint.safetensors",
    "model.safetensors",
    "s0.expected_error.tif",
    "previews/0000001.png",
    ".lock",
)
"""Names that the program gives, too: --overwrite may replace them."""
FOREIGN = (
    "previews/mine.png",
    "notes.txt",
    "data/mine.tif",
    "mine/notes.txt",
    "mine.csv",
    "previews/mine.txt",
    "s0.txt",
    "model.txt",
)


def _sources_of_the_run(overwrite: bool) -> Attempt:
    """The sources lie in what would be the run's previews."""

    def make(folder: Path) -> list[str]:
        for side in ("previews", "tgt"):
            (folder / "W" / side).mkdir(parents=True)
            for number in range(2):
                (folder / "W" / side / f"a{number}.png").write_bytes(imagecodecs.png_encode(eight_bit()))
        (folder / "W" / "config.json").write_text('{"mine": 1}')
        return ["train", "W/previews", "W/tgt", "--out", "W", *TRAIN, *(["--overwrite"] if overwrite else [])]

    return Attempt(f"sources-in-previews-{overwrite}", make, WRONG)


def _own(command: str, name: str, overwrite: bool) -> Attempt:
    """Something of the user's lies in the folder of the results: what no result is named as stays, in any case."""

    def make(folder: Path) -> list[str]:
        lay(folder, *NEEDS)
        path = folder / "O" / name
        path.parent.mkdir(parents=True)
        path.write_bytes(b"mine\n")
        (folder / "O" / "keep.txt").write_bytes(b"mine, too\n")
        return [*TO[command], "O", *(["--overwrite"] if overwrite else [])]

    keeps = ("O/keep.txt", *([] if overwrite and name in TABLES else [f"O/{name}"]))
    return Attempt(f"{command}-own-{name}-{overwrite}", make, frozenset({0, 2}), writes=("O",), keeps=keeps)


def _is_input(command: str, at: str, overwrite: bool) -> Attempt:
    """The output is, or holds, an input."""

    def make(folder: Path) -> list[str]:
        lay(folder, *NEEDS)
        (folder / "link").symlink_to(".")
        return [*TO[command], at, *(["--overwrite"] if overwrite else [])]

    return Attempt(f"{command}-to-{at}-{overwrite}", make, WRONG)


def _source_folder(picture: bool) -> Attempt:
    """The folder of results is the folder of the sources: the same command again does the same."""
    line = ("predict", "grey.safetensors", "W", "--out", "W")
    names = [f"a{number}.{'png' if picture else 'tif'}" for number in range(2)]

    def make(folder: Path) -> list[str]:
        lay(folder, "grey.safetensors")
        (folder / "W").mkdir()
        for number, name in enumerate(names):
            content = imagecodecs.png_encode(source(number)) if picture else tiff(source(number))
            (folder / "W" / name).write_bytes(content)
        return list(line)

    keeps = tuple(f"W/{name}" for name in names)
    codes = frozenset({0} if picture else {2})
    return Attempt(f"source-folder-{picture}", make, codes, first=line, writes=("W",), keeps=keeps)


def _in_the_way(
    command: str, make_it: Callable[[Path], object], at: str, what: str, overwrite: bool = False
) -> Attempt:
    """Something is where the output, or its folder, should be."""

    def make(folder: Path) -> list[str]:
        lay(folder, *NEEDS)
        make_it(folder)
        return [*TO[command], at, *(["--overwrite"] if overwrite else [])]

    return Attempt(f"{command}-in-the-way-{what}-{overwrite}", make, WRONG)


def _file(folder: Path) -> None:
    (folder / "f").write_bytes(b"mine\n")


def _named_zarr(folder: Path) -> None:
    """A folder of the user's that is merely called so."""
    (folder / "mine.zarr").mkdir()
    (folder / "mine.zarr" / "thesis.txt").write_bytes(b"mine\n")


def _signalled(number: int, to: str, folder_wide: bool = False) -> Attempt:
    """A signal while a result is written: a sentence, nothing half-written."""

    def make(folder: Path) -> list[str]:
        lay(folder, "model.safetensors", "s0.tif")
        (folder / "O").mkdir()
        return ["predict", "model.safetensors", "s0.tif", "--out", f"O/{to}", "--draws", "3000"]

    codes = frozenset({1, 128 + number})
    return Attempt(
        f"{signal.Signals(number).name}-{to}",
        make,
        codes,
        writes=("O",),
        never=(f"O/{to}",),
        signal_when=(number, "O/.*"),
    )


def _train_signalled(number: int) -> Attempt:
    """A signal while a training steps: a checkpoint and a sentence."""

    def make(folder: Path) -> list[str]:
        lay(folder, "s0.tif", "t0.tif")
        line = ["train", "s0.tif", "t0.tif", "--out", "r", *TRAIN]
        line[line.index("--steps") + 1] = "5000"
        return line

    codes = frozenset({1, 128 + number})
    return Attempt(
        f"{signal.Signals(number).name}-train", make, codes, writes=("r",), signal_when=(number, "r/config.json")
    )


def attempts() -> Iterator[Attempt]:
    """The known ones, then the user's own things in the way of each command."""
    yield _sources_of_the_run(True)
    yield _sources_of_the_run(False)
    for name in ("failures.csv", "predictions.csv"):
        yield _own("predict", name, overwrite=False)
    yield _source_folder(True)
    yield _source_folder(False)
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        yield _signalled(number, "z.zarr")
        yield _signalled(number, "z.tif")
    yield _train_signalled(signal.SIGTERM)
    for command, at in (("predict", "mine.zarr"), ("score", "mine.zarr")):
        yield _in_the_way(command, _named_zarr, at, "zarr", True)
    for command in ("predict", "score", "evaluate", "train"):
        yield _in_the_way(command, _file, "f/deeper/x.tif", "file for folder")
    for command, at in (
        ("predict", "s0.tif"),
        ("predict", "link/s0.tif"),
        ("score", "t0.tif"),
        ("fit-trust", "model.safetensors"),
    ):
        yield _is_input(command, at, True)
    yield _own("score", "scores.csv", False)
    for number in itertools.count():
        chance = random.Random(f"outputs {number}")
        kind = chance.choice(("own", "own", "own", "input"))
        command = chance.choice([name for name in TO if name not in ("fit-trust", "compare")])
        if kind == "own":
            yield _own(command, chance.choice(TABLES + FOREIGN), chance.random() < 0.5)
        else:
            command, at = chance.choice(
                (
                    ("predict", "s0.tif"),
                    ("predict", "link/link/s0.tif"),
                    ("score", "t0.tif"),
                    ("score", "s0.tif"),
                    ("trust", "./s0.tif"),
                )
            )
            yield _is_input(command, at, chance.random() < 0.7)
