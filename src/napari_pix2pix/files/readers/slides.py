"""Whole slides that OpenSlide opens, RGB on white, each level read when it is sliced; never labels or macro images."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_pix2pix.files.readers.lazy import LazyArray, Stack, full_index

AT_ONCE = 512
"""Side of the blocks in which a level is read, px: whatever window is asked for, the same blocks are read."""
TOLD = ("openslide.vendor", "openslide.objective-power", "openslide.mpp-x", "openslide.mpp-y")
"""Properties that no slide names a patient in, nor a user, a date or a file."""


def open_slide(path: Path) -> Stack:
    """The slide in the file `path`, Y X S, uint8; its header is read. `Stack.levels` are all levels, largest first.

    Raises
    ------
    ValueError
        If OpenSlide is not installed; other exceptions are those of OpenSlide.
    """
    with _opened(path) as slide:
        said = {name: slide.properties[name] for name in TOLD if name in slide.properties}
        levels = tuple(
            LazyArray(path, (height, width, 3), np.dtype(np.uint8), partial(_read, number, (height, width)))
            for number, (width, height) in enumerate(slide.level_dimensions)
        )
    found = {axis: _positive(said.get(f"openslide.mpp-{axis.lower()}")) for axis in "YX"}
    sizes = {axis: size for axis, size in found.items() if size is not None}
    objective = _positive(said.get("openslide.objective-power"))
    return Stack(path, levels[0], "YXS", sizes, levels=levels, objective=objective)


def _positive(said: str | None) -> float | None:
    try:
        number = float(said or 0)
    except ValueError:
        return None
    return number if 0 < number < math.inf else None


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    try:
        import openslide
    except ImportError as error:
        raise MissingSlides(
            f"OpenSlide must be installed to read a slide like {path}; it is not. "
            "Give: pip install 'napari-pix2pix[slides]'."
        ) from error
    with openslide.OpenSlide(path) as slide:
        yield slide


class MissingSlides(ValueError):
    """The extra `slides` is not installed."""


def _read(level: int, shape: tuple[int, int], path: Path, index: Any) -> NDArray[Any]:
    """The pixels of this level, of this shape (Y, X), at `index` (Y, X, S)."""
    *sides, samples = full_index(index, 3)
    wanted = [
        range(n)[side] if isinstance(side, slice) else range(n)[side : side + 1 or None]
        for side, n in zip(sides, shape, strict=True)
    ]
    low, high = zip(*((min(w[0], w[-1]), max(w[0], w[-1]) + 1) if w else (0, 0) for w in wanted), strict=True)
    pixels = np.empty((high[0] - low[0], high[1] - low[1], 3), np.uint8)
    with _opened(path) as slide:
        # Places count in pixels of the full resolution, which need not hold a whole number of the level's.
        # At full resolution nothing is resampled, and blocks begin where the window does.
        step = slide.level_downsamples[level]
        first, ends = (low, high) if step == 1 else ([at // AT_ONCE * AT_ONCE for at in low], shape)
        for y in range(first[0], high[0], AT_ONCE):
            for x in range(first[1], high[1], AT_ONCE):
                height, width = min(AT_ONCE, ends[0] - y), min(AT_ONCE, ends[1] - x)
                block = slide.read_region((round(x * step), round(y * step)), level, (width, height))
                inside = [
                    (max(a, b), min(a + n, c)) for a, n, b, c in zip((y, x), (height, width), low, high, strict=True)
                ]
                (top, bottom), (left, right) = inside
                pixels[top - low[0] : bottom - low[0], left - low[1] : right - low[1]] = _on_white(
                    np.asarray(block)[top - y : bottom - y, left - x : right - x]
                )
    steps = [slice(None, None, w.step) if isinstance(side, slice) else 0 for w, side in zip(wanted, sides, strict=True)]
    return pixels[(*steps, samples)]


def _on_white(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Pixels (Y, X, RGBA) over white: where a slide was not scanned it is glass."""
    colours, opacity = pixels[..., :3], pixels[..., 3:]
    if (opacity == 255).all():
        return colours
    seen = (colours * opacity.astype(np.uint16) + 255 * (255 - opacity.astype(np.uint16)) + 127) // 255
    return seen.astype(np.uint8)
