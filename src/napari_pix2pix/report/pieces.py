"""Small pieces of a report: numbers for people, figures with their intervals, drawings with their captions."""

from collections.abc import Mapping
from typing import Any

from napari_pix2pix.report.markup import Html, joined, tag


def drawn(svg: str, caption: str) -> Html:
    """A figure and what it shows."""
    return tag(
        "figure", tag("div", Html(svg), role="img", aria_label=caption), tag("figcaption", caption), class_="drawn"
    )


def number(value: Any) -> str:
    """A figure for people: three decimals around one, else a few digits; a dash where it is not known."""
    if value is None:
        return "–"
    if abs(value) < 1e-9:
        return "0"
    if value == round(value) and abs(value) < 1e7:
        return f"{value:.0f}"
    if abs(value) < 0.01:
        return f"{value:.2g}"
    return f"{value:.3f}" if abs(value) < 100 else f"{value:.0f}" if 1000 <= abs(value) < 1e7 else f"{value:.4g}"


def interval(figure: Mapping[str, Any]) -> str:
    """From where to where it is."""
    return f"{number(figure['low'])} to {number(figure['high'])}"


def cell(figure: Mapping[str, Any] | None) -> str | None:
    """A figure with its interval, if it has one; None, an empty cell, if there is none."""
    if figure is None:
        return None
    if figure.get("low") is None:
        return number(figure["value"])
    return joined(number(figure["value"]), " ", tag("span", f"[{interval(figure)}]", class_="range"))


def absent(report: Mapping[str, Any]) -> set[int]:
    """The numbers of the channels that no image of an evaluation has."""
    return {i for i, stain in enumerate(report.get("stains", ())) if not stain["n"]}


def lacking(report: Mapping[str, Any]) -> bool:
    """Whether some image of an evaluation lacks a channel."""
    return any(stain["n"] < report["n"] for stain in report.get("stains", ()))


def marked(class_: str, seen: bool) -> str:
    """The class of what shows figures, red where the model has seen the images."""
    return f"{class_} seen".strip() if seen else class_


def right_detail(channel: Mapping[str, Any]) -> str:
    """How fine the detail of a channel is that is the target's, in words."""
    px, um = channel["resolution_px"], channel["resolution_um"]
    if px["value"] is None:
        return "no detail: at no size do prediction and target agree"
    said = f"down to {px['value']:.3g} px" + ("" if px["low"] is None else f" [{px['low']:.3g} to {px['high']:.3g}]")
    said += f", {um['value']:.3g} µm" if um else ""
    return f"{said}, details are those of the truth (Fourier ring correlation 0.5)"
