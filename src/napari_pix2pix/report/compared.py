"""What evaluations of the same files differ in, as a page: figures with intervals, settings, images side by side."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from napari_pix2pix.core.evaluation.headlines import HEADLINES
from napari_pix2pix.core.evaluation.metrics.comparison import higher_is_better
from napari_pix2pix.core.teaching.examples import Example
from napari_pix2pix.files.judged import Judged
from napari_pix2pix.report.card import comparison_text
from napari_pix2pix.report.content import TITLES, title_of
from napari_pix2pix.report.markup import Html, joined, table, tag
from napari_pix2pix.report.paper import paper, write_page
from napari_pix2pix.report.pieces import cell, number
from napari_pix2pix.report.side_by_side import side_by_side

EACH_WAY = 3
"""Images that are shown of those on which the first does better, and of those on which it does worse."""
MOST_SIDES = 4
"""Evaluations whose images are shown."""


def draw_comparison(
    path: Path, found: dict[str, Any], reports: Mapping[str, dict[str, Any]], device: str, command: str
) -> None:
    """The page at `path` on what `core.compare` has found of these reports, by name."""
    parts: list[tuple[str, Html | None]] = [
        ("Summary", tag("div", *(tag("p", said) for said in _sentences(found)), class_="summary")),
        ("Differences", joined(*(_differences(found, other) for other in found["differences"]))),
        ("Runs and settings", joined(*(_repeated(found, other) for other in found.get("repeated", ()))) or None),
        ("Images", _images(found, reports, device)),
        ("How it was made", joined(tag("h3", "Command"), tag("pre", command), tag("pre", comparison_text(found)))),
    ]
    write_page(path, paper(f"Comparison with {found['first']}", parts))


def _sentences(found: Mapping[str, Any]) -> list[str]:
    name, over = HEADLINES[found["kind"]], found["intervals"]
    n = found["n"]
    said = [f"{n} image{'s' * (n != 1)} that all have, and differences on the very same images, with 95 % intervals."]
    for other, figures in found["differences"].items():
        told = figures[name]
        if told["value"] is None:
            continue
        reach = f" ({number(told['low'])} to {number(told['high'])})" if told["low"] is not None else ""
        said.append(f"{other}: {title_of(name)} {told['value']:+.3g}{reach}, {told['verdict']}.")
    said.append(f"Intervals are bootstrapped over {over['n']} {over['over']}, drawn whole (Field and Welsh, 2007).")
    said += [f"Pairs of {seen} made its model: its figures say little." for seen in found["seen"]]
    if found["left_out"]:
        said.append(f"{len(found['left_out'])} images are not in all, and left out.")
    return said


def _differences(found: Mapping[str, Any], other: str) -> Html:
    rows: list[list[str | None]] = [
        [title_of(name), cell(figure), figure["verdict"]]
        for name, figure in found["differences"][other].items()
        if name in (*TITLES, "invented", "missing")
    ]
    caption = f"{other} minus {found['first']}, means over images"
    return table(["", f"difference, 95 % over {found['intervals']['over']}", ""], rows, caption, "figures")


def _repeated(found: Mapping[str, Any], other: str) -> Html:
    told = found["repeated"][other]
    settings: list[list[str | None]] = [[name, str(a), str(b)] for name, (a, b) in told["settings"].items()]
    head = ["setting", found["first"], other]
    parts = [table(head, settings, f"Settings in which {other} differs", "card")] if settings else []
    if not settings:
        parts.append(tag("p", f"{other} was trained with the same settings."))
    if not told["same_folds"]:
        parts.append(tag("p", f"{other} held out other folds: its runs have no partners, only its images have."))
    rows: list[list[str | None]] = [
        [title_of(name), cell(figure), number(figure["sd"]), str(figure["n"]), figure["verdict"]]
        for name, figure in told["differences"].items()
        if name in (*TITLES, "invented", "missing")
    ]
    if rows:
        caption = f"{other} minus {found['first']}, over runs of the same seed and fold"
        note = (
            "95 % by Student's t over pairs of runs, wider for what runs of different folds share (Nadeau and Bengio, "
            "2003; Bouckaert and Frank, 2004): whether another training would differ likewise. Intervals over images "
            "above: whether other images would."
        )
        parts += [table(["", "difference", "SD", "pairs of runs", ""], rows, caption, "figures")]
        parts.append(tag("p", note, class_="soft"))
    return joined(*parts)


def _images(found: Mapping[str, Any], reports: Mapping[str, dict[str, Any]], device: str) -> Html:
    """Where the second differs most from the first, either way."""
    names = list(reports)[:MOST_SIDES]
    headline = HEADLINES[found["kind"]]
    sign = 1 if higher_is_better(headline) else -1
    rows = {name: {row["name"]: row for row in reports[name]["files"]} for name in names}
    common = [one for one in rows[names[0]] if all(of.get(one, {}).get(headline) is not None for of in rows.values())]
    gains = {name: sign * (rows[names[1]][name][headline] - rows[names[0]][name][headline]) for name in common}
    ranked = sorted(common, key=lambda name: (gains[name], name))
    better = [name for name in reversed(ranked) if gains[name] > 0][:EACH_WAY]
    worse = [name for name in ranked if gains[name] < 0][:EACH_WAY]
    chosen = [(f"{names[1]} is better", name) for name in better] + [(f"{names[1]} is worse", name) for name in worse]
    chosen = chosen or [("no difference", name) for name in ranked[:1]]
    try:
        judged = {name: Judged.reopened(reports[name]) for name in names}
    except (ValueError, FileNotFoundError) as error:
        return tag("p", f"No images are shown: {error}", class_="soft")

    def images() -> Iterable[tuple[str, dict[str, Example]]]:
        for why, image in chosen:
            yield why, {who: next(one.examples(rows[who][image], device))[1] for who, one in judged.items()}

    return side_by_side(images(), found["kind"], headline, **judged[names[0]].how(device)) or tag("p", "No images.")
