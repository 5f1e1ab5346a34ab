"""The paper's ablations, small: which loss, which field, skips or none. A JSON line per training, then a table.

    python benchmarks/ablations.py --data ../shared/data [--steps 600] [--seeds 1] [--only loss field skips]

`facade_windows`: 200 pairs train, 38 test; windows → photo (the paper's kind of task) and photo → windows (where the
paper saw L1 alone win). The paper asks a network whether a photo made from labels can be read (FCN score); here
another network is asked: a U-Net trained with L1 on photo → windows says where it sees windows in each made photo, and
`dice_read` is the Dice of that with the windows that were asked for. Real photos are read for comparison. In the other
direction `dice` is that of the predicted windows themselves.
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
from numpy.typing import NDArray
from quality import facade_windows

from napari_pix2pix import core
from napari_pix2pix.core.evaluation.metrics.classes import dice
from napari_pix2pix.core.settings.config import make_config

PAPER: dict[str, Any] = {"l2_weight": 0.0, "foreground_share": 0.0, "rotate": False, "schedule": "constant"}
BOTH, ADVERSARIAL = {"l1_weight": 100.0, "gan_weight": 1.0}, {"l1_weight": 0.0, "gan_weight": 1.0}
UNCONDITIONAL = {"discriminator": {"base_channels": 32, "conditional": False}}
VARIANTS: dict[str, dict[str, dict[str, Any]]] = {
    "loss": {
        "L1": {"l1_weight": 100.0, "gan_weight": 0.0},
        "GAN": ADVERSARIAL | UNCONDITIONAL,
        "cGAN": ADVERSARIAL,
        "L1+GAN": BOTH | UNCONDITIONAL,
        "L1+cGAN": BOTH,
    },
    "field": {
        str(field): {"discriminator": {"base_channels": 32, "n_layers": n}} for n, field in ((0, 1), (1, 16), (4, 142))
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


def windows_in(image: NDArray[Any]) -> NDArray[np.bool_]:
    """Where an image (C, Y, X) of windows shows some: red on blue."""
    found: NDArray[np.bool_] = image[0] > image[2]
    return found


def main() -> None:
    """All variants, in both directions."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--steps", type=int, default=600)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--only", nargs="+", choices=VARIANTS, default=list(VARIANTS))
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

    real = read([test_photos.source(i) for i in range(len(test_photos))])
    print(json.dumps({"ablation": "truth", "variant": "real photos", "dice_read": round(real, 4)}), flush=True)
    for ablation in args.only:
        for variant, changes in VARIANTS[ablation].items():
            for seed in range(args.seeds):
                made = trained(to_photo, changes, args.steps, seed)
                photos = [made.predict_frame(test_windows.source(i)) for i in range(len(test_windows))]
                row = {"ablation": ablation, "variant": variant, "seed": seed, "dice_read": round(read(photos), 4)}
                errors = [np.abs(p.astype(float) - test_windows.target(i)).mean() for i, p in enumerate(photos)]
                row |= {"mae_photo": round(statistics.mean(map(float, errors)), 2)}
                if ablation == "loss":
                    other = trained(to_windows, changes, args.steps, seed)
                    seen = [windows_in(other.predict_frame(test_photos.source(i))) for i in range(len(test_photos))]
                    row |= {"dice": round(statistics.mean(dice(a, b) for a, b in zip(seen, asked, strict=True)), 4)}
                print(json.dumps(row), flush=True)


if __name__ == "__main__":
    main()
