"""The pictures of a report: the worst and the best images, with their errors and scores."""

from collections.abc import Sequence
from typing import Any

from napari_pix2pix.core.encodings.kinds import Kind
from napari_pix2pix.core.settings.naming import as_flag, named
from napari_pix2pix.core.teaching.examples import choose, ranked
from napari_pix2pix.report import example_pictures as pictures
from napari_pix2pix.report import figures as figures
from napari_pix2pix.report.content import Content, title_of
from napari_pix2pix.report.markup import Html, joined, tag
from napari_pix2pix.report.pieces import drawn, lacking, marked, number


def examples_of(content: Content, report: dict[str, Any]) -> Html | None:
    """Each image with source, target, prediction, error and scores, one scale for all; None where none is shown."""
    kind: Kind = report["kind"]
    cuts = [pictures.cut(example, kind) for example in content.examples]
    if not cuts:
        return None
    name, rows = ranked(report)
    model, names = content.model, content.called(report)
    classes = report["confusion"]["labels"] if "confusion" in report else ()
    colours = kind == "intensity" and len(names) == 3 and (model is None or model.channel_axis == "S")
    source_shows: pictures.SourceShows = "stains"
    if model is not None and model.source_view.z in ("neighbours", "all"):
        source_shows = "planes"
    elif model is not None and model.source_view.colours:
        source_shows = "colours"
    # One scale for the errors, to half of the grey values that are shown, and one for the scores of all examples.
    spans = [((cut.ends[1] - cut.ends[0]) / 2, cut.example) for cut in cuts]
    error_ends = [
        max((float(span[i]) for span, example in spans if example.has(i)), default=1.0) for i in range(len(spans[0][0]))
    ]
    scored = [found for cut in cuts if (found := cut.judged_scores()).size]
    score_ends = (
        (min(float(found.min()) for found in scored), max(float(found.max()) for found in scored))
        if scored
        else (0.0, 1.0)
    )
    parts: list[Html] = []
    if len(rows) > 1:
        drawing = figures.over_images([row[name] for row in rows], choose(len(rows)), title_of(name))
        how = ", as a share of what is usual of the stains that it has" if lacking(report) else ""
        parts.append(drawn(drawing, f"{title_of(name)} of every image, from the worst to the best{how}."))
    parts.append(
        tag(
            "p",
            "Click into a picture to magnify it, drag to move; all pictures of an image follow. One colour scale for "
            "the errors of all images shown, and one for the scores.",
            class_="soft",
        )
    )
    keys = [*legends(kind, classes, colours, error_ends)]
    if not all(cut.example.known.all() and all(map(cut.example.has, range(len(names)))) for cut in cuts):
        keys.append(tag("li", "hatched: not known, and not judged"))
    if scored:
        low, high = (number(end) for end in score_ends)
        match = any(cut.example.scores is not None and cut.example.scores.kind == "match" for cut in cuts)
        worst, best = ("does not match", "matches its source") if match else ("looks made up", "looks real")
        text = f"patch scores from {low} ({worst}) to {high} ({best}): not whether the content is right; "
        keys.append(_bar(pictures.SCORE_MAP, text + "faded where fields see padding"))
        if match and model is not None and model.match is not None and model.match.lesson:
            keys.append(tag("li", tag("strong", named(model.match.lesson, as_flag))))
    parts.append(tag("ul", *keys, class_="keys"))
    ranks = {row["name"]: place for place, row in enumerate(rows, 1)}
    for cut in cuts:
        place = f"{cut.example.place} · {ranks[cut.example.figures['name']]} of {len(rows)}" if len(rows) > 1 else None
        rows_of_panels = pictures.panels_of(cut, kind, classes, error_ends, score_ends, source_shows, colours, names)
        parts.append(_example(cut, rows_of_panels, name, place, content))
    return joined(*parts)


def _example(
    cut: pictures.Cut, rows: list[list[pictures.Panel]], ranks: str, place: str | None, content: Content
) -> Html:
    example = cut.example
    seen = content.report is not None and bool(content.report.get("seen"))
    said = f"{title_of(ranks)}: {number(example.figures[ranks])}"
    notes = [*cut.notes]
    if cut.scores is None and content.model is not None:
        notes.append(f"No patch scores: {example.why_no_scores}")
    return tag(
        "div",
        tag(
            "div",
            tag("span", place, class_="place") if place else None,
            tag("h3", example.figures["name"]),
            tag("span", said, class_=marked("", seen) or None),
            zoom_buttons(),
            class_="head",
        ),
        *(tag("p", note, class_="soft") for note in notes),
        *(panels(row, example.figures["name"]) for row in rows),
        class_="example",
    )


def zoom_buttons() -> Html:
    """What magnifies all pictures of an image."""
    buttons = (("−", "0.5", "Zoom out"), ("+", "2", "Zoom in"), ("whole image", "0", "Show the whole image"))
    made = (tag("button", text, type="button", data_zoom=by, aria_label=label) for text, by, label in buttons)
    return tag("span", *made, class_="zoom")


def panels(row: Sequence[pictures.Panel], of: str) -> Html:
    """Pictures side by side, of the image that is called so."""
    return tag(
        "div",
        *(
            tag(
                "figure",
                tag(
                    "span",
                    tag(
                        "img",
                        src=panel.uri,
                        width=str(panel.pixels.shape[1]),
                        height=str(panel.pixels.shape[0]),
                        alt=f"{panel.name} of {of}: {panel.text}",
                    ),
                    class_="box",
                ),
                tag("figcaption", panel.name),
                class_="panel",
            )
            for panel in row
        ),
        class_="panels",
        style=f"--columns: {len(row)}",
    )


def legends(kind: Kind, classes: Sequence[int], colours: bool, error_ends: Sequence[float]) -> list[Html]:
    """What the colours of errors, and of classes, mean."""
    if kind == "intensity":
        ends = [sum(error_ends) / len(error_ends)] if colours else error_ends[: pictures.MOST_CHANNELS]
        values = ", ".join(number(end) for end in ends)
        many = " (each channel's)" if len(ends) > 1 else ""
        return [_bar(pictures.ERROR_MAP, f"error from 0 to {values} or more{many}, in grey values of the target image")]
    named = [(colour, f"error: {text}") for colour, text in pictures.error_legend(kind, classes)]
    if kind == "classes" and len(classes):
        named = [(colour, f"class {text}") for colour, text in pictures.class_legend(classes)] + named
    return [tag("li", tag("i", style=f"background: {colour}"), text) for colour, text in named]


def _bar(colour_map: str, text: str) -> Html:
    return tag("li", tag("i", class_="bar", style=f"background: {pictures.gradient(colour_map)}"), text)
