"""How long a training would take on this machine."""

import tempfile
import time
import warnings
from contextlib import closing
from pathlib import Path

from napari_pix2pix.core.data.pairs import PairedFrames
from napari_pix2pix.core.settings.config import Config
from napari_pix2pix.core.training.loop import train

WARM, TIMED = 2, 6
"""Steps that are made before, and that are timed."""


def minutes_here(pairs: PairedFrames, config: Config, device: str = "auto") -> float:
    """About how many minutes the steps of a training on these pairs take, as a few of them tell.

    Without validation, and without learning to judge, which takes at most a third as long where it is `auto`.
    """
    few = config.model_copy(update={"steps": WARM + TIMED, "trust_steps": 0, "validate_every": WARM + TIMED})
    began = ended = 0.0
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what is odd is told when it counts
        with closing(train(pairs, few, out=Path(folder) / "run", device=device)) as reports:
            for report in reports:
                began = time.monotonic() if report.step == WARM else began
                ended = time.monotonic()
                if report.step == WARM + TIMED - 1:  # the last step validates
                    break
    return (ended - began) / (TIMED - 1) * config.steps / 60
