"""The tables of a report: figures beside baselines, kinds of error, objects, all images."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from napari_pix2pix.report import figures as figures
from napari_pix2pix.report.card import BRIEF
from napari_pix2pix.report.content import FOREGROUND, TITLES, Content, title_of
from napari_pix2pix.report.example_pictures import MOST_CHANNELS
from napari_pix2pix.report.markup import Html, joined, table, tag
from napari_pix2pix.report.pieces import absent, cell, drawn, lacking, marked, number, right_detail

MOST_ROWS = 300
"""Images in the table of all images; metrics.csv has every one."""
PLOTTED = ("mae", "psnr", "pearson", "dice", "iou", "pixel_accuracy", "object_f1_iou50", "object_ap_iou50")
"""Figures that are drawn beside the baselines'."""
OVER_IOU = re.compile(r"object_(\w+)_iou(\d+)")
OBJECTS = {"f1": "F1", "ap": "average precision", "precision": "precision", "recall": "recall"}
ALONE = "within one image; says nothing about another"
"""Where all frames are from one image or group, as intervals over frames tell."""


def figure_tables(content: Content, report: dict[str, Any]) -> Html:
    """The figures, beside those of baselines and of the ceiling."""
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
        each = ", a channel's own against its own range" if len(ranges["foreground_above"]) > 1 else ""
        notes.append(
            f"PSNR and NRMSE are taken against a range of {number(ranges['data_range'])} grey values{each}; SSIM with "
            f"windows of {ranges['ssim_window']} px. Foreground is what exceeds "
            f"{', '.join(number(level) for level in ranges['foreground_above'])} (Otsu)."
        )
    parts += [tag("p", note, class_="soft") for note in notes]
    shared = {name: title_of(name) for name in PLOTTED if any(name in found for found in baselines.values())}
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
    if by_condition := report.get("conditions"):
        parts.append(_by_condition(by_condition, report["kind"], seen))
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
            joined(title_of(name), tag("div", TITLES[name][1], class_="soft") if name in TITLES else None),
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


def error_table(report: dict[str, Any], names: Sequence[str]) -> Html | None:
    """What kinds of error there are, apart from each other; `names` are those of the channels."""
    errors = report.get("errors")
    if not errors:
        return None
    rows: list[list[str | None]] = []
    unknown = absent(report)
    for i, (channel, name) in enumerate(zip(errors["soft"] or (), names, strict=False)):
        half, per_um = channel["half"], channel["half_per_um"]
        if i in unknown:
            said = "not known: no image has this stain"
        elif half is None:
            said = "no: at every frequency at least half the power of the truth is there"
        else:
            um = f", {1 / per_um:.3g} µm" if per_um else ""
            said = f"finer than {1 / half:.3g} px{um} ({half:.3g} cycles/px), details have less than half their power"
        rows.append(["soft" + (f" · {name}" if len(names) > 1 else ""), said])
        if i not in unknown and "resolution_px" in report["spectra"][i]:
            rows.append(["right" + (f" · {name}" if len(names) > 1 else ""), right_detail(report["spectra"][i])])
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
    for kind, of, other in (("invented", "predicted", "true"), ("missing", "true", "predicted")):
        found = errors[kind]
        density = f", {number(found['per_mm2'])} per mm²" if found["per_mm2"] is not None else ""
        share = f" ({found['share']:.0%})" if found["share"] is not None else ""
        rows.append(
            [kind, f"{found['objects']} of {found['of']} {of} objects{share}{density} have no {other} counterpart"]
        )
    parts = [
        table(
            ["", ""],
            rows,
            "Errors of different kinds, apart from each other",
            marked("card", bool(report.get("seen"))),
        )
    ]
    spectra = [pair for i, pair in enumerate(zip(report.get("spectra", ()), names, strict=False)) if i not in unknown]
    if spectra:
        parts.append(
            drawn(
                figures.spectra(*zip(*spectra[:MOST_CHANNELS], strict=True)),
                "Power by spatial frequency, of the prediction and of the target image, and their ratio: blur shows as "
                "a ratio that falls, invented detail or noise as one above 1. Figures like MAE and PSNR reward blur. "
                "Below, their Fourier ring correlation: detail finer than where it falls below 0.5 is not that of the "
                "truth, however sharp it looks (Rosenthal and Henderson, 2003: 0.5 against a reference).",
            )
        )
    return joined(*parts)


def object_tables(report: dict[str, Any], names: Sequence[str]) -> Html | None:
    """What one counts; `names` are those of the channels."""
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
        for key, title in (("f1", "F1"), ("precision", "precision"), ("recall", "recall")):
            if any("object_f1_iou50" in one["counts"] for one in channels):
                put(f"objects found at IoU 0.5, {title}", cell(counts.get(f"object_{key}_iou50")))
        put("objects measured", str(measured["n"]) if measured else "too few")
        put("mean grey value, predicted", number(measured["mean_prediction"]) if measured else None)
        put("mean grey value, true", number(measured["mean"]) if measured else None)
        for key, title in (("slope", "slope"), ("bias", "bias"), ("pearson", "Pearson correlation")):
            put(title, cell(measured[key]) if measured else None)
        for end, title in enumerate(("lower limit of agreement", "upper limit of agreement")):
            put(title, cell(measured["limits"][end]) if measured else None)
        if any("information" in one for one in channels):
            told = channel.get("information")
            for key, title in (("prediction", "one prediction"), ("draws", "draws"), ("difference", "draws more")):
                put(f"information gain per object, bits: {title}", cell(told[key]) if told else None)
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
        :MOST_CHANNELS
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
        named = list(zip(content.called(content.report), found, strict=True))
    names = [name for name in named[0][1] if not name.endswith(FOREGROUND)]
    rows: list[list[str | None]] = [[title_of(name), *(cell(part.get(name)) for _, part in named)] for name in names]
    if title == "channel" and content.report is not None:
        rows = [*_having(content.report.get("stains", ())), *rows]
    return table(["", *(called for called, _ in named)], rows, f"Each {title} by itself", marked("figures", seen))


def _by_condition(found: Mapping[str, Any], kind: str, seen: bool) -> Html:
    """A row for each class that images are of."""
    names = [name for name in BRIEF[kind] if name in next(iter(found.values()))["metrics"]]
    rows: list[list[str | None]] = [
        [called, str(part["n"]), *(cell(part["metrics"][name]) for name in names)] for called, part in found.items()
    ]
    head = ["condition", "images", *map(title_of, names)]
    return table(head, rows, "By condition: the images of each class", marked("figures", seen))


def _having(stains: Sequence[Mapping[str, Any]]) -> list[list[str | None]]:
    """How many pairs, and how many of their images where that is not the same, have each channel."""
    told = {
        f"{what} that have it": [str(stain[key]) for stain in stains]
        for what, key in (("pairs", "pairs"), ("images", "n"))
    }
    rows: list[list[str | None]] = [[label, *own] for label, own in told.items()]
    return rows[: len({tuple(own) for own in told.values()})] if stains else []


def table_of_images(report: dict[str, Any]) -> Html:
    """The figures of each image."""
    rows = report["files"]
    shown, seen = rows[:MOST_ROWS], bool(report.get("seen"))
    names = [name for name in rows[0] if name in TITLES or name in ("invented", "missing")]
    grouped = any(row.get("group", row["name"]) != row["name"] for row in rows)
    of_class = "condition" in rows[0]
    some = ["stains"] if lacking(report) else []
    said = {"group": grouped, "condition": of_class, "seen as": seen}
    head = ["image", *(name for name, told in said.items() if told), *some, *map(title_of, names)]
    cells: list[list[str | None]] = [
        [
            row["name"],
            *([row["group"]] if grouped else []),
            *([row["condition"]] if of_class else []),
            *([row.get("seen", "no")] if seen else []),
            *(", ".join(row[name]) for name in some),
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
