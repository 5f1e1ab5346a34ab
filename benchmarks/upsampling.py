"""Does a generator draw a checkerboard into grey values? A JSON line per training, and one of the truth.

    python benchmarks/upsampling.py [--data ../shared/data] [--sets translocation_sbs ifc_brightfield_dna] [--steps 400]

The preset `fast` with each way of upsampling (`generator.upsampling`), on the same pairs, judged on held-out ones: MAE,
Pearson (means over images), and `grid`: by period, px, how much power lies at the frequencies of a grid of this period,
within a bin, over the median of what lies 3 to 6 bins away; a grid that a network draws is a peak there. An image
without one has about 1, or what its own lines along Y and X make of it: `truth` is the held-out targets.
"""

import argparse
import json
import os
import tempfile
import time
from itertools import product
from pathlib import Path
from typing import Any

os.environ |= {"OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": "0"}

import numpy as np
from trust_pairs import SETS, Image, frames_of

from napari_pix2pix import core

PERIODS = 2, 4, 8
NEAR, AWAY = range(-1, 2), range(-6, 7)


def grid_power(image: Image) -> dict[int, float]:
    """Of an image (Y, X), by period; see above."""
    y, x = (n // max(PERIODS) * max(PERIODS) for n in image.shape)
    cut = image[:y, :x].astype(np.float64)
    power = np.abs(np.fft.fft2((cut - cut.mean()) * np.outer(np.hanning(y), np.hanning(x)))) ** 2
    found = {}
    for period in PERIODS:
        peaks = []
        for j, i in product(range(period), repeat=2):
            if j % 2 or i % 2 or (period == min(PERIODS) and j + i):  # those that no shorter period has
                at_y, at_x = j * y // period, i * x // period
                here = [power[(at_y + a) % y, (at_x + b) % x] for a, b in product(NEAR, NEAR)]
                around = [
                    power[(at_y + a) % y, (at_x + b) % x] for a, b in product(AWAY, AWAY) if max(abs(a), abs(b)) > 2
                ]
                peaks.append(np.mean(here) / np.median(around))
        found[period] = float(f"{np.mean(peaks):.3g}")
    return found


def means(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Of rows of figures."""
    found = {name: round(float(np.mean([row[name] for row in rows])), 4) for name in rows[0] if name != "grid"}
    return found | {"grid": {p: float(f"{np.mean([row['grid'][p] for row in rows]):.3g}") for p in PERIODS}}


def main() -> None:
    """Every row as it is found."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path(__file__).parents[2] / "shared" / "data")
    parser.add_argument("--sets", nargs="+", choices=SETS, default=["translocation_sbs", "ifc_brightfield_dna"])
    parser.add_argument("--ways", nargs="+", default=["nearest", "transposed"])
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    settings = parser.parse_args()
    for name in settings.sets:
        divided, axes = SETS[name]
        train, test = divided(settings.data / name)
        channels = [target if target.ndim == 2 else target[..., 0] for _, target in test]
        print(json.dumps({"set": name, "upsampling": "truth"} | means([{"grid": grid_power(c)} for c in channels])))
        for seed, way in product(settings.seeds, settings.ways):
            known = {"steps": settings.steps, "validate_every": settings.steps, "trust_steps": 0, "seed": seed}
            known |= {"generator": {"upsampling": way}, "empty_frames": "empty", "target_kind": "intensity"}
            started = time.monotonic()
            with tempfile.TemporaryDirectory() as folder:
                *_, last = core.train(frames_of(train, axes), core.make_config("fast", changes=known), out=folder)
            seconds, rows = time.monotonic() - started, []
            for (source, _), true in zip(test, channels, strict=True):
                frame = source[None] if source.ndim == 2 else np.moveaxis(source, -1, 0)
                made = last.model.predict_frame(frame)[0].astype(np.float64)
                pearson = np.corrcoef(made.ravel(), true.ravel())[0, 1]
                rows.append({"mae": np.abs(made - true).mean(), "pearson": pearson, "grid": grid_power(made)})
            told = {"set": name, "upsampling": way, "seed": seed, "steps": settings.steps, "seconds": round(seconds)}
            print(json.dumps(told | means(rows)), flush=True)


if __name__ == "__main__":
    main()
