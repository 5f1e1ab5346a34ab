"""Which read-outs of single objects survive a prediction, as a table that a biologist reads."""

from collections.abc import Mapping, Sequence
from typing import Any

from napari_pix2pix.report.markup import Html, joined, table, tag
from napari_pix2pix.report.pieces import cell, marked, number

TITLE = "Read-outs"
CLASSES = {"usable": "usable", "with care": "care", "not": "not", "not known": "soft"}
HEAD = [
    *("read-out of an object", "verdict", "mean, predicted / true"),
    *("correlation", "bias", "standardized difference", "spread"),
]
RULE = (
    "Usable: the mean is shifted by no more than 0.2 standard deviations (Cohen, 1988: small), single objects "
    "correlate with 0.75 or more (Koo and Li, 2016: good), their spread is 0.8 to 1.25 of the true one (the limits of "
    "bioequivalence), and so say both ends of each 95 % interval. Not: more than 0.5, less than 0.5, or not within a "
    "half and double. With care: all between, and whatever one image or group alone says."
)


def readout_tables(report: Mapping[str, Any], names: Sequence[str]) -> Html | None:
    """A table for each channel; `names` are those of the channels. None where no objects were measured."""
    seen, parts = bool(report.get("seen")), list[Html]()
    told = [(one, name) for one, name in zip(report.get("features", ()), names, strict=False) if one is not None]
    for one, name in told:
        n = one["n"]
        caption = f"{n['prediction']} predicted and {n['target']} true objects, {n['matched']} of them matched"
        caption += f" · {name}" if len(told) > 1 else ""
        rows: list[list[str | None]] = [
            [
                joined(f"{each['family']}: {readout.replace('_', ' ')}", tag("div", each["meaning"], class_="soft")),
                joined(
                    tag("strong", each["verdict"], class_=CLASSES[each["verdict"]]),
                    tag("div", each["why"], class_="soft why"),
                ),
                f"{number(each['mean_prediction'])} / {number(each['mean_target'])}",
                *(cell(each[key]) for key in ("correlation", "bias", "standardized_difference", "spread")),
            ]
            for readout, each in one["readouts"].items()
        ]
        parts.append(table(HEAD, rows, caption, marked("figures", seen)))
    return joined(*parts, tag("p", RULE, class_="soft")) if parts else None
