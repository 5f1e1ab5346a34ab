"""Does it pay to mend pairs before a training, or while it runs? One JSON line per training.

    python benchmarks/repair.py [--data ../shared/data] [--sets isbi2012 dsb2018 translocation_sbs] [--steps 400]
                                [--ways true warped shift_tolerance register learned simpleitk] [--pairs 40] [--seeds 0]

Training targets are seen through an affine motion of up to 2 % and 1° and a smooth local one of 2 to 10 px, drawn for
each, as in `registration.py`; then so much is cut off all around that no pixel comes from beyond the border. Test pairs
are as they are; of `translocation_sbs`, GFP to DNA, the known shift is taken out of all first. ``true``: the same
pixels, nothing planted. ``warped``: not mended. ``shift_tolerance``: one shift for each patch, up to 12 px.
``register``: mended beforehand, what is not known is not learned from. ``simpleitk``: by its B-spline. ``learned``: a
registration network beside the generator, after RegGAN. ``repair_s``: what mending took, of the processor.

`learned` is tried here only; the package has no such setting.
"""

import argparse
import csv
import json
import os
import tempfile
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

os.environ |= {"OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": "0"}

import numpy as np
import torch
from registration import KNOWN_SHIFT, Image, by_register, by_simpleitk, planted, read, seen_through
from torch import Tensor, nn
from torch.nn.functional import grid_sample, interpolate, leaky_relu

from napari_pix2pix import core
from napari_pix2pix.core.data.fields import inside, moved, places
from napari_pix2pix.core.evaluation.headlines import measure
from napari_pix2pix.core.methods import METHODS, pix2pix
from napari_pix2pix.core.methods.learner import Learner
from napari_pix2pix.core.methods.losses import l1_loss
from napari_pix2pix.core.methods.method import Batch, Shapes
from napari_pix2pix.core.settings.pix2pix import Pix2PixConfig
from napari_pix2pix.files.stacks import open_stack

BORDER, LOCAL, TOLERANCE = 24, (2, 10), 12
"""What is cut off all around, px; the range of the local motion, px; the tolerance that is tried, px."""
NODES, SMOOTHNESS = 8, 0.5
"""Of the learned field: px between its nodes, and the weight of its squared slopes beside the L1, as RegGAN has it."""
STAINS = "translocation_sbs"
SETS = ("isbi2012", "dsb2018", STAINS)
WAYS = ("true", "warped", "shift_tolerance", "register", "learned", "simpleitk")
Pairs = list[tuple[Image, Image]]


class Registration(nn.Module):
    """The shift (N, 2, Y, X) in px of each pixel of a prediction to where it lies in a target, both (N, C, Y, X)."""

    def __init__(self, channels: int, width: int = 32) -> None:
        super().__init__()
        sides = [2 * channels, width, width, width, width, width]
        self.layers = nn.ModuleList(
            nn.Conv2d(a, b, 3, stride=2 if i < 3 else 1, padding=1) for i, (a, b) in enumerate(pairwise(sides))
        )
        self.last = nn.Conv2d(width, 2, 3, padding=1)
        nn.init.zeros_(self.last.weight)
        nn.init.zeros_(self.last.bias)

    def forward(self, fake: Tensor, target: Tensor) -> Tensor:
        """The field."""
        found = torch.cat([fake, target], dim=1)
        for layer in self.layers:
            found = leaky_relu(layer(found), 0.2)
        return interpolate(self.last(found).float(), scale_factor=NODES, mode="bilinear", align_corners=False)


def warped(image: Tensor, shifts: Tensor) -> tuple[Tensor, Tensor]:
    """What of images (N, C, Y, X) lies at these shifts (N, 2, Y, X), px; and where that is inside, (N, 1, Y, X)."""
    y, x = (torch.arange(n, dtype=torch.float32) for n in image.shape[2:])
    rows, columns = y[:, None] + shifts[:, 0], x + shifts[:, 1]
    there = torch.stack([2 * columns / (len(x) - 1) - 1, 2 * rows / (len(y) - 1) - 1], dim=-1)
    sure = (there.abs().amax(dim=-1, keepdim=True) <= 1).movedim(-1, 1).to(image.dtype)
    return grid_sample(image, there, padding_mode="border", align_corners=True), sure


class Learned(pix2pix.Pix2Pix):
    """Pix2pix beside a registration network: Kong et al., "Breaking the dilemma of medical image-to-image translation",
    NeurIPS 2021."""

    def networks(self, config: Pix2PixConfig, shapes: Shapes) -> dict[str, nn.Module]:
        """Those of pix2pix, and ``registration``."""
        return super().networks(config, shapes) | {"registration": Registration(shapes.target)}

    def step(self, learner: Learner[Pix2PixConfig], batch: Batch) -> dict[str, Tensor]:
        """That of pix2pix, on targets that are moved by what the network tells, once it has learned from them."""
        network, losses = learner["registration"], {}

        def mended(fake: Tensor, target: Tensor, known: Tensor | None, reach: int) -> tuple[Tensor, Tensor]:
            fake = fake.detach().float()
            shifts = network(fake, target)
            image, sure = warped(target, shifts)
            sure = sure.detach() if known is None else (sure * warped(known, shifts)[0]).detach()
            slopes = sum((shifts.diff(dim=axis) ** 2).mean() for axis in (-2, -1)) / 2
            losses["registration"] = l1_loss(fake, image, sure)
            learner.update("registration", losses["registration"] + SMOOTHNESS * slopes)
            losses["moved_px"] = shifts.detach().norm(dim=1).mean()
            return image.detach(), (sure > 0.5).to(sure)

        kept, pix2pix.register = pix2pix.register, mended
        try:
            return super().step(learner, batch) | {name: loss.detach() for name, loss in losses.items()}
        finally:
            pix2pix.register = kept


def pairs_of(name: str, data: Path, n: int) -> tuple[Pairs, Pairs]:
    """Training and test pairs (1, Y, X)."""
    folder = data / name
    if name == "isbi2012":
        images, membranes = (
            np.asarray(open_stack(folder / f"{side}.tif").array[...]) for side in ("image", "membrane")
        )
        pairs = [(a[None], b[None]) for a, b in zip(images, membranes, strict=True)]
        return pairs[:18], pairs[19:]  # neighbouring slices look alike, so one is left out between
    if name == STAINS:
        wells: dict[bool, Pairs] = {False: [], True: []}
        for path in sorted((folder / "fkhr_gfp").iterdir()):
            target = read(folder / "dna" / path.name)
            shift = np.broadcast_to(np.reshape(KNOWN_SHIFT, (2, 1, 1)), (2, *target.shape[1:]))
            wells[path.name[0] == "F"].append((read(path), moved(target, places(shift), nearest=False)))
        return wells[False], wells[True]
    with (folder / "index.csv").open(encoding="utf8") as file:
        rows = [row for row in csv.DictReader(file) if row["domain"] == "fluo" and row["channels"] == "1"]
    sides: dict[str, Pairs] = {}
    for split in ("train", "validation"):
        own = sorted((row for row in rows if row["split"] == split), key=lambda row: row["id"])
        own = [own[i] for i in np.unique(np.linspace(0, len(own) - 1, n).round().astype(int))]
        sides[split] = [
            (
                read(folder / split / "image" / f"{row['id']}.png")[:1],
                read(folder / split / "label" / f"{row['id']}.tif"),
            )
            for row in own
        ]
    return sides["train"], sides["validation"]


def cut(image: Image) -> Image:
    """Without its border."""
    return image[..., BORDER:-BORDER, BORDER:-BORDER]


def prepared(way: str, pairs: Pairs, labels: bool, seed: int) -> tuple[Pairs, list[Image] | None, float]:
    """The pairs to learn from, where targets are known, and the seconds of the processor that mending took."""
    found, known, seconds = Pairs(), list[Image](), 0.0
    for i, (source, target) in enumerate(pairs):
        random = np.random.default_rng([seed, i])
        if way != "true":
            target, _ = seen_through(target, planted(target.shape[1:], random.uniform(*LOCAL), random), labels)
        source, target = cut(source), cut(target)
        sure = np.ones(source.shape[1:], bool)
        if way in ("register", "simpleitk"):
            started = time.process_time()
            try:
                field, sure = (by_register if way == "register" else by_simpleitk)((source, target, labels))
            except ValueError:
                continue
            target = moved(target, places(field), nearest=labels)
            sure = sure & inside(places(field), sure.shape)
            seconds += time.process_time() - started
        found.append((source, target))
        known.append(sure)
    return found, known if way in ("register", "simpleitk") else None, seconds


def trained(pairs: Pairs, known: list[Image] | None, way: str, settings: argparse.Namespace, seed: int) -> Any:
    """The last event of the training."""
    config = core.make_config(
        "fast",
        changes={
            "generator": {"base_channels": settings.base_channels},
            "discriminator": {"base_channels": settings.base_channels},
            "steps": settings.steps,
            "validate_every": settings.steps,
            "validation_share": 0,
            "calibration_share": 0,
            "trust_steps": 0,
            "empty_frames": "empty",
            "shift_tolerance": TOLERANCE if way in ("shift_tolerance", "learned") else 0,
            "seed": seed,
        },
    )
    sources, targets = ([image[0] for image in side] for side in zip(*pairs, strict=True))
    METHODS["pix2pix"] = Learned() if way == "learned" else pix2pix.Pix2Pix()
    with tempfile.TemporaryDirectory() as folder:
        *_, last = core.train(core.PairedFrames(sources, targets, "YX", valid=known), config, out=folder)
    return last


def main() -> None:
    """Every row as it is found."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path(__file__).parents[2] / "shared" / "data")
    parser.add_argument("--sets", nargs="+", choices=SETS, default=SETS)
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=WAYS)
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--pairs", type=int, default=40)
    parser.add_argument("--base-channels", type=int, default=16)
    settings = parser.parse_args()
    for seed in settings.seeds:
        for name in settings.sets:
            train, test = pairs_of(name, settings.data, settings.pairs)
            for way in settings.ways:
                pairs, known, repair_s = prepared(way, train, name != STAINS, seed)
                started = time.monotonic()
                last = trained(pairs, known, way, settings, seed)
                model, seconds = last.model, time.monotonic() - started
                encoding, figures = model.target_encoding, []
                for source, target in test:
                    prediction = model.predict(source[0], "YX")[None]
                    figures.append(measure(prediction, target, encoding.kind, 255, None, encoding.classes))
                    if name == STAINS:
                        figures[-1]["pearson"] = float(np.corrcoef(prediction.ravel(), target.ravel())[0, 1])
                means = {key: round(float(np.mean([row[key] for row in figures])), 4) for key in figures[0]}
                shared = 1.0 if known is None else float(np.mean([own.mean() for own in known]))
                told = {"set": name, "seed": seed, "way": way, "n": len(pairs), "known": round(shared, 3), **means}
                print(json.dumps(told | {"repair_s": round(repair_s, 1), "seconds": round(seconds, 1)}), flush=True)


if __name__ == "__main__":
    main()
