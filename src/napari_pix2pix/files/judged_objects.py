"""The objects of a label image with their expected errors: a row and an outline for each, to keep or to check."""

import csv
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.measure import find_contours

from napari_pix2pix.core.engine.atomic import written_beside
from napari_pix2pix.core.geometry.axes import AxesPlan
from napari_pix2pix.files.stacks import place_of

AT_ONCE = 512
"""Objects that begin within so many rows are outlined together."""
KEEP, CHECK = "keep", "check"


@dataclass
class _Object:
    """What is known of an object so far: sums over its pixels, and the corners of its box."""

    first: NDArray[np.int64]
    last: NDArray[np.int64]
    sums: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))
    """Of 1, of the expected error, and of the place ([z,] y, x)."""


class JudgedObjects:
    """Gathers the objects of each frame while its windows come, and writes them once the frame is whole.

    Parameters
    ----------
    plan
        Axes and shape of the label image, without channels.
    limit
        Objects whose mean expected error is above it are to be checked, the others may be kept, see `finish`.
    put_row, put_outline
        Take what is known of each object: values in the order of `columns`, and a GeoJSON feature.
    """

    def __init__(
        self,
        plan: AxesPlan,
        limit: float,
        put_row: Callable[[list[Any]], None],
        put_outline: Callable[[dict[str, Any]], None],
    ) -> None:
        self._plan, self._limit, self._put_row, self._put_outline = plan, limit, put_row, put_outline
        self._found: dict[int, _Object] = {}
        self.row = {"objects": 0, "objects_to_check": 0}

    def add(self, labels: NDArray[Any], expected: NDArray[np.float32], begin: tuple[int, int]) -> None:
        """Look at a window ([Z,] rows, columns) of the present frame, that begins at this row and column."""
        corner = np.zeros(labels.ndim, np.int64)
        corner[-2:] = begin
        numbers, dense = np.unique(labels, return_inverse=True)
        dense = dense.reshape(labels.shape) + (numbers[0] != 0)  # 0 stays background
        for number, box in zip(numbers[numbers != 0].tolist(), ndimage.find_objects(dense), strict=True):
            inside = labels[box] == number
            first = corner + [side.start for side in box]
            last = corner + [side.stop for side in box]
            places = np.argwhere(inside) + first
            sums = np.array([len(places), expected[box][inside].sum(dtype=np.float64), *places.sum(axis=0)])
            if (known := self._found.get(number)) is None:
                self._found[number] = _Object(first, last, sums)
            else:
                known.first, known.last = np.minimum(known.first, first), np.maximum(known.last, last)
                known.sums = known.sums + sums

    def finish(
        self, frame: int, read: Callable[[tuple[slice, ...]], NDArray[Any]], expected_holds: bool = True
    ) -> None:
        """The frame is whole: write its objects; `read` gives a window ([Z,] Y, X) of its labels again.

        Where expected errors do not hold, of a source unlike all that trained, all are to be checked.
        """
        start, named = place_of(self._plan, frame), {}
        for number in sorted(self._found):
            size, error, *centre = self._found[number].sums
            mean = error / size
            verdict = KEEP if expected_holds and mean <= self._limit else CHECK
            self.row["objects"] += 1
            self.row["objects_to_check"] += verdict == CHECK
            at = [round(float(x / size), 2) for x in centre]
            self._put_row([*start.values(), number, *at, int(size), f"{mean:.6g}", verdict])
            named[number] = {"label": number, "expected_error": float(f"{mean:.6g}"), "verdict": verdict, **start}

        # Each band of the frame is read once, with all of the objects that begin in it.
        def band(number: int) -> int:
            return int(self._found[number].first[-2]) // AT_ONCE

        for _, some in groupby(sorted(named, key=lambda number: (band(number), number)), key=band):
            numbers = list(some)
            rows = slice(
                min(int(self._found[n].first[-2]) for n in numbers), max(int(self._found[n].last[-2]) for n in numbers)
            )
            labels = read((*(slice(0, n) for n in self._plan.frame_shape[:-2]), rows, slice(0, self._plan.length("X"))))
            for number in numbers:
                self._outline(number, labels, rows.start, named[number])
        self._found = {}

    def _outline(self, number: int, labels: NDArray[Any], row: int, named: dict[str, Any]) -> None:
        """Pass on the outline of an object, in a volume one for each of its planes."""
        known = self._found[number]
        box = [slice(int(a), int(b)) for a, b in zip(known.first, known.last, strict=True)]
        inside = labels[(*box[:-2], slice(box[-2].start - row, box[-2].stop - row), box[-1])] == number
        corner = box[-2].start, box[-1].start
        planes = [(None, inside)] if inside.ndim == 2 else list(enumerate(inside, box[0].start))
        for z, plane in planes:
            if polygons := outlines(plane, corner):
                one = len(polygons) == 1
                shape = {
                    "type": "Polygon" if one else "MultiPolygon",
                    "coordinates": polygons[0] if one else polygons,
                }
                properties = named if z is None else {**named, "z": z}
                self._put_outline({"type": "Feature", "geometry": shape, "properties": properties})


def outlines(mask: NDArray[np.bool_], corner: tuple[int, int]) -> list[list[list[list[float]]]]:
    """Polygons around the parts of `mask` (Y, X): of each the outer ring, then its holes, as (x, y), closed.

    They run halfway between pixels inside and outside. The centre of the pixel (0, 0) lies at (0.5, 0.5), as in
    QuPath; `corner` (y, x) is the mask's first pixel.
    """
    parts, count = ndimage.label(mask)
    polygons = []
    for part in range(1, count + 1):
        rings = find_contours(np.pad(parts == part, 1), 0.5, fully_connected="low")
        placed = [ring[:, ::-1] - 0.5 + corner[::-1] for ring in rings]
        areas = [_area(ring) for ring in placed]
        order = np.argsort(np.abs(areas))[::-1]  # the outer ring holds all others
        turned = [placed[i] if (areas[i] > 0) == (i == order[0]) else placed[i][::-1] for i in order]
        polygons.append([ring.tolist() for ring in turned])
    return polygons


def _area(ring: NDArray[np.float64]) -> float:
    x, y = ring.T
    return float((x[:-1] * y[1:] - x[1:] * y[:-1]).sum() / 2)


def columns(plan: AxesPlan) -> list[str]:
    """Of the table: place in the stack, label, centre and size in pixels, mean expected error, keep or check."""
    return [*place_of(plan, 0), "label", *plan.spatial.lower(), "size", "expected_error", "verdict"]


@contextmanager
def objects_writer(table: Path, outline: Path, plan: AxesPlan, limit: float) -> Iterator[JudgedObjects]:
    """Gathers objects and writes them to a table (CSV) and their outlines (GeoJSON); if the block fails, to none."""
    with (
        written_beside(table) as rows,
        written_beside(outline) as shapes,
        rows.open("w", newline="", encoding="utf8") as row_file,
        shapes.open("w", encoding="utf8") as shape_file,
    ):
        writer = csv.writer(row_file)
        writer.writerow(columns(plan))
        shape_file.write('{"type": "FeatureCollection", "features": [')
        separator = "\n"

        def put_outline(feature: dict[str, Any]) -> None:
            nonlocal separator
            shape_file.write(separator + json.dumps(feature))
            separator = ",\n"

        yield JudgedObjects(plan, limit, writer.writerow, put_outline)
        shape_file.write("\n]}\n")
