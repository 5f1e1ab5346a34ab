"""Damage that is planted in images, to teach and to test what judges whether an image belongs to its source."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

Maps = NDArray[np.float32]
"""An image in network values, (K, [Z,] Y, X)."""
TAUGHT = ("swapped", "pasted", "erased", "blurred", "blurred", "moved", "moved", "shuffled", "put back")
"""Kinds of damage to teach with, the faint ones twice; ``put back`` is none."""
SOFTNESS = (0.0, 4.0, 10.0)
"""Widths over which damage fades in at its border, px: hard, and feathered."""
LEAST, TRIES = 0.01, 4
"""A region that changes less of an image than this share of the range is drawn again, so often at most: sparse images
are mostly background, which is like any other."""


@dataclass(frozen=True)
class Area:
    """An ellipse or a rectangle along Y and X: its centre and half its sides, px."""

    centre: tuple[float, float]
    half: tuple[float, float]
    round: bool

    @classmethod
    def drawn(cls, shape: tuple[int, ...], random: np.random.Generator, least: float, most: float) -> "Area":
        """One with a side of `least` to `most` px, somewhere in an image of this shape."""
        centre = tuple(float(random.uniform(0, n)) for n in shape[-2:])
        half = tuple(float(random.uniform(least, most)) / 2 for _ in centre)
        return cls((centre[0], centre[1]), (half[0], half[1]), bool(random.random() < 0.5))

    def weights(self, shape: tuple[int, ...], softness: float = 0.0) -> NDArray[np.float32]:
        """1 inside and 0 outside, ([Z,] Y, X) - the same in every plane; in between over `softness` px."""
        y, x = (np.abs(np.arange(n) - c) / h for n, c, h in zip(shape[-2:], self.centre, self.half, strict=True))
        along = y[:, None], x[None]
        inside = 1 - (np.hypot(*along) if self.round else np.maximum(*along))
        weights = (inside > 0) if softness == 0 else np.clip(inside * min(self.half) / softness + 0.5, 0, 1)
        return np.broadcast_to(weights.astype(np.float32), shape)


def blurred(image: Maps, sigma: float) -> Maps:
    """The image through a Gaussian of this width along Y and X, px."""
    smooth: Maps = ndimage.gaussian_filter(image, (0,) * (image.ndim - 2) + (sigma, sigma), mode="nearest")
    return smooth


def moved(image: Maps, shift: tuple[int, int]) -> Maps:
    """The image moved by whole pixels along Y and X; its border pixels are repeated."""
    y, x = (np.clip(np.arange(n) - d, 0, n - 1) for n, d in zip(image.shape[-2:], shift, strict=True))
    return image[..., y[:, None], x]


def erased(image: Maps) -> Maps:
    """The emptiest that the image knows, everywhere: the values of its pixel at the 5th percentile of their sum."""
    flat = image.reshape(len(image), -1)
    order = flat.sum(axis=0).argsort(kind="stable")
    return np.broadcast_to(flat[:, order[len(order) // 20]].reshape(-1, *(1,) * (image.ndim - 1)), image.shape)


def plant(kind: str, image: Maps, others: Sequence[Maps], random: np.random.Generator, field: int) -> Maps:
    """`image` with damage of this kind, drawn at random; `others` are images of other sources, of the same shape.

    Parameters
    ----------
    kind
        ``swapped`` a region of another image · ``pasted`` a few small pieces of others · ``erased`` a region made
        empty · ``blurred`` and ``moved`` a region, or the whole · ``shuffled`` another image as a whole · ``put back``
        a region replaced by itself: no damage at all.
    image, others
        In network values.
    random
        Where the numbers come from.
    field
        What one score sees, px: regions are about as large.

    Returns
    -------
    NDArray
        float32, of the shape of `image`.
    """
    other = others[int(random.integers(len(others)))]
    softness = SOFTNESS[int(random.integers(len(SOFTNESS)))]
    if kind == "shuffled":
        return other
    if kind == "pasted":
        result = image
        for _ in range(int(random.integers(1, 4))):
            area = Area.drawn(image.shape[1:], random, field / 6, field / 2)
            weights = area.weights(image.shape[1:], min(softness, min(area.half)))
            result = result + weights * (others[int(random.integers(len(others)))] - result)
        return result
    changes: dict[str, Callable[[], Maps]] = {
        "swapped": lambda: other,
        "erased": lambda: erased(image),
        "blurred": lambda: blurred(image, float(random.uniform(1.5, 5))),
        "moved": lambda: moved(image, shift(random, 2, 10)),
        "put back": lambda: image,
    }
    changed = changes[kind]()
    if kind in ("blurred", "moved") and random.random() < 0.3:
        return changed
    for _ in range(TRIES):
        weights = Area.drawn(image.shape[1:], random, field / 2, 1.5 * field).weights(image.shape[1:], softness)
        damaged: Maps = image + weights * (changed - image)
        if kind == "put back" or change(damaged, image).mean() > LEAST:
            break
    return damaged


def shift(random: np.random.Generator, least: float, most: float) -> tuple[int, int]:
    """A shift (Y, X) by `least` to `most` px in any direction, in whole pixels."""
    length, angle = random.uniform(least, most), random.uniform(0, 2 * np.pi)
    return round(length * np.sin(angle)), round(length * np.cos(angle))


def change(image: Maps, clean: Maps) -> NDArray[np.float32]:
    """How much each pixel was changed, ([Z,] Y, X): the mean over its channels, as a share of the range [-1, 1]."""
    difference: NDArray[np.float32] = np.abs(image - clean).mean(axis=0) / 2
    return difference
