"""What must be known of pairs before they are divided, in one pass over pieces of their frames."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from numpy.typing import NDArray

from napari_pix2pix.core.data.copies import Contents
from napari_pix2pix.core.data.emptiness import Variation
from napari_pix2pix.core.data.pairs import PairedFrames, require_finite
from napari_pix2pix.core.data.regions import pieces
from napari_pix2pix.core.encodings.kinds import Kind, guess_kind


@dataclass(frozen=True)
class Census:
    """What a pass over pairs has found.

    Parameters
    ----------
    kind
        Of their targets.
    empty
        The frames whose target holds 0 alone.
    constant
        (pair, channel) wherever a channel of several is one value all over a target, and varies in another.
    varying
        The channels of several that vary in some target.
    known_by
        By frame what tells its source from any other, see `Contents`.
    """

    kind: Kind
    empty: tuple[int, ...]
    constant: tuple[tuple[int, int], ...] = ()
    varying: frozenset[int] = frozenset()
    known_by: Mapping[int, bytes] = field(default_factory=dict)

    @classmethod
    def of(cls, pairs: PairedFrames, kind: Kind | Literal["auto"] = "auto") -> "Census":
        """Read every known frame once, in pieces; the kind is believed unless it is ``auto``.

        Raises
        ------
        ValueError
            If a pair holds NaN or Inf, or all sources or all targets are constant.
        """
        contents = {"source": Contents(), "target": Contents()}
        holding, variation = set[int](), Variation()

        def targets() -> Iterator[NDArray[Any]]:
            for region in pieces(pairs.regions()):
                for side, read in (("source", pairs.source), ("target", pairs.target)):
                    values = read(region.frame, region.window)
                    require_finite(values, side, pairs.name(region.frame))
                    contents[side].add(region.frame, values)
                if values.any():
                    holding.add(region.frame)
                if len(values) > 1:
                    variation.add(pairs.places[region.frame][0], values, pairs.stains(region.frame))
                yield values

        left = targets()
        found: Kind = guess_kind(left) if kind == "auto" else kind
        for _ in left:  # what the guess did not need
            pass
        for side, own in contents.items():
            if not own.varies:
                raise ValueError(
                    f"At least one {side} must vary; every {side} is constant. Check that these are the right files."
                )
        empty = tuple(region.frame for region in pairs.regions() if region.frame not in holding)
        return cls(found, empty, variation.constant(), variation.varying, contents["source"].known_by)
