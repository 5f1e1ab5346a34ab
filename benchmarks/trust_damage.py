"""Is planted damage found? The part `damage` of `trust.py`.

AUROC of a low score for finding fields that were damaged, among fields that were not, by kind of damage, hard (softness
0) and feathered, for four judges: the match score, the same taught without the source (it sees seams only), the plain
discriminator of the training, and that of an unconditional training. ``put back`` is the control: the same content cut
out and put back must not be found (0.5). ``blurred`` is by a Gaussian of 3 px, ``blurred more`` of 6; labels are
blurred as maps and decoded again. ``shuffled``: an untouched prediction beside another image's source. ``mirrored`` and
``swollen`` are kinds that nobody was taught. Predictions and donors are of held-out images. Counted are fields of which
half or more lies in the damage, and which it changed at all (2 % of the range); of the control, all. Blur of labels is
often decoded again to what it was: of the fields in it, `no pixel` is the share where it is all the same, which nothing
that sees labels can find, and `hardly any` that where it changed by 2 % of the range at most. A second row is of those
that it changed by more than 5 %.
"""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from scipy import ndimage
from trust_pairs import Image, Pairs, cut

from napari_pix2pix.core.evaluation.metrics.monitors import auroc
from napari_pix2pix.core.geometry.receptive_field import field_means
from napari_pix2pix.core.teaching.damage import Area, blurred, change, erased, moved
from napari_pix2pix.core.trust.judge import as_scored

LEAST, MORE = 0.02, 0.05
KINDS = ("swapped", "pasted", "erased", "blurred", "blurred more", "mirrored", "swollen", "put back")
WHOLE = ("moved by 1", "moved by 3", "shuffled")


def damage_rows(model: Any, judges: dict[str, Any], pairs: Pairs, windows: int, seed: int) -> Iterator[dict[str, Any]]:
    """A row for each kind and softness: the AUROC of each judge. A judge gives (source, image) its scores."""
    encoding, fields = model.target_encoding, model.match.network.fields
    held = list(cut(pairs))[:windows]
    sources = [model.source_encoding.encode(source) for source, _ in held]
    images = [as_scored(model.maps_of_frame(source), encoding) for source in sources]
    clean_by = {n: [scores_by(*both) for both in zip(sources, images, strict=True)] for n, scores_by in judges.items()}
    inside = slice(3, -3)  # fields wholly inside
    for kind in (*KINDS, *WHOLE):
        for softness in (0.0, 8.0) if kind in KINDS else (0.0,):
            found: dict[str, tuple[list[Any], list[Any]]] = {name: ([], []) for name in judges}
            strengths = []
            for i, (source, image) in enumerate(zip(sources, images, strict=True)):
                random = np.random.default_rng([seed, i])
                donor = images[(i + 1 + int(random.integers(len(images) - 1))) % len(images)]
                shape, size = image.shape[1:], 35.0 if kind == "pasted" else 90.0
                area = Area.drawn(shape, random, 0.8 * size, 1.2 * size)
                area = replace(area, centre=tuple(float(random.uniform(60, n - 60)) for n in shape))
                beside, weights = source, np.ones(shape, np.float32)
                if kind in KINDS:
                    damaged = as_scored(planted(kind, image, donor, area, softness), encoding)
                    weights = area.weights(shape, softness)
                    changed = change(damaged, image)
                elif kind == "shuffled":
                    j = (i + 1) % len(images)
                    damaged, beside, changed = image, sources[j], change(image, images[j])
                else:
                    d = int(kind[-1])
                    damaged = moved(image, (d, 0) if random.random() < 0.5 else (0, d))
                    changed = change(damaged, image)
                part, touched = field_means(weights, fields), field_means(changed, fields)
                covered = (part > (0.1 if kind == "pasted" else 0.5))[inside, inside]
                strengths.append(touched[inside, inside][covered])
                for name, scores_by in judges.items():
                    scores = scores_by(beside, damaged)
                    clean = (scores, part == 0) if kind in KINDS else (clean_by[name][i], part > 0)
                    found[name][0].append(-scores[inside, inside][covered])
                    found[name][1].append(-clean[0][inside, inside][clean[1][inside, inside]])
            strength = np.concatenate(strengths)
            pooled = {name: [np.concatenate(some) for some in sides] for name, sides in found.items()}
            for least in (LEAST, MORE) if kind.startswith("blurred") else (LEAST,):
                hit = (strength > least) | (kind == "put back")
                values = {name: auroc(scores[hit], clean) for name, (scores, clean) in pooled.items()}
                yield {"damage": kind, "softness": softness, "changed by": least, "fields": int(hit.sum())} | {
                    n: round(v, 3) if np.isfinite(v) else None for n, v in values.items()
                }
            if kind.startswith("blurred"):
                shares = {"no pixel": (strength == 0).mean(), "hardly any": (strength <= LEAST).mean()}
                shares = {name: round(float(share), 3) for name, share in shares.items()}
                yield {"damage": kind, "softness": softness, "covered": strength.size} | shares


def planted(kind: str, image: Image, donor: Image, area: Area, softness: float) -> Image:
    """`image`, in network values, with damage of this kind in this area."""
    changed = {
        "swapped": lambda: donor,
        "pasted": lambda: donor,
        "erased": lambda: erased(image),
        "blurred": lambda: blurred(image, 3),
        "blurred more": lambda: blurred(image, 6),
        "mirrored": lambda: image[..., ::-1],
        "swollen": lambda: swollen(image),
        "put back": lambda: image.copy(),
    }[kind]()
    return image + area.weights(image.shape[1:], softness) * (changed - image)


def swollen(image: Image) -> Image:
    """Magnified by a quarter about its middle."""
    y, x = (np.linspace(n / 10, 0.9 * n - 1, n) for n in image.shape[-2:])
    at = np.meshgrid(y, x, indexing="ij")
    return np.stack([ndimage.map_coordinates(channel, at, order=1, mode="nearest") for channel in image])


def scores_of(network: Any) -> Any:
    """What gives (source, image) the scores of a discriminator, or of what judges the match."""
    device, give = next(network.parameters()).device, getattr(network, "matching", network)

    def scores(*sides: Image) -> Image:
        with torch.inference_mode():
            pair = [torch.from_numpy(np.ascontiguousarray(side))[None].to(device) for side in sides]
            return np.asarray(give(*pair)[0, 0].cpu())

    return scores
