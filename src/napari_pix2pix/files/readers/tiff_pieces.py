"""Which pages of a TIFF are its stack, and strips and tiles that are images: whole, no larger than the page says."""

from typing import Any

import tifffile

from napari_pix2pix.files.readers.encoded import require_whole, size_of

LARGER, ALWAYS = 4, 2**20
"""How many times as many pixels as the page says a piece may have, and how many it may have in any case."""


PREVIEW = 4
"""How many times as many pixels the image itself has at least."""


def main_series(file: tifffile.TiffFile) -> tifffile.TiffPageSeries:
    """The stack in the file: the first that an OME-TIFF or the like lists, else the one with the largest pages."""
    first: tifffile.TiffPageSeries = file.series[0]
    if first.kind not in ("generic", "uniform", "shaped", "imagej"):
        return first
    return max(file.series, key=lambda series: series.keyframe.imagelength * series.keyframe.imagewidth)


def is_preview(series: tifffile.TiffPageSeries, main: tifffile.TiffPageSeries) -> bool:
    """Whether it is so small a single page that it is there to be shown, not measured."""
    size, of_main = (one.keyframe.imagelength * one.keyframe.imagewidth for one in (series, main))
    return len(series) == 1 and PREVIEW * size <= of_main


def require_piece(data: bytes, rows: int, columns: int) -> None:
    """Raise a ValueError if a compressed strip or tile is cut short, or unpacks to much more than the page says."""
    require_whole(data)
    size = size_of(data)
    if size is not None and size[0] * size[1] > LARGER * rows * columns + ALWAYS:
        raise ValueError(
            f"a strip or tile must hold {rows} x {columns} px by the header; it holds {size[0]} x {size[1]}"
        )


def check_pieces(page: Any) -> None:
    """Have each strip or tile of pages like this one looked at before it is decoded, where it is an image itself."""
    if page.compression not in tifffile.TIFF.IMAGE_COMPRESSIONS or hasattr(page, "checks_pieces"):
        return
    rows, columns = (page.tilelength, page.tilewidth) if page.is_tiled else (page.rowsperstrip, page.imagewidth)
    rows, decode = rows if page.is_tiled else min(rows, page.imagelength), page.decode

    def checked(data: bytes | None, index: int, /, **named: Any) -> Any:
        if data is not None:
            require_piece(data, rows, columns)
        return decode(data, index, **named)

    page.decode = checked
    page.checks_pieces = True
