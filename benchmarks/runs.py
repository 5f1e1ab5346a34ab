"""What a training costs beside its steps: a JSON line per question.

    python benchmarks/runs.py [--only start flat large] [--gb 20]

`start`: seconds from the command to the first step, files on disk, preset `fast`; beside them the seconds that
importing torch alone takes. `flat`: time per step, on the clock and of the processor (which other work does not
stretch), and anonymous memory at step 200 and 2,000 of one small training.
`large`: the most anonymous memory of a training on a stack of so many GB, validation included, and of its report (a
file with holes: it takes no such room on the disk).
All are asked of `napari-pix2pix train` itself, in a process of its own.
"""

import argparse
import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from threading import Thread
from typing import Any, NamedTuple

import numpy as np
import psutil
import tifffile

ENVIRONMENT = os.environ | {"OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": "0"}
SMALL = ["--generator.levels", "3", "--generator.base-channels", "8", "--discriminator.base-channels", "8"]
SMALL += ["--patch-size", "64", "--batch-size", "1", "--device", "cpu", "--trust-steps", "0"]
GIB = 2**30


class Seen(NamedTuple):
    """What is known of a training when it tells of a step.

    Parameters
    ----------
    at_s, processor_s
        Since the command was given; of the processor.
    step
        Done.
    gib
        Anonymous memory; where it is watched, the most so far.
    """

    at_s: float
    processor_s: float
    step: int
    gib: float


def told(words: list[str], folder: Path, watch_s: float = 0.0) -> Iterator[Seen]:
    """What is seen at each step, and at the end with the most memory where it is watched every `watch_s`."""
    started = time.monotonic()
    command = [sys.executable, "-m", "napari_pix2pix", "train", *words, "--json"]
    with subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, text=True, env=ENVIRONMENT) as process:
        assert process.stdout is not None
        watched, most, step = psutil.Process(process.pid), [0.0], 0

        def seen() -> Seen:
            memory, processor = watched.memory_info(), watched.cpu_times()
            seconds = time.monotonic() - started, processor.user + processor.system
            return Seen(*seconds, step, (memory.rss - memory.shared) / GIB)

        def watch() -> None:
            with contextlib.suppress(psutil.NoSuchProcess):
                while process.poll() is None:
                    most.append(seen().gib)
                    time.sleep(watch_s)

        if watch_s:
            Thread(target=watch, daemon=True).start()
        last = seen()
        for line in process.stdout:
            event = json.loads(line)
            if event["event"] == "error":
                raise RuntimeError(event["text"])
            if event["event"] == "progress":
                step = event["done"]
                yield (last := seen()._replace(gib=max(most)) if watch_s else seen())
        process.wait()
        yield last._replace(gib=max(*most, last.gib))


def images(folder: Path, side: int = 512) -> list[str]:
    """A source and a target on the disk."""
    random = np.random.default_rng(0)
    for name in ("source", "target"):
        tifffile.imwrite(folder / f"{name}.tif", random.integers(0, 4000, (side, side), dtype=np.uint16))
    return ["source.tif", "target.tif"]


def start(folder: Path, _: float) -> dict[str, Any]:
    """Median of three."""
    words, seconds, imports = images(folder), [], []
    for i in range(3):
        flags = ["--preset", "fast", "--steps", "2", "--device", "cpu", "--out", f"start{i}"]
        seconds.append(next(told([*words, *flags], folder)).at_s)
        began = time.monotonic()
        subprocess.run([sys.executable, "-c", "import torch"], check=True, env=ENVIRONMENT)
        imports.append(time.monotonic() - began)
    return {
        "first_step_s": round(statistics.median(seconds), 2),
        "import_torch_s": round(statistics.median(imports), 2),
    }


def flat(folder: Path, _: float) -> dict[str, Any]:
    """Speed over a hundred steps or more, and memory, early and late."""
    flags = [*SMALL, "--steps", "2000", "--validate-every", "1000", "--out", "flat"]
    seen = list(told([*images(folder), *flags], folder))
    result = {}
    for step in (200, 2000):
        first, last = (
            max((row for row in seen if row.step <= at), key=lambda row: row.step) for at in (step - 150, step)
        )
        steps = last.step - first.step
        result[f"step_{step}_ms"] = round(1000 * (last.at_s - first.at_s) / steps, 1)
        result[f"step_{step}_processor_ms"] = round(1000 * (last.processor_s - first.processor_s) / steps, 1)
        result[f"step_{step}_gib"] = round(last.gib, 3)
    return result


def large(folder: Path, gigabytes: float) -> dict[str, Any]:
    """The most anonymous memory, over 60 steps; before any pixel is read: that of the same on a small stack."""
    result: dict[str, Any] = {"gb": gigabytes}
    for name, frames in (("small", 4), ("large", max(5, round(gigabytes * 1e9 / 2 / 2**24 / 2)))):
        for side in ("source", "target"):
            path = folder / f"{name} {side}.tif"
            stack = tifffile.memmap(
                path, shape=(frames, 4096, 4096), dtype=np.uint16, bigtiff=True, metadata={"axes": "TYX"}
            )
            for frame in range(frames):
                stack[frame, ::512, : 1 + frame % 4000] = np.arange(1 + frame % 4000)
            stack.flush()
            del stack
        flags = [*SMALL, "--steps", "60", "--validate-every", "60", "--target-kind", "intensity", "--out", name]
        began = time.monotonic()
        *training, report = told([f"{name} source.tif", f"{name} target.tif", *flags], folder, watch_s=0.05)
        result |= {f"{name}_gib": round(training[-1].gib, 2), f"{name}_with_report_gib": round(report.gib, 2)}
        result |= {f"{name}_s": round(time.monotonic() - began)}
    return result


QUESTIONS = {"start": start, "flat": flat, "large": large}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=QUESTIONS, default=list(QUESTIONS))
    parser.add_argument("--gb", type=float, default=20, help="of both sides together")
    args = parser.parse_args()
    for question in args.only:
        with tempfile.TemporaryDirectory() as place:
            print(json.dumps({"question": question, **QUESTIONS[question](Path(place), args.gb)}), flush=True)
