"""What a judge of the match has learned: damage is planted in predictions of pairs, best such as taught it nothing."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from napari_pix2pix.core.data.pairs import PairedFrames
from napari_pix2pix.core.data.regions import Region
from napari_pix2pix.core.evaluation.metrics.monitors import auroc, spearman
from napari_pix2pix.core.geometry.axes import middle
from napari_pix2pix.core.geometry.receptive_field import field_means
from napari_pix2pix.core.running.patch_scores import whole_scores
from napari_pix2pix.core.running.trained_model import TrainedModel
from napari_pix2pix.core.teaching.damage import Area, change, erased, moved
from napari_pix2pix.core.trust.judge import CONTROL, MatchJudge, as_scored, pixel_errors

KINDS = ("swapped", "pasted", "erased", "moved", CONTROL)
"""Kinds of damage; the last, the same content once more, must not be found."""
WINDOWS, SIDE = 24, 256
"""So many predictions at most, of at most this side, px."""
LEAST, HALF, PART = 0.02, 0.5, 0.1
"""A field counts as damaged that was changed by this share of the range, and of which a half - of pasted pieces, which
are small, a tenth - lies in the damage."""
SHIFT = 3
"""Of what is moved, px."""
FEWEST_FIELDS = 20
"""Damaged and clean, without which nothing is said of a kind."""
SOME = 8
"""One pixel in so many tells how errors are ordered."""

Maps = NDArray[np.float32]


def examined(
    model: TrainedModel, judge: MatchJudge, pairs: PairedFrames, regions: Sequence[Region]
) -> tuple[dict[str, float], float]:
    """How well a judge finds planted damage, and how well it orders the pixels of predictions by their errors.

    Parameters
    ----------
    model, judge
        Whose predictions, in which it is to find the damage.
    pairs, regions
        What is predicted.

    Returns
    -------
    dict
        AUROC of a low score for finding fields that were damaged, among the others, by kind; empty where none is known.
    float
        Spearman's correlation of the expected error of a pixel with the true one; NaN where nothing is wrong.
    """
    fields, encoding = judge.network.fields, model.target_encoding
    sides = [(r.frame, (*r.window[:-2], *(middle(along, SIDE) for along in r.window[-2:]))) for r in regions]
    sides = [at for at in sides if min(side.stop - side.start for side in at[1][-2:]) >= fields[-1].size]
    sides = sides[:: max(1, -(-len(sides) // WINDOWS))]
    shapes = [tuple(side.stop - side.start for side in window) for _, window in sides]
    sources = [model.source_encoding.encode(pairs.source(*at)) for at in sides]
    own = [model.under(pairs.bears(frame)) for frame, _ in sides]
    images = [as_scored(one.maps_of_frame(source), encoding) for one, source in zip(own, sources, strict=True)]
    found: dict[str, tuple[list[NDArray[np.float32]], list[NDArray[np.float32]]]] = {k: ([], []) for k in KINDS}
    errors: tuple[list[NDArray[np.float32]], list[NDArray[np.float32]]] = ([], [])
    for i, (source, image, shape) in enumerate(zip(sources, images, shapes, strict=True)):
        random = np.random.default_rng([model.config.seed, i])
        alike = [j for j in range(len(images)) if j != i and shapes[j] == shape]
        donor = images[alike[int(random.integers(len(alike)))]] if alike else None
        kinds = [kind for kind in KINDS if donor is not None or kind not in ("swapped", "pasted")]
        damaged, hits, clean = [], [], []
        inside = whole_scores(fields, shape)
        for kind in kinds:
            side = fields[-1].size * (PART * 5 if kind == "pasted" else 1.25)
            area = Area.drawn(shape, random, side, side)
            area = replace(area, centre=tuple(random.uniform(n / 4, 3 * n / 4) for n in shape[-2:]))
            weights = area.weights(shape)
            planted = image + weights * (_changed(kind, image, donor) - image)
            changed = image if kind == CONTROL else as_scored(planted, encoding)
            part, touched = field_means(weights, fields), field_means(change(changed, image), fields)
            mostly = part > (PART if kind == "pasted" else HALF)
            damaged.append(changed)
            hits.append(inside & mostly & ((touched > LEAST) | (kind == CONTROL)))
            clean.append(inside & (part == 0))
        outputs = own[i].judged(judge, source, damaged)
        for kind, scored, hit, other in zip(kinds, outputs, hits, clean, strict=True):
            found[kind][0].append(-scored.scores[hit])
            found[kind][1].append(-scored.scores[other])
        at = sides[i]
        stains = None if pairs.all_stained else pairs.stains(at[0])
        truth = pixel_errors(image, encoding.encode(pairs.target(*at)), encoding, stains)
        told = outputs[kinds.index(CONTROL)].expected_pixels(tuple(slice(0, n) for n in shape))
        seen = np.broadcast_to(pairs.known(*at) > 0.999, shape)
        for kept, values in zip(errors, (told, truth), strict=True):
            kept.append(values[seen][::SOME])
    pooled = {kind: [np.concatenate(some) for some in own if some] for kind, own in found.items()}
    damage = {
        kind: float(auroc(*own))
        for kind, own in pooled.items()
        if len(own) == 2 and min(side.size for side in own) >= FEWEST_FIELDS
    }
    if not images:
        return damage, float("nan")
    expected, wrong = (np.concatenate(side) for side in errors)
    return damage, spearman(expected, wrong)


def _changed(kind: str, image: Maps, donor: Maps | None) -> Maps:
    """What stands in the damage."""
    if kind == "moved":
        return moved(image, (SHIFT, SHIFT))
    if kind == "erased":
        return erased(image)
    return image if kind == CONTROL or donor is None else donor
