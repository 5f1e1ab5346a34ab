"""Make the starter model `nuclei`, which ships with the package: train, evaluate, and keep its weights as float16.

    python tools/starter_model.py ../shared/data/dsb2018 RUN [--judge-steps 1000] [--steps 6400] [flags of train]

The data are those of the Data Science Bowl 2018, stage 1 (CC0), a folder each for train and validation, with image and
label; the latter judge alone. With --judge-steps the model learns so many steps more to judge itself (fit-trust). What
was given for the model that ships stands in docs/starter_models.md.
"""

import argparse
import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

os.environ |= {"OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": "0"}  # before torch is imported

from napari_pix2pix import core
from napari_pix2pix.commands.app import main
from napari_pix2pix.files.starters import FOLDER

FLAGS = ["--preset", "fast", "--target-kind", "instances", "--empty-frames", "empty", "--intensity-jitter", "0.2"]
FLAGS += ["--discriminator.base-channels", "24", "--authors", "napari-pix2pix", "--licence", "CC0-1.0"]
TOLD = "object_f1_iou50", "dice"


def made(data: Path, run: Path, judge_steps: int, flags: list[str]) -> Path:
    """The file of the model."""
    pairs = [[str(data / kind / side) for side in ("image", "label")] for kind in ("train", "validation")]
    if not (run / "model.safetensors").is_file():
        assert main(["train", *pairs[0], "--out", str(run), *FLAGS, *flags]) == 0
    judged = run / ("judged.safetensors" if judge_steps else "model.safetensors")
    if not judged.is_file():
        how = ["--trust-steps", str(judge_steps), "--empty-frames", "empty", "--out", str(judged)]
        assert main(["fit-trust", str(run), *pairs[0], *how]) == 0
    model = core.load_model(judged, "cpu")
    file = FOLDER / "nuclei.safetensors"
    file.parent.mkdir(exist_ok=True)
    model.save(file, half=True)  # judged as it ships
    assert main(["evaluate", str(file), *pairs[1], "--out", str(run / "test"), "--overwrite"]) == 0
    found = json.loads((run / "test" / "metrics.json").read_text())["metrics"]
    figures = model.provenance.get("figures", {}) | {"test": {name: found[name]["value"] for name in TOLD}}
    provenance = without_folders(model.provenance, data.resolve()) | {"figures": figures}
    replace(model, provenance=provenance).save(file, half=True)
    return file


def without_folders(told: Any, data: Path) -> Any:
    """The same, with the paths of the data from their own folder on: whoever gets the model has no use for others."""
    if isinstance(told, dict):
        return {name: without_folders(value, data) for name, value in told.items()}
    if isinstance(told, list):
        return [without_folders(value, data) for value in told]
    if isinstance(told, str) and Path(told).is_absolute() and Path(told).is_relative_to(data):
        return Path(told).relative_to(data.parent).as_posix()
    return told


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("run", type=Path)
    parser.add_argument("--judge-steps", type=int, default=0)
    given, flags = parser.parse_known_args()
    print(made(given.data, given.run, given.judge_steps, flags))
