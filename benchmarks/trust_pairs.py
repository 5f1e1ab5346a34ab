"""Real pairs, models that were taught to judge, and windows of held-out pairs: what each part of `trust.py` needs."""

import csv
import tempfile
import time
from collections.abc import Callable, Iterator
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
Axes = str | tuple[str, str]
SIDE = 256
CELL, CELLS = 40, 240
"""Side of a cell, and of 6 × 6 of them, px."""
SEEN, LEARNED = ("G1", "S", "G2"), 20
"""Phases that train, and how many of the 25 squares of 6 × 6 cells of each."""
FRAME_AXES = "CYX"
"""Of a window."""


def read(path: Path) -> Image:
    """All of it."""
    return np.asarray(open_stack(path).array[...])


def isbi2012(folder: Path, learned: int = 18) -> tuple[Pairs, Pairs]:
    """Slices of EM and their membranes; neighbours look alike, so one is left out between."""
    pairs = list(zip(*(read(folder / f"{name}.tif") for name in ("image", "membrane")), strict=True))
    return pairs[:learned], pairs[learned + 1 :]


def dsb2018(folder: Path, every: bool = False) -> tuple[Pairs, Pairs]:
    """Fluorescence and nuclei; or every kind of light and stain, all in colours (Y, X, 3)."""
    with (folder / "index.csv").open(encoding="utf8") as file:
        rows = [row for row in csv.DictReader(file) if every or (row["domain"] == "fluo" and row["channels"] == "1")]
    sides: dict[str, Pairs] = {"train": [], "validation": []}
    for row in rows:
        files = f"image/{row['id']}.png", f"label/{row['id']}.tif"
        source, target = (read(folder / row["split"] / file) for file in files)
        if every:
            source = source if source.ndim == 3 else np.repeat(source[..., None], 3, axis=-1)
        sides[row["split"]].append((source, target))
    return sides["train"], sides["validation"]


def drive(folder: Path) -> tuple[Pairs, Pairs]:
    """The back of the eye, and its vessels: none outside the field of view, which counts, too."""
    pairs = [(read(path), read(folder / "vessel" / path.name)) for path in sorted((folder / "image").glob("*"))]
    return pairs[:16], pairs[16:]


def facade_windows(folder: Path) -> tuple[Pairs, Pairs]:
    """Label to photo: the photo is on the left."""
    both = [read(path) for path in sorted(folder.glob("*.jpg"))]
    pairs = [(image[:, SIDE:], image[:, :SIDE]) for image in both]
    return pairs[:-40], pairs[-40:]


def translocation_sbs(folder: Path) -> tuple[Pairs, Pairs]:
    """GFP to DNA; wells of rows A and E train, those of F test."""
    pairs = [(read(path), read(folder / "dna" / path.name)) for path in sorted((folder / "fkhr_gfp").glob("*.png"))]
    return pairs[:24], pairs[24:]


def ifc_brightfield_dna(folder: Path) -> tuple[Pairs, Pairs]:
    """Brightfield to DNA, 6 × 6 whole cells each: the upper rows of run 1 but prophase train, run 2 tests."""
    train = [pair for phase in SEEN for pair in cells(folder, f"1_{phase}_1")[:LEARNED]]
    return train, cells(folder, "2_G1_1")


def cells(folder: Path, name: str) -> Pairs:
    """A montage of run and phase, 6 × 6 cells each, row by row."""
    sides = [read(folder / side / f"{name}.tif") for side in ("brightfield", "dna")]
    corners = product(*(range(0, n - CELLS + 1, CELLS) for n in sides[0].shape))
    return [(sides[0][y : y + CELLS, x : x + CELLS], sides[1][y : y + CELLS, x : x + CELLS]) for y, x in corners]


SETS: dict[str, tuple[Callable[[Path], tuple[Pairs, Pairs]], Axes]] = {
    "facade_windows": (facade_windows, "YXS"),
    "isbi2012": (isbi2012, "YX"),
    "isbi2012 half": (lambda folder: isbi2012(folder.with_name("isbi2012"), 11), "YX"),
    "dsb2018": (dsb2018, "YX"),
    "dsb2018 all": (lambda folder: dsb2018(folder.with_name("dsb2018"), every=True), ("YXS", "YX")),
    "drive": (drive, ("YXS", "YX")),
    "translocation_sbs": (translocation_sbs, "YX"),
    "ifc_brightfield_dna": (ifc_brightfield_dna, "YX"),
}
"""Training and test pairs of a folder, and the axes of a source and a target."""


def frames_of(pairs: Pairs, axes: Axes) -> core.PairedFrames:
    """Each pair by itself."""
    sources, targets = (list(side) for side in zip(*pairs, strict=True))
    return core.PairedFrames(sources, targets, axes)


def trained(pairs: Pairs, axes: Axes, steps: int, seed: int, **changes: Any) -> Any:
    """A model of the preset fast, not yet taught to judge the match."""
    known = {"steps": steps, "validate_every": steps, "trust_steps": 0, "empty_frames": "empty", "seed": seed}
    config = core.make_config("fast", changes=known | changes)
    with tempfile.TemporaryDirectory() as folder:
        *_, last = core.train(frames_of(pairs, axes), config, out=folder)
    return last.model


def taught(
    model: Any, pairs: Pairs, axes: Axes, steps: int, blind: bool = False, on_all: bool = False
) -> tuple[Any, float]:
    """The model with a judge of the match, and the seconds it took; `blind`: one that does not see the source.

    Those teach and calibrate that trained, so none that calibrate made the model; or all teach, and none calibrate.
    """
    frames, started = frames_of(pairs, axes), time.monotonic()
    made = split_pairs(frames, model.config, reach(method_of(model.config), model.config, 2))
    split = Split(frames.regions()) if on_all else Split((*made.train, *made.validation), (), made.calibration)
    *_, last = core.fit_trust(model, frames, split=split, steps=steps, conditional=not blind)
    return last.model, time.monotonic() - started


def frames_that_made(model: Any, pairs: Pairs, axes: Axes) -> tuple[list[int], list[int]]:
    """The numbers of the pairs that trained a model that `trained` made of them, and of those that calibrated it."""
    made = split_pairs(frames_of(pairs, axes), model.config, reach(method_of(model.config), model.config, 2))
    return tuple(sorted({region.frame for region in part}) for part in (made.train, made.calibration))  # type: ignore[return-value]


def channels_first(pair: tuple[Image, Image]) -> tuple[Image, Image]:
    """Of a pair (Y, X) or (Y, X, C) each."""
    return tuple(image[None] if image.ndim == 2 else np.moveaxis(image, -1, 0) for image in pair)  # type: ignore[return-value]


def cut(pairs: Pairs) -> Iterator[tuple[Image, Image]]:
    """Windows of one size, channels first: the top left of each pair, then the next to the right of each …"""
    side = min(SIDE, *(n for source, _ in pairs for n in source.shape[:2]))
    found = [
        (corner, tuple(image[y : y + side, x : x + side] for image in pair))
        for pair in pairs
        for corner, (y, x) in enumerate(product(*(range(0, n - side + 1, side) for n in pair[0].shape[:2])))
    ]
    for _, pair in sorted(found, key=lambda one: one[0]):
        yield channels_first(pair)  # type: ignore[arg-type]


def steepness(image: Image) -> Image:
    """The length of the gradient, smoothed over 1 px, summed over the channels."""
    return np.sum([ndimage.gaussian_gradient_magnitude(channel, 1) for channel in image], axis=0)
