"""Images as several models, or tools, predict them: side by side under one zoom, in one scale of errors."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from napari_pix2pix.core.encodings.kinds import Kind
from napari_pix2pix.core.teaching.examples import Example
from napari_pix2pix.report import example_pictures as pictures
from napari_pix2pix.report.content import title_of
from napari_pix2pix.report.examples import legends, panels, zoom_buttons
from napari_pix2pix.report.markup import Html, joined, tag
from napari_pix2pix.report.pieces import number


def side_by_side(
    images: Iterable[tuple[str, Mapping[str, Example]]],
    kind: Kind,
    headline: str,
    classes: Sequence[int] = (),
    channels: Sequence[str] = (),
    colours: bool = False,
    source_shows: pictures.SourceShows = "stains",
) -> Html | None:
    """Source and target of each image, and the prediction of each model with its error; None where there is none.

    Parameters
    ----------
    images
        Of each why it is shown, and the image as each model predicts it, by what the model is called.
    kind, classes, channels
        Of the targets: what they show, of classes the labels, and what their channels are called.
    headline
        The figure that ranks images.
    colours
        Whether targets are RGB.
    source_shows
        What the channels of the sources are.
    """
    shown = [(why, _cut(examples, kind)) for why, examples in images]
    if not shown:
        return None
    # One scale for the errors of all, to half of the grey values that are shown.
    every = [cut for _, cuts in shown for cut in cuts.values()]
    error_ends = [
        max((float(cut.ends[1, k] - cut.ends[0, k]) / 2 for cut in every if cut.example.has(k)), default=1.0)
        for k in range(every[0].ends.shape[1])
    ]
    how = "Click into a picture to magnify it, drag to move: all of an image follow. One scale for the errors of all."
    keys = legends(kind, classes, colours, error_ends)
    parts = [tag("p", how, class_="soft"), tag("ul", *keys, class_="keys")]
    for why, cuts in shown:
        scale: Any = (kind, classes, error_ends, (0.0, 1.0), source_shows, colours, channels)
        of_each = {label: pictures.panels_of(cut, *scale) for label, cut in cuts.items()}
        first = next(iter(cuts.values()))
        values = {label: number(cut.example.figures[headline]) for label, cut in cuts.items()}
        said = ", ".join(f"{label} {value}" for label, value in values.items())
        if len(set(values.values())) == 1:
            said = next(iter(values.values()))
        parts.append(
            tag(
                "div",
                tag(
                    "div",
                    tag("span", why, class_="place"),
                    tag("h3", first.example.figures["name"]),
                    tag("span", f"{title_of(headline)}: {said}"),
                    zoom_buttons(),
                    class_="head",
                ),
                *(tag("p", note, class_="soft") for note in first.notes),
                *(
                    panels(_row([rows[i] for rows in of_each.values()], list(of_each)), first.example.figures["name"])
                    for i in range(len(next(iter(of_each.values()))))
                ),
                class_="example",
            )
        )
    return joined(*parts)


def _cut(examples: Mapping[str, Example], kind: Kind) -> dict[str, pictures.Cut]:
    """The same part of each."""
    found = {}
    for label, example in examples.items():
        others = [other.prediction for name, other in examples.items() if name != label]
        found[label] = pictures.cut(example, kind, others)
    return found


def _row(rows: Sequence[Sequence[pictures.Panel]], labels: Sequence[str]) -> list[pictures.Panel]:
    """What all share, and then what each model makes of it."""
    shared = [panel for panel in rows[0] if not panel.name.startswith(("prediction", "error"))]
    own = [
        replace(panel, name=f"{label}: {panel.name}")
        for label, row in zip(labels, rows, strict=True)
        for panel in row
        if panel.name.startswith(("prediction", "error"))
    ]
    return shared + own
