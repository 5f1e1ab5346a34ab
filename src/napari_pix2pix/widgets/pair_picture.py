"""A small picture of the first pair, source beside target image, before anything is learned from it."""

import math
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from napari.layers import Image, Labels, Layer
from napari.utils.colormaps import label_colormap
from numpy.typing import NDArray
from qtpy.QtCore import Qt
from qtpy.QtGui import QImage, QPixmap
from qtpy.QtWidgets import QLabel

from napari_pix2pix.core.geometry.axes import AxesPlan
from napari_pix2pix.files.folders import list_images
from napari_pix2pix.files.partners import named_pairs
from napari_pix2pix.files.stacks import open_stack
from napari_pix2pix.widgets.domains import FileDomains, LayerDomains
from napari_pix2pix.widgets.layers import layer_axes, pixels
from napari_pix2pix.widgets.pair_rows import Learned
from napari_pix2pix.widgets.pairs import FilePairs, LayerPairs
from napari_pix2pix.widgets.session import Session

SIDE, GAP = 150, 6
"""Of each image, at most, and between both, in pixels."""
MOST_BYTES = 2**28
"""Of a frame that is read for it."""
LABEL_BYTES = 2
"""Integers of so many bytes or less may be labels, by how few values they have."""
MOST_LABELS = 256


class PairPicture(QLabel):
    """Hidden while there is nothing to show.

    Parameters
    ----------
    session, token
        Of the dock: where images are read.
    """

    def __init__(self, session: Session, token: object) -> None:
        super().__init__()
        self._session, self._token = session, token
        self._key: object = None
        self.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self.hide()

    def look(self, pairs: Learned | None) -> None:
        """Show the first of these pairs, once a thread has read it; None: nothing."""
        key = None if pairs is None else pairs.key
        if key == self._key:
            return
        self._key = key
        self.hide()
        if pairs is not None:
            work = partial(pictured, pairs)
            self._session.in_thread(self._token, work, partial(self._show, key), lambda _: None)  # said elsewhere

    def _show(self, key: object, picture: NDArray[np.uint8] | None) -> None:
        if key != self._key or picture is None:
            return
        height, width = picture.shape[:2]
        image = QImage(picture.tobytes(), width, height, 3 * width, QImage.Format.Format_RGB888)
        self.setPixmap(QPixmap.fromImage(image))
        self.setToolTip("The first that is learned from, as it is read: source and target, or two domains")
        self.show()


def pictured(pairs: Learned) -> NDArray[np.uint8] | None:
    """The first two images that are learned from, (Y, X, 3): the middle plane of each; None where a frame is too large.

    Raises
    ------
    ValueError, OSError
        If one cannot be read.
    """
    if isinstance(pairs, LayerPairs | LayerDomains):
        layers = pairs.first if isinstance(pairs, LayerDomains) else pairs.pairs[0][:2]
        sides = [_of_layer(layer) for layer in dict.fromkeys(layers)]
    elif isinstance(pairs, FileDomains):
        sides = [_of_file(path, pairs.axes) for path in pairs.first]
    else:
        sides = [_of_file(path, axes) for path, axes in zip(_first(pairs), pairs.axes, strict=False)]
    shown = [side for side in sides if side is not None]
    if len(shown) < len(sides):
        return None
    height = max(map(len, shown))
    rows = [np.pad(side, ((0, height - len(side)), (0, GAP), (0, 0))) for side in shown]
    return np.ascontiguousarray(np.concatenate(rows, axis=1)[:, :-GAP])


def _first(pairs: FilePairs) -> tuple[Path, ...]:
    """The files of the first pair; where none is named, the first of each side."""
    if pairs.alone:
        return (list_images(Path(pairs.source).expanduser())[0],)
    source, target = (Path(side).expanduser() for side in (pairs.source, pairs.target))
    if not pairs.paired:
        return list_images(source)[0], list_images(target)[0]
    return next(iter(named_pairs(source, target).values()))


def _of_layer(layer: Layer) -> NDArray[np.uint8] | None:
    values = _middle(pixels(layer), layer_axes(layer))
    if values is None:
        return None
    if isinstance(layer, Labels):
        return _coloured(layer.colormap.map(values[0]))
    if isinstance(layer, Image) and len(values) == 1:
        low, high = layer.contrast_limits
        return _coloured(layer.colormap.map(np.clip((values[0] - low) / ((high - low) or 1), 0, 1)))
    return _grey(values)


def _of_file(path: Path, axes: str) -> NDArray[np.uint8] | None:
    stack = open_stack(path, axes or None)
    values = _middle(stack.array, stack.axes)
    if values is None:
        return None
    few = values.dtype.kind in "iub" and len(values) == 1 and len(np.unique(values)) <= MOST_LABELS
    if few and values.dtype.itemsize <= LABEL_BYTES and _is_flat(values[0]):
        return _coloured(label_colormap(49).map(values[0].astype(np.int32)))
    return _grey(values)


def _is_flat(values: NDArray[Any]) -> bool:
    """Whether most pixels are as the one beside them, as those of labels are."""
    return bool(np.mean(values[:, 1:] == values[:, :-1]) > 0.7)


def _middle(array: Any, axes: str) -> NDArray[Any] | None:
    """The middle frame (C, Y, X), of so many pixels as are shown; None where it is too large to be read for that."""
    plan = AxesPlan(axes, tuple(array.shape))
    size = math.prod(plan.frame_shape) * plan.n_channels * np.dtype(array.dtype).itemsize
    if size > MOST_BYTES:
        return None
    every = slice(None, None, max(1, math.ceil(max(plan.frame_shape) / SIDE)))
    return plan.take(array, plan.n_frames // 2, (every, every))


def _grey(values: NDArray[Any]) -> NDArray[np.uint8]:
    """Up to three channels (C, Y, X) as (Y, X, 3), from dark to bright; 8-bit colours as they are."""
    shown = values[:3] if len(values) >= 3 else np.repeat(values[:1], 3, axis=0)
    if values.dtype != np.uint8 or len(values) < 3:
        low, high = np.nanpercentile(shown.astype(np.float32), (0.5, 99.5))
        shown = 255 * np.nan_to_num(np.clip((shown - low) / ((high - low) or 1), 0, 1))
    return np.moveaxis(shown, 0, -1).astype(np.uint8)


def _coloured(colours: NDArray[Any]) -> NDArray[np.uint8]:
    """RGBA from 0 to 1 on black, as (Y, X, 3)."""
    return (255 * colours[..., :3] * colours[..., 3:]).astype(np.uint8)
