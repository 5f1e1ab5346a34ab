"""The paper's ablations, small: which loss, which field, skips or none. A JSON line per training, then a table.

    python benchmarks/ablations.py --data ../shared/data [--steps 600] [--seeds 3] [--only loss field skips]
        [--spectra docs/images/spectra.png]

`facade_windows`: 200 pairs train, 38 test; windows → photo (the paper's kind of task) and photo → windows (where the
paper saw L1 alone win). The paper asks a network whether a photo made from labels can be read (FCN score); here
another network is asked: a U-Net trained with L1 on photo → windows says where it sees windows in each made photo, and
`dice_read` is the Dice of that with the windows that were asked for. Real photos are read for comparison. In the other
direction `dice` is that of the predicted windows themselves.

`power_low` and `power_high` are the made photos' power over that of the real ones, below 0.05 and above 0.25 cycles/px:
L1 and L2 are to be right at low frequencies and to lack the high ones, which the discriminator asks for. `--spectra`
draws all of them, the mean over seeds, in one picture.
"""

import os

os.environ |= {"OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": "0"}  # before torch is imported

import argparse
import json
import statistics
import tempfile
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from quality import facade_windows

from napari_pix2pix import core
from napari_pix2pix.core.evaluation.metrics.classes import dice
from napari_pix2pix.core.evaluation.metrics.fourier import FREQUENCIES, NYQUIST, power
from napari_pix2pix.core.settings.config import make_config

FREQUENCY = (np.arange(FREQUENCIES) + 0.5) * NYQUIST / FREQUENCIES
"""The middle of each ring, cycles/px."""
PAPER: dict[str, Any] = {
    **{"l2_weight": 0.0, "foreground_share": 0.0, "rotate": False, "schedule": "constant"},
    **{"learning_rate": 2e-4, "gan_share": 1.0},
}
BOTH, ADVERSARIAL = {"l1_weight": 100.0, "gan_weight": 1.0}, {"l1_weight": 0.0, "gan_weight": 1.0}
UNCONDITIONAL = {"discriminator": {"base_channels": 32, "conditional": False}}
VARIANTS: dict[str, dict[str, dict[str, Any]]] = {
    "loss": {
        "L1": {"l1_weight": 100.0, "gan_weight": 0.0},
        "L2": {"l1_weight": 0.0, "l2_weight": 100.0, "gan_weight": 0.0},
        "GAN": ADVERSARIAL | UNCONDITIONAL,
        "cGAN": ADVERSARIAL,
        "L1+GAN": BOTH | UNCONDITIONAL,
        "L1+cGAN": BOTH,
    },
    "field": {
        str(field): {"discriminator": {"base_channels": 32, "n_layers": n}} for n, field in ((0, 1), (1, 16), (4, 142))
    }
    | {
        f"{field} on patches of 256": {"discriminator": {"base_channels": 32, "n_layers": n}, "patch_size": 256}
        for n, field in ((3, 70), (5, 286))
    },
    "skips": {
        "encoder-decoder, L1+cGAN": {"generator": {"levels": 4, "base_channels": 32, "skips": False}},
    },
}


def trained(pairs: core.PairedFrames, changes: dict[str, Any], steps: int, seed: int) -> core.TrainedModel:
    """The last model: nothing chooses, as in the paper."""
    said = PAPER | {"target_kind": "intensity", "validation_share": 0.0, "calibration_share": 0.0, "trust_steps": 0}
    config = make_config("fast", changes=said | changes | {"steps": steps, "seed": seed, "validate_every": steps})
    with tempfile.TemporaryDirectory() as folder:
        *_, last = core.train(pairs, config, out=folder)
    return last.model


def power_of(photos: list[NDArray[Any]]) -> NDArray[np.float64]:
    """The power of each ring of frequencies, the mean over photos (C, Y, X) and their channels."""
    return np.mean([power(channel, np.ones(channel.shape, bool)) for photo in photos for channel in photo], axis=0)


def draw(spectra: dict[str, list[NDArray[np.float64]]], truth: NDArray[np.float64], path: Path) -> None:
    """Each objective's power over that of real photos, by frequency."""
    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    for variant, rows in spectra.items():
        axes.plot(FREQUENCY[1:], (np.mean(rows, axis=0) / truth)[1:], label=variant)
    axes.axhline(1, color="black", linewidth=0.8)
    axes.set(xlabel="frequency, cycles/px", ylabel="power, made / real photos", yscale="log")
    axes.legend()
    figure.savefig(path, dpi=150)


def windows_in(image: NDArray[Any]) -> NDArray[np.bool_]:
    """Where an image (C, Y, X) of windows shows some: red on blue."""
    found: NDArray[np.bool_] = image[0] > image[2]
    return found


def main() -> None:
    """All variants, in both directions."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--steps", type=int, default=600)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--only", nargs="+", choices=VARIANTS, default=list(VARIANTS))
    parser.add_argument("--spectra", type=Path)
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    (to_windows, test_photos, _), (to_photo, test_windows, _) = (
        facade_windows(args.data, side) for side in ("left", "right")
    )
    asked = [windows_in(test_photos.target(i)) for i in range(len(test_photos))]
    reader = trained(to_windows, VARIANTS["loss"]["L1"], args.steps, 1000)

    def read(photos: list[NDArray[Any]]) -> float:
        found = [windows_in(reader.predict_frame(photo)) for photo in photos]
        return statistics.mean(dice(a, b) for a, b in zip(found, asked, strict=True))

    real_photos = [test_photos.source(i) for i in range(len(test_photos))]
    real, truth = read(real_photos), power_of(real_photos)
    spectra: dict[str, list[NDArray[np.float64]]] = {}
    print(json.dumps({"ablation": "truth", "variant": "real photos", "dice_read": round(real, 4)}), flush=True)
    for ablation in args.only:
        for variant, changes in VARIANTS[ablation].items():
            for seed in range(args.seeds):
                made = trained(to_photo, changes, args.steps, seed)
                photos = [made.predict_frame(test_windows.source(i)) for i in range(len(test_windows))]
                row = {"ablation": ablation, "variant": variant, "seed": seed, "dice_read": round(read(photos), 4)}
                errors = [np.abs(p.astype(float) - test_windows.target(i)).mean() for i, p in enumerate(photos)]
                row |= {"mae_photo": round(statistics.mean(map(float, errors)), 2)}
                found = power_of(photos)
                for name, rings in (("low", FREQUENCY < 0.05), ("high", FREQUENCY > 0.25)):
                    row[f"power_{name}"] = round(float(found[rings].sum() / truth[rings].sum()), 4)
                if ablation == "loss":
                    spectra.setdefault(variant, []).append(found)
                    other = trained(to_windows, changes, args.steps, seed)
                    seen = [windows_in(other.predict_frame(test_photos.source(i))) for i in range(len(test_photos))]
                    row |= {"dice": round(statistics.mean(dice(a, b) for a, b in zip(seen, asked, strict=True)), 4)}
                print(json.dumps(row), flush=True)
    if args.spectra and spectra:
        draw(spectra, truth, args.spectra)


if __name__ == "__main__":
    main()
