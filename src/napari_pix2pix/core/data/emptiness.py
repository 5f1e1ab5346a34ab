"""What it means where a target is empty: nothing is there, or nobody has labelled or stained it."""

from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from napari_pix2pix.core.data.pairs import PairedFrames, settle_empty_frames
from napari_pix2pix.core.data.regions import pieces
from napari_pix2pix.core.encodings.kinds import Kind
from napari_pix2pix.core.settings.config import Config, EmptyChannels, EmptyFrames


@dataclass
class Variation:
    """Which channels of which targets vary, summed up piece by piece."""

    _first: dict[tuple[int, int], Any] = field(default_factory=dict)
    _varied: dict[int, set[int]] = field(default_factory=lambda: defaultdict(set))
    """By channel the pairs."""

    def add(self, pair: int, target: NDArray[Any], stains: NDArray[np.bool_]) -> None:
        """A piece (K, [Z,] Y, X) of this pair's target, of which these channels (K,) are there."""
        for k in np.flatnonzero(stains).tolist():
            first = self._first.setdefault((pair, k), target[k].flat[0])
            if pair not in self._varied[k] and (target[k] != first).any():
                self._varied[k].add(pair)

    def settled(self, pair: int, stains: NDArray[np.bool_]) -> bool:
        """Whether all of these channels are known to vary in this pair."""
        return all(pair in self._varied[k] for k in np.flatnonzero(stains).tolist())

    @property
    def varying(self) -> frozenset[int]:
        """The channels that vary in some pair."""
        return frozenset(k for k, pairs in self._varied.items() if pairs)

    def constant(self, varying: Collection[int] = ()) -> tuple[tuple[int, int], ...]:
        """(pair, channel) wherever a channel is one value all over a pair, and varies in another, here or elsewhere."""
        vary = {*self.varying, *varying}
        return tuple((i, k) for i, k in self._first if k in vary and i not in self._varied[k])


def judged_as(config: Config) -> tuple[EmptyFrames, EmptyChannels]:
    """What empty frames and channels meant to pairs that judged a training: what it did not ask about was there."""
    return config.empty_frames, "empty" if config.empty_channels == "ask" else config.empty_channels


def settle_empty(
    pairs: PairedFrames,
    frames: EmptyFrames,
    channels: EmptyChannels,
    kind: Kind | Literal["auto"] = "auto",
    *,
    empty: Sequence[int] | None = None,
    constant: Collection[tuple[int, int]] | None = None,
    varying: Collection[int] = (),
) -> PairedFrames:
    """The pairs, with what is empty in their targets being empty or not known, as is said of `frames` and `channels`.

    Of labels that is a frame without any, see `settle_empty_frames`; of grey values of several channels, a channel that
    is one value all over a pair and varies in others, as where a sample was not stained for it. Colours are no stains.

    Parameters
    ----------
    pairs, kind
        The pairs, and what their targets are.
    frames, channels
        As `empty_frames` and `empty_channels` in `Config`.
    empty, constant
        Which frames, and which channels of which pairs, are empty; they are looked for unless they are said.
    varying
        Channels that vary elsewhere, as in the pairs that trained.

    Raises
    ------
    ValueError
        If there are such and nobody says what they mean.
    """
    if pairs.target_plans[0].n_channels == 1:
        return settle_empty_frames(pairs, frames, kind, empty=empty)
    if channels == "empty" or any(plan.channel_axis == "S" for plan in pairs.target_plans):
        return pairs
    if constant is None:
        constant = _constant(pairs, varying)
    if not constant:
        return pairs
    if channels == "ask":
        first, channel = next(iter(constant))
        more = f" (and {len(constant) - 1} more)" if len(constant) > 1 else ""
        raise ValueError(
            f"A channel that is one value all over a target must be said to be empty or not stained; "
            f"{pairs.stain(channel)} of {pairs.names[first]}{more} is, and varies in others. Choose "
            "`empty_channels` empty or unstained."
        )
    return pairs.unstained(constant)


def _constant(pairs: PairedFrames, varying: Collection[int]) -> tuple[tuple[int, int], ...]:
    found = Variation()
    for piece in pieces(pairs.regions()):
        pair, stains = pairs.places[piece.frame][0], pairs.stains(piece.frame)
        if not found.settled(pair, stains):
            found.add(pair, pairs.target(piece.frame, piece.window), stains)
    return found.constant(varying)
