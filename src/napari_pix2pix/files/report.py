"""An evaluation as one HTML file that opens from disk in any browser and asks no network for anything."""

import json
import re
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
from napari_pix2pix.core.evaluation import HEADLINES
from napari_pix2pix.core.examples import Example, choose, ranked
from napari_pix2pix.core.metrics.comparison import higher_is_better
from napari_pix2pix.core.model import TrainedModel
from napari_pix2pix.files import example_pictures as pictures
from napari_pix2pix.files import report_figures as figures
from napari_pix2pix.files.markup import Html, joined, table, tag
from napari_pix2pix.files.methods_paragraph import methods
from napari_pix2pix.files.report_pieces import cell, drawn, interval, marked, number
from napari_pix2pix.files.report_trust import TITLE as TRUST
from napari_pix2pix.files.report_trust import trust_section

MOST_ROWS = 300
"""Images in the table of all images; metrics.csv has every one."""
TITLES = {
    "mae": ("mean absolute error", "grey values; 0 is perfect"),
    "rmse": ("root mean squared error", "grey values; 0 is perfect"),
    "nrmse": ("normalised RMSE", "as a share of the range; 0 is perfect"),
    "psnr": ("peak signal-to-noise ratio", "dB; higher is better, blur is rewarded"),
    "pearson": ("Pearson correlation", "of pixels; 1 is perfect"),
    "spearman": ("Spearman correlation", "of the ranks of pixels; 1 is perfect"),
    "ssim": ("SSIM", "1 is perfect; misleads where images are mostly dark"),
    "dice": ("Dice", "share of overlap; 1 is perfect"),
    "iou": ("IoU", "overlap over union; 1 is perfect"),
    "pixel_accuracy": ("pixel accuracy", "share of pixels that are right"),
    "class_accuracy": ("class accuracy", "mean over classes of the share that is found"),
    "class_iou": ("class IoU", "mean over all classes"),
    "object_f1_iou50": ("object F1 at IoU 0.5", "objects found that overlap by more than half; 1 is perfect"),
    "object_ap_iou50": (
        "object AP at IoU 0.5",
        "average precision, matches among all objects, found or true; 1 is perfect",
    ),
    "merges": ("merges", "true objects taken together, per image"),
    "splits": ("splits", "true objects taken apart, per image"),
    "adapted_rand_error": ("adapted Rand error", "0 is perfect"),
    "variation_of_information": ("variation of information", "0 is perfect"),
}
"""By the name of a figure: its name for people, and what it means."""
PLOTTED = ("mae", "psnr", "pearson", "dice", "iou", "pixel_accuracy", "object_f1_iou50", "object_ap_iou50")
"""Figures that are drawn beside the baselines'."""
OVER_IOU = re.compile(r"object_(\w+)_iou(\d+)")
OBJECTS = {"f1": "F1", "ap": "average precision", "precision": "precision", "recall": "recall"}
FOREGROUND = "_foreground"
PAIRS = {
    "test": "test pairs: they neither trained the model nor chose it, so their figures may be quoted",
    "validation": "validation pairs: they chose which weights were kept, so their figures flatter the model a little; "
    "quote those of test pairs",
    "calibration": "calibration pairs: they calibrated the scores; quote figures of test pairs",
    "train": "training pairs: the model has learned them, so their figures say nothing about new images",
}
ALONE = "within one image; says nothing about another"
"""Where all frames are from one image or group, as intervals over frames tell."""


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
    style, script = (
        resources("napari_pix2pix.files").joinpath(f"report.{kind}").read_text("utf8") for kind in ("css", "js")
    )
    allowed = b64encode(sha256(script.encode()).digest()).decode()
    sections = {title: body for title, body in _sections(content) if body}
    ids = {title: title.lower().replace(" ", "-").rstrip("?") for title in sections}
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
        yield "Kinds of error", _errors(report, _channels(content, report))
        yield "Objects", _objects(report, _channels(content, report))
        yield TRUST, trust_section(report)
        yield "All images", _all_images(report)
    if content.history:
        said = "Losses, and figures of the validation pairs, over the steps of the training."
        yield "Training", drawn(figures.training_curves(content.history), said)
    if content.card:
        yield "Model", table(["", ""], [list(line) for line in content.card], "The model's card", "card")
    if model is not None:
        text, cited = methods(model, report)
        yield (
            "Methods",
            joined(
                tag("p", "Facts from the model's config and provenance, ready to paste:", class_="soft"),
                tag("p", text, class_="copy"),
                tag("ul", *(tag("li", reference) for reference in cited)),
            ),
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
        text = "The model has seen some of these images: the figures in red do not say how it does on new ones."
        sentences.append(tag("strong", text, class_="seen"))
    judged = f"{n} image{'s' * (n != 1)}"
    if content.model is None:
        sentences.append(f"Judged: {judged}. Whether they taught the tool that predicted them is not known here.")
    else:
        sentences.append(f"Judged: {judged}, {PAIRS[report['kind_of_pairs']]}.")
    if report["known_share"] < 1:
        sentences.append(f"Only what is known of the target was judged, {report['known_share']:.1%} of the pixels.")
    if n == 1:
        sentences.append("One image has no interval.")
    sentences += _verdicts(report)
    name, rows = ranked(report)
    if len(rows) > 1:
        sentences.append(
            f"The worst image is {rows[0]['name']} ({number(rows[0][name])}), the best {rows[-1]['name']} "
            f"({number(rows[-1][name])}): look at them below before you trust a mean."
        )
    names = _channels(content, report)
    for channel, called in zip(report.get("objects", ()), names, strict=False):
        sentences.append((f"{called}: " if len(names) > 1 else "") + channel["sentence"])
    sentences += [*report.get("remarks", ()), *content.remarks]
    if content.skipped:
        sentences.append(f"{len(content.skipped)} pair{'s were' if len(content.skipped) > 1 else ' was'} left out:")
    return tag(
        "div",
        *(tag("p", sentence) for sentence in sentences),
        tag("ul", *(tag("li", said) for said in content.skipped.values())) if content.skipped else None,
        class_="summary seen" if seen else "summary",
    )


def _verdicts(report: dict[str, Any]) -> list[str]:
    """What the headline is on average, and whether a baseline comes near."""
    name = HEADLINES[report["kind"]]
    ours, sign = report["metrics"][name], 1 if higher_is_better(name) else -1
    if ours["value"] is None:
        return []
    title, meaning = TITLES[name]
    mean = "on average, " if report["n"] > 1 else ""
    spread = f" (95 % interval {interval(ours)})" if ours["low"] is not None else ""
    said = f"{mean}{title} is {number(ours['value'])}{spread}: {meaning}."
    sentences = [said[0].upper() + said[1:]]
    rivals = {
        who: found[name] for who, found in report["baselines"].items() if found.get(name, {}).get("value") is not None
    }
    if not rivals:
        return sentences
    who = max(rivals, key=lambda rival: sign * rivals[rival]["value"])
    theirs = rivals[who]
    near, far = ("low", "high") if sign > 0 else ("high", "low")
    if sign * (ours["value"] - theirs["value"]) <= 0:
        verdict = "no worse than that: this training was not worth it yet"
    elif ours[near] is None or theirs[far] is None:
        verdict = "worse; whether by chance, one image cannot tell"
    elif sign * (ours[near] - theirs[far]) > 0:
        verdict = "clearly worse: the intervals do not overlap"
    else:
        verdict = "worse, but the intervals overlap"
    return [*sentences, f"The best baseline, {who}, reaches {number(theirs['value'])}, {verdict}."]


def _figures(content: Content, report: dict[str, Any]) -> Html:
    seen, several = bool(report.get("seen")), report["n"] > 1
    metrics, baselines, ceiling = report["metrics"], report["baselines"], report.get("ceiling", {})
    columns = {"predictions" if content.model is None else "model": metrics, **baselines}
    beside = columns | ({"ceiling": ceiling["metrics"]} if ceiling.get("n") else {})
    over = report["intervals"]["over"]
    caption = f"Means over {report['n']} {report['kind_of_pairs']} images, with 95 % bootstrap intervals over {over}"
    if over == "frames":
        caption = f"{caption}, {ALONE}" if several else f"Of one {report['kind_of_pairs']} image: {ALONE}"
    names = list(dict.fromkeys(name for found in columns.values() for name in found))
    headlines = [name for name in names if name in TITLES]
    further = [name for name in names if name not in TITLES and not OVER_IOU.fullmatch(name)]
    parts = [_metrics(headlines, beside, caption, seen)]
    notes = []
    if baselines:
        notes.append(
            "constant, affine, lookup and otsu need no network, and the first three are fitted on these very pairs, "
            "which favours them: a model worth its training is clearly better."
        )
    if "ceiling" in beside:
        notes.append(
            "The ceiling is the target image itself, moved only as far as it lies off the prediction: no model can be "
            f"expected to do better on pairs that are registered like these (measured on {ceiling['n']} images)."
        )
    if ranges := report.get("ranges"):
        notes.append(
            f"PSNR and NRMSE are taken against a range of {number(ranges['data_range'])} grey values; SSIM with "
            f"windows of {ranges['ssim_window']} px. Foreground is what exceeds "
            f"{', '.join(number(level) for level in ranges['foreground_above'])} (Otsu)."
        )
    parts += [tag("p", note, class_="soft") for note in notes]
    shared = {name: _name(name) for name in PLOTTED if any(name in found for found in baselines.values())}
    if shared:
        parts.append(
            drawn(
                figures.beside_baselines(beside, shared),
                "The model beside what needs no network" + ("; lines are 95 % intervals." if several else "."),
            )
        )
    for title, part in (("channel", report.get("channels")), ("class", report.get("classes"))):
        if part:
            parts.append(_by_part(title, part, content, seen))
    if confusion := report.get("confusion"):
        parts.append(_confusion(confusion, seen))
    if by_iou := _over_iou(metrics):
        said = "How many objects match depends on how exactly they must"
        said += "; bands are 95 % intervals." if several else "."
        parts.append(drawn(figures.over_thresholds({OBJECTS.get(k, k): found for k, found in by_iou.items()}), said))
        rows: list[list[str | None]] = [
            [OBJECTS.get(name, name), *map(cell, found.values())] for name, found in by_iou.items()
        ]
        head = ["", *(f"IoU {iou / 100:g}" for iou in next(iter(by_iou.values())))]
        parts.append(table(head, rows, "Objects by the IoU above which they match", marked("figures", seen)))
    if further:
        found = _metrics(further, columns, caption, seen)
        parts.append(tag("details", tag("summary", "Further figures"), found))
    return joined(*parts)


def _metrics(names: Sequence[str], columns: Mapping[str, Any], caption: str, seen: bool) -> Html:
    rows: list[list[str | None]] = [
        [
            joined(_name(name), tag("div", TITLES[name][1], class_="soft") if name in TITLES else None),
            *(cell(found.get(name)) for found in columns.values()),
        ]
        for name in names
    ]
    return table(["", *columns], rows, caption, marked("figures", seen))


def _over_iou(metrics: Mapping[str, Any]) -> dict[str, dict[int, Any]]:
    """Figures of objects by name and IoU in percent."""
    found: dict[str, dict[int, Any]] = {}
    for name, figure in metrics.items():
        if match := OVER_IOU.fullmatch(name):
            found.setdefault(match[1], {})[int(match[2])] = figure
    return found


def _confusion(confusion: Mapping[str, Any], seen: bool) -> Html:
    """Which class was taken for which, as shares of the pixels of each true class."""
    labels, counts = [str(label) for label in confusion["labels"]], confusion["counts"]
    rows: list[list[str | None]] = []
    for label, row in zip(labels, counts, strict=True):
        total = sum(row)
        shares = [f"{count / total:.1%}" if total else "–" for count in row]
        rows.append([f"class {label}", *shares, f"{total:,}"])
    head = ["is \\ predicted as", *(f"class {label}" for label in labels), "pixels"]
    return table(head, rows, "Confusion: what the pixels of each true class were predicted as", marked("figures", seen))


def _errors(report: dict[str, Any], names: Sequence[str]) -> Html | None:
    errors = report.get("errors")
    if not errors:
        return None
    rows: list[list[str | None]] = []
    for channel, name in zip(errors["soft"] or (), names, strict=False):
        half, per_um = channel["half"], channel["half_per_um"]
        if half is None:
            said = "no: at every frequency at least half the power of the truth is there"
        else:
            um = f", {1 / per_um:.3g} µm" if per_um else ""
            said = f"finer than {1 / half:.3g} px{um} ({half:.3g} cycles/px), details have less than half their power"
        rows.append(["soft" + (f" · {name}" if len(names) > 1 else ""), said])
    displaced = errors["displaced"]
    if displaced["length"] is not None:
        um = f", {displaced['length_um']:.3g} µm" if displaced["length_um"] else ""
        y, x = displaced["pixels"]
        said = (
            f"{displaced['length']:.2g} px{um} (median of {displaced['n']} images where it could be measured; down "
            f"{y:+.2g}, right {x:+.2g})"
        )
    else:
        said = "could not be measured"
    rows.append(["displaced", said])
    for kind, of in (("invented", "predicted"), ("missing", "true")):
        found = errors[kind]
        density = f", {number(found['per_mm2'])} per mm²" if found["per_mm2"] is not None else ""
        share = f" ({found['share']:.0%})" if found["share"] is not None else ""
        rows.append([kind, f"{found['objects']} of {found['of']} {of} objects{share}{density}"])
    parts = [
        table(
            ["", ""],
            rows,
            "Errors of different kinds, apart from each other",
            marked("card", bool(report.get("seen"))),
        )
    ]
    if spectra := report.get("spectra"):
        parts.append(
            drawn(
                figures.spectra(spectra[: pictures.MOST_CHANNELS], names),
                "Power by spatial frequency, of the prediction and of the target image, and their ratio: blur shows as "
                "a ratio that falls, invented detail or noise as one above 1. Figures like MAE and PSNR reward blur.",
            )
        )
    return joined(*parts)


def _objects(report: dict[str, Any], names: Sequence[str]) -> Html | None:
    channels = report.get("objects")
    if not channels:
        return None
    seen = bool(report.get("seen"))
    rows: dict[str, list[str | None]] = {}

    def put(title: str, cell: str | None) -> None:
        rows.setdefault(title, [title]).append(cell)

    for channel in channels:
        counts, measured, positive = channel["counts"], channel["intensity"], channel["positive"]
        for key, title in (("number", "objects per image"), ("area", "mean area, px")):
            put(f"{title}, predicted", cell(counts[key]))
            put(f"{title}, true", cell(counts[key + "_target"]))
        put("objects measured", str(measured["n"]) if measured else "too few")
        put("mean grey value, predicted", number(measured["mean_prediction"]) if measured else None)
        put("mean grey value, true", number(measured["mean"]) if measured else None)
        for key, title in (("slope", "slope"), ("bias", "bias"), ("pearson", "Pearson correlation")):
            put(title, cell(measured[key]) if measured else None)
        for end, title in enumerate(("lower limit of agreement", "upper limit of agreement")):
            put(title, cell(measured["limits"][end]) if measured else None)
        put("positive, predicted", cell(positive["prediction"]) if positive else None)
        put("positive, true", cell(positive["target"]) if positive else None)
    stained = report.get("stain")
    head = [f"density of {stained['name']}"] if stained else [*names[: len(channels)]]
    parts = [
        table(
            ["", *head],
            list(rows.values()),
            "What one counts: objects, and their mean grey values",
            marked("figures", seen),
        )
    ]
    drawable = [(channel, name) for channel, name in zip(channels, head, strict=False) if channel["intensity"]][
        : pictures.MOST_CHANNELS
    ]
    if drawable:
        parts.append(
            drawn(
                figures.agreement(*zip(*drawable, strict=True)),
                "Each dot is an object: its predicted over its true mean grey value, and their difference over their "
                "mean (Bland and Altman, 1986).",
            )
        )
    if stained:
        caption = f"The mask of {stained['name']} (density above {number(stained['level'])})"
        parts.append(_metrics(list(stained["metrics"]), {"": stained["metrics"]}, caption, seen))
    return joined(*parts)


def _by_part(title: str, found: Any, content: Content, seen: bool) -> Html:
    """A table with a column for each channel, or for each class by its label."""
    if isinstance(found, Mapping):
        named = [(f"class {label}", part) for label, part in found.items()]
    else:
        assert content.report is not None
        named = list(zip(_channels(content, content.report), found, strict=True))
    names = [name for name in named[0][1] if not name.endswith(FOREGROUND)]
    rows: list[list[str | None]] = [[_name(name), *(cell(part.get(name)) for _, part in named)] for name in names]
    return table(["", *(called for called, _ in named)], rows, f"Each {title} by itself", marked("figures", seen))


def _examples(content: Content, report: dict[str, Any]) -> Html | None:
    kind: Kind = report["kind"]
    cuts = [pictures.cut(example, kind) for example in content.examples]
    if not cuts:
        return None
    name, rows = ranked(report)
    model, names = content.model, _channels(content, report)
    classes = report["confusion"]["labels"] if "confusion" in report else ()
    colours = kind == "intensity" and len(names) == 3 and (model is None or model.channel_axis == "S")
    source_shows: pictures.SourceShows = "stains"
    if model is not None and model.source_view.z in ("neighbours", "all"):
        source_shows = "planes"
    elif model is not None and model.source_view.colours:
        source_shows = "colours"
    # One scale for the errors, to half of the grey values that are shown, and one for the scores of all examples.
    spans = [(cut.ends[1] - cut.ends[0]) / 2 for cut in cuts]
    error_ends = [max(float(span[i]) for span in spans) for i in range(len(spans[0]))]
    scored = [found for cut in cuts if (found := cut.judged_scores()).size]
    score_ends = (
        (min(float(found.min()) for found in scored), max(float(found.max()) for found in scored))
        if scored
        else (0.0, 1.0)
    )
    parts: list[Html] = []
    if len(rows) > 1:
        drawing = figures.over_images([row[name] for row in rows], choose(len(rows)), _name(name))
        parts.append(drawn(drawing, f"{_name(name)} of every image, from the worst to the best."))
    parts.append(
        tag(
            "p",
            "Click into a picture to magnify it, drag to move; all pictures of an image follow. One colour scale for "
            "the errors of all images shown, and one for the scores.",
            class_="soft",
        )
    )
    legends = [*_legends(kind, classes, colours, error_ends)]
    if not all(cut.example.known.all() for cut in cuts):
        legends.append(tag("li", "hatched: not known, and not judged"))
    if scored:
        low, high = (number(end) for end in score_ends)
        match = any(cut.example.scores is not None and cut.example.scores.kind == "match" for cut in cuts)
        worst, best = ("does not match", "matches its source") if match else ("looks made up", "looks real")
        text = f"patch scores from {low} ({worst}) to {high} ({best}): not whether the content is right; "
        legends.append(_bar(pictures.SCORE_MAP, text + "faded where fields see padding"))
    parts.append(tag("ul", *legends, class_="keys"))
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
    said = f"{_name(ranks)}: {number(example.figures[ranks])}"
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
            tag("span", said, class_=marked("", seen) or None),
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


def _legends(kind: Kind, classes: Sequence[int], colours: bool, error_ends: Sequence[float]) -> list[Html]:
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
    shown, seen = rows[:MOST_ROWS], bool(report.get("seen"))
    names = [name for name in rows[0] if name in TITLES or name in ("invented", "missing")]
    grouped = any(row.get("group", row["name"]) != row["name"] for row in rows)
    head = ["image", *(["group"] if grouped else []), *(["seen as"] if seen else []), *map(_name, names)]
    cells: list[list[str | None]] = [
        [
            row["name"],
            *([row["group"]] if grouped else []),
            *([row.get("seen", "no")] if seen else []),
            *(number(row[name]) for name in names),
        ]
        for row in shown
    ]
    caption = "The figures of each image, the worst first"
    if len(rows) > len(shown):
        caption += f"; the first {len(shown)} of {len(rows)}, all of them are in metrics.csv"
    found = table(head, cells, caption, marked("figures", seen))
    return tag(
        "details",
        tag("summary", f"{len(rows)} image{'s' * (len(rows) > 1)}"),
        found,
        open="" if len(rows) <= 20 else None,
    )


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


def _channels(content: Content, report: dict[str, Any]) -> list[str]:
    """What the target's channels are called; their numbers, where the files do not say."""
    names, count = content.channels, len(report.get("spectra", ())) or 1
    if count == 3 and not any(names) and content.model is not None and content.model.channel_axis == "S":
        names = ("red", "green", "blue")
    return [names[i] if i < len(names) and names[i] else f"channel {i}" for i in range(count)]


def _name(name: str) -> str:
    whole = name.removesuffix(FOREGROUND)
    title = TITLES.get(whole, (whole.replace("_", " "),))[0]
    return title if whole == name else f"{title}, foreground"
