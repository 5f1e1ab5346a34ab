"""Images from nothing: does growing pay beside the first GAN, and do generated pairs help where few are annotated?

    python benchmarks/synthesis.py [--data ../shared/data] [--only quality pays speed] [--seeds 3] [--minutes 20]
                                   [--gan-steps GROWING VANILLA]

`quality`: fluorescence nuclei of dsb2018, patches of 64 px. `growing` and `vanilla` (non-saturating cross-entropy,
networks like DCGAN's) train for as many minutes, or for so many steps each, where other work takes their time; `cpu_s`
tells what they took. `swd`, the mean over the levels of the pyramid, and
`swd_64` … of 256 images made beside 256 windows of the fluorescence test images; `floor` compares these with 256 others
of theirs. `pays`: nuclei found (object F1 at IoU .5) in the fluorescence test images by a small model that learned from
8 annotated images, from these with 200 generated pairs of a GAN that saw the same 8, and from these with all
augmentations; as many steps each. `speed`: seconds for a thousand images shown, at each level, beside a textbook step,
in turns. A JSON line per training, then tables (mean ± SD).
"""

import os

os.environ |= {"OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": "0"}  # before torch is imported

import argparse
import csv
import json
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
import torch
from imageio.v3 import imread
from lightning_fabric import Fabric
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, conv2d, interpolate, leaky_relu
from training import timed
from unpaired import PAIRED, stretched, table, trained

from napari_pix2pix import core
from napari_pix2pix.core.evaluation.metrics.instances import object_f1
from napari_pix2pix.core.methods import method_of
from napari_pix2pix.core.methods.learner import Learner
from napari_pix2pix.core.methods.method import Method, Shapes
from napari_pix2pix.core.methods.sliced_wasserstein import distances

Image = NDArray[Any]
"""(C, Y, X)."""
SIDE, JUDGED, ANNOTATED, MADE = 64, 256, 8, 200
GAN: dict[str, Any] = {"method": "gan", "patch_size": SIDE, "base_channels": 8, "latent": 64, "batch_size": 8}
KINDS: dict[str, dict[str, Any]] = {
    "growing": {},
    "vanilla": {
        "grow": False,
        "objective": "cross-entropy",
        "learning_rate": 2e-4,
        "beta1": 0.5,
        "beta2": 0.999,
        "ema_decay": 0.0,
    },
}
FOUND_IN = {"target_kind": "instances", "empty_frames": "empty", "foreground_share": 0.5}


def read(data: Path) -> dict[str, list[tuple[Image, Image]]]:
    """By split the fluorescence images, exposures alike, and their labels."""
    found: dict[str, list[tuple[Image, Image]]] = {}
    with (data / "dsb2018" / "index.csv").open(newline="") as file:
        for row in csv.DictReader(file):
            if row["domain"] == "fluo":
                folder = data / "dsb2018" / row["split"]
                image = np.atleast_3d(imread(folder / "image" / f"{row['id']}.png"))[..., 0][None]
                label = tifffile.imread(folder / "label" / f"{row['id']}.tif")[None]
                found.setdefault(row["split"], []).append((stretched(image), label))
    return found


def windows(images: list[Image], n: int, seed: int) -> Tensor:
    """So many windows (n, 1, 64, 64) in [-1, 1]."""
    random = np.random.default_rng(seed)
    drawn = []
    for _ in range(n):
        image = images[int(random.integers(len(images)))]
        y, x = (int(random.integers(0, length - SIDE + 1)) for length in image.shape[-2:])
        drawn.append(image[:, y : y + SIDE, x : x + SIDE])
    return torch.from_numpy(np.stack(drawn)).float() / 127.5 - 1


def made_by(model: core.TrainedModel, seed: int) -> Tensor:
    """So many images that it makes, in [-1, 1]."""
    return torch.from_numpy(model.generate(JUDGED, seed=seed)).float() / 127.5 - 1


def chosen_of(data: core.Images, changes: dict[str, Any], seed: int, minutes: float | None) -> core.TrainedModel:
    """The model that a training chose, of so many minutes unless `changes` tell its steps."""
    config = core.make_config(changes=GAN | {"seed": seed, "validate_every": 400} | changes)
    with tempfile.TemporaryDirectory() as folder:
        *_, last = core.train(data, config, out=folder, minutes=minutes)
    return last.model


def quality(args: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Distances by level, of both GANs and of real images."""
    found = read(args.data)
    learn, judge = ([image for image, _ in found[split]] for split in ("train", "validation"))
    real, others = windows(judge, JUDGED, 0), windows(judge, JUDGED, 1)
    floor = distances(others, real)
    yield {"set": "quality", "by": "floor: real images", "cpu_s": 0.0, **told(floor), "diversity": 1.0}
    for seed in range(args.seeds):
        for (by, changes), steps in zip(KINDS.items(), args.gan_steps or (None, None), strict=True):
            began, asked = time.process_time(), {"steps": steps} if steps else {}
            model = chosen_of(core.Images(learn, "CYX"), changes | asked, seed, None if steps else args.minutes)
            cpu = time.process_time() - began
            kept_at, figures = model.provenance["step"], model.provenance["figures"].get("validation", {})
            kept = {"diversity": figures.get("diversity", 0.0)}
            apart = told(distances(made_by(model, seed), real))
            yield {
                "set": "quality",
                "by": by,
                "seed": seed,
                "steps": model.config.steps,
                "kept": kept_at,
                "cpu_s": cpu,
                **apart,
                **kept,
            }


def told(apart: dict[int, float]) -> dict[str, float]:
    """By level, and the mean."""
    return {"swd": statistics.mean(apart.values())} | {f"swd_{side}": value for side, value in apart.items()}


def pays(args: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Object F1 on the fluorescence test images."""
    found = read(args.data)
    for seed in range(args.seeds):
        chosen = np.random.default_rng(seed).choice(len(found["train"]), ANNOTATED, replace=False)
        few = [found["train"][i] for i in chosen]
        images, labels = [image for image, _ in few], [label for _, label in few]
        pairs = core.PairedFrames(images, labels, "CYX")
        gan = {"target_kind": "instances", "empty_frames": "empty", "validation_share": 0.0}
        model = chosen_of(core.Images(pairs), gan, seed, args.minutes)
        made = model.generate_pairs(MADE, seed=seed)
        more = core.PairedFrames([*images, *made[0]], [*labels, *made[1].astype(labels[0].dtype)], "CYX")
        augmented = {"jitter": 1.12, "intensity_jitter": 0.2}
        plain = FOUND_IN | {"flip": False, "rotate": False}
        for by, data, changes in (
            (f"{ANNOTATED} annotated images", pairs, plain),
            (f"{ANNOTATED} and {MADE} generated pairs", more, plain),
            (f"{ANNOTATED}, all augmentations", pairs, FOUND_IN | augmented),
            (f"{ANNOTATED} and {MADE} generated pairs, all augmentations", more, FOUND_IN | augmented),
        ):
            kept = {"validation_share": 0.0, "calibration_share": 0.0}
            finder = trained(data, PAIRED | changes | kept, args.steps, seed)
            scores = [object_f1(finder.predict_frame(image)[0], label[0]) for image, label in found["validation"]]
            yield {"set": "pays", "by": by, "seed": seed, "object_f1_iou50": statistics.mean(scores)}


# Speed


def textbook(channels: int, widths: list[int], latent: int) -> Callable[[Tensor, Tensor], object]:
    """Karras et al. 2018 at full growth in plain eager float32: weights scaled, pixel norm, gradient penalty."""
    parts: dict[str, nn.Parameter] = {}

    def layer(name: str, features: Tensor, after: int, kernel: int = 3, padding: int = 1) -> Tensor:
        before = features.shape[1]
        if name not in parts:
            parts[name] = nn.Parameter(torch.randn(after, before, kernel, kernel))
        return conv2d(features, parts[name] * (2 / (before * kernel**2)) ** 0.5, padding=padding)

    def normed(features: Tensor) -> Tensor:
        return features / (features.square().mean(1, keepdim=True) + 1e-8).sqrt()

    def maker(z: Tensor) -> Tensor:
        features = normed(leaky_relu(layer("g0", normed(z)[..., None, None], widths[0], 4, 3), 0.2))
        features = normed(leaky_relu(layer("g1", features, widths[0]), 0.2))
        for i, width in enumerate(widths[1:]):
            features = interpolate(features, scale_factor=2)
            for k in "ab":
                features = normed(leaky_relu(layer(f"g{i}{k}", features, width), 0.2))
        return layer("g_image", features, channels, 1, 0)

    def critic(images: Tensor) -> Tensor:
        features = leaky_relu(layer("d_image", images, widths[-1], 1, 0), 0.2)
        for i, width in enumerate(reversed(widths[:-1])):
            features = leaky_relu(layer(f"d{i}a", features, features.shape[1]), 0.2)
            features = avg_pool2d(leaky_relu(layer(f"d{i}b", features, width), 0.2), 2)
        spread = features.std(0).mean().expand(len(features), 1, *features.shape[2:])
        features = leaky_relu(layer("d0", torch.cat([features, spread], 1), widths[0]), 0.2)
        features = leaky_relu(layer("d1", features, widths[0], 4, 0), 0.2)
        return layer("d_score", features, 1, 1, 0).flatten()

    critic(maker(torch.randn(2, latent)).detach())
    adams = [
        torch.optim.Adam([weight for name, weight in parts.items() if name[0] == side], 1e-3, (0.0, 0.99))
        for side in "gd"
    ]

    def step(real: Tensor, z: Tensor) -> None:
        fake = maker(z)
        share = torch.rand(len(real), 1, 1, 1)
        between = (share * real + (1 - share) * fake.detach()).requires_grad_()
        (gradient,) = torch.autograd.grad(critic(between).sum(), between, create_graph=True)
        penalty = ((gradient.flatten(1).norm(dim=1) - 1) ** 2).mean()
        scores = critic(real)
        adams[1].zero_grad()
        (critic(fake.detach()).mean() - scores.mean() + 10 * penalty + 1e-3 * scores.square().mean()).backward()
        adams[1].step()
        adams[0].zero_grad()
        (-critic(maker(z)).mean()).backward()
        adams[0].step()

    return step


def one_step(method: Method[Any], learner: Learner[Any], real: Tensor, z: Tensor) -> None:
    """Of ours."""
    method.step(learner, {"image": real, "z": z})


def speed(args: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Both steps at each level, in turns: seconds of the processor."""
    method = method_of(core.make_config(changes=GAN))
    for side in (8, 16, 32, 64):
        config = core.make_config(changes=GAN | {"patch_size": side, "base_channels": 8 * SIDE // side, "steps": 100})
        learner = Learner.of(config, Fabric(accelerator="cpu", devices=1), method.networks(config, Shapes(1, 1)))
        learner.train()
        learner.set_learning_rate(99)
        step = textbook(1, list(config.widths), config.latent)
        real, z = torch.rand(8, 1, side, side) * 2 - 1, torch.randn(8, config.latent)
        ours, theirs = [], []
        for i in range(args.repeats + 1):
            took = [timed(own, real, z)[1] for own in (partial(one_step, method, learner), step)]
            if i:
                ours.append(took[0])
                theirs.append(took[1])
        each = [statistics.median(some) * 1000 / len(real) for some in (ours, theirs)]
        yield {"set": "speed", "by": f"{side} px", "ours_s": each[0], "textbook_s": each[1], "ratio": each[1] / each[0]}


QUESTIONS = {"quality": quality, "pays": pays, "speed": speed}

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--only", nargs="+", choices=QUESTIONS, default=list(QUESTIONS))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--minutes", type=float, default=20.0, help="of each GAN")
    parser.add_argument("--gan-steps", nargs=2, type=int, help="of growing and vanilla, instead of minutes")
    parser.add_argument("--steps", type=int, default=800, help="of each model that finds nuclei")
    parser.add_argument("--repeats", type=int, default=7)
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    for name in args.only:
        rows = []
        for row in QUESTIONS[name](args):
            rows.append(row)
            print(json.dumps(row), flush=True)
        print(table(rows), flush=True)
