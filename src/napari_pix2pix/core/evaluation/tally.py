"""The figures of one evaluation, gathered frame by frame."""

import warnings
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from napari_pix2pix.core.data.conditions import NOT_KNOWN
from napari_pix2pix.core.data.pairs import PairedFrames
from napari_pix2pix.core.data.shifts import displacement
from napari_pix2pix.core.encodings.kinds import Kind
from napari_pix2pix.core.evaluation.headlines import HEADLINES
from napari_pix2pix.core.evaluation.metrics.baselines import Baseline, constant_image, fit_baselines
from napari_pix2pix.core.evaluation.metrics.comparison import higher_is_better
from napari_pix2pix.core.evaluation.metrics.errors import moved
from napari_pix2pix.core.evaluation.metrics.features import Populations
from napari_pix2pix.core.evaluation.metrics.fourier import pixel_size
from napari_pix2pix.core.evaluation.metrics.frames import Frame, Frames
from napari_pix2pix.core.evaluation.metrics.intervals import Row, summarize
from napari_pix2pix.core.evaluation.metrics.judges import IntensityJudge, judge_of
from napari_pix2pix.core.evaluation.metrics.objects import Counted, ObjectCounts, Stain

ONE_GROUP = "All is from one image or group: figures from within it say nothing about another."
KindOfPairs = Literal["test", "validation", "calibration", "train"]


class Tally:
    """The figures of one evaluation, gathered frame by frame."""

    def __init__(
        self,
        pairs: PairedFrames,
        kind: Kind,
        classes: Sequence[int],
        objects: Counted,
        stain: Stain,
        pixel_size_um: dict[str, float] | None,
        remark: str | None = None,
    ) -> None:
        self.pairs, self.kind, self.pixel_size_um, self.remark = pairs, kind, pixel_size_um, remark
        self.frames, self.conditions = Frames(pairs), pairs.conditions
        if (objects is not None or stain is not None) and kind != "intensity":
            raise ValueError(
                f"Objects and stains must be measured in grey values; the targets are {kind}, which are counted "
                "anyway. Leave out `objects` and `stain`."
            )
        if stain is not None and not self.frames.stained.all():
            raise ValueError("A stain must be looked for in colours; some targets have not all. Leave out `stain`.")
        if kind == "classes":
            self.counts = self._count_classes(classes)
            classes = sorted(self.counts)
        self.classes = list(classes) if kind == "classes" else []
        self.judge = judge_of(kind, self.frames, self.classes)
        self.objects = ObjectCounts(self.frames, objects, stain) if objects or stain else None
        self.populations = Populations() if kind == "instances" else None
        self.measured = False
        self.baselines: dict[str, Baseline] = {}
        self.rows: list[Row] = []
        self.others: dict[str, list[Row]] = {}
        self.shifts: list[tuple[float, float] | None] = []
        self.ceiling: list[tuple[Row, str]] = []
        self.known = self.pixels = 0

    def _count_classes(self, classes: Sequence[int]) -> dict[int, int]:
        """Pixels of each class; without `classes`, of all labels in the targets and in their predictions."""
        counts = dict.fromkeys(classes, 0)
        for frame in self.frames:
            values, found = np.unique(frame.target[0][frame.known], return_counts=True)
            for value, count in zip(values.tolist(), found.tolist(), strict=True):
                counts[int(value)] = counts.get(int(value), 0) + count
            if not classes:
                counts |= {int(v): counts.get(int(v), 0) for v in np.unique(frame.source[0][frame.known]).tolist()}
        return counts

    def fit(self, with_source: bool, measured: bool = False) -> None:
        """Make the baselines, from the sources too where these are no predictions.

        Objects are `measured` in sources that are grey values.
        """
        self.measured = measured
        if isinstance(self.judge, IntensityJudge):
            self.baselines["constant"] = constant_image(self.judge.medians)
        elif self.kind == "classes":
            self.baselines["constant"] = constant_image([max(self.counts, key=self.counts.__getitem__)])
        if with_source:
            self.baselines |= fit_baselines(self.frames, self.kind, self.classes)

    def add(
        self,
        number: int,
        prediction: NDArray[Any],
        beside: Mapping[str, NDArray[Any]],
        draws: Sequence[NDArray[Any]] = (),
    ) -> None:
        """Judge the prediction of the next frame and its draws, baselines, and what other models made `beside` it."""
        frame = self.frames[len(self.rows)]
        assert frame.number == number
        judge, target, known = self.judge, frame.target, frame.known_channels
        self.known += int(known.sum())
        self.pixels += known.size
        for name, made in (*((n, make(frame.source)) for n, make in self.baselines.items()), *beside.items()):
            figures = self._figures(made, frame) if name in beside else judge.figures(made, target, known)
            self.others.setdefault(name, []).append(figures)
        if not self._is_finite(prediction, frame):
            self.rows.append(self._unknown(frame) | dict.fromkeys(("invented", "missing", "objects", "objects_target")))
            self.shifts.append(None)
            return
        self.rows.append(judge.add(prediction, frame))
        a, b = (judge.structure(frame.there(image)) for image in (prediction, target))
        shift = displacement(a, b, frame.known)
        self.shifts.append(shift)
        if shift is not None:
            off, inside = moved(target, shift, labels=judge.labels)
            if (both := known & inside).any():
                self.ceiling.append((judge.figures(off, target, both), frame.group))
        if self.objects is not None:
            self.objects.add(prediction, frame, draws)
        if self.populations is not None:
            labels = (np.where(frame.known, prediction[0], 0), np.where(frame.known, target[0], 0))
            grey = np.nan_to_num(frame.source.astype(np.float64)).mean(axis=0) if self.measured else None
            ends = (0.0, 1.0) if grey is None else (float(grey.min()), float(grey.max()))
            self.populations.add(labels, None if grey is None else (grey, grey), ends, frame.group)

    def _figures(self, prediction: NDArray[Any], frame: Frame) -> Row:
        if not self._is_finite(prediction, frame):
            return self._unknown(frame)
        return self.judge.figures(prediction, frame.target, frame.known_channels)

    def _is_finite(self, prediction: NDArray[Any], frame: Frame) -> bool:
        if prediction.dtype.kind != "f" or np.isfinite(frame.there(prediction)[:, frame.known]).all():
            return True
        warnings.warn(f"The prediction of {frame.name} holds NaN or Inf; it has no figures.", stacklevel=4)
        return False

    def _unknown(self, frame: Frame) -> Row:
        return dict.fromkeys(self.judge.figures(frame.target, frame.target, frame.known_channels))

    def told(self, kind_of_pairs: KindOfPairs, seen: Mapping[str, str]) -> dict[str, Any]:
        """The report, as `evaluate` describes it."""
        frames, groups = self.frames, self.frames.groups
        over = "frames" if frames.one_group else "groups" if frames.grouped else "images"
        metrics = summarize(self.rows, groups)
        return {
            "kind": self.kind,
            "kind_of_pairs": kind_of_pairs,
            "n": len(self.rows),
            "known_share": self.known / self.pixels,
            "intervals": {"over": over, "n": len(set(groups))},
            "remarks": self._remarks(seen),
            "metrics": metrics,
            "baselines": {name: summarize(rows, groups) for name, rows in self.others.items()},
            "ceiling": {
                "n": len(self.ceiling),
                "metrics": summarize([row for row, _ in self.ceiling], [group for _, group in self.ceiling]),
            },
            **self._stains(),
            **self.judge.report(self.pixel_size_um),
            "errors": self._errors(),
            **(self.objects.report() if self.objects else {}),
            **({"features": [self.populations.report()]} if self.populations else {}),
            **self._by_condition(),
            "files": self._files(seen),
        }

    def _stains(self) -> dict[str, Any]:
        """``stains``, of several channels that are no colours: the name, how many frames (``n``) and pairs."""
        if self.pairs.n_channels[1] == 1 or any(plan.channel_axis == "S" for plan in self.pairs.target_plans):
            return {}
        stacks = np.array([self.pairs.places[number][0] for number in self.frames.numbers])
        having = self.frames.stained.T
        told = [{"n": int(has.sum()), "pairs": len(set(stacks[has].tolist()))} for has in having]
        return {"stains": [{"name": self.pairs.stain(i), **one} for i, one in enumerate(told)]}

    def _by_condition(self) -> dict[str, Any]:
        """``conditions``, by class how many frames are of it and their metrics; of those that none is known of, too."""
        known = self.conditions
        if not known.sets:
            return {}
        bears = [self.pairs.bears(number) for number in self.frames.numbers]
        found: dict[str, list[int]] = {}
        for name in known.names:
            wanted = known.labels_of(name).items()
            found[name] = [i for i, labels in enumerate(bears) if labels.items() >= wanted]
        found[NOT_KNOWN] = [i for i, labels in enumerate(bears) if not any(labels.values())]
        rows, groups = self.rows, self.frames.groups
        return {
            "conditions": {
                name: {"n": len(own), "metrics": summarize([rows[i] for i in own], [groups[i] for i in own])}
                for name, own in found.items()
                if own
            }
        }

    def _remarks(self, seen: Mapping[str, str]) -> list[str]:
        remarks = [self.remark] if self.remark else []
        if seen:
            remarks.append(
                f"{len(seen)} of {len(self.rows)} made the model ({', '.join(sorted(set(seen.values())))} pairs): "
                "these figures say how well it remembers, not how well it predicts."
            )
        if not self.frames.stained.all():
            counts = dict(enumerate(self.frames.stained.sum(axis=0).tolist()))
            listed = ", ".join(f"{self.pairs.stain(i)} in {n or 'none'}" for i, n in counts.items())
            remarks.append(
                f"Not every image has every stain ({listed} of {len(self.rows)}): the figures of an image are of those "
                "that it has, each channel has its own, and images are ranked by their error as a share of what is "
                "usual of their stains."
            )
        if self.frames.one_group:
            remarks.append(ONE_GROUP)
        return remarks

    def _errors(self) -> dict[str, Any]:
        """What kinds of error there are, apart from each other."""
        area = self._area_mm2()
        strays = {}
        for name, among in (("invented", "objects"), ("missing", "objects_target")):
            sums = np.zeros((2, len(self.rows)))
            for i, key in enumerate((name, among)):
                sums[i] = [row[key] or 0.0 for row in self.rows]
            found, of = sums.sum(axis=1)
            strays[name] = {
                "objects": int(found),
                "of": int(of),
                "share": float(found / of) if of else None,
                "per_mm2": float(found / area) if area else None,
            }
        known = np.array([shift for shift in self.shifts if shift is not None]).reshape(-1, 2)
        lengths = np.hypot(*known.T)
        size = pixel_size(self.pixel_size_um)
        displaced = {
            "n": len(known),
            "pixels": np.median(known, axis=0).tolist() if len(known) else None,
            "length": float(np.median(lengths)) if len(known) else None,
            "length_um": float(np.median(lengths)) * size if len(known) and size else None,
        }
        spectra = self.judge.spectra.report(self.pixel_size_um) if isinstance(self.judge, IntensityJudge) else []
        soft = [{key: channel[key] for key in ("half", "half_per_um")} for channel in spectra]
        return {"soft": soft or None, "displaced": displaced, **strays}

    def _area_mm2(self) -> float | None:
        """Of all that is known, the mean of the channels; in volumes that of all planes."""
        size = self.pixel_size_um or {}
        known = self.known / self.pairs.n_channels[1]
        return known * size["Y"] * size["X"] / 1e6 if {"Y", "X"} <= size.keys() else None

    def _files(self, seen: Mapping[str, str]) -> list[dict[str, Any]]:
        """A row for each frame, the worst first."""
        rows: list[dict[str, Any]] = []
        for i, (number, group, row) in enumerate(zip(self.frames.numbers, self.frames.groups, self.rows, strict=True)):
            name, stack = self.pairs.name(number), self.pairs.places[number][0]
            said: dict[str, Any] = {"name": name, "group": group}
            if self.conditions.sets:
                said["condition"] = self.conditions.called(self.pairs.bears(number)) or NOT_KNOWN
            if self.pairs.hashes:
                said |= dict(zip(("source_sha256", "target_sha256"), self.pairs.hashes[stack], strict=True))
            said |= {"seen": seen[name]} if name in seen else {}
            if not self.frames.stained.all():
                said["stains"] = [self.pairs.stain(int(k)) for k in np.flatnonzero(self.frames.stained[i])]
            shift = self.shifts[i]
            rows.append(said | row | {"shift": None if shift is None else list(shift)})
        headline = HEADLINES[self.kind]
        sign, usual = 1 if higher_is_better(headline) else -1, self._usual_errors()

        def rank(i: int) -> float:
            return -np.inf if rows[i][headline] is None else sign * rows[i][headline] / usual[i]

        return [rows[i] for i in sorted(range(len(rows)), key=rank)]

    def _usual_errors(self) -> list[float]:
        """What the error of the stains of each frame is on average, where frames differ by these; else 1.

        Else one that lacks a bright stain would be among the best for that.
        """
        if self.frames.stained.all() or not isinstance(self.judge, IntensityJudge):
            return [1.0] * len(self.rows)
        own = ([row["mae"] for row, _ in rows if row["mae"] is not None] for rows in self.judge.by_channel)
        means = np.array([np.mean(errors) if errors else 0.0 for errors in own])
        return [float(means[stained].mean()) or 1.0 for stained in self.frames.stained]
