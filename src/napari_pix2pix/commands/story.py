"""The whole story on one real image: train on its left part, predict, score and judge on its right part."""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from skimage.measure import label as connected_components
from skimage.morphology import remove_small_objects

from napari_pix2pix import core
from napari_pix2pix.commands.events import Event, training_events
from napari_pix2pix.core.engine.atomic import written_beside
from napari_pix2pix.core.evaluation.metrics.classes import dice
from napari_pix2pix.core.evaluation.metrics.instances import object_f1
from napari_pix2pix.core.geometry.axes import AxesPlan
from napari_pix2pix.core.settings.running import PredictSettings, ScoreSettings
from napari_pix2pix.core.training.run_folder import RunFolder
from napari_pix2pix.files.colours import AS_LIKELY_AS_NOT
from napari_pix2pix.files.pictures import draw_story
from napari_pix2pix.files.predicted import predict_file
from napari_pix2pix.files.samples import DEMO_TEST, DEMO_TRAIN, demo_pair
from napari_pix2pix.files.scored import score_file
from napari_pix2pix.files.stacks import open_stack, write_stack

STEPS, TRUST_STEPS = 800, 250
"""Of the training, and of teaching what to expect: less than a third of the time."""
SETTINGS = {
    "target_kind": "instances",
    "generator": {"base_channels": 16},
    "discriminator": {"base_channels": 16},
    "batch_size": 2,
    "validation_share": 0,
    "calibration_share": 0.2,
}
"""Smaller networks than those of the preset, and more steps in equal time: two slow cores are to do in two minutes."""
IMAGES = ("train_source.tif", "train_target.tif", "source.tif", "target.tif", "prediction.tif", "patch_scores.tif")
EXPECTED = "prediction.expected_error.tif"
BESIDE = (
    *(EXPECTED, "prediction.untrusted.tif", "prediction.objects.csv", "prediction.outlines.geojson"),
    *(f"patch_scores.{part}.tif" for part in ("valid", "expected_error", "rank", "error_bound")),
)
OTHERS = ("metrics.json", "demo.png", "previews", ".lock")


def run_demo(out: Path, device: str = "auto") -> Iterator[Event]:
    """Write the demo to the folder `out`; yields progress and, last, the figures.

    Raises
    ------
    FileExistsError
        If `out` holds anything but an earlier demo.
    """
    started = time.monotonic()
    known = {*IMAGES, *BESIDE, *OTHERS, *RunFolder.FILES}
    found = sorted(p.name for p in out.iterdir()) if out.is_dir() else []
    if strange := [name for name in found if name not in known or ".lock" not in found]:
        raise FileExistsError(
            f"The demo must go to a new folder or replace an earlier demo; {out} holds {strange[0]}. "
            "Choose another `out`."
        )

    out.mkdir(parents=True, exist_ok=True)
    (out / ".lock").touch()  # the mark of a demo or a run

    # The pair, divided: what trains, a gap, what judges.
    source, target = demo_pair()
    images: dict[str, NDArray[Any]] = {
        "train_source": source[:, DEMO_TRAIN],
        "train_target": target[:, DEMO_TRAIN],
        "source": source[:, DEMO_TEST],
        "target": target[:, DEMO_TEST],
    }
    for name, image in images.items():
        write_stack(out / f"{name}.tif", AxesPlan("YX", image.shape), image.dtype, [image[None]])

    # Train, and teach what errors to expect.
    config = core.make_config("fast", changes={**SETTINGS, "steps": STEPS, "trust_steps": TRUST_STEPS})
    pairs = core.PairedFrames(images["train_source"], images["train_target"], "YX", names=["demo"])
    yield from training_events(core.train(pairs, config, out=out, overwrite=True, device=device), out)
    model = core.load_model(out / "model.safetensors", device)

    # Predict and score the part that was held out.
    yield from predict_file(model, out / "source.tif", out / "prediction.tif", PredictSettings(trust=True))
    yield {"event": "progress", "unit": "files", "done": 1, "total": 1}
    yield from score_file(model, out / "source.tif", out / "prediction.tif", out / "patch_scores.tif", ScoreSettings())

    # Judge, beside what needs no network.
    prediction = open_stack(out / "prediction.tif").array[...]
    metrics = core.evaluate_prediction(prediction, images["target"], "YX", kind="instances", names=["demo"])
    metrics["baselines"] = {
        name: {metric: {"value": value, "low": None, "high": None} for metric, value in figures.items()}
        for name, figures in baselines(**images).items()
    }
    with written_beside(out / "metrics.json") as beside:
        beside.write_text(json.dumps(metrics, indent=2), "utf8")
    judged = {"pix2pix": metrics["metrics"], **metrics["baselines"]}
    rows = {name: {metric: figure["value"] for metric, figure in row.items()} for name, row in judged.items()}
    expected = open_stack(out / EXPECTED).array[...]
    wrong = float(((prediction > 0) != (images["target"] > 0)).mean())
    draw_story(
        out / "demo.png",
        images["source"],
        images["target"],
        prediction,
        expected,
        f"Held-out part of one image: Dice {rows['pix2pix']['dice']:.2f}, object F1 "
        f"{rows['pix2pix']['object_f1_iou50']:.2f}. True nuclei derived from the colour, not drawn.",
    )

    table = "\n".join(
        f"  {name:<16}  Dice {row['dice']:.3f}   object F1 (IoU 0.5) {row['object_f1_iou50']:.3f}"
        for name, row in rows.items()
    )
    written = (*IMAGES, EXPECTED, "model.safetensors", "history.csv", "metrics.json", "demo.png")
    files = "\n".join(f"  {name}" for name in written)
    assert model.match is not None
    yield {
        "event": "result",
        "figures": rows,
        "expected_error": float(expected.mean()),
        "true_error": wrong,
        "out": str(out),
        "elapsed_s": time.monotonic() - started,
        "text": (
            f"On the held-out right part of the image (nuclei labels derived from the colour, not drawn):\n{table}\n"
            f"Without knowing the truth the model expected {expected.mean():.1%} of the pixels to be wrong; "
            f"{wrong:.1%} are. {model.match.promise}\n"
            "One image shows that everything works and says nothing about another image.\n"
            f"In {out}:\n{files}\nTook {time.monotonic() - started:.0f} s. Look at {out / 'demo.png'} first."
        ),
    }


def baselines(
    train_source: NDArray[Any], train_target: NDArray[Any], source: NDArray[Any], target: NDArray[Any]
) -> dict[str, dict[str, float]]:
    """What a grey value alone can tell, fitted on the training part: the best threshold, and the best lookup table."""
    truth = train_target > 0
    darkest = max(range(256), key=lambda level: dice(train_source < level, truth))
    # The share of nuclei at each grey value; the table holds the values whose share exceeds the best level.
    counts = np.bincount(train_source.ravel(), minlength=256)
    share = np.bincount(train_source.ravel(), truth.ravel(), minlength=256) / np.maximum(counts, 1)
    level = max(np.unique(share), key=lambda least: dice((share >= least)[train_source], truth))
    masks = {"grey threshold": source < darkest, "grey lookup": (share >= level)[source]}
    return {
        name: {
            "dice": dice(mask, target > 0),
            "object_f1_iou50": object_f1(connected_components(remove_small_objects(mask, max_size=30)), target),
        }
        for name, mask in masks.items()
    }


def view_demo(out: Path) -> None:
    """Open the demo's images in napari.

    Raises
    ------
    ValueError
        If napari is not installed.
    """
    try:
        import napari
    except ImportError as error:
        raise ValueError("To view the demo napari must be installed: pip install 'napari-pix2pix[all]'.") from error
    viewer = napari.Viewer()
    viewer.add_image(open_stack(out / "source.tif").array[...], name="source")
    viewer.add_labels(open_stack(out / "target.tif").array[...], name="target image", visible=False)
    prediction = viewer.add_labels(open_stack(out / "prediction.tif").array[...], name="prediction")
    prediction.contour = 1
    viewer.add_image(
        open_stack(out / EXPECTED).array[...],
        name="expected error",
        colormap="inferno",
        contrast_limits=(0, AS_LIKELY_AS_NOT),
        blending="additive",
    )
    napari.run()
