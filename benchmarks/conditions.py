"""Is a model better that is told by which circumstance images differ? Nuclei of dsb2018, with the domain as condition.

    python benchmarks/conditions.py [--data ../shared/data] [--seeds 3] [--steps 1200] [--most 4]

Fluorescence, purple histology, white smears and bright grey images learn together to find nuclei, with the domain of
each as its condition and without. `f1_DOMAIN` is the object F1 (IoU .5) in images that nobody learned from (all of the
validation part and, but for fluorescence, the last third of the other), `f1` the mean over the domains. The model with
conditions is judged told each image's own, told nothing (zeros), and told the next domain's; `heeded` is the share of
pixels of which it then says otherwise whether they are of a nucleus than told its own, the mean over the domains. `each
by itself` are models of one domain, each in as many steps as its share of the pixels, but 200 at least. A JSON line for
each model and way to ask it, then a table (mean ± SD).
"""

import os

os.environ |= {"OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": "0"}  # before torch is imported

import argparse
import csv
import json
import statistics
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from imageio.v3 import imread
from numpy.typing import NDArray
from unpaired import PAIRED, stretched, table, trained

from napari_pix2pix import core
from napari_pix2pix.core.evaluation.metrics.instances import object_f1

Image = NDArray[Any]
"""(C, Y, X)."""
Pairs = dict[str, list[tuple[Image, Image]]]
"""By domain images and their labels."""
Find = Callable[[str, Image], Image]
"""Nuclei (1, Y, X) in an image of this domain."""
FLUO = "fluo"
FOUND_IN = {"target_kind": "instances", "empty_frames": "empty", "foreground_share": 0.5, "intensity_jitter": 0.1}
FEWEST_STEPS = 200


def read(data: Path, most: int | None = None) -> tuple[Pairs, Pairs]:
    """The pairs that learn, and those that judge, or the first of each domain; colours all, exposures alike."""
    learn: Pairs = {}
    judge: Pairs = {}
    with (data / "dsb2018" / "index.csv").open(newline="") as file:
        for row in csv.DictReader(file):
            folder = data / "dsb2018" / row["split"]
            image = np.atleast_3d(imread(folder / "image" / f"{row['id']}.png"))[..., :3]
            image = np.repeat(image, 3, -1) if image.shape[-1] == 1 else image
            label = tifffile.imread(folder / "label" / f"{row['id']}.tif")[None]
            found = stretched(np.moveaxis(image, -1, 0)), label
            (learn if row["split"] == "train" else judge).setdefault(row["domain"], []).append(found)
    for domain in learn.keys() - {FLUO}:
        kept = len(learn[domain]) * 2 // 3
        judge[domain] += learn[domain][kept:]
        learn[domain] = learn[domain][:kept]
    first = ({domain: pairs[:most] for domain, pairs in sorted(some.items())} for some in (learn, judge))
    return next(first), next(first)


def as_pairs(some: Pairs, told: bool) -> core.PairedFrames:
    """All of them, with their domains as conditions if these are told."""
    images, labels = zip(*(pair for pairs in some.values() for pair in pairs), strict=True)
    domains = [domain for domain, pairs in some.items() for _ in pairs]
    return core.PairedFrames(list(images), list(labels), "CYX", conditions=domains if told else None)


def judged(judge: Pairs, find: Find, own: Find) -> dict[str, float]:
    """Object F1 of what is found, by domain; and how much of it differs from what is found told each image's own."""
    row, apart = dict[str, float](), list[float]()
    for domain, pairs in judge.items():
        found = [find(domain, image)[0] for image, _ in pairs]
        row[f"f1_{domain}"] = statistics.mean(
            object_f1(one, label[0]) for one, (_, label) in zip(found, pairs, strict=True)
        )
        ours = [own(domain, image)[0] for image, _ in pairs]
        apart.append(statistics.mean(float(((a > 0) != (b > 0)).mean()) for a, b in zip(found, ours, strict=True)))
    return {"f1": statistics.mean(row.values())} | row | {"heeded": statistics.mean(apart)}


def runs(args: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """A row for each model, and for each way to ask it."""
    learn, judge = read(args.data, args.most)
    names = list(learn)
    after = dict(zip(names, [*names[1:], names[0]], strict=True))
    pixels = {domain: sum(image[0].size for image, _ in pairs) for domain, pairs in learn.items()}
    for seed in range(args.seeds):
        known = {"set": "dsb2018", "seed": seed}
        plain = trained(as_pairs(learn, told=False), PAIRED | FOUND_IN, args.steps, seed)
        told = trained(as_pairs(learn, told=True), PAIRED | FOUND_IN, args.steps, seed)
        alone = {}
        for domain, pairs in learn.items():
            steps = max(min(FEWEST_STEPS, args.steps), round(args.steps * pixels[domain] / sum(pixels.values())))
            alone[domain] = trained(as_pairs({domain: pairs}, told=False), PAIRED | FOUND_IN, steps, seed)

        def own(domain: str, image: Image, model: core.TrainedModel = told) -> Image:
            return model.under(domain).predict_frame(image)

        def without(domain: str, image: Image, model: core.TrainedModel = plain) -> Image:
            return model.predict_frame(image)

        def itself(domain: str, image: Image, models: dict[str, core.TrainedModel] = alone) -> Image:
            return models[domain].predict_frame(image)

        def next_one(domain: str, image: Image, find: Find = own) -> Image:
            return find(after[domain], image)

        def untold(domain: str, image: Image, model: core.TrainedModel = told) -> Image:
            return model.predict_frame(image)

        for by, find, beside in (
            ("no condition", without, without),
            ("condition, told its own", own, own),
            ("condition, told nothing", untold, own),
            ("condition, told the next", next_one, own),
            ("each by itself", itself, itself),
        ):
            yield known | {"by": by} | judged(judge, find, beside)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=1200)
    parser.add_argument("--most", type=int, help="images of each domain, for a quick look; default: all")
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    rows = []
    for row in runs(args):
        print(json.dumps(row), flush=True)
        rows.append(row)
    print(table(rows))
