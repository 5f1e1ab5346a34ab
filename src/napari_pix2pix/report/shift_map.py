"""How targets lie on their sources, as a picture: arrows over each source."""

from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from napari_pix2pix.core.data.pairs import PairedFrames
from napari_pix2pix.core.data.shifts import MIDDLE
from napari_pix2pix.core.engine.atomic import written_beside
from napari_pix2pix.core.geometry.axes import middle
from napari_pix2pix.files.pictures import as_rgb

MOST_SHOWN = 6
"""Frames: those in which one in ten blocks lies off the farthest."""
COLUMNS, SIDE = 3, 4.0
"""Panels in a row, and the side of one in inches."""
SEEN = 1.0
"""One in ten arrows is longer than this share of the distance between blocks."""
TAILS = 0.5, 99.5
"""Percentiles of the source from black to white."""


def draw_shifts(path: Path, local: dict[str, Any], pairs: PairedFrames) -> None:
    """A PNG: from where something lies in the source an arrow to where it lies in the target; a cross: no match.

    Parameters
    ----------
    local
        As of `core.check`.
    pairs
        What it was measured on.
    """
    planes = pairs.planes()
    numbers = {planes.name(i): i for i in range(len(planes))}
    order = sorted(local["frames"], key=lambda name: -(local["frames"][name]["p90"] or 0.0))
    shown = order[:MOST_SHOWN]
    columns = min(COLUMNS, max(len(shown), 1))
    rows = -(-max(len(shown), 1) // columns)
    longest = max((own["largest"] or 0.0 for own in local["frames"].values()), default=0.0)
    with matplotlib.rc_context({"text.parse_math": False}):
        figure = Figure(figsize=(SIDE * columns + 1, (SIDE + 0.5) * rows), layout="constrained")
        panels = figure.subplots(rows, columns, squeeze=False).ravel()
        drawn = None
        for panel, name in zip(panels, shown, strict=False):
            own = local["frames"][name]
            blocks = np.array(own["blocks"], float)
            window = tuple(middle(slice(0, n), MIDDLE) for n in planes.frame_shape(numbers[name]))
            source = planes.source(numbers[name], window)
            limits = np.percentile(source, TAILS, axis=(1, 2), keepdims=True)
            y, x = window[-2:]
            shape = (x.start - 0.5, x.stop - 0.5, y.stop - 0.5, y.start - 0.5)
            panel.imshow(as_rgb(source.clip(*limits), limits), extent=shape, interpolation="nearest")
            matches = blocks[:, 5] > 0
            panel.plot(blocks[~matches, 1], blocks[~matches, 0], "x", color="0.6", markersize=4)
            if matches.any():
                by, bx, down, right = blocks[matches, :4].T
                apart = np.diff(np.unique(blocks[:, 1]))
                times = SEEN * apart.min() / own["p90"] if apart.size and own["p90"] else 1.0
                drawn = panel.quiver(
                    *(bx, by, right, down, np.hypot(down, right)),
                    **{"angles": "xy", "scale_units": "xy", "scale": 1 / times, "cmap": "turbo", "width": 0.006},
                    clim=(0, longest),
                )
            told = (
                "nothing matches" if own["median"] is None else "median {median:.2g}, 90 % {p90:.2g} px".format(**own)
            )
            panel.set_title(f"{name}\n{told}, {100 * own['unmatched']:.0f} % unmatched", fontsize=9)
            panel.set_axis_off()
        for panel in panels[len(shown) :]:
            panel.remove()
        if drawn is not None:
            said = "how far a target lies off, px; arrows are enlarged"
            figure.colorbar(drawn, ax=panels[: len(shown)].tolist(), label=said, shrink=0.7)
        path.parent.mkdir(parents=True, exist_ok=True)
        with written_beside(path) as beside:
            figure.savefig(beside, format="png", dpi=100)
