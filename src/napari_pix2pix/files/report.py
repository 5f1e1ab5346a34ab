"""An evaluation as one HTML file that opens from disk in any browser and asks no network for anything."""

import json
from base64 import b64encode
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import sha256
from importlib.resources import files as resources
from pathlib import Path
from typing import Any

from napari_pix2pix.core.atomic import written_beside
from napari_pix2pix.core.encoding import Kind
from napari_pix2pix.core.evaluation import HIGHER_IS_BETTER
from napari_pix2pix.core.examples import Example, choose, ranked
from napari_pix2pix.core.model import TrainedModel
from napari_pix2pix.files import example_pictures as pictures
from napari_pix2pix.files import report_figures as figures
from napari_pix2pix.files.markup import Html, joined, table, tag
from napari_pix2pix.files.methods_paragraph import methods

MOST_ROWS = 300
"""Images in the table of all images; metrics.csv has every one."""
TITLES = {
    "mae": ("mean absolute error", "grey values; 0 is perfect"),
    "rmse": ("root mean squared error", "grey values; 0 is perfect"),
    "psnr": ("peak signal-to-noise ratio", "dB; higher is better"),
    "pearson": ("Pearson correlation", "of pixels; 1 is perfect"),
    "dice": ("Dice", "share of overlap; 1 is perfect"),
    "iou": ("IoU", "overlap over union; 1 is perfect"),
    "object_f1_iou50": ("object F1 at IoU 0.5", "objects found that overlap by more than half; 1 is perfect"),
}
"""By the name of a figure: its name for people, and what it means."""
PAIRS = {
    "test": "test pairs: they neither trained the model nor chose it, so their figures may be quoted",
    "validation": "validation pairs: they chose which weights were kept, so their figures flatter the model a little; "
    "quote those of test pairs",
    "calibration": "calibration pairs: they calibrated the scores; quote figures of test pairs",
    "train": "training pairs: the model has learned them, so their figures say nothing about new images",
}
ALONE = "within one image; says nothing about another"


@dataclass(frozen=True)
class Content:
    """What a report is about.

    Parameters
    ----------
    title
        Of the page.
    command
        The exact command that wrote it.
    report
        What `evaluate` found; None: there were no pairs to judge by.
    kind
        Of the target.
    model
        What was judged; None: any tool's predictions.
    examples
        Images to show; taken one at a time.
    card
        Of the model: a label and a text for each line.
    history
        Of the training, as in ``history.csv``.
    channels
        What the target's channels are called.
    skipped
        By name a sentence for each pair that was left out.
    remarks
        What else to know, a sentence each.
    """

    title: str
    command: str
    report: dict[str, Any] | None = None
    kind: Kind = "intensity"
    model: TrainedModel | None = None
    examples: Iterable[Example] = ()
    card: Sequence[tuple[str, str]] = ()
    history: Sequence[dict[str, Any]] = ()
    channels: Sequence[str] = ()
    skipped: Mapping[str, str] = field(default_factory=dict)
    remarks: Sequence[str] = ()


def write_report(path: Path, content: Content) -> None:
    """Write the page to `path`, beside and renamed."""
    page = html(content)
    with written_beside(path) as beside:
        beside.write_text(page, "utf8")


def html(content: Content) -> str:
    """The page."""
    style, script = (resources("napari_pix2pix.files").joinpath(f"report.{kind}").read_text("utf8") for kind in ("css", "js"))
    allowed = b64encode(sha256(script.encode()).digest()).decode()
    sections = {title: body for title, body in _sections(content) if body}
    ids = {title: title.lower().replace(" ", "-") for title in sections}
    page = tag(
        "html",
        tag(
            "head",
            tag("meta", charset="utf-8"),
            tag(
                "meta",  # nothing is fetched, and no script runs but ours, whatever a name in the data holds
                http_equiv="Content-Security-Policy",
                content=f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-{allowed}'",
            ),
            tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
            tag("title", content.title),
            tag("style", Html(style)),
        ),
        tag(
            "body",
            tag(
                "header",
                tag("h1", content.title),
                tag("p", f"napari-pix2pix, written {datetime.now(UTC):%Y-%m-%d %H:%M} UTC", class_="soft"),
            ),
            tag("nav", *(tag("a", title, href=f"#{ids[title]}") for title in sections), aria_label="Sections"),
            tag(
                "main",
                *(
                    tag("section", tag("h2", title, id=ids[title]), body, aria_labelledby=ids[title])
                    for title, body in sections.items()
                ),
                tag("footer", tag("p", "This page is complete in itself: it loads nothing.", class_="soft")),
            ),
            tag("script", Html(script)),
        ),
        lang="en",
    )
    return f"<!DOCTYPE html>\n{page}\n"


def _sections(content: Content) -> Iterable[tuple[str, Html | None]]:
    report, model = content.report, content.model
    yield "Summary", _summary(content)
    if report is not None:
        yield "Figures", _figures(content, report)
        yield "Images", _examples(content, report)
        yield "All images", _all_images(report)
    if content.history:
        yield "Training", tag(
            "figure",
            Html(figures.training_curves(content.history)),
            tag("figcaption", "Losses, and figures of the validation pairs, over the steps of the training."),
            class_="drawn",
            role="img",
            aria_label="Curves of the losses and of the validation figures over the steps.",
        )
    if content.card:
        yield "Model", table(["", ""], [list(line) for line in content.card], "The model's card", "card")
    if model is not None:
        text, cited = methods(model, report)
        yield "Methods", joined(
            tag("p", "Facts from the model's config and provenance, ready to paste:", class_="soft"),
            tag("p", text, class_="copy"),
            tag("ul", *(tag("li", reference) for reference in cited)),
        )
    yield "How it was made", _provenance(content)


# Sections


def _summary(content: Content) -> Html:
    report = content.report
    if report is None:
        return tag("div", *(tag("p", sentence) for sentence in content.remarks), class_="summary")
    n, seen = report["n"], bool(report.get("seen"))
    sentences: list[Html | str] = []
    if seen:
        text = "The model has seen some of these images in training: figures in red say nothing about new images."
        sentences.append(tag("strong", text, class_="seen"))
    judged = f"{n} image{'s' * (n != 1)}"
    if content.model is None:
        sentences.append(f"Judged: {judged}. Whether they taught the tool that predicted them is not known here.")
    else:
        sentences.append(f"Judged: {judged}, {PAIRS[report['kind_of_pairs']]}.")
    if n == 1:
        sentences.append(f"One image: {ALONE}, and has no interval.")
    sentences += _verdicts(report)
    name, rows = ranked(report["files"])
    if len(rows) > 1:
        sentences.append(
            f"The worst image is {rows[0]['name']} ({_name(name)} {number(rows[0][name])}), the best "
            f"{rows[-1]['name']} ({number(rows[-1][name])}): look at them below before you trust a mean."
        )
    sentences += content.remarks
    if content.skipped:
        sentences.append(f"{len(content.skipped)} pair{'s were' if len(content.skipped) > 1 else ' was'} left out:")
    return tag(
        "div",
        *(tag("p", sentence) for sentence in sentences),
        tag("ul", *(tag("li", said) for said in content.skipped.values())) if content.skipped else None,
        class_="summary seen" if seen else "summary",
    )


def _verdicts(report: dict[str, Any]) -> list[str]:
    """What the figure that ranks images is on average, and whether a baseline comes near."""
    name, _ = ranked(report["files"])
    metrics, baselines = report["metrics"], report["baselines"]
    sentences = []
    if metrics[name]["value"] is not None:
        title, meaning = TITLES.get(name, (name, ""))
        mean = "On average, " if report["n"] > 1 else ""
        interval = f" (95 % interval {_range(metrics[name])})" if metrics[name]["low"] is not None else ""
        said = f"{mean}{title} is {number(metrics[name]['value'])}{interval}: {meaning}."
        sentences.append(said[0].upper() + said[1:])
    shared = next(
        (key for key in HIGHER_IS_BETTER if key in metrics and any(key in found for found in baselines.values())), None
    )
    if shared is None or metrics[shared]["value"] is None:
        return sentences
    sign = 1 if HIGHER_IS_BETTER[shared] else -1
    rivals = {
        who: found[shared]
        for who, found in baselines.items()
        if shared in found and found[shared]["value"] is not None
    }
    if not rivals:
        return sentences
    who = max(rivals, key=lambda rival: sign * rivals[rival]["value"])
    ours, theirs = metrics[shared], rivals[who]
    near, far = ("low", "high") if sign > 0 else ("high", "low")
    if sign * (ours["value"] - theirs["value"]) <= 0:
        verdict = "is no worse than the model: this training was not worth it yet"
    elif ours[near] is None or theirs[far] is None:
        verdict = "is worse than the model; whether by chance, one image cannot tell"
    elif sign * (ours[near] - theirs[far]) > 0:
        verdict = "is clearly worse than the model: the intervals do not overlap"
    else:
        verdict = "is worse than the model, but the intervals overlap"
    sentences.append(
        f"The best baseline, {who}, reaches {_name(shared)} {number(theirs['value'])} where the model reaches "
        f"{number(ours['value'])}; it {verdict}."
    )
    return sentences


def _figures(content: Content, report: dict[str, Any]) -> Html:
    seen = bool(report.get("seen"))
    metrics, baselines = report["metrics"], report["baselines"]
    columns = {"predictions" if content.model is None else "model": metrics, **baselines}
    names = list(dict.fromkeys(name for found in columns.values() for name in found))
    rows: list[list[str | None]] = [
        [
            joined(_name(name), tag("div", TITLES[name][1], class_="soft") if name in TITLES else None),
            *(_cell(found.get(name)) for found in columns.values()),
        ]
        for name in names
    ]
    several = report["n"] > 1
    caption = f"Means over {report['n']} {report['kind_of_pairs']} images, with 95 % bootstrap intervals over them"
    parts = [table(["", *columns], rows, caption if several else f"Figures {ALONE}", _marked("figures", seen))]
    if baselines:
        parts.append(
            tag(
                "p",
                f"{' and '.join(baselines)} need no network and are fitted on these very pairs, which favours them: a "
                "model worth its training is clearly better.",
                class_="soft",
            )
        )
    shared = {
        name: _name(name) for name in metrics if name in TITLES and any(name in found for found in baselines.values())
    }
    if shared:
        parts.append(
            tag(
                "figure",
                Html(figures.beside_baselines(columns, shared)),
                tag("figcaption", "The model beside what needs no network; lines are 95 % intervals."),
                class_="drawn",
                role="img",
                aria_label="The figures of the table as dots with intervals.",
            )
        )
    for title, part in (("channel", report.get("channels")), ("class", report.get("classes"))):
        if part:
            parts.append(_by_part(title, part, content, seen))
    return joined(*parts)


def _by_part(title: str, found: Any, content: Content, seen: bool) -> Html:
    """A table with a column for each channel or class."""
    if isinstance(found, Mapping):
        named = {str(name): part for name, part in found.items()}
    else:
        channels = content.channels if title == "channel" else ()
        named = {
            channels[i] if i < len(channels) and channels[i] else f"{title} {i}": part for i, part in enumerate(found)
        }
    names = list(dict.fromkeys(name for part in named.values() for name in part))
    rows: list[list[str | None]] = [
        [_name(name), *(_cell(part.get(name)) for part in named.values())] for name in names
    ]
    return table(["", *named], rows, f"Each {title} by itself", _marked("figures", seen))


def _examples(content: Content, report: dict[str, Any]) -> Html | None:
    cuts = [pictures.cut(example, content.kind) for example in content.examples]
    if not cuts:
        return None
    name, rows = ranked(report["files"])
    model = content.model
    classes = model.target_encoding.classes if model else report.get("class_values", ())
    colours = (
        model is not None and model.source_view.colours,
        content.kind == "intensity" and len(cuts[0].ends[0]) == 3 and (model is None or model.channel_axis == "S"),
    )
    # One scale for the errors and one for the scores of all examples.
    spans = [(cut.ends[1] - cut.ends[0]) / 4 for cut in cuts]
    error_ends = [max(float(span[i]) for span in spans) for i in range(len(spans[0]))]
    scored = [cut.scores[cut.scores == cut.scores] for cut in cuts if cut.scores is not None]
    score_ends = (
        (min(float(found.min()) for found in scored), max(float(found.max()) for found in scored))
        if scored
        else (0.0, 1.0)
    )
    parts: list[Html] = []
    if len(rows) > 1:
        marked = {place: said for place, said in choose(len(rows)).items()}
        parts.append(
            tag(
                "figure",
                Html(figures.over_images([row[name] for row in rows], marked, _name(name))),
                class_="drawn",
                role="img",
                aria_label=f"{_name(name)} of every image, from the worst to the best.",
            )
        )
    parts.append(
        tag(
            "p",
            "Click into a picture to magnify it, drag to move; all pictures of an image follow. One colour scale for "
            "the errors of all images shown, and one for the scores.",
            class_="soft",
        )
    )
    legends = [*_legends(content.kind, classes, colours[1], error_ends, content.channels)]
    if scored:
        low, high = (number(end) for end in score_ends)
        text = f"patch scores from {low} (looks made up) to {high} (looks real): not whether the content is right; "
        legends.append(_bar(pictures.SCORE_MAP, text + "faded where fields see padding"))
    parts.append(tag("ul", *legends, class_="keys"))
    ranks = {row["name"]: place for place, row in enumerate(rows, 1)}
    for cut in cuts:
        place = f"{cut.example.place} · {ranks[cut.example.figures['name']]} of {len(rows)}" if len(rows) > 1 else None
        drawn = pictures.panels_of(cut, content.kind, classes, error_ends, score_ends, colours, _called(content, cut))
        parts.append(_example(cut, drawn, name, place, content))
    return joined(*parts)


def _example(
    cut: pictures.Cut, rows: list[list[pictures.Panel]], ranks: str, place: str | None, content: Content
) -> Html:
    example = cut.example
    seen = content.report is not None and bool(content.report.get("seen"))
    said = f"{_name(ranks)} {number(example.figures[ranks])}"
    notes = [*cut.notes]
    if cut.scores is None and content.model is not None:
        notes.append(f"No patch scores: {example.why_no_scores}")
    buttons = (("−", "0.5", "Zoom out"), ("+", "2", "Zoom in"), ("whole image", "0", "Show the whole image"))
    height, width = rows[0][0].pixels.shape[:2]
    return tag(
        "div",
        tag(
            "div",
            tag("span", place, class_="place") if place else None,
            tag("h3", example.figures["name"]),
            tag("span", said, class_=_marked("", seen) or None),
            tag(
                "span",
                *(tag("button", text, type="button", data_zoom=by, aria_label=label) for text, by, label in buttons),
                class_="zoom",
            ),
            class_="head",
        ),
        *(tag("p", note, class_="soft") for note in notes),
        *(
            tag(
                "div",
                *(
                    tag(
                        "figure",
                        tag(
                            "span",
                            tag(
                                "img",
                                src=panel.uri,
                                width=str(width),
                                height=str(height),
                                alt=f"{panel.name} of {example.figures['name']}: {panel.text}",
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
            for row in rows
        ),
        class_="example",
    )


def _called(content: Content, cut: pictures.Cut) -> list[str]:
    """What the target's channels are called; their numbers, where the files do not say."""
    names = content.channels
    return [names[i] if i < len(names) and names[i] else f"channel {i}" for i in range(len(cut.ends[0]))]


def _legends(
    kind: Kind, classes: Sequence[int], colours: bool, error_ends: Sequence[float], channels: Sequence[str]
) -> list[Html]:
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


def _all_images(report: dict[str, Any]) -> Html:
    rows = report["files"]
    _, best_last = ranked(rows)
    unknown = [row for row in rows if not any(row is other for other in best_last)]
    shown = [*best_last, *unknown][:MOST_ROWS]
    names = [name for name, value in rows[0].items() if name != "name" and not isinstance(value, dict | list)]
    cells: list[list[str | None]] = [
        [row["name"], *(value if isinstance(value := row.get(name), str) else number(value) for name in names)]
        for row in shown
    ]
    caption = "The figures of each image, the worst first"
    if len(rows) > len(shown):
        caption += f"; the first {len(shown)} of {len(rows)}, all of them are in metrics.csv"
    found = table(["image", *(_name(name) for name in names)], cells, caption, _marked("figures", bool(report.get("seen"))))
    return tag("details", tag("summary", f"{len(rows)} image{'s' * (len(rows) > 1)}"), found, open="" if len(rows) <= 20 else None)


def _provenance(content: Content) -> Html:
    parts = [tag("h3", "Command"), tag("pre", content.command)]
    if content.model is not None:
        versions = content.model.provenance.get("versions", {})
        if versions:
            lines: list[list[str | None]] = [[name, str(version)] for name, version in versions.items()]
            parts.append(table(["", ""], lines, "Versions that trained the model", "card"))
        settings = json.dumps(content.model.config.model_dump(mode="json"), indent=2)
        parts.append(tag("details", tag("summary", "Config of the training"), tag("pre", settings)))
    return joined(*parts)


# Small pieces


def number(value: Any) -> str:
    """A figure for people: three decimals around one, else four digits, or all before the point; None: not known."""
    if value is None:
        return "not known"
    if isinstance(value, bool | int):
        return str(value)
    if value == 0 or 0.01 <= abs(value) < 100:
        return f"{value:.3f}"
    return f"{value:.0f}" if 1000 <= abs(value) < 1e7 else f"{value:.4g}"


def _name(name: str) -> str:
    return TITLES.get(name, (name.replace("_", " "),))[0]


def _range(figure: Mapping[str, Any]) -> str:
    return f"{number(figure['low'])} to {number(figure['high'])}"


def _cell(figure: Mapping[str, Any] | None) -> str | None:
    if figure is None:
        return None
    if figure.get("low") is None:
        return number(figure["value"])
    return joined(number(figure["value"]), " ", tag("span", f"[{_range(figure)}]", class_="range"))


def _marked(class_: str, seen: bool) -> str:
    return f"{class_} seen".strip() if seen else class_
