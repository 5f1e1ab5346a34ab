"""Memory and speed of predicting large images: JSON lines, then a table.

    python benchmarks/prediction.py [--parts memory speed precision] [--sides 4096 8192 16384] [--suffixes .tif .zarr]
                                    [--channels 13] [--preset fast] [--trust] [--objects] [--speed-side 4096]
                                    [--monai FOLDER]

`memory`: square uint16 images, mostly zeros, so that their TIFF is a sparse file, are predicted from file to file by
the preset `fast` in a process of its own; the most anonymous memory (Linux: RssAnon) above that of the idle process,
which has the model loaded and has predicted a small image. `--sides 30000` is the size of a slide, `--rows 4500` makes
images of any width so high. `--channels 13`: sources of so many planes, taken as channels, and targets of three stains.
The goal is 1 GB (954 MiB), whatever the sides and up to 16 channels. `--trust`: they are judged, too, by a judge that
expects the error of each pixel. `--objects`: the model of the package finds nuclei in its sample, laid side by side.

`speed`: of the default preset `microscopy`, on the CPU: seconds that the bare network takes for the image in one piece,
that our exact tiles take (goal: at most 1.25 times), that file -> file takes, and that MONAI's
`sliding_window_inference` takes (overlap 0.25, gaussian; blended, not exact), if it can be imported: `pip install
--no-deps --target FOLDER monai` keeps it away from the environment. `cpu_s` are seconds of all processors together,
which other work on the machine disturbs less than the clock.

`precision`: one tile through the network in float32 in both layouts, and in bfloat16 (goal: 1.7 times the better).

Networks are not trained: what they compute takes as long, whatever their weights.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

os.environ |= {"OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": "0"}

import numpy as np
import tifffile
import torch

from napari_pix2pix.core.encodings.encoding import fit_encoding
from napari_pix2pix.core.encodings.source_view import SourceView
from napari_pix2pix.core.methods import method_of
from napari_pix2pix.core.methods.method import Shapes
from napari_pix2pix.core.running.prediction import Forward, channels_last, predict_tiles
from napari_pix2pix.core.running.trained_model import TrainedModel, load_model
from napari_pix2pix.core.settings.config import make_config
from napari_pix2pix.core.settings.running import PredictSettings
from napari_pix2pix.core.trust.judge import MatchJudge, match_network
from napari_pix2pix.core.trust.novelty import Novelty
from napari_pix2pix.files.predicted import predict_file
from napari_pix2pix.files.samples import bright_nuclei
from napari_pix2pix.files.starters import starters

Row = dict[str, Any]


def untrained(preset: str, channels: int = 1) -> TrainedModel:
    """A model from one channel to one, uint16 both; from several, planes of a stack, to three."""
    config, stains = make_config(preset), 3 if channels > 1 else 1
    ends = np.array([[[0, 2**16 - 1]]], np.uint16)
    encodings = [fit_encoding([ends.repeat(n, axis=0)], "intensity", limit=1.0) for n in (channels, stains)]
    generator = method_of(config).networks(config, Shapes(channels, stains))["generator"]
    view = SourceView(z="all" if channels > 1 else "frame")
    return TrainedModel(config, {"generator": generator.eval()}, *encodings, view, "C" if channels > 1 else "")


def with_judge(model: TrainedModel) -> TrainedModel:
    """The model with a judge of the match, which is neither taught nor calibrated."""
    encodings = model.source_encoding, model.target_encoding
    network = match_network(model.config.discriminator, *encodings, 2, per_pixel=True).eval()
    side = network.fields[-1].size
    novelty = Novelty.of([np.zeros((encodings[0].n_maps, side, side), np.float32)], side)
    return replace(model, match=MatchJudge(network, None, novelty))


def write_sparse(path: Path, shape: tuple[int, ...]) -> None:
    """A TIFF ([Z,] Y, X) of zeros with a line of grey values every 256 rows: a sparse file."""
    pixels = tifffile.memmap(path, shape=shape, dtype=np.uint16, metadata={"axes": "ZYX"[-len(shape) :]})
    pixels[..., ::256, :] = np.arange(shape[-1]) % 60_000
    pixels.flush()


def write_nuclei(path: Path, shape: tuple[int, ...]) -> None:
    """A TIFF (Y, X) of the sample image with nuclei, again and again."""
    nuclei = bright_nuclei()
    pixels = tifffile.memmap(path, shape=shape, dtype=nuclei.dtype)
    for row in range(0, shape[0], len(nuclei)):
        some = np.tile(nuclei, (1, -(-shape[1] // nuclei.shape[1])))[: shape[0] - row, : shape[1]]
        pixels[row : row + len(some)] = some
    pixels.flush()


# Memory


def anonymous_mib() -> float:
    """Of this process, now."""
    found = re.search(r"RssAnon:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found, "RssAnon is Linux's"
    return int(found[1]) / 1024


def memory(shape: tuple[int, ...], suffix: str, preset: str, trust: bool, objects: bool) -> Row:
    """The most above idle while an image ([Z,] Y, X) is predicted; in this process."""
    if objects:
        model = load_model(starters()["nuclei"])
    else:
        model = untrained(preset, shape[0] if len(shape) == 3 else 1)
        model = with_judge(model) if trust else model
    model.predict(np.zeros((*shape[:-2], 256, 256), np.uint16), "ZYX"[-len(shape) :])
    with tempfile.TemporaryDirectory() as folder:
        source, done = Path(folder) / "source.tif", threading.Event()
        (write_nuclei if objects else write_sparse)(source, shape)
        idle = peak = anonymous_mib()
        out, how = Path(folder) / f"out{suffix}", PredictSettings(precision="float32", trust=trust)

        def watch() -> None:
            nonlocal peak
            while not done.wait(0.02):
                peak = max(peak, anonymous_mib())

        watching = threading.Thread(target=watch)
        watching.start()
        started = time.monotonic(), time.process_time()
        for _ in predict_file(model, source, out, how):
            pass
        wall, cpu = time.monotonic() - started[0], time.process_time() - started[1]
        done.set()
        watching.join()
    named = {"part": "memory", "shape": shape, "suffix": suffix, "above_idle_mib": peak - idle}
    return {**named, "trust": trust, "objects": objects, "wall_s": wall, "cpu_s": cpu}


def memories(
    sides: list[int], rows: int | None, channels: int, suffixes: list[str], preset: str, trust: bool, objects: bool
) -> Iterator[Row]:
    """Each in a child process: what is freed is not always given back."""
    for side in sides:
        for suffix in suffixes:
            shape = (*([channels] if channels > 1 else []), rows or side, side)
            words = [sys.executable, __file__, "--child", ",".join(map(str, shape)), suffix, preset]
            words += ["--trust"] * trust + ["--objects"] * objects
            yield json.loads(subprocess.run(words, capture_output=True, text=True, check=True).stdout.splitlines()[-1])


# Speed


def timed(name: str, work: Callable[[], object], **more: Any) -> Row:
    """The best of two runs, by the seconds of the processors."""
    runs = []
    for _ in range(2):
        before = time.perf_counter(), time.process_time()
        work()
        runs.append((time.process_time() - before[1], time.perf_counter() - before[0]))
    cpu, wall = min(runs)
    return {"name": name, "cpu_s": cpu, "wall_s": wall, **more}


def speeds(side: int, roi: int) -> Iterator[Row]:
    """The same pixels through the same network, in one piece, in exact tiles, to a file, and by MONAI's windows."""
    model, pixels = untrained("microscopy"), np.random.default_rng(0).integers(0, 2**16, (side, side), dtype=np.uint16)
    generator, plan = model.generator, model.tile_plan((side, side))
    frame = model.source_encoding.encode(pixels[None])
    batch = channels_last(torch.from_numpy(frame[None]))
    large = model.tile_plan((30_000, 30_000)).cost

    def bare() -> None:
        with torch.inference_mode():
            generator(batch)

    def tiled() -> None:
        for _ in predict_tiles(Forward(generator, model.device), frame, plan):
            pass

    named = {"part": "speed", "side": side}
    yield timed("bare network, one piece", bare, **named)
    yield timed("exact tiles", tiled, **named, pixels_read=plan.cost, pixels_read_of_30000=large)
    with tempfile.TemporaryDirectory() as folder:
        source, out = Path(folder) / "source.tif", Path(folder) / "out.tif"
        tifffile.imwrite(source, pixels)
        for precision in ("float32", "bfloat16"):
            name = f"file -> file, {precision}"
            yield timed(
                name, lambda p=precision: list(predict_file(model, source, out, PredictSettings(precision=p))), **named
            )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            from monai.inferers import sliding_window_inference
    except ImportError as error:
        yield {"name": f"no MONAI: {error}", **named}
        return

    def windows() -> None:
        with torch.inference_mode():
            sliding_window_inference(batch, (roi, roi), 1, generator, overlap=0.25, mode="gaussian")

    yield timed(f"MONAI, windows of {roi}, overlap 0.25, gaussian", windows, **named)


def precisions(side: int = 1024) -> Iterator[Row]:
    """A tile in both layouts and both precisions."""
    for preset in ("fast", "microscopy"):
        generator, contiguous = untrained(preset).generator, torch.randn(1, 1, side, side)
        last = channels_last(contiguous)
        for name, source, fast in (
            ("float32, contiguous", contiguous, False),
            ("float32, channels last", last, False),
            ("bfloat16, contiguous", contiguous, True),
            ("bfloat16, channels last", last, True),
        ):

            def run(source: torch.Tensor = source, fast: bool = fast, network: torch.nn.Module = generator) -> None:
                with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=fast):
                    network(source)

            run()
            yield timed(name, run, part="precision", side=side, preset=preset)


# What came of it


def table(rows: list[Row]) -> str:
    """For people."""
    lines = []
    bare = next((row["cpu_s"] for row in rows if row.get("name", "").startswith("bare")), None)
    for row in rows:
        if row["part"] == "memory":
            size = " x ".join(map(str, row["shape"]))
            found = f"{row['above_idle_mib']:8.0f} MiB above idle {row['cpu_s']:8.1f} s"
            lines.append(f"memory     {size:>20} px {row['suffix']:<5} {found}")
        elif "cpu_s" not in row:
            lines.append(f"speed      {row['name']}")
        elif row["part"] == "speed":
            assert bare is not None
            lines.append(
                f"speed      {row['name']:<46} {row['cpu_s']:8.1f} s  {row['cpu_s'] / bare:5.2f} x the bare network"
            )
        else:
            same = [other for other in rows if other.get("preset") == row["preset"] and other["part"] == "precision"]
            best = min(other["cpu_s"] for other in same if other["name"].startswith("float32"))
            name = f"{row['preset']}, {row['name']}"
            lines.append(
                f"precision  {name:<46} {row['cpu_s']:8.2f} s  {best / row['cpu_s']:5.2f} x as fast as float32"
            )
    return "\n".join(lines)


def main() -> None:
    """Print what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parts", nargs="+", default=["memory", "speed", "precision"])
    parser.add_argument("--sides", nargs="+", type=int, default=[4096, 8192, 16384])
    parser.add_argument("--rows", type=int, help="of the images whose memory is measured; default: as wide")
    parser.add_argument("--channels", type=int, default=1, help="planes of these images, taken as channels")
    parser.add_argument("--suffixes", nargs="+", default=[".tif", ".zarr"])
    parser.add_argument("--preset", default="fast", help="of the networks whose memory is measured")
    parser.add_argument("--trust", action="store_true", help="judge the predictions whose memory is measured")
    parser.add_argument("--objects", action="store_true", help="nuclei are found in images whose memory is measured")
    parser.add_argument("--speed-side", type=int, default=4096)
    parser.add_argument("--monai", help="the folder into which it was installed")
    parser.add_argument("--monai-roi", type=int, default=512)
    parser.add_argument("--child", nargs=3, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    warnings.filterwarnings("ignore", ".*of the source lies")
    if asked.child:
        shape, *rest = asked.child
        row = memory(tuple(map(int, shape.split(","))), *rest, asked.trust, asked.objects)
        print(json.dumps(row))
        return
    if asked.monai:
        sys.path.append(asked.monai)
    parts: dict[str, Callable[[], Iterator[Row]]] = {
        "memory": lambda: memories(
            asked.sides, asked.rows, asked.channels, asked.suffixes, asked.preset, asked.trust, asked.objects
        ),
        "speed": lambda: speeds(asked.speed_side, asked.monai_roi),
        "precision": precisions,
    }
    rows = []
    for part in asked.parts:
        for row in parts[part]():
            rows.append(row)
            print(json.dumps(row), flush=True)
    print(table(rows))


if __name__ == "__main__":
    main()
