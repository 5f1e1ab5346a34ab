"""Frames as pictures for people: previews, and the demo's four panels."""

from pathlib import Path
from textwrap import fill
from typing import Any

import numpy as np
from numpy.typing import NDArray
from skimage.color import label2rgb
from skimage.segmentation import find_boundaries

from napari_pix2pix.core.engine.atomic import written_beside
from napari_pix2pix.core.running.patch_scores import PatchScores
from napari_pix2pix.core.training.reports import Preview
from napari_pix2pix.files.colours import AS_LIKELY_AS_NOT, doubt_colours

PANELS = "source", "prediction", "target", "looks real"
"""Of a preview."""
THERE_AND_BACK = (
    ("source", "to target", "back again", "looks real"),
    ("target", "to source", "back again", "looks real"),
)
"""The same where the model goes both ways."""
STORY = (
    ("Source", "Grey tissue; from this part the model has learned nothing."),
    ("Prediction", "The nuclei that the model finds, each in a colour of its own."),
    ("True error", "Red: a nucleus where there is none, or none where there is one."),
    ("Expected error", "What the model itself takes for wrong, without knowing the truth."),
)
"""The demo's panels, and a sentence on each."""
WRAPPED = 34
"""Characters in a line of these."""
OUTLINE = 0, 90, 255
"""Of objects, in a colour that no error has."""


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
    path: Path,
    source: NDArray[Any],
    target: NDArray[Any],
    prediction: NDArray[Any],
    expected: NDArray[np.float32],
    title: str,
) -> None:
    """A PNG: source | predicted objects | true error | expected error, with a sentence on each.

    Parameters
    ----------
    source, target, prediction
        One plane each (Y, X), the last two with object ids.
    expected
        How likely each pixel of the prediction is wrong (Y, X), in [0, 1]. Both errors have one scale.
    title
        Above all.
    """
    from matplotlib.colors import ListedColormap
    from matplotlib.figure import Figure

    height, width = source.shape
    figure = Figure(figsize=(11, 2.4 * height / width + 1.1), dpi=95, layout="constrained")
    panels = figure.subplots(1, len(STORY))
    grey = as_rgb(source[None])
    outlined = grey.copy()
    outlined[find_boundaries(prediction, mode="inner")] = OUTLINE
    filled = (label2rgb(prediction, grey, alpha=0.45, bg_label=0, bg_color=None) * 255).astype(np.uint8)
    filled[find_boundaries(prediction, mode="inner")] = OUTLINE
    wrong = ((prediction > 0) != (target > 0)).astype(np.float32)
    for panel, picture, (name, sentence) in zip(panels, (grey, filled, outlined, outlined), STORY, strict=True):
        panel.imshow(picture)
        panel.set_title(name, fontsize=12, fontweight="bold", loc="left", pad=32)
        panel.text(0, 1.005, fill(sentence, WRAPPED), fontsize=9, transform=panel.transAxes)
        panel.set_axis_off()
    colours = ListedColormap(doubt_colours())
    for panel, errors in zip(panels[2:], (wrong, expected), strict=True):
        glow = panel.imshow(errors, cmap=colours, vmin=0, vmax=AS_LIKELY_AS_NOT, interpolation="nearest")
    bar = figure.colorbar(glow, ax=panels, shrink=0.5, aspect=30, extend="max")
    bar.set_label("probability that the label of a pixel is wrong")
    figure.suptitle(title, fontsize=11, x=0.01, horizontalalignment="left")
    with written_beside(path) as beside:
        figure.savefig(beside, bbox_inches="tight")
