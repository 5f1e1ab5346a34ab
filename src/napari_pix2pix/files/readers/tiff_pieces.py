"""The strips and tiles of a TIFF that are images themselves: whole, and no larger than the page says."""

from typing import Any

import tifffile

from napari_pix2pix.files.readers.encoded import require_whole, size_of

LARGER, ALWAYS = 4, 2**20
"""How many times as many pixels as the page says a piece may have, and how many it may have in any case."""


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
