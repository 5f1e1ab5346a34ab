"""Images that show the same place, found by what they show: copies, overlapping crops, also turned and mirrored ones.

Cheap: of each image only marks are kept, points where it is darkest or brightest around, described by rings, which are
the same however it is turned. Where marks of two images lie alike, their pixels are compared.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import pairwise, product

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import cKDTree

HALVED = 2
"""Images are averaged over squares of so many px first."""
FINE, COARSE = 1.5, 6.0
"""Widths of the two Gaussians whose difference has its extremes at the marks, in px of the halved image."""
APART, AROUND = 5, 8
"""Marks are the extremes over so many px to each side, and described by what is so many px around them, likewise."""
RINGS, WAVES = 6, 3
"""Around a mark; and the waves around each ring whose amplitudes are taken."""
FAINT = 1e-3
"""Where an image varies by less than this share of what is usual, there is nothing to mark."""
MOST_MARKS = 60_000
"""That are compared: of more, the strongest."""
ALIKE, NEIGHBOURS = 0.5, 6
"""How far the descriptions of one mark in two images lie apart, at most; so many of the nearest are looked at."""
LEAST_MARKS, AS_FAR = 3, 3.0
"""So many marks of two images must lie alike, to so many px."""
COMPARED, BLOCK, BESIDE = 512, 32, 3
"""Side of the window whose pixels are compared, in blocks; and how far beside, all in px."""
SAME = 0.8
"""The median correlation of blocks from which on two images show the same: neighbouring sections have less."""
LATTICE = 0.7
"""The share of an image that repeats itself, from which on it tells no place: two of a lattice are alike."""
HUGE = 1e15
"""What is larger, or no number, counts as 0: its squares could not be summed."""
HOW = {
    (0, False): "",
    (1, False): "turned by 90°",
    (2, False): "turned by 180°",
    (3, False): "turned by −90°",
    (0, True): "mirrored left to right",
    (1, True): "transposed",
    (2, True): "mirrored top to bottom",
    (3, True): "transposed and turned by 180°",
}
"""By quarter turns and whether it was mirrored before: what was done to one image to make the other."""

Read = Callable[[tuple[slice, slice]], NDArray[np.generic]]


@dataclass(frozen=True)
class Same:
    """Two images that show the same place.

    Parameters
    ----------
    first, second
        Their numbers.
    share
        Of the smaller one that both show, 0 to 1.
    how
        What was done to the second; empty: nothing.
    correlation
        Of what both show.
    """

    first: int
    second: int
    share: float
    how: str
    correlation: float


@dataclass
class Marks:
    """The marks of many images, of which at most a few dozen numbers for each are kept."""

    _places: list[NDArray[np.float32]] = field(default_factory=list)
    _known_by: list[NDArray[np.float32]] = field(default_factory=list)
    _strengths: list[NDArray[np.float32]] = field(default_factory=list)
    _images: list[NDArray[np.int64]] = field(default_factory=list)

    def add(self, image: int, values: NDArray[np.generic], corner: tuple[int, int] = (0, 0)) -> None:
        """Those of a piece (C, Y, X) of the image of this number, which lies at `corner` (Y, X) in it."""
        places, known_by, strengths = _marks(values)
        self._places.append(places + np.array(corner, np.float32))
        self._known_by.append(known_by)
        self._strengths.append(strengths)
        self._images.append(np.full(len(places), image))

    def same(
        self, read: Callable[[int], Read], shape: Callable[[int], tuple[int, int]], group: Callable[[int], object]
    ) -> list[Same]:
        """Images that show the same place, of different groups.

        Parameters
        ----------
        read, shape, group
            By the number of an image: what gives its pixels (C, Y, X) in a window, its (Y, X), and what it belongs to.
        """
        found = []
        for first, second, turns, mirrored, shift in self._alike(group):
            windows = _shared(shape(first), shape(second), turns, mirrored, shift)
            if windows is None:
                continue
            (a, b), share = windows
            ours, theirs = _turned(_grey(read(first)(a)), turns, mirrored), _grey(read(second)(b))
            correlation = _correlation(ours, theirs)
            if correlation >= SAME and _beyond_a_pattern(ours, theirs):
                found.append(Same(first, second, share, HOW[turns, mirrored], correlation))
        return found

    def _alike(self, group: Callable[[int], object]) -> Iterator[tuple[int, int, int, bool, NDArray[np.float64]]]:
        """Pairs of images, the first before the second, marks of which lie alike: once turned and shifted so."""
        if not self._places:
            return
        places, known_by, strengths, images = (
            np.concatenate(own) for own in (self._places, self._known_by, self._strengths, self._images)
        )
        if len(places) > MOST_MARKS:
            kept = np.argpartition(strengths, -MOST_MARKS)[-MOST_MARKS:]
            places, known_by, images = places[kept], known_by[kept], images[kept]
        if len(places) < 2:
            return
        numbers = {image: i for i, image in enumerate(dict.fromkeys(map(group, np.unique(images).tolist())))}
        groups = np.array([numbers[group(image)] for image in images.tolist()])
        _, nearest = cKDTree(known_by).query(known_by, NEIGHBOURS, distance_upper_bound=ALIKE)
        ours, theirs = np.repeat(np.arange(len(places)), NEIGHBOURS), nearest.ravel()
        ours, theirs = (side[theirs < len(places)] for side in (ours, theirs))
        apart = groups[ours] != groups[theirs]
        ours, theirs = ours[apart], theirs[apart]
        swapped = images[ours] > images[theirs]
        ours, theirs = np.where(swapped, theirs, ours), np.where(swapped, ours, theirs)
        matches = np.unique(np.stack([images[ours], images[theirs], ours, theirs], axis=1), axis=0)
        others = 1 + np.flatnonzero((np.diff(matches[:, :2], axis=0) != 0).any(axis=1))
        for own in np.split(matches, others):
            if len(own) < LEAST_MARKS:
                continue
            best = None
            for turns, mirrored in HOW:
                shifts = places[own[:, 3]] - places[own[:, 2]] @ _matrix(turns, mirrored).T
                votes = cKDTree(shifts).query_ball_point(shifts, AS_FAR, p=np.inf)
                agreed = max(votes, key=len)
                if len(agreed) >= LEAST_MARKS and (best is None or len(agreed) > best[0]):
                    best = len(agreed), turns, mirrored, np.median(shifts[agreed], axis=0)
            if best is not None:
                yield int(own[0, 0]), int(own[0, 1]), *best[1:]


def _marks(values: NDArray[np.generic]) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
    """Where they are (N, 2), in px; what they are known by (N, K); and how strong they are (N,)."""
    grey = _grey(values)
    y, x = (n // HALVED * HALVED for n in grey.shape)
    small = grey[:y, :x].reshape(y // HALVED, HALVED, x // HALVED, HALVED).mean(axis=(1, 3))
    side = 2 * AROUND + 1
    if min(small.shape) < side:
        return np.zeros((0, 2), np.float32), np.zeros((0, len(_RINGS)), np.float32), np.zeros(0, np.float32)
    fine = ndimage.gaussian_filter(small, FINE)
    bumps = np.abs(fine - ndimage.gaussian_filter(small, COARSE))
    usual = float(bumps.std())
    tops = (ndimage.maximum_filter(bumps, 2 * APART + 1) == bumps) & (bumps > FAINT * usual)
    y, x = np.nonzero(tops[AROUND : tops.shape[0] - AROUND, AROUND : tops.shape[1] - AROUND])
    around = sliding_window_view(fine, (side, side))[y, x].reshape(len(y), side**2)
    around = around - around.mean(axis=1, keepdims=True)
    spread = around.std(axis=1)
    clear = spread > max(FAINT * usual, np.finfo(np.float32).tiny)
    known_by = np.abs((around[clear] / spread[clear, None]) @ _RINGS.T).astype(np.float32)
    known_by[:, :RINGS] = (around[clear] / spread[clear, None]) @ _RINGS[:RINGS].real.T  # a mean has a sign
    places = (np.stack([y, x], axis=1)[clear] + AROUND) * HALVED + (HALVED - 1) / 2
    strengths = bumps[y + AROUND, x + AROUND][clear] / (usual or 1.0)
    return places.astype(np.float32), known_by, strengths.astype(np.float32)


def _rings() -> NDArray[np.complex128]:
    """What is multiplied with a neighbourhood (K, its pixels): means over rings, and of waves around these.

    The size of each is the same for a neighbourhood that is turned by quarters or mirrored.
    """
    y, x = np.mgrid[-AROUND : AROUND + 1, -AROUND : AROUND + 1]
    radius, angle = np.hypot(y, x), np.arctan2(y, x)
    edges = np.linspace(0, AROUND + 0.5, RINGS + 1)
    rings = [(radius >= low) & (radius < high) for low, high in pairwise(edges)]
    waves = [np.exp(1j * n * angle) for n in range(WAVES + 1)]
    return np.stack([(ring / ring.sum() * wave).ravel() for wave, ring in product(waves, rings)])


_RINGS = _rings()


def _matrix(turns: int, mirrored: bool) -> NDArray[np.int64]:
    """What (Y, X) becomes where an image is mirrored left to right, then turned by so many quarters, but for shifts."""
    once = np.array([[1, 0], [0, -1]]) if mirrored else np.eye(2, dtype=int)
    found: NDArray[np.int64] = np.linalg.matrix_power(np.array([[0, -1], [1, 0]]), turns) @ once
    return found


def _turned(image: NDArray[np.float32], turns: int, mirrored: bool) -> NDArray[np.float32]:
    return np.rot90(image[:, ::-1] if mirrored else image, turns)


def _shared(
    first: tuple[int, int], second: tuple[int, int], turns: int, mirrored: bool, shift: NDArray[np.float64]
) -> tuple[list[tuple[slice, slice]], float] | None:
    """The middle of what two images of these sizes share, in each; and of the smaller one the share of all of it."""
    matrix, by = _matrix(turns, mirrored), shift.round().astype(int)
    corners = np.stack([matrix @ (0, 0), matrix @ np.subtract(first, 1)]) + by
    low, high = np.maximum(corners.min(axis=0), 0), np.minimum(corners.max(axis=0), np.subtract(second, 1))
    sides = high - low + 1
    if sides.min() < BLOCK + 2 * BESIDE:
        return None
    share = float(sides.prod() / min(np.prod(first), np.prod(second)))
    spare = np.maximum(sides - COMPARED, 0) // 2
    ends = np.stack([low + spare, high - spare])
    back = (ends - by) @ matrix  # the inverse of a turn is its transpose
    windows = [(slice(a[0], b[0] + 1), slice(a[1], b[1] + 1)) for a, b in ((back.min(0), back.max(0)), ends)]
    return windows, share


def _correlation(a: NDArray[np.float32], b: NDArray[np.float32]) -> float:
    """The median over blocks in which either has some structure, where `b` is shifted by a few px to where it is best.

    Blocks, so that what all images of a kind share, such as a rim, does not count for more than its place.
    """
    a, b = (image - ndimage.uniform_filter(image, BLOCK + 1) for image in (a, b))
    y, x = ((n - 2 * BESIDE) // BLOCK * BLOCK for n in a.shape)
    ours = _blocks(a[BESIDE : BESIDE + y, BESIDE : BESIDE + x])
    best = -1.0
    for down, right in product(range(2 * BESIDE + 1), repeat=2):
        theirs = _blocks(b[down : down + y, right : right + x])
        energy = (ours**2).sum(axis=1), (theirs**2).sum(axis=1)
        shows = np.maximum(*(own / (own.max() or 1.0) for own in energy)) > FAINT
        sizes = np.sqrt(energy[0] * energy[1])[shows]
        if shows.any():
            agree = (ours * theirs).sum(axis=1)[shows] / np.where(sizes > 0, sizes, 1.0)
            best = max(best, float(np.median(agree)))
    return best


def _beyond_a_pattern(a: NDArray[np.float32], b: NDArray[np.float32]) -> bool:
    """Whether two images are alike without hot pixels, too, which are the camera's, and are no lattice."""
    a, b = (ndimage.median_filter(image, 3) for image in (a, b))
    return _correlation(a, b) >= SAME and _repeats(a) < LATTICE


def _repeats(image: NDArray[np.float32]) -> float:
    """The share of what it shows that it shows again elsewhere, at one shift by more than a block, 0 to 1."""
    image = image - ndimage.uniform_filter(image, BLOCK + 1)
    y, x = image.shape
    spectrum = np.fft.rfft2(image, (2 * y, 2 * x))
    alike = np.fft.fftshift(np.fft.irfft2(np.abs(spectrum) ** 2, (2 * y, 2 * x)))
    whole = float(alike[y, x])
    alike[y - BLOCK : y + BLOCK + 1, x - BLOCK : x + BLOCK + 1] = 0
    return float(alike.max()) / (whole or 1.0)


def _blocks(image: NDArray[np.float32]) -> NDArray[np.float32]:
    """(blocks, pixels), each without its mean."""
    y, x = (n // BLOCK for n in image.shape)
    found: NDArray[np.float32] = image.reshape(y, BLOCK, x, BLOCK).swapaxes(1, 2).reshape(y * x, -1)
    found -= found.mean(axis=1, keepdims=True)
    return found


def _grey(values: NDArray[np.generic]) -> NDArray[np.float32]:
    with np.errstate(over="ignore"):
        seen = values.astype(np.float32)
    found: NDArray[np.float32] = np.where(np.abs(seen) < HUGE, seen, np.float32(0)).mean(axis=0)
    return found
