"""How long a training would take on this machine."""

import math
import tempfile
import time
import warnings
from contextlib import closing
from pathlib import Path
from statistics import fmean

from napari_pix2pix.core.data.pairs import PairedFrames
from napari_pix2pix.core.settings.config import Config
from napari_pix2pix.core.training.loop import train

WARM, TIMED = 2, 6
"""Steps that are made before, and that are timed; in the middle of these, and at their end, is a validation."""


def minutes_here(pairs: PairedFrames, config: Config, device: str = "auto", test: PairedFrames | None = None) -> float:
    """About how many minutes a training on these pairs takes from its start to its end, as a short one tells.

    With all validations and, at the end, the figures on the `test` pairs; but without learning to judge, which takes at
    most a third as long where it is `auto`.
    """
    middle, last = WARM + TIMED // 2, WARM + TIMED
    few = config.model_copy(update={"steps": last, "trust_steps": 0, "validate_every": middle})
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what is odd is told when it counts
        with closing(train(pairs, few, out=Path(folder) / "run", test=test, device=device)) as reports:
            ends = {report.step: time.monotonic() for report in reports if report.model is None}
        whole = time.monotonic() - began
    takes = {step: ends[step] - ends[step - 1] for step in range(WARM + 1, last)}
    validation = takes.pop(middle)
    step = fmean(takes.values())
    validation = max(validation - step, 0.0)
    once = max(whole - last * step - 2 * validation, 0.0)
    return (once + config.steps * step + math.ceil(config.steps / config.validate_every) * validation) / 60
