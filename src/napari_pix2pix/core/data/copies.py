"""Images that are the same to the last pixel, whatever they are called: copies, which no split may part."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass
class Contents:
    """Looks for copies among frames while these are read, in pieces; 32 bytes of each are kept."""

    _digests: dict[int, Any] = field(default_factory=dict)
    _firsts: dict[int, Any] = field(default_factory=dict)
    _varying: set[int] = field(default_factory=set)

    def add(self, frame: int, values: NDArray[Any]) -> None:
        """The next piece (C, [Z,] Y, X) of the frame of this number."""
        digest = self._digests.setdefault(frame, hashlib.sha256())
        digest.update(f"{values.shape} {values.dtype.name}".encode())
        digest.update(np.ascontiguousarray(values, values.dtype.newbyteorder("<")).data)
        if (values != self._firsts.setdefault(frame, values.flat[0])).any():
            self._varying.add(frame)

    @property
    def varies(self) -> bool:
        """Whether a frame holds more than one value."""
        return bool(self._varying)

    @property
    def known_by(self) -> dict[int, bytes]:
        """By number what tells a frame from any other; none for those of one value, which are alike and no copies."""
        return {frame: self._digests[frame].digest() for frame in sorted(self._varying)}


def held_together(
    names: Sequence[str], groups: Sequence[str], stacks: Mapping[int, int], known_by: Mapping[int, bytes]
) -> tuple[list[str], str]:
    """The groups of pairs, those that have copies of one frame being one group; and a sentence that says so, or "".

    Parameters
    ----------
    names, groups
        One for each pair.
    stacks
        By frame the pair that it is of.
    known_by
        As of `Contents`.
    """
    found, firsts, copies = list(groups), dict[bytes, int](), list[tuple[int, int]]()
    for frame, content in known_by.items():
        own = stacks[frame]
        first = firsts.setdefault(content, own)
        if groups[first] != groups[own]:
            copies.append((first, own))
        if found[first] != found[own]:
            joined = {found[first], found[own]}
            found = [found[first] if group in joined else group for group in found]
    if not copies:
        return found, ""
    first, second = copies[0]
    more = len({own for _, own in copies}) - 1
    so_do = f" So do{'es' if more == 1 else ''} {more} more." if more else ""
    return found, (
        f"The source of {names[second]} shows the same image as that of {names[first]}, to the last pixel.{so_do} They "
        "are held together as one group, so that no split parts them; leave copies out if they are meant to be others."
    )


def copies_among(judges: Mapping[int, bytes], known_by: Mapping[int, bytes]) -> list[int]:
    """The numbers of the frames that judge which are copies of what is learned from."""
    known = set(known_by.values())
    return [frame for frame, content in judges.items() if content in known]
