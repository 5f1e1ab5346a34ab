"""How sources and targets that are no pairs lie to each other: what would be made up, and whether they are pairs."""

from collections.abc import Sequence
from hashlib import blake2b
from typing import Any

import numpy as np
from numpy.typing import NDArray
from skimage.filters import threshold_otsu
from skimage.measure import block_reduce

from napari_pix2pix.core.data.frames import DomainFrames, Frames, UnpairedFrames
from napari_pix2pix.core.data.regions import Windows, pieces
from napari_pix2pix.core.encodings.kinds import Kind, guess_kind
from napari_pix2pix.core.evaluation.remarks import Remark, Remedy
from napari_pix2pix.core.geometry.axes import middle
from napari_pix2pix.core.settings.config import method_for

LOOKED_AT, MOST_SIDE = 16, 512
"""Frames of each side, evenly spaced, and how much of the middle of each, px."""
PERCENTILES = 0.1, 99.9
"""What lies beyond does not move Otsu's threshold."""
SHARES, APART = 2.0, 0.05
"""No warning: shares of foreground that differ by a smaller factor, or by less."""
BLOCK, CORRELATED, ABOVE_CHANCE = 4, 0.3, 0.15
"""Squares, px, whose means are correlated; from which |r| on sides are pairs, and how far above that of frames that do
not belong together."""


def unlike(data: UnpairedFrames, kinds: dict[str, Kind]) -> list[Remark]:
    """What to know before a training without pairs, from some frames of each side.

    That a side is one image; that sources and targets hold different shares of foreground; that they look like pairs.

    Parameters
    ----------
    kinds
        Of source and target.
    """
    found = []
    for side, frames in data.sides.items():
        if len(frames) == 1:
            text = f"One {side} is no data set: what is learned from it may hold for no other image."
            found.append(Remark(text, f"one {side}: it says nothing about another"))
    shares = {side: foreground(_some(frames), kinds[side]) for side, frames in data.sides.items()}
    ours, theirs = shares["source"], shares["target"]
    if max(ours, theirs) > max(SHARES * min(ours, theirs), min(ours, theirs) + APART):
        more = "lost" if ours > theirs else "made up"
        text = (
            f"Sources and targets should hold as much foreground; by Otsu's threshold it is {ours:.0%} of the sources' "
            f"pixels and {theirs:.0%} of the targets': the difference will be {more}. Choose images alike."
        )
        found.append(Remark(text, f"foreground {ours:.0%} and {theirs:.0%}: the difference will be {more}"))
    if pairs := alike(data, kinds):
        (number, correlation), better = pairs, method_for("pairs")
        text = (
            f"These look like pairs: {number} sources have the names and sizes of targets and lie over them "
            f"(correlation {correlation:.2f}); {better} will do better. Give `method` {better}."
        )
        remedy = Remedy("Learn from pairs", {"method": better})
        found.append(Remark(text, f"these look like pairs: {better} will do better", remedies=(remedy,)))
    return found


def foreground(images: Sequence[NDArray[Any]], kind: Kind) -> float:
    """The smaller part of the pixels of these images (Y, X), 0 to 0.5: by Otsu's threshold, or of labels."""
    values = np.concatenate([image.ravel() for image in images])
    if kind == "intensity":  # a hot pixel is no foreground
        values = values.clip(*np.percentile(values, PERCENTILES))
    low, high = values.min(), values.max()
    if low == high:
        return 0.0
    level = low if kind != "intensity" else threshold_otsu(values)
    share = float((values > level).mean())
    return min(share, 1 - share)


def alike(data: UnpairedFrames, kinds: dict[str, Kind]) -> tuple[int, float] | None:
    """How many sources have the name and size of a target, and the mean |r| of some, if that is far from chance."""
    matched = _matched(*data.sides.values())
    if not matched:
        return None
    some = [matched[i] for i in np.unique(np.linspace(0, len(matched) - 1, LOOKED_AT).round().astype(int))]
    (ours, source), (theirs, target) = data.sides.items()
    looked = [(_blocks(source, a, kinds[ours]), _blocks(target, b, kinds[theirs])) for a, b in some]
    own = float(np.mean([_correlation(a, b) for a, b in looked]))
    others = [
        _correlation(a, b) for (a, _), (_, b) in zip(looked, looked[1:] + looked[:1], strict=True) if a.shape == b.shape
    ]
    chance = float(np.mean(others)) if len(looked) > 1 and others else 0.0
    return (len(matched), own) if own >= CORRELATED and own >= chance + ABOVE_CHANCE else None


def twins(data: UnpairedFrames) -> int:
    """How many sources are a target, pixel by pixel; every frame is read."""
    ours, theirs = ([_digest(frames, i) for i in range(len(frames))] for frames in data.sides.values())
    return len(set(ours) & set(theirs))


def lonely(data: DomainFrames) -> list[Remark]:
    """The domains of one image."""
    return [
        Remark(
            f"One image is no domain: what is learned of {name} from it may hold for no other image.",
            f"{name}: one image says nothing about another",
        )
        for name, frames in data.sides.items()
        if len(frames) == 1
    ]


def labelled(data: DomainFrames) -> list[Remark]:
    """The domains whose images look like labels, by some of each."""
    found = []
    for name, frames in data.sides.items():
        regions = pieces(frames.regions())
        some = Windows(frames.read, regions[:: -(-len(regions) // LOOKED_AT)])
        seen = [image[:1] if (image == image[:1]).all() else image for image in some]  # grey as each colour is grey
        if any(image.min() < image.max() for image in seen) and (kind := guess_kind(seen)) != "intensity":
            text = (
                f"The images of {name} look like labels ({kind}) and are taken as grey values: what is translated to "
                "them holds values between labels. Leave them out, or make labels by `method` pix2pix or cyclegan."
            )
            found.append(Remark(text, f"{name}: labels, taken as grey values"))
    return found


def doubles(data: DomainFrames) -> list[Remark]:
    """The images that are in several domains; every frame is read."""
    found, seen = [], dict[bytes, str]()
    for name, frames in data.sides.items():
        digests = {_digest(frames, i) for i in range(len(frames))}
        if both := digests & seen.keys():
            text = f"Domains should have no image in common; {len(both)} of {name} are in {seen[min(both)]}, too."
            found.append(Remark(f"{text} Leave them out of one.", f"{len(both)} images are in two domains"))
        seen |= dict.fromkeys(digests, name)
    return found


def _digest(frames: Frames, frame: int) -> bytes:
    found = blake2b(repr(frames.frame_shape(frame)).encode())
    for piece in pieces([frames.regions()[frame]]):
        found.update(np.ascontiguousarray(frames.read(frame, piece.window)).tobytes())
    return found.digest()


def _matched(source: Frames, target: Frames) -> list[tuple[int, int]]:
    """Frames of the same name, or at the same place of the only stack of either side; of the same size."""
    only = len(source.stacks) == len(target.stacks) == 1 and len(source) == len(target)
    named = {(0 if only else target.names[stack], index): number for number, (stack, index) in enumerate(target.places)}
    found = []
    for number, (stack, index) in enumerate(source.places):
        other = named.get((0 if only else source.names[stack], index))
        if other is not None and source.frame_shape(number) == target.frame_shape(other):
            found.append((number, other))
    return found if 2 * len(found) > min(len(source), len(target)) else []


def _some(frames: Frames) -> list[NDArray[Any]]:
    numbers = np.unique(np.linspace(0, len(frames) - 1, LOOKED_AT).round().astype(int))
    return [_look(frames, int(number)) for number in numbers]


def _look(frames: Frames, number: int) -> NDArray[Any]:
    """The mean over the channels of the middle of a frame, of a volume its middle plane, (Y, X)."""
    *z, y, x = (slice(0, n) for n in frames.frame_shape(number))
    window = (*(middle(along, 1) for along in z), *(middle(along, MOST_SIDE) for along in (y, x)))
    values: NDArray[Any] = frames.read(number, window).astype(np.float32).mean(axis=0)
    return values.reshape(values.shape[-2:])


def _blocks(frames: Frames, number: int, kind: Kind) -> NDArray[Any]:
    values = _look(frames, number)
    found: NDArray[Any] = block_reduce(values if kind == "intensity" else values > values.min(), BLOCK, np.mean)
    return found


def _correlation(a: NDArray[Any], b: NDArray[Any]) -> float:
    """|r|; 0 where either is constant."""
    a, b = a - a.mean(), b - b.mean()
    size = float(np.sqrt((a * a).sum() * (b * b).sum()))
    return abs(float((a * b).sum())) / size if size else 0.0
