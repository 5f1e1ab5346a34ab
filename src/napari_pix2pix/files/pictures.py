"""Frames as pictures for people: previews, and the demo's four panels."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from skimage.color import label2rgb

from napari_pix2pix.core.engine.atomic import written_beside
from napari_pix2pix.core.running.patch_scores import PatchScores
from napari_pix2pix.core.training.reports import Preview

PANELS = "source", "prediction", "target", "looks real"
"""Of a preview."""
THERE_AND_BACK = (
    ("source", "to target", "back again", "looks real"),
    ("target", "to source", "back again", "looks real"),
)
"""The same where the model goes both ways."""


def as_rgb(frame: NDArray[Any], like: NDArray[Any] | None = None, labels: bool = False) -> NDArray[np.uint8]:
    """A frame (C, Y, X) as uint8 (Y, X, 3): labels in colours, grey values from the range of `like` to 0-255."""
    if labels:
        return (label2rgb(frame[0], bg_label=0) * 255).astype(np.uint8)
    reference = frame if like is None else like
    low, high = float(np.nanmin(reference)), float(np.nanmax(reference))
    scaled = np.nan_to_num(np.clip((frame.astype(float) - low) / (high - low or 1), 0, 1)) * 255
    channels = scaled[:3] if len(scaled) >= 3 else np.repeat(scaled[:1], 3, axis=0)
    return np.moveaxis(channels, 0, -1).astype(np.uint8)


def write_preview(path: Path, preview: Preview) -> None:
    """A PNG: source | prediction | target | scores, and their names below; of a volume, the middle plane.

    Where the model goes both ways, the third panel is what comes of the prediction back again, and the other way is a
    second row. Of images from nothing: real ones | such as are made now | their targets. Each time with the same
    limits: those of the real grey values, and of the scores from surely fake (dark) to surely real (bright).
    """
    import imagecodecs

    names: tuple[tuple[str, ...], ...] = (PANELS,)
    back = preview.back
    of_sources = False if back is None else back.labels
    if preview.grown:
        rows, names = [_from_nothing(preview)], (("real", f"made: {preview.grown}", "its targets"),)
    else:
        rows = [_panels(preview, of_sources)]
    if back is not None:
        rows, names = [*rows, _panels(back, preview.labels)], THERE_AND_BACK
    height, width = (max(panel.shape[axis] for panels in rows for panel in panels) for axis in (0, 1))
    strips = []
    for panels, called in zip(rows, names, strict=True):
        room = [((0, height - len(panel)), (0, width - panel.shape[1]), (0, 0)) for panel in panels]
        even = [np.pad(panel, more) for panel, more in zip(panels, room, strict=True)]  # without pairs sizes may differ
        strips += [np.concatenate(even, axis=1), _names(even, called)]
    widest = max(strip.shape[1] for strip in strips)  # of one side scores may be missing
    with written_beside(path) as beside:
        imagecodecs.imwrite(
            beside, np.concatenate([np.pad(s, ((0, 0), (0, widest - s.shape[1]), (0, 0))) for s in strips])
        )


def _panels(preview: Preview, of_sources: bool) -> list[NDArray[np.uint8]]:
    """A row of panels; `of_sources`: whether sources are labels."""
    assert preview.target is not None
    again = preview.target if preview.again is None else preview.again
    source, prediction, target, again = (
        frame[:, frame.shape[1] // 2] if frame.ndim == 4 else frame
        for frame in (preview.source, preview.prediction, preview.target, again)
    )
    last = as_rgb(target, labels=preview.labels) if preview.again is None else as_rgb(again, source, of_sources)
    panels = [as_rgb(source, labels=of_sources), as_rgb(prediction, target, preview.labels), last]
    return panels if preview.scored is None else [*panels, _scores_as_rgb(preview.scored, source.shape[-2:])]


def _from_nothing(preview: Preview) -> list[NDArray[np.uint8]]:
    """Real images and some that are made, in the same range of grey values, and the targets made with them."""
    panels = [as_rgb(preview.source), as_rgb(preview.prediction, preview.source)]
    return panels if preview.target is None else [*panels, as_rgb(preview.target, labels=preview.labels)]


def _names(panels: list[NDArray[np.uint8]], names: tuple[str, ...]) -> NDArray[np.uint8]:
    """A strip (n, widths, 3) with the name of each panel of a preview below it."""
    from PIL import Image, ImageDraw, ImageFont

    width = panels[0].shape[1]
    size = max(8, width // 14)
    strip = Image.new("RGB", (width * len(panels), size + size // 2))
    draw, font = ImageDraw.Draw(strip), ImageFont.load_default(size)
    for i, name in enumerate(names[: len(panels)]):
        draw.text((width * i + 2, 0), name, fill=(200, 200, 200), font=font)
    return np.asarray(strip)


def _scores_as_rgb(scored: PatchScores, shape: tuple[int, ...]) -> NDArray[np.uint8]:
    """Scores as uint8 (Y, X, 3): each in the pixels that are nearest to the centre of its field; black beyond them."""
    from matplotlib import colormaps

    scores = scored.scores if scored.scores.ndim == 2 else scored.scores[len(scored.scores) // 2]
    chance = 1 / (1 + np.exp(-np.clip(scores.astype(float), -30, 30)))
    which = [
        np.rint((np.arange(n) - first) / stride).astype(int)
        for n, first, stride in zip(shape, scored.translate[-2:], scored.scale[-2:], strict=True)
    ]
    inside = [(index >= 0) & (index < n) for index, n in zip(which, scores.shape, strict=True)]
    nearest = [np.clip(index, 0, n - 1) for index, n in zip(which, scores.shape, strict=True)]
    picture = colormaps["cividis"](chance[np.ix_(*nearest)])
    picture[~np.logical_and.outer(*inside)] = 0
    return (picture[..., :3] * 255).astype(np.uint8)


def draw_story(
    path: Path, source: NDArray[Any], target: NDArray[Any], prediction: NDArray[Any], scored: PatchScores, title: str
) -> None:
    """A PNG: source | target image | prediction | scores over the source, each of one frame (C, Y, X)."""
    from matplotlib.figure import Figure

    height, width = source.shape[-2:]
    figure = Figure(figsize=(12, 2.7 * height / width + 0.9), dpi=90, layout="constrained")
    panels = figure.subplots(1, 4)
    pictures = [as_rgb(source), as_rgb(target, labels=True), as_rgb(prediction, labels=True), as_rgb(source)]
    names = ["source", "target image", "prediction", "patch scores (faded: see padding)"]
    for panel, picture, name in zip(panels, pictures, names, strict=True):
        panel.imshow(picture)
        panel.set_title(name, fontsize=11)
        panel.set_axis_off()
    # Each score is a square of one stride around the centre of its field.
    (top, left), stride, (rows, columns) = scored.translate, scored.receptive_field.stride, scored.scores.shape
    half = stride / 2
    extent = (left - half, left + columns * stride - half, top + rows * stride - half, top - half)
    faded = np.where(scored.valid, 0.75, 0.25)  # a field that reaches beyond the image sees padding
    overlay = panels[3].imshow(scored.scores, extent=extent, cmap="cividis", alpha=faded)
    panels[3].set_xlim(-0.5, width - 0.5)
    panels[3].set_ylim(height - 0.5, -0.5)
    figure.colorbar(overlay, ax=panels[3], label="high = looks real", shrink=0.7)
    figure.suptitle(title, fontsize=10)
    with written_beside(path) as beside:
        figure.savefig(beside)
