"""Which image is worse? The part `ranks` of `trust.py`.

Of whole held-out images, by the mean of what each monitor tells of their pixels (those of `trust_scales.py`):
`spearman` with the mean true error; the abstention test, drop the images that are trusted least and look at the mean
error of the others: `gap closed` between a random order (0) and the best (1), and `error without a fifth`, where `all`
is of all images.

`NHP` is the idea of Oh et al., "Hallucination detection in virtually-stained histology" (arXiv 2411.15060): the
distance of an image's features in a layer of the generator, averaged over the image, to those of training images, of
which the worst predicted are left out. Layer, share left out and neighbour are those that do best in the abstention
test on the images that calibrate our judge.
"""

from itertools import product
from typing import Any

import numpy as np
from scipy.spatial.distance import cdist
from trust_pairs import Axes, Image, Pairs, channels_first, frames_that_made
from trust_scales import of_image

from napari_pix2pix.core.evaluation.metrics.monitors import gap_closed, risk_curve, spearman
from napari_pix2pix.core.trust.judge import as_scored, pixel_errors

LEFT_OUT, NEIGHBOURS = (0.0, 0.25, 0.5, 0.75), (1, 2, 5, 10)
"""Shares of the training images, and which neighbour's distance counts."""
DROPPED = 0.2


def rank_rows(model: Any, train: Pairs, test: Pairs, axes: Axes) -> list[dict[str, Any]]:
    """A row for each monitor; see above."""
    told, errors = dict[str, list[float]](), list[float]()
    for pair in map(channels_first, test):
        found, true = of_image(model, *pair)
        errors.append(float(true.mean()))
        for name, values in found.items():
            told.setdefault(name, []).append(float(values.mean()))
    monitors = {name: np.array(values) for name, values in told.items()}
    chosen, monitors["NHP"] = precursor(model, train, test, axes)
    error = np.array(errors)
    rows = [{"monitor": name} | figures(values, error) for name, values in monitors.items()]
    return [row | {"how": chosen if row["monitor"] == "NHP" else ""} for row in rows]


def figures(values: Image, error: Image) -> dict[str, float]:
    """See above."""
    kept = risk_curve(values, error)[error.size - int(DROPPED * error.size) - 1]
    found = {"spearman": spearman(values, error), "gap closed": gap_closed(values, error)}
    found |= {"error without a fifth": float(kept), "all": float(error.mean())}
    return {name: float(f"{value:.3g}") for name, value in found.items()}


def precursor(model: Any, train: Pairs, test: Pairs, axes: Axes) -> tuple[str, Image]:
    """How NHP was chosen, and what it tells of each test image."""
    learned, calibrating = frames_that_made(model, train, axes)
    known = [features_and_error(model, *channels_first(train[i])) for i in learned]
    own = [features_and_error(model, *channels_first(train[i])) for i in calibrating]
    new = [features_and_error(model, *channels_first(pair))[0] for pair in test]
    best, error = np.argsort([error for _, error in known]), np.array([error for _, error in own])

    def distances(images: list[Any], layer: int, share: float, neighbour: int) -> Image:
        bank = np.stack([known[i][0][layer] for i in best[: max(neighbour, round((1 - share) * len(best)))]])
        apart = np.sort(cdist(np.stack([image[layer] for image in images]), bank), axis=1)
        return np.asarray(apart[:, min(neighbour, apart.shape[1]) - 1])

    tried = list(product(range(len(new[0])), LEFT_OUT, NEIGHBOURS))
    seen = [features for features, _ in own]
    layer, share, neighbour = max(tried, key=lambda how: gap_closed(distances(seen, *how), error))
    how = f"layer {layer + 1} of {len(new[0])}, {share:.0%} left out, neighbour {neighbour}"
    return how, distances(new, layer, share, neighbour)


def features_and_error(model: Any, source: Image, target: Image) -> tuple[list[Image], float]:
    """Of an image (C, Y, X), the mean features of each layer of the generator, and the mean error of the prediction."""
    found: list[Image] = []
    layers = [*model.generator.down, *model.generator.up]

    def keep(_: Any, __: Any, features: Any) -> None:
        found.append(features[0].float().mean((-2, -1)).numpy())

    hooks = [layer.register_forward_hook(keep) for layer in layers]
    encoding = model.target_encoding
    maps = model.maps_of_frame(model.source_encoding.encode(source))
    for hook in hooks:
        hook.remove()
    return found, float(pixel_errors(as_scored(maps, encoding), encoding.encode(target), encoding).mean())
