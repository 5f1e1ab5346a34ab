"""Which monitor tells natural errors of fields? The part `errors` of `trust.py`.

Of monitors of natural errors, on all held-out windows, Spearman's correlation with the true error of fields, pooled,
and beyond edges (partial, given the edges of the prediction and the gradient of the source); and the share of the
risk-coverage gap between a random order and the best that is closed. Beside the expected error and the match score: the
two kinds of edges; `doubt`, how far the labels lie from the generator's own maps; `novelty` of the source; `latent`,
the distance of the generator's innermost features from those of well-predicted training fields; `spread` over eight
draws. `bound`: the share of held-out fields that err less than their bound, where one is promised; and how many of the
held-out sources are called novel, as they are and with another stain, contrast, focus or size.
"""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from scipy import ndimage
from trust_pairs import FRAME_AXES, Image, Pairs, cut, steepness

from napari_pix2pix.core.evaluation.metrics.monitors import gap_closed, spearman
from napari_pix2pix.core.geometry.receptive_field import field_means
from napari_pix2pix.core.networks.dropout import has_dropout
from napari_pix2pix.core.running.patch_scores import score_grid, valid_scores
from napari_pix2pix.core.teaching.damage import blurred
from napari_pix2pix.core.trust.judge import as_scored, pixel_errors
from napari_pix2pix.core.trust.novelty import STRANGE


def error_rows(model: Any, train: Pairs, pairs: Pairs) -> Iterator[dict[str, Any]]:
    """A row for each monitor of natural errors; then the bound."""
    encoding, fields, spread = model.target_encoding, model.match.network.fields, has_dropout(model.generator)
    well = well_predicted(model, train)
    monitors: dict[str, list[Image]] = {}
    errors, below = [], []
    for source, target in cut(pairs):
        frame = model.source_encoding.encode(source)
        maps = model.maps_of_frame(frame)
        image = as_scored(maps, encoding)
        scored = model.score(source, encoding.decode(image), FRAME_AXES)
        inside = scored.valid
        truth = pixel_errors(image, encoding.encode(target), encoding)
        errors.append(field_means(truth, fields)[inside])
        if scored.error_bound is not None:
            below.append(errors[-1] <= scored.error_bound[inside])
        novel = model.match.novelty.distances(frame, lambda values: field_means(values, fields)[:, inside])  # noqa: B023
        found = {"expected error": scored.expected_error[inside], "match": -scored.scores[inside], "novelty": novel}
        per_pixel = {name: steepness(values) for name, values in (("edges", image), ("gradient", frame))}
        if encoding.is_labels:
            per_pixel["doubt"] = np.abs(image - maps)[0]
        if spread:
            [(_, _, _, apart)] = model.draw_maps(source, FRAME_AXES, draws=8)
            per_pixel["spread"] = apart.mean(axis=0)
        found |= {name: field_means(values, fields)[inside] for name, values in per_pixel.items()}
        own = latent(model, frame)[inside]
        found["latent"] = np.sqrt([np.square(well - one).sum(axis=1).min() for one in own])
        for name, values in found.items():
            monitors.setdefault(name, []).append(values)
    error = np.concatenate(errors)
    pooled = {name: np.concatenate(values) for name, values in monitors.items()}
    for name, values in pooled.items():
        beyond = [pooled[other] for other in ("edges", "gradient") if other != name]
        yield {
            "monitor": name,
            "spearman": round(spearman(values, error), 3),
            "beyond_edges": round(spearman(values, error, beyond), 3),
            "gap_closed": round(gap_closed(values, error), 3),
            "fields": int(error.size),
        }
    if below:
        shares = np.array([own.mean() for own in below])
        yield {"bound": round(float(shares.mean()), 3), "lowest": round(float(shares.min()), 3), "images": len(shares)}


def latent(model: Any, frame: Image) -> Image:
    """The generator's innermost features at the centre of each field, means of 3 x 3, (y, x, features)."""
    kept: list[Any] = []
    hook = model.generator.down[-1].register_forward_hook(lambda *_: kept.append(_[2]))
    model.maps_of_frame(frame)
    hook.remove()
    features = ndimage.uniform_filter(kept[0][0].float().cpu().numpy(), (0, 3, 3), mode="nearest")
    step = frame.shape[-1] / features.shape[-1]
    places = [
        np.clip((f.centre + f.stride * np.arange(n)) / step, 0, features.shape[1] - 1).astype(int)
        for f, n in zip(
            model.match.network.fields, score_grid(model.match.network.fields, frame.shape[1:]), strict=True
        )
    ]
    return np.moveaxis(features[:, places[0][:, None], places[1]], 0, -1)


def well_predicted(model: Any, pairs: Pairs) -> Image:
    """`latent` features (n, features) of fields of training images whose error is below the median."""
    encoding, fields = model.target_encoding, model.match.network.fields
    features, errors = [], []
    for source, target in list(cut(pairs))[:24]:
        frame = model.source_encoding.encode(source)
        inside = valid_scores(fields, frame.shape[1:])
        truth = pixel_errors(as_scored(model.maps_of_frame(frame), encoding), encoding.encode(target), encoding)
        features.append(latent(model, frame)[inside][::5])
        errors.append(field_means(truth, fields)[inside][::5])
    every, error = np.concatenate(features), np.concatenate(errors)
    return every[error <= np.median(error)]


SHIFTS: dict[str, Callable[[Image], Image]] = {
    "as they are": lambda source: source,
    "inverted": lambda source: -source,
    "half the contrast": lambda source: (source - 1) / 2,
    "brighter": lambda source: source + 0.5,
    "noisy": lambda source: source + np.random.default_rng(0).normal(0, 0.2, source.shape).astype(np.float32),
    "out of focus": lambda source: blurred(source, 3),
    "magnified twice": lambda source: source.repeat(2, -1).repeat(2, -2)[..., : source.shape[-2], : source.shape[-1]],
}


def novelty_rows(model: Any, pairs: Pairs) -> Iterator[dict[str, Any]]:
    """How many held-out sources are called novel, by what was done to them."""
    sources = [model.source_encoding.encode(source) for source, _ in cut(pairs)]
    for name, change_of in SHIFTS.items():
        novel = [model.match.novelty.strange(change_of(source)) > STRANGE for source in sources]
        yield {"sources": name, "novel": round(float(np.mean(novel)), 3), "images": len(novel)}
