"""TIFF to stacks: OME, ImageJ, plain; tiled, pyramidal, larger than 4 GB, of several files."""

import logging
import math
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any
from warnings import warn
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

import numpy as np
import tifffile
from numpy.typing import NDArray

from napari_pix2pix.core.geometry.axes import KNOWN, guess_axes
from napari_pix2pix.files.placement import MICROMETRES, Measure, Placement, measure
from napari_pix2pix.files.readers.encoded import ORIENTATION
from napari_pix2pix.files.readers.lazy import LazyArray, Stack
from napari_pix2pix.files.readers.pictures import OPACITY
from napari_pix2pix.files.readers.tiff_pieces import is_preview, main_series, require_piece
from napari_pix2pix.files.readers.turned import TURNS, inverted, turned, without_last

OME_TYPES = {"float": "float32", "double": "float64", "bit": "bool", "complex": "complex64"}
"""Where OME's name of a dtype is not numpy's."""
UNCOMPRESSED, MINISWHITE = 1, 0
BYTE_CODECS = {5, 8, 32773, 32946, 34925, 50000}
"""Compressions of bytes, not of images: LZW, Deflate, PackBits, Deflate, LZMA, Zstandard."""


class Disagreement(ValueError):
    """What the file says of its pixels is not what its pixels are."""


LZW, DEFLATE = 5, (8, 32946)
MOST_TIMES = 4000
"""No LZW or Deflate is so many times as long when unpacked."""
ALIGNED = 4
"""Some writers fill up strips to as many bytes."""


def open_tiff(path: Path, plain: bool = False) -> Stack:
    """The stack in a TIFF; its headers and one strip or tile are read. `plain` takes the pages without the OME-XML.

    Raises
    ------
    Disagreement
        If the OME-XML does not fit the pixels.
    ValueError
        If the file is damaged or a part of it is missing; other exceptions are those of the decoders.
    """
    with _opened(path, plain) as file:
        series = main_series(file)
        _require_alike(file, series)
        _require_whole(series)
        axes = series.axes
        if set(axes) - set(KNOWN):  # Q and I are tifffile's letters for "not said"
            axes = _named(axes, series.shape)
        if not plain and not file.is_ome and "<OME " in series.keyframe.description[:1000]:
            raise Disagreement("it is cut short")
        image = None if plain or not file.is_ome else _ome_image(file, series)
        steps, origins, names = _imagej_metadata(file, series) if image is None else _ome_metadata(image)
        sizes, placement = Placement.of(steps, origins)
        meant = [
            _as_meant(
                LazyArray(
                    path,
                    tuple(level.shape),
                    np.dtype(level.dtype),
                    partial(_read, plain=plain, level=number),
                    _strip(level),
                ),
                axes,
                file,
                series.keyframe,
                is_ome=image is not None,
                told=number > 0,
            )
            for number, level in enumerate(series.levels)
        ]
        array, axes = meant[0]
        levels = tuple(level for level, _ in meant) if len(meant) > 1 else ()
        description = "" if image is None else image.findtext("{*}Description", "")
        return Stack(path, array, axes, sizes, names, description, placement=placement, levels=levels)


def _strip(series: tifffile.TiffPageSeries) -> int:
    """Rows of a strip; 0 where pixels lie in tiles, or as in memory."""
    page = series.keyframe
    if page.is_tiled or (series.dataoffset is not None and not series.is_multifile):
        return 0
    return int(min(page.rowsperstrip, page.imagelength))


def _as_meant(
    array: LazyArray, axes: str, file: tifffile.TiffFile, page: tifffile.TiffPage, *, is_ome: bool, told: bool = False
) -> tuple[LazyArray, str]:
    """The pixels as the tags of the page mean them, and their axes; unless that is `told`, a warning of opacity."""
    samples = next((a for a in "SC" if a in axes and array.shape[axes.index(a)] == page.samplesperpixel), None)
    if samples and tuple(page.extrasamples) in ((1,), (2,)) and page.samplesperpixel in (2, 4):
        if not told:
            warn(OPACITY, stacklevel=5)
        array, axes = without_last(array, axes, samples)
    # ImageJ means an inverting colour map by it: its numbers count as they are.
    if page.photometric == MINISWHITE and array.dtype.kind in "ub" and not file.is_imagej:
        array = inverted(array, int(page.bitspersample))
    turn = page.tags.valueof(ORIENTATION, 1)
    if turn in TURNS and not is_ome and "YX" in axes:  # OME-XML says itself which axis is which
        array = turned(array, axes, turn)
    return array, axes


def _read(path: Path, index: Any, plain: bool, level: int = 0) -> NDArray[Any]:
    from napari_pix2pix.files.readers.tiff_pixels import read_window  # imports zarr

    return read_window(path, index, _opened, plain, level)


class Part(ValueError):
    """The file is one of several that are one OME-TIFF, and not where they begin, or another is missing."""


class _Raise(logging.Handler):
    """Raises what tifffile logs in the thread that made it; others, like napari's own readers, are left alone."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._thread = threading.get_ident()

    def emit(self, record: logging.LogRecord) -> None:
        if record.thread != self._thread:
            return
        said = record.getMessage()
        if "OME series failed to read" in said:
            missing = said.split("failed to read ")[1].split(", raised")[0]
            raise Part(f"its part {missing} is missing or damaged")
        if "OME series" in said:
            raise Disagreement(said.split("OME series ")[1].removesuffix(" Missing data are zeroed"))
        if record.levelno >= logging.ERROR:
            raise ValueError("it is damaged or cut short" if "TiffFileError" in said else said)


@contextmanager
def _opened(path: Path, plain: bool) -> Iterator[tifffile.TiffFile]:
    """The file with all its pages found; where tifffile would log and go on with what is left, an error."""
    logger, handler = logging.getLogger("tifffile"), _Raise()
    logger.addHandler(handler)
    try:
        with tifffile.TiffFile(path, is_ome=False if plain else None) as file:
            len(file.pages)
            if not file.series:
                raise ValueError("it holds no image")
            yield file
    finally:
        logger.removeHandler(handler)


def _require_alike(file: tifffile.TiffFile, main: tifffile.TiffPageSeries) -> None:
    """Raise if pages would be left out that look like a part of the stack; warn of other images in the file."""
    more = [series for series in file.series if series is not main]
    others = [s for s in more if not (s.keyframe.is_reduced and s.keyframe.size < main.keyframe.size)]
    used = sum(len(level) for series in file.series for level in series.levels)
    unsaid = main.kind in ("generic", "uniform", "shaped", "imagej")
    if used < len(file.pages) or (unsaid and not all(is_preview(other, main) for other in others)):
        raise ValueError(
            f"its {len(file.pages)} pages are not one stack: {' and '.join(str(s.shape) for s in file.series)}"
        )
    if others:
        which = "largest" if unsaid else "first"
        warn(f"{file.filename} holds {1 + len(others)} images; the {which}, {main.shape}, is read.", stacklevel=3)


def _require_whole(series: tifffile.TiffPageSeries) -> None:
    """Raise if a page is missing or shorter than its header says: neither may be read as zeros."""
    sizes: dict[str, int] = {}
    for page in series.pages:
        if page is None:
            raise Disagreement("a page is missing")
        file = page.parent.filehandle
        size = sizes.setdefault(file.path, Path(file.path).stat().st_size)
        places = list(zip(page.dataoffsets, page.databytecounts, strict=True))
        # A strip without offset and length is one that was left out on purpose.
        if any(start + count > size or (start == 0) != (count == 0) for start, count in places):
            raise ValueError("the file is shorter than its header says")
        if len(places) != math.prod(page.chunked):
            raise ValueError(f"a page must have {math.prod(page.chunked)} strips or tiles; it has {len(places)}")
    if series.dataoffset is not None and series.dataoffset + series.nbytes > max(sizes.values()):
        raise ValueError("the file is shorter than its header says")
    _require_size(series.keyframe)


def _require_size(page: tifffile.TiffPage) -> None:
    """Raise if the first strip or tile is not as large as the header says: then a size in the header is wrong."""
    if not isinstance(page.bitspersample, int) or not page.databytecounts[0]:
        return
    rows, columns = (page.tilelength, page.tilewidth) if page.is_tiled else (page.rowsperstrip, page.imagewidth)
    rows = rows if page.is_tiled else min(rows, page.imagelength)
    samples = page.samplesperpixel if page.planarconfig == 1 else 1
    expected = max(page.tiledepth, 1) * rows * math.ceil(columns * samples * page.bitspersample / 8)
    held = page.databytecounts[0]
    if page.compression in tifffile.TIFF.IMAGE_COMPRESSIONS:
        require_piece(_first_piece(page), rows, columns)
        return
    if page.compression in BYTE_CODECS:
        held = _unpacked_size(page, expected + ALIGNED)
    elif page.compression != UNCOMPRESSED:
        return
    if not expected <= held < expected + ALIGNED:
        more = "more" if held >= expected + ALIGNED else held
        raise ValueError(f"a strip or tile must hold {expected} bytes by the header; it holds {more}")


def _unpacked_size(page: tifffile.TiffPage, most: int) -> int:
    """How many bytes its first strip or tile unpacks to; no more than `most` are unpacked."""
    packed = _first_piece(page)
    if page.compression in (*DEFLATE, LZW):  # a header that asks for more than can be in there is wrong
        most = min(most, MOST_TIMES * len(packed))
    try:
        return len(tifffile.TIFF.DECOMPRESSORS[page.compression](packed, out=most))
    except RuntimeError as error:  # each codec has its own kind
        if any(words in str(error) for words in ("INSUFFICIENT_SPACE", "BUF_ERROR", "too small", "OUTPUT_TOO_SMALL")):
            return most
        raise


def _first_piece(page: tifffile.TiffPage) -> bytes:
    page.parent.filehandle.seek(page.dataoffsets[0])
    return page.parent.filehandle.read(page.databytecounts[0])


def _named(axes: str, shape: tuple[int, ...]) -> str:
    """Axes in which each unknown letter before Y, X is one of T, Z, C that is free; else a guess from the shape."""
    free = iter(letter for letter in "TZC" if letter not in axes)
    named = "".join(letter if letter in KNOWN else next(free, "?") for letter in axes)
    return guess_axes(shape) if "?" in named or not {"Y", "X"} <= set(named) else named


def _ome_image(file: tifffile.TiffFile, series: tifffile.TiffPageSeries) -> Element:
    """The `Image` of the OME-XML, which describes the series."""
    root = ElementTree.fromstring(file.ome_metadata or "")
    if (elsewhere := root.find("{*}BinaryOnly")) is not None:
        raise Part(f"it is a part of an OME-TIFF; open {elsewhere.get('MetadataFile')}")
    image, pixels = root.find("{*}Image"), root.find("{*}Image/{*}Pixels")
    if image is None or pixels is None or series.kind != "ome":
        raise Disagreement("it describes no image that the file holds")
    said = pixels.get("Type", "")
    if np.dtype(OME_TYPES.get(said, said)) != series.dtype:
        raise Disagreement(f"it says pixels of {said}, the file holds {series.dtype}")
    first = series.pages[0]
    if first is not None and first.parent.filename != file.filename:
        # Every part has the whole metadata, but one stack must not be read as several.
        raise Part(f"it is a part of an OME-TIFF; open {first.parent.filename}")
    return image


COARSEST_UM = 100
"""Of a pixel whose size is told in centimetres, µm: who knows none writes 1000 µm, or that of a screen, 353 or 265."""
Said = tuple[dict[str, Measure], dict[str, Measure], tuple[str, ...]]
"""How far pixels and frames are apart, and where they begin, by axis; the names of the channels."""


def _ome_metadata(image: Element) -> Said:
    pixels = image.find("{*}Pixels")
    assert pixels is not None
    steps = {}
    for axis, name, usual in (*((axis, f"PhysicalSize{axis}", "µm") for axis in "XYZ"), ("T", "TimeIncrement", "s")):
        unit = pixels.get(f"{name}Unit", usual)
        if name in pixels.attrib and unit != "pixel":  # sizes in pixels say nothing
            steps[axis] = measure(axis, float(pixels.attrib[name]), unit)
    # Each plane says where it is: the stack begins at its first.
    first = next((p for p in pixels.findall("{*}Plane") if all(p.get(f"The{axis}") == "0" for axis in "CZT")), None)
    origins = {}
    for axis in "XYZ":
        if first is not None and (position := first.get(f"Position{axis}")) is not None:
            origins[axis] = measure(axis, float(position), first.get(f"Position{axis}Unit", "reference frame"))
    channels = [channel.get("Name") for channel in pixels.findall("{*}Channel")]
    return steps, origins, tuple(name for name in channels if name) if all(channels) else ()


def _imagej_metadata(file: tifffile.TiffFile, series: tifffile.TiffPageSeries) -> Said:
    """Pixel size from ImageJ's unit and the resolution tags; channel names where its slice labels repeat for each.

    Of a file with levels, resolution in centimetres counts, too, as OpenSlide has it, where it is that of a microscope.
    In others it may be what a program writes that knows none.
    """
    said, tags = file.imagej_metadata or {}, series.keyframe.tags
    unit = str(said.get("unit", ""))
    steps: dict[str, Measure] = {}
    in_centimetres = (
        not said and len(series.levels) > 1 and tags.valueof("ResolutionUnit") == tifffile.RESUNIT.CENTIMETER
    )
    if unit in MICROMETRES or in_centimetres:
        for axis, name in (("X", "XResolution"), ("Y", "YResolution")):
            tag = tags.get(name)
            if tag is not None and tag.value[0] and tag.value[1]:
                size = tag.value[1] / tag.value[0]
                if not in_centimetres:
                    steps[axis] = measure(axis, size, unit)
                elif size * 1e4 < COARSEST_UM:
                    steps[axis] = measure(axis, size * 1e4, "µm")
        if "spacing" in said:
            steps["Z"] = measure("Z", abs(float(said["spacing"])), unit)
    if "finterval" in said:
        steps["T"] = measure("T", float(said["finterval"]), str(said.get("tunit", "s")))
    n_channels = dict(zip(series.axes, series.shape, strict=True)).get("C", 1)
    labels = said.get("Labels", [])
    names = tuple(str(label) for label in labels[:n_channels]) if isinstance(labels, list) else ()
    repeated = len(names) == n_channels and all(label == names[i % n_channels] for i, label in enumerate(labels))
    return steps, {}, names if repeated and n_channels > 1 and all(names) else ()
