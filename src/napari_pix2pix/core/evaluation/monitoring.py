"""Whether expected errors can be trusted: what tells errors without the truth, held against the truth."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_pix2pix.core.evaluation.metrics.frames import Frame
from napari_pix2pix.core.evaluation.metrics.intervals import Figure, Row, finite, interval
from napari_pix2pix.core.evaluation.metrics.monitors import auroc, gap_closed, risk_curve, spearman, worst
from napari_pix2pix.core.evaluation.reliability import CALIBRATION, calibration_error, reliability
from napari_pix2pix.core.geometry.receptive_field import field_means
from napari_pix2pix.core.networks.layers import beside_stains
from napari_pix2pix.core.running.patch_scores import whole_scores
from napari_pix2pix.core.running.trained_model import TrainedModel
from napari_pix2pix.core.trust.judge import MatchJudge, pixel_errors

Fields = dict[str, NDArray[np.float32]]
"""What is known of the fields of one frame, (n,) each."""
MONITORS = ("expected_error", "match", "edges", "gradient")
"""What the judge of the match says, and two that need no network, which it must beat."""
EDGES = {"edges": "edges of the prediction alone", "gradient": "edges of the source alone"}
MOST_FIELDS = 5000
"""Of a frame with more fields, so many, evenly spaced, count."""
MOST_PIXELS = 2**14
"""The same of pixels."""
COVERAGES = tuple(share / 10 for share in range(1, 11))


class Monitoring:
    """The section *Can you trust the expected error?* of an evaluation, gathered frame by frame."""

    def __init__(self, model: TrainedModel, judge: MatchJudge) -> None:
        self.model, self.judge = model, judge
        self.frames: list[Fields] = []
        self.images: list[Row] = []
        """Of each frame its ``expected_error`` and ``error``; None where nothing is said."""
        self.pixels: list[tuple[NDArray[np.float32], ...] | None] = []
        """Of each frame expected and true errors, where errors are expected of pixels."""

    def add(self, prediction: NDArray[Any], frame: Frame) -> None:
        """Hold the fields of this prediction (C, [Z,] Y, X) that lie wholly inside against the truth.

        Of channels that the target has: a judge that was taught by pairs which lack some is told which these are.
        """
        encoding, network = self.model.target_encoding, self.judge.network
        inside = whole_scores(network.fields, frame.known.shape)
        if inside.any():
            inside = inside & (field_means(frame.known, network.fields) > 0.999)
        if not (inside.any() and np.isfinite(frame.source).all() and np.isfinite(prediction).all()):
            self.frames.append({})
            self.images.append({"expected_error": None, "error": None})
            self.pixels.append(None)
            return
        source = self.model.source_encoding.encode(frame.source)
        image, target = (encoding.encode(labels) for labels in (prediction, frame.target))
        foreground = target[0] if encoding.is_labels else frame.there(target).mean(axis=0)
        stains = None if frame.stained.all() else frame.stained
        shown = beside_stains(image, stains) if encoding.partial else image
        [scored] = self.model.under(frame.bears).judged(self.judge, source, [shown])
        wrong = pixel_errors(image, target, encoding, stains)
        known = frame.known & np.ones(wrong.shape, bool)
        self.images.append({"expected_error": scored.mean_error, "error": float(wrong[known].mean())})
        each = (scored.expected_pixels(tuple(slice(0, n) for n in wrong.shape)), wrong) if network.of_pixels else ()
        apart = -(-int(known.sum()) // MOST_PIXELS) | 1  # odd: no column of the image again and again
        self.pixels.append(tuple(values[known][::apart] for values in each) or None)
        found = {
            "error": field_means(wrong, network.fields),
            "expected_error": np.asarray(scored.expected_error),
            "match": -scored.scores,
            "edges": field_means(_steepness(frame.there(image)), network.fields),
            "gradient": field_means(_steepness(source), network.fields),
            "foreground": field_means(foreground, network.fields),
        }
        step = -(-int(inside.sum()) // MOST_FIELDS)
        self.frames.append({name: values[inside][::step] for name, values in found.items()})

    def report(self, groups: Sequence[str]) -> dict[str, Any]:
        """JSON: ``fields``, how many; ``monitors``, by name (high = bad); ``risk_coverage``; ``bound``; ``remarks``.

        Of each monitor the figures of `_figures`, ``pooled`` over all fields, and as mean ``per_image`` with its
        interval over groups; ``spearman_images``, of its mean in an image and the mean error there, over all images;
        and of errors that are expected of pixels the `reliability.calibration_error`, whose bins are ``reliability``,
        None where they are not. ``risk_coverage`` has the mean error of the fields trusted most, by the share of all
        that they are (``coverage``): by expected error, and ``best`` by the error itself; random is the last of either.
        ``bound`` is the share of fields that err less than their bound, None where the model promises none. ``mask`` is
        a sentence on which masks of what not to trust keep a promise, None where the model was not calibrated.
        """
        known = [fields for fields in self.frames if fields]
        if not known:
            empty = dict.fromkeys(("risk_coverage", "bound", "reliability"))
            return {"fields": 0, "monitors": {}, **empty, "remarks": [_NO_FIELDS]}
        pooled = {name: np.concatenate([fields[name] for fields in known]) for name in known[0]}
        monitors: dict[str, Any] = {}
        for name in MONITORS:
            rows = [_figures(name, fields) if fields else {} for fields in self.frames]
            monitors[name] = {
                figure: {
                    "pooled": finite(value),
                    "per_image": interval([finite(row.get(figure, np.nan)) for row in rows], groups),
                }
                for figure, value in _figures(name, pooled).items()
            }
            monitors[name]["spearman_images"] = {"pooled": self._ranks_images(name), "per_image": interval([None])}
        told = [pixels for pixels in self.pixels if pixels]
        bins = self._bins(*(np.concatenate(side) for side in zip(*told, strict=True))) if told else None
        if bins:
            of_each = interval([row[CALIBRATION] for row in self.rows], groups)
            monitors["expected_error"][CALIBRATION] = {"pooled": calibration_error(bins), "per_image": of_each}
        curves = (risk_curve(pooled[name], pooled["error"]) for name in ("expected_error", "error"))
        places = [max(0, round(share * pooled["error"].size) - 1) for share in COVERAGES]
        ours, best = ([float(curve[place]) for place in places] for curve in curves)
        return {
            "fields": int(pooled["error"].size),
            "monitors": monitors,
            "risk_coverage": {"coverage": list(COVERAGES), "expected_error": ours, "best": best},
            "bound": self._bound(groups),
            "reliability": bins,
            "mask": self.judge.calibration.mask_line if self.judge.calibration else None,
            "remarks": _remarks(monitors),
        }

    @property
    def rows(self) -> list[Row]:
        """Of each frame its mean ``expected_error``, and the calibration error where errors are expected of pixels."""
        found: list[Row] = [{"expected_error": image["expected_error"]} for image in self.images]
        if self.judge.network.of_pixels:
            for row, pixels in zip(found, self.pixels, strict=True):
                row[CALIBRATION] = calibration_error(self._bins(*pixels)) if pixels else None
        return found

    def _bins(self, told: NDArray[np.float32], true: NDArray[np.float32]) -> list[dict[str, float]]:
        return reliability(told, true, self.model.target_encoding.is_labels)

    def _ranks_images(self, monitor: str) -> float | None:
        """Spearman's correlation of its mean in an image with the mean error there."""
        known = [i for i, fields in enumerate(self.frames) if fields]
        means = [self.frames[i][monitor].mean() for i in known]
        if monitor == "expected_error":
            means = [self.images[i]["expected_error"] for i in known]
        return finite(spearman(np.array(means, float), np.array([self.images[i]["error"] for i in known], float)))

    def _bound(self, groups: Sequence[str]) -> Figure | None:
        calibration = self.judge.calibration
        if calibration is None or not calibration.promises:
            return None
        shares: list[float | None] = []
        for fields in self.frames:
            bound = calibration.bound(fields["expected_error"]) if fields else None
            shares.append(None if bound is None else float((fields["error"] <= bound).mean()))
        return interval(shares, groups)


_NO_FIELDS = "No field lies wholly inside an image and what is known of it: nothing is said about expected errors."


def _figures(name: str, fields: Fields) -> dict[str, float]:
    """How well this monitor tells the error of these fields.

    ``spearman`` correlation; ``spearman_foreground``, of the half of the fields with the more foreground, or brighter
    targets; ``beyond_edges``, partial, given the edges of the prediction and the gradient of the source;
    ``gap_closed`` of the risk-coverage curve between random and best; ``auroc_worst`` for the worst tenth.
    """
    monitor, error = fields[name], fields["error"]
    bright = fields["foreground"] >= np.median(fields["foreground"])
    bad = worst(error)
    return {
        "spearman": spearman(monitor, error),
        "spearman_foreground": spearman(monitor[bright], error[bright]),
        "beyond_edges": spearman(monitor, error, [fields[other] for other in EDGES if other != name]),
        "gap_closed": gap_closed(monitor, error),
        "auroc_worst": auroc(monitor[bad], monitor[~bad]),
    }


def _steepness(image: NDArray[np.float32]) -> NDArray[np.float32]:
    """The length of the gradient along Y and X, smoothed over 1 px, summed over the channels, ([Z,] Y, X)."""
    total = np.zeros(image.shape[1:], np.float32)
    along: Callable[..., NDArray[np.float32]] = ndimage.gaussian_filter
    for channel in image:
        flat = (0,) * (channel.ndim - 2)
        steps = [along(channel, (*flat, 1, 1), order=(*flat, *order)) for order in ((1, 0), (0, 1))]
        total += np.hypot(*steps)
    return total


def _remarks(monitors: dict[str, Any]) -> list[str]:
    """In a sentence, whether the expected error is worth looking at."""
    found = {name: monitors[name]["spearman"]["pooled"] for name in MONITORS}
    ours, best = found["expected_error"], max(EDGES, key=lambda name: found[name] or 0.0)
    edges = found[best] or 0.0
    if ours is None:
        return ["Errors do not vary, so nothing can tell them."]
    if ours <= edges:
        return [
            f"The expected error ranks fields no better than {EDGES[best]} do ({ours:.2f} against {edges:.2f}): do not "
            "rely on it here."
        ]
    return []
