"""The frames that are judged, read one at a time."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_pix2pix.core.data.pairs import PairedFrames
from napari_pix2pix.core.encodings.domains import Labels


@dataclass(frozen=True)
class Frame:
    """One frame of a pair.

    Parameters
    ----------
    number
        Among all.
    source, target
        (C, [Z,] Y, X).
    known
        Where what there is of the target is known, bool ([Z,] Y, X).
    stained
        Which channels of the target there are, bool (C,); what stands in the others means nothing.
    bears
        The class that it is of.
    """

    number: int
    name: str
    group: str
    source: NDArray[Any]
    target: NDArray[Any]
    known: NDArray[np.bool_]
    stained: NDArray[np.bool_]
    bears: Labels

    @property
    def known_channels(self) -> NDArray[np.bool_]:
        """Where each channel of the target is known, (C, [Z,] Y, X)."""
        return self.known & self.stained.reshape(-1, *(1,) * self.known.ndim)

    def there(self, image: NDArray[Any]) -> NDArray[Any]:
        """Of an image (C, …) the channels that the target has."""
        return image if self.stained.all() else image[self.stained]

    def values(self, image: NDArray[Any]) -> list[NDArray[Any]]:
        """Of each channel of an image (C, [Z,] Y, X) the pixels of which the target is known, (N,): maybe none."""
        return [channel[where] for channel, where in zip(image, self.known_channels, strict=True)]


class Frames:
    """The frames of `pairs` of which something is known; NaN and Inf in a target are not known.

    `groups` has one name for each: that of its pair's group; or, where there is one group only, its own. `stained`
    (frames, C) says which channels of each target there are.
    """

    def __init__(self, pairs: PairedFrames) -> None:
        self._pairs = pairs
        self.numbers = [region.frame for region in pairs.regions()]
        stacks = [pairs.places[number][0] for number in self.numbers]
        groups = [pairs.groups[stack] for stack in stacks]
        self.one_group = len(set(groups)) == 1
        self.grouped = pairs.groups != pairs.names
        self.groups = [pairs.name(number) for number in self.numbers] if self.one_group else groups
        self.stained = pairs.stained[stacks]

    def __len__(self) -> int:
        return len(self.numbers)

    @property
    def colours(self) -> bool:
        """Whether the channels of the targets are colours."""
        return all(plan.channel_axis == "S" for plan in self._pairs.target_plans)

    def __getitem__(self, index: int) -> Frame:
        pairs, number = self._pairs, self.numbers[index]
        target, known, stained = pairs.target(number), pairs.known(number), self.stained[index]
        if target.dtype.kind == "f":
            known = known & np.isfinite(target[stained]).all(axis=0)
        shown = pairs.source(number), target, known, stained
        return Frame(number, pairs.name(number), self.groups[index], *shown, pairs.bears(number))

    def __iter__(self) -> Iterator[Frame]:
        return (self[index] for index in range(len(self)))
