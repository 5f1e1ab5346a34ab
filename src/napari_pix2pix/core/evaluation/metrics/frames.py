"""The frames that are judged, read one at a time."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_pix2pix.core.data.pairs import PairedFrames


@dataclass(frozen=True)
class Frame:
    """One frame: its `number` among all, source and target (C, [Z,] Y, X), and where the target is `known`."""

    number: int
    name: str
    group: str
    source: NDArray[Any]
    target: NDArray[Any]
    known: NDArray[np.bool_]


class Frames:
    """The frames of `pairs` of which something is known; NaN and Inf in a target are not known.

    `groups` has one name for each: that of its pair's group; or, where there is one group only, its own.
    """

    def __init__(self, pairs: PairedFrames) -> None:
        self._pairs = pairs
        self.numbers = [region.frame for region in pairs.regions()]
        stacks = [pairs.places[number][0] for number in self.numbers]
        groups = [pairs.groups[stack] for stack in stacks]
        self.one_group = len(set(groups)) == 1
        self.grouped = pairs.groups != pairs.names
        self.groups = [pairs.name(number) for number in self.numbers] if self.one_group else groups

    def __len__(self) -> int:
        return len(self.numbers)

    def __getitem__(self, index: int) -> Frame:
        pairs, number = self._pairs, self.numbers[index]
        target, known = pairs.target(number), pairs.known(number)
        if target.dtype.kind == "f":
            known = known & np.isfinite(target).all(axis=0)
        return Frame(number, pairs.name(number), self.groups[index], pairs.source(number), target, known)

    def __iter__(self) -> Iterator[Frame]:
        return (self[index] for index in range(len(self)))
