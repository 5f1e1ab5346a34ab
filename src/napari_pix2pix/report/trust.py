"""The section *Can you trust the expected error?* of a report."""

from typing import Any

from napari_pix2pix.core.evaluation.reliability import CALIBRATION
from napari_pix2pix.core.trust.calibration import LEVEL
from napari_pix2pix.report.figures import reliability, risk_coverage
from napari_pix2pix.report.markup import Html, joined, table, tag
from napari_pix2pix.report.pieces import cell, drawn, interval, marked, number

TITLE = "Can you trust the expected error?"
MONITORS = {
    "expected_error": ("expected error", "what the judge of the match expects"),
    "match": ("match", "its score, the other way round"),
    "edges": ("edges", "of the prediction, which need no network"),
    "gradient": ("gradient", "of the source, which needs no network"),
}
"""What may tell where errors are, by its name in metrics.json: its name for people, and what it is."""
FIGURES = {
    "spearman": ("rank correlation", "with the true error; 1 is perfect, 0 is none"),
    "spearman_foreground": ("the same, foreground", "the half of the fields with more of it, or brighter"),
    "beyond_edges": ("beyond edges", "the same, given edges and gradient"),
    "gap_closed": ("gap closed", "of the risk-coverage curve: 0 is random, 1 the best possible"),
    "auroc_worst": ("AUROC, worst tenth", "does it find the worst tenth of the fields? 0.5 is chance"),
    "spearman_images": ("ranks images", "rank correlation of its mean in an image with the mean error there"),
    CALIBRATION: ("expected calibration error", "how far what is told of pixels lies from what is true, on average"),
}
LEAST_SHARE = 0.001
"""Of the pixels: of smaller bins no sentence is said."""
UNITS = {"intensity": "grey values", "classes": "share of wrong pixels", "instances": "share of wrong pixels"}


def trust_section(report: dict[str, Any]) -> Html | None:
    """What `evaluate` found of expected errors (``trust``), drawn; None where the model has none."""
    trust = report.get("trust")
    if not trust:
        return None
    said = [tag("p", sentence) for sentence in [*_verdicts(trust, report), *trust["remarks"]]]
    if not trust["fields"]:
        return joined(*said)
    seen, many = bool(report.get("seen")), f"{trust['fields']:,} fields"
    curve = (
        "How wrong predictions are on average if only the fields are used that are trusted most: lower is better. "
        "In a random order the curve would be level; none can be below that of the true error itself."
    )
    return joined(
        *said,
        drawn(risk_coverage(trust["risk_coverage"], UNITS[report["kind"]]), curve),
        _reliability(trust, report["kind"]),
        _table(trust, "pooled", f"What tells the true error, over all {many}", seen),
        tag(
            "details",
            tag("summary", "Image by image"),
            _table(trust, "per_image", "What tells the true error within an image, mean over images", seen),
        ),
        tag("p", *_notes(trust), class_="soft"),
    )


def _reliability(trust: dict[str, Any], kind: str) -> Html | None:
    """Whether pixels are as wrong as they were told to be, drawn and in sentences; None where pixels are told nothing.

    The sentences are of the least that was told, the most, and what lies in the middle, of more than a few pixels.
    """
    bins = trust.get("reliability")
    if not bins:
        return None
    labels, ece = kind != "intensity", trust["monitors"]["expected_error"][CALIBRATION]["pooled"]
    unit = "%" if labels else "grey values"
    percent = [{**one, **{side: 100 * one[side] for side in ("told", "true")}} for one in bins] if labels else bins
    large = [one for one in percent if one["share"] >= LEAST_SHARE]
    some = [large[i] for i in sorted({0, len(large) // 2, len(large) - 1})]
    each = [tuple(f"{one[side]:.3g} {unit}" for side in ("told", "true")) for one in some]
    (told, true), *others = each
    was = "were wrong" if labels else "was the error"
    said = "; ".join([f"Where it said {told}, {true} {was}", *(f"where {a}, {b}" for a, b in others)])
    off = f"{100 * ece:.2g} percentage points" if labels else f"{number(ece)} grey values"
    caption = (
        f"{said}. On average over the pixels it is {off} off (expected calibration error). Each dot holds "
        f"{'the pixels of a tenth of the scale' if labels else 'a tenth of the pixels'}, larger ones hold more; on the "
        "line all is as it was told."
    )
    return drawn(reliability(percent, f"{unit} of pixels wrong" if labels else unit), caption)


def _notes(trust: dict[str, Any]) -> list[str]:
    """What the monitors are, and which fields count."""
    told = [f"{called}: {meaning}. " for name, (called, meaning) in MONITORS.items() if name in trust["monitors"]]
    return [*told, "Fields that see beyond the image, or what is not known, are left out."]


def _verdicts(trust: dict[str, Any], report: dict[str, Any]) -> list[str]:
    """What the figures come to, in sentences."""
    if not trust["fields"]:
        return []
    curves, sentences = trust["risk_coverage"], []
    half = min(range(len(curves["coverage"])), key=lambda i: abs(curves["coverage"][i] - 0.5))
    whole, kept = curves["expected_error"][-1], curves["expected_error"][half]
    if whole > 0:
        change = f"{abs(1 - kept / whole):.0%} {'less' if kept <= whole else 'more'}"
        sentences.append(
            f"The half of the fields that is trusted most errs by {number(kept)} on average, all of them by "
            f"{number(whole)} ({UNITS[report['kind']]}): {change}."
        )
    bound = trust["bound"]
    if bound is None:
        sentences.append(f"No bound is promised: that needs calibration pairs from enough groups ({LEVEL:.0%} bound).")
    elif bound["value"] is not None:
        spread = f" (95 % interval {interval(bound)})" if bound["low"] is not None else ""
        sentences.append(
            f"The error bound holds for {bound['value']:.1%} of the fields of an image on average{spread}; promised "
            f"are {LEVEL:.0%}, over many images like those of the calibration."
        )
    if mask := trust.get("mask"):
        sentences.append(f"Masks of what not to trust that keep a promise (predict --trust --trust-risk): {mask}.")
    return sentences


def _table(trust: dict[str, Any], over: str, caption: str, seen: bool) -> Html:
    """A column for each monitor, a row for each figure, `over` all fields ``pooled`` or ``per_image``."""
    monitors = trust["monitors"]
    rows: list[list[str | None]] = []
    for name in dict.fromkeys(name for found in monitors.values() for name in found):
        title, meaning = FIGURES.get(name, (name.replace("_", " "), ""))
        figures = (found.get(name, {}).get(over) for found in monitors.values())
        cells = (cell(figure) if isinstance(figure, dict) else number(figure) for figure in figures)
        rows.append([joined(title, tag("div", meaning, class_="soft")), *cells])
    return table(["", *(_called(name) for name in monitors)], rows, caption, marked("figures", seen))


def _called(monitor: str) -> str:
    return MONITORS[monitor][0] if monitor in MONITORS else monitor.replace("_", " ")
