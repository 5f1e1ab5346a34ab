"""What must be known of pairs before they are divided, in one pass over pieces of their frames."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from numpy.typing import NDArray

from napari_pix2pix.core.data.pairs import PairedFrames, require_finite
from napari_pix2pix.core.data.regions import pieces
from napari_pix2pix.core.encodings.kinds import Kind, guess_kind


@dataclass(frozen=True)
class Census:
    """What a pass over pairs has found: the kind of their targets, and the frames whose target holds 0 alone."""

    kind: Kind
    empty: tuple[int, ...]

    @classmethod
    def of(cls, pairs: PairedFrames, kind: Kind | Literal["auto"] = "auto") -> "Census":
        """Read every known frame once, in pieces; the kind is believed unless it is ``auto``.

        Raises
        ------
        ValueError
            If a pair holds NaN or Inf, or all sources or all targets are constant.
        """
        first: dict[str, Any] = {}
        varies, holding = {"source": False, "target": False}, set[int]()

        def targets() -> Iterator[NDArray[Any]]:
            for region in pieces(pairs.regions()):
                for side, read in (("source", pairs.source), ("target", pairs.target)):
                    values = read(region.frame, region.window)
                    require_finite(values, side, pairs.name(region.frame))
                    varies[side] |= bool((values != first.setdefault(f"{side} {region.frame}", values.flat[0])).any())
                if values.any():
                    holding.add(region.frame)
                yield values

        left = targets()
        found: Kind = guess_kind(left) if kind == "auto" else kind
        for _ in left:  # what the guess did not need
            pass
        for side, found_any in varies.items():
            if not found_any:
                raise ValueError(
                    f"At least one {side} must vary; every {side} is constant. Check that these are the right files."
                )
        return cls(found, tuple(region.frame for region in pairs.regions() if region.frame not in holding))
