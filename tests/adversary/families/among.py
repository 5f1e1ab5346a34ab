"""One bad among many: the others are done, it is named with its own reason."""

import itertools
import random
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from adversary.cast import SIDE, TRAIN, labels, lay, source, tiff
from adversary.law import Attempt

BAD: dict[str, Callable[[], bytes]] = {
    "no image": lambda: b"no image",
    "cut": lambda: tiff(source())[:2000],
    "size": lambda: tiff(source()[:20]),
    "nan": lambda: tiff(np.where(labels(), np.nan, source()).astype("f4")),
    "complex": lambda: tiff(source() * 1j),
    "channels": lambda: tiff(np.stack([source()] * 2), metadata={"axes": "CYX"}),
    "float": lambda: tiff(source() + np.float32(0.5)),
    "stack": lambda: tiff(np.stack([source()] * 3), metadata={"axes": "TYX"}),
}
LINES = {
    "predict": "predict model.safetensors s --out O",
    "score": "score model.safetensors s t --out O",
    "evaluate": "evaluate model.safetensors s t --out O --allow-seen",
    "check": "check s t --skip-bad",
    "train": " ".join(["train s t --out O --skip-bad", *TRAIN]),
    "fit-trust": "fit-trust model.safetensors s t --out m.safetensors --steps 1 --skip-bad --empty-frames empty",
}


def _attempt(command: str, side: str, name: str) -> Attempt:
    def make(folder: Path) -> list[str]:
        lay(folder, "model.safetensors")
        for place in ("s", "t"):
            (folder / place).mkdir()
            for number in range(4):
                image = source(number) if place == "s" else labels(number)
                (folder / place / f"p{number}.tif").write_bytes(tiff(image))
        (folder / side / "p1.tif").write_bytes(BAD[name]())
        return LINES[command].split()

    # What is bad for one command is odd but good for another; what no command can take must be named.
    skips = command in ("check", "train", "fit-trust")
    grave = name in ("no image", "cut", "complex") and (side == "s" or command != "predict")
    codes = frozenset({0, 1} if not grave else {0} if skips else {1})
    says = ("p1",) if grave and not skips else ()
    return Attempt(f"{command}-{side}-{name}", make, codes, says=says, writes=("O", "m.safetensors"))


def attempts() -> Iterator[Attempt]:
    """Each bad one for each command; then the same with others beside."""
    assert SIDE == 48
    every = list(itertools.product(LINES, ("s", "t"), BAD))
    random.Random(0).shuffle(every)
    first = [
        ("check", "t", "size"),
        ("fit-trust", "s", "stack"),
        ("fit-trust", "s", "channels"),
        ("evaluate", "t", "float"),
        ("evaluate", "s", "no image"),
        ("check", "s", "no image"),
    ]
    for one in [*first, *(one for one in every if one not in first)]:
        if one[:2] != ("predict", "t"):
            yield _attempt(*one)
