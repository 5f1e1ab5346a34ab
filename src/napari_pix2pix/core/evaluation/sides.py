"""What all sources, or all targets, hold."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_pix2pix.core.encodings.kinds import Kind
from napari_pix2pix.core.encodings.masks import mixed_codings
from napari_pix2pix.core.evaluation.remarks import Figures, Remark, Remedy
from napari_pix2pix.core.geometry.axes import AxesPlan

SATURATED = 0.01
"""No warning: a smaller share of values at the highest one."""


@dataclass
class Side:
    """What all sources, or all targets, hold; summed up in one pass over pieces of their frames."""

    side: str
    plans: Sequence[AxesPlan]
    is_labels: bool
    dtypes: set[str] = field(default_factory=set)
    names: dict[int, str] = field(default_factory=dict)
    """Of the frames, by their numbers."""
    ends: dict[int, tuple[float, float]] = field(default_factory=dict)
    """Lowest and highest value of the frames."""
    holed: set[int] = field(default_factory=set)
    """The frames that are not finite."""
    n_labels: int = 0
    n_values: int = 0
    lowest: float = np.inf
    highest: float = -np.inf
    n_highest: int = 0
    codes: set[int] | None = field(default_factory=set)
    """Of masks, each of one value beside 0, these values; None where they are no masks."""
    in_parts: bool = False
    """Whether a mask has several parts."""
    _labels: set[int] = field(default_factory=set)
    """Those of the frame whose pieces come."""

    def add(self, values: NDArray[Any], frame: int, name: str) -> None:
        """A piece (C, Y, X) of a frame; those of one frame come one after another."""
        if frame not in self.names:
            self.names[frame], self._labels = name, set()
        self.n_values += values.size
        self.dtypes.add(str(values.dtype))
        if values.dtype.kind == "f" and not np.isfinite(values).all():
            self.holed.add(frame)
            return
        low, high = float(values.min()), float(values.max())
        before = self.ends.get(frame, (low, high))
        self.ends[frame] = min(low, before[0]), max(high, before[1])
        if self.is_labels:
            self._count(values)
        if high > self.highest:
            self.n_highest = 0
        self.lowest, self.highest = min(self.lowest, low), max(self.highest, high)
        if high == self.highest:
            self.n_highest += int(np.count_nonzero(values == values.max()))

    def _count(self, values: NDArray[Any]) -> None:
        labels = {int(value) for value in np.unique(values)} - {0}
        self.n_labels += len(labels - self._labels)
        self._labels |= labels
        if len(values) > 1 or len(self._labels) > 1:
            self.codes = None
        elif self.codes is not None:
            self.codes |= labels
            if not self.in_parts and labels:
                self.in_parts = bool(ndimage.label(values[0])[1] > 1)

    @property
    def n_frames(self) -> int:
        """Of all of them."""
        return len(self.names)

    @property
    def constant(self) -> list[str]:
        """The frames of one value, by their names."""
        return [
            self.names[frame] for frame, (low, high) in self.ends.items() if low == high and frame not in self.holed
        ]

    @property
    def empty(self) -> list[int]:
        """The frames that are 0 everywhere, by their numbers."""
        return [frame for frame, ends in self.ends.items() if ends == (0, 0)]

    def unusable(self) -> list[Remark]:
        """What keeps them from being trained on."""
        if self.holed:
            others = f" (and {len(self.holed) - 1} more)" if len(self.holed) > 1 else ""
            first = self.names[min(self.holed)]
            text = f"The {self.side} of {first}{others} holds NaN or Inf. Replace these pixels or leave it out."
            return [Remark(text, level="unusable")]
        if len(self.constant) == self.n_frames:
            text = f"Every {self.side} is constant. Check that these are the right files."
            return [Remark(text, level="unusable")]
        return []

    @property
    def saturated(self) -> float | None:
        """The share of values at the highest one; None for labels, of which every value is one."""
        return None if self.is_labels else self.n_highest / self.n_values

    def warnings(self) -> list[Remark]:
        """What to look at."""
        found = []
        if self.saturated and self.saturated > SATURATED and len(self.constant) < self.n_frames:
            share = f"{_percent(self.saturated)} of the values are {self.highest:g}"
            found.append(Remark(f"The {self.side}s are saturated: {share}.", f"{self.side}s saturated: {share}"))
        n_constant = len(self.constant) - (len(self.empty) if self.is_labels else 0)
        if 0 < n_constant < self.n_frames:
            counted = f"{n_constant} of {self.n_frames} {self.side}s are constant"
            found.append(Remark(f"{counted}; one is that of {self.constant[0]}.", counted))
        return found

    def as_masks(self, kind: Kind) -> list[Remark]:
        """What to look at where each image is a mask."""
        if kind == "classes" and self.codes and (sentence := mixed_codings(self.codes)):
            listed = " and ".join(f"0/{code}" for code in sorted(self.codes)[:3])
            short, one = f"masks of {listed} are {len(self.codes) + 1} classes: one thing?", {"foreground": True}
            return [Remark(sentence, short, remedies=(Remedy("Take as one", one),))]
        if kind == "instances" and self.codes and self.in_parts:
            text = (
                f"Each {self.side} holds one label for all its objects: a mask? Then number its objects (connected "
                "components), or give `target_kind` classes."
            )
            masks = Remedy("Take as classes", {"target_kind": "classes"})
            return [Remark(text, f"each {self.side} is one object in parts: a mask?", remedies=(masks,))]
        return []

    def figures(self) -> Figures:
        """As JSON."""
        known = self.highest > -np.inf
        labels = {"n_empty": len(self.empty), "n_labels": self.n_labels} if self.is_labels else {}
        return {
            "axes": sorted({plan.axes for plan in self.plans}),
            "dtypes": sorted(self.dtypes),
            "channels": self.plans[0].n_channels,
            "range": [self.lowest, self.highest] if known else None,
            "saturated": self.saturated,
            "n_constant": len(self.constant),
            "n_not_finite": len(self.holed),
        } | labels


def _percent(share: float) -> str:
    return f"{100 * share:.{0 if share >= 0.1 else 1}f} %"
