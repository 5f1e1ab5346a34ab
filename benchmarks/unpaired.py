"""What can be learned without pairs: CycleGAN judged on pairs that it never saw, beside what needs no learning.

    python benchmarks/unpaired.py [--data ../shared/data] [--only isbi2012 he_two_scanners nuclei speed]

The pairing is removed: sources are of one half of the training images, targets of the other. `pix2pix` is what as many
images in pairs give (the ceiling), in half the steps, which take a fourth of the time; floors are the source as it is,
thresholds by the share of the targets' foreground, histogram matching, and the colour transfers of Reinhard and of
Macenko. All of them are judged on the same held-out pairs. A JSON line per training, then tables (mean ± SD).

`isbi2012`: EM -> membranes. `dice` is that of the inside of cells, as `evaluate` tells it, which is high if all is
inside; `dice_membrane` that of the membranes. `facade_windows`: photo -> windows. `he_two_scanners`: slides 03-07
learn, 10 and 11 are the pairs. `nuclei`: histology of dsb2018 is translated to fluorescence, where a model that saw
fluorescence only finds nuclei; beside it that model on the histology itself (grey), its negative and its haematoxylin.
`norms`: `isbi2012` with each norm. `speed`: our step beside the textbook's, in turns; and memory early and late in a
training.
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
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
import torch
from ablations import windows_in
from colours import haematoxylin, macenko, reinhard
from imageio.v3 import imread
from lightning_fabric import Fabric
from numpy.typing import NDArray
from quality import facade_windows
from runs import SMALL, images, told
from scipy.ndimage import gaussian_filter
from skimage.exposure import match_histograms
from skimage.metrics import structural_similarity
from torch import Tensor, nn
from torch.nn.functional import l1_loss, mse_loss
from training import timed

from napari_pix2pix import core
from napari_pix2pix.core.engine.devices import pick_device, resolve_precision
from napari_pix2pix.core.evaluation.metrics.classes import dice
from napari_pix2pix.core.evaluation.metrics.instances import object_f1
from napari_pix2pix.core.methods import method_of
from napari_pix2pix.core.methods.learner import Learner
from napari_pix2pix.core.methods.method import Shapes
from napari_pix2pix.core.training.prepare import FABRIC_PRECISION

Image = NDArray[Any]
"""(C, Y, X)."""
Figures = dict[str, float]
NETWORKS: dict[str, Any] = {
    "generator": {"architecture": "unet", "levels": 3, "base_channels": 16, "dropout": 0.0, "norm": "batch-renorm"},
    "discriminator": {"conditional": False, "n_layers": 2, "base_channels": 16},
    "patch_size": 64,
    "batch_size": 4,
}
PAIRED: dict[str, Any] = {
    "generator": {"levels": 4, "base_channels": 16},
    "discriminator": {"n_layers": 2, "base_channels": 16},
    "patch_size": 64,
}


@dataclass(frozen=True)
class Case:
    """Sides that learn, pairs that learn (the ceiling) and pairs that judge.

    Parameters
    ----------
    judge
        Figures of a prediction and a target.
    floors
        By name, what makes a prediction of a source without learning.
    changes
        Settings of both methods.
    variants
        By name other settings of CycleGAN.
    """

    sides: core.UnpairedFrames
    pairs: core.PairedFrames
    sources: list[Image]
    targets: list[Image]
    judge: Callable[[Image, Image], Figures]
    floors: Mapping[str, Callable[[Image], Image]]
    changes: dict[str, Any] = field(default_factory=dict)
    variants: Mapping[str, dict[str, Any]] = field(default_factory=dict)


# The cases


def isbi2012(data: Path) -> Case:
    """Sources of slices 0 to 8, targets of 9 to 17, five slices to judge."""
    source, target = (tifffile.imread(data / "isbi2012" / name) for name in ("image.tif", "membrane.tif"))
    share = float((target[9:18] == 0).mean())

    def threshold(width: float) -> Callable[[Image], Image]:
        def found(image: Image) -> Image:
            smooth = gaussian_filter(image.astype(float), (0, width, width))
            return np.where(smooth < np.quantile(smooth, share), np.uint8(0), np.uint8(255))

        return found

    def judge(ours: Image, truth: Image) -> Figures:
        return {"dice": dice(ours > 127, truth > 127), "dice_membrane": dice(ours <= 127, truth <= 127)}

    floors = {
        "all inside": lambda image: np.full_like(image, 255),
        "threshold by share": threshold(0),
        "the same, smoothed (1.5 px)": threshold(1.5),
    }
    return Case(
        core.UnpairedFrames(source[:9], target[9:18], "ZYX"),
        core.PairedFrames(source[:9], target[:9], "ZYX"),
        list(source[19:, None]),
        list(target[19:, None]),
        judge,
        floors,
        {"target_kind": "classes"},
        {"CycleGAN, labels as grey values": {"target_kind": "intensity"}},
    )


def facades(data: Path) -> Case:
    """Photos of 100 images, windows of 100 others, 38 pairs to judge."""
    learn, test, _ = facade_windows(data, "left")
    photos, windows = ([read(i) for i in range(200)] for read in (learn.source, learn.target))
    reference = np.concatenate(windows[100:], axis=1)

    def judge(ours: Image, truth: Image) -> Figures:
        return {"dice": dice(windows_in(ours), windows_in(truth)), "mae": error(ours, truth)}

    return Case(
        core.UnpairedFrames(photos[:100], windows[100:], "CYX"),
        core.PairedFrames(photos[:100], windows[:100], "CYX"),
        [test.source(i) for i in range(len(test))],
        [test.target(i) for i in range(len(test))],
        judge,
        {"identity": lambda photo: photo, "histogram matching": matched_to(reference)},
        {"target_kind": "intensity", "rotate": False},
    )


def scanners(data: Path) -> Case:
    """32 fields of slides 03 to 07, as if unpaired: sources of the first two, targets of the others; 16 pairs judge."""
    names = sorted(path.name for path in (data / "he_two_scanners" / "aperio").iterdir())
    aperio, hamamatsu = (
        [np.moveaxis(imread(data / "he_two_scanners" / name / file)[..., :3], -1, 0) for file in names]
        for name in ("aperio", "hamamatsu")
    )
    learn = [i for i, name in enumerate(names) if name[:2] in ("03", "04", "05", "07")]
    first, last = ([i for i in learn if names[i][:2] in some] for some in (("03", "04"), ("05", "07")))
    test = [i for i in range(len(names)) if i not in learn]
    reference = np.concatenate([hamamatsu[i] for i in last], axis=1)

    def judge(ours: Image, truth: Image) -> Figures:
        ssim = structural_similarity(ours, truth, channel_axis=0, data_range=255)
        return {"mae": error(ours, truth), "ssim": float(ssim)}

    return Case(
        core.UnpairedFrames([aperio[i] for i in first], [hamamatsu[i] for i in last], "CYX"),
        core.PairedFrames([aperio[i] for i in first], [hamamatsu[i] for i in first], "CYX"),
        [aperio[i] for i in test],
        [hamamatsu[i] for i in test],
        judge,
        {
            "identity": lambda image: image,
            "histogram matching": matched_to(reference),
            "Reinhard": lambda image: reinhard(image, reference),
            "Macenko": lambda image: macenko(image, reference),
        },
        {"target_kind": "intensity"},
    )


CASES: dict[str, Callable[[Path], Case]] = {
    "isbi2012": isbi2012,
    "facade_windows": facades,
    "he_two_scanners": scanners,
}


def matched_to(reference: Image) -> Callable[[Image], Image]:
    """Each channel's histogram becomes that of the reference."""
    return lambda image: match_histograms(image, reference, channel_axis=0)


def error(ours: Image, truth: Image) -> float:
    """Mean |difference|, grey values."""
    return float(np.abs(ours.astype(float) - truth).mean())


def trained(data: Any, changes: dict[str, Any], steps: int, seed: int) -> core.TrainedModel:
    """The model that the training chose."""
    kept = {"trust_steps": 0, "schedule": "linear-decay", "steps": steps, "seed": seed}
    config = core.make_config(changes=changes | kept | {"validate_every": max(1, steps // 4)})
    with tempfile.TemporaryDirectory() as folder:
        *_, last = core.train(data, config, out=folder)
    return last.model


def of_case(name: str, args: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Floors, then both methods for each seed."""
    case = CASES[name](args.data)

    def row(by: str, predict: Callable[[Image], Image], **more: Any) -> dict[str, Any]:
        found = [case.judge(predict(a), b) for a, b in zip(case.sources, case.targets, strict=True)]
        return {"set": name, "by": by, **more} | {key: statistics.mean(f[key] for f in found) for key in found[0]}

    for floor, predict in case.floors.items():
        yield row(floor, predict)
    cyclegan = {"method": "cyclegan"} | NETWORKS | case.changes
    runs = {by: (case.sides, cyclegan | own, args.steps) for by, own in ({"CycleGAN": {}} | case.variants).items()}
    runs["pix2pix with pairs"] = case.pairs, PAIRED | case.changes, args.steps // 2
    for seed in range(args.seeds):
        for by, (data, changes, steps) in runs.items():
            if args.by and by not in args.by:
                continue
            began = time.monotonic()
            model = trained(data, changes, steps, seed)
            more = {"seed": seed, "steps": steps, "kept": model.provenance["step"]}
            yield row(by, model.predict_frame, seconds=round(time.monotonic() - began), **more)


def norms(args: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """`isbi2012` with each norm of the generators; all but instance give exact tiles."""
    case = isbi2012(args.data)
    for norm in ("instance", "batch", "batch-renorm", "none"):
        generator = NETWORKS["generator"] | {"norm": norm}
        changes = {"method": "cyclegan"} | NETWORKS | case.changes | {"generator": generator}
        for seed in range(args.seeds):
            model = trained(case.sides, changes, args.steps, seed)
            found = [case.judge(model.predict_frame(a), b) for a, b in zip(case.sources, case.targets, strict=True)]
            means = {key: statistics.mean(row[key] for row in found) for key in found[0]}
            yield {"set": "norms", "by": norm, "seed": seed, "steps": args.steps} | means


# Nuclei


def nuclei(args: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Object F1 (IoU .5) on the eight histology images of the validation part."""
    with (args.data / "dsb2018" / "index.csv").open(newline="") as file:
        index = [(r["split"], r["id"], r["domain"]) for r in csv.DictReader(file)]

    def read(part: str, domain: str) -> list[tuple[Image, Image]]:
        found = []
        for name in (name for split, name, of in index if (split, of) == (part, domain)):
            folder = args.data / "dsb2018" / part
            image = np.atleast_3d(imread(folder / "image" / f"{name}.png"))[..., :3]
            found.append((np.moveaxis(image, -1, 0), tifffile.imread(folder / "label" / f"{name}.tif")[None]))
        return found

    fluorescence = [(stretched(image[:1]), label) for image, label in read("train", "fluo")]
    histology = [image for image, _ in read("train", "histology_purple")]
    test = read("validation", "histology_purple")
    pairs = core.PairedFrames(*map(list, zip(*fluorescence, strict=True)), "CYX")
    sides = core.UnpairedFrames(histology, [image for image, _ in fluorescence], "CYX")
    found_in = {"target_kind": "instances", "empty_frames": "empty", "intensity_jitter": 0.2, "foreground_share": 0.5}

    def grey(image: Image) -> Image:
        return image.mean(axis=0, keepdims=True).astype(np.uint8)

    for seed in range(args.seeds):
        finder = trained(pairs, PAIRED | found_in, args.steps // 2, seed)
        looks = {
            "the histology as it is (grey)": grey,
            "its negative": lambda image: 255 - grey(image),
            "its haematoxylin (Ruifrok)": haematoxylin,
        }
        if not args.by or "CycleGAN" in args.by:
            changes = {"method": "cyclegan", "target_kind": "intensity"} | NETWORKS
            looks["CycleGAN"] = trained(sides, changes, args.steps, seed).predict_frame
        for by, look in looks.items():
            scores = [object_f1(finder.predict_frame(stretched(look(image)))[0], label[0]) for image, label in test]
            yield {"set": "nuclei", "by": by, "seed": seed, "object_f1_iou50": statistics.mean(scores)}


def stretched(image: Image) -> Image:
    """Percentiles 0.1 and 99.9 become 0 and 255: exposures of this set differ tenfold."""
    low, high = np.percentile(image, (0.1, 99.9))
    return np.clip((image - low) * (255 / max(high - low, 1)), 0, 255).astype(np.uint8)


# Speed


class TextbookResNet(nn.Module):
    """Zhu et al. 2017, section 7.2: nine blocks."""

    def __init__(self, channels: int = 3, width: int = 64) -> None:
        super().__init__()

        def normed(layer: nn.Module, out: int) -> list[nn.Module]:
            return [layer, nn.InstanceNorm2d(out), nn.ReLU(True)]

        layers = [nn.ReflectionPad2d(3), *normed(nn.Conv2d(channels, width, 7), width)]
        for n in (width, 2 * width):
            layers += normed(nn.Conv2d(n, 2 * n, 3, 2, 1), 2 * n)
        layers += [TextbookBlock(4 * width) for _ in range(9)]
        for n in (4 * width, 2 * width):
            layers += normed(nn.ConvTranspose2d(n, n // 2, 3, 2, 1, 1), n // 2)
        self.layers = nn.Sequential(*layers, nn.ReflectionPad2d(3), nn.Conv2d(width, channels, 7), nn.Tanh())

    def forward(self, x: Tensor) -> Tensor:
        """The image for each source."""
        return self.layers(x)


class TextbookBlock(nn.Module):
    """Two convolutions."""

    def __init__(self, n: int) -> None:
        super().__init__()
        one, two = (
            [nn.ReflectionPad2d(1), nn.Conv2d(n, n, 3), nn.InstanceNorm2d(n), *more] for more in ([nn.ReLU(True)], [])
        )
        self.layers = nn.Sequential(*one, *two)

    def forward(self, x: Tensor) -> Tensor:
        """The sum."""
        return x + self.layers(x)


def textbook(device: torch.device) -> Callable[[Tensor, Tensor], object]:
    """The paper's step in plain eager float32, as the authors' code makes it."""
    makers = [TextbookResNet().to(device) for _ in range(2)]
    critics = []
    for _ in range(2):
        layers: list[nn.Module] = [nn.Conv2d(3, 64, 4, 2, 1), nn.LeakyReLU(0.2, True)]
        for before, after, stride in ((64, 128, 2), (128, 256, 2), (256, 512, 1)):
            layers += [nn.Conv2d(before, after, 4, stride, 1), nn.InstanceNorm2d(after), nn.LeakyReLU(0.2, True)]
        critics.append(nn.Sequential(*layers, nn.Conv2d(512, 1, 4, 1, 1)).to(device))
    adams = [
        torch.optim.Adam([w for network in some for w in network.parameters()], 2e-4, (0.5, 0.999))
        for some in (makers, critics)
    ]

    def judged(critic: nn.Module, image: Tensor, real: float) -> Tensor:
        scores = critic(image)
        return mse_loss(scores, torch.full_like(scores, real))

    def step(source: Tensor, target: Tensor) -> None:
        real = source, target
        fakes = [makers[0](source), makers[1](target)]  # of the target, of the source
        for critic in critics:
            critic.requires_grad_(False)
        adams[0].zero_grad()
        loss = sum(judged(critics[i], fakes[i], 1.0) for i in range(2))
        loss = loss + 10 * sum(l1_loss(makers[1 - i](fakes[i]), real[i]) for i in range(2))
        loss = loss + 5 * sum(l1_loss(makers[i](real[1 - i]), real[1 - i]) for i in range(2))
        loss.backward()
        adams[0].step()
        for critic in critics:
            critic.requires_grad_(True)
        adams[1].zero_grad()
        for i in range(2):
            loss = judged(critics[i], real[1 - i], 1.0) + judged(critics[i], fakes[i].detach(), 0.0)
            (0.5 * loss).backward()
        adams[1].step()

    return step


def speed(args: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """The preset `paper` as `train` runs it beside the textbook's; then how flat a small training is."""
    device = pick_device("auto")
    config = core.make_config(
        "paper", changes={"method": "cyclegan", "target_kind": "intensity", "patch_size": args.patch}
    )
    fabric = Fabric(accelerator=device.type, precision=FABRIC_PRECISION[resolve_precision(config.precision, device)])
    fabric.launch()
    method = method_of(config)
    learner = Learner.of(config, fabric, method.networks(config, Shapes(3, 3)))
    steps = {
        "textbook": textbook(device),
        "ours": lambda source, target: method.step(learner, {"source": source, "target": target}),
    }
    source, target = (torch.rand(1, 3, args.patch, args.patch, device=device) * 2 - 1 for _ in range(2))
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in steps}
    for _ in range(args.repeats + 2):
        for name, step in steps.items():
            times[name].append(timed(step, source, target))
    medians = {name: [statistics.median(one) for one in zip(*rows[2:], strict=True)] for name, rows in times.items()}
    row = {f"{name}_s": round(seconds, 3) for name, (seconds, _) in medians.items()}
    ratio, processor = (a / b for a, b in zip(medians["textbook"], medians["ours"], strict=True))
    row |= {"ratio": round(ratio, 2), "processor_ratio": round(processor, 2)}
    yield {"set": "speed", "patch": args.patch, "threads": torch.get_num_threads(), **row}

    with tempfile.TemporaryDirectory() as place:
        flags = [*SMALL, "--method", "cyclegan", "--generator.architecture", "unet", "--steps", "1000"]
        del flags[flags.index("--trust-steps") : flags.index("--trust-steps") + 2]
        seen = list(told([*images(Path(place)), *flags, "--validate-every", "250", "--out", "flat"], Path(place)))
    early, late = (max((row for row in seen if row.step <= at), key=lambda row: row.step) for at in (300, 1000))
    yield {"set": "memory", "gib_at_300": round(early.gib, 3), "gib_at_1000": round(late.gib, 3)}


QUESTIONS = [*CASES, "nuclei", "norms", "speed"]


def table(rows: list[dict[str, Any]]) -> str:
    """Mean ± standard deviation over the seeds."""
    known = ("set", "by", "seed", "steps", "kept", "seconds")
    figures = list(dict.fromkeys(key for row in rows for key in row if key not in known))
    lines = ["| " + " | ".join(("by", *figures)) + " |", "|---" * (len(figures) + 1) + "|"]
    for by in dict.fromkeys(row["by"] for row in rows):
        cells = []
        for figure in figures:
            values = [row[figure] for row in rows if row["by"] == by]
            spread = f" ± {statistics.stdev(values):.3f}" if len(values) > 1 else ""
            cells.append(f"{statistics.mean(values):.3f}{spread}")
        lines.append("| " + " | ".join([by, *cells]) + " |")
    return "\n".join(lines)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--only", nargs="+", choices=QUESTIONS, default=QUESTIONS)
    parser.add_argument("--by", nargs="+", help="only these methods")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=400, help="of CycleGAN; pix2pix makes half as many")
    parser.add_argument("--patch", type=int, default=128, help="of `speed`, px")
    parser.add_argument("--repeats", type=int, default=7)
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    for name in args.only:
        runs = {"nuclei": nuclei, "norms": norms, "speed": speed}.get(name) or partial(of_case, name)
        found = []
        for row in runs(args):
            print(json.dumps(row), flush=True)
            found.append(row)
        if name != "speed":
            print(table(found), flush=True)
