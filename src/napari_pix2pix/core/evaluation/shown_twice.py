"""What is shown twice, by two pairs, or by a pair and an image that is to judge; whatever files are called."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from numpy.typing import NDArray

from napari_pix2pix.core.data.duplicates import Marks
from napari_pix2pix.core.data.frames import Frames
from napari_pix2pix.core.data.pairs import PairedFrames
from napari_pix2pix.core.data.regions import Region, pieces
from napari_pix2pix.core.evaluation.remarks import Figures, Remark


@dataclass
class ShownTwice:
    """Looks for it while all frames are read.

    Parameters
    ----------
    pairs
        Plane by plane.
    judging
        Images by what they are for, ``validation`` or ``test``.
    by_target
        Whether pairs are known again by their targets, as where sources are labels, which are alike too often.
    """

    pairs: PairedFrames
    judging: Mapping[str, Frames]
    by_target: bool
    _marks: Marks = field(default_factory=Marks)

    @property
    def needed(self) -> bool:
        """Whether there is more than one group of pairs, or something that judges."""
        return len(set(self.pairs.groups)) > 1 or bool(self.judging)

    def add(self, piece: Region, source: NDArray[Any], target: NDArray[Any]) -> None:
        """A piece of a pair."""
        if self.needed:
            values = target[self.pairs.stains(piece.frame)] if self.by_target else source
            self._marks.add(piece.frame, values, (piece.window[-2].start, piece.window[-1].start))

    def found(self) -> tuple[list[Figures], list[Remark]]:
        """Each as a `Same`, by names, and which ``judges`` (``validation``, ``test``, None: neither); and in words."""
        if not self.needed:
            return [], []
        images: list[tuple[str | None, int]] = [(None, i) for i in range(len(self.pairs))]
        for kind, frames in self.judging.items():
            for piece in pieces(frames.regions()):
                y, x = piece.window[-2:]
                values = frames.read(piece.frame, piece.window)
                self._marks.add(len(images) + piece.frame, values, (y.start, x.start))
            images += [(kind, i) for i in range(len(frames))]

        def read(number: int) -> Any:
            kind, frame = images[number]
            if kind is not None:
                return lambda window: self.judging[kind].read(frame, window)
            side = self.pairs.target if self.by_target else self.pairs.source
            return lambda window: side(frame, window)

        def shape(number: int) -> tuple[int, int]:
            kind, frame = images[number]
            y, x = (self.judging[kind] if kind else self.pairs).frame_shape(frame)[-2:]
            return y, x

        def group(number: int) -> object:
            kind, frame = images[number]
            return kind, None if kind else self.pairs.groups[self.pairs.places[frame][0]]

        same = [one for one in self._marks.same(read, shape, group) if images[one.first][0] is None]
        rows = [
            asdict(one)
            | {"first": self.pairs.name(images[one.first][1]), "second": self._name(*images[one.second])}
            | {"judges": images[one.second][0]}
            for one in same
        ]
        return rows, _remarks(rows)

    def _name(self, kind: str | None, frame: int) -> str:
        return self.judging[kind].name(frame) if kind else self.pairs.name(frame)


def _remarks(rows: list[Figures]) -> list[Remark]:
    found = []
    for kind in dict.fromkeys(row["judges"] for row in rows):
        own = [row for row in rows if row["judges"] == kind]
        worst = max(own, key=lambda row: row["share"])
        how = f", {worst['how']}" if worst["how"] else ""
        told = f"shows what {worst['first']} shows ({100 * worst['share']:.0f} % of the smaller one{how})"
        seconds = len({row["second"] for row in own})
        more = f" So do {seconds - 1} more." if seconds > 2 else " So does one more." if seconds == 2 else ""
        if kind is None:
            text = (
                f"{worst['second']} {told}.{more} Leave one out, or put both into one group (`groups`), so that "
                "no split parts them."
            )
            short = f"{seconds} image{'s show' if seconds > 1 else ' shows'} what another pair shows"
        else:
            text = f"{worst['second']} of the {kind} images {told}: figures on it are too good.{more} Leave it out."
            short = f"{seconds} {kind} image{'s show' if seconds > 1 else ' shows'} what is learned from"
        found.append(Remark(text, short))
    return found
