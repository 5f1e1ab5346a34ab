"""What an image means - intensity, classes or instances - as the channels a network sees or predicts, and back."""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field
from scipy import ndimage
from skimage.measure import label as connected_components
from skimage.segmentation import find_boundaries

from napari_pix2pix.core.encodings.kinds import MOST_CLASSES, Kind, guess_kind
from napari_pix2pix.core.encodings.normalization import (
    MOST_CHANNELS,
    PORTION,
    DtypeName,
    Normalization,
    common_dtype,
    fit_normalization,
)
from napari_pix2pix.core.encodings.object_rows import LARGEST, ObjectRows
from napari_pix2pix.core.encodings.objects import SIGMA, find_objects
from napari_pix2pix.core.settings.config import NormalizationConfig

Window = tuple[slice, ...]
LIMIT = 0.9
"""Encoded targets lie in [-0.9, 0.9], which tanh can reach."""
MARGIN = 64
"""Pixels read around a window of instances at first."""
SMALLEST = 0.01
"""This share of the objects that train may be smaller than the smallest that is predicted; too few do not tell."""
HELD = 2**22
"""Pixels of the rows in which an object may lie that are decoded together, where that is more than `LARGEST` rows."""
HEAVIEST = 10.0
"""No class weighs more than this; all classes together weigh as much as without weights."""


class Encoding(BaseModel):
    """How sources or targets become channels, and back.

    Parameters
    ----------
    kind
        ``intensity`` grey values, channel by channel · ``classes`` one channel per class · ``instances`` two
        channels: foreground, and each pixel's distance to the border of its object as a share of the object's largest.
    n_channels
        Channels of the image as the user has it.
    dtype
        Of the image as the user has it.
    normalization
        Of intensities, else None.
    classes
        The label of each class, ascending, else empty.
    weights
        What an error on a pixel of each class weighs in the loss; empty: all the same.
    partial
        Whether some of the pairs that trained lacked a channel of several: discriminators then see which are there.
    seed_threshold
        Instances: a region where the predicted distance exceeds this share starts an object.
    min_size
        Instances: smaller objects are dropped, in pixels; where a hundred objects or more train, one in a hundred of
        them is smaller.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    kind: Kind
    n_channels: Annotated[int, Field(ge=1, le=MOST_CHANNELS)]
    dtype: DtypeName
    normalization: Normalization | None = None
    classes: tuple[Annotated[int, Field(ge=-(2**63), lt=2**64)], ...] = ()
    weights: tuple[Annotated[float, Field(ge=0)], ...] = ()
    partial: bool = False
    seed_threshold: Annotated[float, Field(ge=0, le=1)] = 0.5
    min_size: Annotated[int, Field(ge=0, le=2**31)] = 10

    def model_post_init(self, _: Any) -> None:
        """Check what concerns two fields."""
        known = self.normalization
        if (self.kind == "intensity") != (known is not None) or (self.kind == "classes") != bool(self.classes):
            raise ValueError(
                "An encoding must have a normalization for intensities, classes for classes, and for nothing else; "
                f"this one, of kind {self.kind}, has not."
            )
        if known is not None and known.n_channels != self.n_channels:
            raise ValueError(
                f"A normalization must have a range for each channel, {self.n_channels}; this one has "
                f"{known.n_channels}."
            )
        if self.partial and (known is None or self.n_channels < 2):
            raise ValueError("An encoding must be of intensities of several channels to lack one; this one is not.")
        if self.classes and np.dtype(self.dtype).kind in "iu":
            holds = np.iinfo(self.dtype)
            if min(self.classes) < holds.min or max(self.classes) > holds.max:
                raise ValueError(
                    f"classes must be labels that {self.dtype} holds, {holds.min} to {holds.max}; got "
                    f"{min(self.classes)} to {max(self.classes)}."
                )
        if self.weights and len(self.weights) != len(self.classes):
            raise ValueError(f"weights must be one for each class, {len(self.classes)}; got {len(self.weights)}.")

    @property
    def n_maps(self) -> int:
        """Channels that the network predicts."""
        return {"intensity": self.n_channels, "classes": len(self.classes), "instances": 2}[self.kind]

    @property
    def n_stains(self) -> int:
        """Planes by which a discriminator sees which channels are there; 0 where they always are."""
        return self.n_channels if self.partial else 0

    @property
    def is_labels(self) -> bool:
        """Whether decoded images are label images."""
        return self.kind != "intensity"

    @property
    def dtype_decoded(self) -> str:
        """Of what `decode` returns."""
        return "int32" if self.kind == "instances" else self.dtype

    def encode(self, image: NDArray[Any]) -> NDArray[np.float32]:
        """`image` (C, Y, X), grey values or labels, as float32 maps (n_maps, Y, X); labels in [-0.9, 0.9].

        Raises
        ------
        ValueError
            If a class image holds a label that the training pairs did not.
        """
        if self.normalization is not None:
            return self.normalization.apply(image)
        labels = image[0]
        if self.kind == "instances":
            return _encode_instances(labels)
        unknown = np.setdiff1d(labels, self.classes)
        if unknown.size:
            raise ValueError(
                f"A class image must hold the labels {list(self.classes)} only; "
                f"got {unknown[:5].tolist()} too. Relabel it or train with such labels."
            )
        return np.stack([np.where(labels == value, LIMIT, -LIMIT) for value in self.classes]).astype(np.float32)

    def windows(
        self, take: Callable[[Window], NDArray[Any]], shape: tuple[int, ...]
    ) -> Callable[[Window], NDArray[np.float32]]:
        """A function that gives any window of what `encode` gives of a frame, and reads little more than that.

        Where an image's own statistics normalize it, all of it is read first. Around a window of instances so
        much is read that its objects are whole, since each is encoded as a share of its largest distance; parts of one
        label that do not touch may be taken for several objects.

        Parameters
        ----------
        take
            Reads a window (C, [Z,] Y, X) of the frame.
        shape
            Of the frame, ([Z,] Y, X).
        """
        if self.normalization is not None and self.normalization.each_image is not None:
            whole = [slice(0, n) for n in shape]
            rows = (slice(row, min(row + PORTION, shape[-2])) for row in range(0, shape[-2], PORTION))
            own = self.of_image(take((*whole[:-2], some, whole[-1])) for some in rows)
            return lambda window: own.encode(take(window))
        if self.kind == "instances":
            return lambda window: _instances_in(take, shape, window)
        return lambda window: self.encode(take(window))

    def decode(self, maps: NDArray[np.float32]) -> NDArray[Any]:
        """Maps (n_maps, Y, X) as grey values (C, Y, X) in the target's dtype, or labels (1, Y, X)."""
        if self.normalization is not None:
            return self.normalization.invert(maps)
        if self.kind == "classes":
            classes: NDArray[Any] = np.asarray(self.classes, self.dtype)
            found: NDArray[Any] = classes[maps.argmax(axis=0)]
            return found[None]
        return _decode_instances(maps, self.seed_threshold, self.min_size)[None]

    def object_rows(self, shape: tuple[int, ...], folder: Path | None = None) -> ObjectRows:
        """What decodes the instances of a frame ([Z,] Y, X) some rows at a time; what waits lies in the `folder`."""
        largest = max(LARGEST, HELD // math.prod((*shape[:-2], shape[-1])))
        return ObjectRows(depth_of(self.seed_threshold), self.min_size, shape, largest, folder)

    def of_image(self, portions: Iterable[NDArray[Any]]) -> "Encoding":
        """The encoding of one image: its own, where each image is normalized by itself; `portions` are then read."""
        if self.normalization is None or self.normalization.each_image is None:
            return self
        return self.model_copy(update={"normalization": self.normalization.of_image(portions)})

    def decode_spread(self, spread: NDArray[np.float32]) -> NDArray[np.float32]:
        """How far apart predictions are, float32, from the standard deviation (n_maps, [Z,] Y, X) of their maps.

        Of intensities (C, [Z,] Y, X) in grey values; of labels (1, [Z,] Y, X), the mean over the maps as a share of
        the encoded range.
        """
        if self.normalization is not None:
            return self.normalization.invert_spread(spread)
        share: NDArray[np.float32] = spread.mean(axis=0, keepdims=True) / np.float32(2 * LIMIT)
        return share


def _encode_instances(labels: NDArray[Any]) -> NDArray[np.float32]:
    ids, dense = np.unique(labels, return_inverse=True)
    dense = dense.reshape(labels.shape) + (ids[0] != 0)  # 0 stays background, and is so only if it was there
    inner = (dense > 0) & ~find_boundaries(dense, mode="inner")
    # 1 on an object's border, then the distance to it. Borders between touching objects count, the image's do not.
    depth = np.ones(labels.shape) if inner.all() else ndimage.distance_transform_edt(inner) + 1
    distance = np.where(dense > 0, depth, 0)
    peak = np.atleast_1d(ndimage.maximum(distance, dense, np.arange(dense.max() + 1)))
    share = distance / np.where(peak > 0, peak, 1)[dense]
    return (np.stack([dense > 0, share]) * (2 * LIMIT) - LIMIT).astype(np.float32)


def _instances_in(
    take: Callable[[Window], NDArray[Any]], shape: tuple[int, ...], window: Window
) -> NDArray[np.float32]:
    """`window` of the encoded frame; more and more around it is read until all objects in it are whole."""
    margin = MARGIN
    while True:
        read = tuple(
            slice(max(0, w.start - margin), min(n, w.stop + margin)) for w, n in zip(window, shape, strict=True)
        )
        labels = take(read)[0]
        inside = tuple(slice(w.start - r.start, w.stop - r.start) for w, r in zip(window, read, strict=True))
        edges = [
            labels.take(end, axis)
            for axis, (r, n) in enumerate(zip(read, shape, strict=True))
            for end, is_cut in ((0, r.start > 0), (-1, r.stop < n))
            if is_cut
        ]
        cut = set().union(*(np.unique(edge).tolist() for edge in edges)) - {0}
        if not np.isin(labels[inside], list(cut)).any():
            return _encode_instances(labels)[(slice(None), *inside)]
        margin *= 2


def depth_of(share: float) -> float:
    """The encoded depth that is this share of an object's largest."""
    return (2 * share - 1) * LIMIT


def _decode_instances(maps: NDArray[np.float32], seed_threshold: float, min_size: int) -> NDArray[np.int32]:
    depth = ndimage.gaussian_filter(maps[1], SIGMA)
    labels = find_objects(maps[0] > 0, depth, depth_of(seed_threshold))
    labels[np.bincount(labels.ravel())[labels] < min_size] = 0
    objects: NDArray[np.int32] = connected_components(labels, connectivity=1).astype(np.int32)
    return objects


def fit_encoding(
    images: Sequence[NDArray[Any]],
    kind: Kind | Literal["auto"],
    normalization: NormalizationConfig | None = None,
    *,
    limit: float = LIMIT,
    known: Sequence[NDArray[np.bool_]] | None = None,
) -> Encoding:
    """The encoding of these training images (C, [Z,] Y, X), its kind guessed if ``auto``.

    Where an image is not `known` ([Z,] Y, X), if given, its grey values and labels do not count.

    Raises
    ------
    ValueError
        If labels have several channels, fractional or negative values, or classes are more than 16.
    """
    kind = guess_kind(images) if kind == "auto" else kind
    first = images[0]
    n_channels = len(first)

    def pixels() -> Iterator[NDArray[Any]]:
        for i, image in enumerate(images):
            if kind != "intensity":
                _require_labels(image, kind)
            yield image if known is None else image[:, known[i]]

    if kind == "intensity":
        fitted = fit_normalization((values for values in pixels() if values.size), normalization, limit=limit)
        return Encoding(kind=kind, n_channels=n_channels, dtype=fitted.dtype, normalization=fitted)
    if n_channels > 1:
        raise ValueError(
            f"Images of {kind} must have one channel; got {n_channels}. Store the labels as one grey channel, "
            "or choose the kind intensity."
        )
    if kind == "instances":
        found = Encoding(kind=kind, n_channels=1, dtype=str(first.dtype))
        sizes = np.concatenate([np.unique(values[values > 0], return_counts=True)[1] for values in pixels()])
        if len(sizes) < 1 / SMALLEST:
            return found
        return found.model_copy(update={"min_size": int(np.quantile(sizes, SMALLEST, method="lower"))})
    counts: dict[int, int] = {}
    dtypes = set()
    for values in pixels():
        dtypes.add(values.dtype)
        for value, count in zip(*np.unique(values, return_counts=True), strict=True):
            counts[int(value)] = counts.get(int(value), 0) + int(count)
        if len(counts) > MOST_CLASSES:
            raise ValueError(
                f"Images of classes must have at most {MOST_CLASSES} labels; got more. "
                "Choose the kind instances or intensity."
            )
    dtype = common_dtype(dtypes, min(counts), max(counts))
    return Encoding(kind=kind, n_channels=1, dtype=dtype, classes=tuple(sorted(counts)))


def fit_stains(by_channel: Iterable[Iterable[NDArray[Any]]], config: NormalizationConfig) -> Encoding:
    """The encoding of intensities of which images may lack channels, by what holds each (1, …).

    Raises
    ------
    ValueError
        If none holds one.
    """
    fitted = [fit_normalization(images, config, limit=LIMIT) for images in by_channel]
    ends = {"low": tuple(one.low[0] for one in fitted), "high": tuple(one.high[0] for one in fitted)}
    dtype = common_dtype({np.dtype(one.dtype) for one in fitted}, min(ends["low"]), max(ends["high"]))
    whole = fitted[0].model_copy(update=ends | {"dtype": dtype})
    return Encoding(kind="intensity", n_channels=len(fitted), dtype=dtype, normalization=whole, partial=True)


def _require_labels(image: NDArray[Any], kind: Kind) -> None:
    if image.dtype.kind == "f" and (image != np.rint(image)).any():
        raise ValueError(f"Images of {kind} must hold whole numbers; got fractions. Choose the kind intensity.")
    if image.min() < 0:
        raise ValueError(
            f"Images of {kind} must hold labels from 0 on; got negative ones. Relabel them, or, if one of the "
            "target means that it is not known, give that as `ignore_label`."
        )


def rare_weights(images: Iterable[NDArray[Any]], classes: Sequence[int]) -> tuple[float, ...]:
    """What an error on a pixel of each class weighs, if one over its share of these pixels: at most `HEAVIEST`."""
    counts = np.sum([[np.count_nonzero(image == value) for value in classes] for image in images], axis=0)
    return tuple((1 / np.maximum(len(classes) * counts / counts.sum(), 1 / HEAVIEST)).tolist())
