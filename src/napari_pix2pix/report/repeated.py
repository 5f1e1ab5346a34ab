"""What several runs have shown together, as text and as a page: means, how they spread, and what all do badly on."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from napari_pix2pix.core.evaluation.headlines import HEADLINES
from napari_pix2pix.core.evaluation.metrics.comparison import higher_is_better
from napari_pix2pix.core.settings.naming import as_flag, named
from napari_pix2pix.files.judged import Judged
from napari_pix2pix.report import figures as figures
from napari_pix2pix.report.card import BRIEF, SHOWN
from napari_pix2pix.report.content import TITLES, title_of
from napari_pix2pix.report.markup import Html, joined, table, tag
from napari_pix2pix.report.paper import paper, write_page
from napari_pix2pix.report.pieces import drawn, interval, number
from napari_pix2pix.report.side_by_side import side_by_side
from napari_pix2pix.report.tables import table_of_images

MOST_SHOWN, MOST_MODELS = 5, 3
"""Images that all models do badly on, and predictions of each."""


def draw_runs(path: Path, folder: Path, judged: Judged, device: str, command: str) -> Path:
    """The page at `path` on the runs in `folder`, which `core.evaluation.repetition` has gathered; its path."""
    report = judged.report
    parts: list[tuple[str, Html | None]] = [
        ("Summary", tag("div", *(tag("p", said) for said in _sentences(report)), class_="summary")),
        ("Figures", _figures(report)),
        ("Runs", _runs(report)),
        ("Images that every model does badly on", _badly(judged, device)),
        ("All images", table_of_images(report)),
        ("How it was made", joined(tag("h3", "Command"), tag("pre", command))),
    ]
    write_page(path, paper(f"Evaluation of the runs in {folder}", parts))
    return path


def runs_text(report: Mapping[str, Any]) -> str:
    """For the terminal: a line for each figure, and the sentences."""
    lines = [f"Mean ± SD over runs [95 % over {report['intervals']['over']}]:"]
    for name in (name for name in SHOWN[report["kind"]] if name in report["metrics"]):
        found = report["metrics"][name]
        sd = f" ± {number(found['sd'])}" if found["sd"] is not None else ""
        over = f"  [{interval(found)}]" if found["low"] is not None else ""
        lines.append(f"  {name:>18}  {number(found['value'])}{sd}{over}")
    return "\n".join([*lines, *_sentences(report)])


def _sentences(report: Mapping[str, Any]) -> list[str]:
    said = [f"{_of_how_many(report)}.", _on_average(report), _all_worst(report), _beside_baselines(report)]
    return [named(sentence, as_flag) for sentence in (*said, *report["remarks"]) if sentence]


def _of_how_many(report: Mapping[str, Any]) -> str:
    runs, n = report["runs"], report["n"]
    seeds, folds = (len({run[by] for run in runs if run[by] is not None}) for by in ("seed", "fold"))
    by = f"{seeds} seed{'s' * (seeds != 1)}" + (f" × {folds} folds" if folds else "")
    return f"{len(runs)} run{'s' * (len(runs) != 1)} ({by}), {n} image{'s' * (n != 1)}, none of which made its judges"


def _on_average(report: Mapping[str, Any]) -> str:
    name = HEADLINES[report["kind"]]
    found = report["metrics"][name]
    if found["value"] is None or found["sd"] is None:
        return ""
    parts = [f"{number(found['value'])} ± {number(found['sd'])} (mean and standard deviation over runs)"]
    between = {"seeds": found["sd_seeds"], "folds": found["sd_folds"]}
    parts += [f"± {number(sd)} between {what}" for what, sd in between.items() if sd is not None]
    title = title_of(name)
    return f"{title[0].upper()}{title[1:]} is {', '.join(parts)}."


def _all_worst(report: Mapping[str, Any]) -> str:
    worst = report["worst"]
    n, names = worst["n"], worst["names"]
    if n < 2:
        return "With one seed nobody knows which images would go wrong again: repeat with more (`seeds`)."
    what = f"each of {n} {'runs' if n == len(report['runs']) else 'seeds'}"
    if not names:
        return (
            f"No image is in the worst tenth of {what}: what goes wrong differs by chance, or too many are equally bad."
        )
    more = f" and {len(names) - MOST_SHOWN} more" if len(names) > MOST_SHOWN else ""
    return f"In the worst tenth of {what}, so not by chance: {', '.join(names[:MOST_SHOWN])}{more}."


def _beside_baselines(report: Mapping[str, Any]) -> str:
    name = HEADLINES[report["kind"]]
    told = {who: own.get(name, {}).get("value") for who, own in report["baselines"].items()}
    rivals = {who: value for who, value in told.items() if value is not None}
    if not rivals:
        return ""
    sign = 1 if higher_is_better(name) else -1
    who = max(rivals, key=lambda rival: sign * rivals[rival])
    reached = [run["metrics"][name] for run in report["runs"]]
    beaten = sum(value is not None and sign * (value - rivals[who]) > 0 for value in reached)
    return f"The best baseline, {who}, reaches {number(rivals[who])}; {beaten} of {len(reached)} runs are better."


def _figures(report: Mapping[str, Any]) -> Html:
    rows: list[list[str | None]] = []
    for name, found in ((name, own) for name, own in report["metrics"].items() if name in TITLES):
        cells = [number(found[key]) for key in ("value", "sd", "sd_seeds", "sd_folds")]
        beside = [number(own[name]["value"]) if name in own else None for own in report["baselines"].values()]
        rows.append([title_of(name), *cells, interval(found) if found["low"] is not None else None, *beside])
    over = report["intervals"]["over"]
    head = ["", "mean", "SD, runs", "SD, seeds", "SD, folds", f"95 % over {over}", *report["baselines"]]
    note = (
        "Means over images, of which each counts with its mean over the runs that judged it; intervals by bootstrap of "
        f"whole {over}. Standard deviations are those of the runs' means, of the seeds' and of the folds'. Baselines "
        "need no training but are fitted on the very pairs."
    )
    return joined(table(head, rows, "Figures over all runs", "figures"), tag("p", note, class_="soft"))


def _runs(report: Mapping[str, Any]) -> Html:
    name = HEADLINES[report["kind"]]
    shown = [metric for metric in BRIEF[report["kind"]] if metric in report["metrics"]]
    rows: list[list[str | None]] = [
        [
            run["run"],
            str(run["pairs"]),
            str(run["n"]),
            *(number(run["metrics"].get(metric)) for metric in shown),
        ]
        for run in report["runs"]
    ]
    head = ["run", "pairs that made it", "images", *map(title_of, shown)]
    return joined(
        drawn(figures.over_runs(report["runs"], name, title_of(name)), f"{title_of(name)} of each run."),
        table(head, rows, "The figures of each run", "figures"),
    )


def _badly(judged: Judged, device: str) -> Html | None:
    """Those images as several of their models predict them."""
    report = judged.report
    by_name = {row["name"]: row for row in report["files"]}
    names = report["worst"]["names"][:MOST_SHOWN]

    def images() -> Iterable[tuple[str, dict[str, Any]]]:
        for place, name in enumerate(names, 1):
            why = f"{place} of {len(report['worst']['names'])}"
            yield why, dict(judged.examples(by_name[name], device, MOST_MODELS))

    how = judged.how(device)
    return side_by_side(images(), report["kind"], report["worst"]["figure"], **how) if names else None
