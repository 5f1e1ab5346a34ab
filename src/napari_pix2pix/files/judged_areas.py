"""How far to trust parts of a slide: its worst regions for QuPath, and a mean for each annotation."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_pix2pix.core.engine.foreign_text import table_writer
from napari_pix2pix.core.geometry.areas import Area, Shape
from napari_pix2pix.core.running.patch_scores import PatchScores
from napari_pix2pix.files.areas import Wanted, write_shapes

MOST = 20
"""Regions that are told."""
CLASS = "Check: high expected error"
"""Of these regions in QuPath."""


@dataclass
class JudgedAreas:
    """Sums of the expected error over all that is wanted, and over each annotation."""

    wanted: Wanted
    _sums: NDArray[np.float64] = field(init=False, repr=False)
    """Of 1, of the expected error and of what is not to be trusted: all, then each annotation."""

    def __post_init__(self) -> None:
        across, down = self.wanted.scale
        self._shapes = [shape.scaled(1 / across, 1 / down) for shape in self.wanted.annotations]
        self._sums = np.zeros((1 + len(self._shapes), 3))

    def add(
        self,
        window: tuple[slice, slice],
        inside: NDArray[np.bool_],
        expected: NDArray[np.float32],
        untrusted: NDArray[np.bool_],
    ) -> None:
        """Look at the pixels of a window (rows, columns) that are `inside` the area."""
        self._sums[0] += inside.sum(), expected[inside].sum(dtype=np.float64), untrusted[inside].sum()
        for sums, shape in zip(self._sums[1:], self._shapes, strict=True):
            mask = np.zeros_like(inside)
            shape.add_to(mask, *window)
            mask &= inside
            if mask.any():
                sums += mask.sum(), expected[mask].sum(dtype=np.float64), untrusted[mask].sum()

    @property
    def row(self) -> dict[str, float]:
        """The mean expected error, and the share that is not to be trusted."""
        count, error, untrusted = self._sums[0]
        return {"expected_error": float(error / count), "untrusted": float(untrusted / count)}

    def write_table(self, path: Path) -> None:
        """Write for each annotation its name, its pixels in the result, its mean expected error, its untrusted share.

        Empty where none of its pixels is in the result.
        """
        with table_writer(path, ["annotation", "name", "size", "expected_error", "untrusted"]) as table:
            for number, (shape, (count, error, untrusted)) in enumerate(zip(self._shapes, self._sums[1:], strict=True)):
                told = [f"{error / count:.6g}", f"{untrusted / count:.6g}"] if count else ["", ""]
                table.put([number, shape.name, int(count), *told])


def write_worst(path: Path, scored: PatchScores, wanted: Wanted) -> None:
    """Write the `MOST` fields with the largest expected error, none over another, as a GeoJSON, in slide pixels."""
    told: list[dict[str, float]] = []
    boxes: list[Shape] = []
    for at in _apart(scored, wanted):
        assert scored.expected_error is not None
        number = len(boxes) + 1
        boxes.append(_box(scored, at, number, wanted.scale))
        told.append({"Expected error": float(scored.expected_error[at])})
    write_shapes(path, boxes, CLASS, told)


def _apart(scored: PatchScores, wanted: Wanted) -> list[tuple[int, ...]]:
    """Places of fields in the area, worst first, each at least a field away from those before."""
    assert scored.expected_error is not None
    field_y, field_x = scored.fields[-2:]
    left = np.where(fields_in(scored, wanted.area), scored.expected_error, -np.inf)
    found: list[tuple[int, ...]] = []
    while len(found) < MOST and left.size and np.isfinite(left.max()):
        at = tuple(int(i) for i in np.unravel_index(int(left.argmax()), left.shape))
        found.append(at)
        apart = [-(-one.size // one.stride) for one in (field_y, field_x)]
        near = tuple(slice(max(0, i - n + 1), i + n) for i, n in zip(at, apart, strict=True))
        left[near] = -np.inf
    return found


def fields_in(scored: PatchScores, area: Area) -> NDArray[np.bool_]:
    """Which scores (y, x) of a frame sit on a pixel of the area."""
    rows, columns = (_centres(scored, axis) for axis in (-2, -1))
    whole = slice(0, int(columns[-1]) + 1)
    return np.stack([area.mask((slice(row, row + 1), whole))[0, columns] for row in rows.tolist()])


def _centres(scored: PatchScores, axis: int) -> NDArray[np.int64]:
    """The pixels on which scores sit along an axis."""
    places = scored.translate[axis] + scored.scale[axis] * np.arange(scored.scores.shape[axis])
    return np.maximum(0, np.rint(places)).astype(np.int64)


def _box(scored: PatchScores, at: Sequence[int], number: int, scale: tuple[float, float]) -> Shape:
    """The field of a score, in pixels of the slide."""
    spans: list[Any] = [one.pixels(i) for one, i in zip(scored.fields[-2:], at, strict=True)]
    (top, bottom), (left, right) = ((max(0, span.start), span.stop) for span in spans)
    corners = ((left, top), (right, top), (right, bottom), (left, bottom), (left, top))
    return Shape((tuple((float(x), float(y)) for x, y in corners),), f"{number}").scaled(*scale)
