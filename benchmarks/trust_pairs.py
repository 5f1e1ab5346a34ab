"""Real pairs, models that were taught to judge, and windows of held-out pairs: what each part of `trust.py` needs."""

import csv
import tempfile
import time
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_pix2pix import core
from napari_pix2pix.core.data.split import Split, split_pairs
from napari_pix2pix.core.methods import method_of
from napari_pix2pix.core.methods.method import reach
from napari_pix2pix.files.stacks import open_stack

Image = NDArray[Any]
Pairs = list[tuple[Image, Image]]
SIDE = 256
FRAME_AXES = "CYX"
"""Of a window."""


def read(path: Path) -> Image:
    """All of it."""
    return np.asarray(open_stack(path).array[...])


def pairs_of(name: str, data: Path) -> tuple[Pairs, Pairs, str]:
    """Training and test pairs, and the axes of a source and a target."""
    folder = data / name
    if name == "isbi2012":
        images, membranes = read(folder / "image.tif"), read(folder / "membrane.tif")
        pairs = list(zip(images, membranes, strict=True))
        return pairs[:18], pairs[19:], "YX"  # neighbouring slices look alike, so one is left out between
    if name == "facade_windows":  # label to photo: the photo is on the left
        both = [read(path) for path in sorted(folder.glob("*.jpg"))]
        pairs = [(image[:, SIDE:], image[:, :SIDE]) for image in both]
        return pairs[:-40], pairs[-40:], "YXS"
    with (folder / "index.csv").open(encoding="utf8") as file:
        rows = [row for row in csv.DictReader(file) if row["domain"] == "fluo" and row["channels"] == "1"]
    sides: dict[str, Pairs] = {"train": [], "validation": []}
    for row in rows:
        files = f"image/{row['id']}.png", f"label/{row['id']}.tif"
        source, target = (read(folder / row["split"] / file) for file in files)
        sides[row["split"]].append((source, target))
    return sides["train"], sides["validation"], "YX"


def frames_of(pairs: Pairs, axes: str) -> core.PairedFrames:
    """Each pair by itself."""
    sources, targets = (list(side) for side in zip(*pairs, strict=True))
    return core.PairedFrames(sources, targets, axes)


def trained(pairs: Pairs, axes: str, steps: int, seed: int, **changes: Any) -> Any:
    """A model of the preset fast, not yet taught to judge the match."""
    known = {"steps": steps, "validate_every": steps, "trust_steps": 0, "empty_frames": "empty", "seed": seed}
    config = core.make_config("fast", changes=known | changes)
    with tempfile.TemporaryDirectory() as folder:
        *_, last = core.train(frames_of(pairs, axes), config, out=folder)
    return last.model


def taught(model: Any, pairs: Pairs, axes: str, steps: int, blind: bool = False) -> tuple[Any, float]:
    """The model with a judge of the match, and the seconds it took; `blind`: one that does not see the source."""
    frames, started = frames_of(pairs, axes), time.monotonic()
    made = split_pairs(
        frames, model.config, reach(method_of(model.config), model.config, 2)
    )  # as the training's, so none that calibrate made it
    split = Split((*made.train, *made.validation), (), made.calibration)
    *_, last = core.fit_trust(model, frames, split=split, steps=steps, conditional=not blind)
    return last.model, time.monotonic() - started


def cut(pairs: Pairs) -> Iterator[tuple[Image, Image]]:
    """Windows of one size, channels first: the top left of each pair, then the next to the right of each …"""
    found = [
        (corner, tuple(image[y : y + SIDE, x : x + SIDE] for image in pair))
        for pair in pairs
        for corner, (y, x) in enumerate(product(*(range(0, n - SIDE + 1, SIDE) for n in pair[0].shape[:2])))
    ]
    for _, pair in sorted(found, key=lambda one: one[0]):
        yield tuple(image[None] if image.ndim == 2 else np.moveaxis(image, -1, 0) for image in pair)  # type: ignore[misc]


def steepness(image: Image) -> Image:
    """The length of the gradient, smoothed over 1 px, summed over the channels."""
    return np.sum([ndimage.gaussian_gradient_magnitude(channel, 1) for channel in image], axis=0)
