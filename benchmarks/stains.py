"""Many stains in one model though no image has all: each training pair keeps one stain, at random.

    python benchmarks/stains.py [--data ../shared/data] [--seeds 3] [--steps 800] [--stains ECAD COLI VIM]

mibi_breast: 24 patients, a field each; HH3 and PanKRT -> further markers; 16 patients learn, 8 judge. Ion counts are
mostly 0, so that all images are smoothed by 2 px before anybody learns or judges. `each one stain`: one model, of pairs
of which each keeps one stain. `one model a stain`: as many models as stains, each on the pairs that have its own.
`longer`: the first, in as many steps as these take together, so that each stain is seen as often. `all stains`: one
model that saw everything, the ceiling. `ridge`: a linear model of the smoothed sources at three widths, the floor. As
many steps in each other training, so that one model costs a share of the separate ones; `trainings` tells. `r_STAIN` is
Pearson's correlation of prediction and truth over the pixels of an image, the mean over the images; `cell_STAIN` that
of the means in cells: nuclei by Otsu's threshold of HH3, dilated by 5 px. A JSON line a row, then a table (mean ± SD).
"""

import os

os.environ |= {"OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": "0"}  # before torch is imported

import argparse
import csv
import json
import statistics
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from imageio.v3 import imread
from numpy.typing import NDArray
from scipy import ndimage
from skimage.filters import threshold_otsu
from skimage.measure import label
from skimage.segmentation import expand_labels
from unpaired import PAIRED, table, trained

from napari_pix2pix import core

Image = NDArray[np.float32]
"""(C, Y, X)."""
SEEN, SIGMA, JUDGING = ("HH3", "PanKRT"), 2.0, 8
SETTINGS = PAIRED | {
    "l2_weight": 100.0,
    "target_kind": "intensity",
    "source_normalization": {"method": "percentiles", "percentiles": (0.1, 99.9)},
    "target_normalization": {"method": "percentiles", "percentiles": (0.1, 99.9)},
    "validation_share": 0.0,
    "calibration_share": 0.0,
}


def read(data: Path, stains: Sequence[str]) -> list[tuple[Image, Image]]:
    """Sources and targets of each patient, smoothed counts, in an order that mixes kinds of tissue."""
    with (data / "mibi_breast" / "index.csv").open(newline="") as file:
        names = [row["name"] for row in csv.DictReader(file)]

    def smooth(name: str, stain: str) -> NDArray[np.float32]:
        found: NDArray[np.float32] = ndimage.gaussian_filter(
            imread(data / "mibi_breast" / stain / name).astype(np.float32), SIGMA
        )
        return found

    order = np.random.default_rng(0).permutation(len(names))
    return [
        (np.stack([smooth(names[i], one) for one in SEEN]), np.stack([smooth(names[i], one) for one in stains]))
        for i in order
    ]


def cells(source: Image) -> NDArray[np.int32]:
    """A label for each cell, by its nucleus."""
    found: NDArray[np.int32] = expand_labels(label(source[0] > threshold_otsu(source[0])), 5)
    return found


def correlation(a: NDArray[Any], b: NDArray[Any]) -> float:
    """Pearson's; 0 where one is constant."""
    return float(np.nan_to_num(np.corrcoef(a.ravel(), b.ravel())[0, 1]))


def judged(
    predict: Callable[[Image], Image], judge: list[tuple[Image, Image]], stains: Sequence[str]
) -> dict[str, float]:
    """Both figures of each stain."""
    found: dict[str, list[float]] = {}
    for source, target in judge:
        prediction, places = predict(source), cells(source)
        numbers = np.arange(1, places.max() + 1)
        for k, stain in enumerate(stains):
            found.setdefault(f"r_{stain}", []).append(correlation(prediction[k], target[k]))
            means = (ndimage.mean(image[k], places, numbers) for image in (prediction, target))
            found.setdefault(f"cell_{stain}", []).append(correlation(*map(np.asarray, means)))
    return {name: statistics.mean(values) for name, values in sorted(found.items(), reverse=True)}


def features(source: Image) -> NDArray[np.float64]:
    """(Y * X, n): the channels smoothed further by 0, 2 and 6 px, and 1."""
    blurred = [ndimage.gaussian_filter(channel, width) for channel in source for width in (0, 2, 6)]
    return np.stack([*(one.ravel() for one in blurred), np.ones(source[0].size)], axis=1).astype(np.float64)


def ridge(learn: list[tuple[Image, Image]]) -> Callable[[Image], Image]:
    """A linear model of these, by the normal equations."""
    gram, right = (np.zeros(()) for _ in range(2))
    for source, target in learn:
        x = features(source)
        gram, right = gram + x.T @ x, right + x.T @ target.reshape(len(target), -1).T
    weights = np.linalg.solve(gram + 1e-3 * np.trace(gram) / len(gram) * np.eye(len(gram)), right)
    return lambda source: (features(source) @ weights).T.reshape(-1, *source.shape[1:]).astype(np.float32)


def rows(args: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """The floor, then what each way learns, seed by seed."""
    pairs, stains = read(args.data, args.stains), args.stains
    learn, judge = pairs[:-JUDGING], pairs[-JUDGING:]
    sources, targets = ([pair[side] for pair in learn] for side in (0, 1))
    yield {"set": "mibi_breast", "by": "ridge", "trainings": 0, **judged(ridge(learn), judge, stains)}
    for seed in range(args.seeds):
        kept = np.random.default_rng(seed).permutation(np.arange(len(learn)) % len(stains))
        channels = [[k if k == own else None for k in range(len(stains))] for own in kept]
        some = core.PairedFrames(sources, targets, "CYX", channels=(None, channels), target_names=stains)
        own = [[i for i in range(len(learn)) if kept[i] == k] for k in range(len(stains))]
        singles = [
            core.PairedFrames([sources[i] for i in few], [targets[i][k : k + 1] for i in few], "CYX")
            for k, few in enumerate(own)
        ]
        whole = core.PairedFrames(sources, targets, "CYX")
        ways = {
            "each one stain": ([some], args.steps),
            "each one stain, longer": ([some], args.steps * len(stains)),
            "one model a stain": (singles, args.steps),
            "all stains": ([whole], args.steps),
        }
        for by in args.by or ways:
            data, steps = ways[by]
            models = [trained(one, SETTINGS, steps, seed) for one in data]

            def predict(source: Image, models: Sequence[core.TrainedModel] = tuple(models)) -> Image:
                return np.concatenate([model.predict_frame(source) for model in models])

            told = {"set": "mibi_breast", "seed": seed, "by": by, "trainings": len(data) * steps / args.steps}
            yield told | judged(predict, judge, stains)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--stains", nargs="+", default=["ECAD", "COLI", "VIM"])
    parser.add_argument("--by", nargs="+", help="only these ways")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=800)
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    found = []
    for row in rows(args):
        found.append(row)
        print(json.dumps(row), flush=True)
    print(table(found))
