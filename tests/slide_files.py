"""Slides to read: an Aperio's pyramid with a name in its description, and one in which some of the tissue is known."""

from pathlib import Path

import numpy as np
import tifffile
from numpy.typing import NDArray
from scipy import ndimage

PATIENT = "Doe Jane"


def tissue_picture(shape: tuple[int, int] = (600, 900), seed: int = 0) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """Pink tissue, one piece with a hole, on white glass (Y, X, RGB), and where it is."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[: shape[0], : shape[1]] / np.reshape(shape, (2, 1, 1))
    tissue = (((y - 0.5) / 0.3) ** 2 + ((x - 0.3) / 0.2) ** 2 < 1) | ((abs(y - 0.3) < 0.15) & (abs(x - 0.8) < 0.1))
    texture = ndimage.gaussian_filter(random.normal(0, 60, shape), 2)[..., None]
    colour = np.clip(np.array([200, 110, 170]) + texture, 0, 255)
    return np.where(tissue[..., None], colour, 243).astype(np.uint8), tissue


def write_slide(
    path: Path, picture: NDArray[np.uint8], pixel_size_um: float | None = 0.5, levels: int = 3, tile: int = 256
) -> Path:
    """The picture as an Aperio slide, not compressed, each level half the one above, by every second pixel."""
    height, width = picture.shape[:2]
    with tifffile.TiffWriter(path) as file:
        for number in range(levels):
            level = np.ascontiguousarray(picture[:: 2**number, :: 2**number])
            said = f"Aperio Image Library v11.2.1 \r\n{width}x{height}"
            if number == 0:
                said += f"|AppMag = 20|User = {PATIENT}" + (f"|MPP = {pixel_size_um}" if pixel_size_um else "")
            file.write(level, tile=(tile, tile), photometric="rgb", description=said, metadata=None)
    return path


def write_pyramid(path: Path, picture: NDArray, pixel_size_um: float = 0.5, levels: int = 3, **named) -> Path:
    """The picture (Y, X) or (Y, X, RGB) as a pyramidal OME-TIFF."""
    axes = "YXS" if picture.ndim == 3 else "YX"
    how = {"tile": (128, 128), "photometric": "rgb" if picture.ndim == 3 else "minisblack"} | named
    about = {"axes": axes, "PhysicalSizeX": pixel_size_um, "PhysicalSizeY": pixel_size_um}
    with tifffile.TiffWriter(path, ome=True) as file:
        file.write(picture, subifds=levels - 1, metadata=about, **how)
        for number in range(1, levels):
            level = np.ascontiguousarray(picture[:: 2**number, :: 2**number])
            file.write(level, subfiletype=1, metadata=None, **how)
    return path
