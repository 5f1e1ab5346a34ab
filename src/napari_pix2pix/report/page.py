"""An evaluation as one HTML file that opens from disk in any browser and asks no network for anything."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from napari_pix2pix.core.evaluation.headlines import HEADLINES
from napari_pix2pix.core.evaluation.metrics.comparison import higher_is_better
from napari_pix2pix.core.settings.naming import as_flag, named
from napari_pix2pix.core.teaching.examples import ranked
from napari_pix2pix.report import figures as figures
from napari_pix2pix.report.checklist import checklist, latex
from napari_pix2pix.report.content import TITLES, Content, title_of
from napari_pix2pix.report.examples import examples_of
from napari_pix2pix.report.from_nothing import MADE, SAID
from napari_pix2pix.report.markup import Html, joined, table, tag
from napari_pix2pix.report.methods_paragraph import methods
from napari_pix2pix.report.paper import paper, write_page
from napari_pix2pix.report.pieces import drawn, interval, lacking, number
from napari_pix2pix.report.readouts import TITLE as READOUTS
from napari_pix2pix.report.readouts import readout_tables
from napari_pix2pix.report.tables import error_table, figure_tables, object_tables, table_of_images
from napari_pix2pix.report.translations import grid_of, rows_of
from napari_pix2pix.report.trust import TITLE as TRUST
from napari_pix2pix.report.trust import trust_section

PAIRS = {
    "test": "test pairs: they neither trained the model nor chose it, so their figures may be quoted",
    "validation": "validation pairs: they chose which weights were kept, so their figures flatter the model a little; "
    "quote those of test pairs",
    "calibration": "calibration pairs: they calibrated the scores; quote figures of test pairs",
    "train": "training pairs: the model has learned them, so their figures say nothing about new images",
}


def write_report(path: Path, content: Content) -> None:
    """Write the page to `path`, beside and renamed."""
    write_page(path, html(content))


def html(content: Content) -> str:
    """The page."""
    return paper(content.title, _sections(content))


def _sections(content: Content) -> Iterable[tuple[str, Html | None]]:
    report, model = content.report, content.model
    yield "Summary", _summary(content)
    if report is not None:
        yield "Figures", figure_tables(content, report)
        yield "Images", examples_of(content, report)
        yield "Kinds of error", error_table(report, content.called(report))
        yield "Objects", object_tables(report, content.called(report))
        yield READOUTS, readout_tables(report, content.called(report))
        yield TRUST, trust_section(report)
        yield "All images", table_of_images(report)
    if content.translated and model is not None:
        if model.config.data == "images":
            yield "Images from nothing", rows_of(content.translated, SAID.format(MADE))
        else:
            yield "Translations", grid_of(content.translated, model.domains.n)
    if content.history:
        judged_on = "held-out images" if content.report is None else "validation pairs"
        said = f"Losses, and figures of the {judged_on}, over the steps of the training."
        yield "Training", drawn(figures.training_curves(content.history, judged_on), said)
    if content.card:
        yield "Model", table(["", ""], [list(line) for line in content.card], "The model's card", "card")
    yield "Methods", _methods(content)
    yield "How it was made", _provenance(content)


def _methods(content: Content) -> Html | None:
    """The paragraph for a paper and the checklist, as text and as LaTeX."""
    if content.model is None and content.report is None:
        return None
    text, cited = ("", []) if content.model is None else methods(content.model, content.report)
    rows = checklist(content.model, content.report)
    lines: list[list[str | None]] = [list(row) for row in rows]
    return joined(
        tag("p", "Facts from the model's config and provenance, ready to paste:", class_="soft") if text else None,
        tag("p", text, class_="copy") if text else None,
        tag("ul", *(tag("li", reference) for reference in cited)) if cited else None,
        table(["", ""], lines, "Checklist for publication", "card"),
        tag("details", tag("summary", "The same as LaTeX"), tag("pre", latex(text, cited, rows), class_="copy")),
    )


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
    if report.get("seen") is None and report["kind_of_pairs"] == "test":
        what = "tool that predicted them" if content.model is None else "model"
        sentences.append(f"Judged: {judged}. Whether they taught the {what} is not known here.")
    else:
        sentences.append(f"Judged: {judged}, {PAIRS[report['kind_of_pairs']]}.")
    if report["known_share"] < 1:
        sentences.append(f"Only what is known of the target was judged, {report['known_share']:.1%} of the pixels.")
    if n == 1:
        sentences.append("One image has no interval.")
    sentences += _verdicts(report)
    name, rows = ranked(report)
    if len(rows) > 1:
        worst, best = rows[0]["name"], rows[-1]["name"]
        if lacking(report):
            how = f"by {title_of(name)} as a share of what is usual of the stains that each has"
            told = f"The worst image is {worst}, the best {best}, {how}"
        else:
            told = f"The worst image is {worst} ({number(rows[0][name])}), the best {best} ({number(rows[-1][name])})"
        sentences.append(f"{told}: look at them below before you trust a mean.")
    names = content.called(report)
    for channel, called in zip(report.get("objects", ()), names, strict=False):
        sentences.append((f"{called}: " if len(names) > 1 else "") + channel["sentence"])
    sentences += [named(remark, as_flag) for remark in (*report.get("remarks", ()), *content.remarks)]
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
