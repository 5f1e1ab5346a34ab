"""One StarGAN for four kinds of images beside a CycleGAN for each, judged by what a model of one kind finds in them.

    python benchmarks/stargan.py [--data ../shared/data] [--only nuclei mask speed] [--seeds 3] [--steps 900]

The four domains of dsb2018 learn without labels: fluorescence, purple histology, white smears, bright grey images. What
is translated to fluorescence is given to a model that saw fluorescence only: `f1_DOMAIN` is its object F1 (IoU .5)
there, on images that nobody learned from (all of the validation part and the last third of the other). `steps` are
updates of the generator, of CycleGAN a third for each of its three models. `told_fluo` is the share of translations
that an independent classifier, a small network that learned real images, takes for fluorescence; `classifier` its
accuracy on real ones. `millions` are the generators' weights. `mask` takes half of the domain labels away, at random.
`speed`: our step beside a textbook step, in turns. A JSON line per model, then a table (mean ± SD).
"""

import os

os.environ |= {"OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": "0"}  # before torch is imported

import argparse
import csv
import json
import statistics
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
import torch
from imageio.v3 import imread
from lightning_fabric import Fabric
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, l1_loss
from training import timed
from unpaired import NETWORKS, PAIRED, TextbookBlock, TextbookResNet, stretched, table, trained

from napari_pix2pix import core
from napari_pix2pix.core.encodings.domains import Domains
from napari_pix2pix.core.engine.devices import pick_device, resolve_precision
from napari_pix2pix.core.evaluation.metrics.instances import object_f1
from napari_pix2pix.core.methods import method_of
from napari_pix2pix.core.methods.learner import Learner
from napari_pix2pix.core.methods.method import Shapes
from napari_pix2pix.core.training.prepare import FABRIC_PRECISION

Image = NDArray[Any]
"""(C, Y, X)."""
FLUO, OTHERS = "fluo", ("histology_purple", "smear_white", "gray_bright")
STAR: dict[str, Any] = {
    **NETWORKS,
    "method": "stargan",
    "discriminator": {**NETWORKS["discriminator"], "norm": "none"},
    "learning_rate": 2e-4,
    "reconstruction_weight": 200,  # with 10 and 1 nothing of an image is kept, see docs/decisions.md
    "domain_weight": 10,
}
MOST = 60
"""Images of a domain that learn."""


def read(data: Path) -> tuple[dict[str, list[Image]], dict[str, list[tuple[Image, Image]]]]:
    """By domain the images that learn, and those that judge with their labels; colours all, exposures alike."""
    learn: dict[str, list[Any]] = {}
    judge: dict[str, list[Any]] = {}
    with (data / "dsb2018" / "index.csv").open(newline="") as file:
        for row in csv.DictReader(file):
            folder = data / "dsb2018" / row["split"]
            image = np.atleast_3d(imread(folder / "image" / f"{row['id']}.png"))[..., :3]
            image = np.moveaxis(np.repeat(image, 4 - image.shape[-1], -1) if image.shape[-1] == 1 else image, -1, 0)
            found = stretched(image[:3]), tifffile.imread(folder / "label" / f"{row['id']}.tif")
            (learn if row["split"] == "train" else judge).setdefault(row["domain"], []).append(found)
    for domain in OTHERS:
        kept = len(learn[domain]) * 2 // 3
        judge[domain] += learn[domain][kept:]
        learn[domain] = learn[domain][:kept]
    return {domain: [image for image, _ in some] for domain, some in learn.items()}, {**judge, "finder": learn[FLUO]}


def classifier(learn: dict[str, list[Image]], seed: int) -> Callable[[Image], int]:
    """A small network that tells the domain of an image, by its number in `learn`; it learns from windows of 64 px."""
    torch.manual_seed(seed)
    random = np.random.default_rng(seed)
    layers: list[nn.Module] = []
    for before, after in ((3, 16), (16, 32), (32, 64)):
        layers += [nn.Conv2d(before, after, 3, 2, 1), nn.ReLU()]
    network = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, len(learn)))
    adam = torch.optim.Adam(network.parameters(), 1e-3)
    images = list(learn.values())
    for _ in range(300):
        labels, windows = random.integers(0, len(images), 16), []
        for label in labels:
            image = images[label][random.integers(len(images[label]))]
            y, x = (random.integers(0, n - 63) for n in image.shape[-2:])
            windows.append(image[:, y : y + 64, x : x + 64])
        adam.zero_grad()
        seen = torch.from_numpy(np.stack(windows)).float() / 127.5 - 1
        cross_entropy(network(seen), torch.from_numpy(labels)).backward()
        adam.step()

    def tell(image: Image) -> int:
        with torch.inference_mode():
            return int(network(torch.from_numpy(image)[None].float() / 127.5 - 1).argmax())

    return tell


@dataclass(frozen=True)
class Judges:
    """What is asked of translations to fluorescence.

    Parameters
    ----------
    finder
        Finds nuclei in fluorescence, of which alone it learned.
    tell, fluo
        Tells the domain of an image; the number of fluorescence.
    images
        By domain, with their labels.
    """

    finder: core.TrainedModel
    tell: Callable[[Image], int]
    fluo: int
    images: Mapping[str, list[tuple[Image, Image]]]

    def found(self, translate: Callable[[str, Image], Image]) -> dict[str, float]:
        """Object F1 by domain, and the share that is told for fluorescence."""
        row, told = {}, []
        for domain in OTHERS:
            scores = []
            for image, label in self.images[domain]:
                made = translate(domain, image)
                told.append(float(self.tell(made) == self.fluo))
                seen = stretched(made.mean(axis=0, keepdims=True))
                scores.append(object_f1(self.finder.predict_frame(seen)[0], label))
            row[f"f1_{domain}"] = statistics.mean(scores)
        return row | {"told_fluo": statistics.mean(told)}


def nuclei(args: argparse.Namespace, mask: bool = False) -> Iterator[dict[str, Any]]:
    """What is found directly, by CycleGANs and by the StarGAN; with `mask`, by one that knew half of the labels."""
    learn, judge = read(args.data)
    learn = {domain: images[:MOST] for domain, images in learn.items()}
    labelled = judge["finder"][: 2 * MOST]
    pairs = core.PairedFrames([image[:1] for image, _ in labelled], [label[None] for _, label in labelled], "CYX")
    found_in = {"target_kind": "instances", "empty_frames": "empty", "intensity_jitter": 0.2, "foreground_share": 0.5}
    for seed in range(args.seeds):
        tell = classifier(learn, seed)
        right = [tell(image) == i for i, domain in enumerate(learn) for image, _ in judge[domain][:MOST]]
        judges = Judges(trained(pairs, PAIRED | found_in, args.steps // 2, seed), tell, list(learn).index(FLUO), judge)
        known = {"set": "mask" if mask else "nuclei", "seed": seed, "classifier": statistics.mean(map(float, right))}
        for by, translate, millions in translators(learn, args.steps, seed, mask):
            yield known | {"by": by, "millions": millions} | judges.found(translate)


def translators(
    learn: dict[str, list[Image]], steps: int, seed: int, mask: bool
) -> Iterator[tuple[str, Callable[[str, Image], Image], float]]:
    """Each by its name, what it makes of an image of a domain, and the millions of weights that do."""
    yield star("StarGAN", core.DomainFrames(learn, "CYX"), steps, seed)
    if mask:
        yield star("StarGAN, half of the labels", halved(learn, seed), steps, seed)
        return
    cycles = {
        domain: trained(
            core.UnpairedFrames(learn[domain], learn[FLUO], "CYX"),
            {"method": "cyclegan", "target_kind": "intensity"} | NETWORKS,
            steps // len(OTHERS),
            seed,
        )
        for domain in OTHERS
    }
    millions = sum(weights_of(model) for model in cycles.values())
    yield "CycleGAN, one for each", lambda domain, image: cycles[domain].predict_frame(image), millions
    yield "as it is", lambda _, image: image, 0.0
    yield "its negative", lambda _, image: 255 - image, 0.0


def star(by: str, data: core.DomainFrames, steps: int, seed: int) -> tuple[str, Callable[[str, Image], Image], float]:
    """A StarGAN of these domains, as `translators` has it."""
    model = trained(data, STAR, steps, seed)
    to_fluo = model.toward(FLUO)
    return by, lambda _, image: to_fluo.predict_frame(image), weights_of(model)


def weights_of(model: core.TrainedModel) -> float:
    """Millions in the generator."""
    return sum(weight.numel() for weight in model.generator.parameters()) / 1e6


def halved(learn: dict[str, list[Image]], seed: int) -> core.DomainFrames:
    """Every second image, at random, without its label."""
    random, sides, labels = np.random.default_rng(seed), dict[str, list[Image]](), dict[str, str | None]()
    for domain, images in learn.items():
        order = random.permutation(len(images))
        half = max(1, len(images) // 2)
        sides[domain], labels[domain] = [images[i] for i in order[:half]], domain
        sides[f"{domain}?"], labels[f"{domain}?"] = [images[i] for i in order[half:]], None
    return core.DomainFrames(sides, "CYX", labels={"domain": labels})


# Speed


def textbook(device: torch.device, wanted: Tensor) -> Callable[[Tensor, Tensor], object]:
    """Choi et al. 2018 in plain eager float32, of our networks' size: five updates of the discriminator, each with a
    fake of its own, then one of the generator."""
    made = list(TextbookResNet().layers)
    made[1] = nn.Conv2d(3 + 4, 64, 7)
    blocks = [part for part in made if isinstance(part, TextbookBlock)]
    maker = nn.Sequential(*(part for part in made if part not in blocks[6:])).to(device)  # six, not nine
    layers, before = list[nn.Module](), 3
    for width in (64, 128, 256, 512, 512):
        layers += [nn.Conv2d(before, width, 4, 2, 1), nn.LeakyReLU(0.01)]
        before = width
    trunk = nn.Sequential(*layers).to(device)
    heads = nn.ModuleList([nn.Conv2d(before, 1, 3, 1, 1), nn.Conv2d(before, 4, 3, 1, 1)]).to(device)
    critic = [*trunk.parameters(), *heads.parameters()]
    adams = [torch.optim.Adam(some, 1e-4, (0.5, 0.999)) for some in (list(maker.parameters()), critic)]

    def seen(image: Tensor, labels: Tensor) -> Tensor:
        return torch.cat([image, labels[:, :, None, None].expand(-1, -1, *image.shape[-2:])], 1)

    def judged(image: Tensor) -> tuple[Tensor, Tensor]:
        features = trunk(image)
        return heads[0](features), heads[1](features).mean((2, 3))

    def step(images: Tensor, own: Tensor) -> None:
        for image, labels, to in zip(images.chunk(5), own.chunk(5), wanted.chunk(5), strict=True):
            fake = maker(seen(image, to))
            score, told = judged(image)
            false, _ = judged(fake.detach())
            share = torch.rand(len(image), 1, 1, 1, device=image.device)
            between = (share * image + (1 - share) * fake.detach()).requires_grad_()
            (gradient,) = torch.autograd.grad(judged(between)[0].sum(), between, create_graph=True)
            penalty = ((gradient.flatten(1).norm(dim=1) - 1) ** 2).mean()
            adams[1].zero_grad()
            (false.mean() - score.mean() + 10 * penalty + cross_entropy(told, labels.argmax(1))).backward()
            adams[1].step()
        fake = maker(seen(image, to))
        score, told = judged(fake)
        adams[0].zero_grad()
        back = l1_loss(maker(seen(fake, labels)), image)
        (-score.mean() + cross_entropy(told, to.argmax(1)) + 10 * back).backward()
        adams[0].step()

    return step


def speed(args: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """The preset `paper` with two patches of 128 px as `train` runs it beside the textbook's."""
    device, sets = pick_device("auto"), Domains(sets={"domain": ("a", "b", "c", "d")})
    config = core.make_config("paper", changes={"method": "stargan", "target_kind": "intensity", "batch_size": 2})
    fabric = Fabric(accelerator=device.type, precision=FABRIC_PRECISION[resolve_precision(config.precision, device)])
    fabric.launch()
    method = method_of(config)
    learner = Learner.of(config, fabric, method.networks(config, Shapes(3, 3, domains=sets)), domains=sets)
    image = torch.rand(config.patches, 3, 128, 128, device=device) * 2 - 1
    own, to = (torch.eye(4, device=device)[torch.randint(0, 4, (config.patches,))] for _ in range(2))
    known = torch.ones_like(own)
    rest = {"known": known, "wanted": to, "wanted_known": known}
    steps: dict[str, Callable[[Tensor, Tensor], object]] = {
        "textbook": textbook(device, to),
        "ours": lambda image, own: method.step(learner, {"image": image, "labels": own, **rest}),
    }
    times: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(args.repeats + 2):
        for name, step in steps.items():
            times[name].append(timed(step, image, own)[0])
    medians = {name: statistics.median(some[2:]) for name, some in times.items()}
    ratio = round(medians["textbook"] / medians["ours"], 2)
    row = {f"{name}_s": round(seconds, 3) for name, seconds in medians.items()}
    yield {"set": "speed", "threads": torch.get_num_threads(), **row, "ratio": ratio}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--only", nargs="+", choices=["nuclei", "mask", "speed"], default=["nuclei", "mask", "speed"])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument(
        "--steps", type=int, default=900, help="of StarGAN; each CycleGAN makes a third, the finder half"
    )
    parser.add_argument("--repeats", type=int, default=5)
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    runs: dict[str, Callable[[], Iterator[dict[str, Any]]]] = {
        "nuclei": lambda: nuclei(args),
        "mask": lambda: nuclei(args, mask=True),
        "speed": lambda: speed(args),
    }
    for name in args.only:
        found = []
        for row in runs[name]():
            print(json.dumps(row), flush=True)
            found.append(row)
        if name != "speed":
            print(table(found), flush=True)
