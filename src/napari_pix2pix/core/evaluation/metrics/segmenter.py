"""Objects in grey values found by a model: the same in predictions as in the truth."""

import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_pix2pix.core.evaluation.metrics.errors import SMALLEST
from napari_pix2pix.core.running.sources import counted
from napari_pix2pix.core.running.trained_model import TrainedModel


def labelled(mask: NDArray[np.bool_]) -> NDArray[np.intp]:
    """One label for each object of a mask, those of fewer than 10 px left out."""
    objects, _ = ndimage.label(mask)
    sizes = np.bincount(objects.ravel())
    objects[sizes[objects] < SMALLEST] = 0
    return np.asarray(objects, np.intp)


class Segmenter:
    """Finds the objects of images by a model.

    Parameters
    ----------
    model
        Of objects, or of classes, whose foreground's parts are objects.
    example
        An image (C, [Z,] Y, X) like those that will come, for their shape and dtype.
    colours
        Whether its channels are colours.
    ends
        The least and the largest value of each channel of all targets. Where these have another dtype than what the
        model learned from, they become the ends of its range, of predictions and of targets alike.

    Raises
    ------
    ValueError
        If the model does not find objects in such images.
    """

    def __init__(
        self, model: TrainedModel, example: NDArray[Any], colours: bool, ends: list[tuple[float, float]]
    ) -> None:
        encoding, kind = model.source_encoding, model.target_encoding.kind
        if model.domains.sets or model.config.data != "pairs" or kind == "intensity" or encoding.is_labels:
            raise ValueError(
                "A model that counts objects must find labels in grey values; this one does not. Give another as "
                "`objects`, otsu, or label images."
            )
        z = "volume" if example.ndim == 4 else "frame"
        if model.source_view.z != z:
            raise ValueError(
                f"A model that counts objects must see {'volumes' if z == 'volume' else 'planes'}, as targets are; "
                "this one does not. Give another as `objects`, otsu, or label images."
            )
        self.model, wanted, many = model, encoding.n_channels, len(example)
        self.grey = model.source_view.colours and wanted == 3 and not (colours and many == 3)
        self.together = not self.grey and many == wanted and many > 1
        if not (self.together or self.grey or wanted == 1):
            raise ValueError(
                f"A model that counts objects must take one channel, or all {many} of the targets; this one takes "
                f"{counted(wanted)}. Give another as `objects`, otsu, or label images."
            )
        known = encoding.normalization
        fits = known is None or known.each_image is not None or str(example.dtype) == encoding.dtype
        self._range = None if fits or known is None else (min(known.low), max(known.high))
        self._ends, self._warned = ends, False

    def find(self, image: NDArray[Any], channel: int, *, true: bool = False) -> NDArray[Any]:
        """The labels ([Z,] Y, X) of an image (C, [Z,] Y, X), in this channel, or in all where the model sees all."""
        numbers = range(len(image)) if self.together else [channel]
        seen = np.stack([self._scaled(image[k], k) for k in numbers])
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            axes = "CZYX" if seen.ndim == 4 else "CYX"
            found = self.model.predict(np.repeat(seen, 3, axis=0) if self.grey else seen, axes)
        if true and said and not self._warned:
            self._warned = True
            warnings.warn(f"Of the model that finds objects, in targets: {said[0].message}", stacklevel=2)
        encoding = self.model.target_encoding
        return found if encoding.kind == "instances" else labelled(found != encoding.classes[0])

    def _scaled(self, values: NDArray[Any], channel: int) -> NDArray[Any]:
        if self._range is None:
            return values
        (low, high), (first, last) = self._range, self._ends[channel]
        share = (values.astype(np.float32) - first) / ((last - first) or 1.0)
        scaled: NDArray[np.float32] = (low + share * (high - low)).astype(np.float32)
        return scaled
