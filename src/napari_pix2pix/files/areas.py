"""Which part of a slide is wanted: a region, the annotations of QuPath, the tissue; and what is read for it alone."""

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.filters import threshold_otsu
from skimage.morphology import disk

from napari_pix2pix.core.engine.atomic import written_beside
from napari_pix2pix.core.geometry.areas import Area, Shape
from napari_pix2pix.core.geometry.tiles import Tile
from napari_pix2pix.core.settings.running import PredictSettings
from napari_pix2pix.core.settings.untrusted_json import parse_json
from napari_pix2pix.files.judged_objects import outlines
from napari_pix2pix.files.readers.lazy import LazyArray, Stack, full_index
from napari_pix2pix.files.readers.levels import reduced
from napari_pix2pix.files.stacks import open_stack

THUMBNAIL = 1500
"""Side of the picture on which tissue is found, px."""
PALEST = 0.05
"""Of the saturation, 0 to 1, that tissue has: what is paler is glass, whatever Otsu says."""
SMALLEST = 1e-4
"""Of tissue, as a share of the slide: smaller pieces are dust."""
AT_ONCE = 2**26
"""Bytes of a slide that are read together for its thumbnail, if that is a row of it."""
MARGIN = 2
"""Around tissue that is taken, too, in pixels of the thumbnail."""
BEYOND = 0.01
"""How far annotations may reach over the slide's border, as a share of its side."""
CELL = 256
"""What is read or not of a source, px."""
LARGEST = 2**28
"""Bytes of a file of annotations."""
AREAS = ("Polygon", "MultiPolygon")
NO_AREAS = ("Point", "MultiPoint", "LineString", "MultiLineString")
"""Of GeoJSON's geometries."""
SHOWN = 40
"""Letters that are quoted of what is wrong in it."""


def region_of(text: str, stack: Stack) -> tuple[float, float, float, float]:
    """x, y, width and height, in pixels of the stack's full resolution, of a region as it is said.

    Parameters
    ----------
    text
        ``X,Y,W,H`` in pixels, with ``um`` behind it in µm, both from the slide's upper left corner.

    Raises
    ------
    ValueError
        If it is none, or does not lie on the slide.
    """
    said = text.strip().lower().replace("µm", "um").replace("μm", "um")
    in_um = said.endswith("um")
    try:
        x, y, width, height = (float(part.removesuffix("um").removesuffix("px")) for part in said.split(","))
        if not all(map(math.isfinite, (x, y, width, height))):
            raise ValueError
    except ValueError:
        raise ValueError(
            f"A region must be X,Y,W,H: where it begins and how large it is, in px, or in µm with um behind it; got "
            f"{text!r}. Give, say, 1000,2000,512,512 or 250,500,128,128um."
        ) from None
    if in_um:
        if not {"Y", "X"} <= stack.pixel_size_um.keys():
            raise ValueError(
                f"For a region in µm a slide must say how large its pixels are; {stack.path} does not. Give the region "
                "in px."
            )
        x, width = (side / stack.pixel_size_um["X"] for side in (x, width))
        y, height = (side / stack.pixel_size_um["Y"] for side in (y, height))
    plan = stack.plan
    most = plan.length("X"), plan.length("Y")
    if min(width, height) <= 0 or min(x, y) < 0 or x + width > most[0] + 1 or y + height > most[1] + 1:
        raise ValueError(
            f"A region must lie on the slide, {most[0]} x {most[1]} px; {text} reaches from {x:g},{y:g} to "
            f"{x + width:g},{y + height:g} px. Choose another, or check whether it is in px or um."
        )
    return x, y, width, height


def read_annotations(path: Path, stack: Stack) -> tuple[Shape, ...]:
    """The areas in a GeoJSON, as QuPath writes it, in pixels of the stack's full resolution; lines and points are none.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If it is no GeoJSON, holds no area, or one that lies off the slide.
    """
    if not path.is_file():
        raise FileNotFoundError(f"Annotations must be a GeoJSON file; there is none at {path}. Check the path.")
    try:
        if path.stat().st_size > LARGEST:
            raise ValueError("it is too large")
        content = parse_json(path.read_text("utf-8-sig"))
        shapes = tuple(shape for feature in _features(content) for shape in _shapes(feature))
    except (ValueError, OverflowError, RecursionError) as error:
        raise ValueError(
            f"Annotations must be a GeoJSON file, as QuPath exports it; {path} is not ({error}). Export it again."
        ) from error
    if not shapes:
        raise ValueError(
            f"Annotations must hold an area to be predicted; {path} holds none (lines and points are no areas). Draw "
            "one, and export it again."
        )
    width, height = stack.plan.length("X"), stack.plan.length("Y")
    for shape in shapes:
        left, top, right, bottom = shape.bounds
        spare = BEYOND * width, BEYOND * height
        if left < -spare[0] or top < -spare[1] or right > width + spare[0] or bottom > height + spare[1]:
            raise ValueError(
                f"Annotations must lie on their slide, {width} x {height} px; {shape.name or 'one'} of {path} reaches "
                f"from {left:.0f},{top:.0f} to {right:.0f},{bottom:.0f}. Are they of another slide? Give its own."
            )
    return shapes


def _features(content: Any) -> list[Any]:
    """The features of a GeoJSON: of a collection, of a list as old versions of QuPath write it, or it alone."""
    kind = content.get("type") if isinstance(content, dict) else None
    if kind == "FeatureCollection":
        content = content.get("features")
        if not isinstance(content, list):
            raise ValueError(f"a FeatureCollection must have a list of features; got {_shown(content)}")
    if isinstance(content, list):
        return content
    return [content if kind == "Feature" else {"geometry": content}]


def _shapes(feature: Any) -> Iterator[Shape]:
    if not isinstance(feature, dict) or "geometry" not in feature:
        raise ValueError(f"a feature must be an object with a geometry; got {_shown(feature)}")
    about = _object(feature.get("properties"))
    name = str(about.get("name") or _object(about.get("classification")).get("name") or "")
    for geometry in _geometries(feature["geometry"]):
        if geometry["type"] in AREAS:
            yield _shape(geometry, name)


def _object(content: Any) -> dict[str, Any]:
    return content if isinstance(content, dict) else {}


def _geometries(geometry: Any) -> Iterator[dict[str, Any]]:
    """It, or each in it; none of a feature without a place."""
    if geometry is None:
        return
    kind = geometry.get("type") if isinstance(geometry, dict) else None
    if kind == "GeometryCollection":
        for one in _each(geometry.get("geometries"), "a GeometryCollection must have a list of geometries"):
            yield from _geometries(one)
    elif kind in (*AREAS, *NO_AREAS):
        yield geometry
    else:
        raise ValueError(f"a geometry must be an object of a type of GeoJSON, Polygon say; got {_shown(geometry)}")


def _shape(geometry: dict[str, Any], name: str) -> Shape:
    kind, told = geometry["type"], geometry.get("coordinates")
    must = f"a {kind} must be {'a list of polygons, each ' * (kind == 'MultiPolygon')}a list of rings of corners [x, y]"
    polygons = [told] if kind == "Polygon" else _each(told, must)
    rings = tuple(
        tuple(_corner(point, must) for point in _each(ring, must))
        for polygon in polygons
        for ring in _each(polygon, must)
    )
    if not rings or any(len(ring) < 3 for ring in rings):
        raise ValueError("a polygon must have three corners")
    return Shape(rings, name)


def _corner(point: Any, must: str) -> tuple[float, float]:
    if not isinstance(point, list) or len(point) < 2 or any(isinstance(n, list) for n in point):
        raise ValueError(f"{must}; got {_shown(point)} for a corner")
    x, y = point[:2]
    if not all(isinstance(n, int | float) and not isinstance(n, bool) and math.isfinite(n) for n in (x, y)):
        raise ValueError(f"a corner must be two numbers [x, y]; got {_shown(point)}")
    return float(x), float(y)


def _each(content: Any, must: str) -> list[Any]:
    if not isinstance(content, list):
        raise ValueError(f"{must}; got {_shown(content)}")
    return content


def _shown(content: Any) -> str:
    """The beginning of a piece of JSON."""
    text = json.dumps(content, ensure_ascii=False)
    return text if len(text) <= SHOWN else text[:SHOWN] + "…"


def write_shapes(path: Path, shapes: Sequence[Shape], classified: str, told: Sequence[dict[str, float]] = ()) -> None:
    """Write shapes as a GeoJSON that QuPath opens as annotations of this class, with measurements `told` of each."""
    features = []
    for i, shape in enumerate(shapes):
        about: dict[str, Any] = {"objectType": "annotation", "classification": {"name": classified}}
        about |= {"name": shape.name} if shape.name else {}
        about |= {"measurements": told[i]} if told else {}
        rings = [[[float(x), float(y)] for x, y in ring] for ring in shape.rings]
        geometry = {"type": "Polygon", "coordinates": rings}
        features.append({"type": "Feature", "geometry": geometry, "properties": about})
    lines = ",\n".join(json.dumps(feature) for feature in features)
    with written_beside(path) as beside:
        beside.write_text(f'{{"type": "FeatureCollection", "features": [\n{lines}\n]}}\n', "utf8")


def find_tissue(stack: Stack) -> tuple[Shape, ...]:
    """Where a slide, in colours on white, holds tissue, in pixels of its full resolution; holes in it are closed.

    On a thumbnail, what is more saturated than Otsu's threshold, without dust.

    Raises
    ------
    ValueError
        If it is not in colours, or no tissue is found.

    References
    ----------
    Otsu, "A threshold selection method from gray-level histograms", IEEE Trans. SMC 1979.
    """
    plan = stack.plan
    if plan.n_channels != 3 or plan.n_frames != 1 or not isinstance(stack.array, LazyArray):
        several = "" if isinstance(stack.array, LazyArray) else " from several files"
        raise ValueError(
            f"Tissue is found by its colours on white: a slide must be RGB; {stack.path} has {plan.n_channels} "
            f"channels{several}. Give a region or annotations."
        )
    picture = _thumbnail(stack).astype(np.float32)
    picture[:, ~np.isfinite(picture).all(axis=0)] = 0  # without saturation, as glass
    brightest, darkest = picture.max(axis=0), picture.min(axis=0)
    saturation = ndimage.gaussian_filter((brightest - darkest) / np.maximum(brightest, 1), 1)
    limit = max(float(threshold_otsu(saturation)), PALEST) if np.ptp(saturation) else PALEST
    mask = ndimage.binary_closing(np.pad(saturation > limit, MARGIN), disk(MARGIN))
    mask = ndimage.binary_fill_holes(mask)
    parts, count = ndimage.label(mask)
    sizes = ndimage.sum_labels(mask, parts, np.arange(1, count + 1))
    mask = np.isin(parts, 1 + np.flatnonzero(sizes >= SMALLEST * mask.size))
    mask = ndimage.binary_fill_holes(ndimage.binary_dilation(mask, disk(MARGIN)))[MARGIN:-MARGIN, MARGIN:-MARGIN]
    if not mask.any():
        raise ValueError(
            f"A slide must hold tissue, more saturated than its glass, for it to be found; {stack.path} shows none. "
            "Give a region or annotations, or leave `tissue` out."
        )
    scale = plan.length("X") / mask.shape[1], plan.length("Y") / mask.shape[0]
    found = (Shape(tuple(tuple((x, y) for x, y in ring) for ring in polygon)) for polygon in outlines(mask, (0, 0)))
    return tuple(shape.scaled(*scale) for shape in found)


def tissue_mask(stack: Stack) -> Stack:
    """Where a source, a slide as it is to be seen, holds tissue: bool (Y, X), read when it is sliced.

    Raises
    ------
    ValueError
        As `find_tissue`.
    """
    full = stack if stack.read_at_um is None else open_stack(stack.path)
    scale = [stack.plan.length(axis) / full.plan.length(axis) for axis in "XY"]
    if full is not stack and {"Y", "X"} <= stack.pixel_size_um.keys():
        scale = [full.pixel_size_um[axis] / stack.pixel_size_um[axis] for axis in "XY"]
    shapes = tuple(shape.scaled(*scale) for shape in find_tissue(full))
    size = stack.plan.frame_shape
    area = Area((slice(0, size[0]), slice(0, size[1])), (shapes,))
    return Stack(stack.path, LazyArray(stack.path, size, np.dtype(bool), partial(_read_mask, area)), "YX")


def _read_mask(area: Area, _: Path, index: Any) -> NDArray[np.bool_]:
    rows, columns = (range(*side.indices(own.stop)) for side, own in zip(full_index(index, 2), area.box, strict=True))
    window = slice(rows.start, max(rows.start, rows.stop)), slice(columns.start, max(columns.start, columns.stop))
    return area.mask(window)[:: rows.step, :: columns.step]


def _thumbnail(stack: Stack) -> NDArray[Any]:
    """The slide (C, Y, X), some `THUMBNAIL` px large, read a few rows at a time from its smallest level that has it."""
    at = [stack.axes.index(axis) for axis in "YX"]
    large = [level for level in stack.levels if max(level.shape[i] for i in at) >= THUMBNAIL]
    level = replace(stack, array=large[-1], levels=()) if large else stack
    assert isinstance(level.array, LazyArray)
    small = reduced(level, THUMBNAIL)
    plan, height = small.plan, level.array.shape[at[0]]
    step = height / plan.length("Y")
    each = step * math.prod(level.array.shape) / height * level.array.dtype.itemsize
    many = max(1, int(AT_ONCE / each), math.ceil(level.array.strip / step))
    rows = (slice(row, row + many) for row in range(0, plan.length("Y"), many))
    return np.concatenate([plan.take(small.array, 0, (some, slice(None))) for some in rows], axis=1)


@dataclass(frozen=True)
class Wanted:
    """What is to be predicted of a slide.

    Parameters
    ----------
    area
        In pixels of the result.
    annotations, tissue
        In pixels of the slide's full resolution, where they were asked for.
    scale
        Pixels of the full resolution for each of the result's, (x, y).
    """

    area: Area
    annotations: tuple[Shape, ...]
    tissue: tuple[Shape, ...]
    scale: tuple[float, float]


def wanted_of(full: Stack, seen: Stack, how: PredictSettings) -> Wanted | None:
    """What `how` wants of a slide, at its full resolution and as it is to be `seen`; None for all of it.

    Raises
    ------
    FileNotFoundError, ValueError
        As for regions, annotations and tissue; or if several frames would have one region.
    """
    if not how.of_part:
        return None
    if seen.plan.n_frames > 1:
        raise ValueError(
            f"A region is of one image; {full.path} holds {seen.plan.n_frames} frames. Leave region, annotations and "
            "tissue out, or give the frames one by one."
        )
    ours, theirs = seen.plan, full.plan
    scale = (theirs.length("X") / ours.length("X"), theirs.length("Y") / ours.length("Y"))
    if {"Y", "X"} <= seen.pixel_size_um.keys() and {"Y", "X"} <= full.pixel_size_um.keys():
        scale = (
            seen.pixel_size_um["X"] / full.pixel_size_um["X"],
            seen.pixel_size_um["Y"] / full.pixel_size_um["Y"],
        )
    box = slice(0, ours.length("Y")), slice(0, ours.length("X"))
    if how.region is not None:
        x, y, width, height = region_of(how.region, full)
        box = _span(y, height, scale[1], ours.length("Y")), _span(x, width, scale[0], ours.length("X"))
    annotations = read_annotations(Path(how.annotations), full) if how.annotations is not None else ()
    tissue = find_tissue(full) if how.tissue else ()
    groups = tuple(
        tuple(shape.scaled(1 / scale[0], 1 / scale[1]) for shape in group) for group in (annotations, tissue) if group
    )
    area = Area(box, groups)
    if not any(
        area.touches((slice(row, min(row + CELL, box[0].stop)), box[1]))
        for row in range(box[0].start, box[0].stop, CELL)
    ):
        raise ValueError(
            f"Something of {full.path} must be left to predict; region, annotations and tissue have no pixel in "
            "common. Check them."
        )
    return Wanted(area, annotations, tissue, scale)


def _span(start: float, side: float, step: float, length: int) -> slice:
    """The pixels of the result, of `step` pixels each, that a side of a region is in."""
    return slice(math.floor(start / step + 1e-6), min(math.ceil((start + side) / step - 1e-6), length))


def only_needed(stack: Stack, tiles: Sequence[Tile]) -> Stack:
    """The stack, of which only what the `tiles` see is read; the rest is as glass, or 0 where that is dark."""
    plan = stack.plan
    height, width = plan.frame_shape[-2:]
    cells = np.zeros((-(-height // CELL), -(-width // CELL)), bool)
    for tile in tiles:
        rows, columns = (slice(side.start // CELL, -(-side.stop // CELL)) for side in tile.read[-2:])
        cells[rows, columns] = True
    if not isinstance(stack.array, LazyArray):  # channels of several files
        return stack
    glass = np.iinfo(stack.array.dtype).max if plan.channel_axis == "S" and stack.array.dtype.kind == "u" else 0
    return replace(stack, array=_Needed(stack.array, stack.axes, cells, glass).lazy, levels=())


@dataclass(frozen=True)
class _Needed:
    """An array that is read in these cells (Y, X) alone."""

    array: LazyArray
    axes: str
    cells: NDArray[np.bool_]
    glass: int

    @property
    def lazy(self) -> LazyArray:
        """The same, as what is read when it is sliced."""
        return replace(self.array, read=self.read)

    def read(self, path: Path, index: Any) -> NDArray[Any]:
        """The pixels at `index`; Y and X by slices without steps."""
        whole = list(full_index(index, self.array.ndim))
        y, x = (self.axes.index(axis) for axis in "YX")
        rows, columns = (range(self.array.shape[i])[whole[i]] for i in (y, x))
        sides = [
            range(n)[side] if isinstance(side, slice) else None for n, side in zip(self.array.shape, whole, strict=True)
        ]
        pixels = np.full([len(side) for side in sides if side is not None], self.glass, self.array.dtype)
        places = [sum(side is not None for side in sides[:i]) for i in (y, x)]
        for some, part in self._runs(rows, columns):
            read, at = list(whole), [slice(None)] * pixels.ndim
            read[y], read[x] = some, part
            at[places[0]] = slice(some.start - rows.start, some.stop - rows.start)
            at[places[1]] = slice(part.start - columns.start, part.stop - columns.start)
            pixels[tuple(at)] = self.array.read(path, tuple(read))
        return pixels

    def _runs(self, rows: range, columns: range) -> Iterator[tuple[slice, slice]]:
        """Rows and columns to read: cells of the same columns below each other together."""
        before: tuple[int, list[tuple[int, int]]] | None = None
        bands = range(rows.start // CELL, -(-rows.stop // CELL)) if rows and columns else range(0)
        for band in [*bands, None]:
            runs = None if band is None else _spans(self.cells[band], columns)
            if before is not None and runs == before[1]:
                continue
            if before is not None:
                last = rows.stop if band is None else min(rows.stop, band * CELL)
                for start, stop in before[1]:
                    yield slice(max(rows.start, before[0] * CELL), last), slice(start, stop)
            before = None if band is None or runs is None else (band, runs)


def _spans(cells: NDArray[np.bool_], columns: range) -> list[tuple[int, int]]:
    """From where to where neighbouring cells of a row are set, px, within these columns."""
    changes = np.flatnonzero(np.diff(np.concatenate([[False], cells, [False]]).astype(np.int8)))
    spans = ((int(a) * CELL, int(b) * CELL) for a, b in changes.reshape(-1, 2))
    cut = ((max(a, columns.start), min(b, columns.stop)) for a, b in spans)
    return [(a, b) for a, b in cut if a < b]


def fill_of(kind: str, classes: Sequence[int], dtype: str, colours: bool) -> float:
    """What a result holds where nothing was predicted: no object, the first class, white among colours, else 0."""
    if kind == "classes":
        return 0 if 0 in classes else classes[0]
    return float(np.iinfo(dtype).max) if colours and kind == "intensity" and np.dtype(dtype).kind == "u" else 0
