"""Is the risk of a mask kept, and what does it leave? The part `risks` of `trust.py`.

Held-out images are divided at random 200 times, half calibrate and half are new; a mask of each risk is chosen by
conformal risk control with the expected error, and with monitors that need no network: nearness to the predicted border
of labels, edges of the prediction, gradient of the source. Told are the `realised` risk of what is left of the new
images, the share that is `left`, and in how many of the divisions a limit could be promised (if none, nothing is left).
Every other training pair, at most 170, is held out, too.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from trust_pairs import FRAME_AXES, Image, Pairs, steepness

from napari_pix2pix.core.trust.error_network import border_distance
from napari_pix2pix.core.trust.judge import as_scored, pixel_errors
from napari_pix2pix.core.trust.risk import KNOTS, Left, RiskCurves, limits_about

MOST_HELD = 170


def held_out(train: Pairs, test: Pairs) -> tuple[Pairs, Pairs]:
    """What trains, and what is held out: every other training pair, too."""
    held = range(0, len(train), 2)[:MOST_HELD]
    return [pair for i, pair in enumerate(train) if i not in held], [*(train[i] for i in held), *test]


def risk_rows(model: Any, pairs: Pairs, risks: Sequence[float], seed: int) -> Iterator[dict[str, Any]]:
    """A row for each risk and monitor; see above."""
    encoding, found, errors = model.target_encoding, dict[str, list[Image]](), list[Image]()
    for source, target in pairs:
        source, target = (side[None] if side.ndim == 2 else np.moveaxis(side, -1, 0) for side in (source, target))
        if min(source.shape[1:]) < model.match.network.fields[-1].size:
            continue
        frame = model.source_encoding.encode(source)
        image = as_scored(model.maps_of_frame(frame), encoding)
        [scored] = model.score_frames(source, encoding.decode(image), FRAME_AXES)
        whole = tuple(slice(0, n) for n in frame.shape[1:])
        errors.append(pixel_errors(image, encoding.encode(target), encoding))
        own = {"expected error": scored.masked_pixels(whole)}
        own |= {"edges": steepness(image), "gradient": steepness(frame)}
        if encoding.is_labels:
            own["border"] = np.exp(-border_distance(encoding.decode(image)[0]) / 8)
        for name, values in own.items():
            found.setdefault(name, []).append(values.astype(np.float32))
    usual = model.match.usual_error
    for name, values in found.items():
        every = np.concatenate([one.ravel()[::7] for one in values])
        limits = (
            limits_about(usual) if name == "expected error" else np.unique(np.quantile(every, np.linspace(0, 1, KNOTS)))
        )
        limits = limits.astype(np.float32)
        left = [Left.of(limits, *both) for both in zip(values, errors, strict=True)]
        curves = RiskCurves.of(limits, [[one] for one in left], None if encoding.is_labels else usual)
        share = np.array([one.kept for one in left])
        wrong = np.array([mean_left(limits, *both) for both in zip(values, errors, strict=True)]) / curves.unit
        for risk in risks:
            kept, realised, promised = [], [], []
            for ours, new in divisions(len(left), seed):
                limit = replace(curves, losses=curves.losses[ours]).limit(risk)
                place = None if limit is None else int(np.searchsorted(limits, np.float32(limit)))
                promised.append(place is not None)
                kept.append(0.0 if place is None else share[new, place].mean())
                realised.append(0.0 if place is None else wrong[new, place].mean())
            yield {
                "risk": risk,
                "monitor": name,
                "realised": round(float(np.mean(realised)), 4),
                "left": round(float(np.mean(kept)), 3),
                "promised": round(float(np.mean(promised)), 3),
                "without a mask": round(float(np.mean([error.mean() for error in errors])) / curves.unit, 4),
                "images": len(left),
            }


def divisions(images: int, seed: int) -> Iterator[tuple[Image, Image]]:
    """200 random halves of so many images, and the others."""
    random = np.random.default_rng(seed)
    for _ in range(200):
        order = random.permutation(images)
        yield order[: images // 2], order[images // 2 :]


def mean_left(limits: Image, values: Image, errors: Image) -> Image:
    """The mean error of the pixels of an image that are left, by limit, 0 where none is; not made to rise."""
    place = np.searchsorted(limits, values.ravel())
    count, total = (np.bincount(place, w, limits.size + 1)[:-1].cumsum() for w in (None, errors.ravel()))
    return np.asarray(total / np.maximum(count, 1))
