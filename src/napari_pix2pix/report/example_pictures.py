"""Examples of an evaluation as small pictures: source, target image, prediction, error, patch scores."""

from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import imagecodecs
import numpy as np
from matplotlib import colormaps
from numpy.typing import NDArray
from scipy import ndimage
from skimage.segmentation import find_boundaries

from napari_pix2pix.core.encodings.kinds import Kind
from napari_pix2pix.core.teaching.examples import Example

SIDE = 512
"""Larger images are cropped to this side, in pixels, around their worst field: each pixel stays a pixel."""
MOST_CHANNELS = 4
PERCENTILES = 0.1, 99.9
ERROR_MAP, SCORE_MAP = "inferno", "cividis"
ERROR_LEVELS = 64
"""Of the error map: a picture of fewer colours is a smaller file."""
UNKNOWN = (128, 128, 128)
# Okabe and Ito, "Color Universal Design" (2008), their black left to the background; then the same, darker.
PALETTE = np.array(
    [(230, 159, 0), (86, 180, 233), (0, 158, 115), (240, 228, 66), (0, 114, 178), (213, 94, 0), (204, 121, 167)],
    np.uint8,
)
PALETTE = np.concatenate([PALETTE, PALETTE * 0.6, [(255, 255, 255)]]).astype(np.uint8)
RIGHT, BORDER, MISSING, INVENTED, CONFUSED = (120, 120, 120), (70, 70, 70), (213, 94, 0), (86, 180, 233), (240, 228, 66)
STAINS = np.array([(1, 0, 1), (0, 1, 0), (0, 0.4, 1)])
"""Magenta, green and blue for channels that are no colours."""

Image = NDArray[np.uint8]
SourceShows = Literal["colours", "stains", "planes"]


@dataclass(frozen=True)
class Panel:
    """One picture: its name, what it shows, and itself as (Y, X) or (Y, X, 3)."""

    name: str
    text: str
    pixels: Image

    @property
    def uri(self) -> str:
        """The picture as a PNG inside a ``data:`` address."""
        png = imagecodecs.png_encode(np.ascontiguousarray(self.pixels), level=9)
        return f"data:image/png;base64,{b64encode(png).decode()}"


@dataclass(frozen=True)
class Cut:
    """What is shown of an example: a plane, cropped.

    Parameters
    ----------
    example
        Where it is from; its arrays are those of the cut, (C, Y, X).
    error
        At each pixel, (channels, Y, X), float; of labels 1 where they are wrong.
    ends
        The grey values of each target channel, or of its prediction where the target has it not, that are shown black
        and white, (2, C).
    scores
        The score of the field whose centre is nearest to each pixel, (Y, X); NaN beyond the grid. None: no scores.
    faded
        Where that field sees padding, bool (Y, X).
    notes
        What is not shown, a sentence each.
    """

    example: Example
    error: NDArray[np.float64]
    ends: NDArray[np.float64]
    scores: NDArray[np.float32] | None
    faded: NDArray[np.bool_] | None
    notes: tuple[str, ...]

    def judged_scores(self) -> NDArray[np.float32]:
        """The scores that are shown, (N,): where there are any, those that see no padding."""
        if self.scores is None or self.faded is None:
            return np.empty(0, np.float32)
        shown = ~np.isnan(self.scores)
        inside = shown & ~self.faded
        found: NDArray[np.float32] = self.scores[inside if inside.any() else shown]
        return found


def cut(example: Example, kind: Kind, beside: Sequence[NDArray[Any]] = ()) -> Cut:
    """Of a volume the middle of the planes that are known; of a large one `SIDE` pixels where the error is largest.

    The errors of other predictions `beside` this one count, too: then all are cut alike.
    """
    source, target, prediction, known = example.source, example.target, example.prediction, example.known
    notes, scored, plane = [], example.scores, None
    if target.ndim == 4:
        planes = np.flatnonzero(known.any(axis=(1, 2)))
        plane = int(planes[len(planes) // 2])
        notes.append(f"Plane {plane} of {target.shape[1]}.")
        source = None if source is None else source[:, plane]
        target, prediction, known = target[:, plane], prediction[:, plane], known[plane]
        beside = [other[:, plane] for other in beside]
    error = error_of(prediction, target, known, kind)
    error[[not example.has(k) for k in range(len(error))]] = 0
    shape, told = known.shape, error.mean(axis=0)
    for other in beside:
        told = told + error_of(other, target, known, kind).mean(axis=0)
    inside = ndimage.find_objects(known.astype(np.int8))[0]
    window = _within(inside, worst_window(told[inside], SIDE))
    height, width = (side.stop - side.start for side in window)
    if (height, width) != shape:
        notes.append(
            f"A part, {height} × {width} px from row {window[0].start}, column {window[1].start} of "
            f"{shape[0]} × {shape[1]} px"
            + (": where the error is largest." if SIDE in (height, width) else ": all that is judged.")
        )
    here = (slice(None), *window)
    seen = (pair[0] if example.has(k) else pair[1] for k, pair in enumerate(zip(target, prediction, strict=True)))
    ends = np.array([ends_of(channel[known]) for channel in seen]).T
    scores, faded = (None, None) if scored is None else _at_pixels(scored, shape, plane)
    if scores is not None and faded is not None:
        scores, faded = scores[window], faded[window]
    shown = Example(
        example.place,
        example.figures,
        None if source is None else _stretched(source)[here],
        target[here],
        prediction[here],
        known[window],
        example.scores,
        example.why_no_scores,
        example.stained,
    )
    return Cut(shown, error[here], ends, scores, faded, tuple(notes))


def error_of(
    prediction: NDArray[Any], target: NDArray[Any], known: NDArray[np.bool_], kind: Kind
) -> NDArray[np.float64]:
    """|prediction - target| (C, Y, X) in grey values; of labels (1, Y, X) 1 where wrong. 0 where not known, or NaN."""
    if kind == "intensity":
        error = np.abs(prediction.astype(float) - target)
    elif kind == "classes":
        error = (prediction[:1] != target[:1]).astype(float)
    else:
        error = ((prediction[:1] > 0) != (target[:1] > 0)).astype(float)
    return np.where(known, np.nan_to_num(error), 0)


def worst_window(error: NDArray[np.float64], side: int) -> tuple[slice, slice]:
    """The window of at most `side` pixels on each side that holds most of `error` (Y, X)."""
    sums = np.pad(error.cumsum(axis=0).cumsum(axis=1), ((1, 0), (1, 0)))
    height, width = (min(side, n) for n in error.shape)
    inside = sums[height:, width:] - sums[:-height, width:] - sums[height:, :-width] + sums[:-height, :-width]
    top, left = np.unravel_index(inside.argmax(), inside.shape)
    return slice(int(top), int(top) + height), slice(int(left), int(left) + width)


def _within(outer: tuple[slice, ...], inner: tuple[slice, ...]) -> tuple[slice, ...]:
    """The window `inner` of the window `outer`, as one of the whole."""
    return tuple(slice(a.start + b.start, a.start + b.stop) for a, b in zip(outer, inner, strict=True))


def ends_of(values: NDArray[Any]) -> tuple[float, float]:
    """The values that are shown black and white."""
    values = values[np.isfinite(values)].astype(float)
    low, high = np.percentile(values, PERCENTILES) if values.size else (0.0, 1.0)
    return float(low), float(high) if high > low else float(low) + 1


def _at_pixels(scored: Any, shape: tuple[int, ...], plane: int | None) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Scores on their grid as the score of each pixel (Y, X), and where it sees padding; nothing is interpolated."""
    scores, valid = scored.scores, scored.valid
    if plane is not None:
        field = scored.fields[0]
        nearest = np.clip(round((plane - field.centre) / field.stride), 0, len(scores) - 1)
        scores, valid = scores[nearest], valid[nearest]
    places = [
        np.rint((np.arange(n) - field.centre) / field.stride).astype(int)
        for n, field in zip(shape, scored.fields[-2:], strict=True)
    ]
    inside = [(place >= 0) & (place < n) for place, n in zip(places, scores.shape, strict=True)]
    grid = np.ix_(*(np.clip(place, 0, n - 1) for place, n in zip(places, scores.shape, strict=True)))
    on_grid = np.logical_and.outer(*inside)
    return np.where(on_grid, scores[grid], np.float32(np.nan)), on_grid & ~valid[grid]


def _stretched(source: NDArray[Any]) -> Image:
    """A source (C, Y, X) in 0-255 between its extremes, uint8; colours between those of all three, which keeps hues."""
    if source.dtype == np.uint8 and len(source) == 3:
        return grey(source, *ends_of(source))
    return np.stack([grey(channel, *ends_of(channel)) for channel in source])


def grey(values: NDArray[Any], low: float, high: float) -> Image:
    """Values in 0-255, `low` as black and `high` as white."""
    return np.nan_to_num(np.clip((values.astype(float) - low) / (high - low), 0, 1) * 255).astype(np.uint8)


def panels_of(
    found: Cut,
    kind: Kind,
    classes: Sequence[int],
    error_ends: Sequence[float],
    score_ends: tuple[float, float],
    source_shows: SourceShows,
    colours: bool,
    channels: Sequence[str],
) -> list[list[Panel]]:
    """The pictures of an example: a row, or one for each channel of an intensity target that is no colour image.

    Parameters
    ----------
    found
        The cut.
    kind, classes
        Of the target.
    error_ends
        For each channel the error that is shown brightest.
    score_ends
        The scores that are shown darkest and brightest.
    source_shows
        What the source's channels are.
    colours
        Whether the target is RGB.
    channels
        What the target's channels are called.
    """
    example = found.example
    first = [] if example.source is None else [source_panel(example.source, source_shows)]
    last = [] if found.scores is None else [_score_panel(found, score_ends)]
    if kind != "intensity":
        target = label_colours(example.target[0], kind, classes)
        shown = example.prediction[0]
        if kind == "instances":
            shown = named_alike(shown, example.target[0])
        middle = [
            Panel("target image", "what is true, each label in a colour", _hidden(target, example.known)),
            Panel("prediction", "in the colours of the target image", label_colours(shown, kind, classes)),
            Panel("error", "where the prediction is wrong", label_errors(found, kind, classes)),
        ]
        return [first + middle + last]
    rows = []
    groups = [[0, 1, 2]] if colours else [[channel] for channel in range(len(example.target))][:MOST_CHANNELS]
    for group in groups:
        pictures = [
            np.stack([grey(image[channel], *found.ends[:, channel]) for channel in group], axis=-1)
            for image in (example.target, example.prediction)
        ]
        target, prediction = (picture[..., 0] if len(group) == 1 else picture for picture in pictures)
        name = f" · {channels[group[0]]}" if len(groups) > 1 else ""
        error = found.error[group].mean(axis=0) / max(float(np.mean([error_ends[channel] for channel in group])), 1e-12)
        level = (np.rint(np.clip(error, 0, 1) * (ERROR_LEVELS - 1)) / (ERROR_LEVELS - 1) * 255).astype(np.uint8)
        error_picture = (np.asarray(colormaps[ERROR_MAP](level))[..., :3] * 255).astype(np.uint8)
        if not example.has(group[0]):
            nothing = _hidden(prediction, np.zeros_like(example.known))
            target_panel, error_panel = (
                Panel(f"{what}{name}: not stained", "this pair lacks the stain", nothing)
                for what in ("target image", "error")
            )
            shown = Panel(f"prediction{name}", "in its own grey values", prediction)
            rows.append([*first, target_panel, shown, error_panel, *last])
            continue
        rows.append(
            [
                *first,
                Panel(f"target image{name}", "what is true", _hidden(target, example.known)),
                Panel(f"prediction{name}", "in the grey values of the target image", prediction),
                Panel(f"error{name}", "bright where the prediction is far off", _hidden(error_picture, example.known)),
                *last,
            ]
        )
    return rows


def source_panel(source: Image, shows: SourceShows) -> Panel:
    """A source (C, Y, X)."""
    if len(source) == 1 or shows == "colours":
        pixels = source[0] if len(source) == 1 else np.moveaxis(source[:3], 0, -1)
        return Panel("source", "what the model sees", pixels)
    if shows == "stains" and len(source) <= len(STAINS):
        mixed = np.tensordot(source.astype(float), STAINS[: len(source)], (0, 0)).clip(0, 255).astype(np.uint8)
        return Panel("source", "its channels in magenta, green and blue", mixed)
    middle = len(source) // 2
    name = f"source, channel {middle} of {len(source)}"
    return Panel(name, "one of the channels, or planes, that the model sees", source[middle])


def _score_panel(found: Cut, ends: tuple[float, float]) -> Panel:
    assert found.scores is not None and found.faded is not None
    low, high = ends
    share = np.clip((found.scores - low) / (high - low or 1), 0, 1)
    pixels = np.asarray(colormaps[SCORE_MAP](np.nan_to_num(share)))[..., :3] * 255
    pixels = np.where(found.faded[..., None], 0.35 * pixels + 0.65 * 128, pixels)
    pixels = np.where(np.isnan(found.scores)[..., None], UNKNOWN, pixels)
    match = found.example.scores is not None and found.example.scores.kind == "match"
    told = "bright where a field matches its source" if match else "bright where a field looks real"
    return Panel("patch scores", f"{told} to the discriminator", pixels.astype(np.uint8))


def label_colours(labels: NDArray[Any], kind: Kind, classes: Sequence[int]) -> Image:
    """A label image (Y, X) in colours that also the colour-blind tell apart, (Y, X, 3); background is black."""
    if kind == "classes":
        pixels = np.zeros((*labels.shape, 3), np.uint8)
        for i, value in enumerate(classes[1:]):
            pixels[labels == value] = PALETTE[i]
        return pixels
    pixels = PALETTE[labels.astype(np.int64) % 7]
    pixels = np.where(find_boundaries(labels, mode="inner")[..., None], pixels // 2, pixels)
    pixels[labels == 0] = 0
    return pixels


def _shared(
    prediction: NDArray[Any], target: NDArray[Any]
) -> tuple[NDArray[np.int64], NDArray[Any], NDArray[np.intp], NDArray[Any], NDArray[np.intp]]:
    """Pixels that predicted (rows) and true labels (columns) share; then the labels and their places, of either."""
    ids, found = np.unique(prediction, return_inverse=True)
    names, true = np.unique(target, return_inverse=True)
    counts = np.bincount(found.ravel() * len(names) + true.ravel(), minlength=len(ids) * len(names))
    return counts.reshape(len(ids), len(names)), ids, found, names, true


def named_alike(prediction: NDArray[Any], target: NDArray[Any]) -> NDArray[np.int64]:
    """The predicted objects (Y, X), each with the id of the target's object that it covers most, so that both match."""
    shared, ids, found, names, _ = _shared(prediction, target)
    shared[:, names == 0] = 0
    best = np.where(shared.any(axis=1), names[shared.argmax(axis=1)], ids).astype(np.int64)
    best[ids == 0] = 0
    renamed: NDArray[np.int64] = best[found].reshape(prediction.shape)
    return renamed


def _matched(prediction: NDArray[Any], target: NDArray[Any]) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Where predicted, and where true objects (Y, X) have a match of the other side: an IoU above one half."""
    shared, ids, found, names, true = _shared(prediction, target)
    union = shared.sum(axis=1, keepdims=True) + shared.sum(axis=0) - shared
    matches = (shared > 0.5 * union) & np.logical_and.outer(ids != 0, names != 0)
    a, b = matches.any(axis=1)[found], matches.any(axis=0)[true]
    return a.reshape(prediction.shape), b.reshape(target.shape)


def label_errors(found: Cut, kind: Kind, classes: Sequence[int]) -> Image:
    """Grey where right, and a colour for each way to be wrong; see `error_legend`."""
    example = found.example
    prediction, target = example.prediction[0], example.target[0]
    background = classes[0] if kind == "classes" and len(classes) else 0
    present, true = prediction != background, target != background
    pixels = np.zeros((*target.shape, 3), np.uint8)
    if kind == "classes":
        pixels[present & true] = RIGHT
        pixels[present & true & (prediction != target)] = CONFUSED
    else:
        matched = _matched(np.where(example.known, prediction, 0), np.where(example.known, target, 0))
        pixels[(present & matched[0]) | (true & matched[1])] = BORDER
        pixels[present & true & matched[0] & matched[1]] = RIGHT
        present, true = present & ~matched[0], true & ~matched[1]
        pixels[present & true] = CONFUSED
    pixels[true & ~present] = MISSING
    pixels[present & ~true] = INVENTED
    return _hidden(pixels, example.known)


def error_legend(kind: Kind, classes: Sequence[int]) -> list[tuple[str, str]]:
    """Colour and meaning of each colour in a label error picture."""
    named = [(RIGHT, "right"), (MISSING, "missing"), (INVENTED, "invented")]
    if kind == "instances":
        named = [
            (RIGHT, "of an object that matches (IoU above 0.5)"),
            (BORDER, "its border differs"),
            (MISSING, "of a true object without a match"),
            (INVENTED, "of a predicted object without a match"),
            (CONFUSED, "where two such overlap"),
        ]
    elif len(classes) > 2:
        named.append((CONFUSED, "another class"))
    return [(css(colour), name) for colour, name in named]


def class_legend(classes: Sequence[int]) -> list[tuple[str, str]]:
    """Colour and label of each class."""
    return [("#000000", str(classes[0])), *((css(PALETTE[i]), str(v)) for i, v in enumerate(classes[1:]))]


def css(colour: Sequence[int]) -> str:
    """A colour as style sheets write it."""
    return "#" + "".join(f"{int(part):02x}" for part in colour)


def gradient(name: str) -> str:
    """A colour map as the gradient of a style sheet."""
    steps = (np.asarray(colormaps[name](np.linspace(0, 1, 9)))[:, :3] * 255).astype(int)
    return f"linear-gradient(to right, {', '.join(css(colour) for colour in steps)})"


def _hidden(pixels: Image, known: NDArray[np.bool_]) -> Image:
    """The picture, hatched grey where the target is not known."""
    if known.all():
        return pixels
    hatch = (96 + 64 * (np.indices(known.shape).sum(axis=0) // 4 % 2)).astype(np.uint8)
    if pixels.ndim == 3:
        known, hatch = known[..., None], hatch[..., None]
    return np.where(known, pixels, hatch)
