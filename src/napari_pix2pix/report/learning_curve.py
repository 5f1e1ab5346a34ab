"""Whether more pairs would help: a sentence, and a page with the curve."""

from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from napari_pix2pix.report import figures as figures
from napari_pix2pix.report.content import title_of
from napari_pix2pix.report.markup import Html, joined, table, tag
from napari_pix2pix.report.paper import paper, write_page
from napari_pix2pix.report.pieces import drawn, number


def sentence(curve: dict[str, Any]) -> str:
    """What twice as many pairs would add."""
    gain = curve["gain"]
    most, twice = gain["pairs"]
    least = max(1e-6, 1e-3 * max(abs(one["value"]) for one in curve["curve"]))

    def signed(value: float) -> str:
        return f"{value:+.2g}" if abs(value) > least else "+0"

    told = f"Twice as many pairs, {twice} instead of {most}: about {signed(gain['value'])} {title_of(curve['figure'])}"
    if gain["low"] is None:
        return f"{told}; how sure that is, only more seeds would tell."
    ends = f"95 % interval {signed(gain['low'])} to {signed(gain['high'])}"
    nothing = ", perhaps nothing" if min(abs(gain["low"]), abs(gain["high"])) <= least else ""
    if abs(gain["value"]) <= least:
        return f"{told} ({ends}): more pairs have not helped here; see first whether trainings were long enough."
    return f"{told} ({ends}){nothing}, if the curve goes on as it began."


def draw_curve(path: Path, found: dict[str, Any], command: str) -> Path:
    """The page at `path` on a learning curve; its path."""
    points, curves, headline = found["points"], found["curves"], found["headline"]
    said = [sentence(curves[headline]), *(sentence(curve) for name, curve in curves.items() if name != headline)]
    shown = [headline, *(name for name in curves if name != headline)]
    pictures: list[Html] = [
        drawn(
            figures.learning_curve([(p["pairs"], p[name]) for p in points], curves[name]["curve"], title_of(name)),
            f"{title_of(name)} on test pairs over the number of pairs that a training was given: each dot is a "
            "training, the line a power law through them, the band its 95 % interval, dashed where nothing was tried.",
        )
        for name in shown
    ]
    rows: list[list[str | None]] = []
    for n in sorted({p["pairs"] for p in points}):
        own = [[p[name] for p in points if p["pairs"] == n] for name in shown]
        rows.append([str(n), *(_with_sd(values) for values in own)])
    notes = (
        "All trainings were judged on the same test pairs. The law is best - lost · pairs^-exponent (Figueroa et al., "
        "2012; Hestness et al., 2017), its interval all that laws promise which an F test does not tell from it "
        "(Bates and Watts, 1988): it tells of other seeds and other choices among these pairs, not of pairs from "
        "another laboratory."
    )
    table_of_points = table(["pairs", *map(title_of, shown)], rows, "Mean ± SD over seeds", "figures")
    parts: list[tuple[str, Html | None]] = [
        ("Summary", tag("div", *(tag("p", one) for one in said), class_="summary")),
        ("Learning curve", joined(*pictures, tag("p", notes, class_="soft"))),
        ("Trainings", table_of_points),
        ("How it was made", joined(tag("h3", "Command"), tag("pre", command))),
    ]
    write_page(path, paper("Would more pairs help?", parts))
    return path


def _with_sd(values: list[float]) -> str:
    return number(fmean(values)) + (f" ± {number(stdev(values))}" if len(values) > 1 else "")
