"""Pairs of pictures for blinded readers: the same place, real and predicted, and nothing that tells which is which."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
from numpy.typing import NDArray
from skimage.segmentation import find_boundaries

from napari_pix2pix.core.engine.atomic import directory_beside
from napari_pix2pix.core.evaluation.readers import CHOICES
from napari_pix2pix.core.teaching.examples import ranked
from napari_pix2pix.files.judged import Judged
from napari_pix2pix.files.reader_sheets import key_of, write_sheet
from napari_pix2pix.report.example_pictures import PALETTE, Image, ends_of, grey
from napari_pix2pix.report.markup import Html, joined, tag

TRIES = 20
"""Places of an image that are tried before another is taken."""
HOW = (
    "Of each pair one picture is real and the other predicted, of the same place. Write into sheet.csv, as real, which "
    "you take for the real one: A or B. Guess where you do not know, and do not talk to other readers."
)


@dataclass(frozen=True)
class Place:
    """A window of an image that is shown, in a plane of a volume, and in which channels."""

    row: dict[str, Any]
    channels: tuple[int, ...]
    plane: int | None
    window: tuple[slice, slice]

    @property
    def here(self) -> tuple[Any, ...]:
        """The index of its pixels in an image (C, [Z,] Y, X)."""
        return (slice(None), *(() if self.plane is None else (self.plane,)), *self.window)


def write_reader_set(out: Path, judged: Judged, n: int, side: int, seed: int, device: str = "auto") -> int:
    """Write pictures, a page that shows them and a sheet to the new folder `out`, and the key beside; how many pairs.

    Parameters
    ----------
    out
        A folder that is not there yet.
    judged
        The evaluation.
    n
        Pairs, from as many images as there are.
    side
        Of the pictures at most, px.
    seed
        Of places and order.
    device
        What predicts.

    Raises
    ------
    ValueError
        If there is no place where both can be told apart at all.
    """
    random = np.random.default_rng(seed)
    shown = list(_pictures(judged, n, side, device, random))
    if not shown:
        raise ValueError(
            "A reader set must show places where prediction and target differ and the target is known; there are none. "
            "Choose another evaluation."
        )
    rows = []
    with directory_beside(out) as folder:
        for number, i in enumerate(random.permutation(len(shown)), 1):
            place, real, predicted = shown[i]
            first = bool(random.integers(2))
            for letter, pixels in zip(CHOICES, (real, predicted) if first else (predicted, real), strict=True):
                # not compressed: a prediction is often smoother, and its file would be the smaller one
                png = imagecodecs.png_encode(np.ascontiguousarray(pixels), level=0)
                (folder / f"pair_{number:03}_{letter}.png").write_bytes(png)
            top, left = (int(one.start) for one in place.window)
            at = {"channel": " ".join(map(str, place.channels)), "row": top, "column": left}
            told = {"name": place.row["name"], "group": place.row.get("group", place.row["name"])}
            rows.append({"pair": number, "real": CHOICES[not first], **told, **at})
        (folder / "pairs.html").write_text(_page(len(rows)), "utf8")
        write_sheet(folder, key_of(out), rows)
        folder.rename(out)
    return len(rows)


def _pictures(
    judged: Judged, n: int, side: int, device: str, random: np.random.Generator
) -> Iterator[tuple[Place, Image, Image]]:
    """At most n places with their pictures, real and predicted; each image is predicted once."""
    _, rows = ranked(judged.report)
    order, left = [rows[i] for i in random.permutation(len(rows))][:n], n
    kind, colours = judged.report["kind"], judged.how(device)["colours"]
    for turn, row in enumerate(order):
        ((_, example),) = judged.examples(row, device)
        images, known = (example.target, example.prediction), example.known
        found: set[tuple[Any, ...]] = set()
        wanted = -(-left // (len(order) - turn))
        for _ in range(TRIES * wanted):
            if len(found) == wanted:
                break
            channels = tuple(k for k in range(len(example.target)) if example.has(k))
            place = _place(row, channels, known, side, colours, random)
            told = (place.channels, place.plane, *((one.start, one.stop) for one in place.window))
            if told in found or not known[place.here[1:]].all():
                continue
            both = [_picture(image, images[0], example.source, place, kind) for image in images]
            if (both[0] != both[1]).any() and np.ptp(both[0]):
                found.add(told)
                left -= 1
                yield place, both[0], both[1]


def _place(
    row: dict[str, Any],
    channels: tuple[int, ...],
    known: NDArray[np.bool_],
    side: int,
    colours: bool,
    random: np.random.Generator,
) -> Place:
    """A random window of an image of which so much is known, in one of these channels, or in all that are colours."""
    channels = channels if colours else (int(random.choice(channels)),)
    window = []
    for length in known.shape[-2:]:
        start = int(random.integers(max(length - side, 0) + 1))
        window.append(slice(start, min(start + side, length)))
    plane = int(random.choice(np.flatnonzero(known.any(axis=(1, 2))))) if known.ndim == 3 else None
    return Place(row, channels, plane, (window[0], window[1]))


def _picture(image: NDArray[Any], target: NDArray[Any], source: NDArray[Any] | None, place: Place, kind: str) -> Image:
    """What is shown of an image: grey values between the ends of the target's; outlines of labels over the source."""
    own, true = image[place.here], target[place.here]
    if kind == "intensity":
        shown = np.stack([grey(own[k], *ends_of(true[k])) for k in place.channels], axis=-1)
        return shown[..., 0] if len(place.channels) == 1 else shown
    below = np.zeros(true[0].shape, np.uint8)
    if source is not None:
        seen = source[place.here].astype(float).mean(axis=0)
        below = grey(seen, *ends_of(seen))
    picture = np.repeat(below[..., None], 3, axis=-1)
    picture[find_boundaries(own[0], mode="inner")] = PALETTE[0]
    return picture


def _page(n: int) -> str:
    """The pairs, one below the other."""

    def picture(number: int, letter: str) -> Html:
        shown = tag("img", src=f"pair_{number:03}_{letter}.png", alt=f"{letter} of pair {number}")
        return tag("figure", shown, tag("figcaption", letter))

    pairs: Sequence[Html] = [
        tag("section", tag("h2", f"Pair {number}"), tag("div", *(picture(number, letter) for letter in CHOICES)))
        for number in range(1, n + 1)
    ]
    style = Html(
        "body { font: 16px system-ui, sans-serif; max-width: 70rem; margin: 2rem auto; padding: 0 1rem; } "
        "div { display: flex; gap: 1rem; } figure { flex: 1; margin: 0; } "
        "img { width: 100%; image-rendering: pixelated; }"
    )
    head = tag("head", tag("meta", charset="utf-8"), tag("title", "Which is real?"), tag("style", style))
    page = tag("html", head, tag("body", tag("h1", "Which is real?"), tag("p", HOW), joined(*pairs)), lang="en")
    return f"<!DOCTYPE html>\n{page}\n"
