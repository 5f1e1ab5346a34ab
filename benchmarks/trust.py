"""Can patch scores be trusted? Planted damage on held-out predictions, and natural errors: a JSON line per finding.

    python benchmarks/trust.py [--data ../shared/data] [--sets facade_windows isbi2012 dsb2018]
                               [--train-steps 1600] [--trust-steps 2400] [--images 24] [--seed 0]
                               [--model RUN/model.safetensors] [--scales]

`damage`: AUROC of a low score for finding fields that were damaged, among fields that were not, by kind of damage, hard
(softness 0) and feathered, for four judges: the match score, the same taught without the source (it sees
seams only), the plain discriminator of the training, and that of an unconditional training. ``put back`` is the
control: the same content cut out and put back must not be found (0.5). ``blurred`` is by a Gaussian of 3 px, ``blurred
more`` of 6; labels are blurred as maps and decoded again. ``shuffled``: an untouched prediction beside
another image's source. ``mirrored`` and ``swollen`` are kinds that nobody was taught. Predictions and donors are of
held-out images. Counted are fields of which half or more lies in the damage, and which it changed at all (2 % of the
range); of the control, all.

`errors`: of monitors of natural errors, on all held-out windows, Spearman's correlation with the true error of fields,
pooled, and beyond edges (partial, given the edges of the prediction and the gradient of the source); and the share of
the risk-coverage gap between a random order and the best that is closed. Beside the expected error and the match score:
the two kinds of edges; `doubt`, how far the labels lie from the generator's own maps; `novelty` of the source;
`latent`, the distance of the generator's innermost features from those of well-predicted training fields; `spread` over
eight draws. `bound`: the share of held-out fields that err less than their bound, where one is promised; and how many
of the held-out sources are called novel, as they are and with another stain, contrast, focus or size.

`risk`, with `--risks`: held-out images are divided at random 200 times, half calibrate and half are new; a mask of each
risk is chosen by conformal risk control with the expected error, and with monitors that need no network: nearness to
the predicted border of labels, edges of the prediction, gradient of the source. Told are the `realised` risk of what is
left of the new images, the share that is `left`, and in how many of the divisions a limit could be promised (if none,
nothing is left). Every other training pair, at most 170, is held out, too. `coverage` of the 90 % bound over the same
divisions: mean, and of the worst tenth of the images.

`scales`, with `--scales`: Spearman of the mean expected error of blocks of 1 to 64 px with their mean true error,
pooled over all held-out windows, and of whole windows, beside monitors that need no network: nearness to the next
border of the predicted labels, up to 64 px and up to 2 px; edges of the prediction; gradient of the source; doubt, how
far the labels lie from the maps (.9 at most, but where objects were dropped), and doubt from .4 on. (True errors of
labels are mostly 0, so a monitor gains by being the same wherever hardly anything is wrong; the second of both are.)
`told` and `true`: the mean of both, over all pixels and in the tenth of blocks of 16 px that is told the worst; of
labels the expected calibration error, over 15 bins. `untrusted`: the share of pixels above the usual limit, and the
share of all errors that lie there.

With `--model` (one set), that model is judged, taught first if it was not; only columns that it has are told. `--twin`
is a model that was taught without the source, `--unconditional` one whose discriminator never saw it.
"""

import argparse
import csv
import json
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import chain, product
from pathlib import Path
from typing import Any

os.environ |= {"OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": "0"}

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage

from napari_pix2pix import core
from napari_pix2pix.core.data.split import Split, split_pairs
from napari_pix2pix.core.evaluation.metrics.monitors import auroc, gap_closed, spearman
from napari_pix2pix.core.geometry.receptive_field import field_means
from napari_pix2pix.core.methods import method_of
from napari_pix2pix.core.methods.method import reach
from napari_pix2pix.core.networks.dropout import has_dropout
from napari_pix2pix.core.running.patch_scores import score_grid, valid_scores
from napari_pix2pix.core.teaching.damage import Area, blurred, change, erased, moved
from napari_pix2pix.core.trust.calibration import Calibration
from napari_pix2pix.core.trust.error_network import border_distance, label_of
from napari_pix2pix.core.trust.judge import as_scored, pixel_errors
from napari_pix2pix.core.trust.novelty import STRANGE
from napari_pix2pix.core.trust.risk import KNOTS, Left, RiskCurves, limits_about
from napari_pix2pix.files.stacks import open_stack
from napari_pix2pix.files.trusted import trust_limit

Image = NDArray[Any]
Pairs = list[tuple[Image, Image]]
SIDE = 256
BLOCKS = (1, 4, 8, 16, 32, 64)
LEAST = 0.02
MOST_HELD = 170
KINDS = ("swapped", "pasted", "erased", "blurred", "blurred more", "mirrored", "swollen", "put back")
WHOLE = ("moved by 1", "moved by 3", "shuffled")


def read(path: Path) -> Image:
    """All of it."""
    return np.asarray(open_stack(path).array[...])


def pairs_of(name: str, data: Path) -> tuple[Pairs, Pairs, str]:
    """Training and test pairs, and the axes of a source and a target."""
    folder = data / name
    if name == "isbi2012":
        images, membranes = read(folder / "image.tif"), read(folder / "membrane.tif")
        pairs = list(zip(images, membranes, strict=True))
        return pairs[:18], pairs[19:], "YX"  # neighbouring slices look alike, so one is left out between
    if name == "facade_windows":  # label to photo: the photo is on the left
        both = [read(path) for path in sorted(folder.glob("*.jpg"))]
        pairs = [(image[:, SIDE:], image[:, :SIDE]) for image in both]
        return pairs[:-40], pairs[-40:], "YXS"
    with (folder / "index.csv").open(encoding="utf8") as file:
        rows = [row for row in csv.DictReader(file) if row["domain"] == "fluo" and row["channels"] == "1"]
    sides: dict[str, Pairs] = {"train": [], "validation": []}
    for row in rows:
        files = f"image/{row['id']}.png", f"label/{row['id']}.tif"
        source, target = (read(folder / row["split"] / file) for file in files)
        sides[row["split"]].append((source, target))
    return sides["train"], sides["validation"], "YX"


def trained(pairs: Pairs, axes: str, settings: argparse.Namespace, **changes: Any) -> Any:
    """A model of the preset fast, not yet taught to judge the match."""
    known = {"steps": settings.train_steps, "validate_every": settings.train_steps, "trust_steps": 0}
    config = core.make_config("fast", changes=known | {"empty_frames": "empty", "seed": settings.seed} | changes)
    with tempfile.TemporaryDirectory() as folder:
        *_, last = core.train(frames_of(pairs, axes), config, out=folder)
    return last.model


def frames_of(pairs: Pairs, axes: str) -> core.PairedFrames:
    """Each pair by itself."""
    sources, targets = (list(side) for side in zip(*pairs, strict=True))
    return core.PairedFrames(sources, targets, axes)


def taught(model: Any, pairs: Pairs, axes: str, steps: int, blind: bool = False) -> tuple[Any, float]:
    """The model with a judge of the match, and the seconds it took; `blind`: one that does not see the source."""
    frames, started = frames_of(pairs, axes), time.monotonic()
    made = split_pairs(
        frames, model.config, reach(method_of(model.config), model.config, 2)
    )  # as the training's, so none that calibrate made it
    split = Split((*made.train, *made.validation), (), made.calibration)
    *_, last = core.fit_trust(model, frames, split=split, steps=steps, conditional=not blind)
    return last.model, time.monotonic() - started


def cut(pairs: Pairs) -> Iterator[tuple[Image, Image]]:
    """Windows of one size, channels first: the top left of each pair, then the next to the right of each …"""
    found = [
        (corner, tuple(image[y : y + SIDE, x : x + SIDE] for image in pair))
        for pair in pairs
        for corner, (y, x) in enumerate(product(*(range(0, n - SIDE + 1, SIDE) for n in pair[0].shape[:2])))
    ]
    for _, pair in sorted(found, key=lambda one: one[0]):
        yield tuple(image[None] if image.ndim == 2 else np.moveaxis(image, -1, 0) for image in pair)  # type: ignore[misc]


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


def damage_rows(judges: dict[str, Any], pairs: Pairs, settings: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """A row for each kind and softness: the AUROC of each judge. A judge gives (source, image) its scores."""
    model = settings.first
    encoding, fields = model.target_encoding, model.match.network.fields
    held = list(cut(pairs))[: settings.images]
    sources = [model.source_encoding.encode(source) for source, _ in held]
    images = [as_scored(model.maps_of_frame(source), encoding) for source in sources]
    clean_by = {n: [scores_by(*both) for both in zip(sources, images, strict=True)] for n, scores_by in judges.items()}
    inside = slice(3, -3)  # fields wholly inside
    for kind in (*KINDS, *WHOLE):
        for softness in (0.0, 8.0) if kind in KINDS else (0.0,):
            found: dict[str, tuple[list[Any], list[Any]]] = {name: ([], []) for name in judges}
            for i, (source, image) in enumerate(zip(sources, images, strict=True)):
                random = np.random.default_rng([settings.seed, i])
                donor = images[(i + 1 + int(random.integers(len(images) - 1))) % len(images)]
                size = 35.0 if kind == "pasted" else 90.0
                area = Area.drawn((SIDE, SIDE), random, 0.8 * size, 1.2 * size)
                area = replace(area, centre=tuple(float(random.uniform(60, SIDE - 60)) for _ in range(2)))  # type: ignore[arg-type]
                beside, weights = source, np.ones((SIDE, SIDE), np.float32)
                if kind in KINDS:
                    damaged = as_scored(planted(kind, image, donor, area, softness), encoding)
                    weights = area.weights((SIDE, SIDE), softness)
                    changed = change(damaged, image)
                elif kind == "shuffled":
                    j = (i + 1) % len(images)
                    damaged, beside, changed = image, sources[j], change(image, images[j])
                else:
                    d = int(kind[-1])
                    damaged = moved(image, (d, 0) if random.random() < 0.5 else (0, d))
                    changed = change(damaged, image)
                part, touched = field_means(weights, fields), field_means(changed, fields)
                hit = (part > (0.1 if kind == "pasted" else 0.5)) & ((touched > LEAST) | (kind == "put back"))
                for name, scores_by in judges.items():
                    scores = scores_by(beside, damaged)
                    clean = (scores, part == 0) if kind in KINDS else (clean_by[name][i], part > 0)
                    found[name][0].append(-scores[inside, inside][hit[inside, inside]])
                    found[name][1].append(-clean[0][inside, inside][clean[1][inside, inside]])
            values = {name: auroc(*(np.concatenate(some) for some in sides)) for name, sides in found.items()}
            fields_hit = sum(len(some) for some in next(iter(found.values()))[0])
            yield {"damage": kind, "softness": softness, "fields": fields_hit} | {
                n: round(v, 3) if np.isfinite(v) else None for n, v in values.items()
            }


def error_rows(model: Any, train: Pairs, pairs: Pairs, settings: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """A row for each monitor of natural errors; then the bound."""
    encoding, fields, spread = model.target_encoding, model.match.network.fields, has_dropout(model.generator)
    well = well_predicted(model, train)
    monitors: dict[str, list[Image]] = {}
    errors, below = [], []
    for source, target in cut(pairs):
        frame = model.source_encoding.encode(source)
        maps = model.maps_of_frame(frame)
        image = as_scored(maps, encoding)
        scored = model.score(source, encoding.decode(image), settings.frame_axes)
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
            [(_, _, _, apart)] = model.draw_maps(source, settings.frame_axes, draws=8)
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


def risk_rows(model: Any, pairs: Pairs, settings: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """A row for each risk and monitor, then one for the bound; see `risk` and `coverage` above."""
    encoding, fields = model.target_encoding, model.match.network.fields
    found: dict[str, list[Image]] = {}
    errors, of_fields = [], []
    for source, target in pairs:
        source, target = (side[None] if side.ndim == 2 else np.moveaxis(side, -1, 0) for side in (source, target))
        if min(source.shape[1:]) < fields[-1].size:
            continue
        frame = model.source_encoding.encode(source)
        image = as_scored(model.maps_of_frame(frame), encoding)
        [scored] = model.score_frames(source, encoding.decode(image), settings.frame_axes)
        whole = tuple(slice(0, n) for n in frame.shape[1:])
        errors.append(pixel_errors(image, encoding.encode(target), encoding))
        inside = scored.valid
        of_fields.append((field_means(errors[-1], fields)[inside], scored.expected_error[inside]))
        own = {"expected error": scored.expected_pixels(whole)}
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
        for risk in settings.risks:
            kept, realised, promised = [], [], []
            for ours, new in divisions(len(left), settings.seed):
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
    means, tenths = [], []
    for ours, new in divisions(len(of_fields), settings.seed):
        known = Calibration.of(*([of_fields[i][side] for i in ours] for side in (1, 1, 0)))
        shares = [
            (error <= known.factor * known.scale * expected).mean() for error, expected in (of_fields[i] for i in new)
        ]
        means.append(np.mean(shares))
        tenths.append(np.quantile(shares, 0.1))
    yield {"coverage": round(float(np.mean(means)), 3), "worst tenth": round(float(np.mean(tenths)), 3)}


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


def scale_rows(model: Any, pairs: Pairs, settings: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """A row for each monitor, then one for how well the expected error is calibrated; see `scales` above."""
    encoding, monitors, errors = model.target_encoding, dict[str, list[Image]](), list[Image]()
    for source, target in cut(pairs):
        frame = model.source_encoding.encode(source)
        maps = model.maps_of_frame(frame)
        image = as_scored(maps, encoding)
        [scored] = model.score_frames(source, encoding.decode(image), settings.frame_axes, look=False)
        errors.append(pixel_errors(image, encoding.encode(target), encoding))
        found = {"expected error": scored.expected_pixels((slice(0, SIDE), slice(0, SIDE)))}
        found |= {"edges": steepness(image), "gradient": steepness(frame)}
        if encoding.is_labels:
            near, doubt = -border_distance(label_of(image, encoding)), np.abs(image - maps)[0]
            found |= {"border": near, "border, 2 px": near.clip(min=-2), "doubt": doubt}
            found |= {"doubt, .4": doubt.clip(min=0.4)}
        for name, values in found.items():
            monitors.setdefault(name, []).append(values)
    true = np.stack(errors)
    every = {name: np.stack(values) for name, values in monitors.items()}
    for name, values in every.items():
        rhos = {str(side): spearman(*(some(blocks(one, side)) for one in (values, true))) for side in BLOCKS}
        rhos |= {
            "mean": float(np.mean(list(rhos.values()))),
            "windows": spearman(*(blocks(v, SIDE) for v in (values, true))),
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
    if encoding.is_labels:
        told["calibration error"] = calibration_error(expected.ravel(), true.ravel())
    untrusted = expected > trust_limit(model)
    told |= {"untrusted": untrusted.mean(), "errors untrusted": true[untrusted].sum() / true.sum()}
    yield {name: float(f"{value:.3g}") for name, value in told.items()}


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


def steepness(image: Image) -> Image:
    """The length of the gradient, smoothed over 1 px, summed over the channels."""
    return np.sum([ndimage.gaussian_gradient_magnitude(channel, 1) for channel in image], axis=0)


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
    "magnified twice": lambda source: source.repeat(2, -1).repeat(2, -2)[..., :SIDE, :SIDE],
}


def novelty_rows(model: Any, pairs: Pairs) -> Iterator[dict[str, Any]]:
    """How many held-out sources are called novel, by what was done to them."""
    sources = [model.source_encoding.encode(source) for source, _ in cut(pairs)]
    for name, change_of in SHIFTS.items():
        novel = [model.match.novelty.strange(change_of(source)) > STRANGE for source in sources]
        yield {"sources": name, "novel": round(float(np.mean(novel)), 3), "images": len(novel)}


def scores_of(network: Any) -> Any:
    """What gives (source, image) the scores of a discriminator, or of what judges the match."""
    device, give = next(network.parameters()).device, getattr(network, "matching", network)

    def scores(*sides: Image) -> Image:
        with torch.inference_mode():
            pair = [torch.from_numpy(np.ascontiguousarray(side))[None].to(device) for side in sides]
            return np.asarray(give(*pair)[0, 0].cpu())

    return scores


def main() -> None:
    """Every row as it is found."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path(__file__).parents[2] / "shared" / "data")
    sets = ["facade_windows", "isbi2012", "dsb2018"]
    parser.add_argument("--sets", nargs="+", choices=sets, default=sets)
    parser.add_argument("--train-steps", type=int, default=1600)
    parser.add_argument("--trust-steps", type=int, default=2400)
    parser.add_argument("--images", type=int, default=24)
    for flag in ("--model", "--twin", "--unconditional"):
        parser.add_argument(flag, type=Path)
    parser.add_argument("--no-controls", action="store_true", help="neither the twin nor the unconditional training")
    parser.add_argument("--risks", nargs="+", type=float, default=[], help="only these; see risk above")
    parser.add_argument("--scales", action="store_true", help="only these; see scales above")
    parser.add_argument("--seed", type=int, default=0)
    settings = parser.parse_args()
    for name in settings.sets:
        train, test, axes = pairs_of(name, settings.data)
        if settings.risks:
            held = range(0, len(train), 2)[:MOST_HELD]
            test = [*(train[i] for i in held), *test]
            train = [pair for i, pair in enumerate(train) if i not in held]
        settings.frame_axes = "CYX"
        model = core.load_model(settings.model) if settings.model else trained(train, axes, settings)
        first, seconds = (model, 0.0) if model.match else taught(model, train, axes, settings.trust_steps)
        settings.first = first
        print(json.dumps({"set": name, "trust_steps": settings.trust_steps, "seconds": round(seconds)}), flush=True)

        if settings.risks:
            for row in risk_rows(first, test, settings):
                print(json.dumps({"set": name} | row), flush=True)
        if settings.scales:
            rows = list(scale_rows(first, test, settings))
            for row in rows:
                print(json.dumps({"set": name} | row), flush=True)
            print(table(rows[:-1]), flush=True)
        if settings.risks or settings.scales:
            continue
        judges, other = {"match": scores_of(first.match.network)}, settings.unconditional
        if settings.twin or not settings.no_controls:
            twin = settings.twin and core.load_model(settings.twin)
            twin = twin or taught(model, train, axes, settings.trust_steps, blind=True)[0]
            judges["source-blind"] = scores_of(twin.match.network)
        if model.discriminator is not None:
            judges["plain"] = scores_of(model.discriminator)
        if other or not settings.no_controls:
            other = (
                core.load_model(other)
                if other
                else trained(train, axes, settings, discriminator={"conditional": False})
            )
            judges["unconditional"] = scores_of(other.discriminator)
        rows = error_rows(first, train, test, settings), novelty_rows(first, test), damage_rows(judges, test, settings)
        for row in chain(*rows):
            print(json.dumps({"set": name} | row), flush=True)


if __name__ == "__main__":
    main()
