"""The pictures of a report on a model of several domains: an image of each that was held out, as every domain."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_pix2pix.core.data.frames import DomainFrames
from napari_pix2pix.core.data.split import windows_of
from napari_pix2pix.core.geometry.axes import middle
from napari_pix2pix.core.running.trained_model import TrainedModel
from napari_pix2pix.report.content import Translated
from napari_pix2pix.report.example_pictures import Panel, SourceShows, ends_of, grey, source_panel
from napari_pix2pix.report.examples import panels, zoom_buttons
from napari_pix2pix.report.markup import Html, joined, tag

SIDE, MOST = 256, 6
"""How much of the middle of an image is shown, px; domains: of more, the first are."""


def translations(model: TrainedModel, data: DomainFrames) -> list[Translated]:
    """Of each domain an image, one that was held out if there is any, and what the model makes of it.

    Each is shown in the grey values of real images of its domain: what is too dark looks too dark.
    """
    shown, notes = dict[str, NDArray[Any]](), dict[str, str]()
    for name, frames in list(data.sides.items())[:MOST]:
        rows = [row for row in model.provenance.get("regions", ()) if row.get("side") == name]
        held_out = windows_of(frames, rows, "validation")
        region = (held_out or windows_of(frames, rows, "train") or frames.regions())[0]
        *planes, y, x = region.window
        shown[name] = frames.read(region.frame, (*planes, middle(y, SIDE), middle(x, SIDE)))
        notes[name] = frames.name(region.frame) + ("" if held_out else ", which taught the model: none was held out")
    bear = {made: model.domains.labels_of(made) for made in model.directions[:MOST]}
    ends = {}
    for made, labels in bear.items():
        own = [image for name, image in shown.items() if all(data.labels[one][name] == labels[one] for one in labels)]
        ends[made] = ends_of(np.concatenate([image.ravel() for image in own or shown.values()]))
    shows: SourceShows = "colours" if model.channel_axis == "S" else "stains"

    def picture(name: str, text: str, image: NDArray[Any], ends: tuple[float, float]) -> Panel:
        plane = image if image.ndim == 3 else image[:, image.shape[1] // 2]
        pixels = np.stack([grey(channel, *ends) for channel in plane])
        return replace(source_panel(pixels, shows), name=name, text=text)

    found = []
    for name, image in shown.items():
        row = [picture("image", "as it is", image, ends_of(image))]
        for made in bear:
            translation = model.toward(made).predict_frame(image)
            row.append(picture(f"as {made}", "translated", translation, ends[made]))
        found.append(Translated(name, notes[name], row))
    return found


def grid_of(found: Sequence[Translated], n_domains: int) -> Html | None:
    """A row of pictures for each domain; None where there are none."""
    if not found:
        return None
    said = (
        "An image of each domain, its middle, and what the model makes of it: nothing tells whether it is true. "
        "Translations are shown in the grey values of real images of their domain. Click into a picture to magnify it, "
        "drag to move; all pictures of an image follow."
    )
    few = f" The first {MOST} of {n_domains} domains." if n_domains > MOST else ""
    return rows_of(found, said + few)


def rows_of(found: Sequence[Translated], said: str) -> Html:
    """A row of pictures each, below what is said of them."""
    parts = [tag("p", said, class_="soft")]
    for one in found:
        head = tag("div", tag("h3", one.name), tag("span", one.note, class_="soft"), zoom_buttons(), class_="head")
        parts.append(tag("div", head, panels(one.panels, one.name), class_="example"))
    return joined(*parts)
