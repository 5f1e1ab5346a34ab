"""Are planted shifts found? One JSON line per set and size of the field.

    python benchmarks/registration.py [--data ../shared/data] [--sets isbi2012 dsb2018 translocation_sbs mibi_breast]
                                      [--local 2 6 10] [--pairs 6] [--seeds 0 1 2]
                                      [--simpleitk]
    python benchmarks/registration.py --constant     the constant shift of translocation_sbs, pair by pair
    python benchmarks/registration.py --large        a pair of 3000 x 3000 px
    python benchmarks/registration.py --stains       each two stains of `deepliif`, before and after
    python benchmarks/registration.py --landmarks    serial sections: which are no pairs of pixels, before and after

Each target is seen through a field: an affine motion of up to 2 % and 1°, and a smooth one of up to so many px (noise,
smoothed over an eighth of the image, at least 32 px). ``before``: the median shift that was planted, px. ``residual``:
how far the field that is found is off the planted one, in the median of all pixels that are said to be known, px;
``p90`` likewise; ``everywhere``: in the median of all pixels that both images show. Pairs have a shift of their own,
which is no error of the method: ``own`` is the constant that is found where nothing is planted, and is taken out of
``residual``; ``with_own`` is the residual without that. ``seconds`` are of the processor, for each pair. With
`--simpleitk` (pip install SimpleITK) ``simpleitk`` is ``everywhere`` of its B-spline, its own constant taken out.
"""

import argparse
import csv
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_pix2pix.core.data.fields import inside, least_area, moved, places
from napari_pix2pix.core.data.local_shifts import local_shifts
from napari_pix2pix.core.data.resemblance import outlined
from napari_pix2pix.files.stacks import open_stack

Image = NDArray[Any]
Pair = tuple[Image, Image, bool]
"""Source and target (C, Y, X), and whether the target holds labels."""
MOTION, ANGLE, SMOOTHEST = 0.02, 1.0, 32
"""Of the affine part: share of the size, degrees; and the least width of the noise, px."""
KNOTS = 48
"""Of SimpleITK's B-spline, px between them."""
KNOWN_SHIFT = np.array([0.0, 1.05])
"""Of `translocation_sbs`, px."""
SETS = ("same", "isbi2012", "dsb2018", "translocation_sbs", "he_two_scanners", "mibi_breast")


def read(path: Path) -> Image:
    """The only frame of a file, (C, Y, X)."""
    stack = open_stack(path)
    return stack.plan.take(stack.array, 0)[:3]


def pairs_of(name: str, data: Path, n: int) -> list[Pair]:
    """`n` pairs of a set, evenly chosen."""
    folder = data / name
    if name in ("isbi2012", "same"):
        image, membrane = (open_stack(data / "isbi2012" / f"{side}.tif") for side in ("image", "membrane"))
        frames = [(image.plan.take(image.array, i), membrane.plan.take(membrane.array, i)) for i in range(24)]
        pairs = [(a, 255 - a, False) if name == "same" else (a, b, True) for a, b in frames]
    elif name == "dsb2018":
        with (folder / "index.csv").open(encoding="utf8") as file:
            rows = [row for row in csv.DictReader(file) if row["split"] == "train" and row["domain"] != "gray_bright"]
        rows = _evenly(sorted(rows, key=lambda row: row["id"]), n)
        files = [(f"train/image/{row['id']}.png", f"train/label/{row['id']}.tif") for row in rows]
        pairs = [(read(folder / a), read(folder / b), True) for a, b in files]
    else:
        sides = {
            "translocation_sbs": ("fkhr_gfp", "dna"),
            "he_two_scanners": ("aperio", "hamamatsu"),
            "mibi_breast": ("PanKRT", "ECAD"),
        }[name]
        paths = _evenly(sorted((folder / sides[0]).iterdir()), n)
        pairs = [(read(path), read(folder / sides[1] / path.name), False) for path in paths]
        if name == "mibi_breast":  # ion counts, mostly 0
            pairs = [(_smoothed(a), _smoothed(b), False) for a, b, _ in pairs]
    return _evenly(pairs, n)


def _smoothed(counts: Image) -> Image:
    return ndimage.gaussian_filter(counts.astype(np.float32), (0, 1.5, 1.5))


def _evenly(things: list[Any], n: int) -> list[Any]:
    return [things[i] for i in np.unique(np.linspace(0, len(things) - 1, n).round().astype(int))]


def planted(shape: tuple[int, ...], local: float, random: np.random.Generator) -> Image:
    """An affine motion and a smooth local one (2, Y, X), px."""
    y, x = np.meshgrid(*(np.arange(n) - (n - 1) / 2 for n in shape), indexing="ij")
    angle, scales = np.deg2rad(random.uniform(-ANGLE, ANGLE)), 1 + random.uniform(-MOTION, MOTION, 2)
    field = np.stack(
        [
            (scales[0] * np.cos(angle) - 1) * y - np.sin(angle) * x,
            np.sin(angle) * y + (scales[1] * np.cos(angle) - 1) * x,
        ]
    )
    width = max(SMOOTHEST, min(shape) / 8)
    bumps = np.stack([ndimage.gaussian_filter(random.standard_normal(shape), width) for _ in range(2)])
    return (field + local * bumps / np.hypot(*bumps).max()).astype(np.float32)


def seen_through(target: Image, field: Image, labels: bool) -> tuple[Image, Image]:
    """The target, what lies at p in it being what lay at p + field(p); and the shifts that undo it."""
    back = -field
    for _ in range(10):
        at = places(back)
        back = -np.stack([ndimage.map_coordinates(own, at, order=1, mode="nearest") for own in field])
    return moved(target, places(field), nearest=labels), back


def by_register(pair: Pair) -> tuple[Image, Image]:
    """The field (2, Y, X) and where it is known (Y, X)."""
    source, target, labels = pair
    found, shape = local_shifts(source, target, labels=labels), (source.shape[-2], source.shape[-1])
    return found.field(shape), found.known(shape)


def by_simpleitk(pair: Pair) -> tuple[Image, Image]:
    """The same by SimpleITK: Mattes' mutual information, an affine motion, then a B-spline every 48 px; on one thread.

    References
    ----------
    Mattes et al., "PET-CT image registration in the chest using free-form deformations", IEEE TMI 2003.
    """
    import SimpleITK

    SimpleITK.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
    source, target, labels = pair
    seen = outlined(target)[:1] if labels else target
    fixed, moving = (SimpleITK.GetImageFromArray(image.astype(np.float32).mean(axis=0)) for image in (source, seen))
    centre = [(n - 1) / 2 for n in fixed.GetSize()]

    def method() -> Any:
        how = SimpleITK.ImageRegistrationMethod()
        how.SetMetricAsMattesMutualInformation(32)
        how.SetInterpolator(SimpleITK.sitkLinear)
        how.SetShrinkFactorsPerLevel([4, 2, 1])
        how.SetSmoothingSigmasPerLevel([2, 1, 0])
        return how

    whole = method()
    whole.SetOptimizerAsRegularStepGradientDescent(1.0, 1e-3, 100)
    whole.SetOptimizerScalesFromPhysicalShift()
    motion = SimpleITK.AffineTransform(2)
    motion.SetCenter(centre)
    whole.SetInitialTransform(motion, inPlace=True)
    whole.Execute(fixed, moving)
    local = method()
    mesh = [max(2, round(n / 4 / KNOTS)) for n in fixed.GetSize()]
    spline = SimpleITK.BSplineTransformInitializer(fixed, mesh, 3)
    local.SetMovingInitialTransform(motion)
    local.SetInitialTransformAsBSpline(spline, inPlace=True, scaleFactors=[1, 2, 4])
    local.SetOptimizerAsLBFGS2(solutionAccuracy=1e-3, numberOfIterations=100, deltaConvergenceTolerance=1e-4)
    local.Execute(fixed, moving)
    both = SimpleITK.CompositeTransform([motion, spline])
    x_y = SimpleITK.TransformToDisplacementField(both, SimpleITK.sitkVectorFloat64, fixed.GetSize())
    field = SimpleITK.GetArrayFromImage(x_y)[..., ::-1].transpose(2, 0, 1).astype(np.float32)
    return field, np.ones(field.shape[1:], bool)


def rows(name: str, settings: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """A row for each size of the field."""
    pairs = pairs_of(name, settings.data, settings.pairs)
    owns = [np.median(by_register(pair)[0], axis=(1, 2)) for pair in pairs]
    others = [np.median(by_simpleitk(pair)[0], axis=(1, 2)) for pair in pairs] if settings.simpleitk else []
    for local in settings.local:
        figures: dict[str, list[float]] = {}
        for seed in settings.seeds:
            for i, (source, target, labels) in enumerate(pairs):
                field = planted(source.shape[1:], local, np.random.default_rng([seed, i, int(local)]))
                seen, truth = seen_through(target, field, labels)
                started = time.process_time()
                found, known = by_register((source, seen, labels))
                seconds = time.process_time() - started
                both = inside(places(truth), truth.shape[1:])
                off = np.hypot(*(found - truth - owns[i][:, None, None]))
                sure = known & both
                own_row = {
                    "before": np.median(np.hypot(*truth)),
                    "residual": np.median(off[sure]) if sure.any() else np.nan,
                    "p90": np.quantile(off[sure], 0.9) if sure.any() else np.nan,
                    "everywhere": np.median(off[both]),
                    "with_own": np.median(np.hypot(*(found - truth))[both]),
                    "known": sure.mean() / both.mean(),
                    "least_area": least_area(found),
                    "seconds": seconds,
                }
                if others:
                    started = time.process_time()
                    other, _ = by_simpleitk((source, seen, labels))
                    own_row["simpleitk_seconds"] = time.process_time() - started
                    own_row["simpleitk"] = np.median(np.hypot(*(other - truth - others[i][:, None, None]))[both])
                for key, value in own_row.items():
                    figures.setdefault(key, []).append(float(value))
        told = {key: round(float(np.nanmedian(values)), 2) for key, values in figures.items()}
        told |= {"least_area": round(min(figures["least_area"]), 2), "worst": round(max(figures["everywhere"]), 2)}
        own = [round(float(shift), 2) for shift in np.median(owns, axis=0)]
        yield {"set": name, "local": local, "n": len(figures["before"]), **told, "own": own}


def constant(data: Path, n: int) -> Iterator[dict[str, Any]]:
    """What is found of the known shift of `translocation_sbs`, and what is left once it is mended."""
    found, left, kept = [], [], 0
    for source, target, _ in pairs_of("translocation_sbs", data, n):
        first = local_shifts(source, target)
        if not first.in_common:
            kept += 1
            continue
        again = local_shifts(source, first.laid_over(target))
        found.append(np.median(first.shifts[:, first.matched], axis=1))
        left.append(np.median(again.shifts[:, again.matched], axis=1) if again.in_common else [np.nan, np.nan])
    off = np.hypot(*(np.array(found) - KNOWN_SHIFT).T)
    yield {
        "set": "translocation_sbs",
        "shift": np.median(found, axis=0).round(2).tolist(),
        "off_known": round(float(np.median(off)), 2),
        "left": np.nanmedian(left, axis=0).round(2).tolist(),
        "nothing_in_common": kept,
        "n": len(found) + kept,
    }


def large(data: Path, side: int = 3000) -> dict[str, Any]:
    """A pair of 3000 x 3000 px made of mirrored pieces of `isbi2012`."""
    source, target, _ = pairs_of("isbi2012", data, 2)[0]
    more = ((0, 0), (0, side - source.shape[1]), (0, side - source.shape[2]))
    source, target = (np.pad(image, more, mode="symmetric") for image in (source, target))
    seen, truth = seen_through(target, planted((side, side), 10, np.random.default_rng(0)), True)
    started, wall = time.process_time(), time.monotonic()
    found = local_shifts(source, seen, labels=True)
    mended = found.laid_over(seen, nearest=True)
    spent = {"seconds": round(time.process_time() - started, 1), "wall_s": round(time.monotonic() - wall, 1)}
    sure = found.known((side, side)) & inside(places(truth), (side, side))
    off = np.hypot(*(found.field((side, side)) - truth))[sure]
    agree = [float(((image > 0) == (target > 0))[0][sure].mean()) for image in (seen, mended)]
    told = {"with_own": round(float(np.median(off)), 2), "agree": np.round(agree, 3).tolist()}
    return {"set": "large", "side": side, **spent, **told}


def by_brute_force(source: Image, target: Image) -> list[float]:
    """Of blocks of 128 px the whole shift of up to 14 px, along each axis, of the most mutual information: its size."""
    bins = [
        np.digitize(image.mean(axis=0), np.quantile(image.mean(axis=0), np.linspace(0, 1, 17)[1:-1]))
        for image in (source, target)
    ]
    found = []
    size, reach = 128, 14
    for y in range(reach, bins[0].shape[0] - size - reach + 1, size // 2):
        for x in range(reach, bins[0].shape[1] - size - reach + 1, size // 2):
            ours = 16 * bins[0][y : y + size, x : x + size].ravel()
            best = (-1.0, 0.0)
            for down in range(-reach, reach + 1):
                for right in range(-reach, reach + 1):
                    theirs = bins[1][y + down : y + down + size, x + right : x + right + size]
                    both = np.bincount(ours + theirs.ravel(), minlength=256).reshape(16, 16) / size**2
                    alone = np.outer(both.sum(axis=1), both.sum(axis=0))
                    some = both > 0
                    best = max(
                        best, (float((both[some] * np.log(both[some] / alone[some])).sum()), np.hypot(down, right))
                    )
            found.append(best[1])
    return found


def stains(data: Path) -> Iterator[dict[str, Any]]:
    """How far each stain of `deepliif` lies off each other one."""
    names = "ihc", "hematoxylin", "dapi", "lap2beta", "marker"
    images = {name: read(data / "deepliif" / f"Bladder1_{name}.png") for name in names}
    for i, one in enumerate(names):
        for other in names[i + 1 :]:
            source, target = images[one], images[other]
            found = local_shifts(source, target)
            row: dict[str, Any] = {"source": one, "target": other, "confidence": round(found.mean_confidence, 2)}
            told = {"before": target} | ({"after": found.laid_over(target)} if found.in_common else {})
            for name, image in told.items():
                sizes = by_brute_force(source, image)
                row |= {name: float(np.median(sizes)), f"{name}_p90": round(float(np.quantile(sizes, 0.9)), 1)}
            yield row


def landmarks(data: Path) -> Iterator[dict[str, Any]]:
    """Serial sections: how far landmarks lie apart, px, where sections are laid centre on centre, and once moved."""
    for folder in sorted((data / "serial_sections").glob("*/*")):
        paths = [path for path in sorted(folder.glob("*.jpg")) if path.with_suffix(".csv").exists()]
        images = {path.stem: read(path) for path in paths}
        points = {
            path.stem: np.loadtxt(path.with_suffix(".csv"), delimiter=",", skiprows=1)[:, :0:-1] for path in paths
        }
        for i, one in enumerate(images):
            for other in list(images)[i + 1 :]:
                source, target = images[one], images[other]
                off = [(t - s) // 2 for s, t in zip(source.shape[1:], target.shape[1:], strict=True)]
                rest = places(np.zeros((2, *source.shape[1:]), np.float32)) + np.array(off, np.float32)[:, None, None]
                n = min(len(points[one]), len(points[other]))
                ours, theirs = points[one][:n], points[other][:n] - off
                row: dict[str, Any] = {"source": one, "target": other, "landmarks": n}
                row["before"] = round(float(np.median(np.hypot(*(theirs - ours).T))), 1)
                try:
                    found = local_shifts(source, moved(target, rest))
                except ValueError as error:
                    yield row | {"refused": str(error).split(";")[0]}
                    continue
                field = found.field((source.shape[1], source.shape[2]))
                there = [ndimage.map_coordinates(own, ours.T, order=1, mode="nearest") for own in field]
                row["after"] = round(float(np.median(np.hypot(*(theirs - ours - np.stack(there, axis=1)).T))), 1)
                yield row | {"matched": round(1 - found.unmatched, 2), "refused": not found.in_common}


def main() -> None:
    """Every row as it is found."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path(__file__).parents[2] / "shared" / "data")
    parser.add_argument("--sets", nargs="+", choices=SETS, default=SETS)
    parser.add_argument("--local", type=float, nargs="+", default=[2, 6, 10])
    parser.add_argument("--pairs", type=int, default=6)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--simpleitk", action="store_true", help="Beside it, SimpleITK's B-spline.")
    parser.add_argument("--constant", action="store_true")
    parser.add_argument("--large", action="store_true")
    parser.add_argument("--stains", action="store_true")
    parser.add_argument("--landmarks", action="store_true")
    settings = parser.parse_args()
    found: Iterator[dict[str, Any]]
    if settings.constant:
        found = constant(settings.data, settings.pairs)
    elif settings.large:
        found = iter([large(settings.data)])
    elif settings.stains:
        found = stains(settings.data)
    elif settings.landmarks:
        found = landmarks(settings.data)
    else:
        found = (row for name in settings.sets for row in rows(name, settings))
    for row in found:
        print(json.dumps(row), flush=True)


if __name__ == "__main__":
    main()
