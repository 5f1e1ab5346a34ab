"""What napari does with a slide that is opened or dropped: a layer of all its levels, read when they are seen."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from napari_pix2pix.files.stacks import SLIDES, open_stack, stem
from napari_pix2pix.widgets.layers import SLIDE
from napari_pix2pix.widgets.placing import lazily

LayerData = tuple[list[Any], dict[str, Any], str]


def slide_reader(path: str | Sequence[str]) -> Callable[[Any], list[LayerData]] | None:
    """What opens these files; None for others than slides."""
    given = [path] if isinstance(path, str) else list(path)
    return open_slides if all(name.lower().endswith(SLIDES) for name in given) else None


def open_slides(paths: str | Sequence[str]) -> list[LayerData]:
    """Each slide as a multiscale layer in µm, where it says its pixel size.

    Raises
    ------
    ValueError
        If OpenSlide is not installed or does not read one.
    """
    return [_layer(Path(path)) for path in ([paths] if isinstance(paths, str) else paths)]


def _layer(path: Path) -> LayerData:
    stack = open_stack(path)
    about: dict[str, Any] = {"name": stem(path), "rgb": True, "metadata": {SLIDE: str(path)}, "axis_labels": ("y", "x")}
    if {"Y", "X"} <= stack.pixel_size_um.keys():
        about |= {"scale": [stack.pixel_size_um[axis] for axis in "YX"], "units": ("µm", "µm")}
    levels: list[Any] = [lazily(level, stack.axes) for level in stack.levels]
    return levels if len(levels) > 1 else levels[0], about | {"multiscale": len(levels) > 1}, "image"
