"""Evaluations of several runs as one: the figures of an image are means over the runs that judged it."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from napari_pix2pix.core.data.folds import Run
from napari_pix2pix.core.evaluation.headlines import HEADLINES
from napari_pix2pix.core.evaluation.metrics.comparison import higher_is_better
from napari_pix2pix.core.evaluation.metrics.intervals import Row, summarize
from napari_pix2pix.core.evaluation.metrics.runs import spreads
from napari_pix2pix.core.evaluation.tally import ONE_GROUP

WORST_SHARE = 0.1
"""Of the images of each seed, or run, those on which its models do worst."""
SAID = ("name", "group", "condition", "source_sha256", "target_sha256", "seen", "stains", "shift")
"""What of a row is no figure."""


def gathered(
    reports: Sequence[dict[str, Any]],
    runs: Sequence[Run],
    names: Sequence[str],
    settings: Mapping[str, Any],
    groups: Mapping[str, str],
) -> dict[str, Any]:
    """What `evaluate` has found for each of these runs, as one evaluation.

    Parameters
    ----------
    reports, runs
        Of each run.
    names
        Of all pairs that the runs divide.
    settings
        Of the trainings.
    groups
        By image its group: one that alone was held out is none in its run's report.

    Returns
    -------
    dict
        As of `evaluate`: ``files`` has a row for each image with the means over the runs that judged it. ``metrics``
        are means over images with intervals over groups, and besides ``sd``, ``sd_seeds`` and ``sd_folds``, standard
        deviations over runs, seeds and folds. ``baselines`` are means over runs. ``runs``: the figures of each.
        ``worst``: ``names`` of images that are among the worst ``share`` of each of ``n`` seeds (of each run, where all
        judged the same images), by ``figure``; of images that are equally bad none, where not all fit into it.
        ``repetition``: the ``settings`` of the trainings, and by fold what was ``held_out``.

    Raises
    ------
    ValueError
        If the reports are of different kinds of target.
    """
    first = reports[0]
    if len(kinds := {report["kind"] for report in reports}) > 1:
        raise ValueError(f"Runs that are judged together must predict one kind of target; got {', '.join(kinds)}.")
    rows: dict[str, list[dict[str, Any]]] = {}
    for report in reports:
        for row in report["files"]:
            rows.setdefault(row["name"], []).append(row)
    # Not every run has every figure: a model that could not be calibrated expects no errors.
    figures = list(dict.fromkeys(name for own in rows.values() for row in own for name in row if name not in SAID))
    files, some_lack = [], any("stains" in row for own in rows.values() for row in own)
    stains = [stain["name"] for stain in first.get("stains", ())]
    for image, own in rows.items():
        said = {name: own[0][name] for name in SAID if name in own[0] and name != "shift"} | {"group": groups[image]}
        said |= {"stains": own[0].get("stains", stains)} if some_lack else {}  # a run may have judged images with all
        files.append(said | {name: _mean([row.get(name) for row in own]) for name in figures} | {"runs": len(own)})
    headline = HEADLINES[first["kind"]]
    sign = 1 if higher_is_better(headline) else -1
    files.sort(key=lambda row: -math.inf if row[headline] is None else sign * row[headline])
    of_each = [groups[row["name"]] for row in files]
    means: list[Row] = [{name: row[name] for name in figures} for row in files]
    told = [_of_run(report, run, len(names)) for report, run in zip(reports, runs, strict=True)]
    overall = summarize(means, of_each)
    known = {name for report in reports for name in report["metrics"]}
    metrics = {name: overall[name] | spreads(told, name) for name in overall if name in known}
    baselines = dict.fromkeys(name for report in reports for name in report["baselines"])
    alone = len(set(of_each)) == 1
    grouped = not all(name == own or name.startswith(f"{own}, frame ") for name, own in groups.items())
    remarks = dict.fromkeys(remark for report in reports for remark in report["remarks"])
    return {
        "kind": first["kind"],
        "kind_of_pairs": first["kind_of_pairs"],
        "n": len(files),
        "known_share": float(np.mean([report["known_share"] for report in reports])),
        "intervals": {
            "over": "frames" if alone else "groups" if grouped else "images",
            "n": len(set(of_each)),
        },
        "remarks": [remark for remark in remarks if alone or remark != ONE_GROUP],
        "metrics": metrics,
        "baselines": {name: _baseline(reports, name) for name in baselines},
        **({"stains": _stains(reports)} if "stains" in first else {}),
        "files": files,
        "runs": told,
        "worst": _worst(reports, runs, headline, sign),
        "repetition": {
            "settings": dict(settings),
            "held_out": {str(run.fold): list(run.held_out) for run in runs if run.fold is not None},
        },
        "seen": True if any(seen := [report["seen"] for report in reports]) else None if None in seen else False,
    }


def _stains(reports: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Of each channel how many frames ``n`` and ``pairs`` have it: those of each fold once, whatever the seeds."""
    judged = {frozenset(row["name"] for row in report["files"]): report["stains"] for report in reports}
    return [
        {"name": same[0]["name"], **{what: sum(one[what] for one in same) for what in ("n", "pairs")}}
        for same in zip(*judged.values(), strict=True)
    ]


def _of_run(report: dict[str, Any], run: Run, n_pairs: int) -> dict[str, Any]:
    """What is told of a run."""
    trained = len(run.trains) if run.trains is not None else n_pairs - len(run.held_out)
    values = {name: figure["value"] for name, figure in report["metrics"].items()}
    place = {"run": run.name, "seed": run.seed, "fold": run.fold}
    return place | {"n": report["n"], "pairs": trained, "held_out": len(run.held_out), "metrics": values}


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None


def _baseline(reports: Sequence[dict[str, Any]], name: str) -> dict[str, Any]:
    """Means over runs, without intervals: rows of single images are not told of baselines."""
    found = [report["baselines"][name] for report in reports if name in report["baselines"]]
    figures = dict.fromkeys(figure for own in found for figure in own)
    values = {figure: _mean([own[figure]["value"] for own in found if figure in own]) for figure in figures}
    return {figure: {"value": value, "low": None, "high": None} for figure, value in values.items()}


def _worst(reports: Sequence[dict[str, Any]], runs: Sequence[Run], headline: str, sign: int) -> dict[str, Any]:
    """Images on which all models do badly."""
    judged = [{row["name"] for row in report["files"]} for report in reports]
    alike = all(names == judged[0] for names in judged)
    pools: dict[Any, list[tuple[float, str]]] = {}
    for report, run in zip(reports, runs, strict=True):
        pool = pools.setdefault(run.name if alike else run.seed, [])
        for row in report["files"]:
            pool.append((-math.inf if row[headline] is None else sign * row[headline], row["name"]))
    among = []
    for pool in pools.values():
        n = math.ceil(WORST_SHARE * len(pool))
        limit = sorted(pool)[n - 1][0]
        worst = [name for value, name in sorted(pool) if value < limit]
        equal = [name for value, name in sorted(pool) if value == limit]
        among.append(worst + equal if len(worst) + len(equal) <= n else worst)
    common = [name for name in among[0] if all(name in others for others in among[1:])]
    return {"figure": headline, "share": WORST_SHARE, "n": len(among), "names": common}
