"""Several evaluations of the same files: what differs, image by image."""

from collections.abc import Mapping
from typing import Any

from napari_pix2pix.core.evaluation.metrics.intervals import Row, finite, summarize
from napari_pix2pix.core.evaluation.metrics.runs import paired, settings_apart
from napari_pix2pix.core.evaluation.reliability import CALIBRATION

LOWER_IS_BETTER = {
    *("mae", "rmse", "nrmse", "invented", "missing", "merges", "splits"),
    *("adapted_rand_error", "variation_of_information", CALIBRATION),
}


def higher_is_better(metric: str) -> bool:
    """Whether a higher value of this figure is better."""
    return metric.removesuffix("_foreground") not in LOWER_IS_BETTER


def compare(reports: Mapping[str, dict[str, Any]]) -> dict[str, Any]:
    """How each report differs from the first, on the files that all have: paired differences with intervals.

    Parameters
    ----------
    reports
        As from `evaluate`, by name; at least two.

    Returns
    -------
    dict
        JSON. ``kind``; ``first``, its name; ``n`` (frames); ``intervals``, what they are over; ``seen``, the names of
        those whose pairs made their model; ``left_out``, files that not all have; ``differences``: by name, by figure
        ``value`` (mean of report minus first), ``low``, ``high``, and ``verdict``: better, worse, or not told apart,
        where the interval holds 0 or there is none. Where both models expect errors of pixels, the figures are also
        how far these lie from the true ones. Of two evaluations of several runs ``repeated``, by name: the ``settings``
        in which they differ, whether they have the ``same_folds`` and, if so, the ``differences`` over runs of the same
        seed and fold, see `metrics.runs.paired`.

    Raises
    ------
    ValueError
        If there are fewer than two, they judge different kinds of target, files or stains, or a file of the same name
        is another one.
    """
    if len(reports) < 2:
        raise ValueError(f"There must be at least two evaluations to compare; got {len(reports)}.")
    first, *others = reports
    kinds = {name: report.get("kind") for name, report in reports.items()}
    if len(set(kinds.values())) > 1:
        listed = " and ".join(f"{kind} in {name}" for name, kind in kinds.items())
        raise ValueError(f"Evaluations to compare must judge the same kind of target; got {listed}.")
    rows = {name: {row["name"]: row for row in report["files"]} for name, report in reports.items()}
    shared = [name for name in rows[first] if all(name in rows[other] for other in others)]
    if not shared:
        raise ValueError(
            f"Evaluations to compare must be of the same files; no file is in all of {', '.join(reports)}. Evaluate "
            "each on the same images."
        )
    for name in shared:
        # targets: a prediction of another tool stands where a model's source does
        files = {row["target_sha256"] for each in rows.values() if "target_sha256" in (row := each[name])}
        if len(files) > 1:
            raise ValueError(f"Evaluations to compare must be of the same files; the targets of {name} differ.")
        judged = {_stains(report, rows[other][name]) for other, report in reports.items() if "stains" in report}
        if len(judged) > 1:
            raise ValueError(f"Evaluations to compare must judge the same stains; those of {name} differ.")
    groups = [rows[first][name].get("group", name) for name in shared]
    differences, repeated = {}, {}
    for other in others:
        metrics = [m for m in reports[first]["metrics"] if m in reports[other]["metrics"] and not _told(m)]
        metrics += [CALIBRATION] * all(CALIBRATION in rows[one][name] for one in (first, other) for name in shared)
        by_image = [{m: _minus(rows[other][name].get(m), rows[first][name].get(m)) for m in metrics} for name in shared]
        found = summarize(by_image, groups)
        differences[other] = {m: {**figure, "verdict": _verdict(m, figure)} for m, figure in found.items()}
        if "runs" in reports[first] and "runs" in reports[other]:
            repeated[other] = _by_run(reports[first], reports[other], metrics)
    return {
        "kind": kinds[first],
        "first": first,
        "n": len(shared),
        "intervals": {"over": reports[first]["intervals"]["over"], "n": len(set(groups))},
        "seen": [name for name, report in reports.items() if report.get("seen")],
        "left_out": sorted({name for each in rows.values() for name in each} - set(shared)),
        "differences": differences,
        **({"repeated": repeated} if repeated else {}),
    }


def _by_run(first: dict[str, Any], other: dict[str, Any], metrics: list[str]) -> dict[str, Any]:
    """How runs of the same seed and fold differ, and in which settings."""
    ours, theirs = first["repetition"], other["repetition"]
    alike = ours["held_out"] == theirs["held_out"]
    found = {m: paired(first["runs"], other["runs"], m) for m in metrics} if alike else {}
    return {
        "settings": settings_apart(ours["settings"], theirs["settings"]),
        "same_folds": alike,
        "differences": {m: {**figure, "verdict": _verdict(m, figure)} for m, figure in found.items() if figure["n"]},
    }


def _stains(report: dict[str, Any], row: dict[str, Any]) -> frozenset[str]:
    """Of which channels the figures of this row are."""
    return frozenset(row["stains"] if "stains" in row else (stain["name"] for stain in report["stains"]))


def _told(metric: str) -> bool:
    """Whether it describes the target or the prediction alone, so that no value is better."""
    return metric.endswith("_target") or metric in ("objects", "object_area")


def _minus(a: float | None, b: float | None) -> float | None:
    return None if a is None or b is None else finite(a - b)


def _verdict(metric: str, figure: Row) -> str:
    low, high = figure["low"], figure["high"]
    if low is None or high is None or low <= 0 <= high:
        return "not told apart"
    return "better" if (low > 0) == higher_is_better(metric) else "worse"
