"""The good things that hostile ones are made of: images, small models, a run, results; made once, then copied."""

import io
import shutil
from functools import cache
from pathlib import Path

import numpy as np
import tifffile
from numpy.typing import NDArray

from adversary.stage import Stage

SIDE = 48
TINY = [
    "--preset",
    "fast",
    "--steps",
    "2",
    "--validate-every",
    "1",
    "--generator.levels",
    "2",
    "--generator.base-channels",
    "4",
    "--discriminator.base-channels",
    "4",
    "--discriminator.n-layers",
    "1",
    "--patch-size",
    "16",
    "--batch-size",
    "1",
    "--device",
    "cpu",
]
"""Settings of a training that takes half a second."""
TRAIN = [*TINY, "--trust-steps", "0"]

_folder: Path | None = None


def prepare(stage: Stage, folder: Path) -> None:
    """Make the cast in `folder`: by the commands themselves."""
    global _folder
    folder.mkdir()
    for number in range(3):
        tifffile.imwrite(folder / f"s{number}.tif", source(number))
        tifffile.imwrite(folder / f"t{number}.tif", labels(number))
        tifffile.imwrite(folder / f"g{number}.tif", source(number + 10) // 2)
    for words in (
        ["train", "s0.tif", "t0.tif", "--out", "run", *TINY, "--trust-steps", "1"],
        ["train", "s0.tif", "g0.tif", "--out", "grey", *TRAIN],
        ["evaluate", "run", "s1.tif", "t1.tif", "--out", "judged"],
    ):
        outcome = stage.play(words, folder)
        if outcome.code != 0:
            raise RuntimeError(f"the cast could not be made by {words}: {outcome.err.decode(errors='replace')}")
    for name, place in (("run", "model.safetensors"), ("grey", "grey.safetensors")):
        shutil.copy(folder / name / "model.safetensors", folder / place)
    _folder = folder


def lay(folder: Path, *names: str) -> Path:
    """Copy these of the cast into `folder`; it."""
    assert _folder is not None
    for name in names:
        if (_folder / name).is_dir():
            shutil.copytree(_folder / name, folder / name)
        else:
            shutil.copyfile(_folder / name, folder / name)
    return folder


@cache
def model_bytes(name: str = "model.safetensors") -> bytes:
    """A model's file."""
    assert _folder is not None
    return (_folder / name).read_bytes()


@cache
def source(number: int = 0) -> NDArray[np.uint16]:
    """Bright discs on noise, (48, 48)."""
    grid = np.mgrid[:SIDE, :SIDE]
    random = np.random.default_rng(number)
    image = 300 + random.normal(0, 20, (SIDE, SIDE))
    for centre in random.integers(6, SIDE - 6, (5, 2)):
        image += 2000 * np.exp(-((grid - centre[:, None, None]) ** 2).sum(0) / 18)
    return image.astype(np.uint16)


@cache
def labels(number: int = 0) -> NDArray[np.uint16]:
    """The discs, each with a number of its own."""
    grid = np.mgrid[:SIDE, :SIDE]
    image = np.zeros((SIDE, SIDE), np.uint16)
    for label, centre in enumerate(np.random.default_rng(100 + number).integers(6, SIDE - 6, (5, 2)), 1):
        image[((grid - centre[:, None, None]) ** 2).sum(0) < 20] = label
    return image


def tiff(image: NDArray, **named) -> bytes:
    """The bytes of a TIFF."""
    with io.BytesIO() as file:
        tifffile.imwrite(file, image, **named)
        return file.getvalue()
