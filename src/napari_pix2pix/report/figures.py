"""The figures of a report, as SVG to be put into a page: they take the page's text colour, light or dark."""

import io
import re
from collections.abc import Mapping, Sequence
from itertools import count
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter

from napari_pix2pix.core.evaluation.metrics.fourier import AGREE

TEXT = "#010203"
"""Stands for the page's text colour until the SVG is written; no figure may use it for anything else."""
MODEL, OTHER, WORST = "#0072b2", "#7f7f7f", "#d55e00"
LINES = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
"""Okabe and Ito, "Color Universal Design" (2008)."""
STYLE: Any = {
    "axes.edgecolor": TEXT,
    "axes.facecolor": "none",
    "axes.grid": True,
    "axes.labelcolor": TEXT,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlecolor": TEXT,
    "axes.titlesize": "medium",
    "figure.constrained_layout.use": True,
    "figure.facecolor": "none",
    "font.size": 10,
    "grid.alpha": 0.2,
    "grid.color": TEXT,
    "legend.frameon": False,
    "legend.labelcolor": TEXT,
    "svg.fonttype": "none",
    "svg.hashsalt": "napari-pix2pix",
    "text.color": TEXT,
    "text.parse_math": False,
    "xtick.color": TEXT,
    "ytick.color": TEXT,
}
_numbers = count()


def drawn(figure: Figure) -> str:
    """The figure as an ``<svg>`` element with ids of its own, without addresses of anything outside."""
    written = io.StringIO()
    with matplotlib.rc_context(STYLE):
        figure.savefig(written, format="svg", metadata=dict.fromkeys(("Creator", "Date", "Format", "Type")))
    svg = written.getvalue()
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg[svg.index("<svg") :], flags=re.DOTALL)
    svg = re.sub(r' xmlns(:\w+)?="[^"]*"', "", svg).replace(TEXT, "currentColor")
    # Every SVG of a page shares its ids: those that nothing refers to go, the others get a prefix.
    used = set(re.findall(r"#([\w-]+)", svg))
    svg = re.sub(r' id="([\w-]+)"', lambda m: m[0] if m[1] in used else "", svg)
    prefix = f"f{next(_numbers)}-"
    return re.sub(r'( id="|href="#|url\(#)', rf"\g<1>{prefix}", svg).strip()


def panels(n: int, height: float = 2.6, columns: int = 3, width: float = 10.0) -> tuple[Figure, list[Axes]]:
    """A figure of `n` panels in rows of at most `columns`; the height of a row and the width of three, in inches."""
    with matplotlib.rc_context(STYLE):
        columns = min(n, columns)
        rows = -(-n // columns)
        figure = Figure(figsize=(max(5.0, width * min(columns, 3) / 3), height * rows))
        axes = figure.subplots(rows, columns, squeeze=False).ravel().tolist()
        for unused in axes[n:]:
            unused.remove()
        return figure, axes[:n]


def beside_baselines(rows: dict[str, dict[str, dict[str, Any]]], titles: dict[str, str]) -> str:
    """For each figure in `titles` what each of `rows` reaches, with its interval; the first row is the model."""
    figure, axes = panels(len(titles), height=0.9 + 0.28 * len(rows))
    for panel, (name, title) in zip(axes, titles.items(), strict=True):
        for place, (who, figures) in enumerate(rows.items()):
            found, colour = figures.get(name), OTHER if place else MODEL
            if found is None or found["value"] is None:
                continue
            if found["low"] is not None:
                panel.plot([found["low"], found["high"]], [who, who], color=colour, linewidth=2.5)
            panel.plot([found["value"]], [who], "o", color=colour, markersize=7)
        panel.set_yticks(range(len(rows)), list(rows))
        panel.set_ylim(len(rows) - 0.5, -0.5)
        panel.locator_params(axis="x", nbins=4)
        panel.set_title(title)
    return drawn(figure)


def over_images(values: Sequence[float], marked: Mapping[int, str], title: str) -> str:
    """The figure of every image from the worst to the best; `marked` are those that are shown, by place."""
    figure, (panel,) = panels(1, height=2.4, width=21.0)
    panel.plot(range(1, len(values) + 1), values, ".", color=OTHER, markersize=5)
    colours = {"worst": WORST, "median": LINES[4], "best": MODEL}
    for name, colour in colours.items():
        places = [place for place, said in marked.items() if said == name]
        if places:
            panel.plot([p + 1 for p in places], [values[p] for p in places], "o", color=colour, label=f"{name}, shown")
    panel.set_xlabel("images, from the worst to the best")
    panel.set_title(title)
    panel.locator_params(axis="x", integer=True)
    _legend(panel)
    return drawn(figure)


def over_thresholds(figures: dict[str, dict[int, dict[str, Any]]]) -> str:
    """Each of `figures` over the IoU in percent from which on objects match, with its interval."""
    figure, (panel,) = panels(1, height=2.8, width=18.0)
    for colour, (name, found) in zip(LINES, figures.items(), strict=False):
        known = {iou / 100: one for iou, one in found.items() if one["value"] is not None}
        panel.plot(list(known), [one["value"] for one in known.values()], "o-", color=colour, label=name, markersize=4)
        sure = {iou: one for iou, one in known.items() if one["low"] is not None}
        low, high = ([one[end] for one in sure.values()] for end in ("low", "high"))
        panel.fill_between(list(sure), low, high, color=colour, alpha=0.15, linewidth=0)
    panel.set_xlabel("IoU above which objects match")
    panel.set_ylim(-0.02, 1.02)
    _legend(panel)
    return drawn(figure)


def risk_coverage(curves: Mapping[str, Sequence[float]], unit: str) -> str:
    """The mean error of the fields trusted most, over the share that they are: by each monitor, random and best."""
    figure, (panel,) = panels(1, height=2.8, width=18.0)
    coverage, names = curves["coverage"], {"expected_error": "by expected error", "best": "best possible"}
    random = curves["best"][-1]
    panel.plot([0, 1], [random, random], ":", color=OTHER, label="random")
    monitors = [name for name in curves if name not in ("coverage", "best")]
    for colour, name in zip((*LINES[: len(monitors)], OTHER), (*monitors, "best"), strict=True):
        called = names.get(name, f"by {name.replace('_', ' ')}")
        panel.plot(coverage, curves[name], "o-", color=colour, label=called, markersize=4)
    panel.set_xlabel("share of the fields that are used, the most trusted first")
    panel.set_ylabel(f"mean error, {unit}")
    panel.set_xlim(0, 1.02)
    panel.set_ylim(bottom=0)
    _legend(panel)
    return drawn(figure)


def reliability(bins: Sequence[Mapping[str, float]], unit: str) -> str:
    """What pixels in bins were told, and what was true; larger dots are more pixels."""
    figure, (panel,) = panels(1, height=3.2, width=12.0)
    told, true = ([one[side] for one in bins] for side in ("told", "true"))
    panel.plot([0, end := max(told + true) or 1], [0, end], color=OTHER, linewidth=1, label="as it was told")
    panel.plot(told, true, "-", color=MODEL, linewidth=1)
    panel.scatter(
        told, true, [10 + 110 * one["share"] for one in bins], color=MODEL, label="pixels", zorder=3, clip_on=False
    )
    panel.set_xlabel(f"expected error, {unit}")
    panel.set_ylabel(f"true error, {unit}")
    panel.set_xlim(0, 1.04 * end)
    panel.set_ylim(0, 1.04 * end)
    _legend(panel)
    return drawn(figure)


def spectra(channels: Sequence[dict[str, Any]], names: Sequence[str]) -> str:
    """Power of prediction and target over the frequency, above their ratio and their correlation, for each channel."""
    n = len(channels)
    figure, axes = panels(3 * n, columns=n, height=2.2)
    for channel, name, power, ratio, rings in zip(channels, names, axes, axes[n:], axes[2 * n :], strict=False):
        there = [i for i, value in enumerate(channel["target"]) if value > 0]
        frequency = [channel["frequency"][i] for i in there]
        for side, colour in (("target", OTHER), ("prediction", MODEL)):
            power.plot(frequency, [max(channel[side][i], 1e-12) for i in there], color=colour, label=side)
        power.set_yscale("log")
        power.yaxis.set_minor_formatter(NullFormatter())
        power.yaxis.set_major_formatter("{x:.0e}")
        power.set_title(name)
        ratio.plot(frequency, [channel["ratio"][i] for i in there], color=MODEL)
        ratio.axhline(1, color=OTHER, linewidth=1)
        ratio.axhline(0.5, color=WORST, linewidth=1, linestyle=":")
        if channel["half"] is not None:
            ratio.axvline(channel["half"], color=WORST, linewidth=1, label="falls below one half")
            _legend(ratio)
        ratio.set_ylim(0, min(max([1.5, *(channel["ratio"][i] for i in there)]), 3))
        rings.plot(frequency, [channel["correlation"][i] for i in there], color=MODEL)
        rings.axhline(AGREE, color=WORST, linewidth=1, linestyle=":")
        rings.set_ylim(-0.3, 1.05)
        rings.set_xlabel("frequency, cycles/px")
    axes[0].set_ylabel("power")
    axes[n].set_ylabel("prediction / target")
    axes[2 * n].set_ylabel("correlation")
    _legend(axes[0])
    return drawn(figure)


def agreement(channels: Sequence[dict[str, Any]], names: Sequence[str]) -> str:
    """For each channel the mean grey value of each object, predicted over true; below, Bland and Altman's plot."""
    figure, axes = panels(2 * len(channels), columns=len(channels), height=2.8)
    for channel, name, plain, differences in zip(channels, names, axes, axes[len(channels) :], strict=False):
        true, found = zip(*channel["points"], strict=True)
        ends = min(true), max(true)
        plain.plot(true, found, ".", color=MODEL, markersize=3, alpha=0.6)
        plain.plot(ends, ends, color=OTHER, linewidth=1, label="perfect")
        plain.set_title(name)
        plain.set_xlabel("true mean of an object")
        means = [(a + b) / 2 for a, b in channel["points"]]
        differences.plot(means, [b - a for a, b in channel["points"]], ".", color=MODEL, markersize=3, alpha=0.6)
        found = channel["intensity"]
        differences.axhline(0, color=OTHER, linewidth=1)
        differences.axhline(found["bias"]["value"], color=WORST, linewidth=1.2, label="bias")
        for limit in found["limits"]:
            differences.axhline(limit["value"], color=WORST, linewidth=1, linestyle=":", label="95 % limits")
        differences.set_xlabel("mean of both")
    axes[0].set_ylabel("predicted mean")
    axes[len(channels)].set_ylabel("predicted - true")
    _legend(axes[0])
    _legend(axes[len(channels)])
    return drawn(figure)


def training_curves(history: Sequence[dict[str, float]], judged_on: str = "validation pairs") -> str:
    """The losses, and the figures of what judged, over the steps."""
    names = [name for name in dict.fromkeys(name for row in history for name in row) if name != "step"]
    judged = [name for name in names if name.startswith("validation_")]
    losses = [name for name in names if name not in judged]
    beside = {name: [other for other in judged if other in (f"{name}_floor", f"{name}_noisy")] for name in judged}
    alone = [name for name in judged if name not in {other for others in beside.values() for other in others}]
    parts = [part for part in (losses, *([name, *beside[name]] for name in alone)) if part]
    figure, axes = panels(len(parts))
    for panel, part in zip(axes, parts, strict=True):
        for colour, name in zip(LINES * 2, part, strict=False):
            points = [(row["step"], row[name]) for row in history if row.get(name) is not None]
            marker = "o-" if part is not losses and len(points) < 30 else "-"
            said = name.removeprefix("validation_")
            panel.plot(*zip(*points, strict=True), marker, color=colour, label=said, markersize=4)
        called = part[0].removeprefix("validation_").replace("_", " ")
        panel.set_title("losses" if part is losses else f"{called} of {judged_on}")
        panel.set_xlabel("step")
        if len(part) > 1:
            _legend(panel)
        values = [row[name] for row in history for name in part if row.get(name) is not None]
        if part is losses and min(values, default=0) > 0:
            panel.set_yscale("log")
            panel.yaxis.set_major_formatter("{x:g}")
            panel.yaxis.set_minor_formatter(NullFormatter())
    return drawn(figure)


def _legend(panel: Axes) -> None:
    lines, names = panel.get_legend_handles_labels()
    once = dict(zip(names, lines, strict=True))
    with matplotlib.rc_context(STYLE):
        panel.legend(once.values(), once.keys(), loc="best", fontsize="small")


def over_runs(runs: Sequence[Mapping[str, Any]], name: str, title: str) -> str:
    """The figure of each run, by fold and seed, and the mean of all."""
    figure, (panel,) = panels(1, height=2.6, width=18.0)
    folds = list(dict.fromkeys(run["fold"] for run in runs))
    seeds = list(dict.fromkeys(run["seed"] for run in runs))
    for i, seed in enumerate(seeds):
        own = [run for run in runs if run["seed"] == seed and run["metrics"][name] is not None]
        across = [folds.index(run["fold"]) + 0.06 * (i - (len(seeds) - 1) / 2) for run in own]
        panel.plot(
            across, [run["metrics"][name] for run in own], "o", color=LINES[i % len(LINES)], label=f"seed {seed}"
        )
    known = [run["metrics"][name] for run in runs if run["metrics"][name] is not None]
    if known:
        panel.axhline(sum(known) / len(known), color=OTHER, linewidth=1, label="mean")
    panel.set_xticks(range(len(folds)), ["all images" if fold is None else f"fold {fold}" for fold in folds])
    panel.set_title(title)
    _legend(panel)
    return drawn(figure)


def learning_curve(points: Sequence[tuple[int, float]], curve: Sequence[Mapping[str, Any]], title: str) -> str:
    """Figures over numbers of pairs, and the law through them, dashed beyond the last."""
    figure, (panel,) = panels(1, height=3.2, width=18.0)
    most = max(n for n, _ in points)
    for part, style in (
        ([one for one in curve if one["pairs"] <= most], "-"),
        ([one for one in curve if one["pairs"] >= most * 0.9], "--"),
    ):
        panel.plot([one["pairs"] for one in part], [one["value"] for one in part], style, color=MODEL)
    if all(one["low"] is not None for one in curve):
        low, high = ([one[end] for one in curve] for end in ("low", "high"))
        panel.fill_between([one["pairs"] for one in curve], low, high, color=MODEL, alpha=0.15, linewidth=0)
    panel.plot(*zip(*points, strict=True), "o", color=WORST, markersize=5)
    panel.set_xscale("log")
    at = [*sorted({n for n, _ in points}), 2 * most]
    panel.set_xticks(at, [str(n) for n in at])
    panel.xaxis.set_minor_formatter(NullFormatter())
    panel.set_xlabel("pairs")
    panel.set_title(title)
    return drawn(figure)
