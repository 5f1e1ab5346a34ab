"""How fast a training step is: this package's beside a textbook's, in one run; a JSON line per batch size.

The textbook's is the paper's step in plain eager float32: U-Net and 70 x 70 PatchGAN of the preset's size, Adam,
nothing else done about speed. Ours is the preset, as `train` sets it up on this device. Steps of both take turns, so
that a busy machine disturbs both alike; ``ratio`` is median textbook time / median time of ours, ``processor_ratio``
the same of processor seconds (CPU only), ``ours_gflops`` the textbook's operations (counted by torch) by our time.
Where the preset's discriminator sees but a share of the batch (`gan_share`), ``whole_ratio`` and so on are of a step
whose discriminator sees all of it, as the textbook's does.
With `--compile` the same with its networks compiled takes turns, too: ``compiled_ratio`` and so on are of that, and
``compiling_s`` what its first step took, in seconds on the clock and of the processor, the C++ compiler's
included. With `--isa avx2` the processor does as if it had neither AVX-512 nor bfloat16, as most laptops have none.

    python benchmarks/training.py [--preset paper] [--batch-sizes 1 8] [--repeats 15] [--device auto] [--isa avx2]
                                  [--compile]
"""

import os
import sys

os.environ |= {"OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": "0"}  # before torch is imported
if "avx2" in sys.argv:
    os.environ |= {"ONEDNN_MAX_CPU_ISA": "AVX2", "ATEN_CPU_CAPABILITY": "avx2"}

import argparse
import json
import statistics
import time
from collections.abc import Callable

import psutil
import torch
from lightning_fabric import Fabric
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, dropout, l1_loss, leaky_relu, relu
from torch.utils.flop_counter import FlopCounterMode

from napari_pix2pix.core.engine.devices import pick_device, resolve_precision
from napari_pix2pix.core.methods import method_of
from napari_pix2pix.core.methods.learner import Learner
from napari_pix2pix.core.methods.method import Shapes
from napari_pix2pix.core.settings.config import make_config
from napari_pix2pix.core.settings.pix2pix import Pix2PixConfig
from napari_pix2pix.core.training.prepare import FABRIC_PRECISION

WIDTHS = {"paper": (64, 128, 256, 512, 512, 512, 512, 512), "fast": (32, 64, 128, 256)}
"""Of the generator's levels; the discriminator begins as wide."""
Step = Callable[[Tensor, Tensor], object]


class TextbookUNet(nn.Module):
    """Isola et al. 2017, section 6.1.1."""

    def __init__(self, widths: tuple[int, ...]) -> None:
        super().__init__()
        inputs = (3, *widths)
        outputs = (*reversed(widths[:-1]), 3)
        joined = (widths[-1], *(2 * width for width in reversed(widths[:-1])))
        self.down = nn.ModuleList(nn.Conv2d(a, b, 4, 2, 1) for a, b in zip(inputs, widths, strict=False))
        self.up = nn.ModuleList(nn.ConvTranspose2d(a, b, 4, 2, 1) for a, b in zip(joined, outputs, strict=True))
        self.down_norms = nn.ModuleList(nn.BatchNorm2d(width) for width in widths[1:-1])
        self.up_norms = nn.ModuleList(nn.BatchNorm2d(width) for width in outputs[:-1])

    def forward(self, x: Tensor) -> Tensor:
        """The image for each source."""
        skips = [self.down[0](x)]
        for i, down in enumerate(self.down[1:]):
            y = down(leaky_relu(skips[-1], 0.2))
            skips.append(self.down_norms[i](y) if i < len(self.down_norms) else y)
        x = skips.pop()
        for i, up in enumerate(self.up[:-1]):
            x = self.up_norms[i](up(relu(x)))
            x = torch.cat([dropout(x) if i < 3 else x, skips.pop()], 1)
        return torch.tanh(self.up[-1](relu(x)))


def textbook(preset: str, device: torch.device) -> Step:
    """The paper's step, written as a textbook would."""
    generator, first = TextbookUNet(WIDTHS[preset]).to(device), WIDTHS[preset][0]
    layers: list[nn.Module] = [nn.Conv2d(6, first, 4, 2, 1), nn.LeakyReLU(0.2)]
    for before, after, stride in ((first, 2 * first, 2), (2 * first, 4 * first, 2), (4 * first, 8 * first, 1)):
        layers += [nn.Conv2d(before, after, 4, stride, 1), nn.BatchNorm2d(after), nn.LeakyReLU(0.2)]
    discriminator = nn.Sequential(*layers, nn.Conv2d(8 * first, 1, 4, 1, 1)).to(device)
    adams = [torch.optim.Adam(network.parameters(), 2e-4, (0.5, 0.999)) for network in (generator, discriminator)]

    def judged(source: Tensor, image: Tensor, real: float) -> Tensor:
        scores = discriminator(torch.cat([source, image], 1))
        return binary_cross_entropy_with_logits(scores, torch.full_like(scores, real))

    def step(source: Tensor, target: Tensor) -> None:
        fake = generator(source)
        discriminator.requires_grad_(True)
        adams[1].zero_grad()
        (0.5 * (judged(source, target, 1.0) + judged(source, fake.detach(), 0.0))).backward()
        adams[1].step()
        discriminator.requires_grad_(False)
        adams[0].zero_grad()
        (judged(source, fake, 1.0) + 100 * l1_loss(fake, target)).backward()
        adams[0].step()

    return step


def ours(config: Pix2PixConfig, device: torch.device) -> Step:
    """A step as `train` runs it."""
    precision = resolve_precision(config.precision, device)
    fabric = Fabric(accelerator=device.type, devices=1, precision=FABRIC_PRECISION[precision])
    fabric.launch()
    method = method_of(config)
    learner = Learner.of(config, fabric, method.networks(config, Shapes(3, 3)))
    return lambda source, target: method.step(learner, {"source": source, "target": target})


def timed(step: Step, source: Tensor, target: Tensor) -> tuple[float, float]:
    """Seconds of one step, on the clock and of the processor."""
    started = time.perf_counter(), processor_s()
    step(source, target)
    if source.device.type == "cuda":
        torch.cuda.synchronize(source.device)
    return time.perf_counter() - started[0], processor_s() - started[1]


def processor_s() -> float:
    """Of this process, and of those that it started and that have ended, such as the C++ compiler."""
    children = os.times()
    return time.process_time() + children.children_user + children.children_system


def main() -> None:
    """A line for each batch size."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--preset", choices=WIDTHS, default="paper")
    parser.add_argument("--batch-sizes", type=int, nargs="+")
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--isa", choices=["avx2"])
    parser.add_argument("--compile", action="store_true")
    args = parser.parse_args()
    device = pick_device(args.device)
    for batch_size in args.batch_sizes or ([1, 8, 16] if device.type == "cuda" else [1, 8]):
        torch.manual_seed(0)
        # It would take bfloat16 where the processor has it, whatever may be used of it.
        changes = {"batch_size": batch_size, "precision": "float32" if args.isa else "auto"}
        config = make_config(args.preset, changes=changes)
        assert isinstance(config, Pix2PixConfig)
        sides = batch_size, 3, config.patch_size, config.patch_size
        source, target = (torch.rand(sides, device=device) * 2 - 1 for _ in range(2))
        steps = {"textbook": textbook(args.preset, device), "ours": ours(config, device)}
        if config.gan_share < 1:
            steps["whole"] = ours(config.model_copy(update={"gan_share": 1.0}), device)
        if args.compile:
            steps["compiled"] = ours(config.model_copy(update={"compile": True}), device)
        with FlopCounterMode(display=False) as counter:
            steps["textbook"](source, target)
        flops = counter.get_total_flops()
        times: dict[str, list[tuple[float, float]]] = {name: [] for name in steps}
        for _ in range(args.repeats + 2):
            for name, step in steps.items():
                times[name].append(timed(step, source, target))
        medians = {
            name: [statistics.median(one) for one in zip(*rows[2:], strict=True)] for name, rows in times.items()
        }
        ratios = {
            name: [round(a / b, 2) for a, b in zip(medians["textbook"], medians[name], strict=True)] for name in steps
        }
        cuda = device.type == "cuda"
        peak = torch.cuda.max_memory_allocated(device) if cuda else psutil.Process().memory_info().rss
        row = {"preset": args.preset, "batch_size": batch_size, "device": str(device)}
        row |= {"threads": torch.get_num_threads()} | ({} if cuda else {"isa": torch.backends.cpu.get_cpu_capability()})
        row |= dict(zip(("ratio", "processor_ratio")[: 1 if cuda else 2], ratios["ours"], strict=False))
        if config.gan_share < 1:
            row |= {"gan_share": config.gan_share, "whole_ratio": ratios["whole"][0]}
            row |= {} if cuda else {"whole_processor_ratio": ratios["whole"][1]}
        if args.compile:
            row |= {"compiled_ratio": ratios["compiled"][0], "compiled_processor_ratio": ratios["compiled"][1]}
            row |= {"compiling_s": [round(seconds, 1) for seconds in times["compiled"][0]]}
        row |= {f"{name}_s": round(seconds, 4) for name, (seconds, _) in medians.items()}
        row |= {"ours_gflops": round(flops / 1e9 / medians["ours"][0])}
        print(json.dumps(row | {"memory_gib_of_both": round(peak / 2**30, 2)}), flush=True)


if __name__ == "__main__":
    main()
