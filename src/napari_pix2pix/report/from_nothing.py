"""The pictures of a report on a model that makes images from nothing: some that it makes, beside what trained it."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from skimage.color import label2rgb

from napari_pix2pix.core.data.frames import Images
from napari_pix2pix.core.data.regions import Region
from napari_pix2pix.core.data.split import windows_of
from napari_pix2pix.core.methods.originality import most_alike
from napari_pix2pix.core.running.from_nothing import generate
from napari_pix2pix.core.running.trained_model import TrainedModel
from napari_pix2pix.core.settings.running import GenerateSettings
from napari_pix2pix.report.content import Translated
from napari_pix2pix.report.example_pictures import Panel, SourceShows, ends_of, grey, source_panel

MADE, SHOWN, COMPARED = 64, 6, 1024
"""Images that are made; how many of them are shown, those nearest to what trained first; windows of that."""
SAID = (
    "Of {} images made, those that are most like one that trained the model come first, beside it, turned or mirrored "
    "as it may lie: if the two are the same, the model copies. Click into a picture to magnify it, drag to move."
)


def made_pictures(model: TrainedModel, data: Images) -> list[Translated]:
    """Images made, their targets if they have some, and of all windows that trained the one that is most like each."""
    made = list(generate(model, range(MADE), GenerateSettings()))
    real = _windows(model, data)
    seen, trained = (_encoded(model, images) for images in ([one.image for one in made], real))
    distances, which = most_alike(seen, trained)
    ends = ends_of(np.concatenate([image.ravel() for image in real]))
    shows: SourceShows = "colours" if model.source_view.colours else "stains"

    def picture(name: str, text: str, image: NDArray[Any]) -> Panel:
        panel = source_panel(np.stack([grey(channel, *ends) for channel in image]), shows)
        return Panel(name, text, panel.pixels)

    rows = []
    for place in distances.argsort()[:SHOWN].tolist():
        one = made[place]
        row = [picture("made", "from nothing", one.image)]
        if one.target is not None:
            shown = one.target[0]
            pixels = grey(shown, *ends_of(shown)) if not model.target_encoding.is_labels else _coloured(shown)
            row.append(Panel("its target", "made with it", pixels))
        row.append(picture("nearest", "of what trained", real[int(which[place])]))
        rows.append(Translated(f"image {place}", one.condition, row))
    return rows


def _coloured(labels: NDArray[Any]) -> NDArray[np.uint8]:
    return (label2rgb(labels, bg_label=int(labels.min())) * 255).astype(np.uint8)


def _encoded(model: TrainedModel, images: list[NDArray[Any]]) -> torch.Tensor:
    return torch.from_numpy(np.stack([model.source_encoding.encode(image) for image in images]))


def _windows(model: TrainedModel, data: Images) -> list[NDArray[Any]]:
    """Windows (C, Y, X) of images that trained, in grey values, of the size of those made: the same each time."""
    frames: Any = data.pairs or data.sides["image"]
    read = data.pairs.source if data.pairs else data.sides["image"].read
    rows = [row for row in model.provenance.get("regions", ()) if row["kind"] == "train"]
    regions: tuple[Region, ...] = windows_of(frames, rows, "train") or frames.regions()
    random, size, found = np.random.default_rng(0), model.config.patch_size, []
    for _ in range(COMPARED):
        region = regions[int(random.integers(len(regions)))]
        starts = [int(random.integers(side.start, side.stop - size + 1)) for side in region.window]
        found.append(read(region.frame, tuple(slice(start, start + size) for start in starts)))
    return found
