"""Where in an image is it wrong? The part `scales` of `trust.py`.

Spearman of the mean expected error of blocks of 1 to 64 px with their mean true error, pooled over all held-out
windows, and of whole windows, beside monitors that need no network: nearness to the next border of the predicted
labels, up to 64 px and up to 2 px; edges of the prediction; gradient of the source; doubt, how far the labels lie from
the maps (.9 at most, but where objects were dropped), and doubt from .4 on. (True errors of labels are mostly 0, so a
monitor gains by being the same wherever hardly anything is wrong; the second of both are.) `told` and `true`: the mean
of both, over all pixels and in the tenth of blocks of 16 px that is told the worst; of labels the expected calibration
error, over 15 bins. `untrusted`: the share of pixels above the usual limit, and the share of all errors that lie there.

With `--ceiling STEPS`, `ceiling` is a judge that so many steps taught on the very images that it tells of: about as
much of the error as can be told at all. Of `ifc_brightfield_dna` the mean error that is told and the true one, by run
and phase, of cells that taught nothing; prophase is one that the generator never saw.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from trust_pairs import CELL, FRAME_AXES, LEARNED, SEEN, Axes, Image, Pairs, cells, cut, steepness, taught

from napari_pix2pix.core.evaluation.metrics.monitors import spearman
from napari_pix2pix.core.trust.error_network import border_distance, label_of
from napari_pix2pix.core.trust.judge import as_scored, pixel_errors
from napari_pix2pix.files.trusted import trust_limit

BLOCKS = (1, 4, 8, 16, 32, 64)


def scale_rows(model: Any, pairs: Pairs, axes: Axes, ceiling: int = 0) -> Iterator[dict[str, Any]]:
    """A row for each monitor, then one for how well the expected error is calibrated; see above."""
    every, true = told_and_true(model, pairs)
    if ceiling:
        best, _ = taught(model, pairs, axes, ceiling, on_all=True)
        every["ceiling"] = told_and_true(best, pairs)[0]["expected error"]
    for name, values in every.items():
        rhos = {str(side): spearman(*(some(blocks(one, side)) for one in (values, true))) for side in BLOCKS}
        rhos |= {
            "mean": float(np.mean(list(rhos.values()))),
            "windows": spearman(*(blocks(v, v.shape[-1]) for v in (values, true))),
        }
        yield {"monitor": name} | {side: round(rho, 3) for side, rho in rhos.items()}
    expected = every["expected error"]
    coarse, wrong = blocks(expected, 16), blocks(true, 16)
    worst = np.argsort(coarse)[-(coarse.size // 10) :]
    told = {
        "told": expected.mean(),
        "true": true.mean(),
        "told, worst": coarse[worst].mean(),
        "true, worst": wrong[worst].mean(),
    }
    if model.target_encoding.is_labels:
        told["calibration error"] = calibration_error(expected.ravel(), true.ravel())
    untrusted = expected > trust_limit(model)
    told |= {"untrusted": untrusted.mean(), "errors untrusted": true[untrusted].sum() / true.sum()}
    yield {name: float(f"{value:.3g}") for name, value in told.items()}


def told_and_true(model: Any, pairs: Pairs) -> tuple[dict[str, Image], Image]:
    """By monitor, what it tells of each pixel of each held-out window (N, Y, X); and the true errors."""
    monitors, errors = dict[str, list[Image]](), list[Image]()
    for source, target in cut(pairs):
        found, true = of_image(model, source, target)
        errors.append(true)
        for name, values in found.items():
            monitors.setdefault(name, []).append(values)
    return {name: np.stack(values) for name, values in monitors.items()}, np.stack(errors)


def of_image(model: Any, source: Image, target: Image) -> tuple[dict[str, Image], Image]:
    """By monitor, what it tells of each pixel (Y, X) of the prediction of a source (C, Y, X); and the true errors."""
    encoding = model.target_encoding
    frame = model.source_encoding.encode(source)
    maps = model.maps_of_frame(frame)
    image = as_scored(maps, encoding)
    [scored] = model.score_frames(source, encoding.decode(image), FRAME_AXES, look=False)
    found = {"expected error": scored.expected_pixels(tuple(slice(0, n) for n in frame.shape[1:]))}
    found |= {"edges": steepness(image), "gradient": steepness(frame)}
    if encoding.is_labels:
        near, doubt = -border_distance(label_of(image, encoding)), np.abs(image - maps)[0]
        found |= {"border": near, "border, 2 px": near.clip(min=-2), "doubt": doubt}
        found |= {"doubt, .4": doubt.clip(min=0.4)}
    return found, pixel_errors(image, encoding.encode(target), encoding)


def cell_rows(model: Any, folder: Path) -> Iterator[dict[str, Any]]:
    """Of cells by run and phase, none of which taught: the mean error that is told, and the true one."""
    others = [pair for phase in SEEN for pair in cells(folder, f"1_{phase}_1")[LEARNED:]]
    parts = {"run 1, other phases": others, "run 1, prophase": cells(folder, "1_Prophase_1")}
    parts["run 2, G1"] = cells(folder, "2_G1_1")
    for name, pairs in parts.items():
        every, true = told_and_true(model, pairs)
        told, errors = (blocks(values, CELL) for values in (every["expected error"], true))
        row = {"told": told.mean(), "true": errors.mean(), "spearman of cells": spearman(told, errors)}
        yield {"cells": name, "number": told.size} | {name: float(f"{value:.3g}") for name, value in row.items()}


def blocks(values: Image, side: int) -> Image:
    """Means over blocks of so many px of images (N, Y, X), (n,)."""
    n, whole = len(values), values.shape[-1] // side
    cut_to = values[:, : whole * side, : whole * side]
    return cut_to.reshape(n, whole, side, whole, side).mean(axis=(2, 4)).ravel()


def some(values: Image) -> Image:
    """Not more than about 400,000 of them, evenly spaced."""
    return values[:: 1 + values.size // 400_000 * 2]


def calibration_error(told: Image, true: Image, bins: int = 15) -> float:
    """The mean distance of what is told from what is true, of bins of what is told: Guo et al., ICML 2017."""
    at = np.minimum((told * bins).astype(int), bins - 1)
    apart = np.bincount(at, told, bins) - np.bincount(at, true, bins)
    return float(np.abs(apart).sum() / told.size)


def table(rows: list[dict[str, Any]]) -> str:
    """Markdown of rows with the same names."""
    lines = [list(rows[0]), ["---"] * len(rows[0]), *([str(value) for value in row.values()] for row in rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
