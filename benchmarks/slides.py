"""Predicting slides: time that glass takes, memory, seams, and a region against the whole; JSON lines, then a table.

    python benchmarks/slides.py [--size 60000 40000] [--tissue 0.3] [--preset fast] [--real SLIDE] [--folder FOLDER]
        [--base-channels N] [--memory-only]

A pyramidal slide (tiled JPEG, 0.5 µm, levels 1, 4 and 16) is generated: round pieces of textured tissue on glass. The
tissue found on it is predicted from file to file, RGB to one channel of uint16, in float32, in a process of its own.

`tissue`: seconds, and how many times as long as the same pixels take where there is nothing but tissue: an image of
tissue alone, in one piece of the same tile size, predicted from file to file; the goal is 1.15. The most anonymous
memory (Linux: RssAnon) above that of the idle process; the goal is 2 GB, however large the slide. Bytes on disk of a
result, and of one in which nothing was predicted but a corner.

`region`: pixels in which a region of the slide differs from the same region of the whole; the goal is 0.
`seams`: the largest difference, in grey values of 65,535, between the tiles of the slide and the same place in one
piece, for which rounding leaves one or two.

`--base-channels` makes the network smaller than the preset's, and `--memory-only` does `tissue` without the image
to compare it with: how memory grows with a slide can be seen without hours of computing.

`--real` does `region` with the pixels of a real slide. Networks are not trained: what they compute takes as long,
whatever their weights.
"""

import argparse
import json
import math
import os
import subprocess
import sys
import tempfile
import threading
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

os.environ |= {"OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": "0"}

import numpy as np
import tifffile
import torch
from numpy.typing import NDArray
from prediction import anonymous_mib

from napari_pix2pix.core.encodings.encoding import fit_encoding
from napari_pix2pix.core.encodings.source_view import SourceView
from napari_pix2pix.core.methods import method_of
from napari_pix2pix.core.methods.method import Shapes
from napari_pix2pix.core.running.trained_model import TrainedModel
from napari_pix2pix.core.settings.config import make_config
from napari_pix2pix.core.settings.running import PredictSettings
from napari_pix2pix.files.areas import find_tissue
from napari_pix2pix.files.predicted import predict_file
from napari_pix2pix.files.stacks import open_stack

Row = dict[str, Any]
TILE = 512
GLASS = 243


def untrained(preset: str) -> TrainedModel:
    """A model from RGB to one channel of uint16; behind a colon, the preset has the generator's base channels."""
    preset, _, channels = preset.partition(":")
    config = make_config(preset, changes={"generator": {"base_channels": int(channels)}} if channels else {})
    source = fit_encoding([np.array([[[0, 255]]] * 3, np.uint8)], "intensity", limit=1.0)
    target = fit_encoding([np.array([[[0, 2**16 - 1]]], np.uint16)], "intensity", limit=1.0)
    torch.manual_seed(0)  # the same weights in each process
    generator = method_of(config).networks(config, Shapes(3, 1))["generator"]
    return TrainedModel(config, {"generator": generator.eval()}, source, target, SourceView(of_channels=3), "")


# A slide


class Slide:
    """Round pieces of tissue that cover a share of a slide, in any window, at any level."""

    def __init__(self, width: int, height: int, share: float) -> None:
        self.width, self.height = width, height
        random = np.random.default_rng(0)
        n = 3
        radius = math.sqrt(share * width * height / (n * math.pi))
        self.pieces = [(width * (i + 0.5) / n, height * (0.4 + 0.2 * (i % 2)), radius) for i in range(n)]
        coarse = np.kron(random.normal(0, 40, (64, 64)), np.ones((8, 8)))
        self.texture = np.clip(np.array([200, 110, 170]) + coarse[..., None], 0, 235).astype(np.uint8)

    def window(self, x: int, y: int, step: int, side: int = TILE) -> NDArray[np.uint8]:
        """`side` pixels each way from (x, y) of a level, of `step` pixels each."""
        at_x, at_y = ((start + np.arange(side) + 0.5) * step for start in (x, y))
        tissue = np.zeros((side, side), bool)
        for centre_x, centre_y, radius in self.pieces:
            tissue |= ((at_x - centre_x) ** 2)[None] + ((at_y - centre_y) ** 2)[:, None] < radius**2
        texture = self.texture[at_y.astype(int)[:, None] % 512, at_x.astype(int)[None] % 512]
        return np.where(tissue[..., None], texture, np.uint8(GLASS))

    def write(self, path: Path) -> None:
        """A pyramidal tiled JPEG as an Aperio scanner writes it."""
        with tifffile.TiffWriter(path, bigtiff=True) as file:
            for step in (1, 4, 16):
                width, height = self.width // step, self.height // step
                tiles = (self.window(x, y, step) for y in range(0, height, TILE) for x in range(0, width, TILE))
                said = f"Aperio Image Library v11.2.1 \r\n{width}x{height}"
                file.write(
                    tiles,
                    shape=(height, width, 3),
                    dtype=np.uint8,
                    tile=(TILE, TILE),
                    photometric="rgb",
                    compression="jpeg",
                    description=said + ("|AppMag = 20|MPP = 0.5" if step == 1 else ""),
                    metadata=None,
                )


# In a process of its own


def predicted(preset: str, source: Path, out: Path, how: PredictSettings) -> Row:
    """Seconds, and the most memory above idle."""
    model, done = untrained(preset), threading.Event()
    model.predict(np.zeros((256, 256, 3), np.uint8), "YXS")
    idle = peak = anonymous_mib()

    def watch() -> None:
        nonlocal peak
        while not done.wait(0.02):
            peak = max(peak, anonymous_mib())

    watching = threading.Thread(target=watch)
    watching.start()
    before = time.perf_counter(), time.process_time()
    for _ in predict_file(model, source, out, how):
        pass
    wall, cpu = time.perf_counter() - before[0], time.process_time() - before[1]
    done.set()
    watching.join()
    return {"wall_s": wall, "cpu_s": cpu, "above_idle_mib": peak - idle, "bytes": out.stat().st_size}


def in_child(preset: str, source: Path, out: Path, **how: Any) -> Row:
    """What is freed is not always given back."""
    settings = PredictSettings(precision="float32", **how).model_dump_json()
    words = [sys.executable, __file__, "--child", preset, str(source), str(out), settings]
    return json.loads(subprocess.run(words, stdout=subprocess.PIPE, text=True, check=True).stdout.splitlines()[-1])


# Laws


def region_of_whole(whole: Path, part: Path, box: tuple[int, int, int, int]) -> int:
    """Pixels of a region that differ from the whole's."""
    x, y, width, height = box
    window = (slice(y, y + height), slice(x, x + width))
    a, b = (open_stack(path).array[window] for path in (whole, part))
    return int((a != b).sum())


def measure(asked: argparse.Namespace, folder: Path) -> Iterator[Row]:
    """All figures of a generated slide, then those of the real one."""
    width, height = asked.size
    slide, source = Slide(width, height, asked.tissue), folder / "slide.svs"
    slide.write(source)
    pixels = sum(_area(shape.rings[0]) for shape in find_tissue(open_stack(source)))
    row = {"part": "tissue", "size": [width, height], "found": pixels / (width * height), "preset": asked.preset}
    whole = folder / "tissue.ome.tif"
    row |= in_child(asked.preset, source, whole, tissue=True)
    if asked.memory_only:
        yield row
        return
    side = min(round(math.sqrt(pixels)), 8192)
    alone = folder / "alone.tif"
    repeats = -(-side // 512)
    tifffile.imwrite(
        alone, np.tile(slide.texture, (repeats, repeats, 1))[:side, :side], photometric="rgb", tile=(512, 512)
    )
    bare = in_child(asked.preset, alone, folder / "alone.ome.tif")
    row["alone_cpu_s"] = bare["cpu_s"] * pixels / side**2
    row["times_alone"] = row["cpu_s"] / row["alone_cpu_s"]
    yield row
    x, y, radius = slide.pieces[1]
    box = (int(x - 0.3 * radius), int(y - 0.3 * radius), int(0.7 * radius), int(0.5 * radius))
    part = folder / "region.ome.tif"
    found = in_child(asked.preset, source, part, tissue=True, region=",".join(map(str, box)))
    differs = region_of_whole(whole, part, box)
    yield {"part": "region", "slide": "generated", "region": list(box), "differs": differs, **found}
    yield {"part": "seams", "slide": "generated", "grey_values": seams(asked.preset, source, whole, box)}
    if asked.real:
        all_of_it = in_child(asked.preset, asked.real, folder / "real.ome.tif", tile_size=512)
        plan = open_stack(asked.real).plan
        box = tuple(n // 4 for n in (plan.length("X"), plan.length("Y"))) * 2
        found = in_child(asked.preset, asked.real, part, tile_size=512, region=",".join(map(str, box)))
        differs = region_of_whole(folder / "real.ome.tif", part, box)
        yield {
            "part": "region",
            "slide": asked.real.name,
            "region": list(box),
            "differs": differs,
            "whole": all_of_it,
            **found,
        }


def seams(preset: str, source: Path, whole: Path, box: tuple[int, int, int, int], side: int = 1536) -> int:
    """How far a place that several tiles share is from the same place in one piece."""
    model, (x, y, width, height) = untrained(preset), box
    array = open_stack(source).array
    plan = model.tile_plan(array.shape[:2])
    grid, overlap = max(plan.grid), max(plan.overlap)
    middle = ((y + height // 2, array.shape[0]), (x + width // 2, array.shape[1]))
    corner = [max(0, min(at - side // 2, n - side)) // grid * grid for at, n in middle]
    window = tuple(slice(a, a + side) for a in corner)
    piece = model.predict(array[window], "YXS", tile_size=side)
    inside = slice(overlap, side - overlap)
    tiled = open_stack(whole).array[window].astype(int)[inside, inside]
    known = tiled > 0
    return int(np.abs(tiled - piece.astype(int)[inside, inside])[known].max(initial=0))


def _area(ring: Any) -> float:
    x, y = np.asarray(ring).T
    return abs(float((x[:-1] * y[1:] - x[1:] * y[:-1]).sum())) / 2


def table(rows: list[Row]) -> str:
    """For people."""
    lines = []
    for row in rows:
        if row["part"] == "tissue":
            size = " x ".join(map(str, row["size"]))
            lines += [
                f"tissue   {size}, {row['found']:.0%} tissue: {row['cpu_s']:.1f} s of the processors, "
                f"{row.get('times_alone', math.nan):.2f} x of tissue alone ({row['wall_s']:.1f} s by the clock)",
                f"memory   {row['above_idle_mib']:.0f} MiB above idle",
                f"disk     {row['bytes'] / 2**20:.1f} MiB",
            ]
        elif row["part"] == "region":
            lines.append(
                f"region   {row['slide']}: {row['differs']} pixels differ from the whole's, {row['wall_s']:.1f} s, "
                f"{row['bytes'] / 2**20:.1f} MiB"
            )
        else:
            lines.append(f"seams    {row['grey_values']} grey values of 65,535 from one piece")
    return "\n".join(lines)


def main() -> None:
    """Print what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", nargs=2, type=int, default=[60_000, 40_000], help="width and height, px")
    parser.add_argument("--tissue", type=float, default=0.3, help="share of the slide")
    parser.add_argument("--preset", default="fast")
    parser.add_argument("--real", type=Path, help="a slide to take a region of, too")
    parser.add_argument("--base-channels", type=int, help="of the generator; default: the preset's")
    parser.add_argument("--memory-only", action="store_true", help="tissue, with nothing beside it")
    parser.add_argument("--folder", help="for the files; default: a temporary one")
    parser.add_argument("--child", nargs=4, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    asked.preset += f":{asked.base_channels}" if asked.base_channels else ""
    warnings.filterwarnings("ignore", ".*of the source lies")
    if asked.child:
        preset, source, out, settings = asked.child
        print(json.dumps(predicted(preset, Path(source), Path(out), PredictSettings.model_validate_json(settings))))
        return
    rows = []
    with tempfile.TemporaryDirectory(dir=asked.folder) as folder:
        for row in measure(asked, Path(folder)):
            rows.append(row)
            print(json.dumps(row), flush=True)
    print(table(rows))


if __name__ == "__main__":
    main()
