"""For each kind of target: the figures of a frame, and what is told of all frames together."""

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_pix2pix.core.encodings.kinds import MOST_CLASSES, Kind
from napari_pix2pix.core.evaluation.metrics import classes as of_class
from napari_pix2pix.core.evaluation.metrics import intensities
from napari_pix2pix.core.evaluation.metrics.errors import strays
from napari_pix2pix.core.evaluation.metrics.fourier import Spectra
from napari_pix2pix.core.evaluation.metrics.frames import Frame, Frames
from napari_pix2pix.core.evaluation.metrics.instances import of_instances
from napari_pix2pix.core.evaluation.metrics.intervals import Figure, Row, summarize

SMOOTHING = 1.0
"""Width, px, of the filter before a threshold finds invented and missing objects in grey values."""


class Judge(Protocol):
    """What the figures of a kind of target are."""

    labels: bool

    def figures(self, prediction: NDArray[Any], target: NDArray[Any], known: NDArray[np.bool_]) -> Row:
        """Of one frame (C, [Z,] Y, X), where each of its channels is known, (C, [Z,] Y, X)."""

    def add(self, prediction: NDArray[Any], frame: Frame) -> Row:
        """The figures of a frame, which is counted; with the objects that are invented and missing."""

    def structure(self, image: NDArray[Any]) -> NDArray[Any]:
        """What of an image (C, [Z,] Y, X) shows where things lie."""

    def report(self, pixel_size_um: dict[str, float] | None) -> dict[str, Any]:
        """What is told of all frames that were counted, beside the means of their figures."""


class IntensityJudge:
    """Grey values; ranges and Otsu's levels are those of all frames together, channel by channel.

    They are None of a channel of which no frame tells anything.
    """

    labels = False

    def __init__(self, frames: Frames) -> None:
        first = frames[0].target
        histograms = intensities.histograms(
            lambda: (frame.values(frame.target) for frame in frames), len(first), first.dtype.kind in "iub"
        )
        known = [histogram for histogram in histograms if histogram is not None]
        self.data_range = max(one.high for one in known) - min(one.low for one in known)
        self.ranges: list[float | None] = [None if one is None else one.high - one.low for one in histograms]
        self.levels = [None if one is None else one.otsu() for one in histograms]
        self.medians = [0.0 if one is None else one.median() for one in histograms]
        self.spectra = Spectra(len(first))
        self.by_channel: list[list[tuple[Row, str]]] = [[] for _ in first]
        """The figures of each frame that has the channel, and its group."""

    def _channels(self, prediction: NDArray[Any], target: NDArray[Any], known: NDArray[np.bool_]) -> list[Row]:
        return [
            intensities.of_channel(*channel)
            for channel in zip(prediction, target, known, self.ranges, self.levels, strict=True)
        ]

    def figures(self, prediction: NDArray[Any], target: NDArray[Any], known: NDArray[np.bool_]) -> Row:
        """As in `Judge`."""
        return intensities.joined(self._channels(prediction, target, known), self.data_range)

    def add(self, prediction: NDArray[Any], frame: Frame) -> Row:
        """As in `Judge`."""
        known = frame.known_channels
        channels = self._channels(prediction, frame.target, known)
        for rows, row, there in zip(self.by_channel, channels, frame.stained, strict=True):
            if there:
                rows.append((row, frame.group))
        self.spectra.add(prediction, frame.target, known, frame.group)
        bright, true = self._bright(prediction), self._bright(frame.target)
        return intensities.joined(channels, self.data_range) | _strays(bright, true, known)

    def _bright(self, image: NDArray[Any]) -> NDArray[np.bool_]:
        around = (0.0,) * (image.ndim - 3) + (SMOOTHING, SMOOTHING)
        return np.stack(
            [
                np.zeros(channel.shape, bool)
                if level is None
                else ndimage.gaussian_filter(channel.astype(np.float32), around) > level
                for channel, level in zip(image, self.levels, strict=True)
            ]
        )

    def structure(self, image: NDArray[Any]) -> NDArray[Any]:
        """The grey values."""
        return image

    def report(self, pixel_size_um: dict[str, float] | None) -> dict[str, Any]:
        """``ranges``, ``spectra`` of each channel and, of several, the metrics of each as ``channels``."""
        found: dict[str, Any] = {
            "ranges": {
                "data_range": self.data_range,
                "channels": self.ranges,
                "ssim_window": intensities.WINDOW,
                "foreground_above": self.levels,
            },
            "spectra": self.spectra.report(pixel_size_um),
        }
        if len(self.by_channel) > 1:
            found["channels"] = [_summary(rows or [(intensities.NOT_KNOWN, "")]) for rows in self.by_channel]
        return found


class ClassJudge:
    """Classes, by their labels in ascending order; the lowest is the background."""

    labels = True

    def __init__(self, classes: Sequence[int]) -> None:
        if len(classes) > MOST_CLASSES:
            raise ValueError(
                f"Images of classes must have at most {MOST_CLASSES} labels; got {len(classes)}. Choose the kind "
                "instances or intensity."
            )
        self.classes = list(classes)
        self.counts = np.zeros((len(classes), len(classes)), np.int64)
        self.by_class: list[list[tuple[Row, str]]] = [[] for _ in classes]

    def figures(self, prediction: NDArray[Any], target: NDArray[Any], known: NDArray[np.bool_]) -> Row:
        """As in `Judge`."""
        return of_class.of_classes(of_class.confusion(prediction[known], target[known], self.classes))

    def add(self, prediction: NDArray[Any], frame: Frame) -> Row:
        """As in `Judge`."""
        known = frame.known
        counts = of_class.confusion(prediction[0][known], frame.target[0][known], self.classes)
        self.counts += counts
        for rows, row in zip(self.by_class, of_class.of_each_class(counts), strict=True):
            rows.append((row, frame.group))
        found, true = prediction != self.classes[0], frame.target != self.classes[0]
        return of_class.of_classes(counts) | _strays(found, true, known)

    def structure(self, image: NDArray[Any]) -> NDArray[Any]:
        """A mask of each class but the lowest."""
        return np.stack([image[0] == value for value in self.classes[1:] or self.classes])

    def report(self, pixel_size_um: dict[str, float] | None) -> dict[str, Any]:
        """``confusion``: ``labels`` and ``counts`` of pixels (target, prediction); ``classes``: metrics by label."""
        names = [str(value) for value in self.classes]
        return {
            "confusion": {"labels": self.classes, "counts": self.counts.tolist()},
            "classes": {name: _summary(rows) for name, rows in zip(names, self.by_class, strict=True)},
        }


class InstanceJudge:
    """Objects, one label each; 0 is the background."""

    labels = True

    def figures(self, prediction: NDArray[Any], target: NDArray[Any], known: NDArray[np.bool_]) -> Row:
        """As in `Judge`."""
        return of_instances(prediction[0], target[0], known[0])

    def add(self, prediction: NDArray[Any], frame: Frame) -> Row:
        """As in `Judge`."""
        return self.figures(prediction, frame.target, frame.known_channels)

    def structure(self, image: NDArray[Any]) -> NDArray[Any]:
        """The mask of all objects."""
        return image[:1] > 0

    def report(self, pixel_size_um: dict[str, float] | None) -> dict[str, Any]:
        """Nothing more."""
        return {}


def _summary(rows: Sequence[tuple[Row, str]]) -> dict[str, Figure]:
    """The means of these figures, each with its group, over groups."""
    return summarize([row for row, _ in rows], [group for _, group in rows])


def _strays(prediction: NDArray[np.bool_], target: NDArray[np.bool_], known: NDArray[np.bool_]) -> Row:
    """``invented`` and ``missing`` objects of all channels; ``objects`` and ``objects_target``, how many there are.

    Where it is known, ([C,] [Z,] Y, X). A prediction that covers all of it, as a blank one may, shows no object of a
    target that covers less than half.
    """
    pairs = []
    for found, true, there in zip(prediction, target, np.broadcast_to(known, target.shape), strict=True):
        blank = found[there].all() and 2 * int(true[there].sum()) < int(there.sum())
        pairs.append((found & there & (not blank), true & there))
    sides = [np.sum([strays(*sides) for sides in some], axis=0) for some in (pairs, [pair[::-1] for pair in pairs])]
    (invented, found), (missing, true) = (side.astype(float) for side in sides)
    return {"invented": invented, "missing": missing, "objects": found, "objects_target": true}


def judge_of(kind: Kind, frames: Frames, classes: Sequence[int]) -> Judge:
    """The judge of this kind of target; of classes with these, ascending."""
    if kind == "intensity":
        return IntensityJudge(frames)
    return ClassJudge(classes) if kind == "classes" else InstanceJudge()
