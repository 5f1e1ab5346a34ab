"""Why an evaluation has three tiers: where pixel figures and read-outs of objects disagree; and what judging costs.

`translocation`: DNA predicted from GFP, nuclei found by the model that ships in predictions and in the truth.
`mibi`: ECAD predicted from HH3 and PanKRT, both smoothed; cells are where the true HH3 is bright. Each by a U-Net
trained by L1 alone and by pix2pix for the same steps, beside the truth blurred, and the truth with a third of its
contrast lost: what no model made, but any could. `time`: the command evaluate on the 57 images of dsb2018.

    python benchmarks/judging.py --data ../shared/data --parts translocation mibi time
"""

import os

os.environ |= {"OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": "0"}  # before torch is imported

import argparse
import contextlib
import io
import tempfile
import time
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_pix2pix import core
from napari_pix2pix.commands.app import main
from napari_pix2pix.core.evaluation.metrics.segmenter import labelled
from napari_pix2pix.core.settings.config import PairSettings, make_config
from napari_pix2pix.files.pairing import open_stacks
from napari_pix2pix.files.starters import starters

Images = list[NDArray[np.uint8]]
METHODS: dict[str, dict[str, Any]] = {"L1 alone": {"gan_weight": 0.0, "l2_weight": 0.0}, "pix2pix": {}}
FIGURES = ("mae", "psnr", "pearson", "ssim", "ssim_scale_free", "frc_cutoff", "spectral_correlation")


def read(folder: Path) -> dict[str, NDArray[np.uint8]]:
    """The images of a folder by name."""
    return {path.stem: imagecodecs.imread(path) for path in sorted(folder.glob("*.png"))}


def translocation(data: Path) -> tuple[Images, Images, Images, Images, Any]:
    """Sources and targets of rows A and E, which train, and of row F; and what finds objects."""
    sides = [read(data / "translocation_sbs" / name) for name in ("fkhr_gfp", "dna")]
    names = sorted(set(sides[0]) & set(sides[1]))
    test = [name for name in names if "F" in name]
    assert 0 < len(test) < len(names)
    learn = [name for name in names if name not in test]
    parts = [[side[name] for name in some] for some in (learn, test) for side in sides]
    return (*parts, core.load_model(starters()["nuclei"], "cpu"))


def mibi(data: Path) -> tuple[Images, Images, Images, Images, Any]:
    """The first 16 patients train, the others test; counts smoothed by 2 px and spread over 8 bits."""
    stains = {}
    for name in ("HH3", "PanKRT", "ECAD"):
        smooth = [
            ndimage.gaussian_filter(image.astype(float), 2) for image in read(data / "mibi_breast" / name).values()
        ]
        top = np.percentile(np.stack(smooth[:16]), 99.9)
        stains[name] = [np.clip(255 * image / top, 0, 255).astype(np.uint8) for image in smooth]
    sources = [np.stack(both, axis=-1) for both in zip(stains["HH3"], stains["PanKRT"], strict=True)]
    cells = [labelled(image > 64).astype(np.int32) for image in stains["HH3"][16:]]
    pairs = core.PairedFrames(cells, stains["ECAD"][16:], "YX")
    return sources[:16], stains["ECAD"][:16], sources[16:], stains["ECAD"][16:], pairs


def predictions(sources: Images, targets: Images, test: Images, truth: Images, steps: int) -> dict[str, Images]:
    """By whom they are."""
    axes = ("YXC" if sources[0].ndim == 3 else "YX", "YX")
    found: dict[str, Images] = {}
    for name, method in METHODS.items():
        changes = method | {"steps": steps, "validation_share": 0.0, "trust_steps": 0, "target_kind": "intensity"}
        with tempfile.TemporaryDirectory() as folder:
            config = make_config("fast", changes=changes)
            *_, last = core.train(core.PairedFrames(sources, targets, axes), config, out=folder, device="cpu")
        found[f"{name}, {steps} steps"] = [last.model.predict(image, axes[0]) for image in test]
    found["truth, blurred by 2 px"] = [ndimage.gaussian_filter(image, 2) for image in truth]
    middle = float(np.median(np.concatenate([image.ravel() for image in truth])))
    found["truth, a third less contrast"] = [(middle + (image - middle) * 2 / 3).astype(np.uint8) for image in truth]
    return found


def judge(name: str, data: Path, steps: int) -> None:
    """A row of pixel figures, and a row of verdicts, for each."""
    *sides, objects = {"translocation": translocation, "mibi": mibi}[name](data)
    print(f"\n{name}: {len(sides[0])} images train, {len(sides[2])} test")
    for who, made in predictions(*sides, steps).items():
        report = core.evaluate_prediction(made, sides[3], "YX", kind="intensity", objects=objects)
        (features,), (counted,), (rings,) = report["features"], report["objects"], report["spectra"]
        print(f"{who}: " + ", ".join(f"{one} {report['metrics'][one]['value']:.3f}" for one in FIGURES))
        f1 = counted["counts"].get("object_f1_iou50", {}).get("value")
        print(f"  right down to {rings['resolution_px']['value']} px; objects {features['n']}, F1 {f1}")
        for readout, one in features["readouts"].items():
            said = [one[key]["value"] for key in ("correlation", "standardized_difference", "spread")]
            shown = ["-" if value is None else f"{value:.2f}" for value in said]
            print(
                f"  {one['family']:>9} {readout:<13} r {shown[0]:>5}  d {shown[1]:>5}  spread {shown[2]:>5}  "
                f"{one['verdict']} ({one['why']})",
                flush=True,
            )


def cost(data: Path) -> None:
    """Seconds of the whole command, figures, features and report, beside those of predicting alone."""
    images, labels = (data / "dsb2018" / "validation" / name for name in ("image", "label"))
    model, pairs = core.load_model(starters()["nuclei"], "cpu"), open_stacks(images, labels, PairSettings()).frames()
    clocks = time.perf_counter, time.process_time
    began = [clock() for clock in clocks]
    for stack, plan in zip(pairs.sources, pairs.source_plans, strict=True):
        model.predict(stack, plan.axes)
    predicting = [clock() - begin for clock, begin in zip(clocks, began, strict=True)]
    began = [clock() for clock in clocks]
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
        assert main(["evaluate", "nuclei", str(images), str(labels), "--device", "cpu", "--out", f"{folder}/e"]) == 0
    whole = [clock() - begin for clock, begin in zip(clocks, began, strict=True)]
    for name, alone, all_ in zip(("on the clock", "of the processor"), predicting, whole, strict=True):
        print(
            f"57 images of dsb2018, s {name}: predicting {alone:.0f}, evaluate {all_:.0f}, beside it {all_ - alone:.0f}"
        )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--parts", nargs="+", choices=("translocation", "mibi", "time"), default=["time"])
    parser.add_argument("--steps", type=int, default=60)
    args = parser.parse_args()
    for part in args.parts:
        cost(args.data) if part == "time" else judge(part, args.data, args.steps)
