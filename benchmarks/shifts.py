"""What `shift_tolerance` does to pairs that are not registered: one JSON line per training.

    python benchmarks/shifts.py [--data ../shared/data] [--sets isbi2012 dsb2018 deepliif] [--steps 800]
                                [--seeds 0 1 2] [--shifts 0 2 4 8] [--base-channels 16] [--gan-weight 1]

`isbi2012` and `dsb2018`: each training target is moved against its source by a whole number of pixels along Y and X,
drawn from -m … m for its pair; test pairs are as they are. Beside each training with a tolerance, `shift_tolerance` 0
is the baseline in the same run. ``offset`` is the usual shift at which predictions fit the test targets best, in px:
not 0 if the generator had learned to put its images elsewhere.

`deepliif` (IHC → hematoxylin): one image, whose own shifts (a few px) are not known. It trains on its left part and is
judged on patches of the right part, each at the shift that suits it best. Within one image; says nothing about another.
"""

import argparse
import csv
import json
import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

os.environ |= {"OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": "0"}

import numpy as np
from numpy.typing import NDArray

from napari_pix2pix import core
from napari_pix2pix.core.evaluation.headlines import measure
from napari_pix2pix.files.stacks import open_stack

LARGEST = 8
"""Of the shifts, px: so much is cut off all around, whatever the shift, so that every training sees the same pixels."""
Image = NDArray[Any]
Pairs = list[tuple[Image, Image]]


def read(path: Path) -> Image:
    """All of it."""
    return np.asarray(open_stack(path).array[...])


def pairs_of(name: str, data: Path) -> tuple[Pairs, Pairs]:
    """Training and test pairs (Y, X)."""
    folder = data / name
    if name == "isbi2012":
        images, membranes = read(folder / "image.tif"), read(folder / "membrane.tif")
        pairs = list(zip(images, membranes, strict=True))
        return pairs[:18], pairs[19:]  # neighbouring slices look alike, so one is left out between
    with (folder / "index.csv").open(encoding="utf8") as file:
        rows = [row for row in csv.DictReader(file) if row["domain"] == "fluo" and row["channels"] == "1"]
    sides: dict[str, Pairs] = {"train": [], "validation": []}
    for row in rows:
        files = f"image/{row['id']}.png", f"label/{row['id']}.tif"
        source, target = (read(folder / row["split"] / file) for file in files)
        sides[row["split"]].append((source, target))
    return sides["train"], sides["validation"]


def moved(pair: tuple[Image, Image], shift: tuple[int, int]) -> tuple[Image, Image]:
    """The pair without its border, the target moved by `shift` (Y, X)."""
    source, target = pair
    y, x = (n - 2 * LARGEST for n in source.shape[:2])
    inner = [slice(LARGEST - d, LARGEST - d + n) for d, n in zip(shift, (y, x), strict=True)]
    return source[LARGEST : LARGEST + y, LARGEST : LARGEST + x], target[tuple(inner)]


def error_at(prediction: Image, target: Image, shift: tuple[int, int]) -> float:
    """The mean |prediction(p) - target(p + shift)| over all p at least LARGEST px inside; (Y, X) come first."""
    y, x = (n - 2 * LARGEST for n in prediction.shape[:2])
    inner = tuple(slice(LARGEST + d, LARGEST + d + n) for d, n in zip(shift, (y, x), strict=True))
    here = prediction[LARGEST : LARGEST + y, LARGEST : LARGEST + x]
    return float(np.abs(here.astype(float) - target[inner]).mean())


def best_shift(prediction: Image, target: Image) -> tuple[tuple[int, int], float]:
    """The shift of at most LARGEST px at which the two fit best, and the error there."""
    lags = range(-LARGEST, LARGEST + 1)
    errors = {(dy, dx): error_at(prediction, target, (dy, dx)) for dy in lags for dx in lags}
    best = min(errors, key=errors.__getitem__)
    return best, errors[best]


def trained(pairs: Pairs, axes: Any, settings: argparse.Namespace, seed: int, tolerance: int) -> tuple[Any, float]:
    """The model after all steps, and how long they took in seconds."""
    config = core.make_config(
        "fast",
        changes={
            "generator": {"base_channels": settings.base_channels},
            "discriminator": {"base_channels": settings.base_channels},
            "gan_weight": settings.gan_weight,
            "steps": settings.steps,
            "validate_every": settings.steps,
            "validation_share": 0,
            "calibration_share": 0,
            "trust_steps": 0,
            "empty_frames": "empty",
            "shift_tolerance": tolerance,
            "seed": seed,
        },
    )
    sources, targets = (list(side) for side in zip(*pairs, strict=True))
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        *_, last = core.train(core.PairedFrames(sources, targets, axes), config, out=folder)
    return last.model, time.monotonic() - started


def planted(name: str, settings: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """A row for each shift, tolerance and seed."""
    train, test = pairs_of(name, settings.data)
    test = [moved(pair, (0, 0)) for pair in test]
    for seed in settings.seeds:
        for largest in settings.shifts:
            random = np.random.default_rng([seed, largest])
            shifts = random.integers(-largest, largest, (len(train), 2), endpoint=True).tolist()
            pairs = [moved(pair, tuple(shift)) for pair, shift in zip(train, shifts, strict=True)]
            for tolerance in (0, largest or LARGEST):
                model, seconds = trained(pairs, "YX", settings, seed, tolerance)
                encoding, figures, offsets = model.target_encoding, [], []
                for source, target in test:
                    prediction = model.predict(source, "YX")
                    figures.append(measure(prediction[None], target[None], encoding.kind, 1, None, encoding.classes))
                    there = [image > 0 for image in (prediction, target)]
                    figures[-1]["pixel_error"] = float((there[0] != there[1]).mean())
                    offsets.append(best_shift(*there)[0])
                yield {
                    "set": name,
                    "shift": largest,
                    "shift_tolerance": tolerance,
                    "seed": seed,
                    **{name: round(float(np.mean([row[name] for row in figures])), 4) for name in figures[0]},
                    "offset": np.median(offsets, axis=0).tolist(),
                    "seconds": round(seconds, 1),
                }


def within_one_image(settings: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """A row for each tolerance and seed."""
    source, target = (read(settings.data / "deepliif" / f"Bladder1_{side}.png") for side in ("ihc", "hematoxylin"))
    side = 128
    for seed in settings.seeds:
        for tolerance in (0, LARGEST):
            left = slice(0, 320)
            model, seconds = trained([(source[:, left], target[:, left])], "YXS", settings, seed, tolerance)
            prediction = model.predict(source, "YXS")
            found = [
                (error_at(*patch, (0, 0)), *best_shift(*patch))
                for y in range(0, 512 - side + 1, side)
                for patch in [[image[y : y + side, 512 - side :] for image in (prediction, target)]]
            ]
            yield {
                "set": "deepliif",
                "shift_tolerance": tolerance,
                "seed": seed,
                "mae": round(float(np.mean([at_none for at_none, _, _ in found])), 3),
                "mae_at_best_shift": round(float(np.mean([at_best for _, _, at_best in found])), 3),
                "best_shifts": [shift for _, shift, _ in found],
                "seconds": round(seconds, 1),
            }


def main() -> None:
    """Every row as it is found."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path(__file__).parents[2] / "shared" / "data")
    sets = ["isbi2012", "dsb2018", "deepliif"]
    parser.add_argument("--sets", nargs="+", choices=sets, default=sets)
    parser.add_argument("--steps", type=int, default=800)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--shifts", type=int, nargs="+", choices=range(LARGEST + 1), default=[0, 2, 4, 8])
    parser.add_argument("--base-channels", type=int, default=16)
    parser.add_argument("--gan-weight", type=float, default=1.0)
    settings = parser.parse_args()
    for name in settings.sets:
        for row in within_one_image(settings) if name == "deepliif" else planted(name, settings):
            print(json.dumps(row), flush=True)


if __name__ == "__main__":
    main()
