"""What biologists read from single objects, shape, intensity and texture, in predictions and in the truth."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.feature import graycoprops
from skimage.measure import regionprops_table

from napari_pix2pix.core.evaluation.metrics.errors import SMALLEST
from napari_pix2pix.core.evaluation.metrics.instances import Overlap, numbers_of
from napari_pix2pix.core.evaluation.metrics.intervals import Figure, figure, resamples

Verdict = Literal["usable", "with care", "not", "not known"]
LEVELS = 16
"""Grey levels of a texture."""
FEWEST = 20
"""With fewer objects on either side nothing is said."""
DIFFERENCES = 0.2, 0.5
"""Standardized differences up to which a mean is usable, and with care: small and medium, after Cohen, "Statistical
Power Analysis for the Behavioral Sciences", 1988."""
CORRELATIONS = 0.75, 0.5
"""Correlations of single objects from which on they are good, and moderate, after Koo and Li, "A guideline of selecting
and reporting intraclass correlation coefficients for reliability research", 2016."""
SPREADS = 1.25, 2.0
"""Ratios of standard deviations, either way: the limits of bioequivalence (0.80 to 1.25; FDA, "Statistical approaches
to establishing bioequivalence", 2001), and one half to double, our choice."""


def _apart(ratio: float) -> float:
    """How far a ratio is from 1, either way."""
    return max(ratio, 1 / ratio) if ratio > 0 else np.inf


def _lacking(correlation: float) -> float:
    return 1 - correlation


LIMITS: tuple[tuple[str, tuple[float, float], Callable[[float], float], str], ...] = (
    ("standardized_difference", DIFFERENCES, abs, "shifted"),
    ("correlation", (_lacking(CORRELATIONS[0]), _lacking(CORRELATIONS[1])), _lacking, "single objects are mixed up"),
    ("spread", SPREADS, _apart, "spread otherwise"),
)
"""Figures, how far they may be off for either verdict, how far they are, and what is said of those beyond."""


class Feature(NamedTuple):
    """A read-out of an object: of what it tells, and what it is."""

    family: Literal["shape", "intensity", "texture"]
    meaning: str


FEATURES = {
    "size": Feature("shape", "pixels, or voxels, of an object"),
    "eccentricity": Feature("shape", "0 of a circle, 1 of a line"),
    "solidity": Feature("shape", "share of its convex hull that it fills"),
    "form_factor": Feature("shape", "4π area / perimeter²: 1 of a circle, less of what is ragged"),
    "extent": Feature("shape", "share of its bounding box that it fills"),
    "mean": Feature("intensity", "mean grey value"),
    "deviation": Feature("intensity", "standard deviation of grey values within an object"),
    "integrated": Feature("intensity", "sum of grey values"),
    "contrast": Feature("texture", "how much neighbours differ (Haralick)"),
    "homogeneity": Feature("texture", "how alike neighbours are (Haralick)"),
    "correlation": Feature("texture", "how far neighbours go together (Haralick)"),
}
"""By name; those of volumes are size and extent, and all that is measured in grey values."""
OF_PLANES = ("eccentricity", "solidity", "form_factor")
TEXTURES = ("contrast", "homogeneity", "correlation")
Measured = dict[str, NDArray[np.float64]]
"""By the name of a feature its value of each object (N,); NaN where it has none."""


def numbered(labels: NDArray[Any]) -> NDArray[np.intp]:
    """The objects of at least 10 px ([Z,] Y, X) as 1, 2, … in the order of their labels; 0 is no object."""
    values, dense, sizes = numbers_of(labels.ravel())
    kept = (values != 0) & (sizes >= SMALLEST)
    places: NDArray[np.intp] = np.where(kept, kept.cumsum(), 0)[dense].reshape(labels.shape)
    return places


def shapes(objects: NDArray[np.intp]) -> Measured:
    """Size and shape of each of the `numbered` objects ([Z,] Y, X), in pixels.

    References
    ----------
    Form factor with the perimeter of Crofton's formula, as scikit-image computes it.
    """
    planes = objects.ndim == 2
    wanted = ("area", "extent", *(("eccentricity", "solidity", "perimeter_crofton") if planes else ()))
    found = regionprops_table(objects, properties=wanted)
    told = {"size": found["area"], "extent": found["extent"]}
    if planes:
        with np.errstate(divide="ignore", invalid="ignore"):
            roundness = 4 * np.pi * found["area"] / found["perimeter_crofton"] ** 2
        told |= {"eccentricity": found["eccentricity"], "solidity": found["solidity"], "form_factor": roundness}
    return {name: np.asarray(values, np.float64) for name, values in told.items()}


def greys(objects: NDArray[np.intp], image: NDArray[Any], ends: tuple[float, float]) -> Measured:
    """Intensity and texture of each of the `numbered` objects in an image ([Z,] Y, X).

    Textures are of 16 grey levels between `ends`, of neighbours in four directions within each plane, one pixel apart.
    Pixels that are no finite number are left out. An object without any other has no intensity; one without neighbours
    has no texture, one of a single level no correlation.

    References
    ----------
    Haralick et al., "Textural features for image classification", 1973; see `skimage.feature.graycoprops`.
    """
    n, values = int(objects.max()), image.astype(np.float64)
    known = np.isfinite(values)
    objects, values = np.where(known, objects, 0), np.where(known, values, 0.0)
    index = range(1, n + 1)
    sizes = np.bincount(objects.ravel(), minlength=n + 1)[1:]
    told: Measured = {name: np.zeros(0) for name in ("mean", "deviation", "integrated")}
    if n:
        with np.errstate(invalid="ignore"):  # of no pixels: the background's where objects cover all, unknown objects
            deviation = ndimage.standard_deviation(values, objects, index)
            told = {"mean": ndimage.mean(values, objects, index), "deviation": deviation}
        told["integrated"] = told["mean"] * sizes
    low, high = ends
    levels = np.clip((values - low) / ((high - low) or 1.0) * LEVELS, 0, LEVELS - 1).astype(np.intp)
    counts = np.zeros((n + 1) * LEVELS**2)
    for down, right in ((0, 1), (1, 1), (1, 0), (1, -1)):
        here = (..., slice(None, -down or None), slice(max(-right, 0), -max(right, 0) or None))
        there = (..., slice(down, None), slice(max(right, 0), min(right, 0) or None))
        same = (objects[here] == objects[there]) & (objects[here] > 0)
        pairs = (objects[here][same] * LEVELS + levels[here][same]) * LEVELS + levels[there][same]
        counts += np.bincount(pairs, minlength=len(counts))
    matrices = np.moveaxis(counts.reshape(-1, LEVELS, LEVELS)[1:], 0, -1)
    both = (matrices + matrices.swapaxes(0, 1))[..., None]
    n_levels = (both.sum(axis=(1, 3)) > 0).sum(axis=0)
    for name in TEXTURES:
        told[name] = graycoprops(both, name)[:, 0] if n else np.zeros(0)
        told[name][n_levels < (2 if name == "correlation" else 1)] = np.nan  # where scikit-image says 0 or 1
    return told


@dataclass
class _Frame:
    group: str
    found: Measured
    true: Measured
    pairs: NDArray[np.intp]
    """Which found object is which true one, (2, matches)."""


@dataclass
class Populations:
    """Gathers the objects of predictions and of targets, frame by frame.

    Parameters
    ----------
    same
        Whether both sides are the very same objects, so that shapes tell nothing.
    """

    same: bool = False
    frames: list[_Frame] = field(default_factory=list)

    def add(
        self,
        objects: tuple[NDArray[Any], NDArray[Any]],
        images: tuple[NDArray[Any], NDArray[Any]] | None,
        ends: tuple[float, float],
        group: str,
    ) -> None:
        """Measure the labels ([Z,] Y, X) of a prediction and its target, each in its image, if there are any."""
        a, b = (numbered(labels) for labels in objects)
        told: list[Measured] = []
        for side, image in zip((a, b), images or (None, None), strict=True):
            own = {} if self.same else shapes(side)
            told.append(own if image is None else own | greys(side, image, ends))
        overlap = Overlap(a, b)
        pairs = np.stack([overlap.columns, overlap.rows])[:, overlap.iou > 0.5]
        self.frames.append(_Frame(group, told[0], told[1], pairs))

    def report(self) -> dict[str, Any] | None:
        """What both populations of objects tell, with intervals over groups; None where nothing was measured.

        ``n``: objects of the ``prediction`` and the ``target``, and ``matched``, pairs whose IoU is above 0.5.
        ``readouts``, by name: its ``family`` and ``meaning``; ``mean_prediction`` and ``mean_target``; ``correlation``
        over matched objects; ``bias``, the difference of the means; ``standardized_difference``, that as a share of the
        standard deviation, the root of the mean of both variances; ``spread``, the standard deviation of the prediction
        as a share of the target's; the ``verdict`` and ``why``. ``sentence``: how many are what.

        References
        ----------
        Standardized differences: Cohen, "Statistical Power Analysis for the Behavioral Sciences", 1988. That an
        interval must lie within limits: Schuirmann, "A comparison of the two one-sided tests procedure and the power
        approach for assessing the equivalence of average bioavailability", 1987.
        """
        if not self.frames:
            return None
        groups, member = np.unique([frame.group for frame in self.frames], return_inverse=True)
        drawn = resamples(len(groups)) if len(groups) > 1 else None
        n = [sum(len(next(iter(side(frame).values()))) for frame in self.frames) for side in (_found, _true)]
        matched = sum(frame.pairs.shape[1] for frame in self.frames)
        readouts = {}
        for name in (name for name in FEATURES if name in self.frames[0].found):
            sums = np.zeros((len(groups), 12))
            for i, frame in zip(member, self.frames, strict=True):
                a, b = frame.found[name], frame.true[name]
                x, y = b[frame.pairs[1]], a[frame.pairs[0]]
                both = np.isfinite(x) & np.isfinite(y)
                x, y = x[both], y[both]
                sums[i] += [*_moments(a), *_moments(b), x.size, x.sum(), y.sum(), x @ x, x @ y, y @ y]
            values = _figures(sums.sum(axis=0)[None])
            again = None if drawn is None else _figures(drawn @ sums)
            told = {
                key: figure(float(value[0]), None if again is None else again[key]) for key, value in values.items()
            }
            verdict, why = judged(told, (n[0], n[1]), matched)
            means = {f"mean_{side}": told.pop(f"mean_{side}")["value"] for side in ("prediction", "target")}
            readouts[name] = {**FEATURES[name]._asdict(), **means, **told, "verdict": verdict, "why": why}
        counts = {"prediction": n[0], "target": n[1], "matched": matched}
        return {"n": counts, "readouts": readouts, "sentence": _sentence(readouts)}


def _found(frame: _Frame) -> Measured:
    return frame.found


def _true(frame: _Frame) -> Measured:
    return frame.true


def _moments(values: NDArray[np.float64]) -> tuple[float, float, float]:
    values = values[np.isfinite(values)]
    return float(values.size), float(values.sum()), float(values @ values)


def _figures(sums: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
    """From sums (N, 12): n, x, xx of the prediction and of the target; n, x, y, xx, xy, yy of matched objects."""
    sides = []
    with np.errstate(divide="ignore", invalid="ignore"):
        for n, x, xx in (sums[:, :3].T, sums[:, 3:6].T):
            sides.append((x / n, np.maximum(xx / n - (x / n) ** 2, 0)))
        (mean, variance), (true, true_variance) = sides
        n, x, y, xx, xy, yy = sums[:, 6:].T
        vx, vy, shared = xx / n - (x / n) ** 2, yy / n - (y / n) ** 2, xy / n - x * y / n**2
        spread = np.where(true_variance > 1e-12 * true**2, np.sqrt(variance / true_variance), np.nan)
        usual = np.sqrt((variance + true_variance) / 2)
        varies = (vx > 1e-12 * (xx / n)) & (vy > 1e-12 * (yy / n))
        return {
            "mean_prediction": mean,
            "mean_target": true,
            "correlation": np.where(varies, shared / np.sqrt(vx * vy), np.nan),
            "bias": mean - true,
            "standardized_difference": np.where(np.isfinite(spread), (mean - true) / usual, np.nan),
            "spread": spread,
        }


def judged(told: dict[str, Figure], n: tuple[int, int], matched: int) -> tuple[Verdict, str]:
    """Whether a read-out may be used, and why not, or why with care.

    Usable where all figures and both ends of their intervals lie within the stricter limits; not where a figure lies
    beyond the looser ones; else with care, and so wherever there are no intervals.
    """
    if min(n) < FEWEST:
        return "not known", f"{min(n)} objects are too few"
    if matched < FEWEST:
        return "not", f"only {matched} of {n[1]} true objects have a predicted one"
    if told["spread"]["value"] is None:
        return "not known", "all true objects are alike"
    if told["correlation"]["value"] is None:
        return "not", "predicted objects are all alike"
    beyond: dict[Verdict, list[str]] = {"not": [], "with care": []}
    sure = True
    for name, (strict, loose), off, said in LIMITS:
        one = told[name]
        ends = [off(value) for value in (one["value"], one["low"], one["high"]) if value is not None]
        if ends[0] > strict:
            beyond["not" if ends[0] > loose else "with care"].append(said)
        sure = sure and len(ends) == 3 and max(ends) <= strict
    for verdict, reasons in beyond.items():
        if reasons:
            return verdict, ", ".join(reasons)
    if sure:
        return "usable", "in images like these"
    alone = told["correlation"]["low"] is None
    return "with care", "one image or group tells nothing of another" if alone else "too few images to be sure"


def _sentence(readouts: dict[str, Any]) -> str:
    by_verdict: dict[str, list[str]] = {}
    for name, one in readouts.items():
        by_verdict.setdefault(one["verdict"], []).append(f"{one['family']} {name.replace('_', ' ')}")
    order: Sequence[str] = ("usable", "with care", "not", "not known")
    said = [f"{verdict}: {', '.join(by_verdict[verdict])}" for verdict in order if verdict in by_verdict]
    return f"Of {len(readouts)} read-outs of objects: {'; '.join(said)}."
